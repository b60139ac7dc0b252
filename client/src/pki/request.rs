//! Certificates whose keys are made where they are used: a key with a request (PKCS #10) for it, and the authority's
//! answer. The key never leaves the machine that made it; the request carries its public half and proves that whoever
//! asks has the other.

use super::index::IssuedRecord;
use super::{
    Authority, BACKDATED, Error, LIFETIME_MAX, NODE_LIFETIME, Request, SubjectName, hexadecimal, params_of, serial,
};
use crate::identity::Identity;
use crate::transport::Fingerprint;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, CertificateSigningRequestParams, DistinguishedName, KeyPair, SanType};
use std::fmt;
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// A request is below one KiB.
const REQUEST_BYTES_MAX: usize = 16 << 10;

/// A new key, and the request for its certificate.
pub struct KeyRequest {
    key_pem: Zeroizing<String>,
    request_pem: String,
}

impl fmt::Debug for KeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRequest")
    }
}

impl KeyRequest {
    /// Makes a key and asks for a certificate for `identity`.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn new(identity: &Identity) -> Result<Self, Error> {
        let key = KeyPair::generate().map_err(Error::Sign)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let uri = Ia5String::try_from(identity.to_string()).map_err(Error::Sign)?;
        params.subject_alt_names.push(SanType::URI(uri));
        let request = params.serialize_request(&key).map_err(Error::Sign)?;
        let request_pem = request.pem().map_err(Error::Sign)?;
        Ok(Self { key_pem: Zeroizing::new(key.serialize_pem()), request_pem })
    }

    /// The request, PEM: no secret.
    pub fn request_pem(&self) -> &str {
        &self.request_pem
    }

    /// The key, PKCS #8 in PEM: for its file and nowhere else.
    pub fn key_pem(&self) -> &Zeroizing<String> {
        &self.key_pem
    }
}

/// A certificate signed for somebody else's key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answered {
    /// As the index has it.
    pub record: IssuedRecord,
    /// The leaf, PEM.
    pub certificate_pem: String,
}

impl Authority {
    /// Signs a request for `identity`, which must be the only name in it: whoever carries requests decides nothing. Names
    /// and length of life are those of `replaces` where this authority issued it, else none and [`NODE_LIFETIME`].
    ///
    /// # Errors
    /// [`Error::Request`] for a request that is damaged, not signed by its own key, or for another identity.
    pub fn answer(
        &self,
        request_pem: &str,
        identity: &Identity,
        replaces: &str,
        now: SystemTime,
    ) -> Result<Answered, Error> {
        if request_pem.len() > REQUEST_BYTES_MAX {
            return Err(Error::Request);
        }
        let mut asked = CertificateSigningRequestParams::from_pem(request_pem).map_err(|_| Error::Request)?;
        match asked.params.subject_alt_names.as_slice() {
            [SanType::URI(uri)] if uri.as_str() == identity.to_string() => {}
            _ => return Err(Error::Request),
        }
        let old = self.list()?.into_iter().find(|record| record.serial == replaces);
        let (names, lifetime) = match &old {
            Some(record) => {
                let life = u64::try_from(record.not_after.saturating_sub(record.not_before)).unwrap_or(0);
                (record.names.clone(), Duration::from_secs(life).saturating_sub(BACKDATED))
            }
            None => (Vec::new(), NODE_LIFETIME),
        };
        let wanted = Request {
            identity: identity.clone(),
            names: names.iter().map(|name| name.parse::<SubjectName>()).collect::<Result<_, _>>()?,
            lifetime: Some(lifetime.clamp(Duration::from_secs(1), LIFETIME_MAX)),
        };
        let leaf = self.plan(&wanted, now)?;
        let number = serial()?;
        asked.params = params_of(&leaf, &number)?;
        let certificate = asked.signed_by(&self.issuer).map_err(Error::Sign)?;
        let record = self.record(&wanted, &leaf, hexadecimal(&number), Fingerprint::of(certificate.der()));
        self.note(&record, now)?;
        Ok(Answered { record, certificate_pem: certificate.pem() })
    }
}
