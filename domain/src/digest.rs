//! Digests of rows and of the chain of applied entries.
