//! An open loop: requests go out when a schedule says so, whether or not the ones before have been answered, and an
//! answer is as late as it is after the time its request was due. A server that stops cannot hide it that way.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tokio::time::Instant;

use super::client::connect;
use super::ring::Dice;

/// How long the client rests when there is nothing to send or read: what shares its processor must get on too.
const NAP: Duration = Duration::from_micros(5);

/// Connections to one server. All answers have one length.
pub struct Schedule {
    lines: Vec<Line>,
    requests: Vec<Vec<u8>>,
    dice: Dice,
}

/// A connection, with the times at which the requests that it has under way were due.
struct Line {
    stream: TcpStream,
    due: VecDeque<Duration>,
    answer: Vec<u8>,
    filled: usize,
}

/// Microseconds of one run, in order of size.
pub struct Lateness {
    /// Of answers, after their requests were due.
    pub answers: Vec<f64>,
    /// Of requests: what the client itself was late.
    pub requests: Vec<f64>,
}

impl Schedule {
    /// Connects; `answer` is the length of every answer, head and body.
    pub fn connect(address: SocketAddr, connections: usize, requests: Vec<Vec<u8>>, answer: usize) -> Self {
        let line = |_| {
            let stream = connect(address);
            stream.set_nonblocking(true).expect("a TCP socket");
            Line { stream, due: VecDeque::new(), answer: vec![0; answer], filled: 0 }
        };
        Self { lines: (0..connections).map(line).collect(), requests, dice: Dice::new() }
    }

    /// Asks so many times a second for so long, and waits for the last answer.
    pub fn run(&mut self, rate: f64, time: Duration) -> Lateness {
        let all = (rate * time.as_secs_f64()) as usize;
        let mut late = Lateness { answers: Vec::with_capacity(all), requests: Vec::with_capacity(all) };
        let began = Instant::now();
        while late.answers.len() < all {
            let mut is_idle = true;
            let due = Duration::from_secs_f64(late.requests.len() as f64 / rate);
            let now = began.elapsed();
            if late.requests.len() < all && due <= now {
                self.send(late.requests.len(), due);
                late.requests.push(micros(now - due));
                is_idle = false;
            }
            for line in self.lines.iter_mut().filter(|line| !line.due.is_empty()) {
                if let Some(due) = line.receive() {
                    late.answers.push(micros(began.elapsed() - due));
                    is_idle = false;
                }
            }
            if is_idle {
                std::thread::sleep(NAP);
            }
        }
        late.answers.sort_by(f64::total_cmp);
        late.requests.sort_by(f64::total_cmp);
        late
    }

    fn send(&mut self, number: usize, due: Duration) {
        let count = self.lines.len();
        let line = &mut self.lines[number % count];
        let request = &self.requests[self.dice.below(self.requests.len())];
        line.stream.write_all(request).expect("room for a request");
        line.due.push_back(due);
    }
}

impl Line {
    /// When the request was due whose answer is whole now.
    fn receive(&mut self) -> Option<Duration> {
        match self.stream.read(&mut self.answer[self.filled..]) {
            Ok(read) => {
                assert!(read > 0, "the server closed");
                self.filled += read;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        if self.filled < self.answer.len() {
            return None;
        }
        assert!(self.answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&self.answer));
        self.filled = 0;
        self.due.pop_front()
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
