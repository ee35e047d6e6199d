//! Headers and framing over a real connection: which headers an answer has, `Vary`, `Allow`, lengths and chunks.
//!
//! Left out are the exchanges whose answers are known to differ, and those that no well-behaved client sends.

use std::collections::BTreeSet;

use crate::recording::{Line, Recorded, Request, header, known_differences, manifest, scenarios, whole};
use small_registry::SmallRegistry;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

struct Heard {
    status: u16,
    headers: Vec<(String, String)>,
    body: usize,
}

async fn exchange(connection: &mut BufReader<TcpStream>, request: &Request) -> Heard {
    let mut sent = format!("{} {} HTTP/1.1\r\nHost: registry\r\n", request.method, request.target).into_bytes();
    for (name, value) in &request.headers {
        sent.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    let body = request.bytes();
    if let Some(body) = &body {
        sent.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    sent.extend_from_slice(b"\r\n");
    sent.extend_from_slice(body.as_deref().unwrap_or_default());
    connection.get_mut().write_all(&sent).await.expect("the registry reads");
    hear(connection, request.method == "HEAD").await
}

async fn line(connection: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    connection.read_line(&mut line).await.expect("the registry answers");
    line.trim_end().to_owned()
}

async fn hear(connection: &mut BufReader<TcpStream>, is_head: bool) -> Heard {
    let status = line(connection).await;
    let status = status.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
    let mut headers = Vec::new();
    loop {
        let line = line(connection).await;
        let Some((name, value)) = line.split_once(": ") else { break };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let mut body = 0;
    if header(&headers, "Transfer-Encoding").is_some() && !is_head {
        loop {
            let size = usize::from_str_radix(&line(connection).await, 16).expect("a chunk's size");
            let mut chunk = vec![0; size + 2];
            connection.read_exact(&mut chunk).await.expect("a whole chunk");
            body += size;
            if size == 0 {
                break;
            }
        }
    } else if let (Some(length), false) = (header(&headers, "Content-Length"), is_head) {
        body = length.parse().expect("a length");
        connection.read_exact(&mut vec![0; body]).await.expect("a whole body");
    }
    Heard { status, headers, body }
}

/// What is compared: the names of all headers, and the values that do not depend on the body's exact text.
fn shape(status: u16, headers: &[(String, String)]) -> (u16, BTreeSet<String>, Vec<Option<String>>) {
    let names = headers.iter().map(|(name, _)| name.to_ascii_lowercase());
    let names = names.filter(|name| !matches!(name.as_str(), "date" | "connection")).collect();
    let values = ["Vary", "Allow", "Content-Type", "Content-Encoding", "Transfer-Encoding"];
    (status, names, values.map(|name| header(headers, name).map(str::to_owned)).to_vec())
}

fn is_compared(recorded: &Recorded) -> bool {
    // Close to the size from which chunks are sent, the digits of the times decide.
    let plain = recorded.body_gunzipped.as_ref().or(recorded.body.as_ref()).map_or(0, String::len);
    !(8000..8400).contains(&plain)
}

#[tokio::test]
async fn answers_are_framed_as_recorded() {
    let known = known_differences();
    let folder = whole().unwrap_or_else(|| manifest("tests/data"));
    let mut compared = 0;
    for (name, text) in scenarios(&folder) {
        let builder = SmallRegistry::builder();
        let builder = if name.ends_with("-dek") { builder.dek_registry() } else { builder };
        let registry = builder.start().await.expect("there is a free port");
        let connect = async || BufReader::new(TcpStream::connect(registry.address()).await.expect("it is reachable"));
        let mut connection = connect().await;
        let unlike = known.get(&name).cloned().unwrap_or_default();
        for line in text.lines() {
            let line: Line = serde_json::from_str(line).expect("a line is JSON");
            let (Some(request), Some(recorded)) = (&line.request, &line.response) else { continue };
            if line.kind == "bad" || unlike.contains(&line.n) {
                continue;
            }
            let heard = exchange(&mut connection, request).await;
            let closes = |headers: &[(String, String)]| header(headers, "Connection") == Some("close");
            if closes(&request.headers) || closes(&heard.headers) {
                connection = connect().await;
            }
            if !is_compared(recorded) {
                continue;
            }
            let (expected, found) = (shape(recorded.status, &recorded.headers), shape(heard.status, &heard.headers));
            assert_eq!(
                found, expected,
                "{name} {}: {} {}, {} bytes",
                line.n, request.method, request.target, heard.body
            );
            compared += 1;
        }
    }
    println!("{compared} answers were compared");
    assert!(compared > 300, "only {compared} answers were compared");
}
