//! Which program each node runs and what it reads and writes, asked when somebody wants to know. Nothing is kept: what a node
//! ran a minute ago is no reason to write what only newer programs read.

use std::collections::BTreeMap;
use std::time::Duration;

use plantao_proto::peer::v1::HelloResponse;

use super::convert::Affiliation;
use super::hello;
use crate::transport::PeerChannels;

/// How long one question to all may take.
const ASK_TIME_MAX: Duration = Duration::from_secs(3);
/// Bytes of a version that are kept of what a node says.
const VERSION_BYTES_MAX: usize = 64;

/// What one node's program is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// Its version, at most 64 bytes, as it says itself.
    pub version: String,
    /// The oldest format level that it reads.
    pub oldest: u32,
    /// The newest format level that it reads and writes.
    pub newest: u32,
    /// How far it has applied the log.
    pub applied_index: u64,
}

impl Program {
    /// Programs of before there were levels say 1, which is what they read.
    fn of(answer: HelloResponse) -> Self {
        let HelloResponse { mut version, format_min, format_max, applied_index, .. } = answer;
        let mut end = version.len().min(VERSION_BYTES_MAX);
        while !version.is_char_boundary(end) {
            end -= 1;
        }
        version.truncate(end);
        Self { version, oldest: format_min, newest: format_max, applied_index }
    }
}

/// Asks these nodes at these addresses. Who does not answer as itself within three seconds is not in the answer.
pub async fn ask_programs(
    nodes: Vec<(u64, String)>,
    us: Affiliation,
    newest: u32,
    channels: &PeerChannels,
) -> BTreeMap<u64, Program> {
    let answers = hello::ask_all(nodes, us, newest, channels, ASK_TIME_MAX).await;
    answers.into_iter().filter_map(|(id, answer)| Some((id, Program::of(answer.ok()?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_of_itself_is_bounded() {
        let version = "é".repeat(100);
        let program = Program::of(HelloResponse { version, format_min: 1, format_max: 7, ..Default::default() });
        assert_eq!((program.version.len(), program.oldest, program.newest), (64, 1, 7));
    }
}
