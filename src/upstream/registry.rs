//! The registry itself: a call goes in, an answer or a failure comes out.

use std::error::Error as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::base::Base;
use super::breaker::{Breaker, Ended};
use super::budget::Budget;
use super::connect::{Connector, Stage, Unreachable};
use super::credentials::Authorization;
use super::{Config, Counters, Failure, FailureKind, Priority, Reachability, Sent, SetupError, Surroundings};
use super::{pause, trust};

const LARGEST_ANSWER: usize = 64 << 20;

// Well under what registries and the balancers before them keep idle connections for: a request on
// a connection that the other side is just closing is lost, and a lost write cannot be repeated.
const IDLE: Duration = Duration::from_secs(20);

// Who was given less time than this and did not answer is not necessarily away.
const PATIENCE: Duration = Duration::from_secs(3);

const UNKNOWN_PROPERTIES: HeaderName = HeaderName::from_static("confluent-accept-unknown-properties");

/// Headers that belong to a connection or to the caller, and never travel on.
const OURS: [HeaderName; 12] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::COOKIE,
    header::EXPECT,
    header::HOST,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Of those, what a client says about itself, which goes along in its own words.
const PERSONAL: [HeaderName; 2] = [header::AUTHORIZATION, header::COOKIE];

/// One request to the other registry.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// What comes after the base URL, as it is to appear on the wire.
    pub path_and_query: String,
    /// The headers that may travel on; ours are added.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// What the call is for.
    pub priority: Priority,
    /// When the answer must be complete.
    pub deadline: Instant,
    /// Who speaks.
    pub voice: Voice,
}

/// Who speaks in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Voice {
    /// We do, be it in a client's name: headers and credentials are ours, and an answer is read here.
    #[default]
    Ours,
    /// A client, in its own words: nothing is added but our credentials where we have any, and whatever is answered
    /// in full is for the client.
    Theirs,
}

impl Call {
    /// A GET without headers of its own.
    pub fn get(path_and_query: impl Into<String>, priority: Priority, deadline: Instant) -> Self {
        Self {
            method: Method::GET,
            path_and_query: path_and_query.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            priority,
            deadline,
            voice: Voice::Ours,
        }
    }

    /// Whether sending it twice does no more than sending it once.
    fn is_repeatable(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD) || self.priority != Priority::Write
    }
}

/// A complete answer of the other registry.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// All of its body.
    pub body: Bytes,
    /// Which of the base URLs it came from.
    pub url: usize,
}

/// Another registry, and everything that lies on the way to it.
#[derive(Debug)]
pub struct Registry {
    name: &'static str,
    bases: Vec<Base>,
    current: AtomicUsize,
    connector: Connector,
    client: Client<Connector, Full<Bytes>>,
    authorization: Option<Authorization>,
    budget: Budget,
    breaker: Breaker,
    counters: Counters,
}

impl Registry {
    /// A registry that there is not: nobody ever answers.
    pub fn nowhere(name: &'static str) -> Result<Self, SetupError> {
        let config = Config { urls: vec!["http://localhost".to_owned()], ..Config::default() };
        Ok(Self { bases: Vec::new(), ..Self::new(&config, name)? })
    }

    /// Prepares to call a registry; nothing is sent yet.
    pub fn new(config: &Config, name: &'static str) -> Result<Self, SetupError> {
        Self::within(config, name, Surroundings::of_this_process())
    }

    /// The same with other name resolution and proxies than this process has.
    pub fn within(config: &Config, name: &'static str, surroundings: Surroundings) -> Result<Self, SetupError> {
        let bases = config.urls.iter().map(|url| Base::parse(url)).collect::<Result<Vec<_>, _>>()?;
        if bases.is_empty() {
            return Err(SetupError::NoUrl);
        }
        if config.requests_per_second == 0 {
            return Err(SetupError::NoBudget);
        }
        if config.credentials.is_some()
            && !config.allow_plain_http
            && let Some(base) = bases.iter().find(|base| base.is_plain())
        {
            return Err(SetupError::PlainHttp { url: base.as_str().to_owned() });
        }
        let mut needs_tls = bases.iter().any(|base| !base.is_plain());
        for uri in bases.iter().filter_map(|base| base.join("/")) {
            match surroundings.proxies.intercept(&uri).as_ref().map(|proxy| proxy.uri().scheme_str()) {
                None | Some(Some("http")) => (),
                Some(Some("https")) => needs_tls = true,
                Some(_) => return Err(SetupError::Proxy),
            }
        }
        let connector = Connector::new(surroundings, trust::client_config(config.tls.ca.as_deref(), needs_tls)?);
        Ok(Self {
            name,
            bases,
            current: AtomicUsize::new(0),
            client: client(connector.clone()),
            connector,
            authorization: config.credentials.as_ref().map(Authorization::new).transpose()?,
            budget: Budget::new(config.requests_per_second),
            breaker: Breaker::new(),
            counters: Counters::default(),
        })
    }

    /// Counts into these counters from now on.
    pub fn counting(mut self, counters: Counters) -> Self {
        self.counters = counters;
        self
    }

