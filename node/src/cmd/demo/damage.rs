//! What becomes of images when their bytes are lost or rot on one unit: a chunk directory that is gone, a bit that flipped.
//! The one part of the demonstration that touches a node's files, because a broken disk does.

use super::figures::{Damage, millis};
use super::images::{Account, all_images};
use super::name;
use super::teller::{grouped, seconds};
use crate::local_network::LocalNetwork;
use anyhow::Context;
use futures_util::TryStreamExt;
use futures_util::stream::{self, StreamExt};
use plantao_client::Cluster;
use plantao_client::services::LINEARIZABLE;
use plantao_proto::public::v1;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a unit may take to be whole again.
const HEALED_MAX: Duration = Duration::from_secs(300);
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// Chunk files in which a bit flips.
const ROTTEN: usize = 10;
/// Images looked at together.
const AT_ONCE: usize = 4;
/// Digits of a chunk's name.
const NAME_CHARS: usize = 64;

/// What one node has of all images.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Copies {
    chunks: u64,
    good: u64,
    bad: u64,
    unknown: u64,
    /// Images of which it has no receipt that counts.
    unreceipted: u64,
}

impl Copies {
    fn is_whole(&self) -> bool {
        self.chunks > 0 && self.good == self.chunks && (self.bad, self.unknown, self.unreceipted) == (0, 0, 0)
    }
}

/// Asks for the proof of every image, through `cluster`, and adds up what `node` has of them.
async fn copies(cluster: &Cluster, images: &[v1::Image], node: u64) -> anyhow::Result<Copies> {
    let asking: Vec<_> = images
        .iter()
        .map(|image| {
            let image_id = image.id.clone();
            async move { cluster.verify_image(v1::VerifyImageRequest { read: Some(LINEARIZABLE), image_id }).await }
        })
        .collect();
    let answers: Vec<_> = stream::iter(asking).buffer_unordered(AT_ONCE).try_collect().await?;
    let mut all = Copies::default();
    for copy in answers.iter().flat_map(|answer| &answer.copies).filter(|copy| copy.node_id == node && copy.placed) {
        all.chunks += u64::from(copy.chunks);
        all.good += u64::from(copy.good);
        all.bad += u64::from(copy.bad);
        all.unknown += u64::from(copy.unknown);
        all.unreceipted += u64::from(!copy.receipt);
    }
    Ok(all)
}

