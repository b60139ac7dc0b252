//! Time comes in from outside: a constructor argument, so that tests and simulations bring their own.

use plantao_domain::ClusterTime;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock of this node, in milliseconds UTC. It may jump; nothing that must be ordered relies on it.
pub trait Clock: Send + Sync + 'static {
    /// Now, held within the years 1900 to 9999.
    fn now(&self) -> ClusterTime;
}

/// A clock that is shared.
pub type SharedClock = Arc<dyn Clock>;

/// The operating system's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> ClusterTime {
        let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        };
        ClusterTime::saturating_from_millis(millis)
    }
}

/// A clock that a test sets.
#[derive(Debug, Default)]
pub struct ScriptedClock(AtomicI64);

impl ScriptedClock {
    /// Starts at `millis`.
    pub fn new(millis: i64) -> Self {
        Self(AtomicI64::new(millis))
    }

    /// Jumps, forwards or backwards.
    pub fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::SeqCst);
    }
}

impl Clock for ScriptedClock {
    fn now(&self) -> ClusterTime {
        ClusterTime::saturating_from_millis(self.0.load(Ordering::SeqCst))
    }
}
