//! `chaos flips`: one random bit of one random file of a stopped node is flipped, again and again, over every kind of file of a
//! data directory. Each time the node must refuse with what and why, or come back as if nothing had been: never silently other
//! than it was, never with a panic.
//!
//! ```text
//! a network under load, killed ─► its directories, kept
//!   every flip        a copy ─► flip ─► `plantaod verify`: what it says of the copy that nobody touched, or what is wrong
//!   every nth flip    a node of the network that runs: killed ─► flip ─► started again ─► rows, digests, images as before;
//!                     a node that refuses gets its directory back, as before the flip, and must start with it
//! ```

use crate::ground::{Ground, Standing, exit, millis, say, until_signal, yes};
use crate::seed::Chance;
use anyhow::{Context, bail, ensure};
use plantao_client::bench::Gallery;
use plantao_client::services::LINEARIZABLE;
use plantao_client::{Cluster, ConnectOptions, Id};
use plantao_node::local_network::checks::look_for;
use plantao_node::local_network::load::{Ledger, Load, LoadOptions, Stage, Work};
use plantao_node::local_network::{Error, LocalNetwork, NetworkOptions, Timers};
use plantao_proto::public::v1;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Writes of the load before the network is killed: several files of the log, checkpoints, snapshots.
const WRITES: usize = 1_500;
/// Images that are stored, and how long each is.
const IMAGES: usize = 4;
const IMAGE_BYTES: usize = 1_300_000;
/// How long a node may take to have every copy of an image again.
const HEALED_MAX: Duration = Duration::from_secs(120);
const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// How many, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Flips {
    /// Bits, each on its own.
    #[arg(long, default_value_t = 2_000)]
    count: u64,
    /// One flip of so many is made on a node of the running network too; 0: none.
    #[arg(long, default_value_t = 40)]
    network_every: u64,
    /// What decides all of them.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    ground: Ground,
}

/// What became of the flips of one kind of file.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Verdicts {
    flips: u64,
    /// Refused, or named as damage, with a reason.
    told: u64,
    /// As if nothing had been: another copy counts, or nobody reads that bit.
    same: u64,
    /// Rows of some entries ago, and it says of how many: its log, which is whole, brings them again.
    older: u64,
    /// Something is other than it was, and nobody says so.
    silent: u64,
    panics: u64,
}

#[derive(Debug, Default, Serialize)]
struct Figures {
    schema_version: u32,
    seed: u64,
    /// By kind of file: judged by `plantaod verify`.
    stopped: BTreeMap<String, Verdicts>,
    /// By kind of file: judged by the running network.
    running: BTreeMap<String, Verdicts>,
    /// Every text of a refusal, paths and numbers left out.
    refusals: BTreeSet<String>,
    /// The seed's flips that were silent or a panic.
    bad: Vec<String>,
    took_ms: u64,
    held: bool,
}

/// Runs it.
pub(crate) async fn run(arguments: &Flips) -> anyhow::Result<ExitCode> {
    let standing = arguments.ground.stand()?;
    until_signal(measure(arguments, &standing)).await
}

/// A network with everything that a disk of it can hold, and what was told to programs.
struct Clinic {
    network: LocalNetwork,
    cluster: Cluster,
    stage: Stage,
    ledger: Ledger,
    images: Vec<Id>,
}

