//! Proposals of this node on their way to another one: those that come while enough calls are under way share the next.
//! Who is asked, and what a lost call means, is `forward`'s.
//!
//! ```text
//! proposals ─► queue ─► call: all that wait, up to GROUP_MAX ─► an answer for each
//! ```
//! A call of its own for each proposal costs both nodes more than the proposal itself. One that finds fewer than
//! [`CALLS_MAX`] calls under way is sent at once, so whoever is alone never waits.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::handle::ProposeError;
use super::types::Applied;

/// Proposals of one call. At most 64 KiB each, they are half of what a message may hold.
pub const GROUP_MAX: usize = 32;
/// Calls under way: fewer would make proposals wait for a log that could take them, more would carry fewer each.
const CALLS_MAX: usize = 4;
/// Proposals that may wait for a call.
const WAITING_MAX: usize = 4096;

/// The call brought no answer; `maybe` if the proposals in it may have been taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Lost {
    pub(super) maybe: bool,
}

pub(super) type Answer = Result<Applied, ProposeError>;
/// One for each proposal, in their order.
pub(super) type Answers = Result<Vec<Answer>, Lost>;

struct Waiting {
    envelope: Bytes,
    reply: oneshot::Sender<Result<Answer, Lost>>,
}

/// The task that calls one node.
pub(super) struct Convoy {
    queue: mpsc::Sender<Waiting>,
    task: AbortHandle,
}

impl Convoy {
    /// Calls with `call`, which must end by itself. Must be called on a runtime.
    pub(super) fn start(call: impl Fn(Vec<Bytes>) -> BoxFuture<'static, Answers> + Send + 'static) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let task = tokio::spawn(run(call, waiting)).abort_handle();
        Self { queue, task }
    }

    /// One that is dropped while it waits is not sent; one that is under way may be taken.
    pub(super) async fn propose(&self, envelope: Bytes) -> Result<Answer, Lost> {
        let (reply, answer) = oneshot::channel();
        match self.queue.try_send(Waiting { envelope, reply }) {
            Ok(()) => answer.await.unwrap_or(Err(Lost { maybe: true })),
            Err(mpsc::error::TrySendError::Full(_)) => Ok(Err(ProposeError::Busy)),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Lost { maybe: false }),
        }
    }
}

impl Drop for Convoy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(call: impl Fn(Vec<Bytes>) -> BoxFuture<'static, Answers>, mut waiting: mpsc::Receiver<Waiting>) {
    let mut calls = FuturesUnordered::new();
    loop {
        let mut group = Vec::new();
        tokio::select! {
            count = waiting.recv_many(&mut group, GROUP_MAX), if calls.len() < CALLS_MAX => {
                if count == 0 {
                    return;
                }
                // Whoever gave up meanwhile is asking another way.
                group.retain(|one| !one.reply.is_closed());
                if group.is_empty() {
                    continue;
                }
                let (envelopes, replies): (Vec<_>, Vec<_>) =
                    group.into_iter().map(|one| (one.envelope, one.reply)).unzip();
                let called = call(envelopes);
                calls.push(async move { answer(called.await, replies) });
            }
            Some(()) = calls.next() => {}
        }
    }
}

