//! Fuzz targets: every reader of bytes that nobody vouches for, and sequences of commands, each held to what it promises
//! rather than to not panicking alone. One list for two drivers: libFuzzer, which looks for new inputs (`tests/fuzz`), and
//! the test that replays the kept ones and mutations of them with every `cargo test` (`tests/it/fuzz.rs`). Decision 0031.
//!
//! A target takes any bytes, returns, and panics where a promise is broken. It keeps no state between inputs but what it
//! makes once, reads no clock and no chance, and never allocates much more than its input: the driver bounds both.

mod disk;
mod input;
mod mutation;
mod people;
mod pictures;
mod replicated;
mod sealed;
mod snapshots;
mod trust;
mod wire;
// The world that the tests of the rules play in: one of every command, and some command for some bytes.
#[allow(dead_code, reason = "the rules' own tests use more of it")]
#[path = "../../domain/tests/rules/world.rs"]
mod world;

pub use mutation::Mutations;

use std::path::{Path, PathBuf};

/// One property of one reader.
#[derive(Clone, Copy)]
pub struct Target {
    /// Names the corpus.
    pub name: &'static str,
    /// Longest input that makes sense, in bytes.
    pub bytes_max: usize,
    /// Inputs that the writers of the format make: where a search begins.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Panics if the promise is broken.
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($module:ident: $($name:ident $bytes_max:literal),* ;)*) => {
        /// All of them.
        pub const TARGETS: &[Target] = &[$($(
            Target {
                name: stringify!($name),
                bytes_max: $bytes_max,
                seeds: $module::$name::seeds,
                run: $module::$name::run,
            },
        )*)*];
    };
}

targets! {
    replicated: envelope 4096, outcome 512, row 4096, apply 1024;
    snapshots: snapshot 4096;
    disk: identity_file 1024, mark_file 2048, watermark 8192, checkpoint 4096, meta_row 512, log_value 1024, log_file 64,
        log_payload 2048, journal_of_reads 256, chunk_directory 1024;
    sealed: sealed_frame 512, chunk_frame 512, slot 246, recovery_phrase 128;
    trust: certificate 2048, credentials 4096, revocations 4096, identity_name 256;
    wire: peer_call 2048, request_form 2048, typed_request 2048, page_token 64;
    people: node_configuration 2048, contexts 2048, calendar 256, numbers 64, time 64, fhir 4096, image_rows 2048;
    pictures: kind_of_image 256, thumbnail 8192;
}

/// The target with this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Where the kept inputs of a target are: one file each.
pub fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name)
}
