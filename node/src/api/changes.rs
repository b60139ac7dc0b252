//! The watch: the audit trail followed from an index, without gap or repetition.

use super::{PublicServices, caller, convert, refuse};
use crate::gateway::{Following, Gateway};
use futures_util::Stream;
use plantao_proto::public::v1;
use plantao_proto::public::v1::watch_response::{Event, Progress, Started};
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

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
        let following = self.0.follow(actor, unit, modules, from_index);
        let watcher = Watcher { gateway: self.0.clone(), following, sender };
        tokio::spawn(watcher.run(from_index));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

struct Watcher {
    gateway: Gateway,
    following: Following,
    sender: mpsc::Sender<Result<v1::WatchResponse, Status>>,
}

impl Watcher {
    async fn send(&self, event: Event) -> bool {
        self.sender.send(Ok(v1::WatchResponse { event: Some(event) })).await.is_ok()
    }

    async fn run(mut self, from_index: u64) {
        let mut progress = self.gateway.consensus().watch_progress();
        if !self.send(Event::Started(Started { from_index })).await {
            return;
        }
        loop {
            let applied = progress.borrow_and_update().index;
            loop {
                let changes = match self.following.next(applied) {
                    Ok(Some(changes)) => changes,
                    Ok(None) => break,
                    Err(error) => {
                        drop(self.sender.send(Err(refuse(error))).await);
                        return;
                    }
                };
                for entry in &changes {
                    if !self.send(Event::Change(convert::change(entry))).await {
                        return;
                    }
                }
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
