//! `outpost run`: the runtimes, the signals, the end.

use std::process::ExitCode;

use schema_outpost::app::{App, answering, upkeep};
use schema_outpost::config::{Config, Loaded};
use schema_outpost::telemetry::{self, Chain};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::say_error;
use super::source::{BAD_CONFIGURATION, Source};

/// Serves until the process is told to end.
pub fn run(loaded: &Loaded, source: &Source) -> ExitCode {
    if let Err(failure) = telemetry::init(&loaded.config.log) {
        say_error(&format!("outpost: {}", Chain(&failure)));
        return ExitCode::from(BAD_CONFIGURATION);
    }
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let (Ok(data), Ok(upkeep)) = (answering(), upkeep()) else {
        tracing::error!("the threads cannot be started");
        return ExitCode::FAILURE;
    };
    let code = data.block_on(serve(&loaded.config, source, upkeep.handle()));
    upkeep.shutdown_background();
    code
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
