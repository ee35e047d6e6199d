//! Reads what is kept as it is answered: contexts, configurations, modes, facts about the primary, associations.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};

use super::Core;
use super::pass::PassError;
use super::poll::{self, Offered, Poll, PollError};
use crate::protocol::subject::Context;
use crate::replica::{Applied, Change, Remembered, Scope, Snapshot, Ticket};

/// Where the refusal of a primary without contexts is remembered.
const CONTEXTS: &str = "/contexts";
/// Where the refusal of a primary without associations is remembered.
const ASSOCIATIONS: &str = "/associations";

/// Asked of every primary; one that will not say them is none the worse for it.
const ABOUT: [&str; 5] = ["/", "/schemas/types", "/v1/metadata/id", "/v1/metadata/version", "/v1/metadata/deployment"];

/// Answers that are kept at once.
const COMMIT: usize = 100;

/// A question for an answer that is to be remembered.
struct Asked {
    key: Arc<str>,
    ticket: Ticket,
    /// The answer's scope, if it was in doubt before it was asked for.
    doubt: Option<Scope>,
}

impl Core {
    /// Takes over the list of contexts.
    pub(super) async fn take_contexts(&self, poll: &Poll) -> Result<u64, PassError> {
        let ticket = self.replica.ticket();
        let doubt = self.doubt(Scope::Contexts);
        let offered = poll.contexts().await?;
        let held = self.replica.snapshot();
        believable(&offered, CONTEXTS, held.listed_contexts().is_some())?;
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
        self.take_changes(changes, doubt, ticket).await
    }

    /// Takes over the associations.
    pub(super) async fn take_associations(&self, poll: &Poll) -> Result<u64, PassError> {
        let ticket = self.replica.ticket();
        let doubt = self.doubt(Scope::Associations);
        let offered = poll.associations().await?;
        let held = self.replica.snapshot();
        believable(&offered, ASSOCIATIONS, held.associations().is_some())?;
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
        self.take_changes(changes, doubt, ticket).await
    }

    /// Takes over all that is not about single subjects.
    pub(super) async fn take_facts(&self, poll: &Poll) -> Result<u64, PassError> {
        let mut changes = 0;
        self.find_out_inheritance(poll).await?;
        for key in ABOUT {
            match self.take_answers(poll, vec![Arc::from(key)]).await {
                Ok(count) => changes += count,
                Err(error) if error.is_refusal() => {
                    tracing::debug!(key, %error, "the primary does not say");
                }
                Err(error) => return Err(error),
            }
        }
        changes += match self.take_associations(poll).await {
            Err(error) if error.is_refusal() => {
                tracing::warn!(%error, "the associations cannot be read");
                0
            }
            other => other?,
        };
        changes += self.take_max_ids(poll).await?;
        let held = self.replica.snapshot();
        changes += self.take_answers(poll, keys(&contexts(&held), self.primary.contexts().is_identity())).await?;
        Ok(changes)
    }

