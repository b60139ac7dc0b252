//! Entries of the log rot on one node: the others go on by themselves, and it says which. They rot on two: nobody votes with what
//! is left, nothing is cut or invented, and each entry is named with the nodes that have it whole. With the bytes put right
//! everything is there.

use crate::members::leader;
use crate::world::{DAY, MINUTE, NOON, SOFTWARE, World, booking};
use plantao_client::services::LINEARIZABLE;
use plantao_proto::public::v1::GetAppointmentRequest;
use plantao_tests::network::{Network, text};
use plantao_tests::wait::until;
use std::fs;
use std::path::PathBuf;

/// A file of the log, as it was before a bit of it flipped.
struct Rot {
    path: PathBuf,
    good: Vec<u8>,
    bad: Vec<u8>,
}

impl Rot {
    /// Flips a bit of an entry, about the middle of what the last file of a stopped node's log holds. Between entries lie records
    /// that say how far the log is committed: a bit of those loses no entry, so `verify` is asked which it was.
    fn of(network: &Network, name: &str) -> Self {
        let log = network.node(name).data_dir().join("log");
        let files = fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> =
            files.filter(|path| path.extension().is_some_and(|extension| extension == "wal")).collect();
        files.sort();
        let path = files.pop().unwrap();
        let good = fs::read(&path).unwrap();
        let used = good.iter().rposition(|byte| *byte != 0).unwrap();
        for at in (used / 2..used).step_by(61) {
            let mut bad = good.clone();
            bad[at] ^= 4;
            fs::write(&path, &bad).unwrap();
            if !lost(&report(network, name).1).is_empty() {
                return Self { path, good, bad };
            }
        }
        panic!("no flipped bit of {used} bytes loses an entry");
    }

    /// Nobody touched it since.
    fn is_as_left(&self) -> bool {
        fs::read(&self.path).unwrap() == self.bad
    }

    fn mend(&self) {
        fs::write(&self.path, &self.good).unwrap();
    }
}

/// The node does not start, says which entries it lacks, and leaves its log alone.
fn refuses(network: &Network, name: &str, rot: &Rot) {
    let output = network.run("run", network.node(name), &[]);
    let said = text(&output);
    assert!(!output.status.success(), "{name} runs: {said}");
    assert!(said.contains("do not read back") && said.contains("must not vote"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    assert!(rot.is_as_left(), "the log of {name} was changed");
}

/// What `verify` says, in a file.
fn report(network: &Network, name: &str) -> (Option<i32>, PathBuf) {
    let output = network.run("verify", network.node(name), &["-o", "json"]);
    plantao_tests::json_tables::told(&output);
    let path = network.directory().join(format!("{name}.json"));
    fs::write(&path, &output.stdout).unwrap();
    (output.status.code(), path)
}

/// The indices of entries that `verify` found lost.
fn lost(path: &PathBuf) -> Vec<u64> {
    let report: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let ranges = report["log_entries"]["lost"].as_array().cloned().unwrap_or_default();
    ranges.iter().flat_map(|range| range["from"].as_u64().unwrap()..=range["to"].as_u64().unwrap()).collect()
}

pub(crate) async fn a_network_goes_on_without_one_log_and_stops_without_two(world: &mut World) {
    let (patient, centro) = (world.patients[0], world.centro);
    let mut booked = Vec::new();
    for n in 0..12 {
        let request = booking(patient, centro.slot(0, NOON + 300 * DAY + n * 30 * MINUTE, 30));
        let software = world.network.client(SOFTWARE, &["centro", "jardins"]);
        software.book(request.clone()).await.unwrap();
        booked.push(request.appointment_id);
    }
    let network = &mut world.network;
    network.digests_agree().await;
    network.kill_all().await;

    let jardins = Rot::of(network, "jardins");
    refuses(network, "jardins", &jardins);
    network.run_node("centro").await;
    network.run_node("cofre").await;
    let request = booking(patient, centro.slot(0, NOON + 301 * DAY, 30));
    leader(network, &["centro", "cofre"]).await;
    network.client(SOFTWARE, &["centro"]).book(request.clone()).await.unwrap();
    booked.push(request.appointment_id);
    network.digests_agree().await;
    network.kill_all().await;

    let units = Rot::of(network, "centro");
    refuses(network, "centro", &units);
    refuses(network, "jardins", &jardins);
    let reports = ["centro", "jardins", "cofre"].map(|name| report(network, name));
    assert_eq!(reports.each_ref().map(|(code, _)| *code), [Some(9), Some(9), Some(0)]);
    let of_each = reports.each_ref().map(|(_, path)| lost(path));
    assert!(!of_each[0].is_empty() && !of_each[1].is_empty() && of_each[2].is_empty(), "{of_each:?}");
    let paths = reports.each_ref().map(|(_, path)| path.to_str().unwrap());
    let copies = network.daemon(&["log-copies", "-o", "json", paths[0], paths[1], paths[2]]);
    assert!(copies.status.success(), "{}", text(&copies));
    let copies = plantao_tests::json_tables::told(&copies);
    let numbers = ["centro", "jardins", "cofre"].map(|name| network.node(name).id());
    let entries = copies["lost"].as_array().unwrap();
    let mut named: Vec<u64> = of_each.concat();
    named.sort_unstable();
    named.dedup();
    assert_eq!(entries.iter().map(|entry| entry["index"].as_u64().unwrap()).collect::<Vec<_>>(), named);
    for entry in entries {
        let index = entry["index"].as_u64().unwrap();
        let whole: Vec<u64> =
            entry["whole_on"].as_array().unwrap().iter().map(|copy| copy["node"].as_u64().unwrap()).collect();
        for (of, number) in of_each.iter().zip(numbers) {
            assert!(!(of.contains(&index) && whole.contains(&number)), "entry {index} is lost on {number}, and whole");
        }
        assert!(whole.contains(&numbers[2]), "entry {index} is whole on cofre");
    }
    assert!(units.is_as_left() && jardins.is_as_left());

    // A good copy of the disk's bytes is all that it takes.
    units.mend();
    jardins.mend();
    for name in ["centro", "jardins", "cofre"] {
        network.run_node(name).await;
    }
    let software = network.client(SOFTWARE, &["jardins"]);
    for appointment_id in booked {
        let request = GetAppointmentRequest { read: Some(LINEARIZABLE), appointment_id, content: false };
        until("an acknowledged booking", || software.get_appointment(request.clone())).await;
    }
    network.digests_agree().await;
}
