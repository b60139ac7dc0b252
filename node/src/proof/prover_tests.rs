#![allow(clippy::unwrap_used)]

use super::super::report::Finding;
use super::super::safety::Verdict;
use super::*;
use crate::chunks::challenge::{Possession, proof};
use crate::chunks::{PARTITIONS, SetDigest, partition_of};
use crate::crypto::chunk_id;
use crate::images::convert::{HeldPartition, ListedChunk};
use crate::images::keeping::testing::upload_row;
use crate::storage::state::tests::Place as StatePlace;
use crate::storage::state::{Batch, EngineKind, EntryId};
use bytes::Bytes;
use plantao_domain::images::ChunkEntry;
use plantao_domain::rows::{ChunkRow, ImageRow, PartOf, PartRow, ReceiptRow, UploadRow, UploadState};
use plantao_domain::view::Changes;
use plantao_domain::*;
use std::sync::Mutex;

const NODES: [(u64, &str, &str, bool); 3] =
    [(1, "centro", "ssd", true), (2, "jardins", "ssd", true), (3, "cofre", "hdd", false)];
const IMAGES: u8 = 40;
const NONCE: [u8; 32] = [9; 32];

fn incarnation(node: u64) -> StoreIncarnation {
    StoreIncarnation::from_bytes([u8::try_from(node).unwrap(); 16])
}

fn bytes_of(image: u8) -> Vec<u8> {
    vec![image; 200]
}

fn image_id(image: u8) -> ImageId {
    ImageId::from_bytes([image; 16])
}

/// The rows of [`IMAGES`] images of one chunk each, placed on all three nodes; node 3 has no receipt for the last one.
fn rows_of_images() -> Changes {
    let mut changes = Changes::new();
    let at = ClusterTime::saturating_from_millis(1_000_000);
    let mut put = |key: Vec<u8>, value: Vec<u8>| drop(changes.insert(key, Some(value)));
    for (node, name, medium, keyed) in NODES {
        let description = NodeDescription {
            name: name.into(),
            site: name.into(),
            country: "BR".into(),
            medium: medium.into(),
            peer_address: "x:1".into(),
            keyed,
            voter: true,
        };
        let row = cluster::NodeRow { description, joined_at: at, root_handed: keyed };
        put(rows::node_key(NodeId(node)), codec::encode_row(&row));
        let store = StoreRow {
            incarnation: incarnation(node),
            disk: DiskId::from_bytes([u8::try_from(node).unwrap(); 32]),
            medium: medium.into(),
            registered_at: at,
            retired_at: None,
            expected: rows::Amount::default(),
            received: rows::Amount::default(),
        };
        put(rows::store_key(NodeId(node)), codec::encode_row(&store));
    }
    for image in 1..=IMAGES {
        let upload = UploadId::from_bytes([image; 16]);
        let of = PartOf { upload, part: 0 };
        let chunk = chunk_id(&bytes_of(image));
        let placement = NODES.map(|(node, ..)| NodeId(node));
        let row = upload_row(upload, PatientId::default(), UploadState::Committed(at), &placement);
        let row = UploadRow { bytes: 94, ..row };
        put(rows::upload_key(upload), codec::encode_row(&row));
        put(rows::image_key(row.image), codec::encode_row(&ImageRow::of(upload, &row, at)));
        let chunks = vec![ChunkEntry { chunk, stored_bytes: 200 }];
        let part = PartRow { digest: images::part_digest(upload, 0, &chunks), chunks, epoch: 0 };
        put(rows::part_key(of), codec::encode_row(&part));
        put(rows::chunk_key(chunk, of), codec::encode_row(&ChunkRow { stored_bytes: 200 }));
        for (node, ..) in NODES.iter().filter(|(node, ..)| *node != 3 || image != IMAGES) {
            let row = ReceiptRow { incarnation: incarnation(*node), gc_epoch: 0, at };
            put(rows::receipt_key(of, NodeId(*node)), codec::encode_row(&row));
        }
    }
    changes
}

