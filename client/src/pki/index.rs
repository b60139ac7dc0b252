//! `authority.json`: what the authority is and every certificate that it issued. Replaced whole at each change.

use super::error::Error;
use super::files::{self, Readers};
use crate::identity::Slug;
use crate::transport::Fingerprint;
use serde::{Deserialize, Serialize};
use std::path::Path;

pub(super) const FILE: &str = "authority.json";

const VERSION: u32 = 1;

/// Guessed: 50 units with 100 people each, renewed monthly, are 60,000 a year.
const ISSUED_MAX: usize = 100_000;

/// About 400 bytes an entry.
const BYTES_MAX: u64 = 64 << 20;

/// An expired certificate stays in the list this long, in seconds: two years, for whoever has to look back.
const KEPT_AFTER_EXPIRY: i64 = 2 * 365 * 24 * 60 * 60;

/// One certificate that was issued.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuedRecord {
    /// Serial number, 32 hexadecimal digits.
    pub serial: String,
    /// The SPIFFE URI.
    pub identity: String,
    /// Host names and addresses, as they were asked for.
    pub names: Vec<String>,
    /// First second, Unix time.
    pub not_before: i64,
    /// Last second, Unix time.
    pub not_after: i64,
    /// SHA-256 of the certificate, 64 hexadecimal digits.
    pub fingerprint: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    cluster: String,
    root: String,
    issued: Vec<IssuedRecord>,
}

pub(super) struct Index {
    pub(super) cluster: Slug,
    pub(super) root: Fingerprint,
    pub(super) issued: Vec<IssuedRecord>,
}

impl Index {
    pub(super) fn new(cluster: &Slug, root: Fingerprint) -> Self {
        Self { cluster: cluster.clone(), root, issued: Vec::new() }
    }

    pub(super) fn read(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(FILE);
        let bytes = files::read(&path, BYTES_MAX).map_err(Error::read(&path))?;
        let document: Document = serde_json::from_slice(&bytes).map_err(|_| Error::Index)?;
        if document.version != VERSION {
            return Err(Error::Index);
        }
        Ok(Self {
            cluster: document.cluster.parse().map_err(|_| Error::Index)?,
            root: document.root.parse().map_err(|_| Error::Index)?,
            issued: document.issued,
        })
    }

    pub(super) fn add(&mut self, record: IssuedRecord, now: i64) -> Result<(), Error> {
        self.issued.retain(|old| old.not_after.saturating_add(KEPT_AFTER_EXPIRY) >= now);
        if self.issued.len() >= ISSUED_MAX {
            return Err(Error::IndexFull);
        }
        self.issued.push(record);
        Ok(())
    }

    pub(super) fn write(self, directory: &Path) -> Result<(), Error> {
        let document = Document {
            version: VERSION,
            cluster: self.cluster.to_string(),
            root: self.root.to_string(),
            issued: self.issued,
        };
        let bytes = serde_json::to_vec_pretty(&document).map_err(|_| Error::Index)?;
        let path = directory.join(FILE);
        files::write(&path, &bytes, Readers::Owner).map_err(Error::write(&path))
    }
}
