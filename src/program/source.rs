//! Where the settings come from.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use schema_outpost::config::{self, Loaded};

use super::say_error;

/// The exit code of a configuration that cannot be used (sysexits.h, EX_CONFIG).
pub const BAD_CONFIGURATION: u8 = 78;

/// The file, over which the environment counts.
#[derive(Args)]
pub struct Source {
    /// Configuration file, YAML or TOML; every key can be overridden by OUTPOST_… in the environment
    #[arg(long, short, env = "OUTPOST_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Source {
    /// Reads it all.
    pub fn load(&self) -> Result<Loaded, config::Problems> {
        // A variable that is no UTF-8 cannot be a setting of ours.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        // Where the file itself is named is no setting of the file.
        let settings = std::env::vars_os().filter_map(text).filter(|(name, _)| name != "OUTPOST_CONFIG");
        config::load(self.config.as_deref(), settings)
    }
}

/// Says why, and gives the exit code.
pub fn unusable(problems: &config::Problems) -> ExitCode {
    say_error(&format!("outpost: the configuration cannot be used\n{problems}"));
    ExitCode::from(BAD_CONFIGURATION)
}
