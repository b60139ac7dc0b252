//! The task that makes Raft's membership what the rows say. Runs on every node, acts on the leader: another leader goes on
//! where one stopped, because both read the same rows.

use super::check::{Forecast, Refusal, forecast};
use super::plan::{Plan, StandIn, Step, plan, wanted};
use crate::consensus::{ChangeError, Status, TransferError};
use crate::gateway::{Error, Gateway, propose_as_node};
use plantao_client::identity::Identity;
use plantao_domain::layout::MemberChange;
use plantao_domain::{Command, NodeId, Outcome, rows};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(300);
/// One change of the membership. It may take effect later; the next look sees it.
const CHANGE_TIME_MAX: Duration = Duration::from_secs(10);
/// Looks of which the log's end is remembered, for lags in time: five minutes.
const ENDS_MAX: usize = 1_000;

/// Keeps the membership as decided, and says what is still to be done. Cheap to clone.
#[derive(Clone)]
pub struct Members {
    gateway: Gateway,
    identity: Identity,
    /// A voter that is silent for so long gets a stand-in.
    replace_silent_after: Option<Duration>,
    seen: Arc<Mutex<Seen>>,
}

/// What this node saw while it led.
#[derive(Default)]
struct Seen {
    leads_since: Option<Instant>,
    /// The log's end at each look, the oldest first.
    ends: VecDeque<(Instant, u64)>,
}

/// Why a step was not made. All of them are tried again.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("the membership does not change")]
    Change(#[from] ChangeError),
    #[error("the lead is not handed over")]
    HandOver(#[from] TransferError),
    #[error("the log does not take it")]
    Propose(#[from] Error),
    #[error("the rules refuse it")]
    Refused(#[source] plantao_domain::Rejection),
}

impl Members {
    /// On a gateway; `identity` is what this node proposes as.
    pub fn new(gateway: Gateway, identity: Identity, replace_silent_after: Option<Duration>) -> Self {
        Self { gateway, identity, replace_silent_after, seen: Arc::default() }
    }

    /// After how long a silent voter gets a stand-in; `None`: never.
    pub fn replace_silent_after(&self) -> Option<Duration> {
        self.replace_silent_after
    }

    /// What is still to be done, as this node sees it; only a leader's view says much.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn plan(&self) -> Result<(Status, Plan), Error> {
        let status = self.gateway.consensus().status();
        let plan = plan(&wanted(&**self.gateway.state())?, &status, self.stand_in()?);
        Ok((status, plan))
    }

    /// What a change would come to, or why it is refused now. An empty list is what is staged.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn forecast(
        &self,
        changes: &[MemberChange],
        version: u32,
        allow_fewer_voters: bool,
    ) -> Result<Forecast, Refusal> {
        let (status, plan) = self.plan()?;
        forecast(&**self.gateway.state(), &status, &plan, changes, version, allow_fewer_voters)
    }

    /// For how long the log has had entries that a node with this last index lacks; `None`: longer than is remembered, or
    /// this node does not lead.
    pub fn lag_time(&self, matched: u64) -> Option<Duration> {
        let seen = self.seen();
        let (_, last) = seen.ends.back()?;
        if *last <= matched {
            return Some(Duration::ZERO);
        }
        let lacking = seen.ends.iter().position(|(_, end)| *end > matched)?;
        // The first of all that are remembered may be far later than the entry.
        (lacking > 0).then(|| seen.ends.get(lacking).map(|(at, _)| at.elapsed())).flatten()
    }

    /// For as long as the node runs.
    pub async fn run(self) {
        let mut told: Option<String> = None;
        loop {
            sleep(PAUSE).await;
            if !self.look() {
                told = None;
                continue;
            }
            match self.step().await {
                Ok(()) => told = None,
                Err(error) => {
                    let text = chain(&error);
                    // Once for each reason: it is tried again three times a second.
                    if told.as_ref() != Some(&text) {
                        match error {
                            StepError::Refused(_) => warn!(error = text, "the rules refuse a step of the membership"),
                            _ => info!(error = text, "a step of the membership is tried again"),
                        }
                        told = Some(text);
                    }
                }
            }
        }
    }

    /// Notes what is seen; whether this node leads.
    fn look(&self) -> bool {
        let status = self.gateway.consensus().status();
        let mut seen = self.seen();
        if !status.leads() {
            *seen = Seen::default();
            return false;
        }
        let now = Instant::now();
        seen.leads_since.get_or_insert(now);
        if seen.ends.len() == ENDS_MAX {
            seen.ends.pop_front();
        }
        seen.ends.push_back((now, status.last_index));
        true
    }

    async fn step(&self) -> Result<(), StepError> {
        let (status, plan) = self.plan()?;
        let consensus = self.gateway.consensus();
        let deadline = Instant::now() + CHANGE_TIME_MAX;
        if status.changing && consensus.finish_change(deadline).await? {
            info!("a change of the membership that another leader began is finished");
        }
        let Some(step) = plan.next else { return Ok(()) };
        match step {
            Step::Add { node, member } => {
                consensus.add_learner(node, member, deadline).await?;
                info!(node, "node added as learner");
            }
            Step::Promote { node } => {
                consensus.promote(node, deadline).await?;
                info!(node, "learner promoted to voter");
            }
            Step::Demote { node } => {
                consensus.demote(node, deadline).await?;
                info!(node, "voter demoted to learner");
            }
            Step::Swap { comes, goes } => {
                consensus.swap(comes, goes, deadline).await?;
                info!(comes, goes, "the vote of one node went to another");
            }
            Step::Remove { node } => {
                consensus.remove(node, deadline).await?;
                info!(node, "node removed from the membership");
            }
            Step::HandOver { to } => {
                consensus.hand_over_to(&to, deadline).await?;
                info!("this leader is to go; another one leads now");
            }
            Step::Succeed { old, new, keep_old } => {
                let command = Command::SucceedMember { old: NodeId(old), new: NodeId(new), keep_old };
                let written = propose_as_node(&self.gateway, &self.identity, command).await?;
                if let Outcome::Rejected(rejection) = written.outcome {
                    return Err(StepError::Refused(rejection));
                }
                info!(old, new, keep_old, "a node takes the place of another");
            }
        }
        Ok(())
    }

    fn stand_in(&self) -> Result<StandIn, Error> {
        let leading_for = self.seen().leads_since.map_or(Duration::ZERO, |since| since.elapsed());
        let policy = rows::lead_policy(&**self.gateway.state())?;
        Ok(StandIn::under(&policy, self.gateway.clock().now(), self.replace_silent_after, leading_for))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error with its cause.
fn chain(error: &StepError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
