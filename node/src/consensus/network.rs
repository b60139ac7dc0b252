//! openraft's calls to one peer. What a message looks like is `convert`'s, what the other side makes of it `inbound`'s.
//!
//! ```text
//! lane        carries                       ends after
//! Heartbeat   heartbeats, votes, transfer   3/4 of the heartbeat interval: a late one is worth nothing
//! Entries     log entries                   10 s, and carries what the link moves in about 200 ms, one entry at least
//! Snapshot    parts of a snapshot           60 s without progress
//! ```
//! openraft would give entries the heartbeat's time, and then a thin line would carry the same entries for ever.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use openraft::OptionalSend;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::v2::RaftNetworkV2;
use openraft::network::{RPCOption, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use plantao_client::transport::MESSAGE_BYTES_MAX;
use plantao_proto::peer::v1 as wire;
use plantao_proto::peer::v1::raft_service_client::RaftServiceClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::clocks::PeerClocks;
use super::convert::{self, Affiliation, ConvertError};
use super::log_store::READ_BYTES_MAX;
use super::types::{LogId, Member, Snapshot, TypeConfig, Vote};
use crate::storage::snapshot::VerifiedSnapshot;
use crate::transport::{Lane, PeerChannels};
use crate::work::blocking_future;

/// How long a call with entries may take: far above any flush, below any patience.
const ENTRIES_DEADLINE: Duration = Duration::from_secs(10);
/// How much of a link's measured rate one call takes.
const ENTRIES_SHARE: Duration = Duration::from_millis(200);
/// Smaller calls measure the round trip, not the link.
const MEASURED_BYTES_MIN: usize = 32 * 1024;
/// What a link is taken for before it is measured.
const FIRST_BYTES: usize = 256 * 1024;
/// How long the other side may take for the next part of a snapshot, or to install it.
const SNAPSHOT_STALL: Duration = Duration::from_secs(60);
/// Parts that wait for the line.
const PARTS_AHEAD: usize = 2;

/// Makes a caller for each peer and lane.
#[derive(Clone)]
pub struct Network {
    us: Affiliation,
    channels: PeerChannels,
    clocks: PeerClocks,
}

impl Network {
    /// Calls made by `us`; the clocks of those who answer go into `clocks`.
    pub fn new(us: Affiliation, channels: PeerChannels, clocks: PeerClocks) -> Self {
        Self { us, channels, clocks }
    }

    fn peer(&self, target: u64, member: &Member, lane: Lane) -> Peer {
        Peer { network: self.clone(), target, address: member.peer_address.clone(), lane, bytes_max: FIRST_BYTES }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, member: &Member) -> Peer {
        self.peer(target, member, Lane::Entries)
    }

    async fn new_heartbeat_client(&mut self, target: u64, member: &Member) -> Peer {
        self.peer(target, member, Lane::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: u64, member: &Member) -> Peer {
        self.peer(target, member, Lane::Snapshot)
    }
}

/// Calls one peer on one lane.
pub struct Peer {
    network: Network,
    target: u64,
    address: String,
    lane: Lane,
    /// What the next call with entries carries at most; one entry in any case.
    bytes_max: usize,
}

type RaftClient = RaftServiceClient<Channel>;

/// Back off from a peer that is silent, refuses connections, or refuses us.
fn unreachable<E: std::error::Error + 'static>(error: &E) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::new(error))
}

fn malformed(error: &ConvertError) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(error))
}

