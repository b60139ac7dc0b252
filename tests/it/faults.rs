//! Work goes on without a link, without a node, without a key; and what must not start does not.

use crate::secrecy::copy;
use crate::world::{DAY, MINUTE, NOON, World, appointments, booking, code, id};
use plantao_proto::admin::v1::NodeRole;
use plantao_proto::public::v1 as wire;
use plantao_tests::network::{Plan, text};
use plantao_tests::wait::until;
use std::fs;
use std::process::Output;

/// Books in a day of its own and looks whether the leader's side has it.
async fn a_booking_goes_through(world: &World, node: &str, seen_by: &str, start: i64) {
    let request = booking(world.patients[0], world.centro.slot(0, start, 30));
    let appointment = request.appointment_id.clone();
    world
        .through(node)
        .book(request)
        .await
        .unwrap_or_else(|error| panic!("through {node}: {error}"));
    let there = appointments(&world.through(seen_by), world.centro.unit).await;
    assert!(there.iter().any(|one| one.id == appointment), "{seen_by} does not show it");
}

pub(crate) async fn with_the_link_between_the_units_cut_both_go_on_through_the_third(
    world: &World,
) {
    let network = &world.network;
    let leader = network.leader().await;
    let links = network.links();
    assert!(links.open_between("centro", "jardins") > 0, "the relay knows who speaks with whom");
    links.cut("centro", "jardins");
    assert_eq!(links.open_between("centro", "jardins"), 0);
    let start = NOON + 70 * DAY;
    for (n, node) in ["jardins", "centro", "jardins", "centro"].into_iter().enumerate() {
        let n = i64::try_from(n).unwrap();
        a_booking_goes_through(world, node, leader, start + n * 60 * MINUTE).await;
    }
    // A conflict is seen across the cut as well.
    assert_eq!(
        code(
            world
                .through("jardins")
                .book(booking(world.patients[1], world.centro.slot(0, start, 30)))
                .await
        ),
        1204
    );
    assert_eq!(links.open_between("centro", "jardins"), 0, "nothing went over the cut link");
    links.mend();
    network.digests_agree().await;
}

pub(crate) async fn a_node_that_is_told_to_stop_hands_over_and_says_so(world: &mut World) {
    let leader = world.network.leader().await;
    let before = world.network.node(leader).log().len();
    assert!(world.network.stop(leader).success(), "{leader} ends well");
    let log = world.network.node(leader).log();
    let said = &log[before..];
    for words in ["stopping", "flushed", "node stopped"] {
        assert!(said.contains(words), "{leader} does not say {words:?}: {said}");
    }
    assert!(!said.contains("was not handed over"), "{said}");
    let next = world.network.leader().await;
    assert_ne!(next, leader);
    let other = if leader == "centro" { "jardins" } else { "centro" };
    a_booking_goes_through(world, other, other, NOON + 71 * DAY).await;
    world.network.run_node(leader);
    world.network.digests_agree().await;
}

pub(crate) async fn a_node_that_was_away_catches_up_from_a_snapshot(world: &mut World) {
    world.network.kill("jardins");
    let network = &world.network;
    let away_since = network.status("centro").await.unwrap().applied_index;
    let centro = network.client(crate::world::SOFTWARE, &["centro", "cofre"]);
    let kept = until("the log to be purged past it", || async {
        for _ in 0..100 {
            let record = wire::AddRecordRequest {
                header: None,
                record_id: id().to_wire(),
                patient_id: world.patients[2].to_wire(),
                unit_id: world.centro.unit.to_wire(),
                kind: "Observation".to_owned(),
                authored_ms: NOON,
                document: b"{}".to_vec().into(),
            };
            centro.add_record(record).await.map_err(|error| error.to_string())?;
        }
        let leader = network.leader().await;
        let purged = network.status(leader).await.map_err(|error| error.to_string())?.purged_index;
        if purged > away_since {
            Ok(purged)
        } else {
            Err(format!("purged {purged}, away since {away_since}"))
        }
    })
    .await;
    world.network.run_node("jardins");
    world.network.digests_agree().await;
    let status = world.network.status("jardins").await.unwrap();
    assert!(status.snapshot_index >= kept, "no snapshot came: {} < {kept}", status.snapshot_index);
}

pub(crate) async fn a_unit_without_its_root_slot_votes_and_serves_no_content(world: &mut World) {
    let network = &mut world.network;
    assert!(network.stop("jardins").success());
    let config = network.node("jardins").config();
    let whole = fs::read_to_string(&config).unwrap();
    let without: Vec<&str> = whole.lines().filter(|line| !line.starts_with("root = ")).collect();
    fs::write(&config, without.join("\n")).unwrap();
    network.run_node("jardins");
    network.digests_agree().await;
    assert!(!network.status("jardins").await.unwrap().unsealed);

    let record = id();
    let request = wire::AddRecordRequest {
        header: None,
        record_id: record.to_wire(),
        patient_id: world.patients[0].to_wire(),
        unit_id: world.centro.unit.to_wire(),
        kind: "Observation".to_owned(),
        authored_ms: NOON,
        document: b"{}".to_vec().into(),
    };
    world.through("centro").add_record(request).await.unwrap();
    let sealed = world.through("jardins").with_policy(crate::world::hasty());
    let request = wire::GetRecordRequest { read: None, record_id: record.to_wire(), version: 0 };
    assert_eq!(code(sealed.get_record(request).await), 2001);
    let request =
        wire::GetPatientRequest { read: None, patient_id: world.patients[0].to_wire(), version: 0 };
    assert_eq!(code(sealed.get_patient(request).await), 2001);
    // The same of the off-site node, which never has a key.
    let off_site = world.through("cofre").with_policy(crate::world::hasty());
    let request = wire::GetRecordRequest { read: None, record_id: record.to_wire(), version: 0 };
    assert_eq!(code(off_site.get_record(request).await), 2001);
    appointments(&sealed, world.centro.unit).await;

    // Its vote counts: with the off-site node gone, it is half of the majority.
    let network = &mut world.network;
    assert!(network.stop("cofre").success());
    a_booking_goes_through(world, "centro", "centro", NOON + 72 * DAY).await;
    let network = &mut world.network;
    network.run_node("cofre");
    assert!(network.stop("jardins").success());
    fs::write(&config, whole).unwrap();
    network.run_node("jardins");
    network.digests_agree().await;
    assert!(network.status("jardins").await.unwrap().unsealed);
}

