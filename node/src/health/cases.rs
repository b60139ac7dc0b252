//! Every outcome of every check of `Diagnose`: its verdict, what it says, what to do. Which one holds is decided in
//! `checks`; the tool has the same list in Portuguese, and `docs/operations/doctor.md` a paragraph for each check.

/// How an outcome is meant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It could not be looked at.
    Unknown,
    /// Works, and somebody should look at it.
    Attention,
    /// Does not work, or loses what is promised.
    Bad,
}

/// One outcome of one check.
#[derive(Debug)]
pub struct Case {
    /// The check, as `D01`. It never changes meaning.
    pub id: &'static str,
    /// The outcome, as `space-low`. It never changes meaning.
    pub name: &'static str,
    /// How it is meant.
    pub verdict: Verdict,
    /// What was seen; `{0}`, `{1}` are values.
    pub seen: &'static str,
    /// What to do; empty where nothing is to be done.
    pub help: &'static str,
}

impl Case {
    /// What was seen, with its values.
    pub fn told(&self, values: &[String]) -> String {
        let mut text = self.seen.to_owned();
        for (at, value) in values.iter().enumerate() {
            text = text.replace(&format!("{{{at}}}"), value);
        }
        text
    }
}

macro_rules! cases {
    ($($constant:ident = $id:literal, $name:literal, $verdict:ident, $seen:literal, $help:literal;)*) => {
        $(
            #[doc = $seen]
            pub static $constant: Case =
                Case { id: $id, name: $name, verdict: Verdict::$verdict, seen: $seen, help: $help };
        )*

        /// All of them, in the order of the checks.
        pub static CASES: &[&Case] = &[$(&$constant,)*];
    };
}

