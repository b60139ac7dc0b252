//! Files of a data directory. Where a checksum stands before everything else, half of the inputs are given a right one, so that
//! what comes behind it is tried as well: that is what a program of another version, or a forger, would write.

use super::input::{Input, assert_canonical, assert_settled};
use plantao_domain::{ClusterId, ClusterTime, JournalId, NodeId, codec, digest};
use plantao_node::again;
use plantao_node::crypto::keys::StorageKey;
use plantao_node::crypto::{JournalSeal, StorageSeal};
use plantao_node::entropy::Entropy;
use std::sync::Arc;

const CLUSTER: ClusterId = ClusterId::from_bytes([7; 16]);
const NODE: NodeId = NodeId(3);

/// The same bytes whenever they are asked for: inputs must mean the same in every process.
pub(super) struct Fixed;

impl Entropy for Fixed {
    fn fill(&self, bytes: &mut [u8]) {
        for (n, byte) in (1_u8..).cycle().zip(bytes) {
            *byte = n;
        }
    }
}

fn storage_seal() -> Arc<StorageSeal> {
    Arc::new(StorageSeal::new(StorageKey::generate(&Fixed), CLUSTER, NODE, &Fixed))
}

/// A line of JSON and its digest.
fn framed(json: &[u8]) -> Vec<u8> {
    let digits: String = digest::of_bytes(json).iter().map(|byte| format!("{byte:02x}")).collect();
    [json, b"\n", digits.as_bytes(), b"\n"].concat()
}

/// With its digest where the first byte says so.
fn perhaps_framed(data: &[u8]) -> Vec<u8> {
    match data.split_first() {
        Some((b'=', json)) => framed(json),
        _ => data.to_vec(),
    }
}

/// Who the node is.
pub(super) mod identity_file {
    use super::*;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        let first = br#"={"format":1,"cluster":"07070707-0707-0707-0707-070707070707","cluster_name":"rede","node":3,"name":"cofre","incarnation":1,"keyed":false}"#;
        let second = br#"={"format":2,"cluster":"07070707-0707-0707-0707-070707070707","cluster_name":"rede","node":3,"name":"cofre","incarnation":1,"keyed":true,"level":2,"program":"0.2.0"}"#;
        vec![first.to_vec(), second.to_vec(), framed(&first[1..])]
    }

    pub(crate) fn run(data: &[u8]) {
        let file = perhaps_framed(data);
        if let Some(made) = again::identity(&file) {
            assert_settled(&made, again::identity);
            // No other bytes of that length: a flipped bit is damage.
            for at in [0, made.len() / 3, made.len() - 2] {
                let mut flipped = made.clone();
                flipped[at] ^= 1;
                assert_eq!(again::identity(&flipped), None);
            }
        }
    }
}

/// A recovered quorum that was begun, a network that went on.
pub(super) mod mark_file {
    use super::*;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        let superseded = br#"={"format":1,"content":{"incarnation":2}}"#;
        let recovery = br#"={"format":1,"content":{"cluster":"x","node":3,"incarnation":2,"base":{"term":1,"node":1,"index":9},"term":4,"payloads":[[1,2],[255]]}}"#;
        vec![superseded.to_vec(), recovery.to_vec(), framed(&superseded[1..])]
    }

    pub(crate) fn run(data: &[u8]) {
        if let Some(made) = again::mark(&perhaps_framed(data)) {
            assert_settled(&made, again::mark);
        }
    }
}

