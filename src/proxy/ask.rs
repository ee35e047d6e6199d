//! A request as the steps behind the gate use it: its head, its whole body, and how to answer it.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, header};
use hyper::body::{Body as _, Incoming};

use super::Visit;
use super::at_hand::Spelt;
use super::dress::Manner;
use super::fields::{UNKNOWN_PROPERTIES, takes_unknown};
use super::refuse::Failure;
use crate::body::Permit;
use crate::protocol::endpoints::Route;
use crate::protocol::media;
use crate::protocol::shape::{Form, Profile};
use crate::protocol::subject::Context;
use crate::replica::Snapshot;
use crate::server::{Limits, read_whole};

/// A request that was understood and read to its end.
///
/// Bodies are read whole before anything is sent on: one that breaks off must never reach the
/// primary as a complete one (FAULTS.md H-13).
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The media type of our own answer.
    pub(super) media: HeaderValue,
    pub(super) request_id: HeaderValue,
    pub(super) peer: std::net::SocketAddr,
    pub(super) tls: bool,
    /// How our own answer goes out.
    pub(super) manner: Manner,
    /// The only context that there is for the client, if its listener is bound to one.
    pub(super) bound: Option<Context>,
    /// The words by which the answer can be found again, if the request is as usual.
    pub(super) spelling: Option<Spelt>,
    _permit: Arc<Permit>,
    pub(super) began: tokio::time::Instant,
    pub(super) read_deadline: tokio::time::Instant,
    pub(super) write_deadline: tokio::time::Instant,
}

impl Ask {
    /// Reads a request to its end; of a route of which nobody knows here what it takes and gives, no media type is
    /// refused.
    pub(super) async fn read(
        head: &mut Parts,
        body: Incoming,
        visit: &Visit,
        route: Option<Route>,
        limits: &Limits,
    ) -> Result<Self, Failure> {
        let media = if matches!(route, None | Some(Route::UnknownRead | Route::UnknownWrite)) {
            // What such a route produces and reads, only the other registry knows.
            media::DEFAULT
        } else {
            let admitted =
                media::admit(&head.headers).map_err(|why| Failure::Media(why, media::of_refusal(&head.headers)));
            let negotiated = media::negotiate(&head.headers).map_err(|why| Failure::Media(why, media::DEFAULT));
            match admitted.and(negotiated) {
                // A registry without this extension has no such route, and says that first.
                Err(_) if route == Some(Route::DekRead) => media::DEFAULT,
                negotiated => negotiated?,
            }
        };
        let manner = Manner::of(&head.method, head.uri.path(), &head.headers);
        // Most requests have no body, and need no clock for it.
        let body = if body.is_end_stream() { Bytes::new() } else { Box::pin(read_whole(body, limits)).await? };
        Ok(Self {
            method: head.method.clone(),
            // Nobody looks at the head again: what refuses a request from here on has the `Ask`.
            headers: std::mem::take(&mut head.headers),
            body,
            media,
            request_id: visit.request_id.clone(),
            peer: visit.peer.address,
            tls: visit.peer.tls,
            manner,
            bound: visit.bound.clone(),
            spelling: visit.spelling.clone(),
            _permit: visit.permit.clone(),
            began: visit.began,
            read_deadline: visit.deadline(limits.read),
            write_deadline: visit.deadline(limits.write),
        })
    }

    /// A question of ours on behalf of the same client, whose answer is read here: it comes in no coding, with its
    /// body, and is not found again by the client's words.
    pub(super) fn question(&self, method: Method, body: Bytes, bound: Option<Context>) -> Self {
        let manner = Manner { is_head: false, varies: false, takes_gzip: false };
        let mut asked = Self { method, body, bound, manner, spelling: None, ..self.clone() };
        asked.headers.remove(header::ACCEPT_ENCODING);
        if asked.body.is_empty() {
            asked.headers.remove(header::CONTENT_TYPE);
        }
        asked
    }

    /// Whether the client takes fields that it may not know (WIRE.md § 8.4).
    pub(super) fn accepts_unknown(&self) -> bool {
        self.headers.get(UNKNOWN_PROPERTIES).is_some_and(|value| takes_unknown(value.as_bytes()))
    }

    /// The text of a header, if there is one and it is text.
    pub(super) fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The shape that this client is shown.
    pub(super) fn form(&self, snapshot: &Snapshot) -> Form {
        profile_of(snapshot).form(self.accepts_unknown())
    }

    /// Whether the primary would leave members out for this client, which only Cloud does: it is asked for
    /// everything, so we must. What other registries show to us is what they show to everyone.
    pub(super) fn is_shown_less(&self, snapshot: &Snapshot) -> bool {
        profile_of(snapshot) == Profile::Cloud && !self.accepts_unknown()
    }
}

/// Before a pass has found out the profile, a version tells: one without a GUID comes from a
/// registry of the old shape.
pub(super) fn profile_of(snapshot: &Snapshot) -> Profile {
    let shown = || {
        let (_, subject) = snapshot.contexts().find_map(|(_, context)| context.subjects().next())?;
        subject.versions.first()?.guid.is_none().then_some(Profile::Confluent7)
    };
    snapshot.profile().or_else(shown).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::schema::Listed;
    use crate::protocol::subject::QualifiedSubject;
    use crate::replica::{Change, Forgetful, Replica};

    #[tokio::test]
    async fn until_the_profile_is_known_the_first_version_shows_it() {
        let replica = Arc::new(Replica::empty(Forgetful));
        assert_eq!(profile_of(&replica.snapshot()), Profile::Confluent8);
        let listed = serde_json::from_str::<Listed>(r#"{"version":1,"id":1,"schema":"x"}"#).expect("a version");
        let change = Change::Version { subject: QualifiedSubject::parse("a"), version: listed.version };
        replica.apply_write(vec![change], replica.ticket()).await.expect("kept");
        assert_eq!(profile_of(&replica.snapshot()), Profile::Confluent7);
        replica.apply_write(vec![Change::Profile(Profile::Cloud)], replica.ticket()).await.expect("kept");
        assert_eq!(profile_of(&replica.snapshot()), Profile::Cloud);
    }
}
