//! Reads what is kept as it is answered: contexts, configurations, modes, facts about the primary, associations.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};

use super::Core;
use super::pass::PassError;
use super::poll::{Offered, Poll, PollError};
use crate::protocol::subject::Context;
use crate::replica::{Change, Remembered, Scope, Snapshot, Ticket};

/// Where the refusal of a primary without contexts is remembered.
const CONTEXTS: &str = "/contexts";
/// Where the refusal of a primary without associations is remembered.
const ASSOCIATIONS: &str = "/associations";

/// Asked of every primary; one that will not say them is none the worse for it.
const ABOUT: [&str; 5] = ["/", "/schemas/types", "/v1/metadata/id", "/v1/metadata/version", "/v1/metadata/deployment"];

/// Answers that are kept at once.
const COMMIT: usize = 100;

impl Core {
    /// Takes over the list of contexts.
    pub(super) async fn take_contexts(&self, poll: &Poll) -> Result<u64, PassError> {
        let ticket = self.replica.ticket();
        let offered = poll.contexts().await?;
        let held = self.replica.snapshot();
        let mut changes = Vec::new();
        match offered {
            Offered::Yes(contexts) => {
                changes.extend(held.remembered(CONTEXTS).map(|_| remember(CONTEXTS, None)));
                if held.listed_contexts() != Some(&contexts) {
                    changes.push(Change::Contexts(contexts));
                }
            }
            Offered::No(refusal) if held.remembered(CONTEXTS).is_none_or(|known| **known != refusal) => {
                changes.push(remember(CONTEXTS, Some(refusal)));
            }
            Offered::No(_) => {}
        }
        changes.extend(certain(&held, Scope::Contexts));
        self.take_changes(changes, ticket).await
    }

    /// Takes over the associations.
    pub(super) async fn take_associations(&self, poll: &Poll) -> Result<u64, PassError> {
        let ticket = self.replica.ticket();
        let offered = poll.associations().await?;
        let held = self.replica.snapshot();
        let mut changes = Vec::new();
        match offered {
            Offered::Yes(associations) => {
                changes.extend(held.remembered(ASSOCIATIONS).map(|_| remember(ASSOCIATIONS, None)));
                changes.push(Change::Associations(Some(associations)));
            }
            Offered::No(refusal) => {
                changes.push(remember(ASSOCIATIONS, Some(refusal)));
                changes.push(Change::Associations(None));
            }
        }
        changes.extend(certain(&held, Scope::Associations));
        self.take_changes(changes, ticket).await
    }

    /// Takes over all that is not about single subjects.
    pub(super) async fn take_facts(&self, poll: &Poll) -> Result<u64, PassError> {
        let mut changes = 0;
        self.find_out_inheritance(poll).await?;
        for key in ABOUT {
            match self.take_answers(poll, vec![Arc::from(key)]).await {
                Ok(count) => changes += count,
                Err(PassError::Poll(error)) if error.status().is_some() => {
                    tracing::debug!(key, %error, "the primary does not say");
                }
                Err(error) => return Err(error),
            }
        }
        changes += match self.take_associations(poll).await {
            Err(PassError::Poll(error)) if error.status().is_some() => {
                tracing::warn!(%error, "the associations cannot be read");
                0
            }
            other => other?,
        };
        changes += self.take_max_ids(poll).await?;
        let held = self.replica.snapshot();
        changes += self.take_answers(poll, keys(&contexts(&held))).await?;
        Ok(changes)
    }

    /// Reads the answers of keys and takes over those that are other than before. A refusal of one
    /// does not keep the others from being read; the first one is told in the end.
    pub(super) async fn take_answers(&self, poll: &Poll, keys: Vec<Arc<str>>) -> Result<u64, PassError> {
        let mut answers = stream::iter(keys)
            .map(|key| async move {
                let ticket = self.replica.ticket();
                (poll.fact(&key).await, key, ticket)
            })
            .buffer_unordered(self.config.parallel.max(1));
        let (mut changes, mut refusal) = (0, None);
        let mut commit: Vec<(Arc<str>, Remembered, Ticket)> = Vec::new();
        while let Some((answer, key, ticket)) = answers.next().await {
            match answer {
                Ok(answer) => commit.push((key, answer, ticket)),
                Err(error) if error.status().is_some() => refusal = refusal.or(Some(error)),
                Err(error) => {
                    self.commit_answers(&mut commit).await?;
                    return Err(error.into());
                }
            }
            if commit.len() >= COMMIT {
                changes += self.commit_answers(&mut commit).await?;
            }
        }
        changes += self.commit_answers(&mut commit).await?;
        match refusal {
            Some(error) => Err(error.into()),
            None => Ok(changes),
        }
    }

