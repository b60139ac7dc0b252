//! Every row: prefix, key layout, value.
