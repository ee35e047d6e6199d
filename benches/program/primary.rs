//! A small registry that holds as many schemas as a bench wants, put there without a socket.

use std::net::SocketAddr;

use small_registry::SmallRegistry;
use tokio::runtime::{Builder, Runtime};

/// How much a primary holds.
#[derive(Clone, Copy, Debug)]
pub struct Holding {
    pub subjects: usize,
    /// Versions of each subject.
    pub versions: usize,
    /// Distinct texts among all of them.
    pub texts: usize,
    /// Bytes of each text.
    pub bytes: usize,
}

impl Holding {
    pub const NOTHING: Self = Self { subjects: 0, versions: 0, texts: 1, bytes: 0 };

    /// All versions.
    pub fn all(&self) -> usize {
        self.subjects * self.versions
    }
}

/// A primary on threads of its own, for as long as it is held.
pub struct Primary {
    pub registry: SmallRegistry,
    runtime: Runtime,
}

impl Primary {
    /// Starts a registry and fills it.
    pub fn start(holding: Holding) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let registry = runtime.block_on(SmallRegistry::start());
        // Versions of one subject have nothing in common, and comparing them would take most of the time.
        assert_eq!(registry.ask("PUT", "/config", Some(r#"{"compatibility":"NONE"}"#)).status, 200);
        for number in 0..holding.all() {
            let target = format!("/subjects/{}/versions", subject(number / holding.versions));
            let body = registration(number % holding.texts, holding.bytes);
            let answer = registry.ask("POST", &target, Some(&body));
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
        Self { registry, runtime }
    }

    pub fn address(&self) -> SocketAddr {
        self.registry.address()
    }

    /// Runs something on the threads of the primary.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

/// The name of a subject, as topics have them.
pub fn subject(number: usize) -> String {
    format!("team{:02}.orders.v{number:06}-value", number % 100)
}

/// The body that registers a text of so many bytes.
pub fn registration(number: usize, bytes: usize) -> String {
    let text = text(number, bytes);
    serde_json::json!({ "schema": text }).to_string()
}

/// An Avro record in its canonical spelling, with fields and documentation like those in use.
fn text(number: usize, bytes: usize) -> String {
    let mut fields = String::new();
    for field in ["id", "customer", "createdAt", "amount", "currency", "channel", "status", "region"] {
        fields.push_str(&format!(r#"{{"name":"{field}","type":["null","string"],"default":null}},"#));
    }
    let head = format!(r#"{{"type":"record","name":"Order{number:06}","namespace":"com.example.orders","doc":""#);
    let tail = format!(r#"","fields":[{}]}}"#, fields.trim_end_matches(','));
    let words = "What the shop knew of an order when it was placed. ";
    let missing = bytes.saturating_sub(head.len() + tail.len());
    let doc: String = words.chars().cycle().take(missing).collect();
    format!("{head}{doc}{tail}")
}
