//! Work goes on without a link, without a node, without a key; and what must not start does not.

use crate::secrecy::copy;
use crate::world::{DAY, MINUTE, NOON, World, appointments, booking, code, id};
use plantao_client::pki::RenewWhen;
use plantao_client::retry::RetryPolicy;
use plantao_client::services::LOCAL;
use plantao_client::{Error, Id};
use plantao_node::local_network::NodeSpec;
use plantao_proto::admin::v1::NodeRole;
use plantao_proto::public::v1 as wire;
use plantao_tests::network::text;
use plantao_tests::wait::{PATIENCE, until};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

/// Books in a day of its own and looks whether the leader's side has it.
async fn a_booking_goes_through(world: &World, node: &str, seen_by: &str, start: i64) {
    let request = booking(world.patients[0], world.centro.slot(0, start, 30));
    let appointment = request.appointment_id.clone();
    world.through(node).book(request).await.unwrap_or_else(|error| panic!("through {node}: {error}"));
    let there = appointments(&world.through(seen_by), world.centro.unit).await;
    assert!(there.iter().any(|one| one.id == appointment), "{seen_by} does not show it");
}

pub(crate) async fn with_the_link_between_the_units_cut_both_go_on_through_the_third(world: &World) {
    let network = &world.network;
    let leader = network.leader().await;
    let links = network.links();
    assert!(links.open_between("centro", "jardins") > 0, "the relay knows who speaks with whom");
    links.cut("centro", "jardins");
    assert_eq!(links.open_between("centro", "jardins"), 0);
    let start = NOON + 70 * DAY;
    for (n, node) in ["jardins", "centro", "jardins", "centro"].into_iter().enumerate() {
        let n = i64::try_from(n).unwrap();
        a_booking_goes_through(world, node, &leader, start + n * 60 * MINUTE).await;
    }
    // A conflict is seen across the cut as well.
    assert_eq!(
        code(world.through("jardins").book(booking(world.patients[1], world.centro.slot(0, start, 30))).await),
        1204
    );
    assert_eq!(links.open_between("centro", "jardins"), 0, "nothing went over the cut link");
    links.mend();
    network.digests_agree().await;
}

pub(crate) async fn a_node_that_is_told_to_stop_hands_over_and_says_so(world: &mut World) {
    // A machine that stands still for an election's time spoils a handover, and the node says so: not three times.
    let mut handed_over = false;
    for attempt in 0..3 {
        let leader = world.network.leader().await;
        let before = world.network.log(&leader).len();
        world.network.stop(&leader).await;
        let log = world.network.log(&leader);
        let said = &log[before..];
        for words in ["stopping", "flushed", "node stopped"] {
            assert!(said.contains(words), "{leader} does not say {words:?}: {said}");
        }
        handed_over = !said.contains("was not handed over");
        let next = world.network.leader().await;
        assert_ne!(next, leader);
        let other = if leader == "centro" { "jardins" } else { "centro" };
        a_booking_goes_through(world, other, other, NOON + 71 * DAY + attempt * 60 * MINUTE).await;
        world.network.run_node(&leader).await;
        world.network.digests_agree().await;
        if handed_over {
            break;
        }
    }
    assert!(handed_over, "no leader that was told to stop could hand over");
}

pub(crate) async fn the_last_node_of_a_network_waits_for_nobody(world: &mut World) {
    let mut why = String::new();
    for _ in 0..5 {
        crate::upload_steps::lead(world, "centro").await;
        let before = world.network.log("centro").len();
        for name in ["jardins", "cofre", "centro"] {
            world.network.stop(name).await;
        }
        let log = world.network.log("centro");
        let said = &log[before..];
        assert!(!said.contains("was not handed over"), "it waited for a node that was gone: {said}");
        for name in ["centro", "jardins", "cofre"] {
            world.network.run_node(name).await;
        }
        world.network.digests_agree().await;
        if said.contains("nobody is there to take the lead") {
            return;
        }
        // Alone for some seconds it gives up the lead by itself, and the machine may have stood still for so long.
        why = said.to_owned();
    }
    panic!("it had no lead to hand over, each time: {why}");
}

