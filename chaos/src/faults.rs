//! Faults, and when they come: one list for both worlds, drawn from the seed. How a fault is made is the world's affair; here
//! is what it is, which rows of the fault matrix (`chaos/README.md`) it covers, and for how long it lasts.
//!
//! ```text
//! safety    ├─ kill ─┤   ├──── cut ────┤        ├─ loss ─┤
//!                 ├──── pause ────┤                  everything healed ─► liveness: writes must flow, copies must agree
//! ```

use crate::seed::Chance;
use serde::Serialize;
use std::time::Duration;

/// Whom a fault meets, found when it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Whom {
    /// Who leads then, or the first node where nobody knows.
    Leader,
    /// The node at this position, whoever it is.
    Node(usize),
}

/// One thing that goes wrong. `for` how long is in [`Planned`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// SIGKILL, and a new start at the end.
    Kill(Whom),
    /// All at once, and all started again at the end.
    KillAll,
    /// SIGSTOP, then SIGCONT.
    Pause(Whom),
    /// No other node is reached, in either direction; programs reach it.
    Isolate(Whom),
    /// What `from` sends never reaches `to`; the other way is open.
    OneWay { from: usize, to: usize },
    /// Nothing passes between these two; both reach the others.
    Cut { one: usize, other: usize },
    /// As isolation, there and gone again every `every_ms`.
    Flap { whom: Whom, every_ms: u64 },
    /// Between all nodes, so many packets of a hundred are lost each way.
    Loss { percent: u32 },
    /// Between all nodes, so many packets of a thousand are answered by the end of their connection.
    Reset { per_mille: u32 },
    /// New connections between all nodes are never answered.
    NoConnections,
    /// What passes between nodes comes so many milliseconds late, each connection by itself.
    Delay { least_ms: u64, most_ms: u64 },
    /// What a node sends passes a line of so many kilobits a second.
    Thin { whom: Whom, kbit: u32 },
    /// The disk of a node is full.
    DiskFull(Whom),
    /// So many MiB are left on the disk of a node, less than its reserve.
    DiskLow { whom: Whom, left_mib: u32 },
    /// The clock of a node is so many milliseconds ahead, or behind.
    Clock { whom: Whom, offset_ms: i64 },
    /// A bit of a stored chunk of a node flips; it lasts no time.
    Rot(Whom),
    /// An operator hands the lead over; it lasts no time.
    Switchover,
    /// As [`Self::Kill`], and of what was not synced only `keep` is there afterwards.
    PowerCut { whom: Whom, keep: Kept },
    /// As [`Self::KillAll`], on every disk.
    PowerCutAll { keep: Kept },
    /// One call of a disk fails (EIO), the `nth` from then on.
    DiskError { whom: Whom, call: DiskCall, nth: u64 },
    /// A disk answers nothing, or no sync, for as long as it lasts or `most_ms` for a call.
    DiskStall { whom: Whom, syncs_only: bool, most_ms: u64 },
    /// A disk says that it synced and does not; at the end its power is cut.
    LyingSync(Whom),
    /// The node starts again, and the `nth` read of its start has a wrong bit.
    BitFlip { whom: Whom, nth: u64 },
    /// A disk takes no change any more.
    ReadOnly(Whom),
}

/// What of a disk fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DiskCall {
    /// While the node starts again: a node that runs reads little.
    Read,
    Write,
    Sync,
}

impl DiskCall {
    /// As `chaos-disk` calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
        }
    }
}

/// What a power cut leaves of what was not synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kept {
    Nothing,
    /// A first part, the end torn.
    First,
    /// Any sectors.
    Any,
}

impl Kept {
    /// As `chaos-disk` calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::First => "first",
            Self::Any => "any",
        }
    }
}

