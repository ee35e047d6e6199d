//! What a user interface asks when somebody opens it: everything, of every subject.

use std::io::Write as _;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::house::{House, registration};

const SUBJECTS: usize = 5_000;

/// A client that keeps its connection.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn of(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.expect("connected")))
    }

    async fn get(&mut self, target: &str) -> (u16, Vec<u8>) {
        let mut request = Vec::new();
        write!(request, "GET {target} HTTP/1.1\r\nHost: registry\r\nAccept: application/json\r\n\r\n").expect("memory");
        self.0.write_all(&request).await.expect("written");
        let status = self.line().await;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let (mut length, mut is_chunked) = (0, false);
        loop {
            let line = self.line().await.to_ascii_lowercase();
            match line.split_once(':') {
                None => break,
                Some(("content-length", value)) => length = value.trim().parse().expect("a length"),
                Some(("transfer-encoding", _)) => is_chunked = true,
                _ => {}
            }
        }
        let mut body = Vec::new();
        if !is_chunked {
            self.read(&mut body, length).await;
        }
        while is_chunked {
            let size = usize::from_str_radix(&self.line().await, 16).expect("the size of a chunk");
            self.read(&mut body, size).await;
            self.line().await;
            is_chunked = size > 0;
        }
        (status, body)
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.expect("a line");
        line.trim_end().to_owned()
    }

    async fn read(&mut self, body: &mut Vec<u8>, length: usize) {
        let begin = body.len();
        body.resize(begin + length, 0);
        self.0.read_exact(&mut body[begin..]).await.expect("a whole body");
    }
}

/// Issue: less than three seconds in release; here only the calls are held to a number.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_interface_that_opens_every_subject_costs_the_primary_nothing() {
    let house = House::open().await;
    for number in 0..SUBJECTS {
        for doc in ["first", "second"] {
            let target = format!("/subjects/topic-{number:04}-value/versions");
            house.primary.ask("POST", &target, Some(&registration(&format!("{doc} {number}"))));
        }
        if number % 10 == 0 {
            let target = format!("/config/topic-{number:04}-value");
            house.primary.ask("PUT", &target, Some(r#"{"compatibility":"NONE"}"#));
        }
    }
    house.imported().await;
    house.primary.forget_requests();
    let began = tokio::time::Instant::now();
    let mut client = Client::of(house.address()).await;
    let (_, subjects) = client.get("/subjects").await;
    let subjects: Vec<String> = serde_json::from_slice(&subjects).expect("names");
    assert_eq!(subjects.len(), SUBJECTS);
    let mut asked = 1;
    for subject in &subjects {
        let (_, versions) = client.get(&format!("/subjects/{subject}/versions")).await;
        let versions: Vec<i32> = serde_json::from_slice(&versions).expect("numbers");
        assert_eq!(versions, [1, 2]);
        let of_each = versions.iter().map(|version| (format!("/subjects/{subject}/versions/{version}"), true));
        let of_all = [
            (format!("/subjects/{subject}/versions/latest"), true),
            (format!("/config/{subject}?defaultToGlobal=true"), true),
            (format!("/config/{subject}"), false),
            (format!("/mode/{subject}"), false),
            (format!("/mode/{subject}?defaultToGlobal=true"), true),
        ];
        for (target, always) in of_each.chain(of_all) {
            let (status, body) = client.get(&target).await;
            let is_good = status == 200 || !always && status == 404;
            assert!(is_good, "{target}: {status} {}", String::from_utf8_lossy(&body));
            asked += 1;
        }
        asked += 1;
    }
    println!("{asked} answers over one connection in {:?}", began.elapsed());
    let calls: Vec<String> = house.primary.requests().iter().map(|seen| seen.target.clone()).collect();
    assert!(calls.is_empty(), "{} calls, the first ones: {:?}", calls.len(), &calls[..calls.len().min(5)]);
}
