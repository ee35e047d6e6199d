//! The embedded durable store: what must outlive the process.

use std::path::PathBuf;

use serde::Deserialize;

/// Where the state lives.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of the durable state; without one everything is held in memory and lost at exit.
    pub directory: Option<PathBuf>,
}
