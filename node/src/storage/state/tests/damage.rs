//! One flipped byte, a cut tail, a missing file: for every kind of file that a node's state has, on both engines. What
//! is opened afterwards is exact, or was rebuilt; it never has rows missing in silence.

use super::*;
use crate::storage::state::engine::Engine;
use crate::storage::state_fjall::FjallEngine;
use crate::storage::state_sled::SledEngine;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

const CHILD: &str = "PLANTAO_TEST_DAMAGED_CHILD";

/// Not a test by itself: a start that may end the process.
#[test]
fn child() {
    let Some(root) = std::env::var_os(CHILD) else { return };
    let place = Place::new(Path::new(&root), EngineKind::Fjall);
    rebuild::open_with(&place.options, &place.snapshots(), small_engines()).unwrap();
}

/// fjall panics over some bytes of a tree's version, and once more while it is taken down, which ends the process. That many
/// starts end so until one gets through.
fn starts_that_die(root: &Path) -> usize {
    let dies = |_: &usize| {
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "storage::state::tests::damage::child"])
            .env(CHILD, root)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(process.success() || process.signal().is_some(), "{process}");
        !process.success()
    };
    (0..10).take_while(dies).count()
}

/// Engines as they are, but with table files from few rows.
fn small_engines() -> OpenEngine {
    Arc::new(|kind, dir| {
        Ok(match kind {
            EngineKind::Fjall => Box::new(FjallEngine::open_with(dir, 40_000)?) as Box<dyn Engine>,
            EngineKind::Sled => Box::new(SledEngine::open(dir)?),
        })
    })
}

/// The kind of a file: its place with digits left out.
fn class(root: &Path, file: &Path) -> String {
    let name = file.strip_prefix(root).unwrap().to_str().unwrap();
    let mut class: String = name.chars().filter(|c| !c.is_ascii_hexdigit() || "bcdef".contains(*c)).collect();
    class.truncate(60);
    class
}

/// A whole node state to damage copies of: rows at index 60, a snapshot at index 40.
fn subject(root: &Path, kind: EngineKind) -> (Place, MemView, MemView) {
    let place = Place::new(root, kind);
    let (mut model, mut at_snapshot) = (MemView::default(), MemView::default());
    for third in 0..3_u64 {
        let store = place.open_with(small_engines());
        for n in third * 20 + 1..=third * 20 + 20 {
            let changes = Random(n).changes(300, 30);
            model.write(&changes);
            store.apply(&batch(n, changes)).unwrap();
        }
        store.checkpoint().unwrap();
        if third == 1 {
            place.snapshots().build(&mut *store.freeze().unwrap()).unwrap();
            at_snapshot = model.clone();
        }
    }
    (place, model, at_snapshot)
}

#[test]
fn damage_to_any_file_gives_the_exact_rows_or_a_rebuild_and_never_fewer() {
    for kind in ENGINES {
        let original = tempfile::tempdir().unwrap();
        let (_, model, at_snapshot) = subject(original.path(), kind);
        let mut classes: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for file in files_under(original.path()) {
            let class = class(original.path(), &file);
            classes.entry(class).or_default().push(file.strip_prefix(original.path()).unwrap().to_owned());
        }
        let mut random = Random(11);
        let mut used = BTreeMap::new();
        let mut told = BTreeMap::<String, [u32; 2]>::new();
        for (class, files) in &classes {
            for round in 0..14 {
                let copy = tempfile::tempdir().unwrap();
                copy_tree(original.path(), copy.path());
                let file = copy.path().join(&files[random.below(files.len())]);
                let name = file.strip_prefix(copy.path()).unwrap();
                // Preallocated zeros at the end hold nothing; damage goes where something was written.
                let used = *used.entry(name.to_owned()).or_insert_with(|| {
                    let bytes = std::fs::read(original.path().join(name)).unwrap();
                    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
                });
                let damaged = OpenOptions::new().read(true).write(true).open(&file).unwrap();
                match round {
                    0 => std::fs::remove_file(&file).unwrap(),
                    _ if used == 0 => continue,
                    1..=3 => damaged.set_len(random.below(used) as u64).unwrap(),
                    _ => {
                        let (at, mut byte) = (random.below(used) as u64, [0]);
                        damaged.read_exact_at(&mut byte, at).unwrap();
                        damaged.write_all_at(&[byte[0] ^ (1 << random.below(8))], at).unwrap();
                    }
                }
                drop(damaged);
                let place = Place::new(copy.path(), kind);
                if kind == EngineKind::Fjall {
                    let tried = tempfile::tempdir().unwrap();
                    copy_tree(copy.path(), tried.path());
                    let deaths = starts_that_die(tried.path());
                    if deaths > 0 {
                        assert_eq!(deaths, 3, "{class} round {round}: the directory is given up at the fourth start");
                        let (store, start) = Place::new(tried.path(), kind).open();
                        assert_eq!(start, Start::Verified);
                        assert!(
                            (index(&store.meta()), rows(&*store)) == (40, model_rows(&at_snapshot)),
                            "{class} round {round}"
                        );
                        told.entry(class.clone()).or_default()[1] += 1;
                        continue;
                    }
                }
                let opened = rebuild::open_with(&place.options, &place.snapshots(), small_engines()).unwrap();
                let found = (index(&opened.store.meta()), rows(&*opened.store));
                let counts = told.entry(class.clone()).or_default();
                match opened.start {
                    Start::Verified => {
                        counts[0] += 1;
                        assert!(found == (60, model_rows(&model)), "{kind:?} {class} round {round}: not exact");
                    }
                    Start::Rebuilt { from: Some(from), .. } => {
                        counts[1] += 1;
                        assert_eq!(from.index, 40);
                        assert!(found == (40, model_rows(&at_snapshot)), "{kind:?} {class} round {round}: rebuilt");
                    }
                    other => panic!("{kind:?} {class} round {round}: {other:?}"),
                }
            }
        }
        println!("{kind:?}: file kind, [exact, rebuilt]: {told:#?}");
        assert!(told.values().any(|counts| counts[1] > 0), "no damage was noticed at all");
    }
}
