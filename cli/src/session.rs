//! What one run of the tool has: its output, its clock's zone, the settings of the network, and the ways to change
//! something safely.

use crate::args::{Global, Write};
use crate::context;
use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::gateway::{Gateway, Header};
use crate::ids;
use crate::input;
use crate::output::{Items, Out, Report, Table};
use crate::text::{Named, Say, Word};
use crate::when::{self, Zone};
use plantao_client::id::{Id, LabelKind, id_for_label};
use plantao_client::retry::RetryPolicy;
use plantao_client::{AdminNode, Cluster, ConnectOptions, Written};
use plantao_proto::public::v1::{Consistency, ReadOptions};
use serde_json::{Map, json};
use std::time::Duration;

/// Life of a request that a script may repeat. The cluster grants ten minutes; the rest is for clocks that differ.
const REPEATABLE_MS: i64 = 5 * 60 * 1_000;

/// One run.
#[derive(Debug)]
pub(crate) struct Session {
    /// Where results go.
    pub(crate) out: Out,
    /// For times shown and given.
    pub(crate) zone: Zone,
    /// As given on the command line and in the environment.
    pub(crate) global: Global,
}

/// What a write was about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    /// Noun and verb, as `agenda.book`.
    pub(crate) action: &'static str,
    /// The object.
    pub(crate) object: Id,
}

impl Header {
    /// Id of an object that this request makes: the caller's, or one that follows from the request id, so that a
    /// repetition means the same object.
    pub(crate) fn new_object(&self, what: Word, kind: LabelKind, given: Option<&str>) -> Result<Id, Failure> {
        match given {
            Some(text) => ids::direct(what, kind, text),
            None => Ok(id_for_label(kind, &format!("request {}", self.request_id))),
        }
    }
}

impl Session {
    /// The cluster that flags, environment and contexts name.
    pub(crate) fn cluster(&self) -> Result<Gateway, Failure> {
        let settings = context::resolve(&self.global)?;
        let cluster = open(&settings.context, &self.options())?;
        let staleness_ms_max = self.global.staleness_max.map_or(0, |seconds| seconds.saturating_mul(1_000));
        let read = if self.global.stale {
            ReadOptions { consistency: Consistency::Local.into(), staleness_ms_max }
        } else {
            ReadOptions { consistency: Consistency::Linearizable.into(), staleness_ms_max: 0 }
        };
        Ok(Gateway::new(cluster, read))
    }

    /// The cluster with as many connections to each endpoint as `connections` says for their count.
    pub(crate) fn cluster_with(&self, connections: impl FnOnce(usize) -> usize) -> Result<Cluster, Failure> {
        let settings = context::resolve(&self.global)?;
        let connections = connections(settings.context.endpoints.len());
        open(&settings.context, &ConnectOptions { connections, ..self.options() })
    }

    /// The admin plane of every node of the context, and the context's label.
    pub(crate) fn admin(&self) -> Result<(Cluster, String), Failure> {
        let settings = context::resolve(&self.global)?;
        if settings.context.admin_endpoints.is_empty() {
            return Err(Failure::NoContext { missing: "admin_endpoints" });
        }
        let label = if settings.context.label.is_empty() {
            settings.context.cluster.clone()
        } else {
            settings.context.label.clone()
        };
        Ok((open(&settings.context, &self.options())?, label))
    }

    /// The nodes to ask, each for itself.
    pub(crate) fn nodes(cluster: &Cluster) -> Vec<AdminNode> {
        cluster.admin_nodes().to_vec()
    }

    fn options(&self) -> ConnectOptions {
        let patience = Duration::from_secs(self.global.timeout);
        let default = RetryPolicy::default();
        let retry = RetryPolicy {
            write_lifetime: patience,
            read_deadline: patience,
            attempt_timeout: default.attempt_timeout.min(patience),
            ..default
        };
        ConnectOptions { retry, ..ConnectOptions::default() }
    }

    /// The header of a write. Without a given id the request lives as long as this command waits, so that afterwards
    /// a look at the object is the whole truth; with one it lives longer, so that it can be repeated.
    pub(crate) fn header(&self, write: &Write) -> Result<Header, Failure> {
        let now_ms = when::now_ms();
        let patience = Duration::from_secs(self.global.timeout);
        let given = write.not_after.as_deref().map(|text| self.zone.parse(text)).transpose()?;
        let header = match write.request_id {
            None => {
                let wait_ms = i64::try_from(patience.as_millis()).unwrap_or(REPEATABLE_MS);
                let request_id = Id::random().map_err(|error| Failure::Work { why: chain(&error) })?;
                Header { request_id, not_after_ms: given.unwrap_or(now_ms + wait_ms), patience: None }
            }
            Some(request_id) => Header {
                request_id,
                not_after_ms: given.unwrap_or(made_ms(request_id).unwrap_or(now_ms) + REPEATABLE_MS),
                patience: Some(patience),
            },
        };
        if header.not_after_ms <= now_ms {
            return Err(Failure::RequestOver { request_id: header.request_id.to_string() });
        }
        Ok(header)
    }

    /// Prints a list or an object.
    pub(crate) fn list(&self, report: &Report) -> Result<Exit, Failure> {
        if matches!(&report.items, Items::Many(_, items) if items.is_empty()) && !self.out.format.is_json() {
            self.out.note(&Say::NothingFound);
        }
        self.out.report(report)?;
        Ok(Exit::Done)
    }

