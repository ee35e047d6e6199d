//! Reads one thing again at once, because a write or a doubt wants it so.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::pass::PassError;
use super::poll::{Poll, PollError};
use super::walk::Care;
use super::{Core, Importer};
use crate::protocol::subject::Context;
use crate::replica::{Change, NotReread, Reread, Scope, Ticket, Urgency};

/// Why something could not be read again.
#[derive(Debug, thiserror::Error)]
pub enum RereadError {
    /// It could not be read, or not be taken over.
    #[error(transparent)]
    Pass(Box<PassError>),
    /// A full pass was needed, and failed.
    #[error("the full pass failed: {0}")]
    FullPass(Box<str>),
    /// Newer changes kept coming in between.
    #[error("it kept changing while it was read")]
    Overtaken,
    /// The process is ending.
    #[error("the importer was stopped")]
    Stopped,
}

impl From<PassError> for RereadError {
    fn from(error: PassError) -> Self {
        Self::Pass(Box::new(error))
    }
}

impl From<PollError> for RereadError {
    fn from(error: PollError) -> Self {
        PassError::from(error).into()
    }
}

/// A failure that several callers hear of.
#[derive(Debug)]
struct Shared(Arc<RereadError>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Shared {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl Reread for Importer {
    fn reread(&self, scope: Scope, urgency: Urgency) -> BoxFuture<'_, Result<(), NotReread>> {
        Box::pin(self.core.reread(scope, urgency))
    }

    fn nudge(&self) {
        Self::nudge(self);
    }

    fn reread_id(&self, context: Context, id: i32) -> BoxFuture<'_, Result<(), NotReread>> {
        Box::pin(async move {
            let scope = Scope::Context(context.clone());
            let poll = self.core.poll(Urgency::Read);
            let subjects = self.core.holders_of(&poll, &context, id).await;
            let subjects = subjects.map_err(|error| NotReread { scope, cause: Box::new(error) })?;
            for subject in subjects {
                self.core.reread(Scope::Subject(subject), Urgency::Read).await?;
            }
            Ok(())
        })
    }
}

impl Core {
    /// Reads a scope again, together with all who ask for it before the reading begins.
    async fn reread(self: &Arc<Self>, scope: Scope, urgency: Urgency) -> Result<(), NotReread> {
        let core = Arc::clone(self);
        let wanted = scope.clone();
        let work = || async move { core.reread_now(wanted, urgency).await.map_err(Arc::new) };
        let outcome = self.rereads.run((scope.clone(), super::priority(urgency)), work).await;
        let outcome = outcome.unwrap_or_else(|| Err(Arc::new(RereadError::Stopped)));
        outcome.map_err(|error| NotReread { scope, cause: Box::new(Shared(error)) })
    }

    async fn reread_now(self: &Arc<Self>, scope: Scope, urgency: Urgency) -> Result<(), RereadError> {
        let poll = self.poll(urgency);
        match scope {
            Scope::Subject(subject) => {
                self.settle_subject(&poll, subject).await?;
                self.find_profile(&poll).await?;
            }
            Scope::Context(context) => self.reread_context(&poll, &context).await?,
            Scope::Remembered(key) => drop(self.take_answers(&poll, vec![key]).await?),
            Scope::Contexts => drop(self.take_contexts(&poll).await?),
            Scope::Associations => drop(self.take_associations(&poll).await?),
            Scope::All => self.reread_all().await?,
        }
        Ok(())
    }

    async fn reread_context(&self, poll: &Poll, context: &Context) -> Result<(), RereadError> {
        let ticket = self.replica.ticket();
        let scope = Scope::Context(context.clone());
        let doubts = self.doubts_among(|doubt| *doubt == scope);
        let reading = self.read(poll, Some(context), Care::Thorough).await?;
        self.take(poll, reading, Some(context), false).await?;
        self.settle(doubts, ticket).await
    }

    async fn reread_all(self: &Arc<Self>) -> Result<(), RereadError> {
        let ticket = self.replica.ticket();
        let doubts = self.doubts_among(|doubt| matches!(doubt, Scope::All | Scope::Context(_)));
        let core = Arc::clone(self);
        let report = self.full_passes.run(false, || async move { core.full_pass(false).await }).await;
        let report = report.ok_or(RereadError::Stopped)?;
        let alarm = self.state().status.alarm.clone();
        if let Some(why) = report.error.or(alarm) {
            return Err(RereadError::FullPass(why.into()));
        }
        self.settle(doubts, ticket).await
    }

    fn doubts_among(&self, wanted: impl Fn(&Scope) -> bool) -> Vec<Scope> {
        self.replica.snapshot().doubts().map(|(scope, _)| scope).filter(|scope| wanted(scope)).cloned().collect()
    }

    /// What was in doubt before a reading that has been taken over whole is certain again. A doubt
    /// that came up since is not of that reading to settle.
    async fn settle(&self, doubts: Vec<Scope>, ticket: Ticket) -> Result<(), RereadError> {
        let changes: Vec<_> = doubts.into_iter().map(|scope| Change::Doubt(scope, None)).collect();
        if !changes.is_empty() {
            self.replica.apply_reading(changes, ticket).await.map_err(PassError::from)?;
        }
        Ok(())
    }

    /// Reads again what is in doubt, for ever, each thing ever more seldom while it cannot be read.
    pub(super) async fn settle_doubts(self: &Arc<Self>) {
        // One more than usual: a pass of everything takes long, and must not hold up the others.
        let most = self.config.parallel.max(1) + 1;
        let mut rereads = JoinSet::new();
        let mut under_way: HashSet<Scope> = HashSet::new();
        let mut later: HashMap<Scope, (u32, Instant)> = HashMap::new();
        loop {
            let nudged = self.doubts.notified();
            let doubts = self.doubts_among(|_| true);
            later.retain(|scope, _| doubts.contains(scope));
            let now = Instant::now();
            let is_due = |scope: &Scope| later.get(scope).is_none_or(|(_, when)| *when <= now);
            for scope in doubts.into_iter().filter(is_due) {
                if rereads.len() < most && under_way.insert(scope.clone()) {
                    let core = Arc::clone(self);
                    rereads.spawn(async move { (core.reread(scope.clone(), Urgency::Background).await, scope) });
                }
            }
            // Whoever doubts something says so; the interval is for whoever forgot.
            let waiting = later.iter().filter(|(scope, _)| !under_way.contains(scope)).map(|(_, (_, when))| *when);
            let wake = waiting.min().unwrap_or_else(|| Instant::now() + self.config.interval);
            tokio::select! {
                Some(Ok((outcome, scope))) = rereads.join_next() => {
                    under_way.remove(&scope);
                    let failures = later.remove(&scope).map_or(0, |(failures, _)| failures) + 1;
                    if let Err(error) = &outcome {
                        tracing::warn!(%scope, error = %crate::telemetry::Chain(error), "it stays in doubt");
                    }
                    // In doubt again already: somebody keeps writing, and will not be chased.
                    later.insert(scope, (failures, Instant::now() + self.pause(failures)));
                }
                () = nudged => {}
                () = sleep_until(wake) => {}
            }
        }
    }
}
