//! Proof of 3-2-1: three verified copies, on two media, one of them off-site, without an error.
//!
//! ```text
//! rows ─► expected: chunks per node (set digests, a sample), images per placement        one pass each
//! nodes ─► witness: what each says it holds, by partition; what its state is
//!          │ equal digests: nothing to list      different: list that partition, and name what is missing
//!          └► challenge: the sample, which nobody could foresee; compared with what others, or the bytes, prove
//!                                          all of it ─► report ─► verdict
//! ```
//! What a node says is believed only as far as it can prove it: whoever fails a challenge counts for nothing. Copies on one
//! disk, by what the node finds and not by what it was told, are one copy.
//!
//! No image is opened and nothing is changed here. No name of a person can be in a report: ids, counts, places.

mod challenge;
mod copies;
pub mod evidence;
mod expected;
mod prover;
mod report;
mod safety;
mod witness;

pub use copies::{CopiesOf, CopiesPage, CopyOf, ObjectCopies};
pub use evidence::{EvidencePeers, OwnEvidence, StateEvidence};
pub use prover::{Facts, Options, Progress, ProveError, Prover, Step};
pub use report::{Answer, Finding, FindingKind, HolderReport, ObjectsReport, Report};
pub use safety::{Place, Safety, Verdict};
pub use witness::{Witness, Witnesses};
