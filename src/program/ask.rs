//! One request to the admin port of the outpost of this configuration.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(5);

/// Why nobody answered.
#[derive(Debug, thiserror::Error)]
pub enum Silence {
    /// Port 0.
    #[error("admin.bind leaves the port to the system, so nobody knows where to ask")]
    NoPort,
    /// No connection.
    #[error("{0} does not answer")]
    Away(SocketAddr, #[source] io::Error),
    /// A connection that is no help.
    #[error("{0} does not answer as an outpost does")]
    Strange(SocketAddr, #[source] hyper::Error),
    /// An answer that is no help.
    #[error("{0} answered {1}, and no status of an outpost")]
    NoStatus(SocketAddr, StatusCode),
    /// Five seconds.
    #[error("{0} does not answer in time")]
    Late(SocketAddr),
}

/// What was answered.
pub struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
}

/// Asks for a page of the admin port.
pub async fn ask(bind: SocketAddr, path: &str) -> Result<Answer, Silence> {
    let address = reachable(bind);
    if address.port() == 0 {
        return Err(Silence::NoPort);
    }
    timeout(PATIENCE, exchange(address, path)).await.unwrap_or(Err(Silence::Late(address)))
}

/// The status object, as it came and as it is understood.
pub async fn ask_status(bind: SocketAddr) -> Result<(Bytes, Value), Silence> {
    let Answer { status, body } = ask(bind, "/status").await?;
    match serde_json::from_slice(&body) {
        // Every release says which one it is, and whoever else answers here does not.
        Ok(object @ Value::Object(_)) if status == StatusCode::OK && object["version"].is_string() => {
            Ok((body, object))
        }
        _ => Err(Silence::NoStatus(reachable(bind), status)),
    }
}

async fn exchange(address: SocketAddr, path: &str) -> Result<Answer, Silence> {
    let stream = TcpStream::connect(address).await.map_err(|source| Silence::Away(address, source))?;
    let strange = |source| Silence::Strange(address, source);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(strange)?;
    let request = Request::get(path)
        .header(header::HOST, address.to_string())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .expect("BUG: an address and our own path make a request");
    let answered = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok(Answer { status: head.status, body: body.collect().await?.to_bytes() })
    };
    tokio::pin!(answered);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        answer = &mut answered => answer.map_err(strange),
        ended = &mut connection => match ended {
            // What came before the end is there to be read.
            Ok(()) => answered.await.map_err(strange),
            Err(failure) => Err(strange(failure)),
        },
    }
}

/// A port that listens on every address is asked on this machine.
pub fn reachable(bind: SocketAddr) -> SocketAddr {
    match bind {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, v6.port())),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Somebody who says one thing to everybody, and hangs up.
    async fn somebody(address: &str, says: impl Into<Vec<u8>>) -> SocketAddr {
        let listener = TcpListener::bind(address).await.expect("a port");
        let (bound, says) = (listener.local_addr().expect("bound"), says.into());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(&says).await;
            }
        });
        bound
    }

    const STATUS: &str = r#"{"version":"1"}"#;

    fn page(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    async fn said(address: SocketAddr) -> String {
        let failure = ask_status(address).await.expect_err("no status");
        schema_outpost::telemetry::Chain(&failure).to_string()
    }

    #[tokio::test]
    async fn a_port_on_every_address_is_asked_on_this_machine_in_both_families() {
        for (bind, local) in [("0.0.0.0:0", "127.0.0.1"), ("[::]:0", "[::1]"), ("127.0.0.1:0", "127.0.0.1")] {
            let bound = somebody(bind, page(STATUS)).await;
            assert_eq!(reachable(bound).to_string(), format!("{local}:{}", bound.port()));
            assert_eq!(ask_status(bound).await.expect("a status").0, STATUS, "{bind}");
        }
    }

    #[tokio::test]
    async fn a_big_answer_is_read_to_its_end() {
        let big = format!("{{\"version\":\"1\",\"digest\":\"{}\"}}", "x".repeat(20 << 20));
        assert_eq!(ask_status(somebody("127.0.0.1:0", page(&big)).await).await.expect("a status").0, big);
    }

    #[tokio::test]
    async fn who_is_no_outpost_is_told_from_nobody_in_one_line() {
        let at = |address: SocketAddr| format!("127.0.0.1:{}", address.port());
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound");
        assert!(said(free).await.starts_with(&format!("{} does not answer: Connection refused", at(free))));
        for says in ["SSH-2.0-OpenSSH_9.2\r\n", "", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{"] {
            let other = somebody("127.0.0.1:0", says).await;
            let said = said(other).await;
            assert!(said.starts_with(&format!("{} does not answer as an outpost does: ", at(other))), "{said}");
            assert!(!said.contains('\n'), "{said}");
        }
        for says in [
            page("[]"),
            page("<html>"),
            page("{\"status\":\"ok\"}"),
            "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
        ] {
            let other = somebody("127.0.0.1:0", says.clone()).await;
            assert!(said(other).await.ends_with("and no status of an outpost"), "{says}");
        }
        assert!(said(([127, 0, 0, 1], 0).into()).await.contains("admin.bind"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_not_waited_for_for_ever() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let bound = listener.local_addr().expect("bound");
        assert_eq!(said(bound).await, format!("{bound} does not answer in time"));
    }
}
