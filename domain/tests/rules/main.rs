//! The rules against naive models, and what every replica promises: same log, same rows; no answer twice; no
//! bytes that panic.
#![allow(clippy::unwrap_used)]

mod agenda;
mod bytes;
mod clinical;
mod cluster;
mod image_copies;
mod images;
mod layout;
mod lead;
mod recovery;
mod refusals;
mod replicas;
mod requests;
mod trail;
mod upgrade;
mod world;
