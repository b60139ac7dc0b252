//! The checks of `Diagnose`: from facts to findings. Pure; each check gives at least one finding, the first case that holds.

use super::cases::{self, Case};
use super::facts::{Facts, Volume, VolumeKind};
use std::time::Duration;

/// Below these shares of a disk somebody should look, and act.
const SPACE_LOW_PERCENT: u64 = 15;
const SPACE_OUT_PERCENT: u64 = 5;
/// A disk with so much left is not nearly full, whatever its share.
const SPACE_ENOUGH_BYTES: u64 = 50 << 30;
/// A synced write that takes longer makes every booking slow (a disk takes 10 ms, an SSD 1 ms).
const SYNC_SLOW: Duration = Duration::from_millis(50);
/// Half of the tolerated difference of clocks, at most so much, is worth a look.
const CLOCK_DRIFT_MS_MAX: u64 = 1_000;
const ROOT_DAYS: i64 = 90;
/// Notes of reads that may wait for a moment.
const JOURNAL_WAITING_MAX: u64 = 1_000;
const MEMORY_PERCENT_MIN: u64 = 5;
/// A log, a state and some thousand connections.
const FILES_MIN: u64 = 4_096;
const DAY_SECONDS: i64 = 86_400;

/// One thing that was found.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// Which outcome.
    pub(super) case: &'static Case,
    /// What stands in its text.
    pub(super) values: Vec<String>,
}

fn found<const N: usize>(case: &'static Case, values: [String; N]) -> Finding {
    Finding { case, values: values.into() }
}

/// Every finding, in the order of the checks.
pub(super) fn all(facts: &Facts) -> Vec<Finding> {
    let checks: [fn(&Facts) -> Vec<Finding>; 23] = [
        clocks,
        |facts| vec![space(facts)],
        |facts| vec![image_space(facts)],
        |facts| vec![mounts(facts)],
        |facts| vec![disk(facts)],
        |facts| vec![sync(facts)],
        |facts| vec![certificate(facts)],
        |facts| vec![roots(facts)],
        |facts| vec![reload(facts)],
        |facts| vec![listen(facts)],
        reached,
        |facts| vec![quorum(facts)],
        links,
        |facts| vec![seal(facts)],
        keys,
        media,
        |facts| vec![chunks(facts)],
        copies,
        |facts| vec![journal(facts)],
        |facts| vec![snapshot(facts)],
        |facts| vec![memory(facts)],
        |facts| vec![files(facts)],
        secrets,
    ];
    checks.iter().flat_map(|check| check(facts)).collect()
}

/// Those that were found, or the one that says that nothing was.
fn or(found: Vec<Finding>, fine: Finding) -> Vec<Finding> {
    if found.is_empty() { vec![fine] } else { found }
}

fn clocks(facts: &Facts) -> Vec<Finding> {
    let allowed = u64::try_from(facts.clock_skew_max.as_millis()).unwrap_or(u64::MAX);
    let drift = (allowed / 2).min(CLOCK_DRIFT_MS_MAX);
    // What a slow way there and back may account for is not held against a clock.
    let certain = |offset_ms: i64, uncertainty_ms: u64| offset_ms.unsigned_abs().saturating_sub(uncertainty_ms);
    let off = facts.clocks.iter().filter_map(|clock| {
        let least = certain(clock.offset_ms, clock.uncertainty_ms);
        let told = || [clock.name.clone(), clock.offset_ms.to_string()];
        if least > allowed {
            let [name, offset] = told();
            Some(found(&cases::CLOCK_OFF, [name, offset, allowed.to_string()]))
        } else {
            (least > drift).then(|| found(&cases::CLOCK_DRIFTS, told()))
        }
    });
    let widest = facts.clocks.iter().map(|clock| certain(clock.offset_ms, clock.uncertainty_ms)).max();
    let fine = match widest {
        Some(widest) => found(&cases::CLOCK_OK, [(facts.clocks.len() + 1).to_string(), widest.to_string()]),
        None if facts.others == 0 => found(&cases::CLOCK_OK, ["1".to_owned(), "0".to_owned()]),
        None => found(&cases::CLOCK_UNKNOWN, []),
    };
    or(off.collect(), fine)
}

