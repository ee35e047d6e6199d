//! Lists as the registry arranges them: their order, what of them a prefix selects, how they are read page by page.
//!
//! Whoever puts a list together from several reads all of it, arranges it, and cuts the page last.

use std::cmp::Ordering;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::protocol::endpoints::Route;
use crate::protocol::json::{push_array, push_string};
use crate::protocol::operation::Operation;
use crate::protocol::order::compare;
use crate::protocol::printed::Printed;
use crate::protocol::subject::{Context, QualifiedSubject, SubjectPrefix};
use crate::protocol::target::{CAPPED, NotANumber, Page, UNCAPPED};

/// A list as it is read: the items as they came, under our names.
pub type Items = Vec<Box<RawValue>>;

/// How a list is read that comes in pages of at most so many as every list gives at once.
#[derive(Debug, Default)]
pub struct Pages {
    offset: usize,
    first: Option<String>,
}

/// What a page says of those after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is the first one over again: there are no pages here.
    Again,
    /// There is nothing after it.
    Last,
    /// There may be more.
    More,
}

impl Pages {
    /// The parameters that ask for the next page.
    pub fn query(&self) -> String {
        format!("offset={}&limit={CAPPED}", self.offset)
    }

    /// Looks at a page as it was given.
    pub fn step(&mut self, page: &[Box<RawValue>]) -> Step {
        let head = page.first().map(|item| item.get());
        // Where paging is not known, every page is the first one.
        if self.offset > 0 && head == self.first.as_deref() {
            return Step::Again;
        }
        if page.len() < CAPPED {
            return Step::Last;
        }
        if self.first.is_none() {
            self.first = head.map(str::to_owned);
        }
        // One of the page before, so that one that moved forward is not missed.
        self.offset += CAPPED - 1;
        Step::More
    }
}

/// The page that is asked for, and how many items of such a list are given at most. What is there of a GUID comes in
/// one piece, whatever is asked for.
pub fn window(operation: &Operation) -> Result<(Page, usize), NotANumber> {
    let page = match operation.route {
        Route::IdsByGuid => Page { offset: 0, limit: -1 },
        _ => operation.query.page()?,
    };
    let most = match operation.route {
        Route::Schemas | Route::AssociationsByResource | Route::AssociationsByName => CAPPED,
        Route::AssociationsBySubject | Route::ReferencedBy => CAPPED,
        _ => UNCAPPED,
    };
    Ok((page, most))
}

#[derive(Deserialize, PartialEq, Eq, Hash)]
struct Listed {
    subject: String,
    version: i64,
}

/// The list that our names make of what was read; nothing if it cannot be read.
pub fn arranged(operation: &Operation, items: Items, is_whole: bool) -> Option<Items> {
    match operation.route {
        Route::Subjects => sorted(operation, items, ":*:", |item| Some((serde_json::from_str(item).ok()?, 0))),
        Route::IdsByGuid => by_key(items, |item| {
            let Place { context } = serde_json::from_str(item).ok()?;
            Some([context])
        }),
        Route::Schemas => {
            let prefix = prefix(operation, "");
            let items = if operation.query.flag("aliases") { with_all_aliases(items, &prefix)? } else { items };
            sorted(operation, items, "", |item| {
                let listed: Listed = serde_json::from_str(item).ok()?;
                Some((listed.subject, listed.version))
            })
        }
        Route::Contexts => contexts(operation, items, is_whole),
        Route::AssociationsByResource | Route::AssociationsByName | Route::AssociationsBySubject => {
            by_key(items, |item| {
                let Associated { resource_name, resource_namespace, resource_type, association_type, subject } =
                    serde_json::from_str(item).ok()?;
                Some([resource_name, resource_namespace, resource_type, association_type, subject])
            })
        }
        Route::DekRead if operation.path.ends_with("/deks") => {
            by_key(items, |item| Some([serde_json::from_str(item).ok()?]))
        }
        _ => Some(items),
    }
}

/// Where a GUID is found.
#[derive(Deserialize)]
struct Place {
    context: String,
}

/// What the order of associations goes by.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Associated {
    resource_name: String,
    resource_namespace: String,
    resource_type: String,
    association_type: String,
    subject: String,
}

/// A list in the order that its names have here, and not at the primary.
fn by_key<const N: usize>(items: Items, key: impl Fn(&str) -> Option<[String; N]>) -> Option<Items> {
    let keyed = items.into_iter().map(|item| Some((key(item.get())?, item)));
    let mut keyed = keyed.collect::<Option<Vec<([String; N], Box<RawValue>)>>>()?;
    keyed.sort_by(|(one, _), (other, _)| {
        let pairs = one.iter().zip(other).map(|(one, other)| compare(one, other));
        pairs.fold(Ordering::Equal, Ordering::then)
    });
    Some(keyed.into_iter().map(|(_, item)| item).collect())
}

/// What the list selects; `all` is what it is when nothing is given.
fn prefix(operation: &Operation, all: &str) -> SubjectPrefix {
    SubjectPrefix::parse(operation.query.get("subjectPrefix").unwrap_or(all))
}

