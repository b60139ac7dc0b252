//! The lead moves without loss, says afterwards how, and stays where a move would not be safe.

use crate::world::{Place, TOOL, World, booking};
use plantao_client::{Cluster, Error};
use plantao_proto::admin::v1::set_lead_policy_request::Change;
use plantao_proto::admin::v1::{
    GetHistoryRequest, LeadCause, LeadKind, LeadPolicy, LeadershipChange, NodeRole, Nothing, ScheduledSwitchover,
    SetLeadPolicyRequest, StandForElectionRequest, TransferLeadershipRequest, TransferLeadershipResponse,
};
use plantao_tests::network::{CLUSTER, Network};
use plantao_tests::wait::{PATIENCE, until, until_within};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const NODES: [&str; 3] = ["centro", "jardins", "cofre"];

fn operator(network: &Network) -> Cluster {
    network.client("rede/operator/plantao", &NODES)
}

/// The history as a node has it, the latest term first.
async fn history(network: &Network, node: &str) -> Result<Vec<LeadershipChange>, Error> {
    let found = network.admin(node).get_history(GetHistoryRequest::default()).await?;
    Ok(found.changes)
}

/// Waits until a node's history begins with this term.
async fn noted(network: &Network, node: &str, term: u64) -> LeadershipChange {
    until("the change in the history", || async {
        let found = history(network, node).await.map_err(|error| error.to_string())?;
        found.iter().find(|change| change.term == term).cloned().ok_or_else(|| format!("{found:?}"))
    })
    .await
}

async fn number(network: &Network, node: &str) -> u64 {
    network.status(node).await.unwrap().node_id
}

/// Moves the lead; repeated while a node is not ready for it.
async fn switch(network: &Network, to: &str, reason: &str) -> TransferLeadershipResponse {
    let operator = operator(network);
    let to_node_id = number(network, to).await;
    until("a switchover", || async {
        let request = TransferLeadershipRequest { to_node_id, reason: reason.to_owned(), ..Default::default() };
        operator.transfer_leadership(request).await.map_err(|error| format!("{error:?}"))
    })
    .await
}

/// Bookings one after the other, each acknowledged or not, until it is told to stop.
struct Writer {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<Result<u64, Error>>,
}

impl Writer {
    fn start(world: &World, place: Place, first_day_ms: i64) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let cluster = world.network.client(crate::world::SOFTWARE, &["centro", "jardins"]);
        let (stopping, count, patient) = (Arc::clone(&stop), Arc::clone(&acknowledged), world.patients[2]);
        let task = tokio::spawn(async move {
            let mut done = 0;
            while !stopping.load(Ordering::SeqCst) {
                let start = first_day_ms + i64::try_from(done).unwrap() * 10 * crate::world::MINUTE;
                cluster.book(booking(patient, place.slot(1, start, 10))).await?;
                done += 1;
                count.store(done, Ordering::SeqCst);
            }
            Ok(done)
        });
        Self { stop, acknowledged, task }
    }

    /// Waits until so many more are acknowledged than now.
    async fn more(&self, count: u64) {
        let from = self.acknowledged.load(Ordering::SeqCst);
        until("acknowledged writes", || async {
            let now = self.acknowledged.load(Ordering::SeqCst);
            if now >= from + count { Ok(()) } else { Err(now) }
        })
        .await;
    }

    /// How many were acknowledged; not one may have failed.
    async fn finish(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap().unwrap_or_else(|error| panic!("a write failed: {error}"))
    }
}

