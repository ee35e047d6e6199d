//! The outpost as it ships, on threads that can be told apart, before a small registry that holds some schemas.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use schema_outpost::app::App;
use schema_outpost::config::Config;
use schema_outpost::server::ListenerConfig;
use small_registry::SmallRegistry;
use tokio::runtime::{Builder, Runtime};

/// A started outpost with its primary.
pub struct Outpost {
    pub address: SocketAddr,
    /// The primary, asked without the outpost.
    pub primary: SocketAddr,
    /// The thread that answers.
    pub thread: u32,
    // Everything but the data port runs here, and ends with it.
    _upkeep: Runtime,
}

impl Outpost {
    /// Starts a registry with `schemas` of 1.2 KB, and an outpost that has read them all.
    pub fn start(schemas: usize, state: Option<PathBuf>) -> Self {
        let upkeep = schema_outpost::app::upkeep().expect("a runtime");
        let registry = upkeep.block_on(SmallRegistry::start());
        fill(&registry, schemas);
        let primary = registry.address();
        let config = config(&registry, state);
        let handle = upkeep.handle().clone();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let data = Builder::new_current_thread().enable_all().build().expect("a runtime");
            data.block_on(async {
                let app = App::start(&config, &handle).expect("started");
                tell.send((app.data_addresses()[0], app.admin_address(), thread_id())).expect("someone listens");
                // The registry lives as long as whoever forwards to it.
                let _registry = registry;
                std::future::pending::<()>().await;
            });
        });
        let (address, admin, thread) = told.recv().expect("the outpost starts");
        import(admin);
        Self { address, primary, thread, _upkeep: upkeep }
    }
}

/// Registers schemas of 1.2 KB, one a subject.
pub fn fill(registry: &SmallRegistry, schemas: usize) {
    for number in 0..schemas {
        let target = format!("/subjects/{}/versions", subject(number));
        assert_eq!(registry.ask("POST", &target, Some(&registration(number))).status, 200);
    }
}

fn config(registry: &SmallRegistry, state: Option<PathBuf>) -> Config {
    let free_port = ([127, 0, 0, 1], 0).into();
    let mut config =
        Config { listeners: vec![ListenerConfig { bind: free_port, tls: None, context: None }], ..Config::default() };
    config.admin.bind = free_port;
    config.primary.urls = vec![registry.url()];
    config.primary.requests_per_second = 1_000_000;
    config.importer.interval = Duration::from_secs(3600);
    config.importer.full_interval = Duration::from_secs(3600);
    config.state.directory = state;
    config
}

/// Has a full pass run, and waits until it has ended.
pub fn import(admin: SocketAddr) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(admin).expect("the admin port listens");
    let request = "POST /import HTTP/1.1\r\nHost: outpost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("the admin port reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the admin port answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// The number of the calling thread in `/proc/self/task`.
pub fn thread_id() -> u32 {
    let link = std::fs::read_link("/proc/thread-self").expect("Linux");
    link.file_name().and_then(|name| name.to_str()?.parse().ok()).expect("a number")
}

/// The subject of a schema; all names have one length, so that all answers have.
pub fn subject(number: usize) -> String {
    format!("team{:02}.orders{number:05}-value", number % 100)
}

/// The body that registers a schema whose answer has 1.2 KB.
pub fn registration(number: usize) -> String {
    let text = format!("number {number:05}, {}", "padded until the answer has its size. ".repeat(24));
    let schema =
        serde_json::json!({"type": "record", "name": "R", "doc": text, "fields": [{"name": "f", "type": "long"}]});
    serde_json::json!({ "schema": schema.to_string() }).to_string()
}
