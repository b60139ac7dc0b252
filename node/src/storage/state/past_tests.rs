use super::*;
use crate::storage::state::engine::{EngineError, RawBatch, Visit};
use crate::storage::state::tests::{Random, TestSeal};
use std::collections::BTreeSet;

/// Rows as an engine has them.
#[derive(Default)]
struct Raw(BTreeMap<Vec<u8>, Vec<u8>>);

impl RawView for Raw {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.0.get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8], order: Order, visit: Visit<'_>) -> Result<(), EngineError> {
        let mut rows: Vec<_> = self.0.range(from.to_vec()..to.to_vec()).collect();
        if order == Order::Descending {
            rows.reverse();
        }
        let _ = rows.into_iter().all(|(key, value)| visit(key, value));
        Ok(())
    }
}

/// Rows, and the same as they are stored.
struct Table {
    seal: std::sync::Arc<dyn RowSeal>,
    raw: Raw,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Table {
    fn new() -> Self {
        Self { seal: TestSeal::shared(1), raw: Raw::default(), rows: BTreeMap::new() }
    }

    fn begin(&self, kept_bytes_max: usize) -> Past {
        Past::begin(&self.raw, &*self.seal, kept_bytes_max).unwrap()
    }

    fn step(&self, past: &mut Past) -> Result<Vec<Row>, Error> {
        past.step(&self.raw, &*self.seal)
    }

    fn change(&mut self, key: &[u8], value: Option<&[u8]>, past: Option<&mut Past>) {
        let old = self.rows.get(key);
        if let Some(past) = past {
            past.keep(key, old.map(Vec::as_slice));
        }
        let mut batch = RawBatch::new();
        rows::put(&mut batch, &*self.seal, key, value, old.map(Vec::len));
        for (key, value) in batch {
            match value {
                Some(value) => drop(self.raw.0.insert(key, value)),
                None => drop(self.raw.0.remove(&key)),
            }
        }
        match value {
            Some(value) => drop(self.rows.insert(key.to_vec(), value.to_vec())),
            None => drop(self.rows.remove(key)),
        }
    }

    fn rows(&self) -> Vec<Row> {
        self.rows.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

fn key(first: u8, n: u32) -> Vec<u8> {
    [&[first][..], &n.to_be_bytes()].concat()
}

/// Steps must join without a gap or a repeat, whatever came, went and changed before and behind them, at the edges of ranges
/// of keys too.
#[test]
fn a_view_is_whole_whatever_changes_while_it_is_read() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let firsts: Vec<u8> = RANGES
            .iter()
            .flat_map(|from| [*from, from.saturating_sub(1)])
            .filter(|first| (0x10..0xF0).contains(first))
            .collect();
        let mut table = Table::new();
        let some_key = |random: &mut Random| key(firsts[random.below(firsts.len())], random.below(200) as u32);
        let some_value = |random: &mut Random| {
            let length = [0, 20, 300, 5_000, 50_000][random.below(5)];
            (random.below(3) > 0).then(|| vec![random.next() as u8; length])
        };
        for _ in 0..random.below(1_500) {
            let (key, value) = (some_key(&mut random), some_value(&mut random));
            table.change(&key, value.as_deref(), None);
        }
        let (before, mut past, mut seen) = (table.rows(), table.begin(usize::MAX), Vec::new());
        loop {
            for _ in 0..random.below(40) {
                let (key, value) = (some_key(&mut random), some_value(&mut random));
                table.change(&key, value.as_deref(), Some(&mut past));
            }
            let rows = table.step(&mut past).unwrap();
            if rows.is_empty() {
                break;
            }
            assert!(rows.len() <= 2 * STEP_ROWS);
            seen.extend(rows);
        }
        assert_eq!(seen.iter().map(|(key, _)| key).collect::<BTreeSet<_>>().len(), seen.len());
        assert!(seen == before, "seed {seed}");
        assert_eq!((past.kept.len(), past.kept_bytes), (0, 0));
    }
}

/// What comes behind all others of its kind, and what was read, costs nothing; that is nearly everything.
#[test]
fn only_what_the_view_will_see_is_kept() {
    let mut table = Table::new();
    for n in 0..500 {
        table.change(&key(0x52, n), Some(&[1; 500]), None);
    }
    let mut past = table.begin(10_000);
    for n in 500..1_000 {
        table.change(&key(0x52, n), Some(&[1; 500]), Some(&mut past));
        table.change(&key(0x60, n), Some(&[1; 500]), Some(&mut past));
    }
    assert_eq!(past.kept_bytes, 0);
    assert_eq!(table.step(&mut past).unwrap().len(), STEP_ROWS);
    table.change(&key(0x52, 3), None, Some(&mut past));
    assert_eq!(past.kept_bytes, 0);
    table.change(&key(0x52, 400), None, Some(&mut past));
    assert_eq!(past.kept_bytes, 505);
    let mut seen = STEP_ROWS;
    while past.passed < key(0x52, 499) {
        seen += table.step(&mut past).unwrap().len();
    }
    assert_eq!((seen, past.kept_bytes), (500, 0));
    assert!(table.step(&mut past).unwrap().is_empty());
}

/// A reader that is too slow for the changes must lose its view; it must never block or fail an apply.
#[test]
fn a_view_that_outgrows_its_bound_ends_and_applies_go_on() {
    let mut table = Table::new();
    for n in 0..500 {
        table.change(&key(0x20, n), Some(&[1; 1_000]), None);
    }
    let (mut slow, mut next) = (table.begin(10_000), table.begin(10_000));
    for n in 0..20 {
        table.change(&key(0x20, n), Some(&[2; 1_000]), Some(&mut slow));
        if n < 9 {
            next.keep(&key(0x20, n), Some(&[1; 1_000]));
        }
    }
    assert!(matches!(table.step(&mut slow), Err(Error::FreezeOverflow)));
    assert_eq!(slow.kept.len(), 0);
    let seen = table.step(&mut next).unwrap();
    assert_eq!((seen[8].1[0], seen[9].1[0]), (1, 2));
}
