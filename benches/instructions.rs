//! Serves an exact number of cached reads, for a tool that counts what a process does (`benches/instructions.sh`).
//!
//! The client is a process of its own, so that it is not counted: `instructions outpost|bare REQUESTS curt|java`.

mod house;

use std::net::SocketAddr;
use std::process::Command;

use bytes::Bytes;
use house::client::{Manner, body, connect, exchange};
use house::outpost::Outpost;
use house::ring::{Ring, open};

const CONNECTIONS: usize = 32;
const SCHEMAS: usize = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["drive", address, count, manner] => {
            let address: SocketAddr = address.parse().expect("an address");
            drive(address, count.parse().expect("a number"), Manner::named(manner).expect("a manner"));
        }
        [server, count, manner] => {
            let outpost = (server == "outpost").then(|| Outpost::start(SCHEMAS, None));
            let address = match &outpost {
                Some(outpost) => outpost.address,
                None => house::bare::serve(Bytes::from(vec![b'x'; 1200])).0,
            };
            let client = std::env::current_exe().expect("a path");
            let status = Command::new(client).args(["drive", &address.to_string(), count, manner]).status();
            assert!(status.expect("the client runs").success());
            // Nobody is left to be served.
            std::process::exit(0);
        }
        _ => println!("instructions outpost|bare REQUESTS curt|java"),
    }
}

fn drive(address: SocketAddr, count: usize, manner: Manner) {
    let requests: Vec<Vec<u8>> =
        (1..=SCHEMAS).map(|id| manner.get(&format!("/schemas/ids/{}", 10 + id % 50))).collect();
    let body = body(&exchange(&mut connect(address), &requests[0]));
    let connections = (0..CONNECTIONS).map(|_| open(address, None)).collect();
    Ring::new(connections, requests, body).ask(count);
}