/// What kinds of fault there are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Kill,
    KillAll,
    Pause,
    Isolate,
    OneWay,
    Cut,
    Flap,
    Loss,
    Reset,
    NoConnections,
    Thin,
    DiskFull,
    DiskLow,
    Clock,
    Rot,
    Switchover,
    PowerCut,
    PowerCutAll,
    Torn,
    SyncError,
    ReadError,
    DiskStall,
    LyingSync,
    BitFlip,
    ReadOnly,
    Delay,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 26] = [
        Self::Kill,
        Self::KillAll,
        Self::Pause,
        Self::Isolate,
        Self::OneWay,
        Self::Cut,
        Self::Flap,
        Self::Loss,
        Self::Reset,
        Self::NoConnections,
        Self::Thin,
        Self::DiskFull,
        Self::DiskLow,
        Self::Clock,
        Self::Rot,
        Self::Switchover,
        Self::PowerCut,
        Self::PowerCutAll,
        Self::Torn,
        Self::SyncError,
        Self::ReadError,
        Self::DiskStall,
        Self::LyingSync,
        Self::BitFlip,
        Self::ReadOnly,
        Self::Delay,
    ];

    /// Whether it needs a disk that can lose what was not synced.
    pub(crate) const fn needs_lossy_disk(self) -> bool {
        matches!(
            self,
            Self::PowerCut
                | Self::PowerCutAll
                | Self::Torn
                | Self::SyncError
                | Self::ReadError
                | Self::DiskStall
                | Self::LyingSync
                | Self::BitFlip
                | Self::ReadOnly
        )
    }

    /// Rows of the fault matrix that it covers, in whole or in part.
    pub(crate) const fn rows(self) -> &'static [u8] {
        match self {
            Self::Kill => &[1, 2],
            Self::KillAll => &[2],
            Self::Pause => &[23],
            Self::Isolate => &[15],
            Self::OneWay | Self::Cut => &[16],
            Self::Flap => &[17],
            Self::Loss => &[18],
            Self::Reset | Self::NoConnections => &[20],
            Self::Delay => &[19],
            Self::Thin => &[21],
            Self::DiskFull | Self::DiskLow => &[10],
            Self::Clock => &[24],
            Self::Rot => &[8],
            Self::Switchover => &[28],
            Self::PowerCut | Self::PowerCutAll => &[3],
            Self::Torn => &[4],
            // Lost for seconds: as an old image that was put back.
            Self::LyingSync => &[5, 13],
            Self::SyncError | Self::ReadOnly => &[6],
            Self::ReadError => &[7],
            Self::BitFlip => &[8],
            Self::DiskStall => &[11],
        }
    }

    /// As on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::KillAll => "kill-all",
            Self::Pause => "pause",
            Self::Isolate => "isolate",
            Self::OneWay => "one-way",
            Self::Cut => "cut",
            Self::Flap => "flap",
            Self::Loss => "loss",
            Self::Reset => "reset",
            Self::NoConnections => "no-connections",
            Self::Delay => "delay",
            Self::Thin => "thin",
            Self::DiskFull => "disk-full",
            Self::DiskLow => "disk-low",
            Self::Clock => "clock",
            Self::Rot => "rot",
            Self::Switchover => "switchover",
            Self::PowerCut => "power-cut",
            Self::PowerCutAll => "power-cut-all",
            Self::Torn => "torn",
            Self::SyncError => "sync-error",
            Self::ReadError => "read-error",
            Self::DiskStall => "disk-stall",
            Self::LyingSync => "lying-sync",
            Self::BitFlip => "bit-flip",
            Self::ReadOnly => "read-only",
        }
    }

    fn draw(self, chance: &mut Chance, nodes: usize) -> Fault {
        let node = |chance: &mut Chance| usize::try_from(chance.below(nodes as u64)).unwrap_or(0);
        let whom = |chance: &mut Chance| if chance.percent(50) { Whom::Leader } else { Whom::Node(node(chance)) };
        let pair = |chance: &mut Chance| {
            let one = node(chance);
            let step = 1 + usize::try_from(chance.below(nodes.saturating_sub(1) as u64)).unwrap_or(0);
            (one, (one + step) % nodes.max(1))
        };
        let number = |chance: &mut Chance, least: u32, most: u32| {
            least + u32::try_from(chance.below(u64::from(most - least) + 1)).unwrap_or(0)
        };
        let kept = |chance: &mut Chance| if chance.percent(50) { Kept::Nothing } else { Kept::First };
        match self {
            Self::Kill => Fault::Kill(whom(chance)),
            Self::KillAll => Fault::KillAll,
            Self::Pause => Fault::Pause(whom(chance)),
            Self::Isolate => Fault::Isolate(whom(chance)),
            Self::OneWay => {
                let (from, to) = pair(chance);
                Fault::OneWay { from, to }
            }
            Self::Cut => {
                let (one, other) = pair(chance);
                Fault::Cut { one, other }
            }
            Self::Flap => Fault::Flap { whom: whom(chance), every_ms: 200 + chance.below(1_300) },
            Self::Loss => Fault::Loss { percent: number(chance, 1, 30) },
            Self::Reset => Fault::Reset { per_mille: number(chance, 1, 50) },
            Self::NoConnections => Fault::NoConnections,
            Self::Delay => {
                // From a far city's line to one that is full.
                let most_ms = chance.one_of(&[50, 300, 1_000, 2_000]).copied().unwrap_or(300);
                Fault::Delay { least_ms: most_ms / 4, most_ms }
            }
            Self::Thin => Fault::Thin { whom: whom(chance), kbit: number(chance, 256, 2_048) },
            Self::DiskFull => Fault::DiskFull(whom(chance)),
            // A quarter of a reserve of 16 MiB is where a node takes no entries any more.
            Self::DiskLow => Fault::DiskLow { whom: whom(chance), left_mib: number(chance, 2, 12) },
            Self::Clock => {
                let whom = whom(chance);
                // From a second to ten years: what a clinic's computer with a dead battery shows.
                let sizes = [1_000, 30_000, 600_000, 86_400_000, 315_360_000_000_i64];
                let size = chance.one_of(&sizes).copied().unwrap_or(1_000);
                Fault::Clock { whom, offset_ms: if chance.percent(50) { size } else { -size } }
            }
            Self::Rot => Fault::Rot(whom(chance)),
            Self::Switchover => Fault::Switchover,
            Self::PowerCut => Fault::PowerCut { whom: whom(chance), keep: kept(chance) },
            Self::PowerCutAll => Fault::PowerCutAll { keep: kept(chance) },
            Self::Torn => Fault::PowerCut { whom: whom(chance), keep: Kept::Any },
            Self::SyncError => {
                let call = if chance.percent(70) { DiskCall::Sync } else { DiskCall::Write };
                Fault::DiskError { whom: whom(chance), call, nth: 1 + chance.below(40) }
            }
            Self::ReadError => Fault::DiskError { whom: whom(chance), call: DiskCall::Read, nth: 1 + chance.below(60) },
            Self::DiskStall => {
                let (whom, syncs_only) = (whom(chance), chance.percent(50));
                Fault::DiskStall { whom, syncs_only, most_ms: 500 + chance.below(4_500) }
            }
            Self::LyingSync => Fault::LyingSync(whom(chance)),
            Self::BitFlip => Fault::BitFlip { whom: whom(chance), nth: 1 + chance.below(60) },
            Self::ReadOnly => Fault::ReadOnly(whom(chance)),
        }
    }
}

