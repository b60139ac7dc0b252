//! Between the wire of `plantao.peer.v1.ChunkService` and what nodes mean by it, in both directions. Total: what a peer
//! sends may be anything.

use super::local::{ChunkReceipt, KeepError};
use super::notes::{NOTES_MAX, Note};
use crate::chunks::challenge::Possession;
use crate::chunks::{GetError, HeldChunk, PARTITIONS, PutError, SetDigest};
use crate::crypto::chunk_seal::CHUNK_BYTES_MAX;
use bytes::Bytes;
use plantao_domain::{ChunkId, DiskId, StoreIncarnation, UploadId};
use plantao_proto::peer::v1 as wire;
use std::time::Duration;
use tonic::transport::Channel;

pub(super) use plantao_proto::peer::v1::PeerHeader;
pub(super) type Client = plantao_proto::peer::v1::chunk_service_client::ChunkServiceClient<Channel>;

/// Ids of one question.
pub const HAVE_MAX: usize = 512;
/// Entries of one list.
pub const LIST_MAX: usize = 4_096;

/// A peer sent something that is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not as it must be")]
pub struct Malformed(pub(crate) &'static str);

/// Why a node did not keep or give a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// It has no directory that counts.
    #[error("it has no chunk directory that counts")]
    NoStore,
    /// No space for chunks.
    #[error("its disk is full")]
    Full,
    /// Its disk failed.
    #[error("its disk failed")]
    Stopped,
    /// The bytes do not have that id.
    #[error("the bytes did not arrive as they were sent")]
    NotTheId,
    /// No good copy there.
    #[error("it has no good copy")]
    Missing,
    /// It could not look just now.
    #[error("it could not look")]
    Unsure,
    /// Too much at once, or something that this version does not know.
    #[error("it has too much to do")]
    Busy,
}

/// What a node holds, by the first byte of the chunks' ids.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldReport {
    /// Its directory.
    pub incarnation: StoreIncarnation,
    /// The disk below.
    pub disk: DiskId,
    /// Up to which log index it had applied.
    pub applied_index: u64,
    /// One for each first byte, and since when the oldest check was.
    pub partitions: Vec<HeldPartition>,
    /// Copies that were found bad since its start.
    pub bad: u64,
}

/// What a node holds of one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeldPartition {
    /// How many chunks.
    pub count: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Digest of their ids.
    pub digest: SetDigest,
    /// Since the oldest of their checks; zero without copies.
    pub oldest_check_age: Duration,
}

/// A copy as another node tells of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListedChunk {
    /// The chunk.
    pub id: ChunkId,
    /// Bytes of its file.
    pub stored_bytes: u32,
    /// Since it was last compared with its id.
    pub check_age: Duration,
}

pub(crate) fn chunk_id(bytes: &[u8]) -> Result<ChunkId, Malformed> {
    <[u8; 32]>::try_from(bytes).map(ChunkId::from_bytes).map_err(|_| Malformed("a chunk id"))
}

pub(crate) fn chunk_ids(ids: &[Bytes], most: usize) -> Result<Vec<ChunkId>, Malformed> {
    if ids.len() > most {
        return Err(Malformed("the number of chunk ids"));
    }
    ids.iter().map(|id| chunk_id(id)).collect()
}

pub(crate) fn upload_id(bytes: &[u8]) -> Result<UploadId, Malformed> {
    <[u8; 16]>::try_from(bytes).map(UploadId::from_bytes).map_err(|_| Malformed("an upload id"))
}

pub(crate) fn optional_upload(bytes: &[u8], sequence: u32) -> Result<Option<(UploadId, u32)>, Malformed> {
    if bytes.is_empty() { Ok(None) } else { Ok(Some((upload_id(bytes)?, sequence))) }
}

fn incarnation(bytes: &[u8]) -> Result<StoreIncarnation, Malformed> {
    <[u8; 16]>::try_from(bytes).map(StoreIncarnation::from_bytes).map_err(|_| Malformed("a store incarnation"))
}

fn wire_id(id: &ChunkId) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn wire_receipt(receipt: ChunkReceipt) -> wire::ChunkReceipt {
    wire::ChunkReceipt {
        store_incarnation: Bytes::copy_from_slice(receipt.incarnation.as_bytes()),
        gc_epoch: receipt.gc_epoch,
    }
}

fn receipt(receipt: &wire::ChunkReceipt) -> Result<ChunkReceipt, Malformed> {
    Ok(ChunkReceipt { incarnation: incarnation(&receipt.store_incarnation)?, gc_epoch: receipt.gc_epoch })
}

