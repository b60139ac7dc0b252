//! Which minute of the local day it is, for calendars. The time itself comes from outside.

use super::calendar::DayMinute;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use plantao_domain::ClusterTime;
use std::fmt;

/// A time zone of the IANA database, which is part of the program.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// The name is in no database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such time zone")]
pub struct UnknownZone;

impl Zone {
    /// Finds a zone by its name, as `America/Sao_Paulo`.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn parse(name: &str) -> Result<Self, UnknownZone> {
        TimeZone::get(name).map(Self).map_err(|_| UnknownZone)
    }

    /// The minute of the day that it is there.
    pub fn minute(&self, time: ClusterTime) -> DayMinute {
        let timestamp = Timestamp::from_millisecond(time.millis()).unwrap_or(Timestamp::UNIX_EPOCH);
        let local = self.0.to_datetime(timestamp);
        let minutes = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or_default();
        DayMinute::new(minutes).expect("a day has 1,440 minutes")
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("unnamed zone"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_hour_is_that_of_the_place() {
        let time = ClusterTime::from_millis(1_700_000_000_000).unwrap();
        let at = |zone: &str| Zone::parse(zone).unwrap().minute(time).to_string();
        // 2023-11-14T22:13:20Z.
        assert_eq!(at("UTC"), "22:13");
        assert_eq!(at("America/Sao_Paulo"), "19:13");
        assert_eq!(at("America/Rio_Branco"), "17:13");
        for bad in ["", "Brazil/Clinic", "../etc/passwd", "UTC+3"] {
            assert_eq!(Zone::parse(bad), Err(UnknownZone), "{bad}");
        }
        for time in [ClusterTime::MIN, ClusterTime::MAX] {
            Zone::parse("America/Sao_Paulo").unwrap().minute(time);
        }
    }
}
