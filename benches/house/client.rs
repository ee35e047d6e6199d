//! A client that costs little: sockets kept alive, requests made beforehand, answers counted by length.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tokio::time::Instant;

/// What a client says of itself with each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As little as HTTP/1.1 allows, as load generators do.
    Curt,
    /// The fields that the Java serialisers send.
    Java,
}

impl Manner {
    /// Reads `curt` or `java`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "curt" => Some(Self::Curt),
            "java" => Some(Self::Java),
            _ => None,
        }
    }

    /// A request in this manner.
    pub fn get(self, target: &str) -> Vec<u8> {
        let rest = match self {
            Self::Curt => "",
            Self::Java => {
                "Content-Type: application/vnd.schemaregistry.v1+json\r\nConfluent-Accept-Unknown-Properties: true\r\n\
                 Accept: text/html, image/gif, image/jpeg, */*; q=0.2\r\nUser-Agent: Java/17.0.12\r\nConnection: keep-alive\r\n"
            }
        };
        format!("GET {target} HTTP/1.1\r\nHost: outpost\r\n{rest}\r\n").into_bytes()
    }
}

/// Connections to one server, all of which ask for answers of one length.
pub struct Load {
    connections: Vec<TcpStream>,
    requests: Vec<Vec<u8>>,
    next: usize,
    answer: Vec<u8>,
}

impl Load {
    /// Connects, and learns from one answer how long all of them are.
    pub fn connect(address: SocketAddr, connections: usize, requests: Vec<Vec<u8>>) -> Self {
        let mut connections: Vec<TcpStream> = (0..connections).map(|_| connect(address)).collect();
        let answer = exchange(&mut connections[0], &requests[0]);
        Self { connections, requests, next: 0, answer }
    }

    /// One request on every connection, then all the answers. Returns how many there were.
    pub fn volley(&mut self) -> usize {
        for connection in &mut self.connections {
            self.next = (self.next + 1) % self.requests.len();
            connection.write_all(&self.requests[self.next]).expect("the server reads");
        }
        for connection in &mut self.connections {
            connection.read_exact(&mut self.answer).expect("the server answers, always in the same length");
            assert!(self.answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&self.answer));
        }
        self.connections.len()
    }

    /// The length of the bodies.
    pub fn body(&self) -> usize {
        let head = self.answer.windows(4).position(|part| part == b"\r\n\r\n").expect("a head");
        self.answer.len() - head - 4
    }

    /// Volleys until the time is over. Returns the number of answers and the time that they took.
    pub fn fire(&mut self, time: Duration) -> (usize, Duration) {
        let began = Instant::now();
        let mut answers = 0;
        while began.elapsed() < time {
            answers += self.volley();
        }
        (answers, began.elapsed())
    }
}

/// A connection that sends at once and does not wait for ever.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_nodelay(true).expect("a TCP socket");
    stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a TCP socket");
    stream
}

/// Sends one request and reads its answer whole.
pub fn exchange(connection: &mut (impl Read + Write), request: &[u8]) -> Vec<u8> {
    connection.write_all(request).expect("the server reads");
    let mut answer = Vec::with_capacity(4096);
    let mut piece = [0; 4096];
    loop {
        let read = connection.read(&mut piece).expect("the server answers");
        assert!(read > 0, "the server closed: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..read]);
        if length(&answer).is_some_and(|length| answer.len() >= length) {
            return answer;
        }
    }
}

/// The length of an answer, once its head is there.
fn length(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|part| part == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    Some(head + length.trim().parse::<usize>().ok()?)
}