fn wire_refusal(refusal: Refusal) -> i32 {
    match refusal {
        Refusal::NoStore => wire::ChunkRefusal::NoStore,
        Refusal::Full => wire::ChunkRefusal::Full,
        Refusal::Stopped => wire::ChunkRefusal::Stopped,
        Refusal::NotTheId => wire::ChunkRefusal::NotTheId,
        Refusal::Missing => wire::ChunkRefusal::Missing,
        Refusal::Unsure => wire::ChunkRefusal::Unsure,
        Refusal::Busy => wire::ChunkRefusal::Busy,
    }
    .into()
}

fn refusal(value: i32) -> Refusal {
    match wire::ChunkRefusal::try_from(value) {
        Ok(wire::ChunkRefusal::NoStore) => Refusal::NoStore,
        Ok(wire::ChunkRefusal::Full) => Refusal::Full,
        Ok(wire::ChunkRefusal::Stopped) => Refusal::Stopped,
        Ok(wire::ChunkRefusal::NotTheId) => Refusal::NotTheId,
        Ok(wire::ChunkRefusal::Missing) => Refusal::Missing,
        Ok(wire::ChunkRefusal::Unsure) => Refusal::Unsure,
        // A later version's reason: it did not do it, and may do it later.
        Ok(wire::ChunkRefusal::Busy | wire::ChunkRefusal::Unspecified) | Err(_) => Refusal::Busy,
    }
}

pub(crate) fn put_refusal(error: &KeepError) -> Refusal {
    match error {
        KeepError::NoStore | KeepError::Put(PutError::Lost) => Refusal::NoStore,
        KeepError::Put(PutError::Full { .. }) => Refusal::Full,
        KeepError::Put(PutError::OtherBytes { .. } | PutError::Size { .. }) => Refusal::NotTheId,
        KeepError::Put(PutError::Sync(_) | PutError::Poisoned) => Refusal::Stopped,
        KeepError::Put(PutError::Write { .. } | PutError::Stopped) | KeepError::State(_) => Refusal::Unsure,
    }
}

pub(crate) fn wire_put(result: Result<ChunkReceipt, Refusal>) -> wire::PutChunkResponse {
    use wire::put_chunk_response::Result as Wire;
    let result = match result {
        Ok(receipt) => Wire::Receipt(wire_receipt(receipt)),
        Err(refusal) => Wire::Refusal(wire_refusal(refusal)),
    };
    wire::PutChunkResponse { result: Some(result) }
}

pub(super) fn put_request(
    header: PeerHeader,
    id: &ChunkId,
    sealed: Bytes,
    of: Option<(UploadId, u32)>,
) -> wire::PutChunkRequest {
    let upload_id = of.map(|(upload, _)| Bytes::copy_from_slice(upload.as_bytes())).unwrap_or_default();
    let sequence = of.map_or(0, |(_, sequence)| sequence);
    wire::PutChunkRequest { header: Some(header), chunk_id: wire_id(id), sealed, upload_id, sequence }
}

pub(super) fn put(response: wire::PutChunkResponse) -> Result<Result<ChunkReceipt, Refusal>, Malformed> {
    use wire::put_chunk_response::Result as Wire;
    match response.result {
        Some(Wire::Receipt(wired)) => Ok(Ok(receipt(&wired)?)),
        Some(Wire::Refusal(value)) => Ok(Err(refusal(value))),
        None => Err(Malformed("an answer about a chunk")),
    }
}

pub(super) fn get_request(header: PeerHeader, id: &ChunkId, can_wait: bool) -> wire::GetChunkRequest {
    wire::GetChunkRequest { header: Some(header), chunk_id: wire_id(id), can_wait }
}

pub(crate) fn wire_get(result: Result<Option<Bytes>, GetError>) -> wire::GetChunkResponse {
    use wire::get_chunk_response::Result as Wire;
    let result = match result {
        Ok(Some(sealed)) => Wire::Sealed(sealed),
        Ok(None) => Wire::Refusal(wire_refusal(Refusal::Missing)),
        Err(_) => Wire::Refusal(wire_refusal(Refusal::Unsure)),
    };
    wire::GetChunkResponse { result: Some(result) }
}

pub(super) fn get(response: wire::GetChunkResponse) -> Result<Result<Bytes, Refusal>, Malformed> {
    use wire::get_chunk_response::Result as Wire;
    match response.result {
        Some(Wire::Sealed(sealed)) if !sealed.is_empty() && sealed.len() <= CHUNK_BYTES_MAX => Ok(Ok(sealed)),
        Some(Wire::Refusal(value)) => Ok(Err(refusal(value))),
        Some(Wire::Sealed(_)) | None => Err(Malformed("a chunk")),
    }
}

