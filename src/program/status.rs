//! `outpost status`: how the running outpost is doing, for a person at a terminal.

use std::io::Write as _;
use std::process::ExitCode;

use schema_outpost::config::Config;
use schema_outpost::telemetry::Chain;

use super::ask::ask_status;
use super::leftovers::Door;
use super::page::{is_well, page};
use super::{runtime, say, say_error};

/// Prints the status of the running outpost.
pub fn status(config: &Config, as_json: bool) -> ExitCode {
    let Ok(runtime) = runtime() else { return ExitCode::FAILURE };
    let (body, status) = match runtime.block_on(ask_status(config.admin.bind)) {
        Ok(answer) => answer,
        Err(silence) => {
            say_error(&format!("outpost: {}", Chain(&silence)));
            return ExitCode::FAILURE;
        }
    };
    if as_json {
        let _ = std::io::stdout().write_all(&body);
    } else {
        say(page(&status, &Door::of(&config.listeners)).trim_end());
    }
    if is_well(&status) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
