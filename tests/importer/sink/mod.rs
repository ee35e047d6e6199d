//! The second sink: the local registry is kept as the replica is.

mod beside;
mod likeness;
