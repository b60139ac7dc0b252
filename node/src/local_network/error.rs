//! Why a network on one computer could not be made or driven.

use plantao_client::pki;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// Why a network on one computer could not be made or driven.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Names of files go into configurations, which are text.
    #[error("the path {} is not UTF-8", path.display())]
    PathNotText {
        /// Which.
        path: PathBuf,
    },
    /// Something else is there.
    #[error("{} is neither empty nor a finished network", path.display())]
    NotANetwork {
        /// Where.
        path: PathBuf,
    },
    /// `network.json` was not written by this version.
    #[error("cannot understand {}", path.display())]
    Description {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Certificates.
    #[error("cannot issue a certificate")]
    Pki(#[source] pki::Error),
    /// A context.
    #[error("cannot write the contexts")]
    Contexts(#[source] plantao_client::config::Error),
    /// Channels.
    #[error("cannot talk to the network")]
    Open(#[source] plantao_client::connect::OpenError),
    /// The operating system.
    #[error("no randomness for keys")]
    Randomness(#[source] getrandom::Error),
    /// A position, name or number that no node has.
    #[error("no such node in this network")]
    NoSuchNode,
    /// Every port that was tried is taken.
    #[error("no free ports on 127.0.0.1 were found")]
    NoPorts,
    /// The program.
    #[error("cannot start a process of {}", program.display())]
    Spawn {
        /// Which.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ended instead of doing what it was started for.
    #[error("`plantaod {command}` of {node} ended with {status}:\n{tail}")]
    Ended {
        /// Its node.
        node: String,
        /// `run`, `init` or `join`.
        command: &'static str,
        /// How.
        status: ExitStatus,
        /// The end of what it logged.
        tail: String,
    },
    /// It said something else than it should.
    #[error("`plantaod {command}` of {node} did not say what it should: {line:?}")]
    Said {
        /// Its node.
        node: String,
        /// `run` or `join`.
        command: &'static str,
        /// What it said instead.
        line: String,
    },
    /// Out of time.
    #[error("waited {} s in vain: {what}", waited.as_secs())]
    TimedOut {
        /// For what.
        what: String,
        /// How long.
        waited: Duration,
    },
    /// A call.
    #[error("the network did not do as asked")]
    Call(#[source] plantao_client::Error),
}

impl Error {
    pub(super) fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { what, path, source }
    }
}
