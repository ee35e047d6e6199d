//! A cached read through the outpost against the caches that one would otherwise put before a registry, in one run.
//!
//! Every server is a process of its own on one processor; load and registry have the other. How to run it, and how to
//! read what it prints: `benches/README.md`.

#[path = "../house/mod.rs"]
mod house;
mod servers;

use std::time::Duration;

use bytes::Bytes;
use house::client::{Manner, connect, exchange};
use house::median;
use house::process::{self, used};
use house::ring::Ring;
use servers::{KINDS, Kind, Server};
use small_registry::SmallRegistry;

const CONNECTIONS: usize = 32;
/// So many that they do not fit a processor's caches.
const SCHEMAS: usize = 20_000;

/// Ids of one length have answers of one length; this is the first of them.
const FIRST: usize = 10_000;

/// A prime, so that the ids are asked for in no order of theirs.
const STRIDE: usize = 7_919;

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_secs(2);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["bare", address, body] => {
            let body = vec![b'x'; body.parse().expect("a number")];
            house::bare::serve_on(address.parse().expect("an address"), Bytes::from(body), |_| ());
        }
        _ => compare(),
    }
}

fn compare() {
    process::make_room();
    let upkeep = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let registry = upkeep.block_on(SmallRegistry::start());
    house::outpost::fill(&registry, FIRST + SCHEMAS);
    let mut sides: Vec<Side> = KINDS.iter().filter_map(|kind| Side::start(kind, &registry)).collect();
    registry.forget_requests();
    for _ in 0..ROUNDS {
        sides.iter_mut().for_each(Side::round);
    }
    assert_eq!(registry.requests().len(), 0, "what is compared are hits, so the registry is not asked");
    print(&sides);
}

fn target(number: usize) -> String {
    format!("/schemas/ids/{}", FIRST + number * STRIDE % SCHEMAS)
}

/// One of the servers, with what was measured of it.
struct Side {
    kind: &'static Kind,
    server: Server,
    load: Ring,
    micros: Vec<f64>,
    rates: Vec<f64>,
}

impl Side {
    /// Starts a server and has it answer everything, so that from then on it has all of it at hand.
    fn start(kind: &'static Kind, registry: &SmallRegistry) -> Option<Self> {
        let body = registry.ask("GET", &target(0), None).body.len();
        let Some(server) = kind.start(registry.address(), body) else {
            println!("{} is not installed and left out: apt-get install nginx haproxy varnish", kind.name);
            return None;
        };
        let requests: Vec<Vec<u8>> = (0..SCHEMAS).map(|number| Manner::Curt.get(&target(number))).collect();
        let mut connection = connect(server.address);
        for (number, request) in requests.iter().enumerate() {
            let answer = exchange(&mut connection, request);
            let right = registry.ask("GET", &target(number), None).body;
            assert!(kind.is_ceiling() || answer.ends_with(right.as_bytes()), "{}: {}", kind.name, target(number));
        }
        let mut load = Ring::connect(server.address, CONNECTIONS, requests, body);
        load.fire(ROUND);
        Some(Self { kind, server, load, micros: Vec::new(), rates: Vec::new() })
    }

    fn round(&mut self) {
        let before = self.server.process.cpu_times();
        let (answers, took) = self.load.fire(ROUND);
        let used = used(&before, &self.server.process.cpu_times());
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

fn print(sides: &[Side]) {
    let (bare, outpost) = (&sides[0], &sides[1]);
    println!("{ROUNDS} rounds of {ROUND:?}, {CONNECTIONS} connections, {SCHEMAS} schemas, one processor a server");
    println!(
        "{:<12} {:>8} {:>15} {:>12} {:>9} {:>11} {:>8}",
        "", "threads", "CPU µs/request", "requests/s", "x hyper", "x outpost", "goal"
    );
    for side in sides {
        let goal = side.kind.goal.map(|goal| format!(">= {goal:.1}")).unwrap_or_default();
        println!(
            "{:<12} {:>8} {:>15.2} {:>12.0} {:>9.2} {:>11.2} {goal:>8}",
            side.kind.name,
            side.server.process.cpu_times().len(),
            side.micros(),
            median(side.rates.clone()),
            side.times(bare),
            side.times(outpost),
        );
    }
}
