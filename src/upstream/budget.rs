//! How many calls a second the other registry gets from us, and who goes first when there are more.
//!
//! One bucket for all calls: it fills at the configured rate and holds one second's worth. Whoever
//! finds it empty waits in line, first come first served inside a priority, writes before misses
//! before the importer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

/// What a call is for; earlier ones go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// A caller waits for a change.
    Write,
    /// A caller waits for something that the replica has not.
    Miss,
    /// The importer; nobody waits.
    Importer,
}

/// The bucket and the line before it.
#[derive(Debug)]
pub(super) struct Budget {
    interval: Duration,
    burst: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the bucket would be full; the calls it lacks are the intervals from now until then.
    full_at: Instant,
    /// Until when all but writes hold still, because the other registry asked for it.
    paused_until: Instant,
    lines: [VecDeque<Arc<Notify>>; 3],
}

/// No call may be made before the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the budget of calls is spent until after the deadline")]
pub struct Spent {
    /// When it may be worth to ask again.
    pub retry_after: Duration,
}

impl Budget {
    pub(super) fn new(per_second: u32) -> Self {
        let burst = per_second.max(1);
        let now = Instant::now();
        let state = State { full_at: now, paused_until: now, lines: Default::default() };
        Self { interval: Duration::from_secs(1) / burst, burst, state: Mutex::new(state) }
    }

    /// Waits for this call's turn, at most until the deadline.
    pub(super) async fn acquire(&self, priority: Priority, deadline: Instant) -> Result<(), Spent> {
        let place = Place::at_the_end(self, priority);
        loop {
            let (first, ready) = {
                let mut state = self.lock();
                let ready = self.ready(&state, priority);
                let first = state.is_first(&place);
                if first && ready <= Instant::now() {
                    state.full_at = state.full_at.max(Instant::now()) + self.interval;
                    return Ok(());
                }
                (first, ready)
            };
            if ready > deadline {
                return Err(Spent { retry_after: ready - Instant::now() });
            }
            let ended = if first {
                tokio::select! {
                    () = sleep_until(ready) => Ok(()),
                    () = place.turn.notified() => Ok(()),
                }
            } else {
                timeout_at(deadline, place.turn.notified()).await
            };
            ended.map_err(|_| Spent { retry_after: self.interval })?;
        }
    }

    /// Holds back misses and the importer; a longer pause that was asked for before stays.
    pub(super) fn pause(&self, pause: Duration) {
        let mut state = self.lock();
        state.paused_until = state.paused_until.max(Instant::now() + pause);
    }

    /// The earliest moment for a call of this priority, were it alone.
    fn ready(&self, state: &State, priority: Priority) -> Instant {
        let token = state.full_at.checked_sub(self.interval * (self.burst - 1)).unwrap_or(state.full_at);
        match priority {
            Priority::Write => token,
            Priority::Miss | Priority::Importer => token.max(state.paused_until),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn first(&self) -> Option<&Arc<Notify>> {
        self.lines.iter().find_map(VecDeque::front)
    }

    fn is_first(&self, place: &Place<'_>) -> bool {
        self.first().is_some_and(|turn| Arc::ptr_eq(turn, &place.turn))
    }
}

/// A place in the line, which is left when the value falls: served, given up or cancelled alike.
struct Place<'a> {
    budget: &'a Budget,
    priority: Priority,
    turn: Arc<Notify>,
}

impl<'a> Place<'a> {
    fn at_the_end(budget: &'a Budget, priority: Priority) -> Self {
        let turn = Arc::new(Notify::new());
        budget.lock().lines[priority as usize].push_back(Arc::clone(&turn));
        Self { budget, priority, turn }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.lines[self.priority as usize].retain(|turn| !Arc::ptr_eq(turn, &self.turn));
        if let Some(next) = state.first() {
            next.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as Shared;

    use super::*;

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(3_600)
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_holds_the_rate_after_one_burst_of_it() {
        let budget = Budget::new(30);
        let start = Instant::now();
        for _ in 0..30 {
            budget.acquire(Priority::Miss, far()).await.expect("in the bucket");
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..60 {
            budget.acquire(Priority::Miss, far()).await.expect("in time");
        }
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(1_990) && took <= Duration::from_millis(2_100), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_hour_saves_no_more_than_one_burst() {
        let budget = Budget::new(10);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        let start = Instant::now();
        for _ in 0..20 {
            budget.acquire(Priority::Importer, far()).await.expect("in time");
        }
        assert!(start.elapsed() >= Duration::from_millis(990));
    }

    #[tokio::test(start_paused = true)]
    async fn writes_go_before_misses_before_the_importer_and_each_in_its_order() {
        let budget = Arc::new(Budget::new(1));
        budget.acquire(Priority::Importer, far()).await.expect("the only one");
        let served = Arc::new(Shared::new(Vec::new()));
        let mut waiting = Vec::new();
        for (number, priority) in
            [Priority::Importer, Priority::Miss, Priority::Importer, Priority::Write, Priority::Miss, Priority::Write]
                .into_iter()
                .enumerate()
        {
            let (budget, served) = (Arc::clone(&budget), Arc::clone(&served));
            waiting.push(tokio::spawn(async move {
                budget.acquire(priority, far()).await.expect("in time");
                served.lock().expect("no panic").push((priority, number));
            }));
            tokio::task::yield_now().await;
        }
        for waiter in waiting {
            waiter.await.expect("served");
        }
        let served = served.lock().expect("no panic").clone();
        let numbers: Vec<_> = served.iter().map(|(_, number)| *number).collect();
        assert_eq!(numbers, [3, 5, 1, 4, 0, 2], "{served:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_be_served_in_time_hears_so_and_who_gives_up_is_not_waited_for() {
        let budget = Arc::new(Budget::new(1));
        budget.acquire(Priority::Write, far()).await.expect("the only one");
        let soon = Instant::now() + Duration::from_millis(100);
        let spent = budget.acquire(Priority::Miss, soon).await.expect_err("too soon");
        assert_eq!(spent.retry_after, Duration::from_secs(1));
        assert!(Instant::now() < soon, "nobody waits in vain");

        let first = tokio::spawn({
            let budget = Arc::clone(&budget);
            async move { budget.acquire(Priority::Write, far()).await }
        });
        tokio::task::yield_now().await;
        let start = Instant::now();
        let second = tokio::spawn({
            let budget = Arc::clone(&budget);
            async move { budget.acquire(Priority::Write, far()).await }
        });
        tokio::task::yield_now().await;
        first.abort();
        second.await.expect("not aborted").expect("in time");
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_back_all_but_writes() {
        let budget = Budget::new(100);
        budget.pause(Duration::from_secs(5));
        budget.pause(Duration::from_secs(1));
        let start = Instant::now();
        budget.acquire(Priority::Write, far()).await.expect("writes go on");
        assert_eq!(start.elapsed(), Duration::ZERO);
        let soon = Instant::now() + Duration::from_secs(2);
        let spent = budget.acquire(Priority::Miss, soon).await.expect_err("paused beyond the deadline");
        assert_eq!(spent.retry_after, Duration::from_secs(5));
        budget.acquire(Priority::Importer, far()).await.expect("in the end");
        assert!(start.elapsed() >= Duration::from_secs(5));
    }
}