/// What a node has, and whether it is honest about it.
#[derive(Clone)]
struct Told {
    here: BTreeMap<ChunkId, Vec<u8>>,
    disk: u8,
    age: Duration,
    silent: bool,
    /// Says that it holds what it has not, and makes proofs up.
    claims: BTreeSet<ChunkId>,
    /// Lists what it has and finds it rotten when it is to prove it.
    rotten: BTreeSet<ChunkId>,
    /// Lists what it has and answers no challenge.
    proves_nothing: bool,
    /// Which directory it tells of.
    incarnation: StoreIncarnation,
}

struct Testimony(Mutex<BTreeMap<NodeId, Told>>);

impl Testimony {
    fn of(&self, node: NodeId) -> Result<Told, PeerError> {
        let told = self.0.lock().unwrap()[&node].clone();
        if told.silent { Err(PeerError::Unreachable { node }) } else { Ok(told) }
    }
}

#[tonic::async_trait]
impl Witness for Testimony {
    async fn held(&self, node: NodeId) -> Result<HeldReport, PeerError> {
        let told = self.of(node)?;
        let empty =
            HeldPartition { count: 0, bytes: 0, digest: SetDigest::default(), oldest_check_age: Duration::ZERO };
        let mut partitions = vec![empty; PARTITIONS];
        for id in told.here.keys().chain(&told.claims) {
            let partition = &mut partitions[usize::from(partition_of(id))];
            partition.count += 1;
            partition.bytes += 200;
            partition.digest.add(id);
            partition.oldest_check_age = told.age;
        }
        let disk = DiskId::from_bytes([told.disk; 32]);
        Ok(HeldReport { incarnation: told.incarnation, disk, applied_index: 1, partitions, bad: 0 })
    }

    async fn list(&self, node: NodeId, partition: u8, after: Option<ChunkId>) -> Result<Vec<ListedChunk>, PeerError> {
        let told = self.of(node)?;
        let all: BTreeSet<ChunkId> = told.here.keys().chain(&told.claims).copied().collect();
        let page = all.into_iter().filter(|id| partition_of(id) == partition && after.is_none_or(|after| *id > after));
        // One at a time: pages must join.
        Ok(page.take(1).map(|id| ListedChunk { id, stored_bytes: 200, check_age: told.age }).collect())
    }

    async fn challenge(&self, node: NodeId, nonce: &[u8; 32], ids: &[ChunkId]) -> Result<Vec<Possession>, PeerError> {
        let told = self.of(node)?;
        if told.proves_nothing {
            return Err(PeerError::Unreachable { node });
        }
        let answers = ids.iter().map(|id| match told.here.get(id) {
            Some(_) if told.rotten.contains(id) => Possession::None,
            Some(bytes) => Possession::Proof(proof(nonce, id, bytes)),
            None => Possession::Proof(proof(nonce, id, b"made up")),
        });
        Ok(answers.collect())
    }

    async fn get(&self, node: NodeId, id: ChunkId) -> Result<Bytes, PeerError> {
        let bytes = self.of(node)?.here.get(&id).cloned();
        bytes.map(Bytes::from).ok_or(PeerError::OtherBytes { node, id })
    }

    async fn have(&self, node: NodeId, ids: &[ChunkId]) -> Result<Vec<Option<u32>>, PeerError> {
        let told = self.of(node)?;
        Ok(ids.iter().map(|id| told.here.get(id).map(|_| 200)).collect())
    }
}

struct World {
    _home: tempfile::TempDir,
    examiner: Examiner,
    testimony: Arc<Testimony>,
    simulated: bool,
    /// Nodes whose state is another one.
    strays: BTreeSet<NodeId>,
}

