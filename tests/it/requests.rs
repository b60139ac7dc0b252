//! A retry is harmless: one request id is done once, whichever nodes are asked, and never for another content.

use crate::world::{DAY, MINUTE, NOON, World, booking, code};
use plantao_client::Id;
use plantao_proto::public::v1::RequestHeader;
use std::time::SystemTime;

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn header(lifetime_ms: i64) -> Option<RequestHeader> {
    Some(RequestHeader { request_id: Id::random().unwrap().to_wire(), not_after_ms: now_ms() + lifetime_ms })
}

pub(crate) async fn a_repeated_request_gets_its_first_answer(world: &World) {
    let (centro, jardins) = (world.through("centro"), world.through("jardins"));
    let mut request = booking(world.patients[0], world.centro.slot(0, NOON + 10 * DAY, 30));
    request.header = header(5 * MINUTE);
    let first = centro.book(request.clone()).await.unwrap();
    let before = world.listing().await;
    for client in [&centro, &jardins] {
        let again = client.book(request.clone()).await.unwrap();
        assert_eq!((again.version, again.changed), (first.version, first.changed), "the stored answer");
    }
    // The answer to a refused request is as fixed: the slot is free meanwhile, and it stays refused.
    let mut refused = booking(world.patients[1], world.centro.slot(0, NOON + 10 * DAY, 30));
    refused.header = header(5 * MINUTE);
    assert_eq!(code(centro.book(refused.clone()).await), 1204);
    assert_eq!(code(jardins.book(refused).await), 1204);
    assert_eq!(world.listing().await, before);

    let mut other = request;
    other.slot = Some(world.centro.slot(0, NOON + 10 * DAY + 60 * MINUTE, 30));
    for client in [&centro, &jardins] {
        assert_eq!(code(client.book(other.clone()).await), 1102);
    }
    assert_eq!(world.listing().await, before, "another content under the same id changed something");
}

pub(crate) async fn a_request_has_a_time_of_its_own(world: &World) {
    let centro = world.through("centro");
    let before = world.listing().await;
    let mut request = booking(world.patients[0], world.centro.slot(0, NOON + 11 * DAY, 30));
    request.header = header(30 * MINUTE);
    assert_eq!(code(centro.book(request.clone()).await), 1103);
    // Sent once all the same: by which clock it is late is for the network to say.
    request.header = header(-MINUTE);
    assert_eq!(code(centro.book(request).await), 1101);
    assert_eq!(world.listing().await, before);
}
