//! Between the wire's messages and openraft's, in both directions; the one file that names both. Total: what a peer sends
//! may be anything. Checks whose number must be whose are `inbound`'s.

use std::io;
use std::time::Duration;

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use plantao_domain::ClusterId;
use plantao_proto::peer::v1 as wire;

use super::handle::ProposeError;
use super::links::Told;
use super::log_store::{self, DecodeEntryError};
use super::profile::PAYLOAD_ENTRIES;
use super::read_index::ReadError;
use super::types::{Applied, Entry, LeaderId, LogId, TypeConfig, Vote};

/// Entries of one message; more than any node of ours sends.
const ENTRIES_MAX: usize = 4 * PAYLOAD_ENTRIES as usize;

/// Why a peer's message is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// A field that every message has is not there.
    #[error("the field {field} is missing")]
    Missing {
        /// Its name.
        field: &'static str,
    },
    /// More than [`PAYLOAD_ENTRIES`] allows for.
    #[error("{count} entries are more than one message may carry")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// The payload of an entry.
    #[error("entry {index} of the message does not decode")]
    Entry {
        /// Its index.
        index: u64,
        /// Why.
        #[source]
        source: DecodeEntryError,
    },
}

/// Which cluster this node is of, and which node of it: what every call between nodes names first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Affiliation {
    /// The cluster.
    pub cluster: ClusterId,
    /// Raised by each quorum recovery: members of an older one are refused.
    pub incarnation: u32,
    /// This node.
    pub node: u64,
}

/// Why a caller is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// No header at all.
    #[error("the call does not say which cluster it is for")]
    Missing,
    /// Another cluster's node has our address, or the other way round.
    #[error("the call is for another cluster")]
    Cluster,
    /// A quorum recovery left one side behind.
    #[error("the call is for incarnation {theirs}, and this node is of incarnation {ours}")]
    Incarnation {
        /// Named by the caller.
        theirs: u32,
        /// Ours.
        ours: u32,
    },
    /// An address points to the wrong node.
    #[error("the call is for node {wanted}, and this is node {node}")]
    NotMe {
        /// Named by the caller.
        wanted: u64,
        /// This one.
        node: u64,
    },
    /// The number is not the certificate's.
    #[error("the call says it comes from node {claimed}, and its certificate says otherwise")]
    NotYou {
        /// Named by the caller.
        claimed: u64,
    },
}

impl Affiliation {
    /// The header of a call to node `to`.
    pub fn header(&self, to: u64) -> wire::PeerHeader {
        wire::PeerHeader {
            cluster_id: bytes::Bytes::copy_from_slice(self.cluster.as_bytes()),
            incarnation: self.incarnation,
            from_node_id: self.node,
            to_node_id: to,
        }
    }

    /// Checks the header of a call whose certificate speaks for node `certified`; gives the caller's number.
    ///
    /// # Errors
    /// The first that does not fit.
    pub fn check(&self, header: Option<&wire::PeerHeader>, certified: Option<u64>) -> Result<u64, HeaderError> {
        let header = header.ok_or(HeaderError::Missing)?;
        if header.cluster_id != self.cluster.as_bytes().as_slice() {
            return Err(HeaderError::Cluster);
        }
        if header.incarnation != self.incarnation {
            let (theirs, ours) = (header.incarnation, self.incarnation);
            return Err(HeaderError::Incarnation { theirs, ours });
        }
        if header.to_node_id != self.node {
            return Err(HeaderError::NotMe { wanted: header.to_node_id, node: self.node });
        }
        if certified != Some(header.from_node_id) {
            return Err(HeaderError::NotYou { claimed: header.from_node_id });
        }
        Ok(header.from_node_id)
    }
}

pub(super) fn log_id(id: wire::EntryId) -> LogId {
    LogId { leader_id: LeaderId { term: id.term, node_id: id.leader_id }, index: id.index }
}

pub(super) fn wire_log_id(id: &LogId) -> wire::EntryId {
    wire::EntryId { term: id.leader_id.term, leader_id: id.leader_id.node_id, index: id.index }
}

pub(super) fn vote(vote: Option<wire::VoteState>, field: &'static str) -> Result<Vote, ConvertError> {
    let wire::VoteState { term, node_id, committed } = vote.ok_or(ConvertError::Missing { field })?;
    Ok(Vote { leader_id: LeaderId { term, node_id }, committed })
}

