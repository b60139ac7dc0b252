//! A network of processes, and what faults can be made of: namespaces, disks in memory, clocks that can be moved. All of it is
//! removed with the value, whatever happened.

use super::cuts::Cuts;
use crate::disks::{self, LossyDisk};
use crate::faults::Kind;
use crate::ground::Standing;
use crate::relay::Relay;
use crate::rot;
use crate::seed::Chance;
use crate::wires::{Cannot, Wires};
use anyhow::{Context, bail};
use plantao_node::local_network::{LocalNetwork, NetworkOptions, Node, Timers};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Most memory of a node: promise of `docs/testing.md`, with room for a build without optimisation.
pub(super) const MEMORY_BYTES_MAX: u64 = 512 << 20;
/// Where a node listens for others, behind its relay.
const BEHIND_RELAY: u16 = 7_412;
/// Of the disk of each node.
const DISK_BYTES: u64 = 512 << 20;
/// Images leave room on that disk, and what takes days in a clinic takes seconds.
const SETTINGS: [&str; 4] = [
    "PLANTAO_STORAGE_RESERVE=16 MiB",
    "PLANTAO_CHUNKS_RESERVE=64 MiB",
    "PLANTAO_CHUNKS_COMPARE_INTERVAL=10s",
    "PLANTAO_CHUNKS_SCRUB_INTERVAL=20s",
];
/// What fills it.
const BALLAST: &str = "ballast";
/// How long a sync of a healthy disk takes, as `chaos-disk` is told: a power cut has to find some under way.
const HEALTHY: &str = "sync-ms 0 3";
/// Where Debian keeps it.
const FAKETIME: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

/// Kinds that need nothing.
const ANYWHERE: &[Kind] = &[Kind::Kill, Kind::KillAll, Kind::Pause, Kind::Rot, Kind::Switchover];
/// Kinds that need a namespace and nftables.
const FILTERED: &[Kind] =
    &[Kind::Isolate, Kind::OneWay, Kind::Cut, Kind::Flap, Kind::Loss, Kind::Reset, Kind::NoConnections, Kind::Delay];

/// What this computer and this user can make.
#[derive(Clone, Debug)]
pub(super) struct Means {
    wanted: Vec<Kind>,
    is_root: bool,
    has_filter: bool,
    clock: Option<PathBuf>,
    /// What is missing for disks that lose what was not synced.
    lacks_lossy: Option<&'static str>,
}

impl Means {
    /// Looks around.
    ///
    /// # Errors
    /// A kind of fault that was asked for by name cannot be made here.
    pub(super) fn find(wanted: &[Kind]) -> anyhow::Result<Self> {
        let runs = |program: &str| {
            let mut command = Command::new(program);
            let run = command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            run.status().is_ok_and(|status| status.success())
        };
        let is_root = rustix::process::geteuid().is_root();
        let clock = FAKETIME.iter().map(Path::new).find(|path| path.is_file()).map(Path::to_owned);
        let means =
            Self { wanted: wanted.to_vec(), is_root, has_filter: runs("nft"), clock, lacks_lossy: disks::lacks() };
        match means.wanted.iter().find_map(|kind| Some((kind, means.lacks(*kind)?))) {
            Some((kind, lack)) => bail!("faults of kind {} need {lack}", kind.name()),
            None => Ok(means),
        }
    }

    /// What a kind needs that is not there.
    fn lacks(&self, kind: Kind) -> Option<&'static str> {
        if ANYWHERE.contains(&kind) {
            None
        } else if !self.is_root {
            Some("root, for namespaces and disks of their own")
        } else if kind.needs_lossy_disk() {
            self.lacks_lossy
        } else if FILTERED.contains(&kind) && !self.has_filter {
            Some("nft (Debian's nftables)")
        } else if kind == Kind::Clock && self.clock.is_none() {
            Some("libfaketime (Debian's libfaketime)")
        } else {
            None
        }
    }

    /// Kinds that were asked for; all that can be made where none was.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        let possible = Kind::ALL.into_iter().filter(|kind| self.lacks(*kind).is_none());
        possible.filter(|kind| self.wanted.is_empty() || self.wanted.contains(kind)).collect()
    }

    /// What is left out, and why.
    pub(super) fn without(&self) -> Vec<String> {
        let all = Kind::ALL.iter().filter(|_| self.wanted.is_empty());
        all.filter_map(|kind| Some(format!("{}: needs {}", kind.name(), self.lacks(*kind)?))).collect()
    }
}

/// A network of two units and an off-site node. Fields are dropped in their order: processes live in namespaces and on disks.
pub(crate) struct Site {
    pub(crate) network: LocalNetwork,
    /// Before the peer port of each node.
    relays: Vec<Relay>,
    wires: Option<Wires>,
    /// On the disks below; none where no kind of fault needs them.
    lossy: Vec<LossyDisk>,
    disks: Vec<Disk>,
    /// By node.
    clocks: Vec<Option<PathBuf>>,
}

