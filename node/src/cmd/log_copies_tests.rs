//! Three replicas of a log with four entries, and every set of damaged ones among the twelve: 4,096. What each replica decides when
//! it is opened, what that means for the network, and whether the reports name every whole copy and no other.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use super::*;
use crate::storage::fs::DataDir;
use crate::storage::wal::testing::{TagSeal, identity};
use crate::storage::wal::{Ballot, EntryId, LogEntry, OpenWalError, Wal, WalOptions};
use crate::storage::watermark::{LogIdentity, Watermark};
use plantao_domain::NodeId;
use std::fs;
use std::sync::Arc;

const REPLICAS: usize = 3;
const ENTRIES: usize = 4;

/// The files of one replica as they were acknowledged, and where in the log's file each entry's record is.
struct Replica {
    node: u64,
    seal: Arc<TagSeal>,
    directory: tempfile::TempDir,
    file: PathBuf,
    log: Vec<u8>,
    watermark: Vec<u8>,
    records: Vec<std::ops::Range<usize>>,
}

fn entry(index: usize) -> LogEntry {
    let id = EntryId { term: 1 + index as u64 / 2, node: 1, index: index as u64 };
    LogEntry { id, payload: format!("booking number {index}").into_bytes().into() }
}

impl Replica {
    fn new(node: u64) -> Self {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        // Each node has a storage key of its own, so that no file of one is another's.
        let seal = Arc::new(TagSeal([u8::try_from(node).unwrap(); 32]));
        let data = DataDir::new(directory.path());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let wal = Wal::create(&data, Self::identity_of(node), seal.clone(), WalOptions::default()).unwrap();
        let file = || {
            let mut files = fs::read_dir(data.log()).unwrap().map(|item| item.unwrap().path());
            files.find(|path| path.extension().is_some_and(|extension| extension == "wal")).unwrap()
        };
        let mut records = Vec::new();
        runtime.block_on(async {
            wal.save_vote(Ballot { term: 2, node: 1, committed: true }).await.unwrap();
            for index in 0..ENTRIES {
                let from = fs::metadata(file()).unwrap().len();
                let (sender, synced) = tokio::sync::oneshot::channel();
                wal.append(vec![entry(index)], move |outcome| sender.send(outcome).unwrap()).await.unwrap();
                synced.await.unwrap().unwrap();
                let to = fs::metadata(file()).unwrap().len();
                records.push(usize::try_from(from).unwrap()..usize::try_from(to).unwrap());
            }
            wal.close().await.unwrap();
        });
        drop(wal);
        let (file, watermark) = (file(), fs::read(data.watermark()).unwrap());
        assert_eq!(Watermark::open(&data.watermark()).unwrap().mark().last, Some(entry(ENTRIES - 1).id));
        let log = fs::read(&file).unwrap();
        Self { node, seal, directory, file, log, watermark, records }
    }

    fn identity_of(node: u64) -> LogIdentity {
        LogIdentity { node: NodeId(node), ..identity() }
    }

    fn data(&self) -> DataDir {
        DataDir::new(self.directory.path())
    }

    /// Puts the acknowledged files back and flips one bit, drawn from `draw`, in the record of each entry of `damaged`.
    fn damage(&self, damaged: &[usize], draw: &mut u64) -> Vec<u8> {
        for item in fs::read_dir(self.data().log()).unwrap() {
            fs::remove_file(item.unwrap().path()).unwrap();
        }
        let mut bytes = self.log.clone();
        for index in damaged {
            *draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let record = &self.records[*index];
            let at = record.start + usize::try_from((*draw >> 16) % record.len() as u64).unwrap();
            bytes[at] ^= 1 << (*draw >> 61);
        }
        fs::write(&self.file, &bytes).unwrap();
        fs::write(self.data().watermark(), &self.watermark).unwrap();
        bytes
    }

    fn entries(&self) -> Entries {
        let mark = Watermark::open(&self.data().watermark()).unwrap().mark();
        Entries::of(&Survey::of(&self.data().log(), Some(mark), &*self.seal).unwrap())
    }
}

