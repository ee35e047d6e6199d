//! What a user interface asks when somebody opens it: everything, of every subject. Nothing of it reaches the primary.
//!
//! The outpost is a process that has just read its primary, so each answer is made for the first time. How to run it:
//! `benches/README.md`.

mod house;
mod program;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use house::client::connect;
use program::outpost::Outpost;
use program::primary::{Holding, Primary, subject};
use program::process::coarse_cpu;
use tokio::time::Instant;

const HOLDING: Holding = Holding { subjects: 5_000, versions: 2, texts: 10_000, bytes: 1_200 };
const VERSIONS: [usize; 2] = [1, 2];
const CONNECTIONS: [usize; 3] = [1, 4, 16];
const ROUNDS: usize = 3;

fn main() {
    let primary = Primary::start(HOLDING);
    for number in (0..HOLDING.subjects).step_by(10) {
        let target = format!("/config/{}", subject(number));
        assert_eq!(primary.registry.ask("PUT", &target, Some(r#"{"compatibility":"NONE"}"#)).status, 200);
    }
    println!(
        "{:>11} {:>9} {:>8} {:>10} {:>12} {:>6}",
        "connections", "answers", "seconds", "CPU s", "again s", "calls"
    );
    for connections in CONNECTIONS {
        let mut rounds: Vec<Sweep> = (0..ROUNDS).map(|_| sweep(&primary, connections)).collect();
        rounds.sort_by_key(|round| round.first);
        let Sweep { answers, first, cpu, again } = rounds[ROUNDS / 2];
        let calls = primary.registry.count(|_| true);
        assert_eq!(calls, 0, "{:?}", primary.registry.requests().first());
        let [first, cpu, again] = [first, cpu, again].map(|time| time.as_secs_f64());
        println!("{connections:>11} {answers:>9} {first:>8.2} {cpu:>10.2} {again:>12.2} {calls:>6}");
    }
}

/// One walk through an outpost that has just started, and another one after it.
struct Sweep {
    answers: usize,
    first: Duration,
    /// What the outpost took of the processors in the first walk.
    cpu: Duration,
    again: Duration,
}

fn sweep(primary: &Primary, connections: usize) -> Sweep {
    let folder = tempfile::tempdir().expect("a folder");
    let seldom = "importer: { interval: 1h, full_interval: 1h }";
    let outpost = Outpost::start(folder.path(), &primary.registry.url(), seldom);
    outpost.catch_up();
    primary.registry.forget_requests();
    let before = coarse_cpu(outpost.id());
    let (answers, first) = walk(outpost.data, connections);
    let cpu = coarse_cpu(outpost.id()) - before;
    let (_, again) = walk(outpost.data, connections);
    outpost.stop();
    Sweep { answers, first, cpu, again }
}

/// Asks for the subjects, and then for all of each on so many connections. Returns the number of answers.
fn walk(address: SocketAddr, connections: usize) -> (usize, Duration) {
    let began = Instant::now();
    let (status, names) = Client::new(address).get("/subjects");
    let names: Vec<String> = serde_json::from_slice(&names).expect("names");
    assert_eq!((status, names.len()), (200, HOLDING.subjects));
    let part = names.len().div_ceil(connections);
    let answers = std::thread::scope(|scope| {
        let open = |part| scope.spawn(move || open(address, part));
        let parts: Vec<_> = names.chunks(part).map(open).collect();
        parts.into_iter().map(|part| part.join().expect("a walk to the end")).sum::<usize>()
    });
    (1 + answers, began.elapsed())
}

/// Everything of some subjects, on one connection.
fn open(address: SocketAddr, subjects: &[String]) -> usize {
    let mut client = Client::new(address);
    let mut answers = 0;
    for subject in subjects {
        let of_each = VERSIONS.map(|version| (format!("/subjects/{subject}/versions/{version}"), true));
        let of_all = [
            (format!("/subjects/{subject}/versions"), true),
            (format!("/subjects/{subject}/versions/latest"), true),
            (format!("/config/{subject}?defaultToGlobal=true"), true),
            (format!("/config/{subject}"), false),
            (format!("/mode/{subject}?defaultToGlobal=true"), true),
            (format!("/mode/{subject}"), false),
        ];
        for (target, is_always_there) in of_each.into_iter().chain(of_all) {
            let (status, body) = client.get(&target);
            let is_good = status == 200 || !is_always_there && status == 404;
            assert!(is_good, "{target}: {status} {}", String::from_utf8_lossy(&body));
            answers += 1;
        }
    }
    answers
}

/// A client that keeps its connection.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(address: SocketAddr) -> Self {
        Self(BufReader::new(connect(address)))
    }

    fn get(&mut self, target: &str) -> (u16, Vec<u8>) {
        let request = format!("GET {target} HTTP/1.1\r\nHost: outpost\r\nAccept: application/json\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).expect("the outpost reads");
        let status = self.line().split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        // None is the body whose chunks say how long they are.
        let mut length = None;
        loop {
            let line = self.line().to_ascii_lowercase();
            match line.split_once(": ") {
                None => break,
                Some(("content-length", value)) => length = Some(value.parse().expect("a length")),
                Some(_) => {}
            }
        }
        let mut body = Vec::new();
        match length {
            Some(length) => self.read(&mut body, length),
            None => while self.chunk(&mut body) {},
        }
        (status, body)
    }

    /// Whether there are more chunks.
    fn chunk(&mut self, body: &mut Vec<u8>) -> bool {
        let size = usize::from_str_radix(&self.line(), 16).expect("the size of a chunk");
        self.read(body, size);
        self.line();
        size > 0
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    fn read(&mut self, body: &mut Vec<u8>, length: usize) {
        let begin = body.len();
        body.resize(begin + length, 0);
        self.0.read_exact(&mut body[begin..]).expect("a whole body");
    }
}