    /// Reads the answers of keys and takes over those that are other than before. A refusal of one
    /// does not keep the others from being read; the first one is told in the end.
    pub(super) async fn take_answers(&self, poll: &Poll, keys: Vec<Arc<str>>) -> Result<u64, PassError> {
        let mut answers = stream::iter(keys)
            .map(|key| async move {
                let ticket = self.replica.ticket();
                let doubt = self.doubt(Scope::Remembered(key.clone()));
                (poll.fact(&key).await, Asked { key, ticket, doubt })
            })
            .buffer_unordered(self.config.parallel.max(1));
        let (mut changes, mut refusal) = (0, None);
        let mut commit: Vec<(Asked, Remembered)> = Vec::new();
        while let Some((answer, asked)) = answers.next().await {
            match answer {
                Ok(answer) if self.is_incredible(&asked.key, &answer) => {
                    refusal =
                        refusal.or(Some(PollError::Refused { path: asked.key.to_string(), status: answer.status }));
                }
                Ok(answer) => commit.push((asked, answer)),
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

    /// Whether a refusal takes the place of an answer without being the registry's own.
    fn is_incredible(&self, key: &str, answer: &Remembered) -> bool {
        let is_known = self.replica.snapshot().remembered(key).is_some_and(|known| known.status == 200);
        is_known && answer.status != 200 && !poll::is_registrys_own(&answer.body)
    }

    async fn commit_answers(&self, answers: &mut Vec<(Asked, Remembered)>) -> Result<u64, PassError> {
        let Some(ticket) = answers.iter().map(|(asked, _)| asked.ticket).min() else { return Ok(0) };
        let held = self.replica.snapshot();
        let inherits = self.state().inherits == Some(true);
        let (mut changes, mut doubts) = (Vec::new(), Vec::new());
        for (Asked { key, doubt, .. }, answer) in answers.drain(..) {
            doubts.extend(doubt);
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
        self.take_changes(changes, doubts, ticket).await
    }

    /// The scope, if it is in doubt. To be asked before the primary is, so that a doubt that comes
    /// up meanwhile stays.
    fn doubt(&self, scope: Scope) -> Option<Scope> {
        self.replica.snapshot().doubts().any(|(doubtful, _)| *doubtful == scope).then_some(scope)
    }

    /// Applies what is news, and says of scopes that were in doubt that they are certain again.
    async fn take_changes(
        &self,
        changes: Vec<Change>,
        doubts: impl IntoIterator<Item = Scope>,
        ticket: Ticket,
    ) -> Result<u64, PassError> {
        // At once: who is killed in between must not find a doubt beside what settled it.
        let news = changes.len();
        let certain = doubts.into_iter().map(|scope| Change::Doubt(scope, None));
        let all: Vec<Change> = changes.into_iter().chain(certain).collect();
        let applied = if all.is_empty() { Applied::default() } else { self.replica.apply_reading(all, ticket).await? };
        let count = if applied.changed { news.saturating_sub(applied.overtaken.len()) } else { 0 };
        Ok(count as u64)
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
            // Below zero the counter has gone past its end.
            if let Some(max) = max.filter(|max| *max > state.max_id() || *max < 0) {
                changes += self.take_changes(vec![Change::MaxId(context.clone(), max)], None, ticket).await?;
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

/// A primary that had a route has lost it only if it says so itself; anything on the way can make a page.
fn believable<T>(offered: &Offered<T>, route: &str, was_there: bool) -> Result<(), PollError> {
    match offered {
        Offered::No(refusal) if was_there && !poll::is_registrys_own(&refusal.body) => {
            Err(PollError::Refused { path: route.to_owned(), status: refusal.status })
        }
        _ => Ok(()),
    }
}

/// What to remember of an answer. That a subject has nothing of its own is not worth to be kept
/// once the subject is gone, and has no namesake that would be found in its place; its configuration itself may outlive it.
fn wanted(held: &Snapshot, key: &str, answer: Remembered) -> Option<Remembered> {
    let name = ["/config/", "/mode/"].iter().find_map(|route| key.strip_prefix(route));
    let Some(name) = name.filter(|_| answer.status != 200) else { return Some(answer) };
    let subject = crate::protocol::subject::QualifiedSubject::parse(name);
    let exists = subject.is_bare_context()
        || name.ends_with(":?defaultToGlobal=true")
        || held.subject(&subject).is_some()
        || (key.starts_with("/config/") && held.has_namesake(&subject));
    exists.then_some(answer)
}

/// The remembered configurations that a change of the global one may change.
fn inherited(held: &Snapshot) -> impl Iterator<Item = Arc<str>> {
    held.remembered_keys().filter(|key| key.starts_with("/config/")).cloned()
}

fn remember(key: &str, answer: Option<Remembered>) -> Change {
    Change::Remember { key: Arc::from(key), answer }
}

/// Every context that the primary lists or that some name shows.
pub(super) fn contexts(held: &Snapshot) -> BTreeSet<Context> {
    let listed = held.listed_contexts().unwrap_or_default().iter();
    listed.chain(held.contexts().map(|(name, _)| name)).cloned().collect()
}

/// The configurations and modes above the subjects.
fn keys(contexts: &BTreeSet<Context>, shows_global: bool) -> Vec<Arc<str>> {
    let mut keys: Vec<Arc<str>> = ["/config", "/config?defaultToGlobal=true", "/mode"].map(Arc::from).into();
    if shows_global {
        keys.extend(["/config/:.__GLOBAL:", "/mode/:.__GLOBAL:"].map(Arc::from));
    }
    for prefix in contexts.iter().filter(|context| !context.is_default()).map(Context::prefix) {
        keys.push(format!("/config/{prefix}").into());
        keys.push(format!("/config/{prefix}?defaultToGlobal=true").into());
        keys.push(format!("/mode/{prefix}").into());
    }
    keys
}
