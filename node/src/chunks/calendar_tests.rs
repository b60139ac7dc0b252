#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

const MBIT: Cap = Cap::Bits(1_000_000);

fn at(hours: u16, minutes: u16) -> DayMinute {
    DayMinute::new(hours * 60 + minutes).unwrap()
}

#[test]
fn the_hours_of_a_thin_line_are_read() {
    let calendar = Calendar::parse("07:00-20:00 1 Mbit/s, else unlimited").unwrap();
    for (time, cap) in [
        (at(0, 0), Cap::Unlimited),
        (at(6, 59), Cap::Unlimited),
        (at(7, 0), MBIT),
        (at(19, 59), MBIT),
        (at(20, 0), Cap::Unlimited),
    ] {
        assert_eq!(calendar.cap(time), cap, "{time}");
    }
    assert_eq!(calendar.next_change(at(6, 30)), Duration::from_secs(30 * 60));
    assert_eq!(calendar.next_change(at(7, 0)), Duration::from_secs(13 * 3600));
    assert_eq!(calendar.next_change(at(23, 0)), Duration::from_secs(8 * 3600));
    assert_eq!(Calendar::UNLIMITED.next_change(at(0, 0)), Duration::from_secs(86_400));
    assert_eq!(MBIT.bytes_per_second(), Some(125_000));

    let night = Calendar::parse("22:00-06:00 none,06:00-22:00 500 kbit/s").unwrap();
    assert_eq!(night.cap(at(23, 0)), Cap::Bits(0));
    assert_eq!(night.cap(at(5, 59)), Cap::Bits(0));
    assert_eq!(Calendar::parse("00:00-24:00 2 Gbit/s").unwrap().cap(at(23, 59)), Cap::Bits(2_000_000_000));
}

/// Windows that touch do not overlap; the one above that passes midnight does.
#[test]
fn every_fault_is_told_at_once() {
    let faults = |text: &str| Calendar::parse(text).unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>();
    let all = faults("7:00-20:00 1 Mbit/s, 08:00-25:00 1 Mbit/s, 08:00-09:00 1 MB/s, else fast, foo, 10:00-10:00 none");
    assert_eq!(all.len(), 6, "{all:?}");
    for (text, wanted) in [
        ("", "is no entry"),
        ("else", "is no entry"),
        ("07:00 1 Mbit/s", "is no entry"),
        ("07:60-08:00 none", "no time of the day"),
        ("07:00-24:01 none", "no time of the day"),
        ("24:00-07:00 none", "is empty"),
        ("07:00-08:00 0 Mbit/s", "no rate"),
        ("07:00-08:00 1Mbit/s", "no rate"),
        ("07:00-08:00 -1 Mbit/s", "no rate"),
        ("07:00-08:00 +1 Mbit/s", "no rate"),
        ("07:00-08:00 1.5 Mbit/s", "no rate"),
        ("07:00-08:00 99999999999999 Gbit/s", "no rate"),
        ("07:00-08:00 none, 07:59-09:00 none", "overlaps"),
        ("22:00-06:00 none, 05:00-07:00 none", "overlaps"),
        ("05:00-07:00 none, 22:00-06:00 none", "overlaps"),
        ("00:00-24:00 none, 05:00-07:00 none", "overlaps"),
        ("else none, else none", "once"),
    ] {
        let told = faults(text);
        assert!(told.iter().any(|fault| fault.contains(wanted)), "{text}: {told:?}");
    }
    let hourly = (0..24).map(|hour| format!("{hour:02}:00-{hour:02}:30 none, {hour:02}:30-{:02}:00 none", hour + 1));
    assert!(faults(&hourly.collect::<Vec<_>>().join(", ")).iter().any(|fault| fault.contains("more than 24")));
}

