//! How long a cached read takes at half the rate that the outpost can serve: while it has nothing else to do, and while
//! it reads its primary, forwards writes and is scraped.
//!
//! The outpost is a process of its own on one processor; client and registry have the other. Bare hyper takes turns with
//! it, so that what the machine alone does to a request is seen beside, and so does the build that `OUTPOST_BEFORE` names.
//! Nothing fails because it was slow. How to run it, and how to read what it prints: `benches/README.md`.

mod house;
mod program;

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use house::client::{Manner, connect, exchange};
use house::median;
use house::process::{self, Process, REST, SERVER, hurry, move_to};
use house::ring::{Ring, open};
use house::schedule::{Lateness, Schedule};
use program::http::ask;
use program::outpost::Outpost;
use program::process::first_thread;
use small_registry::SmallRegistry;

const CONNECTIONS: usize = 32;
/// Few enough that a pass over all of them ends within some rounds.
const SCHEMAS: usize = 2_000;

/// Ids of one length have answers of one length; this is the first of them.
const FIRST: usize = 1_000;

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_secs(1);

/// What the outpost does beside answering reads.
#[derive(Clone, Copy)]
enum Work {
    Passes,
    Writes,
    Scrapes,
}

/// A kind of round, by its name, and what is done in it.
type Kind = (&'static str, &'static [Work]);

const KINDS: [Kind; 5] = [
    ("quiet", &[]),
    ("passes", &[Work::Passes]),
    ("writes", &[Work::Writes]),
    ("scrapes", &[Work::Scrapes]),
    ("all", &[Work::Passes, Work::Writes, Work::Scrapes]),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["bare", address, body] => {
            let body = vec![b'x'; body.parse().expect("a number")];
            house::bare::serve_on(address.parse().expect("an address"), Bytes::from(body), None, |_| ());
        }
        ref names => measure(names),
    }
}

/// Measures the kinds of these names, or all.
fn measure(names: &[&str]) {
    let kinds: Vec<_> = KINDS.iter().filter(|(name, _)| names.is_empty() || names.contains(name)).collect();
    let upkeep = schema_outpost::app::upkeep().expect("a runtime");
    let registry = upkeep.block_on(SmallRegistry::start());
    house::outpost::fill(&registry, FIRST + SCHEMAS);
    let folder = tempfile::tempdir_in("/dev/shm").expect("Linux has a folder in memory");
    let before = std::env::var_os("OUTPOST_BEFORE");
    let mut sides = vec![Side::bare(&registry, &kinds), Side::outpost(None, folder.path(), &registry, &kinds)];
    sides.extend(before.map(|build| Side::outpost(Some(&build), folder.path(), &registry, &kinds)));
    let rate = sides.iter_mut().map(Side::half_of_peak).fold(f64::INFINITY, f64::min);
    // Only now: a connection on which nothing is asked at first is closed.
    let mut schedules: Vec<Schedule> = sides.iter().map(Side::schedule).collect();
    println!(
        "{ROUNDS} rounds of {ROUND:?}, {CONNECTIONS} connections, {rate:.0} requests/s, half of what the slowest served"
    );
    let written = AtomicUsize::new(FIRST + SCHEMAS);
    for _ in 0..ROUNDS {
        for (kind, _) in &kinds {
            for (side, schedule) in sides.iter_mut().zip(&mut schedules) {
                side.round(kind, schedule, rate, &written);
            }
        }
    }
    sides.iter().for_each(Side::print);
    sides.into_iter().for_each(|side| side.server.stop());
}

/// What is measured: a process on the processor of servers, of which the first thread answers.
enum Server {
    Bare(Process),
    Outpost(Outpost),
}

impl Server {
    fn data(&self) -> SocketAddr {
        match self {
            Self::Bare(process) => process.address,
            Self::Outpost(outpost) => outpost.data,
        }
    }

    /// Only what has an admin port is given work.
    fn admin(&self) -> SocketAddr {
        match self {
            Self::Bare(process) => process.address,
            Self::Outpost(outpost) => outpost.admin,
        }
    }

