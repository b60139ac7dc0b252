//! The part of the story that is about images: each reads back from each unit, each gets its off-site copy, and an upload
//! outlives the node that takes it.

use super::figures::{Figures, ImageFigures, InterruptedUpload, millis};
use super::teller::{Teller, grouped, mebibytes, seconds};
use super::{damage, name, story};
use crate::local_network::LocalNetwork;
use anyhow::Context;
use bytes::Bytes;
use futures_util::TryStreamExt;
use plantao_client::images::{NewImage, Progress, sha256_of, upload_id};
use plantao_client::import::read_back_images;
use plantao_client::services::LINEARIZABLE;
use plantao_client::{Cluster, Id};
use plantao_proto::public::v1;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Large enough that its upload is still under way when half of it was sent.
const LARGE_BYTES: usize = (48 << 20) + 12_345;
/// How long the off-site copies of all images may take on a computer where everything shares one disk.
const OFF_SITE_MAX: Duration = Duration::from_secs(300);
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// What is told, and written down as it is told.
pub(super) struct Account<'a> {
    /// Of images; among the other figures only once the story is told to its end.
    pub(super) found: ImageFigures,
    pub(super) figures: &'a mut Figures,
    pub(super) teller: &'a Teller,
}

/// Tells it.
pub(super) async fn tell(
    network: &mut LocalNetwork,
    cluster: &Cluster,
    files: &Path,
    figures: &mut Figures,
    teller: &Teller,
) -> anyhow::Result<()> {
    let imported = figures.import.as_ref().map_or(0, |import| import.images.accepted());
    let mut account = Account { found: ImageFigures::default(), figures, teller };
    if imported > 0 {
        Box::pin(read_back(network, cluster, files, imported, &mut account)).await?;
        off_site(cluster, imported, &mut account).await?;
    }
    Box::pin(interrupt(network, cluster, &mut account)).await?;
    Box::pin(damage::lose_directory(network, cluster, &mut account)).await?;
    Box::pin(damage::rot(network, cluster, &mut account)).await?;
    account.figures.images = Some(account.found);
    Ok(())
}

async fn read_back(
    network: &LocalNetwork,
    cluster: &Cluster,
    files: &Path,
    imported: u64,
    account: &mut Account<'_>,
) -> anyhow::Result<()> {
    account.teller.step("Imagens: cada uma lida de volta, de cada unidade, com o mesmo SHA-256");
    for node in network.nodes().iter().filter(|node| node.spec().keyed) {
        let only = cluster.only(&node.public()).context("a unit is not among the endpoints")?;
        let on_progress = |progress| account.teller.progress(node.name(), progress);
        let report = read_back_images(&only, files, LINEARIZABLE, &on_progress).await?;
        let text = format!(
            "{}: {} de {} imagens com o mesmo SHA-256 ({})",
            node.name(),
            grouped(report.identical),
            grouped(report.expected),
            mebibytes(report.bytes)
        );
        let took = seconds(Duration::from_millis(report.elapsed_ms));
        account.teller.line(&format!("   {text}, em {took}"));
        story::issues(&report.issues, account.teller);
        let holds = report.holds() && report.identical == imported;
        account.figures.claim("images_read_back", holds, format!("imagens em {text}"));
        account.found.read_back.insert(node.name().to_owned(), report);
    }
    Ok(())
}

/// Every image of the network.
pub(super) async fn all_images(cluster: &Cluster) -> anyhow::Result<Vec<v1::Image>> {
    let read = Some(LINEARIZABLE);
    let patients: Vec<_> = cluster.patients(v1::ListPatientsRequest { read, page: None }).try_collect().await?;
    let mut all = Vec::new();
    for patient in patients {
        let request = v1::ListImagesRequest { read, patient_id: patient.id, newest_first: false, page: None };
        let images: Vec<v1::Image> = cluster.images(request).try_collect().await?;
        all.extend(images);
    }
    Ok(all)
}

