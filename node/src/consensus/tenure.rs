//! How this node came to lead: seen from outside of openraft, in its metrics and in the messages of leaders. Nothing is
//! decided here, and nothing waits for it.
//!
//! ```text
//! last message of the old leader ─────► stands for election ─────► first entry of the new term committed
//!                               detected                       gap
//! asked to take over ────────────────────────────────────────────►
//!                               gap of a planned one
//! ```
//! All of it is on this node's monotonic clock: what another node saw may differ by the time of a message.

use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use tokio::time::{Instant, sleep};

use super::handle::Consensus;
use super::types::Metrics;

/// A term in which this node leads, from its first committed entry on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tenure {
    /// Which.
    pub term: u64,
    /// Who led before, as far as this node saw since it started; itself, when it won again.
    pub from: Option<u64>,
    /// The leader before asked it to take over.
    pub handed_over: bool,
    /// From the last message of the leader before until this node was seen to stand for election.
    pub detected: Option<Duration>,
    /// From that message, or from the request to take over, until an entry of the term was committed.
    pub gap: Option<Duration>,
}

/// openraft tells of every batch of entries; whoever only waits for a change of state looks no more often than this, or
/// it costs a wakeup for each of them.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A request of a leader to take over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Asked {
    /// The leader's term.
    pub(super) term: u64,
    /// When it came.
    pub(super) at: Instant,
}

/// What openraft says at one moment, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Seen {
    term: u64,
    leader: Option<u64>,
    stands: bool,
    /// It leads, and an entry of its term is committed.
    leads: bool,
}

impl Seen {
    fn of(metrics: &Metrics) -> Self {
        let committed = metrics.cluster_committed.as_ref().map(|id| id.leader_id.term);
        Self {
            term: metrics.current_term,
            leader: metrics.current_leader,
            stands: metrics.state == ServerState::Candidate,
            leads: metrics.state == ServerState::Leader && committed == Some(metrics.current_term),
        }
    }
}

/// What is remembered between two looks.
#[derive(Clone, Copy, Default, Debug)]
struct Story {
    /// The last leader that was seen, and its term.
    leader: Option<(u64, u64)>,
    /// Since when this node has stood for election without a leader.
    stood: Option<Instant>,
    /// The last term that was told.
    told: Option<u64>,
}

impl Story {
    /// `heard` is the last message of another node's leader, `asked` the last request to take over.
    fn look(
        &mut self,
        node: u64,
        seen: Seen,
        now: Instant,
        heard: Option<Instant>,
        asked: Option<Asked>,
    ) -> Option<Tenure> {
        if let Some(leader) = seen.leader.filter(|leader| *leader != node) {
            *self = Self { leader: Some((leader, seen.term)), stood: None, ..*self };
        } else if seen.stands {
            self.stood.get_or_insert(now);
        }
        if !seen.leads || self.told == Some(seen.term) {
            return None;
        }
        let before = self.leader;
        // Its own messages reach it from nowhere: after a term of its own there is nothing to measure from.
        let from_other = before.filter(|(leader, _)| *leader != node);
        let asked = asked.filter(|asked| from_other.is_some_and(|(_, term)| term == asked.term));
        let heard = heard.filter(|_| from_other.is_some());
        let tenure = Tenure {
            term: seen.term,
            from: before.map(|(leader, _)| leader),
            handed_over: asked.is_some(),
            detected: heard
                .filter(|_| asked.is_none())
                .map(|heard| self.stood.unwrap_or(now).saturating_duration_since(heard)),
            gap: asked.map(|asked| asked.at).or(heard).map(|since| now.saturating_duration_since(since)),
        };
        *self = Self { leader: Some((node, seen.term)), stood: None, told: Some(seen.term) };
        Some(tenure)
    }
}

/// Tells of each term in which this node leads. Begin with it as soon as the node runs: what was before is not known.
pub struct Tenures {
    consensus: Consensus,
    metrics: openraft::type_config::alias::WatchReceiverOf<super::types::TypeConfig, Metrics>,
    story: Story,
}

