//! Nobody is booked twice: no professional, no room and no patient, through whichever node, in whichever unit.

use crate::world::{DAY, MINUTE, NOON, World, appointments, booking, code};
use plantao_client::{Error, Id};
use plantao_proto::public::v1::{MoveAppointmentRequest, ResourceKind, Slot};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn held(result: Result<plantao_client::Written, Error>) -> (ResourceKind, Id, Id) {
    match result {
        Err(Error::Refused(refusal)) if refusal.code == 1204 => {
            let held = refusal.held.expect("a taken slot names what is held and by whom");
            (held.kind, held.id, held.holder)
        }
        other => panic!("not refused as taken: {other:?}"),
    }
}

pub(crate) async fn a_taken_slot_is_refused_through_every_node(world: &World) {
    let (centro, jardins) = (world.through("centro"), world.through("jardins"));
    let [anna, bruno, _] = world.patients;
    let here = world.centro;
    let first = booking(anna, here.slot(0, NOON, 30));
    let holder = Id::from_wire(&first.appointment_id).unwrap();
    centro.book(first).await.unwrap();

    let before = world.listing().await;
    let late = NOON + 20 * MINUTE;
    let practitioner = Slot { room_id: here.rooms[1].to_wire(), ..here.slot(0, late, 30) };
    let refused = held(jardins.book(booking(bruno, practitioner)).await);
    assert_eq!(refused, (ResourceKind::Practitioner, here.practitioners[0], holder));
    let room = Slot { practitioner_id: here.practitioners[1].to_wire(), ..here.slot(0, late, 30) };
    let refused = held(jardins.book(booking(bruno, room)).await);
    assert_eq!(refused, (ResourceKind::Room, here.rooms[0], holder));
    // A person is in one place at a time: another unit, professional and room do not help.
    let refused = held(jardins.book(booking(anna, world.jardins.slot(0, late, 30))).await);
    assert_eq!(refused, (ResourceKind::Patient, anna, holder));
    assert_eq!(world.listing().await, before, "a refusal changed something");

    // Half open: one begins when the other ends.
    jardins.book(booking(anna, here.slot(0, NOON + 30 * MINUTE, 30))).await.unwrap();
    jardins.book(booking(anna, here.slot(0, NOON - 30 * MINUTE, 30))).await.unwrap();
}

pub(crate) async fn of_many_that_want_one_slot_one_gets_it(world: &World) {
    let clients = Arc::new([world.through("centro"), world.through("jardins")]);
    let start = NOON + DAY;
    let mut wishes = tokio::task::JoinSet::new();
    for n in 0..24 {
        let (clients, request) =
            (Arc::clone(&clients), booking(world.patients[n % 3], world.centro.slot(1, start, 30)));
        wishes.spawn(async move { clients[n % 2].book(request).await });
    }
    let mut confirmed = 0;
    while let Some(result) = wishes.join_next().await {
        match result.unwrap() {
            Ok(_) => confirmed += 1,
            refused => drop(held(refused)),
        }
    }
    assert_eq!(confirmed, 1);
    let there = appointments(&clients[1], world.centro.unit).await;
    let at_that_time = there.iter().filter(|one| one.slot.as_ref().is_some_and(|slot| slot.start_ms == start));
    assert_eq!(at_that_time.count(), 1);
}

pub(crate) async fn an_encaixe_needs_a_right_and_a_reason_and_never_doubles_a_patient(world: &World) {
    let start = NOON + 2 * DAY;
    let [anna, bruno, caio] = world.patients;
    world.through("centro").book(booking(anna, world.centro.slot(0, start, 30))).await.unwrap();
    let manager = world.network.client("centro/manager/gerencia", &["jardins"]);
    let reception = world.network.client("centro/reception/balcao", &["jardins"]);
    let wish = |patient, reason: &str| {
        let mut request = booking(patient, world.centro.slot(0, start, 30));
        request.encaixe_reason = reason.to_owned();
        request
    };
    let before = world.listing().await;
    assert_eq!(code(reception.book(wish(bruno, "dor aguda")).await), 1001);
    // No program has this right for itself.
    assert_eq!(code(world.through("centro").book(wish(bruno, "dor aguda")).await), 1001);
    assert_eq!(held(manager.book(wish(anna, "retorno")).await).0, ResourceKind::Patient);
    assert_eq!(world.listing().await, before, "a refusal changed something");
    manager.book(wish(bruno, "dor aguda")).await.unwrap();
    // And what overlaps an encaixe must be one too.
    held(world.through("centro").book(booking(caio, world.centro.slot(0, start, 30))).await);
}

pub(crate) async fn a_change_of_an_old_version_is_refused(world: &World) {
    let start = NOON + 3 * DAY;
    let (centro, jardins) = (world.through("centro"), world.through("jardins"));
    let request = booking(world.patients[0], world.centro.slot(0, start, 30));
    let appointment = request.appointment_id.clone();
    let booked = centro.book(request).await.unwrap();
    assert_eq!(booked.version, 1);
    let to = |seen_version, hour: i64| MoveAppointmentRequest {
        header: None,
        appointment_id: appointment.clone(),
        seen_version,
        slot: Some(world.centro.slot(0, start + hour * 60 * MINUTE, 30)),
        encaixe_reason: String::new(),
    };
    assert_eq!(jardins.move_appointment(to(1, 1)).await.unwrap().version, 2);
    let before = world.listing().await;
    match centro.move_appointment(to(1, 2)).await {
        Err(Error::Refused(refusal)) => {
            assert_eq!((refusal.code, refusal.current_version), (1203, Some(2)));
            assert!(!refusal.help.is_empty());
        }
        other => panic!("not refused: {other:?}"),
    }
    assert_eq!(world.listing().await, before, "a refusal changed something");
}

/// A booking that is moved between a short and a long time all the while is in each page once: a page that were read at several
/// moments would show it twice, or not at all.
pub(crate) async fn a_page_shows_the_agenda_of_one_moment(world: &World) {
    let (centro, jardins) = (world.through("centro"), world.through("jardins"));
    let (start, unit) = (NOON + 5 * DAY, world.centro.unit);
    for nth in 0..20 {
        centro.book(booking(world.patients[1], world.centro.slot(0, start + nth * 30 * MINUTE, 30))).await.unwrap();
    }
    let request = booking(world.patients[2], world.centro.slot(1, start, 30));
    let moved = request.appointment_id.clone();
    centro.book(request).await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (centro, moved, over) = (centro.clone(), moved.clone(), Arc::clone(&over));
        readers.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let page = appointments(&centro, unit).await;
                let shown: Vec<_> = page.iter().filter(|one| one.id == moved).map(|one| one.slot.clone()).collect();
                assert_eq!(shown.len(), 1, "{shown:?}");
            }
        });
    }
    for nth in 0_i64..80 {
        // Alternately early and short, and late and long.
        let (after, minutes) = if nth % 2 == 0 { (4 * 60, 300) } else { (0, 30) };
        let request = MoveAppointmentRequest {
            header: None,
            appointment_id: moved.clone(),
            seen_version: u32::try_from(nth).unwrap() + 1,
            slot: Some(world.centro.slot(1, start + after * MINUTE, minutes)),
            encaixe_reason: String::new(),
        };
        jardins.move_appointment(request).await.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    while let Some(ended) = readers.join_next().await {
        ended.unwrap();
    }
}
