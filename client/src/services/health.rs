//! What one node says of its own well-being, and its events followed across lost connections. As the rest of the admin
//! plane: each call asks one node, once.

use crate::connect::AdminNode;
use crate::error::Error;
use plantao_proto::admin::v1;
use plantao_proto::admin::v1::health_service_client::HealthServiceClient;
use std::future::Future;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tonic::{Request, Response, Status, Streaming};

/// Five synced writes on a disk that is dying take their time.
const DIAGNOSE_TIMEOUT: Duration = Duration::from_secs(30);
/// A node speaks at least every 10 s; after this the connection counts as lost.
const SILENCE_MAX: Duration = Duration::from_secs(25);
/// Between two tries to reach a node whose events are followed.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

impl AdminNode {
    /// Whether this node does its work.
    pub async fn get_health(&self) -> Result<v1::GetHealthResponse, Error> {
        let patience = self.policy().attempt_timeout;
        let mut client = HealthServiceClient::new(self.channel());
        self.once(patience, client.get_health(timed(v1::GetHealthRequest {}, patience))).await
    }

    /// What goes wrong around this node.
    pub async fn diagnose(&self) -> Result<v1::DiagnoseResponse, Error> {
        let mut client = HealthServiceClient::new(self.channel());
        self.once(DIAGNOSE_TIMEOUT, client.diagnose(timed(v1::DiagnoseRequest {}, DIAGNOSE_TIMEOUT))).await
    }

    /// The events of this node: those that are kept, and with `follow` those that come.
    pub fn events(&self, follow: bool) -> EventFollower {
        EventFollower { node: self.clone(), follow, started_ms: 0, after: 0, stream: None, ended: false, lost: false }
    }

    async fn once<T>(
        &self,
        patience: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        let answer = timeout(patience + Duration::from_millis(100), call).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        answer.map(Response::into_inner).map_err(|status| self.error(&status))
    }
}

fn timed<M>(message: M, patience: Duration) -> Request<M> {
    let mut request = Request::new(message);
    request.set_timeout(patience);
    request
}

/// What following events tells.
#[derive(Debug)]
pub enum Followed {
    /// Whose events follow, as of this connection.
    Of(v1::EventsOf),
    /// One of them; each is told once, in order.
    Event(Box<v1::Event>),
    /// The node does not answer; while events are followed, it is tried again for ever.
    Lost(Error),
}

/// The events of one node. A node that starts anew is told from its first event on.
#[derive(Debug)]
pub struct EventFollower {
    node: AdminNode,
    follow: bool,
    started_ms: i64,
    after: u64,
    stream: Option<Streaming<v1::WatchEventsResponse>>,
    ended: bool,
    /// The loss was told, and nothing has come since.
    lost: bool,
}

impl EventFollower {
    /// `host:port`.
    pub fn address(&self) -> &str {
        self.node.address()
    }

    /// The next thing to tell; `None`: no more, which never comes while events are followed. Not cancel safe: a call that
    /// is dropped may lose what it was about to give.
    pub async fn next(&mut self) -> Option<Followed> {
        loop {
            if self.ended {
                return None;
            }
            match self.advance().await {
                Ok(Some(told)) => return Some(told),
                Ok(None) => {}
                Err(status) => {
                    self.stream = None;
                    self.ended = !self.follow;
                    let first = !std::mem::replace(&mut self.lost, true);
                    if self.follow && !first {
                        sleep(RETRY_PAUSE).await;
                    }
                    if first {
                        return Some(Followed::Lost(self.node.error(&status)));
                    }
                }
            }
        }
    }

    async fn advance(&mut self) -> Result<Option<Followed>, Status> {
        let silent = |_| Status::unavailable("the node fell silent");
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let request = v1::WatchEventsRequest {
                    after_sequence: self.after,
                    started_ms: self.started_ms,
                    follow: self.follow,
                };
                let mut client = HealthServiceClient::new(self.node.channel());
                let patience = self.node.policy().attempt_timeout;
                let opened = timeout(patience, client.watch_events(request)).await.map_err(silent)??;
                self.stream.insert(opened.into_inner())
            }
        };
        let Some(message) = timeout(SILENCE_MAX, stream.message()).await.map_err(silent)?? else {
            if self.follow {
                return Err(Status::unavailable("the node ended the stream"));
            }
            self.ended = true;
            return Ok(None);
        };
        Ok(self.accept(message))
    }

    fn accept(&mut self, message: v1::WatchEventsResponse) -> Option<Followed> {
        let again = std::mem::replace(&mut self.lost, false);
        if let Some(of) = message.of {
            let other = of.started_ms != self.started_ms;
            if other {
                (self.started_ms, self.after) = (of.started_ms, 0);
            }
            // A sign of life alone is nothing to tell.
            return (other || again).then_some(Followed::Of(of));
        }
        let event = message.event.filter(|event| event.sequence > self.after)?;
        self.after = event.sequence;
        Some(Followed::Event(Box::new(event)))
    }
}