pub(super) fn wire_vote(vote: &Vote) -> wire::VoteState {
    wire::VoteState { term: vote.leader_id.term, node_id: vote.leader_id.node_id, committed: vote.committed }
}

pub(super) fn wire_entry(entry: &Entry) -> io::Result<wire::Entry> {
    let id = Some(wire_log_id(&entry.log_id));
    Ok(wire::Entry { id, payload: log_store::encode(&entry.payload)? })
}

fn entry(entry: wire::Entry) -> Result<Entry, ConvertError> {
    let log_id = log_id(entry.id.ok_or(ConvertError::Missing { field: "entries.id" })?);
    let payload =
        log_store::decode(&entry.payload).map_err(|source| ConvertError::Entry { index: log_id.index, source })?;
    Ok(Entry { log_id, payload })
}

/// Everything but the entries, which the caller bounds.
pub(super) fn wire_append(
    request: &AppendEntriesRequest<TypeConfig>,
    header: wire::PeerHeader,
    entries: Vec<wire::Entry>,
    now_ms: i64,
) -> wire::AppendRequest {
    wire::AppendRequest {
        header: Some(header),
        vote: Some(wire_vote(&request.vote)),
        previous: request.prev_log_id.as_ref().map(wire_log_id),
        entries,
        committed: request.leader_commit.as_ref().map(wire_log_id),
        now_ms,
    }
}

pub(super) fn append(request: wire::AppendRequest) -> Result<AppendEntriesRequest<TypeConfig>, ConvertError> {
    if request.entries.len() > ENTRIES_MAX {
        return Err(ConvertError::TooMany { count: request.entries.len() });
    }
    Ok(AppendEntriesRequest {
        vote: vote(request.vote, "vote")?,
        prev_log_id: request.previous.map(log_id),
        entries: request.entries.into_iter().map(entry).collect::<Result<_, _>>()?,
        leader_commit: request.committed.map(log_id),
    })
}

pub(super) fn wire_appended(response: AppendEntriesResponse<TypeConfig>, now_ms: i64) -> wire::AppendResponse {
    use wire::append_response::{Partial, Result, Success};
    let result = match response {
        AppendEntriesResponse::Success => Result::Success(Success {}),
        AppendEntriesResponse::PartialSuccess(matched) => {
            Result::Partial(Partial { matched: matched.as_ref().map(wire_log_id) })
        }
        AppendEntriesResponse::Conflict => Result::Conflict(true),
        AppendEntriesResponse::HigherVote(vote) => Result::HigherVote(wire_vote(&vote)),
    };
    wire::AppendResponse { result: Some(result), now_ms }
}

pub(super) fn appended(response: wire::AppendResponse) -> Result<AppendEntriesResponse<TypeConfig>, ConvertError> {
    use wire::append_response::Result;
    Ok(match response.result.ok_or(ConvertError::Missing { field: "result" })? {
        Result::Success(_) => AppendEntriesResponse::Success,
        Result::Partial(partial) => AppendEntriesResponse::PartialSuccess(partial.matched.map(log_id)),
        Result::Conflict(_) => AppendEntriesResponse::Conflict,
        Result::HigherVote(higher) => AppendEntriesResponse::HigherVote(vote(Some(higher), "higher_vote")?),
    })
}

pub(super) fn wire_vote_request(request: &VoteRequest<TypeConfig>, header: wire::PeerHeader) -> wire::VoteRequest {
    wire::VoteRequest {
        header: Some(header),
        vote: Some(wire_vote(&request.vote)),
        last: request.last_log_id.as_ref().map(wire_log_id),
        leadership_transfer: request.leadership_transfer,
    }
}

pub(super) fn vote_request(request: wire::VoteRequest) -> Result<VoteRequest<TypeConfig>, ConvertError> {
    let mut converted = VoteRequest::new(vote(request.vote, "vote")?, request.last.map(log_id));
    converted.leadership_transfer = request.leadership_transfer;
    Ok(converted)
}

pub(super) fn wire_voted(response: &VoteResponse<TypeConfig>) -> wire::VoteResponse {
    wire::VoteResponse {
        vote: Some(wire_vote(&response.vote)),
        granted: response.vote_granted,
        last: response.last_log_id.as_ref().map(wire_log_id),
    }
}

