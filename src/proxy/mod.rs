//! The way of a request.
//!
//! `Proxy::answer` is the whole of it: six steps, each of which takes the proof of the one before.
//! What is the same for any HTTP service (request id, in-flight limit, deadline, the log line) lies
//! around it in `stack`; what a failure sounds like is said in `refuse` and nowhere else.

mod answer;
mod apply;
mod ask;
mod at_hand;
mod both;
mod control;
mod dress;
mod fields;
mod flight;
mod forward;
mod frozen;
mod headers;
mod learn;
mod local;
mod metrics;
mod recognise;
mod refuse;
mod respond;
mod settle;
mod stack;
#[cfg(test)]
mod stamp_tests;
mod stand_in;
mod tell;
mod trim;
mod view;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Response, Uri, header};
use hyper::body::Incoming;
use tokio::sync::{Mutex, RwLock};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::body::{Body, Permit};
use crate::protocol::endpoints::{Effect, Route};
use crate::protocol::error::Refusal;
use crate::protocol::operation::{Misdirected, Operation};
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::{Memo, Replica, Reread, Snapshot, behind_parameter, served_subject};
use crate::routing::{Contexts, Destination, Modes, Primary, Stop, Unmapped, Written, admit_body};
use crate::server::{Limits, Peer, examine};
use crate::store::Store;

pub use frozen::SecondCopy;
pub use local::Local;
pub use metrics::Metrics;
pub use stack::{Guest, Passage, Stack};

use ask::Ask;
use at_hand::{AnswersAtHand, AtHand, Look, Spelt};
use forward::held_back;
use headers::Pseudonym;
use refuse::Failure;

/// What is lent to the proxy by those who put the house together.
pub struct Parties {
    /// Our copy.
    pub replica: Arc<Replica>,
    /// Where our copy is kept; what cannot be kept is not forwarded.
    pub store: Store,
    /// The registry that owns the schemas, under our names.
    pub primary: Primary,
    /// The registry that we stand beside, if there is one.
    pub local: Option<Local>,
    /// Whoever keeps in the local registry what is the primary's, if anybody does.
    pub second_copy: Option<Arc<dyn SecondCopy>>,
    /// Whoever can read parts of the primary again.
    pub reread: Arc<dyn Reread>,
    /// The modes in force.
    pub modes: Arc<Modes>,
    /// Held in common by whoever writes into the local registry because of what the modes say, alone by whoever
    /// changes them.
    pub still: Arc<RwLock<()>>,
    /// The counters.
    pub metrics: Metrics,
}

/// The proxy: answers reads, forwards writes.
pub struct Proxy {
    parties: Parties,
    admission: Admission,
    /// Whoever changes a mode has the turn.
    changing_modes: Mutex<()>,
    limits: Limits,
    answers: AnswersAtHand,
    flights: flight::Flights,
    frozen: frozen::Frozen,
    memo: Memo,
    views: view::Views,
    pseudonym: Pseudonym,
    started: Instant,
    /// Writes on their way, which outlive the connections that they came on.
    carrying: TaskTracker,
}

