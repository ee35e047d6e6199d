//! What the system says about this process. Nothing where there is no `/proc`.

use std::fmt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Linux counts processor time for users in hundredths of a second on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// The process, asked anew at each scrape.
#[derive(Debug)]
pub(super) struct Process {
    started: f64,
}

impl Default for Process {
    fn default() -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: started.as_secs_f64() }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
        };
        gauge("process_start_time", "Start of the process since the epoch", Some(&Unit::Seconds), self.started)?;
        if let Some(bytes) = resident_bytes() {
            gauge("process_resident_memory", "Memory in use", Some(&Unit::Bytes), bytes)?;
        }
        if let Some(count) = open_descriptors() {
            gauge("process_open_fds", "Open file descriptors", None, count)?;
        }
        if let Some(count) = most_descriptors() {
            gauge("process_max_fds", "File descriptors that may be open", None, count)?;
        }
        if let Some(seconds) = processor_seconds() {
            let counter = ConstCounter::new(seconds);
            let help = "Processor time used";
            let unit = Some(&Unit::Seconds);
            counter.encode(encoder.encode_descriptor("process_cpu", help, unit, counter.metric_type())?)?;
        }
        Ok(())
    }
}

fn read(name: &str) -> Option<String> {
    std::fs::read_to_string(Path::new("/proc/self").join(name)).ok()
}

fn resident_bytes() -> Option<f64> {
    let status = read("status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024.0)
}

fn open_descriptors() -> Option<f64> {
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the folder that is being read.
    Some(count.saturating_sub(1) as f64)
}

fn most_descriptors() -> Option<f64> {
    let limits = read("limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn processor_seconds() -> Option<f64> {
    let stat = read("stat")?;
    // The name of the process stands in brackets and may hold anything, brackets and blanks too.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<f64>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::super::Registry;

    fn value(page: &str, name: &str) -> f64 {
        let line = page.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} in {page}"));
        line.trim().parse().expect("a number")
    }

    #[test]
    fn the_process_is_seen_as_it_is() {
        let registry = Registry::new();
        let files: Vec<_> = (0..7).map(|_| std::fs::File::open("/proc/self/stat").expect("it is there")).collect();
        let page = registry.render();
        assert!(value(&page, "process_open_fds") >= 10.0, "{} files and the standard three", files.len());
        assert!(value(&page, "process_max_fds") >= value(&page, "process_open_fds"));
        assert!(value(&page, "process_resident_memory_bytes") > 100_000.0);
        assert!(value(&page, "process_start_time_seconds") > 1.7e9);
        let before = value(&page, "process_cpu_seconds_total");
        while value(&registry.render(), "process_cpu_seconds_total") <= before {}
    }
}
