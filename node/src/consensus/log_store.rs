//! The Raft log as openraft wants it, on our own log. How bytes reach the disk is `storage::wal`'s; what an entry means
//! is the state machine's.
//!
//! ```text
//! payload in the log = version u8 (1) | kind u8 | content
//! kind 0 blank: nothing · kind 1 normal: the proposal's bytes · kind 2 membership: JSON
//! ```

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Stream, stream};
use openraft::OptionalSend;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use plantao_domain::planted::{Bug, planted};

use super::types::{Entry, EntryPayload, LeaderId, LogId, Membership, Proposal, TypeConfig, Vote};
use crate::storage::log::Log;
use crate::storage::wal::{Ballot, EntryId, LogEntry, WalError};

/// What one replication call carries at most, in bytes of payload; one entry in any case (DESIGN 6).
pub const READ_BYTES_MAX: usize = 1024 * 1024;

const VERSION: u8 = 1;
const KIND_BLANK: u8 = 0;
const KIND_NORMAL: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

/// openraft's handle of the log, for writing and for reading. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogStore {
    log: Log,
}

impl LogStore {
    /// The store on an open log.
    pub fn new(log: impl Into<Log>) -> Self {
        Self { log: log.into() }
    }
}

/// Why the payload of an entry does not decode. The seal held, so a program of another version wrote it.
#[derive(Debug, thiserror::Error)]
pub enum DecodeEntryError {
    /// Fewer bytes than every payload has.
    #[error("the payload of a log entry ends early")]
    Short,
    /// A format of another version.
    #[error("the payload of a log entry has version {version}, and this program reads version 1")]
    Version {
        /// The version byte.
        version: u8,
    },
    /// A kind of another version.
    #[error("the payload of a log entry has the unknown kind {kind}")]
    Kind {
        /// The kind byte.
        kind: u8,
    },
    /// A blank entry with content.
    #[error("a blank log entry has content")]
    NotBlank,
    /// A membership that does not parse.
    #[error("the membership in a log entry does not parse")]
    Membership(#[source] serde_json::Error),
}

/// The bytes of an entry's payload.
pub(super) fn encode(payload: &EntryPayload) -> io::Result<Bytes> {
    let mut bytes = BytesMut::new();
    bytes.put_u8(VERSION);
    match payload {
        EntryPayload::Blank => bytes.put_u8(KIND_BLANK),
        EntryPayload::Normal(proposal) => {
            bytes.reserve(proposal.payload.len() + 1);
            bytes.put_u8(KIND_NORMAL);
            bytes.put_slice(&proposal.payload);
        }
        EntryPayload::Membership(membership) => {
            bytes.put_u8(KIND_MEMBERSHIP);
            serde_json::to_writer((&mut bytes).writer(), membership)?;
        }
    }
    Ok(bytes.freeze())
}

/// The proposal in an entry's payload, if it is one: for commands that read a stopped node's log.
///
/// # Errors
/// The payload is none of ours.
pub fn proposal_of(payload: &Bytes) -> Result<Option<Bytes>, DecodeEntryError> {
    Ok(match decode(payload)? {
        EntryPayload::Normal(proposal) => Some(proposal.payload),
        EntryPayload::Blank | EntryPayload::Membership(_) => None,
    })
}

/// Total: any bytes may come. Shares the bytes of a proposal instead of copying them.
pub(super) fn decode(bytes: &Bytes) -> Result<EntryPayload, DecodeEntryError> {
    let &[version, kind, ref content @ ..] = bytes.as_ref() else {
        return Err(DecodeEntryError::Short);
    };
    match (version, kind) {
        (VERSION, KIND_BLANK) if content.is_empty() => Ok(EntryPayload::Blank),
        (VERSION, KIND_BLANK) => Err(DecodeEntryError::NotBlank),
        (VERSION, KIND_NORMAL) => Ok(EntryPayload::Normal(Proposal { payload: bytes.slice(2..) })),
        (VERSION, KIND_MEMBERSHIP) => serde_json::from_slice::<Membership>(content)
            .map(EntryPayload::Membership)
            .map_err(DecodeEntryError::Membership),
        (VERSION, kind) => Err(DecodeEntryError::Kind { kind }),
        (version, _) => Err(DecodeEntryError::Version { version }),
    }
}

fn entry_id(id: &LogId) -> EntryId {
    EntryId { term: id.leader_id.term, node: id.leader_id.node_id, index: id.index }
}

fn log_id(id: EntryId) -> LogId {
    LogId { leader_id: LeaderId { term: id.term, node_id: id.node }, index: id.index }
}

fn ballot(vote: &Vote) -> Ballot {
    Ballot { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed }
}

fn vote(ballot: Ballot) -> Vote {
    Vote { leader_id: LeaderId { term: ballot.term, node_id: ballot.node }, committed: ballot.committed }
}

fn failed(error: WalError) -> io::Error {
    match error {
        WalError::Sealed { .. } | WalError::Unreadable { .. } => io::Error::new(io::ErrorKind::InvalidData, error),
        error => io::Error::other(error),
    }
}

fn decode_entry(entry: LogEntry) -> io::Result<Entry> {
    let payload = decode(&entry.payload).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(Entry { log_id: log_id(entry.id), payload })
}

fn bounds(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl LogStore {
    async fn read(&self, range: Range<u64>, bytes_max: Option<usize>) -> io::Result<Vec<Entry>> {
        let entries = self.log.read(range, bytes_max).await.map_err(failed)?;
        entries.into_iter().map(decode_entry).collect()
    }

    /// [`Bug::LastEntryDropped`], as a log that takes a whole last entry for a torn one.
    #[cfg(feature = "planted")]
    async fn drop_last(&self) -> io::Result<()> {
        let Some(last) = self.log.state().last else { return Ok(()) };
        let before = self.log.read(last.index.saturating_sub(1)..last.index, None).await.map_err(failed)?;
        match before.last() {
            Some(before) => self.log.truncate_after(Some(before.id)).await.map_err(failed),
            None => Ok(()),
        }
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<R>(&mut self, range: R) -> io::Result<Vec<Entry>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.read(bounds(&range), None).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.log.state().vote.map(vote).filter(|_| !planted(Bug::VoteForgotten)))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start..end, Some(READ_BYTES_MAX)).await
    }

