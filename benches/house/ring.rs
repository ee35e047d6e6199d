//! A closed loop: every connection always has one request under way, so that the server is never without work.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, StreamOwned};
use tokio::time::Instant;

use super::certificate;
use super::client::connect;

const END: &[u8] = b"\r\n\r\n";

/// What a connection reads and writes, with or without TLS.
pub trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// A connection, with TLS if a client of that is given.
pub fn open(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Box<dyn Stream> {
    let socket = connect(address);
    match tls {
        None => Box::new(socket),
        Some(client) => Box::new(StreamOwned::new(certificate::connection(client.clone()), socket)),
    }
}

/// Connections to one server, served in turn. Bodies have one length, heads may have any.
pub struct Ring {
    connections: Vec<Box<dyn Stream>>,
    requests: Vec<Vec<u8>>,
    dice: Dice,
    body: usize,
    /// The head of the last answer, with its end: most often the length of the next one too.
    head: usize,
}

impl Ring {
    /// Asks on these connections for these things at random; `body` is the length of every body.
    pub fn new(connections: Vec<Box<dyn Stream>>, requests: Vec<Vec<u8>>, body: usize) -> Self {
        Self { connections, requests, dice: Dice::new(), body, head: 0 }
    }

    /// Asks until the time is over. Returns the number of answers and the time that they took.
    pub fn fire(&mut self, time: Duration) -> (usize, Duration) {
        let began = Instant::now();
        let answers = self.go_round(|_| began.elapsed() < time);
        (answers, began.elapsed())
    }

    /// Asks so many times, at least once on each connection.
    pub fn ask(&mut self, times: usize) {
        let count = self.connections.len();
        self.go_round(|answers| answers + count < times);
    }

    /// Asks as long as it is to go on after so many answers. Returns the number of answers.
    fn go_round(&mut self, goes_on: impl Fn(usize) -> bool) -> usize {
        let count = self.connections.len();
        (0..count).for_each(|connection| self.send(connection));
        let mut answers = 0;
        while goes_on(answers) {
            let connection = answers % count;
            self.receive(connection);
            self.send(connection);
            answers += 1;
        }
        for _ in 0..count {
            self.receive(answers % count);
            answers += 1;
        }
        answers
    }

    fn send(&mut self, connection: usize) {
        let request = &self.requests[self.dice.below(self.requests.len())];
        self.connections[connection].write_all(request).expect("the server reads");
    }

    fn receive(&mut self, connection: usize) {
        let mut answer = [0; 8192];
        let mut filled = 0;
        while filled == 0 || !self.is_whole(&answer[..filled]) {
            let read = self.connections[connection].read(&mut answer[filled..]).expect("the server answers");
            assert!(read > 0, "the server closed: {}", String::from_utf8_lossy(&answer[..filled]));
            filled += read;
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..filled]));
    }

    fn is_whole(&mut self, answer: &[u8]) -> bool {
        if answer.get(..self.head).is_none_or(|head| !head.ends_with(END)) {
            let Some(end) = answer.windows(END.len()).position(|part| part == END) else { return false };
            self.head = end + END.len();
        }
        answer.len() >= self.head + self.body
    }
}

/// Numbers in no order, the same in every run. In a fixed order a cache that lacks room for one answer misses all.
pub struct Dice(u64);

impl Dice {
    pub fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// A number below this one.
    pub fn below(&mut self, limit: usize) -> usize {
        // xorshift64*, for its high bits.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}
