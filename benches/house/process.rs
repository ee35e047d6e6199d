//! Servers that are processes of their own: started on one processor, measured with all they have, ended.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

/// The processor of the server that is measured; everything else runs on the other one.
pub const SERVER: usize = 0;
/// The processor of clients and registry.
pub const REST: usize = 1;

const PATIENCE: Duration = Duration::from_secs(60);

/// A running server. Its folder, in memory, goes when it goes.
pub struct Process {
    pub address: SocketAddr,
    child: Child,
    folder: TempDir,
}

/// Nanoseconds that the scheduler gave to each thread.
pub type CpuTimes = BTreeMap<u32, u64>;

impl Process {
    /// Starts a program on the processor of servers, and waits until it listens.
    pub fn start(program: &Path, arguments: &[impl AsRef<OsStr>], folder: TempDir, address: SocketAddr) -> Self {
        let log = std::fs::File::create(folder.path().join("log")).expect("a writable folder");
        let child = Command::new("taskset")
            .args(["-c", &SERVER.to_string()])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("an open file"))
            .stderr(log)
            .spawn()
            .expect("taskset, of util-linux, is installed");
        let mut process = Self { address, child, folder };
        process.wait();
        process
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn wait(&mut self) {
        let address = self.address;
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            let has_ended = self.child.try_wait().expect("a child").is_some();
            if has_ended || began.elapsed() > PATIENCE {
                panic!("{address} does not listen; the server said:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// What every thread of the process and of all that it started has had so far.
    pub fn cpu_times(&self) -> CpuTimes {
        let mut times = CpuTimes::new();
        for process in family(self.child.id()) {
            for thread in numbers(&format!("/proc/{process}/task")) {
                if let Ok(text) = std::fs::read_to_string(format!("/proc/{process}/task/{thread}/schedstat")) {
                    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("a number");
                    times.insert(thread, nanos);
                }
            }
        }
        times
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} said:\n{}", self.folder.path().display(), self.log());
        }
        // Not SIGKILL: it would leave behind what the process started.
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).stderr(Stdio::null()).status();
        if told.is_ok_and(|status| status.success()) {
            let _ = self.child.wait();
        }
    }
}

/// The CPU time between two readings.
pub fn used(before: &CpuTimes, after: &CpuTimes) -> Duration {
    let parts = after.iter().map(|(thread, nanos)| nanos - before.get(thread).copied().unwrap_or(0));
    Duration::from_nanos(parts.sum())
}

/// A process and all its descendants.
fn family(first: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = numbers("/proc").into_iter().filter_map(|id| Some((id, parent(id)?))).collect();
    let mut family = vec![first];
    let mut next = 0;
    while let Some(&member) = family.get(next) {
        family.extend(parents.iter().filter(|(_, parent)| *parent == member).map(|(id, _)| *id));
        next += 1;
    }
    family
}

fn parent(process: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before the bracket may hold anything.
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn numbers(folder: &str) -> Vec<u32> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Moves this process to the processor of the rest. To be called while it has one thread.
pub fn make_room() {
    move_to(REST);
}

/// Moves this process to one processor; what it starts from then on begins there.
pub fn move_to(processor: usize) {
    let own = std::process::id().to_string();
    let moved = Command::new("taskset").args(["-acp", &processor.to_string(), &own]).stdout(Stdio::null()).status();
    assert!(moved.is_ok_and(|status| status.success()), "this needs taskset and two processors");
}

/// Lets the calling thread run before all that is less urgent, where that is allowed.
pub fn hurry() {
    let own = super::outpost::thread_id().to_string();
    // Where it is not, the client says itself that it was late.
    let _ = Command::new("chrt").args(["-f", "-p", "10", &own]).stderr(Stdio::null()).status();
}

/// How many files a process of this user may hold open, if it asks for as many as it can have.
pub fn most_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("Linux");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit of open files");
    line.split_whitespace().nth(4).and_then(|most| most.parse().ok()).unwrap_or(usize::MAX)
}

/// A folder in memory.
pub fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").expect("Linux has a folder in memory")
}

/// A port of the loopback interface that nobody listened on a moment ago.
pub fn free_port() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("bound")
}

/// Where a program is; servers are often where only the administrator looks.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}
