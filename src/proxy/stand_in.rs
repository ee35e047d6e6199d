//! What the local registry may say in the primary's stead, while that is away.
//!
//! It is asked only where what it has is known to be the primary's, and only what it affirms is passed on: nothing that
//! it does not have is called absent, and no judgement is guessed (CONSISTENCY.md, When P cannot be reached).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::Proxy;
use super::ask::Ask;
use super::local::{Aim, relay};
use super::metrics::AnsweredBy;
use crate::body::Body;
use crate::protocol::endpoints::{Effect, Route};
use crate::protocol::mode::Mode;
use crate::protocol::operation::Operation;
use crate::protocol::schema::Listed;
use crate::protocol::subject::QualifiedSubject;
use crate::protocol::target::subject_segment;
use crate::replica::answer::{Asked, Verdict, answer as answer_now};
use crate::replica::{Snapshot, SubjectState, served_subject};
use crate::routing::{Reach, local_target};

/// How long all that takes which has to be asked before.
const LONGEST: Duration = Duration::from_secs(8);

/// With more versions than this nobody waits for a comparison.
const MOST_COMPARED: usize = 50;

/// Members of a configuration that decide what is compatible with what.
const DECIDING: [&str; 4] = ["compatibilityLevel", "compatibilityGroup", "compatibilityPolicy", "normalize"];

impl Proxy {
    /// The answer of the local registry to what the primary could not be asked for, if it may be passed on. The client
    /// has waited already, so it comes soon or not at all.
    pub(super) async fn stand_in(&self, operation: &Operation, ask: &Ask) -> Option<Response<Body>> {
        self.parties.local.as_ref().filter(|local| !local.registry().is_away())?;
        timeout(LONGEST, self.said_in_stead(operation, ask)).await.ok()?
    }

    async fn said_in_stead(&self, operation: &Operation, ask: &Ask) -> Option<Response<Body>> {
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
        // Of what it refuses, only what is wrong with the schema itself would be the primary's word too.
        let is_wrong = answer.status == StatusCode::UNPROCESSABLE_ENTITY && operation.effect == Effect::Judgement;
        let is_said = answer.status.is_success() || is_wrong;
        self.parties.metrics.answered(operation.route, AnsweredBy::Local);
        is_said.then(|| relay(&answer, ask))
    }

    /// Whether it has the subject that is to be compatible with, in the versions and under the rule that we know of.
    async fn would_judge_alike(&self, operation: &Operation, ask: &Ask, snapshot: &Snapshot) -> bool {
        let subject = served_subject(snapshot, operation);
        // What a reference stands for there is one question more than is asked here.
        let refers = Asked::read(&ask.body).is_none_or(|asked| asked.refers());
        if refers || !self.doubts(operation, snapshot).is_empty() {
            return false;
        }
        let Some(ours) = snapshot.subject(&subject).filter(|subject| subject.is_live()) else { return false };
        let segment = subject_segment(&subject.spelt());
        self.has_the_same(&segment, ours, ask).await && self.has_the_same_rule(&segment, ask, snapshot).await
    }

    /// Whether its versions are ours: those that are judged by are compared as they are.
    async fn has_the_same(&self, segment: &str, ours: &SubjectState, ask: &Ask) -> bool {
        let Some(there) = self.beside::<BTreeSet<i32>>(format!("/subjects/{segment}/versions"), ask).await else {
            return false;
        };
        let live: Vec<_> = ours.live().collect();
        if there != live.iter().map(|version| version.version).collect() || live.len() > MOST_COMPARED {
            return false;
        }
        for version in live {
            let target = format!("/subjects/{segment}/versions/{}", version.version);
            let Some(its) = self.beside::<Listed>(target, ask).await else { return false };
            let its = its.version;
            let is_same = its.text == version.text && its.schema_type == version.schema_type;
            let printed = |references: &Option<Arc<RawValue>>| references.as_ref().map(|all| all.get().to_owned());
            if !is_same || printed(&its.references) != printed(&version.references) {
                return false;
            }
        }
        true
    }

    /// Whether the same is compatible there with what it has, as far as we know the primary's rule.
    async fn has_the_same_rule(&self, segment: &str, ask: &Ask, snapshot: &Snapshot) -> bool {
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
        // What is imported little by little may be listed before it is complete.
        let Reach::One(context) = Reach::of(operation) else { return false };
        if !is_one_things(operation.route) {
            return false;
        }
        let scope = QualifiedSubject::new(context, "");
        let own = if scope.is_top_level() { String::new() } else { format!("/{}", subject_segment(&scope.spelt())) };
        let shown = self.beside::<Value>(format!("/mode{own}?defaultToGlobal=true"), ask).await;
        shown.and_then(|shown| Mode::parse(shown["mode"].as_str()?)) == Some(Mode::Import)
    }

    /// What it says to a question, if it says it.
    async fn beside<T: DeserializeOwned>(&self, target: String, ask: &Ask) -> Option<T> {
        let answer = self.ask_beside(Method::GET, target, String::new(), ask).await.ok()?;
        (answer.status == StatusCode::OK).then(|| serde_json::from_slice(&answer.body).ok())?
    }
}

/// Whether a route asks for one thing, so that to have it is to know all that is asked for.
fn is_one_things(route: Route) -> bool {
    use Route as R;
    matches!(
        route,
        R::SchemaById | R::SchemaTextById | R::Versions | R::Version | R::VersionText | R::LatestWithMetadata
    )
}
