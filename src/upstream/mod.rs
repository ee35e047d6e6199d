//! Sockets out: one other registry.
//!
//! [`Registry::send`] takes a call and brings back a complete answer or a [`Failure`] that says
//! whether the other side may have acted on it. Connections, proxies, TLS, credentials, the budget
//! of calls and the breaker are dealt with in here; what a call means is not known here.

mod base;
mod breaker;
mod budget;
mod check;
mod client;
mod connect;
mod counters;
mod credentials;
mod failure;
mod pause;
mod registry;
mod trust;

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::secret::Secret;

pub use base::without_secrets;
pub use breaker::{BreakerState, Reachability};
pub use budget::{Priority, Spent};
pub use check::{Finding, Report};
pub use client::Got;
pub use connect::{Resolver, Stage, Surroundings, Unreachable};
pub use counters::{CallLabels, Counters, Outcome};
pub use failure::{Failure, FailureKind, Sent, SetupError};
pub use registry::{Answer, Call, Registry, Voice};

/// The primary registry.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Base URLs of the primary, tried in turn; each may carry a path, as in `https://host/apis/ccompat/v7`.
    pub urls: Vec<String>,
    /// Who we are there; at most one kind.
    pub credentials: Option<Credentials>,
    /// Whom we trust there.
    pub tls: Tls,
    /// Sends credentials over http:// too. For tests.
    pub allow_plain_http: bool,
    /// Calls a second, all kinds together; writes first, then misses, then the importer.
    pub requests_per_second: u32,
    /// The shape of the primary's answers.
    pub profile: ProfileChoice,
}

impl Config {
    /// Whether there is a primary.
    pub fn is_set(&self) -> bool {
        !self.urls.is_empty()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            credentials: None,
            tls: Tls::default(),
            allow_plain_http: false,
            requests_per_second: 30,
            profile: ProfileChoice::Auto,
        }
    }
}

/// The registry that the outpost stands beside.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalConfig {
    /// Base URLs of the local registry, tried in turn; there is none where this is not set.
    pub urls: Vec<String>,
    /// Who we are there; where this is not set, it hears the clients' own credentials.
    pub credentials: Option<Credentials>,
    /// Whom we trust there.
    pub tls: Tls,
    /// Sends credentials over http:// too.
    pub allow_plain_http: bool,
    /// Calls a second, all kinds together; writes first, then reads, then the importer.
    pub requests_per_second: u32,
    /// Longest time for an answer.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Writes what is imported into it too. One outpost of those that share a local registry.
    pub writer: bool,
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            credentials: None,
            tls: Tls::default(),
            allow_plain_http: false,
            requests_per_second: 10_000,
            timeout: Duration::from_secs(25),
            writer: false,
        }
    }
}

impl LocalConfig {
    /// Whether there is a local registry.
    pub fn is_set(&self) -> bool {
        !self.urls.is_empty()
    }

    /// The way to it, as that to any other registry.
    pub fn way(&self) -> Config {
        Config {
            urls: self.urls.clone(),
            credentials: self.credentials.clone(),
            tls: self.tls.clone(),
            allow_plain_http: self.allow_plain_http,
            requests_per_second: self.requests_per_second,
            ..Config::default()
        }
    }
}

/// Credentials of the service account.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Credentials {
    /// HTTP Basic, as with a Confluent Cloud API key.
    Basic(Basic),
    /// A static bearer token.
    Bearer(Bearer),
}

/// A user name with its password.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// The user name, or the API key.
    pub username: String,
    /// The password, or the API secret.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A file that holds the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

/// A token.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bearer {
    /// The token.
    #[serde(default)]
    pub token: Option<Secret>,
    /// A file that holds the token.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

/// Trust in the primary's certificate.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
}

/// Which shape of answers the primary gives (WIRE.md § 8.4, § 12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ProfileChoice {
    /// Found out from its answers.
    #[serde(rename = "auto")]
    Auto,
    /// Confluent 7.x: no guid, no ts, AVRO not named.
    #[serde(rename = "7")]
    Confluent7,
    /// Confluent 8.x: everything, always.
    #[serde(rename = "8")]
    Confluent8,
    /// Confluent Cloud: everything for clients that send `Confluent-Accept-Unknown-Properties`, trimmed for others.
    #[serde(rename = "cloud")]
    Cloud,
}
