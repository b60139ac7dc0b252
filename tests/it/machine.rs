//! A unit's computer misbehaves: its disk is full, its disk cannot be written, its clock is an hour off. The others go on,
//! the node says what it is, and when that is mended it is a member as before.

use crate::lead::{set, tool};
use crate::world::{World, id};
use plantao_proto::admin::v1::set_lead_policy_request::Change;
use plantao_proto::admin::v1::{GetHistoryRequest, LeadCause, LeadKind};
use plantao_tests::network::Network;
use plantao_tests::wait::until;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// For a node's data and half as much again.
const SIZE: &str = "size=512m";
/// Debian's package `faketime`.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// A file system of its own over a directory, in memory. It goes with the value.
struct Disk(PathBuf);

impl Disk {
    /// `Err`: it may not be mounted here, and why.
    fn over(directory: &Path) -> Result<Self, String> {
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "plantao-test"]).arg(directory).output();
        succeeded(done).map(|()| Self(directory.to_owned()))
    }

    fn writable(&self, writable: bool) {
        let how = if writable { "remount,rw" } else { "remount,ro" };
        succeeded(Command::new("mount").args(["-o", how]).arg(&self.0).output()).unwrap();
    }

    /// Leaves no byte free; the file that takes all of them.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("cheio");
        let mut file = fs::File::create(&path).unwrap();
        for size in [1 << 20, 4 << 10, 1] {
            loop {
                match file.write_all(&vec![0; size]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

fn succeeded(done: std::io::Result<Output>) -> Result<(), String> {
    match done {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[expect(clippy::print_stdout, reason = "whoever reads the run must see what was not tested")]
fn skip(why: &str) {
    println!("skipped: {why}");
}

/// Copies what is in a directory, with directories and modes, into another that is empty.
fn copy(from: &Path, to: &Path) {
    succeeded(Command::new("cp").arg("-a").arg(from.join(".")).arg(to).output()).unwrap();
}

/// Waits until the lead is where the test wants it.
async fn lead_to(network: &Network, node: &str) {
    until("the lead", || async {
        if network.leader().await == node {
            return Ok(());
        }
        let (code, said) = tool(network, &["switchover", "--to", node, "--reason", "ensaio", "--yes"]).await;
        Err(format!("{code}: {said}"))
    })
    .await;
}

/// A record through a unit, for as long as it takes.
async fn record_through(world: &World, node: &str) {
    let (record, through) = (id(), world.through(node));
    until("a record", || async {
        through.add_record(world.record(record, world.patients[0])).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

async fn gone(world: &mut World, node: &str) {
    until("the end of that process", || {
        let ended = world.network.fell(node);
        async move { if ended { Ok(()) } else { Err("it runs") } }
    })
    .await;
}

pub(crate) async fn a_disk_that_is_full_or_cannot_be_written_costs_one_node(world: &mut World) {
    let data = world.network.node("jardins").data_dir().to_owned();
    world.network.stop("jardins").await;
    let kept = data.with_extension("antes");
    fs::rename(&data, &kept).unwrap();
    fs::create_dir(&data).unwrap();
    let disk = match Disk::over(&data) {
        Ok(disk) => disk,
        Err(why) => {
            skip(&format!("no file system can be mounted here: {why}"));
            fs::remove_dir(&data).unwrap();
            fs::rename(&kept, &data).unwrap();
            world.network.run_node("jardins").await;
            return;
        }
    };
    copy(&kept, &data);
    world.network.run_node("jardins").await;
    world.network.digests_agree().await;
    lead_to(&world.network, "jardins").await;

    // The leader cannot write one entry more: it ends rather than promise what it cannot keep, and the others go on.
    let filler = disk.fill();
    record_through(world, "centro").await;
    gone(world, "jardins").await;
    record_through(world, "centro").await;
    let log = world.network.log("jardins");
    let last = log.lines().rev().find(|line| line.contains("\"ERROR\"")).unwrap_or_default();
    assert!(log.contains("No space left on device"), "{last}");
    assert!(
        log.contains("disk of a directory of this node is full") && log.contains("make room on that disk"),
        "{last}"
    );

    // With room again it is a member as before.
    fs::remove_file(filler).unwrap();
    world.network.run_node("jardins").await;
    record_through(world, "jardins").await;
    world.network.digests_agree().await;

    // A disk that the system made read-only, as it does after errors: the node does not start, says so, and changes nothing.
    world.network.stop("jardins").await;
    disk.writable(false);
    let said = world.network.run("run", world.network.node("jardins"), &[]);
    let words = plantao_tests::network::text(&said);
    assert!(!said.status.success() && words.contains("Read-only file system"), "{words}");
    assert!(words.contains("is mounted read-only") && words.contains("look for errors of the disk"), "{words}");
    record_through(world, "centro").await;
    disk.writable(true);
    world.network.run_node("jardins").await;
    world.network.digests_agree().await;

    world.network.stop("jardins").await;
    let after = data.with_extension("depois");
    fs::create_dir(&after).unwrap();
    copy(&data, &after);
    drop(disk);
    fs::remove_dir(&data).unwrap();
    fs::rename(&after, &data).unwrap();
    world.network.run_node("jardins").await;
    world.network.digests_agree().await;
}

pub(crate) async fn a_clock_that_is_an_hour_off_loses_the_lead_and_is_told(world: &mut World) {
    if !Path::new(FAKETIME).exists() {
        skip(&format!("{FAKETIME} is not on this machine (Debian's package faketime)"));
        return;
    }
    world.network.stop("jardins").await;
    let words = ["env", &format!("LD_PRELOAD={FAKETIME}"), "FAKETIME=+1h", "FAKETIME_DONT_FAKE_MONOTONIC=1"];
    world.network.start_through("jardins", &words);
    world.network.run_node("jardins").await;
    let network = &world.network;
    let off = network.status("jardins").await.unwrap().now_ms - network.status("centro").await.unwrap().now_ms;
    assert!((3_500_000..3_700_000).contains(&off), "{off} ms");
    until("the doctor to find the clock", || async {
        let (code, said) = tool(network, &["doctor"]).await;
        let found = said.contains("the clock of jardins differs by 3");
        if found { Ok(()) } else { Err(format!("{code}: {said}")) }
    })
    .await;

    // It is no leader for anybody who may choose.
    lead_to(network, "centro").await;
    until("the refusal of a clock that is off", || async {
        let (code, said) = tool(network, &["switchover", "--to", "jardins", "--reason", "ensaio", "--yes"]).await;
        if (code, said.contains("PLT-2614")) == (6, true) { Ok(()) } else { Err(format!("{code}: {said}")) }
    })
    .await;

    // But where it must be, nothing is stamped with its time: or every request of an hour would have come too late.
    let until_ms = network.status("centro").await.unwrap().now_ms + 3_600_000;
    until("the pause", || set(network, Change::PauseUntilMs(until_ms))).await;
    until("the pause on each node", || async {
        for node in ["jardins", "cofre"] {
            let lead = network.status(node).await.map_err(|error| error.to_string())?.lead;
            if lead.as_ref().is_none_or(|lead| lead.pause.is_none() || lead.stands_for_election) {
                return Err(format!("{lead:?}"));
            }
        }
        Ok(())
    })
    .await;
    world.network.kill("centro").await;
    let network = &world.network;
    until("the failover", || async {
        let (code, said) = tool(network, &["failover", "--to", "jardins", "--reason", "ensaio", "--yes"]).await;
        if code == 0 { Ok(()) } else { Err(format!("{code}: {said}")) }
    })
    .await;
    record_through(world, "jardins").await;
    world.network.run_node("centro").await;
    record_through(world, "centro").await;

    // As soon as it may, it hands over: a majority agrees on another time.
    let network = &world.network;
    until("the end of the pause", || async {
        let (code, said) = tool(network, &["resume", "--yes"]).await;
        if code == 0 { Ok(()) } else { Err(format!("{code}: {said}")) }
    })
    .await;
    until("another leader", || async {
        let leader = network.leader().await;
        if leader == "jardins" { Err(leader) } else { Ok(()) }
    })
    .await;
    let off = network.status("jardins").await.unwrap().node_id;
    let (now_ms, told) = until("the change in the history", || async {
        let now_ms = network.status("centro").await.map_err(|error| error.to_string())?.now_ms;
        let told = network.admin("centro").get_history(GetHistoryRequest::default()).await;
        let told = told.map_err(|error| error.to_string())?.changes;
        if told.iter().any(|change| change.from_node_id == off) { Ok((now_ms, told)) } else { Err(format!("{told:?}")) }
    })
    .await;
    // A machine that stands still loses the lead by silence.
    let left = told.iter().find(|change| change.from_node_id == off).unwrap();
    assert!(left.kind() == LeadKind::Automatic || left.cause() == LeadCause::Clock, "{left:?}");
    assert!(told.iter().all(|change| change.at_ms < now_ms + 60_000), "{told:?}");

    world.network.stop("jardins").await;
    world.network.start_through("jardins", &[]);
    world.network.run_node("jardins").await;
    world.network.digests_agree().await;
}
