//! Rows of wrapped keys: epochs, data keys, the recovery slot.
