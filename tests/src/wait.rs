//! Waiting for a condition, never for a time.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

/// For everything that a loaded machine does late.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks `condition` until it gives a value; panics with what it said last when [`PATIENCE`] is over.
pub async fn until<T, E: Debug, F: Future<Output = Result<T, E>>>(what: &str, condition: impl FnMut() -> F) -> T {
    until_within(PATIENCE, what, condition).await
}

/// The same with a patience of its own: for what begins anew whenever the machine stands still.
pub async fn until_within<T, E: Debug, F: Future<Output = Result<T, E>>>(
    patience: Duration,
    what: &str,
    mut condition: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        match condition().await {
            Ok(value) => return value,
            Err(why) if Instant::now() > deadline => panic!("waited for {what}: {why:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
