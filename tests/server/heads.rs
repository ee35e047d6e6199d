//! Heads that no server may act on, and bodies that are not what they seem.

use bytesize::ByteSize;
use schema_outpost::server::Limits;
use tokio::io::AsyncWriteExt;

use crate::house::{generous, house, status, until, until_closed};

#[tokio::test]
async fn a_head_that_no_server_may_act_on_is_refused() {
    let house = house(&generous(), None);
    let ask = |head: &str| format!("{head}\r\nConnection: close\r\n\r\n");
    for (head, expected) in [
        ("GET /x HTTP/1.1", &[400][..]),
        ("GET /x HTTP/1.1\r\nHost: a\r\nHost: a", &[400]),
        ("GET /x HTTP/1.1\r\nHost: a\r\nHost: b", &[400]),
        ("GET /x HTTP/1.1\r\nHost: a,b", &[400]),
        ("GET ftp://evil/x HTTP/1.1\r\nHost: a", &[400]),
        ("GET evil:80 HTTP/1.1\r\nHost: a", &[400]),
        ("GET subjects HTTP/1.1\r\nHost: a", &[400]),
        ("GET * HTTP/1.1\r\nHost: a", &[400]),
        ("TRACE /x HTTP/1.1\r\nHost: a", &[405]),
        ("get /x HTTP/1.1\r\nHost: a", &[405]),
        ("PROPFIND /x HTTP/1.1\r\nHost: a", &[405]),
        ("POSTX /x HTTP/1.1\r\nHost: a", &[405]),
        ("GET /x HTTP/2.0\r\nHost: a", &[400, 505]),
        ("GET /x\r\nHost: a", &[400]),
        ("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked", &[400, 501]),
        ("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked", &[400, 501]),
        ("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked", &[400, 501]),
        ("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2", &[400]),
        ("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: +1", &[400]),
        ("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: -1", &[400]),
        ("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length:", &[400]),
        ("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1", &[400]),
        ("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 200-ok", &[417]),
        ("GET /x HTTP/1.1\r\nHost: a\r\nX: a\0b", &[400]),
        ("GET /x HTTP/1.1\r\nHost: a\r\nX: a\rb", &[400]),
        ("GET /x HTTP/1.1\r\nHost: a\r\nX: a\r\n folded", &[400]),
        ("GET /x HTTP/1.1\r\nHost: a\r\nno colon", &[400]),
        ("GET /x HTTP/1.1\r\nHost: a\r\n: nameless", &[400]),
        ("GET /x HTTP/1.1\r\nHost: a\r\nn\u{e4}me: x", &[400]),
        (" GET /x HTTP/1.1\r\nHost: a", &[400]),
        ("GET /x HTTP/1.1\r\n Host: a", &[400]),
    ] {
        let answer = house.exchange(ask(head)).await;
        let found = status(&answer).unwrap_or_default();
        assert!(expected.contains(&found), "{head:?} was answered {answer:?}");
    }
    house.is_alive().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let house = house(&generous(), None);
    let lines = |count: usize| (0..count).map(|n| format!("X-{n}: x\r\n")).collect::<String>();
    for (head, expected) in [
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "u".repeat(64 << 10)), &[414, 431][..]),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(100 << 10)), &[431]),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(32 << 10)), &[431]),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", lines(100)), &[431]),
        (format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(64 << 10)), &[400, 431]),
    ] {
        let answer = house.exchange(&head).await;
        let found = status(&answer).unwrap_or_default();
        assert!(expected.contains(&found), "{:?}… was answered {answer:?}", &head[..20]);
    }
    let largest = format!("GET /fits HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{}\r\n", lines(98));
    assert_eq!(status(&house.exchange(largest).await), Some(200));
    house.is_alive().await;
}

#[tokio::test]
async fn the_limit_of_a_head_is_held_to_the_byte() {
    let house = house(&Limits { head: ByteSize::kib(8), ..generous() }, None);
    let head = |length: usize| {
        let begin = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: ";
        format!("{begin}{}\r\n\r\n", "x".repeat(length - begin.len() - 4))
    };
    assert_eq!(status(&house.exchange(head(8 << 10)).await), Some(200));
    assert_eq!(status(&house.exchange(head((8 << 10) + 1)).await), Some(431));
}

#[tokio::test]
async fn lines_that_end_without_a_carriage_return_are_one_request_or_none() {
    let house = house(&generous(), None);
    let answer = house.exchange("GET /x HTTP/1.1\nHost: a\nConnection: close\n\n").await;
    assert!(status(&answer) == Some(400) || answer.ends_with("path=/x"), "{answer}");
    assert!(house.seen().len() <= 1, "{:?}", house.seen());
}