/// How far the log had certainly come.
pub(super) mod watermark {
    use super::*;
    use plantao_node::storage::wal::{Ballot, EntryId};
    use plantao_node::storage::watermark::{LogIdentity, Mark, Watermark};

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watermark");
        let mut watermark = Watermark::create(&path, LogIdentity { cluster: CLUSTER, node: NODE }).unwrap();
        let new = std::fs::read(&path).unwrap();
        let id = |index| EntryId { term: 2, node: 1, index };
        let vote = Some(Ballot { term: 2, node: 1, committed: true });
        watermark.write(Mark { last: Some(id(9)), purged: Some(id(4)), vote }).unwrap();
        vec![new, std::fs::read(&path).unwrap()]
    }

    pub(crate) fn run(data: &[u8]) {
        for (slot, made) in again::watermark(data).into_iter().enumerate() {
            let Some(made) = made else { continue };
            let place = &data[slot * 4096..][..4096];
            assert_eq!(&place[..made.len()], made, "other bytes than these were accepted for the same");
            assert!(place[made.len()..].iter().all(|byte| *byte == 0));
        }
    }
}

/// What the state was when it was last made durable: one slot, with a right digest where the first byte is 1.
pub(super) mod checkpoint {
    use super::*;

    const BODY_BYTES: usize = 199;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        let body = [
            b"PLTCKPT1".as_slice(),
            &9_u64.to_be_bytes(),
            &[7; 16],
            &1_u64.to_be_bytes(),
            &3_u64.to_be_bytes(),
            &[2],
            &4_u64.to_be_bytes(),
            &meta_row::row(true, b""),
        ]
        .concat();
        assert_eq!(body.len(), BODY_BYTES);
        vec![[[1].as_slice(), &body].concat(), [0; 300].to_vec()]
    }

    pub(crate) fn run(data: &[u8]) {
        let Some((how, body)) = data.split_first() else { return };
        let mut slot = body.to_vec();
        if *how == 1 {
            slot.resize(BODY_BYTES, 0);
            slot.extend_from_slice(&digest::of_bytes(&slot));
            slot.resize(4096, 0);
        }
        if let Some(made) = again::checkpoint(&slot) {
            assert_eq!(made, slot, "other bytes than these were accepted for the same");
        }
    }
}

/// What the rows are at: the row, with a right digest of the membership where the first byte is 1, then the membership.
pub(super) mod meta_row {
    use super::*;

    const META_BYTES: usize = 142;

    /// As `docs/formats.md` draws it.
    pub(super) fn row(applied: bool, membership: &[u8]) -> Vec<u8> {
        let mut bytes = vec![1, u8::from(applied)];
        for number in [2_u64, 1, 77] {
            bytes.extend_from_slice(&if applied { number } else { 0 }.to_be_bytes());
        }
        bytes.extend_from_slice(&[5; 32]);
        bytes.extend_from_slice(&4_u64.to_be_bytes());
        bytes.extend_from_slice(&[6; 32]);
        bytes.extend_from_slice(&(-9_i64).to_be_bytes());
        bytes.extend_from_slice(&u32::try_from(membership.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(&digest::of_bytes(membership));
        bytes
    }

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        let seed = |how, applied, membership: &[u8]| [&[how], row(applied, membership).as_slice(), membership].concat();
        vec![seed(0, true, b"members"), seed(0, false, b""), seed(1, true, b"{}")]
    }

    pub(crate) fn run(data: &[u8]) {
        let mut input = Input(data);
        let how = input.byte();
        let mut row = input.take(META_BYTES).to_vec();
        let membership = input.0;
        if how == 1 && row.len() == META_BYTES {
            row[106..110].copy_from_slice(&u32::try_from(membership.len()).unwrap().to_be_bytes());
            row[110..].copy_from_slice(&digest::of_bytes(membership));
        }
        let held = assert_canonical(&row, |bytes| again::meta_row(bytes, membership));
        if held {
            let other = [membership, b"x"].concat();
            assert_eq!(again::meta_row(&row, &other), None, "it holds with another membership");
        }
    }
}

/// The values inside of the log's records. The engine drops what ends early at the end of the last file, so a value that is
/// damaged must say so, and never look as if it were longer than what is there.
pub(super) mod log_value {
    use super::*;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        let entry = [b"L".as_slice(), &[0, 0, 0, 0, 0, 0, 0, 1].repeat(3)].concat();
        let vote = [b"V".as_slice(), &[0, 0, 0, 0, 0, 0, 0, 1].repeat(2), &[1]].concat();
        vec![entry, vote, again::log_payload(b"sealed bytes"), again::log_payload(b"")]
    }