fn answer(answers: Answers, replies: Vec<oneshot::Sender<Result<Answer, Lost>>>) {
    // A node that answers another number of proposals says nothing about any of them.
    let answers = answers
        .and_then(|answers| if answers.len() == replies.len() { Ok(answers) } else { Err(Lost { maybe: true }) });
    // A proposer that went away needs no answer.
    match answers {
        Ok(answers) => {
            for (reply, answer) in replies.into_iter().zip(answers) {
                let _ = reply.send(Ok(answer));
            }
        }
        Err(lost) => {
            for reply in replies {
                let _ = reply.send(Err(lost));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tokio::sync::Semaphore;

    type Groups = Arc<Mutex<Vec<Vec<Bytes>>>>;

    /// A node that answers each proposal with its own bytes, call by call as permits are given.
    fn echo(gate: &Arc<Semaphore>) -> (Arc<Convoy>, Groups) {
        let groups = Groups::default();
        let (seen, gate) = (Arc::clone(&groups), Arc::clone(gate));
        let convoy = Convoy::start(move |envelopes| {
            seen.lock().unwrap().push(envelopes.clone());
            let gate = Arc::clone(&gate);
            Box::pin(async move {
                gate.acquire().await.unwrap().forget();
                Ok(envelopes.into_iter().map(|outcome| Ok(Applied { outcome, index: 7 })).collect())
            })
        });
        (Arc::new(convoy), groups)
    }

    fn number(number: usize) -> Bytes {
        Bytes::copy_from_slice(&number.to_be_bytes())
    }

    #[tokio::test]
    async fn what_waits_shares_a_call_and_each_gets_its_own_answer() {
        let gate = Arc::new(Semaphore::new(0));
        let (convoy, groups) = echo(&gate);
        let propose = |nth: usize| {
            let convoy = Arc::clone(&convoy);
            tokio::spawn(async move { convoy.propose(number(nth)).await })
        };
        let mut proposals = Vec::new();
        // As many calls as there may be, one proposal each.
        for nth in 0..CALLS_MAX {
            proposals.push(propose(nth));
            while groups.lock().unwrap().len() <= nth {
                tokio::task::yield_now().await;
            }
        }
        let late = GROUP_MAX + 8;
        proposals.extend((CALLS_MAX..CALLS_MAX + late).map(propose));
        while convoy.queue.capacity() > WAITING_MAX - late {
            tokio::task::yield_now().await;
        }
        assert_eq!(groups.lock().unwrap().len(), CALLS_MAX, "no further call starts");
        gate.add_permits(CALLS_MAX + 2);
        for (nth, proposal) in proposals.into_iter().enumerate() {
            let answer = proposal.await.unwrap().unwrap().unwrap();
            assert_eq!((answer.outcome, answer.index), (number(nth), 7));
        }
        let sizes: Vec<_> = groups.lock().unwrap().iter().skip(CALLS_MAX).map(Vec::len).collect();
        assert_eq!(sizes, [GROUP_MAX, 8]);
    }

    // What was given up before it was sent must not be: the proposer has asked another way by then.
    #[tokio::test]
    async fn what_nobody_waits_for_is_not_sent() {
        let gate = Arc::new(Semaphore::new(0));
        let (convoy, groups) = echo(&gate);
        let propose = |nth: usize| {
            let convoy = Arc::clone(&convoy);
            tokio::spawn(async move { convoy.propose(number(nth)).await })
        };
        let mut first = Vec::new();
        for nth in 0..CALLS_MAX {
            first.push(propose(nth));
            while groups.lock().unwrap().len() <= nth {
                tokio::task::yield_now().await;
            }
        }
        let given_up = propose(100);
        while convoy.queue.capacity() == WAITING_MAX {
            tokio::task::yield_now().await;
        }
        given_up.abort();
        assert!(given_up.await.unwrap_err().is_cancelled());
        let waited_for = propose(101);
        while convoy.queue.capacity() > WAITING_MAX - 2 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(CALLS_MAX + 2);
        assert!(waited_for.await.unwrap().unwrap().is_ok());
        assert_eq!(groups.lock().unwrap().last().unwrap(), &[number(101)]);
    }

    // A lost call, or one answered with another number of answers, leaves every proposal in it undecided.
    #[tokio::test]
    async fn a_call_without_an_answer_for_each_is_lost_for_all() {
        for (answers, maybe) in [(Ok(Vec::new()), true), (Err(Lost { maybe: false }), false)] {
            let convoy = Convoy::start(move |_| {
                let answers: Answers = answers.clone();
                Box::pin(async move { answers })
            });
            assert_eq!(convoy.propose(number(1)).await, Err(Lost { maybe }));
        }
    }
}
