//! How much of a link bulk may take, by the hour of the day. Text in, caps out; the time is an argument, in minutes of
//! the local day. Raft traffic is never asked.
//!
//! ```text
//! caps     = part (";" part)*            part = [link "="] calendar        link: a node's name, or * for all others
//! calendar = entry ("," entry)*          entry = HH:MM "-" HH:MM rate | "else" rate
//! rate     = "unlimited" | "none" | number ("kbit/s" | "Mbit/s" | "Gbit/s")
//!
//! cofre = 07:00-20:00 1 Mbit/s, else unlimited; * = 08:00-18:00 20 Mbit/s
//! ```
//! A window may pass midnight; its end does not belong to it; two windows may not overlap. Without `else`, and for a
//! link that is not named, there is no cap.

use std::fmt;
use std::time::Duration;

/// Minutes of a day.
pub const DAY_MINUTES: u16 = 24 * 60;
/// Windows of one calendar: one an hour.
const WINDOWS_MAX: usize = 24;
/// Links that are named: nodes of one network.
const LINKS_MAX: usize = 64;

/// Bits a second that bulk may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cap {
    /// No bound but the link's own.
    Unlimited,
    /// So many bits a second; 0 is none at all.
    Bits(u64),
}

impl Cap {
    /// Bytes a second; `None` is unlimited.
    pub const fn bytes_per_second(self) -> Option<u64> {
        match self {
            Self::Unlimited => None,
            Self::Bits(bits) => Some(bits / 8),
        }
    }
}

impl fmt::Display for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::Bits(0) => f.write_str("none"),
            Self::Bits(bits) if bits.is_multiple_of(1_000_000_000) => write!(f, "{} Gbit/s", bits / 1_000_000_000),
            Self::Bits(bits) if bits.is_multiple_of(1_000_000) => write!(f, "{} Mbit/s", bits / 1_000_000),
            Self::Bits(bits) => write!(f, "{} kbit/s", bits / 1_000),
        }
    }
}

/// A minute of the local day, 0 to 1,439.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DayMinute(u16);

impl DayMinute {
    /// `None` beyond the day.
    pub const fn new(minute: u16) -> Option<Self> {
        if minute < DAY_MINUTES { Some(Self(minute)) } else { None }
    }

    /// Minutes since midnight.
    pub const fn minutes(self) -> u16 {
        self.0
    }

    fn after(self, minutes: u16) -> Self {
        Self((self.0 + minutes) % DAY_MINUTES)
    }
}

impl fmt::Display for DayMinute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// From `start` on, up to and without `end`; over midnight where `end` is not after `start`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Window {
    start: DayMinute,
    end: DayMinute,
    cap: Cap,
}

impl Window {
    fn contains(&self, at: DayMinute) -> bool {
        if self.start < self.end { self.start <= at && at < self.end } else { self.start <= at || at < self.end }
    }
}

/// The caps of one link through a day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Calendar {
    windows: Vec<Window>,
    otherwise: Cap,
}

impl Calendar {
    /// No cap at any hour.
    pub const UNLIMITED: Self = Self { windows: Vec::new(), otherwise: Cap::Unlimited };

    /// Reads a calendar as above.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the text.
    pub fn parse(text: &str) -> Result<Self, Vec<CalendarFault>> {
        let (mut windows, mut otherwise, mut faults): (Vec<Window>, Option<Cap>, _) = (Vec::new(), None, Vec::new());
        for entry in text.split(',').map(str::trim) {
            match parse_entry(entry) {
                Ok(Entry::Otherwise(cap)) => {
                    if otherwise.replace(cap).is_some() {
                        faults.push(CalendarFault::TwoElse);
                    }
                }
                Ok(Entry::Window(window)) => {
                    // Each window begins inside another one, or the other inside it, if they share a minute.
                    if windows.iter().any(|other| other.contains(window.start) || window.contains(other.start)) {
                        faults.push(CalendarFault::Overlap { entry: entry.to_owned() });
                    }
                    windows.push(window);
                }
                Err(fault) => faults.push(fault),
            }
        }
        if windows.len() > WINDOWS_MAX {
            faults.push(CalendarFault::TooMany { what: "windows", most: WINDOWS_MAX });
        }
        windows.sort_by_key(|window| window.start);
        let calendar = Self { windows, otherwise: otherwise.unwrap_or(Cap::Unlimited) };
        if faults.is_empty() { Ok(calendar) } else { Err(faults) }
    }