async fn off_site(cluster: &Cluster, imported: u64, account: &mut Account<'_>) -> anyhow::Result<()> {
    let begun = Instant::now();
    let (all, off_site) = loop {
        let images = all_images(cluster).await?;
        let protected = images.iter().filter(|image| image.status() == v1::ImageStatus::Protected).count();
        let now = (images.len() as u64, protected as u64);
        if now.0 == now.1 || begun.elapsed() > OFF_SITE_MAX {
            break now;
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    };
    account.found.stored = all;
    account.found.protected = off_site;
    let text = format!("{} de {} imagens têm cópia externa", grouped(off_site), grouped(all));
    account.teller.line(&format!("   {text}"));
    account.figures.claim("images_protected", all >= imported && off_site == all, text);
    Ok(())
}

/// Something that begins as DICOM does, and differs in every chunk.
fn study() -> Bytes {
    let mut bytes: Vec<u8> = (0..LARGE_BYTES).map(|at| (at * 31 / 7 + at / 4_096) as u8).collect();
    bytes[..128].fill(0);
    bytes[128..132].copy_from_slice(b"DICM");
    bytes.into()
}

/// A patient and unit of the network, and a consent for clinical images made here.
async fn consenting(cluster: &Cluster) -> anyhow::Result<(Id, Id, Id)> {
    let request = v1::ListPatientsRequest { read: Some(LINEARIZABLE), page: None };
    let patients: Vec<_> = cluster.patients(request).try_collect().await?;
    let patient = patients.first().context("there is no patient")?;
    let consent = Id::random()?;
    let request = v1::GrantConsentRequest {
        header: None,
        consent_id: consent.to_wire(),
        patient_id: patient.id.clone(),
        unit_id: patient.unit_id.clone(),
        purposes: vec![v1::Purpose::ClinicalImages.into()],
        valid_from_ms: 0,
        valid_until_ms: 0,
        document: Bytes::from_static(b"{}"),
    };
    cluster.grant_consent(request).await?;
    Ok((Id::from_wire(&patient.id)?, Id::from_wire(&patient.unit_id)?, consent))
}

/// Kills the node that takes an upload when half of it was sent; the same call goes on through the other unit.
async fn interrupt(network: &mut LocalNetwork, cluster: &Cluster, account: &mut Account<'_>) -> anyhow::Result<()> {
    // Of the keyed nodes, which are the endpoints, the first one is where this begins.
    let at = network.nodes().iter().position(|node| node.spec().keyed).context("there is no unit")?;
    let killed = name(network, at)?;
    account
        .teller
        .step(&format!("Um exame de {} é enviado a {killed}; na metade, kill -9", mebibytes(LARGE_BYTES as u64)));
    let (patient_id, unit_id, consent_id) = consenting(cluster).await?;
    let image_id = Id::random()?;
    let image = NewImage {
        upload_id: upload_id(image_id),
        image_id,
        patient_id,
        unit_id,
        visit_id: None,
        consent_id,
        kind: "exam".to_owned(),
        media_type: v1::MediaType::Dicom,
        taken_ms: 0,
        name: String::new(),
        remarks: String::new(),
    };
    let content = study();
    let begun = Instant::now();
    let (half, at_half) = oneshot::channel();
    let mut half = Some(half);
    let mut resumed_at = None;
    let tell = |progress| match progress {
        Progress::Sent { bytes } if bytes >= LARGE_BYTES as u64 / 2 => {
            if let Some(half) = half.take() {
                // Whoever waits for it outlives this.
                let _ = half.send(());
            }
        }
        Progress::Resumed { bytes } => resumed_at = Some(bytes),
        Progress::Sent { .. } | Progress::Waiting { .. } => {}
    };
    let through = cluster.spread(0);
    let putting = through.put_image(&image, Arc::new(content.clone()), tell);
    let killing = async {
        // An upload that failed before has dropped its end, and tells why itself.
        match at_half.await {
            Ok(()) => network.kill(at).await,
            Err(_) => Ok(()),
        }
    };
    let (put, ended) = Box::pin(futures_util::future::join(putting, killing)).await;
    ended?;
    let took = begun.elapsed();
    let put = put.context("the upload did not outlive its node")?;
    let sites = put.image.map_or(0, |image| image.sites);
    let resumed_at = resumed_at.unwrap_or_default();
    let text = format!("{killed} caiu no meio do envio; retomado em {} e confirmado", mebibytes(resumed_at));
    account.teller.line(&format!("   {text} em {} locais, {} depois do começo", sites, seconds(took)));
    network.start(at).await?;
    network.settle().await?;
    let expected = sha256_of(&content);
    let mut same = true;
    for node in network.nodes().iter().filter(|node| node.spec().keyed) {
        let only = cluster.only(&node.public()).context("a unit is not among the endpoints")?;
        let mut read = Vec::with_capacity(LARGE_BYTES);
        let request = v1::ReadImageRequest {
            read: Some(LINEARIZABLE),
            image_id: image_id.to_wire(),
            ..v1::ReadImageRequest::default()
        };
        only.read_image(request, |piece| {
            read.extend_from_slice(&piece);
            Ok(())
        })
        .await?;
        same &= sha256_of(&read) == expected;
    }
    account.teller.line(&format!("   lido de cada unidade: {}", if same { "o mesmo SHA-256" } else { "OUTROS BYTES" }));
    account.figures.claim("upload_resumed", same && sites >= 2, text);
    account.found.interrupted_upload = Some(InterruptedUpload {
        killed,
        bytes: LARGE_BYTES as u64,
        resumed_at_bytes: resumed_at,
        sites,
        elapsed_ms: millis(took),
    });
    Ok(())
}
