//! `chaos large-image`: one image of 2 GiB in and out with `plantao image put` and `get`, its SHA-256 compared, and the most
//! resident memory that each node had meanwhile.

use crate::ground::{Ground, Standing, beside, bytes, exit, millis, say, until_signal, yes};
use crate::operator::{Operator, resident_peak};
use anyhow::{Context, bail};
use plantao_client::bench::Gallery;
use plantao_client::images::{FileSource, ImageSource, digest};
use plantao_client::{ConnectOptions, Id};
use plantao_node::local_network::load::{Stage, Work};
use plantao_node::local_network::{LocalNetwork, NetworkOptions, Timers};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Goal.
const MEMORY_MAX: u64 = 256 << 20;
/// Bytes of the image that are made at once.
const PIECE: usize = 1 << 20;
/// Smallest image of a gallery, which is only there for its consent.
const SMALL: usize = 140;

/// How large.
#[derive(Debug, clap::Args)]
pub(crate) struct LargeImage {
    /// Bytes of the image, as 2GiB; the disk needs five times as much.
    #[arg(long, default_value = "2GiB", value_parser = bytes)]
    bytes: u64,
    /// `plantao`; default: the one beside this program.
    #[arg(long, value_name = "FILE")]
    cli: Option<PathBuf>,
    #[command(flatten)]
    ground: Ground,
}

#[derive(Debug, Serialize)]
struct Figures {
    schema_version: u32,
    image_bytes: u64,
    put_ms: u64,
    get_ms: u64,
    put_mb_per_second: f64,
    get_mb_per_second: f64,
    same_sha256: bool,
    /// By node: before the image, and the most until its end.
    resident_before_bytes: BTreeMap<String, u64>,
    resident_peak_bytes: BTreeMap<String, u64>,
    memory_goal_bytes: u64,
    held: bool,
}

/// Runs it.
pub(crate) async fn run(arguments: &LargeImage) -> anyhow::Result<ExitCode> {
    if arguments.bytes < PIECE as u64 || arguments.bytes > 2 << 30 {
        bail!("--bytes is from 1MiB to 2GiB");
    }
    let standing = arguments.ground.stand()?;
    until_signal(measure(arguments, &standing)).await
}

async fn measure(arguments: &LargeImage, standing: &Standing) -> anyhow::Result<ExitCode> {
    let program = beside(arguments.cli.as_deref(), "plantao", "--cli")?;
    let cluster = "chaos".parse().map_err(|_| anyhow::anyhow!("the cluster has no valid name"))?;
    let options = NetworkOptions::clinic(standing.program.clone(), cluster, Timers::Wan);
    let mut network = LocalNetwork::create(&standing.directory, &options).await?;
    let cluster = network.connect(&ConnectOptions::default())?;
    let stage = Stage::prepare(&cluster, Work::Ordinary).await?;
    let patient = *stage.patients().first().context("a stage without patients")?;
    let consent = Gallery::prepare(&cluster, stage.unit(), patient, SMALL).await?.consent();
    let before = peaks(&network)?;

    let (sent, received) = (standing.directory.join("sent.dcm"), standing.directory.join("received"));
    make(&sent, arguments.bytes).with_context(|| format!("cannot make {}", sent.display()))?;
    std::fs::create_dir(&received)?;
    let operator = Operator::of(&network, &program);
    let id = Id::random()?.to_string();
    let (patient, consent) = (patient.to_string(), consent.to_string());
    let path = |path: &Path| path.to_str().map(ToOwned::to_owned).context("a path that is not UTF-8");
    let put = ["image", "put", &path(&sent)?, "--patient", &patient, "--consent", &consent, "--id", &id];
    let put = operator.done(&put).await?;
    let get = operator.done(&["image", "get", &id, "--out", &path(&received)?]).await?;
    let found = std::fs::read_dir(&received)?.next().context("nothing was written")??.path();
    let same_sha256 = sha256(&sent).await? == sha256(&found).await?;
    let after = peaks(&network)?;

    let rate = |took: Duration| arguments.bytes as f64 / took.as_secs_f64() / 1e6;
    let figures = Figures {
        schema_version: 1,
        image_bytes: arguments.bytes,
        put_ms: millis(put.took),
        get_ms: millis(get.took),
        put_mb_per_second: rate(put.took),
        get_mb_per_second: rate(get.took),
        same_sha256,
        held: same_sha256 && after.values().all(|peak| *peak <= MEMORY_MAX),
        resident_before_bytes: before,
        resident_peak_bytes: after,
        memory_goal_bytes: MEMORY_MAX,
    };
    conclude(&figures);
    arguments.ground.write(&figures)?;
    network.stop_all().await?;
    Ok(exit(figures.held))
}

fn peaks(network: &LocalNetwork) -> anyhow::Result<BTreeMap<String, u64>> {
    network.nodes().iter().map(|node| Ok((node.name().to_owned(), resident_peak(node)?))).collect()
}

/// A file that passes for DICOM, of bytes that differ everywhere and do not compress.
fn make(path: &Path, bytes: u64) -> anyhow::Result<()> {
    let mut file = File::create_new(path)?;
    let mut state = u64::from_le_bytes(Id::random()?.as_bytes()[..8].try_into()?) | 1;
    let mut left = bytes;
    let mut piece = vec![0; PIECE];
    while left > 0 {
        for word in piece.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        if left == bytes {
            piece[..128].fill(0);
            piece[128..132].copy_from_slice(b"DICM");
        }
        let count = left.min(PIECE as u64);
        file.write_all(&piece[..usize::try_from(count)?])?;
        left -= count;
    }
    Ok(())
}

async fn sha256(path: &Path) -> anyhow::Result<[u8; 32]> {
    let source: Arc<dyn ImageSource> = Arc::new(FileSource::new(File::open(path)?)?);
    Ok(digest(&source).await?)
}

fn conclude(figures: &Figures) {
    say(&format!(
        "put of {} bytes: {:.1} s, {:.0} MB/s; get: {:.1} s, {:.0} MB/s",
        figures.image_bytes,
        figures.put_ms as f64 / 1e3,
        figures.put_mb_per_second,
        figures.get_ms as f64 / 1e3,
        figures.get_mb_per_second
    ));
    say(&format!("the same SHA-256: {}", yes(figures.same_sha256)));
    for (node, peak) in &figures.resident_peak_bytes {
        let before = figures.resident_before_bytes.get(node).copied().unwrap_or(0) >> 20;
        let holds = yes(*peak <= figures.memory_goal_bytes);
        say(&format!(
            "{node}: {} MiB resident at most, {before} before (at most {}: {holds})",
            peak >> 20,
            MEMORY_MAX >> 20
        ));
    }
}
