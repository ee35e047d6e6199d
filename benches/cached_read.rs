//! A cached read through the complete data path against hyper with one fixed answer, in one run.
//!
//! Both servers run on a thread of their own; rounds alternate, so that what else the machine does falls on both. The
//! figure to look at is the ratio of the CPU time of those two threads per request. How to run it: `benches/README.md`.

mod house;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use house::client::{Manner, body, connect, exchange};
use house::outpost::Outpost;
use house::ring::{Ring, open};
use house::{median, schemas};

const CONNECTIONS: usize = 32;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(2);

fn main() {
    for manner in [Manner::Curt, Manner::Java] {
        // One each, for the answers to both would not fit the room that is set aside for them.
        let outpost = Outpost::start(schemas::HELD, None);
        let requests: Vec<Vec<u8>> = schemas::targets().map(|target| manner.get(&target)).collect();
        let length = body(&exchange(&mut connect(outpost.address), &requests[0]));
        let mut ours = Side::new(outpost.address, outpost.thread, requests.clone(), length);
        let (address, thread) = house::bare::serve(Bytes::from(vec![b'x'; length]));
        let mut bare = Side::new(address, thread, requests, length);
        for side in [&mut ours, &mut bare] {
            side.load.fire(ROUND);
        }
        for _ in 0..ROUNDS {
            bare.round();
            ours.round();
        }
        println!("\n{manner:?} client, {CONNECTIONS} connections, bodies of {length} bytes");
        println!("{:<10} {:>16} {:>12}", "", "CPU µs/request", "requests/s");
        bare.print("bare hyper");
        ours.print("outpost");
        println!("{:<10} {:>15.2}x", "ratio", median(ours.micros) / median(bare.micros));
    }
}

/// One of the two servers, with what was measured of it.
struct Side {
    load: Ring,
    thread: u32,
    micros: Vec<f64>,
    rates: Vec<f64>,
}

impl Side {
    fn new(address: SocketAddr, thread: u32, requests: Vec<Vec<u8>>, body: usize) -> Self {
        let load = Ring::new((0..CONNECTIONS).map(|_| open(address, None)).collect(), requests, body);
        Self { load, thread, micros: Vec::new(), rates: Vec::new() }
    }

    fn round(&mut self) {
        let before = cpu_time(self.thread);
        let (answers, took) = self.load.fire(ROUND);
        let used = cpu_time(self.thread) - before;
        self.micros.push(used.as_secs_f64() * 1e6 / answers as f64);
        self.rates.push(answers as f64 / took.as_secs_f64());
    }

    fn print(&self, name: &str) {
        println!("{name:<10} {:>16.2} {:>12.0}", median(self.micros.clone()), median(self.rates.clone()));
    }
}

/// What the scheduler has given to a thread of this process.
fn cpu_time(thread: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).expect("Linux");
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("a number"))
}