async fn make(standing: &Standing) -> anyhow::Result<Clinic> {
    let name = "chaos".parse().map_err(|_| anyhow::anyhow!("the cluster has no valid name"))?;
    let mut options = NetworkOptions::clinic(standing.program.clone(), name, Timers::Lan);
    // Small snapshots, soon; every copy is looked at again while the network runs.
    options.settings = ["raft.snapshot_entries=300", "chunks.scrub_interval=5s", "chunks.simulated_media=true"]
        .map(ToOwned::to_owned)
        .to_vec();
    let network = LocalNetwork::create(&standing.directory, &options).await?;
    let cluster = network.connect(&ConnectOptions::default())?;
    let load = LoadOptions { work: Work::Ordinary, every: Duration::from_millis(4), in_flight_max: 64 };
    let load = Load::start(&cluster, &load).await?;
    load.acknowledged_after(Instant::now(), WRITES).await?;
    let (stage, ledger) = load.stop().await?;
    ensure!(ledger.failed == 0, "writes failed without any fault: {:?}", ledger.first_failure);
    let patient = *stage.patients().first().context("a stage without patients")?;
    let gallery = Gallery::prepare(&cluster, stage.unit(), patient, IMAGE_BYTES).await?;
    let mut images = Vec::new();
    for _ in 0..IMAGES {
        images.push(gallery.put(&cluster).await?);
    }
    // Reading fills the journals.
    for node in network.nodes().iter().filter(|node| node.spec().keyed) {
        let only = cluster.only(&node.public()).context("a unit is not among the endpoints")?;
        ensure!(look_for(&only, &stage, &ledger).await?.holds(), "a write is lost without any fault");
    }
    Ok(Clinic { network, cluster, stage, ledger, images })
}

async fn measure(arguments: &Flips, standing: &Standing) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let mut clinic = make(standing).await?;
    let before = digests(&clinic.network).await?;
    clinic.whole(&before).await?;
    clinic.network.kill_all().await?;
    let kept = standing.directory.with_extension("kept");
    copy(&standing.directory.join("nodes"), &kept.join("nodes"))?;
    say(&format!(
        "a network of {} nodes, {} writes, {} images, killed and kept",
        3,
        clinic.ledger.acknowledged.len(),
        IMAGES
    ));

    let mut chance = Chance::of(arguments.seed, 31);
    let mut figures = Figures { schema_version: 1, seed: arguments.seed, ..Figures::default() };
    let mut untouched = BTreeMap::new();
    for at in 0..clinic.network.nodes().len() {
        let said = verify(&clinic, standing, at).await?;
        let Said::Whole(report) = said else { bail!("a directory that nobody touched: {said:?}") };
        untouched.insert(at, report);
        restore(&clinic, &kept, at)?;
    }
    for nth in 0..arguments.count {
        let at = usize::try_from(chance.below(3))?;
        let Some(flip) = draw(&mut chance, clinic.network.nodes()[at].data_dir())? else {
            bail!("a directory without files")
        };
        flip.make()?;
        let verdicts = figures.stopped.entry(flip.kind.to_owned()).or_default();
        verdicts.flips += 1;
        match verify(&clinic, standing, at).await? {
            Said::Whole(report) if report == untouched[&at] => verdicts.same += 1,
            // Cut like an end that a crash tore, and said.
            Said::Whole(report) if report.contains("as a crash leaves them") => verdicts.told += 1,
            Said::Whole(report) if is_older(&report, &untouched[&at]) => verdicts.older += 1,
            Said::Whole(report) => {
                verdicts.silent += 1;
                figures.bad.push(format!("flip {nth}, {flip:?}: {report} and not {}", untouched[&at]));
            }
            Said::Damage(text) => {
                verdicts.told += 1;
                figures.refusals.insert(text);
            }
            Said::Panic(text) => {
                verdicts.panics += 1;
                figures.bad.push(format!("flip {nth}, {flip:?}: {text}"));
            }
        }
        restore(&clinic, &kept, at)?;
        if nth % 200 == 199 {
            say(&format!("{} flips in stopped directories", nth + 1));
        }
    }
    if arguments.network_every > 0 {
        clinic.network.start_all().await?;
        for nth in 0..arguments.count.div_ceil(arguments.network_every) {
            on_running(&mut clinic, &mut chance, nth, &mut figures, standing).await?;
        }
        clinic.network.stop_all().await?;
    }
    figures.took_ms = millis(begun.elapsed());
    let all = || figures.stopped.values().chain(figures.running.values());
    figures.held = all().all(|verdicts| verdicts.silent + verdicts.panics == 0);
    conclude(&figures);
    arguments.ground.write(&figures)?;
    Ok(exit(figures.held))
}

