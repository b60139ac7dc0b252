//! Linearizable reads: readers that come while one round of heartbeats is under way share the next one. What is read, and
//! where, is the caller's.

use std::time::Duration;

use openraft::ReadPolicy;
use openraft::errors::{LinearizableReadError, RaftError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::state_machine::StateMachine;
use super::types::Raft;

/// Readers that may wait for a round.
const WAITING_MAX: usize = 8192;

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
    /// Too many readers wait.
    #[error("too many reads are waiting")]
    Busy,
    /// Raft has stopped.
    #[error("replication has stopped")]
    Stopped,
}

type Reply = oneshot::Sender<Result<u64, ReadError>>;

/// The task that runs the rounds, one after the other: a round that began before a read may not serve it.
pub(super) struct ReadRounds {
    queue: mpsc::Sender<Reply>,
    task: AbortHandle,
}

impl ReadRounds {
    pub(super) fn start(raft: Raft<StateMachine>, round_max: Duration) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let task = tokio::spawn(run(raft, waiting, round_max)).abort_handle();
        Self { queue, task }
    }

    /// Cancel safe.
    pub(super) async fn index(&self) -> Result<u64, ReadError> {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(reply).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => ReadError::Busy,
            mpsc::error::TrySendError::Closed(_) => ReadError::Stopped,
        })?;
        answer.await.unwrap_or(Err(ReadError::Stopped))
    }

    /// Ends the task, which holds a handle of openraft.
    pub(super) fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for ReadRounds {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn run(raft: Raft<StateMachine>, mut waiting: mpsc::Receiver<Reply>, round_max: Duration) {
    let mut readers = Vec::new();
    while waiting.recv_many(&mut readers, WAITING_MAX).await > 0 {
        let answer = round(&raft, round_max).await;
        for reader in readers.drain(..) {
            // A reader that went away needs no answer.
            let _ = reader.send(answer.clone());
        }
    }
}

async fn round(raft: &Raft<StateMachine>, round_max: Duration) -> Result<u64, ReadError> {
    // Cheaper than a question to the core, and a follower is asked often.
    if let Err(forward) = raft.as_leader() {
        return Err(ReadError::NotLeader { leader: forward.leader_id });
    }
    match timeout(round_max, raft.get_read_log_id(ReadPolicy::ReadIndex)).await {
        Ok(Ok((read, _))) => Ok(read.index()),
        Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)))) => {
            Err(ReadError::NotLeader { leader: forward.leader_id })
        }
        Ok(Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)))) | Err(_) => {
            Err(ReadError::NoQuorum)
        }
        Ok(Err(RaftError::Fatal(_))) => Err(ReadError::Stopped),
    }
}
