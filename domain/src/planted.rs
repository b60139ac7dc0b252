//! Mistakes made on purpose, one at a time, to prove that the checks of `chaos` find them (decision 0029). Which ones there are
//! and which one is on is here; each of them is one line at the place where somebody might make it.
//!
//! ```text
//! feature off (every build that ships)   planted(…) is false at compile time: nothing of a mistake is in the program
//! feature on (`chaos-planted` alone)     choose(bug) once, before anything runs; then planted(bug) is true everywhere
//! ```

macro_rules! bugs {
    ($($bug:ident $name:literal $place:literal $what:literal)*) => {
        /// A mistake that somebody might make.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Bug {
            $(#[doc = $what] $bug,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$bug),*];

            /// As on a command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$bug => $name),* }
            }

            /// The file that it is in.
            pub const fn place(self) -> &'static str {
                match self { $(Self::$bug => $place),* }
            }

            /// What goes wrong.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$bug => $what),* }
            }
        }
    };
}

bugs! {
    // Consensus.
    AckBeforeFlush "ack-before-flush" "node/src/consensus/log_store.rs" "entries are acknowledged before their flush"
    VoteNotSaved "vote-not-saved" "node/src/consensus/log_store.rs" "a vote is given and never written"
    VoteForgotten "vote-forgotten" "node/src/consensus/log_store.rs" "a start does not read the vote back"
    LastEntryDropped "last-entry-dropped" "node/src/consensus/log_store.rs" "a start drops the last entry of the log"
    TruncateSkipped "truncate-skipped" "node/src/consensus/log_store.rs" "entries that the leader does not have stay in the log"
    CommitSavedTooFar "commit-saved-too-far" "node/src/consensus/log_store.rs" "the whole log is noted as committed"
    CommitOnArrival "commit-on-arrival" "node/src/consensus/inbound.rs" "a follower takes what arrives for committed"
    VoteForShorterLog "vote-for-shorter-log" "node/src/consensus/inbound.rs" "a vote is given without a look at the candidate's log"
    LeaderRestored "leader-restored" "node/src/consensus/profile.rs" "a leader that was restarted leads on, as openraft does by default"
    ReadOnOwnWord "read-on-own-word" "node/src/consensus/read_index.rs" "a leader gives a read index without asking a majority"
    LostIsNotDone "lost-is-not-done" "node/src/consensus/forward.rs" "a proposal whose answer was lost is told as not done"
    RetryUnderNewId "retry-under-new-id" "node/src/consensus/forward.rs" "a proposal that may have been taken is sent again as another request"
    OwnJumpIgnored "own-jump-ignored" "node/src/consensus/clocks.rs" "a jump of the own clock is not noticed until others are heard again"
    // State.
    FollowerSkips "follower-skips" "node/src/consensus/state_machine.rs" "followers leave out the rows of one entry in 64"
    ConfirmedNotWritten "confirmed-not-written" "node/src/consensus/state_machine.rs" "one entry in 64 is confirmed and its rows are not written"
    GroupSeesOldRows "group-sees-old-rows" "node/src/consensus/state_machine.rs" "entries of one group do not see each other's rows"
    InstallSkipped "install-skipped" "node/src/consensus/state_machine.rs" "a snapshot is acknowledged and its rows are not installed"
    SnapshotSkipsOne "snapshot-skips-one" "node/src/consensus/state_machine.rs" "the first entry after an installed snapshot is not applied"
    RowCacheStale "row-cache-stale" "node/src/storage/state/sealed.rs" "the cache of rows is not told of writes"
    WindowCacheStale "window-cache-stale" "node/src/storage/state/sealed.rs" "the cache of agendas is not told of writes"
    DigestForgotten "digest-forgotten" "node/src/storage/state/sealed.rs" "a new row does not reach the content digest"
    BatchTorn "batch-torn" "node/src/storage/state/sealed.rs" "one batch in 64 is written without its first row"
    CheckpointUnsynced "checkpoint-unsynced" "node/src/storage/state/sealed.rs" "CHECKPOINT is written before the rows are synced"
    // Images.
    ReceiptBeforeSync "receipt-before-sync" "node/src/chunks/directory.rs" "a chunk gets its receipt before its bytes are synced"
    NameNotSynced "name-not-synced" "node/src/chunks/directory.rs" "a chunk gets its receipt before its name is synced"
    ScrubBlind "scrub-blind" "node/src/chunks/directory.rs" "a scrub takes every copy for good"
    RepairForgets "repair-forgets" "node/src/images/keeping/wanted.rs" "what should be here and never came is not fetched"
    EpochIgnored "epoch-ignored" "node/src/images/keeping/collect.rs" "a chunk is unlinked though a receipt of it may be on its way"
    OneSiteEnough "one-site-enough" "domain/src/images/commit.rs" "an image is committed with receipts of one site"
    NamedUnlinked "named-unlinked" "domain/src/images/gc.rs" "a chunk under a tombstone is unlinked though an image names it again"
    // Rules.
    OverlapRoom "overlap-room" "domain/src/agenda.rs" "rooms are not checked for overlaps"
    OverlapProfessional "overlap-professional" "domain/src/agenda.rs" "professionals are not checked for overlaps"
    OverlapPatient "overlap-patient" "domain/src/agenda.rs" "patients are not checked for overlaps"
    ClosedInterval "closed-interval" "domain/src/agenda.rs" "a booking holds the instant at which it ends"
    CancelledHolds "cancelled-holds" "domain/src/rows/agenda.rs" "a cancelled booking holds its slot"
    MoveKeepsOldSlot "move-keeps-old-slot" "domain/src/agenda.rs" "a booking that was moved holds its old slot too"
    StaleBooking "stale-booking" "domain/src/agenda.rs" "a booking is changed by whoever saw an older version"
    StaleRecord "stale-record" "domain/src/records.rs" "a record is amended by whoever saw an older version"
    OutcomeNotKept "outcome-not-kept" "domain/src/apply.rs" "answers are not kept for those who ask again"
    OutcomePurgedEarly "outcome-purged-early" "domain/src/apply.rs" "answers are deleted while copies may still come"
    RepeatRefused "repeat-refused" "domain/src/apply.rs" "a repeated request is refused instead of answered"
    ExpiredApplied "expired-applied" "domain/src/apply.rs" "a request is applied after its time"
    AuditRowMissing "audit-row-missing" "domain/src/audit.rs" "one entry in 64 is not in the trail"
    AuditChainBroken "audit-chain-broken" "domain/src/audit.rs" "one entry in 64 does not name the one before"
    // Reads and answers.
    ReadWithoutIndex "read-without-index" "node/src/gateway/read.rs" "a linearizable read shows the rows as they are here"
    ReadWithoutWaiting "read-without-waiting" "node/src/gateway/read.rs" "a read does not wait until its index is applied"
    ReadNotNoted "read-not-noted" "node/src/gateway/read.rs" "records are shown without a note for the trail"
    AgendaOfTwoTimes "agenda-of-two-times" "node/src/gateway/read.rs" "a page of an agenda is read at two indexes"
    AsOfAhead "as-of-ahead" "node/src/gateway/read.rs" "an answer names a later index than it reflects"
    OlderVersionShown "older-version-shown" "node/src/gateway/read.rs" "one read in 16 shows the version before the current one"
    WatchSkips "watch-skips" "node/src/gateway/trail.rs" "one change in 64 is not told to screens"
    RefusalAsDone "refusal-as-done" "node/src/gateway/write.rs" "a refused booking is told as done"
    EarlierIndexTold "earlier-index-told" "node/src/gateway/write.rs" "an answer names an earlier index than the decision's"
    ContentNotSealed "content-not-sealed" "node/src/gateway/seal.rs" "documents go into the log as they are"
}

impl Bug {
    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|bug| bug.name() == name)
    }
}

#[cfg(feature = "planted")]
static CHOSEN: std::sync::OnceLock<Bug> = std::sync::OnceLock::new();

/// Turns one on for the rest of the process. The first choice stays.
#[cfg(feature = "planted")]
pub fn choose(bug: Bug) {
    let _ = CHOSEN.set(bug);
}

/// Whether this one is on.
#[cfg(feature = "planted")]
pub fn planted(bug: Bug) -> bool {
    CHOSEN.get() == Some(&bug)
}

/// Whether this one is on: never in this build.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn planted(_: Bug) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_has_a_name_of_its_own_and_none_is_on() {
        for bug in Bug::ALL {
            assert_eq!(Bug::named(bug.name()), Some(*bug));
            assert!(!planted(*bug), "{} is on by itself", bug.name());
        }
        assert_eq!(Bug::named(""), None);
    }
}
