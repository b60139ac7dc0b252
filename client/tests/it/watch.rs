//! A watch goes on after lost connections, without gap or repetition.

use crate::clinic::Clinic;
use crate::transport::{Network, patient};
use futures_util::{StreamExt, pin_mut};
use plantao_client::services::{WatchError, WatchEvent};
use plantao_proto::public::v1::{self, watch_response::*};

fn change(index: u64, version: u32) -> Event {
    Event::Change(v1::Change { index, version, ..v1::Change::default() })
}

#[tokio::test]
async fn a_watch_resumes_in_the_middle_of_an_entry_and_ends_when_compacted() {
    let (network, clinic) = (Network::new(), Clinic::default());
    let address = network.serve(1, &clinic).await;
    let started = |from_index| Event::Started(Started { from_index });
    clinic.0.lock().unwrap().streams = [
        vec![started(4), change(4, 1), change(6, 1)],
        vec![started(6), change(6, 1), change(6, 2), Event::Progress(Progress { index: 8 })],
        vec![Event::Compacted(Compacted { list_from_index: 20 })],
    ]
    .into();
    let watch = network.client("a", &[address], patient()).watch(v1::WatchRequest::default());
    pin_mut!(watch);
    let mut changes = Vec::new();
    let end = loop {
        match watch.next().await.unwrap() {
            Ok(WatchEvent::Change(change)) => changes.push((change.index, change.version)),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(changes, [(4, 1), (6, 1), (6, 2)]);
    assert!(matches!(end, WatchError::Compacted { list_from_index: 20 }), "{end}");
    assert!(watch.next().await.is_none());
    assert_eq!(clinic.0.lock().unwrap().watched_from, [0, 6, 9]);
}