/// Asks until the node has all of it, or the time is over; gives what it has then.
async fn healed(cluster: &Cluster, images: &[v1::Image], node: u64) -> anyhow::Result<Copies> {
    let deadline = Instant::now() + HEALED_MAX;
    loop {
        let now = copies(cluster, images, node).await?;
        if now.is_whole() || Instant::now() >= deadline {
            return Ok(now);
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

/// The last unit is damaged, the first one is asked.
struct Stage {
    at: usize,
    node: u64,
    unit: String,
    chunks: PathBuf,
    asked: Cluster,
    damaged: Cluster,
    images: Vec<v1::Image>,
}

impl Stage {
    async fn new(network: &LocalNetwork, cluster: &Cluster) -> anyhow::Result<Self> {
        let keyed = |it: &&crate::local_network::Node| it.spec().keyed;
        let at = network.nodes().iter().rposition(|it| keyed(&it)).context("there is no unit")?;
        let node = network.nodes().get(at).context("there is no unit")?;
        let first = network.nodes().iter().find(keyed).context("there is no unit")?;
        let through = |address: String| cluster.only(&address).context("a unit is not among the endpoints");
        Ok(Self {
            at,
            node: node.id(),
            unit: name(network, at)?,
            chunks: node.data_dir().join("chunks"),
            asked: through(first.public())?,
            damaged: through(node.public())?,
            images: all_images(cluster).await?,
        })
    }
}

/// Removes a stopped unit's chunk directory, and waits until it is whole again.
pub(super) async fn lose_directory(
    network: &mut LocalNetwork,
    cluster: &Cluster,
    account: &mut Account<'_>,
) -> anyhow::Result<()> {
    let stage = Stage::new(network, cluster).await?;
    let unit = stage.unit.clone();
    account.teller.step(&format!("{unit} perde o diretório de imagens inteiro"));
    network.stop(stage.at).await?;
    let files = chunk_files(&stage.chunks)?.len() as u64;
    fs::remove_dir_all(&stage.chunks).with_context(|| format!("cannot remove {}", stage.chunks.display()))?;
    network.start(stage.at).await?;
    network.settle().await?;
    let begun = Instant::now();
    let now = Box::pin(healed(&stage.asked, &stage.images, stage.node)).await?;
    let took = begun.elapsed();
    let text = format!(
        "{unit} sem {} arquivos de imagens: {} de {} blocos provados de novo, em {}",
        grouped(files),
        grouped(now.good),
        grouped(now.chunks),
        seconds(took)
    );
    account.teller.line(&format!("   {text}"));
    account.figures.claim("lost_directory_healed", files > 0 && now.is_whole(), text);
    account.found.lost_directory =
        Some(Damage { node: unit, files, found: files, set_aside: 0, healed: now.good, healed_ms: millis(took) });
    Ok(())
}

/// Flips a bit in ten chunk files of a running unit: the proof finds them, the unit sets them aside and heals.
pub(super) async fn rot(network: &LocalNetwork, cluster: &Cluster, account: &mut Account<'_>) -> anyhow::Result<()> {
    let stage = Stage::new(network, cluster).await?;
    let unit = stage.unit.clone();
    account.teller.step(&format!("Um bit muda em {ROTTEN} arquivos de imagens de {unit}"));
    // None but good copies: what is found afterwards is what was done here.
    let before = Box::pin(healed(&stage.asked, &stage.images, stage.node)).await?;
    let aside_before = aside(&stage.chunks)?;
    let files = chunk_files(&stage.chunks)?;
    // Spread over all of them.
    let step = (files.len() / ROTTEN).max(1);
    let flipped = files.iter().step_by(step).take(ROTTEN).map(|file| flip(file)).collect::<anyhow::Result<Vec<_>>>()?;
    let rotten = copies(&stage.asked, &stage.images, stage.node).await?;
    let begun = Instant::now();
    // Whoever reads there gets the right bytes all the same, and what was bad is put right.
    for image in &stage.images {
        let variants = [Some(v1::ImageVariant::Original), image.thumbnail.then_some(v1::ImageVariant::Thumbnail)];
        for variant in variants.into_iter().flatten() {
            let request = v1::ReadImageRequest {
                read: Some(LINEARIZABLE),
                image_id: image.id.clone(),
                variant: variant.into(),
                ..v1::ReadImageRequest::default()
            };
            stage.damaged.read_image(request, |_| Ok(())).await?;
        }
    }
    let now = Box::pin(healed(&stage.asked, &stage.images, stage.node)).await?;
    let took = begun.elapsed();
    let set_aside = aside(&stage.chunks)?.saturating_sub(aside_before);
    let text = format!(
        "{} bits mudados em {unit}: {} achados pela prova, {} postos de lado, {} de {} blocos bons outra vez em {}",
        flipped.len(),
        rotten.bad,
        set_aside,
        grouped(now.good),
        grouped(now.chunks),
        seconds(took)
    );
    account.teller.line(&format!("   {text}"));
    let count = flipped.len() as u64;
    let holds = before.is_whole() && count > 0 && set_aside >= count && now.is_whole();
    account.figures.claim("rot_found_and_healed", holds, text);
    account.found.rot = Some(Damage {
        node: unit,
        files: count,
        found: rotten.bad,
        set_aside,
        healed: now.good,
        healed_ms: millis(took),
    });
    Ok(())
}

/// Every chunk file of a directory, in order.
fn chunk_files(chunks: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = |directory: &Path| -> anyhow::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
        Ok(entries.collect::<std::io::Result<Vec<_>>>()?.iter().map(fs::DirEntry::path).collect())
    };
    let named = |path: &Path, length: usize| path.file_name().is_some_and(|name| name.len() == length);
    let mut files = Vec::new();
    for part in entries(chunks)?.into_iter().filter(|path| named(path, 2) && path.is_dir()) {
        files.extend(entries(&part)?.into_iter().filter(|path| named(path, NAME_CHARS)));
    }
    files.sort();
    Ok(files)
}

/// How many bad copies were set aside.
fn aside(chunks: &Path) -> anyhow::Result<u64> {
    match fs::read_dir(chunks.join("quarantine")) {
        Ok(entries) => Ok(entries.count() as u64),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error).context("cannot read the quarantine"),
    }
}

/// Flips one bit in the middle of a file.
fn flip(file: &Path) -> anyhow::Result<()> {
    let told = || format!("cannot change {}", file.display());
    let open = OpenOptions::new().read(true).write(true).open(file).with_context(told)?;
    let middle = open.metadata().with_context(told)?.len() / 2;
    let mut byte = [0];
    open.read_exact_at(&mut byte, middle).with_context(told)?;
    byte[0] ^= 1;
    open.write_all_at(&byte, middle).with_context(told)?;
    open.sync_all().with_context(told)
}