#[test]
fn each_link_has_its_calendar() {
    let caps = LinkCaps::parse("cofre = 07:00-20:00 1 Mbit/s, else unlimited; * = else 20 Mbit/s").unwrap();
    assert_eq!(caps.of("cofre").cap(at(8, 0)), MBIT);
    assert_eq!(caps.of("jardins").cap(at(8, 0)), Cap::Bits(20_000_000));
    assert_eq!(LinkCaps::parse("else 5 Mbit/s").unwrap().of("any").cap(at(0, 0)), Cap::Bits(5_000_000));
    assert_eq!(LinkCaps::default().of("any"), &Calendar::UNLIMITED);
    assert_eq!(LinkCaps::parse("else unlimited").unwrap(), LinkCaps::default());
    for (text, faults) in [
        ("", 1),
        ("Cofre = else none", 1),
        ("a = else none; a = else none", 1),
        ("* = else none; else none", 1),
        ("a = else fast; B = else slow; c = 1", 4),
        (";", 3),
    ] {
        assert_eq!(LinkCaps::parse(text).unwrap_err().len(), faults, "{text}: {:?}", LinkCaps::parse(text));
    }
}

#[test]
fn the_expected_time_counts_the_hours() {
    let calendar = Calendar::parse("07:00-20:00 1 Mbit/s, else 8 Mbit/s").unwrap();
    let link = 10_000_000;
    // An hour before the window at a million bytes a second, then 125,000.
    assert_eq!(calendar.time_for(at(6, 0), 3_600_000_000, link), Some(Duration::from_secs(3600)));
    assert_eq!(calendar.time_for(at(6, 0), 3_600_125_000, link), Some(Duration::from_secs(3601)));
    // The line itself is slower than the cap.
    assert_eq!(calendar.time_for(at(6, 0), 1_000_000, 1_000), Some(Duration::from_secs(1000)));
    assert_eq!(calendar.time_for(at(6, 0), 0, 0), Some(Duration::ZERO));
    assert_eq!(calendar.time_for(at(6, 0), 1, 0), None);
    assert_eq!(Calendar::parse("else none").unwrap().time_for(at(6, 0), 1, link), None);
    assert_eq!(Calendar::UNLIMITED.time_for(at(6, 0), u64::MAX, 1), None, "longer than anybody waits");
    // 200 MB at 1 Mbit/s all day: 1,600 s.
    let thin = Calendar::parse("else 1 Mbit/s").unwrap();
    assert_eq!(thin.time_for(at(12, 0), 200_000_000, u64::MAX), Some(Duration::from_secs(1_600)));
}

proptest! {
    /// What is shown is read again as the same.
    #[test]
    fn a_calendar_survives_its_own_text(
        starts in proptest::collection::btree_set(0..1_440_u16, 1..8),
        caps in proptest::collection::vec(0..4_u8, 9),
    ) {
        let starts: Vec<u16> = starts.into_iter().collect();
        let cap = |number: u8| ["none", "unlimited", "3 Mbit/s", "250 kbit/s"][usize::from(number)];
        let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        // Every window but the last ends where the next begins.
        let window = |(pair, number): (&[u16], &u8)| format!("{}-{} {}", time(pair[0]), time(pair[1]), cap(*number));
        let windows = starts.windows(2).zip(&caps).map(window);
        let text = windows.chain([format!("else {}", cap(caps[8]))]).collect::<Vec<_>>().join(", ");
        let calendar = Calendar::parse(&text).unwrap();
        prop_assert_eq!(&Calendar::parse(&calendar.to_string()).unwrap(), &calendar);
        for minute in 0..DAY_MINUTES {
            let inside = starts.windows(2).position(|pair| (pair[0]..pair[1]).contains(&minute));
            let wanted = cap(inside.map_or(caps[8], |at| caps[at]));
            prop_assert_eq!(calendar.cap(DayMinute(minute)).to_string(), wanted);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,60}") {
        let _ = LinkCaps::parse(&text);
    }

    /// The sum over minutes and the expected time agree.
    #[test]
    fn a_second_less_than_expected_is_not_enough(start in 0..1_440_u16, bytes in 1..40_000_000_000_u64) {
        let calendar = Calendar::parse("07:00-20:00 1 Mbit/s, 20:00-21:00 none, else 4 Mbit/s").unwrap();
        let start = DayMinute(start);
        let expected = calendar.time_for(start, bytes, u64::MAX).unwrap().as_secs();
        let carried = |seconds: u64| -> u64 {
            (0..seconds).step_by(60).map(|second| {
                let minute = u16::try_from(second / 60 % u64::from(DAY_MINUTES)).unwrap();
                calendar.cap(start.after(minute)).bytes_per_second().unwrap() * (seconds - second).min(60)
            }).sum()
        };
        prop_assert!(carried(expected) >= bytes);
        prop_assert!(carried(expected - 1) < bytes);
    }
}
