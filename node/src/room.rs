//! How much room the disk of the data has, measured for as long as the node runs; what follows from it is
//! `consensus::room`'s.

use crate::consensus::{Room, Rooms};
use std::path::PathBuf;
use std::time::Duration;

/// Between two looks: at a hundred megabytes a second the default reserve lasts longer.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks at the disk below `directory`; without a reserve there is nothing to look for.
pub async fn watch_room(directory: PathBuf, reserve_bytes: u64, rooms: Rooms) {
    if reserve_bytes == 0 {
        return std::future::pending().await;
    }
    let mut tick = tokio::time::interval(LOOK_EVERY);
    loop {
        tick.tick().await;
        let at = directory.clone();
        let asked = crate::work::blocking(move || rustix::fs::statvfs(&at)).await;
        // A disk that does not answer is told of by whoever writes to it.
        let Ok(Ok(figures)) = asked else { continue };
        let free_bytes = figures.f_bavail.saturating_mul(figures.f_frsize);
        let before = rooms.own();
        let room = Room::of(free_bytes, reserve_bytes, before);
        if room == before {
            continue;
        }
        rooms.set_own(room);
        match room {
            Room::Enough => tracing::info!(free_bytes, "there is room on the disk of this node's data again"),
            Room::Low => tracing::warn!(free_bytes, reserve_bytes, "the disk of this node's data is nearly full"),
            Room::Out => tracing::error!(free_bytes, "the disk of this node's data is full: it takes no entries"),
        }
    }
}
