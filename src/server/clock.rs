//! The clock of one connection: what it is doing, since when, and when that has lasted too long.
//!
//! hyper has one timer for a head and for the silence before it, none for the first byte, none for
//! HTTP/2, and none for an answer that nobody reads. So the stream and the service report here
//! what happens, and the task that drives the connection asks here when to give up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use super::Limits;

/// How long a closed connection is still read, so that an answer to a body that was refused half-way
/// is not lost to the reset that unread bytes cause.
const LINGER: Duration = Duration::from_secs(2);

/// How long a connection without a request stays open after a drain has begun.
const DRAIN_GRACE: Duration = Duration::from_millis(500);

/// A client that takes an answer more slowly than this many bytes a second is taken for stalled.
const SLOWEST_READER: u64 = 1024;

/// What an HTTP/2 client sends first (RFC 9113, section 3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The preface of an HTTP/2 client with the head of its first frame, its settings (9 bytes).
const H2_OPENING: u64 = H2_PREFACE.len() as u64 + 9;

/// The two ways of speaking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.1 and 1.0.
    H1,
    /// HTTP/2, after ALPN or with prior knowledge (WIRE.md section 0.1).
    H2,
}

impl Protocol {
    /// What a client speaks whose first bytes these are; `None` while it could still be either.
    pub(super) fn of(first: &[u8]) -> Option<Self> {
        if first.starts_with(H2_PREFACE) {
            return Some(Self::H2);
        }
        (!H2_PREFACE.starts_with(first)).then_some(Self::H1)
    }
}

/// Which limit ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// No byte at all.
    FirstByte,
    /// A head that was begun and not ended.
    Head,
    /// Nothing between two requests.
    Idle,
    /// Nothing after a drain has begun.
    Drained,
    /// An answer that is not read.
    Stalled,
    /// A client that does not close after we did.
    Linger,
}

/// Since when something lasts; not known yet while the connection's own task, which will look at the time
/// when it has done what it can, is at it.
type Since = Option<Instant>;

#[derive(Clone, Copy, Debug)]
enum Phase {
    Fresh(Instant),
    Head(Since),
    Idle(Since),
    Busy,
    Closing(Instant),
}