pub(crate) async fn the_lead_moves_under_load_and_no_write_fails(world: &World) {
    let network = &world.network;
    let before = crate::world::appointments(&world.through("centro"), world.jardins.unit).await.len();
    let writer = Writer::start(world, world.jardins, crate::world::NOON + 90 * crate::world::DAY);
    let mut terms = BTreeSet::new();
    for to in ["jardins", "centro", "jardins"] {
        // Whoever leads already hands over to nobody.
        let other = if to == "centro" { "jardins" } else { "centro" };
        if network.leader().await == to {
            switch(network, other, "antes do teste").await;
        }
        writer.more(5).await;
        let done = switch(network, to, "troca de nobreak").await;
        assert_ne!(done.from_node_id, done.to_node_id);
        writer.more(5).await;
        let change = noted(network, "cofre", done.term).await;
        assert_eq!((change.kind(), change.cause()), (LeadKind::Planned, LeadCause::Switchover), "{change:?}");
        assert_eq!((change.from_node_id, change.to_node_id), (done.from_node_id, done.to_node_id));
        assert_eq!((change.to_name.as_str(), change.reason.as_str()), (to, "troca de nobreak"));
        assert!(change.gap_ms.is_some() && change.detected_ms.is_none(), "{change:?}");
        assert!(terms.insert(done.term), "a term of its own");
    }
    let written = writer.finish().await;
    let after = crate::world::appointments(&world.through("jardins"), world.jardins.unit).await.len();
    assert_eq!(after - before, usize::try_from(written).unwrap(), "each acknowledged write once");
    // One row for each term, on each node the same.
    for node in NODES {
        let found = history(network, node).await.unwrap();
        let told: BTreeSet<u64> = found.iter().map(|change| change.term).collect();
        assert_eq!(told.len(), found.len(), "{node}: {found:?}");
        assert!(terms.is_subset(&told), "{node}: {found:?}");
    }
}

pub(crate) async fn a_plan_for_another_leader_is_refused(world: &World) {
    // With an election in between, on a machine that stood still, it is another network; not so each time.
    let mut why = Vec::new();
    for _ in 0..3 {
        match stale_and_double_plans(&world.network).await {
            Ok(()) => return,
            Err(error) => why.push(error),
        }
    }
    panic!("{why:?}");
}

async fn stale_and_double_plans(network: &Network) -> Result<(), String> {
    let leader = network.leader().await;
    let other = if leader == "centro" { "jardins" } else { "centro" };
    let (leads, follows) = (number(network, &leader).await, number(network, other).await);
    let request = |to: u64, expect: u64| TransferLeadershipRequest {
        to_node_id: to,
        expect_leader_id: expect,
        reason: "dois operadores".to_owned(),
        failback: false,
    };
    let plans = [
        // The operator saw another leader; only a leader hands over; there is no node 9.
        (&*leader, request(leads, follows), 2608),
        (other, request(follows, 0), 2601),
        (&*leader, request(9, leads), 2602),
    ];
    for (node, plan, expected) in plans {
        match network.admin(node).transfer_leadership(plan).await {
            Err(error) if error.code() == Some(expected) => {}
            result => return Err(format!("{expected} of {node}: {result:?}")),
        }
    }
    if network.leader().await != leader {
        return Err("a plan that was refused was tried".to_owned());
    }

    // Two operators at once, with the same plan: one of them does it, the other learns that it is done.
    until("both voters to be ready", || async {
        let status = network.status(&leader).await.map_err(|error| error.to_string())?;
        let heard =
            |id| status.members.iter().any(|one| one.node_id == id && one.last_contact_ms.is_some_and(|ms| ms < 500));
        if heard(follows) || network.leader().await != leader { Ok(()) } else { Err(format!("{:?}", status.members)) }
    })
    .await;
    let (one, two) = (network.admin(&leader), network.admin(&leader));
    let plan = || request(follows, leads);
    let both = tokio::join!(one.transfer_leadership(plan()), two.transfer_leadership(plan()));
    let both = [both.0, both.1];
    let as_planned = |result: &Result<TransferLeadershipResponse, Error>| match result {
        Ok(done) => (done.from_node_id, done.to_node_id) == (leads, follows),
        Err(error) => [Some(2601), Some(2608)].contains(&error.code()),
    };
    if !both.iter().all(as_planned) || !both.iter().any(Result::is_ok) {
        return Err(format!("{both:?}"));
    }
    let now = network.leader().await;
    if now == other { Ok(()) } else { Err(format!("{now} leads")) }
}

