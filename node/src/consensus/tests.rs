//! The promises of consensus on real clusters: nothing acknowledged is lost, replicas are equal whatever their engine, and
//! what must be refused is.
#![allow(clippy::unwrap_used)]

mod cluster;
mod membership;

use std::sync::Arc;

use cluster::{Cluster, deadline, eventually, register_unit, us};
use openraft::storage::RaftStateMachine;
use openraft::testing::log::{StoreBuilder, Suite};
use plantao_domain::upgrade::LevelRow;
use plantao_domain::{ActorId, Changes, ClusterId, ClusterTime, NodeId, codec};
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
use crate::storage::identity::NodeIdentity;
use crate::storage::level::{LEVEL_NEWEST, Levels};
use crate::storage::state::EngineKind;
use crate::storage::state::tests::{Place, batch};
use crate::storage::wal::testing;
use crate::transport::{Lane, PeerChannels};

const MIXED: [EngineKind; 3] = [EngineKind::Fjall, EngineKind::Fjall, EngineKind::Sled];

fn levels() -> Arc<Levels> {
    Arc::new(Levels::unmarked(LEVEL_NEWEST))
}

struct Stores(EngineKind);

impl StoreBuilder<TypeConfig, LogStore, StateMachine, (TempDir, Applier)> for Stores {
    async fn build(&self) -> Result<((TempDir, Applier), LogStore, StateMachine), openraft::StorageError<TypeConfig>> {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::new(directory.path(), self.0);
        let (store, _) = place.open();
        let (machine, applier) = StateMachine::start(store, Arc::new(place.snapshots()), levels()).unwrap();
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

// A leader panics when a follower comes back with less than it had acknowledged. A process that lives on without Raft answers nothing,
// keeps its place and is started again by nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_raft_ends_the_node_and_an_orderly_stop_does_not() {
    let cluster = Cluster::start(&MIXED).await;
    let leader = cluster.leader().await;
    let other = leader % 3 + 1;
    let [panicked, stopped] = [leader, other].map(|node| cluster.nodes[&node].consensus.fatal());
    let asked = cluster.nodes[&leader].consensus.0.raft.external_request(|_| panic!("on purpose")).await;
    asked.unwrap();
    let told = tokio::time::timeout_at(deadline(), panicked).await.expect("it would live on without raft");
    assert!(told.to_string().contains("panicked"), "{told}");

    let stopped = tokio::spawn(stopped);
    cluster.nodes[&other].consensus.shutdown().await;
    // The other end of its metrics is gone by now, too.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!stopped.is_finished());
    stopped.abort();
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
        // An election in between is an entry of its own.
        assert!(node.snapshots.current().unwrap().meta().applied.unwrap().index >= index);
        assert!(node.store.checkpointed().unwrap().index >= index, "purging waits for it");
        raft.trigger().purge_log(index).await.unwrap();
        eventually("a purge", || node.consensus.status().purged_index >= index).await;
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
    for _ in 0..10 {
        if Box::pin(leadership_goes_where_it_can()).await {
            return;
        }
    }
    panic!("each time somebody was elected in between");
}

/// `false` when an election came in between, as on a machine that stands still for longer than the leader's lease: then
/// others lead than this means.
async fn leadership_goes_where_it_can() -> bool {
    let mut cluster = Cluster::start(&MIXED).await;
    let leader = cluster.leader().await;
    let [first, second] = [1, 2, 3].into_iter().filter(|id| *id != leader).collect::<Vec<_>>()[..] else {
        panic!("three nodes");
    };
    let handle = |cluster: &Cluster, node: u64| cluster.nodes[&node].consensus.clone();
    let term = cluster.term();
    // A follower hears of its leader a moment after the others have voted.
    eventually("a leader that is known", || handle(&cluster, first).leader().is_some()).await;
    let to_another = handle(&cluster, first).transfer_leader(second, deadline()).await;
    let to_nobody = handle(&cluster, leader).transfer_leader(9, deadline()).await;
    eventually("heartbeats", || {
        let status = handle(&cluster, leader).status();
        let ready = status.member(first).is_some_and(|member| member.silent_for.is_some());
        ready && status.lag(first) == Some(0) || cluster.term() != term
    })
    .await;
    if cluster.term() != term {
        cluster.stop_all().await;
        return false;
    }
    assert_eq!(to_another, Err(TransferError::NotLeader { leader: Some(leader) }));
    assert_eq!(to_nobody, Err(TransferError::NotVoter { node: 9 }));

    cluster.lead(first).await;
    cluster.write(leader, 1).await;

    cluster.stop(second).await;
    // Of the two that are left, who was the leader may be so again.
    cluster.lead(first).await;
    let term = cluster.term();
    eventually("the dead one to be noticed", || {
        let status = handle(&cluster, first).status();
        let silent = status.member(second).and_then(|member| member.silent_for);
        silent.is_none_or(|silent| silent > Timers::Wan.heartbeat() * 4) || cluster.term() != term
    })
    .await;
    let refused = handle(&cluster, first).transfer_leader(second, deadline()).await;
    // Were it tried, or the other one silent for too long, it would lead no more.
    if cluster.term() != term || !handle(&cluster, first).leads() {
        cluster.stop_all().await;
        return false;
    }
    assert_eq!(refused, Err(TransferError::Unreachable { node: second }));
    // The other one may not have answered for a moment.
    let end = deadline();
    while !handle(&cluster, leader).leads() {
        assert!(tokio::time::Instant::now() < end, "not within the deadline: the other one");
        let _ = handle(&cluster, first).step_down(deadline()).await;
        tokio::time::sleep(Timers::Wan.heartbeat()).await;
    }
    cluster.stop_all().await;
    true
}

/// Those who went a moment ago still look alive by their last answer; who stops after them must not wait for them.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whom_nobody_answers_any_more_does_not_try_to_hand_over() {
    let mut cluster = Cluster::start(&MIXED).await;
    cluster.stop(1).await;
    let links = [cluster.put_proxy(1, 2).await, cluster.put_proxy(1, 3).await];
    cluster.restart(1).await;
    let alone = cluster.nodes[&1].consensus.clone();
    let mut calm = false;
    for _ in 0..20 {
        cluster.lead(1).await;
        let ready = || alone.candidates(&alone.status()).count() == 2;
        eventually("the others to be ready", || ready() || !alone.leads()).await;
        let term = alone.status().term;
        links.iter().for_each(cluster::Proxy::cut);
        // By their last answer they are there.
        let are_there = alone.leads() && alone.candidates(&alone.status()).next().is_some();
        let ended = alone.step_down(deadline()).await;
        // The others elect after a while, and the machine may have stood still for longer than that: again.
        calm = are_there && (alone.leads(), alone.status().term) == (true, term);
        if calm {
            assert_eq!(ended, Err(TransferError::NoCandidate));
            break;
        }
        links.iter().for_each(cluster::Proxy::mend);
    }
    assert!(calm, "something was tried each time");
    drop(alone);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyless_leader_hands_over_to_a_keyed_one() {
    let cluster = Cluster::start(&MIXED).await;
    cluster.lead(3).await;
    let keyless = &cluster.nodes[&3].consensus;
    let (tasks, warning) = LeaderTasks::new(keyless.clone(), keyless.clone());
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
    for _ in 0..10 {
        if Box::pin(another_voter_forwards()).await {
            return;
        }
    }
    panic!("each time somebody was elected in between");
}

/// `false` when an election came in between, as on a machine that stands still for longer than the leader's lease: then
/// another link than the way to the leader may be cut.
async fn another_voter_forwards() -> bool {
    let mut cluster = Cluster::start(&MIXED).await;
    let leader = cluster.leader().await;
    let term = cluster.term();
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
    let followed = cluster.nodes[&follower].consensus.leader();
    let calm = cluster.term() == term;
    assert!(!calm || followed == Some(leader), "it follows {followed:?} and not {leader}");
    cluster.equal().await;
    cluster.stop_all().await;
    calm
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_applied_once_and_gets_the_same_answer() {
    let cluster = Cluster::start(&MIXED).await;
    let (role, command) = register_unit(1);
    let envelope = cluster.envelope(role, command);
    let first = cluster.nodes[&1].forwarder.propose(envelope.clone(), deadline()).await.unwrap();
    // Where another node leads, this one may be behind.
    cluster.nodes[&1].consensus.wait_applied(first.index, deadline()).await.unwrap();
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
    let mut calm = false;
    for attempt in 0..10 {
        let before = cluster.write(1, 2 * attempt).await;
        for bytes in [vec![], vec![1; 40], vec![0xFF; 64 * 1024 + 1]] {
            for node in cluster.nodes.values() {
                let refused = node.forwarder.propose(bytes.clone().into(), deadline()).await;
                // A leader elsewhere answers with a status, which says as surely that nothing was proposed.
                assert!(matches!(refused, Err(ForwardError::Malformed(_))), "{} bytes: {refused:?}", bytes.len());
            }
        }
        // An election in between, as on a machine that stands still, is an entry of its own: again.
        calm = cluster.write(2, 2 * attempt + 1).await == before + 1;
        if calm {
            break;
        }
    }
    assert!(calm, "each time something entered the log");
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_proposals_than_may_be_under_way_are_refused_at_once() {
    let cluster = Cluster::start(&MIXED).await;
    let room = u32::try_from(IN_FLIGHT_MAX).unwrap();
    let mut calm = false;
    for attempt in 0..10 {
        let leader = cluster.leader().await;
        let term = cluster.term();
        let in_flight = cluster.nodes[&leader].consensus.0.in_flight.clone();
        let before = cluster.write(leader, 10 * attempt).await;
        let all = in_flight.acquire_many_owned(room).await.unwrap();
        let mut answers = Vec::new();
        for (nth, node) in (1..).zip(cluster.nodes.values()) {
            let (role, command) = register_unit(10 * attempt + nth);
            let envelope = cluster.envelope(role, command);
            answers.push(node.forwarder.propose(envelope, deadline()).await);
        }
        drop(all);
        let after = cluster.write(leader, 10 * attempt + 9).await;
        // Whoever was elected in between, as on a machine that stands still, has room: again.
        calm = cluster.term() == term;
        if calm {
            assert!(answers.iter().all(|answer| *answer == Err(ForwardError::Busy)), "{answers:?}");
            assert_eq!(after, before + 1, "nothing was proposed");
            break;
        }
    }
    assert!(calm, "each time somebody was elected in between");
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
    // Those of the votes; an election of the nodes themselves moves it by one.
    assert!(cluster.nodes[&1].consensus.status().term < term + 100, "no term was moved");
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_state_machine_says_so_and_its_thread_ends_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::new(directory.path(), EngineKind::Fjall);
    let (store, _) = place.open();
    let (mut machine, applier) = StateMachine::start(store, Arc::new(place.snapshots()), levels()).unwrap();
    assert_eq!(machine.applied_state().await.unwrap().0, None);
    assert!(machine.get_current_snapshot().await.unwrap().is_none());
    assert_eq!(*applier.progress().borrow(), Progress { index: 0, ..Progress::default() });
    drop(machine);
    tokio::task::spawn_blocking(move || applier.join()).await.unwrap();
}

/// Whatever is cut off: a program that does not read the level of a snapshot has neither its file nor its rows, and one that does
/// has marked its directory before it has them.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_a_level_that_is_not_read_here_leaves_nothing_behind() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (sender, receiver) = (Place::new(from.path(), EngineKind::Fjall), Place::new(to.path(), EngineKind::Fjall));
    let row = LevelRow {
        level: LEVEL_NEWEST,
        raised_at: ClusterTime::saturating_from_millis(1),
        by: ActorId::from_bytes([1; 16]),
        reason: "todos na versão nova".to_owned(),
    };
    let mut changes: Changes = (0..=u8::MAX).map(|last| (vec![0x12, last], Some(vec![1; 64]))).collect();
    changes.insert(plantao_domain::rows::level_key(), Some(codec::encode_row(&row)));
    let (store, _) = sender.open();
    store.apply(&batch(5, changes)).unwrap();
    let snapshot = sender.snapshots().build(&mut *store.freeze().unwrap()).unwrap();
    let meta = super::state_machine::snapshot_meta(snapshot.meta()).unwrap();

    let identity = to.path().join("identity");
    NodeIdentity {
        cluster: ClusterId::from_bytes([7; 16]),
        cluster_name: "rede-teste".to_owned(),
        node: NodeId(1),
        name: "centro".to_owned(),
        incarnation: 1,
        keyed: true,
        raised: None,
    }
    .create(&identity)
    .unwrap();
    let levels = |max| Arc::new(Levels::of(max, identity.clone(), NodeIdentity::load(&identity).unwrap()));
    let (store, _) = receiver.open();
    let snapshots = Arc::new(receiver.snapshots());
    let before = std::fs::read(&identity).unwrap();
    let (mut older, _) =
        StateMachine::start(Arc::clone(&store), Arc::clone(&snapshots), levels(LEVEL_NEWEST - 1)).unwrap();
    older.install_snapshot(&meta, Arc::clone(&snapshot)).await.unwrap_err();
    assert_eq!((store.meta().applied, store.count()), (None, 0));
    assert!(snapshots.current().is_none(), "the file is there");
    assert_eq!(std::fs::read(&identity).unwrap(), before);

    let (mut newer, _) = StateMachine::start(Arc::clone(&store), snapshots, levels(LEVEL_NEWEST)).unwrap();
    newer.install_snapshot(&meta, snapshot).await.unwrap();
    assert_eq!(store.count(), 257);
    assert_eq!(NodeIdentity::load(&identity).unwrap().level(), LEVEL_NEWEST);
}
