//! The second sink: the local registry is kept as the replica is.

mod beside;
mod cut;
mod drift;
mod histories;
mod likeness;
mod own_ids;
mod peer;
mod writers;
