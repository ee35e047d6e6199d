//! What the local registry may say in the primary's stead, while that is away.
//!
//! It is asked only where what it has is known to be the primary's, and only what it affirms is passed on: nothing that
//! it does not have is called absent, and no judgement is guessed (CONSISTENCY.md, When P cannot be reached).

use std::collections::BTreeSet;

use http::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Proxy;
use super::ask::Ask;
use super::local::{Aim, relay};
use super::metrics::AnsweredBy;
use crate::body::Body;
use crate::protocol::endpoints::Effect;
use crate::protocol::mode::Mode;
use crate::protocol::operation::Operation;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::protocol::target::subject_segment;
use crate::replica::Snapshot;
use crate::replica::answer::{Verdict, answer as answer_now};
use crate::replica::served_subject;
use crate::routing::{Reach, local_target};

/// Members of a configuration that decide what is compatible with what.
const DECIDING: [&str; 4] = ["compatibilityLevel", "compatibilityGroup", "compatibilityPolicy", "normalize"];

impl Proxy {
    /// The answer of the local registry to what the primary could not be asked for, if it may be passed on.
    pub(super) async fn stand_in(&self, operation: &Operation, ask: &Ask) -> Option<Response<Body>> {
        self.parties.local.as_ref().filter(|local| !local.registry().is_away())?;
        let snapshot = self.view_of_now(ask.bound.as_ref());
        let may = match operation.effect {
            Effect::Judgement => self.would_judge_alike(operation, ask, &snapshot).await,
            Effect::Read => self.holds_what_was_imported(operation, ask, &snapshot).await,
            Effect::Write | Effect::Control => false,
        };
        if !may {
            return None;
        }
        let led_to = operation.follows_aliases().then(|| served_subject(&snapshot, operation));
        let led_to = led_to.filter(|served| *served != operation.subject);
        let target = local_target(operation, led_to.as_ref(), ask.bound.is_some());
        let answer = self.ask_local(target, ask, Aim::InStead).await.ok()?;
        // Of what it refuses, only what is wrong with the question itself would be the primary's word too.
        let is_said = answer.status.is_success() || answer.status == StatusCode::UNPROCESSABLE_ENTITY;
        self.parties.metrics.answered(operation.route, AnsweredBy::Local);
        is_said.then(|| relay(&answer, ask))
    }

    /// Whether it has the subject that is to be compatible with, in the versions and under the rule that we know of.
    async fn would_judge_alike(&self, operation: &Operation, ask: &Ask, snapshot: &Snapshot) -> bool {
        let subject = served_subject(snapshot, operation);
        let segment = subject_segment(&subject.spelt());
        let Some(there) = self.beside::<Vec<i32>>(format!("/subjects/{segment}/versions"), ask).await else {
            return false;
        };
        let Some(ours) = snapshot.subject(&subject) else { return !there.is_empty() && snapshot.is_empty() };
        if !self.doubts(operation, snapshot).is_empty() {
            return false;
        }
        let ours: BTreeSet<i32> = ours.live().map(|version| version.version).collect();
        if ours != there.into_iter().collect() {
            return false;
        }
        let target = format!("/config/{segment}?defaultToGlobal=true");
        let Ok(asked) = Operation::of_target(&Method::GET, &target) else { return false };
        let rule = match answer_now(&asked, snapshot, ask.form(snapshot), &[]) {
            Verdict::Known(200, body) => serde_json::from_slice::<Value>(&body).ok(),
            _ => None,
        };
        let its_rule = self.beside::<Value>(target, ask).await;
        rule.zip(its_rule).is_some_and(|(ours, its)| DECIDING.iter().all(|member| ours[*member] == its[*member]))
    }

    /// Whether it gives no ids of its own where the answer lies: what it has there was imported. Where we ever knew
    /// anything ourselves it may know less, and is not asked.
    async fn holds_what_was_imported(&self, operation: &Operation, ask: &Ask, snapshot: &Snapshot) -> bool {
        if !snapshot.is_empty() || snapshot.read_at().is_some() || snapshot.doubts().next().is_some() {
            return false;
        }
        let contexts = match Reach::of(operation) {
            Reach::Nothing => return false,
            Reach::One(context) => vec![context],
            Reach::Shown | Reach::Everything => match self.beside::<Vec<String>>("/contexts".to_owned(), ask).await {
                Some(names) => names.iter().map(|name| Context::named(name)).collect(),
                None => return false,
            },
        };
        for context in contexts {
            let scope = QualifiedSubject::new(context, "");
            let own =
                if scope.is_top_level() { String::new() } else { format!("/{}", subject_segment(&scope.spelt())) };
            let shown = self.beside::<Value>(format!("/mode{own}?defaultToGlobal=true"), ask).await;
            if shown.and_then(|shown| Mode::parse(shown["mode"].as_str()?)) != Some(Mode::Import) {
                return false;
            }
        }
        true
    }

    /// What it says to a question, if it says it.
    async fn beside<T: DeserializeOwned>(&self, target: String, ask: &Ask) -> Option<T> {
        let answer = self.ask_beside(Method::GET, target, String::new(), ask).await.ok()?;
        (answer.status == StatusCode::OK).then(|| serde_json::from_slice(&answer.body).ok())?
    }
}
