//! The program itself under test: a place for its files, and a running one with all it says.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::house::{Heard, send};

pub const PATIENCE: Duration = Duration::from_secs(20);

/// A configuration file and a state directory of its own.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    /// Settings for a primary, with what a test adds to them.
    pub fn configure(&self, primary: &str, more: &str) -> PathBuf {
        let state = self.path("state");
        let text = format!(
            "listeners: [{{ bind: 127.0.0.1:0 }}]\nadmin: {{ bind: 127.0.0.1:0 }}\nstate: {{ directory: {} }}\n\
             importer: {{ interval: 1h, full_interval: 1h }}\nlog: {{ format: json }}\n{more}\n{}",
            state.display(),
            if more.contains("primary:") { String::new() } else { format!("primary: {{ urls: [\"{primary}\"] }}\n") },
        );
        self.write("outpost.yaml", &text)
    }
}

pub fn command(arguments: &[&str], config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outpost"));
    command.args(arguments).arg("--config").arg(config).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs it to its end.
pub async fn ended(arguments: &[&str], config: &Path) -> Output {
    let output = timeout(PATIENCE, command(arguments, config).output()).await;
    output.expect("it ends by itself").expect("it starts")
}

pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A running outpost, and all it has said.
pub struct Running {
    pub child: Child,
    log: Arc<Mutex<Vec<String>>>,
    bell: watch::Receiver<usize>,
    pub data: SocketAddr,
    pub admin: SocketAddr,
}

impl Running {
    pub async fn start(config: &Path) -> Self {
        Self::watch(command(&["run"], config).spawn().expect("it starts")).await
    }

    /// Starts it where no file may grow beyond a number of blocks of 512 bytes, as on a disk that is full.
    pub async fn start_with_little_room(config: &Path, blocks: u64) -> Self {
        let mut command = Command::new("sh");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" run --config \"$1\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_outpost")]).arg(config).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        Self::watch(command.spawn().expect("a shell")).await
    }

    async fn watch(mut child: Child) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let (ring, bell) = watch::channel(0);
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let kept = log.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().expect("nothing panics").push(line);
                ring.send_modify(|rung| *rung += 1);
            }
        });
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut running = Self { child, log, bell, data: nowhere, admin: nowhere };
        let serving = running.line("serving", 1).await;
        let address = |name: &str| serving[name].as_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        running.data = address("data").parse().expect("an address");
        running.admin = address("admin").parse().expect("an address");
        running
    }

    /// Waits for an event with a message, the n-th of its kind.
    pub async fn line(&mut self, message: &str, number: usize) -> Value {
        let patience = Instant::now() + PATIENCE;
        loop {
            let found = self.events().into_iter().filter(|event| event["message"] == message).nth(number - 1);
            if let Some(found) = found {
                return found;
            }
            let rung = tokio::time::timeout_at(patience, self.bell.changed()).await;
            let is_over = !matches!(rung, Ok(Ok(())));
            assert!(!is_over, "{message:?} was never said: {}", self.said());
        }
    }

    pub fn events(&self) -> Vec<Value> {
        let log = self.log.lock().expect("nothing panics");
        log.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    pub fn said(&self) -> String {
        self.log.lock().expect("nothing panics").join("\n")
    }

    pub async fn ask(&self, method: &str, target: &str, body: &str) -> Heard {
        send(self.data, method, target, &[("Content-Type", "application/json")], Some(body)).await
    }

    pub async fn get(&self, target: &str) -> Heard {
        send(self.data, "GET", target, &[], None).await
    }

    pub async fn operator(&self, method: &str, target: &str) -> Heard {
        send(self.admin, method, target, &[], None).await
    }

    pub async fn signal(&self, name: &str) {
        let process = self.child.id().expect("running").to_string();
        let kill = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status().await;
        assert!(kill.expect("a shell").success());
    }

    pub async fn killed(mut self) {
        self.child.kill().await.expect("killed");
    }

    /// Waits for the end, and returns the exit code with all that was said.
    pub async fn ended(mut self) -> (Option<i32>, String) {
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it ends").expect("a status");
        // The end of the pipe, after which nothing more can be said.
        while timeout(PATIENCE, self.bell.changed()).await.expect("the pipe ends").is_ok() {}
        (status.code(), self.said())
    }
}
