//! Clinical images: their bytes never enter the log (decision 0009). Here are the rules of what does: intents,
//! manifests, receipts, commits, and the tombstones without which no chunk is deleted. No byte of an image and no
//! placing of copies is here: nodes cut, seal, move and choose; this module decides what counts.
//!
//! ```text
//! OpenUpload ─► PutManifestPart ─► PutReceipts ─► CommitUpload ─► the image is there      RePlace, PutReceipts go on
//!     │  RenewIntent, RePlace                        └─ each part durable on two sites, by stores that are current
//!     └► AbandonUpload | ExpireIntents ─► DropPart ─► tombstones ─► FinishGc of each store ─► forgotten
//! ```
//! Why a chunk that a committed image names is never deleted: a tombstone needs a chunk that no part names; a part that
//! names a chunk ends its tombstone in the same entry; and a receipt counts for a part only if its node had applied
//! each tombstone that these chunks ever had *before* it verified the bytes (`gc_epoch`), after which it does not
//! unlink them under that tombstone.

mod commit;
mod gc;
mod manifest;
mod placement;
mod receipts;
mod status;
mod stores;
mod upload;

pub use gc::{ChunkEpoch, may_unlink};
pub use manifest::*;
pub use receipts::Receipt;
pub use status::{Copies, Holder, Holders, ImageStatus, read_block};
pub use upload::NewImage;

pub(crate) use commit::commit;
pub(crate) use gc::{drop_part, finish, put_tombstones};
pub(crate) use placement::place_again;
pub(crate) use receipts::put_receipts;
pub(crate) use stores::{register_store, retire_store};
pub(crate) use upload::{abandon, expire, open, put_part, renew};

use crate::view::{View, ViewFault};

/// Sites on which each part must be durable before an image is committed (DESIGN section 8); never one.
pub const SITES_MIN: u32 = 2;
/// Copies that an image should have, where there are as many nodes.
pub const COPIES_WANTED: u32 = 3;
/// Uploads that are open at the same time in the whole network.
pub const OPEN_UPLOADS_MAX: u32 = 1_024;
/// The shortest lease.
pub const LEASE_MS_MIN: u32 = 10_000;
/// The longest lease that one command gives: an hour.
pub const LEASE_MS_MAX: u32 = 60 * 60 * 1_000;
/// However often it is renewed, an intent ends this long after it was opened: 2 GiB over 64 kbit/s take three days.
pub const UPLOAD_MS_MAX: i64 = 7 * 24 * 60 * 60 * 1_000;
/// Nodes of one placement.
pub const PLACEMENT_NODES_MAX: usize = 16;
/// Parts that come with one commit.
pub const PARTS_MAX: usize = 8;
/// Receipts of one command.
pub const RECEIPTS_MAX: usize = 256;
/// Sealed content of one image (name, digest, remarks), so that a page of a list stays small.
pub const IMAGE_CONTENT_BYTES_MAX: usize = 4 * 1024;
/// Intents that one command ends.
pub(crate) const EXPIRED_MAX: usize = 32;

/// The latest deletion epoch: what a node reads from its own state *before* it verifies the bytes of a receipt.
pub fn gc_epoch(view: &dyn View) -> Result<u64, ViewFault> {
    Ok(crate::rows::images_head(view)?.epoch)
}
