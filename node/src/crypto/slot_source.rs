//! Where a slot's secret comes from: a passphrase file, a key file, or a systemd credential. Never the command line,
//! never the environment, never the data directory: a stolen disk must not bring its own key.
//!
//! Refusals name the path and the reason, never a byte of what the file holds.

use rustix::fs::OFlags;
use serde::Deserialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Fewest characters of a passphrase that a person chose; slots count on more than a word.
pub const PASSPHRASE_CHARACTERS_MIN: usize = 12;
/// Longest secret's file.
pub const SECRET_FILE_BYTES_MAX: usize = 1024;
/// Bytes of a key file's key.
pub const SECRET_KEY_BYTES: usize = 32;

/// Where a secret is, as the configuration says it: `{ key_file = "/media/chave/centro.key" }`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotSource {
    /// A file whose first line is a passphrase.
    PassphraseFile(PathBuf),
    /// A file of 32 random bytes: as they are, in 64 hexadecimal digits, or in base64.
    KeyFile(PathBuf),
    /// A key, like that of a key file, that systemd hands over: its name below `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

/// What a source is judged against.
#[derive(Clone, Copy, Debug)]
pub struct SourceRules<'a> {
    /// No secret may lie in here.
    pub data_dir: &'a Path,
    /// `$CREDENTIALS_DIRECTORY`, where the process has one.
    pub credentials_dir: Option<&'a Path>,
}

/// A secret that was read. Wiped when dropped; no `Debug`.
pub enum SlotSecret {
    /// As the file has it, without the end of its line.
    Passphrase(Zeroizing<String>),
    /// Of a key file or a credential.
    Key(Zeroizing<[u8; SECRET_KEY_BYTES]>),
}

/// Why a source was refused.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It is not there, or may not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It would be stolen with the disk that it protects.
    #[error("{path} lies inside the data directory {data_dir}")]
    InsideDataDir {
        /// The file, with links followed.
        path: PathBuf,
        /// The directory, with links followed.
        data_dir: PathBuf,
    },
    /// A directory, a pipe, a device.
    #[error("{path} is not a regular file")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Others than the owner may read or write it.
    #[error("{path} is open to others than its owner (mode {mode:03o})")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Too much for a secret.
    #[error("{path} is larger than 1024 bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Not 32 bytes in any of the three forms.
    #[error("{path} does not hold a key of 32 bytes, plain, in hexadecimal or in base64")]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// 32 equal bytes are not random.
    #[error("{path} holds the same byte 32 times, which is no random key")]
    NotRandom {
        /// The file.
        path: PathBuf,
    },
    /// Empty, a short word, or not one line of text.
    #[error("{path} does not hold one line of at least 12 characters")]
    NotAPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// The process was not started with credentials.
    #[error("credential {name} is configured, but systemd gave this process no credentials directory")]
    NoCredentials {
        /// The credential.
        name: String,
    },
    /// A name that could lead elsewhere.
    #[error("a credential's name has letters, digits, dots, hyphens and underscores, and does not begin with a dot")]
    CredentialName,
}

impl SourceError {
    /// What a person can do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Read { .. } => "check that the medium is mounted and that the daemon's user owns the file",
            Self::InsideDataDir { .. } => "move the file to another medium and change the path in the configuration",
            Self::NotAFile { .. } => "give the path of the file itself",
            Self::Exposed { .. } => "run `chmod 600` on the file and make the daemon's user its owner",
            Self::TooLarge { .. } | Self::NotAKey { .. } | Self::NotRandom { .. } => {
                "make a new key: `openssl rand -hex 32 > FILE`; the slot must then be made anew"
            }
            Self::NotAPassphrase { .. } => "write the passphrase, of 12 characters or more, as the file's only line",
            Self::NoCredentials { .. } => "add `LoadCredential=` to the unit file and start the daemon by systemd",
            Self::CredentialName => "use the name given in the unit file's `LoadCredential=`",
        }
    }
}

impl SlotSource {
    /// Reads the secret. Blocking.
    pub fn read(&self, rules: SourceRules<'_>) -> Result<SlotSecret, SourceError> {
        match self {
            Self::PassphraseFile(path) => read_passphrase(path, rules),
            Self::KeyFile(path) => read_secret(path, rules, 0o077).and_then(|bytes| key(path, &bytes)),
            Self::Credential(name) => {
                let path = credential_path(name, rules)?;
                // systemd may grant the service's user access by an ACL, whose mask shows as the group's bits.
                read_secret(&path, rules, 0o007).and_then(|bytes| key(&path, &bytes))
            }
        }
    }
}

