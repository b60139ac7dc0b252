//! Time as the cluster agrees on it: milliseconds UTC, stamped by the leader. Order comes from the log, not from here.

use minicbor::{Decode, Encode};

/// Milliseconds since 1970-01-01T00:00:00Z, within the years 1900 to 9999. Never read from a clock inside this crate.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode)]
#[cbor(transparent)]
pub struct ClusterTime(#[n(0)] i64);

// By hand, so that no decoder anywhere lets a time through that the type does not promise.
impl<'b, C> Decode<'b, C> for ClusterTime {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let position = d.position();
        Self::from_millis(d.i64()?)
            .ok_or_else(|| minicbor::decode::Error::message("time outside the years 1900 to 9999").at(position))
    }
}

impl ClusterTime {
    /// 1900-01-01T00:00:00Z.
    pub const MIN: Self = Self(-2_208_988_800_000);
    /// 9999-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// `None` outside the years 1900 to 9999.
    pub const fn from_millis(millis: i64) -> Option<Self> {
        if millis < Self::MIN.0 || millis > Self::MAX.0 { None } else { Some(Self(millis)) }
    }

    /// The nearest time that can be told.
    pub const fn saturating_from_millis(millis: i64) -> Self {
        if millis < Self::MIN.0 {
            Self::MIN
        } else if millis > Self::MAX.0 {
            Self::MAX
        } else {
            Self(millis)
        }
    }

    /// Milliseconds since 1970.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whether a decoded value lies within the years that this type promises.
    pub const fn is_valid(self) -> bool {
        self.0 >= Self::MIN.0 && self.0 <= Self::MAX.0
    }

    /// Eight bytes that sort like the time does.
    pub const fn to_key(self) -> [u8; 8] {
        (self.0 as u64 ^ (1 << 63)).to_be_bytes()
    }

    /// The inverse of [`Self::to_key`].
    pub const fn from_key(bytes: [u8; 8]) -> Self {
        Self((u64::from_be_bytes(bytes) ^ (1 << 63)) as i64)
    }
}

/// Half open: `start` belongs to it, `end` does not, so that one booking may end when the next begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Interval {
    /// First instant inside.
    #[n(0)]
    pub start: ClusterTime,
    /// First instant after.
    #[n(1)]
    pub end: ClusterTime,
}

impl Interval {
    /// Whether the two share an instant. Only meaningful for intervals with `start < end`.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Length in milliseconds; negative when `end` comes before `start`.
    pub const fn length_ms(&self) -> i64 {
        self.end.0.saturating_sub(self.start.0)
    }
}