fn percent(volume: &Volume) -> u64 {
    (u128::from(volume.available_bytes) * 100 / u128::from(volume.total_bytes.max(1))).try_into().unwrap_or(100)
}

/// Bytes for people: decimal units, as disks are sold.
fn amount(bytes: u64) -> String {
    match bytes {
        0..10_000_000 => format!("{} kB", bytes / 1_000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

fn space(facts: &Facts) -> Finding {
    let volume = match &facts.data {
        Ok(volume) => volume,
        Err(why) => return found(&cases::SPACE_UNKNOWN, [why.clone()]),
    };
    let (percent, free) = (percent(volume), volume.available_bytes);
    let case = match percent {
        SPACE_LOW_PERCENT.. => &cases::SPACE_OK,
        _ if free >= SPACE_ENOUGH_BYTES => &cases::SPACE_OK,
        SPACE_OUT_PERCENT.. => &cases::SPACE_LOW,
        _ => &cases::SPACE_OUT,
    };
    found(case, [percent.to_string(), amount(free)])
}

fn image_space(facts: &Facts) -> Finding {
    let free = match &facts.images {
        Ok(volume) => volume.available_bytes,
        Err(why) => return found(&cases::IMAGE_SPACE_UNKNOWN, [why.clone()]),
    };
    let reserve = facts.image_reserve_bytes;
    let case = if free <= reserve {
        &cases::IMAGE_SPACE_OUT
    } else if free / 2 <= reserve {
        &cases::IMAGE_SPACE_LOW
    } else {
        &cases::IMAGE_SPACE_OK
    };
    found(case, [amount(free), amount(reserve)])
}

fn mounts(facts: &Facts) -> Finding {
    let is_read_only = |volume: &Result<Volume, String>| volume.as_ref().is_ok_and(|volume| volume.read_only);
    if is_read_only(&facts.data) {
        found(&cases::MOUNT_READ_ONLY, ["data".to_owned()])
    } else if is_read_only(&facts.images) {
        found(&cases::MOUNT_READ_ONLY, ["image".to_owned()])
    } else {
        found(&cases::MOUNT_OK, [])
    }
}

fn disk(facts: &Facts) -> Finding {
    match facts.data.as_ref().map(|volume| &volume.kind) {
        Ok(VolumeKind::Memory(name)) => found(&cases::DISK_MEMORY, [(*name).to_owned()]),
        Ok(VolumeKind::Network(name)) => found(&cases::DISK_NETWORK, [(*name).to_owned()]),
        Ok(VolumeKind::Disk) => found(&cases::DISK_OK, []),
        Err(why) => found(&cases::DISK_UNKNOWN, [why.clone()]),
    }
}

fn sync(facts: &Facts) -> Finding {
    match &facts.sync {
        Ok(took) => {
            let case = if *took > SYNC_SLOW { &cases::SYNC_SLOW } else { &cases::SYNC_OK };
            found(case, [format!("{:.1}", took.as_secs_f64() * 1_000.0)])
        }
        Err(why) => found(&cases::SYNC_FAILED, [why.clone()]),
    }
}

fn certificate(facts: &Facts) -> Finding {
    let left = facts.certificate_not_after.saturating_sub(facts.now_seconds);
    let days = left.div_euclid(DAY_SECONDS);
    if left < 0 {
        return found(&cases::CERTIFICATE_OVER, []);
    }
    // The last third of its life is for renewing it; when half of that is over, nobody does. Shares, not days: some
    // certificates live for days by design.
    let third = facts.certificate_not_after.saturating_sub(facts.certificate_renewal_due);
    let case = if facts.now_seconds < facts.certificate_renewal_due {
        &cases::CERTIFICATE_OK
    } else if left < third / 2 {
        &cases::CERTIFICATE_ENDS
    } else {
        &cases::CERTIFICATE_DUE
    };
    found(case, [days.to_string()])
}

fn roots(facts: &Facts) -> Finding {
    let roots = match &facts.roots {
        Ok(roots) => roots,
        Err(why) => return found(&cases::ROOTS_UNKNOWN, [why.clone()]),
    };
    let days = roots.last_not_after.saturating_sub(facts.now_seconds).div_euclid(DAY_SECONDS);
    match days {
        ..0 => found(&cases::ROOTS_OVER, []),
        0..ROOT_DAYS => found(&cases::ROOTS_END, [days.to_string()]),
        _ => found(&cases::ROOTS_OK, [roots.count.to_string(), days.to_string()]),
    }
}

fn reload(facts: &Facts) -> Finding {
    match &facts.reload_failure {
        Some(why) => found(&cases::RELOAD_FAILED, [why.clone()]),
        None => found(&cases::RELOAD_OK, []),
    }
}

fn listen(facts: &Facts) -> Finding {
    let (host, port) = facts.peer_address.rsplit_once(':').unwrap_or((&facts.peer_address, ""));
    let host = host.trim_matches(['[', ']']);
    let loopback_told =
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    let listened = facts.peer_listen;
    if listened.ip().is_loopback() && !loopback_told {
        found(&cases::LISTEN_LOOPBACK, [listened.to_string(), facts.peer_address.clone()])
    } else if !loopback_told && port != listened.port().to_string() {
        found(&cases::LISTEN_PORT, [listened.port().to_string(), port.to_owned()])
    } else {
        found(&cases::LISTEN_OK, [listened.to_string(), facts.peer_address.clone()])
    }
}

fn reached(facts: &Facts) -> Vec<Finding> {
    let to_us: Vec<_> = facts.links.iter().filter(|link| link.to_us).collect();
    // The other direction works: it is not the node that is down, and not the line.
    let works = |name: &str| facts.links.iter().any(|link| link.from_us && link.reachable && link.to == name);
    let not = to_us.iter().filter(|link| !link.reachable && link.seconds >= 5 && works(&link.from));
    let not: Vec<_> = not.map(|link| found(&cases::REACHED_NOT, [link.from.clone()])).collect();
    let count = to_us.iter().filter(|link| link.reachable).count();
    let fine = if to_us.is_empty() && facts.others > 0 {
        found(&cases::REACHED_UNKNOWN, [])
    } else {
        found(&cases::REACHED_OK, [count.to_string()])
    };
    or(not, fine)
}

fn quorum(facts: &Facts) -> Finding {
    let needed = facts.voters / 2 + 1;
    let leader = facts.leader.clone().unwrap_or_default();
    let case = match &facts.leader {
        None => &cases::QUORUM_LOST,
        Some(_) if facts.voters > 1 && facts.voters_reached <= needed && facts.voters_reached < facts.voters => {
            &cases::QUORUM_EDGE
        }
        Some(_) => &cases::QUORUM_OK,
    };
    found(case, [leader, facts.voters_reached.to_string(), facts.voters.to_string()])
}

fn links(facts: &Facts) -> Vec<Finding> {
    let cut = facts.links.iter().filter(|link| link.cut);
    let cut = cut.map(|link| {
        let seconds = link.seconds.to_string();
        found(&cases::LINKS_CUT, [link.from.clone(), link.to.clone(), seconds])
    });
    or(cut.collect(), found(&cases::LINKS_OK, []))
}

fn seal(facts: &Facts) -> Finding {
    let case = match (facts.keyed, facts.sealed) {
        (true, true) => &cases::SEAL_CLOSED,
        (true, false) => &cases::SEAL_OK,
        (false, _) => &cases::SEAL_KEYLESS,
    };
    found(case, [])
}

fn keys(facts: &Facts) -> Vec<Finding> {
    let wrong = facts.keys.iter().filter_map(|source| {
        let slot = source.slot.to_owned();
        match source.file {
            None => Some(found(&cases::KEYS_MISSING, [slot])),
            Some(file) if file.mode & 0o077 != 0 => {
                Some(found(&cases::KEYS_EXPOSED, [slot, format!("{:03o}", file.mode & 0o777)]))
            }
            Some(file) => file.with_data.then(|| found(&cases::KEYS_WITH_DATA, [slot])),
        }
    });
    or(wrong.collect(), found(&cases::KEYS_OK, [facts.keys.len().to_string()]))
}

fn media(facts: &Facts) -> Vec<Finding> {
    let Some(media) = &facts.media else { return vec![found(&cases::MEDIA_UNKNOWN, [])] };
    let mut wrong = Vec::new();
    if facts.simulated_media {
        wrong.push(found(&cases::MEDIA_SIMULATED, []));
    } else {
        wrong.extend(media.shared_with.iter().map(|node| found(&cases::MEDIA_SHARED, [node.clone()])));
    }
    if media.registered != facts.medium {
        wrong.push(found(&cases::MEDIA_OTHER, [facts.medium.clone(), media.registered.clone()]));
    }
    or(wrong, found(&cases::MEDIA_OK, []))
}

fn chunks(facts: &Facts) -> Finding {
    match facts.chunks {
        Some(count) => found(&cases::CHUNKS_OK, [count.to_string()]),
        None => found(&cases::CHUNKS_NONE, []),
    }
}

fn copies(facts: &Facts) -> Vec<Finding> {
    let days = |time: Duration| (time.as_secs() / DAY_SECONDS.unsigned_abs()).to_string();
    let mut wrong = Vec::new();
    if facts.bad_lately {
        wrong.push(found(&cases::SCRUB_BAD, [facts.bad_total.to_string()]));
    }
    if facts.without_source > 0 {
        wrong.push(found(&cases::SCRUB_NO_SOURCE, [facts.without_source.to_string()]));
    }
    let allowed = facts.scrub_interval.saturating_mul(3) / 2;
    if facts.chunks.is_some_and(|count| count > 0) && facts.oldest_check > allowed {
        wrong.push(found(&cases::SCRUB_LATE, [days(facts.oldest_check), days(allowed)]));
    }
    or(wrong, found(&cases::SCRUB_OK, [days(facts.oldest_check)]))
}

fn journal(facts: &Facts) -> Finding {
    let waiting = facts.journal_waiting;
    let case = match waiting {
        _ if facts.journal_broken => return found(&cases::JOURNAL_BROKEN, []),
        ..=JOURNAL_WAITING_MAX => &cases::JOURNAL_OK,
        _ => &cases::JOURNAL_WAITS,
    };
    found(case, [waiting.to_string()])
}

fn snapshot(facts: &Facts) -> Finding {
    let since = facts.applied_index.saturating_sub(facts.snapshot_index);
    if since > facts.snapshot_distance.saturating_mul(2) {
        return found(&cases::SNAPSHOT_LATE, [since.to_string(), facts.snapshot_distance.to_string()]);
    }
    let kept = facts.applied_index.saturating_sub(facts.purged_index);
    found(&cases::SNAPSHOT_OK, [since.to_string(), kept.to_string()])
}

fn memory(facts: &Facts) -> Finding {
    match facts.memory_available {
        None => found(&cases::MEMORY_UNKNOWN, []),
        Some(percent) if percent < MEMORY_PERCENT_MIN => found(&cases::MEMORY_LOW, [percent.to_string()]),
        Some(percent) => found(&cases::MEMORY_OK, [percent.to_string()]),
    }
}

fn files(facts: &Facts) -> Finding {
    let told = facts.files_max.map_or_else(|| "∞".to_owned(), |max| max.to_string());
    let few = facts.files_max.is_some_and(|max| max < FILES_MIN);
    found(if few { &cases::FILES_FEW } else { &cases::FILES_OK }, [told])
}

fn secrets(facts: &Facts) -> Vec<Finding> {
    let mut wrong = Vec::new();
    if facts.dumps_possible {
        wrong.push(found(&cases::SECRETS_DUMPS, []));
    }
    if !facts.swap.is_empty() {
        wrong.push(found(&cases::SECRETS_SWAP, [facts.swap.join(", ")]));
    }
    or(wrong, found(&cases::SECRETS_OK, []))
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