impl World {
    /// All images on all nodes.
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let (state, _) = StatePlace::new(home.path(), EngineKind::Fjall).open();
        let applied = EntryId { term: 1, node: 1, index: 7 };
        let batch =
            Batch { changes: rows_of_images(), applied, membership: None, chain: [0; 32], last_time: 1_000_000 };
        state.apply(&batch).unwrap();
        let here: BTreeMap<ChunkId, Vec<u8>> =
            (1..=IMAGES).map(|image| (chunk_id(&bytes_of(image)), bytes_of(image))).collect();
        let told = NODES.map(|(node, ..)| {
            let told = Told {
                here: here.clone(),
                disk: u8::try_from(node).unwrap(),
                age: Duration::from_secs(60),
                silent: false,
                claims: BTreeSet::new(),
                rotten: BTreeSet::new(),
                proves_nothing: false,
                incarnation: incarnation(node),
            };
            (NodeId(node), told)
        });
        let testimony = Arc::new(Testimony(Mutex::new(told.into_iter().collect())));
        let examiner = Examiner { state, witness: testimony.clone() };
        Self { _home: home, examiner, testimony, simulated: false, strays: BTreeSet::new() }
    }

    fn told(&self, node: u64, change: impl FnOnce(&mut Told)) {
        change(self.testimony.0.lock().unwrap().get_mut(&NodeId(node)).unwrap());
    }

    async fn examine(&self) -> Report {
        let members: BTreeSet<NodeId> = NODES.iter().map(|(node, ..)| NodeId(*node)).collect();
        let mut states = States { agree: members.difference(&self.strays).copied().collect(), ..States::default() };
        for node in &members {
            let told = self.testimony.0.lock().unwrap()[node].clone();
            let state = StateEvidence {
                applied_index: 7,
                content: [0; 32],
                chain: [0; 32],
                rows: 5,
                disk: DiskId::from_bytes([told.disk; 32]),
                medium: NODES.iter().find(|(id, ..)| *id == node.0).unwrap().2.to_owned(),
                simulated: self.simulated,
                check_age: Duration::ZERO,
            };
            states.last.insert(*node, state);
        }
        let options = Options { challenge_chunks: 10, check_age_max: Duration::from_secs(3_600) };
        self.examiner.examine(options, NONCE, (members, states), true, |_| {}).await.unwrap()
    }
}

fn kinds(report: &Report) -> Vec<(FindingKind, u64)> {
    report.findings.iter().map(|finding| (finding.kind, finding.node.0)).collect()
}

#[tokio::test]
async fn what_all_nodes_have_and_prove_holds() {
    let world = World::new();
    let report = world.examine().await;
    assert_eq!((report.verdict(), report.findings_total, report.applied_index), (Verdict::Holds, 0, 7));
    for holder in &report.holders {
        assert_eq!((holder.expected_chunks, holder.expected_bytes), (40, 8_000));
        assert_eq!((holder.held_chunks, holder.challenged, holder.proved), (40, 10, 10));
        assert_eq!(holder.check_age, Duration::from_secs(60));
    }
    let images = &report.objects[0];
    assert_eq!((images.kind, images.objects, images.bytes), ("images", 40, 40 * 94));
    assert_eq!(images.least, super::super::safety::Safety { copies: 3, media: 2, off_site: 1 });
    // More than it should is no fault.
    world.told(2, |told| drop(told.here.insert(chunk_id(b"orphan"), b"orphan".to_vec())));
    assert_eq!(world.examine().await.verdict(), Verdict::Holds);
}

#[tokio::test]
async fn one_disk_for_two_nodes_holds_only_where_it_is_declared() {
    let mut world = World::new();
    world.told(2, |told| told.disk = 1);
    let report = world.examine().await;
    assert_eq!(report.verdict(), Verdict::DoesNotHold);
    assert_eq!((report.objects[0].without_three, report.objects[0].without_two), (40, 0));
    world.simulated = true;
    assert_eq!(world.examine().await.verdict(), Verdict::HoldsSimulated);
}

#[tokio::test]
async fn what_is_missing_is_named_and_told_from_what_was_never_given() {
    let world = World::new();
    let (first, last) = (chunk_id(&bytes_of(1)), chunk_id(&bytes_of(IMAGES)));
    world.told(3, |told| {
        told.here.remove(&first);
        told.here.remove(&last);
    });
    let report = world.examine().await;
    let finding =
        |kind, image, chunk| Finding { kind, node: NodeId(3), image: Some(image_id(image)), chunk: Some(chunk) };
    assert_eq!(report.findings, [finding(FindingKind::Lost, 1, first), finding(FindingKind::Awaited, IMAGES, last)]);
    let cofre = &report.holders[2];
    assert_eq!((cofre.lost_chunks, cofre.awaited_chunks, cofre.answer), (1, 1, Answer::Answered));
    let images = &report.objects[0];
    assert_eq!((images.objects, images.without_three, images.without_two, images.without_one), (40, 2, 2, 2));
    assert_eq!(report.verdict(), Verdict::DoesNotHold);
}