impl Site {
    /// One whose links can be cut, for the command `what`.
    ///
    /// # Errors
    /// [`Cannot`] where namespaces and filters are not to be had.
    pub(crate) async fn wired(standing: &Standing, what: &str) -> anyhow::Result<Self> {
        let means = Means::find(&[])?;
        if let Some(lack) = means.lacks(Kind::Isolate) {
            return Err(Cannot::Refused { command: what.to_owned(), said: format!("it needs {lack}") }.into());
        }
        let means = Means { wanted: FILTERED.to_vec(), clock: None, ..means };
        Self::make(standing, &means, 0).await
    }

    /// Makes and starts it.
    pub(super) async fn make(standing: &Standing, means: &Means, seed: u64) -> anyhow::Result<Self> {
        let cluster = "chaos".parse().map_err(|_| anyhow::anyhow!("the cluster has no valid name"))?;
        let options = NetworkOptions::clinic(standing.program.clone(), cluster, Timers::Wan);
        let directory = &standing.directory;
        if !means.is_root {
            let network = LocalNetwork::create(directory, &options).await?;
            let clocks = vec![None; network.nodes().len()];
            let (relays, lossy, disks) = (Vec::new(), Vec::new(), Vec::new());
            return Ok(Self { network, relays, wires: None, lossy, disks, clocks });
        }
        let count = u8::try_from(options.nodes.len())?;
        let wires = Wires::lay(0, count, None)?;
        let network = LocalNetwork::begin(directory, &options)?;
        let (relays, lossy, disks, clocks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut site = Self { network, relays, wires: Some(wires), lossy, disks, clocks };
        let is_lossy = means.kinds().into_iter().any(Kind::needs_lossy_disk);
        for (at, spec) in options.nodes.into_iter().enumerate() {
            if is_lossy || means.kinds().iter().any(|kind| matches!(kind, Kind::DiskFull | Kind::DiskLow)) {
                site.disks.push(Disk::mount(&site.network.directory().join("nodes").join(&spec.name))?);
            }
            let wires = site.wires.as_ref().context("no wires")?;
            let mut endpoints = wires.endpoints(at);
            endpoints.peer.set_port(BEHIND_RELAY);
            let (called_at, peer) = (endpoints.called_at, endpoints.peer);
            site.relays.push(Relay::start(&wires.words(at), called_at, peer, seed.wrapping_add(at as u64))?);
            site.network.prepare(spec, endpoints)?;
            if is_lossy {
                let data = site.network.nodes()[at].data_dir();
                let mut disk = LossyDisk::mount(data, seed.wrapping_mul(31).wrapping_add(at as u64))?;
                disk.order(HEALTHY)?;
                site.lossy.push(disk);
            }
            let mut words = wires.words(at);
            words.push("env".to_owned());
            words.extend(SETTINGS.map(str::to_owned));
            let clock = means.clock.as_ref().map(|library| {
                let file = site.network.directory().join(format!("clock-{at}"));
                words.extend(clock_words(library, &file));
                file
            });
            site.clocks.push(clock);
            if site.clocks[at].is_some() {
                site.set_clock(at, 0)?;
            }
            site.network.start_through(at, words)?;
            site.network.admit(at).await?;
            site.network.start(at).await?;
            site.network.settle().await?;
        }
        Ok(site)
    }

    /// Addresses on the bridge, by node.
    fn addresses(&self) -> Vec<Ipv4Addr> {
        let count = self.network.nodes().len();
        self.wires.iter().flat_map(|wires| (0..count).map(|at| wires.address(at))).collect()
    }

    /// Cuts what is to be cut, and nothing else.
    pub(crate) fn cut(&mut self, cuts: &Cuts) -> anyhow::Result<()> {
        self.relays.iter_mut().try_for_each(|relay| relay.delay(cuts.late_ms))?;
        let addresses = self.addresses();
        for at in 0..addresses.len() {
            self.wires()?.filter(at, &cuts.rules(at, &addresses))?;
        }
        Ok(())
    }

    /// The wires, for faults that need some.
    pub(super) fn wires(&self) -> anyhow::Result<&Wires> {
        self.wires.as_ref().context("no wires")
    }

    /// Gives the lossy disk of a node an order; tells the numbers of its answer.
    pub(super) fn order(&mut self, at: usize, line: &str) -> anyhow::Result<BTreeMap<String, u64>> {
        self.lossy.get_mut(at).context("no disk that takes orders")?.order(line)
    }

    /// Fills the disk of a node until so many bytes are left.
    pub(super) fn fill(&mut self, at: usize, left: u64) -> anyhow::Result<()> {
        if !self.lossy.is_empty() {
            return self.order(at, &format!("room {left}")).map(drop);
        }
        self.disks.get(at).context("no disk")?.fill(left)
    }

    /// What filled the disk of a node goes away.
    pub(super) fn make_room(&mut self, at: usize) -> anyhow::Result<()> {
        if !self.lossy.is_empty() {
            return self.order(at, "heal").map(drop);
        }
        self.disks.get(at).context("no disk")?.empty()
    }

    /// Flips a bit of a chunk of a node. `false`: it has none that another node has as well.
    pub(super) fn rot(&self, at: usize, chance: &mut Chance) -> anyhow::Result<bool> {
        let chunks = |node: &Node| node.data_dir().join("chunks");
        let nodes = self.network.nodes();
        let others: Vec<PathBuf> =
            nodes.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, node)| chunks(node)).collect();
        rot::flip(&chunks(&nodes[at]), &others, chance).context("cannot flip a bit of a chunk")
    }

    /// So far ahead is the clock of a node from now on; its process sees it within a second.
    pub(super) fn set_clock(&self, at: usize, offset_ms: i64) -> anyhow::Result<()> {
        let file = self.clocks.get(at).and_then(Option::as_ref).context("no clock")?;
        let sign = if offset_ms < 0 { '-' } else { '+' };
        let (seconds, millis) = (offset_ms.unsigned_abs() / 1_000, offset_ms.unsigned_abs() % 1_000);
        let temporary = file.with_extension("new");
        fs::write(&temporary, format!("{sign}{seconds}.{millis:03}\n"))?;
        fs::rename(&temporary, file).with_context(|| format!("cannot write {}", file.display()))
    }
}

