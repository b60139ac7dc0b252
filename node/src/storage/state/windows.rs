//! Rows that are searched for neighbours, kept in memory for a while by windows of their keys: each booking asks three
//! agendas what stands near its time, and asking the engine for so short a range costs as much as writing many rows.
//!
//! ```text
//! window = the first bytes of a key, as many as the domain says (rows::window_bytes); holds all marks that begin so
//! ```
//! As with [`super::cache`], what is kept is what the engine holds, always: windows are filled under the shared lock of
//! one index, and changed under the exclusive one, in the same step as the engine. Nothing here reads an engine.

use plantao_domain::rows::window_bytes;
use plantao_domain::view::{Order, Row};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::collections::BTreeMap;
use std::ops::Range;
use std::slice::ChunksExact;
use std::sync::Arc;

/// Keys and what keeping them costs, together.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;
/// A window with more rows is left to the engine.
const KEYS_MAX: usize = 256;
/// A range over more windows is a list, not a search.
const WINDOWS_MAX: usize = 8;
/// What an entry costs beside its bytes; a guess from the sizes of the map's and the values' headers.
const ENTRY_BYTES: usize = 128;
/// Windows of the usual size that fit.
const WINDOWS: usize = 4 * 1024;

/// The marks of one window, without the bytes that they share: one block, because each booking makes three of them anew.
#[derive(Clone, PartialEq, Eq)]
struct Tails {
    /// Length of each; 0 while there is none.
    each: usize,
    sorted: Arc<[u8]>,
}

impl Tails {
    /// `None` if they are too many, or of several lengths.
    fn of<'a>(tails: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let (mut each, mut count, mut sorted) = (0, 0, Vec::new());
        for tail in tails {
            count += 1;
            if count > KEYS_MAX || tail.is_empty() || (each != 0 && tail.len() != each) {
                return None;
            }
            each = tail.len();
            sorted.extend_from_slice(tail);
        }
        Some(Self { each, sorted: sorted.into() })
    }

    fn iter(&self) -> ChunksExact<'_, u8> {
        self.sorted.chunks_exact(self.each.max(1))
    }

    /// With other marks (`true`) and without some (`false`).
    fn changed(&self, changes: &BTreeMap<&[u8], bool>) -> Option<Self> {
        let kept = self.iter().filter(|tail| !changes.contains_key(tail));
        let mut tails: Vec<&[u8]> =
            kept.chain(changes.iter().filter(|(_, put)| **put).map(|(tail, _)| *tail)).collect();
        tails.sort_unstable();
        Self::of(tails)
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Vec<u8>, Tails> for ByBytes {
    fn weight(&self, window: &Vec<u8>, tails: &Tails) -> u64 {
        (window.len() + tails.sorted.len() + ENTRY_BYTES) as u64
    }
}

/// See the module.
pub(super) struct WindowCache(Cache<Vec<u8>, Tails, ByBytes>);

impl WindowCache {
    pub(super) fn new() -> Self {
        Self(Cache::with_weighter(WINDOWS, CACHE_BYTES, ByBytes))
    }

    /// The rows of a range, if it is a search that windows answer; what is not kept yet is asked of `load`, a window at a
    /// time, and kept. `None` leaves the range to the engine.
    pub(super) fn range<E>(
        &self,
        bounds: Range<&[u8]>,
        order: Order,
        limit: usize,
        mut load: impl FnMut(Range<&[u8]>, usize) -> Result<Vec<Row>, E>,
    ) -> Option<Result<Vec<Row>, E>> {
        let mut rows = Vec::new();
        for window in windows(&bounds)? {
            let tails = match self.0.get(&window) {
                Some(tails) => tails,
                None => {
                    let found = match load(&window..&after(&window)?, KEYS_MAX + 1) {
                        Ok(found) => found,
                        Err(error) => return Some(Err(error)),
                    };
                    if found.iter().any(|(_, value)| !value.is_empty()) {
                        return None;
                    }
                    let tails = Tails::of(found.iter().filter_map(|(key, _)| key.get(window.len()..)))?;
                    self.0.insert(window.clone(), tails.clone());
                    tails
                }
            };
            // A bound is in the first window, or in the last one.
            let from = bounds.start.strip_prefix(window.as_slice()).unwrap_or_default();
            let to = bounds.end.strip_prefix(window.as_slice());
            let inside = tails.iter().skip_while(|tail| *tail < from).take_while(|tail| to.is_none_or(|to| *tail < to));
            rows.extend(inside.map(|tail| ([&window, tail].concat(), Vec::new())));
        }
        if order == Order::Descending {
            rows.reverse();
        }
        rows.truncate(limit);
        Some(Ok(rows))
    }

    /// Takes over what was written, for windows that are kept.
    pub(super) fn write<'a>(&self, changes: impl IntoIterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>) {
        let mut changed: BTreeMap<&[u8], BTreeMap<&[u8], bool>> = BTreeMap::new();
        for (key, value) in changes {
            let Some((window, tail)) = window_bytes(key).and_then(|bytes| key.split_at_checked(bytes)) else {
                continue;
            };
            changed.entry(window).or_default().insert(tail, value.is_some());
        }
        for (window, changes) in changed {
            let Some(tails) = self.0.peek(window) else { continue };
            match tails.changed(&changes) {
                Some(tails) => self.0.insert(window.to_vec(), tails),
                None => drop(self.0.remove(window)),
            }
        }
    }

    /// Forgets everything: other rows came.
    pub(super) fn clear(&self) {
        self.0.clear();
    }
}

