//! Bookings: the overlap rule and the life cycle.
