//! What the process does so that keys do not leave its memory: no core dump, and no other process of the same user may
//! read it. No key lives here.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use std::io;

/// Why the process could not be closed to others.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// The limit could not be set.
    #[error("cannot set the size of core dumps to zero")]
    CoreLimit(#[source] io::Error),
    /// The process stayed readable.
    #[error("cannot mark the process as not dumpable")]
    Dumpable(#[source] io::Error),
}

/// Turns core dumps off and marks the process as not dumpable, before any key is read. The limit alone would not bind a
/// crash handler that a pipe in `core_pattern` feeds; the mark does, and it refuses `ptrace` and `/proc/PID/mem` to other
/// processes of the same user. `/proc/self/fd` then belongs to root, so descriptors must be counted otherwise.
pub fn close_to_others() -> Result<(), CloseError> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .map_err(|errno| CloseError::CoreLimit(errno.into()))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|errno| CloseError::Dumpable(errno.into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rustix::process::{dumpable_behavior, getrlimit};

    #[test]
    fn after_closing_there_are_no_core_dumps_and_no_readers() {
        close_to_others().unwrap();
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
