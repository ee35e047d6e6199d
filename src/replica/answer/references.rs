//! What a version refers to: the schemas behind it, and the full names of its references (WIRE.md § 3.8).

use std::collections::HashSet;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::protocol::identity::guid;
use crate::protocol::json::{Object, push_array};
use crate::protocol::schema::Version;
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

fn read(version: &Version) -> Option<Vec<Known>> {
    match &version.references {
        None => Some(Vec::new()),
        Some(raw) => serde_json::from_str(raw.get()).ok(),
    }
}

/// Every version that the references lead to, what each of them needs before it: so the registry
/// reads them when it takes a schema apart. `None` where one is not held here.
pub(super) fn behind(snapshot: &Snapshot, context: &Context, version: &Version) -> Option<Vec<Arc<Version>>> {
    let mut walk = Walk { snapshot, seen: HashSet::new(), found: Vec::new() };
    walk.visit(context, version)?;
    Some(walk.found)
}

struct Walk<'a> {
    snapshot: &'a Snapshot,
    seen: HashSet<String>,
    found: Vec<Arc<Version>>,
}

impl Walk<'_> {
    /// A name counts once, wherever it stands; each must lead somewhere all the same.
    fn visit(&mut self, context: &Context, version: &Version) -> Option<()> {
        for reference in read(version)? {
            let subject = QualifiedSubject::parse_in(&reference.subject, context);
            let target = self.snapshot.version(&subject, reference.version)?.clone();
            if self.seen.insert(reference.name) {
                self.visit(&subject.context, &target)?;
                self.found.push(target);
            }
        }
        Some(())
    }
}

/// The version with its references under their full names.
pub(super) fn qualified(context: &Context, version: &Version) -> Option<Version> {
    let mut out = Vec::new();
    push_array(&mut out, read(version)?, |out, reference| {
        let mut object = Object::open(out);
        let subject = QualifiedSubject::parse_in(&reference.subject, context).to_string();
        object.text("name", Some(&reference.name)).text("subject", Some(&subject));
        object.number("version", Some(reference.version.into()));
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
