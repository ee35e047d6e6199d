//! The commands of the program, a file each, and what they say things with.

pub mod check;
pub mod health;
pub mod run;
pub mod status;

mod ask;
mod in_force;
mod leftovers;
mod page;
mod scopes;
mod source;

use std::io::Write as _;

pub use source::{Source, unusable};

/// For commands that ask and wait.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// A closed pipe is no reason to fail.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn say_error(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Text of somebody else's on a terminal, which must not hear commands in it.
fn harmless(text: &str) -> String {
    let spelt = |character: char| match character {
        '\n' | '\t' => " ".to_owned(),
        _ if character.is_control() => character.escape_default().to_string(),
        _ => character.to_string(),
    };
    text.chars().map(spelt).collect()
}
