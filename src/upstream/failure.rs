//! Calls without an answer, and settings from which no call can be made.

use std::path::Path;
use std::time::Duration;

use super::budget::Spent;
use crate::secret::Unreadable;
use crate::telemetry::Chain;

/// A call that brought no answer.
///
/// What it prints names neither hosts nor secrets; the chain of its sources may name hosts and is for the log.
#[derive(Debug, thiserror::Error)]
#[error("{}", .kind.words())]
pub struct Failure {
    /// What happened.
    pub kind: FailureKind,
    /// Whether the other registry may have acted on it.
    pub sent: Sent,
    /// When it may be worth to try again, if that is known.
    pub retry_after: Option<Duration>,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What happened to a call without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Not tried: there is no such registry.
    Nowhere,
    /// Not tried: the breaker is open.
    Refused,
    /// Not tried: the budget of calls is spent until after the deadline.
    Spent,
    /// Not tried: the path cannot be sent.
    Malformed,
    /// No connection.
    Connect,
    /// A connection, but not to a peer that we trust.
    Tls,
    /// No answer within the deadline.
    TimedOut,
    /// The connection broke, or what came is not HTTP, or not all of an answer.
    Broken,
    /// The answer is larger than we take.
    TooLarge,
    /// The other registry does not accept our credentials.
    Unauthorized,
    /// The other registry points elsewhere, where we do not follow.
    Redirected,
    /// The answer was complete, but its content is not what was asked for.
    Unreadable,
}

/// Whether the other registry may have acted on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sent {
    /// Certainly not.
    No,
    /// Nobody knows.
    Maybe,
}

impl FailureKind {
    fn words(self) -> &'static str {
        match self {
            Self::Nowhere => "there is no such registry",
            Self::Refused => "the registry did not answer before and is not asked again yet",
            Self::Spent => "the budget of calls to the registry is spent",
            Self::Malformed => "the request cannot be sent to the registry",
            Self::Connect => "the registry cannot be connected to",
            Self::Tls => "no trusted connection to the registry",
            Self::TimedOut => "the registry did not answer in time",
            Self::Broken => "the registry's answer broke off or is not HTTP",
            Self::TooLarge => "the registry's answer is too large",
            Self::Unauthorized => "the registry does not accept our credentials",
            Self::Redirected => "the registry redirects, which is not followed",
            Self::Unreadable => "the registry's answer is not what was asked for",
        }
    }
}

impl Failure {
    /// The same failure for another who waited for the same call; its causes have been told to the first.
    pub fn for_another(&self) -> Self {
        Self { kind: self.kind, sent: self.sent, retry_after: self.retry_after, source: None }
    }

    /// What happened with all its reasons, for the log and for no client: it may name hosts.
    pub fn chain(&self) -> String {
        Chain(self).to_string()
    }

    /// One without a cause beyond its kind.
    pub fn new(kind: FailureKind, sent: Sent) -> Self {
        Self { kind, sent, retry_after: None, source: None }
    }

    pub(super) fn from_source(
        kind: FailureKind,
        sent: Sent,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, sent, retry_after: None, source: Some(source.into()) }
    }

    pub(super) fn refused(retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(FailureKind::Refused, Sent::No) }
    }
}

impl From<Spent> for Failure {
    fn from(spent: Spent) -> Self {
        Self { retry_after: Some(spent.retry_after), ..Self::from_source(FailureKind::Spent, Sent::No, spent) }
    }
}

/// Settings from which no registry can be called.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// There is no URL.
    #[error("urls is empty; name at least one base URL")]
    NoUrl,
    /// A URL is of no use. It is shown without anything that may be a secret.
    #[error("the URL {url} {what}")]
    Url {
        /// The URL, without user and password.
        url: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Credentials would travel in the clear.
    #[error("credentials would go over plain http to {url}; use https, or set allow_plain_http for a test")]
    PlainHttp {
        /// The URL.
        url: String,
    },
    /// Credentials are set incompletely or twice.
    #[error("credentials: {what}")]
    Credentials {
        /// What is wrong.
        what: &'static str,
    },
    /// A file with a secret cannot be used.
    #[error("the credentials cannot be read")]
    Secret(#[from] Unreadable),
    /// The authorities to trust cannot be read.
    #[error("cannot read the authorities in {path}")]
    Authorities {
        /// The PEM file.
        path: Box<Path>,
        /// What is wrong with it.
        source: rustls::pki_types::pem::Error,
    },
    /// There is nobody to trust.
    #[error("there is no certificate authority to trust in {place}")]
    NoAuthority {
        /// Where they were looked for.
        place: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The proxy of the environment is of a kind that we do not speak.
    #[error("the proxy from the environment is not an http or https one")]
    Proxy,
    /// The budget allows no call at all.
    #[error("requests_per_second must be at least 1")]
    NoBudget,
}