fn credential_path(name: &str, rules: SourceRules<'_>) -> Result<PathBuf, SourceError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if name.is_empty() || name.len() > 255 || name.starts_with('.') || !name.bytes().all(allowed) {
        return Err(SourceError::CredentialName);
    }
    match rules.credentials_dir {
        Some(directory) => Ok(directory.join(name)),
        None => Err(SourceError::NoCredentials { name: name.to_owned() }),
    }
}

fn read_passphrase(path: &Path, rules: SourceRules<'_>) -> Result<SlotSecret, SourceError> {
    let bytes = read_secret(path, rules, 0o077)?;
    let refused = || SourceError::NotAPassphrase { path: path.to_owned() };
    let text = std::str::from_utf8(&bytes).map_err(|_| refused())?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.chars().count() < PASSPHRASE_CHARACTERS_MIN || line.chars().any(char::is_control) {
        return Err(refused());
    }
    Ok(SlotSecret::Passphrase(Zeroizing::new(line.to_owned())))
}

/// The file is judged by its open handle, so that what was checked is what is read.
fn read_secret(path: &Path, rules: SourceRules<'_>, mode_refused: u32) -> Result<Zeroizing<Vec<u8>>, SourceError> {
    let failed = |source| SourceError::Read { path: path.to_owned(), source };
    let real = path.canonicalize().map_err(failed)?;
    // A data directory that does not exist yet holds nothing.
    if let Ok(data_dir) = rules.data_dir.canonicalize()
        && real.starts_with(&data_dir)
    {
        return Err(SourceError::InsideDataDir { path: real, data_dir });
    }
    // Without NONBLOCK, opening a named pipe would wait for its writer.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let flags = i32::try_from(flags.bits()).map_err(|_| failed(io::ErrorKind::InvalidInput.into()))?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(&real).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(SourceError::NotAFile { path: path.to_owned() });
    }
    let mode = metadata.mode() & 0o777;
    if mode & mode_refused != 0 {
        return Err(SourceError::Exposed { path: path.to_owned(), mode });
    }
    let bytes = read_bounded(file).map_err(failed)?;
    if bytes.len() > SECRET_FILE_BYTES_MAX {
        return Err(SourceError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

/// At most one byte more than a secret may have. The buffer never grows: a moved buffer would leave its bytes behind.
fn read_bounded(file: File) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * SECRET_FILE_BYTES_MAX));
    file.take(SECRET_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn key(path: &Path, bytes: &[u8]) -> Result<SlotSecret, SourceError> {
    let mut key = Zeroizing::new([0_u8; SECRET_KEY_BYTES]);
    let is_read = if bytes.len() == SECRET_KEY_BYTES {
        key.copy_from_slice(bytes);
        true
    } else {
        let text = bytes.trim_ascii_end();
        read_hex(text, &mut key) || read_base64(text, &mut key)
    };
    if !is_read {
        return Err(SourceError::NotAKey { path: path.to_owned() });
    }
    if key.iter().all(|byte| *byte == key[0]) {
        return Err(SourceError::NotRandom { path: path.to_owned() });
    }
    Ok(SlotSecret::Key(key))
}

fn read_hex(text: &[u8], key: &mut [u8; SECRET_KEY_BYTES]) -> bool {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (pairs, rest) = text.as_chunks::<2>();
    pairs.len() == SECRET_KEY_BYTES
        && rest.is_empty()
        && pairs.iter().zip(key).all(|([high, low], byte)| match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => {
                *byte = high << 4 | low;
                true
            }
            _ => false,
        })
}

/// Standard alphabet, with or without the one `=` that 32 bytes end with; the two spare bits must be zero.
fn read_base64(text: &[u8], key: &mut [u8; SECRET_KEY_BYTES]) -> bool {
    let text = text.strip_suffix(b"=").unwrap_or(text);
    if text.len() != 43 {
        return false;
    }
    let mut bits = Zeroizing::new([0_u8; 33]);
    for (position, byte) in text.iter().enumerate() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return false,
        };
        for i in 0..6 {
            let bit = position * 6 + i;
            bits[bit / 8] |= (value >> (5 - i) & 1) << (7 - bit % 8);
        }
    }
    key.copy_from_slice(&bits[..SECRET_KEY_BYTES]);
    bits[SECRET_KEY_BYTES] == 0
}

#[cfg(test)]
#[path = "slot_source_tests.rs"]
mod tests;
