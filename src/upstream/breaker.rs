//! Refuses calls to a registry that does not answer, so that nobody waits for what will not come.
//!
//! After three failures in a row it is open: calls end at once, but for one a second, which finds
//! out whether the registry is back. A complete answer, whatever its status, closes it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

const FAILURES: u32 = 3;
const BETWEEN_PROBES: Duration = Duration::from_secs(1);

/// Whether calls go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// Calls are refused.
    Open,
    /// Calls are refused while one finds out.
    Probing,
}

/// What is known about the other registry from the calls made so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reachability {
    /// Whether calls go through.
    pub breaker: BreakerState,
    /// When it last answered.
    pub last_answer: Option<Instant>,
    /// Whether the last call was answered; false before the first one.
    pub reachable: bool,
    /// Since when calls have not been answered.
    pub unreachable_since: Option<Instant>,
}

/// How a call ended, as far as the breaker cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// A complete answer came.
    Answered,
    /// An answer came, but it says that our credentials are no good.
    TurnedAway,
    /// There is nobody there, or it does not do its part.
    Unreachable,
    /// It says nothing about the registry.
    Unknown,
}

#[derive(Debug)]
pub(super) struct Breaker {
    state: Mutex<State>,
    /// Whether `unreachable_since` is set, for those who ask with every request.
    is_away: AtomicBool,
    changes: watch::Sender<Reachability>,
}

#[derive(Debug)]
struct State {
    failures: u32,
    next_probe: Instant,
    seen: Reachability,
    probes: u32,
}

/// Leave to make one call; the breaker learns how it ended.
#[derive(Debug)]
pub(super) struct Leave<'a> {
    breaker: &'a Breaker,
    probe: bool,
    ended: Ended,
}

impl Breaker {
    pub(super) fn new() -> Self {
        let seen = Reachability {
            breaker: BreakerState::Closed,
            last_answer: None,
            reachable: false,
            unreachable_since: None,
        };
        let state = State { failures: 0, next_probe: Instant::now(), seen, probes: 0 };
        Self { state: Mutex::new(state), is_away: AtomicBool::new(false), changes: watch::Sender::new(seen) }
    }