impl Proxy {
    /// A proxy.
    pub fn new(parties: Parties, limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            parties,
            admission: Admission,
            changing_modes: Mutex::default(),
            answers: AnswersAtHand::with_room(limits.answers.as_u64() / 4 * 3),
            memo: Memo::with_room(limits.answers.as_u64() / 4),
            flights: flight::flights(),
            frozen: frozen::Frozen::new(),
            views: view::Views::new(),
            pseudonym: Pseudonym::random(),
            started: Instant::now(),
            carrying: TaskTracker::new(),
            limits: limits.clone(),
        })
    }

    /// The modes in force.
    pub fn modes(&self) -> &Modes {
        &self.parties.modes
    }

    /// Waits until the writes that are on their way have ended.
    pub async fn finish(&self) {
        self.carrying.close();
        self.carrying.wait().await;
    }

    /// Bytes of answers at hand, and of those that are remembered.
    pub fn rendered_bytes(&self) -> u64 {
        self.answers.bytes() + self.memo.bytes()
    }

    /// The answer to a request that was answered before, if nothing it was made of has changed since. The same
    /// steps as in `answer`, except that the head is known to be good and understood by how it is spelt.
    fn at_hand(&self, look: &Look<'_>, peer: SocketAddr, bound: Option<&Context>) -> Option<Arc<AtHand>> {
        let caller = self.admission.authenticate(look.authorization, peer).ok()?;
        let found = self.answers.get(look.spelling)?;
        let admitted = self.admission.authorize(caller, &found.operation).ok()?;
        let addressed = self.parties.primary.contexts().address(admitted, bound, |_| false).ok()?;
        let routed = self.parties.modes.route(addressed, None).ok()?;
        let is_ours = *routed.destination() == Destination::Replica;
        let is_current = found.stamp.is_of(self.parties.replica.generation());
        (is_ours && (is_current || self.is_still_true(&found, look.takes_unknown, bound))).then_some(found)
    }

    /// The way of a request, from its head to its answer.
    async fn answer(
        self: &Arc<Self>,
        head: &mut Parts,
        body: Incoming,
        visit: &Visit,
    ) -> Result<Response<Body>, Failure> {
        examine(head)?;
        if self.pseudonym.is_among(&head.headers) {
            return Err(Failure::Loop);
        }
        let authorization = head.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let caller = self.admission.authenticate(authorization, visit.peer.address)?;
        let understood = understood(head, visit.bound.as_ref());
        if self.passes_as_it_is(path(&head.uri), visit, &understood) {
            return self.pass_on(head, body, visit, understood.ok()).await;
        }
        let operation = understood.map_err(|why| Failure::misdirected(why, head, visit.peer.tls))?;
        let admitted = self.admission.authorize(caller, Arc::new(operation))?;
        let (contexts, modes) = (self.parties.primary.contexts(), self.modes());
        let addressed = contexts.address(admitted, visit.bound.as_ref(), |context| modes.is_local(context))?;
        visit.understood(addressed.operation());
        let ask = Ask::read(head, body, visit, Some(addressed.operation().route), &self.limits).await?;
        let snapshot = self.parties.replica.snapshot();
        // Where the aliases of the local registry lead, it alone knows; it is asked through a border of its own.
        let is_local = modes.is_local(&addressed.operation().subject.context);
        if !is_local {
            stays_mapped(addressed.operation(), contexts, &snapshot)?;
        }
        if let Some(bound) = &visit.bound {
            if !is_local {
                stays_within(addressed.operation(), bound, &snapshot)?;
            }
            admit_body(addressed.operation(), bound, &ask.body).map_err(|why| Failure::impassable(why, &ask.media))?;
        }
        let operation = addressed.operation().clone();
        let written = Written { body: &ask.body, bound: visit.bound.as_ref(), snapshot: &snapshot };
        let routed = self.parties.modes.route(addressed, Some(written));
        let routed = match routed {
            Ok(routed) => routed,
            Err(Stop::NoRoute) => return Err(Failure::Misdirected(Misdirected::NotFound)),
            Err(Stop::Forbidden(forbidden)) => return Err(held_back(forbidden, &ask)),
            Err(Stop::Divided) => return Err(Failure::refused(divided(), &ask.media)),
        };
        match routed.destination() {
            Destination::Here => self.control(&operation, ask).await,
            Destination::Replica => match self.read(&routed, &ask).await {
                Err(failure @ Failure::Away(..)) => self.stand_in(&operation, &ask).await.ok_or(failure),
                outcome => outcome,
            },
            Destination::Known(forbidden) => Box::pin(self.only_known(&operation, &ask, forbidden.clone())).await,
            Destination::Primary => Box::pin(self.write(routed, ask)).await,
            Destination::Local => Box::pin(self.local(&operation, ask)).await,
            Destination::Both => Box::pin(self.both(&routed, &ask)).await,
        }
    }
}

