//! The watch: the audit trail followed from an index, without gap or repetition.

use super::{PublicServices, caller, convert, refuse};
use crate::gateway::Gateway;
use futures_util::Stream;
use plantao_domain::audit::{Action, AuditEntry, Module};
use plantao_domain::rows::{self, AuditFrom};
use plantao_domain::{Actor, UnitId};
use plantao_proto::public::v1;
use plantao_proto::public::v1::watch_response::{Event, Progress, Started};
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Entries read at once.
const PAGE: usize = 256;
/// When nothing happens, the watcher hears that after this time.
const QUIET: Duration = Duration::from_secs(10);

#[tonic::async_trait]
impl v1::change_service_server::ChangeService for PublicServices {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let actor = self.0.caller(&caller(&request)?.identity).await.map_err(refuse)?;
        let message = request.into_inner();
        let unit = convert::optional(&message.unit_id, |t| convert::unit_id("unit_id", t)).map_err(refuse)?;
        let modules = convert::module_filters(&message.modules).map_err(refuse)?;
        let applied = self.0.consensus().progress().index;
        let from_index = if message.from_index == 0 { applied + 1 } else { message.from_index };
        let (sender, stream) = mpsc::channel(64);
        let watcher = Watcher { gateway: self.0.clone(), actor, unit, modules, sender };
        tokio::spawn(watcher.run(from_index));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

struct Watcher {
    gateway: Gateway,
    actor: Actor,
    unit: Option<UnitId>,
    modules: Vec<Module>,
    sender: mpsc::Sender<Result<v1::WatchResponse, Status>>,
}

impl Watcher {
    async fn send(&self, event: Event) -> bool {
        self.sender.send(Ok(v1::WatchResponse { event: Some(event) })).await.is_ok()
    }

    fn keeps(&self, entry: &AuditEntry) -> bool {
        entry.refusal == 0
            && entry.action != Action::Read
            && self.unit.is_none_or(|unit| entry.unit == Some(unit))
            && (self.modules.is_empty() || self.modules.contains(&entry.module))
            && self.gateway.may_see(&self.actor, entry)
    }

    /// The trail is kept for ever so far, so no index is ever compacted.
    async fn run(self, from_index: u64) {
        let mut progress = self.gateway.consensus().watch_progress();
        if !self.send(Event::Started(Started { from_index })).await {
            return;
        }
        let mut from = AuditFrom::Index(from_index);
        loop {
            // Only what is applied in full: the trail of an index is written with it, in one batch.
            let applied = progress.borrow_and_update().index;
            loop {
                let page = match rows::audit(&**self.gateway.state(), from, applied.saturating_add(1), PAGE) {
                    Ok(page) => page,
                    Err(fault) => {
                        drop(self.sender.send(Err(refuse(fault.into()))).await);
                        return;
                    }
                };
                for (_, entry) in page.iter().filter(|(_, entry)| self.keeps(entry)) {
                    if !self.send(Event::Change(convert::change(entry))).await {
                        return;
                    }
                }
                let Some((place, _)) = page.last() else { break };
                from = AuditFrom::After(*place);
            }
            tokio::select! {
                () = self.sender.closed() => return,
                changed = progress.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(QUIET) => {
                    if !self.send(Event::Progress(Progress { index: applied })).await {
                        return;
                    }
                }
            }
        }
    }
}