pub(crate) async fn a_node_that_was_away_catches_up_from_a_snapshot(world: &mut World) {
    world.network.kill("jardins").await;
    let network = &world.network;
    let away_since = network.status("centro").await.unwrap().applied_index;
    let centro = network.client(crate::world::SOFTWARE, &["centro", "cofre"]);
    let kept = until("the log to be purged past it", || async {
        for _ in 0..100 {
            let record = world.record(id(), world.patients[2]);
            centro.add_record(record).await.map_err(|error| error.to_string())?;
        }
        let leader = network.leader().await;
        let purged = network.status(&leader).await.map_err(|error| error.to_string())?.purged_index;
        if purged > away_since { Ok(purged) } else { Err(format!("purged {purged}, away since {away_since}")) }
    })
    .await;
    world.network.run_node("jardins").await;
    world.network.digests_agree().await;
    let status = world.network.status("jardins").await.unwrap();
    assert!(status.snapshot_index >= kept, "no snapshot came: {} < {kept}", status.snapshot_index);
}

pub(crate) async fn a_unit_without_its_root_slot_votes_and_serves_no_content(world: &mut World) {
    let network = &mut world.network;
    network.stop("jardins").await;
    let config = network.node("jardins").config().to_owned();
    let whole = fs::read_to_string(&config).unwrap();
    let (before, slot) = whole.split_once("[slots.root]\n").unwrap();
    let after = slot.find("\n[").map_or("", |end| &slot[end..]);
    fs::write(&config, format!("{before}{after}")).unwrap();
    network.run_node("jardins").await;
    network.digests_agree().await;
    assert!(!network.status("jardins").await.unwrap().unsealed);

    let record = id();
    world.through("centro").add_record(world.record(record, world.patients[0])).await.unwrap();
    let sealed = world.through("jardins").with_policy(crate::world::unhurried());
    let request = wire::GetRecordRequest { read: None, record_id: record.to_wire(), version: 0 };
    assert_eq!(code(sealed.get_record(request).await), 2001);
    let request = wire::GetPatientRequest { read: None, patient_id: world.patients[0].to_wire(), version: 0 };
    assert_eq!(code(sealed.get_patient(request).await), 2001);
    // The same of the off-site node, which never has a key.
    let off_site = world.through("cofre").with_policy(crate::world::unhurried());
    let request = wire::GetRecordRequest { read: None, record_id: record.to_wire(), version: 0 };
    assert_eq!(code(off_site.get_record(request).await), 2001);
    appointments(&sealed, world.centro.unit).await;

    // Its vote counts: with the off-site node gone, it is half of the majority.
    let network = &mut world.network;
    network.stop("cofre").await;
    a_booking_goes_through(world, "centro", "centro", NOON + 72 * DAY).await;
    let network = &mut world.network;
    network.run_node("cofre").await;
    network.stop("jardins").await;
    fs::write(&config, whole).unwrap();
    network.run_node("jardins").await;
    network.digests_agree().await;
    assert!(network.status("jardins").await.unwrap().unsealed);
}

/// Until `stop`, with a count of what is done.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    writers: Vec<tokio::task::JoinHandle<Vec<Id>>>,
}

/// Writers that go on whatever happens, through both units; gives what was acknowledged. A write of unknown outcome is
/// repeated under its own id by the client, until it is decided.
fn start_load(world: &World, day: i64) -> Load {
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writer = |n: usize| {
        let order = if n.is_multiple_of(2) { ["centro", "jardins"] } else { ["jardins", "centro"] };
        let client = world.network.client(crate::world::SOFTWARE, &order);
        let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
        let (place, patient) = ([world.centro, world.jardins][n % 2], world.patients[n]);
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for minute in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let request = booking(patient, place.slot(n / 2, NOON + day * DAY + minute * MINUTE, 1));
                let appointment = Id::from_wire(&request.appointment_id).unwrap();
                client.book(request).await.unwrap_or_else(|error| panic!("writer {n}: {error}"));
                acknowledged.push(appointment);
                done.fetch_add(1, Ordering::Relaxed);
            }
            acknowledged
        })
    };
    let writers = (0..3).map(writer).collect();
    Load { stop, done, writers }
}

async fn all_are_there(world: &World, through: &str, acknowledged: &[Id]) {
    let reader = world.through(through);
    for appointment in acknowledged {
        let request = wire::GetAppointmentRequest { read: None, appointment_id: appointment.to_wire(), content: false };
        let found = reader.get_appointment(request).await;
        assert!(found.is_ok(), "{through} lost {appointment}: {found:?}");
    }
}