fn selects(prefix: &SubjectPrefix, name: &str) -> bool {
    let subject = QualifiedSubject::parse(name);
    prefix.admits(&subject.context) && subject.subject.starts_with(prefix.start())
}

/// One item a version, with all names that are asked for and stand for it: the primary lists those of each context
/// apart.
fn with_all_aliases(items: Items, prefix: &SubjectPrefix) -> Option<Items> {
    let mut merged: Vec<(Vec<String>, Box<RawValue>)> = Vec::new();
    let mut places: HashMap<Listed, usize> = HashMap::new();
    for item in items {
        let listed: Listed = serde_json::from_str(item.get()).ok()?;
        let printed: Printed = serde_json::from_str(item.get()).ok()?;
        let aliases: Vec<String> = printed.get("aliases").unwrap_or_default();
        let place = *places.entry(listed).or_insert(merged.len());
        match merged.get_mut(place) {
            None => merged.push((aliases, item)),
            Some((known, kept)) if !aliases.is_empty() => {
                // Whichever has the member has it in its place.
                known.extend(aliases);
                *kept = item;
            }
            Some(_) => {}
        }
    }
    let print = |(mut aliases, item): (Vec<String>, Box<RawValue>)| {
        aliases.retain(|name| selects(prefix, name));
        let place = |name: &String| {
            let name = QualifiedSubject::parse(name);
            (name.context.as_str().to_owned(), name.subject.to_string())
        };
        aliases.sort_by(|one, other| {
            let ((one, its), (other, others)) = (place(one), place(other));
            compare(&one, &other).then_with(|| compare(&its, &others))
        });
        let printed: Printed = serde_json::from_str(item.get()).ok()?;
        with_aliases(printed, &aliases)
    };
    merged.into_iter().map(print).collect()
}

/// Subjects or versions, those that are asked for, in the order of their names.
fn sorted(
    operation: &Operation,
    items: Items,
    all: &str,
    key: impl Fn(&str) -> Option<(String, i64)>,
) -> Option<Items> {
    let prefix = prefix(operation, all);
    // Those that an alias stands for are listed under whatever name they have.
    let is_aliased = |item: &RawValue| operation.query.flag("aliases") && !aliases(item.get()).is_empty();
    let mut keyed = items
        .into_iter()
        .map(|item| Some((key(item.get())?, item)))
        .collect::<Option<Vec<((String, i64), Box<RawValue>)>>>()?;
    keyed.retain(|((name, _), item)| selects(&prefix, name) || is_aliased(item));
    keyed.sort_by(|((one, version), _), ((other, later), _)| match compare(one, other) {
        Ordering::Equal => version.cmp(later),
        order => order,
    });
    Some(keyed.into_iter().map(|(_, item)| item).collect())
}

/// The default context first, which is always there, then the others in order (WIRE.md § 1.21).
fn contexts(operation: &Operation, items: Items, is_whole: bool) -> Option<Items> {
    let start = operation.query.get("contextPrefix").unwrap_or_default();
    // On a bound listener there is no default context beside its own.
    let default = is_whole.then(|| Context::default_context().as_str().to_owned());
    let mut names: Vec<String> = default.into_iter().collect();
    for item in &items {
        names.push(serde_json::from_str(item.get()).ok()?);
    }
    names.sort_by(|one, other| (one != ".").cmp(&(other != ".")).then_with(|| compare(one, other)));
    names.dedup();
    names.retain(|name| name.starts_with(start));
    names.into_iter().map(|name| serde_json::value::to_raw_value(&name).ok()).collect()
}

/// The names that are said to stand for a version.
fn aliases(item: &str) -> Vec<String> {
    #[derive(Default, Deserialize)]
    struct Named {
        #[serde(default)]
        aliases: Vec<String>,
    }
    serde_json::from_str::<Named>(item).unwrap_or_default().aliases
}

/// A version with the names that stand for it, if there are any.
fn with_aliases(printed: Printed, aliases: &[String]) -> Option<Box<RawValue>> {
    let out = if aliases.is_empty() {
        printed.without(&["aliases"])
    } else {
        let mut names = Vec::new();
        push_array(&mut names, aliases, |out, name| push_string(out, name));
        printed.with("aliases", RawValue::from_string(String::from_utf8(names).ok()?).ok()?)
    };
    RawValue::from_string(String::from_utf8(out).ok()?).ok()
}

