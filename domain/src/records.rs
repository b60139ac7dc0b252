//! Records: append-only documents with versions.
