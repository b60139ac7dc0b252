//! The contexts of a person or a program: which clusters there are, where, and with which certificate. A TOML file with
//! paths and addresses, no secret; written with owner-only rights all the same, because it tells where the keys are.
//!
//! ```toml
//! current = "demo"
//!
//! [contexts.demo]
//! cluster = "demo"                              # short name of the cluster: its nodes must belong to it
//! label = "demonstration"                       # free text, shown only
//! endpoints = ["127.0.0.1:7101"]                # public plane, in order of preference
//! admin_endpoints = ["127.0.0.1:7201"]          # admin plane; may be left out
//! ca = "pki/ca.crt"                             # paths are relative to this file's directory
//! cert = "pki/importador.crt"
//! key = "pki/importador.key"
//! admin_cert = "pki/operador.crt"               # where the admin plane takes another identity
//! admin_key = "pki/operador.key"
//! ```

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Largest contexts file: some thousand contexts fit.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Most endpoints of one plane in a context.
pub const ENDPOINTS_MAX: usize = 64;

/// Where the contexts file is, unless `PLANTAO_CONFIG` says otherwise, below `$XDG_CONFIG_HOME` or `$HOME/.config`.
const BELOW_CONFIG_HOME: &str = "plantao/config.toml";

/// Why contexts were not read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither `PLANTAO_CONFIG`, `XDG_CONFIG_HOME` nor `HOME` is set.
    #[error("no place for the contexts file is known: set PLANTAO_CONFIG")]
    NoPlace,
    /// Missing or unreadable.
    #[error("cannot read the contexts file {}", path.display())]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not written; the old file is whole.
    #[error("cannot write the contexts file {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// More than 1 MiB.
    #[error("the contexts file {} is larger than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// Where.
        path: PathBuf,
    },
    /// No TOML, an unknown key, a missing one, or a value of another type; the source says where.
    #[error("the contexts file {} is not valid", path.display())]
    Syntax {
        /// Where.
        path: PathBuf,
        /// What and where in it.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// Could not be put into TOML.
    #[error("the contexts cannot be written as TOML")]
    Encode(#[source] toml::ser::Error),
    /// A context that could never be used.
    #[error("context {name:?}: {fault}")]
    Context {
        /// Its name.
        name: String,
        /// What is wrong.
        fault: ContextFault,
    },
    /// No such context.
    #[error("there is no context {name:?}")]
    UnknownContext {
        /// As asked.
        name: String,
    },
    /// No context was chosen, and the file names none as current.
    #[error("no context is chosen")]
    NoCurrent,
}

/// What is wrong with a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContextFault {
    /// The name is not `[a-z0-9-]`, 1 to 64.
    #[error("a name is 1 to 64 characters of a-z, 0-9 and the hyphen")]
    Name,
    /// No endpoint of the public plane.
    #[error("endpoints is empty")]
    NoEndpoint,
    /// More than [`ENDPOINTS_MAX`].
    #[error("more than {ENDPOINTS_MAX} endpoints")]
    TooManyEndpoints,
    /// Not `host:port`.
    #[error("an endpoint is not host:port")]
    Endpoint,
    /// The same address twice in one plane.
    #[error("an endpoint is listed twice")]
    EndpointTwice,
    /// One of the pair `admin_cert`, `admin_key` without the other.
    #[error("admin_cert and admin_key belong together")]
    HalfAdminPair,
    /// The cluster's name is not `[a-z0-9-]`, 1 to 64.
    #[error("cluster is not a short name of 1 to 64 characters of a-z, 0-9 and the hyphen")]
    Cluster,
}

/// One cluster as one identity sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// Short name of the cluster; the certificate must be of it.
    pub cluster: String,
    /// Free text for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// `host:port` of the public plane, in order of preference; at least one.
    pub endpoints: Vec<String>,
    /// `host:port` of the admin plane.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub admin_endpoints: Vec<String>,
    /// PEM file with the roots to trust.
    pub ca: PathBuf,
    /// PEM file with the certificate.
    pub cert: PathBuf,
    /// PEM file with its key, mode 0600.
    pub key: PathBuf,
    /// Certificate for the admin plane; none: the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_cert: Option<PathBuf>,
    /// Key for the admin plane; none: the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_key: Option<PathBuf>,
}

