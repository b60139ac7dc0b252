//! What a leaf certificate says: whom it speaks for and until when. It is read only after, or together with, a check of
//! its chain; reading it proves nothing.

use crate::identity::{Identity, ParseIdentityError};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use x509_parser::extensions::GeneralName;

/// Why a leaf certificate says nothing we understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// Not one X.509 certificate in DER.
    #[error("the certificate cannot be parsed")]
    Encoding,
    /// No URI among its names.
    #[error("the certificate has no identity: a URI in its subject alternative names")]
    NoIdentity,
    /// More than one URI: SPIFFE allows exactly one, and two would leave a choice of who it is.
    #[error("the certificate has more than one URI in its subject alternative names")]
    ManyIdentities,
    /// The URI is no identity of ours.
    #[error("the identity in the certificate is not valid")]
    Identity(#[source] ParseIdentityError),
}

/// SHA-256 of a certificate in DER, as `openssl x509 -fingerprint -sha256` shows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of `der`.
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The text was not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is 64 hexadecimal digits")]
pub struct ParseFingerprintError;

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    fn from_str(text: &str) -> Result<Self, ParseFingerprintError> {
        let mut digits = text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
        let mut bytes = [0; 32];
        for byte in &mut bytes {
            let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else {
                return Err(ParseFingerprintError);
            };
            *byte = high << 4 | low;
        }
        if digits.next().is_some() { Err(ParseFingerprintError) } else { Ok(Self(bytes)) }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a leaf says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leaf {
    /// Whom it speaks for.
    pub identity: Identity,
    /// First second of its life, Unix time.
    pub not_before: i64,
    /// Last second of its life, Unix time.
    pub not_after: i64,
    /// Which certificate it is.
    pub fingerprint: Fingerprint,
}

impl Leaf {
    /// Reads one certificate. Total: any bytes give a leaf or an error.
    pub fn from_der(der: &[u8]) -> Result<Self, LeafError> {
        let (rest, certificate) = x509_parser::parse_x509_certificate(der).map_err(|_| LeafError::Encoding)?;
        if !rest.is_empty() {
            return Err(LeafError::Encoding);
        }
        let names = certificate.subject_alternative_name().map_err(|_| LeafError::Encoding)?;
        let mut uris = names
            .iter()
            .flat_map(|names| &names.value.general_names)
            .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None });
        let uri = uris.next().ok_or(LeafError::NoIdentity)?;
        if uris.next().is_some() {
            return Err(LeafError::ManyIdentities);
        }
        let identity = uri.parse().map_err(LeafError::Identity)?;
        let validity = certificate.validity();
        Ok(Self {
            identity,
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
            fingerprint: Fingerprint::of(der),
        })
    }

    /// Whether `now` (Unix seconds) is past its life.
    pub fn is_expired(&self, now: i64) -> bool {
        now > self.not_after
    }

    /// When to replace it: at two thirds of its life, Unix seconds.
    pub fn renewal_due(&self) -> i64 {
        let life = self.not_after.saturating_sub(self.not_before).max(0);
        self.not_before.saturating_add(life / 3 * 2)
    }
}
