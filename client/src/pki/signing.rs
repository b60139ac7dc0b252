//! Keys that sign reports: Ed25519, so that `openssl` alone verifies them. They have nothing to do with certificates and
//! open no connection.

use super::Error;
use super::files::{self, Readers};
use rcgen::{KeyPair, PKCS_ED25519, SigningKey};
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A key file is a few hundred bytes.
const KEY_BYTES_MAX: u64 = 16 * 1024;

/// Signs reports.
pub struct ReportKey(KeyPair);

impl fmt::Debug for ReportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReportKey")
    }
}

impl ReportKey {
    /// Makes a key: the private half in `path` (PKCS #8, PEM, mode 0600), the public half beside it in `path.pub`.
    ///
    /// # Errors
    /// One of the files exists already, or cannot be written.
    pub fn create(path: &Path) -> Result<(Self, PathBuf), Error> {
        let mut public = path.as_os_str().to_owned();
        public.push(".pub");
        let public = PathBuf::from(public);
        for taken in [path, &public] {
            if taken.symlink_metadata().is_ok() {
                return Err(Error::AlreadyExists { path: taken.to_owned() });
            }
        }
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(Error::Sign)?;
        let text = Zeroizing::new(key.serialize_pem());
        files::write(path, text.as_bytes(), Readers::Owner).map_err(Error::write(path))?;
        let made = Self(key);
        files::write(&public, made.public_pem().as_bytes(), Readers::Everybody).map_err(Error::write(&public))?;
        Ok((made, public))
    }

    /// Reads a key; `openssl genpkey -algorithm ed25519` makes such files too.
    ///
    /// # Errors
    /// The file cannot be read, others may read it, or it is no Ed25519 key.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mode = path.metadata().map_err(Error::read(path))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(Error::KeyReadable { path: path.to_owned() });
        }
        let bytes = Zeroizing::new(files::read(path, KEY_BYTES_MAX).map_err(Error::read(path))?);
        let text = std::str::from_utf8(&bytes).map_err(|_| Error::ReportKey { path: path.to_owned() })?;
        let key = KeyPair::from_pem(text).ok().filter(|key| key.algorithm() == &PKCS_ED25519);
        key.map(Self).ok_or_else(|| Error::ReportKey { path: path.to_owned() })
    }

    /// The detached signature of a report: 64 bytes.
    ///
    /// # Errors
    /// The provider refuses.
    pub fn sign(&self, report: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.sign(report).map_err(Error::Sign)
    }

    /// The public half (SubjectPublicKeyInfo, PEM).
    pub fn public_pem(&self) -> String {
        self.0.public_key_pem()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that is skipped says so")]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_key_is_made_once_kept_from_others_and_read_again() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("relatorio.key");
        let (made, public) = ReportKey::create(&path).unwrap();
        assert!(matches!(ReportKey::create(&path), Err(Error::AlreadyExists { .. })));
        let read = ReportKey::read(&path).unwrap();
        assert_eq!(read.sign(b"report").unwrap(), made.sign(b"report").unwrap());
        assert_eq!(std::fs::read_to_string(&public).unwrap(), read.public_pem());
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(matches!(ReportKey::read(&path), Err(Error::KeyReadable { .. })));
        let other = home.path().join("other.key");
        let ecdsa = KeyPair::generate().unwrap().serialize_pem();
        for bad in [ecdsa.as_str(), "", "-----BEGIN PRIVATE KEY-----", "\u{fe}"] {
            files::write(&other, bad.as_bytes(), Readers::Owner).unwrap();
            assert!(matches!(ReportKey::read(&other), Err(Error::ReportKey { .. })), "{bad:?}");
        }
    }

    /// What `docs/operations/proof.md` tells auditors to do.
    #[test]
    fn openssl_alone_verifies_a_signature() {
        if Command::new("openssl").arg("version").output().is_err() {
            eprintln!("skipped: there is no openssl on this machine");
            return;
        }
        let home = tempfile::tempdir().unwrap();
        let file = |name: &str| home.path().join(name);
        let (key, public) = ReportKey::create(&file("a.key")).unwrap();
        std::fs::write(file("report.json"), b"{}").unwrap();
        std::fs::write(file("report.json.sig"), key.sign(b"{}").unwrap()).unwrap();
        let verify = || {
            let mut openssl = Command::new("openssl");
            openssl.args(["pkeyutl", "-verify", "-pubin", "-rawin", "-inkey"]).arg(&public);
            openssl.arg("-in").arg(file("report.json")).arg("-sigfile").arg(file("report.json.sig"));
            openssl.output().unwrap().status.success()
        };
        assert!(verify());
        std::fs::write(file("report.json"), b"{ }").unwrap();
        assert!(!verify());
    }
}
