//! The daemon's configuration: one list of keys, read from a file, then the environment, then flags.
//!
//! Unknown keys are refused. Every fault is reported at once, with key and place. Nothing here opens a port or a
//! directory; secrets are named here, never held here.

mod keys;
mod load;
mod units;

pub use keys::reference;
pub use load::{Fault, LoadError, Origin, Sources, load};

use crate::chunks::calendar::LinkCaps;
use crate::chunks::zone::Zone;
use crate::crypto::SlotSource;
use crate::storage::state::EngineKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Raft timers (DESIGN section 6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimerProfile {
    /// 250/800/1200 ms: units joined by the public network.
    Wan,
    /// 100/400/600 ms: nodes of one site.
    Lan,
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a person at a terminal.
    Text,
}

/// Everything that a node is told.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// Where all its files are.
    pub data_dir: PathBuf,
    /// Name in the cluster: lowercase letters, digits, hyphens.
    pub name: String,
    /// Where it stands.
    pub site: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// What its copies rest on.
    pub medium: String,
    /// `host:port` under which other nodes reach its peer listener.
    pub peer_address: String,
    /// For programs and people of the units.
    pub public_listen: SocketAddr,
    /// For operators.
    pub admin_listen: SocketAddr,
    /// For nodes.
    pub peer_listen: SocketAddr,
    /// For Prometheus; plain HTTP, so loopback unless the operator says otherwise.
    pub metrics_listen: Option<SocketAddr>,
    /// PEM chain, leaf first.
    pub tls_certificate: PathBuf,
    /// PEM key of the leaf.
    pub tls_key: PathBuf,
    /// PEM roots.
    pub tls_roots: PathBuf,
    /// PEM revocation lists; the file may be absent.
    pub tls_revoked: PathBuf,
    /// How often these files are looked at.
    pub tls_reload_interval: Duration,
    /// What opens the storage slot: every node has one.
    pub storage_slot: SlotSource,
    /// What opens the root slot: units only.
    pub root_slot: Option<SlotSource>,
    /// Memory for deriving a key from a passphrase, KiB.
    pub passphrase_memory_kib: u32,
    /// Engine of the state.
    pub engine: EngineKind,
    /// Bytes of the disk of the data below which this node is low on room.
    pub reserve_bytes: u64,
    /// Sealed chunks of images.
    pub chunk_dir: PathBuf,
    /// Bytes of its disk that images leave free.
    pub chunk_reserve_bytes: u64,
    /// Chunks written, and as many read, at once.
    pub chunk_workers: usize,
    /// Bytes a second that a scrub reads.
    pub scrub_bytes_per_second: u64,
    /// A copy is checked again after so long.
    pub scrub_interval: Duration,
    /// Whether the disk below counts as one of its own although other nodes use it too; proofs say so.
    pub simulated_media: bool,
    /// How often what should be here is compared with what is here.
    pub compare_interval: Duration,
    /// From a tombstone until its chunk is unlinked.
    pub delete_after: Duration,
    /// Age at which a chunk that nothing names counts as left over.
    pub orphan_after: Duration,
    /// What bulk may take of each link, by the hour.
    pub link_caps: LinkCaps,
    /// Whose hours those are.
    pub zone: Zone,
    /// Raft timers.
    pub timers: TimerProfile,
    /// Whether this node should lead when it can.
    pub prefer_leader: bool,
    /// A local snapshot is made after so many entries.
    pub snapshot_entries: u64,
    /// Largest difference between clocks that is tolerated.
    pub clock_skew_max: Duration,
    /// A voter that is silent for so long gives its vote to a learner that has caught up; `None`: never.
    pub replace_silent_after: Option<Duration>,
    /// Newest format level that the node may read and write; [`u32::MAX`]: its program's newest.
    pub level_max: u32,
    /// Requests under way at once per node.
    pub requests_max: usize,
    /// Bytes of the journal of reads that wait for the log.
    pub journal_bytes_max: u64,
    /// Log filter, as `info` or `plantao_node=debug`.
    pub log_level: String,
    /// Log format.
    pub log_format: LogFormat,
}