/// One flip on a node of the running network.
async fn on_running(
    clinic: &mut Clinic,
    chance: &mut Chance,
    nth: u64,
    figures: &mut Figures,
    standing: &Standing,
) -> anyhow::Result<()> {
    let at = usize::try_from(chance.below(3))?;
    clinic.network.kill(at).await?;
    let (data, log) = (clinic.network.nodes()[at].data_dir().to_owned(), clinic.network.nodes()[at].log().to_owned());
    let aside = standing.directory.with_extension("aside");
    copy(&data, &aside)?;
    let told_before = fs::read_to_string(&log)?.len();
    let Some(flip) = draw(chance, &data)? else { bail!("a directory without files") };
    flip.make()?;
    let started = clinic.network.start(at).await;
    let refused = match started {
        Ok(_) => None,
        Err(Error::Ended { tail, .. }) => Some(tail),
        Err(other) => return Err(other.into()),
    };
    if refused.is_some() {
        // It told nobody anything: what it was before the flip is what it is.
        fs::remove_dir_all(&data)?;
        copy(&aside, &data)?;
        clinic.network.start(at).await?;
    }
    fs::remove_dir_all(&aside)?;
    clinic.network.settle().await?;
    let digests = digests(&clinic.network).await?;
    let whole = clinic.whole(&digests).await;
    let said = fs::read_to_string(&log)?.split_off(told_before);
    let verdicts = figures.running.entry(flip.kind.to_owned()).or_default();
    verdicts.flips += 1;
    if said.contains("panicked") {
        verdicts.panics += 1;
        figures.bad.push(format!("running flip {nth}, {flip:?}: a panic"));
    } else if let Err(error) = whole {
        verdicts.silent += 1;
        figures.bad.push(format!("running flip {nth}, {flip:?}: {error:#}"));
    } else if let Some(tail) = refused {
        verdicts.told += 1;
        figures.refusals.insert(shortened(
            tail.lines()
                .filter(|line| line.contains("plantaod:") || line.contains("because"))
                .collect::<Vec<_>>()
                .join(" ")
                .as_str(),
        ));
    } else {
        verdicts.same += 1;
    }
    say(&format!("running flip {nth}: {} of node {}", flip.kind, at + 1));
    Ok(())
}

async fn digests(network: &LocalNetwork) -> anyhow::Result<Vec<(u64, Vec<u8>, Vec<u8>)>> {
    network.settle().await?;
    Ok(network.digests().await?.into_iter().map(|of| (of.rows, of.content, of.chain)).collect())
}

impl Clinic {
    /// Every node has the same rows, every unit every write, and every node good copies of every image.
    async fn whole(&self, digests: &[(u64, Vec<u8>, Vec<u8>)]) -> anyhow::Result<()> {
        ensure!(digests.len() == 3 && digests.windows(2).all(|pair| pair[0] == pair[1]), "the nodes' rows differ");
        for node in self.network.nodes().iter().filter(|node| node.spec().keyed) {
            let only = self.cluster.only(&node.public()).context("a unit is not among the endpoints")?;
            let found = look_for(&only, &self.stage, &self.ledger).await?;
            ensure!(found.holds(), "through {}: {found:?}", node.name());
        }
        let deadline = Instant::now() + HEALED_MAX;
        for image in &self.images {
            loop {
                let request = v1::VerifyImageRequest { read: Some(LINEARIZABLE), image_id: image.to_wire() };
                let answer = self.cluster.verify_image(request).await?;
                let placed = || answer.copies.iter().filter(|copy| copy.placed);
                if placed().count() == 3 && placed().all(|copy| copy.chunks > 0 && copy.good == copy.chunks) {
                    break;
                }
                ensure!(Instant::now() < deadline, "an image has no three good copies: {:?}", answer.copies);
                tokio::time::sleep(LOOK_PAUSE).await;
            }
        }
        Ok(())
    }
}

/// One bit.
#[derive(Debug)]
struct Flip {
    kind: &'static str,
    path: PathBuf,
    byte: u64,
    bit: u32,
}

