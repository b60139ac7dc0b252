//! Linearizable reads: readers that come at the same time share a round of questions. What is read, and where, is the
//! caller's; where the leader is, `forward`'s.
//!
//! ```text
//! readers ─► queue ─► round: ask once for all that wait ─► index for each
//! ```
//! A round that began before a read came may not serve it. A few rounds may be under way, so that a reader seldom waits
//! for a round that is not its own.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{LinearizableReadError, RaftError};
use plantao_domain::planted::{Bug, planted};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::state_machine::StateMachine;
use super::types::Raft;

/// Readers that may wait for a round.
const WAITING_MAX: usize = 8192;
/// Rounds under way: one that readers wait for and one that gathers them. More would each serve fewer.
const ROUNDS_MAX: usize = 2;

/// Why there is no read index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Ask the leader.
    #[error("this node does not lead")]
    NotLeader {
        /// Who does, as far as it is known.
        leader: Option<u64>,
    },
    /// A majority did not confirm in time that this node leads.
    #[error("a majority of the voters did not answer")]
    NoQuorum,
    /// Neither the leader nor a voter that reaches it answers.
    #[error("the leader cannot be reached")]
    Unreachable,
    /// Too many readers wait.
    #[error("too many reads are waiting")]
    Busy,
    /// Raft has stopped.
    #[error("replication has stopped")]
    Stopped,
}

type Index = Result<u64, ReadError>;

/// The task that runs the rounds.
pub(super) struct ReadRounds {
    queue: mpsc::Sender<oneshot::Sender<Index>>,
    task: AbortHandle,
}

impl ReadRounds {
    /// Asks with `ask`, which must end by itself.
    pub(super) fn start(ask: impl Fn() -> BoxFuture<'static, Index> + Send + 'static) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let task = tokio::spawn(run(ask, waiting)).abort_handle();
        Self { queue, task }
    }

    /// Rounds of heartbeats, on the leader.
    pub(super) fn of_leader(raft: Raft<StateMachine>, round_max: Duration) -> Self {
        Self::start(move || {
            let raft = raft.clone();
            Box::pin(async move { confirm(&raft, round_max).await })
        })
    }

    /// Cancel safe.
    pub(super) async fn index(&self) -> Index {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(reply).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => ReadError::Busy,
            mpsc::error::TrySendError::Closed(_) => ReadError::Stopped,
        })?;
        answer.await.unwrap_or(Err(ReadError::Stopped))
    }

    /// Ends the task, which may hold a handle of openraft.
    pub(super) fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for ReadRounds {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn run(ask: impl Fn() -> BoxFuture<'static, Index>, mut waiting: mpsc::Receiver<oneshot::Sender<Index>>) {
    let mut rounds = FuturesUnordered::new();
    loop {
        let mut readers = Vec::new();
        tokio::select! {
            count = waiting.recv_many(&mut readers, WAITING_MAX), if rounds.len() < ROUNDS_MAX => {
                if count == 0 {
                    return;
                }
                let asked = ask();
                rounds.push(async move {
                    let answer = asked.await;
                    for reader in readers {
                        // A reader that went away needs no answer.
                        let _ = reader.send(answer.clone());
                    }
                });
            }
            Some(()) = rounds.next() => {}
        }
    }
}

async fn confirm(raft: &Raft<StateMachine>, round_max: Duration) -> Index {
    // Cheaper than a question to the core, and a follower is asked often.
    if let Err(forward) = raft.as_leader() {
        return Err(ReadError::NotLeader { leader: forward.leader_id });
    }
    if planted(Bug::ReadOnOwnWord) {
        return Ok(raft.metrics().borrow_watched().last_applied.map_or(0, |applied| applied.index));
    }
    match timeout(round_max, raft.get_read_log_id(ReadPolicy::ReadIndex)).await {
        Ok(Ok((read, _))) => Ok(read.index()),
        Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)))) => {
            Err(ReadError::NotLeader { leader: forward.leader_id })
        }
        Ok(Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)))) | Err(_) => Err(ReadError::NoQuorum),
        Ok(Err(RaftError::Fatal(_))) => Err(ReadError::Stopped),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::sync::Semaphore;

    /// The rule that makes a read linearizable: its round began after it came.
    #[tokio::test]
    async fn readers_share_rounds_and_no_round_serves_a_reader_that_came_later() {
        let (asked, gate) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(0)));
        let rounds = Arc::new(ReadRounds::start({
            let (asked, gate) = (Arc::clone(&asked), Arc::clone(&gate));
            move || {
                let number = asked.fetch_add(1, Ordering::SeqCst);
                let gate = Arc::clone(&gate);
                Box::pin(async move {
                    gate.acquire().await.unwrap().forget();
                    Ok(number)
                })
            }
        }));
        let spawn = || {
            tokio::spawn({
                let rounds = Arc::clone(&rounds);
                async move { rounds.index().await }
            })
        };
        // Fill every round that may be under way, one reader each.
        let mut first = Vec::new();
        for number in 1..=ROUNDS_MAX as u64 {
            first.push(spawn());
            while asked.load(Ordering::SeqCst) < number {
                tokio::task::yield_now().await;
            }
        }
        let late: Vec<_> = (0..100).map(|_| spawn()).collect();
        while rounds.queue.capacity() > WAITING_MAX - 100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(asked.load(Ordering::SeqCst), ROUNDS_MAX as u64, "no further round starts");
        gate.add_permits(ROUNDS_MAX + 100);
        for (number, reader) in first.into_iter().enumerate() {
            assert_eq!(reader.await.unwrap(), Ok(number as u64));
        }
        for reader in late {
            assert!(reader.await.unwrap().unwrap() >= ROUNDS_MAX as u64);
        }
        assert_eq!(asked.load(Ordering::SeqCst), ROUNDS_MAX as u64 + 1, "a hundred share one round");
    }
}
