//! The promises of consensus on real clusters: nothing acknowledged is lost, replicas are equal whatever their engine, and
//! what must be refused is.
#![allow(clippy::unwrap_used)]

mod cluster;

use std::sync::Arc;

use cluster::{Cluster, deadline, eventually, register_unit, us};
use openraft::storage::RaftStateMachine;
use openraft::testing::log::{StoreBuilder, Suite};
use plantao_proto::peer::v1 as wire;
use plantao_proto::peer::v1::raft_service_client::RaftServiceClient;
use tempfile::TempDir;
use tonic::Code;

use super::handle::IN_FLIGHT_MAX;
use super::log_store::LogStore;
use super::profile::Timers;
use super::state_machine::{Applier, StateMachine};
use super::types::TypeConfig;
use super::*;
use crate::storage::state::EngineKind;
use crate::storage::state::tests::Place;
use crate::storage::wal::testing;
use crate::transport::{Lane, PeerChannels};

const MIXED: [EngineKind; 3] = [EngineKind::Fjall, EngineKind::Fjall, EngineKind::Sled];

struct Stores(EngineKind);

impl StoreBuilder<TypeConfig, LogStore, StateMachine, (TempDir, Applier)> for Stores {
    async fn build(&self) -> Result<((TempDir, Applier), LogStore, StateMachine), openraft::StorageError<TypeConfig>> {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::new(directory.path(), self.0);
        let (store, _) = place.open();
        let (machine, applier) = StateMachine::start(store, Arc::new(place.snapshots())).unwrap();
        let log = LogStore::new(testing::create(&directory.path().join("raft")));
        Ok(((directory, applier), log, machine))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openrafts_own_suite_passes_on_fjall() {
    Suite::test_all(Stores(EngineKind::Fjall)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn openrafts_own_suite_passes_on_sled() {
    Suite::test_all(Stores(EngineKind::Sled)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_the_leader_and_replicas_are_equal_on_both_engines() {
    let mut cluster = Cluster::start(&MIXED).await;
    for number in 0..30 {
        // Through every node in turn: two of three forward.
        let at = u64::from(number % 3) + 1;
        let index = cluster.write(at, number).await;
        assert!(index > 0);
        assert!(cluster.read(u64::from((number + 1) % 3) + 1, number).await);
    }
    cluster.equal().await;

    let leader = cluster.leader().await;
    cluster.stop(leader).await;
    let survivor = *cluster.nodes.keys().next().unwrap();
    for number in 0..60 {
        if number >= 30 {
            cluster.write(survivor, number).await;
        }
        assert!(cluster.read(survivor, number).await, "unit {number} was acknowledged");
    }
    cluster.restart(leader).await;
    assert!(cluster.read(leader, 59).await, "the old leader catches up");
    cluster.equal().await;

    // All stop and start again: everything comes back from disk.
    for node in 1..=3 {
        cluster.stop(node).await;
    }
    for node in 1..=3 {
        cluster.restart(node).await;
    }
    for number in 0..60 {
        assert!(cluster.read(u64::from(number % 3) + 1, number).await);
    }
    cluster.equal().await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_too_long_gets_a_snapshot() {
    let mut cluster = Cluster::start(&MIXED).await;
    let leader = cluster.leader().await;
    // The off-site one where it can be, so that a sled store installs what a fjall store wrote.
    let away = if leader == 3 { 1 } else { 3 };
    cluster.stop(away).await;
    for number in 0..40 {
        cluster.write(leader, number).await;
    }
    for node in cluster.nodes.values() {
        let raft = &node.consensus.0.raft;
        let index = cluster.nodes[&leader].consensus.progress().index;
        node.consensus.wait_applied(index, deadline()).await.unwrap();
        raft.trigger().snapshot().await.unwrap();
        eventually("a snapshot", || node.consensus.status().snapshot_index >= index).await;
        assert_eq!(node.snapshots.current().unwrap().meta().applied.unwrap().index, index);
        assert!(node.store.checkpointed().unwrap().index >= index, "purging waits for it");
        raft.trigger().purge_log(index).await.unwrap();
        eventually("a purge", || node.consensus.status().purged_index == index).await;
    }
    for number in 40..50 {
        cluster.write(leader, number).await;
    }
    cluster.restart(away).await;
    for number in 0..50 {
        assert!(cluster.read(away, number).await, "unit {number}");
    }
    assert!(cluster.nodes[&away].snapshots.current().is_some(), "it came as a snapshot");
    cluster.equal().await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_goes_to_a_voter_that_can_take_it_and_to_no_other() {
    let mut cluster = Cluster::start(&MIXED).await;
    let leader = cluster.leader().await;
    let [first, second] = [1, 2, 3].into_iter().filter(|id| *id != leader).collect::<Vec<_>>()[..] else {
        panic!("three nodes");
    };
    let handle = |cluster: &Cluster, node: u64| cluster.nodes[&node].consensus.clone();
    let refused = handle(&cluster, first).transfer_leader(second, deadline()).await;
    assert_eq!(refused, Err(TransferError::NotLeader { leader: Some(leader) }));
    let refused = handle(&cluster, leader).transfer_leader(9, deadline()).await;
    assert_eq!(refused, Err(TransferError::NotVoter { node: 9 }));

    eventually("heartbeats", || {
        let status = handle(&cluster, leader).status();
        status.member(first).unwrap().silent_for.is_some() && status.lag(first) == Some(0)
    })
    .await;
    handle(&cluster, leader).transfer_leader(first, deadline()).await.unwrap();
    eventually("the new leader", || handle(&cluster, first).leads()).await;
    cluster.write(leader, 1).await;

    cluster.stop(second).await;
    eventually("the dead one to be noticed", || {
        let status = handle(&cluster, first).status();
        status.member(second).unwrap().silent_for.unwrap() > Timers::Lan.heartbeat() * 4
    })
    .await;
    let refused = handle(&cluster, first).transfer_leader(second, deadline()).await;
    assert_eq!(refused, Err(TransferError::Unreachable { node: second }));
    assert!(handle(&cluster, first).leads(), "nothing was tried");
    handle(&cluster, first).step_down(deadline()).await.unwrap();
    eventually("the other one", || handle(&cluster, leader).leads()).await;
    cluster.stop_all().await;
}

/// Those who went a moment ago still look alive by their last answer; who stops after them must not wait for them.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whom_nobody_answers_any_more_does_not_try_to_hand_over() {
    let mut cluster = Cluster::start(&MIXED).await;
    cluster.stop(1).await;
    let links = [cluster.put_proxy(1, 2).await, cluster.put_proxy(1, 3).await];
    cluster.restart(1).await;
    let leader = cluster.leader().await;
    if leader != 1 {
        let consensus = &cluster.nodes[&leader].consensus;
        eventually("node 1 to be ready", || consensus.candidates(&consensus.status()).any(|node| node == 1)).await;
        consensus.transfer_leader(1, deadline()).await.unwrap();
    }
    let alone = cluster.nodes[&1].consensus.clone();
    eventually("the others to be ready", || alone.leads() && alone.candidates(&alone.status()).count() == 2).await;
    links.iter().for_each(cluster::Proxy::cut);
    assert!(alone.candidates(&alone.status()).next().is_some(), "by their last answer they are there");
    let term = alone.status().term;
    assert_eq!(alone.step_down(deadline()).await, Err(TransferError::NoCandidate));
    assert_eq!((alone.leads(), alone.status().term), (true, term), "nothing was tried");
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyless_leader_hands_over_to_a_keyed_one() {
    let cluster = Cluster::start(&MIXED).await;
    let leader = cluster.leader().await;
    if leader != 3 {
        let consensus = &cluster.nodes[&leader].consensus;
        eventually("node 3 to be ready", || consensus.candidates(&consensus.status()).any(|node| node == 3)).await;
        consensus.transfer_leader(3, deadline()).await.unwrap();
    }
    let keyless = &cluster.nodes[&3].consensus;
    eventually("node 3 to lead", || keyless.leads()).await;
    let (tasks, warning) = LeaderTasks::new(keyless.clone(), leader_tasks::SKEW_MAX);
    let mut running = tokio::task::JoinSet::new();
    running.spawn(tasks.run());
    eventually("a keyed leader", || keyless.leader().is_some_and(|leader| leader != 3)).await;
    assert_eq!(*warning.borrow(), None);
    running.shutdown().await;
    cluster.stop_all().await;
}

/// The link between the two units is cut in one direction: the follower still hears the leader, and cannot reach it.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_way_to_the_leader_is_cut_another_voter_forwards() {
    let mut cluster = Cluster::start(&MIXED).await;
    let leader = cluster.leader().await;
    let follower = if leader == 2 { 1 } else { 2 };
    cluster.stop(follower).await;
    let proxy = cluster.put_proxy(follower, leader).await;
    cluster.restart(follower).await;
    cluster.write(follower, 1).await;
    proxy.cut();
    for number in 2..12 {
        cluster.write(follower, number).await;
        assert!(cluster.read(follower, number).await);
    }
    assert_eq!(cluster.nodes[&follower].consensus.leader(), Some(leader), "no election was needed");
    cluster.equal().await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_applied_once_and_gets_the_same_answer() {
    let cluster = Cluster::start(&MIXED).await;
    let (role, command) = register_unit(1);
    let envelope = cluster.envelope(role, command);
    let first = cluster.nodes[&1].forwarder.propose(envelope.clone(), deadline()).await.unwrap();
    let rows = cluster.nodes[&1].store.count();
    for node in 1..=3 {
        let forwarder = &cluster.nodes[&node].forwarder;
        let again = forwarder.propose(envelope.clone(), deadline()).await.unwrap();
        assert_eq!(again.outcome, first.outcome);
        assert!(again.index > first.index);
    }
    cluster.equal().await;
    assert_eq!(cluster.nodes[&1].store.count(), rows, "nothing was added");
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_applied_is_refused_before_it_is_proposed() {
    let cluster = Cluster::start(&MIXED).await;
    let before = cluster.write(1, 1).await;
    for bytes in [vec![], vec![1; 40], vec![0xFF; 64 * 1024 + 1]] {
        for node in cluster.nodes.values() {
            let refused = node.forwarder.propose(bytes.clone().into(), deadline()).await;
            // A leader elsewhere answers with a status, which says as surely that nothing was proposed.
            assert!(matches!(refused, Err(ForwardError::Malformed(_))), "{} bytes: {refused:?}", bytes.len());
        }
    }
    assert_eq!(cluster.write(2, 2).await, before + 1, "nothing entered the log");
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_proposals_than_may_be_under_way_are_refused_at_once() {
    let cluster = Cluster::start(&MIXED).await;
    let leader = cluster.leader().await;
    let consensus = cluster.nodes[&leader].consensus.clone();
    let before = cluster.write(leader, 1).await;
    let room = u32::try_from(IN_FLIGHT_MAX).unwrap();
    let all = consensus.0.in_flight.clone().acquire_many_owned(room).await.unwrap();
    for node in cluster.nodes.values() {
        let (role, command) = register_unit(2);
        let envelope = cluster.envelope(role, command);
        let refused = node.forwarder.propose(envelope, deadline()).await;
        assert_eq!(refused, Err(ForwardError::Busy));
    }
    drop(all);
    assert_eq!(cluster.write(leader, 3).await, before + 1, "nothing was proposed");
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_another_cluster_incarnation_or_node_are_refused() {
    let cluster = Cluster::start(&MIXED).await;
    let channels = PeerChannels::new(cluster.tls(2).client());
    let channel = channels.channel(1, &cluster.address(1), Lane::Heartbeat).unwrap();
    let mut client = RaftServiceClient::new(channel);
    let term = cluster.nodes[&1].consensus.status().term;
    let vote = |node_id| Some(wire::VoteState { term: term + 100, node_id, committed: false });
    let good = us(2).header(1);
    let refused = [
        (None, 2, Code::InvalidArgument),
        (Some(wire::PeerHeader { cluster_id: vec![8; 16].into(), ..good.clone() }), 2, Code::FailedPrecondition),
        (Some(wire::PeerHeader { incarnation: 2, ..good.clone() }), 2, Code::FailedPrecondition),
        (Some(us(2).header(3)), 2, Code::FailedPrecondition),
        (Some(us(3).header(1)), 3, Code::PermissionDenied),
        // Its own number in the header, another's in the vote.
        (Some(good.clone()), 3, Code::PermissionDenied),
    ];
    for (header, node_id, code) in refused {
        let request = wire::VoteRequest { header, vote: vote(node_id), ..Default::default() };
        for status in [client.vote(request.clone()).await, client.pre_vote(request).await] {
            let status = status.unwrap_err();
            assert_eq!(status.code(), code, "{status:?}");
            assert!(!status.message().is_empty());
        }
    }
    // And the same call, made properly, is answered: not granted, because the leader's lease holds or the log is behind.
    let request = wire::VoteRequest { header: Some(good), vote: vote(2), ..Default::default() };
    let answer = client.pre_vote(request).await.unwrap().into_inner();
    assert!(!answer.granted);
    assert_eq!(cluster.nodes[&1].consensus.status().term, term, "no term was moved");
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_state_machine_says_so_and_its_thread_ends_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::new(directory.path(), EngineKind::Fjall);
    let (store, _) = place.open();
    let (mut machine, applier) = StateMachine::start(store, Arc::new(place.snapshots())).unwrap();
    assert_eq!(machine.applied_state().await.unwrap().0, None);
    assert!(machine.get_current_snapshot().await.unwrap().is_none());
    assert_eq!(*applier.progress().borrow(), Progress { index: 0, ..Progress::default() });
    drop(machine);
    tokio::task::spawn_blocking(move || applier.join()).await.unwrap();
}