fn refused(what: &str, output: &Output, words: &[&str]) {
    let said = text(output);
    assert!(!output.status.success(), "{what} was not refused: {said}");
    for word in words {
        assert!(said.contains(word), "{what} does not say {word:?}: {said}");
    }
    assert!(!said.contains("panicked"), "{what}: {said}");
}

pub(crate) async fn what_would_endanger_the_others_does_not_start(world: &mut World) {
    let network = &mut world.network;
    // A second process on the same directory, with ports of its own.
    let node = network.node("jardins");
    let ip = node.public().rsplit_once(':').unwrap().0.to_owned();
    let ports: Vec<String> = ["public", "admin", "peer", "metrics"]
        .iter()
        .zip(7500..)
        .map(|(key, port)| format!("listen.{key}={ip}:{port}"))
        .collect();
    let settings: Vec<&str> = ports.iter().flat_map(|setting| ["--set", setting]).collect();
    refused("a second process on one directory", &network.run("run", node, &settings), &["in use"]);
    refused("verify of a running node", &network.run("verify", node, &[]), &["in use"]);

    assert!(network.stop("jardins").success());
    let node = network.node("jardins");
    let verified = network.run("verify", node, &[]);
    assert!(verified.status.success(), "verify: {}", text(&verified));

    // Its disk was lost and only the identity is back: under its old id it would forget what it acknowledged.
    let (data, aside) = (node.data(), node.directory().join("aside"));
    for lost in ["log", "watermark"] {
        fs::rename(data.join(lost), &aside).unwrap();
        refused(
            &format!("a node without its {lost}"),
            &network.run("run", node, &[]),
            &["does not vote"],
        );
        if data.join(lost).exists() {
            let _ = fs::remove_dir_all(data.join(lost));
        }
        fs::rename(&aside, data.join(lost)).unwrap();
    }
    fs::rename(&data, &aside).unwrap();
    refused("a node without anything", &network.run("run", node, &[]), &["data directory"]);
    let _ = fs::remove_dir_all(&data);
    fs::rename(&aside, &data).unwrap();

    // A copy of this directory under another node's certificate, and the other way round.
    let cofre = network.node("cofre").directory();
    let (certificate, key) = (cofre.join("node.crt"), cofre.join("node.key"));
    let settings = [
        format!("tls.certificate={}", certificate.display()),
        format!("tls.key={}", key.display()),
    ];
    let output = network.run("run", node, &["--set", &settings[0], "--set", &settings[1]]);
    refused("another node's certificate", &output, &["the certificate says", "node 2"]);
    // Another node's directory with our keys.
    let stolen = node.directory().join("stolen");
    copy(&network.node("cofre").data(), &stolen);
    let output =
        network.run("run", node, &["--set", &format!("node.data_dir={}", stolen.display())]);
    refused("another node's directory", &output, &["the certificate says", "node 3"]);
    fs::remove_dir_all(stolen).unwrap();

    // Damage: `verify` finds it and says so by its exit code; the state is a cache, and the start rebuilds it.
    let state = node.data().join("state");
    let damaged = largest(&state);
    let mut bytes = fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&damaged, bytes).unwrap();
    let output = network.run("verify", node, &[]);
    let found = output.status.code();
    assert!(matches!(found, Some(0 | 9)), "verify ended with {found:?}: {}", text(&output));
    network.run_node("jardins");
    network.digests_agree().await;
}

fn largest(directory: &std::path::Path) -> std::path::PathBuf {
    let mut files = Vec::new();
    let mut ahead = vec![directory.to_path_buf()];
    while let Some(path) = ahead.pop() {
        if path.is_dir() {
            ahead.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            files.push((fs::metadata(&path).unwrap().len(), path));
        }
    }
    files.into_iter().max().unwrap().1
}

pub(crate) async fn a_join_token_lets_one_node_in_once(world: &mut World) {
    let network = &mut world.network;
    let token = network.token(false).await;
    let (first, second) =
        (network.prepare(Plan::off_site("visita")), network.prepare(Plan::off_site("intruso")));
    let joined = network.join(&first, &token);
    assert!(joined.status.success(), "{}", text(&joined));
    assert!(!text(&joined).contains(token.trim()), "the token is repeated");
    refused("a spent token", &network.join(&second, &token), &["PLT-1502"]);
    fs::remove_dir_all(second.directory()).unwrap();
    let third = network.prepare(Plan::off_site("intruso"));
    refused("a made-up token", &network.join(&third, "nao-e-um-token"), &[]);
    // The network is as well as before, and the guest is no voter.
    a_booking_goes_through(world, "centro", "centro", NOON + 73 * DAY).await;
    let status = world.network.status(world.network.leader().await).await.unwrap();
    let guest =
        status.members.iter().find(|member| member.name == "visita").expect("it is a member");
    assert_eq!(guest.role(), NodeRole::Learner);
}
