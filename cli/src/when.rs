//! Times as people write and read them. The cluster knows milliseconds UTC; zones are for display and input only.

use crate::failure::Failure;
use crate::text::Lang;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// The zone of the units, unless `--zone` names another.
pub(crate) const ZONE_DEFAULT: &str = "America/Sao_Paulo";

/// Where a person's clock stands.
#[derive(Clone, Debug)]
pub(crate) struct Zone(TimeZone);

impl Zone {
    /// An IANA name, such as `America/Manaus`.
    pub(crate) fn named(name: &str) -> Result<Self, Failure> {
        TimeZone::get(name).map(Self).map_err(|_| Failure::BadZone { text: name.to_owned() })
    }

    /// `21/11/2026 14:32` (or `2026-11-21 14:32`); a time that no calendar has is shown as its number.
    pub(crate) fn minute(&self, ms: i64, lang: Lang) -> String {
        self.with(ms, if lang == Lang::PtBr { "%d/%m/%Y %H:%M" } else { "%Y-%m-%d %H:%M" })
    }

    /// As [`Zone::minute`], with seconds and the zone's short name.
    pub(crate) fn second(&self, ms: i64, lang: Lang) -> String {
        let format = if lang == Lang::PtBr { "%d/%m/%Y %H:%M:%S (%Z)" } else { "%Y-%m-%d %H:%M:%S (%Z)" };
        self.with(ms, format)
    }

    fn with(&self, ms: i64, format: &str) -> String {
        match Timestamp::from_millisecond(ms) {
            Ok(at) => at.to_zoned(self.0.clone()).strftime(format).to_string(),
            Err(_) => format!("{ms} ms"),
        }
    }

    /// RFC 3339 with an offset, or `2026-11-24 14:45`, `2026-11-24T14:45`, `24/11/2026 14:45` on this zone's clock.
    pub(crate) fn parse(&self, text: &str) -> Result<i64, Failure> {
        let bad = || Failure::BadTime { text: text.to_owned() };
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(at.as_millisecond());
        }
        let civil = ["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%d/%m/%Y %H:%M"]
            .iter()
            .find_map(|format| DateTime::strptime(format, text).ok())
            .ok_or_else(bad)?;
        // An hour that a change of clocks skips or repeats is no instant: the caller has to give an offset.
        let zoned = self.0.to_ambiguous_zoned(civil).unambiguous().map_err(|_| bad())?;
        Ok(zoned.timestamp().as_millisecond())
    }

    /// A whole day on this zone's clock, `[from, to)`: `2026-11-24` or `24/11/2026`.
    pub(crate) fn day(&self, text: &str) -> Result<(i64, i64), Failure> {
        let bad = || Failure::BadTime { text: text.to_owned() };
        let date =
            ["%Y-%m-%d", "%d/%m/%Y"].iter().find_map(|format| Date::strptime(format, text).ok()).ok_or_else(bad)?;
        let start = |date: Date| -> Result<i64, Failure> {
            Ok(date.to_zoned(self.0.clone()).map_err(|_| bad())?.timestamp().as_millisecond())
        };
        Ok((start(date)?, start(date.checked_add(1.day()).map_err(|_| bad())?)?))
    }

    /// The day that contains `ms`, as [`Zone::day`] takes it.
    pub(crate) fn day_of(&self, ms: i64) -> String {
        self.with(ms, "%Y-%m-%d")
    }
}

/// RFC 3339 in UTC with three digits of a second, as every JSON document of ours has it: times sort as their text does. A
/// time that no calendar has gives `null`.
pub(crate) fn rfc3339(ms: i64) -> Option<String> {
    Timestamp::from_millisecond(ms).ok().map(|at| format!("{at:.3}"))
}

/// Milliseconds UTC now, by this machine's clock.
pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_offset_is_the_units() {
        let zone = Zone::named(ZONE_DEFAULT).unwrap();
        let at = zone.parse("2026-11-24 14:45").unwrap();
        assert_eq!(at, zone.parse("2026-11-24T14:45-03:00").unwrap());
        assert_eq!(at, zone.parse("2026-11-24T17:45:00Z").unwrap());
        assert_eq!(at, zone.parse("24/11/2026 14:45").unwrap());
        assert_eq!(rfc3339(at).unwrap(), "2026-11-24T17:45:00.000Z");
        assert_eq!(zone.minute(at, Lang::PtBr), "24/11/2026 14:45");
        assert_eq!(zone.minute(at, Lang::En), "2026-11-24 14:45");
        assert_eq!(Zone::named("America/Manaus").unwrap().minute(at, Lang::PtBr), "24/11/2026 13:45");
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        let zone = Zone::named(ZONE_DEFAULT).unwrap();
        for text in ["", "amanhã", "2026-02-30 10:00", "2026-11-24", "14:45", "2026-11-24 25:00"] {
            assert!(zone.parse(text).is_err(), "{text}");
        }
        // The clocks went forward at midnight of 4 November 2018: 00:30 did not exist.
        assert!(zone.parse("2018-11-04 00:30").is_err());
        assert!(Zone::named("Brasil/Centro").is_err());
    }

    #[test]
    fn a_day_is_as_long_as_the_zone_says() {
        let zone = Zone::named(ZONE_DEFAULT).unwrap();
        let (from, to) = zone.day("2026-11-24").unwrap();
        assert_eq!(to - from, 24 * 3_600_000);
        assert_eq!(zone.day_of(from), "2026-11-24");
        assert_eq!(zone.day("24/11/2026").unwrap(), (from, to));
        let (from, to) = zone.day("2018-11-04").unwrap();
        assert_eq!(to - from, 23 * 3_600_000);
        assert!(zone.day("2026-13-01").is_err());
    }

    #[test]
    fn times_beyond_the_calendar_are_shown_not_panicked_over() {
        let zone = Zone::named(ZONE_DEFAULT).unwrap();
        assert_eq!(zone.minute(i64::MAX, Lang::PtBr), format!("{} ms", i64::MAX));
        assert_eq!(rfc3339(i64::MIN), None);
    }
}