    pub(crate) fn run(data: &[u8]) {
        for made in again::log_values(data).into_iter().flatten() {
            assert_eq!(
                data.get(..made.len()),
                Some(made.as_slice()),
                "other bytes than these were accepted for the same"
            );
        }
        let payload = again::log_payload(data);
        assert_eq!(again::log_values(&payload)[2].as_ref(), Some(&payload));
        // Each flipped bit of what says how long a payload is makes it damage, whatever follows.
        let at = data.len() % 9;
        let mut flipped = payload;
        flipped[at] ^= 1 << (data.first().copied().unwrap_or(0) % 8);
        flipped.resize(flipped.len() + 64, 0);
        assert_eq!(again::log_values(&flipped)[2], None, "byte {at}");
    }
}

/// A whole log of several files, damaged as the input says: `(file u8, place u16, change u8)` again and again. It opens with
/// every entry as it was acknowledged, or not at all; several changes may hide each other from a checksum of 32 bits, so of a
/// log that opens at least what can be read of it is what was written there.
pub(super) mod log_file {
    use super::*;
    use plantao_node::storage::fs::DataDir;
    use plantao_node::storage::wal::{Ballot, EntryId, LogEntry, Wal, WalOptions};
    use plantao_node::storage::watermark::LogIdentity;
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, OnceLock, PoisonError};
    use tokio::runtime::Runtime;

    const ENTRIES: u64 = 24;

    struct Base {
        directory: tempfile::TempDir,
        files: Vec<(PathBuf, Vec<u8>)>,
        runtime: Runtime,
    }

    fn options() -> WalOptions {
        WalOptions { chunk_bytes: 2048, ..WalOptions::default() }
    }

    fn entry(index: u64) -> LogEntry {
        let payload = vec![u8::try_from(index % 251).unwrap(); usize::try_from(10 + index * 3).unwrap()];
        LogEntry { id: EntryId { term: 1 + index / 9, node: 1, index }, payload: payload.into() }
    }

    fn base() -> &'static Mutex<Base> {
        static BASE: OnceLock<Mutex<Base>> = OnceLock::new();
        BASE.get_or_init(|| {
            let memory = Path::new("/dev/shm");
            let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let identity = LogIdentity { cluster: CLUSTER, node: NODE };
            let data = DataDir::new(directory.path());
            let wal = Wal::create(&data, identity, storage_seal(), options()).unwrap();
            runtime.block_on(async {
                for index in 0..ENTRIES {
                    let (sender, synced) = tokio::sync::oneshot::channel();
                    wal.append(vec![entry(index)], move |result| drop(sender.send(result))).await.unwrap();
                    synced.await.unwrap().unwrap();
                    if index % 8 == 3 {
                        wal.save_vote(Ballot { term: 1 + index / 9, node: 1, committed: true }).await.unwrap();
                    }
                }
                wal.close().await.unwrap();
            });
            drop(wal);
            let mut paths: Vec<PathBuf> =
                std::fs::read_dir(data.log()).unwrap().map(|entry| entry.unwrap().path()).collect();
            paths.sort();
            paths.push(data.watermark());
            let files = paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap()));
            // The lock's file is empty.
            let files = files.filter(|(_, bytes)| !bytes.is_empty()).collect();
            Mutex::new(Base { directory, files, runtime })
        })
    }

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        vec![Vec::new(), vec![0, 0, 40, 1], vec![1, 0, 9, 128], vec![2, 1, 0, 4], vec![9, 0, 41, 1, 9, 16, 41, 1]]
    }

    pub(crate) fn run(data: &[u8]) {
        let base = base().lock().unwrap_or_else(PoisonError::into_inner);
        // What an input left behind, files that an opened log began included, goes first.
        for file in std::fs::read_dir(DataDir::new(base.directory.path()).log()).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
        let mut files = base.files.clone();
        let mut input = Input(data);
        while !input.is_over() {
            let number = usize::from(input.byte()) % files.len();
            let bytes = &mut files[number].1;
            let at = input.number() % bytes.len();
            bytes[at] ^= input.byte();
        }
        let pairs = || files.iter().zip(&base.files).flat_map(|((_, now), (_, before))| now.iter().zip(before));
        let flipped: u32 = pairs().map(|(now, before)| (now ^ before).count_ones()).sum();
        for (path, bytes) in &files {
            std::fs::write(path, bytes).unwrap();
        }
        let identity = LogIdentity { cluster: CLUSTER, node: NODE };
        let opened = Wal::open(&DataDir::new(base.directory.path()), identity, storage_seal(), options());
        let Ok(wal) = opened else {
            assert!(flipped > 0, "a log that nobody touched is refused");
            return;
        };
        let state = wal.state();
        let single = flipped <= 1;
        if single {
            assert_eq!(state.last, Some(entry(ENTRIES - 1).id), "an acknowledged entry is gone");
            assert_eq!(state.vote.map(|vote| vote.term), Some(1 + 19 / 9), "the vote is another one");
        }
        for index in 0..ENTRIES {
            match base.runtime.block_on(wal.read(index..index + 1, None)) {
                Ok(read) => {
                    let wanted = entry(index);
                    assert!(!single || read.len() == 1, "entry {index} is gone");
                    for found in read {
                        assert!(
                            found.id.index != index || found.payload == wanted.payload,
                            "entry {index} is another one"
                        );
                        assert!(!single || found.id == wanted.id, "entry {index} is of another term");
                    }
                }
                Err(error) => assert!(flipped > 0, "{error}"),
            }
        }
        base.runtime.block_on(wal.close()).unwrap();
    }
}

