//! Answers at hand, which are sent before hyper knows of their requests.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::house::{House, PATIENCE, generous, house, tight, until, until_closed};
use crate::tls::authority;

/// Requests for large and small answers, all of them at hand but for one in so many; each has a letter of its own.
fn mixed(odd: usize) -> (String, Vec<(char, usize)>) {
    let sizes = [1, 300_000, 4096, 4097, 5, 700_000, 8192, 12];
    let wanted: Vec<(char, usize)> = ('a'..='z').zip(sizes.into_iter().cycle()).collect();
    let requests = wanted.iter().enumerate().map(|(number, (letter, size))| {
        let odd = if number % odd == odd - 1 { "Connection: x\r\n" } else { "" };
        format!("GET /at-hand/{letter}/{size} HTTP/1.1\r\nHost: a\r\n{odd}\r\n")
    });
    (requests.collect(), wanted)
}

async fn hears_all(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, odd: usize) {
    let (requests, wanted) = mixed(odd);
    let (mut reading, mut writing) = tokio::io::split(stream);
    let sent = tokio::spawn(async move {
        // In pieces that end anywhere, and more than once, so that some arrive while others are answered.
        for _ in 0..3 {
            for piece in requests.as_bytes().chunks(701) {
                writing.write_all(piece).await.expect("sent");
                tokio::task::yield_now().await;
            }
        }
        writing.shutdown().await.expect("shut");
    });
    let mut answers = Vec::new();
    timeout(PATIENCE, reading.read_to_end(&mut answers)).await.expect("in time").expect("in good order");
    sent.await.expect("without a panic");
    let mut rest = &answers[..];
    for (letter, size) in wanted.repeat(3) {
        let end = rest.windows(4).position(|part| part == b"\r\n\r\n").expect("a head") + 4;
        let (head, body) = rest.split_at(end);
        let head = String::from_utf8_lossy(head);
        assert!(
            head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains(&format!("content-length: {size}\r\n")),
            "{head}"
        );
        let (body, next) = body.split_at(size);
        assert!(body.iter().all(|byte| char::from(*byte) == letter), "the answer {letter} of {size} is another");
        rest = next;
    }
    assert_eq!(rest, b"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_and_small_answers_arrive_whole_and_in_their_order_in_clear_and_encrypted() {
    let authority = authority();
    authority.renew();
    let clear = house(&generous(), None);
    let encrypted = house(&generous(), Some(authority.files()));
    let client = authority.client(&[b"http/1.1"], false);
    for odd in [5, 8, usize::MAX].repeat(3) {
        hears_all(clear.connect().await, odd).await;
        hears_all(encrypted.connect_tls(&client).await, odd).await;
    }
}

async fn is_cut(house: &House, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    stream.write_all(b"GET /at-hand/x/33554432 HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    let cut = async {
        while !house.registry.render().contains("limit=\"body_idle\"") {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, cut).await.expect("the limit is counted");
    assert!(until_closed(&mut stream).await.len() < 32 << 20);
}

#[tokio::test]
async fn an_answer_at_hand_that_nobody_reads_is_cut_in_clear_and_encrypted() {
    let clear = house(&tight(), None);
    is_cut(&clear, clear.connect().await).await;
    let authority = authority();
    authority.renew();
    let encrypted = house(&tight(), Some(authority.files()));
    is_cut(&encrypted, encrypted.connect_tls(&authority.client(&[b"http/1.1"], false)).await).await;
}

#[tokio::test]
async fn the_last_answer_before_a_drain_closes_says_so_although_it_was_at_hand() {
    let house = house(&generous(), None);
    let mut idle = house.connect().await;
    idle.write_all(b"GET /at-hand/x/1 HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    assert!(!until(&mut idle, "\r\n\r\nx").await.contains("connection"));
    house.drain.cancel();
    idle.write_all(b"GET /at-hand/y/1 HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    let answer = until_closed(&mut idle).await;
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("\r\n\r\ny"), "{answer}");
}
