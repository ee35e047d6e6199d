//! One thing that is looked for in several contexts, each asked of the registry that it belongs to (WIRE.md §§ 1.2,
//! 1.11, 3.7).

use http::Method;
use serde::Deserialize;

use super::{Both, Told, asking, parameter};
use crate::protocol::endpoints::Route;
use crate::protocol::error::Refusal;
use crate::protocol::operation::Operation;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::protocol::target::java_int;
use crate::proxy::refuse::Failure;
use crate::replica::{behind_parameter, served_subject};
use crate::routing::{Home, target};
use crate::upstream::{Failure as Unanswered, FailureKind, Sent};

/// Which version an answer says that it is.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Shown {
    pub(super) subject: String,
    pub(super) version: i32,
}

/// Where something was found, and what was said there.
pub(super) struct Found {
    pub(super) home: Home,
    pub(super) subject: QualifiedSubject,
    pub(super) version: i32,
    told: Told,
}

impl Both<'_> {
    /// A version of a subject by its name, or by its content.
    pub(super) async fn find(&self) -> Result<Told, Failure> {
        let route = self.operation.route;
        let asked = if route == Route::VersionText { self.showing("deleted")? } else { self.same() };
        let found = match self.find_version(asked).await? {
            Ok(found) => found,
            Err(told) => return Ok(told),
        };
        match route {
            Route::VersionText => self.ask(found.home, self.about(&found.subject)?).await,
            _ => Ok(found.told),
        }
    }

    /// The question for the version of which something was asked that does not say whose it is; of its parameters
    /// one is kept.
    fn showing(&self, kept: &str) -> Result<Operation, Failure> {
        let mut query = self.parameters(&[]);
        query.retain(|(name, _)| name == kept);
        let Operation { subject_text, names, .. } = self.operation;
        asking(&Method::GET, &target("/subjects/{subject}/versions/{version}", subject_text, names, &query))
    }

    /// Finds a version where it is, or says what is said of one that is nowhere.
    pub(super) async fn find_version(&self, asked: Operation) -> Result<Result<Found, Told>, Failure> {
        let subject = &self.operation.subject;
        // Aliases of the primary's are known here; those of the local registry to itself alone.
        let served = match self.home(subject) {
            Home::Primary => served_subject(&self.proxy.parties.replica.snapshot(), self.operation),
            Home::Local => subject.clone(),
        };
        let home = self.home(&served);
        let is_led = served != *subject && home == Home::Local;
        let first = self.ask(home, if is_led { again(&asked, &served)? } else { asked.clone() }).await?;
        if !first.is_ok() && first.status != 404 {
            return Ok(Err(first));
        }
        let found = self.found(home, first.clone());
        // A namesake elsewhere was found only because the registry looks everywhere; what has another name an alias led
        // to.
        let is_namesake =
            |found: &Found| !found.subject.context.is_default() && found.subject.subject == served.subject;
        if let Some(found) = found.filter(|found| !served.context.is_default() || !is_namesake(found)) {
            return Ok(Ok(found));
        }
        if !served.context.is_default() || served.is_bare_context() {
            return Ok(Err(first));
        }
        let namesakes = match self.namesakes(&served.subject).await? {
            Ok(namesakes) => namesakes,
            Err(told) => return Ok(Err(told)),
        };
        for namesake in namesakes {
            let home = self.home(&namesake);
            let told = self.ask(home, again(&asked, &namesake)?).await?;
            match self.found(home, told.clone()) {
                Some(found) => return Ok(Ok(found)),
                None if told.status == 404 => {}
                None => return Ok(Err(told)),
            }
        }
        if !first.is_ok() {
            return Ok(Err(first));
        }
        // What it found is a copy of the other's, which hides what it says of its own.
        let strictly = self.ask_within(home, again(&asked, &served)?, Some(served.context.clone())).await?;
        Ok(match self.found(home, strictly.clone()) {
            Some(found) => Ok(found),
            None if strictly.is_ok() => Err(Told::refused(&Refusal::subject_not_found(&served.to_string()))),
            None => Err(strictly),
        })
    }

    /// What is an answer about something of a registry's own.
    fn found(&self, home: Home, told: Told) -> Option<Found> {
        let Shown { subject, version } = told.read()?;
        let subject = QualifiedSubject::parse(&subject);
        (self.home(&subject) == home).then_some(Found { home, subject, version, told })
    }

    /// A schema by its id and a subject, or who holds it.
    pub(super) async fn find_by_id(&self) -> Result<Told, Failure> {
        let written = self.operation.query.get("subject").unwrap_or_default();
        let named = QualifiedSubject::parse(written);
        // Aliases of the primary's are known here; those of the local registry to itself alone.
        let led_to = behind_parameter(&self.proxy.parties.replica.snapshot(), written);
        let led_to = led_to.filter(|_| self.home(&named) == Home::Primary);
        // So spelled it never equals the name that is held.
        let is_spelled_out = led_to.is_none() && named.context.is_default() && written.starts_with(":.");
        let same = match &led_to {
            Some(served) => self.by_id(&served.to_string())?,
            None => self.same(),
        };
        let named = led_to.unwrap_or(named);
        let (home, own) = (self.home(&named), self.home_of(&named.context));
        let is_number = java_int(self.operation.name()).is_some();
        if is_number && !is_spelled_out && self.holds(home, &named).await? {
            return self.ask(home, same).await;
        }
        if !is_number || !named.context.is_default() {
            return self.ask(own, same).await;
        }
        match self.namesakes(&named.subject).await? {
            Ok(namesakes) => {
                for namesake in namesakes {
                    let home = self.home(&namesake);
                    if self.holds(home, &namesake).await? {
                        return self.ask(home, self.by_id(&namesake.to_string())?).await;
                    }
                }
            }
            Err(told) => return Ok(told),
        }
        self.ask_within(own, same, Some(Context::default_context())).await
    }

    /// Whether a subject holds the id, soft-deleted or not. Who holds it is said by every release.
    async fn holds(&self, home: Home, subject: &QualifiedSubject) -> Result<bool, Failure> {
        let query = [parameter("subject", subject.context.unaliased()), parameter("deleted", "true")];
        let holders = target("/schemas/ids/{id}/subjects", "", &self.operation.names, &query);
        let told = self.ask(home, asking(&Method::GET, &holders)?).await?;
        match told.read::<Vec<String>>() {
            Some(names) => Ok(names.iter().any(|name| QualifiedSubject::parse(name) == *subject)),
            None if told.is_nothing() => Ok(false),
            None => Err(self.unreadable(home)),
        }
    }

    /// The same question about the id as another subject holds it.
    fn by_id(&self, subject: &str) -> Result<Operation, Failure> {
        let mut query = self.parameters(&["subject"]);
        query.push(parameter("subject", subject));
        asking(&Method::GET, &target(self.operation.path, "", &self.operation.names, &query))
    }

    /// What is said of an answer that cannot be read: nothing is known then.
    pub(super) fn unreadable(&self, home: Home) -> Failure {
        let cause = Box::new(Unanswered::new(FailureKind::Unreadable, Sent::No));
        match home {
            Home::Primary => Failure::Away(cause, self.ask.media.clone()),
            Home::Local => Failure::LocalAway(cause, self.ask.media.clone()),
        }
    }
}

/// The same question about another subject.
pub(super) fn again(asked: &Operation, subject: &QualifiedSubject) -> Result<Operation, Failure> {
    let query: Vec<(String, String)> =
        asked.query.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    asking(&asked.method, &target(asked.path, &subject.spelt(), &asked.names, &query))
}
