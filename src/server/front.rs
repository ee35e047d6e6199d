//! Before hyper: requests whose answer is ready are answered from the words of their head alone.
//!
//! hyper is given everything else, byte for byte, and so everything about which there could be two minds: bodies,
//! other versions, connections that are to be closed. An answer is sent from here only while hyper owes none and
//! holds no byte of the client's, so that answers leave in the order of their requests.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::clock::{Clock, Protocol};
use super::ready::Outbox;
use super::words::{MOST_FIELDS, Reading, Words, escape_query, read};

/// Longest head that is answered here; longer ones are for hyper to judge, whose limit may be even less.
const LONGEST_HEAD: usize = 4096;

/// Whoever has answers that are ready.
pub trait AtOnce: Send + Sync {
    /// Puts the answer to a request into the outbox, if it is ready. If not, nothing is put in and nothing was
    /// decided: the request goes its usual way.
    fn answer(&self, words: &Words<'_>, outbox: &mut Outbox) -> bool;
}

/// What hyper was given of the client's words.
#[derive(Clone, Copy, Debug)]
enum Given {
    /// Whole requests, and their answers are out: what comes next is the beginning of a head.
    Nothing,
    /// A head whose answer is not out, after so many turns had ended. Of its body so much has not come yet.
    Request { to_come: u64, turns: u64 },
    /// Something whose end is not known here. All that follows is hyper's.
    Everything,
}

/// The socket of one HTTP/1 connection, as hyper sees it.
pub(super) struct Front<T> {
    inner: T,
    clock: Arc<Clock>,
    at_once: Option<Arc<dyn AtOnce>>,
    /// Longest head that is answered here.
    longest: usize,
    given: Given,
    /// What was read and is not answered: the beginning of a head, all that came after a request whose answer the
    /// client does not take, or what hyper has not taken of a request that was escaped.
    held: Vec<u8>,
    is_backlog: bool,
    outbox: Outbox,
}

/// What became of the requests that were read together.
enum Served {
    /// All of them are answered, but for the beginning of one from here on.
    UpTo(usize),
    /// One has to go its usual way, from here on.
    Until(usize, Given),
    /// The same, and what hyper is to be given from here on is held.
    Escaped(Given),
    /// An answer waits for the client to take it; what comes after it begins here.
    Blocked(usize),
}

impl<T: AsyncRead + AsyncWrite + Unpin> Front<T> {
    /// Puts `at_once` before hyper, which takes no heads that are longer than `longest`.
    pub(super) fn new(inner: T, clock: Arc<Clock>, at_once: Option<Arc<dyn AtOnce>>, longest: usize) -> Self {
        let given = if at_once.is_some() { Given::Nothing } else { Given::Everything };
        let longest = longest.min(LONGEST_HEAD);
        Self { inner, clock, at_once, longest, given, held: Vec::new(), is_backlog: false, outbox: Outbox::default() }
    }

    /// Waits for the words that tell what the client speaks, and keeps them for whoever will speak with it.
    pub(super) fn poll_protocol(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Protocol>> {
        let protocol = loop {
            if let Some(protocol) = Protocol::of(&self.held) {
                break protocol;
            }
            let mut room = [const { MaybeUninit::uninit() }; LONGEST_HEAD];
            let mut buf = ReadBuf::uninit(&mut room);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buf))?;
            if buf.filled().is_empty() {
                break Protocol::H1;
            }
            self.held.extend_from_slice(buf.filled());
        };
        self.is_backlog = !self.held.is_empty();
        self.speak(protocol);
        Poll::Ready(Ok(protocol))
    }

    /// From here on it is known what the client speaks.
    pub(super) fn speak(&mut self, protocol: Protocol) {
        self.clock.speaks(protocol);
        if protocol == Protocol::H2 {
            self.given = Given::Everything;
        }
    }