/// What an entry of the log says, as offline commands read it.
pub(super) mod log_payload {
    use plantao_node::consensus::{log_store, offline};

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        let membership = br#"{"configs":[[1,2,3]],"nodes":{"1":{"name":"centro","peer_address":"a:1","keyed":true},"2":{"name":"jardins","peer_address":"b:1","keyed":true},"3":{"name":"cofre","peer_address":"c:1","keyed":false}}}"#;
        let stored = [br#"={"log_id":null,"membership":"#.as_slice(), membership, b"}"].concat();
        vec![vec![1, 0], vec![1, 1, 1, 2, 3], [&[1, 2], membership.as_slice()].concat(), stored]
    }

    pub(crate) fn run(data: &[u8]) {
        if let Some(stored) = data.strip_prefix(b"=") {
            if let Ok(Some(found)) = offline::membership_of_state(stored) {
                held(&found);
            }
            return;
        }
        let payload = bytes::Bytes::copy_from_slice(data);
        if let Ok(Some(envelope)) = log_store::proposal_of(&payload) {
            assert_eq!(offline::proposal(envelope).unwrap(), payload);
        }
        if let Ok(Some(found)) = offline::membership_of(&payload) {
            held(&found);
        }
    }

    fn held(found: &offline::OfflineMembership) {
        let voters = found.voters();
        let nothing = found.configurations.iter().any(std::collections::BTreeSet::is_empty);
        assert!(found.configurations.is_empty() || nothing || found.is_quorum(&voters), "all voters are no quorum");
        assert!(!found.is_quorum(&std::collections::BTreeSet::new()), "nobody is a quorum");
        for voter in &voters {
            let others = voters.iter().copied().filter(|other| other != voter).collect();
            let alone = std::collections::BTreeSet::from([*voter]);
            assert!(!(found.is_quorum(&alone) && found.is_quorum(&others)), "two quorums share nobody");
        }
    }
}