    async fn commit_answers(&self, answers: &mut Vec<(Arc<str>, Remembered, Ticket)>) -> Result<u64, PassError> {
        let Some(ticket) = answers.iter().map(|(_, _, ticket)| *ticket).min() else { return Ok(0) };
        let held = self.replica.snapshot();
        let inherits = self.state().inherits == Some(true);
        let mut changes = Vec::new();
        for (key, answer, _) in answers.drain(..) {
            changes.extend(certain(&held, Scope::Remembered(key.clone())));
            let known = held.remembered(&key);
            let answer = wanted(&held, &key, answer);
            if known.map(|known| &**known) == answer.as_ref() {
                continue;
            }
            if inherits && known.is_some() && &*key == "/config" {
                changes.extend(inherited(&held).map(|key| Change::Remember { key, answer: None }));
            }
            changes.push(Change::Remember { key, answer });
        }
        self.take_changes(changes, ticket).await
    }

    async fn take_changes(&self, changes: Vec<Change>, ticket: Ticket) -> Result<u64, PassError> {
        let count = changes.iter().filter(|change| !matches!(change, Change::Doubt(..))).count();
        if changes.is_empty() {
            return Ok(0);
        }
        let applied = self.replica.apply_reading(changes, ticket).await?;
        Ok(if applied.changed { count as u64 } else { 0 })
    }

    /// Takes over the highest id of each context; the primary says it beside an id that we know.
    async fn take_max_ids(&self, poll: &Poll) -> Result<u64, PassError> {
        let held = self.replica.snapshot();
        let mut changes = 0;
        for (context, state) in held.contexts() {
            let Some(known) = super::tail::known_id(state) else { continue };
            let ticket = self.replica.ticket();
            let max = match poll.max_id(context, known).await {
                Ok(max) => max,
                Err(error) if error.status().is_some() => None,
                Err(error) => return Err(error.into()),
            };
            if let Some(max) = max.filter(|max| *max > state.max_id()) {
                changes += self.take_changes(vec![Change::MaxId(context.clone(), max)], ticket).await?;
            }
        }
        Ok(changes)
    }

    /// Finds out, once, what is said about the configuration of a subject that cannot exist.
    async fn find_out_inheritance(&self, poll: &Poll) -> Result<(), PollError> {
        if self.state().inherits.is_some() {
            return Ok(());
        }
        let nobody = format!("/config/nobody-{}", uuid::Uuid::new_v4());
        match poll.fact(&nobody).await {
            Ok(answer) => self.state().inherits = Some(answer.status == 200),
            Err(error) if error.status().is_some() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// What to remember of an answer. That a subject has nothing of its own is not worth to be kept
/// once the subject is gone; its configuration itself may outlive it.
fn wanted(held: &Snapshot, key: &str, answer: Remembered) -> Option<Remembered> {
    let name = ["/config/", "/mode/"].iter().find_map(|route| key.strip_prefix(route));
    let Some(name) = name.filter(|_| answer.status != 200) else { return Some(answer) };
    let subject = crate::protocol::subject::QualifiedSubject::parse(name);
    let exists = subject.is_bare_context()
        || name.ends_with(":?defaultToGlobal=true")
        || held.context(&subject.context).is_some_and(|context| context.subject(&subject.subject).is_some());
    exists.then_some(answer)
}

/// The remembered configurations that a change of the global one may change.
fn inherited(held: &Snapshot) -> impl Iterator<Item = Arc<str>> {
    held.remembered_keys().filter(|key| key.starts_with("/config/")).cloned()
}

fn remember(key: &str, answer: Option<Remembered>) -> Change {
    Change::Remember { key: Arc::from(key), answer }
}

/// Says that a scope is in doubt no longer, if it was when the reading ended.
fn certain(held: &Snapshot, scope: Scope) -> Option<Change> {
    held.doubts().any(|(doubtful, _)| *doubtful == scope).then_some(Change::Doubt(scope, None))
}

/// Every context that the primary lists or that some name shows.
pub(super) fn contexts(held: &Snapshot) -> BTreeSet<Context> {
    let listed = held.listed_contexts().unwrap_or_default().iter();
    listed.chain(held.contexts().map(|(name, _)| name)).cloned().collect()
}

/// The configurations and modes above the subjects.
fn keys(contexts: &BTreeSet<Context>) -> Vec<Arc<str>> {
    let mut keys: Vec<Arc<str>> =
        ["/config", "/config?defaultToGlobal=true", "/config/:.__GLOBAL:", "/mode", "/mode/:.__GLOBAL:"]
            .map(Arc::from)
            .into();
    for prefix in contexts.iter().filter(|context| !context.is_default()).map(Context::prefix) {
        keys.push(format!("/config/{prefix}").into());
        keys.push(format!("/config/{prefix}?defaultToGlobal=true").into());
        keys.push(format!("/mode/{prefix}").into());
    }
    keys
}