/// What of an item is to be shown where one registry answers for some subjects and contexts, and another one for the
/// rest: all of it, nothing, or a version without the names that are the other's. `None` if it cannot be read.
pub fn shown_of(
    operation: &Operation,
    item: Box<RawValue>,
    is_own: impl Fn(&QualifiedSubject) -> bool,
) -> Option<Option<Box<RawValue>>> {
    let whole = |name: &str| QualifiedSubject::new(Context::named(name), "");
    let scope = match operation.route {
        Route::Contexts => whole(&serde_json::from_str::<String>(item.get()).ok()?),
        Route::IdsByGuid => whole(&serde_json::from_str::<Place>(item.get()).ok()?.context),
        Route::Schemas => QualifiedSubject::parse(&serde_json::from_str::<Listed>(item.get()).ok()?.subject),
        Route::AssociationsByResource | Route::AssociationsByName => {
            QualifiedSubject::parse(&serde_json::from_str::<Associated>(item.get()).ok()?.subject)
        }
        _ => QualifiedSubject::parse(&serde_json::from_str::<String>(item.get()).ok()?),
    };
    if !is_own(&scope) {
        return Some(None);
    }
    let names = if operation.route == Route::Schemas { aliases(item.get()) } else { Vec::new() };
    let own: Vec<String> = names.iter().filter(|name| is_own(&QualifiedSubject::parse(name))).cloned().collect();
    if own.len() == names.len() {
        return Some(Some(item));
    }
    with_aliases(serde_json::from_str(item.get()).ok()?, &own).map(Some)
}

#[cfg(test)]
mod tests {
    use http::Method;
    use proptest::prelude::*;

    use super::*;

    fn printed(names: &[String]) -> Items {
        let raw = |name: &String| serde_json::value::to_raw_value(name).expect("a text");
        names.iter().map(raw).collect()
    }

    fn texts(items: &[Box<RawValue>]) -> Vec<String> {
        items.iter().map(|item| serde_json::from_str(item.get()).expect("a text")).collect()
    }

    proptest! {
        /// Whoever has what, and whatever copies of the other's there are.
        #[test]
        fn a_page_of_two_registries_is_the_page_of_one(
            names in proptest::collection::btree_set("(:[.][ab]{1,2}:)?[0A_a\u{e000}\u{10000}]{1,3}", 0..30),
            homes in 0_u8..16,
            copies in 0_u64..,
            offset in -1_i32..20,
            limit in -1_i32..20,
        ) {
            let context = |name: &str| QualifiedSubject::parse(name).context.as_str().len();
            let is_first = |name: &str| homes >> (context(name) % 4) & 1 == 0;
            let side = |first: bool| {
                let has = |(at, name): &(usize, &String)| is_first(name) == first || copies >> (at % 64) & 1 == 1;
                names.iter().enumerate().filter(has).map(|(_, name)| name.clone()).collect::<Vec<_>>()
            };
            let operation = Operation::of_target(&Method::GET, "/subjects").expect("a list");
            let mut merged = Items::new();
            for first in [true, false] {
                for item in printed(&side(first)) {
                    let own = shown_of(&operation, item, |scope| is_first(&scope.to_string()) == first);
                    merged.extend(own.expect("a name"));
                }
            }
            let mut whole: Vec<String> = names.iter().cloned().collect();
            whole.sort_by(|one, other| compare(one, other));
            let page = Page { offset, limit };
            let merged = arranged(&operation, merged, true).expect("names");
            prop_assert_eq!(page.cut(texts(&merged), UNCAPPED), page.cut(whole, UNCAPPED));
        }
    }

    #[test]
    fn a_list_is_read_on_until_a_page_is_short_or_the_first_one_comes_again() {
        let numbered =
            |from: usize, count: usize| -> Vec<String> { (from..from + count).map(|at| at.to_string()).collect() };
        let mut pages = Pages::default();
        assert_eq!(pages.query(), "offset=0&limit=1000");
        assert_eq!(pages.step(&printed(&numbered(0, 1000))), Step::More);
        assert_eq!(pages.query(), "offset=999&limit=1000");
        assert_eq!(pages.step(&printed(&numbered(999, 3))), Step::Last);
        let mut unpaged = Pages::default();
        assert_eq!(unpaged.step(&printed(&numbered(0, 2000))), Step::More);
        assert_eq!(unpaged.step(&printed(&numbered(0, 2000))), Step::Again);
    }

    #[test]
    fn a_version_is_shown_without_the_names_that_are_the_others() {
        let operation = Operation::of_target(&Method::GET, "/schemas?aliases=true&subjectPrefix=:*:n").expect("a list");
        let item = |printed: &str| RawValue::from_string(printed.to_owned()).expect("JSON");
        let is_own = |scope: &QualifiedSubject| scope.context.is_default();
        let shown = |printed: &str| shown_of(&operation, item(printed), is_own).expect("a version");
        let both = shown(r#"{"subject":"s","version":1,"aliases":["n",":.c:n"],"x":1}"#).expect("shown");
        assert_eq!(both.get(), r#"{"subject":"s","version":1,"aliases":["n"],"x":1}"#);
        let none = shown(r#"{"subject":"s","version":1,"aliases":[":.c:n"]}"#).expect("shown");
        assert_eq!(none.get(), r#"{"subject":"s","version":1}"#);
        assert!(shown(r#"{"subject":":.c:s","version":1,"aliases":["n"]}"#).is_none());
        let listed = arranged(&operation, vec![both, none], true).expect("versions");
        assert_eq!(listed.len(), 1, "one is listed by the name that stands for it, and the other by none");
    }
}
