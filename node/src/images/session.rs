//! One upload on the node that takes it: what came, what is sealed, and the tasks that bring each chunk to the nodes
//! that are to hold it.
//!
//! ```text
//! take(sequence, bytes) ─► [intake, one call at a time] cut, hash, seal ─► copies ─┬► feeder of this node ─► directory
//!                                                                                 └► feeder of each other ─► PutChunk
//! ```
//! A session is memory only. It ends with the commit and its last copies, when nobody comes back for it, or with the
//! process; whoever goes on begins a new one, here or elsewhere, from what nodes were given ([`super::notes`]).

use super::Images;
use super::copies::{Copies, Job, Site, THUMBNAIL};
use super::error::Error;
use super::local::KeepError;
use super::peers::PeerError;
use crate::chunks::PutError;
use crate::chunks::ingest::{Cutter, Declared, IngestError, Whole};
use crate::chunks::lanes::Lane;
use crate::crypto::chunk_seal::CHUNK_PLAINTEXT_BYTES_MAX;
use crate::crypto::{DataKey, SealedChunk, seal_chunk};
use bytes::Bytes;
use plantao_domain::images::{ChunkEntry, FRAME_BYTES, chunk_count, stored_bytes};
use plantao_domain::rows::UploadRow;
use plantao_domain::{ClusterId, NodeId, UploadId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

/// Chunks of one upload under way to one node.
const UNDER_WAY_MAX: usize = 4;
/// Places that are verified in one question.
const VERIFY_MAX: usize = 16;
/// Pauses after a node did not take a chunk double from here …
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// … up to here.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What came so far.
pub(super) struct Intake {
    /// `None` once all of it came, or after a refusal.
    cutter: Option<Cutter>,
    /// All of it, checked as far as it can be without the sender's last word.
    pub(super) whole: Option<Whole>,
    /// First chunk that did not come.
    pub(super) next: u32,
    /// Whether what nodes were given before was looked for.
    pub(super) is_resumed: bool,
    /// The task that makes the thumbnail.
    pub(super) thumbnail: Option<tokio::task::JoinHandle<()>>,
}

/// Why this node's own directory takes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LocalFault {
    NoStore,
    Full,
}

/// One upload.
pub(super) struct Session {
    pub(super) upload: UploadId,
    pub(super) row: UploadRow,
    pub(super) key: Arc<DataKey>,
    cluster: ClusterId,
    pub(super) intake: Arc<tokio::sync::Mutex<Intake>>,
    /// Counts the calls that took over.
    pub(super) turn: watch::Sender<u64>,
    copies: Mutex<Copies>,
    ticks: watch::Sender<u64>,
    times: Mutex<Times>,
    fault: Mutex<Option<LocalFault>>,
    pub(super) stop: CancellationToken,
}

#[derive(Clone, Copy)]
struct Times {
    touched: Instant,
    renewed: Instant,
    replaced: Instant,
    is_committed: bool,
}

impl Session {
    pub(super) fn new(
        upload: UploadId,
        row: UploadRow,
        key: Arc<DataKey>,
        cluster: ClusterId,
        declared_sha256: Option<[u8; 32]>,
        sites: BTreeMap<NodeId, Site>,
        is_fresh: bool,
    ) -> Result<Self, Error> {
        let declared =
            Declared { bytes: row.bytes, content_type: super::content_type(row.media_type), sha256: declared_sha256 };
        let cutter = Cutter::new(declared).map_err(|error| refused(error, 0))?;
        let now = Instant::now();
        Ok(Self {
            upload,
            key,
            cluster,
            intake: Arc::new(tokio::sync::Mutex::new(Intake {
                cutter: Some(cutter),
                whole: None,
                next: 0,
                is_resumed: is_fresh,
                thumbnail: None,
            })),
            turn: watch::Sender::new(0),
            copies: Mutex::new(Copies::new(upload, sites)),
            ticks: watch::Sender::new(0),
            times: Mutex::new(Times { touched: now, renewed: now, replaced: now, is_committed: false }),
            fault: Mutex::new(None),
            stop: CancellationToken::new(),
            row,
        })
    }

