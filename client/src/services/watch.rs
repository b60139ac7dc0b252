//! The watch of changes, resumed by itself: a caller sees one stream without gap or repetition, whatever happened to
//! the connections under it.

use crate::connect::Cluster;
use crate::error::Error;
use futures_util::stream::{self, Stream};
use plantao_proto::public::v1;
use plantao_proto::public::v1::change_service_client::ChangeServiceClient;
use plantao_proto::public::v1::watch_response::Event;
use std::time::{Duration, Instant};
use tonic::{Request, Streaming};

/// A node speaks at least every 10 s; after this the connection counts as lost.
const SILENCE_MAX: Duration = Duration::from_secs(25);

/// What a watch tells.
#[derive(Clone, PartialEq, Debug)]
pub enum WatchEvent {
    /// First: changes from this log index on follow.
    Started {
        /// Log index.
        from_index: u64,
    },
    /// A change.
    Change(v1::Change),
    /// Everything up to this log index was told.
    Progress {
        /// Log index.
        index: u64,
    },
    /// The connection was lost and made again; nothing is missing.
    Resumed {
        /// Log index from which the new stream tells.
        from_index: u64,
    },
}

/// Why a watch ended.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// What was asked for is not kept any more: list afresh, then watch from that index.
    #[error("the changes from there on are not kept any more")]
    Compacted {
        /// Log index.
        list_from_index: u64,
    },
    /// No stream could be had within the deadline of a read, or a node refused it.
    #[error("the watch was lost")]
    Lost(#[source] Error),
}

/// Where a watch stands; the part that decides, without any connection.
#[derive(Debug, Default)]
struct Place {
    /// First index not told completely.
    next: u64,
    /// How many changes of `next` were told already.
    told: usize,
    /// How many changes of `next` to pass over, because a resumed stream repeats them.
    skip: usize,
    started: bool,
}

impl Place {
    /// A new stream from `next` begins.
    fn resume(&mut self) {
        self.skip = self.skip.max(self.told);
        self.told = 0;
    }

    /// What to tell of `event`, if anything.
    fn accept(&mut self, event: Event) -> Option<Result<WatchEvent, WatchError>> {
        match event {
            Event::Started(start) => {
                if self.started {
                    return Some(Ok(WatchEvent::Resumed { from_index: start.from_index }));
                }
                self.started = true;
                self.next = start.from_index;
                Some(Ok(WatchEvent::Started { from_index: start.from_index }))
            }
            Event::Change(change) => {
                if change.index < self.next {
                    return None;
                }
                if change.index > self.next {
                    (self.next, self.told, self.skip) = (change.index, 0, 0);
                }
                self.told += 1;
                if self.told <= self.skip { None } else { Some(Ok(WatchEvent::Change(change))) }
            }
            Event::Progress(progress) => {
                if progress.index < self.next {
                    return None;
                }
                (self.next, self.told, self.skip) = (progress.index + 1, 0, 0);
                Some(Ok(WatchEvent::Progress { index: progress.index }))
            }
            Event::Compacted(compacted) => {
                Some(Err(WatchError::Compacted { list_from_index: compacted.list_from_index }))
            }
        }
    }
}

struct Watching {
    cluster: Cluster,
    request: v1::WatchRequest,
    place: Place,
    stream: Option<(usize, Streaming<v1::WatchResponse>)>,
    /// When the stream was lost that has told nothing since; bounds a node that accepts and drops at once.
    lost_since: Option<Instant>,
    ended: bool,
}

impl Watching {
    async fn next(&mut self) -> Option<Result<WatchEvent, WatchError>> {
        loop {
            if self.ended {
                return None;
            }
            let told = match self.stream.take() {
                None => match self.open().await {
                    Ok(()) => continue,
                    Err(error) => Some(Err(WatchError::Lost(error))),
                },
                Some((at, mut stream)) => {
                    match tokio::time::timeout(SILENCE_MAX, stream.message()).await {
                        Ok(Ok(Some(message))) => {
                            self.stream = Some((at, stream));
                            match message.event {
                                Some(event) => {
                                    if !matches!(event, Event::Started(_)) {
                                        self.lost_since = None;
                                    }
                                    self.place.accept(event)
                                }
                                // A kind of a later version: nothing that this one promised.
                                None => None,
                            }
                        }
                        // Lost, ended or silent alike: another node may go on.
                        Ok(Ok(None) | Err(_)) | Err(_) => {
                            self.lost_since.get_or_insert_with(Instant::now);
                            self.cluster.leave(at);
                            tokio::time::sleep(self.cluster.policy().pause_max).await;
                            None
                        }
                    }
                }
            };
            if let Some(told) = told {
                self.ended = told.is_err();
                return Some(told);
            }
        }
    }

