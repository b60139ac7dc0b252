//! Same log, same rows: whatever the size of groups, wherever a replica starts again, and through the wire format.

use crate::world::*;
use plantao_domain::view::Order;
use plantao_domain::*;
use proptest::prelude::*;

fn log_of(world: &mut World, raws: &[[u8; 8]]) -> Vec<Envelope> {
    raws.iter()
        .map(|raw| {
            world.now += i64::from(raw[7] % 4) * 120_000;
            world.envelope(mixed_command_of(*raw))
        })
        .collect()
}

fn id_of(index: u64) -> LogId {
    LogId { term: 1 + index / 7, index }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn replicas_agree_at_every_index(
        raws in prop::collection::vec(any::<[u8; 8]>(), 1..90),
        groups in prop::collection::vec(1_usize..20, 1..30),
        restarts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut world = imaging();
        let log = log_of(&mut world, &raws);
        let first = world.index + 1;

        // One replica applies one by one; its rows after each entry are the truth.
        let mut truth = vec![world.rows.clone()];
        let mut chain = vec![digest::CHAIN_START];
        let mut outcomes = Vec::new();
        for (n, envelope) in log.iter().enumerate() {
            let at = id_of(first + n as u64);
            let mut rows = truth[n].clone();
            let applied = apply(&rows, at, envelope).unwrap();
            rows.write(&applied.changes);
            let bytes = codec::encode_envelope(envelope);
            chain.push(digest::chain(&chain[n], at, &bytes, &codec::encode_outcome(&applied.outcome)));
            truth.push(rows);
            outcomes.push(applied.outcome);
        }

        // Others start at a snapshot of it, decode what came over the wire, and write in groups of any size.
        for start in std::iter::once(0).chain(restarts.iter().map(|at| at.index(log.len()))) {
            let mut rows = truth[start].clone();
            let mut link = chain[start];
            let mut n = start;
            for group in groups.iter().cycle() {
                let end = (n + group).min(log.len());
                let mut overlay = Overlay::new(&rows);
                for (place, envelope) in log.iter().enumerate().take(end).skip(n) {
                    let at = id_of(first + place as u64);
                    let bytes = codec::encode_envelope(envelope);
                    let applied = apply(&overlay, at, &codec::decode_envelope(&bytes).unwrap()).unwrap();
                    prop_assert_eq!(&applied.outcome, &outcomes[place]);
                    link = digest::chain(&link, at, &bytes, &codec::encode_outcome(&applied.outcome));
                    overlay.write(applied.changes);
                }
                let changes = overlay.into_changes();
                rows.write(&changes);
                n = end;
                prop_assert_eq!(&rows, &truth[n]);
                prop_assert_eq!(link, chain[n]);
                if n == log.len() {
                    break;
                }
            }
        }
    }

    /// An overlay answers like the rows that its changes would make.
    #[test]
    fn an_overlay_is_what_it_will_be(
        below in prop::collection::btree_map(0_u8..20, any::<u8>(), 0..15),
        batches in prop::collection::vec(
            prop::collection::btree_map(0_u8..20, prop::option::of(any::<u8>()), 0..6), 0..4),
        from in 0_u8..20,
        to in 0_u8..21,
        limit in 0_usize..8,
    ) {
        let mut rows = MemView::default();
        rows.write(&below.into_iter().map(|(k, v)| (vec![k], Some(vec![v]))).collect());
        let under = rows.clone();
        let mut overlay = Overlay::new(&under);
        for batch in batches {
            let changes: Changes = batch.into_iter().map(|(k, v)| (vec![k], v.map(|v| vec![v]))).collect();
            rows.write(&changes);
            overlay.write(changes);
        }
        for order in [Order::Ascending, Order::Descending] {
            prop_assert_eq!(
                overlay.range(&[from], &[to], order, limit).unwrap(),
                rows.range(&[from], &[to], order, limit).unwrap()
            );
        }
        for n in 0..20 {
            prop_assert_eq!(overlay.get(&[n]).unwrap(), rows.get(&[n]).unwrap());
        }
        let mut written = under.clone();
        written.write(&overlay.into_changes());
        prop_assert_eq!(written, rows);
    }
}