    /// The cap at a minute of the day.
    pub fn cap(&self, at: DayMinute) -> Cap {
        self.windows.iter().find(|window| window.contains(at)).map_or(self.otherwise, |window| window.cap)
    }

    /// How long until the cap may be another: at most a day.
    pub fn next_change(&self, at: DayMinute) -> Duration {
        let bounds = self.windows.iter().flat_map(|window| [window.start, window.end]);
        let minutes = bounds.map(|bound| match (bound.0 + DAY_MINUTES - at.0) % DAY_MINUTES {
            0 => DAY_MINUTES,
            minutes => minutes,
        });
        Duration::from_secs(u64::from(minutes.min().unwrap_or(DAY_MINUTES)) * 60)
    }

    /// How long `bytes` take from `at` on, where the link itself gives `link_bytes_per_second`. `None` where that is
    /// longer than ten years, or never.
    pub fn time_for(&self, at: DayMinute, bytes: u64, link_bytes_per_second: u64) -> Option<Duration> {
        const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);
        let rate = |at| {
            let cap = self.cap(at).bytes_per_second().unwrap_or(u64::MAX);
            cap.min(link_bytes_per_second)
        };
        let per_day =
            (0..DAY_MINUTES).fold(0_u64, |sum, minute| sum.saturating_add(rate(DayMinute(minute)).saturating_mul(60)));
        if bytes == 0 {
            return Some(Duration::ZERO);
        }
        if per_day == 0 {
            return None;
        }
        let days = bytes / per_day;
        let mut rest = bytes % per_day;
        let mut time = Duration::from_secs(days.saturating_mul(86_400));
        for minute in 0..DAY_MINUTES {
            if rest == 0 {
                break;
            }
            let rate = rate(at.after(minute));
            let whole = rate.saturating_mul(60);
            if rest < whole {
                time += Duration::from_secs(rest.div_ceil(rate));
                rest = 0;
            } else {
                time += Duration::from_secs(60);
                rest -= whole;
            }
        }
        (time <= LONGEST).then_some(time)
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for window in &self.windows {
            match window.end.0 {
                0 => write!(f, "{}-24:00 {}, ", window.start, window.cap)?,
                _ => write!(f, "{}-{} {}, ", window.start, window.end, window.cap)?,
            }
        }
        write!(f, "else {}", self.otherwise)
    }
}

/// The calendars of all links of a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkCaps {
    named: Vec<(String, Calendar)>,
    others: Calendar,
}

impl Default for LinkCaps {
    /// No caps.
    fn default() -> Self {
        Self { named: Vec::new(), others: Calendar::UNLIMITED }
    }
}

impl LinkCaps {
    /// Reads caps as above.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the text.
    pub fn parse(text: &str) -> Result<Self, Vec<CalendarFault>> {
        let (mut named, mut others, mut faults): (Vec<(String, Calendar)>, Option<Calendar>, _) =
            (Vec::new(), None, Vec::new());
        for part in text.split(';').map(str::trim) {
            let (link, calendar) = match part.split_once('=') {
                Some((link, calendar)) => (link.trim(), calendar),
                None => ("*", part),
            };
            let calendar = match Calendar::parse(calendar.trim()) {
                Ok(calendar) => calendar,
                Err(mut more) => {
                    faults.append(&mut more);
                    Calendar::UNLIMITED
                }
            };
            if link == "*" {
                if others.replace(calendar).is_some() {
                    faults.push(CalendarFault::SameLink { link: link.to_owned() });
                }
            } else if !is_name(link) {
                faults.push(CalendarFault::Link { link: link.to_owned() });
            } else if named.iter().any(|(other, _)| other == link) {
                faults.push(CalendarFault::SameLink { link: link.to_owned() });
            } else {
                named.push((link.to_owned(), calendar));
            }
        }
        if named.len() > LINKS_MAX {
            faults.push(CalendarFault::TooMany { what: "links", most: LINKS_MAX });
        }
        let caps = Self { named, others: others.unwrap_or(Calendar::UNLIMITED) };
        if faults.is_empty() { Ok(caps) } else { Err(faults) }
    }