/// The windows that a range touches, in order, if they are few.
fn windows(bounds: &Range<&[u8]>) -> Option<Vec<Vec<u8>>> {
    let window_of = |key: &[u8]| key.get(..window_bytes(key)?).map(<[u8]>::to_vec);
    let (mut window, last) = (window_of(bounds.start)?, window_of(bounds.end)?);
    if window.len() != last.len() || window > last {
        return None;
    }
    let mut windows = Vec::new();
    while window != last {
        if windows.len() == WINDOWS_MAX - 1 {
            return None;
        }
        let next = after(&window)?;
        windows.push(std::mem::replace(&mut window, next));
    }
    windows.push(last);
    Some(windows)
}

/// The window that follows, of the same length; `None` after the last one.
fn after(window: &[u8]) -> Option<Vec<u8>> {
    let mut next = window.to_vec();
    for byte in next.iter_mut().rev() {
        let (value, wrapped) = byte.overflowing_add(1);
        *byte = value;
        if !wrapped {
            return Some(next);
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use plantao_domain::rows::{AgendaOf, LengthClass, Occupancy, agenda_key, agenda_range};
    use plantao_domain::view::{Changes, MemView};
    use plantao_domain::{AppointmentId, ClusterTime, Interval, RoomId, View};
    use proptest::prelude::*;
    use std::cell::Cell;
    use std::collections::BTreeSet;

    const MINUTE_MS: i64 = 60_000;

    fn room(n: u8) -> AgendaOf {
        AgendaOf::Room(RoomId::from_bytes([n; 16]))
    }

    fn interval(start_min: i64, length_min: i64) -> Interval {
        let at = |minute: i64| ClusterTime::saturating_from_millis(minute * MINUTE_MS);
        Interval { start: at(start_min), end: at(start_min + length_min) }
    }

    fn booked(of: AgendaOf, start_min: i64, length_min: i64, id: u8) -> Vec<u8> {
        agenda_key(of, Occupancy::Held, interval(start_min, length_min), AppointmentId::from_bytes([id; 16]))
    }

    /// What the cache says, or the engine where it says nothing; and how often the engine was asked.
    fn search(
        cache: &WindowCache,
        engine: &MemView,
        bounds: Range<&[u8]>,
        order: Order,
        limit: usize,
    ) -> (Vec<Row>, usize) {
        let loads = Cell::new(0);
        let load = |window: Range<&[u8]>, limit| {
            loads.set(loads.get() + 1);
            engine.range(window.start, window.end, Order::Ascending, limit)
        };
        let rows = match cache.range(bounds.clone(), order, limit, load) {
            Some(rows) => rows.unwrap(),
            None => engine.range(bounds.start, bounds.end, order, limit).unwrap(),
        };
        (rows, loads.get())
    }

    #[test]
    fn a_window_is_read_once_and_follows_what_is_written() {
        let (cache, mut engine) = (WindowCache::new(), MemView::default());
        let near = agenda_range(room(1), Occupancy::Held, LengthClass::Hour, interval(600, 15));
        let bounds = || near.from.as_slice()..near.to.as_slice();
        let (rows, loads) = search(&cache, &engine, bounds(), Order::Ascending, 9);
        assert!(rows.is_empty() && loads > 0);
        let key = booked(room(1), 600, 15, 1);
        for value in [Some(Vec::new()), None] {
            let changes = Changes::from([(key.clone(), value.clone())]);
            engine.write(&changes);
            cache.write(&changes);
            let (rows, loads) = search(&cache, &engine, bounds(), Order::Ascending, 9);
            assert_eq!((rows.len(), loads), (usize::from(value.is_some()), 0));
        }
        cache.clear();
        assert!(search(&cache, &engine, bounds(), Order::Ascending, 9).1 > 0);
    }

    #[test]
    fn crowded_windows_and_long_lists_are_left_to_the_engine_and_memory_is_bounded() {
        let (cache, mut engine) = (WindowCache::new(), MemView::default());
        let load = |_: Range<&[u8]>, limit| engine.range(&[0x41], &[0x42], Order::Ascending, limit);
        let month = agenda_range(room(1), Occupancy::Held, LengthClass::Hour, interval(0, 30 * 24 * 60));
        assert!(cache.range(&month.from..&month.to, Order::Ascending, 9, load).is_none());
        assert!(cache.range(&[0x41]..&[0x42], Order::Ascending, 9, load).is_none());
        let crowd: Changes = (0..=KEYS_MAX as u32)
            .map(|n| {
                let id = AppointmentId::from_bytes([&[0; 12], &n.to_be_bytes()[..]].concat().try_into().unwrap());
                (agenda_key(room(1), Occupancy::Held, interval(600, 15), id), Some(Vec::new()))
            })
            .collect();
        let near = agenda_range(room(1), Occupancy::Held, LengthClass::Hour, interval(600, 15));
        assert!(search(&cache, &engine, &near.from..&near.to, Order::Ascending, 9).0.is_empty());
        engine.write(&crowd);
        cache.write(&crowd);
        let (rows, loads) = search(&cache, &engine, &near.from..&near.to, Order::Ascending, 1_000);
        assert_eq!((rows.len(), loads), (KEYS_MAX + 1, 1), "it was dropped, asked for, and not kept");
        for n in 0..100_000_u32 {
            let id: [u8; 16] = [&[0; 12], &n.to_be_bytes()[..]].concat().try_into().unwrap();
            let near = agenda_range(
                AgendaOf::Room(RoomId::from_bytes(id)),
                Occupancy::Held,
                LengthClass::Hour,
                interval(600, 15),
            );
            drop(search(&cache, &MemView::default(), &near.from..&near.to, Order::Ascending, 9));
        }
        assert!(cache.0.weight() <= CACHE_BYTES);
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Booked together, while as many of what is held are freed.
        Write {
            booked: Vec<(u8, i64, i64, u8)>,
            freed: Vec<prop::sample::Index>,
        },
        Search {
            of: u8,
            start_min: i64,
            length_min: i64,
            limit: usize,
            order: Order,
        },
    }

    fn steps() -> impl Strategy<Value = Step> {
        // Two rooms and some days, so that several rows of a change are in one window.
        let booking = || (0..2_u8, -2_000..2_000_i64, 1..1_440_i64, 0..6_u8);
        let freed = prop::collection::vec(any::<prop::sample::Index>(), 0..3);
        let write = (prop::collection::vec(booking(), 0..5), freed);
        prop_oneof![
            write.prop_map(|(booked, freed)| Step::Write { booked, freed }),
            (booking(), any::<bool>()).prop_map(|((of, start_min, length_min, limit), descending)| Step::Search {
                of,
                start_min,
                length_min,
                limit: usize::from(limit) + 1,
                order: if descending { Order::Descending } else { Order::Ascending },
            }),
        ]
    }

    proptest! {
        /// Whatever is booked, freed and searched in whatever order, the answer is the engine's.
        #[test]
        fn a_search_is_answered_as_by_the_engine(steps in prop::collection::vec(steps(), 1..120)) {
            let (cache, mut engine) = (WindowCache::new(), MemView::default());
            let mut held: BTreeSet<Vec<u8>> = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Write { booked: new, freed } => {
                        let all: Vec<_> = held.iter().cloned().collect();
                        let freed = freed.iter().filter(|_| !all.is_empty()).map(|one| (one.get(&all).clone(), None));
                        let mut changes: Changes = freed.collect();
                        changes.extend(new.into_iter().map(|(of, start, length, id)| {
                            (booked(room(of), start, length, id), Some(Vec::new()))
                        }));
                        for (key, value) in &changes {
                            if value.is_some() { held.insert(key.clone()) } else { held.remove(key) };
                        }
                        engine.write(&changes);
                        cache.write(&changes);
                    }
                    Step::Search { of, start_min, length_min, limit, order } => {
                        for class in LengthClass::ALL {
                            let near =
                                agenda_range(room(of), Occupancy::Held, class, interval(start_min, length_min));
                            let (rows, _) = search(&cache, &engine, &near.from..&near.to, order, limit);
                            prop_assert_eq!(rows, engine.range(&near.from, &near.to, order, limit).unwrap());
                        }
                    }
                }
            }
        }
    }
}
