//! `outpost check`: whether a configuration can be used, and what it would do.

use std::process::ExitCode;

use clap::Args;
use schema_outpost::config::{self, Config, Loaded};
use schema_outpost::protocol::subject::QualifiedSubject;
use schema_outpost::telemetry::Chain;
use schema_outpost::upstream::{Registry, Report, SetupError, without_secrets};

use super::in_force::{InForce, Source};
use super::leftovers::{Door, sentence};
use super::scopes::named;
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

/// Validates, tries the ways to the other registries, and tells where requests go.
pub fn check(loaded: &Loaded, options: Options) -> ExitCode {
    let config = &loaded.config;
    say("The configuration is valid.\n");
    say(&config::describe(config));
    let registries = match registries(config) {
        Ok(registries) => registries,
        Err(failure) => {
            say_error(&format!("outpost: {}", Chain(&failure)));
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    let Ok(runtime) = runtime() else { return ExitCode::FAILURE };
    let mut is_reached = true;
    for registry in registries.iter().filter(|_| !options.offline) {
        let reports = runtime.block_on(registry.check());
        tell(registry.name(), &reports);
        is_reached &= reports.iter().any(Report::is_good);
    }
    let primary = registries.iter().filter(|registry| registry.name() == PRIMARY);
    let urls: Vec<String> = primary.flat_map(Registry::urls).map(without_secrets).collect();
    let known = runtime.block_on(InForce::look_up(config, &urls, options.offline));
    say(&format!("\n{}", known.told()));
    say(&around(config, &registries));
    let warnings = warnings(loaded, &known);
    warnings.iter().for_each(|warning| say_error(&format!("warning: {}", harmless(warning))));
    let is_good = is_reached && (warnings.is_empty() || !options.strict);
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

const PRIMARY: &str = "primary";
const LOCAL: &str = "local";

/// The other registries that the configuration names.
fn registries(config: &Config) -> Result<Vec<Registry>, SetupError> {
    let primary = config.primary.is_set().then(|| Registry::new(&config.primary, PRIMARY));
    let local = config.local.is_set().then(|| Registry::new(&config.local.way(), LOCAL));
    primary.into_iter().chain(local).collect()
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
fn around(config: &Config, registries: &[Registry]) -> String {
    let meaning = |registry: &Registry| match registry.name() {
        PRIMARY => "asked too for what the replica does not know",
        _ => "the local registry",
    };
    let registry =
        |registry: &Registry| format!("  {:7}  {}, {}\n", registry.name(), registry.current_url(), meaning(registry));
    let kept = match &config.state.directory {
        Some(directory) => format!("kept in {}", directory.display()),
        None => "forgotten with the process, since no state.directory is set".to_owned(),
    };
    format!(
        "{}  writes   POST, PUT and DELETE on subjects, configurations, contexts, associations and keys\n  \
         modes    set and cleared by PUT and DELETE on /mode, {kept}",
        registries.iter().map(registry).collect::<String>()
    )
}

/// What is odd, but no reason not to start.
fn warnings(loaded: &Loaded, known: &InForce) -> Vec<String> {
    let mut warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let door = Door::of(&loaded.config.listeners);
    let leftover = |(scope, mode): &(QualifiedSubject, String)| {
        format!("leftover: {}; to end it: {}", sentence(scope, mode), door.clearing(scope))
    };
    warnings.extend(known.leftovers.iter().map(leftover));
    let homeless = |(scope, mode, key)| {
        format!("{} is set to {mode}, which needs {key}; to end it: {}", named(scope), door.clearing(scope))
    };
    warnings.extend(known.homeless(&loaded.config).map(homeless));
    if let Source::Nobody(reason) = &known.source {
        warnings
            .push(format!("which modes are set, and whether there are leftovers, could not be looked up: {reason}"));
    }
    warnings
}