#[derive(Debug)]
struct State {
    phase: Phase,
    in_flight: usize,
    /// How many turns of hyper's have ended.
    turns: u64,
    /// Since when the socket takes nothing, moved on a little by each byte that it does take.
    blocked: Option<Instant>,
    /// Answers of HTTP/2 that wait for the client's window, with the time since when.
    waiting: Vec<(u64, Instant)>,
    received: u64,
    tail: [u8; 3],
    bodyless: bool,
    lingers: bool,
    drain_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Patience {
    first_byte: Duration,
    head: Duration,
    idle: Duration,
    stalled: Duration,
}

/// The clock itself; shared by stream, service and connection.
pub(super) struct Clock {
    is_h2: AtomicBool,
    patience: Patience,
    state: Mutex<State>,
    // Apart from the state, for they are asked about with every answer: whether a drain has begun, whether the socket
    // takes nothing, whether something was sent that is not flushed, and whether a change must wake the connection's
    // task, because it is not at work itself.
    is_draining: AtomicBool,
    is_blocked: AtomicBool,
    is_unflushed: AtomicBool,
    is_watched: AtomicBool,
    waker: AtomicWaker,
}

impl Clock {
    /// The clock of a connection that was just opened, which speaks HTTP/1 as far as is known.
    pub(super) fn new(limits: &Limits) -> Self {
        let patience = Patience {
            first_byte: limits.first_byte,
            head: limits.head_time,
            idle: limits.idle,
            stalled: limits.body_idle,
        };
        let state = State {
            phase: Phase::Fresh(Instant::now()),
            in_flight: 0,
            turns: 0,
            blocked: None,
            waiting: Vec::new(),
            received: 0,
            tail: [0; 3],
            bodyless: false,
            lingers: true,
            drain_at: None,
        };
        Self {
            is_h2: AtomicBool::new(false),
            patience,
            state: Mutex::new(state),
            is_draining: AtomicBool::new(false),
            is_blocked: AtomicBool::new(false),
            is_unflushed: AtomicBool::new(false),
            is_watched: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    pub(super) fn protocol(&self) -> Protocol {
        if self.is_h2.load(Ordering::Relaxed) { Protocol::H2 } else { Protocol::H1 }
    }

    /// It is known now what the connection speaks, before anything of it was answered.
    pub(super) fn speaks(&self, protocol: Protocol) {
        if protocol == Protocol::H2 {
            let mut state = self.state();
            self.is_h2.store(true, Ordering::Relaxed);
            state.open_h2();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock; and if it did, the numbers would still be numbers.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Bytes came from the client; none means that it will send no more.
    pub(super) fn received(&self, bytes: &[u8]) {
        let mut state = self.state();
        if bytes.is_empty() {
            state.lingers = false;
            return;
        }
        state.received = state.received.saturating_add(bytes.len() as u64);
        for byte in bytes.iter().rev().take(3).rev() {
            state.tail = [state.tail[1], state.tail[2], *byte];
        }
        let protocol = self.protocol();
        state.phase = match (protocol, state.phase) {
            (Protocol::H1, Phase::Fresh(_) | Phase::Idle(_)) | (Protocol::H2, Phase::Fresh(_)) => {
                state.lingers = true;
                Phase::Head(None)
            }
            (_, phase) => phase,
        };
        if protocol == Protocol::H2 {
            state.open_h2();
        }
    }

    /// The head of a request is complete.
    pub(super) fn begin(&self, bodyless: bool) {
        let mut state = self.state();
        state.in_flight += 1;
        state.bodyless = bodyless;
        // Only a body that was refused half-way can be what an answer gets lost over.
        state.lingers = !bodyless;
        state.phase = Phase::Busy;
    }

    /// The last of an answer was handed over, or the answer was given up.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.in_flight = state.in_flight.saturating_sub(1);
        state.turns += 1;
        if state.in_flight > 0 || matches!(state.phase, Phase::Closing(_)) {
            return;
        }
        state.phase = if self.protocol() == Protocol::H1 && state.bodyless && !ends_a_head(state.tail) {
            // Part of the next head came along with this request, so there is no silence to wait for.
            Phase::Head(None)
        } else {
            Phase::Idle(None)
        };
        drop(state);
        self.wake();
    }

    /// How many answers hyper was handed to their last byte, or gave up.
    pub(super) fn turns(&self) -> u64 {
        self.state().turns
    }

    /// A request was answered without a turn.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        state.lingers = false;
        state.phase = Phase::Idle(None);
    }

    /// What came is the beginning of a head.
    pub(super) fn begun(&self) {
        let mut state = self.state();
        if let Phase::Idle(_) = state.phase {
            state.phase = Phase::Head(None);
        }
    }

    /// The socket takes no more for now.
    pub(super) fn blocked(&self) {
        let mut state = self.state();
        self.is_blocked.store(true, Ordering::Relaxed);
        if state.blocked.is_none() {
            state.blocked = Some(Instant::now());
        }
    }

    /// The socket took `bytes`; a drip of them does not start the wait anew.
    pub(super) fn took(&self, bytes: usize) {
        self.is_unflushed.store(true, Ordering::Relaxed);
        if !self.is_blocked.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state();
        if let Some(since) = state.blocked {
            let bought = Duration::from_millis((bytes as u64).saturating_mul(1000) / SLOWEST_READER);
            let since = since + bought;
            state.blocked = (since < Instant::now()).then_some(since);
            self.is_blocked.store(state.blocked.is_some(), Ordering::Relaxed);
        }
    }

    /// Everything that was to be sent has been taken.
    pub(super) fn flushed(&self) {
        let is_unflushed = self.is_unflushed.load(Ordering::Relaxed);
        if !is_unflushed && !self.is_blocked.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state();
        state.blocked = None;
        self.is_blocked.store(false, Ordering::Relaxed);
        self.is_unflushed.store(false, Ordering::Relaxed);
        if is_unflushed && self.protocol() == Protocol::H1 && matches!(state.phase, Phase::Idle(_)) {
            // hyper takes an answer as a whole and lets go of it; the client has it only now.
            state.phase = Phase::Idle(None);
        }
    }

    /// An answer waits for the client to take what it was given.
    pub(super) fn waits(&self, answer: u64) {
        let now = Instant::now();
        let mut state = self.state();
        match state.waiting.iter_mut().find(|(waiting, _)| *waiting == answer) {
            Some((_, since)) => *since = now,
            None => state.waiting.push((answer, now)),
        }
        drop(state);
        self.wake();
    }

    /// An answer does not wait for the client any more.
    pub(super) fn moves(&self, answer: u64) {
        self.state().waiting.retain(|(waiting, _)| *waiting != answer);
    }

    /// Our side is closed.
    pub(super) fn closing(&self) {
        let mut state = self.state();
        if !matches!(state.phase, Phase::Closing(_)) {
            state.phase = Phase::Closing(Instant::now());
        }
    }

    /// A drain has begun. Says whether the connection should be told so at once.
    ///
    /// An HTTP/1 connection on which nothing is under way is better left alone for a moment: the next
    /// request may be on its way, and its answer is the only place to tell the client in.
    pub(super) fn drain(&self) -> bool {
        let mut state = self.state();
        self.is_draining.store(true, Ordering::Relaxed);
        state.drain_at = Some(Instant::now() + DRAIN_GRACE);
        self.protocol() == Protocol::H2 || matches!(state.phase, Phase::Busy)
    }

    /// Whether a drain has begun.
    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// The connection is closed although nothing went wrong, so that no answer can be lost.
    pub(super) fn retire(&self) {
        let mut state = self.state();
        state.lingers = false;
        self.is_draining.store(false, Ordering::Relaxed);
        state.drain_at = None;
        state.phase = Phase::Closing(Instant::now());
    }

    /// Whether a closed connection has to be read on for a while.
    pub(super) fn lingers(&self) -> bool {
        self.state().lingers
    }

    /// When the connection has lasted too long as it is, and what to call that. From `now` on a change that
    /// comes from another task wakes this one.
    pub(super) fn watch(&self, waker: &Waker, now: Instant) -> Option<(Instant, Overdue)> {
        // Before the state is looked at, so that no change falls between the two.
        self.waker.register(waker);
        let mut state = self.state();
        self.is_watched.store(true, Ordering::Relaxed);
        state.due(&self.patience, now)
    }

    /// Changes made by the connection's own task need not wake it.
    pub(super) fn unwatch(&self) {
        self.is_watched.store(false, Ordering::Relaxed);
    }

    /// Wakes the connection's task, if it waits. Who changes the state does so under its lock, and so does the task
    /// that begins to wait.
    fn wake(&self) {
        if self.is_watched.load(Ordering::Relaxed) {
            self.waker.wake();
        }
    }
}

impl State {
    /// An HTTP/2 client may connect ahead of its first request; and when it is idle, its bytes are answers to our
    /// pings more often than heads.
    fn open_h2(&mut self) {
        if self.received >= H2_OPENING && matches!(self.phase, Phase::Head(_)) {
            self.phase = Phase::Idle(None);
        }
    }

    fn due(&mut self, patience: &Patience, now: Instant) -> Option<(Instant, Overdue)> {
        let is_blocked = self.blocked.is_some();
        let phase = match &mut self.phase {
            Phase::Fresh(since) => Some((*since + patience.first_byte, Overdue::FirstByte)),
            Phase::Head(since) => Some((*since.get_or_insert(now) + patience.head, Overdue::Head)),
            Phase::Idle(_) if is_blocked => None,
            Phase::Idle(since) => Some((*since.get_or_insert(now) + patience.idle, Overdue::Idle)),
            Phase::Busy => None,
            Phase::Closing(since) => Some((*since + LINGER, Overdue::Linger)),
        };
        if self.drain_at.is_none() && self.waiting.is_empty() && !is_blocked {
            return phase;
        }
        let is_quiet = matches!(self.phase, Phase::Fresh(_) | Phase::Idle(_)) && !is_blocked;
        let drained = self.drain_at.filter(|_| is_quiet).map(|at| (at, Overdue::Drained));
        let oldest = self.waiting.iter().map(|(_, since)| *since).chain(self.blocked).min();
        let stalled = oldest.map(|since| (since + patience.stalled, Overdue::Stalled));
        phase.into_iter().chain(drained).chain(stalled).min_by_key(|(at, _)| *at)
    }
}

fn ends_a_head(tail: [u8; 3]) -> bool {
    tail == *b"\n\r\n" || tail[1..] == *b"\n\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(protocol: Protocol) -> Clock {
        let clock = Clock::new(&Limits::default());
        clock.speaks(protocol);
        clock
    }

    fn left(clock: &Clock) -> Option<(u64, Overdue)> {
        let now = Instant::now();
        clock.watch(Waker::noop(), now).map(|(at, overdue)| ((at - now).as_secs(), overdue))
    }

    #[test]
    fn the_first_byte_that_is_not_of_the_preface_tells_that_it_is_none() {
        let others = ["", "GET / HTTP/1.1", "POST", "PRI * HTTP/1.1\r\n\r\n", "\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"];
        let found = others.map(|first| Protocol::of(first.as_bytes()));
        assert_eq!(found, [None, Some(Protocol::H1), Some(Protocol::H1), Some(Protocol::H1), Some(Protocol::H1)]);
        for end in 0..H2_PREFACE.len() {
            assert_eq!(Protocol::of(&H2_PREFACE[..end]), None);
            assert_eq!(Protocol::of(&[&H2_PREFACE[..end], b"x"].concat()), Some(Protocol::H1));
        }
        assert_eq!(Protocol::of(H2_PREFACE), Some(Protocol::H2));
        assert_eq!(Protocol::of(&[H2_PREFACE, &[0; 9]].concat()), Some(Protocol::H2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_whose_protocol_shows_late_is_granted_no_more_time() {
        let clock = Clock::new(&Limits::default());
        pass(3).await;
        clock.received(&H2_PREFACE[..3]);
        assert_eq!(left(&clock), Some((10, Overdue::Head)));
        pass(4).await;
        clock.received(&H2_PREFACE[3..]);
        clock.speaks(Protocol::H2);
        assert_eq!(left(&clock), Some((6, Overdue::Head)));
        clock.received(&[0; 9]);
        assert_eq!(left(&clock), Some((75, Overdue::Idle)));
        assert!(clock.drain(), "a client of HTTP/2 is told at once");
    }

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_of_a_plain_connection_has_its_own_limit() {
        let clock = clock(Protocol::H1);
        assert_eq!(left(&clock), Some((10, Overdue::FirstByte)));
        pass(9).await;
        clock.received(b"GET / HT");
        assert_eq!(left(&clock), Some((10, Overdue::Head)));
        pass(4).await;
        clock.received(b"TP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(left(&clock), Some((6, Overdue::Head)), "a head that drips is not granted more time");
        clock.begin(true);
        assert_eq!(left(&clock), None);
        clock.end();
        assert_eq!(left(&clock), Some((75, Overdue::Idle)));
        clock.received(b"G");
        assert_eq!(left(&clock), Some((10, Overdue::Head)));
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_head_that_came_with_the_request_before_it_is_not_taken_for_silence() {
        let clock = clock(Protocol::H1);
        clock.received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /");
        clock.begin(true);
        clock.end();
        assert_eq!(left(&clock), Some((10, Overdue::Head)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_http_2_connection_must_open_in_time_and_may_then_be_silent() {
        let clock = clock(Protocol::H2);
        clock.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        assert_eq!(left(&clock), Some((10, Overdue::Head)));
        pass(3).await;
        clock.received(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        assert_eq!(left(&clock), Some((75, Overdue::Idle)));
        pass(5).await;
        clock.received(&[0; 17]);
        assert_eq!(left(&clock), Some((70, Overdue::Idle)), "an answer to a ping is no request");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_taken_in_drips_is_stalled_all_the_same() {
        let clock = clock(Protocol::H1);
        clock.received(b"GET / HTTP/1.1\r\n\r\n");
        clock.begin(true);
        clock.blocked();
        for _ in 0..8 {
            pass(1).await;
            clock.took(32);
            clock.blocked();
        }
        assert_eq!(left(&clock), Some((2, Overdue::Stalled)));
        clock.took(10_000);
        assert_eq!(left(&clock), None, "a reader that catches up is forgiven");
    }

    #[tokio::test(start_paused = true)]
    async fn one_stalled_answer_counts_although_others_move() {
        let clock = clock(Protocol::H2);
        clock.begin(true);
        clock.begin(true);
        clock.waits(1);
        pass(6).await;
        clock.waits(2);
        clock.moves(2);
        assert_eq!(left(&clock), Some((4, Overdue::Stalled)));
        clock.moves(1);
        assert_eq!(left(&clock), None);
    }
}
