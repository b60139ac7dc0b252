//! Who may do what: one table, denied by default.
