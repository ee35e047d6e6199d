//! The registry of metrics. Each room puts the families in that it counts.

use std::fmt;

use prometheus_client::encoding::text;
use prometheus_client::registry;

/// What begins the name of every metric.
const PREFIX: &str = "outpost";

/// All metrics of the process.
pub struct Registry(registry::Registry);

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// A registry with nothing in it.
    pub fn new() -> Self {
        Self(registry::Registry::with_prefix(PREFIX))
    }

    /// The part of a room; its metrics are called `outpost_<room>_…`.
    pub fn room(&mut self, room: &'static str) -> &mut registry::Registry {
        self.0.sub_registry_with_prefix(room)
    }

    /// Everything as OpenMetrics text, `application/openmetrics-text; version=1.0.0`.
    pub fn render(&self) -> String {
        let mut page = String::new();
        text::encode(&mut page, &self.0).expect("BUG: a String takes every write");
        page
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registry")
    }
}
