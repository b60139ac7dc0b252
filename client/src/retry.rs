//! When a call is tried again, where, and what is said when it never worked. A retry of a write carries the same
//! request header, so that it can only ever be done once.
//!
//! ```text
//! answer         ─► done
//! final status   ─► Invalid | Denied | NotFound          (nothing happened)
//! other status   ─► next endpoint, pause with jitter, again ─► out of time: Unavailable or Unknown
//! ```
//! A write ends as `Unavailable` only when **every** try certainly did nothing: no connection was made, or the node
//! said that it proposed nothing. One doubtful try is enough for `Unknown`.

use crate::connect::Cluster;
use crate::error::{Answer, Error, NOT_DONE, OUTCOME_KEY};
use crate::id::Id;
use crate::transport::ConnectError;
use std::future::Future;
use std::time::{Duration, Instant};
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

/// How long and how often. All times are bounded; the number of tries follows from them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RetryPolicy {
    /// Life of a write whose header this library makes: `not_after` is the first send plus this, at most ten minutes.
    /// Retries end with it.
    pub write_lifetime: Duration,
    /// How long a read goes on.
    pub read_deadline: Duration,
    /// Deadline of one try; the node knows it.
    pub attempt_timeout: Duration,
    /// First pause.
    pub pause_min: Duration,
    /// Pauses double up to this.
    pub pause_max: Duration,
}

impl Default for RetryPolicy {
    /// A minute for a write outlives every failover by far; a pause of at most 250 ms adds little to one.
    fn default() -> Self {
        Self {
            write_lifetime: Duration::from_secs(60),
            read_deadline: Duration::from_secs(20),
            attempt_timeout: Duration::from_secs(5),
            pause_min: Duration::from_millis(20),
            pause_max: Duration::from_millis(250),
        }
    }
}

/// Longest life that the cluster grants a write.
pub const WRITE_LIFETIME_MAX: Duration = Duration::from_secs(10 * 60);

/// What a call does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Intent {
    Read,
    Write { request_id: Id },
}

/// An answer and how it was got.
#[derive(Debug)]
pub(crate) struct Answered<T> {
    pub(crate) message: T,
    /// 1 for an answer to the first try.
    pub(crate) attempts: u32,
    /// Whether an earlier try may have been done.
    pub(crate) doubtful: bool,
    /// `host:port`.
    pub(crate) endpoint: String,
}

/// What a status means for going on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Invalid,
    Denied,
    NotFound,
    /// Another node may do better, but the same one will say the same: once round is enough.
    Elsewhere,
    Again,
}

fn judge(code: Code, intent: Intent, not_done: bool) -> Verdict {
    match (code, intent) {
        (Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented, _) => Verdict::Invalid,
        (Code::Unauthenticated | Code::PermissionDenied, _) => Verdict::Denied,
        (Code::NotFound, Intent::Read) => Verdict::NotFound,
        // A sealed node, or damage on one: the others may answer.
        (Code::FailedPrecondition | Code::DataLoss | Code::Internal, Intent::Read) => Verdict::Elsewhere,
        (Code::FailedPrecondition, Intent::Write { .. }) if not_done => Verdict::Elsewhere,
        _ => Verdict::Again,
    }
}

/// Whether the try certainly did nothing: the request never left, or the node says so.
pub(crate) fn certainly_not_done(status: &Status) -> bool {
    if status.metadata().get(OUTCOME_KEY).is_some_and(|value| value == NOT_DONE) {
        return true;
    }
    let mut source = std::error::Error::source(status);
    for _ in 0..8 {
        let Some(error) = source else { return false };
        if error.is::<ConnectError>() || error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Half to one and a half of `pause`. Without randomness (which would have failed the request id before) the pause
/// itself: it only spreads load.
pub(crate) fn jittered(pause: Duration) -> Duration {
    let mut bytes = [0; 2];
    match getrandom::fill(&mut bytes) {
        Ok(()) => pause / 2 + pause * u32::from(u16::from_le_bytes(bytes)) / u32::from(u16::MAX),
        Err(_) => pause,
    }
}

/// Calls until there is an answer, a final status, or `until`. `call` gets a channel and the time for this try.
///
/// Cancel safe in that a dropped call leaves nothing running here; a write may still be done.
pub(crate) async fn call<T, F, Fut>(
    cluster: &Cluster,
    intent: Intent,
    until: Instant,
    call: F,
) -> Result<Answered<T>, Error>
where
    F: Fn(Channel, Duration) -> Fut,
    Fut: Future<Output = Result<Response<T>, Status>>,
{
    let policy = cluster.policy();
    let endpoints = u32::try_from(cluster.endpoint_count()).unwrap_or(u32::MAX);
    let mut attempts = 0_u32;
    let mut doubtful = false;
    let mut elsewhere = 0_u32;
    let mut pause = policy.pause_min;
    loop {
        attempts = attempts.saturating_add(1);
        let at = cluster.current();
        let endpoint = cluster.endpoint(at);
        let left = until.saturating_duration_since(Instant::now());
        // The first try is made in any case, and with time for an answer: whether it is too late is for the network to judge, by
        // its clock.
        let is_late = attempts == 1 && left.is_zero();
        let timeout = if is_late { policy.attempt_timeout } else { policy.attempt_timeout.min(left) };
        let timeout = timeout.max(Duration::from_millis(1));
        // The channel's own timer starts after connecting; this one bounds both.
        let attempt =
            tokio::time::timeout(timeout + Duration::from_millis(100), call(endpoint.channel(cluster.lane()), timeout));
        let status = match attempt.await {
            Ok(Ok(response)) => {
                return Ok(Answered {
                    message: response.into_inner(),
                    attempts,
                    doubtful,
                    endpoint: endpoint.address().to_owned(),
                });
            }
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded("no answer in time"),
        };
        let answer = || Box::new(Answer::from_status(&status, endpoint.address()));
        let not_done = certainly_not_done(&status);
        let verdict = judge(status.code(), intent, not_done);
        // A final status speaks of this try only: an earlier one may have been done.
        let doubtful_before = doubtful && matches!(intent, Intent::Write { .. });
        if doubtful_before && matches!(verdict, Verdict::Invalid | Verdict::Denied) {
            return Err(given_up(intent, doubtful, answer()));
        }
        doubtful |= !not_done;
        match verdict {
            Verdict::Invalid => return Err(Error::Invalid(answer())),
            Verdict::Denied => return Err(Error::Denied(answer())),
            Verdict::NotFound => return Err(Error::NotFound(answer())),
            // Whether the earlier try was done can still be learnt.
            Verdict::Elsewhere if doubtful_before => {}
            Verdict::Elsewhere => {
                elsewhere += 1;
                if elsewhere >= endpoints {
                    return Err(given_up(intent, doubtful, answer()));
                }
            }
            Verdict::Again => {}
        }
        cluster.leave(at);
        let wait = jittered(pause);
        // The next endpoint at once; a pause only after each round over all of them.
        let round_over = attempts.is_multiple_of(endpoints.max(1));
        let wait = if round_over { wait } else { Duration::from_millis(1) };
        if round_over {
            pause = (pause * 2).min(policy.pause_max);
        }
        if Instant::now() + wait >= until {
            return Err(given_up(intent, doubtful, answer()));
        }
        tokio::time::sleep(wait).await;
    }
}

fn given_up(intent: Intent, doubtful: bool, last: Box<Answer>) -> Error {
    match intent {
        Intent::Write { request_id } if doubtful => Error::Unknown { request_id, last },
        Intent::Write { .. } | Intent::Read => Error::Unavailable(last),
    }
}
