//! One target of the list under libFuzzer: `PLANTAO_FUZZ_TARGET` names it. With `PLANTAO_FUZZ_SEEDS=DIRECTORY` what the writers of
//! the format make is written there first, to begin with.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plantao_tests::fuzz::{TARGETS, Target, target};
use std::sync::OnceLock;

static CHOSEN: OnceLock<&Target> = OnceLock::new();

fn choose() {
    let name = std::env::var("PLANTAO_FUZZ_TARGET").unwrap_or_default();
    let Some(chosen) = target(&name) else {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        panic!("PLANTAO_FUZZ_TARGET={name:?} is none of: {}", names.join(" "));
    };
    if let Ok(directory) = std::env::var("PLANTAO_FUZZ_SEEDS") {
        std::fs::create_dir_all(&directory).expect("the directory for seeds can be made");
        for (n, seed) in (chosen.seeds)().into_iter().enumerate() {
            let path = std::path::Path::new(&directory).join(format!("seed-{n:02}"));
            std::fs::write(path, seed).expect("a seed can be written");
        }
    }
    let _ = CHOSEN.set(chosen);
}

fuzz_target!(init: { choose() }, |data: &[u8]| {
    if let Some(chosen) = CHOSEN.get() {
        (chosen.run)(data);
    }
});