    /// In pieces: the default loads a whole backlog into memory before the first entry is applied.
    async fn entries_stream<R>(&mut self, range: R) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let store = self.clone();
        let pieces = stream::try_unfold((store, bounds(&range)), |(store, range)| async move {
            let entries = store.read(range.clone(), Some(READ_BYTES_MAX)).await?;
            let Some(last) = entries.last() else {
                return Ok::<_, io::Error>(None);
            };
            let rest = last.log_id.index.saturating_add(1)..range.end;
            Ok(Some((stream::iter(entries.into_iter().map(Ok)), (store, rest))))
        });
        Box::pin(futures_util::TryStreamExt::try_flatten(pieces))
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        #[cfg(feature = "planted")]
        if planted(Bug::LastEntryDropped) {
            self.drop_last().await?;
        }
        let state = self.log.state();
        Ok(LogState { last_purged_log_id: state.purged.map(log_id), last_log_id: state.last.map(log_id) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        if planted(Bug::VoteNotSaved) {
            return Ok(());
        }
        self.log.save_vote(ballot(vote)).await.map_err(failed)
    }

    /// Saved lazily: the value rides with the next sync and never costs one. The state is a cache of the log that syncs
    /// at its checkpoints only, so a restart finds it behind; from this value openraft applies the log again up to
    /// where it had certainly been committed. An older value costs only the wait for the leader's next word.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let committed = committed.as_ref().map(entry_id);
        let committed = if planted(Bug::CommitSavedTooFar) { self.log.state().last } else { committed };
        self.log.save_committed(committed).await.map_err(failed)
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.log.state().committed.map(log_id))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries
            .into_iter()
            .map(|entry| Ok(LogEntry { id: entry_id(&entry.log_id), payload: encode(&entry.payload)? }))
            .collect::<io::Result<Vec<_>>>()?;
        if planted(Bug::AckBeforeFlush) {
            let done = self.log.append(entries, |_| ()).await.map_err(failed);
            callback.io_completed(Ok(()));
            return done;
        }
        let flushed = move |outcome: Result<(), WalError>| callback.io_completed(outcome.map_err(failed));
        self.log.append(entries, flushed).await.map_err(failed)
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        if planted(Bug::TruncateSkipped) {
            return Ok(());
        }
        self.log.truncate_after(last.as_ref().map(entry_id)).await.map_err(failed)
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.log.purge(entry_id(&upto)).await.map_err(failed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::consensus::types::{Applied, Member, Snapshot, SnapshotMeta, StoredMembership};
    use crate::storage::wal::testing;
    use futures_util::TryStreamExt;
    use openraft::StorageError;
    use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
    use openraft::testing::log::{StoreBuilder, Suite};
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::{Arc, Mutex};

    /// The half of the suite that is not ours here: remembers what was applied, and nothing else.
    #[derive(Clone, Default)]
    struct Machine(Arc<Mutex<MachineState>>);

    #[derive(Default)]
    struct MachineState {
        applied: Option<LogId>,
        membership: StoredMembership,
        snapshot: Option<SnapshotMeta>,
    }

    impl RaftStateMachine<TypeConfig> for Machine {
        type SnapshotData = ();
        type SnapshotBuilder = Self;

        async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
            let state = self.0.lock().unwrap();
            Ok((state.applied, state.membership.clone()))
        }

        async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
        where
            S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
        {
            while let Some((entry, responder)) = entries.try_next().await? {
                let mut state = self.0.lock().unwrap();
                state.applied = Some(entry.log_id);
                if let EntryPayload::Membership(membership) = entry.payload {
                    state.membership = StoredMembership::new(Some(entry.log_id), membership);
                }
                if let Some(responder) = responder {
                    responder.send(Applied::default());
                }
            }
            Ok(())
        }

        async fn get_snapshot_builder(&mut self) -> Self {
            self.clone()
        }

        async fn install_snapshot(&mut self, meta: &SnapshotMeta, (): ()) -> io::Result<()> {
            let mut state = self.0.lock().unwrap();
            state.applied = meta.last_log_id;
            state.membership = meta.last_membership.clone();
            state.snapshot = Some(meta.clone());
            Ok(())
        }

        async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot<()>>> {
            let meta = self.0.lock().unwrap().snapshot.clone();
            Ok(meta.map(|meta| Snapshot { meta, snapshot: () }))
        }
    }