impl Fault {
    /// Whether it is a disk that does not do what it should, until it is over.
    pub(crate) const fn is_of_disk(&self) -> bool {
        matches!(
            self,
            Self::DiskFull(_)
                | Self::DiskError { .. }
                | Self::DiskStall { .. }
                | Self::LyingSync(_)
                | Self::BitFlip { .. }
                | Self::ReadOnly(_)
        )
    }

    /// Whether one copy may silently have lost what it had acknowledged: the network lives on the others, so nothing else may be
    /// wrong meanwhile (decision 0003 leaves media that lie outside its promise).
    pub(crate) const fn wants_to_be_alone(&self) -> bool {
        matches!(self, Self::LyingSync(_) | Self::BitFlip { .. })
    }

    /// What kind it is.
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Kill(_) => Kind::Kill,
            Self::KillAll => Kind::KillAll,
            Self::Pause(_) => Kind::Pause,
            Self::Isolate(_) => Kind::Isolate,
            Self::OneWay { .. } => Kind::OneWay,
            Self::Cut { .. } => Kind::Cut,
            Self::Flap { .. } => Kind::Flap,
            Self::Loss { .. } => Kind::Loss,
            Self::Reset { .. } => Kind::Reset,
            Self::NoConnections => Kind::NoConnections,
            Self::Delay { .. } => Kind::Delay,
            Self::Thin { .. } => Kind::Thin,
            Self::DiskFull(_) => Kind::DiskFull,
            Self::DiskLow { .. } => Kind::DiskLow,
            Self::Clock { .. } => Kind::Clock,
            Self::Rot(_) => Kind::Rot,
            Self::Switchover => Kind::Switchover,
            Self::PowerCut { keep: Kept::Any, .. } => Kind::Torn,
            Self::PowerCut { .. } => Kind::PowerCut,
            Self::PowerCutAll { .. } => Kind::PowerCutAll,
            Self::DiskError { call: DiskCall::Read, .. } => Kind::ReadError,
            Self::DiskError { .. } => Kind::SyncError,
            Self::DiskStall { .. } => Kind::DiskStall,
            Self::LyingSync(_) => Kind::LyingSync,
            Self::BitFlip { .. } => Kind::BitFlip,
            Self::ReadOnly(_) => Kind::ReadOnly,
        }
    }
}