/// What makes a program see the time in `file`. Timers go on by the steady clock, as on a computer whose wall clock is wrong.
fn clock_words(library: &Path, file: &Path) -> Vec<String> {
    let set = |name: &str, value: &str| format!("{name}={value}");
    [
        "env".to_owned(),
        set("LD_PRELOAD", &library.to_string_lossy()),
        set("FAKETIME_TIMESTAMP_FILE", &file.to_string_lossy()),
        set("FAKETIME_CACHE_DURATION", "1"),
        set("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        set("DONT_FAKE_MONOTONIC", "1"),
        set("NO_FAKE_STAT", "1"),
    ]
    .into()
}

/// A disk in memory, so that one can be full.
struct Disk(PathBuf);

impl Disk {
    fn mount(directory: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let size = format!("size={DISK_BYTES},mode=0700");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &size, "chaos"]).arg(directory).stdin(Stdio::null());
        let output = command.output().context("`mount` cannot be started")?;
        if !output.status.success() {
            bail!("cannot mount a disk in memory: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(Self(directory.to_owned()))
    }

    fn fill(&self, left: u64) -> anyhow::Result<()> {
        let mut file = File::create(self.0.join(BALLAST))?;
        let free = rustix::fs::statvfs(&self.0).context("cannot measure a disk")?;
        // At once, so that the fault begins when its time comes; what was freed meanwhile is taken byte by byte.
        let bytes = free.f_bavail.saturating_mul(free.f_frsize).saturating_sub(left);
        let _ = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes.max(1));
        if left > 0 {
            return Ok(());
        }
        file.seek(SeekFrom::End(0))?;
        for size in [1 << 16, 1] {
            while file.write(&vec![0x5a_u8; size]).is_ok_and(|written| written > 0) {}
        }
        Ok(())
    }

    fn empty(&self) -> anyhow::Result<()> {
        fs::remove_file(self.0.join(BALLAST)).context("cannot remove the ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What cannot be removed here has nobody else to be told to.
        let _ = Command::new("umount").arg("-l").arg(&self.0).stdin(Stdio::null()).output();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_made_is_left_out_with_its_reason_and_refused_by_name() {
        let means = |wanted: &[Kind], is_root, has_filter| Means {
            wanted: wanted.to_vec(),
            is_root,
            has_filter,
            clock: None,
            lacks_lossy: None,
        };
        let user = means(&[], false, true);
        assert_eq!(
            user.kinds(),
            ANYWHERE.iter().copied().collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
        );
        assert_eq!(user.without().len(), Kind::ALL.len() - ANYWHERE.len());
        let root = means(&[], true, true);
        assert_eq!(root.without(), ["clock: needs libfaketime (Debian's libfaketime)"]);
        assert_eq!(means(&[Kind::Loss], true, true).kinds(), [Kind::Loss]);
        assert!(means(&[Kind::Loss], true, false).lacks(Kind::Loss).unwrap().contains("nft"));
        let without = Means { lacks_lossy: Some("/dev/fuse"), ..means(&[], true, true) };
        assert!(without.without().contains(&"torn: needs /dev/fuse".to_owned()));
        assert!(!without.kinds().into_iter().any(Kind::needs_lossy_disk));
    }
}
