//! What the checks want to know of the computer: file systems, a synced write, key files, memory, limits. Blocking; nothing is
//! decided here, and no key is read.

use super::facts::{KeyFile, KeySource, Roots, Volume, VolumeKind};
use crate::crypto::SlotSource;
use rustix::fs::StatVfsMountFlags;
use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// File systems by the numbers of `statfs(2)`.
const MEMORY: &[(u64, &str)] = &[(0x0102_1994, "tmpfs"), (0x8584_58f6, "ramfs")];
const NETWORK: &[(u64, &str)] = &[
    (0x6969, "nfs"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "fuse"),
    (0x00c3_6400, "ceph"),
    (0x0bd0_0bd0, "lustre"),
];
/// Synced writes that are timed; the median counts.
const SYNCS: usize = 5;
/// A page, as the log writes for a small entry.
const SYNC_BYTES: usize = 4_096;
/// More roots than any network has.
const ROOTS_BYTES_MAX: u64 = 1 << 20;
/// Text of `/proc` that is read.
const PROC_BYTES_MAX: usize = 64 << 10;

/// The file system below `path`.
pub(super) fn volume(path: &Path) -> Result<Volume, String> {
    let told = |error: rustix::io::Errno| io::Error::from(error).to_string();
    let figures = rustix::fs::statvfs(path).map_err(told)?;
    // The number is signed on some machines and not on others; its lower half is what the tables have.
    let kind = rustix::fs::statfs(path).map_err(told)?.f_type as u64 & 0xffff_ffff;
    Ok(Volume {
        available_bytes: figures.f_bavail.saturating_mul(figures.f_frsize),
        total_bytes: figures.f_blocks.saturating_mul(figures.f_frsize),
        read_only: figures.f_flag.contains(StatVfsMountFlags::RDONLY),
        kind: kind_of(kind),
    })
}

/// Less than a node needs to write anything: its log alone grows in steps of more.
const FULL_BYTES_MAX: u64 = 4 << 20;

/// Why a node cannot write to a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum DiskFault {
    /// No room.
    #[error("the disk of a directory of this node is full")]
    Full,
    /// Mounted so, or made so by the system after errors.
    #[error("the disk of a directory of this node is mounted read-only")]
    ReadOnly,
}

impl DiskFault {
    /// For whoever reads the log of a node that ended.
    pub(crate) const fn remedy(self) -> &'static str {
        match self {
            Self::Full => {
                "make room on that disk (df, du) or move the directory to a larger one, and start the node: it catches up, \
                 and what was acknowledged is on the others"
            }
            Self::ReadOnly => {
                "look for errors of the disk (dmesg), mount it for writing again or replace it, and start the node; a disk \
                 that is replaced comes back as a new member: plantao member replace"
            }
        }
    }
}

/// What keeps a node from writing to `directory`, if anything that the system tells of.
pub(crate) fn disk_fault(directory: &Path) -> Option<DiskFault> {
    let volume = volume(directory).ok()?;
    if volume.read_only {
        return Some(DiskFault::ReadOnly);
    }
    (volume.available_bytes < FULL_BYTES_MAX).then_some(DiskFault::Full)
}

