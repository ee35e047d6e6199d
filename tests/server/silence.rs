//! Clients that keep a connection and do nothing with it, one by one and in crowds.

use std::net::SocketAddr;
use std::time::Duration;

use schema_outpost::server::Limits;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::house::{PATIENCE, generous, house, tight, until_closed};

#[tokio::test]
async fn every_shape_of_a_silent_client_is_cut_at_its_limit() {
    let house = house(&tight(), None);
    let answered = "HTTP/1.1 200 OK";
    for (sent, answer_begins) in [
        ("", ""),
        ("GET /half", ""),
        ("GET /half HTTP/1.1\r\nHost: a\r\nX-Ha", ""),
        ("GET /half HTTP/1.1\r\nHost: a\r\nX: y\r\n", ""),
        ("PRI *", ""),
        ("POST /silent HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 408"),
        ("POST /silent HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe", "HTTP/1.1 408"),
        ("POST /silent HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", "HTTP/1.1 408"),
        ("GET /idle HTTP/1.1\r\nHost: a\r\n\r\n", answered),
        ("GET /next HTTP/1.1\r\nHost: a\r\n\r\nGET /half", answered),
    ] {
        let mut socket = house.connect().await;
        socket.write_all(sent.as_bytes()).await.expect("sent");
        let start = Instant::now();
        let answer = until_closed(&mut socket).await;
        assert!(answer.starts_with(answer_begins), "{sent:?} was answered {answer:?}");
        assert!(!answer_begins.is_empty() || answer.is_empty(), "{sent:?} was answered {answer:?}");
        assert!(start.elapsed() < Duration::from_secs(5), "{sent:?} was cut after {:?}", start.elapsed());
    }
    let page = house.registry.render();
    for limit in ["first_byte", "head_time", "idle"] {
        let counted =
            page.lines().any(|line| line.starts_with("outpost_server_connections_cut_total") && line.contains(limit));
        assert!(counted, "{limit} is not in {page}");
    }
    house.is_alive().await;
}

#[tokio::test]
async fn a_head_or_body_in_drips_is_cut_although_it_is_never_silent() {
    let house = house(&tight(), None);
    for sent in ["GET /x HTTP/1.1\r\nHost: a\r\nX: ", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4000\r\n\r\n"] {
        let mut socket = house.connect().await;
        socket.write_all(sent.as_bytes()).await.expect("sent");
        let mut drips = tokio::time::interval(Duration::from_millis(20));
        let dripped = timeout(PATIENCE, async {
            loop {
                drips.tick().await;
                if socket.write_all(b"x").await.is_err() {
                    return;
                }
            }
        });
        dripped.await.unwrap_or_else(|_| panic!("{sent:?} may drip for ever"));
    }
    house.is_alive().await;
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_cut() {
    let house = house(&tight(), None);
    let mut socket = house.connect().await;
    socket.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    house.requests(1).await;
    let cut = async {
        while !house.registry.render().contains("limit=\"body_idle\"") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, cut).await.expect("the limit is counted");
    assert!(until_closed(&mut socket).await.len() < 32 << 20);
}

#[tokio::test]
async fn a_full_house_keeps_new_clients_waiting_until_a_slow_one_is_cut() {
    let house = house(&Limits { connections: 2, ..tight() }, None);
    let _silent = (house.connect().await, house.connect().await);
    house.is_alive().await;
}

#[tokio::test]
async fn a_crowd_of_half_requests_does_not_keep_others_out() {
    let house = house(&Limits { head_time: PATIENCE, ..generous() }, None);
    let mut crowd = Vec::new();
    for _ in 0..300 {
        let mut socket = house.connect().await;
        socket.write_all(b"GET / HTTP/1.1\r\nX: ").await.expect("sent");
        crowd.push(socket);
    }
    let start = Instant::now();
    house.is_alive().await;
    assert!(start.elapsed() < Duration::from_secs(5));
}

/// What the test below runs in a process of its own.
#[tokio::test]
#[ignore = "serves until its standard input ends"]
async fn serve_in_a_process_of_its_own() {
    let house = house(&generous(), None);
    println!("\naddress {}", house.address);
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await.expect("the parent lives");
}

#[tokio::test]
async fn a_process_that_runs_out_of_descriptors_neither_ends_nor_spins_and_recovers() {
    let mut child = tokio::process::Command::new("sh")
        .args([
            "-c",
            "ulimit -n 64 && exec \"$0\" silence::serve_in_a_process_of_its_own --exact --ignored --nocapture",
        ])
        .arg(std::env::current_exe().expect("this test"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a shell");
    let mut lines = tokio::io::BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let address: SocketAddr = loop {
        let line = timeout(PATIENCE, lines.next_line()).await.expect("in time").expect("readable").expect("it starts");
        if let Some(address) = line.strip_prefix("address ") {
            break address.parse().expect("an address");
        }
    };
    let process = format!("/proc/{}/stat", child.id().expect("it runs"));
    let ticks = || -> u64 {
        let stat = std::fs::read_to_string(&process).expect("it runs");
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum()
    };

    let mut crowd = Vec::new();
    for _ in 0..500 {
        crowd.push(TcpStream::connect(address).await.expect("the system accepts"));
    }
    let before = ticks();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(ticks() - before < 40, "more than a fifth of a processor: {} ticks in two seconds", ticks() - before);
    drop(crowd);

    let mut socket = TcpStream::connect(address).await.expect("the system accepts");
    socket.write_all(b"GET /alive HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("sent");
    assert!(until_closed(&mut socket).await.ends_with("path=/alive"));
    child.kill().await.expect("it still runs");
}