/// What to say of a write of which one part belongs to the primary and another to the local registry: nobody could
/// make it happen as a whole.
fn divided() -> Refusal {
    Refusal::not_permitted(
        "The request is about subjects of two registries, one of which is forwarded to and one is not",
    )
}

/// Refuses what an alias would lead to where nothing is mapped: somebody at the primary made it (WIRE.md § 3.5).
fn stays_mapped(operation: &Operation, contexts: &Contexts, snapshot: &Snapshot) -> Result<(), Unmapped> {
    if contexts.is_identity() {
        return Ok(());
    }
    let path = operation.follows_aliases().then(|| served_subject(snapshot, operation));
    let parameter = operation.subject_of_id().and_then(|_| behind_parameter(snapshot, operation.query.get("subject")?));
    let served = path.filter(|served| *served != operation.subject).into_iter().chain(parameter);
    match served.map(|served| served.context).find(|context| contexts.to_primary(context).is_none()) {
        Some(context) => Err(Unmapped(context)),
        None => Ok(()),
    }
}

/// Refuses what an alias would lead out of the context that a listener is bound to (WIRE.md § 3.5).
fn stays_within(operation: &Operation, bound: &Context, snapshot: &Snapshot) -> Result<(), Unmapped> {
    let is_followed = operation.follows_aliases();
    let subjects = [is_followed.then(|| operation.subject.clone()), operation.subject_of_id()];
    for subject in subjects.into_iter().flatten().filter(|subject| !subject.is_bare_context()) {
        let served = served_subject(snapshot, &Operation { subject, is_escaped: !is_followed, ..operation.clone() });
        if served.context != *bound {
            return Err(Unmapped(served.context));
        }
    }
    Ok(())
}

/// What a head asks for, of a listener on which plain names may mean a context.
fn understood(head: &Parts, bound: Option<&Context>) -> Result<Operation, Misdirected> {
    let (path, query) = (path(&head.uri), head.uri.query().unwrap_or_default());
    match bound {
        Some(context) => {
            let mut operation = Operation::classify_within(context, &head.method, path, query)?;
            // This list alone goes over all contexts where nothing is said; the others have the context before the path.
            if operation.route == Route::Subjects && operation.query.get("subjectPrefix").is_none() {
                operation.query.set("subjectPrefix", context.prefix());
            }
            // Names go on unescaped from here, so that no alias leads out of the context.
            Ok(Operation { is_escaped: false, ..operation })
        }
        None => Operation::classify(&head.method, path, query),
    }
}

/// The path as it was sent. hyper leaves it empty for `GET http://host?x`, which means the root.
fn path(uri: &Uri) -> &str {
    match uri.path() {
        "" => "/",
        path => path,
    }
}

/// One request's passage: what is known of it before it is understood.
struct Visit {
    request_id: HeaderValue,
    peer: Arc<Peer>,
    began: Instant,
    permit: Arc<Permit>,
    /// The context that plain names mean on this listener, the only one that there is on it.
    bound: Option<Context>,
    /// How the request is spelt, if it is as usual.
    spelling: Option<Spelt>,
    seen: std::sync::OnceLock<Seen>,
}

/// What the log line and the metrics say of an understood request.
struct Seen {
    route: crate::protocol::endpoints::Route,
    subject: QualifiedSubject,
    effect: Effect,
}

impl Seen {
    /// Whether something may have been changed.
    fn is_change(&self) -> bool {
        matches!(self.effect, Effect::Write | Effect::Control)
    }
}

impl Visit {
    fn understood(&self, operation: &Operation) {
        // A second call finds the first one's entry; both describe the same request.
        let Operation { route, subject, effect, .. } = operation;
        let _ = self.seen.set(Seen { route: *route, subject: subject.clone(), effect: *effect });
    }

    fn deadline(&self, limit: Duration) -> Instant {
        self.began + limit
    }
}
