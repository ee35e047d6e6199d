//! Arguments, and the command that they name.

mod program;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use program::{Source, check, health, run, status};

/// A transparent forwarding sidecar for Schema Registry.
///
/// Kafka clients talk to it as if it were their registry. Reads are answered from its own durable
/// replica, writes go to the primary registry.
#[derive(Parser)]
#[command(name = "outpost", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve clients until SIGTERM; SIGHUP reads the certificates again
    Run(Source),
    /// Validate the configuration, test the ways to the registries, tell where requests go and which modes are left over
    ///
    /// The modes that are set are those of the running outpost if one answers on admin.bind, else those kept in
    /// state.directory, which is only read. A leftover is a subject whose writes go to the local registry inside a context
    /// that is forwarded; each is a warning with the request that ends it.
    ///
    /// Exit code: 0 if the configuration is valid and the primary and the local registry could be asked (with --offline
    /// they are not), leftovers or not; 1 if they could not, and with --strict on any warning; 78 if the configuration
    /// cannot be used.
    Check {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        options: check::Options,
    },
    /// Ask a running outpost whether it is well: exit code 0 if so, for images without a shell
    Health {
        #[command(flatten)]
        source: Source,
        /// What to ask: live, ready or startup
        #[arg(long, default_value = "ready", value_parser = ["live", "ready", "startup"])]
        probe: String,
    },
    /// Show how a running outpost is doing: its modes and leftovers, the primary, the replica
    ///
    /// It is asked on admin.bind for /status.
    ///
    /// Exit code: 0 if it is well; 1 if it is degraded, has an alarm or leftovers, or does not answer; 78 if the
    /// configuration cannot be used.
    Status {
        #[command(flatten)]
        source: Source,
        /// Print the status object as it came
        #[arg(long)]
        json: bool,
    },
}

impl Command {
    fn source(&self) -> &Source {
        match self {
            Self::Run(source)
            | Self::Check { source, .. }
            | Self::Health { source, .. }
            | Self::Status { source, .. } => source,
        }
    }
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let loaded = match command.source().load() {
        Ok(loaded) => loaded,
        Err(problems) => return program::unusable(&problems),
    };
    match &command {
        Command::Run(source) => run::run(&loaded, source),
        Command::Check { options, .. } => check::check(&loaded, *options),
        Command::Health { probe, .. } => health::health(&loaded.config, probe),
        Command::Status { json, .. } => status::status(&loaded.config, *json),
    }
}