/// A fault with its time, counted from the start of the safety phase.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Planned {
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
    pub(crate) fault: Fault,
}

/// How faults come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Profile {
    /// One at a time, with a rest after each.
    Calm,
    /// One after another, some over each other.
    Standard,
    /// Several at once.
    Storm,
}

impl Profile {
    /// As on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Standard => "standard",
            Self::Storm => "storm",
        }
    }

    /// From the start of one fault to that of the next, and how long each lasts, in milliseconds: least and most.
    const fn spans(self) -> [(u64, u64); 2] {
        match self {
            Self::Calm => [(8_000, 12_000), (1_000, 5_000)],
            Self::Standard => [(2_500, 7_000), (800, 6_000)],
            Self::Storm => [(600, 3_000), (500, 8_000)],
        }
    }
}

/// Before the first fault: programs are at work by then.
const QUIET: Duration = Duration::from_secs(2);

/// The faults of one seed among `nodes` nodes, within `length`. Each kind comes once before any comes again, so that a short run
/// has as many as it can.
pub(crate) fn schedule(seed: u64, profile: Profile, kinds: &[Kind], nodes: usize, length: Duration) -> Vec<Planned> {
    let mut chance = Chance::of(seed, 0x00fa_0175);
    let [gap, lasting] = profile.spans().map(|(least, most)| [least, most].map(Duration::from_millis));
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (mut at, mut bag, mut planned) = (QUIET, Vec::new(), Vec::new());
    loop {
        if bag.is_empty() {
            bag = kinds.to_vec();
        }
        if bag.is_empty() || at >= length {
            return planned;
        }
        let kind = bag.swap_remove(usize::try_from(chance.below(bag.len() as u64)).unwrap_or(0));
        let fault = kind.draw(&mut chance, nodes);
        let to = (at + chance.between(lasting[0], lasting[1])).min(length);
        planned.push(Planned { from_ms: millis(at), to_ms: millis(to), fault });
        at += chance.between(gap[0], gap[1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const LENGTH: Duration = Duration::from_secs(120);

    #[test]
    fn a_seed_gives_the_same_faults_and_each_kind_comes_before_any_comes_again() {
        for profile in [Profile::Calm, Profile::Standard, Profile::Storm] {
            let planned = schedule(7, profile, &Kind::ALL, 3, LENGTH);
            assert_eq!(planned, schedule(7, profile, &Kind::ALL, 3, LENGTH));
            assert_ne!(planned, schedule(8, profile, &Kind::ALL, 3, LENGTH));
            let first: BTreeSet<Kind> = planned.iter().take(Kind::ALL.len()).map(|it| it.fault.kind()).collect();
            assert_eq!(first.len(), planned.len().min(Kind::ALL.len()), "{profile:?}");
        }
        assert_eq!(schedule(7, Profile::Storm, &[], 3, LENGTH), []);
    }

    #[test]
    fn faults_keep_to_the_nodes_and_to_the_safety_phase() {
        for seed in 0..200 {
            for planned in schedule(seed, Profile::Storm, &Kind::ALL, 3, LENGTH) {
                assert!(planned.from_ms < planned.to_ms && planned.to_ms <= 120_000, "{planned:?}");
                match planned.fault {
                    Fault::OneWay { from, to } => assert!(from != to && from < 3 && to < 3),
                    Fault::Cut { one, other } => assert!(one != other && one < 3 && other < 3),
                    Fault::Loss { percent } => assert!((1..=30).contains(&percent)),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn every_kind_has_a_row_of_the_matrix_and_a_name_of_its_own() {
        let names: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert!(kind.rows().iter().all(|row| (1..=39).contains(row)) && !kind.rows().is_empty());
            assert_eq!(kind.draw(&mut Chance::of(1, 1), 3).kind(), kind);
        }
    }
}
