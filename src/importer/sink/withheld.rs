//! Why something of the primary's is not written into the local registry.

use std::fmt;

use crate::protocol::subject::QualifiedSubject;

/// Longest part of a registry's message that is shown.
const LONGEST: usize = 300;

/// Why a subject, or the configuration of a scope, is no longer written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Withheld {
    /// A version has an id that cannot be imported.
    Unimportable { version: i32, id: i32 },
    /// A number is taken by a version with another id that is not ours.
    OtherId { version: i32, held: i32, wanted: i32 },
    /// A number and an id are taken by another content that is not ours.
    OtherContent { version: i32, id: i32 },
    /// The local registry shows other content than was sent.
    KeptOtherwise { version: i32 },
    /// The answer to a registration named another id or version than was sent.
    AnsweredOtherwise { version: i32, id: i32, got_id: i32, got_version: Option<i32> },
    /// Another subject of the context was given an id of the local registry's own, so this one was not tried.
    OwnIds { other: QualifiedSubject },
    /// The local registry refused.
    Refused(Refused),
    /// Not all of what the local registry holds of it can be read.
    Unreadable,
    /// The subject's name leads to another subject there.
    Aliased,
    /// There is a configuration that is not ours.
    OtherConfig,
    /// It was written, and is still not as it should be.
    Unsettled,
}

/// What a registry said when it refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: u16,
    /// The registry's own code, where there is one.
    pub(super) code: Option<i64>,
    /// Its words, or the beginning of what came instead.
    pub(super) message: String,
}

impl Refused {
    pub(super) fn of(status: u16, body: &[u8]) -> Self {
        #[derive(serde::Deserialize)]
        struct Body {
            error_code: Option<i64>,
            message: Option<String>,
        }
        let read = serde_json::from_slice::<Body>(body).ok();
        let code = read.as_ref().and_then(|body| body.error_code);
        let message = read.and_then(|body| body.message).unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
        Self { status, code, message: message.chars().take(LONGEST).collect() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "{}/{code} {}", self.status, self.message),
            None => write!(f, "{} {}", self.status, self.message),
        }
    }
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unimportable { version, id } => {
                write!(f, "version {version} has id {id}, which cannot be imported")
            }
            Self::OtherId { version, held, wanted } => {
                write!(f, "version {version} has id {held} in the local registry and {wanted} at the primary")
            }
            Self::OtherContent { version, id } => {
                write!(f, "version {version} has other content in the local registry under the same id {id}")
            }
            Self::KeptOtherwise { version } => {
                write!(f, "the local registry shows other content for version {version} than was sent")
            }
            Self::AnsweredOtherwise { version, id, got_id, got_version: Some(got) } => write!(
                f,
                "version {version} was sent with id {id}; the local registry answered with id {got_id} and version {got}"
            ),
            Self::AnsweredOtherwise { version, id, got_id, got_version: None } => write!(
                f,
                "version {version} was sent with id {id}; the local registry answered with id {got_id} and has no such version"
            ),
            Self::OwnIds { other } => {
                write!(f, "not written, because the local registry gave {other} an id of its own")
            }
            Self::Refused(refused) => write!(f, "the local registry refuses: {refused}"),
            Self::Unreadable => f.write_str("what the local registry holds of it cannot be read"),
            Self::Aliased => f.write_str("its name is an alias of another subject in the local registry"),
            Self::OtherConfig => f.write_str("the local registry has another configuration, which is not ours"),
            Self::Unsettled => f.write_str("it was written and is still not as it should be"),
        }
    }
}