#[test]
fn each_of_4096_damages_is_survived_or_refused_and_every_whole_copy_is_named() {
    let replicas: Vec<Replica> = (1..=REPLICAS as u64).map(Replica::new).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut draw = 1;
    let (mut served, mut stopped) = (0, 0);
    for pattern in 0..1_usize << (REPLICAS * ENTRIES) {
        let damaged = |replica: usize, index: usize| pattern >> (replica * ENTRIES + index) & 1 == 1;
        let mut open = Vec::new();
        for (n, replica) in replicas.iter().enumerate() {
            let lost: Vec<usize> = (0..ENTRIES).filter(|index| damaged(n, *index)).collect();
            let bytes = replica.damage(&lost, &mut draw);
            let identity = Replica::identity_of(replica.node);
            match Wal::open(&replica.data(), identity, replica.seal.clone(), WalOptions::default()) {
                Ok(wal) => {
                    assert!(lost.is_empty(), "pattern {pattern:012b}: replica {n} opens without {lost:?}");
                    let read = runtime.block_on(wal.read(0..u64::MAX, None)).unwrap();
                    assert!(read == (0..ENTRIES).map(entry).collect::<Vec<_>>(), "pattern {pattern:012b}: invented");
                    runtime.block_on(wal.close()).unwrap();
                    open.push(n);
                }
                Err(OpenWalError::Damaged { survey, .. }) => {
                    assert!(!lost.is_empty(), "pattern {pattern:012b}: replica {n} is whole and refused");
                    let named: Vec<usize> = survey
                        .lost()
                        .ranges()
                        .iter()
                        .cloned()
                        .flatten()
                        .map(|index| usize::try_from(index).unwrap())
                        .collect();
                    assert_eq!(named, lost, "pattern {pattern:012b}: the refusal of replica {n}");
                    // A refusal cuts and mends nothing.
                    assert!(
                        fs::read(&replica.file).unwrap() == bytes,
                        "pattern {pattern:012b}: replica {n} was changed"
                    );
                }
                Err(other) => panic!("pattern {pattern:012b}, replica {n}: {other}"),
            }
        }
        // Two logs with every acknowledged entry are a majority: the network goes on by itself. Else nothing does.
        let whole = (0..REPLICAS).filter(|n| (0..ENTRIES).all(|index| !damaged(*n, index))).count();
        assert_eq!(open.len(), whole);
        if open.len() * 2 > REPLICAS {
            served += 1;
        } else {
            stopped += 1;
        }
        let nodes: Vec<_> = replicas.iter().map(|it| (it.node, format!("n{}", it.node), it.entries())).collect();
        let found = find(&nodes);
        let expected: Vec<usize> = (0..ENTRIES).filter(|index| (0..REPLICAS).any(|n| damaged(n, *index))).collect();
        assert_eq!(found.iter().map(|lost| usize::try_from(lost.index).unwrap()).collect::<Vec<_>>(), expected);
        for lost in found {
            let index = usize::try_from(lost.index).unwrap();
            let on = |wanted: bool| (0..REPLICAS).filter(move |n| damaged(*n, index) == wanted).map(|n| n as u64 + 1);
            assert_eq!(lost.lost_on, on(true).collect::<Vec<_>>(), "pattern {pattern:012b}, entry {index}");
            assert_eq!(lost.whole_on.iter().map(|copy| copy.node).collect::<Vec<_>>(), on(false).collect::<Vec<_>>());
            assert!(lost.whole_on.iter().all(|copy| copy.term == entry(index).id.term));
        }
    }
    println!("4,096 damages: the network goes on in {served}, stays down and names every copy in {stopped}");
    // None damaged, or any entries of one replica.
    assert_eq!((served, stopped), (1 + REPLICAS * ((1 << ENTRIES) - 1), 4096 - 46));
}

#[test]
fn ranges_are_told_shortly_and_an_index_is_found_in_its_run() {
    let run = |from, to, term| Run { from, to, term, leader: 1 };
    let entries = Entries { known: None, whole: vec![run(3, 5, 1), run(7, 7, 2)], lost: vec![], unread_bytes: 0 };
    let terms: Vec<_> = (2..9).map(|index| entries.at(index).map(|(term, _)| term)).collect();
    assert_eq!(terms, [None, Some(1), Some(1), Some(1), None, Some(2), None]);
    assert_eq!(ranges(&[Range { from: 1, to: 1 }, Range { from: 4, to: 9 }]), "1, 4 to 9");
}