#[tokio::test]
async fn a_broken_chunk_ends_the_body_as_broken_and_the_connection_with_it() {
    let house = house(&generous(), None);
    let extension = format!("1;{}\r\nx\r\n", "e".repeat(17 << 10));
    let trailers = format!("0\r\n{}\r\n", "T: t\r\n".repeat(2000));
    for chunks in [
        "0x1\r\nx\r\n",
        "-1\r\nx\r\n",
        "0_2e\r\n",
        "ffffffffffffffff1\r\n",
        "1\nx\n0\n\n",
        "2\r\nx\r\n0\r\n\r\n",
        &extension,
        &trailers,
    ] {
        let request = format!("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let answer = house.exchange(format!("{request}GET /inner HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let chunks = &chunks[..chunks.len().min(20)];
        assert!(matches!(status(&answer), None | Some(400 | 408)), "{chunks:?} was answered {answer:?}");
        assert!(!house.seen().iter().any(|seen| seen.contains("inner")), "{chunks:?} let the next request in");
    }
    house.is_alive().await;
}

#[tokio::test]
async fn the_host_of_an_absolute_target_is_not_gone_to() {
    let house = house(&generous(), None);
    let answer =
        house.exchange("GET http://evil.example/subjects HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.ends_with("path=/subjects"), "{answer}");
}

#[tokio::test]
async fn connect_opens_no_tunnel_and_what_follows_it_is_not_executed() {
    let house = house(&generous(), None);
    let answer = house
        .exchange("CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\nGET /inner HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    assert_eq!(status(&answer), Some(405), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    assert_eq!(house.seen(), ["CONNECT evil:443"]);
}

#[tokio::test]
async fn a_length_beside_a_transfer_coding_counts_for_nothing() {
    let house = house(&generous(), None);
    for fields in ["Content-Length: 3\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 3"]
    {
        let answer = house
            .exchange(format!(
                "POST /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /inner HTTP/1.1\r\nHost: a\r\n\r\n"
            ))
            .await;
        assert!(answer.contains("\r\n\r\nhello"), "{answer}");
    }
    assert!(!house.seen().iter().any(|seen| seen.contains("inner")), "{:?}", house.seen());
}

#[tokio::test]
async fn a_request_inside_the_body_of_another_is_never_executed() {
    let house = house(&generous(), None);
    let inner = "GET /inner HTTP/1.1\r\nHost: a\r\n\r\n";
    let outer = format!("GET /outer HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}", inner.len());
    let answer = house.exchange(format!("{outer}GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
    assert!(answer.contains("path=/outer"), "{answer}");
    assert!(!house.seen().iter().any(|seen| seen.contains("inner")), "{:?}", house.seen());
    if house.seen().len() == 2 {
        assert!(answer.ends_with("path=/next"), "{answer}");
    }
}

#[tokio::test]
async fn an_expectation_is_met_only_when_the_body_is_wanted() {
    let house = house(&generous(), None);
    let head = |path: &str, length: usize| {
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n")
    };
    let mut socket = house.connect().await;
    socket.write_all(head("/x", 5).as_bytes()).await.expect("sent");
    assert_eq!(until(&mut socket, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(b"hello").await.expect("sent");
    assert!(until(&mut socket, "hello").await.starts_with("HTTP/1.1 200 OK\r\n"));

    assert_eq!(status(&house.exchange(head("/x", 5000)).await), Some(413));
    assert_eq!(status(&house.exchange(head("/denied", 5)).await), Some(401));
}

#[tokio::test]
async fn the_refusal_of_a_large_body_arrives_although_the_client_is_still_sending() {
    let house = house(&generous(), None);
    for framing in
        ["Content-Length: 400000\r\n\r\n".to_owned(), "Transfer-Encoding: chunked\r\n\r\n61a80\r\n".to_owned()]
    {
        let head = format!("POST /x HTTP/1.1\r\nHost: a\r\n{framing}");
        let answer = house.exchange([head.as_bytes(), &[b'x'; 400_000]].concat()).await;
        assert_eq!(status(&answer), Some(413), "{answer}");
    }
    house.is_alive().await;
}

#[tokio::test]
async fn a_client_that_closed_its_side_still_hears_the_answer() {
    let house = house(&generous(), None);
    let mut socket = house.connect().await;
    socket.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    socket.shutdown().await.expect("half closed");
    house.requests(1).await;
    house.echo.release.notify_one();
    assert!(until_closed(&mut socket).await.ends_with("slow"));
}
