//! Whether the network went on without this node: what it hears of newer incarnations, from those that refuse it and from
//! those that call it. What follows is the application's: it marks the directory and ends the process (decision 0018).
//!
//! ```text
//! start ─► Hello to every member of the state, 1 s at most ─► one refuses for a newer incarnation: no Raft, no services
//! later ─► Hello of every second; every call that comes in
//! ```
//! The first one comes before Raft, because two old members could otherwise elect each other before they ask the third. Who
//! cannot be reached cannot be asked: old members that are kept from the recovered network know nothing of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tonic::Status;
use tonic::metadata::MetadataValue;

use super::convert::Affiliation;
use super::hello;
use crate::transport::PeerChannels;

/// Metadata of a refusal: the incarnation of the node that refuses.
const KEY: &str = "plantao-incarnation";
/// How long a start waits for members that are slow or gone. Those that start at the same moment do not answer yet.
const ASK_TIME_MAX: Duration = Duration::from_secs(1);

/// The newest incarnation that was heard of. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Incarnations(Arc<watch::Sender<u32>>);

impl Incarnations {
    /// Nothing was heard yet.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// A node of our network, by its certificate and its header, is at this incarnation.
    pub fn note(&self, incarnation: u32) {
        self.0.send_if_modified(|known| {
            let news = incarnation > *known;
            *known = incarnation.max(*known);
            news
        });
    }

    /// A peer did not serve a call of ours: perhaps because it is at a newer incarnation.
    pub fn learn(&self, refusal: &Status) {
        if let Some(incarnation) = told_in(refusal) {
            self.note(incarnation);
        }
    }

    /// The newest; 0 before anything was heard.
    pub fn watch(&self) -> watch::Receiver<u32> {
        self.0.subscribe()
    }
}

impl Default for Incarnations {
    fn default() -> Self {
        Self::new()
    }
}

/// Says in a refusal at which incarnation the refusing node is.
pub fn tell(refusal: &mut Status, incarnation: u32) {
    refusal.metadata_mut().insert(KEY, MetadataValue::from(incarnation));
}

fn told_in(refusal: &Status) -> Option<u32> {
    refusal.metadata().get(KEY)?.to_str().ok()?.parse().ok()
}

/// Asks these nodes at these addresses; the newest incarnation that one of them told, if it is newer than ours. Takes one
/// second at most, and less once all have answered or cannot be reached.
pub async fn ask(
    members: Vec<(u64, String)>,
    us: Affiliation,
    newest_level: u32,
    channels: &PeerChannels,
) -> Option<u32> {
    let answers = hello::ask_all(members, us, newest_level, channels, ASK_TIME_MAX).await;
    let told = answers.into_iter().filter_map(|(_, answer)| told_in(&answer.err()?));
    told.filter(|told| *told > us.incarnation).max()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_its_incarnation_and_the_newest_stays() {
        let heard = Incarnations::new();
        let mut refusal = Status::failed_precondition("older");
        heard.learn(&refusal);
        assert_eq!(*heard.watch().borrow(), 0);
        tell(&mut refusal, 3);
        heard.learn(&refusal);
        heard.note(2);
        assert_eq!(*heard.watch().borrow(), 3);
        refusal.metadata_mut().insert(KEY, MetadataValue::from_static("-4"));
        assert_eq!(told_in(&refusal), None);
    }
}