pub(crate) async fn a_leader_that_dies_is_in_the_history_and_no_leader_is_told(world: &mut World) {
    if world.network.leader().await == "cofre" {
        switch(&world.network, "centro", "antes do teste").await;
    }
    let died = world.network.leader().await;
    let term = world.network.status(&died).await.unwrap().term;
    let dead = number(&world.network, &died).await;
    world.network.kill(&died).await;
    let network = &world.network;
    let (change, by) = until("an automatic change", || async {
        let mut seen = Vec::new();
        for node in NODES.iter().filter(|node| **node != died) {
            let found = history(network, node).await.map_err(|error| error.to_string())?;
            if let Some(change) = found.iter().find(|change| change.term > term && change.from_node_id == dead) {
                return Ok((change.clone(), *node));
            }
            seen.push(found.first().cloned());
        }
        Err(format!("{seen:?}"))
    })
    .await;
    assert_eq!((change.kind(), change.cause()), (LeadKind::Automatic, LeadCause::Silence), "{by}: {change:?}");
    let (detected, gap) = (change.detected_ms.unwrap(), change.gap_ms.unwrap());
    assert!(detected <= gap, "{change:?}");

    // One voter alone: nobody leads, whatever that one believes of itself. It led, and learns that nobody follows. Its rows
    // are there to read; without being asked for old ones, the tool says so.
    let last = world.network.leader().await;
    let second = NODES.into_iter().find(|node| *node != died && *node != last).unwrap();
    world.network.kill(second).await;
    let network = &world.network;
    until("the end of the last lead", || async {
        let (code, said) = tool(network, &["history"]).await;
        if (code, said.contains("PLT-9023")) == (5, true) { Ok(()) } else { Err(format!("{code}: {said}")) }
    })
    .await;
    let status = network.status(&last).await.unwrap();
    assert_eq!((status.role(), status.leader_id), (NodeRole::Candidate, 0), "{status:?}");
    assert!(status.warnings.iter().any(|warning| warning.code == 2101), "{:?}", status.warnings);
    let (code, said) = tool(network, &["history", "--stale"]).await;
    assert!(code == 0 && said.contains("automatic"), "{code}: {said}");
    assert!(history(network, &last).await.unwrap().iter().any(|one| one.term == change.term));
    let request = TransferLeadershipRequest { reason: "ninguém".to_owned(), ..Default::default() };
    let refused = network.admin(&last).transfer_leadership(request).await;
    assert_eq!(refused.unwrap_err().code(), Some(2601));
    for node in [second, died.as_str()] {
        world.network.run_node(node).await;
    }
    world.network.digests_agree().await;
}

/// What an operator types, with its exit code.
pub(crate) async fn tool(network: &Network, arguments: &[&str]) -> (i32, String) {
    let (certificate, key) = network.credentials("rede/operator/plantao");
    let admins: Vec<String> = NODES.iter().map(|node| network.node(node).admin()).collect();
    let mut tool = tokio::process::Command::new(TOOL);
    tool.env_clear().args(arguments).args(["--cluster", CLUSTER, "--lang", "en", "--no-input", "-o", "json"]);
    tool.args(["--endpoint", &network.node("centro").public(), "--admin-endpoint", &admins.join(",")]);
    tool.arg("--ca").arg(network.roots()).arg("--cert").arg(certificate).arg("--key").arg(key);
    tool.stdin(std::process::Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, tool.output()).await.unwrap().unwrap();
    plantao_tests::json_tables::told(&output);
    (output.status.code().unwrap_or(-1), plantao_tests::network::text(&output))
}

pub(crate) async fn the_tool_moves_the_lead_and_shows_it(world: &World) {
    let network = &world.network;
    until("the voters to be ready", || async {
        let (code, said) = tool(network, &["switchover", "--reason", "ensaio", "--yes"]).await;
        if code == 0 && said.contains("write_gap_ms") { Ok(()) } else { Err(format!("{code}: {said}")) }
    })
    .await;
    let (code, said) = tool(network, &["switchover", "--yes"]).await;
    assert_eq!((code, said.contains("PLT-9040")), (2, true), "{said}");
    let (code, said) = tool(network, &["switchover", "--reason", "ensaio"]).await;
    assert_eq!((code, said.contains("--yes")), (2, true), "{said}");
    let leader = network.leader().await;
    let other = NODES.into_iter().find(|node| *node != leader).unwrap();
    let (code, said) = tool(network, &["switchover", "--expect-leader", other, "--reason", "ensaio", "--yes"]).await;
    assert_eq!((code, said.contains("PLT-9022")), (6, true), "{said}");
    until("the switchover in the history", || async {
        let (code, said) = tool(network, &["history", "-n", "5"]).await;
        if code == 0 && said.contains("ensaio") { Ok(()) } else { Err(format!("{code}: {said}")) }
    })
    .await;
}

