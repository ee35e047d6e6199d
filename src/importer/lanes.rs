//! One piece of work at a time for each key, shared by all who asked before it began.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Work by keys. Who asks while a piece runs gets the next one, because the running one may have
/// read already what has changed since; everybody who asks before that one begins shares it.
pub(super) struct Lanes<K, T> {
    lanes: Mutex<HashMap<K, Lane<T>>>,
}

struct Lane<T> {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The piece that has not begun yet.
    next: Option<watch::Receiver<Option<T>>>,
    /// Pieces that have not ended.
    pending: usize,
}

impl<K, T> Lanes<K, T>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { lanes: Mutex::new(HashMap::new()) })
    }

    /// The outcome of a piece of work that began after this was called; nothing if it was torn down.
    /// The work goes on though its callers give up.
    pub(super) async fn run<F>(self: &Arc<Self>, key: K, work: impl FnOnce() -> F) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut outcome = self.join(key, work);
        let value = outcome.wait_for(Option::is_some).await.ok()?;
        value.clone()
    }

    fn join<F>(self: &Arc<Self>, key: K, work: impl FnOnce() -> F) -> watch::Receiver<Option<T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut lanes = self.lock();
        let lane = lanes.entry(key.clone()).or_insert_with(|| Lane { turn: Arc::default(), next: None, pending: 0 });
        if let Some(next) = &lane.next {
            return next.clone();
        }
        let (sender, receiver) = watch::channel(None);
        lane.next = Some(receiver.clone());
        lane.pending += 1;
        let turn = Arc::clone(&lane.turn);
        drop(lanes);
        let (lanes, work) = (Arc::clone(self), work());
        tokio::spawn(async move {
            let guard = turn.lock_owned().await;
            lanes.begin(&key);
            let ended = Ended { lanes: &lanes, key: &key };
            sender.send_replace(Some(work.await));
            drop(guard);
            drop(ended);
        });
        receiver
    }

    fn begin(&self, key: &K) {
        if let Some(lane) = self.lock().get_mut(key) {
            lane.next = None;
        }
    }
}

impl<K: Eq + Hash, T> Lanes<K, T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Lane<T>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the lane when its last piece is done, however it ended.
struct Ended<'a, K: Eq + Hash, T> {
    lanes: &'a Lanes<K, T>,
    key: &'a K,
}

impl<K: Eq + Hash, T> Drop for Ended<'_, K, T> {
    fn drop(&mut self) {
        let mut lanes = self.lanes.lock();
        let Some(lane) = lanes.get_mut(self.key) else { return };
        lane.pending -= 1;
        if lane.pending == 0 {
            lanes.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn who_asks_while_one_runs_shares_the_next_and_never_the_running_one() {
        let lanes = Lanes::<&str, usize>::new();
        let begun = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(Semaphore::new(0));
        let ask = || {
            let (lanes, begun, gate) = (lanes.clone(), begun.clone(), gate.clone());
            tokio::spawn(async move {
                let work = || async move {
                    let number = begun.fetch_add(1, Ordering::SeqCst) + 1;
                    gate.acquire().await.expect("open").forget();
                    number
                };
                lanes.run("key", work).await
            })
        };
        let first = ask();
        while begun.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let later: Vec<_> = (0..20).map(|_| ask()).collect();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(begun.load(Ordering::SeqCst), 1, "one at a time");
        gate.add_permits(2);
        assert_eq!(first.await.expect("no panic"), Some(1));
        for one in later {
            assert_eq!(one.await.expect("no panic"), Some(2));
        }
        while !lanes.lock().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn work_goes_on_when_who_asked_first_gives_up() {
        let lanes = Lanes::<&str, usize>::new();
        let gate = Arc::new(Semaphore::new(0));
        let work = |gate: Arc<Semaphore>| {
            move || async move {
                gate.acquire().await.expect("open").forget();
                7
            }
        };
        let first = tokio::spawn({
            let (lanes, gate) = (lanes.clone(), gate.clone());
            async move { lanes.run("key", work(gate)).await }
        });
        tokio::task::yield_now().await;
        first.abort();
        let _ = first.await;
        gate.add_permits(2);
        assert_eq!(lanes.run("key", work(gate)).await, Some(7));
    }
}
