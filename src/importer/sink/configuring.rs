//! The part of a pass that is about configurations: each is asked for, judged, and brought to what it is at the primary.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};

use super::Core;
use super::configs::{self, Step, Wanted};
use super::ledger::Line;
use super::pass::{Job, PassError};
use super::status::{Foreign, ForeignPart};
use super::wire::WireError;
use super::withheld::{Refused, Withheld};
use crate::protocol::subject::{Context, QualifiedSubject};

/// Configurations that are written between two looks at whether we still may.
const CHUNK: usize = 64;

/// What became of a configuration that was to be written.
enum Outcome {
    AsItShouldBe,
    Gone,
    Withheld(Withheld),
}

impl Core {
    /// Finds out what the local registry says about the configuration of a subject that cannot exist.
    pub(super) async fn find_out_inheritance(&self, job: &Job<'_>) -> Result<(), PassError> {
        let nobody = QualifiedSubject::new(super::claim::reserved(), "nobody");
        let answer = job.wire.poll.fact(&configs::key(&nobody)).await.map_err(WireError::from)?;
        self.state().inherits = answer.status == 200;
        Ok(())
    }

    /// Brings configurations to what they are at the primary.
    pub(super) async fn bring_configs(
        &self,
        job: &mut Job<'_>,
        scopes: BTreeSet<QualifiedSubject>,
    ) -> Result<(), PassError> {
        let steps = self.judge_configs(job, scopes).await?;
        if steps.is_empty() || !self.may_write(job).await? {
            return Ok(());
        }
        let contexts: BTreeSet<Context> = steps.iter().map(|(scope, _)| scope.context.clone()).collect();
        let mut closed: Vec<(Context, Refused)> = Vec::new();
        for context in contexts.into_iter().filter(|context| *context != Context::global()) {
            if let Err(refused) = self.open(job.wire, &context).await? {
                closed.push((context, refused));
            }
        }
        for chunk in steps.chunks(CHUNK) {
            if !self.may_write(job).await? {
                return Ok(());
            }
            let (open, shut): (Vec<_>, Vec<_>) = chunk
                .iter()
                .cloned()
                .partition(|(scope, _)| closed.iter().all(|(context, _)| *context != scope.context));
            for (scope, _) in shut {
                let refused = closed.iter().find(|(context, _)| *context == scope.context);
                let refused = refused.map(|(_, refused)| refused.clone());
                self.withhold_config(&scope, refused.map_or(Withheld::Unsettled, Withheld::Refused));
            }
            self.write_configs(job, open).await?;
        }
        Ok(())
    }

    /// Notes what is as it should be and what cannot be helped; returns what is to be written.
    async fn judge_configs(
        &self,
        job: &Job<'_>,
        scopes: BTreeSet<QualifiedSubject>,
    ) -> Result<Vec<(QualifiedSubject, Step)>, PassError> {
        let is_withheld = |scope: &QualifiedSubject| self.state().withheld.contains_key(scope);
        let scopes: Vec<_> = scopes.into_iter().filter(|scope| !is_withheld(scope)).collect();
        let mut answers = stream::iter(scopes)
            .map(|scope| async move { (self.judge_config(job, &scope).await, scope) })
            .buffer_unordered(self.parallel());
        let (mut steps, mut lines) = (Vec::new(), Vec::new());
        while let Some((step, scope)) = answers.next().await {
            let step = step?;
            let mut state = self.state();
            state.forget_foreign(&scope, true);
            state.pending.configs.remove(&scope);
            state.withheld_configs.remove(&scope);
            match step {
                Step::Nothing => {}
                Step::Adopt => lines.push(Line::Config(scope, true)),
                Step::Forget => lines.push(Line::Config(scope, false)),
                Step::Foreign => {
                    let is_between_ours = scope.is_bare_context() || job.snapshot.subject(&scope).is_some();
                    state.foreign.insert(Foreign { subject: scope, what: ForeignPart::Config, is_between_ours });
                }
                Step::Withhold(why) => state.withhold_config(&scope, why),
                Step::Put(_) | Step::Delete => {
                    state.pending.configs.insert(scope.clone());
                    steps.push((scope, step));
                }
            }
        }
        drop(answers);
        let kept = self.ledger().enter(lines, &self.store);
        kept.await.map_err(PassError::Ledger)?;
        Ok(steps)
    }

