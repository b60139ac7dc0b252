//! What the authority took back: its ledger, and the signed lists that nodes read. One list for each root whose key is
//! here, all of one number, in one file; an entry leaves the list when its certificate is past its end.

use super::index::{Index, IssuedRecord};
use super::{
    Authority, BACKDATED, BUNDLE, BUNDLE_BYTES_MAX, Error, date, files, lock, roots_of, seconds, signing_root,
};
use crate::transport::{Fingerprint, unix_seconds};
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

/// How long a list is good when nothing else is said: with a new one at half of it, an absent operator has two weeks.
pub const LIST_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Longest life of a list: whoever hides newer ones from a node gains no more than that.
pub const LIST_LIFETIME_MAX: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Digits of a serial number that name a certificate.
const SERIAL_DIGITS_MIN: usize = 8;

/// Why a certificate is taken back, as RFC 5280 section 5.3.1 names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevocationReason {
    /// Somebody else has, or may have, the key.
    KeyCompromise,
    /// Another took its place.
    Superseded,
    /// The machine or program is not used any more.
    CessationOfOperation,
    /// Whoever it spoke for has left or changed places.
    AffiliationChanged,
    /// A right was taken away.
    PrivilegeWithdrawn,
}

impl RevocationReason {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::KeyCompromise,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::AffiliationChanged,
        Self::PrivilegeWithdrawn,
    ];

    /// As it stands in the ledger and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KeyCompromise => "key-compromise",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
            Self::AffiliationChanged => "affiliation-changed",
            Self::PrivilegeWithdrawn => "privilege-withdrawn",
        }
    }

    const fn code(self) -> rcgen::RevocationReason {
        match self {
            Self::KeyCompromise => rcgen::RevocationReason::KeyCompromise,
            Self::Superseded => rcgen::RevocationReason::Superseded,
            Self::CessationOfOperation => rcgen::RevocationReason::CessationOfOperation,
            Self::AffiliationChanged => rcgen::RevocationReason::AffiliationChanged,
            Self::PrivilegeWithdrawn => rcgen::RevocationReason::PrivilegeWithdrawn,
        }
    }
}

/// The text was none of [`RevocationReason::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a reason is key-compromise, superseded, cessation-of-operation, affiliation-changed or privilege-withdrawn")]
pub struct ParseReasonError;

impl FromStr for RevocationReason {
    type Err = ParseReasonError;

    fn from_str(text: &str) -> Result<Self, ParseReasonError> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text).ok_or(ParseReasonError)
    }
}

/// When and why a certificate was taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokedRecord {
    /// Unix seconds.
    pub at: i64,
    /// Why.
    pub reason: RevocationReason,
}

/// Signed lists, as nodes read them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedLists {
    /// PEM, one block for each root.
    pub pem: String,
    /// Number of all of them.
    pub number: u64,
    /// Last second before the next should be there, Unix time.
    pub next_update: i64,
    /// Certificates that they name.
    pub revoked: usize,
    /// Roots for which there is none, because their keys are not here any more.
    pub without_key: Vec<Fingerprint>,
}

impl Authority {
    /// The certificates that `whom` names and that are not past their end: one by the beginning of its serial number (at
    /// least eight digits), all of an identity by its URI, with or without `spiffe://CLUSTER/`. Those taken back already
    /// are among them.
    ///
    /// # Errors
    /// [`Error::UnknownCertificate`] when there is none, [`Error::AmbiguousSerial`] when several serial numbers begin so.
    pub fn find(&self, whom: &str, now: SystemTime) -> Result<Vec<IssuedRecord>, Error> {
        let now = unix_seconds(now);
        let issued = Index::read(&self.directory)?.issued;
        let positions = find(&issued, self.cluster.as_str(), whom, now)?;
        Ok(positions.into_iter().filter_map(|at| issued.get(at).cloned()).collect())
    }

