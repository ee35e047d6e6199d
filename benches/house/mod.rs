//! What the benches have in common: the servers that are compared, and a client that costs little.

#![allow(dead_code, reason = "each bench uses its part of it")]

pub mod bare;
pub mod certificate;
pub mod client;
pub mod outpost;
pub mod process;
pub mod ring;
pub mod schedule;
pub mod schemas;

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
