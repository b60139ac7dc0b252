//! Every fuzz target holds for every input that was kept, for what the writers of the format make, and for a bounded number of
//! mutations of both: the same ones on every machine.

#![allow(clippy::print_stdout, reason = "how much was tried")]

use plantao_tests::fuzz::{Mutations, TARGETS, Target, corpus};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Mutations of each target's inputs, in all; a target that is slow tries fewer.
const MUTATIONS: usize = 2_000;
/// What one target's mutations may take: a bound of work, nothing is asserted of it.
const TIME_MAX: Duration = Duration::from_secs(3);
/// All kept inputs together. They are searched for again by whoever wants more.
const CORPUS_BYTES_MAX: usize = 2 << 20;

fn kept(target: &Target) -> Vec<(String, Vec<u8>)> {
    let mut kept: Vec<(String, Vec<u8>)> = std::fs::read_dir(corpus(target.name))
        .unwrap_or_else(|error| panic!("the corpus of {}: {error}", target.name))
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect();
    kept.sort();
    kept
}

/// Whether it holds; what does not is told with its bytes.
fn holds(target: &Target, name: &str, input: &[u8], broken: &mut Vec<String>) -> bool {
    let held = catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_ok();
    if !held {
        let shown: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        broken.push(format!("{} does not hold for {name}: {shown}", target.name));
    }
    held
}

#[test]
fn every_target_holds_for_what_was_kept_and_for_mutations_of_it() {
    let (mut bytes, mut broken) = (0, Vec::new());
    'targets: for target in TARGETS {
        let kept = kept(target);
        assert!(!kept.is_empty(), "nothing was kept for {}", target.name);
        bytes += kept.iter().map(|(_, input)| input.len()).sum::<usize>();
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has no seed", target.name);
        let named = seeds.into_iter().enumerate().map(|(n, seed)| (format!("seed {n}"), seed));
        let inputs: Vec<(String, Vec<u8>)> = kept.into_iter().chain(named).collect();
        for (name, input) in &inputs {
            if !holds(target, name, input, &mut broken) {
                continue 'targets;
            }
        }
        let each = (MUTATIONS / inputs.len()).max(4);
        let started = Instant::now();
        let mut tried = 0;
        for (n, (name, input)) in inputs.iter().enumerate() {
            let other = &inputs[(n + 1) % inputs.len()].1;
            for (m, mutation) in Mutations::new(input, other, target.bytes_max, 1).take(each).enumerate() {
                if started.elapsed() > TIME_MAX {
                    break;
                }
                if !holds(target, &format!("mutation {m} of {name}"), &mutation, &mut broken) {
                    continue 'targets;
                }
                tried += 1;
            }
        }
        println!("{}: {} inputs, {tried} mutations", target.name, inputs.len());
    }
    println!("{} targets, {bytes} bytes kept", TARGETS.len());
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(bytes < CORPUS_BYTES_MAX, "{bytes} bytes are kept");
}

#[test]
fn targets_have_names_of_their_own_and_no_corpus_is_left_over() {
    let mut names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TARGETS.len());
    assert!(names.len() >= 12);
    let mut directories: Vec<String> = std::fs::read_dir(corpus("x").parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    directories.sort_unstable();
    assert_eq!(directories, names);
}