    async fn open(&mut self) -> Result<(), Error> {
        if self.lost_since.is_some_and(|since| since.elapsed() > self.cluster.policy().read_deadline) {
            return Err(Error::Protocol("streams that end as soon as they begin"));
        }
        if self.place.started {
            self.request.from_index = self.place.next;
            self.place.resume();
        }
        let at = self.cluster.current();
        let stream = self
            .cluster
            .read(|channel, _| {
                // No deadline: it would end the stream.
                let message = Request::new(self.request.clone());
                async move { ChangeServiceClient::new(channel).watch(message).await }
            })
            .await?;
        self.stream = Some((at, stream));
        Ok(())
    }
}

impl Cluster {
    /// Watches changes from `request.from_index` on. The stream ends after an error.
    pub fn watch(
        &self,
        request: v1::WatchRequest,
    ) -> impl Stream<Item = Result<WatchEvent, WatchError>> + Send + use<> {
        let watching = Watching {
            cluster: self.clone(),
            request,
            place: Place::default(),
            stream: None,
            lost_since: None,
            ended: false,
        };
        stream::unfold(watching, |mut watching| async move {
            let told = watching.next().await?;
            Some((told, watching))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plantao_proto::public::v1::watch_response::{Progress, Started};

    fn change(index: u64, version: u32) -> Event {
        Event::Change(v1::Change { index, version, ..v1::Change::default() })
    }

    fn told(place: &mut Place, event: Event) -> Option<(u64, u32)> {
        match place.accept(event) {
            Some(Ok(WatchEvent::Change(change))) => Some((change.index, change.version)),
            _ => None,
        }
    }

    // One entry may make several changes: a connection lost between two of them must neither lose nor repeat one.
    #[test]
    fn a_resumed_watch_neither_loses_nor_repeats() {
        let mut place = Place::default();
        place.accept(Event::Started(Started { from_index: 5 }));
        assert_eq!(told(&mut place, change(5, 1)), Some((5, 1)));
        assert_eq!(told(&mut place, change(7, 1)), Some((7, 1)));
        assert_eq!(told(&mut place, change(7, 2)), Some((7, 2)));
        for _ in 0..2 {
            assert_eq!(place.next, 7);
            place.resume();
            assert!(matches!(
                place.accept(Event::Started(Started { from_index: 7 })),
                Some(Ok(WatchEvent::Resumed { from_index: 7 }))
            ));
            assert_eq!(told(&mut place, change(7, 1)), None);
            assert_eq!(told(&mut place, change(7, 2)), None);
        }
        assert_eq!(told(&mut place, change(7, 3)), Some((7, 3)));
        place.accept(Event::Progress(Progress { index: 9 }));
        place.resume();
        assert_eq!(place.next, 10);
        assert_eq!(told(&mut place, change(10, 1)), Some((10, 1)));
    }

    #[test]
    fn a_connection_lost_while_it_repeats_still_skips_all_that_was_told() {
        let mut place = Place::default();
        place.accept(Event::Started(Started { from_index: 7 }));
        assert_eq!(told(&mut place, change(7, 1)), Some((7, 1)));
        assert_eq!(told(&mut place, change(7, 2)), Some((7, 2)));
        place.resume();
        assert_eq!(told(&mut place, change(7, 1)), None);
        place.resume();
        assert_eq!(told(&mut place, change(7, 1)), None);
        assert_eq!(told(&mut place, change(7, 2)), None);
        assert_eq!(told(&mut place, change(7, 3)), Some((7, 3)));
    }
}
