//! Consents: granted, revoked, never rewritten.