impl Flip {
    fn make(&self) -> anyhow::Result<()> {
        let told = || format!("cannot change {}", self.path.display());
        let file = fs::OpenOptions::new().read(true).write(true).open(&self.path).with_context(told)?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, self.byte).with_context(told)?;
        byte[0] ^= 1 << self.bit;
        file.write_all_at(&byte, self.byte).with_context(told)?;
        // As rot looks to a reader: the time of the last change is what it was.
        Ok(())
    }
}

/// What a file of a data directory is, by its place. `None`: it holds nothing.
fn kind(place: &Path) -> Option<&'static str> {
    let text = place.to_str()?;
    let first = place.components().next()?.as_os_str().to_str()?;
    Some(match first {
        "identity" => "identity",
        "watermark" => "watermark",
        "log" => "log",
        "state" if text.ends_with("CHECKPOINT") => "checkpoint",
        "state" => "state",
        "snapshots" => "snapshot",
        "journal" if text.ends_with("/id") => "journal id",
        "journal" => "journal of reads",
        "chunks" if text.ends_with("incarnation") => "chunk incarnation",
        "chunks" if text.starts_with("chunks/checks") => "chunk checks",
        "chunks" => "chunk",
        _ if text.ends_with(".slot") || text.ends_with(".slot2") => "key slot",
        _ => "other",
    })
}

/// A kind, one of its files, a bit of it.
fn draw(chance: &mut Chance, data: &Path) -> anyhow::Result<Option<Flip>> {
    let mut kinds: BTreeMap<&'static str, Vec<(PathBuf, u64)>> = BTreeMap::new();
    for path in files(data)? {
        let length = fs::metadata(&path)?.len();
        if let (Some(kind), 1..) = (kind(path.strip_prefix(data)?), length) {
            kinds.entry(kind).or_default().push((path, length));
        }
    }
    let names: Vec<_> = kinds.keys().copied().collect();
    let Some(kind) = chance.one_of(&names).copied() else { return Ok(None) };
    let Some((path, length)) = kinds.get(kind).and_then(|files| chance.one_of(files)).cloned() else { return Ok(None) };
    // Most of some files is space that nothing was written to yet: four of five flips are in the part that is not.
    let bytes = fs::read(&path)?;
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(length, |last| last as u64 + 1);
    let within = if chance.percent(80) { used } else { length };
    let byte = chance.below(within);
    Ok(Some(Flip { kind, path, byte, bit: u32::try_from(chance.below(8))? }))
}

fn files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn restore(clinic: &Clinic, kept: &Path, at: usize) -> anyhow::Result<()> {
    let node = &clinic.network.nodes()[at];
    fs::remove_dir_all(node.data_dir())?;
    let below = node.data_dir().strip_prefix(clinic.network.directory())?;
    copy(&kept.join(below), node.data_dir())
}

/// What `plantaod verify` makes of a directory.
#[derive(Debug)]
enum Said {
    /// No damage, and what is there.
    Whole(String),
    /// Damage, and which.
    Damage(String),
    /// It broke.
    Panic(String),
}

async fn verify(clinic: &Clinic, standing: &Standing, at: usize) -> anyhow::Result<Said> {
    let node = &clinic.network.nodes()[at];
    let mut command = tokio::process::Command::new(&standing.program);
    command.arg("verify").arg("-o").arg("json").arg("--config").arg(node.config()).kill_on_drop(true);
    let output = tokio::time::timeout(HEALED_MAX, command.output()).await.context("verify does not end")??;
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok(match output.status.code() {
        // A panic inside of an engine is caught, and its state set aside: that is damage, and verify says so.
        None | Some(101) => Said::Panic(error.into_owned()),
        Some(0) => Said::Whole(out.into_owned()),
        Some(9) => {
            let report: serde_json::Value = serde_json::from_str(&out).context("a report that is no JSON")?;
            let checks = report["checks"].as_array().cloned().unwrap_or_default();
            let bad = checks.iter().filter(|check| check["ok"] == false);
            let bad: Vec<_> = bad.filter_map(|check| check["found"].as_str()).collect();
            ensure!(!bad.is_empty() && bad.iter().all(|text| !text.is_empty()), "damage that is not named: {out}");
            Said::Damage(shortened(&bad.join("; ")))
        }
        _ if error.trim().is_empty() => bail!("verify ended with {} and said nothing", output.status),
        _ => Said::Damage(shortened(&error)),
    })
}