impl Context {
    /// Looks for what could never work; reads no file.
    pub fn check(&self) -> Result<(), ContextFault> {
        if !is_slug(&self.cluster) {
            return Err(ContextFault::Cluster);
        }
        if self.endpoints.is_empty() {
            return Err(ContextFault::NoEndpoint);
        }
        for endpoints in [&self.endpoints, &self.admin_endpoints] {
            if endpoints.len() > ENDPOINTS_MAX {
                return Err(ContextFault::TooManyEndpoints);
            }
            for (at, endpoint) in endpoints.iter().enumerate() {
                if !is_host_and_port(endpoint) {
                    return Err(ContextFault::Endpoint);
                }
                if endpoints[..at].contains(endpoint) {
                    return Err(ContextFault::EndpointTwice);
                }
            }
        }
        if self.admin_cert.is_some() != self.admin_key.is_some() {
            return Err(ContextFault::HalfAdminPair);
        }
        Ok(())
    }

    /// The same with paths that are relative to `directory` made to begin there.
    fn anchored(&self, directory: &Path) -> Self {
        let anchor = |path: &PathBuf| directory.join(path);
        Self {
            ca: anchor(&self.ca),
            cert: anchor(&self.cert),
            key: anchor(&self.key),
            admin_cert: self.admin_cert.as_ref().map(anchor),
            admin_key: self.admin_key.as_ref().map(anchor),
            ..self.clone()
        }
    }
}

fn is_slug(text: &str) -> bool {
    text.parse::<crate::identity::Slug>().is_ok()
}

fn is_host_and_port(text: &str) -> bool {
    text.len() <= 260
        && !text.contains('@')
        && text
            .parse::<http::uri::Authority>()
            .is_ok_and(|authority| authority.port_u16().is_some_and(|port| port != 0) && !authority.host().is_empty())
}

/// All contexts of one file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contexts {
    /// Name of the one that is used when none is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// By name.
    #[serde(default)]
    pub contexts: BTreeMap<String, Context>,
}

impl Contexts {
    /// Where this person's contexts are: `PLANTAO_CONFIG`, else `$XDG_CONFIG_HOME/plantao/config.toml`, else
    /// `$HOME/.config/plantao/config.toml`. An empty variable counts as not set.
    pub fn default_path() -> Result<PathBuf, Error> {
        default_path_from(|name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
            .ok_or(Error::NoPlace)
    }

    /// Reads and checks `path`. A missing file is an error of kind `NotFound`: see [`Self::load_or_empty`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        let read_error = |source| Error::Read { path: path.to_owned(), source };
        let mut text = String::new();
        let file = File::open(path).map_err(read_error)?;
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(read_error)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(Error::TooLarge { path: path.to_owned() });
        }
        let contexts: Self = toml::from_str(&text)
            .map_err(|source| Error::Syntax { path: path.to_owned(), source: Box::new(source) })?;
        contexts.check()?;
        Ok(contexts)
    }

    /// As [`Self::load`], where a missing file means no context yet.
    pub fn load_or_empty(path: &Path) -> Result<Self, Error> {
        match Self::load(path) {
            Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            other => other,
        }
    }

    fn check(&self) -> Result<(), Error> {
        for (name, context) in &self.contexts {
            let fault = if is_slug(name) { context.check() } else { Err(ContextFault::Name) };
            fault.map_err(|fault| Error::Context { name: name.clone(), fault })?;
        }
        match &self.current {
            Some(name) if !self.contexts.contains_key(name) => Err(Error::UnknownContext { name: name.clone() }),
            _ => Ok(()),
        }
    }

    /// Checks, then replaces `path` by these contexts: mode 0600, synced, never half-written. Directories that are
    /// missing are made with mode 0700. Blocks.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        self.check()?;
        let text = toml::to_string_pretty(self).map_err(Error::Encode)?;
        write_durably(path, text.as_bytes()).map_err(|source| Error::Write { path: path.to_owned(), source })
    }

    /// The context `name`, or the current one, with its paths relative to the directory of `path` resolved.
    pub fn get(&self, name: Option<&str>, path: &Path) -> Result<(String, Context), Error> {
        let name = name.or(self.current.as_deref()).ok_or(Error::NoCurrent)?;
        let context = self.contexts.get(name).ok_or_else(|| Error::UnknownContext { name: name.to_owned() })?;
        let directory = path.parent().unwrap_or(Path::new(""));
        Ok((name.to_owned(), context.anchored(directory)))
    }
}