#[tokio::test]
async fn a_node_that_reports_what_it_has_not_is_caught_and_counts_for_nothing() {
    let world = World::new();
    world.told(2, |told| {
        told.claims = std::mem::take(&mut told.here).into_keys().collect();
    });
    let report = world.examine().await;
    let jardins = &report.holders[1];
    assert_eq!((jardins.answer, jardins.held_chunks, jardins.proved), (Answer::Refuted, 40, 0));
    assert_eq!(kinds(&report), [(FindingKind::Refuted, 2); 10]);
    assert_eq!(report.objects[0].without_three, 40);
    assert_eq!(report.verdict(), Verdict::DoesNotHold);
    assert!(report.holders.iter().filter(|holder| holder.place.node.0 != 2).all(|holder| holder.proved == 10));
    // Also where two of three lie alike, and where nobody else is there to contradict.
    world.told(1, |told| told.claims = std::mem::take(&mut told.here).into_keys().collect());
    let report = world.examine().await;
    assert_eq!(report.holders.iter().map(|holder| holder.proved).collect::<Vec<_>>(), [0, 0, 10]);
    world.told(3, |told| told.silent = true);
    world.told(1, |told| told.silent = true);
    assert_eq!(world.examine().await.holders[1].answer, Answer::Refuted);
}

#[tokio::test]
async fn rot_that_a_challenge_meets_an_overdue_check_and_silence_are_errors() {
    let world = World::new();
    world.told(1, |told| told.rotten = told.here.keys().copied().collect());
    let report = world.examine().await;
    assert_eq!(kinds(&report), [(FindingKind::Lost, 1); 10]);
    assert_eq!((report.holders[0].answer, report.holders[0].lost_chunks), (Answer::Answered, 10));
    assert_eq!(report.objects[0].without_three, 10);

    let world = World::new();
    world.told(2, |told| told.age = Duration::from_secs(3_601));
    let report = world.examine().await;
    assert_eq!((report.verdict(), kinds(&report)), (Verdict::DoesNotHold, vec![(FindingKind::Overdue, 2)]));

    let world = World::new();
    world.told(3, |told| told.silent = true);
    let report = world.examine().await;
    assert_eq!((report.verdict(), kinds(&report)), (Verdict::DoesNotHold, vec![(FindingKind::Silent, 3)]));
    assert_eq!((report.objects[0].without_three, report.objects[0].without_one), (40, 40));
}

#[tokio::test]
async fn another_directory_another_state_and_no_proof_are_errors() {
    // A directory that is not the registered one: its files may be an old copy of it.
    let world = World::new();
    world.told(2, |told| told.incarnation = incarnation(9));
    let report = world.examine().await;
    assert_eq!((report.verdict(), kinds(&report)), (Verdict::DoesNotHold, vec![(FindingKind::NoStore, 2)]));
    assert_eq!((report.holders[1].answer, report.objects[0].without_three), (Answer::NoStore, 40));

    let mut world = World::new();
    world.strays.insert(NodeId(3));
    let report = world.examine().await;
    assert_eq!((report.verdict(), kinds(&report)), (Verdict::DoesNotHold, vec![(FindingKind::State, 3)]));
    let state = &report.objects[1];
    assert_eq!((state.kind, state.least.copies, state.least.off_site), ("state", 2, 0));

    let world = World::new();
    world.told(1, |told| told.proves_nothing = true);
    let report = world.examine().await;
    assert_eq!((report.verdict(), kinds(&report)), (Verdict::DoesNotHold, vec![(FindingKind::Silent, 1)]));
    assert_eq!((report.holders[0].challenged, report.holders[0].proved), (10, 0));
}