    /// Answers what can be answered. What is in `buf` after that is hyper's.
    fn poll_serve(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let start = buf.filled().len();
        loop {
            ready!(self.outbox.poll_send(&mut self.inner, cx))?;
            if self.held.len() > buf.remaining() {
                self.given = Given::Everything;
                return self.poll_rest(cx, buf);
            }
            buf.put_slice(&self.held);
            if !std::mem::take(&mut self.is_backlog) {
                match Pin::new(&mut self.inner).poll_read(cx, buf) {
                    Poll::Ready(Ok(())) => {}
                    stopped => {
                        buf.set_filled(start);
                        return stopped;
                    }
                }
                if buf.filled().len() == start + self.held.len() {
                    // There will be no more, and what is not whole is for hyper to judge.
                    self.held.clear();
                    self.given = Given::Everything;
                    return Poll::Ready(Ok(()));
                }
            }
            self.held = Vec::new();
            let served = self.serve(&buf.filled()[start..], cx)?;
            let end = buf.filled().len();
            let done = match served {
                Served::UpTo(done) => {
                    if end - start - done >= self.longest {
                        self.given = Given::Everything;
                    }
                    done
                }
                Served::Until(done, given) => {
                    self.given = given;
                    done
                }
                Served::Escaped(given) => {
                    self.given = given;
                    buf.set_filled(start);
                    return self.poll_rest(cx, buf);
                }
                Served::Blocked(done) => {
                    self.is_backlog = true;
                    done
                }
            };
            if let Given::Nothing = self.given {
                self.held.extend_from_slice(&buf.filled()[start + done..end]);
                buf.set_filled(start);
            } else {
                buf.filled_mut().copy_within(start + done..end, start);
                buf.set_filled(end - done);
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Answers the requests at the beginning of `bytes`, one after the other.
    fn serve(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> io::Result<Served> {
        let Self { inner, clock, at_once: Some(at_once), longest, outbox, held, .. } = self else {
            return Ok(Served::Until(0, Given::Everything));
        };
        let mut done = 0;
        while done < bytes.len() {
            let rest = &bytes[done..];
            let mut room = [const { MaybeUninit::uninit() }; MOST_FIELDS];
            let (length, target, words, body) = match read(rest, &mut room) {
                Reading::Head { length, target, words, body } => (length, target, words, body),
                Reading::Begun => {
                    // Lines that are empty are no part of a head yet.
                    if !rest.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
                        clock.begun();
                    }
                    return Ok(Served::UpTo(done));
                }
                Reading::Strange => return Ok(Served::Until(done, Given::Everything)),
            };
            // The last answer of a connection has to say so, which is hyper's to do.
            let words = words.filter(|_| length <= *longest && !clock.is_draining());
            if !words.is_some_and(|words| at_once.answer(&words, outbox)) {
                let follows = (rest.len() - length) as u64;
                let given = match body.and_then(|body| body.checked_sub(follows)) {
                    Some(to_come) => Given::Request { to_come, turns: clock.turns() },
                    None => Given::Everything,
                };
                let Some(escaped) = escape_query(rest, target) else { return Ok(Served::Until(done, given)) };
                *held = escaped;
                return Ok(Served::Escaped(given));
            }
            done += length;
            clock.answered();
            match outbox.poll_send(inner, cx) {
                Poll::Ready(sent) => sent?,
                Poll::Pending => return Ok(Served::Blocked(done)),
            }
        }
        Ok(Served::UpTo(done))
    }

    /// Reads for hyper: first what was held back, then what comes.
    fn poll_rest(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.held.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let length = self.held.len().min(buf.remaining());
        buf.put_slice(&self.held[..length]);
        self.held.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Front<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.given {
            Given::Nothing => self.poll_serve(cx, buf),
            Given::Request { .. } if !self.held.is_empty() => self.poll_rest(cx, buf),
            Given::Request { to_come, turns } => {
                let before = buf.filled().len();
                ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
                let more = (buf.filled().len() - before) as u64;
                let left = to_come.checked_sub(more);
                self.given = left.map_or(Given::Everything, |to_come| Given::Request { to_come, turns });
                Poll::Ready(Ok(()))
            }
            Given::Everything => self.poll_rest(cx, buf),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Front<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.outbox.is_empty() {
            // hyper has handed nothing over since, and the clock would take a flush for the end of what waits here.
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        // A turn ends when hyper has the last of its answer, and hyper flushes when it has handed all of that over.
        if let Given::Request { to_come: 0, turns } = self.given
            && self.held.is_empty()
            && self.clock.turns() > turns
        {
            self.given = Given::Nothing;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.outbox.poll_send(&mut this.inner, cx))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::convert::Infallible;
    use std::time::Duration;

    use http::{Request, Response, StatusCode};
    use http_body_util::BodyExt as _;
    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::sleep;

    use super::*;
    use crate::server::outgoing::{Outgoing, Turn};
    use crate::server::ready::{Framing, Heads};
    use crate::server::{Limits, stream::Watched};

    /// Has the answers to all targets with a `ready` in them.
    struct Shelf;

    fn body(target: &str) -> String {
        // Some are long enough to be lent, and some to block whoever sends them.
        format!("{target} ").repeat(if target.contains("long") { 700 } else { 1 })
    }

    impl AtOnce for Shelf {
        fn answer(&self, words: &Words<'_>, outbox: &mut Outbox) -> bool {
            if !words.target.contains("ready") {
                return false;
            }
            let body = body(words.target);
            let framing = match words.is_head {
                true => Framing::Announced(body.len()),
                false if words.target.contains("chunk") => Framing::Chunk(body.len()),
                false => Framing::Length(body.len()),
            };
            let ready = Heads::default().render(StatusCode::OK, [].into_iter(), framing);
            outbox.put(&ready, &[("x-request-id", b"1")], body.as_bytes(), || body.clone().into());
            true
        }
    }

    async fn answer(request: Request<Incoming>) -> Response<crate::body::Body> {
        let target = request.uri().path().to_owned();
        let is_head = request.method() == http::Method::HEAD;
        if target.contains("slow") {
            sleep(Duration::from_millis(5)).await;
        }
        if target.contains("early") {
            return Response::new(crate::body::Body::whole(target));
        }
        let sent = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let mut text = body(&target);
        text.push_str(&String::from_utf8_lossy(&sent));
        let mut response = Response::builder().header("x-request-id", "1");
        if is_head {
            response = response.header("content-length", text.len());
        }
        let whole = crate::body::Body::whole(text);
        let body = match (is_head, target.contains("chunk")) {
            (true, _) => crate::body::Body::empty(),
            (false, true) => whole.in_chunks(),
            (false, false) => whole,
        };
        response.body(body).expect("a response")
    }

    /// Between which two a conversation takes place.
    #[derive(Clone, Copy, Debug)]
    struct Parties {
        /// How much there is room for between them.
        room: usize,
        half_close: bool,
        /// Longest head that the server takes.
        longest: usize,
        /// After how many bytes the client does not read for a while.
        nap_at: usize,
    }

    fn parties() -> impl Strategy<Value = Parties> {
        let rooms = prop_oneof![Just(16usize), Just(64), Just(1024), Just(65536)];
        let all = (rooms, any::<bool>(), prop_oneof![Just(1024usize), Just(32768)], 0usize..20_000);
        all.prop_map(|(room, half_close, longest, nap_at)| Parties { room, half_close, longest, nap_at })
    }

    /// All that a client hears that sends `pieces`, the dates aside, and after how much of it nothing more came until
    /// the client closed its side.
    async fn heard(pieces: Vec<String>, parties: Parties, at_once: Option<Arc<dyn AtOnce>>) -> (usize, String) {
        let Parties { room, half_close, longest, nap_at } = parties;
        let is_asked = at_once.is_some();
        let (client, server) = tokio::io::duplex(room);
        let clock = Arc::new(Clock::new(&Limits::default()));
        let mut front = Front::new(Watched::new(server, clock.clone()), clock.clone(), at_once, longest);
        let service = service_fn(move |request: Request<Incoming>| {
            let turn = Turn::begin(clock.clone(), false);
            async move { Ok::<_, Infallible>(answer(request).await.map(|body| Outgoing::new(body, turn))) }
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.half_close(half_close).max_header_size(longest);
        let connection = async {
            if is_asked {
                let protocol = std::future::poll_fn(|cx| front.poll_protocol(cx)).await;
                assert!(matches!(protocol, Ok(Protocol::H1) | Err(_)), "{protocol:?}");
            }
            builder.serve_connection(TokioIo::new(front), service).await
        };
        let (mut reading, mut writing) = tokio::io::split(client);
        let answers = RefCell::new(Vec::new());
        let send = async {
            for piece in pieces {
                // A server that has heard enough closes.
                if writing.write_all(piece.as_bytes()).await.is_err() {
                    break;
                }
                sleep(Duration::from_millis(1)).await;
            }
            sleep(Duration::from_secs(1)).await;
            let length = answers.borrow().len();
            let _ = writing.shutdown().await;
            length
        };
        let receive = async {
            let mut piece = [0; 512];
            let mut nap = Some(Duration::from_millis(100));
            while let Ok(length @ 1..) = reading.read(&mut piece).await {
                answers.borrow_mut().extend_from_slice(&piece[..length]);
                if answers.borrow().len() >= nap_at {
                    sleep(nap.take().unwrap_or_default()).await;
                }
            }
        };
        let (_, length, ()) = tokio::join!(connection, send, receive);
        let text = String::from_utf8(answers.into_inner()).expect("text");
        let lines = text.split("\r\n").filter(|line| !line.starts_with("date: "));
        (length, lines.collect::<Vec<_>>().join("\r\n"))
    }

    fn request() -> impl Strategy<Value = String> {
        let get = |target: &'static str| Just(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        prop_oneof![
            8 => get("/ready"),
            2 => get("/ready/long"),
            2 => get("/ready/chunk/long"),
            2 => get("/other"),
            2 => get("/slow"),
            1 => get("/slow/long"),
            1 => get("/slow/chunk"),
            1 => Just("HEAD /ready HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
            1 => Just("POST /ready HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /".to_owned()),
            1 => Just("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n".to_owned()),
            1 => Just("GET /ready HTTP/1.1\r\nHost: a\r\nContent-Length: 27\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
            1 => Just("GET /ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned()),
            1 => Just("GET /ready HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned()),
            1 => Just(format!("GET /ready HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(5000))),
            2 => (900usize..1100).prop_map(|length| format!("GET /ready HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(length))),
            1 => Just("\r\nGET /ready HTTP/1.1\nHost: a\n\n".to_owned()),
            1 => Just("GET /ready HTTP/1.1\r\nHo st: a\r\n\r\n".to_owned()),
        ]
    }

    /// A request of those that hyper is given one by one.
    fn marked() -> impl Strategy<Value = String> {
        let get = |target: &'static str| Just(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        prop_oneof![
            get("/ready"),
            get("/other"),
            get("/marks?x=\"{}\"&y=<z>"),
            Just("\r\nHEAD /marks?< HTTP/1.1\nHost: a\n\n".to_owned()),
            Just(post("/marks?\"", 5)),
            // More than hyper has room for at once.
            Just(post("/marks?\"", 8150)),
            Just(post("/marks?\"", 30_000)),
        ]
    }

    /// A request whose body is other requests.
    fn post(target: &str, length: usize) -> String {
        let inner = "GET /ready HTTP/1.1\r\nHost: a\r\n\r\n";
        let body = &inner.repeat(length / inner.len() + 1)[..length];
        format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
    }

    #[test]
    fn a_body_that_nobody_waits_for_is_no_request_whatever_was_escaped_before_it() {
        let parties = Parties { room: 65536, half_close: false, longest: 1024, nap_at: usize::MAX };
        for length in 8100..8220 {
            let (ours, _) = compared(vec![post("/early?\"", length)], Vec::new(), parties);
            assert_eq!(ours.1.matches("/early").count(), 1, "{}", ours.1);
            assert_eq!(ours.1.matches("/ready").count(), 0, "{}", ours.1);
        }
    }

    /// What is heard of ours, and of hyper alone from what it takes.
    fn compared(ours: Vec<String>, alone: Vec<String>, parties: Parties) -> ((usize, String), (usize, String)) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().expect("a runtime");
        let shelf: Option<Arc<dyn AtOnce>> = Some(Arc::new(Shelf));
        (runtime.block_on(heard(ours, parties, shelf)), runtime.block_on(heard(alone, parties, None)))
    }

    /// In which pieces a request is sent.
    #[derive(Clone, Copy, Debug)]
    enum Sending {
        Alone,
        InTwo(usize),
        WithTheNext,
    }

    fn sending() -> impl Strategy<Value = Sending> {
        prop_oneof![Just(Sending::Alone), (0usize..6000).prop_map(Sending::InTwo), Just(Sending::WithTheNext)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Whatever is sent, in whatever pieces, through whatever narrow socket.
        #[test]
        fn a_client_hears_what_hyper_alone_would_have_said(
            requests in proptest::collection::vec((request(), sending()), 1..12),
            end in prop_oneof![Just(""), Just("GET /rea"), Just("GET /ready HTTP/1.1\r\nHost: a\r\n")],
            parties in parties(),
        ) {
            let mut pieces = requests.iter().fold(vec![String::new()], |mut pieces, (request, sending)| {
                let last = pieces.last_mut().expect("begun with one");
                match *sending {
                    Sending::WithTheNext => last.push_str(request),
                    Sending::Alone => {
                        last.push_str(request);
                        pieces.push(String::new());
                    }
                    Sending::InTwo(at) => {
                        let (one, other) = request.split_at(at % request.len());
                        last.push_str(one);
                        pieces.push(other.to_owned());
                        pieces.push(String::new());
                    }
                }
                pieces
            });
            pieces.push(end.to_owned());
            let (ours, alone) = compared(pieces.clone(), pieces, parties);
            prop_assert!(ours == alone, "after {} and {} bytes", ours.0, alone.0);
        }

        /// However they are cut, as long as each waits for the answer to the one before it.
        #[test]
        fn marks_in_a_query_are_heard_as_if_they_had_been_escaped(
            requests in proptest::collection::vec((marked(), 0usize..9000), 1..12),
            parties in parties(),
        ) {
            let halves = requests.iter().flat_map(|(request, at)| {
                let (one, other) = request.split_at(at % request.len());
                [one.to_owned(), other.to_owned()]
            });
            let pieces: Vec<String> = halves.collect();
            let escaped = |text: &String| text.replace('"', "%22").replace('<', "%3C").replace('>', "%3E");
            let spelt_out = pieces.iter().map(escaped).collect();
            let parties = Parties { room: 65536, nap_at: usize::MAX, ..parties };
            let (ours, alone) = compared(pieces, spelt_out, parties);
            prop_assert!(ours == alone, "after {} and {} bytes", ours.0, alone.0);
        }
    }
}