    fn first_thread(&self) -> (Duration, Duration) {
        match self {
            Self::Bare(process) => first_thread(process.id()),
            Self::Outpost(outpost) => first_thread(outpost.id()),
        }
    }

    fn stop(self) {
        match self {
            Self::Bare(process) => drop(process),
            Self::Outpost(outpost) => outpost.stop(),
        }
    }
}

/// A server, what it is asked, and what was measured of it.
struct Side {
    name: &'static str,
    server: Server,
    requests: Vec<Vec<u8>>,
    /// The length of an answer's body.
    body: usize,
    rows: Vec<Row>,
}

impl Side {
    /// Hyper with one fixed answer, which has nothing else to do in any round.
    fn bare(registry: &SmallRegistry, kinds: &[&Kind]) -> Self {
        let body = body(registry);
        let address = process::free_port();
        let program = std::env::current_exe().expect("a path");
        let arguments = ["bare".to_owned(), address.to_string(), body.to_string()];
        let server = Server::Bare(Process::start(&program, &arguments, process::folder(), address));
        let rows = kinds.iter().filter(|(_, works)| works.is_empty()).map(|kind| Row::new(kind)).collect();
        Self { name: "bare hyper", server, requests: requests(), body, rows }
    }

    fn outpost(other: Option<&OsStr>, folder: &Path, registry: &SmallRegistry, kinds: &[&Kind]) -> Self {
        let name = if other.is_some() { "before" } else { "this build" };
        let folder = folder.join(name);
        std::fs::create_dir(&folder).expect("a folder in memory");
        let state = folder.join("state");
        let more =
            format!("state: {{ directory: \"{}\" }}\nimporter: {{ interval: 1h, full_interval: 1h }}", state.display());
        move_to(SERVER);
        let outpost = match other {
            Some(program) => Outpost::start_build(program, &folder, &registry.url(), &more),
            None => Outpost::start(&folder, &registry.url(), &more),
        };
        move_to(REST);
        outpost.catch_up();
        let rows = kinds.iter().map(|kind| Row::new(kind)).collect();
        Self { name, server: Server::Outpost(outpost), requests: requests(), body: body(registry), rows }
    }

    /// Half of the requests that it can answer in a second.
    fn half_of_peak(&mut self) -> f64 {
        let connections = (0..CONNECTIONS).map(|_| open(self.server.data(), None)).collect();
        let mut ring = Ring::new(connections, self.requests.clone(), self.body);
        ring.fire(ROUND);
        let (answers, took) = ring.fire(3 * ROUND);
        answers as f64 / took.as_secs_f64() / 2.0
    }

    fn schedule(&self) -> Schedule {
        let answer = exchange(&mut connect(self.server.data()), &self.requests[0]).len();
        Schedule::connect(self.server.data(), CONNECTIONS, self.requests.clone(), answer)
    }

    /// A round of this kind, if it takes part in those.
    fn round(&mut self, kind: &str, schedule: &mut Schedule, rate: f64, written: &AtomicUsize) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.name == kind) {
            row.round(schedule, rate, &self.server, written);
        }
    }

    fn print(&self) {
        println!(
            "\n{}\n{:<8} {:>8} {:>8} {:>8} {:>10} {:>8} {:>8} {:>13} {:>8} {:>8}  work done",
            self.name,
            "",
            "p50 µs",
            "p99 µs",
            "p99/p50",
            "best p99",
            "/ p50",
            "x quiet",
            "client p99 µs",
            "CPU µs",
            "held ‰"
        );
        let quiet = self.rows.iter().find(|row| row.works.is_empty()).map(|row| best(&row.slowest));
        for row in &self.rows {
            let (middle, slowest, best) = (median(row.middle.clone()), median(row.slowest.clone()), best(&row.slowest));
            println!(
                "{:<8} {middle:>8.1} {slowest:>8.1} {:>8.2} {best:>10.1} {:>8.2} {:>8.2} {:>13.1} {:>8.2} {:>8.1}  {:?}",
                row.name,
                slowest / middle,
                best / middle,
                best / quiet.unwrap_or(f64::NAN),
                median(row.client.clone()),
                median(row.cpu.clone()),
                median(row.held.clone()),
                row.done
            );
        }
    }
}

