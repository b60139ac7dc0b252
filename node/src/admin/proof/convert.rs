//! Between the wire and proofs.

use crate::proof::{
    Answer, CopiesOf, CopiesPage, CopyOf, Finding, FindingKind, HolderReport, ObjectCopies, ObjectsReport, Options,
    Progress, Report, Step, Verdict,
};
use crate::storage::identity::NodeIdentity;
use bytes::Bytes;
use plantao_domain::rows::ImageCursor;
use plantao_domain::{ClusterTime, ImageId, PatientId};
use plantao_proto::admin::v1 as wire;
use std::time::Duration;
use tonic::Status;

const PAGE: usize = 50;
const PAGE_MAX: usize = 200;

/// What is asked of copies.
pub(super) struct Question {
    pub(super) of: CopiesOf,
}

#[allow(clippy::result_large_err, reason = "tonic's handlers return statuses by value")]
fn id(field: &str, bytes: &[u8]) -> Result<[u8; 16], Status> {
    bytes.try_into().map_err(|_| Status::invalid_argument(format!("{field}: 16 bytes")))
}

#[allow(clippy::result_large_err, reason = "tonic's handlers return statuses by value")]
pub(super) fn question(request: &wire::ListCopiesRequest) -> Result<Question, Status> {
    use wire::list_copies_request::Of;
    let limit = match usize::try_from(request.page_size).unwrap_or(usize::MAX) {
        0 => PAGE,
        asked => asked.min(PAGE_MAX),
    };
    let after = cursor(&request.page_token)?;
    let of = match &request.of {
        Some(Of::ImageId(bytes)) => CopiesOf::Image(ImageId::from_bytes(id("image_id", bytes)?)),
        Some(Of::PatientId(bytes)) => CopiesOf::Patient(PatientId::from_bytes(id("patient_id", bytes)?), after, limit),
        Some(Of::Kind(kind)) if kind == "images" => CopiesOf::Images(after.map(|after| after.image), limit),
        Some(Of::Kind(kind)) if kind == "state" => CopiesOf::State,
        Some(Of::Kind(_)) => return Err(Status::invalid_argument("kind: `images` or `state`")),
        None => return Err(Status::invalid_argument("of: an image, a patient or a kind")),
    };
    Ok(Question { of })
}

/// A page token is the time and the id of the last image.
#[allow(clippy::result_large_err, reason = "tonic's handlers return statuses by value")]
fn cursor(token: &[u8]) -> Result<Option<ImageCursor>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let whole = token.split_first_chunk::<8>().and_then(|(at, image)| Some((at, <[u8; 16]>::try_from(image).ok()?)));
    let (at, image) = whole.ok_or_else(|| Status::invalid_argument("page_token: give back the one that you got"))?;
    Ok(Some(ImageCursor { at: ClusterTime::from_key(*at), image: ImageId::from_bytes(image) }))
}

fn token(next: &ImageCursor) -> Bytes {
    [next.at.to_key().as_slice(), next.image.as_bytes()].concat().into()
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn progress(now: Progress) -> wire::ProveResponse {
    let step = match now.step {
        Step::Expected => wire::ProofStep::Expected,
        Step::Held => wire::ProofStep::Held,
        Step::Challenge => wire::ProofStep::Challenge,
    };
    let progress = wire::ProofProgress { step: step.into(), done: now.done, total: now.total };
    wire::ProveResponse { part: Some(wire::prove_response::Part::Progress(progress)) }
}

fn verdict(verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Holds => wire::Verdict::Holds,
        Verdict::HoldsSimulated => wire::Verdict::HoldsSimulated,
        Verdict::DoesNotHold => wire::Verdict::DoesNotHold,
    }
    .into()
}

fn answer(answer: Answer) -> i32 {
    match answer {
        Answer::Answered => wire::HolderAnswer::Answered,
        Answer::Silent => wire::HolderAnswer::Silent,
        Answer::NoStore => wire::HolderAnswer::NoStore,
        Answer::Refuted => wire::HolderAnswer::Refuted,
    }
    .into()
}