cases! {
    CLOCK_OK = "D01", "ok", Ok, "clocks of {0} nodes agree within {1} ms", "";
    CLOCK_OFF = "D01", "off", Bad, "the clock of {0} differs by {1} ms, more than {2} ms are not tolerated",
        "look at the time service of both: timedatectl timesync-status";
    CLOCK_DRIFTS = "D01", "drifts", Attention, "the clock of {0} differs by {1} ms",
        "look at the time service of both: timedatectl timesync-status";
    CLOCK_UNKNOWN = "D01", "unknown", Unknown, "no other clock was heard within a minute", "look at the links: plantao status";
    SPACE_OK = "D02", "ok", Ok, "{0} % of the data disk are free ({1})", "";
    SPACE_LOW = "D02", "low", Attention, "only {0} % of the data disk are free ({1})",
        "free space, or move the data directory to a larger disk";
    SPACE_OUT = "D02", "out", Bad, "only {0} % of the data disk are free ({1}): a full disk stops writes",
        "free space now, or move the data directory to a larger disk";
    SPACE_UNKNOWN = "D02", "unknown", Unknown, "the data disk cannot be looked at: {0}", "look at the mount and its rights";
    IMAGE_SPACE_OK = "D03", "ok", Ok, "{0} of the disk of images are free, {1} are kept in reserve", "";
    IMAGE_SPACE_OUT = "D03", "out", Bad, "{0} of the disk of images are free, less than the reserve of {1}: no image is taken",
        "free space, or move chunks.directory to a larger disk";
    IMAGE_SPACE_LOW = "D03", "low", Attention, "{0} of the disk of images are free, near the reserve of {1}",
        "free space, or move chunks.directory to a larger disk";
    IMAGE_SPACE_UNKNOWN = "D03", "unknown", Unknown, "the disk of images cannot be looked at: {0}",
        "look at chunks.directory, its mount and its rights";
    MOUNT_OK = "D04", "ok", Ok, "the data directory can be written", "";
    MOUNT_READ_ONLY = "D04", "read-only", Bad, "the {0} directory is mounted read-only",
        "look for disk errors: journalctl -k; mend the disk, then mount it for writing";
    DISK_OK = "D05", "ok", Ok, "the data directory is on a local disk", "";
    DISK_MEMORY = "D05", "memory", Bad, "the data directory is on {0}: everything is gone when the computer stops",
        "move node.data_dir to a disk; a node that lost its directory comes back as a new one";
    DISK_NETWORK = "D05", "network", Attention, "the data directory is on a network file system ({0}): a sync may promise too much",
        "move node.data_dir to a disk of this computer";
    DISK_UNKNOWN = "D05", "unknown", Unknown, "the data disk cannot be looked at: {0}", "look at the mount and its rights";
    SYNC_OK = "D06", "ok", Ok, "a synced write takes {0} ms", "";
    SYNC_SLOW = "D06", "slow", Attention, "a synced write takes {0} ms: every booking waits for it",
        "look at the disk's load and health; a log wants an SSD with power-loss protection";
    SYNC_FAILED = "D06", "failed", Bad, "a synced write fails: {0}", "look for disk errors: journalctl -k";
    CERTIFICATE_OK = "D07", "ok", Ok, "the certificate is valid for {0} more days", "";
    CERTIFICATE_DUE = "D07", "due", Attention, "the certificate ends in {0} days, and less than a third of its life is left",
        "plantao pki renew where the authority is kept";
    CERTIFICATE_ENDS = "D07", "ends", Bad, "the certificate ends in {0} days", "plantao pki renew where the authority is kept, today";
    CERTIFICATE_OVER = "D07", "over", Bad, "the certificate has expired: every other node refuses this one",
        "plantao pki renew where the authority is kept, now";
    ROOTS_OK = "D08", "ok", Ok, "{0} roots, the last of them is valid for {1} more days", "";
    ROOTS_END = "D08", "end", Attention, "the last root ends in {0} days", "make a new authority beside the old one, and roll it out";
    ROOTS_OVER = "D08", "over", Bad, "every root has expired", "make a new authority, and give every node its root";
    ROOTS_UNKNOWN = "D08", "unknown", Unknown, "the roots cannot be read: {0}", "look at tls.roots";
    RELOAD_OK = "D09", "ok", Ok, "certificate files are those in use", "";
    RELOAD_FAILED = "D09", "failed", Bad, "the certificate files cannot be used: {0}",
        "correct the files; the node takes them by itself, the old ones serve on";
    LISTEN_OK = "D10", "ok", Ok, "listens on {0} for nodes, told to others as {1}", "";
    LISTEN_LOOPBACK = "D10", "loopback", Bad, "listens for nodes on {0} only, but others are told {1}",
        "set listen.peer to an address that others reach";
    LISTEN_PORT = "D10", "port", Attention, "listens for nodes on port {0}, but others are told port {1}",
        "right only with a forwarded port; else set node.peer_address";
    REACHED_OK = "D11", "ok", Ok, "{0} nodes reach this one", "";
    REACHED_NOT = "D11", "not", Bad, "{0} does not reach this node, which reaches it",
        "look at node.peer_address here and at the firewall in front of this node";
    REACHED_UNKNOWN = "D11", "unknown", Unknown, "no other node has told whom it reaches", "look at the links: plantao status";
    QUORUM_OK = "D12", "ok", Ok, "leader {0}; {1} of {2} voters reachable", "";
    QUORUM_EDGE = "D12", "edge", Attention, "{1} of {2} voters reachable: one more lost and nothing can be written",
        "bring the missing voters back: plantao status names them";
    QUORUM_LOST = "D12", "lost", Bad, "no leader is known; {1} of {2} voters reachable",
        "bring stopped voters back, mend their links; never wipe one";
    LINKS_OK = "D13", "ok", Ok, "no link between nodes is cut", "";
    LINKS_CUT = "D13", "cut", Bad, "the link {0} → {1} is cut for {2} s",
        "look at the internet lines, the VPN and the firewall between the two";
    SEAL_OK = "D14", "ok", Ok, "the root key is open", "";
    SEAL_KEYLESS = "D14", "keyless", Ok, "this node is to have no root key, and has none", "";
    SEAL_CLOSED = "D14", "closed", Bad, "the node is sealed: it votes, and serves no content",
        "give it its root slot's key and start it again";
    KEYS_OK = "D15", "ok", Ok, "{0} key sources are where they should be", "";
    KEYS_MISSING = "D15", "missing", Attention, "the key source of slots.{0} is not there: the next start fails",
        "mount its medium, and leave it there";
    KEYS_EXPOSED = "D15", "exposed", Bad, "the key source of slots.{0} can be read by others (mode {1})",
        "chmod 600, owned by the daemon's user";
    KEYS_WITH_DATA = "D15", "with-data", Attention, "the key source of slots.{0} lies on the disk of the data: stolen together, it protects nothing",
        "put the key on another medium, or use a systemd credential";
    MEDIA_OK = "D16", "ok", Ok, "no other node keeps its images on this disk", "";
    MEDIA_SHARED = "D16", "shared", Attention, "{0} keeps its images on the same disk: the two are one copy",
        "move one of the two to another disk: plantao compliance 321";
    MEDIA_SIMULATED = "D16", "simulated", Attention, "media are simulated: for trials only", "take chunks.simulated_media out of the configuration";
    MEDIA_OTHER = "D16", "other", Attention, "the configuration says {0}, the network knows {1}", "start the node again, so that it registers what it is";
    MEDIA_UNKNOWN = "D16", "unknown", Unknown, "the network does not know this node's directory of images yet", "wait a moment; else look at its log";
    CHUNKS_OK = "D17", "ok", Ok, "the directory of images is in use, with {0} pieces", "";
    CHUNKS_NONE = "D17", "none", Bad, "the directory of images cannot be used: this node keeps no copies",
        "look at this node's log for the reason, mend it, start the node again";
    SCRUB_OK = "D18", "ok", Ok, "the oldest check of a copy is {0} days old", "";
    SCRUB_LATE = "D18", "late", Attention, "the oldest check of a copy is {0} days old, {1} are allowed", "raise chunks.scrub_rate";
    SCRUB_BAD = "D18", "bad", Bad, "{0} bad copies were found since the start, some within a day",
        "look for disk errors: journalctl -k; replace a disk that goes on like this";
    SCRUB_NO_SOURCE = "D18", "no-source", Bad, "{0} pieces that belong here are on no node that answers", "bring back the nodes that are away, with their disks";
    JOURNAL_OK = "D19", "ok", Ok, "{0} notes of reads wait for the log", "";
    JOURNAL_WAITS = "D19", "waits", Attention, "{0} notes of reads wait for the log", "they wait for a leader: plantao status";
    JOURNAL_BROKEN = "D19", "broken", Bad, "the journal of reads cannot be written", "look for disk errors: journalctl -k";
    SNAPSHOT_OK = "D20", "ok", Ok, "{0} entries since the last snapshot, {1} kept in the log", "";
    SNAPSHOT_LATE = "D20", "late", Attention, "{0} entries since the last snapshot, every {1} one is due", "look at this node's log for why none is made";
    MEMORY_OK = "D21", "ok", Ok, "{0} % of the memory are available", "";
    MEMORY_LOW = "D21", "low", Attention, "only {0} % of the memory are available", "look what else runs on this computer";
    MEMORY_UNKNOWN = "D21", "unknown", Unknown, "the system does not tell its memory", "";
    FILES_OK = "D22", "ok", Ok, "up to {0} open files", "";
    FILES_FEW = "D22", "few", Attention, "only {0} open files are allowed", "set LimitNOFILE=65536 in the unit file";
    SECRETS_OK = "D23", "ok", Ok, "core dumps are off, and no plain swap is on", "";
    SECRETS_SWAP = "D23", "swap", Attention, "swap is on ({0}): keys may be written there", "swapoff, or encrypt it";
    SECRETS_DUMPS = "D23", "dumps", Bad, "core dumps of this process are possible", "start plantaod by its unit file";
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn cases_are_in_order_have_one_name_each_and_say_what_to_do() {
        assert!(CASES.is_sorted_by_key(|case| case.id));
        let names: BTreeSet<_> = CASES.iter().map(|case| (case.id, case.name)).collect();
        assert_eq!(names.len(), CASES.len());
        for case in CASES {
            assert!(case.help.is_empty() == (case.verdict == Verdict::Ok) || case.verdict == Verdict::Unknown);
            assert!(!case.seen.ends_with('.') && !case.help.ends_with('.'), "{} {}", case.id, case.name);
        }
        let ids: BTreeSet<_> = CASES.iter().map(|case| case.id).collect();
        assert_eq!(ids.len(), 23);
    }

    #[test]
    fn values_stand_where_they_belong() {
        let told = CLOCK_OFF.told(&["jardins".to_owned(), "61000".to_owned(), "5000".to_owned()]);
        assert_eq!(told, "the clock of jardins differs by 61000 ms, more than 5000 ms are not tolerated");
    }
}