pub(super) fn voted(response: wire::VoteResponse) -> Result<VoteResponse<TypeConfig>, ConvertError> {
    let granted_by = vote(response.vote, "vote")?;
    Ok(VoteResponse::new(granted_by, response.last.map(log_id), response.granted))
}

pub(super) fn wire_transfer(
    request: &TransferLeaderRequest<TypeConfig>,
    header: wire::PeerHeader,
) -> wire::TransferLeaderRequest {
    wire::TransferLeaderRequest {
        header: Some(header),
        from_leader: Some(wire_vote(request.from_leader())),
        to_node_id: *request.to_node_id(),
        last: request.last_log_id().map(wire_log_id),
    }
}

pub(super) fn transfer(
    request: wire::TransferLeaderRequest,
) -> Result<TransferLeaderRequest<TypeConfig>, ConvertError> {
    let from = vote(request.from_leader, "from_leader")?;
    Ok(TransferLeaderRequest::new(from, request.to_node_id, request.last.map(log_id)))
}

pub(super) fn wire_transferred(response: TransferLeaderResponse<TypeConfig>) -> wire::TransferLeaderResponse {
    use wire::transfer_leader_response::{LogNotFlushed, Result, VoteChanged};
    let result = match response {
        Ok(()) => Result::Accepted(true),
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            let (expected, actual) = (Some(wire_vote(&expected)), Some(wire_vote(&actual)));
            Result::VoteChanged(VoteChanged { expected, actual })
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            let expected = expected.as_ref().map(wire_log_id);
            Result::LogNotFlushed(LogNotFlushed { expected, actual: actual.as_ref().map(wire_log_id) })
        }
    };
    wire::TransferLeaderResponse { result: Some(result) }
}

pub(super) fn transferred(
    response: wire::TransferLeaderResponse,
) -> Result<TransferLeaderResponse<TypeConfig>, ConvertError> {
    use wire::transfer_leader_response::Result;
    Ok(match response.result.ok_or(ConvertError::Missing { field: "result" })? {
        Result::Accepted(_) => Ok(()),
        Result::VoteChanged(changed) => Err(TransferLeaderError::VoteChanged {
            expected: vote(changed.expected, "expected")?,
            actual: vote(changed.actual, "actual")?,
        }),
        Result::LogNotFlushed(behind) => Err(TransferLeaderError::LogNotFlushed {
            expected: behind.expected.map(log_id),
            actual: behind.actual.map(log_id),
        }),
    })
}

pub(super) fn wire_installed(response: &SnapshotResponse<TypeConfig>) -> wire::InstallSnapshotResponse {
    wire::InstallSnapshotResponse { vote: Some(wire_vote(&response.vote)) }
}

pub(super) fn installed(response: wire::InstallSnapshotResponse) -> Result<SnapshotResponse<TypeConfig>, ConvertError> {
    Ok(SnapshotResponse::new(vote(response.vote, "vote")?))
}

/// How long a caller is asked to wait before it comes back.
const RETRY_AFTER_MS: u64 = 50;

pub(crate) fn wire_proposed(result: Result<Applied, ProposeError>) -> wire::ProposeResponse {
    use wire::propose_response as answer;
    let result = match result {
        Ok(Applied { outcome, index }) => answer::Result::Applied(answer::Applied { outcome, index }),
        Err(ProposeError::NotLeader { leader }) => {
            answer::Result::NotLeader(answer::NotLeader { leader_id: leader.unwrap_or(0) })
        }
        Err(ProposeError::Busy) => answer::Result::Busy(answer::Busy { retry_after_ms: RETRY_AFTER_MS }),
        // Malformed ones are refused with a status before; this arm only has to be no lie.
        Err(error @ (ProposeError::Unknown | ProposeError::Malformed(_))) => {
            answer::Result::Unknown(answer::Unknown { reason: error.to_string() })
        }
    };
    wire::ProposeResponse { result: Some(result) }
}

/// An empty answer says nothing, so the outcome is unknown.
pub(super) fn proposed(response: wire::ProposeResponse) -> Result<Applied, ProposeError> {
    use wire::propose_response::Result;
    match response.result {
        Some(Result::Applied(applied)) => Ok(Applied { outcome: applied.outcome, index: applied.index }),
        Some(Result::NotLeader(not)) => Err(ProposeError::NotLeader { leader: number(not.leader_id) }),
        Some(Result::Busy(_)) => Err(ProposeError::Busy),
        Some(Result::Unknown(_)) | None => Err(ProposeError::Unknown),
    }
}

