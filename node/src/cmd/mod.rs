//! Commands of `plantaod`. Those that work on files take the directory lock; none talks to another node's files.

pub mod check_config;
pub mod demo;
pub mod examples;
pub mod extract;
pub mod init;
pub mod inspect;
pub mod join;
pub mod log_copies;
pub mod manual;
pub mod probe;
pub mod quorum;
pub mod run;
pub mod unseal;

use crate::config::{self, Config, Sources};
use std::path::PathBuf;

/// Which configuration.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigArguments {
    /// Configuration file.
    #[arg(long, env = "PLANTAO_CONFIG_FILE", default_value = "/etc/plantao/plantaod.toml", value_name = "FILE")]
    pub config: PathBuf,
    /// One value over the file and the environment, as raft.timers=lan; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl ConfigArguments {
    /// Reads it.
    ///
    /// # Errors
    /// All faults at once.
    pub fn load(&self) -> Result<Config, config::LoadError> {
        let environment = std::env::vars().filter(|(name, _)| name.starts_with("PLANTAO_")).collect();
        config::load(&Sources { file: &self.config, environment: &environment, flags: &self.set })
    }
}

/// Exit codes of `plantaod`.
pub mod exit {
    /// Something failed; the message says what.
    pub const FAILED: u8 = 1;
    /// The command line or the configuration is wrong.
    pub const USAGE: u8 = 2;
    /// What was verified is damaged.
    pub const DAMAGED: u8 = 9;
}