pub(super) fn have_request(header: PeerHeader, ids: &[ChunkId]) -> wire::HaveChunksRequest {
    wire::HaveChunksRequest { header: Some(header), chunk_ids: ids.iter().map(wire_id).collect() }
}

pub(crate) fn wire_have(stored: Vec<u32>, incarnation: StoreIncarnation) -> wire::HaveChunksResponse {
    wire::HaveChunksResponse { stored_bytes: stored, store_incarnation: Bytes::copy_from_slice(incarnation.as_bytes()) }
}

pub(super) fn have(asked: usize, response: wire::HaveChunksResponse) -> Result<Vec<Option<u32>>, Malformed> {
    if response.stored_bytes.len() != asked {
        return Err(Malformed("the number of answers"));
    }
    Ok(response.stored_bytes.into_iter().map(|bytes| (bytes > 0).then_some(bytes)).collect())
}

pub(super) fn verify_request(header: PeerHeader, ids: &[ChunkId]) -> wire::VerifyChunksRequest {
    wire::VerifyChunksRequest { header: Some(header), chunk_ids: ids.iter().map(wire_id).collect() }
}

pub(crate) fn wire_verified(
    asked: usize,
    result: Result<(Vec<bool>, ChunkReceipt), KeepError>,
) -> wire::VerifyChunksResponse {
    match result {
        Ok((good, receipt)) => wire::VerifyChunksResponse { good, receipt: Some(wire_receipt(receipt)) },
        Err(_) => wire::VerifyChunksResponse { good: vec![false; asked], receipt: None },
    }
}

pub(super) fn verified(
    asked: usize,
    response: wire::VerifyChunksResponse,
) -> Result<(Vec<bool>, Option<ChunkReceipt>), Malformed> {
    if response.good.len() != asked {
        return Err(Malformed("the number of answers"));
    }
    Ok((response.good, response.receipt.as_ref().map(receipt).transpose()?))
}

pub(super) fn challenge_request(header: PeerHeader, nonce: &[u8; 32], ids: &[ChunkId]) -> wire::ChallengeRequest {
    wire::ChallengeRequest {
        header: Some(header),
        nonce: Bytes::copy_from_slice(nonce),
        chunk_ids: ids.iter().map(wire_id).collect(),
    }
}

pub(crate) fn nonce(bytes: &[u8]) -> Result<[u8; 32], Malformed> {
    bytes.try_into().map_err(|_| Malformed("a nonce"))
}

pub(crate) fn wire_challenged(answers: Vec<Possession>) -> wire::ChallengeResponse {
    use wire::challenge_response::possession::Answer;
    let answers = answers.into_iter().map(|answer| {
        let answer = match answer {
            Possession::Proof(proof) => Answer::Proof(Bytes::copy_from_slice(&proof)),
            Possession::None => Answer::Refusal(wire_refusal(Refusal::Missing)),
            Possession::Unsure => Answer::Refusal(wire_refusal(Refusal::Unsure)),
        };
        wire::challenge_response::Possession { answer: Some(answer) }
    });
    wire::ChallengeResponse { answers: answers.collect() }
}

pub(super) fn challenged(asked: usize, response: wire::ChallengeResponse) -> Result<Vec<Possession>, Malformed> {
    use wire::challenge_response::possession::Answer;
    if response.answers.len() != asked {
        return Err(Malformed("the number of answers"));
    }
    let answers = response.answers.into_iter().map(|possession| match possession.answer {
        Some(Answer::Proof(proof)) => {
            <[u8; 32]>::try_from(&*proof).map(Possession::Proof).map_err(|_| Malformed("a proof"))
        }
        Some(Answer::Refusal(value)) if refusal(value) == Refusal::Missing => Ok(Possession::None),
        Some(Answer::Refusal(_)) | None => Ok(Possession::Unsure),
    });
    answers.collect()
}

pub(super) fn held_request(header: PeerHeader) -> wire::HeldRequest {
    wire::HeldRequest { header: Some(header) }
}

pub(crate) fn wire_held(report: &HeldReport) -> wire::HeldResponse {
    let partitions = report.partitions.iter().map(|partition| wire::held_response::Partition {
        count: partition.count,
        bytes: partition.bytes,
        digest: Bytes::copy_from_slice(&partition.digest.to_bytes()),
        oldest_check_age_ms: ms(partition.oldest_check_age),
    });
    wire::HeldResponse {
        store_incarnation: Bytes::copy_from_slice(report.incarnation.as_bytes()),
        disk_id: Bytes::copy_from_slice(report.disk.as_bytes()),
        applied_index: report.applied_index,
        partitions: partitions.collect(),
        bad_total: report.bad,
    }
}