    impl RaftSnapshotBuilder<TypeConfig> for Machine {
        type SnapshotData = ();

        async fn build_snapshot(&mut self) -> io::Result<Snapshot<()>> {
            let mut state = self.0.lock().unwrap();
            let meta = SnapshotMeta { last_log_id: state.applied, last_membership: state.membership.clone() };
            state.snapshot = Some(meta.clone());
            Ok(Snapshot { meta, snapshot: () })
        }
    }

    struct Builder;

    impl StoreBuilder<TypeConfig, LogStore, Machine, tempfile::TempDir> for Builder {
        async fn build(&self) -> Result<(tempfile::TempDir, LogStore, Machine), StorageError<TypeConfig>> {
            let directory = tempfile::tempdir().unwrap();
            let wal = testing::create(directory.path());
            Ok((directory, LogStore::new(wal), Machine::default()))
        }
    }

    /// What openraft itself asks of a store: some fifty cases of its own.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn openrafts_own_suite_passes() {
        Suite::test_all(Builder).await.unwrap();
    }

    fn payloads() -> Vec<EntryPayload> {
        let members = BTreeMap::from([
            (1, Member { name: "centro".into(), peer_address: "127.0.0.1:1".into(), keyed: true }),
            (2, Member { name: "cofre".into(), peer_address: "127.0.0.1:2".into(), keyed: false }),
        ]);
        vec![
            EntryPayload::Blank,
            EntryPayload::Normal(Proposal { payload: Bytes::new() }),
            EntryPayload::Normal(Proposal { payload: Bytes::from_static(&[0, 1, 2, 255]) }),
            EntryPayload::Membership(Membership::new(vec![BTreeSet::from([1])], members).unwrap()),
        ]
    }

    #[test]
    fn payloads_keep_their_content() {
        for payload in payloads() {
            let bytes = encode(&payload).unwrap();
            assert_eq!(decode(&bytes).unwrap(), payload);
        }
    }

    /// A damaged payload does not get here, for the seal is checked first; another version's may.
    #[test]
    fn decoding_is_total() {
        for payload in payloads() {
            let bytes = encode(&payload).unwrap();
            for length in 0..bytes.len() {
                let decoded = decode(&bytes.slice(..length));
                let may_be_shorter = matches!(payload, EntryPayload::Normal(_)) && length >= 2;
                assert_eq!(decoded.is_ok(), may_be_shorter, "{payload:?} cut to {length}");
            }
            for position in 0..bytes.len() {
                for bit in 0..8 {
                    let mut flipped = bytes.to_vec();
                    flipped[position] ^= 1 << bit;
                    if let Ok(decoded) = decode(&flipped.into()) {
                        assert_ne!(decoded, payload);
                    }
                }
            }
        }
        assert!(matches!(decode(&Bytes::from_static(&[2, 0])), Err(DecodeEntryError::Version { version: 2 })));
        assert!(matches!(decode(&Bytes::from_static(&[1, 9])), Err(DecodeEntryError::Kind { kind: 9 })));
        assert!(matches!(decode(&Bytes::from_static(&[1, 0, 0])), Err(DecodeEntryError::NotBlank)));
    }

    /// One call to a peer must stay small, whatever the lag; and a stream must still bring everything.
    #[tokio::test]
    async fn a_replication_read_is_bounded_and_a_stream_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = LogStore::new(testing::create(directory.path()));
        let payload = EntryPayload::Normal(Proposal { payload: vec![7; 60 * 1024].into() });
        let leader_id = LeaderId { term: 1, node_id: 1 };
        let entries = (0..100).map(|index| Entry { log_id: LogId { leader_id, index }, payload: payload.clone() });
        store.append(entries, IOFlushed::noop()).await.unwrap();

        let piece = store.limited_get_log_entries(3, 90).await.unwrap();
        assert_eq!(piece.first().unwrap().log_id.index, 3);
        assert_eq!(piece.len(), READ_BYTES_MAX / (60 * 1024 + 2));
        let stream = store.entries_stream(3..90).await;
        let indexes: Vec<u64> = stream.map_ok(|entry| entry.log_id.index).try_collect().await.unwrap();
        assert_eq!(indexes, (3..90).collect::<Vec<_>>());
    }
}
