//! kill -9 in the middle of work, again and again: a child process applies, checkpoints, makes snapshots and installs
//! them; whatever is found afterwards is a prefix of what it applied, and not behind what it called durable.

use super::*;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

const CHILD: &str = "PLANTAO_TEST_STATE_CHILD";

fn nth(n: u64) -> Changes {
    Random(n).changes(60, 12)
}

/// Not a test by itself: the process that is killed.
#[test]
fn child() {
    let Some(root) = std::env::var_os(CHILD) else { return };
    let root = PathBuf::from(root);
    let kind = if root.ends_with("sled") { EngineKind::Sled } else { EngineKind::Fjall };
    let place = Place::new(&root, kind);
    let snapshots = place.snapshots();
    let opened = rebuild::open(&place.options, &snapshots).unwrap();
    let mut say = std::io::stdout();
    writeln!(say, "\nstart {:?}", opened.start).unwrap();
    let store = opened.store;
    loop {
        let n = index(&store.meta()) + 1;
        store.apply(&batch(n, nth(n))).unwrap();
        if n.is_multiple_of(3) {
            store.checkpoint().unwrap();
            writeln!(say, "durable {n}").unwrap();
        }
        if n.is_multiple_of(8) {
            let built = snapshots.build(&mut *store.freeze().unwrap()).unwrap();
            store.install(built.meta(), &mut built.rows().unwrap()).unwrap();
            writeln!(say, "durable {n}").unwrap();
        }
    }
}

#[test]
fn after_each_kill_the_state_is_a_prefix_not_behind_the_checkpoint() {
    for kind in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join(if kind == EngineKind::Sled { "sled" } else { "fjall" });
        std::fs::create_dir(&root).unwrap();
        let mut random = Random(21);
        let mut durable = 0;
        for round in 0..12 {
            let mut process = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "storage::state::tests::crash::child", "--nocapture"])
                .env(CHILD, &root)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(process.stdout.take().unwrap()).lines();
            let until = 2 + random.below(12);
            let mut seen = 0;
            let mut started = false;
            for line in lines {
                let line = line.unwrap();
                started |= line == "start Created" || line == "start Verified";
                if let Some(n) = line.strip_prefix("durable ") {
                    durable = durable.max(n.parse().unwrap());
                    seen += 1;
                }
                if seen == until {
                    // Somewhere behind that line; the pipe may hold more.
                    let _ = process.kill();
                }
            }
            process.kill().ok();
            process.wait().unwrap();
            assert!(started && seen >= until, "{kind:?} round {round}: the child ended by itself");

            let place = Place::new(&root, kind);
            let (store, start) = place.open();
            assert_eq!(start, Start::Verified, "{kind:?} round {round}");
            let at = index(&store.meta());
            assert!(at >= durable, "{kind:?} round {round}: at {at}, durable {durable}");
            let mut model = MemView::default();
            (1..=at).for_each(|n| model.write(&nth(n)));
            assert_eq!(rows(&*store), model_rows(&model), "{kind:?} round {round}");
            assert_eq!((store.meta().rows, store.meta().content), figures(&model));
        }
        println!("{kind:?}: 12 kills, durable {durable}");
    }
}