    /// Lets a call through, or says when to try again.
    pub(super) fn ask(&self) -> Result<Leave<'_>, Duration> {
        let mut state = self.lock();
        let probe = state.seen.breaker != BreakerState::Closed;
        if probe {
            let now = Instant::now();
            if now < state.next_probe {
                return Err(state.next_probe - now);
            }
            state.next_probe = now + BETWEEN_PROBES;
            state.probes += 1;
            state.settle();
            drop(state);
            self.show();
        }
        Ok(Leave { breaker: self, probe, ended: Ended::Unknown })
    }

    pub(super) fn reachability(&self) -> Reachability {
        self.lock().seen
    }

    pub(super) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    /// Changes of everything but the time of the last answer, which would wake the receiver with every call.
    pub(super) fn subscribe(&self) -> watch::Receiver<Reachability> {
        self.changes.subscribe()
    }

    fn learn(&self, leave: &Leave<'_>) {
        let mut state = self.lock();
        let now = Instant::now();
        state.probes -= u32::from(leave.probe);
        match leave.ended {
            Ended::Answered | Ended::TurnedAway => {
                state.seen.last_answer = Some(now);
                state.seen.reachable = true;
                state.seen.unreachable_since = None;
            }
            Ended::Unreachable => {
                state.seen.reachable = false;
                state.seen.unreachable_since.get_or_insert(now);
            }
            Ended::Unknown => {}
        }
        match leave.ended {
            Ended::Answered => {
                state.failures = 0;
                state.seen.breaker = BreakerState::Closed;
            }
            Ended::TurnedAway | Ended::Unreachable => {
                state.failures = state.failures.saturating_add(1);
                if state.failures >= FAILURES && state.seen.breaker == BreakerState::Closed {
                    state.seen.breaker = BreakerState::Open;
                    state.next_probe = now + BETWEEN_PROBES;
                }
            }
            Ended::Unknown => {}
        }
        state.settle();
        self.is_away.store(state.seen.unreachable_since.is_some(), Ordering::Relaxed);
        drop(state);
        self.show();
    }

    // Never with the state locked: whoever holds what it borrowed from the channel may be about to ask for the state.
    fn show(&self) {
        self.changes.send_if_modified(|shown| {
            let seen = self.reachability();
            let same = Reachability { last_answer: seen.last_answer, ..*shown } == seen;
            *shown = seen;
            !same
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn settle(&mut self) {
        if self.seen.breaker != BreakerState::Closed {
            self.seen.breaker = if self.probes > 0 { BreakerState::Probing } else { BreakerState::Open };
        }
    }
}

impl Leave<'_> {
    /// Asks again after a wait; what was open when the call got in line may be closed when it is served.
    pub(super) fn confirm(&self) -> Result<(), Duration> {
        let state = self.breaker.lock();
        if self.probe || state.seen.breaker == BreakerState::Closed {
            return Ok(());
        }
        Err(state.next_probe.saturating_duration_since(Instant::now()))
    }

    /// Tells how the call ended. A call that is dropped instead tells nothing.
    pub(super) fn end(mut self, ended: Ended) {
        self.ended = ended;
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.breaker.learn(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(breaker: &Breaker, ended: Ended) -> bool {
        breaker.ask().map(|leave| leave.end(ended)).is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn three_failures_in_a_row_open_it_and_an_answer_in_between_starts_the_count_again() {
        let breaker = Breaker::new();
        for ended in [Ended::Unreachable, Ended::TurnedAway, Ended::Answered, Ended::Unreachable, Ended::Unreachable] {
            assert!(call(&breaker, ended));
        }
        assert!(call(&breaker, Ended::Unknown), "what says nothing counts for nothing");
        assert_eq!(breaker.reachability().breaker, BreakerState::Closed);
        assert!(call(&breaker, Ended::Unreachable));
        assert_eq!(breaker.reachability().breaker, BreakerState::Open);
        assert_eq!(breaker.ask().map(drop), Err(Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_one_lets_one_call_a_second_through_and_an_answer_closes_it() {
        let breaker = Breaker::new();
        let start = Instant::now();
        (0..3).for_each(|_| assert!(call(&breaker, Ended::Unreachable)));
        for _ in 0..5 {
            assert!(!call(&breaker, Ended::Unreachable));
            tokio::time::advance(BETWEEN_PROBES).await;
            let probe = breaker.ask().expect("one a second");
            assert_eq!(breaker.reachability().breaker, BreakerState::Probing);
            assert!(breaker.ask().is_err());
            probe.end(Ended::Unreachable);
            assert_eq!(breaker.reachability().breaker, BreakerState::Open);
        }
        assert_eq!(breaker.reachability().unreachable_since, Some(start));
        tokio::time::advance(BETWEEN_PROBES).await;
        assert!(call(&breaker, Ended::Answered));
        assert!(call(&breaker, Ended::Answered), "closed again");
        let seen = breaker.reachability();
        assert_eq!((seen.reachable, seen.unreachable_since), (true, None));
        assert_eq!(seen.last_answer, Some(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_was_given_up_leaves_it_open_and_another_may_follow() {
        let breaker = Breaker::new();
        (0..3).for_each(|_| assert!(call(&breaker, Ended::Unreachable)));
        tokio::time::advance(BETWEEN_PROBES).await;
        drop(breaker.ask().expect("a probe"));
        assert_eq!(breaker.reachability().breaker, BreakerState::Open);
        tokio::time::advance(BETWEEN_PROBES).await;
        assert!(call(&breaker, Ended::Answered));
    }

    #[tokio::test(start_paused = true)]
    async fn being_turned_away_opens_it_although_somebody_is_there() {
        let breaker = Breaker::new();
        (0..3).for_each(|_| assert!(call(&breaker, Ended::TurnedAway)));
        let seen = breaker.reachability();
        assert_eq!((seen.breaker, seen.reachable), (BreakerState::Open, true));
    }

    #[tokio::test(start_paused = true)]
    async fn receivers_wake_when_it_opens_and_not_with_every_answer() {
        let breaker = Breaker::new();
        let mut changes = breaker.subscribe();
        assert!(call(&breaker, Ended::Answered));
        assert!(changes.has_changed().expect("there"), "reachable for the first time");
        changes.mark_unchanged();
        tokio::time::advance(BETWEEN_PROBES).await;
        assert!(call(&breaker, Ended::Answered));
        assert!(!changes.has_changed().expect("there"));
        (0..3).for_each(|_| assert!(call(&breaker, Ended::Unreachable)));
        assert_eq!(changes.borrow_and_update().breaker, BreakerState::Open);
    }
}
