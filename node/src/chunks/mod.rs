//! The images' bytes on this node: taking them in, keeping them as sealed chunks, finding rot, and deciding where
//! copies go and in which order they travel.
//!
//! ```text
//! upload ─► ingest (cut, hash, type) ─► crypto::chunk_seal ─► store ─► receipt ─► (the log, through the caller)
//!                  thumbnail ──────────────────┘                ▲ scrub, challenge
//!           placement ─► which nodes           calendar, bucket, lanes ─► when
//! ```
//! Nothing here names a patient, opens a chunk, speaks to another node or proposes to the log: whoever wires it does.
//! What a node *should* hold is in the replicated state; here is what it *does* hold.
//!
//! # Why any two operations may overlap
//!
//! *put*: bytes come from an upload. *repair*: the same, from another holder. *get*: a read or a transfer. *scrub*: a
//! check, and the answer to a challenge. *quarantine*: a bad copy is set aside. *remove*: the unlink. *receipt*: it was
//! given and is on its way into the log. *tombstone*: a replicated mark that says "nothing refers to this chunk since
//! epoch e".
//!
//! | | put | repair | get | scrub | quarantine | remove | receipt | tombstone |
//! |---|---|---|---|---|---|---|---|---|
//! | **put** | a | | | | | | | |
//! | **repair** | a | a | | | | | | |
//! | **get** | b | b | c | | | | | |
//! | **scrub** | b | b | c | c | | | | |
//! | **quarantine** | d | d | e | e | e | | | |
//! | **remove** | f | f | g | g | e | h | | |
//! | **receipt** | a | a | c | c | i | f | a | |
//! | **tombstone** | j | k | l | l | l | m | n | o |
//!
//! - a: each put writes a file of its own, and equal ids are equal bytes, so the renames may come in either order. Each
//!   receipt waits for a directory sync that began after its own rename; later ones share it. A second receipt for one
//!   copy says nothing false.
//! - b: a name appears by rename when its bytes are whole and synced; a reader sees all of it or nothing. Whoever saw
//!   nothing looks again under the chunk's lock before it says that the chunk is missing, and only then corrects the
//!   list of what is held.
//! - c: readers share nothing but the file, and verify what they read.
//! - d: setting aside takes the chunk's lock and reads again under it: a good copy that was just put is not set aside.
//!   A put looks for a copy under the same lock, and its rename replaces whatever bad file is there.
//! - e: under the lock, whoever comes second finds no file. An open file goes on being readable after its name is gone.
//! - f: `remove` asks its re-check under the lock, and a put notes under the same lock that a receipt is about to be
//!   given: either the put comes first, and the re-check sees a copy that was put a moment ago
//!   ([`Presence::quiet_for`]) and refuses; or the removal comes first, and the put finds nothing and writes anew. A
//!   receipt that is older than the process counts as given at its start.
//! - g: the reader has the file open and gets its bytes, or finds none; the chunk was of no use to anybody (m).
//! - h: under the lock; the second one says that there was none.
//! - i: a receipt says "durable when given", not "good for ever". What was set aside is missing, the next comparison
//!   with the replicated state shows it, and repair brings it again. Three copies are the answer to rot, not this.
//! - j: a put of a tombstoned chunk goes on and its receipt carries the epoch that the node knows, so apply can cancel
//!   the tombstone; a receipt with an older epoch than the tombstone is refused by apply, and the upload puts again.
//! - k: repair never fetches a tombstoned chunk: nothing refers to it. One that was being fetched is put, and is
//!   removed after its hold.
//! - l: a tombstone is a row; it touches no file.
//! - m: the removal is the tombstone's end: after the hold, with no reference, no open intent of that patient and no
//!   receipt since, all asked in the re-check. A node that is cut off applies no tombstone and removes nothing.
//! - n: apply orders the two: a receipt after the tombstone cancels it, one from before (smaller epoch) does not count.
//! - o: the later epoch wins; apply decides.
//!
//! A lost directory ([`ChunkDirectory::renew`]) waits for puts that are under way and gives a new incarnation, so that
//! no receipt of the old one counts for the new.

pub mod bucket;
pub mod calendar;
pub mod challenge;
pub(crate) mod checks;
pub mod content_type;
pub mod directory;
mod disk;
pub mod disk_identity;
mod error;
mod group_sync;
mod held;
pub mod ingest;
pub mod lanes;
pub(crate) mod layout;
pub mod placement;
pub mod scrub;
pub mod set_digest;
pub mod store;
#[cfg(test)]
mod testing;
pub mod thumbnail;
pub mod zone;

pub use content_type::ContentType;
pub use directory::{ChunkDirectory, DirectoryOptions, Figures, Presence, Receipt, Removal};
pub use disk::Witness;
pub use error::{Fault, GetError, OpenStoreError, PutError, RemoveError};
pub use held::{HeldChunk, HeldSummary};
pub use layout::Found;
pub use set_digest::{PARTITIONS, SetDigest, partition_of};
pub use store::ChunkStore;
