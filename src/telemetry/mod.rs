//! Log set-up and metrics.

mod log;
mod process;
mod registry;

use serde::Deserialize;

pub use log::{Chain, LogError, init};
pub use registry::Registry;

/// How the log looks.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// One JSON object a line, or text for people; text on a terminal when absent.
    pub format: Option<Format>,
    /// Least severity that is written, or a filter such as `info,schema_outpost::importer=debug`.
    pub level: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { format: None, level: "info".to_owned() }
    }
}

impl Config {
    /// Whether [`init`] would take these settings.
    pub fn check(&self) -> Result<(), LogError> {
        log::filter(&self.level).map(drop)
    }
}

/// The two looks of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// Text for people.
    Text,
}