fn kind_of(number: u64) -> VolumeKind {
    let named = |table: &[(u64, &'static str)]| table.iter().find(|(of, _)| *of == number).map(|(_, name)| *name);
    match (named(MEMORY), named(NETWORK)) {
        (Some(name), _) => VolumeKind::Memory(name),
        (_, Some(name)) => VolumeKind::Network(name),
        _ => VolumeKind::Disk,
    }
}

/// How long a synced write takes in `directory`: the median of a few, to a file that is gone afterwards.
pub(super) fn sync_time(directory: &Path) -> Result<Duration, String> {
    let path = directory.join(format!(".sync-{}", std::process::id()));
    let measured = timed_syncs(&path);
    let removed = fs::remove_file(&path);
    let mut times = measured.map_err(|error| error.to_string())?;
    removed.map_err(|error| error.to_string())?;
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

fn timed_syncs(path: &Path) -> io::Result<Vec<Duration>> {
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let began = Instant::now();
        file.write_all(&[0; SYNC_BYTES])?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    Ok(times)
}

/// Where the keys of slots come from.
pub(super) fn key_sources(slots: &[(&'static str, SlotSource)], data_dir: &Path) -> Vec<KeySource> {
    let device = fs::metadata(data_dir).map(|found| found.dev()).ok();
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let look = |source: &SlotSource| {
        // systemd hands credentials over in memory of its own, and sees to their rights.
        let path = match source {
            SlotSource::PassphraseFile(path) | SlotSource::KeyFile(path) => path.clone(),
            SlotSource::Credential(name) => {
                let found = credentials.as_ref().is_some_and(|directory| directory.join(name).is_file());
                return found.then_some(KeyFile { mode: 0o400, with_data: false });
            }
        };
        let found = fs::metadata(path).ok()?;
        Some(KeyFile { mode: found.mode() & 0o7777, with_data: Some(found.dev()) == device })
    };
    slots.iter().map(|(slot, source)| KeySource { slot, file: look(source) }).collect()
}

/// The roots of trust in a PEM file.
pub(super) fn roots(path: &Path) -> Result<Roots, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > ROOTS_BYTES_MAX {
        return Err("larger than 1 MiB".to_owned());
    }
    let text = fs::read(path).map_err(|error| error.to_string())?;
    let mut roots = Roots { count: 0, last_not_after: i64::MIN };
    for pem in x509_parser::pem::Pem::iter_from_buffer(&text) {
        let pem = pem.map_err(|_| "not PEM".to_owned())?;
        let certificate = pem.parse_x509().map_err(|_| "not a certificate".to_owned())?;
        roots.count += 1;
        roots.last_not_after = roots.last_not_after.max(certificate.validity().not_after.timestamp());
    }
    if roots.count == 0 { Err("no certificate".to_owned()) } else { Ok(roots) }
}

/// Percent of the memory that is available.
pub(super) fn memory_available() -> Option<u64> {
    memory_in(&read_proc("/proc/meminfo")?)
}

fn memory_in(text: &str) -> Option<u64> {
    let kilobytes = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse().ok()
    };
    let total = kilobytes("MemTotal").filter(|total| *total > 0)?;
    Some(kilobytes("MemAvailable")?.saturating_mul(100) / total)
}

/// Swap that outlives the power: compressed memory does not.
pub(super) fn swap() -> Vec<String> {
    read_proc("/proc/swaps").map(|text| swap_in(&text)).unwrap_or_default()
}

fn swap_in(text: &str) -> Vec<String> {
    let names = text.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| !name.starts_with("/dev/zram")).map(str::to_owned).collect()
}

/// Most files that this process may have open; `None`: no limit.
pub(super) fn files_max() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Whether a crash could leave keys in a file.
pub(super) fn dumps_possible() -> bool {
    // A crash handler behind a pipe ignores the size, and honours the mark.
    !matches!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable))
}

fn read_proc(path: &str) -> Option<String> {
    let mut text = fs::read(path).ok()?;
    text.truncate(PROC_BYTES_MAX);
    String::from_utf8(text).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_tells_its_disk_and_how_fast_it_syncs() {
        let home = tempfile::tempdir().unwrap();
        let found = volume(home.path()).unwrap();
        assert!(found.total_bytes > 0 && found.available_bytes <= found.total_bytes && !found.read_only);
        assert!(sync_time(home.path()).unwrap() > Duration::ZERO);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "nothing is left behind");
        assert!(volume(&home.path().join("none")).is_err() && sync_time(&home.path().join("none")).is_err());
    }

    #[test]
    fn file_systems_are_known_by_their_number() {
        assert_eq!(kind_of(0x0102_1994), VolumeKind::Memory("tmpfs"));
        assert_eq!(kind_of(0x6969), VolumeKind::Network("nfs"));
        assert_eq!(kind_of(0xef53), VolumeKind::Disk);
        if Path::new("/dev/shm").is_dir() && fs::read_to_string("/proc/mounts").unwrap().contains(" /dev/shm tmpfs ") {
            assert_eq!(volume(Path::new("/dev/shm")).unwrap().kind, VolumeKind::Memory("tmpfs"));
        }
    }

    #[test]
    fn keys_are_looked_at_and_never_read() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("storage.key");
        fs::write(&path, "not a key").unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        let slots =
            [("storage", SlotSource::KeyFile(path)), ("root", SlotSource::PassphraseFile(home.path().join("none")))];
        let found = key_sources(&slots, home.path());
        assert_eq!(found[0].file, Some(KeyFile { mode: 0o640, with_data: true }));
        assert_eq!(found[1].file, None);
    }

    #[test]
    fn texts_of_the_system_are_read_or_left() {
        assert_eq!(memory_in("MemTotal:    2000 kB\nMemFree: 1 kB\nMemAvailable:     500 kB\n"), Some(25));
        assert_eq!(memory_in("MemTotal: 0 kB\nMemAvailable: 5 kB"), None);
        assert_eq!(memory_in("garbage"), None);
        let swaps = "Filename\tType\tSize\n/dev/sda2 partition 1 0 -2\n/dev/zram0 partition 1 0 100\n";
        assert_eq!(swap_in(swaps), ["/dev/sda2"]);
        assert_eq!(swap_in(""), Vec::<String>::new());
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ca.crt");
        fs::write(&path, "no PEM").unwrap();
        assert!(roots(&path).is_err() && roots(&home.path().join("none")).is_err());
    }
}