/// What a node says of what operators want of the lead.
async fn policy(network: &Network, node: &str) -> Result<LeadPolicy, String> {
    let status = network.status(node).await.map_err(|error| error.to_string())?;
    status.lead.ok_or_else(|| "no policy".to_owned())
}

pub(crate) async fn set(network: &Network, change: Change) -> Result<bool, Error> {
    let leader = network.leader().await;
    let request = SetLeadPolicyRequest { reason: "obra".to_owned(), change: Some(change) };
    network.admin(&leader).set_lead_policy(request).await.map(|done| done.changed)
}

async fn leads(network: &Network, node: &str) {
    // It must have answered without a break for ten seconds before the lead goes there by itself.
    until_within(PATIENCE * 4, "the lead of that node", || async {
        let now = network.leader().await;
        if now == node { Ok(()) } else { Err(now) }
    })
    .await;
}

async fn serves(network: &Network, node: &str, answer: [u8; 2]) {
    let (certificate, key) = network.credentials(crate::world::SOFTWARE);
    until("health to follow", || async {
        let channel = crate::raw::with_files(network, &certificate, &key, &network.node(node).public());
        let said = crate::raw::call(channel, "/grpc.health.v1.Health/Check", Vec::new().into()).await;
        let said = said.map_err(|error| format!("{error:?}"))?;
        if said[..] == answer { Ok(()) } else { Err(format!("{said:?}")) }
    })
    .await;
}

pub(crate) async fn the_lead_goes_where_operators_want_it(world: &World) {
    let network = &world.network;
    let drained = network.leader().await;
    let id = number(network, &drained).await;
    assert!(set(network, Change::DrainNodeId(id)).await.unwrap());
    serves(network, &drained, [8, 2]).await;
    until("another leader", || async {
        let now = network.leader().await;
        if now == drained { Err(now) } else { Ok(()) }
    })
    .await;
    let other = if drained == "centro" { "jardins" } else { "centro" };
    let change = until("the drain in the history", || async {
        let found = history(network, other).await.map_err(|error| error.to_string())?;
        let found = found.into_iter().find(|change| change.cause() == LeadCause::Drain);
        found.ok_or_else(|| "not yet".to_owned())
    })
    .await;
    assert_eq!((change.kind(), change.from_node_id), (LeadKind::Planned, id), "{change:?}");
    until("a drained node gets no lead", || async {
        let plan = TransferLeadershipRequest { to_node_id: id, reason: "x".to_owned(), ..Default::default() };
        match network.admin(&network.leader().await).transfer_leadership(plan).await {
            Err(error) if error.code() == Some(1701) => Ok(()),
            result => Err(format!("{result:?}")),
        }
    })
    .await;
    assert!(set(network, Change::UndrainNodeId(id)).await.unwrap());
    serves(network, &drained, [8, 1]).await;

    // Where the lead belongs, it goes by itself; and by an operator's failback at once.
    assert!(set(network, Change::PreferNodeId(id)).await.unwrap());
    leads(network, &drained).await;
    let cofre = number(network, "cofre").await;
    assert_eq!(set(network, Change::PreferNodeId(cofre)).await.unwrap_err().code(), Some(1704));
    assert!(set(network, Change::PreferNodeId(0)).await.unwrap());
    assert!(!set(network, Change::PreferNodeId(0)).await.unwrap(), "so already");

    // A time that has come is acted on; one too far ahead is refused, and so is a second one.
    let now_ms = network.status("centro").await.unwrap().now_ms;
    let day = crate::world::DAY;
    let to_node_id = number(network, other).await;
    let at = |at_ms| Change::Schedule(ScheduledSwitchover { at_ms, to_node_id });
    assert_eq!(set(network, at(now_ms + 31 * day)).await.unwrap_err().code(), Some(1702));
    assert!(set(network, at(now_ms + day)).await.unwrap());
    assert_eq!(set(network, at(now_ms + 2 * day)).await.unwrap_err().code(), Some(1703));
    for node in NODES {
        until("the schedule on each node", || async {
            let schedule = policy(network, node).await?.schedule.ok_or_else(|| "none".to_owned())?;
            if schedule.at_ms == now_ms + day { Ok(()) } else { Err(format!("{schedule:?}")) }
        })
        .await;
    }
    assert!(set(network, Change::CancelSchedule(Nothing {})).await.unwrap());
    let soon = network.status("centro").await.unwrap().now_ms + 10_000;
    assert!(set(network, at(soon)).await.unwrap());
    leads(network, other).await;
    until("the schedule to be done with", || async {
        let schedule = policy(network, other).await?.schedule;
        if schedule.is_none() { Ok(()) } else { Err(format!("{schedule:?}")) }
    })
    .await;
    let told = history(network, other).await.unwrap();
    assert!(told.iter().any(|one| one.cause() == LeadCause::Scheduled && one.reason == "obra"), "{told:?}");
}