pub(super) fn held(response: wire::HeldResponse) -> Result<HeldReport, Malformed> {
    if response.partitions.len() != PARTITIONS {
        return Err(Malformed("the number of partitions"));
    }
    let disk = <[u8; 32]>::try_from(&*response.disk_id).map_err(|_| Malformed("a disk id"))?;
    let partitions = response.partitions.iter().map(|partition| {
        let digest = <[u8; 32]>::try_from(&*partition.digest).map_err(|_| Malformed("a set digest"))?;
        Ok(HeldPartition {
            count: partition.count,
            bytes: partition.bytes,
            digest: SetDigest::from_bytes(digest),
            oldest_check_age: Duration::from_millis(partition.oldest_check_age_ms),
        })
    });
    Ok(HeldReport {
        incarnation: incarnation(&response.store_incarnation)?,
        disk: DiskId::from_bytes(disk),
        applied_index: response.applied_index,
        partitions: partitions.collect::<Result<_, _>>()?,
        bad: response.bad_total,
    })
}

pub(super) fn list_request(
    header: PeerHeader,
    partition: Option<u8>,
    after: Option<&ChunkId>,
    limit: usize,
) -> wire::ListHeldRequest {
    wire::ListHeldRequest {
        header: Some(header),
        partition: partition.map(u32::from),
        after: after.map(wire_id).unwrap_or_default(),
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
    }
}

/// Partition, after which id, how many.
pub(crate) type ListQuestion = (Option<u8>, Option<ChunkId>, usize);

pub(crate) fn list_question(request: &wire::ListHeldRequest) -> Result<ListQuestion, Malformed> {
    let partition = request.partition.map(u8::try_from).transpose().map_err(|_| Malformed("a partition"))?;
    let after = if request.after.is_empty() { None } else { Some(chunk_id(&request.after)?) };
    let limit = match usize::try_from(request.limit) {
        Ok(limit) if (1..LIST_MAX).contains(&limit) => limit,
        _ => LIST_MAX,
    };
    Ok((partition, after, limit))
}

/// The page that such a question asks for, of a list that gives what comes after an id.
pub(crate) fn page(
    partition: Option<u8>,
    after: Option<ChunkId>,
    limit: usize,
    list: impl Fn(Option<&ChunkId>, usize) -> Vec<HeldChunk>,
) -> Vec<HeldChunk> {
    let Some(partition) = partition else { return list(after.as_ref(), limit) };
    // The last id of the partition before: what comes after it begins with this byte or a later one.
    let before = partition.checked_sub(1).map(|byte| {
        let mut id = [0xff; 32];
        id[0] = byte;
        ChunkId::from_bytes(id)
    });
    let mut held = list(after.max(before).as_ref(), limit);
    held.retain(|held| held.id.as_bytes()[0] == partition);
    held
}

pub(crate) fn wire_list(chunks: &[ListedChunk]) -> wire::ListHeldResponse {
    let chunks = chunks.iter().map(|held| wire::list_held_response::HeldChunk {
        id: wire_id(&held.id),
        stored_bytes: held.stored_bytes,
        check_age_ms: ms(held.check_age),
    });
    wire::ListHeldResponse { chunks: chunks.collect() }
}

pub(super) fn listed(response: wire::ListHeldResponse) -> Result<Vec<ListedChunk>, Malformed> {
    if response.chunks.len() > LIST_MAX {
        return Err(Malformed("the length of a list"));
    }
    let chunks = response.chunks.iter().map(|held| {
        Ok(ListedChunk {
            id: chunk_id(&held.id)?,
            stored_bytes: held.stored_bytes,
            check_age: Duration::from_millis(held.check_age_ms),
        })
    });
    chunks.collect()
}

pub(super) fn notes_request(header: PeerHeader, upload: UploadId) -> wire::UploadNotesRequest {
    wire::UploadNotesRequest { header: Some(header), upload_id: Bytes::copy_from_slice(upload.as_bytes()) }
}

pub(crate) fn wire_notes(notes: &[Note]) -> wire::UploadNotesResponse {
    let notes = notes.iter().map(|note| wire::upload_notes_response::Note {
        sequence: note.sequence,
        chunk_id: wire_id(&note.chunk),
        stored_bytes: note.stored_bytes,
    });
    wire::UploadNotesResponse { notes: notes.collect() }
}

