//! A majority is gone for good, and the survivor that runs is told to go on alone, by one command.

use crate::members::tool;
use crate::world::{DAY, MINUTE, NOON, World, appointments, booking};
use plantao_client::Id;
use plantao_client::identity::Identity;
use plantao_proto::admin::v1::{NodeRole, RecoverQuorumRequest};
use plantao_proto::public::v1 as wire;
use plantao_tests::network::{CLUSTER, text};
use plantao_tests::wait::until;

const START: i64 = NOON + 230 * DAY;
const THREE: [&str; 3] = ["centro", "jardins", "cofre"];
const RECOVER: [&str; 6] = ["quorum", "recover", "--keep", "centro", "--reason", "fogo nas outras duas"];

async fn book(world: &World, nth: i64) -> Vec<u8> {
    let request = booking(world.patients[0], world.centro.slot(0, START + nth * 60 * MINUTE, 30));
    let id = request.appointment_id.to_vec();
    world.through("centro").book(request).await.unwrap();
    id
}

fn confirmed() -> Vec<&'static str> {
    [&RECOVER[..], &["--confirm", CLUSTER]].concat()
}

pub(crate) async fn while_a_majority_answers_nobody_is_told_to_go_on_alone(world: &mut World) {
    let network = &mut world.network;
    tool(network, &THREE, 6, "PLT-2641", &confirmed()).await;
    network.kill("cofre").await;
    tool(network, &["centro", "jardins"], 6, "PLT-2641", &confirmed()).await;
    network.run_node("cofre").await;
    let status = network.status("centro").await.unwrap();
    assert_eq!(status.incarnation, 1);
}

pub(crate) async fn a_survivor_that_runs_goes_on_with_all_it_has(world: &mut World) {
    let mut kept = Vec::new();
    for nth in 0..4 {
        kept.push(book(world, nth).await);
    }
    world.network.kill("jardins").await;
    world.network.kill("cofre").await;
    let network = &world.network;
    let alone = ["centro"];
    // Refused with the reason that nobody leads long enough to look; then shown, and not done.
    tool(network, &alone, 2, "--confirm", &RECOVER).await;
    tool(network, &alone, 6, "PLT-9052", &[&RECOVER[..], &["--confirm", "outra-rede"]].concat()).await;
    let would = tool(network, &alone, 0, "", &[&RECOVER[..], &["--dry-run"]].concat()).await;
    let would = &would["quorum_recovery"];
    assert_eq!((&would["recovered"], &would["incarnation"]), (&false.into(), &2.into()), "{would}");
    let order = |node_id, name: &str, reason: &str| RecoverQuorumRequest {
        node_id,
        cluster_name: name.to_owned(),
        reason: reason.to_owned(),
        dry_run: false,
    };
    let admin = network.admin("centro");
    for (request, code) in
        [(order(1, "outra-rede", "x"), 2643), (order(2, CLUSTER, "x"), 2643), (order(1, CLUSTER, " "), 1401)]
    {
        assert_eq!(admin.recover_quorum(request).await.unwrap_err().code(), Some(code));
    }
    let auditor = network.client("rede/auditor/conselho", &["centro"]).admin_nodes()[0].clone();
    assert_eq!(auditor.recover_quorum(order(1, CLUSTER, "x")).await.unwrap_err().code(), Some(1001));
    let before = network.status("centro").await.unwrap();
    assert_eq!(before.incarnation, 1, "nothing of this was done");

    let pid = network.node("centro").pid();
    let done = tool(network, &alone, 0, "", &confirmed()).await;
    let done = &done["quorum_recovery"];
    assert_eq!((&done["recovered"], &done["incarnation"]), (&true.into(), &2.into()), "{done}");
    assert!(done["last_index"].as_u64() >= Some(before.last_log_index), "{done}");
    assert_eq!(world.network.node("centro").pid(), pid, "its supervisor never missed it");
    assert!(!world.network.fell("centro"));
    let after = world.network.status("centro").await.unwrap();
    assert_eq!((after.incarnation, after.role()), (2, NodeRole::Leader));
    assert_eq!(after.members.len(), 1, "{after:?}");

    // Its keys are where they were: what was booked is there, and books on.
    kept.push(book(world, 9).await);
    let there = appointments(&world.through("centro"), world.centro.unit).await;
    let there: Vec<Id> = there.iter().map(|one| Id::from_wire(&one.id).unwrap()).collect();
    assert!(kept.iter().all(|id| there.contains(&Id::from_wire(id).unwrap())), "{there:?}");
}

pub(crate) async fn it_is_in_the_trail_and_the_others_are_refused(world: &mut World) {
    let auditor = world.network.client("rede/auditor/auditoria", &["centro"]);
    let mut from_sequence = 0;
    loop {
        let request = wire::ListEntriesRequest { from_sequence, page_size: 500, ..Default::default() };
        let page = auditor.list_entries(request).await.unwrap();
        let begun = |entry: &wire::AuditEntry| {
            entry.module() == wire::Module::Cluster && entry.action == "create" && entry.version == 2
        };
        if let Some(entry) = page.entries.iter().find(|entry| begun(entry)) {
            // Who asked is the operator whose certificate the tool has, and no node.
            let asked: Identity = format!("spiffe://{CLUSTER}/unit/rede/operator/plantonista").parse().unwrap();
            assert_eq!(entry.actor_id, asked.actor_id().to_vec(), "{entry:?}");
            break;
        }
        assert!(page.next_sequence > from_sequence, "the recovery is not in the trail");
        from_sequence = page.next_sequence;
    }
    let output = world.network.run("run", world.network.node("jardins"), &[]);
    let said = text(&output);
    assert!(!output.status.success() && said.contains("PLT-3201"), "{said}");
    // Once more would be a majority: of one.
    until("the recovered network to be refused another recovery", || async {
        let again = tool(&world.network, &["centro"], 6, "PLT-2641", &confirmed()).await;
        if again.is_null() { Ok(()) } else { Err(again.to_string()) }
    })
    .await;
}
