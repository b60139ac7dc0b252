//! Each usual fault, made once in facts that are otherwise good: it is found, and nothing else is.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::health::cases::{CASES, Verdict};
use crate::health::facts::{ClockSeen, KeyFile, KeySource, LinkSeen, Media, Roots};
use std::collections::BTreeSet;

const GIB: u64 = 1 << 30;
const NOW: i64 = 1_795_282_327;

fn volume(available_bytes: u64) -> Volume {
    Volume { available_bytes, total_bytes: 100 * GIB, read_only: false, kind: VolumeKind::Disk }
}

fn clock(name: &str, offset_ms: i64, uncertainty_ms: u64) -> ClockSeen {
    ClockSeen { name: name.to_owned(), offset_ms, uncertainty_ms }
}

fn link(from: &str, to: &str) -> LinkSeen {
    let us = |name: &str| name == "centro";
    LinkSeen {
        from: from.to_owned(),
        to: to.to_owned(),
        to_us: us(to),
        from_us: us(from),
        reachable: true,
        cut: false,
        seconds: 900,
    }
}

fn key(slot: &'static str, mode: u32, with_data: bool) -> KeySource {
    KeySource { slot, file: Some(KeyFile { mode, with_data }) }
}

fn good() -> Facts {
    Facts {
        now_seconds: NOW,
        clocks: vec![clock("jardins", 3, 1), clock("cofre", -20, 15)],
        clock_skew_max: Duration::from_secs(5),
        data: Ok(volume(60 * GIB)),
        images: Ok(volume(60 * GIB)),
        image_reserve_bytes: GIB,
        sync: Ok(Duration::from_millis(2)),
        certificate_not_after: NOW + 60 * DAY_SECONDS,
        certificate_renewal_due: NOW + 30 * DAY_SECONDS,
        reload_failure: None,
        roots: Ok(Roots { count: 1, last_not_after: NOW + 3_000 * DAY_SECONDS }),
        peer_listen: "0.0.0.0:7402".parse().unwrap(),
        peer_address: "centro.example:7402".to_owned(),
        links: vec![
            link("centro", "jardins"),
            link("jardins", "centro"),
            link("centro", "cofre"),
            link("cofre", "centro"),
            link("cofre", "jardins"),
        ],
        leader: Some("centro".to_owned()),
        voters: 3,
        voters_reached: 3,
        others: 2,
        keyed: true,
        sealed: false,
        keys: vec![key("storage", 0o600, false), key("root", 0o400, false)],
        media: Some(Media { registered: "ssd".to_owned(), shared_with: Vec::new() }),
        medium: "ssd".to_owned(),
        simulated_media: false,
        chunks: Some(12),
        oldest_check: Duration::from_secs(86_400),
        scrub_interval: Duration::from_secs(30 * 86_400),
        bad_total: 0,
        bad_lately: false,
        without_source: 0,
        journal_waiting: 0,
        journal_broken: false,
        applied_index: 5_000,
        snapshot_index: 0,
        purged_index: 0,
        snapshot_distance: 100_000,
        memory_available: Some(40),
        files_max: Some(65_536),
        swap: Vec::new(),
        dumps_possible: false,
    }
}

/// Names of what is not fine after `change`, and every case that was seen.
fn told(change: impl FnOnce(&mut Facts), seen: &mut BTreeSet<(&'static str, &'static str)>) -> Vec<String> {
    let mut facts = good();
    change(&mut facts);
    let findings = all(&facts);
    seen.extend(findings.iter().map(|finding| (finding.case.id, finding.case.name)));
    for finding in &findings {
        let text = finding.case.told(&finding.values);
        assert!(!text.contains('{'), "{text}: a value is missing");
    }
    let wrong = findings.iter().filter(|finding| finding.case.verdict != Verdict::Ok);
    wrong.map(|finding| format!("{} {}", finding.case.id, finding.case.name)).collect()
}

