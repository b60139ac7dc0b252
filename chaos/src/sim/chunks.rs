//! A node's chunk directory, which is real files, under a power cut: what no sync made durable may be gone. And what must
//! hold of images whenever one shows.

use super::cluster::Cluster;
use crate::checks::Findings;
use plantao_domain::rows;
use plantao_domain::{ChunkId, ImageId};
use plantao_node::chunks::Witness;
use rand::RngExt;
use rand::rngs::StdRng;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// What a power cut may still take from a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Loose {
    bytes: bool,
    name: bool,
}

#[derive(Debug, Default)]
struct Files {
    loose: BTreeMap<PathBuf, Loose>,
    /// Files that a power cut leaves alone.
    durable: BTreeSet<PathBuf>,
}

impl Files {
    fn settle(&mut self, path: &Path) {
        if self.loose.get(path).is_some_and(|loose| *loose == Loose::default()) {
            self.loose.remove(path);
            self.durable.insert(path.to_owned());
        }
    }
}

/// The kernel dates a file by the computer's clock, decades after a simulated one: no chunk would ever be old enough to be left
/// over. A file that is gone again has no age.
fn date(path: &Path) {
    if let Ok(file) = fs::OpenOptions::new().write(true).open(path) {
        let _ = file.set_modified(SystemTime::now());
    }
}

/// Of one node. It outlives the node.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChunkDisk(Arc<Mutex<Files>>);

impl Witness for ChunkDisk {
    fn created(&self, path: &Path) {
        self.lock().loose.insert(path.to_owned(), Loose { bytes: true, name: true });
    }

    fn file_synced(&self, path: &Path) {
        let mut files = self.lock();
        if let Some(loose) = files.loose.get_mut(path) {
            loose.bytes = false;
        }
        files.settle(path);
    }

    fn renamed(&self, from: &Path, to: &Path) {
        let mut files = self.lock();
        let loose = files.loose.remove(from).unwrap_or_default();
        files.durable.remove(from);
        files.durable.remove(to);
        files.loose.insert(to.to_owned(), Loose { name: true, ..loose });
        date(to);
    }

    fn directory_synced(&self, path: &Path) {
        let mut files = self.lock();
        let within: Vec<PathBuf> = files.loose.keys().filter(|file| file.parent() == Some(path)).cloned().collect();
        for file in within {
            if let Some(loose) = files.loose.get_mut(&file) {
                loose.name = false;
            }
            files.settle(&file);
        }
    }
}

impl ChunkDisk {
    fn lock(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A name that no sync made durable is gone or stays; bytes that none did are there in part.
    pub(crate) fn lose_power(&self, random: &mut StdRng) -> io::Result<()> {
        for (path, loose) in std::mem::take(&mut self.lock().loose) {
            // Set aside or removed since.
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if loose.name && random.random_bool(0.5) {
                fs::remove_file(&path)?;
            } else if loose.bytes {
                fs::OpenOptions::new().write(true).open(&path)?.set_len(random.random_range(0..=metadata.len()))?;
            }
        }
        Ok(())
    }

    /// Whether a power cut leaves the file of that name alone.
    fn holds(&self, name: &str) -> bool {
        let files = self.lock();
        files.durable.iter().any(|path| path.file_name().is_some_and(|it| it == name))
    }
}

/// No image is there before its bytes are durable on two sites.
#[derive(Default)]
pub(crate) struct TwoSites {
    seen: BTreeSet<ImageId>,
}

/// Sites that every chunk of an image is durable on when the image shows.
const SITES_MIN: usize = 2;

impl TwoSites {
    /// Looks at images that came since the last look.
    pub(crate) fn look(&mut self, cluster: &Cluster, findings: &mut Findings) {
        for (id, node) in cluster.running.borrow().iter() {
            let view = node.view();
            // A row that cannot be read stops the node, which is told elsewhere.
            let images = rows::images(view, None, usize::MAX).unwrap_or_default();
            for (image, row) in images {
                if !self.seen.insert(image) {
                    continue;
                }
                let parts = rows::parts(view, row.upload, None, usize::MAX).unwrap_or_default();
                let chunks: BTreeSet<ChunkId> =
                    parts.iter().flat_map(|(_, part)| part.chunks.iter().map(|entry| entry.chunk)).collect();
                findings.require(!chunks.is_empty(), "two sites", || format!("n{id}: image {image} has no chunk"));
                for chunk in chunks {
                    let name = chunk.to_string();
                    let sites = cluster.machines.values().filter(|machine| machine.chunks.holds(&name)).count();
                    findings.require(sites >= SITES_MIN, "two sites", || {
                        format!("n{id} shows image {image}, of which a chunk is durable on {sites} sites")
                    });
                }
            }
        }
    }
}
