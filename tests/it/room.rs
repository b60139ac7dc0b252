//! Disks that are nearly full: the lead goes where there is room, writes stop before anything breaks, reads go on, and all of
//! it comes back by itself. The disks are those of this machine; what changes is how much of them a node keeps in reserve.

use crate::world::{SOFTWARE, World, code, id};
use plantao_client::Error;
use plantao_proto::admin::v1::{GetHistoryRequest, LeadCause, TransferLeadershipRequest};
use plantao_proto::public::v1::GetRecordRequest;
use plantao_tests::wait::until;
use std::fs;

/// A node's room, by how much more than what is free it wants to keep.
#[derive(Clone, Copy)]
enum Room {
    Enough,
    Low,
    Out,
}

/// Restarts a node with so much room.
async fn restart(world: &mut World, name: &str, room: Room) {
    const SECTION: &str = "[storage]\n";
    world.network.stop(name).await;
    let node = world.network.node(name);
    let figures = rustix::fs::statvfs(node.data_dir()).unwrap();
    let free = figures.f_bavail * figures.f_frsize;
    let reserve = match room {
        Room::Enough => 0,
        Room::Low => 2 * free,
        Room::Out => 16 * free,
    };
    let text = fs::read_to_string(node.config()).unwrap();
    let (before, after) = text.split_once(SECTION).unwrap();
    let after = match after.split_once('\n') {
        Some((line, rest)) if line.starts_with("reserve = ") => rest,
        _ => after,
    };
    fs::write(node.config(), format!("{before}{SECTION}reserve = \"{reserve} B\"\n{after}")).unwrap();
    world.network.run_node(name).await;
}

/// Waits until a node tells of exactly these warnings about room.
async fn tells(world: &World, name: &str, expected: &[(u32, &str)]) {
    until("the warnings about room", || async {
        let status = world.network.status(name).await.map_err(|error| error.to_string())?;
        let told: Vec<_> = status.warnings.into_iter().filter(|warning| matches!(warning.code, 2105 | 2306)).collect();
        let is_so = told.len() == expected.len()
            && expected
                .iter()
                .all(|(code, word)| told.iter().any(|one| one.code == *code && one.message.contains(word)));
        if is_so { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
}

async fn leads_not(world: &World, name: &str) {
    until("another leader", || async {
        let leader = world.network.leader().await;
        if leader == name { Err(leader) } else { Ok(()) }
    })
    .await;
}

pub(crate) async fn the_lead_goes_where_there_is_room(world: &mut World) {
    restart(world, "centro", Room::Low).await;
    tells(world, "jardins", &[(2306, "centro")]).await;
    let operator = world.network.client("rede/operator/plantao", &["centro", "jardins", "cofre"]);
    let to_node_id = world.network.status("centro").await.unwrap().node_id;
    let term = until("a switchover", || async {
        let request = TransferLeadershipRequest { to_node_id, reason: "teste".to_owned(), ..Default::default() };
        operator.transfer_leadership(request).await.map(|done| done.term).map_err(|error| format!("{error:?}"))
    })
    .await;
    leads_not(world, "centro").await;
    until("the change in the history", || async {
        let found = world.network.admin("jardins").get_history(GetHistoryRequest::default()).await;
        let changes = found.map_err(|error| error.to_string())?.changes;
        let next = changes.iter().find(|change| change.from_node_id == to_node_id && change.term > term);
        match next.map(|change| change.cause()) {
            Some(LeadCause::HandedOver) => Ok(()),
            _ => Err(format!("{changes:?}")),
        }
    })
    .await;
    // One of three is low: work goes on, through it too.
    let patient = world.patients[0];
    world.through("centro").add_record(world.record(id(), patient)).await.unwrap();
}

pub(crate) async fn without_room_nothing_is_written_and_everything_is_read(world: &mut World) {
    let patient = world.patients[0];
    let kept = id();
    world.through("jardins").add_record(world.record(kept, patient)).await.unwrap();
    restart(world, "jardins", Room::Low).await;
    for node in ["centro", "jardins", "cofre"] {
        tells(world, node, &[(2306, "centro"), (2306, "jardins"), (2105, "2 of 3")]).await;
    }
    for node in ["centro", "jardins"] {
        assert_eq!(code(world.through(node).add_record(world.record(id(), patient)).await), 2105, "{node}");
    }
    let both = world.network.client(SOFTWARE, &["centro", "jardins"]);
    let refused = both.add_record(world.record(id(), patient)).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    // A linearizable read with its note for the trail.
    for node in ["centro", "jardins"] {
        let read = GetRecordRequest { read: None, record_id: kept.to_wire(), version: 0 };
        assert!(!world.through(node).get_record(read).await.unwrap().document.is_empty());
    }
    restart(world, "jardins", Room::Enough).await;
    for node in ["centro", "cofre"] {
        tells(world, node, &[(2306, "centro")]).await;
    }
    world.through("centro").add_record(world.record(id(), patient)).await.unwrap();
}

pub(crate) async fn a_full_copy_stands_still_and_catches_up(world: &mut World) {
    restart(world, "centro", Room::Enough).await;
    restart(world, "cofre", Room::Out).await;
    tells(world, "jardins", &[(2306, "cofre")]).await;
    let patient = world.patients[0];
    // From the start of its process on it takes nothing.
    let before = world.network.status("cofre").await.unwrap().applied_index;
    for node in ["centro", "jardins", "centro", "jardins"] {
        world.through(node).add_record(world.record(id(), patient)).await.unwrap();
    }
    let now = world.network.status("cofre").await.unwrap();
    let leader = world.network.leader().await;
    let applied = world.network.status(&leader).await.unwrap().applied_index;
    assert!(leader != "cofre" && now.leader_id != 0, "{now:?}");
    assert!(now.applied_index - before < applied - before, "{} of {applied}", now.applied_index);
    restart(world, "cofre", Room::Enough).await;
    world.network.digests_agree().await;
}
