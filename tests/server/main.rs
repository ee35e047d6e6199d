//! The server room over real sockets: what it refuses, what it cuts, what it survives, how it drains.

mod house;

mod at_hand;
mod drain;
mod heads;
mod http2;
mod silence;
mod tls;
