//! Patients and the tokens by which they are found.
