//! Which network is meant: flag, then environment, then context file. The file's form is the client library's.

use crate::args::Global;
use crate::failure::{Failure, chain};
use plantao_client::config::{Context, Contexts, Error};
use std::path::PathBuf;

/// What the command line, the environment and the contexts file say together.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Complete and checked for form.
    pub(crate) context: Context,
}

/// Where the contexts file is.
pub(crate) fn path(global: &Global) -> Result<PathBuf, Failure> {
    match &global.config {
        Some(path) => Ok(path.clone()),
        None => Contexts::default_path().map_err(|_| Failure::NoContext { missing: "PLANTAO_CONFIG" }),
    }
}

/// Flags and environment over the chosen context. Without any context they must be complete.
pub(crate) fn resolve(global: &Global) -> Result<Settings, Failure> {
    let complete = !global.endpoint.is_empty()
        && global.cluster.is_some()
        && global.ca.is_some()
        && global.cert.is_some()
        && global.key.is_some();
    let base = if complete && global.context.is_none() { None } else { from_file(global)? };
    let mut context = match base {
        Some(context) => context,
        None => Context {
            cluster: global.cluster.clone().ok_or(Failure::NoContext { missing: "--cluster" })?,
            label: String::new(),
            endpoints: Vec::new(),
            admin_endpoints: Vec::new(),
            ca: global.ca.clone().ok_or(Failure::NoContext { missing: "--ca" })?,
            cert: global.cert.clone().ok_or(Failure::NoContext { missing: "--cert" })?,
            key: global.key.clone().ok_or(Failure::NoContext { missing: "--key" })?,
            admin_cert: None,
            admin_key: None,
        },
    };
    // An identity of the flags holds on both planes: a leftover of the context on one of them would surprise.
    if global.cert.is_some() || global.key.is_some() {
        (context.admin_cert, context.admin_key) = (None, None);
    }
    over(&mut context.cluster, global.cluster.as_ref());
    over(&mut context.ca, global.ca.as_ref());
    over(&mut context.cert, global.cert.as_ref());
    over(&mut context.key, global.key.as_ref());
    if !global.endpoint.is_empty() {
        context.endpoints.clone_from(&global.endpoint);
    }
    if !global.admin_endpoint.is_empty() {
        context.admin_endpoints.clone_from(&global.admin_endpoint);
    }
    context.check().map_err(|fault| Failure::ContextFile { why: fault.to_string() })?;
    Ok(Settings { context })
}

fn over<T: Clone>(setting: &mut T, flag: Option<&T>) {
    if let Some(flag) = flag {
        setting.clone_from(flag);
    }
}

fn from_file(global: &Global) -> Result<Option<Context>, Failure> {
    let path = path(global)?;
    let contexts = Contexts::load_or_empty(&path).map_err(|error| file_failure(&error))?;
    match contexts.get(global.context.as_deref(), &path) {
        Ok((_, context)) => Ok(Some(context)),
        Err(Error::NoCurrent) => Ok(None),
        Err(error) => Err(file_failure(&error)),
    }
}

/// How an error of the contexts file is told.
pub(crate) fn file_failure(error: &Error) -> Failure {
    match error {
        Error::UnknownContext { name } => Failure::UnknownContext { name: name.clone() },
        Error::NoCurrent => Failure::NoContext { missing: "--context" },
        error => Failure::ContextFile { why: chain(error) },
    }
}
