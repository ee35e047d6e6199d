//! Reads one subject, whole, and takes it over.

use std::sync::Arc;

use super::Core;
use super::diff;
use super::listing::{self, Found};
use super::pass::PassError;
use super::poll::{Poll, PollError};
use super::reading::{Reading, Shown};
use super::reread::RereadError;
use super::status::{Reason, Skipped};
use super::walk::{self, Care, Walk, Walked};
use crate::protocol::subject::QualifiedSubject;
use crate::replica::{Scope, Ticket};

/// How often a reading may be overtaken by newer ones before whoever waits is told.
const MOST_TRIES: usize = 5;
/// How many subjects are read for the sake of one; a pass reads any number.
const MOST_REFERENCES: usize = 64;

impl Core {
    /// Reads a subject; without versions it certainly is not there.
    pub(super) async fn probe(
        &self,
        poll: &Poll,
        subject: &QualifiedSubject,
        ticket: Ticket,
    ) -> Result<(Shown, Vec<Skipped>), PollError> {
        let walks = self.state().walks;
        let mut is_unlisted = false;
        // `:*:` names no context in a list, it asks for all of them.
        if !walks && !subject.context.is_wildcard() {
            match listing::read_subject(poll, &self.replica, subject, ticket).await {
                Ok(Found::Reading(reading)) => {
                    let Reading { mut shown, skipped, .. } = *reading;
                    if let Some(shown) = shown.pop() {
                        return Ok((shown, skipped));
                    }
                }
                // That a list does not show it is no proof that it is not there.
                Ok(Found::Nowhere) => is_unlisted = true,
                Ok(Found::Unclear) => {}
                Err(listing::ListingError::Poll(error)) if !error.is_too_large() => return Err(error),
                // Version by version it may still come.
                Err(_) => {}
            }
        }
        match walk::read_subject(poll, &self.replica, subject, ticket, Care::Thorough).await? {
            Walk::Through(Walked { shown, skipped }) => Ok((shown, skipped)),
            // A registry that knows aliases lists what it has, also what they hide.
            Walk::Nowhere | Walk::Elsewhere if is_unlisted => Ok((Shown::nothing(subject.clone(), ticket), Vec::new())),
            Walk::Nowhere if !poll.is_alias(subject).await? => {
                Ok((Shown::nothing(subject.clone(), ticket), Vec::new()))
            }
            Walk::Nowhere | Walk::Elsewhere => {
                let (shown, skipped) = walk::unknown(subject.clone(), ticket, Reason::Aliased);
                Ok((shown, vec![skipped]))
            }
        }
    }

    /// Reads a subject and what it refers to, and takes them over; when it is done the replica
    /// shows at least what the primary showed when this was called.
    pub(super) async fn settle_subject(&self, poll: &Poll, subject: QualifiedSubject) -> Result<u64, RereadError> {
        let scope = Scope::Subject(subject.clone());
        for _ in 0..MOST_TRIES {
            let (mut shown, mut skipped) = self.probe_with_references(poll, &subject).await?;
            let held = self.replica.snapshot();
            shown.iter_mut().for_each(|one| diff::keep_poisoned(one, &held));
            diff::hold_out(&mut shown, &held, &mut skipped);
            let taken = self.apply(diff::in_order(shown)).await?;
            skipped.extend(taken.skipped);
            self.leave_out_of(&subject, skipped).await.map_err(PassError::from)?;
            if !taken.overtaken.contains(&scope) {
                return Ok(taken.changes);
            }
        }
        Err(RereadError::Overtaken)
    }

    /// A subject together with the subjects that the replica needs to hold it whole.
    async fn probe_with_references(
        &self,
        poll: &Poll,
        subject: &QualifiedSubject,
    ) -> Result<(Vec<Shown>, Vec<Skipped>), PollError> {
        let (mut all, mut skipped) = (Vec::new(), Vec::new());
        let mut asked = vec![subject.clone()];
        while let Some(next) = asked.get(all.len()).cloned() {
            let ticket = self.replica.ticket();
            let (shown, left_out) = self.probe(poll, &next, ticket).await?;
            skipped.extend(left_out);
            for target in diff::unresolved(&shown, &self.replica.snapshot()) {
                if asked.len() < MOST_REFERENCES && !asked.contains(&target) {
                    asked.push(target);
                }
            }
            all.push(shown);
        }
        Ok((all, skipped))
    }

    /// The subjects that hold an id at the primary or in the replica.
    pub(super) async fn holders_of(
        &self,
        poll: &Poll,
        context: &crate::protocol::subject::Context,
        id: i32,
    ) -> Result<Vec<QualifiedSubject>, PollError> {
        let mut subjects = poll.holders(context, id).await?.unwrap_or_default();
        if let Some(state) = self.replica.snapshot().context(context) {
            for holder in state.holders(id) {
                let subject = QualifiedSubject { context: context.clone(), subject: Arc::clone(&holder.subject) };
                if !subjects.contains(&subject) {
                    subjects.push(subject);
                }
            }
        }
        Ok(subjects)
    }
}
