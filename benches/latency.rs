//! How long a cached read takes at half the rate that the outpost can serve: while it has nothing else to do, and while
//! it reads its primary, forwards writes and is scraped.
//!
//! The outpost is a process of its own on one processor; client and registry have the other. `OUTPOST_BEFORE` names another
//! build, which takes turns with this one. Nothing fails because it was slow. How to run it, and how to read what it prints: `benches/README.md`.

mod house;
mod program;

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use house::client::{Manner, connect, exchange};
use house::median;
use house::process::{REST, SERVER, hurry, move_to};
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

const KINDS: [(&str, &[Work]); 5] = [
    ("quiet", &[]),
    ("passes", &[Work::Passes]),
    ("writes", &[Work::Writes]),
    ("scrapes", &[Work::Scrapes]),
    ("all", &[Work::Passes, Work::Writes, Work::Scrapes]),
];

fn main() {
    let upkeep = schema_outpost::app::upkeep().expect("a runtime");
    let registry = upkeep.block_on(SmallRegistry::start());
    house::outpost::fill(&registry, FIRST + SCHEMAS);
    let folder = tempfile::tempdir_in("/dev/shm").expect("Linux has a folder in memory");
    let before = std::env::var_os("OUTPOST_BEFORE");
    let mut sides = vec![Side::start(None, folder.path(), &registry)];
    sides.extend(before.map(|build| Side::start(Some(&build), folder.path(), &registry)));
    let rate = sides.iter_mut().map(Side::half_of_peak).fold(f64::INFINITY, f64::min);
    // Only now: a connection on which nothing is asked at first is closed.
    let mut schedules: Vec<Schedule> = sides.iter().map(Side::schedule).collect();
    println!("{ROUNDS} rounds of {ROUND:?}, {CONNECTIONS} connections, {rate:.0} requests/s, half of what it served");
    let written = AtomicUsize::new(FIRST + SCHEMAS);
    for _ in 0..ROUNDS {
        for kind in 0..KINDS.len() {
            for (side, schedule) in sides.iter_mut().zip(&mut schedules) {
                side.rows[kind].round(schedule, rate, &side.outpost, &written);
            }
        }
    }
    for side in sides {
        print(side.name, &side.rows);
        side.outpost.stop();
    }
}

/// An outpost that is measured.
struct Side {
    name: &'static str,
    outpost: Outpost,
    requests: Vec<Vec<u8>>,
    /// The length of an answer's body.
    body: usize,
    rows: Vec<Row>,
}

impl Side {
    fn start(other: Option<&OsStr>, folder: &Path, registry: &SmallRegistry) -> Self {
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
        let requests: Vec<Vec<u8>> =
            (0..SCHEMAS).map(|number| Manner::Curt.get(&format!("/schemas/ids/{}", FIRST + number))).collect();
        let body = registry.ask("GET", &format!("/schemas/ids/{FIRST}"), None).body.len();
        let rows = KINDS.iter().map(|(name, works)| Row::new(name, works)).collect();
        Self { name, outpost, requests, body, rows }
    }

    /// Half of the requests that it can answer in a second.
    fn half_of_peak(&mut self) -> f64 {
        let connections = (0..CONNECTIONS).map(|_| open(self.outpost.data, None)).collect();
        let mut ring = Ring::new(connections, self.requests.clone(), self.body);
        ring.fire(ROUND);
        let (answers, took) = ring.fire(3 * ROUND);
        answers as f64 / took.as_secs_f64() / 2.0
    }

    fn schedule(&self) -> Schedule {
        let answer = exchange(&mut connect(self.outpost.data), &self.requests[0]).len();
        Schedule::connect(self.outpost.data, CONNECTIONS, self.requests.clone(), answer)
    }
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
    fn new(name: &'static str, works: &'static [Work]) -> Self {
        let [middle, slowest, client, cpu, held] = [const { Vec::new() }; 5];
        Self { name, works, middle, slowest, client, cpu, held, done: vec![0; works.len()] }
    }

    fn round(&mut self, schedule: &mut Schedule, rate: f64, outpost: &Outpost, written: &AtomicUsize) {
        let is_over = AtomicBool::new(false);
        let (data, admin) = (outpost.data, outpost.admin);
        let (ran, waited) = first_thread(outpost.id());
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
        let now = first_thread(outpost.id());
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

fn print(name: &str, rows: &[Row]) {
    println!(
        "\n{name}\n{:<8} {:>8} {:>8} {:>8} {:>8} {:>10} {:>9} {:>13} {:>8} {:>8}  work done",
        "", "p50 µs", "p99 µs", "p99/p50", "x quiet", "best p99", "x quiet", "client p99 µs", "CPU µs", "held ‰"
    );
    let quiet = &rows[0].slowest;
    for row in rows {
        let (middle, slowest) = (median(row.middle.clone()), median(row.slowest.clone()));
        println!(
            "{:<8} {middle:>8.1} {slowest:>8.1} {:>8.2} {:>8.2} {:>10.1} {:>9.2} {:>13.1} {:>8.2} {:>8.1}  {:?}",
            row.name,
            slowest / middle,
            slowest / median(quiet.clone()),
            best(&row.slowest),
            best(&row.slowest) / best(quiet),
            median(row.client.clone()),
            median(row.cpu.clone()),
            median(row.held.clone()),
            row.done
        );
    }
}

/// The round that what else the machine did disturbed the least.
fn best(rounds: &[f64]) -> f64 {
    rounds.iter().copied().fold(f64::INFINITY, f64::min)
}
