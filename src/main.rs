//! Arguments, runtime, exit code.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use schema_outpost::app::{App, upkeep};
use schema_outpost::config::{self, Config, Loaded};
use schema_outpost::telemetry::{self, Chain};
use schema_outpost::upstream::{self, Registry};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit code of a configuration that cannot be used (sysexits.h, EX_CONFIG).
const BAD_CONFIGURATION: u8 = 78;

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
    /// Validate the configuration, test the way to the primary, print what would be forwarded
    Check {
        #[command(flatten)]
        source: Source,
        /// Validate only; make no connection
        #[arg(long)]
        offline: bool,
    },
    /// Ask a running outpost whether it is well: exit code 0 if so, for images without a shell
    Health {
        #[command(flatten)]
        source: Source,
        /// What to ask: live, ready or startup
        #[arg(long, default_value = "ready", value_parser = ["live", "ready", "startup"])]
        probe: String,
    },
}

#[derive(Args)]
struct Source {
    /// Configuration file, YAML or TOML; every key can be overridden by OUTPOST_… in the environment
    #[arg(long, short, env = "OUTPOST_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (Command::Run(source) | Command::Check { source, .. } | Command::Health { source, .. }) = &arguments.command;
    let loaded = match source.load() {
        Ok(loaded) => loaded,
        Err(problems) => {
            say_error(&format!("outpost: the configuration cannot be used\n{problems}"));
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    match &arguments.command {
        Command::Run(source) => run(&loaded, source),
        Command::Check { offline, .. } => check(&loaded, *offline),
        Command::Health { probe, .. } => health(&loaded.config, probe),
    }
}

impl Source {
    fn load(&self) -> Result<Loaded, config::Problems> {
        // A variable that is no UTF-8 cannot be a setting of ours.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        // Where the file itself is named is no setting of the file.
        let settings = std::env::vars_os().filter_map(text).filter(|(name, _)| name != "OUTPOST_CONFIG");
        config::load(self.config.as_deref(), settings)
    }
}

fn run(loaded: &Loaded, source: &Source) -> ExitCode {
    if let Err(failure) = telemetry::init(&loaded.config.log) {
        say_error(&format!("outpost: {}", Chain(&failure)));
        return ExitCode::from(BAD_CONFIGURATION);
    }
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let (Ok(data), Ok(upkeep)) = (runtime("data", data_threads()), upkeep()) else {
        tracing::error!("the threads cannot be started");
        return ExitCode::FAILURE;
    };
    let code = data.block_on(serve(&loaded.config, source, upkeep.handle()));
    upkeep.shutdown_background();
    code
}

/// Two at most, and never more than processors: threads that share one only wake each other.
fn data_threads() -> usize {
    std::thread::available_parallelism().map_or(2, |processors| processors.get().min(2))
}

/// Reads and writes of clients have threads of their own: neither a large import nor a scrape slows them.
fn runtime(name: &'static str, threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    match threads {
        // A thread that shares its work with nobody need not ask whether somebody else has some.
        1 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        _ => tokio::runtime::Builder::new_multi_thread().worker_threads(threads).thread_name(name).enable_all().build(),
    }
}

async fn serve(config: &Config, source: &Source, upkeep: &tokio::runtime::Handle) -> ExitCode {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(terminate), Ok(interrupt), Ok(hangup)) = signals else {
        tracing::error!("signals cannot be listened to");
        return ExitCode::FAILURE;
    };
    let app = match App::start(config, upkeep) {
        Ok(app) => app,
        Err(failure) => {
            tracing::error!(error = %Chain(&failure), "the outpost cannot start");
            return ExitCode::FAILURE;
        }
    };
    tracing::info!(data = ?app.data_addresses(), admin = %app.admin_address(), version = env!("CARGO_PKG_VERSION"), "serving");
    wait(&app, source, [terminate, interrupt], hangup).await;
    tracing::info!("draining");
    app.stop().await;
    tracing::info!("drained");
    ExitCode::SUCCESS
}

/// Until the process is told to end. SIGHUP meanwhile looks at the configuration and the certificates again.
async fn wait(app: &App, source: &Source, [mut terminate, mut interrupt]: [Signal; 2], mut hangup: Signal) {
    loop {
        tokio::select! {
            _ = terminate.recv() => return,
            _ = interrupt.recv() => return,
            _ = hangup.recv() => match source.load() {
                Ok(_) => {
                    app.reload_certificates();
                    app.reloaded(true);
                    tracing::info!("the configuration is valid; certificates were read again, other changes count from the next start");
                }
                Err(problems) => {
                    app.reloaded(false);
                    tracing::error!(%problems, "the configuration cannot be used; the old one stays");
                }
            },
        }
    }
}

fn check(loaded: &Loaded, offline: bool) -> ExitCode {
    loaded.warnings.iter().for_each(|warning| say_error(&format!("warning: {warning}")));
    say("The configuration is valid.\n");
    say(&config::describe(&loaded.config));
    let primary = match Registry::new(&loaded.config.primary, "primary") {
        Ok(primary) => primary,
        Err(failure) => {
            say_error(&format!("outpost: {}", Chain(&failure)));
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    if offline {
        return ExitCode::SUCCESS;
    }
    let Ok(runtime) = runtime("check", 1) else { return ExitCode::FAILURE };
    let reports = runtime.block_on(primary.check());
    for report in &reports {
        say(&format!("primary {}", report.url));
        for finding in &report.findings {
            match &finding.problem {
                None => say(&format!("  ok      {}", finding.stage)),
                Some(problem) => say(&format!("  FAILED  {}: {problem}", finding.stage)),
            }
        }
    }
    say("\nWhat would be forwarded, in every context (mode FORWARD):");
    say("  reads       answered from the replica; what it does not have, the primary is asked");
    say(&format!(
        "  writes      POST, PUT and DELETE on subjects, configurations, contexts, associations and keys\n              to {}",
        primary.current_url()
    ));
    say("  mode        answered here; changes are refused");
    if reports.iter().any(upstream::Report::is_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One request to the admin port, spoken by hand: an image without a shell has no other client.
fn health(config: &Config, probe: &str) -> ExitCode {
    let Ok(runtime) = runtime("health", 1) else { return ExitCode::FAILURE };
    let address = reachable(config.admin.bind);
    let asked = runtime.block_on(async { tokio::time::timeout(PATIENCE, ask(address, probe)).await });
    match asked {
        Ok(Ok(answer)) => {
            say(answer.split("\r\n\r\n").nth(1).unwrap_or_default().trim_end());
            let is_well = answer.split(' ').nth(1) == Some("200");
            if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Ok(Err(failure)) => {
            say_error(&format!("outpost: {address} does not answer: {failure}"));
            ExitCode::FAILURE
        }
        Err(_) => {
            say_error(&format!("outpost: {address} does not answer in time"));
            ExitCode::FAILURE
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(5);

/// A port that listens on every address is asked on this machine.
fn reachable(bind: SocketAddr) -> SocketAddr {
    match bind {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, v6.port())),
        other => other,
    }
}

async fn ask(address: SocketAddr, probe: &str) -> std::io::Result<String> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let request = format!("GET /{probe} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// A closed pipe is no reason to fail.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn say_error(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
