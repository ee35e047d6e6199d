//! A client that costs little: sockets kept alive, requests made beforehand.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

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

/// The length of the body of a whole answer.
pub fn body(answer: &[u8]) -> usize {
    answer.len() - head(answer).expect("a head")
}

/// The length of the head of an answer, once it is there.
fn head(answer: &[u8]) -> Option<usize> {
    Some(answer.windows(4).position(|part| part == b"\r\n\r\n")? + 4)
}

/// The length of an answer, once its head is there.
fn length(answer: &[u8]) -> Option<usize> {
    let head = head(answer)?;
    let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    Some(head + length.trim().parse::<usize>().ok()?)
}