    async fn judge_config(&self, job: &Job<'_>, scope: &QualifiedSubject) -> Result<Step, WireError> {
        let wanted = configs::wanted(&job.snapshot, scope, self.importer.config_inherits());
        let is_ours = self.ledger().has_config(scope);
        if wanted == Wanted::Unknown && !is_ours {
            return Ok(Step::Nothing);
        }
        // What was ours and is not remembered any more belonged to a subject that is gone.
        let wanted = if wanted == Wanted::Unknown { Wanted::Unset } else { wanted };
        let answer = job.wire.poll.fact(&configs::key(scope)).await?;
        let held = configs::read(&answer);
        let shows_others = self.state().inherits && !scope.is_top_level();
        if shows_others && wanted == Wanted::Unset {
            return Ok(Step::Nothing);
        }
        Ok(configs::plan(scope, &wanted, held.as_ref(), is_ours))
    }

    async fn write_configs(&self, job: &mut Job<'_>, steps: Vec<(QualifiedSubject, Step)>) -> Result<(), PassError> {
        let ahead = steps.iter().filter(|(_, step)| matches!(step, Step::Put(_)));
        let lines = ahead.map(|(scope, _)| Line::Config(scope.clone(), true)).collect();
        let kept = self.ledger().enter(lines, &self.store);
        kept.await.map_err(PassError::Ledger)?;
        let job_ref = &*job;
        let mut outcomes = stream::iter(steps)
            .map(|(scope, step)| async move { (self.write_config(job_ref, &scope, &step).await, scope) })
            .buffer_unordered(self.parallel());
        let (mut lines, mut failure, mut changes) = (Vec::new(), None, 0);
        let mut stumbled = BTreeMap::new();
        while let Some((outcome, scope)) = outcomes.next().await {
            match outcome {
                Ok(Outcome::AsItShouldBe) => self.configured(&scope),
                Ok(Outcome::Gone) => {
                    self.configured(&scope);
                    lines.push(Line::Config(scope, false));
                }
                Ok(Outcome::Withheld(why)) => {
                    self.withhold_config(&scope, why);
                    continue;
                }
                Err(WireError::Stumbled { refused, .. }) => {
                    stumbled.insert(scope, Withheld::Refused(refused));
                    continue;
                }
                Err(error) => {
                    failure = failure.or(Some(error));
                    continue;
                }
            }
            changes += 1;
        }
        drop(outcomes);
        job.changes += changes;
        let kept = self.ledger().enter(lines, &self.store);
        kept.await.map_err(PassError::Ledger)?;
        if let Some(error) = failure {
            return Err(error.into());
        }
        let left = self.state().stumbled_over_configs(stumbled);
        left.map_or(Ok(()), |(count, last)| Err(PassError::Stumbled { count, last }))
    }

    fn configured(&self, scope: &QualifiedSubject) {
        let mut state = self.state();
        state.pending.configs.remove(scope);
        state.config_went_well(scope);
    }

    async fn write_config(&self, job: &Job<'_>, scope: &QualifiedSubject, step: &Step) -> Result<Outcome, WireError> {
        let written = match step {
            Step::Put(body) => self.configure(job.wire, scope, Bytes::from(body.to_string())).await,
            _ => {
                let _moving = self.still.read().await;
                if self.is_wholly_ours(scope) { job.wire.unconfigure(scope).await } else { Ok(()) }
            }
        };
        match written {
            Err(WireError::Refused { refused, .. }) => return Ok(Outcome::Withheld(Withheld::Refused(refused))),
            other => other?,
        }
        // Some registries say yes and keep only what they know.
        Ok(match self.judge_config(job, scope).await? {
            Step::Nothing | Step::Adopt => Outcome::AsItShouldBe,
            Step::Forget => Outcome::Gone,
            _ => Outcome::Withheld(Withheld::Unsettled),
        })
    }

    fn withhold_config(&self, scope: &QualifiedSubject, why: Withheld) {
        let mut state = self.state();
        state.pending.configs.remove(scope);
        state.withhold_config(scope, why);
    }
}
