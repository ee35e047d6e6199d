//! An open loop: requests go out when a schedule says so, whether or not the ones before have been answered, and an
//! answer is as late as it is after the time its request was due. A server that stops cannot hide it that way.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::connect;
use super::ring::Dice;

/// So many requests are due at once. One at a time, the client would be the first of the two that cannot follow.
const BURST: usize = 4;

/// Connections to one server. All answers have one length, head and body.
pub struct Schedule {
    connections: Vec<TcpStream>,
    requests: Vec<Vec<u8>>,
    answer: usize,
    dice: Dice,
}

/// Microseconds of one run, in order of size.
pub struct Lateness {
    /// Of answers, after their requests were due.
    pub answers: Vec<f64>,
    /// Of requests: what the client itself was late.
    pub requests: Vec<f64>,
}

/// When a run began, and how far apart its requests are.
#[derive(Clone, Copy)]
struct Times {
    began: Instant,
    rate: f64,
}

impl Schedule {
    pub fn connect(address: SocketAddr, connections: usize, requests: Vec<Vec<u8>>, answer: usize) -> Self {
        let connection = |_| {
            let stream = connect(address);
            stream.set_nonblocking(true).expect("a TCP socket");
            stream
        };
        Self { connections: (0..connections).map(connection).collect(), requests, answer, dice: Dice::new() }
    }

    /// Asks so many times a second for so long, and waits for the last answer. One thread only sends and another one,
    /// which begins with the same urgency, only reads.
    pub fn run(&mut self, rate: f64, time: Duration) -> Lateness {
        let count = self.connections.len();
        let of_each = (rate * time.as_secs_f64()) as usize / count;
        let streams: Vec<TcpStream> =
            self.connections.iter().map(|stream| stream.try_clone().expect("an open socket")).collect();
        let answer = self.answer;
        let times = Times { began: Instant::now() + Duration::from_millis(10), rate };
        let reader = std::thread::spawn(move || read(streams, of_each, answer, times));
        let mut requests: Vec<f64> = (0..of_each * count).map(|number| self.send(number, times)).collect();
        let mut answers = reader.join().expect("all answers");
        answers.sort_by(f64::total_cmp);
        requests.sort_by(f64::total_cmp);
        Lateness { answers, requests }
    }

    /// Sends a request when it is due, and says how late.
    fn send(&mut self, number: usize, times: Times) -> f64 {
        let wait = times.due(number) - Instant::now();
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
        let late = times.late(number);
        let request = &self.requests[self.dice.below(self.requests.len())];
        let count = self.connections.len();
        self.connections[number % count].write_all(request).expect("room for a request");
        late
    }
}

impl Times {
    fn due(self, number: usize) -> Instant {
        self.began + Duration::from_secs_f64((number - number % BURST) as f64 / self.rate)
    }

    fn late(self, number: usize) -> f64 {
        (Instant::now() - self.due(number)).as_secs_f64() * 1e6
    }
}

/// Reads so many answers on each connection. Requests take the connections in turn, so it is known which each answers.
fn read(streams: Vec<TcpStream>, of_each: usize, answer: usize, times: Times) -> Vec<f64> {
    Builder::new_current_thread().enable_io().build().expect("a runtime").block_on(async {
        let count = streams.len();
        let mut readers = JoinSet::new();
        for (first, stream) in streams.into_iter().enumerate() {
            let mut stream = tokio::net::TcpStream::from_std(stream).expect("a socket that does not block");
            readers.spawn(async move {
                let mut late = Vec::with_capacity(of_each);
                let mut text = vec![0; answer];
                for number in (first..).step_by(count).take(of_each) {
                    stream.read_exact(&mut text).await.expect("the server answers");
                    assert!(text.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&text));
                    late.push(times.late(number));
                }
                late
            });
        }
        readers.join_all().await.concat()
    })
}
