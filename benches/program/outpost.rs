//! The outpost as it ships: a process with a configuration file, like any other server that it is compared with.

use std::ffi::OsStr;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::http::ask;

/// How long anything may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(900);

/// A running outpost.
pub struct Outpost {
    child: Child,
    pub data: SocketAddr,
    pub admin: SocketAddr,
    /// When it was told to start.
    pub started: Instant,
}

impl Outpost {
    /// Starts one in a folder of its own, which holds its configuration and, if `more` says so, its state.
    pub fn start(folder: &Path, primary: &str, more: &str) -> Self {
        let other = std::env::var_os("OUTPOST_BIN");
        let program = other.unwrap_or_else(|| env!("CARGO_BIN_EXE_outpost").into());
        Self::start_build(&program, folder, primary, more)
    }

    /// Starts another build in the same way.
    pub fn start_build(program: &OsStr, folder: &Path, primary: &str, more: &str) -> Self {
        let (data, admin) = (free(), free());
        let config = folder.join("outpost.yaml");
        let text = format!(
            "listeners: [{{ bind: \"{data}\" }}]\nadmin: {{ bind: \"{admin}\" }}\nlog: {{ format: json, level: error }}\n\
             primary: {{ urls: [\"{primary}\"], requests_per_second: 1000000 }}\n{more}\n"
        );
        std::fs::write(&config, text).expect("the folder can be written");
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(&config).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let started = Instant::now();
        let child = command.spawn().expect("the outpost starts");
        Self { child, data, admin, started }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The time from the start to the first 200 to a request.
    pub fn first_answer(&self, target: &str) -> Duration {
        loop {
            match ask(self.data, "GET", target) {
                Some((200, _)) => return self.started.elapsed(),
                _ => assert!(self.started.elapsed() < PATIENCE, "{target} is not answered"),
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// What `/status` says.
    pub fn status(&self) -> Value {
        let (_, body) = ask(self.admin, "GET", "/status").unwrap_or_default();
        serde_json::from_str(&body).unwrap_or_default()
    }

    /// Waits until it has read everything.
    pub fn catch_up(&self) {
        while self.status()["caughtUp"] != Value::Bool(true) {
            assert!(self.started.elapsed() < PATIENCE, "{}", self.status());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Tells it to end, and waits for that.
    pub fn stop(mut self) {
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status();
        assert!(told.is_ok_and(|told| told.success()), "it was still there");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Outpost {
    fn drop(&mut self) {
        // Already gone, if it was stopped.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An address that nobody listens on.
pub fn free() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("bound")
}
