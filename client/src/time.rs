//! Times as people and files write them, to and from milliseconds since 1970 UTC. The years are 1900 to 9999, as in the
//! cluster.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use std::time::{SystemTime, UNIX_EPOCH};

/// 1900-01-01T00:00:00Z.
pub const TIME_MS_MIN: i64 = -2_208_988_800_000;
/// 9999-12-31T23:59:59.999Z.
pub const TIME_MS_MAX: i64 = 253_402_300_799_999;

/// Why a text is no time of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseTimeError {
    /// Not RFC 3339, or without an offset from UTC.
    #[error("not a time with an offset, such as 2026-11-24T14:45:00-03:00")]
    Format,
    /// Another year.
    #[error("the time lies outside the years 1900 to 9999")]
    OutOfRange,
}

fn in_range(ms: i64) -> Result<i64, ParseTimeError> {
    if (TIME_MS_MIN..=TIME_MS_MAX).contains(&ms) { Ok(ms) } else { Err(ParseTimeError::OutOfRange) }
}

/// Reads RFC 3339 with an offset; parts of a millisecond are cut off towards the past. The last day of the year 9999 is
/// not read.
pub fn parse_rfc3339(text: &str) -> Result<i64, ParseTimeError> {
    // jiff also takes an annotation in brackets, which could contradict the offset.
    if text.len() > 64 || text.contains('[') {
        return Err(ParseTimeError::Format);
    }
    let time: Timestamp = text.parse().map_err(|_| ParseTimeError::Format)?;
    in_range(time.as_nanosecond().div_euclid(1_000_000).try_into().unwrap_or(i64::MAX))
}

/// Reads a FHIR `date`, `dateTime` or `instant`: also `2016`, `2016-06` and `2016-06-01`, which mean their first
/// instant in UTC.
pub fn parse_fhir(text: &str) -> Result<i64, ParseTimeError> {
    let date = match text.len() {
        4 => format!("{text}-01-01"),
        7 => format!("{text}-01"),
        10 => text.to_owned(),
        _ => return parse_rfc3339(text),
    };
    let shape = date.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    if !shape {
        return Err(ParseTimeError::Format);
    }
    let date: Date = date.parse().map_err(|_| ParseTimeError::Format)?;
    let zoned = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| ParseTimeError::OutOfRange)?;
    in_range(zoned.timestamp().as_millisecond())
}

/// RFC 3339 in UTC, with milliseconds where there are any; `None` outside the years 1900 to 9999.
pub fn format_rfc3339(ms: i64) -> Option<String> {
    in_range(ms).ok()?;
    // By the calendar, because a timestamp of jiff ends a day before the year 9999 does.
    let time = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0).checked_add(SignedDuration::from_millis(ms)).ok()?;
    Some(format!("{time}Z"))
}

/// Milliseconds since 1970 UTC at `at`, kept within the years 1900 to 9999.
pub fn unix_ms(at: SystemTime) -> i64 {
    let ms = match at.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(TIME_MS_MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(TIME_MS_MIN, |ms| -ms),
    };
    ms.clamp(TIME_MS_MIN, TIME_MS_MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_with_offsets_are_read_and_shown_in_utc() {
        assert_eq!(parse_rfc3339("1970-01-01T00:00:00Z"), Ok(0));
        assert_eq!(parse_rfc3339("2026-11-24T14:45:00-03:00"), Ok(1_795_542_300_000));
        assert_eq!(parse_rfc3339("2016-06-01T09:30:55.949093+00:00"), Ok(1_464_773_455_949));
        assert_eq!(parse_rfc3339("1969-12-31T23:59:59.9999Z"), Ok(-1));
        assert_eq!(format_rfc3339(1_464_773_455_949).unwrap(), "2016-06-01T09:30:55.949Z");
        assert_eq!(format_rfc3339(0).unwrap(), "1970-01-01T00:00:00Z");
        assert_eq!(format_rfc3339(TIME_MS_MIN).unwrap(), "1900-01-01T00:00:00Z");
        assert_eq!(format_rfc3339(TIME_MS_MAX).unwrap(), "9999-12-31T23:59:59.999Z");
        assert_eq!(format_rfc3339(TIME_MS_MAX + 1), None);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in
            ["", "hoje", "2026-11-24", "2026-11-24T14:45:00", "2026-02-30T00:00:00Z", "2026-11-24T14:45:00Z[UTC]"]
        {
            assert_eq!(parse_rfc3339(bad), Err(ParseTimeError::Format), "{bad}");
        }
        assert_eq!(parse_rfc3339("1899-12-31T23:59:59Z"), Err(ParseTimeError::OutOfRange));
        for bad in ["20x6", "2016-13", "2016-02-30", "2016/06/01", "-016"] {
            assert_eq!(parse_fhir(bad), Err(ParseTimeError::Format), "{bad}");
        }
    }

    #[test]
    fn a_partial_date_means_its_first_instant() {
        assert_eq!(parse_fhir("1970"), Ok(0));
        assert_eq!(parse_fhir("1970-02"), Ok(31 * 86_400_000));
        assert_eq!(parse_fhir("1970-01-02"), Ok(86_400_000));
        assert_eq!(parse_fhir("1970-01-02T00:00:00Z"), Ok(86_400_000));
    }
}
