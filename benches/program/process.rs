//! What the system says about a process: memory, and the time that its threads were given.

use std::fs;
use std::time::Duration;

/// The processor time of a process, all its threads, as the scheduler counts it; threads that have ended are not in it.
pub fn cpu(process: u32) -> Duration {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return Duration::ZERO };
    let nanos = |thread: fs::DirEntry| -> Option<u64> {
        fs::read_to_string(thread.path().join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    Duration::from_nanos(threads.flatten().filter_map(nanos).sum())
}

/// What the first thread of a process was given, and how long it waited for it while it could have run.
pub fn first_thread(process: u32) -> (Duration, Duration) {
    let text = fs::read_to_string(format!("/proc/{process}/task/{process}/schedstat")).unwrap_or_default();
    let mut nanos = text.split(' ').map(|nanos| nanos.parse().map(Duration::from_nanos).unwrap_or_default());
    (nanos.next().unwrap_or_default(), nanos.next().unwrap_or_default())
}

/// The processor time of a process to a hundredth of a second, with the threads that have ended.
pub fn coarse_cpu(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// A process and all that it started, directly or not.
pub fn family(process: u32) -> Vec<u32> {
    let mut family = vec![process];
    let mut at = 0;
    while let Some(parent) = family.get(at).copied() {
        at += 1;
        let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else { continue };
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    family
}

/// Megabytes of 2²⁰ that a process has in memory now, and the most that it ever had.
pub fn memory(process: u32) -> (f64, f64) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let find = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()
    };
    (find("VmRSS:").unwrap_or_default() / 1024.0, find("VmHWM:").unwrap_or_default() / 1024.0)
}
