//! The calls that change the local registry, a function a change. No other file makes any.
//!
//! Each may be made twice with the effect of one: the numbers and ids of versions are sent along, and what is gone
//! already counts as deleted. The local registry's other callers go first, for these count as the importer's.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::withheld::Refused;
use crate::importer::listing::ListingError;
use crate::importer::poll::{Poll, PollError, segment};
use crate::protocol::json::{Object, push_string};
use crate::protocol::media;
use crate::protocol::mode::Mode;
use crate::protocol::schema::{SchemaType, Version};
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::upstream::{Answer, Call, Failure, FailureKind, Priority, Registry};

const PATIENCE: Duration = Duration::from_secs(30);
/// Whoever has been sent away so often is not wanted.
const MOST_REPEATS: u32 = 50;

/// Why a call did not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// The local registry refused this one thing, while it may well do others.
    #[error("{what} is refused: {refused}")]
    Refused {
        /// What was asked.
        what: String,
        /// What it said.
        refused: Refused,
    },
    /// It answered that something is wrong with it.
    #[error("{what} was answered with {refused}")]
    Stumbled {
        /// What was asked.
        what: String,
        /// What it said.
        refused: Refused,
    },
    /// There was no answer.
    #[error("{what} was not answered")]
    Unanswered {
        /// What was asked.
        what: String,
        /// What happened.
        #[source]
        failure: Failure,
    },
    /// The answer cannot be understood.
    #[error("the answer to {what} is not what was asked for")]
    Unreadable {
        /// What was asked.
        what: String,
        /// What is wrong with it.
        #[source]
        cause: serde_json::Error,
    },
    /// A question was not answered.
    #[error(transparent)]
    Poll(#[from] PollError),
    /// What the local registry lists could not be read.
    #[error("the listing of the local registry could not be read")]
    Listing(#[from] ListingError),
}

/// The answer to a registration.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Registered {
    pub(super) id: i32,
    /// Absent where only ids are told.
    pub(super) version: Option<i32>,
}

#[derive(Deserialize)]
struct ModeAnswer {
    mode: Option<String>,
}

/// Questions and changes for one purpose, counted.
pub(super) struct Wire {
    pub(super) poll: Poll,
    pub(super) registry: Arc<Registry>,
}

impl Wire {
    /// Writes a version under its own number and id.
    pub(super) async fn register(
        &self,
        subject: &QualifiedSubject,
        version: &Version,
    ) -> Result<Registered, WireError> {
        let path = format!("/subjects/{}/versions", segment(&subject.to_string()));
        let answer = self.change(Method::POST, path.clone(), registration(version)).await?;
        serde_json::from_slice(&answer.body).map_err(|cause| WireError::Unreadable { what: path, cause })
    }