impl Tenures {
    /// From now on.
    pub fn watch(consensus: Consensus) -> Self {
        let metrics = consensus.0.raft.metrics();
        Self { consensus, metrics, story: Story::default() }
    }

    /// The next term in which this node leads; `None` once Raft has stopped. Cancel safe.
    pub async fn next(&mut self) -> Option<Tenure> {
        loop {
            let seen = Seen::of(&self.metrics.borrow_watched());
            let (heard, asked) = (self.consensus.leader_heard(), self.consensus.asked_to_lead());
            let node = self.consensus.node();
            if let Some(tenure) = self.story.look(node, seen, Instant::now(), heard, asked) {
                return Some(tenure);
            }
            self.metrics.changed().await.ok()?;
            sleep(LOOK_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLLOWS: Seen = Seen { term: 4, leader: Some(2), stands: false, leads: false };
    const STANDS: Seen = Seen { term: 5, leader: None, stands: true, leads: false };
    const LEADS: Seen = Seen { term: 5, leader: Some(1), stands: false, leads: true };

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn an_election_is_measured_from_the_last_message() {
        let start = Instant::now();
        let heard = Some(after(start, 100));
        let mut story = Story::default();
        assert_eq!(story.look(1, FOLLOWS, after(start, 100), heard, None), None);
        assert_eq!(story.look(1, STANDS, after(start, 1_700), heard, None), None);
        // A second try does not make it later.
        assert_eq!(story.look(1, Seen { term: 6, ..STANDS }, after(start, 2_700), heard, None), None);
        let leads = Seen { term: 6, ..LEADS };
        let uncommitted = Seen { leads: false, ..leads };
        assert_eq!(story.look(1, uncommitted, after(start, 2_750), heard, None), None);
        let tenure = story.look(1, leads, after(start, 2_800), heard, None);
        let expected = Tenure {
            term: 6,
            from: Some(2),
            handed_over: false,
            detected: Some(Duration::from_millis(1_600)),
            gap: Some(Duration::from_millis(2_700)),
        };
        assert_eq!(tenure, Some(expected));
        assert_eq!(story.look(1, leads, after(start, 2_900), heard, None), None, "once");
        // It leads again without another leader between: there is no message to measure from.
        let again = story.look(1, Seen { term: 9, ..LEADS }, after(start, 9_000), heard, None);
        let expected = Tenure { term: 9, from: Some(1), handed_over: false, detected: None, gap: None };
        assert_eq!(again, Some(expected));
    }

    #[test]
    fn a_handover_is_measured_from_its_request() {
        let start = Instant::now();
        let mut story = Story::default();
        let asked = |term| Some(Asked { term, at: after(start, 300) });
        story.look(1, FOLLOWS, start, Some(start), None);
        let tenure = story.look(1, LEADS, after(start, 340), Some(start), asked(4));
        let expected =
            Tenure { term: 5, from: Some(2), handed_over: true, detected: None, gap: Some(Duration::from_millis(40)) };
        assert_eq!(tenure, Some(expected));

        // Asked by a leader of long ago: this time nobody asked.
        let mut story = Story::default();
        story.look(1, FOLLOWS, start, Some(start), asked(3));
        let tenure = story.look(1, LEADS, after(start, 2_000), Some(start), asked(3));
        assert_eq!(tenure.map(|tenure| (tenure.handed_over, tenure.detected.is_some())), Some((false, true)));
    }

    #[test]
    fn who_heard_nobody_measures_nothing() {
        let start = Instant::now();
        let mut story = Story::default();
        story.look(1, STANDS, start, None, None);
        let tenure = story.look(1, LEADS, after(start, 900), None, None);
        let expected = Tenure { term: 5, from: None, handed_over: false, detected: None, gap: None };
        assert_eq!(tenure, Some(expected));
    }
}