fn default_path_from(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    variable("PLANTAO_CONFIG")
        .or_else(|| Some(variable("XDG_CONFIG_HOME")?.join(BELOW_CONFIG_HOME)))
        .or_else(|| Some(variable("HOME")?.join(".config").join(BELOW_CONFIG_HOME)))
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(temporary);
    // Left over by a process that was killed: its mode is not known to be ours.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    File::open(directory)?.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn context() -> Context {
        Context {
            cluster: "demo".to_owned(),
            label: "demonstração".to_owned(),
            endpoints: vec!["127.0.0.1:7101".to_owned(), "[::1]:7102".to_owned()],
            admin_endpoints: vec!["centro.example:7201".to_owned()],
            ca: "pki/ca.crt".into(),
            cert: "pki/a.crt".into(),
            key: "/secure/a.key".into(),
            admin_cert: None,
            admin_key: None,
        }
    }

    fn contexts() -> Contexts {
        Contexts { current: Some("demo".to_owned()), contexts: BTreeMap::from([("demo".to_owned(), context())]) }
    }

    #[test]
    fn what_is_saved_is_read_back_and_only_the_owner_can_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep").join("config.toml");
        assert_eq!(Contexts::load_or_empty(&path).unwrap(), Contexts::default());
        contexts().save(&path).unwrap();
        contexts().save(&path).unwrap();
        assert_eq!(Contexts::load(&path).unwrap(), contexts());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        let (name, found) = contexts().get(None, &path).unwrap();
        assert_eq!(name, "demo");
        assert_eq!(found.ca, path.parent().unwrap().join("pki/ca.crt"));
        assert_eq!(found.key, Path::new("/secure/a.key"));
        assert!(matches!(contexts().get(Some("other"), &path), Err(Error::UnknownContext { .. })));
        assert!(matches!(Contexts::default().get(None, &path), Err(Error::NoCurrent)));
    }

    #[test]
    fn unknown_keys_wrong_types_and_garbage_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        let good = toml::to_string(&contexts()).unwrap();
        for bad in [
            format!("colour = \"red\"\n{good}"),
            format!("{good}password = \"x\"\n"),
            good.replace("cluster = \"demo\"\n", ""),
            good.replace("cluster = \"demo\"", "cluster = 5"),
            "= =".to_owned(),
        ] {
            fs::write(&path, &bad).unwrap();
            assert!(matches!(Contexts::load(&path), Err(Error::Syntax { .. })), "{bad}");
        }
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(Contexts::load(&path), Err(Error::Read { .. })));
        fs::write(&path, vec![b'#'; 2 << 20]).unwrap();
        assert!(matches!(Contexts::load(&path), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn a_context_that_could_never_work_is_refused_before_it_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        let mut none = context();
        none.endpoints.clear();
        let mut port = context();
        port.endpoints[0] = "127.0.0.1".to_owned();
        let mut twice = context();
        twice.endpoints[1] = twice.endpoints[0].clone();
        let mut half = context();
        half.admin_cert = Some("x".into());
        let mut cluster = context();
        cluster.cluster = "Demo!".to_owned();
        for (bad, fault) in [
            (none, ContextFault::NoEndpoint),
            (port, ContextFault::Endpoint),
            (twice, ContextFault::EndpointTwice),
            (half, ContextFault::HalfAdminPair),
            (cluster, ContextFault::Cluster),
        ] {
            assert_eq!(bad.check(), Err(fault));
            let contexts = Contexts { current: None, contexts: BTreeMap::from([("a".to_owned(), bad)]) };
            assert!(matches!(contexts.save(&path), Err(Error::Context { .. })));
        }
        assert!(!path.exists());
    }

    #[test]
    fn the_place_follows_the_environment() {
        let home = |name: &str| (name == "HOME").then(|| PathBuf::from("/h"));
        assert_eq!(default_path_from(home), Some("/h/.config/plantao/config.toml".into()));
        let xdg = |name: &str| (name != "PLANTAO_CONFIG").then(|| PathBuf::from("/x"));
        assert_eq!(default_path_from(xdg), Some("/x/plantao/config.toml".into()));
        assert_eq!(default_path_from(|_| Some("/c.toml".into())), Some("/c.toml".into()));
        assert_eq!(default_path_from(|_| None), None);
    }
}
