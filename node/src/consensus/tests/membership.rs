//! Votes come and go one step at a time on a real cluster: a node that loses its vote replicates on, and a vote that changes
//! hands leaves as many voters as there were.

use super::cluster::{Cluster, deadline, eventually};
use super::{ChangeError, Consensus, MIXED};
use crate::consensus::types::Member;
use crate::storage::state::EngineKind;
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, sleep};

fn voters(consensus: &Consensus) -> Vec<u64> {
    consensus.status().members.iter().filter(|member| member.voter).map(|member| member.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vote_is_taken_given_and_handed_on_and_the_node_stays() {
    let cluster = Cluster::start(&MIXED).await;
    let leader = cluster.leader().await;
    let others: Vec<u64> = [1, 2, 3].into_iter().filter(|id| *id != leader).collect();
    let (first, second) = (others[0], others[1]);
    let consensus = cluster.nodes[&leader].consensus.clone();
    let refused = cluster.nodes[&first].consensus.demote(second, deadline()).await;
    assert_eq!(refused, Err(ChangeError::NotLeader { leader: Some(leader) }));
    assert_eq!(consensus.demote(leader, deadline()).await, Err(ChangeError::Leads { node: leader }));
    assert_eq!(consensus.demote(9, deadline()).await, Err(ChangeError::NotMember { node: 9 }));
    assert_eq!(consensus.swap(9, first, deadline()).await, Err(ChangeError::NotMember { node: 9 }));

    eventually("a membership that stands", || !consensus.status().changing).await;
    consensus.demote(first, deadline()).await.unwrap();
    eventually("the vote to be gone", || voters(&consensus).len() == 2 && !consensus.status().changing).await;
    assert!(consensus.status().member(first).is_some(), "it stays");
    assert_eq!(consensus.demote(first, deadline()).await, Ok(()), "it has none");
    cluster.write(first, 1).await;
    cluster.equal().await;

    eventually("the learner to have caught up", || consensus.status().lag(first) == Some(0)).await;
    consensus.swap(first, second, deadline()).await.unwrap();
    let mut wanted = vec![leader, first];
    wanted.sort_unstable();
    eventually("the vote to have changed hands", || voters(&consensus) == wanted && !consensus.status().changing).await;
    assert!(consensus.status().member(second).is_some(), "it stays");
    cluster.write(second, 2).await;
    cluster.equal().await;

    consensus.demote(first, deadline()).await.unwrap();
    eventually("one vote", || voters(&consensus) == [leader] && !consensus.status().changing).await;
    assert_eq!(consensus.swap(first, leader, deadline()).await, Err(ChangeError::Leads { node: leader }));
    cluster.stop_all().await;
}

const GOES: u64 = 4;

/// Whether a joint membership is committed, and nobody has proposed its second entry.
fn is_half(consensus: &Consensus) -> bool {
    let metrics = consensus.0.raft.metrics();
    let metrics = metrics.borrow_watched();
    let (last, committed) = (&metrics.membership_config, &metrics.committed_membership_config);
    last.membership().get_joint_config().len() > 1 && last.log_id() == committed.log_id()
}

/// Sends the first entry of a change through whoever leads, and never the second one; gives that leader.
async fn half(cluster: &Cluster, change: &ChangeMembers<u64, Member>) -> u64 {
    let end = deadline();
    loop {
        let leader = cluster.leader().await;
        if leader == GOES {
            cluster.lead(1).await;
            continue;
        }
        let consensus = &cluster.nodes[&leader].consensus;
        let mut changing = Box::pin(consensus.0.raft.change_membership(change.clone(), true));
        // The first poll asks for the first entry; the second one is asked for by a later poll.
        poll_fn(|context| {
            assert!(changing.as_mut().poll(context).is_pending(), "an answer without a question");
            Poll::Ready(())
        })
        .await;
        drop(changing);
        while consensus.leads() && !is_half(consensus) {
            assert!(Instant::now() < end, "not within the deadline: a joint membership");
            sleep(Duration::from_millis(10)).await;
        }
        if is_half(consensus) {
            return leader;
        }
        assert!(Instant::now() < end, "not within the deadline: a leader that stays");
    }
}

/// Has whoever leads finish the change, as the task of every node does, until exactly these vote.
async fn finished(cluster: &Cluster, wanted: &[u64]) {
    let end = deadline();
    loop {
        let leader = cluster.leader().await;
        let consensus = &cluster.nodes[&leader].consensus;
        if !consensus.status().changing && voters(consensus) == wanted {
            return;
        }
        // A refusal is tried again: a node that just began to lead does not know yet who answers.
        let _ = consensus.finish_change(Instant::now() + Duration::from_secs(5)).await;
        assert!(Instant::now() < end, "not within the deadline: {:?}", consensus.status());
        sleep(Duration::from_millis(10)).await;
    }
}

/// openraft leaves such a membership as it is for ever, and takes no other change meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_leader_fell_between_its_two_entries_is_finished_by_another() {
    let mut cluster = Cluster::start(&[EngineKind::Fjall; 4]).await;
    let fallen = half(&cluster, &ChangeMembers::RemoveVoters(BTreeSet::from([GOES]))).await;
    cluster.stop(fallen).await;
    // The worst of them leads next: the one that is to lose its vote hands over before it does.
    cluster.lead(GOES).await;
    let consensus = cluster.nodes[&GOES].consensus.clone();
    eventually("the joint membership on the next leader", || is_half(&consensus)).await;
    let refused = consensus.demote(1, deadline()).await;
    assert!(refused.is_err(), "one change at a time");
    finished(&cluster, &[1, 2, 3]).await;
    let leader = cluster.leader().await;
    assert_ne!(leader, GOES);
    assert!(cluster.nodes[&leader].consensus.status().member(GOES).is_some(), "it stays, without a vote");
    cluster.write(GOES, 1).await;
    cluster.restart(fallen).await;
    cluster.equal().await;

    // A leader that gave up waiting for its own change finishes it as well.
    half(&cluster, &ChangeMembers::AddVoterIds(BTreeSet::from([GOES]))).await;
    finished(&cluster, &[1, 2, 3, 4]).await;
    cluster.write(fallen, 2).await;
    cluster.equal().await;

    // Nor is it lost where all of them stop: what is half is found at the next start.
    half(&cluster, &ChangeMembers::RemoveVoters(BTreeSet::from([GOES]))).await;
    for node in 1..=GOES {
        cluster.stop(node).await;
    }
    for node in 1..=GOES {
        cluster.restart(node).await;
    }
    finished(&cluster, &[1, 2, 3]).await;
    cluster.write(1, 3).await;
    cluster.equal().await;
    cluster.stop_all().await;
}

/// Nine nodes: six give their votes back and get them again, one after the other, while it is written to through them.
#[tokio::test(flavor = "multi_thread")]
async fn nine_nodes_shrink_to_three_votes_and_grow_back() {
    let cluster = Cluster::start(&[EngineKind::Fjall; 9]).await;
    let end = deadline();
    let changes = (4..=9).map(|node| (node, false)).chain((4..=9).map(|node| (node, true)));
    for (nth, (node, votes)) in (0..).zip(changes) {
        loop {
            let leader = cluster.leader().await;
            let consensus = &cluster.nodes[&leader].consensus;
            let status = consensus.status();
            let until = Instant::now() + Duration::from_secs(5);
            // What is refused is tried again: a leader may fall, or a node look behind.
            match status.member(node).unwrap().voter {
                _ if status.changing => drop(consensus.finish_change(until).await),
                is if is == votes => break,
                true if leader == node => cluster.lead(1).await,
                true => drop(consensus.demote(node, until).await),
                false => drop(consensus.promote(node, until).await),
            }
            assert!(Instant::now() < end, "not within the deadline: {status:?}");
            sleep(Duration::from_millis(10)).await;
        }
        cluster.write(node, nth).await;
    }
    cluster.equal().await;
    cluster.stop_all().await;
}