pub(crate) async fn what_was_acknowledged_survives_the_leader_and_a_power_cut_of_all(world: &mut World) {
    let leader = world.network.leader().await;
    let Load { stop, done, writers } = start_load(world, 80);
    let under_way = |least: usize| {
        let done = Arc::clone(&done);
        async move {
            let count = done.load(Ordering::Relaxed);
            if count >= least { Ok(count) } else { Err(format!("{count} of {least} writes")) }
        }
    };
    let before = until("the load to run", || under_way(20)).await;
    world.network.kill(&leader).await;
    // Somebody else leads and the load goes on, or the writers panic when their minute is over.
    let next = world.network.leader().await;
    assert_ne!(next, leader);
    until("the load to go on", || under_way(before + 20)).await;
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    assert!(acknowledged.len() >= before + 20);
    world.network.run_node(&leader).await;
    world.network.digests_agree().await;

    world.network.kill_all().await;
    let record = alone_it_reads_and_writes_nothing(world).await;
    for name in ["jardins", "cofre"] {
        world.network.run_node(name).await;
    }
    for unit in ["centro", "jardins"] {
        all_are_there(world, unit, &acknowledged).await;
    }
    // What was read while nobody else was there is told as soon as somebody is.
    let auditor = world.network.client("rede/auditor/auditoria", &["jardins"]);
    until("the lonely read in the trail", || async {
        let request = wire::ListEntriesRequest {
            patient_id: world.patients[0].to_wire(),
            module: wire::Module::Records.into(),
            page_size: 500,
            ..Default::default()
        };
        let entries = auditor.list_entries(request).await.map_err(|error| error.to_string())?.entries;
        let read = |entry: &&wire::AuditEntry| entry.object_id == record.to_wire() && entry.action == "read";
        let count = entries.iter().filter(read).count();
        if count == 1 { Ok(()) } else { Err(format!("{count} reads among {} entries", entries.len())) }
    })
    .await;
    world.network.digests_agree().await;
}

