//! Keeps the replica current.

use std::time::Duration;

use serde::Deserialize;

/// How the importer keeps the replica current.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Time between two tail passes, which find what is new.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Time between two full passes, which find everything.
    #[serde(with = "humantime_serde")]
    pub full_interval: Duration,
    /// Calls to the primary that the importer has under way at once.
    pub parallel: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { interval: Duration::from_secs(10), full_interval: Duration::from_secs(300), parallel: 4 }
    }
}
