//! Which disk a directory lies on, found and not declared: two copies on one disk are one copy, whatever the
//! configuration says.
//!
//! ```text
//! directory ─► device number ─► block devices below it, down to whole disks ─► each one's name or serial number
//!                            └► none that says who it is: machine id and file system
//! identity = BLAKE3("plantao disk 1" | each part: length u16 BE, bytes), parts sorted
//! ```
//! Two partitions or logical volumes of one disk are the same disk. Where the system hides its disks (a container, a
//! network file system), the machine and its file system stand for them.

use plantao_domain::DiskId;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Devices that are looked at: deeper stacks are cut off, which can only make fewer disks look equal.
const DEVICES_MAX: usize = 64;

/// The identity of the disk, or disks, that `path` lies on.
///
/// # Errors
/// The path cannot be looked at.
pub fn disk_of(path: &Path) -> io::Result<DiskId> {
    disk_seen_from(path, Path::new("/sys"), Path::new("/etc/machine-id"))
}

fn disk_seen_from(path: &Path, sys: &Path, machine_id: &Path) -> io::Result<DiskId> {
    let device = fs::metadata(path)?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let mut names = BTreeSet::new();
    let block = sys.join(format!("dev/block/{major}:{minor}"));
    let known = fs::canonicalize(&block).is_ok_and(|device| collect(&device, &mut names, &mut 0));
    if !known || names.is_empty() {
        let figures = rustix::fs::statvfs(path)?;
        let machine = fs::read(machine_id).unwrap_or_default();
        names = BTreeSet::from([b"machine ".to_vec(), machine, figures.f_fsid.to_be_bytes().to_vec()]);
        names.insert(device.to_be_bytes().to_vec());
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"plantao disk 1");
    for name in &names {
        hasher.update(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes());
        hasher.update(name);
    }
    Ok(DiskId::from_bytes(*hasher.finalize().as_bytes()))
}

/// Puts the names of the whole disks below a block device into `names`; `false` if one of them does not say who it is.
fn collect(device: &Path, names: &mut BTreeSet<Vec<u8>>, looked_at: &mut usize) -> bool {
    *looked_at += 1;
    if *looked_at > DEVICES_MAX {
        return false;
    }
    // Mapped and mirrored devices stand on others.
    let below: Vec<PathBuf> = fs::read_dir(device.join("slaves"))
        .map(|entries| entries.filter_map(|entry| fs::canonicalize(entry.ok()?.path()).ok()).collect())
        .unwrap_or_default();
    if !below.is_empty() {
        return below.iter().all(|device| collect(device, names, looked_at));
    }
    if device.join("partition").exists() {
        return device.parent().is_some_and(|disk| collect(disk, names, looked_at));
    }
    let name = ["wwid", "device/wwid", "device/serial", "serial"].iter().find_map(|file| {
        let name = fs::read(device.join(file)).ok()?.trim_ascii().to_vec();
        (!name.is_empty() && name.len() <= 4_096).then_some(name)
    });
    name.is_some_and(|name| {
        names.insert(name);
        true
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A `/sys` in which the device of `home` is a partition of a disk, or a volume over two.
    struct Sys {
        home: tempfile::TempDir,
        block: PathBuf,
    }

    impl Sys {
        fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            let device = fs::metadata(home.path()).unwrap().dev();
            let block =
                home.path().join(format!("sys/dev/block/{}:{}", rustix::fs::major(device), rustix::fs::minor(device)));
            fs::create_dir_all(block.parent().unwrap()).unwrap();
            Self { home, block }
        }

        fn disk(&self, name: &str, serial: &str) -> PathBuf {
            let disk = self.home.path().join("sys/devices").join(name);
            fs::create_dir_all(disk.join("device")).unwrap();
            fs::write(disk.join("device/serial"), serial).unwrap();
            disk
        }

        fn point_to(&self, device: &Path) {
            let _ = fs::remove_file(&self.block);
            symlink(device, &self.block).unwrap();
        }

        fn identity(&self) -> DiskId {
            let machine = self.home.path().join("machine-id");
            disk_seen_from(self.home.path(), &self.home.path().join("sys"), &machine).unwrap()
        }
    }

    #[test]
    fn partitions_of_one_disk_are_one_disk_and_two_disks_are_two() {
        let sys = Sys::new();
        let (first, second) = (sys.disk("sda", "SERIAL-1\n"), sys.disk("sdb", "SERIAL-2\n"));
        let mut seen = Vec::new();
        for partition in [first.join("sda1"), first.join("sda2"), second.join("sdb1")] {
            fs::create_dir_all(&partition).unwrap();
            fs::write(partition.join("partition"), "1").unwrap();
            sys.point_to(&partition);
            seen.push(sys.identity());
        }
        assert!(seen[0] == seen[1] && seen[0] != seen[2]);

        // A volume over a partition of the first disk is on the first disk; one over both is on both.
        let volume = sys.home.path().join("sys/devices/dm-0");
        fs::create_dir_all(volume.join("slaves")).unwrap();
        symlink(first.join("sda1"), volume.join("slaves/sda1")).unwrap();
        sys.point_to(&volume);
        assert!(sys.identity() == seen[0]);
        symlink(&second, volume.join("slaves/sdb")).unwrap();
        assert!(sys.identity() != seen[0] && sys.identity() != seen[2]);
    }

    #[test]
    fn where_no_disk_says_who_it_is_the_machine_does() {
        let sys = Sys::new();
        let hidden = sys.identity();
        sys.point_to(&sys.disk("vda", " \n"));
        assert!(sys.identity() == hidden, "an empty serial number is none");
        fs::write(sys.home.path().join("machine-id"), "another machine").unwrap();
        assert!(sys.identity() != hidden);
        assert!(disk_of(sys.home.path()).unwrap() == disk_of(&sys.home.path().join("sys")).unwrap());
        assert!(disk_of(&sys.home.path().join("none")).is_err());
    }
}