async fn answer<T>(
    deadline: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, RPCError<TypeConfig>> {
    match tokio::time::timeout(deadline, call).await {
        Err(elapsed) => Err(unreachable(&elapsed)),
        Ok(Err(status)) => Err(unreachable(&status)),
        Ok(Ok(response)) => Ok(response.into_inner()),
    }
}

impl Peer {
    /// Votes and transfers are small and urgent, whichever lane openraft made the caller for.
    fn client(&self, lane: Lane) -> Result<RaftClient, RPCError<TypeConfig>> {
        let channel =
            self.network.channels.channel(self.target, &self.address, lane).map_err(|error| unreachable(&error))?;
        Ok(RaftServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    fn header(&self) -> wire::PeerHeader {
        self.network.us.header(self.target)
    }

    /// The leading entries that fit, and how many bytes they are.
    fn cut(
        &self,
        request: &AppendEntriesRequest<TypeConfig>,
    ) -> Result<(Vec<wire::Entry>, usize), RPCError<TypeConfig>> {
        let mut entries = Vec::with_capacity(request.entries.len());
        let mut bytes = 0;
        for entry in &request.entries {
            let entry = convert::wire_entry(entry).map_err(|error| RPCError::Network(NetworkError::new(&error)))?;
            if !entries.is_empty() && bytes + entry.payload.len() > self.bytes_max {
                break;
            }
            bytes += entry.payload.len();
            entries.push(entry);
        }
        Ok((entries, bytes))
    }

    /// Learns from a call with that many bytes how much the next one may carry.
    fn measure(&mut self, bytes: usize, took: Option<Duration>) {
        let Some(took) = took else {
            self.bytes_max = (self.bytes_max / 2).max(1);
            return;
        };
        if bytes >= MEASURED_BYTES_MIN.min(self.bytes_max) {
            let micros = took.as_micros().max(1);
            let share = bytes as u128 * ENTRIES_SHARE.as_micros() / micros;
            let share = usize::try_from(share).unwrap_or(READ_BYTES_MAX);
            // Halfway towards it: one lucky or unlucky call decides nothing.
            self.bytes_max = self.bytes_max.midpoint(share).clamp(1, READ_BYTES_MAX);
        }
    }
}

impl RaftNetworkV2<TypeConfig> for Peer {
    type SnapshotData = Arc<VerifiedSnapshot>;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let deadline = match self.lane {
            Lane::Heartbeat => option.soft_ttl(),
            _ => ENTRIES_DEADLINE,
        };
        let (entries, bytes) = self.cut(&request)?;
        let count = entries.len();
        let now_ms = self.network.clocks.now_ms();
        let message = convert::wire_append(&request, self.header(), entries, now_ms);
        let mut client = self.client(self.lane)?;
        let sent = Instant::now();
        let response = answer(deadline, client.append(message)).await;
        if count > 0 {
            self.measure(bytes, response.is_ok().then(|| sent.elapsed()));
        }
        let response = response?;
        if count == 0 {
            // With entries, the other side's flush would count as travel.
            self.network.clocks.note_answer(self.target, response.now_ms, sent);
        }
        let answered = convert::appended(response).map_err(|error| malformed(&error))?;
        Ok(match (answered, request.entries.get(..count)) {
            (AppendEntriesResponse::Success, Some([.., last])) if count < request.entries.len() => {
                AppendEntriesResponse::PartialSuccess(Some(last.log_id))
            }
            (answered, _) => answered,
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let message = convert::wire_vote_request(&request, self.header());
        let mut client = self.client(Lane::Heartbeat)?;
        let response = answer(option.soft_ttl(), client.vote(message)).await?;
        convert::voted(response).map_err(|error| malformed(&error))
    }

    /// Not optional: openraft's own answer, without it, grants every pre-vote.
    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let message = convert::wire_vote_request(&request, self.header());
        let mut client = self.client(Lane::Heartbeat)?;
        let response = answer(option.soft_ttl(), client.pre_vote(message)).await?;
        convert::voted(response).map_err(|error| malformed(&error))
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let message = convert::wire_transfer(&request, self.header());
        let mut client = self.client(Lane::Heartbeat)?;
        let response = answer(option.soft_ttl(), client.transfer_leader(message)).await?;
        convert::transferred(response).map_err(|error| malformed(&error))
    }

    /// Goes on where an earlier attempt, of this leader or of another, stopped: parts are the same from every node.
    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<Arc<VerifiedSnapshot>>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let send = self.send_snapshot(vote, snapshot.snapshot, snapshot.meta.last_log_id);
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = tokio::time::timeout(option.soft_ttl(), send) => match sent {
                Ok(sent) => sent.map_err(StreamingError::from),
                Err(elapsed) => Err(StreamingError::from(unreachable(&elapsed))),
            },
        }
    }
}

impl Peer {
    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: Arc<VerifiedSnapshot>,
        last: Option<LogId>,
    ) -> Result<SnapshotResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut client = self.client(Lane::Snapshot)?;
        let description = Bytes::copy_from_slice(snapshot.id());
        let question = wire::SnapshotProgressRequest { header: Some(self.header()), description: description.clone() };
        let progress = answer(ENTRIES_DEADLINE, client.snapshot_progress(question)).await?;
        let first_part = progress.next_part.min(u64::from(snapshot.parts()));
        let header = wire::SnapshotHeader {
            header: Some(self.header()),
            vote: Some(convert::wire_vote(&vote)),
            last: last.as_ref().map(convert::wire_log_id),
            membership_id: None,
            membership: Bytes::new(),
            description,
            first_part,
        };
        let (parts, queue) = mpsc::channel(PARTS_AHEAD);
        let reading = blocking_future(async move { send_parts(&snapshot, header, &parts).await });
        let installed = client.install_snapshot(ReceiverStream::new(queue)).await;
        // Ended already: the call took the queue with it, and a closed queue ends the reader.
        let read = reading.await;
        match (installed, read) {
            (Ok(response), _) => convert::installed(response.into_inner()).map_err(|error| malformed(&error)),
            // Why it was not sent says more than that the other side saw no end.
            (Err(_), Ok(Err(unsent))) => Err(unreachable(&unsent)),
            (Err(status), _) => Err(unreachable(&status)),
        }
    }
}

/// Why a snapshot was not sent to its end.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("the peer takes no more parts of the snapshot")]
    Stalled,
    #[error("the snapshot cannot be read")]
    Read(#[source] crate::storage::snapshot::Error),
}

/// Reads part after part from disk and waits for the line between them; runs on a thread that may block.
async fn send_parts(
    snapshot: &Arc<VerifiedSnapshot>,
    header: wire::SnapshotHeader,
    parts: &mpsc::Sender<wire::SnapshotPart>,
) -> Result<(), SendError> {
    use wire::snapshot_part::Part;
    let send = async |part| {
        let part = wire::SnapshotPart { part: Some(part) };
        parts.send_timeout(part, SNAPSHOT_STALL).await.map_err(|_| SendError::Stalled)
    };
    let first = u32::try_from(header.first_part).unwrap_or(u32::MAX);
    let end = wire::SnapshotEnd { parts: u64::from(snapshot.parts()), digest: header.description.clone() };
    send(Part::Header(header)).await?;
    let mut reader = snapshot.reader(first).map_err(SendError::Read)?;
    while let Some((number, rows)) = reader.next_part().map_err(SendError::Read)? {
        send(Part::Data(wire::SnapshotData { part: u64::from(number), rows: rows.into() })).await?;
    }
    send(Part::End(end)).await
}