#[test]
fn every_fault_is_found_and_nothing_else_is() {
    let mut seen = BTreeSet::new();
    assert_eq!(told(|_| {}, &mut seen), Vec::<String>::new());
    let left = |facts: &mut Facts, days: i64, due: i64| {
        facts.certificate_not_after = NOW + days * DAY_SECONDS;
        facts.certificate_renewal_due = NOW + due * DAY_SECONDS;
    };
    type Change = Box<dyn FnOnce(&mut Facts)>;
    let faults: Vec<(&str, Change)> = vec![
        ("D01 off", Box::new(|facts| facts.clocks[0].offset_ms = -3_600_000)),
        ("D01 drifts", Box::new(|facts| facts.clocks[0].offset_ms = 2_000)),
        ("D01 unknown", Box::new(|facts| facts.clocks.clear())),
        ("D02 low", Box::new(|facts| facts.data = Ok(volume(10 * GIB)))),
        ("D02 out", Box::new(|facts| facts.data = Ok(volume(GIB)))),
        ("D03 out", Box::new(|facts| facts.images = Ok(volume(GIB / 2)))),
        ("D03 low", Box::new(|facts| facts.images = Ok(volume(3 * GIB / 2)))),
        ("D03 unknown", Box::new(|facts| facts.images = Err("gone".to_owned()))),
        ("D04 read-only", Box::new(|facts| facts.data.as_mut().unwrap().read_only = true)),
        ("D04 read-only", Box::new(|facts| facts.images.as_mut().unwrap().read_only = true)),
        ("D05 memory", Box::new(|facts| facts.data.as_mut().unwrap().kind = VolumeKind::Memory("tmpfs"))),
        ("D05 network", Box::new(|facts| facts.data.as_mut().unwrap().kind = VolumeKind::Network("nfs"))),
        ("D06 slow", Box::new(|facts| facts.sync = Ok(Duration::from_millis(80)))),
        ("D06 failed", Box::new(|facts| facts.sync = Err("input/output error".to_owned()))),
        ("D07 due", Box::new(move |facts| left(facts, 20, -1))),
        ("D07 ends", Box::new(move |facts| left(facts, 3, -20))),
        ("D07 over", Box::new(move |facts| left(facts, -1, -20))),
        ("D08 end", Box::new(|facts| facts.roots.as_mut().unwrap().last_not_after = NOW + 10 * DAY_SECONDS)),
        ("D08 over", Box::new(|facts| facts.roots.as_mut().unwrap().last_not_after = NOW - 1)),
        ("D08 unknown", Box::new(|facts| facts.roots = Err("gone".to_owned()))),
        ("D09 failed", Box::new(|facts| facts.reload_failure = Some("no certificate".to_owned()))),
        ("D10 loopback", Box::new(|facts| facts.peer_listen = "127.0.0.1:7402".parse().unwrap())),
        ("D10 port", Box::new(|facts| facts.peer_listen = "0.0.0.0:7500".parse().unwrap())),
        ("D11 not", Box::new(|facts| facts.links[1].reachable = false)),
        ("D11 unknown", Box::new(|facts| facts.links.retain(|link| !link.to_us))),
        ("D12 edge", Box::new(|facts| facts.voters_reached = 2)),
        ("D12 lost", Box::new(|facts| facts.leader = None)),
        ("D13 cut", Box::new(|facts| (facts.links[4].reachable, facts.links[4].cut) = (false, true))),
        ("D14 closed", Box::new(|facts| facts.sealed = true)),
        ("D15 missing", Box::new(|facts| facts.keys[0].file = None)),
        ("D15 exposed", Box::new(|facts| facts.keys[1] = key("root", 0o644, false))),
        ("D15 with-data", Box::new(|facts| facts.keys[1] = key("root", 0o600, true))),
        ("D16 shared", Box::new(|facts| facts.media.as_mut().unwrap().shared_with.push("jardins".to_owned()))),
        ("D16 simulated", Box::new(|facts| facts.simulated_media = true)),
        ("D16 other", Box::new(|facts| facts.medium = "hdd".to_owned())),
        ("D16 unknown", Box::new(|facts| facts.media = None)),
        ("D17 none", Box::new(|facts| facts.chunks = None)),
        ("D18 late", Box::new(|facts| facts.oldest_check = Duration::from_secs(46 * 86_400))),
        ("D18 bad", Box::new(|facts| (facts.bad_total, facts.bad_lately) = (2, true))),
        ("D18 no-source", Box::new(|facts| facts.without_source = 7)),
        ("D19 waits", Box::new(|facts| facts.journal_waiting = 5_000)),
        ("D19 broken", Box::new(|facts| facts.journal_broken = true)),
        ("D20 late", Box::new(|facts| facts.applied_index = 300_001)),
        ("D21 low", Box::new(|facts| facts.memory_available = Some(2))),
        ("D21 unknown", Box::new(|facts| facts.memory_available = None)),
        ("D22 few", Box::new(|facts| facts.files_max = Some(1_024))),
        ("D23 swap", Box::new(|facts| facts.swap.push("/dev/sda2".to_owned()))),
        ("D23 dumps", Box::new(|facts| facts.dumps_possible = true)),
    ];
    for (expected, change) in faults {
        assert_eq!(told(change, &mut seen), [expected]);
    }
    let data = told(|facts| facts.data = Err("gone".to_owned()), &mut seen);
    assert_eq!(data, ["D02 unknown", "D05 unknown"]);
    let keyless = told(|facts| (facts.keyed, facts.sealed) = (false, true), &mut seen);
    assert_eq!(keyless, Vec::<String>::new(), "an off-site node is never unsealed");
    let all: BTreeSet<_> = CASES.iter().map(|case| (case.id, case.name)).collect();
    let untold: Vec<_> = all.difference(&seen).collect();
    assert_eq!(untold, Vec::<&(&str, &str)>::new(), "cases that nothing leads to");
}

// A node that is cut off knows no more than that; a line that is slow is no wrong clock.
#[test]
fn what_cannot_be_known_is_not_claimed() {
    let mut seen = BTreeSet::new();
    let slow = |facts: &mut Facts| facts.clocks[0] = clock("jardins", 5_400, 600);
    assert_eq!(told(slow, &mut seen), ["D01 drifts"]);
    let alone = |facts: &mut Facts| {
        (facts.clocks, facts.links, facts.others) = (Vec::new(), Vec::new(), 0);
        (facts.voters, facts.voters_reached) = (1, 1);
    };
    assert_eq!(told(alone, &mut seen), Vec::<String>::new());
    let large = |facts: &mut Facts| facts.data = Ok(Volume { total_bytes: 1_000 * GIB, ..volume(60 * GIB) });
    assert_eq!(told(large, &mut seen), Vec::<String>::new(), "60 GiB are enough, whatever their share");
    // A certificate that lives for a week by design is not urgent on its first day.
    let short = |facts: &mut Facts| {
        facts.certificate_not_after = NOW + 6 * DAY_SECONDS;
        facts.certificate_renewal_due = NOW + 3 * DAY_SECONDS;
    };
    assert_eq!(told(short, &mut seen), Vec::<String>::new());
}
