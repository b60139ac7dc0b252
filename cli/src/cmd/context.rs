//! `plantao context list|use|add|rm|show`: the networks that this tool knows. Files hold paths, never keys.

use crate::args::Global;
use crate::context::{file_failure, path};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Cell, Column, Items, Report, Table};
use crate::session::Session;
use crate::text::{Lang, Say, Word};
use clap::{Args, Subcommand};
use plantao_client::config::{Context, Contexts};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Networks that this tool knows.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// List contexts
    List,
    /// Make a context the current one
    Use {
        /// The context
        name: String,
    },
    /// Add a context from --cluster, --endpoint, --ca, --cert and --key
    Add(AddArgs),
    /// Remove a context; certificates and keys stay
    Rm {
        /// The context
        name: String,
    },
    /// Show a context (default: the current one)
    Show {
        /// The context
        name: Option<String>,
    },
}

/// What the global flags do not say.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The context
    name: String,
    /// What prompts call this network, such as PRODUÇÃO
    #[arg(long, default_value = "", hide_default_value = true)]
    label: String,
    /// Certificate for the admin plane (default: --cert)
    #[arg(long, value_name = "FILE", requires = "admin_key")]
    admin_cert: Option<PathBuf>,
    /// Key for the admin plane (default: --key)
    #[arg(long, value_name = "FILE", requires = "admin_cert")]
    admin_key: Option<PathBuf>,
    /// Replace a context of the same name
    #[arg(long)]
    replace: bool,
}

/// Runs one of them.
pub(crate) fn run(command: ContextCommand, session: &Session) -> Result<Exit, Failure> {
    let path = path(&session.global)?;
    let mut contexts = Contexts::load_or_empty(&path).map_err(|error| file_failure(&error))?;
    let unknown = |name: &str| Failure::UnknownContext { name: name.to_owned() };
    let said = match command {
        ContextCommand::List => return session.list(&list_view(&contexts)),
        ContextCommand::Show { name } => {
            let name = name.or_else(|| session.global.context.clone());
            let (name, context) = contexts.get(name.as_deref(), &path).map_err(|error| file_failure(&error))?;
            return session.list(&one_view(session.out.lang, &name, &context));
        }
        ContextCommand::Use { name } => {
            if !contexts.contexts.contains_key(&name) {
                return Err(unknown(&name));
            }
            contexts.current = Some(name.clone());
            Say::ContextUsed { name }
        }
        ContextCommand::Add(args) => {
            if contexts.contexts.contains_key(&args.name) && !args.replace {
                let why = "a context of this name exists; add --replace".to_owned();
                return Err(Failure::BadValue { field: "NAME", why });
            }
            let name = args.name.clone();
            let context = made(args, &session.global)?;
            contexts.contexts.insert(name.clone(), context);
            // The first one is meant, or nothing would work without a second command.
            contexts.current.get_or_insert_with(|| name.clone());
            Say::ContextAdded { name }
        }
        ContextCommand::Rm { name } => {
            contexts.contexts.remove(&name).ok_or_else(|| unknown(&name))?;
            contexts.current = contexts.current.filter(|current| *current != name);
            Say::ContextRemoved { name }
        }
    };
    contexts.save(&path).map_err(|error| file_failure(&error))?;
    session.out.note(&said);
    // A program is told what there is now; people were told what was done.
    if session.out.format.is_json() { session.list(&list_view(&contexts)) } else { Ok(Exit::Done) }
}

fn made(args: AddArgs, global: &Global) -> Result<Context, Failure> {
    let missing = |missing| Failure::NoContext { missing };
    // Paths in the file are relative to the file; those of a command line to where it was typed.
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    if global.endpoint.is_empty() {
        return Err(missing("--endpoint"));
    }
    Ok(Context {
        cluster: global.cluster.clone().ok_or(missing("--cluster"))?,
        label: args.label,
        endpoints: global.endpoint.clone(),
        admin_endpoints: global.admin_endpoint.clone(),
        ca: absolute(global.ca.clone().ok_or(missing("--ca"))?),
        cert: absolute(global.cert.clone().ok_or(missing("--cert"))?),
        key: absolute(global.key.clone().ok_or(missing("--key"))?),
        admin_cert: args.admin_cert.map(absolute),
        admin_key: args.admin_key.map(absolute),
    })
}

fn value(name: &str, context: &Context) -> Value {
    json!({
        "name": name,
        "cluster": context.cluster,
        "label": context.label,
        "endpoints": context.endpoints,
        "admin_endpoints": context.admin_endpoints,
        "ca": context.ca,
        "cert": context.cert,
        "key": context.key,
        "admin_cert": context.admin_cert,
        "admin_key": context.admin_key,
    })
}

fn list_view(contexts: &Contexts) -> Report {
    let current = |name: &String| contexts.current.as_ref() == Some(name);
    let rows = contexts.contexts.iter().map(|(name, context)| {
        vec![
            if current(name) { format!("● {name}") } else { format!("  {name}") }.into(),
            context.label.as_str().into(),
            context.cluster.as_str().into(),
            context.endpoints.join(", ").into(),
            context.admin_endpoints.join(", ").into(),
        ]
    });
    Report {
        kind: "context_list",
        head: Map::from_iter([("current".to_owned(), contexts.current.clone().into())]),
        items: Items::Many("contexts", contexts.contexts.iter().map(|(name, context)| value(name, context)).collect()),
        table: Table::new(
            vec![
                Column::of(Word::Context),
                Column::of(Word::Label),
                Column::of(Word::Cluster),
                Column::of(Word::Endpoints),
                Column::of(Word::AdminEndpoints).wide(),
            ],
            rows.collect(),
        ),
    }
}

fn one_view(lang: Lang, name: &str, context: &Context) -> Report {
    let mut fields: Vec<(Word, Cell)> = vec![
        (Word::Context, name.into()),
        (Word::Label, context.label.as_str().into()),
        (Word::Cluster, context.cluster.as_str().into()),
        (Word::Endpoints, context.endpoints.join(", ").into()),
        (Word::AdminEndpoints, context.admin_endpoints.join(", ").into()),
        (Word::Roots, context.ca.display().to_string().into()),
        (Word::Certificate, context.cert.display().to_string().into()),
        (Word::Key, context.key.display().to_string().into()),
    ];
    if let (Some(cert), Some(key)) = (&context.admin_cert, &context.admin_key) {
        fields.push((Word::AdminCertificate, cert.display().to_string().into()));
        fields.push((Word::AdminKey, key.display().to_string().into()));
    }
    Report {
        kind: "context",
        head: Map::new(),
        items: Items::One("context", value(name, context)),
        table: Table::pairs(lang, fields),
    }
}