    pub(super) fn chunk_count(&self) -> u32 {
        // At most 2,048.
        u32::try_from(chunk_count(self.row.bytes)).unwrap_or(u32::MAX)
    }

    /// Looks at the copies.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Copies) -> T) -> T {
        look(&self.copies.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the copies, and tells whoever waits for a change.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Copies) -> T) -> T {
        let done = change(&mut self.copies.lock().unwrap_or_else(PoisonError::into_inner));
        self.ticks.send_modify(|tick| *tick = tick.wrapping_add(1));
        done
    }

    /// Waits until the copies are so, or the time is over; whether they are.
    pub(super) async fn wait_until(&self, deadline: Instant, is_so: impl Fn(&Copies) -> bool) -> bool {
        let mut ticks = self.ticks.subscribe();
        loop {
            if self.look(&is_so) {
                return true;
            }
            if !matches!(timeout_at(deadline, ticks.changed()).await, Ok(Ok(()))) {
                return self.look(&is_so);
            }
        }
    }

    fn times(&self) -> Times {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_time(&self, note: impl FnOnce(&mut Times)) {
        note(&mut self.times.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Somebody came for it.
    pub(super) fn touch(&self) {
        self.note_time(|times| times.touched = Instant::now());
    }

    pub(super) fn idle_for(&self) -> Duration {
        self.times().touched.elapsed()
    }

    pub(super) fn note_committed(&self) {
        self.note_time(|times| times.is_committed = true);
    }

    pub(super) fn is_committed(&self) -> bool {
        self.times().is_committed
    }

    /// Whether `every` has passed since this last said so: the lease is then to be renewed.
    pub(super) fn is_renewal_due(&self, every: Duration) -> bool {
        let due = self.times().renewed.elapsed() >= every;
        if due {
            self.note_time(|times| times.renewed = Instant::now());
        }
        due
    }

    /// The same for looking for other nodes.
    pub(super) fn is_placing_due(&self, every: Duration) -> bool {
        let due = self.times().replaced.elapsed() >= every;
        if due {
            self.note_time(|times| times.replaced = Instant::now());
        }
        due
    }

    pub(super) fn fault(&self) -> Option<LocalFault> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_fault(&self, fault: Option<LocalFault>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Takes a whole chunk; `false` if there was no room for it until the deadline. One that is here already is compared
    /// and passed over. After an error that speaks of the content nothing is taken any more; the session is to be
    /// dropped.
    ///
    /// # Errors
    /// See [`Error`].
    pub(super) async fn take(
        &self,
        intake: &mut Intake,
        sequence: u32,
        data: Bytes,
        deadline: Instant,
    ) -> Result<bool, Error> {
        let expected = stored_bytes(self.row.bytes, sequence.into()).map_or(0, |stored| stored - FRAME_BYTES);
        // At most 1 MiB.
        let expected = usize::try_from(expected).unwrap_or(CHUNK_PLAINTEXT_BYTES_MAX);
        if data.is_empty() || data.len() != expected {
            return Err(Error::ChunkLength { sequence, bytes: data.len(), expected });
        }
        if sequence > intake.next {
            return Err(Error::Gap { sequence, next: intake.next });
        }
        if sequence < intake.next {
            let (cluster, patient, key) = (self.cluster, self.row.patient, Arc::clone(&self.key));
            let sealing = move || seal_chunk(cluster, patient, &key, &data).id;
            let id = crate::work::blocking(sealing).await.map_err(|_| Error::Busy)?;
            let known = self.look(|copies| copies.entry(sequence));
            return if known.is_some_and(|entry| entry.chunk == id) {
                Ok(true)
            } else {
                Err(Error::OtherBytes { sequence })
            };
        }
        if self.fault() == Some(LocalFault::Full) {
            return Err(Error::Full);
        }
        if !self.wait_until(deadline, Copies::has_room).await {
            return match self.fault() {
                Some(LocalFault::Full) => Err(Error::Full),
                Some(LocalFault::NoStore) => Err(Error::NoStore),
                // The others are slow: what there is of them has it, and the sender comes again.
                None => Ok(false),
            };
        }
        let sealed = self.cut(intake, sequence, data, true).await?.ok_or(Error::Busy)?;
        self.put(intake, sequence, sealed);
        Ok(true)
    }

    /// A chunk that lies on some node already: hashed, and not sealed anew.
    pub(super) async fn take_up(
        &self,
        intake: &mut Intake,
        sealed: SealedChunk,
        plaintext: Bytes,
    ) -> Result<(), Error> {
        let sequence = intake.next;
        self.cut(intake, sequence, plaintext, false).await?;
        self.put(intake, sequence, sealed);
        Ok(())
    }

    /// Runs one chunk through the cutter, on a thread for such work.
    async fn cut(
        &self,
        intake: &mut Intake,
        sequence: u32,
        data: Bytes,
        is_to_seal: bool,
    ) -> Result<Option<SealedChunk>, Error> {
        let mut cutter = intake.cutter.take().ok_or(Error::OtherBytes { sequence })?;
        let (cluster, patient, key) = (self.cluster, self.row.patient, Arc::clone(&self.key));
        let work = move || {
            let mut sealed = None;
            let cut = cutter.push(&data, |chunk| {
                if is_to_seal {
                    sealed = Some(seal_chunk(cluster, patient, &key, chunk));
                }
                Ok::<_, IngestError>(())
            });
            cut.map(|()| (cutter, sealed))
        };
        let cut = crate::work::blocking(work).await.map_err(|_| Error::Busy)?;
        let (cutter, sealed) = cut.map_err(|error| refused(error, sequence))?;
        if cutter.bytes() == self.row.bytes {
            intake.whole = Some(cutter.finish(None).map_err(|error| refused(error, sequence))?);
        } else {
            intake.cutter = Some(cutter);
        }
        Ok(sealed)
    }

    fn put(&self, intake: &mut Intake, sequence: u32, sealed: SealedChunk) {
        self.add(sequence, sealed);
        intake.next = sequence + 1;
    }

    /// A sealed chunk is to be brought to every node.
    pub(super) fn add(&self, place: u32, sealed: SealedChunk) {
        let SealedChunk { id, frame } = sealed;
        // At most 1 MiB and the frame.
        let stored_bytes = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        self.change(|copies| copies.add(place, ChunkEntry { chunk: id, stored_bytes }, Some(Bytes::from(frame))));
    }

    /// Starts the task that feeds one node, for as long as the session lives.
    pub(super) fn feed(self: &Arc<Self>, images: &Images, node: NodeId) {
        tokio::spawn(feed(Arc::clone(self), images.clone(), node));
    }
}

/// What an ingest error means for the sender of chunk `sequence`.
pub(super) fn refused(error: IngestError, sequence: u32) -> Error {
    match error {
        IngestError::OtherType { declared, found } => Error::OtherType { declared, found },
        IngestError::OtherDigest => Error::OtherDigest,
        // Sizes are compared before the cutter sees a chunk.
        IngestError::Empty
        | IngestError::TooLarge { .. }
        | IngestError::TooLong { .. }
        | IngestError::TooShort { .. }
        | IngestError::Refused => Error::OtherBytes { sequence },
    }
}

/// What became of one chunk on its way.
enum Sent {
    Kept(u32, super::ChunkReceipt),
    Failed(u32, Option<LocalFault>),
}

async fn feed(session: Arc<Session>, images: Images, node: NodeId) {
    let is_local = node == images.node();
    let mut ticks = session.ticks.subscribe();
    let mut under_way: JoinSet<Sent> = JoinSet::new();
    let (mut pause, mut not_before) = (PAUSE_MIN, Instant::now());
    loop {
        let is_placed = session.look(|copies| copies.nodes().contains(&node));
        if !is_placed {
            return;
        }
        if Instant::now() >= not_before {
            verify(&session, &images, node, is_local).await;
            while under_way.len() < UNDER_WAY_MAX
                && let Some(job) = session.look_for_job(node)
            {
                let (session, images) = (Arc::clone(&session), images.clone());
                under_way.spawn(async move { send(&session, &images, node, is_local, job).await });
            }
        }
        tokio::select! {
            () = session.stop.cancelled() => return,
            Some(sent) = under_way.join_next(), if !under_way.is_empty() => match sent {
                Ok(Sent::Kept(place, receipt)) => {
                    if is_local {
                        session.set_fault(None);
                    }
                    pause = PAUSE_MIN;
                    session.change(|copies| copies.kept(node, place, receipt));
                }
                Ok(Sent::Failed(place, fault)) => {
                    if is_local {
                        session.set_fault(fault);
                    }
                    not_before = Instant::now() + pause;
                    pause = (pause * 2).min(PAUSE_MAX);
                    session.change(|copies| copies.failed(node, place));
                }
                // A panic: the place stays under way, and another node's copy has to do.
                Err(_) => {}
            },
            () = sleep_until(not_before), if Instant::now() < not_before => {}
            changed = ticks.changed() => if changed.is_err() { return },
        }
    }
}

impl Session {
    /// Without telling anybody: nothing that others wait for changes.
    fn look_for_job(&self, node: NodeId) -> Option<Job> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner).next(node)
    }
}

/// Asks a node about chunks that it is said to have, a few at a time.
async fn verify(session: &Arc<Session>, images: &Images, node: NodeId, is_local: bool) {
    loop {
        let asked = session.look(|copies| copies.to_verify(node, VERIFY_MAX));
        if asked.is_empty() {
            return;
        }
        let ids: Vec<_> = asked.iter().map(|(_, id)| *id).collect();
        let answer = if is_local {
            images.chunks().verify(&ids).await.ok().map(|(good, receipt)| (good, Some(receipt)))
        } else {
            images.peers().verify(node, &ids).await.ok()
        };
        let (good, receipt) = answer.unwrap_or_else(|| (vec![false; ids.len()], None));
        session.change(|copies| {
            for ((place, _), good) in asked.iter().zip(good) {
                copies.verified(node, *place, receipt.filter(|_| good));
            }
        });
    }
}

async fn send(session: &Arc<Session>, images: &Images, node: NodeId, is_local: bool, job: Job) -> Sent {
    let Job { place, id, bytes } = job;
    let bytes = match bytes {
        Some(bytes) => bytes,
        None => {
            let holders = session.look(|copies| copies.holders_of(place));
            let others: Vec<NodeId> = holders.into_iter().filter(|holder| *holder != node).collect();
            match images.fetch(id, &others).await {
                Ok(bytes) => bytes,
                Err(_) => return Sent::Failed(place, None),
            }
        }
    };
    let of = (place != THUMBNAIL).then_some((session.upload, place));
    if is_local {
        return match images.chunks().put(id, bytes, of).await {
            Ok(receipt) => Sent::Kept(place, receipt),
            Err(KeepError::Put(PutError::Full { .. })) => Sent::Failed(place, Some(LocalFault::Full)),
            Err(KeepError::NoStore | KeepError::Put(_)) => Sent::Failed(place, Some(LocalFault::NoStore)),
            Err(KeepError::State(_)) => Sent::Failed(place, None),
        };
    }
    // After the commit nobody waits for it any more: it keeps to what the link may be used for.
    let lane = if session.is_committed() { Lane::Fresh } else { Lane::Awaited };
    let _pass = images.peers().links().pass(node, bytes.len() as u64, lane, images.gateway().clock().now()).await;
    match images.peers().put(node, id, bytes, of).await {
        Ok(receipt) => Sent::Kept(place, receipt),
        Err(error) => {
            if let PeerError::Refused { .. } | PeerError::Malformed { .. } = &error {
                tracing::debug!(node = node.0, %error, "a chunk was not taken");
            }
            Sent::Failed(place, None)
        }
    }
}
