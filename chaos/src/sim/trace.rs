//! A running hash of everything that can be seen of the nodes and of what programs were told: equal for equal seeds, or the
//! simulation is worth nothing.

use crate::history::Call;
use plantao_node::consensus::status::Status;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

pub(crate) struct Trace {
    hash: u64,
    /// Two of these show where two runs part.
    file: Option<BufWriter<File>>,
}

impl Trace {
    pub(crate) fn new(into: Option<&Path>) -> io::Result<Self> {
        let file = into.map(File::create).transpose()?.map(BufWriter::new);
        Ok(Self { hash: 0xcbf2_9ce4_8422_2325, file })
    }

    /// Takes down every node as it is after a tick.
    pub(crate) fn tick(&mut self, at: Duration, nodes: &BTreeMap<u64, Status>) -> io::Result<()> {
        for (&id, status) in nodes {
            let words = [
                u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
                id,
                status.term,
                status.last_index,
                status.committed_index,
                status.applied_index,
                status.leader.unwrap_or(0),
            ];
            self.mix(&words);
            if let Some(file) = &mut self.file {
                writeln!(file, "{words:?}")?;
            }
        }
        Ok(())
    }

    /// Takes down what programs asked and were told.
    pub(crate) fn history(&mut self, calls: &[Call]) {
        for call in calls {
            self.mix(&[u64::from(call.client), call.invoked_ns, call.returned_ns.unwrap_or(0)]);
            self.mix(&[call.confirmed_at().unwrap_or(0)]);
        }
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    fn mix(&mut self, words: &[u64]) {
        for word in words {
            self.hash = (self.hash ^ word).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
