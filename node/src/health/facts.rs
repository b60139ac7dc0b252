//! Everything that the checks of `Diagnose` are made from, as plain values. Nothing is decided here; where it comes from is
//! `machine`'s and `service`'s.

use crate::config::Config;
use crate::crypto::SlotSource;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What of the configuration the checks look at.
#[derive(Clone, Debug)]
pub struct Setup {
    /// `node.data_dir`.
    pub data_dir: PathBuf,
    /// `chunks.directory`.
    pub chunk_dir: PathBuf,
    /// `chunks.reserve`, bytes.
    pub chunk_reserve_bytes: u64,
    /// `node.medium`.
    pub medium: String,
    /// `chunks.simulated_media`.
    pub simulated_media: bool,
    /// `chunks.scrub_interval`.
    pub scrub_interval: Duration,
    /// `raft.snapshot_entries`.
    pub snapshot_entries: u64,
    /// `raft.clock_skew_max`.
    pub clock_skew_max: Duration,
    /// `node.peer_address`.
    pub peer_address: String,
    /// Where the node listens for nodes, the real port.
    pub peer_listen: SocketAddr,
    /// `tls.roots`.
    pub tls_roots: PathBuf,
    /// The sources of slots, by their key in the configuration.
    pub slots: Vec<(&'static str, SlotSource)>,
}

impl Setup {
    /// Of a configuration, with the address that is really listened on.
    pub fn of(config: &Config, peer_listen: SocketAddr) -> Self {
        let root = config.root_slot.iter().map(|source| ("root", source.clone()));
        Self {
            data_dir: config.data_dir.clone(),
            chunk_dir: config.chunk_dir.clone(),
            chunk_reserve_bytes: config.chunk_reserve_bytes,
            medium: config.medium.clone(),
            simulated_media: config.simulated_media,
            scrub_interval: config.scrub_interval,
            snapshot_entries: config.snapshot_entries,
            clock_skew_max: config.clock_skew_max,
            peer_address: config.peer_address.clone(),
            peer_listen,
            tls_roots: config.tls_roots.clone(),
            slots: std::iter::once(("storage", config.storage_slot.clone())).chain(root).collect(),
        }
    }
}

/// A file system below a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Volume {
    pub(super) available_bytes: u64,
    pub(super) total_bytes: u64,
    pub(super) read_only: bool,
    pub(super) kind: VolumeKind,
}

/// What a file system promises of what is on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum VolumeKind {
    /// Lost with the power.
    Memory(&'static str),
    /// On another computer.
    Network(&'static str),
    /// Anything else: taken for a disk.
    Disk,
}

/// Where a key comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct KeySource {
    /// `storage` or `root`.
    pub(super) slot: &'static str,
    /// `None`: it is not there.
    pub(super) file: Option<KeyFile>,
}

/// A key's file; never what it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct KeyFile {
    /// Permission bits.
    pub(super) mode: u32,
    /// Whether it is on the file system of the data.
    pub(super) with_data: bool,
}

/// A peer's clock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ClockSeen {
    pub(super) name: String,
    pub(super) offset_ms: i64,
    pub(super) uncertainty_ms: u64,
}

/// One direction of a link that is told about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct LinkSeen {
    pub(super) from: String,
    pub(super) to: String,
    /// Whether `to` is this node, whether `from` is.
    pub(super) to_us: bool,
    pub(super) from_us: bool,
    pub(super) reachable: bool,
    pub(super) cut: bool,
    pub(super) seconds: u64,
}

/// What the registered directories say of media.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Media {
    /// As registered for this node.
    pub(super) registered: String,
    /// Other nodes on the same disk.
    pub(super) shared_with: Vec<String>,
}

/// Roots of trust.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Roots {
    pub(super) count: usize,
    /// Last second of the one that lives longest, Unix time.
    pub(super) last_not_after: i64,
}

/// Everything.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) now_seconds: i64,
    pub(super) clocks: Vec<ClockSeen>,
    pub(super) clock_skew_max: Duration,
    pub(super) data: Result<Volume, String>,
    pub(super) images: Result<Volume, String>,
    pub(super) image_reserve_bytes: u64,
    pub(super) sync: Result<Duration, String>,
    pub(super) certificate_not_after: i64,
    pub(super) certificate_renewal_due: i64,
    pub(super) reload_failure: Option<String>,
    pub(super) roots: Result<Roots, String>,
    pub(super) peer_listen: SocketAddr,
    pub(super) peer_address: String,
    pub(super) links: Vec<LinkSeen>,
    pub(super) leader: Option<String>,
    /// Voters, and those of them that this node reaches, itself included.
    pub(super) voters: usize,
    pub(super) voters_reached: usize,
    /// Nodes besides this one.
    pub(super) others: usize,
    pub(super) keyed: bool,
    pub(super) sealed: bool,
    pub(super) keys: Vec<KeySource>,
    pub(super) media: Option<Media>,
    pub(super) medium: String,
    pub(super) simulated_media: bool,
    /// Pieces on the disk; `None`: no directory that can be used.
    pub(super) chunks: Option<u64>,
    pub(super) oldest_check: Duration,
    pub(super) scrub_interval: Duration,
    pub(super) bad_total: u64,
    pub(super) bad_lately: bool,
    pub(super) without_source: u64,
    pub(super) journal_waiting: u64,
    pub(super) journal_broken: bool,
    pub(super) applied_index: u64,
    pub(super) snapshot_index: u64,
    pub(super) purged_index: u64,
    /// Entries after which the next snapshot is due.
    pub(super) snapshot_distance: u64,
    /// Percent of the memory that is available.
    pub(super) memory_available: Option<u64>,
    /// `None`: no limit.
    pub(super) files_max: Option<u64>,
    /// Swap devices that are not compressed memory.
    pub(super) swap: Vec<String>,
    pub(super) dumps_possible: bool,
}