/// How many entries of the log the rows of a report lack, and the report without what it says of rows.
fn lacking(report: &str) -> Option<(u64, serde_json::Value)> {
    let mut report: serde_json::Value = serde_json::from_str(report).ok()?;
    let rows = report["checks"].as_array_mut()?.iter_mut().find(|check| check["part"] == "state")?;
    let found = rows["found"].take();
    let lacking = match found.as_str()?.split_once("; the log has ") {
        Some((_, rest)) => rest.split_once(' ')?.0.parse().ok()?,
        None => 0,
    };
    Some((lacking, report))
}

/// Whether nothing differs but that rows are further behind their log.
fn is_older(report: &str, untouched: &str) -> bool {
    match (lacking(report), lacking(untouched)) {
        (Some((more, rest)), Some((less, rest_of_untouched))) => more > less && rest == rest_of_untouched,
        _ => false,
    }
}

/// Without what differs from flip to flip.
fn shortened(text: &str) -> String {
    let word = |word: &str| match word {
        word if word.contains('/') && word.len() > 8 => "PATH".to_owned(),
        word => word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect(),
    };
    let mut words: Vec<String> = text.split_whitespace().map(word).collect();
    words.dedup();
    words.join(" ")
}

fn conclude(figures: &Figures) {
    for (where_, verdicts) in [("stopped", &figures.stopped), ("running", &figures.running)] {
        for (kind, of) in verdicts {
            let Verdicts { flips, told, same, older, silent, panics } = of;
            say(&format!(
                "{where_:<8} {kind:<18} {flips:>5} flips {told:>5} told {same:>5} as before {older:>3} older {silent:>3} silent \
                 {panics:>3} panics"
            ));
        }
    }
    for bad in &figures.bad {
        say(bad);
    }
    let count = figures.stopped.values().chain(figures.running.values()).map(|of| of.flips).sum::<u64>();
    say(&format!("{count} flips in {} s, none silent and no panic: {}", figures.took_ms / 1_000, yes(figures.held)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_older_only_where_the_log_has_what_they_lack_and_nothing_else_differs() {
        let report = |log: &str, rows: &str| {
            serde_json::json!({ "checks": [{ "part": "log", "found": log }, { "part": "state", "found": rows }] })
                .to_string()
        };
        let behind = |more: u64| report("entries 1 to 9", &format!("5 rows; the log has {more} more entries, which"));
        assert!(is_older(&behind(4), &behind(1)) && is_older(&behind(4), &report("entries 1 to 9", "6 rows")));
        assert!(!is_older(&behind(1), &behind(1)) && !is_older(&behind(1), &behind(4)));
        assert!(!is_older(&behind(4), &report("entries 1 to 7", "6 rows")));
        assert!(!is_older(&report("entries 1 to 9", "5 rows"), &behind(1)), "rows that are other and say nothing");
        assert!(!is_older("", &behind(1)));
    }

    #[test]
    fn each_file_is_of_one_kind_and_only_what_differs_is_left_out_of_a_refusal() {
        let of = |text: &str| kind(Path::new(text)).unwrap_or("none");
        assert_eq!(of("log/r-00_000.wal"), "log");
        assert_eq!(of("state/CHECKPOINT"), "checkpoint");
        assert_eq!(of("state/gen-0000000000000000/0.jnl"), "state");
        assert_eq!((of("journal/id"), of("journal/0001.seg")), ("journal id", "journal of reads"));
        assert_eq!(
            (of("chunks/checks/0f"), of("chunks/0f/abc"), of("chunks/incarnation")),
            ("chunk checks", "chunk", "chunk incarnation")
        );
        assert_eq!(of("slots/root.slot2"), "key slot");
        assert_eq!(shortened("entries 5 of 17 in /a/long/path  are lost"), "entries 0 of 00 in PATH are lost");
    }
}
