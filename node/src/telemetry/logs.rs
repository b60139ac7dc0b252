//! Log lines to standard error: JSON for journald and collectors, text for a person.
//!
//! Spans of libraries are off unless asked for: their fields are not ours to vouch for.

use crate::config::LogFormat;
use tracing_subscriber::EnvFilter;

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter does not parse.
    #[error("the log filter is not understood")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// Someone else logs already.
    #[error("logging was started twice")]
    Twice,
}

/// Starts logging for the whole process.
///
/// # Errors
/// See [`LogError`].
pub fn start(level: &str, format: LogFormat) -> Result<(), LogError> {
    // openraft and h2 tell steps at info that only matter while their own code is looked at.
    // Its `management` says `error` of a change of members whose leader was voted out meanwhile: the caller has that as an
    // answer, and asks again.
    let quiet = "openraft=warn,openraft::raft::api::management=off,h2=warn,hyper=warn,sled=warn,fjall=warn,lsm_tree=warn,raft_log=warn,chunked_wal=warn";
    let filter = EnvFilter::builder().parse(format!("{quiet},{level}")).map_err(LogError::Filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).try_init(),
        LogFormat::Text => lines.with_ansi(false).try_init(),
    }
    .map_err(|_| LogError::Twice)
}
