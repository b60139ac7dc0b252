//! Bookings: the overlap rule and the life cycle.

/// The longest appointment: 24 hours, in milliseconds. It bounds the search for overlaps to one range of rows.
pub const LENGTH_MS_MAX: i64 = 24 * 60 * 60 * 1000;
