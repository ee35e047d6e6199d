//! How serving ends.

use schema_outpost::server::Limits;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::house::{PATIENCE, generous, house, tight, until, until_closed};

#[tokio::test]
async fn a_drain_closes_what_is_idle_and_finishes_what_is_under_way() {
    let mut house = house(&Limits { drain: PATIENCE, ..generous() }, None);
    let mut idle = house.connect().await;
    idle.write_all(b"GET /idle HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    until(&mut idle, "path=/idle").await;
    let mut fresh = house.connect().await;
    let mut busy = house.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    house.requests(2).await;

    house.drain.cancel();
    assert_eq!(until_closed(&mut idle).await, "");
    assert_eq!(until_closed(&mut fresh).await, "");
    assert!(TcpStream::connect(house.address).await.is_err(), "nothing listens any more");
    assert!(!house.served.is_finished(), "a request is under way");
    house.echo.release.notify_one();
    let answer = until_closed(&mut busy).await;
    assert!(answer.to_ascii_lowercase().contains("connection: close") && answer.ends_with("slow"), "{answer}");
    timeout(PATIENCE, &mut house.served).await.expect("it ends").expect("without a panic");
}

#[tokio::test]
async fn requests_on_their_way_when_a_drain_begins_are_still_answered() {
    let house = house(&generous(), None);
    let mut idle = house.connect().await;
    idle.write_all(b"GET /idle HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    until(&mut idle, "path=/idle").await;
    // From here on the server's tasks do not run until the next await.
    let mut queued = std::net::TcpStream::connect(house.address).expect("the system accepts");
    std::io::Write::write_all(&mut queued, b"GET /queued HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    house.drain.cancel();
    idle.write_all(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    queued.set_nonblocking(true).expect("set");
    let mut queued = TcpStream::from_std(queued).expect("a socket");
    for (socket, path) in [(&mut idle, "path=/late"), (&mut queued, "path=/queued")] {
        let answer = until_closed(socket).await;
        assert!(answer.to_ascii_lowercase().contains("connection: close") && answer.ends_with(path), "{answer}");
    }
}

#[tokio::test]
async fn a_drain_ends_at_its_limit_whatever_is_under_way() {
    let mut house = house(&tight(), None);
    let mut busy = house.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    house.requests(1).await;
    house.drain.cancel();
    assert_eq!(until_closed(&mut busy).await, "");
    timeout(PATIENCE, &mut house.served).await.expect("it ends").expect("without a panic");
}
