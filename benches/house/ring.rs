//! A closed loop: every connection always has one request under way, so that the server is never without work.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tokio::time::Instant;

use super::client::connect;

const END: &[u8] = b"\r\n\r\n";

/// Connections to one server, served in turn. Bodies have one length, heads may have any.
pub struct Ring {
    connections: Vec<TcpStream>,
    requests: Vec<Vec<u8>>,
    next: usize,
    body: usize,
    /// The head of the last answer, with its end: most often the length of the next one too.
    head: usize,
}

impl Ring {
    /// Connects; `body` is the length of every body.
    pub fn connect(address: SocketAddr, connections: usize, requests: Vec<Vec<u8>>, body: usize) -> Self {
        let connections = (0..connections).map(|_| connect(address)).collect();
        Self { connections, requests, next: 0, body, head: 0 }
    }

    /// Asks until the time is over. Returns the number of answers and the time that they took.
    pub fn fire(&mut self, time: Duration) -> (usize, Duration) {
        let began = Instant::now();
        let count = self.connections.len();
        (0..count).for_each(|connection| self.send(connection));
        let mut answers = 0;
        while began.elapsed() < time {
            let connection = answers % count;
            self.receive(connection);
            self.send(connection);
            answers += 1;
        }
        for _ in 0..count {
            self.receive(answers % count);
            answers += 1;
        }
        (answers, began.elapsed())
    }

    fn send(&mut self, connection: usize) {
        self.next = (self.next + 1) % self.requests.len();
        self.connections[connection].write_all(&self.requests[self.next]).expect("the server reads");
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
