//! What a version refers to: the schemas behind it, and the full names of its references (WIRE.md § 3.8).

use std::collections::HashSet;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::protocol::identity::guid;
use crate::protocol::json::{Object, push_array};
use crate::protocol::schema::{Reference, Version};
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::snapshot::Snapshot;

/// A reference with nothing in it that we would lose by printing it anew.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    #[serde(default)]
    name: String,
    subject: String,
    version: i32,
}

fn read(version: &Version) -> Option<Vec<Reference>> {
    let known: Vec<Known> = match &version.references {
        None => Vec::new(),
        Some(raw) => serde_json::from_str(raw.get()).ok()?,
    };
    let whole = |Known { name, subject, version }| Reference {
        name: Some(name),
        subject: Some(subject),
        version: Some(version),
    };
    Some(known.into_iter().map(whole).collect())
}

/// References that are followed; who has more is the primary's to understand.
pub(in crate::replica) const MOST_REFERENCES: usize = 256;

/// Every version that a version's references lead to.
pub(super) fn behind(snapshot: &Snapshot, context: &Context, version: &Version) -> Option<Vec<Arc<Version>>> {
    brought(snapshot, context, &read(version)?)
}

/// Every version that references lead to from a context, what each of them needs before it: so the registry
/// reads them when it takes a schema apart. `None` where one is not held here, or is the latest, whichever that is.
pub(super) fn brought(snapshot: &Snapshot, context: &Context, references: &[Reference]) -> Option<Vec<Arc<Version>>> {
    let mut walk = Walk { snapshot, seen: HashSet::new(), found: Vec::new() };
    walk.follow(context, references)?;
    Some(walk.found)
}

struct Walk<'a> {
    snapshot: &'a Snapshot,
    /// The names that they go by: of two by one name the registry takes the first.
    seen: HashSet<String>,
    found: Vec<Arc<Version>>,
}

impl Walk<'_> {
    /// A name counts once, wherever it stands; each must lead somewhere all the same.
    fn follow(&mut self, context: &Context, references: &[Reference]) -> Option<()> {
        for reference in references {
            let number = reference.version.filter(|version| *version >= 1)?;
            let subject = QualifiedSubject::parse_in(reference.subject.as_deref()?, context);
            let target = self.snapshot.version(&subject, number)?.clone();
            let name = reference.name.as_deref()?;
            if self.seen.contains(name) {
                continue;
            }
            if self.seen.len() == MOST_REFERENCES {
                return None;
            }
            self.seen.insert(name.to_owned());
            self.follow(&subject.context, &read(&target)?)?;
            self.found.push(target);
        }
        Some(())
    }
}

/// The version with its references under their full names.
pub(super) fn qualified(context: &Context, version: &Version) -> Option<Version> {
    let mut out = Vec::new();
    push_array(&mut out, read(version)?, |out, reference| {
        let mut object = Object::open(out);
        let subject = reference.subject.map(|subject| QualifiedSubject::parse_in(&subject, context).to_string());
        object.text("name", reference.name.as_deref()).text("subject", subject.as_deref());
        object.number("version", reference.version.map(i64::from));
        object.close();
    });
    let references = RawValue::from_string(String::from_utf8(out).ok()?).ok()?;
    Some(Version { references: Some(references.into()), ..version.clone() })
}

/// The version with a GUID that counts what it shows, if it has one (WIRE.md § 7.5).
pub(super) fn recounted(version: &Version) -> Option<Version> {
    let (metadata, rules) = (version.metadata.as_deref(), version.rule_set.as_deref());
    let guid = match version.guid {
        Some(_) => Some(guid(&version.text, &version.references(), metadata, rules)?.into()),
        None => None,
    };
    Some(Version { guid, ..version.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::schema::Listed;
    use crate::replica::{Change, Forgetful, Replica};

    /// Subjects by their names, each with a version, whose references are written behind it.
    async fn holding(subjects: impl IntoIterator<Item = (String, String)>) -> Arc<Snapshot> {
        let replica = Arc::new(Replica::empty(Forgetful));
        let change = |(id, (name, references)): (i32, (String, String))| {
            let printed = format!(r#"{{"version":1,"id":{id},"references":[{references}],"schema":"{name}"}}"#);
            let version = serde_json::from_str::<Listed>(&printed).expect("a version").version;
            Change::Subject { subject: QualifiedSubject::parse(&name), versions: vec![version] }
        };
        let changes = (1..).zip(subjects).map(change).collect();
        replica.apply_reading(changes, replica.ticket()).await.expect("kept");
        replica.snapshot()
    }

    fn to(name: &str, subject: &str) -> Reference {
        Reference { name: Some(name.to_owned()), subject: Some(subject.to_owned()), version: Some(1) }
    }

    fn texts(snapshot: &Snapshot, references: &[Reference]) -> Option<Vec<String>> {
        let found = brought(snapshot, &Context::default_context(), references)?;
        Some(found.iter().map(|version| version.text.to_string()).collect())
    }

    #[tokio::test]
    async fn references_are_followed_to_their_end_and_of_two_by_one_name_the_first_counts() {
        let subjects = [
            ("leaf", ""),
            (":.c:leaf", ""),
            (":.c:mid", r#"{"name":"l","subject":"leaf","version":1}"#),
            ("odd", r#"{"name":"l","subject":"leaf","version":1,"later":true}"#),
            ("lost", r#"{"name":"n","subject":"nosuch","version":1}"#),
        ];
        let snapshot = holding(subjects.map(|(name, references)| (name.to_owned(), references.to_owned()))).await;
        let found = |references: &[Reference]| texts(&snapshot, references);
        let all = ["leaf", ":.c:mid"].map(str::to_owned).to_vec();
        assert_eq!(found(&[to("l", "leaf"), to("m", ":.c:mid")]), Some(all));
        let all = [":.c:leaf", ":.c:mid"].map(str::to_owned).to_vec();
        assert_eq!(found(&[to("m", ":.c:mid"), to("l", "leaf")]), Some(all));
        for (what, reference) in [
            ("leads nowhere", to("x", "nosuch")),
            ("leads to what leads nowhere", to("x", "lost")),
            ("leads to what says more of its references than we know", to("x", "odd")),
            ("is to whatever is the latest", Reference { version: Some(-1), ..to("x", "leaf") }),
            ("has no name", Reference { name: None, ..to("x", "leaf") }),
        ] {
            assert_eq!(found(&[reference]), None, "one that {what}");
        }
    }

    #[tokio::test]
    async fn who_has_more_references_than_are_followed_is_the_primarys_to_understand() {
        let name = |at: usize| format!("s{at}");
        let snapshot = holding((0..=MOST_REFERENCES).map(|at| (name(at), String::new()))).await;
        let references: Vec<Reference> = (0..=MOST_REFERENCES).map(|at| to(&name(at), &name(at))).collect();
        let most = texts(&snapshot, &references[1..]);
        assert_eq!(most.map(|texts| texts.len()), Some(MOST_REFERENCES));
        assert_eq!(texts(&snapshot, &references), None);
    }
}