    /// Takes back what [`Self::find`] finds and gives it as the ledger has it then. What was taken back before keeps its
    /// time and reason, so a repetition changes nothing. Nodes know of it from the next list on.
    ///
    /// # Errors
    /// As [`Self::find`], or the ledger cannot be written.
    pub fn revoke(&self, whom: &str, reason: RevocationReason, now: SystemTime) -> Result<Vec<IssuedRecord>, Error> {
        let _lock = lock(&self.directory)?;
        let mut index = Index::read(&self.directory)?;
        let at = unix_seconds(now);
        let positions = find(&index.issued, self.cluster.as_str(), whom, at)?;
        let mut revoked = Vec::new();
        for position in positions {
            if let Some(record) = index.issued.get_mut(position) {
                record.revoked.get_or_insert(RevokedRecord { at, reason });
                revoked.push(record.clone());
            }
        }
        index.write(&self.directory)?;
        Ok(revoked)
    }

    /// Whether there was ever a list: from then on nodes want a new one before the last ends.
    pub fn has_lists(&self) -> Result<bool, Error> {
        Ok(Index::read(&self.directory)?.list_number > 0)
    }

    /// Signs new lists, good for `lifetime`, under the next number.
    ///
    /// # Errors
    /// [`Error::ListLifetime`] below an hour or above [`LIST_LIFETIME_MAX`]; the ledger or a root's key cannot be read.
    pub fn sign_lists(&self, lifetime: Duration, now: SystemTime) -> Result<SignedLists, Error> {
        if lifetime < Duration::from_secs(3600) || lifetime > LIST_LIFETIME_MAX {
            return Err(Error::ListLifetime);
        }
        let _lock = lock(&self.directory)?;
        let mut index = Index::read(&self.directory)?;
        let now = unix_seconds(now);
        let bundle = self.directory.join(BUNDLE);
        let bundle = files::read(&bundle, BUNDLE_BYTES_MAX).map_err(Error::read(&bundle))?;
        let number = index.list_number.saturating_add(1);
        let next_update = now.saturating_add(seconds(lifetime));
        let mut revoked = Vec::new();
        for record in &index.issued {
            if let (Some(taken), true) = (record.revoked, record.not_after >= now) {
                revoked.push((bytes_of(&record.serial).ok_or(Error::Index)?, taken));
            }
        }
        let (mut pem, mut without_key) = (String::new(), Vec::new());
        for root in roots_of(&bundle)? {
            let Some(issuer) = signing_root(&self.directory, &root)? else {
                without_key.push(Fingerprint::of(&root));
                continue;
            };
            // Serial numbers are random, so each list may name them all: none needs to know who signed what.
            let entries = revoked.iter().map(|(serial, taken)| {
                Ok(RevokedCertParams {
                    serial_number: SerialNumber::from_slice(serial),
                    revocation_time: date(taken.at)?,
                    reason_code: Some(taken.reason.code()),
                    invalidity_date: None,
                })
            });
            let list = CertificateRevocationListParams {
                this_update: date(now.saturating_sub(seconds(BACKDATED)))?,
                next_update: date(next_update)?,
                crl_number: SerialNumber::from(number),
                issuing_distribution_point: None,
                revoked_certs: entries.collect::<Result<_, Error>>()?,
                key_identifier_method: KeyIdMethod::Sha256,
            };
            let signed = list.signed_by(&issuer).map_err(Error::Sign)?;
            pem.push_str(&signed.pem().map_err(Error::Sign)?);
        }
        // Written before anybody has the list: a number that was given out never comes again.
        index.list_number = number;
        index.write(&self.directory)?;
        Ok(SignedLists { pem, number, next_update, revoked: revoked.len(), without_key })
    }
}

fn find(issued: &[IssuedRecord], cluster: &str, whom: &str, now: i64) -> Result<Vec<usize>, Error> {
    let digits = whom.to_ascii_lowercase();
    let is_serial = digits.len() >= SERIAL_DIGITS_MIN && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let uri = if whom.contains("://") { whom.to_owned() } else { format!("spiffe://{cluster}/{whom}") };
    let fits = |record: &IssuedRecord| {
        record.not_after >= now && if is_serial { record.serial.starts_with(&digits) } else { record.identity == uri }
    };
    let found: Vec<usize> = (0..issued.len()).filter(|at| issued.get(*at).is_some_and(fits)).collect();
    match found.len() {
        0 => Err(Error::UnknownCertificate),
        count if is_serial && count > 1 => Err(Error::AmbiguousSerial { count }),
        _ => Ok(found),
    }
}

fn bytes_of(hexadecimal: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        hexadecimal.chars().map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect::<Option<_>>()?;
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
