//! The registry of metrics. Each room puts the families in that it counts.

use std::fmt;

use prometheus_client::encoding::text;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry;

use super::process::Process;

/// All metrics of the process.
pub struct Registry(registry::Registry);

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// A registry that knows the process itself, and nothing yet of any room.
    pub fn new() -> Self {
        let mut registry = registry::Registry::default();
        registry.register_collector(Box::new(Process::default()));
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("outpost_build", "What is running", build);
        Self(registry)
    }

    /// The part of a room; its metrics are called `outpost_<room>_…`.
    pub fn room(&mut self, room: &str) -> &mut registry::Registry {
        self.0.sub_registry_with_prefix(format!("outpost_{room}"))
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

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn a_room_counts_under_its_own_name() {
        let mut registry = Registry::new();
        let counter: Counter = Counter::default();
        registry.room("server").register("connections", "Connections", counter.clone());
        counter.inc();
        let page = registry.render();
        assert!(page.contains("\noutpost_server_connections_total 1\n"), "{page}");
        assert!(page.contains("outpost_build_info{version=\""), "{page}");
        assert!(page.ends_with("# EOF\n"), "{page}");
    }
}