pub(crate) fn wire_read(result: Result<u64, ReadError>) -> wire::ReadIndexResponse {
    use wire::read_index_response::Result;
    let result = match result {
        Ok(index) => Result::Index(index),
        Err(ReadError::NotLeader { leader }) => {
            let leader_id = leader.unwrap_or(0);
            Result::NotLeader(wire::propose_response::NotLeader { leader_id })
        }
        Err(error) => Result::Unavailable(error.to_string()),
    };
    wire::ReadIndexResponse { result: Some(result) }
}

pub(super) fn read(response: wire::ReadIndexResponse) -> Result<u64, ReadError> {
    use wire::read_index_response::Result;
    match response.result {
        Some(Result::Index(index)) => Ok(index),
        Some(Result::NotLeader(not)) => Err(ReadError::NotLeader { leader: number(not.leader_id) }),
        Some(Result::Unavailable(_)) | None => Err(ReadError::Unreachable),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn wire_links(told: Vec<Told>) -> Vec<wire::LinkReport> {
    let peer = |(node_id, reachable, lasting): (u64, bool, Duration)| wire::link_report::Peer {
        node_id,
        reachable,
        lasting_ms: millis(lasting),
    };
    let report = |Told { node, age, peers }: Told| wire::LinkReport {
        node_id: node,
        age_ms: millis(age),
        peers: peers.into_iter().map(peer).collect(),
    };
    told.into_iter().map(report).collect()
}

pub(crate) fn links(reports: Vec<wire::LinkReport>) -> Vec<Told> {
    let peer = |peer: wire::link_report::Peer| (peer.node_id, peer.reachable, Duration::from_millis(peer.lasting_ms));
    let report = |report: wire::LinkReport| Told {
        node: report.node_id,
        age: Duration::from_millis(report.age_ms),
        peers: report.peers.into_iter().map(peer).collect(),
    };
    reports.into_iter().map(report).collect()
}

/// Numbers begin at 1; 0 stands for nobody.
fn number(id: u64) -> Option<u64> {
    (id != 0).then_some(id)
}

/// For [`crate::again`]: a call to append, and a call for a vote.
pub(crate) fn again(bytes: &[u8]) -> [Option<Vec<u8>>; 2] {
    use prost::Message;
    let appended = || {
        let request = wire::AppendRequest::decode(bytes).ok()?;
        let (header, now_ms) = (request.header.clone(), request.now_ms);
        let read = append(request).ok()?;
        let entries = read.entries.iter().map(wire_entry).collect::<Result<_, _>>().ok()?;
        Some(wire_append(&read, header.unwrap_or_default(), entries, now_ms).encode_to_vec())
    };
    let voted = || {
        let request = wire::VoteRequest::decode(bytes).ok()?;
        let header = request.header.clone();
        Some(wire_vote_request(&vote_request(request).ok()?, header.unwrap_or_default()).encode_to_vec())
    };
    [appended(), voted()]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::consensus::types::{EntryPayload, Proposal};
    use bytes::Bytes;
    use prost::Message;

    fn id(term: u64, node_id: u64, index: u64) -> LogId {
        LogId { leader_id: LeaderId { term, node_id }, index }
    }

    fn us() -> Affiliation {
        Affiliation { cluster: ClusterId::from_bytes([7; 16]), incarnation: 3, node: 1 }
    }

    fn sample() -> AppendEntriesRequest<TypeConfig> {
        let payload = EntryPayload::Normal(Proposal { payload: Bytes::from_static(b"\x00x\xff") });
        AppendEntriesRequest {
            vote: Vote::new_committed(5, 2),
            prev_log_id: Some(id(4, 1, 9)),
            entries: vec![
                Entry { log_id: id(5, 2, 10), payload: EntryPayload::Blank },
                Entry { log_id: id(5, 2, 11), payload },
            ],
            leader_commit: Some(id(4, 1, 8)),
        }
    }

    fn on_the_wire(request: &AppendEntriesRequest<TypeConfig>) -> wire::AppendRequest {
        let entries = request.entries.iter().map(|entry| wire_entry(entry).unwrap()).collect();
        wire_append(request, us().header(2), entries, 42)
    }

    #[test]
    fn messages_come_back_as_they_went() {
        let request = sample();
        let back = append(on_the_wire(&request)).unwrap();
        assert_eq!(back.vote, request.vote);
        assert_eq!(back.prev_log_id, request.prev_log_id);
        assert_eq!(back.leader_commit, request.leader_commit);
        assert_eq!(format!("{:?}", back.entries), format!("{:?}", request.entries));
        assert_eq!(back.entries[1].payload, request.entries[1].payload);

        for response in [
            AppendEntriesResponse::Success,
            AppendEntriesResponse::Conflict,
            AppendEntriesResponse::PartialSuccess(None),
            AppendEntriesResponse::PartialSuccess(Some(id(1, 2, 3))),
            AppendEntriesResponse::HigherVote(Vote::new(9, 3)),
        ] {
            assert_eq!(appended(wire_appended(response.clone(), 0)).unwrap(), response);
        }
        let mut request = VoteRequest::new(Vote::new(9, 3), Some(id(1, 2, 3)));
        request.leadership_transfer = true;
        assert_eq!(vote_request(wire_vote_request(&request, us().header(2))).unwrap(), request);
        // A refusal must stay one: an unanswered field may never read as a grant.
        for granted in [true, false] {
            let response = VoteResponse::new(Vote::new(9, 3), None, granted);
            assert_eq!(voted(wire_voted(&response)).unwrap(), response);
        }
        assert!(
            !voted(wire::VoteResponse { vote: Some(wire_vote(&Vote::new(1, 1))), ..Default::default() })
                .unwrap()
                .vote_granted
        );
        let request = TransferLeaderRequest::new(Vote::new_committed(2, 1), 3, Some(id(1, 2, 3)));
        assert_eq!(transfer(wire_transfer(&request, us().header(3))).unwrap(), request);
        for response in [
            Ok(()),
            Err(TransferLeaderError::VoteChanged { expected: Vote::new(1, 1), actual: Vote::new(2, 2) }),
            Err(TransferLeaderError::LogNotFlushed { expected: Some(id(1, 2, 3)), actual: None }),
        ] {
            assert_eq!(transferred(wire_transferred(response.clone())).unwrap(), response);
        }
    }

    /// Neither a cut nor a flipped bit may panic, whatever it decodes to.
    #[test]
    fn any_bytes_are_refused_or_read() {
        let bytes = on_the_wire(&sample()).encode_to_vec();
        let read = |bytes: &[u8]| wire::AppendRequest::decode(bytes).map(append).is_ok();
        assert!(read(&bytes));
        for end in 0..bytes.len() {
            read(&bytes[..end]);
        }
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            read(&bytes);
        }
        assert!(matches!(append(wire::AppendRequest::default()), Err(ConvertError::Missing { field: "vote" })));
        let many = vec![wire::Entry::default(); ENTRIES_MAX + 1];
        let request = wire::AppendRequest { entries: many, ..on_the_wire(&sample()) };
        assert!(matches!(append(request), Err(ConvertError::TooMany { .. })));
    }

    #[test]
    fn a_call_must_name_this_cluster_this_incarnation_this_node_and_its_own_number() {
        let caller = Affiliation { node: 2, ..us() };
        let header = caller.header(1);
        assert_eq!(us().check(Some(&header), Some(2)), Ok(2));
        assert_eq!(us().check(None, Some(2)), Err(HeaderError::Missing));
        assert_eq!(us().check(Some(&header), Some(3)), Err(HeaderError::NotYou { claimed: 2 }));
        assert_eq!(us().check(Some(&header), None), Err(HeaderError::NotYou { claimed: 2 }));
        let wrong = caller.header(3);
        assert_eq!(us().check(Some(&wrong), Some(2)), Err(HeaderError::NotMe { wanted: 3, node: 1 }));
        let old = Affiliation { incarnation: 2, ..caller }.header(1);
        assert_eq!(us().check(Some(&old), Some(2)), Err(HeaderError::Incarnation { theirs: 2, ours: 3 }));
        for cluster_id in [Bytes::new(), Bytes::from_static(&[7; 15]), Bytes::from_static(&[8; 16])] {
            let other = wire::PeerHeader { cluster_id, ..header.clone() };
            assert_eq!(us().check(Some(&other), Some(2)), Err(HeaderError::Cluster));
        }
    }
}
