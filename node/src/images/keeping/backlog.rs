//! How much a node still lacks, and how long that takes: computed from one row and from what the link gives, kept nowhere.

use crate::chunks::calendar::{Calendar, Cap, DayMinute};
use plantao_domain::rows::{Amount, StoreRow};
use std::time::Duration;

/// What a node should hold and has no receipt for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Backlog {
    /// Parts, chunks and bytes.
    pub amount: Amount,
    /// How long it takes from now on; `None`: never at these caps, or nothing is known of the link yet.
    pub time: Option<Duration>,
}

/// What a link gives.
#[derive(Clone, Copy, Debug)]
pub struct LinkRate<'a> {
    /// What chunks may take of it, by the hour.
    pub calendar: &'a Calendar,
    /// Bytes a second that they lately took; `None`: none did.
    pub measured: Option<u64>,
}

/// The backlog of a store over the quickest of these links, from `at` on.
pub fn backlog(store: &StoreRow, links: &[LinkRate<'_>], at: DayMinute) -> Backlog {
    let amount = store.expected.minus(store.received);
    let over = |link: &LinkRate<'_>| {
        let is_open_now = link.calendar.cap(at) == Cap::Unlimited;
        match link.measured {
            Some(rate) => link.calendar.time_for(at, amount.bytes, rate),
            // Where a cap stands it is what the link gives, until something shows that it gives less.
            None if !is_open_now => link.calendar.time_for(at, amount.bytes, u64::MAX / (24 * 60 * 60)),
            None => None,
        }
    };
    let time = if amount.bytes == 0 { Some(Duration::ZERO) } else { links.iter().filter_map(over).min() };
    Backlog { amount, time }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use plantao_domain::{ClusterTime, DiskId, StoreIncarnation};

    fn store(expected: u64, received: u64) -> StoreRow {
        let amount = |bytes| Amount { parts: bytes / 1_000, chunks: bytes / 100, bytes };
        StoreRow {
            incarnation: StoreIncarnation::default(),
            disk: DiskId::default(),
            medium: "hdd".to_owned(),
            registered_at: ClusterTime::default(),
            retired_at: None,
            expected: amount(expected),
            received: amount(received),
        }
    }

    fn time(store: &StoreRow, calendar: &str, measured: Option<u64>, minute: u16) -> Option<u64> {
        let calendar = Calendar::parse(calendar).unwrap();
        let link = LinkRate { calendar: &calendar, measured };
        backlog(store, &[link], DayMinute::new(minute).unwrap()).time.map(|time| time.as_secs())
    }

    #[test]
    fn a_backlog_is_what_has_no_receipt_and_takes_as_long_as_its_link() {
        let behind = store(201_000_000, 1_000_000);
        let found = backlog(&behind, &[], DayMinute::new(0).unwrap());
        assert_eq!((found.amount.bytes, found.amount.chunks, found.time), (200_000_000, 2_000_000, None));
        // 200 MB at 1 Mbit/s are 1,600 s.
        assert_eq!(time(&behind, "else 1 Mbit/s", None, 0), Some(1_600));
        assert_eq!(time(&behind, "else 1 Mbit/s", Some(62_500), 0), Some(3_200), "the link gives less than its cap");
        assert_eq!(time(&behind, "else unlimited", None, 0), None, "nothing is known");
        assert_eq!(time(&behind, "else unlimited", Some(2_000_000), 0), Some(100));
        assert_eq!(time(&behind, "else none", None, 0), None, "never");
        // At 19:50: ten minutes at the cap, 75 MB, then the link itself.
        assert_eq!(time(&behind, "07:00-20:00 1 Mbit/s, else unlimited", Some(1_250_000), 1_190), Some(600 + 100));
        assert_eq!(time(&store(5_000, 5_000), "else none", None, 0), Some(0));
        assert_eq!(time(&store(5_000, 9_000), "else none", None, 0), Some(0), "never below nothing");
    }

    #[test]
    fn the_quickest_link_counts() {
        let (slow, quick) = (Calendar::parse("else 1 Mbit/s").unwrap(), Calendar::UNLIMITED);
        let links =
            [LinkRate { calendar: &slow, measured: None }, LinkRate { calendar: &quick, measured: Some(10_000_000) }];
        let found = backlog(&store(10_000_000, 0), &links, DayMinute::new(0).unwrap());
        assert_eq!(found.time, Some(Duration::from_secs(1)));
    }
}