    /// Prints what became of a write. A program gets a document for a refusal too; a person the message alone.
    pub(crate) fn written(
        &self,
        change: Change,
        header: &Header,
        written: Result<Written, Failure>,
    ) -> Result<Exit, Failure> {
        let report = written_view(self, change, header, &written);
        match &written {
            Ok(_) => self.out.report(&report)?,
            Err(Failure::Rejected(_)) if self.out.format.is_json() => self.out.report(&report)?,
            Err(_) => {}
        }
        let written = written?;
        match written.conflict {
            Some(held) => Err(Failure::Conflict { holder: held.holder.to_string() }),
            None => Ok(Exit::Done),
        }
    }

    /// Goes on only with a yes: from `--yes`, or from a person at a terminal.
    pub(crate) fn confirm(&self, yes: bool, question: &Say) -> Result<(), Failure> {
        if yes {
            return Ok(());
        }
        if self.global.no_input || !input::interactive() {
            return Err(Failure::NeedsConfirmation { flag: "--yes" });
        }
        if input::ask(&self.out.lang.say(question))? { Ok(()) } else { Err(Failure::Declined) }
    }

    /// For what cannot be undone: `--confirm` with the name of what changes, or the name typed at a terminal.
    pub(crate) fn confirm_name(&self, given: Option<&str>, of: Named, name: &str, label: &str) -> Result<(), Failure> {
        let typed = match given {
            Some(given) => given.to_owned(),
            None if self.global.no_input || !input::interactive() => {
                return Err(Failure::NeedsConfirmation { flag: "--confirm" });
            }
            None => {
                let question = Say::TypeName { of, name: name.to_owned(), label: label.to_owned() };
                input::line(&self.out.lang.say(&question))?
            }
        };
        match of {
            _ if typed == name => Ok(()),
            Named::Node => Err(Failure::OtherName { expected: name.to_owned(), actual: typed }),
            Named::Network => Err(Failure::OtherNetwork { expected: name.to_owned(), actual: typed }),
        }
    }
}

fn open(context: &plantao_client::config::Context, options: &ConnectOptions) -> Result<Cluster, Failure> {
    Cluster::open(context, options).map_err(|error| Failure::Credentials { why: chain(&error) })
}

/// When a version 7 UUID was made: its first 48 bits are milliseconds. A script that repeats it needs no second value.
fn made_ms(id: Id) -> Option<i64> {
    let bytes = id.as_bytes();
    (bytes[6] >> 4 == 7 && bytes[8] >> 6 == 2).then(|| bytes[..6].iter().fold(0, |ms, byte| ms << 8 | i64::from(*byte)))
}

fn written_view(session: &Session, change: Change, header: &Header, written: &Result<Written, Failure>) -> Report {
    let lang = session.out.lang;
    let mut value = json!({
        "action": change.action,
        "object_id": change.object.to_string(),
        "request_id": header.request_id.to_string(),
        "not_after": when::rfc3339(header.not_after_ms),
    });
    let mut fields = Vec::new();
    match written {
        Ok(written) => {
            value["outcome"] = if written.conflict.is_some() { "conflict".into() } else { "confirmed".into() };
            value["version"] = written.version.into();
            value["changed"] = written.changed.into();
            value["index"] = written.index.into();
            value["holder_appointment_id"] = written.conflict.map(|held| held.holder.to_string()).into();
            let word = if written.changed { Word::Confirmed } else { Word::AlreadySo };
            fields.push((Word::Outcome, lang.word(word).into()));
            fields.push((Word::Id, change.object.to_string().into()));
            fields.push((Word::Version, written.version.to_string().into()));
            fields.push((Word::Request, header.request_id.to_string().into()));
        }
        Err(Failure::Rejected(refusal)) => {
            value["outcome"] = "rejected".into();
            value["code"] = format!("PLT-{:04}", refusal.code).into();
            value["message"] = refusal.message.as_str().into();
            value["index"] = refusal.index.into();
            value["current_version"] = refusal.current_version.into();
            value["existing_patient_id"] = refusal.existing_patient.map(|id| id.to_string()).into();
            value["holder_appointment_id"] = refusal.held.map(|held| held.holder.to_string()).into();
        }
        Err(_) => {}
    }
    Report { kind: "write", head: Map::new(), items: Items::One("write", value), table: Table::pairs(lang, fields) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// A script repeats with the id alone: the time limit, part of the header, must come out the same each time.
    #[test]
    fn a_version_7_uuid_brings_its_own_time() {
        let id: Id = "019abb1e-7400-7abc-8def-0123456789ab".parse().unwrap();
        assert_eq!(made_ms(id), Some(0x019a_bb1e_7400));
        assert_eq!(made_ms("875ac127-ec8a-41b8-bb68-0c2161c61913".parse().unwrap()), None);
    }

    #[test]
    fn the_object_follows_from_the_request() {
        let header = |id: &str| Header { request_id: id.parse().unwrap(), not_after_ms: 0, patience: None };
        let one = header("019abb1e-7400-7abc-8def-0123456789ab");
        let object = |header: &Header| header.new_object(Word::Record, LabelKind::Record, None).unwrap();
        assert_eq!(object(&one), object(&one));
        assert_ne!(object(&one), object(&header("019abb1e-7400-7abc-8def-0123456789ac")));
        assert_ne!(object(&one), one.request_id);
    }
}