fn requests() -> Vec<Vec<u8>> {
    (0..SCHEMAS).map(|number| Manner::Curt.get(&format!("/schemas/ids/{}", FIRST + number))).collect()
}

/// The length of an answer's body.
fn body(registry: &SmallRegistry) -> usize {
    registry.ask("GET", &format!("/schemas/ids/{FIRST}"), None).body.len()
}

impl Work {
    /// How long it rests after each time.
    fn pause(self) -> Duration {
        Duration::from_millis(match self {
            Self::Passes => 0,
            Self::Writes => 50,
            Self::Scrapes => 100,
        })
    }

    fn once(self, data: SocketAddr, admin: SocketAddr, written: &AtomicUsize) {
        match self {
            Self::Passes => house::outpost::import(admin),
            Self::Writes => {
                let number = written.fetch_add(1, Ordering::Relaxed);
                let body = house::outpost::registration(number);
                let request = format!(
                    "POST /subjects/{}/versions HTTP/1.1\r\nHost: outpost\r\nContent-Length: {}\r\n\r\n{body}",
                    house::outpost::subject(number),
                    body.len()
                );
                let answer = exchange(&mut connect(data), request.as_bytes());
                assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
            }
            Self::Scrapes => assert!(ask(admin, "GET", "/metrics").is_some_and(|(status, _)| status == 200)),
        }
    }
}

/// One kind of round, with what was measured in it.
struct Row {
    name: &'static str,
    works: &'static [Work],
    middle: Vec<f64>,
    slowest: Vec<f64>,
    /// The slowest of the client's own requests.
    client: Vec<f64>,
    /// Microseconds of the thread that answers, for each answer.
    cpu: Vec<f64>,
    /// Thousandths of the time that it could have run and had no processor.
    held: Vec<f64>,
    /// How often each work was done.
    done: Vec<usize>,
}

impl Row {
    fn new(&(name, works): &Kind) -> Self {
        let [middle, slowest, client, cpu, held] = [const { Vec::new() }; 5];
        Self { name, works, middle, slowest, client, cpu, held, done: vec![0; works.len()] }
    }

    fn round(&mut self, schedule: &mut Schedule, rate: f64, server: &Server, written: &AtomicUsize) {
        let is_over = AtomicBool::new(false);
        let (data, admin) = (server.data(), server.admin());
        let (ran, waited) = server.first_thread();
        let late = std::thread::scope(|scope| {
            for (work, done) in self.works.iter().zip(&mut self.done) {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        work.once(data, admin, written);
                        *done += 1;
                        std::thread::sleep(work.pause());
                    }
                });
            }
            let client = scope.spawn(|| {
                hurry();
                schedule.run(rate, ROUND)
            });
            let late = client.join().expect("a round to its end");
            is_over.store(true, Ordering::Relaxed);
            late
        });
        let now = server.first_thread();
        self.cpu.push((now.0 - ran).as_secs_f64() * 1e6 / late.answers.len() as f64);
        self.held.push((now.1 - waited).as_secs_f64() * 1e3 / ROUND.as_secs_f64());
        self.note(&late);
    }

    fn note(&mut self, late: &Lateness) {
        self.middle.push(share(&late.answers, 0.5));
        self.slowest.push(share(&late.answers, 0.99));
        self.client.push(share(&late.requests, 0.99));
    }
}

/// What this share of the values, in order of size, does not exceed.
fn share(values: &[f64], share: f64) -> f64 {
    values[((values.len() - 1) as f64 * share) as usize]
}

/// The round that what else the machine did disturbed the least.
fn best(rounds: &[f64]) -> f64 {
    rounds.iter().copied().fold(f64::INFINITY, f64::min)
}
