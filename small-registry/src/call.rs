//! One request on its way through the registry, and what comes of it.

use schema_outpost::protocol::endpoints::Route;
use schema_outpost::protocol::operation::Operation;
use schema_outpost::protocol::subject::{Context, QualifiedSubject};
use schema_outpost::protocol::target::{Page, version_number};

use crate::failure::{Failure, Outcome};
use crate::print::Shape;
use crate::profile::Profile;
use crate::state::State;

/// A request, understood, with all that its answer depends on besides the state.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) operation: &'a Operation,
    pub(crate) body: Option<&'a [u8]>,
    pub(crate) shape: Shape,
    pub(crate) profile: Profile,
    /// Milliseconds since the epoch.
    pub(crate) now: i64,
}

/// An answer that is no refusal.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, body: body.into() }
    }

    pub(crate) fn nothing() -> Self {
        Self { status: 204, body: Vec::new() }
    }
}

impl Call<'_> {
    pub(crate) fn route(&self) -> Route {
        self.operation.route
    }

    /// The subject of the path, behind its alias if it is one.
    pub(crate) fn subject(&self, state: &State) -> QualifiedSubject {
        let subject = &self.operation.subject;
        // An escaped context is no context to the filter that resolves aliases, only to those that come after it.
        let beside = if self.operation.is_escaped { &Context::default_context() } else { &subject.context };
        state.behind_alias(subject, beside).unwrap_or_else(|| subject.clone())
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.operation.query.flag(name)
    }

    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.operation.query.get(name).unwrap_or_default()
    }

    /// The version of the path.
    pub(crate) fn version(&self) -> Outcome<Wanted> {
        let number = version_number(self.operation.name()).map_err(|named| Failure::invalid_version(&named))?;
        Ok(number.map_or(Wanted::Latest, Wanted::Number))
    }

    /// Where a page begins and ends.
    pub(crate) fn window(&self) -> Outcome<Page> {
        self.operation.query.page().map_err(|_| Failure::not_found())
    }

    /// The part of a list that the page asks for, at most `most` of it.
    pub(crate) fn page<T>(&self, items: Vec<T>, most: usize) -> Outcome<Vec<T>> {
        let page = self.window()?;
        let offset = usize::try_from(page.offset).map_err(|_| Failure::internal())?;
        let limit = usize::try_from(page.limit).ok().filter(|limit| (1..=most).contains(limit)).unwrap_or(most);
        Ok(items.into_iter().skip(offset).take(limit).collect())
    }
}

/// Which version of a subject is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Latest,
    Number(i32),
}

impl Wanted {
    /// The number as messages have it.
    pub(crate) fn number(self) -> i32 {
        match self {
            Self::Latest => -1,
            Self::Number(number) => number,
        }
    }
}
