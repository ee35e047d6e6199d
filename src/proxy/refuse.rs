//! What a client hears when its request fails: status, Schema Registry error code, message.
//!
//! Here alone it is decided what each failure of a request sounds like. The match has no catch-all arm,
//! so a new failure cannot reach clients before someone decided that.

use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use super::dress::varies;
use super::fields::REQUEST_ID;
use crate::admission::Rejection;
use crate::body::Body;
use crate::protocol::error::Refusal;
use crate::protocol::json::error_body;
use crate::protocol::media::{self, Unacceptable};
use crate::protocol::mode::Mode;
use crate::protocol::operation::Misdirected;
use crate::protocol::page::{self, Page};
use crate::protocol::subject::QualifiedSubject;
use crate::protocol::target::Malformed;
use crate::routing::{Impassable, Unmapped};
use crate::server::{HeadError, IntakeError};

/// Why a request has no other answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Head(#[from] HeadError),
    #[error("the request has been here before")]
    Loop,
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// It names a context that is not there for whoever asks.
    #[error(transparent)]
    NotShown(#[from] Unmapped),
    #[error(transparent)]
    Misdirected(#[from] Misdirected),
    /// What the registry's web server refuses before the registry sees it, in that server's words.
    #[error("an ambiguous path")]
    Ambiguous(Page),
    #[error("{0}")]
    Media(Unacceptable, HeaderValue),
    #[error(transparent)]
    Intake(#[from] IntakeError),
    /// A refusal in the registry's words, in the media type that was negotiated.
    #[error("{0}")]
    Refused(Refusal, HeaderValue),
    /// What the modes do not let through, or let be changed about them; each is a line of the log of its own.
    #[error("{}", .0.refusal)]
    HeldBack(Box<HeldBack>, HeaderValue),
    /// Certainly not forwarded.
    #[error("the primary registry could not be asked")]
    Away(#[source] Box<crate::upstream::Failure>, HeaderValue),
    /// Certainly not passed to the registry beside us.
    #[error("the local registry could not be asked")]
    LocalAway(#[source] Box<crate::upstream::Failure>, HeaderValue),
    /// Passed to the registry beside us, and nobody knows what became of it.
    #[error("what became of the request at the local registry is not known")]
    LocalUnknown(#[source] Box<crate::upstream::Failure>, HeaderValue),
    /// Forwarded, and nobody knows what became of it.
    #[error("what became of the request at the primary registry is not known")]
    Unknown(#[source] Box<crate::upstream::Failure>, HeaderValue),
    /// The primary said 2xx, but with a body that cannot be what it says.
    #[error("the primary registry's answer cannot be understood")]
    Garbled(HeaderValue),
    /// Not forwarded, because its effect could not be kept here.
    #[error("the state directory cannot be written")]
    Store(HeaderValue),
    #[error("too many requests at once")]
    Overloaded,
    #[error("the request took too long")]
    Late,
    /// The process ends; a write may be on its way.
    #[error("the drain is over before the primary has answered")]
    Ending { wrote: bool },
    #[error("a step of the request failed")]
    Internal,
}

/// Something that the modes do not let through.
#[derive(Debug)]
pub(super) struct HeldBack {
    pub(super) refusal: Refusal,
    /// What may not be written to, or whose mode may not be changed so.
    pub(super) scope: QualifiedSubject,
    /// The mode that forbids it; none where it is the modes that were to be changed.
    pub(super) mode: Option<Mode>,
}

impl Failure {
    /// What to say of a request that asks for nothing there is.
    pub(super) fn misdirected(why: Misdirected, head: &Parts, is_tls: bool) -> Self {
        match why {
            Misdirected::Malformed(Malformed::Ambiguous) => {
                let url = page::url(is_tls, &head.uri, &head.headers);
                Self::Ambiguous(Page::of_ambiguous(&head.method, &url, head.uri.path(), &head.headers))
            }
            why => Self::Misdirected(why),
        }
    }

    /// What to say in the registry's words, as the media type that the client takes.
    pub(super) fn refused(refusal: Refusal, media: &HeaderValue) -> Self {
        Self::Refused(refusal, media.clone())
    }

    /// What to say of a body that names what is not there, or in which names cannot be found.
    pub(super) fn impassable(why: Impassable, media: &HeaderValue) -> Self {
        match why {
            Impassable::Unmapped(why) => Self::NotShown(why),
            Impassable::Unreadable(_) => Self::refused(Refusal::new(400, "Unable to process JSON"), media),
        }
    }
}

/// One line of the table.
struct Said {
    status: StatusCode,
    code: u32,
    message: String,
    media: Option<HeaderValue>,
    retry_after: Option<Duration>,
    close: bool,
}

impl Said {
    fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), media: Some(media::DEFAULT), retry_after: None, close: false }
    }

    fn plain(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, u32::from(status.as_u16()), message)
    }

    fn typed(self, media: &HeaderValue) -> Self {
        Self { media: Some(media.clone()), ..self }
    }

    /// Without Content-Type, as the framework answers what no route matched (WIRE.md § 0.4).
    fn untyped(self) -> Self {
        Self { media: None, ..self }
    }

    fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    fn closing(self) -> Self {
        Self { close: true, ..self }
    }
}

const AWAY: &str = "Error while forwarding the request to the primary: it cannot be reached";
const LOCAL_AWAY: &str = "Error while passing the request to the local registry: it cannot be reached";
const LOCAL_UNKNOWN: &str =
    "The local registry gave no answer that can be understood; whether the request took effect is not known";
const UNKNOWN: &str = "The primary gave no answer that can be understood; whether the request took effect is not known";
const SOON: Duration = Duration::from_secs(1);

#[deny(clippy::wildcard_enum_match_arm)]
fn said(failure: &Failure) -> Said {
    match failure {
        Failure::Head(error) => Said::plain(error.status(), error.to_string()).closing(),
        Failure::Loop => Said::plain(StatusCode::LOOP_DETECTED, "Loop Detected: the request has been here before"),
        Failure::Rejected(Rejection::Unauthenticated) => Said::plain(StatusCode::UNAUTHORIZED, "Unauthorized"),
        Failure::Rejected(Rejection::Forbidden) | Failure::NotShown(_) => {
            Said::new(StatusCode::FORBIDDEN, 40301, Rejection::Forbidden.to_string())
        }
        Failure::Misdirected(Misdirected::Malformed(why)) => Said::plain(StatusCode::BAD_REQUEST, why.to_string()),
        Failure::Misdirected(Misdirected::Context(_)) => {
            Said::plain(StatusCode::BAD_REQUEST, failure.to_string()).untyped()
        }
        Failure::Misdirected(Misdirected::NotFound) => {
            Said::plain(StatusCode::NOT_FOUND, failure.to_string()).untyped()
        }
        Failure::Misdirected(Misdirected::Method) => {
            Said::plain(StatusCode::METHOD_NOT_ALLOWED, failure.to_string()).untyped()
        }
        Failure::Misdirected(Misdirected::Options(_)) => Said::plain(StatusCode::OK, String::new()),
        Failure::Ambiguous(_) => Said::plain(StatusCode::BAD_REQUEST, String::new()),
        Failure::Media(Unacceptable::Accept, _) => {
            Said::plain(StatusCode::NOT_ACCEPTABLE, failure.to_string()).untyped()
        }
        Failure::Media(Unacceptable::ContentType, media) => {
            Said::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, failure.to_string()).typed(media)
        }
        Failure::Media(Unacceptable::Unparseable, _) => Said::plain(StatusCode::BAD_REQUEST, failure.to_string())
            .typed(&HeaderValue::from_static("application/json")),
        Failure::Intake(error) => intake(error),
        Failure::HeldBack(held_back, media) => {
            let Refusal { status, code, message } = &held_back.refusal;
            Said::new(*status, *code, message).typed(media)
        }
        Failure::Refused(refusal, media) => Said::new(refusal.status, refusal.code, &refusal.message).typed(media),
        Failure::Away(cause, media) => Said::new(StatusCode::INTERNAL_SERVER_ERROR, 50003, AWAY)
            .typed(media)
            .retry_after(cause.retry_after.unwrap_or(SOON)),
        Failure::LocalAway(cause, media) => Said::new(StatusCode::INTERNAL_SERVER_ERROR, 50003, LOCAL_AWAY)
            .typed(media)
            .retry_after(cause.retry_after.unwrap_or(SOON)),
        Failure::LocalUnknown(_, media) => {
            Said::new(StatusCode::INTERNAL_SERVER_ERROR, 50002, LOCAL_UNKNOWN).typed(media)
        }
        Failure::Unknown(_, media) | Failure::Garbled(media) => {
            Said::new(StatusCode::INTERNAL_SERVER_ERROR, 50002, UNKNOWN).typed(media)
        }
        Failure::Store(media) => {
            let message = "Error while writing to the store of this outpost; the request was not forwarded";
            Said::new(StatusCode::INTERNAL_SERVER_ERROR, 50001, message).typed(media).retry_after(SOON)
        }
        Failure::Overloaded => {
            Said::plain(StatusCode::SERVICE_UNAVAILABLE, "Too many requests at once; try again").retry_after(SOON)
        }
        Failure::Ending { wrote: true } => Said::new(StatusCode::INTERNAL_SERVER_ERROR, 50002, UNKNOWN),
        Failure::Ending { wrote: false } => Said::new(StatusCode::INTERNAL_SERVER_ERROR, 50003, AWAY).retry_after(SOON),
        Failure::Late => Said::plain(StatusCode::GATEWAY_TIMEOUT, "Request timed out"),
        Failure::Internal => Said::plain(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
    }
}

fn intake(error: &IntakeError) -> Said {
    match error {
        IntakeError::TooLarge { .. } => Said::plain(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()).closing(),
        IntakeError::Idle | IntakeError::TooSlow => {
            Said::plain(StatusCode::REQUEST_TIMEOUT, error.to_string()).closing()
        }
        IntakeError::Broken(_) => Said::plain(StatusCode::BAD_REQUEST, error.to_string()).closing(),
    }
}

/// The answer to a request that failed.
pub(super) fn response(
    failure: &Failure,
    (method, path): (&Method, &str),
    headers: &HeaderMap,
    request_id: &HeaderValue,
) -> Response<Body> {
    if let Failure::Misdirected(Misdirected::Options(methods)) = failure {
        return options(methods, headers, request_id);
    }
    if let Failure::Ambiguous(page) = failure {
        return ambiguous(page, method);
    }
    let said = said(failure);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = said.status;
    let fields = response.headers_mut();
    let is_changed = matches!(*method, Method::PUT | Method::DELETE);
    let is_unparseable = matches!(failure, Failure::Media(Unacceptable::Unparseable, _));
    if is_unparseable && !is_changed {
        fields.extend([page::NEVER_KEPT]);
    } else if varies(method, path) {
        fields.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    fields.insert(REQUEST_ID, request_id.clone());
    if let Some(wait) = said.retry_after {
        fields.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil().max(1.0) as u64));
    }
    if said.close {
        fields.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    // The registry's web server has nothing to say here to these two methods, and to clients that take nothing
    // (WIRE.md § 0.4).
    let is_silent = is_unparseable && (is_changed || !page::accepts_anything(headers));
    let body = if is_silent { Vec::new() } else { error_body(said.code, &said.message) };
    if let Some(media) = said.media.filter(|_| !is_silent) {
        fields.insert(header::CONTENT_TYPE, media);
    }
    if method == Method::HEAD {
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    } else {
        *response.body_mut() = Body::whole(body);
    }
    response
}

/// A page of the web server, which knows nothing of the fields that the registry adds.
fn ambiguous(page: &Page, method: &Method) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().extend(page.headers());
    if method == Method::HEAD {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(page.body.len()));
    } else {
        *response.body_mut() = Body::whole(page.body.clone());
    }
    response
}

/// OPTIONS says which methods a path has, as text if the client takes any (WIRE.md § 0.7).
fn options(methods: &str, headers: &HeaderMap, request_id: &HeaderValue) -> Response<Body> {
    let accepted = media::preferred(headers);
    let body = if accepted.is_none() { Body::whole(methods.replace(',', ", ")) } else { Body::empty() };
    let mut response = Response::new(body);
    let fields = response.headers_mut();
    fields.insert(REQUEST_ID, request_id.clone());
    fields.insert(header::CONTENT_TYPE, accepted.unwrap_or(HeaderValue::from_static("text/plain")));
    if let Ok(methods) = HeaderValue::from_str(methods) {
        fields.insert(header::ALLOW, methods);
    }
    response
}
