//! `authority.json`: what the authority is, every certificate that it issued and which of them it took back. Replaced
//! whole at each change.

use super::error::Error;
use super::files::{self, Readers};
use super::revocation::RevokedRecord;
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
    /// SHA-256 of the root that signed it; absent in what was issued before roots were noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// When and why it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<RevokedRecord>,
}

impl IssuedRecord {
    /// Whether it is good at `now` (Unix seconds): neither at its end nor taken back.
    pub fn is_live(&self, now: i64) -> bool {
        self.not_after >= now && self.revoked.is_none()
    }

    /// When to replace it: at two thirds of its life, Unix seconds.
    pub fn renewal_due(&self) -> i64 {
        let life = self.not_after.saturating_sub(self.not_before).max(0);
        self.not_before.saturating_add(life / 3 * 2)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    cluster: String,
    root: String,
    /// The root that a rotation has made and that does not sign yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_root: Option<String>,
    /// Number of the last revocation list.
    #[serde(default, skip_serializing_if = "is_zero")]
    list_number: u64,
    issued: Vec<IssuedRecord>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

pub(super) struct Index {
    pub(super) cluster: Slug,
    pub(super) root: Fingerprint,
    pub(super) next_root: Option<Fingerprint>,
    pub(super) list_number: u64,
    pub(super) issued: Vec<IssuedRecord>,
}

impl Index {
    pub(super) fn new(cluster: &Slug, root: Fingerprint) -> Self {
        Self { cluster: cluster.clone(), root, next_root: None, list_number: 0, issued: Vec::new() }
    }

    pub(super) fn read(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(FILE);
        let bytes = files::read(&path, BYTES_MAX).map_err(Error::read(&path))?;
        let document: Document = serde_json::from_slice(&bytes).map_err(|_| Error::Index)?;
        if document.version != VERSION {
            return Err(Error::Index);
        }
        let next_root = document.next_root.map(|root| root.parse()).transpose();
        Ok(Self {
            cluster: document.cluster.parse().map_err(|_| Error::Index)?,
            root: document.root.parse().map_err(|_| Error::Index)?,
            next_root: next_root.map_err(|_| Error::Index)?,
            list_number: document.list_number,
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
            next_root: self.next_root.map(|root| root.to_string()),
            list_number: self.list_number,
            issued: self.issued,
        };
        let bytes = serde_json::to_vec_pretty(&document).map_err(|_| Error::Index)?;
        let path = directory.join(FILE);
        files::write(&path, &bytes, Readers::Owner).map_err(Error::write(&path))
    }
}
