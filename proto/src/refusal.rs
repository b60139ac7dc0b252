//! What a status carries besides its text: the keys of its metadata. Which numbers there are, and what they mean, is
//! said where they are given and in `docs/errors.md`.

/// Metadata key with the number of `PLT-nnnn`, in decimal, on a status that has one.
pub const CODE_KEY: &str = "plantao-code";
/// Metadata key with the sentence that says what to do; binary, because it is UTF-8.
pub const HELP_KEY: &str = "plantao-help-bin";
/// Metadata key by which a node says that a write was **not** proposed and never will be, with [`NOT_DONE`] as value.
/// Without it a failed write is of unknown outcome.
pub const OUTCOME_KEY: &str = "plantao-outcome";
/// The one value of [`OUTCOME_KEY`].
pub const NOT_DONE: &str = "not-done";