/// One node of three: the local agenda and records are read, nothing is written, and nothing is claimed to be.
async fn alone_it_reads_and_writes_nothing(world: &mut World) -> Id {
    for name in ["centro", "jardins"] {
        world.network.run_node(name).await;
    }
    let record = id();
    world.through("centro").add_record(world.record(record, world.patients[0])).await.unwrap();
    world.network.digests_agree().await;
    world.network.kill("jardins").await;

    let centro = world.through("centro");
    let request = wire::ListAppointmentsRequest {
        read: Some(LOCAL),
        of: Some(wire::list_appointments_request::Of::UnitId(world.centro.unit.to_wire())),
        from_ms: NOON,
        to_ms: NOON + 90 * DAY,
        page: None,
    };
    let answer = centro.list_appointments(request).await.unwrap();
    assert!(!answer.appointments.is_empty());
    let as_of = answer.as_of.unwrap();
    assert_eq!((as_of.consistency(), as_of.node_id), (wire::Consistency::Local, 1));
    let read = wire::GetRecordRequest { read: Some(LOCAL), record_id: record.to_wire(), version: 0 };
    assert_eq!(&centro.get_record(read).await.unwrap().document[..], b"{}");

    let hasty = centro.with_policy(RetryPolicy {
        write_lifetime: Duration::from_secs(2),
        read_deadline: Duration::from_secs(2),
        ..RetryPolicy::default()
    });
    let read = wire::GetRecordRequest { read: None, record_id: record.to_wire(), version: 0 };
    let refused = hasty.get_record(read).await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable(_)), "{refused:?}");
    let refused = hasty.book(booking(world.patients[0], world.centro.slot(0, NOON + 78 * DAY, 30))).await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable(_) | Error::Unknown { .. }), "{refused:?}");
    // Those two waited for seconds in vain, so this copy is older than one second.
    let bounded = wire::ReadOptions { staleness_ms_max: 1000, ..LOCAL };
    let read = wire::GetRecordRequest { read: Some(bounded), record_id: record.to_wire(), version: 0 };
    // It is asked again until its time is over, and the last try may be cut short by that.
    until("the refusal of what is too old", || async {
        match hasty.get_record(read.clone()).await {
            Err(error) if error.code() == Some(2102) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    record
}

/// The file that a journal of reads begins with its next note (`node/src/journal/segment.rs`: a segment is named by its first
/// sequence, and each entry is its length, a checksum and a frame).
fn next_segment(journal: &Path) -> PathBuf {
    let names = fs::read_dir(journal).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let firsts = names.filter_map(|name| u64::from_str_radix(name.strip_suffix(".seg")?, 16).ok());
    let mut next = firsts.max().unwrap_or(1);
    let bytes = fs::read(journal.join(format!("{next:016x}.seg"))).unwrap_or_default();
    let mut rest = &bytes[..];
    while let Some(length) = rest.first_chunk::<4>() {
        rest = &rest[8 + usize::try_from(u32::from_be_bytes(*length)).unwrap()..];
        next += 1;
    }
    journal.join(format!("{next:016x}.seg"))
}

pub(crate) async fn a_read_is_answered_only_when_it_is_written_down(world: &mut World) {
    let record = id();
    world.through("centro").add_record(world.record(record, world.patients[0])).await.unwrap();
    // Until its first read, a node that was started has no file of its journal open.
    world.network.stop("jardins").await;
    world.network.run_node("jardins").await;
    world.network.digests_agree().await;
    // A pipe for a file: it takes nothing as long as nobody reads at its other end, and can never be synced.
    let segment = next_segment(&world.network.node("jardins").data_dir().join("journal"));
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600));
    rustix::fs::mknodat(rustix::fs::CWD, &segment, kind, mode, 0).unwrap();
    let hasty = RetryPolicy { read_deadline: Duration::from_secs(1), ..RetryPolicy::default() };
    let jardins = world.through("jardins").with_policy(hasty);
    let read = wire::GetRecordRequest { read: Some(LOCAL), record_id: record.to_wire(), version: 0 };
    let refused = jardins.get_record(read.clone()).await;
    assert!(refused.is_err(), "shown before it is written down: {refused:?}");
    // On a busy machine the node has not even heard of it yet: somebody goes on asking.
    let asking = tokio::spawn(async move { while jardins.get_record(read.clone()).await.is_err() {} });

    let opened = tokio::task::spawn_blocking({
        let segment = segment.clone();
        move || fs::File::open(segment)
    });
    let pipe = tokio::time::timeout(PATIENCE, opened).await.expect("the node to write").unwrap().unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    while !world.network.fell("jardins") {
        assert!(std::time::Instant::now() < deadline, "it goes on without a journal");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(pipe);
    asking.abort();
    assert!(asking.await.is_err(), "shown before it is written down");
    assert!(world.network.log("jardins").contains("the journal of reads cannot be written"));
    fs::remove_file(segment).unwrap();
    world.network.run_node("jardins").await;
    world.network.digests_agree().await;
}

pub(crate) async fn a_watch_goes_on_through_the_loss_of_its_node(world: &mut World) {
    let start = NOON + 85 * DAY;
    let unit = world.jardins.unit;
    let watcher = world.network.client(crate::world::SOFTWARE, &["jardins", "centro"]);
    let centro = world.network.client(crate::world::SOFTWARE, &["centro"]);
    let book = |n: i64| booking(world.patients[1], world.jardins.slot(1, start + n * 60 * MINUTE, 30));
    let mut wanted = vec![centro.book(book(0)).await.unwrap().index];
    let from = wanted[0];
    let watching = tokio::spawn(async move { crate::trail::changes(&watcher, from, unit, 6).await });
    for n in 1..3 {
        wanted.push(centro.book(book(n)).await.unwrap().index);
    }
    world.network.kill("jardins").await;
    for n in 3..6 {
        wanted.push(centro.book(book(n)).await.unwrap().index);
    }
    let seen: Vec<u64> = watching.await.unwrap().iter().map(|change| change.index).collect();
    assert_eq!(seen, wanted, "each once, in order");
    world.network.run_node("jardins").await;
}

pub(crate) async fn new_certificates_are_taken_and_bad_ones_are_not(world: &World) {
    let network = &world.network;
    let node = network.node("cofre");
    let before = network.status("cofre").await.unwrap().certificate_not_after_ms;
    let name = "node".parse().unwrap();
    network.authority().renew(node.tls_dir(), &name, RenewWhen::Now, SystemTime::now()).unwrap();
    let taken = until("the new certificate", || async {
        let now = network.status("cofre").await.map_err(|error| error.to_string())?.certificate_not_after_ms;
        if now > before { Ok(now) } else { Err(format!("still {now}")) }
    })
    .await;
    let good = fs::read(node.tls_dir().join("node.crt")).unwrap();
    fs::write(node.tls_dir().join("node.crt"), &good[..good.len() / 2]).unwrap();
    until("the warning about the bad one", || async {
        let status = network.status("cofre").await.map_err(|error| error.to_string())?;
        assert_eq!(status.certificate_not_after_ms, taken, "the old one serves on");
        let warned = status.warnings.iter().any(|warning| warning.code == 2302);
        if warned { Ok(()) } else { Err(format!("{:?}", status.warnings)) }
    })
    .await;
    fs::write(node.tls_dir().join("node.crt"), good).unwrap();
    until("the warning to go", || async {
        let status = network.status("cofre").await.map_err(|error| error.to_string())?;
        let warned = status.warnings.iter().any(|warning| warning.code == 2302);
        if warned { Err("it stays") } else { Ok::<_, &str>(()) }.map_err(ToString::to_string)
    })
    .await;
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

    network.stop("jardins").await;
    let node = network.node("jardins");
    let verified = network.run("verify", node, &[]);
    assert!(verified.status.success(), "verify: {}", text(&verified));

    // Its disk was lost and only the identity is back: under its old id it would forget what it acknowledged.
    let (data, aside) = (node.data_dir(), node.directory().join("aside"));
    for lost in ["log", "watermark"] {
        fs::rename(data.join(lost), &aside).unwrap();
        refused(&format!("a node without its {lost}"), &network.run("run", node, &[]), &["does not vote"]);
        if data.join(lost).exists() {
            let _ = fs::remove_dir_all(data.join(lost));
        }
        fs::rename(&aside, data.join(lost)).unwrap();
    }
    fs::rename(data, &aside).unwrap();
    refused("a node without anything", &network.run("run", node, &[]), &["is not a node's directory"]);
    let _ = fs::remove_dir_all(data);
    fs::rename(&aside, data).unwrap();

    // A copy of this directory under another node's certificate, and the other way round.
    let cofre = network.node("cofre").tls_dir();
    let (certificate, key) = (cofre.join("node.crt"), cofre.join("node.key"));
    let settings = [format!("tls.certificate={}", certificate.display()), format!("tls.key={}", key.display())];
    let output = network.run("run", node, &["--set", &settings[0], "--set", &settings[1]]);
    refused("another node's certificate", &output, &["the certificate says", "node 2"]);
    // Another node's directory with our keys.
    let stolen = node.directory().join("stolen");
    copy(network.node("cofre").data_dir(), &stolen);
    let output = network.run("run", node, &["--set", &format!("node.data_dir={}", stolen.display())]);
    refused("another node's directory", &output, &["the certificate says", "node 3"]);
    fs::remove_dir_all(stolen).unwrap();

    // Damage: `verify` finds it and says so by its exit code; the state is a cache, and the start rebuilds it.
    let state = node.data_dir().join("state");
    let damaged = largest(&state);
    let mut bytes = fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&damaged, bytes).unwrap();
    let output = network.run("verify", node, &[]);
    let found = output.status.code();
    assert!(matches!(found, Some(0 | 9)), "verify ended with {found:?}: {}", text(&output));
    network.run_node("jardins").await;
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
        (network.prepare(NodeSpec::off_site("visita")), network.prepare(NodeSpec::off_site("intruso")));
    let said = network.join(first, &token).await.unwrap();
    let logged = network.log("visita");
    assert!(!said.iter().any(|line| line.contains(&token)) && !logged.contains(&token), "the token is repeated");
    let refused = network.join(second, &token).await.unwrap_err().to_string();
    assert!(refused.contains("PLT-1502") && !refused.contains("panicked"), "a spent token: {refused}");
    let third = network.prepare(NodeSpec::off_site("intruso-2"));
    let refused = network.join(third, "nao-e-um-token").await.unwrap_err().to_string();
    assert!(refused.contains("plt-") && !refused.contains("panicked"), "a made-up token: {refused}");
    // The network is as well as before, and the guest is no voter.
    a_booking_goes_through(world, "centro", "centro", NOON + 73 * DAY).await;
    // The leader makes a learner of it by itself, a moment later.
    let network = &world.network;
    let guest = until("the guest to be a member", || async {
        let status = network.status(&network.leader().await).await.map_err(|error| format!("{error:?}"))?;
        let guest = status.members.into_iter().find(|member| member.name == "visita");
        guest.ok_or_else(|| "it is not".to_owned())
    })
    .await;
    assert_eq!(guest.role(), NodeRole::Learner);
}
