//! Bytes of what is replicated: total decoding, versions.
