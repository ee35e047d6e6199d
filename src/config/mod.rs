//! The sum of the rooms' settings: defaults, over them one file, over that the environment.

mod checks;
mod describe;
mod document;
mod environment;
mod places;
mod reader;

use std::fmt;
use std::path::Path;

use figment::providers::Serialized;
use figment::value::Value;
use figment::{Figment, Profile, Provider as _};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};

pub use describe::{Setting, describe, settings};
pub use environment::environment;

use crate::protocol::mode;
use crate::routing::{Home, ModeTable};
use crate::{admin, importer, routing, server, store, telemetry, upstream};
use document::Document;
use environment::Variables;
use places::Places;

const SHADOWED: &str = "set as a whole, and again in parts by other variables; one of the two has to go";

/// Everything that can be set.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where clients connect to.
    pub listeners: Vec<server::ListenerConfig>,
    /// Where operators look.
    pub admin: admin::Config,
    /// The registry that owns the schemas.
    pub primary: upstream::Config,
    /// The registry that we stand beside.
    pub local: upstream::LocalConfig,
    /// Under which names the primary knows our contexts; as we do when empty.
    pub contexts: Vec<routing::Pair>,
    /// Mode for scopes where nothing is set; `FORWARD` where there is a primary, else `READWRITE`.
    pub mode: Option<Mode>,
    /// How the replica is kept current.
    pub importer: importer::Config,
    /// What outlives the process.
    pub state: store::Config,
    /// How much clients may take.
    pub limits: server::Limits,
    /// How the log looks.
    pub log: telemetry::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listeners: vec![server::ListenerConfig::default()],
            admin: admin::Config::default(),
            primary: upstream::Config::default(),
            local: upstream::LocalConfig::default(),
            contexts: Vec::new(),
            mode: None,
            importer: importer::Config::default(),
            state: store::Config::default(),
            limits: server::Limits::default(),
            log: telemetry::Config::default(),
        }
    }
}

impl Config {
    /// Whether there is a registry for what lives there.
    pub fn has(&self, home: Home) -> bool {
        match home {
            Home::Primary => self.primary.is_set(),
            Home::Local => self.local.is_set(),
        }
    }

    /// The table of modes before any is set.
    pub fn modes(&self) -> ModeTable {
        let (mode, home) = match self.primary.is_set() {
            true => (mode::Mode::Forward, Home::Primary),
            false => (mode::Mode::ReadWrite, Home::Local),
        };
        ModeTable::of(self.mode.map_or(mode, Into::into), home)
    }
}

/// The modes that a whole registry can be started in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    /// Reads are answered from the replica, writes go to the primary.
    Forward,
    /// Everything goes to the local registry.
    ReadWrite,
    /// Reads are answered from the replica, or by the local registry where there is no primary; writes are refused.
    ReadOnly,
    /// Everything goes to the local registry, which takes explicit ids and versions.
    Import,
}

impl From<Mode> for mode::Mode {
    fn from(configured: Mode) -> Self {
        match configured {
            Mode::Forward => Self::Forward,
            Mode::ReadWrite => Self::ReadWrite,
            Mode::ReadOnly => Self::ReadOnly,
            Mode::Import => Self::Import,
        }
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "FORWARD" => Ok(Self::Forward),
            "READWRITE" => Ok(Self::ReadWrite),
            "READONLY" | "READONLY_OVERRIDE" => Ok(Self::ReadOnly),
            "IMPORT" => Ok(Self::Import),
            _ => Err(D::Error::custom("expected FORWARD, READWRITE, READONLY or IMPORT")),
        }
    }
}

/// A configuration that can be started with.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// What is odd about them, but no reason not to start.
    pub warnings: Vec<Problem>,
}

/// Something wrong with one setting. Never holds a value, since that might be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// File and line, or variable; empty for what was set nowhere.
    place: String,
    key: String,
    message: String,
}

impl Problem {
    fn new(place: impl Into<String>, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), key: key.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.place, &self.key] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a configuration, in the order in which it was found.
#[derive(Debug, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// Reads the file, if there is one, lays the environment over it, and checks the whole.
pub fn load(path: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Result<Loaded, Problems> {
    let document = path.map_or_else(|| Ok(Document::default()), Document::read);
    let document = document.map_err(|problem| Problems(vec![problem]))?;
    let file = Figment::from(Serialized::from(&document.settings, Profile::Default));
    let variables = Variables::collect(environment, &document.settings);
    let places = Places { lines: document.lines, file: document.name, variables: variables.names.clone() };
    let shadowed = variables.shadowed().map(|key| Problem::new(places.of(key), key, SHADOWED)).collect();
    let mut read = reader::read(settings_of(&file.merge(variables)), &places, shadowed);
    checks::run(&read.config, &places, &mut read.problems, &mut read.warnings);
    if read.problems.is_empty() {
        Ok(Loaded { config: read.config, warnings: read.warnings })
    } else {
        read.problems.sort_by_key(|problem| places.line(&problem.key));
        Err(Problems(read.problems))
    }
}

fn settings_of(figment: &Figment) -> Value {
    let layers = figment.data().expect("BUG: both layers are values already, nothing is left to be parsed");
    Value::from(layers.into_values().next().unwrap_or_default())
}
