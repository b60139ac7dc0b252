//! The openraft settings that this design was checked with (decision 0004). No other file builds an openraft `Config`.
//!
//! Nothing here is a preference that an operator may tune: only the timers and the leader's preference vary. A test holds
//! every value, because two of openraft's defaults lose acknowledged writes or stall a healthy majority.

use std::sync::Arc;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};
use plantao_domain::planted::{Bug, planted};

/// How patient the nodes are with each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Timers {
    /// 250/800/1200 ms, for units joined by ordinary internet links: a dead leader is replaced within 3 s.
    #[default]
    Wan,
    /// 100/400/600 ms, for nodes in one building: within 1.6 s.
    Lan,
}

impl Timers {
    /// What a leader sends heartbeats after; also openraft's limit for one heartbeat call.
    pub const fn heartbeat(self) -> Duration {
        match self {
            Self::Wan => Duration::from_millis(250),
            Self::Lan => Duration::from_millis(100),
        }
    }

    /// What a voter waits at least before it asks for votes.
    pub const fn election_min(self) -> Duration {
        match self {
            Self::Wan => Duration::from_millis(800),
            Self::Lan => Duration::from_millis(400),
        }
    }

    /// What it waits at most; also how long a leader's lease lasts, so it must be the same on every node.
    pub const fn election_max(self) -> Duration {
        match self {
            Self::Wan => Duration::from_millis(1200),
            Self::Lan => Duration::from_millis(600),
        }
    }
}

/// How gladly this node leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preference {
    /// A keyed unit: asks for votes as early as the timers allow.
    Preferred,
    /// A keyless node: waits for the upper half of the interval, so that a preferred node mostly comes first.
    LastResort,
}

/// Entries of one append message; the byte bound is the log reader's. 32 halves the rate (simulation).
pub(crate) const PAYLOAD_ENTRIES: u64 = 300;
/// How long a whole snapshot may take. openraft's 200 ms would repeat the same snapshot for ever.
pub(crate) const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Rows that one entry writes: a version of a record is eight, a booking ten.
const ROWS_PER_ENTRY: u64 = 8;
/// How many times `raft.snapshot_entries` snapshots may lie apart.
const SNAPSHOT_DISTANCE_MAX: u64 = 5;

/// The settings of one node.
///
/// # Panics
/// Never: a test validates each combination.
pub(crate) fn config(cluster_name: &str, timers: Timers, preference: Preference, snapshot_entries: u64) -> Arc<Config> {
    Arc::new(
        unchecked(cluster_name, timers, preference, snapshot_entries)
            .validate()
            .expect("a test validates every combination"),
    )
}

/// How many entries come between a snapshot and the next one, for `rows` in the state. A snapshot reads and writes every row,
/// so with a fixed distance a network that holds ten times as much would pay ten times as much for each write: it is made when
/// the log behind the last one has written about as many rows as there are. The log, which is kept until then, and the memory
/// that it takes (some 80 bytes an entry) bound it.
pub(crate) fn snapshot_distance(snapshot_entries: u64, rows: u64) -> u64 {
    (rows / ROWS_PER_ENTRY).clamp(snapshot_entries, snapshot_entries.saturating_mul(SNAPSHOT_DISTANCE_MAX))
}

/// `snapshot_entries`: the least distance of snapshots ([`snapshot_distance`]); a quarter of it stays in the log behind one.
fn unchecked(cluster_name: &str, timers: Timers, preference: Preference, snapshot_entries: u64) -> Config {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (min, max) = (millis(timers.election_min()), millis(timers.election_max()));
    Config {
        cluster_name: cluster_name.to_owned(),
        heartbeat_interval: millis(timers.heartbeat()),
        election_timeout_min: match preference {
            Preference::Preferred => min,
            Preference::LastResort => min.midpoint(max),
        },
        election_timeout_max: max,
        // Every tick a heartbeat: suppressed ones would also suppress the exchange of clocks.
        heartbeat_min_interval: Some(0),
        install_snapshot_timeout: millis(SNAPSHOT_TIMEOUT),
        max_payload_entries: PAYLOAD_ENTRIES,
        max_append_entries: Some(4096),
        // Above the snapshots' distance, or a snapshot could not heal the lag.
        replication_lag_threshold: snapshot_entries.saturating_mul(2 * SNAPSHOT_DISTANCE_MAX),
        // [`super::checkpoints::snapshots`] asks for them: when one is due depends on the rows.
        snapshot_policy: SnapshotPolicy::Never,
        // So that a node which was away briefly needs no snapshot.
        max_in_snapshot_log_to_keep: snapshot_entries / 4,
        // One purge for many entries, not one for each.
        purge_batch_size: 1024,
        // In-flight proposals are bounded before openraft sees them; the rest are reads and messages of peers.
        api_channel_size: Some(8192),
        api_batch_linger_ms: 0,
        enable_tick: true,
        enable_heartbeat: true,
        enable_elect: true,
        enable_pre_vote: Some(true),
        // The least that validate() takes. Without it, an old leader's heartbeats keep a connected majority from electing.
        quorum_loss_probe_interval: Some(2 * max),
        allow_log_reversion: Some(false),
        // The default (on) loses acknowledged writes with a log that flushes asynchronously.
        enable_leader_restore: Some(planted(Bug::LeaderRestored)),
        ..Config::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Each of these was measured or simulated; changing one is a new decision, not an edit.
    #[test]
    fn the_profile_holds() {
        for (timers, [heartbeat, min, late, max]) in
            [(Timers::Wan, [250, 800, 1000, 1200]), (Timers::Lan, [100, 400, 500, 600])]
        {
            for (preference, min) in [(Preference::Preferred, min), (Preference::LastResort, late)] {
                let config = unchecked("rede", timers, preference, 20_000).validate().unwrap();
                assert_eq!(config.cluster_name, "rede");
                assert_eq!(config.heartbeat_interval, heartbeat);
                assert_eq!(config.election_timeout_min, min);
                assert_eq!(config.election_timeout_max, max, "the lease: the same on every node");
                assert_eq!(config.heartbeat_min_interval, Some(0));
                assert_eq!(config.enable_pre_vote, Some(true));
                assert_eq!(config.quorum_loss_probe_interval, Some(2 * max));
                assert_eq!(config.enable_leader_restore, Some(false));
                assert_eq!(config.allow_log_reversion, Some(false));
                assert_eq!(config.max_payload_entries, 300);
                assert_eq!(config.max_append_entries, Some(4096));
                assert_eq!(config.install_snapshot_timeout, 30 * 60 * 1000);
                assert_eq!(config.snapshot_policy, SnapshotPolicy::Never, "asked for by distance");
                assert_eq!(config.max_in_snapshot_log_to_keep, 5_000);
                assert_eq!(config.replication_lag_threshold, 200_000);
                assert_eq!(config.api_batch_linger_ms, 0);
                assert_eq!(config.broadcast_submitted_on_append, None, "streaming waits for its simulation");
                assert!(config.enable_tick && config.enable_heartbeat && config.enable_elect);
            }
        }
    }

    #[test]
    fn snapshots_lie_as_far_apart_as_the_rows_are_many_within_bounds() {
        let distance = |rows| snapshot_distance(1_000, rows);
        assert_eq!(
            [0, 8_000, 8_008, 24_000, 40_000, u64::MAX].map(distance),
            [1_000, 1_000, 1_001, 3_000, 5_000, 5_000]
        );
        assert_eq!(snapshot_distance(u64::MAX, u64::MAX), u64::MAX);
    }
}
