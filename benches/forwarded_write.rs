//! A registration through the outpost against one that goes to the registry directly, in one run.
//!
//! Each round registers one new schema on each of three ways: directly, through an outpost without a state directory,
//! and through one that keeps every write on disk before it is acknowledged. How to run it: `benches/README.md`.

mod house;

use std::net::TcpStream;
use std::time::Duration;

use house::client::{connect, exchange};
use house::median;
use house::outpost::{Outpost, registration, subject};
use tokio::time::Instant;

const ROUNDS: usize = 400;
const WARM_UP: usize = 50;

fn main() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let in_memory = Outpost::start(0, None);
    let kept = Outpost::start(0, Some(directory.path().to_owned()));
    let alone = Outpost::start(0, None);
    let mut ways = [
        Way::new("direct", connect(alone.primary)),
        Way::new("in memory", connect(in_memory.address)),
        Way::new("kept", connect(kept.address)),
    ];
    for round in 0..WARM_UP + ROUNDS {
        for way in &mut ways {
            let took = way.register(round);
            if round >= WARM_UP {
                way.millis.push(took.as_secs_f64() * 1e3);
            }
        }
    }
    let direct = median(ways[0].millis.clone());
    println!("{ROUNDS} new schemas on each way, one after the other; state in {}", directory.path().display());
    println!("{:<10} {:>12} {:>12}", "", "median ms", "added ms");
    for way in ways {
        let median = median(way.millis);
        println!("{:<10} {median:>12.3} {:>12.3}", way.name, median - direct);
    }
}

/// One way to the registry.
struct Way {
    name: &'static str,
    connection: TcpStream,
    millis: Vec<f64>,
}

impl Way {
    fn new(name: &'static str, connection: TcpStream) -> Self {
        Self { name, connection, millis: Vec::new() }
    }

    fn register(&mut self, number: usize) -> Duration {
        let body = registration(number);
        let request = format!(
            "POST /subjects/{}/versions HTTP/1.1\r\nHost: outpost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            subject(number),
            body.len()
        );
        let began = Instant::now();
        let answer = exchange(&mut self.connection, request.as_bytes());
        let took = began.elapsed();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        took
    }
}