pub(super) fn proof(
    report: &Report,
    node: &NodeIdentity,
    options: Options,
    made: ClusterTime,
    took: Duration,
) -> wire::ProveResponse {
    let proof = wire::Proof {
        cluster_id: Bytes::copy_from_slice(node.cluster.as_bytes()),
        cluster_name: node.cluster_name.clone(),
        node_id: node.node.0,
        node_name: node.name.clone(),
        made_ms: made.millis(),
        applied_index: report.applied_index,
        linearizable: report.linearizable,
        challenge_chunks: u32::try_from(options.challenge_chunks).unwrap_or(u32::MAX),
        check_age_ms_max: ms(options.check_age_max),
        verdict: verdict(report.verdict()),
        holders: report.holders.iter().map(holder).collect(),
        objects: report.objects.iter().map(objects).collect(),
        findings: report.findings.iter().map(finding).collect(),
        findings_total: report.findings_total,
        took_ms: ms(took),
    };
    wire::ProveResponse { part: Some(wire::prove_response::Part::Proof(proof)) }
}

fn holder(holder: &HolderReport) -> wire::ProofHolder {
    wire::ProofHolder {
        node_id: holder.place.node.0,
        name: holder.name.clone(),
        site: holder.site.clone(),
        country: holder.country.clone(),
        medium: holder.place.medium.clone(),
        off_site: holder.place.off_site,
        disk_id: Bytes::copy_from_slice(holder.place.disk.as_bytes()),
        simulated_media: holder.place.simulated,
        answer: answer(holder.answer),
        expected_chunks: holder.expected_chunks,
        expected_bytes: holder.expected_bytes,
        lost_chunks: holder.lost_chunks,
        awaited_chunks: holder.awaited_chunks,
        held_chunks: holder.held_chunks,
        held_bytes: holder.held_bytes,
        check_age_ms: ms(holder.check_age),
        bad_total: holder.bad,
        challenged: holder.challenged,
        proved: holder.proved,
        applied_index: holder.applied_index.unwrap_or(0),
        state_check_age_ms: ms(holder.state_check_age),
        state_agrees: holder.state_agrees,
    }
}

fn objects(of: &ObjectsReport) -> wire::ProofObjects {
    // Of nothing there is no fewest.
    let least = |count| if of.objects == 0 { 0 } else { count };
    wire::ProofObjects {
        kind: of.kind.to_owned(),
        objects: of.objects,
        bytes: of.bytes,
        copies_least: least(of.least.copies),
        media_least: least(of.least.media),
        off_site_least: least(of.least.off_site),
        without_three: of.without_three,
        without_two: of.without_two,
        without_one: of.without_one,
    }
}

fn finding(finding: &Finding) -> wire::ProofFinding {
    let kind = match finding.kind {
        FindingKind::Lost => wire::FindingKind::Lost,
        FindingKind::Awaited => wire::FindingKind::Awaited,
        FindingKind::Refuted => wire::FindingKind::Refuted,
        FindingKind::Overdue => wire::FindingKind::Overdue,
        FindingKind::Silent => wire::FindingKind::Silent,
        FindingKind::NoStore => wire::FindingKind::NoStore,
        FindingKind::State => wire::FindingKind::State,
    };
    wire::ProofFinding {
        kind: kind.into(),
        node_id: finding.node.0,
        image_id: finding.image.map(|id| Bytes::copy_from_slice(id.as_bytes())).unwrap_or_default(),
        chunk_id: finding.chunk.map(|id| Bytes::copy_from_slice(id.as_bytes())).unwrap_or_default(),
    }
}

pub(super) fn copies(page: &CopiesPage) -> wire::ListCopiesResponse {
    wire::ListCopiesResponse {
        applied_index: page.applied_index,
        objects: page.objects.iter().map(object).collect(),
        next_page_token: page.next.as_ref().map(token).unwrap_or_default(),
    }
}

fn object(of: &ObjectCopies) -> wire::ObjectCopies {
    wire::ObjectCopies {
        kind: if of.image.is_some() { "image" } else { "state" }.to_owned(),
        id: of.image.map(|id| Bytes::copy_from_slice(id.as_bytes())).unwrap_or_default(),
        bytes: of.bytes,
        copies: of.copies.iter().map(copy).collect(),
        three: of.safety.copies,
        two: of.safety.media,
        one: of.safety.off_site,
        errors: of.errors,
        verdict: verdict(of.verdict),
    }
}

fn copy(of: &CopyOf) -> wire::Copy {
    wire::Copy {
        node_id: of.place.node.0,
        name: of.name.clone(),
        site: of.site.clone(),
        country: of.country.clone(),
        medium: of.place.medium.clone(),
        off_site: of.place.off_site,
        answer: answer(of.answer),
        chunks: of.chunks,
        held: of.held,
        check_age_ms: ms(of.check_age),
    }
}