/// Notes that wait for the log: some are made, then damaged. What is read is a beginning of what was written.
pub(super) mod journal_of_reads {
    use super::*;
    use plantao_domain::audit::Object;
    use plantao_domain::command::ReadNote;
    use plantao_domain::{Actor, ActorId, PatientId, RecordId, Role, UnitId};

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        vec![vec![3, 1, 2, 3], vec![5, 9, 9, 9, 9, 9, 1, 0, 7], [vec![0], vec![0; 40]].concat()]
    }

    fn note(sequence: u64, n: u8) -> ReadNote {
        ReadNote {
            sequence,
            actor: Actor {
                id: ActorId::from_bytes([n; 16]),
                role: Role::Clinician,
                unit: Some(UnitId::from_bytes([1; 16])),
            },
            at: ClusterTime::MIN,
            object: if n.is_multiple_of(2) { Object::Record(RecordId::from_bytes([n; 16])) } else { Object::Many },
            patient: n.is_multiple_of(3).then(|| PatientId::from_bytes([n; 16])),
            allowed: n > 9,
            version: (n > 99).then_some(u32::from(n)),
        }
    }

    pub(crate) fn run(data: &[u8]) {
        let mut input = Input(data);
        let seal = || JournalSeal::new(storage_seal(), JournalId::from_bytes([9; 16]));
        let first = 5;
        let notes: Vec<ReadNote> =
            (first..first + u64::from(input.byte() % 6)).map(|n| note(n, input.byte())).collect();
        let frames: Vec<Vec<u8>> = notes.iter().map(|note| again::journal_entry(note, &seal())).collect();
        let mut file = frames.concat();
        let whole = file.len();
        assert_eq!(again::journal_segment(&file, first, seal()), (notes.clone(), whole));
        // Half of the files go on with bytes of the input, or end early.
        let damaged = match input.byte() {
            how if how.is_multiple_of(2) => input.damage(&mut file),
            how => {
                file.truncate(whole - usize::from(how / 2) % (whole + 1));
                file.extend_from_slice(input.0);
                true
            }
        };
        let (read, bytes) = again::journal_segment(&file, first, seal());
        assert!(notes.starts_with(&read), "a note is not as it was written");
        assert_eq!(frames.iter().take(read.len()).map(Vec::len).sum::<usize>(), bytes);
        assert!(damaged || read == notes);
        // An earlier copy of a segment is not another segment's beginning.
        assert_eq!(again::journal_segment(&frames.concat(), first + 1, seal()).0, []);
        assert!(notes.iter().all(|note| codec::decode_row::<ReadNote>(&codec::encode_row(note)).as_ref() == Ok(note)));
    }
}

/// Which directory it is, and when its copies were checked: `[0] incarnation`, `[1, partition] checks`, with a right digest for
/// `[2, partition]`.
pub(super) mod chunk_directory {
    use super::*;

    pub(crate) fn seeds() -> Vec<Vec<u8>> {
        let checks = [b"PLTCHEK1".as_slice(), &[7], &1_u32.to_be_bytes(), &[7; 32], &5_u32.to_be_bytes()].concat();
        let digest = digest::of_bytes(&checks);
        vec![
            [[0].as_slice(), b"PLTSTOR1", &[9; 16], &[0; 4]].concat(),
            [[1, 7].as_slice(), &checks, &digest].concat(),
            [[2, 7].as_slice(), &checks].concat(),
        ]
    }

    pub(crate) fn run(data: &[u8]) {
        let mut input = Input(data);
        match input.byte() {
            0 => drop(assert_canonical(input.0, again::chunk_incarnation)),
            how => {
                let partition = input.byte();
                let mut file = input.0.to_vec();
                if how == 2 {
                    file.extend_from_slice(&digest::of_bytes(input.0));
                }
                if assert_canonical(&file, |bytes| again::chunk_checks(partition, bytes)) {
                    let other = partition.wrapping_add(1);
                    assert_eq!(again::chunk_checks(other, &file), None, "it counts for another partition");
                }
            }
        }
    }
}