    /// Deletes a version; one that is deleted already counts as such.
    pub(super) async fn delete(
        &self,
        subject: &QualifiedSubject,
        version: i32,
        permanent: bool,
    ) -> Result<(), WireError> {
        let query = if permanent { "?permanent=true" } else { "" };
        let path = format!("/subjects/{}/versions/{version}{query}", segment(&subject.to_string()));
        match self.change(Method::DELETE, path, Bytes::new()).await {
            Err(WireError::Refused { refused, .. }) if is_gone(&refused, permanent) => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// Sets a configuration.
    pub(super) async fn configure(&self, scope: &QualifiedSubject, body: Bytes) -> Result<(), WireError> {
        self.change(Method::PUT, config_path(scope), body).await.map(drop)
    }

    /// Deletes a configuration; one that is not there counts as deleted.
    pub(super) async fn unconfigure(&self, scope: &QualifiedSubject) -> Result<(), WireError> {
        match self.change(Method::DELETE, config_path(scope), Bytes::new()).await {
            Err(WireError::Refused { refused, .. }) if refused.code == Some(40401) => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// Makes sure that a context takes versions with their ids. Always by force: the form without removes the
    /// soft-deleted versions for good (WIRE.md § 4.4). A registry without modes has nothing to make sure of. Whether
    /// it did not before.
    pub(super) async fn import_into(&self, context: &Context) -> Result<bool, WireError> {
        let scope = QualifiedSubject::new(context.clone(), "");
        let path =
            if scope.is_top_level() { "/mode".to_owned() } else { format!("/mode/{}", segment(&scope.to_string())) };
        let asked = format!("{path}?defaultToGlobal=true");
        let answer = self.poll.ask(&asked).await?;
        if answer.status.is_success() {
            let read: Result<ModeAnswer, _> = serde_json::from_slice(&answer.body);
            let mode = read.map_err(|cause| WireError::Unreadable { what: asked, cause })?.mode;
            if mode.as_deref().and_then(Mode::parse) == Some(Mode::Import) {
                return Ok(false);
            }
        } else if answer.status != StatusCode::NOT_FOUND || answer.error_code() != Some(40409) {
            return match answer.status.as_u16() {
                404 | 405 | 501 => Ok(false),
                status => Err(judged(asked, status, &answer.body)),
            };
        }
        if let Some(mode) = self.set_by_others(&scope, &path).await? {
            let message = format!(
                "it is set to {mode} there, by somebody who means it; DELETE {path} there lets it be imported into"
            );
            return Err(WireError::Refused {
                what: path,
                refused: Refused { status: 422, code: Some(42205), message },
            });
        }
        tracing::info!(%context, "the local registry is put into IMPORT mode");
        let body = Bytes::from_static(br#"{"mode":"IMPORT"}"#);
        self.change(Method::PUT, format!("{path}?force=true"), body).await.map(|_| true)
    }

    /// The mode of its own that a context has there, other than to import. We set no other, and clear those that were set
    /// through us; so another outpost may have moved the context there. Of the default context it is not told whether
    /// READWRITE was set (WIRE.md § 4.3).
    async fn set_by_others(&self, scope: &QualifiedSubject, path: &str) -> Result<Option<Mode>, WireError> {
        let answer = self.poll.ask(path).await?;
        if !answer.status.is_success() {
            return Ok(None);
        }
        let read: Result<ModeAnswer, _> = serde_json::from_slice(&answer.body);
        let mode = read.map_err(|cause| WireError::Unreadable { what: path.to_owned(), cause })?.mode;
        let mode = mode.as_deref().and_then(Mode::parse).filter(|mode| *mode != Mode::Import);
        Ok(mode.filter(|mode| !scope.is_top_level() || mode.is_read_only()))
    }

    /// Sends a change, and again for as long as the local registry only asks for patience.
    async fn change(&self, method: Method, path: String, body: Bytes) -> Result<Answer, WireError> {
        let mut repeats = 0;
        loop {
            let mut call = Call::get(path.clone(), Priority::Importer, Instant::now() + PATIENCE);
            call.method = method.clone();
            call.headers = headers();
            call.body = body.clone();
            let pause = match self.registry.send(call).await {
                Ok(answer) => {
                    self.poll.count();
                    match answer.status.as_u16() {
                        200..=299 => return Ok(answer),
                        // The registry's own budget holds us back from here for as long as was asked.
                        429 if repeats < MOST_REPEATS => Duration::ZERO,
                        status => return Err(judged(format!("{method} {path}"), status, &answer.body)),
                    }
                }
                Err(failure) if failure.kind == FailureKind::Spent && repeats < MOST_REPEATS => {
                    failure.retry_after.unwrap_or(PATIENCE)
                }
                Err(failure) => return Err(WireError::Unanswered { what: format!("{method} {path}"), failure }),
            };
            repeats += 1;
            sleep(pause).await;
        }
    }
}

impl WireError {
    /// What the local registry said, where it refused this one thing.
    pub(super) fn refused(&self) -> Option<&Refused> {
        match self {
            Self::Refused { refused, .. } => Some(refused),
            _ => None,
        }
    }

    /// What it said, where something is wrong with it.
    pub(super) fn stumbled(&self) -> Option<&Refused> {
        match self {
            Self::Stumbled { refused, .. } => Some(refused),
            _ => None,
        }
    }
}

fn judged(what: String, status: u16, body: &[u8]) -> WireError {
    let refused = Refused::of(status, body);
    match status {
        400..=499 if !matches!(status, 408 | 429) => WireError::Refused { what, refused },
        _ => WireError::Stumbled { what, refused },
    }
}

/// Whether a refusal to delete says that there is nothing to delete.
fn is_gone(refused: &Refused, permanent: bool) -> bool {
    match refused.code {
        Some(40401 | 40402) => true,
        Some(40404 | 40406) => !permanent,
        _ => false,
    }
}

pub(super) fn config_path(scope: &QualifiedSubject) -> String {
    if scope.is_top_level() { "/config".to_owned() } else { format!("/config/{}", segment(&scope.to_string())) }
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, media::DEFAULT);
    headers
        .insert(header::ACCEPT, HeaderValue::from_static("application/vnd.schemaregistry.v1+json, application/json"));
    headers
}

fn registration(version: &Version) -> Bytes {
    let mut out = Vec::with_capacity(version.text.len() + 256);
    let mut object = Object::open(&mut out);
    object.number("version", Some(version.version.into())).number("id", Some(version.id.into()));
    if version.schema_type != SchemaType::Avro {
        object.text("schemaType", Some(version.schema_type.as_str()));
    }
    object.raw("references", version.references.as_deref()).raw("metadata", version.metadata.as_deref());
    object.raw("ruleSet", version.rule_set.as_deref());
    push_string(object.key("schema"), &version.text);
    object.close();
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::schema::Listed;

    #[test]
    fn a_version_is_sent_with_all_that_makes_it() {
        let printed = r#"{"subject":"s","version":3,"id":7,"guid":"g","schemaType":"JSON","references":[{"name":"n","subject":"r","version":1}],"metadata":{"properties":{"a":"1"}},"schema":"{}","ts":1,"deleted":true,"ruleSet":{"domainRules":[]}}"#;
        let version = serde_json::from_str::<Listed>(printed).expect("a version").version;
        let sent = r#"{"version":3,"id":7,"schemaType":"JSON","references":[{"name":"n","subject":"r","version":1}],"metadata":{"properties":{"a":"1"}},"ruleSet":{"domainRules":[]},"schema":"{}"}"#;
        assert_eq!(registration(&version), sent);
        let bare = serde_json::from_str::<Listed>(r#"{"version":1,"id":0,"schema":""}"#).expect("a version").version;
        assert_eq!(registration(&bare), r#"{"version":1,"id":0,"schema":""}"#, "an empty one is one too");
    }

    #[test]
    fn what_is_gone_counts_as_deleted() {
        let refused = |code: i64| Refused::of(404, format!(r#"{{"error_code":{code},"message":"x"}}"#).as_bytes());
        for (code, soft, hard) in [
            (40401, true, true),
            (40402, true, true),
            (40406, true, false),
            (40407, false, false),
            (42206, false, false),
        ] {
            assert_eq!((is_gone(&refused(code), false), is_gone(&refused(code), true)), (soft, hard), "{code}");
        }
    }

    #[test]
    fn a_refusal_is_told_from_trouble() {
        for (status, refused) in [(422, true), (404, true), (409, true), (500, false), (503, false), (429, false)] {
            assert_eq!(judged(String::new(), status, b"<html>").refused().is_some(), refused, "{status}");
        }
    }
}