    /// The calendar of the link to a node.
    pub fn of(&self, node_name: &str) -> &Calendar {
        self.named.iter().find(|(name, _)| name == node_name).map_or(&self.others, |(_, calendar)| calendar)
    }
}

/// What is wrong with a calendar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarFault {
    /// Neither a window nor `else`.
    #[error("\"{entry}\" is no entry: write it as \"07:00-20:00 1 Mbit/s\" or \"else unlimited\"")]
    Entry {
        /// As it stands there.
        entry: String,
    },
    /// Not a time of the day.
    #[error("\"{time}\" is no time of the day, 00:00 to 24:00")]
    Time {
        /// As it stands there.
        time: String,
    },
    /// A window of no minute; a whole day is 00:00-24:00.
    #[error("the window \"{entry}\" is empty; a whole day is 00:00-24:00")]
    Empty {
        /// As it stands there.
        entry: String,
    },
    /// Not a rate.
    #[error("\"{rate}\" is no rate: write \"1 Mbit/s\", \"500 kbit/s\", \"none\" or \"unlimited\"")]
    Rate {
        /// As it stands there.
        rate: String,
    },
    /// Two windows share a minute.
    #[error("the window \"{entry}\" overlaps an earlier one")]
    Overlap {
        /// The later one.
        entry: String,
    },
    /// `else` stands there twice.
    #[error("\"else\" may stand once")]
    TwoElse,
    /// Not a node's name.
    #[error("\"{link}\" is no node's name: lowercase letters, digits and hyphens, 1 to 32, or *")]
    Link {
        /// As it stands there.
        link: String,
    },
    /// A link has two calendars.
    #[error("the link {link} has a calendar already")]
    SameLink {
        /// Which.
        link: String,
    },
    /// More than anybody needs.
    #[error("there are more than {most} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        most: usize,
    },
}

enum Entry {
    Window(Window),
    Otherwise(Cap),
}

fn parse_entry(entry: &str) -> Result<Entry, CalendarFault> {
    let malformed = || CalendarFault::Entry { entry: entry.to_owned() };
    let (when, rate) = entry.split_once(char::is_whitespace).ok_or_else(malformed)?;
    if when == "else" {
        return Ok(Entry::Otherwise(parse_rate(rate)?));
    }
    let (start, end) = when.split_once('-').ok_or_else(malformed)?;
    let (start, end) = (parse_time(start)?, parse_time(end)?);
    let cap = parse_rate(rate)?;
    if start == end || start == DAY_MINUTES {
        return Err(CalendarFault::Empty { entry: entry.to_owned() });
    }
    Ok(Entry::Window(Window { start: DayMinute(start), end: DayMinute(end % DAY_MINUTES), cap }))
}

/// Minutes, 24:00 included.
fn parse_time(text: &str) -> Result<u16, CalendarFault> {
    let digits = |text: &str| -> Option<u16> {
        if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
    };
    let minutes = text.split_once(':').and_then(|(hours, minutes)| Some((digits(hours)?, digits(minutes)?)));
    match minutes {
        Some((hours, minutes)) if minutes < 60 && hours * 60 + minutes <= DAY_MINUTES => Ok(hours * 60 + minutes),
        _ => Err(CalendarFault::Time { time: text.to_owned() }),
    }
}

fn parse_rate(text: &str) -> Result<Cap, CalendarFault> {
    let text = text.trim();
    let refused = || CalendarFault::Rate { rate: text.to_owned() };
    match text {
        "unlimited" => return Ok(Cap::Unlimited),
        "none" => return Ok(Cap::Bits(0)),
        _ => {}
    }
    let (number, unit) = text.split_once(char::is_whitespace).ok_or_else(refused)?;
    let factor = match unit.trim() {
        "kbit/s" => 1_000,
        "Mbit/s" => 1_000_000,
        "Gbit/s" => 1_000_000_000,
        _ => return Err(refused()),
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refused());
    }
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)) {
        // Zero would be a typing error as often as a wish; the wish has a word of its own.
        Some(0) | None => Err(refused()),
        Some(bits) => Ok(Cap::Bits(bits)),
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=32).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
#[path = "calendar_tests.rs"]
mod tests;
