//! Documents for programs: English snake_case keys, RFC 3339 times in UTC, the same in every language.
//!
//! `-o json` is one document; `-o jsonl` one line per thing, with the facts about the whole answer in each.

use super::{Items, Report, SCHEMA_VERSION};
use crate::escape;
use crate::failure::Failure;
use crate::help;
use crate::text::Lang;
use crate::when;
use plantao_proto::public::v1::{AsOf, Consistency};
use serde_json::{Map, Value, json};

fn opening(report: &Report) -> Map<String, Value> {
    let mut document = Map::new();
    document.insert("schema_version".to_owned(), SCHEMA_VERSION.into());
    document.insert("kind".to_owned(), report.kind.into());
    document.extend(report.head.clone());
    document
}

/// The whole report, indented, with a line break at the end.
pub(crate) fn document(report: &Report) -> String {
    let mut document = opening(report);
    match &report.items {
        Items::One(key, value) => document.insert((*key).to_owned(), value.clone()),
        Items::Many(key, values) => document.insert((*key).to_owned(), values.clone().into()),
    };
    let text = serde_json::to_string_pretty(&document).expect("a map of strings serialises");
    // Its own line breaks are the only control characters that an indented document may have.
    text.split('\n').map(|line| escape::json(line) + "\n").collect()
}

/// One line for each thing of the report.
pub(crate) fn lines(report: &Report) -> String {
    let line = |key: &str, value: &Value| {
        let mut document = opening(report);
        document.insert(key.to_owned(), value.clone());
        escape::json(&Value::Object(document).to_string()) + "\n"
    };
    match &report.items {
        Items::One(key, value) => line(key, value),
        Items::Many(key, values) => {
            // `patients` holds many; a line holds a `patient`, and of `entries` an `entry`.
            let key = match key.strip_suffix("ies") {
                Some(stem) => format!("{stem}y"),
                None => key.strip_suffix('s').unwrap_or(key).to_owned(),
            };
            values.iter().map(|value| line(&key, value)).collect()
        }
    }
}

/// A failure as one line; the last that a failing command writes to the standard error.
pub(crate) fn failure(failure: &Failure) -> String {
    let told = Lang::En.tell(failure);
    let mut document = json!({
        "schema_version": SCHEMA_VERSION,
        "message_type": "exit_error",
        "exit_code": failure.exit().code(),
        "code": format!("PLT-{:04}", failure.code()),
        "message": told.what,
        "why": told.why,
        "help": told.now,
    });
    if let Failure::Unknown { request_id, not_after_ms, .. } = failure {
        document["request_id"] = request_id.as_str().into();
        document["not_after"] = when::rfc3339(*not_after_ms).into();
    }
    escape::json(&document.to_string())
}

/// A command line that cannot be understood, in the same form.
pub(crate) fn usage(error: &clap::Error) -> String {
    let text = error.render().to_string();
    // What is missing stands below the sentence, and usage below an empty line.
    let what = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let document = json!({
        "schema_version": SCHEMA_VERSION,
        "message_type": "exit_error",
        "exit_code": help::USAGE_EXIT.code(),
        "code": "PLT-9033",
        "message": what.strip_prefix("error: ").unwrap_or("the command is not complete"),
        "why": Value::Null,
        "help": "see the help of the command: --help",
    });
    escape::json(&document.to_string())
}

/// What an answer reflects.
pub(crate) fn as_of(as_of: Option<&AsOf>) -> Value {
    as_of.map_or(Value::Null, |as_of| {
        json!({
            "index": as_of.index,
            "time": when::rfc3339(as_of.time_ms),
            "consistency": match as_of.consistency() {
                Consistency::Local => "local",
                Consistency::Linearizable | Consistency::Unspecified => "linearizable",
            },
            "node_id": as_of.node_id,
            "staleness_ms": as_of.staleness_ms,
        })
    })
}

/// The head that every list and every read has.
pub(crate) fn list_head(at: Option<&AsOf>) -> Map<String, Value> {
    Map::from_iter([("as_of".to_owned(), as_of(at))])
}
