//! Typed calls: one method of [`Cluster`] for each rpc of the public plane, one of [`AdminNode`] for each of the admin
//! plane. Requests are the messages of `plantao_proto`; here are the headers, deadlines, retries and the reading of
//! outcomes, and no rule.
//!
//! A request without a header gets a fresh one. A request *with* a header keeps it: that is how a program repeats a
//! write whose outcome it does not know.
//!
//! [`AdminNode`]: crate::AdminNode

mod admin;
mod certificates;
mod health;
mod lead;
mod members;
mod pages;
mod public;
mod quorum;
mod upgrade;
mod watch;

pub use admin::TransferError;
pub use health::{EventFollower, Followed};
pub use watch::{WatchError, WatchEvent};

use crate::connect::Cluster;
use crate::error::{Answer, CODE_EXPIRED, Error, Held, Refusal};
use crate::id::Id;
use crate::retry::{self, Intent, WRITE_LIFETIME_MAX};
use crate::time::unix_ms;
use plantao_proto::public::v1;
use std::future::Future;
use std::time::{Duration, Instant, SystemTime};
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

/// A read that sees every write acknowledged before it began.
pub const LINEARIZABLE: v1::ReadOptions =
    v1::ReadOptions { consistency: v1::Consistency::Linearizable as i32, staleness_ms_max: 0 };

/// A read of whatever the node has, of any age.
pub const LOCAL: v1::ReadOptions = v1::ReadOptions { consistency: v1::Consistency::Local as i32, staleness_ms_max: 0 };

/// A write that was done, or that found everything as it wanted it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Written {
    /// The object's version now.
    pub version: u32,
    /// False when everything was already as asked.
    pub changed: bool,
    /// Log index at which it was decided.
    pub index: u64,
    /// Kept, but another booking holds the slot.
    pub conflict: Option<Held>,
    /// Of the request.
    pub request_id: Id,
    /// How many tries it took.
    pub attempts: u32,
}

impl Cluster {
    /// A fresh header: an id of its own ([`Id::in_order`]), and a life as the policy grants it.
    pub fn new_header(&self) -> Result<v1::RequestHeader, Error> {
        let lifetime = self.policy().write_lifetime.min(WRITE_LIFETIME_MAX);
        let lifetime_ms = i64::try_from(lifetime.as_millis()).unwrap_or(0);
        let now = SystemTime::now();
        Ok(v1::RequestHeader {
            request_id: Id::in_order(now).map_err(Error::Randomness)?.to_wire(),
            not_after_ms: unix_ms(now).saturating_add(lifetime_ms),
        })
    }

    /// The caller's header, or a fresh one.
    pub(crate) fn header(&self, given: Option<v1::RequestHeader>) -> Result<v1::RequestHeader, Error> {
        match given {
            Some(header) => Ok(header),
            None => self.new_header(),
        }
    }

    pub(crate) async fn write<F, Fut>(&self, header: &v1::RequestHeader, call: F) -> Result<Written, Error>
    where
        F: Fn(Channel, Duration) -> Fut,
        Fut: Future<Output = Result<Response<Option<v1::WriteOutcome>>, Status>>,
    {
        let calling = |channel, timeout| {
            let called = call(channel, timeout);
            async move { called.await.map(|response| response.map(|outcome| (outcome, ()))) }
        };
        // On the heap: a call is large, and every write of every program holds one.
        Ok(Box::pin(self.write_telling(header, calling)).await?.0)
    }

    /// As [`Self::write`], where the answer tells more than the outcome.
    pub(crate) async fn write_telling<T, F, Fut>(
        &self,
        header: &v1::RequestHeader,
        call: F,
    ) -> Result<(Written, T), Error>
    where
        F: Fn(Channel, Duration) -> Fut,
        Fut: Future<Output = Result<Response<(Option<v1::WriteOutcome>, T)>, Status>>,
    {
        // An id of another length is for the node to refuse; it can have no outcome.
        let request_id = Id::from_wire(&header.request_id).unwrap_or(Id::from_bytes([0; 16]));
        let left_ms = header.not_after_ms.saturating_sub(unix_ms(SystemTime::now()));
        let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0)).min(WRITE_LIFETIME_MAX);
        let answered = retry::call(self, Intent::Write { request_id }, Instant::now() + left, call).await?;
        let (outcome, told) = answered.message;
        // "Too late" says that this try came too late; an earlier one may have been in time, and what became of it
        // is kept only until then.
        match written(outcome, request_id, answered.attempts) {
            Err(Error::Refused(refusal)) if refusal.code == CODE_EXPIRED && answered.doubtful => {
                let last = Answer {
                    grpc: Code::Ok,
                    message: refusal.message,
                    code: Some(refusal.code),
                    help: Some(refusal.help),
                    endpoint: answered.endpoint,
                };
                Err(Error::Unknown { request_id, last: Box::new(last) })
            }
            written => Ok((written?, told)),
        }
    }

    pub(crate) async fn read<T, F, Fut>(&self, call: F) -> Result<T, Error>
    where
        F: Fn(Channel, Duration) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let until = Instant::now() + self.policy().read_deadline;
        Ok(retry::call(self, Intent::Read, until, call).await?.message)
    }
}

/// What an outcome says.
pub(crate) fn written(outcome: Option<v1::WriteOutcome>, request_id: Id, attempts: u32) -> Result<Written, Error> {
    let outcome = outcome.ok_or(Error::Protocol("an outcome is missing"))?;
    let index = outcome.index;
    match outcome.outcome.ok_or(Error::Protocol("an outcome of an unknown kind"))? {
        v1::write_outcome::Outcome::Confirmed(confirmed) => Ok(Written {
            version: confirmed.version,
            changed: confirmed.changed,
            index,
            conflict: None,
            request_id,
            attempts,
        }),
        v1::write_outcome::Outcome::Conflict(conflict) => {
            let resource = conflict.resource.ok_or(Error::Protocol("a conflict without a resource"))?;
            let id = |bytes| Id::from_wire(bytes).map_err(|_| Error::Protocol("an id of another length"));
            let held =
                Held { kind: resource.kind(), id: id(&resource.id)?, holder: id(&conflict.holder_appointment_id)? };
            Ok(Written { version: 1, changed: true, index, conflict: Some(held), request_id, attempts })
        }
        v1::write_outcome::Outcome::Rejection(rejection) => {
            Err(Error::Refused(Box::new(Refusal::from_wire(rejection, index, request_id))))
        }
    }
}
