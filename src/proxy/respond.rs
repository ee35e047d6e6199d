//! Answers on their way out: ours, with the registry's headers, and the primary's, relayed.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use super::Proxy;
use super::ask::Ask;
use super::dress::{Dressed, framed, is_long};
use super::fields::REQUEST_ID;
use super::headers::from_primary;
use super::trim::trimmed;
use crate::body::Body;
use crate::protocol::json::error_body;
use crate::protocol::media;
use crate::protocol::operation::Operation;
use crate::replica::Remembered;
use crate::upstream::Answer;

impl Proxy {
    /// Our own answer, in the registry's clothes.
    pub(super) fn own(&self, status: u16, body: Bytes, ask: &Ask) -> Response<Body> {
        self.go_out(&Dressed::new(status, body, &ask.media, ask.manner), ask)
    }

    /// The same of one that was dressed already.
    pub(super) fn go_out(&self, dressed: &Dressed, ask: &Ask) -> Response<Body> {
        dressed.response(ask.request_id.clone(), self.age())
    }

    /// What the primary said of a route that it does not have, while it is away.
    pub(super) fn remembered(&self, answer: &Remembered, ask: &Ask) -> Response<Body> {
        let mut response = self.own(answer.status, answer.body.clone(), ask);
        if answer.status == 404 && answer.error_code() == Some(404) {
            // So says the framework that no route matched, and gives it no type (WIRE.md § 0.4).
            response.headers_mut().remove(header::CONTENT_TYPE);
        }
        response
    }

    /// How many seconds old what an answer is made of may be, which is told while the primary is away.
    pub(super) fn age(&self) -> Option<u64> {
        if !self.parties.primary.is_away() {
            return None;
        }
        let last = self.parties.primary.reachability().last_answer;
        Some(last.map_or_else(|| self.age_before_start(), |last| last.elapsed().as_secs()))
    }

    /// How old the replica is if the primary has not answered since the start.
    fn age_before_start(&self) -> u64 {
        let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default();
        let read_at = self.parties.replica.snapshot().read_at();
        read_at.map_or_else(|| self.started.elapsed().as_secs(), |read_at| now.saturating_sub(read_at))
    }

    /// The primary's answer, as this client would have been given it.
    pub(super) fn relayed(&self, operation: &Operation, answer: &Answer, ask: &Ask) -> Response<Body> {
        let is_shown_less = ask.is_shown_less(&self.parties.replica.snapshot());
        let is_whole = answer.status == StatusCode::OK && !answer.headers.contains_key(header::CONTENT_ENCODING);
        match trimmed(operation.route, &answer.body).filter(|_| is_shown_less && is_whole) {
            Some(body) => relay(&Answer { body, ..answer.clone() }, ask),
            None => relay(answer, ask),
        }
    }
}

/// The primary's answer. Its own failures that are no JSON (a balancer's page, or nothing) would not be
/// understood by any client, so they keep their status and get the registry's shape.
fn relay(answer: &Answer, ask: &Ask) -> Response<Body> {
    let mut headers = from_primary(&answer.headers);
    let is_json =
        headers.get(header::CONTENT_TYPE).is_some_and(|media| media.as_bytes().windows(4).any(|part| part == b"json"));
    let mut body = answer.body.clone();
    if answer.status.is_server_error() && (!is_json || (body.is_empty() && !ask.manner.is_head)) {
        let code = u32::from(answer.status.as_u16());
        body = error_body(code, &format!("The primary answered {}", answer.status)).into();
        headers.insert(header::CONTENT_TYPE, media::DEFAULT);
        headers.remove(header::CONTENT_ENCODING);
    }
    let is_coded = headers.contains_key(header::CONTENT_ENCODING);
    // How long a body was before the primary compressed it, only the primary's own framing tells.
    let is_long = if is_coded { !answer.headers.contains_key(header::CONTENT_LENGTH) } else { is_long(body.len()) };
    if !is_coded && let Some(gzipped) = ask.manner.compressed(answer.status, &body) {
        body = gzipped;
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let mut response = Response::new(if ask.manner.is_head { Body::empty() } else { framed(body, is_long) });
    *response.status_mut() = answer.status;
    headers.insert(REQUEST_ID, ask.request_id.clone());
    if ask.manner.is_head {
        // Another method may have been used in its stead.
        headers.remove(header::VARY);
        headers.extend(announced(answer).map(|length| (header::CONTENT_LENGTH, HeaderValue::from(length))));
    }
    *response.headers_mut() = headers;
    response
}

/// What HEAD says of the length of a body: that there is none, where GET would be sent it in chunks.
fn announced(answer: &Answer) -> Option<usize> {
    let told = answer.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let length = if answer.body.is_empty() { told? } else { answer.body.len() };
    Some(if is_long(length) { 0 } else { length })
}
