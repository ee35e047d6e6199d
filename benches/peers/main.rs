//! A cached read through the outpost against the caches that one would otherwise put before a registry, in one run.
//!
//! Every server is a process of its own on one processor; load and registry have the other. How to run it, and how to
//! read what it prints: `benches/README.md`.

#[path = "../house/mod.rs"]
mod house;
mod servers;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use house::certificate::{self, Certificate};
use house::client::{Manner, exchange};
use house::process::{self, Process, used};
use house::ring::{Ring, open};
use house::{median, schemas};
use rustls::ClientConfig;
use servers::{Encryption, KINDS, Kind, Start};
use small_registry::SmallRegistry;

const CONNECTIONS: usize = 32;
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_secs(2);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["bare", address, body, ref folder @ ..] => {
            let body = vec![b'x'; body.parse().expect("a number")];
            let tls = folder.first().map(|folder| certificate::acceptor(Path::new(folder)));
            house::bare::serve_on(address.parse().expect("an address"), Bytes::from(body), tls, |_| ());
        }
        ["tls", ref names @ ..] => compare(true, names),
        ref names => compare(false, names),
    }
}

/// Compares the named servers, or all, with ours and with the ceiling.
fn compare(is_on: bool, names: &[&str]) {
    process::make_room();
    let upkeep = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let registry = upkeep.block_on(SmallRegistry::start());
    house::outpost::fill(&registry, schemas::HELD);
    let wanted =
        |kind: &&Kind| names.is_empty() || kind.goal.is_none() || names.iter().any(|name| kind.name.starts_with(name));
    let encryption = Encryption { certificate: Certificate::new(), is_on };
    let start = |kind| Side::start(kind, &registry, &encryption);
    let mut sides: Vec<Side> = KINDS.iter().filter(wanted).filter_map(start).collect();
    for _ in 0..ROUNDS {
        sides.iter_mut().for_each(|side| side.round(&registry));
    }
    let (over, count) = (if is_on { " over TLS 1.3" } else { "" }, schemas::COUNT);
    println!("{ROUNDS} rounds of {ROUND:?}, {CONNECTIONS} connections{over}, {count} schemas, one processor a server");
    print(&sides);
}

/// One of the servers, with what was measured of it.
struct Side {
    kind: &'static Kind,
    server: Process,
    load: Ring,
    micros: Vec<f64>,
    rates: Vec<f64>,
}

impl Side {
    /// Starts a server and has it answer everything, so that from then on it has all of it at hand.
    fn start(kind: &'static Kind, registry: &SmallRegistry, encryption: &Encryption) -> Option<Self> {
        let any = schemas::targets().next().expect("a schema");
        let body = registry.ask("GET", &any, None).body.len();
        let server = match kind.start(registry.address(), body, encryption) {
            Start::Running(server) => server,
            Start::LeftOut(why) => {
                println!("{} is left out: {why}", kind.name);
                return None;
            }
        };
        let tls = encryption.is_on.then(|| encryption.certificate.client());
        let requests: Vec<Vec<u8>> = schemas::targets().map(|target| Manner::Curt.get(&target)).collect();
        warm(kind, &server, registry, tls.as_ref(), &requests);
        let connections = (0..CONNECTIONS).map(|_| open(server.address, tls.as_ref())).collect();
        let mut load = Ring::new(connections, requests, body);
        load.fire(ROUND);
        Some(Self { kind, server, load, micros: Vec::new(), rates: Vec::new() })
    }

    fn round(&mut self, registry: &SmallRegistry) {
        registry.forget_requests();
        let before = self.server.cpu_times();
        let (answers, took) = self.load.fire(ROUND);
        let used = used(&before, &self.server.cpu_times());
        assert_eq!(registry.count(|_| true), 0, "hits are compared, but {} asked the registry", self.kind.name);
        self.micros.push(used.as_secs_f64() * 1e6 / answers as f64);
        self.rates.push(answers as f64 / took.as_secs_f64());
    }

    fn micros(&self) -> f64 {
        median(self.micros.clone())
    }

    /// The rounds of two sides that took turns, compared one by one.
    fn times(&self, other: &Self) -> f64 {
        median(self.micros.iter().zip(&other.micros).map(|(own, other)| own / other).collect())
    }
}

/// Asks for everything twice: what comes the second time is right to the byte, and the registry was not asked for it.
fn warm(
    kind: &Kind,
    server: &Process,
    registry: &SmallRegistry,
    tls: Option<&Arc<ClientConfig>>,
    requests: &[Vec<u8>],
) {
    let mut connection = open(server.address, tls);
    for request in requests {
        exchange(&mut connection, request);
    }
    registry.forget_requests();
    let answers: Vec<Vec<u8>> = requests.iter().map(|request| exchange(&mut connection, request)).collect();
    assert_eq!(registry.count(|_| true), 0, "{} does not keep what it was asked for", kind.name);
    for (target, answer) in schemas::targets().zip(&answers) {
        let right = registry.ask("GET", &target, None).body;
        let is_right = answer.ends_with(format!("\r\n\r\n{right}").as_bytes());
        assert!(kind.is_ceiling() || is_right, "{}: {target}", kind.name);
    }
}

fn print(sides: &[Side]) {
    let (bare, outpost) = (&sides[0], &sides[1]);
    println!(
        "{:<20} {:>8} {:>15} {:>12} {:>9} {:>11} {:>8}",
        "", "threads", "CPU µs/request", "requests/s", "x hyper", "x outpost", "goal"
    );
    for side in sides {
        let goal = side.kind.goal.map(|goal| format!(">= {goal:.1}")).unwrap_or_default();
        println!(
            "{:<20} {:>8} {:>15.2} {:>12.0} {:>9.2} {:>11.2} {goal:>8}",
            side.kind.name,
            side.server.cpu_times().len(),
            side.micros(),
            median(side.rates.clone()),
            side.times(bare),
            side.times(outpost),
        );
    }
}