    /// Makes a call and waits for all of its answer.
    ///
    /// A write goes out once. It goes to another URL, or out again, only when nothing of it can
    /// have been written. Reads are repeated once when the connection breaks under them.
    pub async fn send(&self, call: Call) -> Result<Answer, Failure> {
        let result = self.take_turn(&call).await;
        self.counters.count(self.name, call.priority, &result);
        result
    }

    /// What the calls so far have shown.
    pub fn reachability(&self) -> Reachability {
        self.breaker.reachability()
    }

    /// Whether the last call found nobody; the same as `unreachable_since`, at hardly any cost.
    pub fn is_away(&self) -> bool {
        self.breaker.is_away() || self.is_nowhere()
    }

    /// Whether there is no such registry at all.
    pub fn is_nowhere(&self) -> bool {
        self.bases.is_empty()
    }

    /// Tells when the registry gets out of reach or comes back; the time of the last answer alone is no news.
    ///
    /// What is borrowed from the receiver must be copied out at once: calls wait while it is held.
    pub fn watch(&self) -> watch::Receiver<Reachability> {
        self.breaker.subscribe()
    }

    /// The counters of calls.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What this registry is called in logs and metrics.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The base URLs, in their order.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        self.bases.iter().map(Base::as_str)
    }

    /// The base URL that calls go to at the moment; empty where there is no registry.
    pub fn current_url(&self) -> &str {
        self.bases.get(self.current.load(Ordering::Relaxed)).map_or("", Base::as_str)
    }

    pub(super) fn bases(&self) -> &[Base] {
        &self.bases
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    async fn take_turn(&self, call: &Call) -> Result<Answer, Failure> {
        if self.is_nowhere() {
            return Err(Failure::new(FailureKind::Nowhere, Sent::No));
        }
        let leave = self.breaker.ask().map_err(Failure::refused)?;
        self.budget.acquire(call.priority, call.deadline).await?;
        leave.confirm().map_err(Failure::refused)?;
        let start = Instant::now();
        let result = self.deliver(call).await;
        leave.end(match &result {
            Ok(_) => Ended::Answered,
            Err(failure) => failure.shows(start.elapsed()),
        });
        result
    }

    async fn deliver(&self, call: &Call) -> Result<Answer, Failure> {
        let mut index = self.current.load(Ordering::Relaxed);
        let mut untried = self.bases.len() - 1;
        let mut repeated = false;
        loop {
            let failure = match self.attempt(index, call).await {
                Ok(answer) => {
                    self.prefer(index);
                    // That our credentials are not accepted is no answer to whom they are not of.
                    let is_about_us = answer.status == StatusCode::UNAUTHORIZED && self.authorization.is_some();
                    return if call.voice == Voice::Ours || is_about_us { self.judge(answer) } else { Ok(answer) };
                }
                Err(failure) => failure,
            };
            let url = self.bases[index].as_str();
            tracing::warn!(registry = self.name, url, reason = failure.chain(), sent = ?failure.sent, "no answer");
            if failure.is_about_the_url() && untried > 0 && Instant::now() < call.deadline {
                untried -= 1;
                index = (index + 1) % self.bases.len();
            } else if failure.kind == FailureKind::Broken && call.is_repeatable() && !repeated {
                repeated = true;
                self.budget.acquire(call.priority, call.deadline).await?;
            } else {
                return Err(failure);
            }
        }
    }

    /// Puts the call on the wire to one URL.
    pub(super) async fn attempt(&self, index: usize, call: &Call) -> Result<Answer, Failure> {
        let mut request = self.request(index, call).await?;
        // A limit that is over would still let the first bytes go.
        if call.deadline <= Instant::now() {
            return Err(Failure::new(FailureKind::TimedOut, Sent::No));
        }
        self.counters.attempt(self.name);
        let connection = capture_connection(&mut request);
        match timeout_at(call.deadline, exchange(&self.client, request)).await {
            Ok(Ok(response)) => {
                let (head, body) = response.into_parts();
                Ok(Answer { status: head.status, headers: head.headers, body, url: index })
            }
            Ok(Err(failure)) => Err(failure),
            Err(elapsed) => {
                let sent = if connection.connection_metadata().is_none() { Sent::No } else { Sent::Maybe };
                Err(Failure::from_source(FailureKind::TimedOut, sent, elapsed))
            }
        }
    }

    async fn request(&self, index: usize, call: &Call) -> Result<Request<Full<Bytes>>, Failure> {
        let malformed = || Failure::new(FailureKind::Malformed, Sent::No);
        let mut request = Request::new(Full::new(call.body.clone()));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = self.bases[index].join(&call.path_and_query).ok_or_else(malformed)?;
        let headers = request.headers_mut();
        headers.clone_from(&call.headers);
        let is_ours = call.voice == Voice::Ours;
        for name in OURS.iter().filter(|name| is_ours || !PERSONAL.contains(name)) {
            headers.remove(name);
        }
        if let Some(authorization) = &self.authorization {
            // Who comes as us does not come as the client.
            headers.remove(header::COOKIE);
            headers.insert(header::AUTHORIZATION, authorization.header().await);
        }
        if !is_ours {
            return Ok(request);
        }
        // Who names no coding accepts any, and what comes is read here.
        headers.entry(header::ACCEPT_ENCODING).or_insert(HeaderValue::from_static("identity"));
        headers.entry(UNKNOWN_PROPERTIES).or_insert(HeaderValue::from_static("true"));
        headers
            .entry(header::USER_AGENT)
            .or_insert(HeaderValue::from_static(concat!("schema-outpost/", env!("CARGO_PKG_VERSION"))));
        Ok(request)
    }

    fn prefer(&self, index: usize) {
        if self.current.swap(index, Ordering::Relaxed) != index {
            tracing::info!(registry = self.name, url = self.bases[index].as_str(), "calls go to another URL");
        }
    }

    /// Sorts out answers that are no answers to the caller's request, and heeds what the others say about pace.
    fn judge(&self, answer: Answer) -> Result<Answer, Failure> {
        if let Some(pause) = pause::asked_for(answer.status, &answer.headers) {
            tracing::warn!(registry = self.name, ?pause, status = answer.status.as_u16(), "asked to hold still");
            self.budget.pause(pause);
        }
        if answer.status == StatusCode::UNAUTHORIZED {
            if let Some(authorization) = &self.authorization {
                authorization.doubt();
            }
            let url = self.bases[answer.url].as_str();
            tracing::error!(registry = self.name, url, "our credentials are not accepted");
            return Err(Failure::new(FailureKind::Unauthorized, Sent::No));
        }
        if answer.status.is_redirection() && answer.status != StatusCode::NOT_MODIFIED {
            return Err(Failure::new(FailureKind::Redirected, Sent::No));
        }
        Ok(answer)
    }
}

