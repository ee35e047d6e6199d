//! `outpost health`: an exit code for images without a shell.

use std::process::ExitCode;

use http::StatusCode;
use schema_outpost::config::Config;
use schema_outpost::telemetry::Chain;

use super::ask::ask;
use super::{runtime, say, say_error};

/// Asks whether the running outpost is well.
pub fn health(config: &Config, probe: &str) -> ExitCode {
    let Ok(runtime) = runtime() else { return ExitCode::FAILURE };
    match runtime.block_on(ask(config.admin.bind, &format!("/{probe}"))) {
        Ok(answer) => {
            say(String::from_utf8_lossy(&answer.body).trim_end());
            if answer.status == StatusCode::OK { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(silence) => {
            say_error(&format!("outpost: {}", Chain(&silence)));
            ExitCode::FAILURE
        }
    }
}