pub(crate) async fn in_a_pause_nobody_leads_before_an_operator_says_so(world: &mut World) {
    let network = &world.network;
    if network.leader().await == "cofre" {
        switch(network, "centro", "antes do teste").await;
    }
    let died = network.leader().await;
    let next = if died == "centro" { "jardins" } else { "centro" };
    let now_ms = network.status(next).await.unwrap().now_ms;
    let too_long = set(network, Change::PauseUntilMs(now_ms + 25 * 3_600_000)).await;
    assert_eq!(too_long.unwrap_err().code(), Some(1702));
    assert!(set(network, Change::PauseUntilMs(now_ms + 3_600_000)).await.unwrap());
    assert!(set(network, Change::MaintenanceUntilMs(now_ms + 3_600_000)).await.unwrap());
    for node in NODES {
        until("the pause on each node", || async {
            let policy = policy(network, node).await?;
            let so = policy.pause.is_some() && policy.maintenance.is_some() && !policy.stands_for_election;
            if so { Ok(()) } else { Err(format!("{policy:?}")) }
        })
        .await;
    }
    // A leader that is heard is not voted out.
    let id = number(network, next).await;
    let stand = |node_id| StandForElectionRequest { node_id, reason: "sem resposta".to_owned() };
    assert_eq!(network.admin(next).stand_for_election(stand(id)).await.unwrap_err().code(), Some(2610));
    assert_eq!(network.admin(next).stand_for_election(stand(77)).await.unwrap_err().code(), Some(2613));
    let term = network.status(next).await.unwrap().term;

    world.network.kill(&died).await;
    let network = &world.network;
    // Much longer than any election.
    until("a long silence", || async {
        for node in NODES.into_iter().filter(|node| *node != died) {
            let status = network.status(node).await.map_err(|error| error.to_string())?;
            assert_eq!(status.term, term, "{node} stood for election in a pause");
            if status.leader_contact_ms < 6_000 {
                return Err(format!("{node}: {} ms", status.leader_contact_ms));
            }
        }
        Ok(())
    })
    .await;
    let (code, said) = tool(network, &["failover", "--to", next, "--reason", "sem resposta", "--yes"]).await;
    assert_eq!((code, said.contains("\"elected\": true")), (0, true), "{said}");
    leads(network, next).await;
    let change = until("the failover in the history", || async {
        let found = history(network, next).await.map_err(|error| error.to_string())?;
        found.into_iter().find(|change| change.cause() == LeadCause::Failover).ok_or_else(|| "not yet".to_owned())
    })
    .await;
    assert_eq!((change.kind(), change.reason.as_str()), (LeadKind::Forced, "sem resposta"), "{change:?}");
    let (code, said) = tool(network, &["status"]).await;
    assert!(code == 0 && said.contains("\"pause\": {") && said.contains("\"maintenance\": {"), "{said}");
    for command in [["resume", "--yes"].as_slice(), &["maintenance", "stop", "--yes"]] {
        let (code, said) = tool(network, command).await;
        assert_eq!((code, said.contains("\"changed\": true")), (0, true), "{said}");
    }
    world.network.run_node(&died).await;
    world.network.digests_agree().await;
}