pub(super) fn notes(response: wire::UploadNotesResponse) -> Result<Vec<Note>, Malformed> {
    if response.notes.len() > NOTES_MAX + 1 {
        return Err(Malformed("the number of notes"));
    }
    let notes = response.notes.iter().map(|note| {
        let chunk = chunk_id(&note.chunk_id)?;
        Ok(Note { sequence: note.sequence, chunk, stored_bytes: note.stored_bytes })
    });
    notes.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // A peer may send anything: what is not as it must be is refused, and nothing panics.
    #[test]
    fn answers_that_are_not_as_they_must_be_are_refused() {
        assert!(put(wire::PutChunkResponse { result: None }).is_err());
        let short = wire::ChunkReceipt { store_incarnation: Bytes::from_static(b"short"), gc_epoch: 0 };
        let short = wire::put_chunk_response::Result::Receipt(short);
        assert!(put(wire::PutChunkResponse { result: Some(short) }).is_err());
        let later = wire::put_chunk_response::Result::Refusal(99);
        assert_eq!(put(wire::PutChunkResponse { result: Some(later) }).unwrap(), Err(Refusal::Busy));
        for length in [0, CHUNK_BYTES_MAX + 1] {
            let sealed = wire::get_chunk_response::Result::Sealed(vec![0; length].into());
            assert!(get(wire::GetChunkResponse { result: Some(sealed) }).is_err(), "{length}");
        }
        let incarnation = Bytes::from_static(&[1; 16]);
        let answer = wire::HaveChunksResponse { stored_bytes: vec![1], store_incarnation: incarnation };
        assert!(have(2, answer.clone()).is_err());
        assert_eq!(have(1, answer).unwrap(), [Some(1)]);
        assert!(verified(1, wire::VerifyChunksResponse { good: vec![], receipt: None }).is_err());
        assert!(challenged(1, wire::ChallengeResponse { answers: vec![] }).is_err());
        assert!(held(wire::HeldResponse::default()).is_err());
        assert!(chunk_ids(&vec![Bytes::from_static(&[1; 32]); 3], 2).is_err());
        assert!(chunk_ids(&[Bytes::from_static(&[1; 31])], 2).is_err());
        let note = wire::upload_notes_response::Note { sequence: 0, chunk_id: Bytes::new(), stored_bytes: 1 };
        assert!(notes(wire::UploadNotesResponse { notes: vec![note] }).is_err());
        let question = wire::ListHeldRequest { partition: Some(256), ..Default::default() };
        assert!(list_question(&question).is_err());
        let question = wire::ListHeldRequest { limit: 100_000, ..Default::default() };
        assert_eq!(list_question(&question).unwrap(), (None, None, LIST_MAX));
    }

    #[test]
    fn what_is_sent_is_what_arrives() {
        let receipt = ChunkReceipt { incarnation: StoreIncarnation::from_bytes([3; 16]), gc_epoch: 9 };
        assert_eq!(put(wire_put(Ok(receipt))).unwrap(), Ok(receipt));
        for refusal in [
            Refusal::NoStore,
            Refusal::Full,
            Refusal::Stopped,
            Refusal::NotTheId,
            Refusal::Missing,
            Refusal::Unsure,
            Refusal::Busy,
        ] {
            assert_eq!(put(wire_put(Err(refusal))).unwrap(), Err(refusal));
        }
        assert_eq!(get(wire_get(Ok(Some(Bytes::from_static(b"x"))))).unwrap(), Ok(Bytes::from_static(b"x")));
        assert_eq!(get(wire_get(Ok(None))).unwrap(), Err(Refusal::Missing));
        let answers = vec![Possession::Proof([4; 32]), Possession::None, Possession::Unsure];
        assert_eq!(challenged(3, wire_challenged(answers.clone())).unwrap(), answers);
        let all = [Note { sequence: 3, chunk: ChunkId::from_bytes([5; 32]), stored_bytes: 200 }];
        assert_eq!(notes(wire_notes(&all)).unwrap(), all);
        let partition = HeldPartition {
            count: 2,
            bytes: 300,
            digest: SetDigest::from_bytes([6; 32]),
            oldest_check_age: Duration::from_millis(2_500),
        };
        let told = HeldReport {
            incarnation: receipt.incarnation,
            disk: DiskId::from_bytes([7; 32]),
            applied_index: 11,
            partitions: vec![partition; PARTITIONS],
            bad: 1,
        };
        assert_eq!(held(wire_held(&told)).unwrap(), told);
    }
}
