//! The schemas that cached reads ask for.

/// So many that they do not fit a processor's caches.
pub const COUNT: usize = 20_000;

/// Ids of one length have answers of one length; this is the first of them.
const FIRST: usize = 10_000;

/// A prime, so that the ids are asked for in no order of theirs.
const STRIDE: usize = 7_919;

/// How many the registry has to hold, so that all that are asked for are among them.
pub const HELD: usize = FIRST + COUNT;

/// The targets, in the order in which they are asked for.
pub fn targets() -> impl Iterator<Item = String> {
    (0..COUNT).map(|number| format!("/schemas/ids/{}", FIRST + number * STRIDE % COUNT))
}
