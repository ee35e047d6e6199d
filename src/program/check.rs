//! `outpost check`: whether a configuration can be used, and what it would do.

use std::process::ExitCode;

use clap::Args;
use schema_outpost::config::{self, Config, Loaded};
use schema_outpost::telemetry::Chain;
use schema_outpost::upstream::{Registry, Report, without_secrets};

use super::in_force::{InForce, Source};
use super::leftovers::{Door, sentence};
use super::source::BAD_CONFIGURATION;
use super::{harmless, runtime, say, say_error};

/// How far a check goes.
#[derive(Args, Clone, Copy)]
pub struct Options {
    /// Make no connection: modes and leftovers are then those kept in the state directory
    #[arg(long)]
    offline: bool,
    /// Fail on warnings too: on leftovers, and if it cannot be found out whether there are any
    #[arg(long)]
    strict: bool,
}

/// Validates, tries the way to the primary, and tells where requests go.
pub fn check(loaded: &Loaded, options: Options) -> ExitCode {
    let config = &loaded.config;
    loaded.warnings.iter().for_each(|warning| warn(&warning.to_string()));
    say("The configuration is valid.\n");
    say(&config::describe(config));
    let primary = match Registry::new(&config.primary, "primary") {
        Ok(primary) => primary,
        Err(failure) => {
            say_error(&format!("outpost: {}", Chain(&failure)));
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    let Ok(runtime) = runtime("check", 1) else { return ExitCode::FAILURE };
    let is_reached = options.offline || {
        let reports = runtime.block_on(primary.check());
        tell("primary", &reports);
        reports.iter().any(Report::is_good)
    };
    let urls: Vec<String> = primary.urls().map(without_secrets).collect();
    let known = runtime.block_on(InForce::look_up(config, &urls, options.offline));
    say(&format!("\n{}", known.told()));
    say(&around(config, primary.current_url()));
    let is_clean =
        loaded.warnings.is_empty() && known.leftovers.is_empty() && !matches!(known.source, Source::Nobody(_));
    complain(config, &known);
    if is_reached && (is_clean || !options.strict) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(name: &str, reports: &[Report]) {
    for report in reports {
        say(&format!("{name} {}", report.url));
        for finding in &report.findings {
            match &finding.problem {
                None => say(&format!("  ok      {}", finding.stage)),
                Some(problem) => say(&format!("  FAILED  {}: {problem}", finding.stage)),
            }
        }
    }
}

/// What is the same in every scope.
fn around(config: &Config, primary: &str) -> String {
    let kept = match &config.state.directory {
        Some(directory) => format!("kept in {}", directory.display()),
        None => "forgotten with the process, since no state.directory is set".to_owned(),
    };
    format!(
        "  replica  what it does not know, the primary is asked: {primary}\n  \
         writes   POST, PUT and DELETE on subjects, configurations, contexts, associations and keys\n  \
         modes    set and cleared by PUT and DELETE on /mode, {kept}"
    )
}

fn complain(config: &Config, known: &InForce) {
    let door = Door::of(&config.listeners);
    for (scope, mode) in &known.leftovers {
        warn(&format!("leftover: {}; to end it: {}", sentence(scope, mode), door.clearing(scope)));
    }
    if let Source::Nobody(reason) = &known.source {
        warn(&format!("which modes are set, and whether there are leftovers, could not be looked up: {reason}"));
    }
}

fn warn(problem: &str) {
    say_error(&format!("warning: {}", harmless(problem)));
}
