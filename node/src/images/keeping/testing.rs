//! Rows and directories for tests of this folder: the rows as commands would have written them, real files.
#![allow(clippy::unwrap_used)]

use crate::chunks::{ChunkDirectory, ChunkStore, DirectoryOptions};
use crate::clock::SystemClock;
use crate::crypto::chunk_id;
use crate::entropy::SystemEntropy;
use plantao_domain::cluster::NodeRow;
use plantao_domain::images::{ChunkEntry, MediaType, part_digest};
use plantao_domain::rows::{
    self, Amount, ChunkRow, ExpectedRow, ImageRow, PartOf, PartRow, ReceiptRow, StoreOf, StoreRow, TombstoneRow,
    UploadRow, UploadState,
};
use plantao_domain::*;
use std::path::Path;
use std::sync::Arc;

pub(crate) const US: NodeId = NodeId(1);

pub(crate) fn at(millis: i64) -> ClusterTime {
    ClusterTime::from_millis(millis).unwrap()
}

pub(crate) fn incarnation(n: u8) -> StoreIncarnation {
    StoreIncarnation::from_bytes([n; 16])
}

pub(crate) fn upload(n: u8) -> UploadId {
    UploadId::from_bytes([n; 16])
}

pub(crate) fn patient(n: u8) -> PatientId {
    PatientId::from_bytes([n; 16])
}

pub(crate) fn store(home: &Path) -> ChunkStore {
    let options = DirectoryOptions { path: home.join("chunks"), reserve_bytes: 0 };
    let directory = ChunkDirectory::open(options, Arc::new(SystemClock), Arc::new(SystemEntropy)).unwrap();
    ChunkStore::new(Arc::new(directory), 2)
}

/// Bytes of a chunk, different for each number.
pub(crate) fn chunk(n: u8) -> (ChunkId, Vec<u8>) {
    let bytes = vec![n; 200];
    (chunk_id(&bytes), bytes)
}

/// An upload of a byte; its image has the same id.
pub(crate) fn upload_row(id: UploadId, of: PatientId, state: UploadState, placement: &[NodeId]) -> UploadRow {
    UploadRow {
        image: ImageId::from_bytes(*id.as_bytes()),
        patient: of,
        unit: UnitId::default(),
        visit: None,
        consent: ConsentId::default(),
        kind: "before".to_owned(),
        media_type: MediaType::Jpeg,
        bytes: 1,
        taken_at: at(0),
        content: command::Sealed::default(),
        placement: placement.to_vec(),
        opened_at: at(0),
        opened_by: ActorId::default(),
        lease_until: at(0),
        state,
    }
}

/// A state made of rows.
#[derive(Default, Clone)]
pub(crate) struct Rows(pub(crate) MemView);

impl Rows {
    fn put<T: minicbor::Encode<()>>(&mut self, key: Vec<u8>, row: &T) {
        self.0.write(&Changes::from([(key, Some(codec::encode_row(row)))]));
    }

    /// A node with a directory that counts.
    pub(crate) fn holder(&mut self, node: u64, site: &str, keyed: bool, directory: StoreIncarnation) {
        let description = plantao_domain::cluster::NodeDescription {
            name: format!("node-{node}"),
            site: site.to_owned(),
            country: "BR".to_owned(),
            medium: "ssd".to_owned(),
            peer_address: "127.0.0.1:1".to_owned(),
            keyed,
            voter: true,
        };
        self.put(rows::node_key(NodeId(node)), &NodeRow { description, joined_at: at(0), root_handed: true });
        let row = StoreRow {
            incarnation: directory,
            disk: DiskId::from_bytes([u8::try_from(node).unwrap(); 32]),
            medium: "ssd".to_owned(),
            registered_at: at(0),
            retired_at: None,
            expected: Amount::default(),
            received: Amount::default(),
        };
        self.put(rows::store_key(NodeId(node)), &row);
    }

    pub(crate) fn upload(&mut self, id: UploadId, of: PatientId, state: UploadState, placement: &[NodeId]) {
        self.put(rows::upload_key(id), &upload_row(id, of, state, placement));
        if state == UploadState::Open {
            self.0.write(&Changes::from([(rows::upload_by_patient_key(of, id), Some(Vec::new()))]));
        }
    }

    /// A part of an upload with these chunks.
    pub(crate) fn part(&mut self, of: PartOf, chunks: &[ChunkId]) {
        let entries: Vec<ChunkEntry> =
            chunks.iter().map(|chunk| ChunkEntry { chunk: *chunk, stored_bytes: 200 }).collect();
        for chunk in chunks {
            self.put(rows::chunk_key(*chunk, of), &ChunkRow { stored_bytes: 200 });
        }
        let digest = part_digest(of.upload, of.part, &entries);
        self.put(rows::part_key(of), &PartRow { chunks: entries, digest, epoch: 0 });
    }

    /// A committed image of one part that is placed on a node, which gave a receipt or not.
    pub(crate) fn image(&mut self, n: u8, committed: i64, chunks: &[ChunkId], received: Option<StoreIncarnation>) {
        let of = PartOf { upload: upload(n), part: 0 };
        self.upload(of.upload, patient(n), UploadState::Committed(at(committed)), &[US]);
        self.part(of, chunks);
        let row = ExpectedRow { chunks: u32::try_from(chunks.len()).unwrap(), bytes: 200, received };
        self.put(rows::expected_key(US, at(committed), of), &row);
        if let Some(incarnation) = received {
            self.receipt(of, US, incarnation);
        }
    }

    /// A committed image, placed on these nodes, without its parts.
    pub(crate) fn committed(&mut self, n: u8, placement: &[NodeId]) {
        let row = upload_row(upload(n), patient(n), UploadState::Committed(at(1)), placement);
        self.put(rows::upload_key(upload(n)), &row);
        self.put(rows::image_key(row.image), &ImageRow::of(upload(n), &row, at(1)));
    }

    pub(crate) fn receipt(&mut self, of: PartOf, node: NodeId, incarnation: StoreIncarnation) {
        self.put(rows::receipt_key(of, node), &ReceiptRow { incarnation, gc_epoch: 0, at: at(0) });
    }

    pub(crate) fn tombstone(&mut self, chunk: ChunkId, epoch: u64, made: i64, of: Option<PatientId>, waiting: StoreOf) {
        self.put(
            rows::tombstone_key(chunk),
            &TombstoneRow { epoch, at: at(made), patient: of, waiting: vec![waiting] },
        );
    }
}