fn client(connector: Connector) -> Client<Connector, Full<Bytes>> {
    // Both timers: without the second one idle connections are never closed.
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(32)
        .retry_canceled_requests(true)
        .build(connector)
}

async fn exchange(
    client: &Client<Connector, Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, Failure> {
    let no_body = request.method() == Method::HEAD;
    let response = client.request(request).await.map_err(unsent_or_broken)?;
    let (head, body) = response.into_parts();
    if head.status.is_informational() {
        return Err(Failure::new(FailureKind::Broken, Sent::Maybe));
    }
    let framed = no_body
        || body.size_hint().exact().is_some()
        || head.headers.contains_key(header::TRANSFER_ENCODING)
        || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let body = whole(body).await?;
    // Such a body ends with the connection, and nobody says whether it was the end of the answer.
    if !framed && let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&body) {
        return Err(Failure::from_source(FailureKind::Broken, Sent::Maybe, error));
    }
    Ok(Response::from_parts(head, body))
}

async fn whole(body: Incoming) -> Result<Bytes, Failure> {
    if body.size_hint().lower() > LARGEST_ANSWER as u64 {
        return Err(Failure::new(FailureKind::TooLarge, Sent::Maybe));
    }
    match Limited::new(body, LARGEST_ANSWER).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Failure::from_source(FailureKind::TooLarge, Sent::Maybe, error))
        }
        Err(error) => Err(Failure::from_source(FailureKind::Broken, Sent::Maybe, error)),
    }
}

fn unsent_or_broken(error: ClientError) -> Failure {
    if error.is_connect() {
        let kind = match error.source().and_then(|source| source.downcast_ref::<Unreachable>()) {
            Some(Unreachable { timed_out: true, .. }) => FailureKind::TimedOut,
            Some(Unreachable { stage: Stage::Tls, .. }) => FailureKind::Tls,
            _ => FailureKind::Connect,
        };
        return Failure::from_source(kind, Sent::No, error);
    }
    // The connection ended before it took the request, and the client handed the request back. It
    // has no other way to say so; should its words change, the failure is merely less certain.
    let sent = if error.to_string() == "client error (Canceled)" { Sent::No } else { Sent::Maybe };
    Failure::from_source(FailureKind::Broken, sent, error)
}

impl Failure {
    /// Whether another URL may do better, and may be asked.
    fn is_about_the_url(&self) -> bool {
        let kind =
            matches!(self.kind, FailureKind::Connect | FailureKind::Tls | FailureKind::TimedOut | FailureKind::Broken);
        kind && self.sent == Sent::No
    }

    /// What it says about the registry after waiting for so long.
    fn shows(&self, waited: Duration) -> Ended {
        match self.kind {
            FailureKind::Connect | FailureKind::Tls | FailureKind::Broken => Ended::Unreachable,
            FailureKind::TimedOut if waited >= PATIENCE => Ended::Unreachable,
            FailureKind::TimedOut
            | FailureKind::Nowhere
            | FailureKind::Refused
            | FailureKind::Spent
            | FailureKind::Malformed => Ended::Unknown,
            FailureKind::Unauthorized => Ended::TurnedAway,
            FailureKind::TooLarge | FailureKind::Redirected | FailureKind::Unreadable => Ended::Answered,
        }
    }
}
