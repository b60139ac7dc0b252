//! `plantao watch`: changes as they happen, one line each, until Ctrl-C. The client resumes it after a lost connection.

use crate::cmd::audit::{ModuleArg, module_name};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ids;
use crate::output::{Format, SCHEMA_VERSION};
use crate::session::Session;
use crate::text::{Lang, Say};
use crate::when::{self, Zone};
use clap::Args;
use plantao_client::services::{WatchError, WatchEvent};
use plantao_proto::public::v1::{Change, Module, WatchRequest};
use serde_json::json;
use tokio_stream::StreamExt;

/// What.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// From this log index on (default: only what comes from now on)
    #[arg(long, value_name = "INDEX", default_value_t = 0, hide_default_value = true)]
    from: u64,
    /// Only of this unit
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,
    /// Only of this module; may be repeated
    #[arg(long, value_enum, value_name = "MODULE", value_delimiter = ',')]
    module: Vec<ModuleArg>,
    /// End after this many changes
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Runs it.
pub(crate) async fn run(args: WatchArgs, session: &Session) -> Result<Exit, Failure> {
    let gateway = session.cluster()?;
    let unit = ids::unit_option(&gateway, args.unit.as_deref()).await?;
    let request = WatchRequest {
        from_index: args.from,
        unit_id: unit.map(|unit| unit.to_wire()).unwrap_or_default(),
        modules: args.module.into_iter().map(|module| Module::from(module).into()).collect(),
    };
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut events = std::pin::pin!(gateway.cluster().watch(request));
    while left > 0 {
        let event = match events.next().await {
            Some(event) => event.map_err(failure)?,
            None => break,
        };
        match event {
            WatchEvent::Started { from_index } | WatchEvent::Resumed { from_index } => {
                session.out.note(&Say::Watching { from: from_index });
            }
            WatchEvent::Progress { .. } => {}
            WatchEvent::Change(change) => {
                session.out.raw(line(session.out.format, session.out.lang, &session.zone, &change).as_bytes())?;
                left -= 1;
            }
        }
    }
    Ok(Exit::Done)
}

fn failure(error: WatchError) -> Failure {
    match error {
        WatchError::Compacted { list_from_index } => Failure::Compacted { list_from_index },
        WatchError::Lost(error) => Failure::from(error),
    }
}

/// A change as one line, whatever the format: a stream has no end to close a document with.
fn line(format: Format, lang: Lang, zone: &Zone, change: &Change) -> String {
    let patient = ids::text(&change.patient_id);
    if format.is_json() {
        let document = json!({
            "schema_version": SCHEMA_VERSION,
            "kind": "change",
            "index": change.index,
            "at": when::rfc3339(change.at_ms),
            "module": module_name(change.module()),
            "action": change.action,
            "object_kind": change.object_kind,
            "object_id": ids::text(&change.object_id),
            "version": change.version,
            "unit_id": ids::text(&change.unit_id),
            "patient_id": patient,
        });
        return crate::escape::json(&document.to_string()) + "\n";
    }
    let fields = [
        change.index.to_string(),
        zone.second(change.at_ms, lang),
        module_name(change.module()).to_owned(),
        change.action.clone(),
        change.object_kind.clone(),
        ids::text(&change.object_id),
        format!("v{}", change.version),
    ];
    let separator = if format == Format::Tsv { "\t" } else { "  " };
    fields.map(|field| crate::escape::shown(&field)).join(separator) + "\n"
}

#[cfg(test)]
pub(crate) mod samples {
    //! Fixed changes for golden files.
    use super::*;
    use crate::golden::{MOMENT, id, zone};

    pub(crate) fn lines() -> String {
        let change = Change {
            index: 42,
            at_ms: MOMENT,
            module: Module::Agenda.into(),
            action: "book\u{1b}".into(),
            object_kind: "appointment".into(),
            object_id: id(3),
            version: 1,
            unit_id: id(1),
            patient_id: id(9),
        };
        [(Format::Table, Lang::PtBr), (Format::Table, Lang::En), (Format::Tsv, Lang::En), (Format::Jsonl, Lang::PtBr)]
            .map(|(format, lang)| line(format, lang, &zone(), &change))
            .concat()
    }
}
