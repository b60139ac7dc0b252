//! Is an image whole, and is each copy of it there? All of it is read here, its SHA-256 compared, and every node that
//! should have it must prove each chunk with a nonce that it cannot have seen before (`chunks::challenge`).

use super::error::Error;
use super::read::Opened;
use super::{Images, peers};
use crate::chunks::challenge::{self, CHALLENGE_CHUNKS_MAX, Possession, proof};
use crate::crypto::chunk_id;
use crate::entropy::random;
use crate::gateway::ImageContent;
use bytes::Bytes;
use plantao_domain::images::{Copies, Holders, PART_OF_THUMBNAIL};
use plantao_domain::rows::{self, ImageRow, PAGE_ROWS_MAX};
use plantao_domain::{Actor, ChunkId, ImageId, NodeId};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long a verification waits for its turn.
const TURN_TIME_MAX: Duration = Duration::from_secs(10);

/// What a node has of an image, the thumbnail included.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopyReport {
    /// Which node.
    pub node: NodeId,
    /// Where it stands.
    pub site: String,
    /// In which country.
    pub country: String,
    /// What its copies rest on.
    pub medium: String,
    /// Whether it is off-site.
    pub is_off_site: bool,
    /// Whether the image is placed there.
    pub is_placed: bool,
    /// Whether each part has a receipt of it that counts.
    pub has_receipt: bool,
    /// Chunks that it should have.
    pub chunks: u32,
    /// Those that it proved to have.
    pub good: u32,
    /// Those that it has not, or not as they should be.
    pub bad: u32,
    /// Those about which it could not be asked.
    pub unknown: u32,
}

/// What was found.
pub struct Verified {
    /// Its row.
    pub row: ImageRow,
    /// What describes it.
    pub content: ImageContent,
    /// Every chunk was read and the SHA-256 is that of the sender.
    pub is_whole: bool,
    /// Of each node that should have it or says so.
    pub copies: Vec<CopyReport>,
}

impl Images {
    /// Reads all of an image and asks every node for proofs. Noted as a read before it begins.
    ///
    /// # Errors
    /// See [`Error`]; a chunk that nobody gives is no error but makes it not whole.
    pub async fn verify(&self, actor: &Actor, id: ImageId) -> Result<Verified, Error> {
        let opened = self.readable(actor, id).await?;
        let waiting = Arc::clone(&self.0.readers).acquire_owned();
        let Ok(Ok(_permit)) = timeout(TURN_TIME_MAX, waiting).await else { return Err(Error::Busy) };
        self.gateway().note_image(actor, id, &opened.row).await?;
        let content = self.describe(id, &opened)?;
        let mut copies = self.expected_copies(&opened.row)?;
        let is_whole = self.read_and_challenge(&opened, &content, &mut copies).await?;
        Ok(Verified { row: opened.row, content, is_whole, copies })
    }

    fn expected_copies(&self, row: &ImageRow) -> Result<Vec<CopyReport>, Error> {
        let view = &**self.gateway().state();
        let holders = Holders::read(view)?;
        let with_receipts = Copies::of(view, &holders, row.upload)?.nodes;
        let placement: BTreeSet<NodeId> = self.upload_of(row)?.placement.into_iter().collect();
        let copies = holders.0.into_iter().filter(|(node, _)| placement.contains(node) || with_receipts.contains(node));
        Ok(copies
            .map(|(node, holder)| CopyReport {
                node,
                site: holder.site,
                country: holder.country,
                medium: holder.medium,
                is_off_site: holder.off_site,
                is_placed: placement.contains(&node),
                has_receipt: with_receipts.contains(&node),
                chunks: 0,
                good: 0,
                bad: 0,
                unknown: 0,
            })
            .collect())
    }

    async fn read_and_challenge(
        &self,
        opened: &Opened,
        content: &ImageContent,
        copies: &mut [CopyReport],
    ) -> Result<bool, Error> {
        let nonce: [u8; 32] = random(&*self.0.parts.entropy);
        let holders = self.holders_of(&opened.row)?;
        let original = self.manifest(&opened.row)?;
        let parts = rows::parts(&**self.gateway().state(), opened.row.upload, None, PAGE_ROWS_MAX)?;
        let small = parts.into_iter().filter(|(part, _)| *part == PART_OF_THUMBNAIL);
        let small: Vec<ChunkId> = small.flat_map(|(_, part)| part.chunks).map(|entry| entry.chunk).collect();
        let mut sha256 = Sha256::new();
        let mut is_whole = true;
        let all: Vec<(ChunkId, bool)> =
            original.into_iter().map(|id| (id, true)).chain(small.into_iter().map(|id| (id, false))).collect();
        for batch in all.chunks(CHALLENGE_CHUNKS_MAX) {
            // Asked before this node reads: what a read heals must not count as having been there.
            let ids: Vec<ChunkId> = batch.iter().map(|(id, _)| *id).collect();
            let answers = self.challenge_all(&nonce, &ids, copies).await;
            let mut expected: BTreeMap<ChunkId, [u8; 32]> = BTreeMap::new();
            for (id, is_original) in batch {
                let Ok(frame) = self.fetch(*id, &holders).await else {
                    is_whole &= !is_original;
                    continue;
                };
                expected.insert(*id, proof(&nonce, id, &frame));
                if *is_original {
                    match self.plaintext(opened, *id, frame).await {
                        Some(plaintext) => sha256.update(&plaintext),
                        None => is_whole = false,
                    }
                }
            }
            for (copy, answers) in copies.iter_mut().zip(answers) {
                for (id, answer) in ids.iter().zip(answers) {
                    copy.chunks += 1;
                    match (answer, expected.get(id)) {
                        (Possession::Proof(proof), Some(expected)) if proof == *expected => copy.good += 1,
                        (Possession::Proof(_), Some(_)) | (Possession::None, _) => copy.bad += 1,
                        (Possession::Proof(_), None) | (Possession::Unsure, _) => copy.unknown += 1,
                    }
                }
            }
        }
        let found: [u8; 32] = sha256.finalize().into();
        Ok(is_whole && found.as_slice() == content.sha256)
    }

    async fn challenge_all(&self, nonce: &[u8; 32], ids: &[ChunkId], copies: &[CopyReport]) -> Vec<Vec<Possession>> {
        let asked = copies.iter().map(|copy| async move {
            let answers: Result<Vec<Possession>, Option<peers::PeerError>> = if copy.node == self.node() {
                match self.chunks().store() {
                    Some(store) => challenge::answer(store, *nonce, ids.to_vec()).await.map_err(|_| None),
                    None => Ok(vec![Possession::None; ids.len()]),
                }
            } else {
                self.peers().challenge(copy.node, nonce, ids).await.map_err(Some)
            };
            answers.unwrap_or_else(|_| vec![Possession::Unsure; ids.len()])
        });
        futures_util::future::join_all(asked).await
    }

    async fn plaintext(&self, opened: &Opened, id: ChunkId, frame: Bytes) -> Option<Bytes> {
        debug_assert_eq!(chunk_id(&frame), id);
        let (cluster, patient, key) = (self.gateway().keyring().cluster(), opened.row.patient, Arc::clone(&opened.key));
        let opening = move || crate::crypto::open_chunk(cluster, patient, &key, id, &frame).ok();
        let mut plaintext = crate::work::blocking(opening).await.ok()??;
        Some(Bytes::from(std::mem::take(&mut *plaintext)))
    }
}
