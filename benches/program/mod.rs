//! What the benches of whole processes have in common: a primary that holds much, the outpost as it ships before it,
//! and what the system says about a process.

#![allow(dead_code, reason = "each bench uses its part of it")]

pub mod http;
pub mod outpost;
pub mod primary;
pub mod process;
