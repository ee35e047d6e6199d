//! What an outpost does, seen from outside: over real sockets, with a registry behind it.
//!
//! One binary, a file a behaviour; a test is named by the sentence that it holds the outpost to.

mod aliases;
mod alike;
mod attack;
mod beside;
mod both;
mod bound;
mod consistency;
mod contexts;
mod corners;
mod crash;
mod equality;
mod exchanges;
mod faults;
mod fresh;
mod grounds;
mod house;
mod linear;
mod lists;
mod local;
mod mapped_paths;
mod memo;
mod modes;
mod negotiated;
mod offline;
mod parameters;
mod peers;
mod process;
mod program;
mod promises;
mod recognised;
mod record;
mod round_trip;
mod sequences;
mod shapes;
mod sink;
mod sites;
mod stand_in;
mod strangers;
mod sweep;
mod told;
mod transcripts;
mod unlike;
mod wire;
mod writes;
