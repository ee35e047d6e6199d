//! What `GET /schemas` goes by besides the schemas: aliases, rules, associations (WIRE.md § 1.9).

use std::collections::HashMap;

use serde::Deserialize;

use super::associations::{known, listed, order};
use super::resolve::{alias, config_key};
use super::{ALIASES, Verdict};
use crate::protocol::error::Refusal;
use crate::protocol::operation::Operation;
use crate::protocol::order::compare;
use crate::protocol::schema::Version;
use crate::protocol::subject::{Context, QualifiedSubject, SubjectPrefix};
use crate::replica::snapshot::{Association, Snapshot};

/// Whether every alias is known: a pass has asked for all of them, and no subject has come since whose
/// configuration nobody has read.
pub(super) fn knows_aliases(snapshot: &Snapshot) -> bool {
    let has_config = |subject: QualifiedSubject| snapshot.remembered(&config_key(&subject)).is_some();
    snapshot.remembered(ALIASES).is_some()
        && snapshot.contexts().all(|(context, state)| {
            state.subjects().all(|(name, _)| has_config(QualifiedSubject::new(context.clone(), name)))
        })
}

/// The aliases that a prefix selects, in the order of the registry's store, each behind its subject.
pub(super) fn aliases(snapshot: &Snapshot, prefix: &SubjectPrefix) -> HashMap<QualifiedSubject, Vec<String>> {
    let names = snapshot.remembered_keys().filter_map(|key| key.strip_prefix("/config/"));
    let names = names.filter(|name| !name.ends_with("?defaultToGlobal=true")).map(QualifiedSubject::parse);
    // A beginning of names is looked for in the contexts that are listed; a configuration alone brings none about.
    let is_everywhere = matches!(prefix, SubjectPrefix::Everywhere(start) if !start.is_empty());
    let listed = snapshot.listed_contexts().filter(|_| is_everywhere);
    let is_listed = |context: &Context| listed.is_none_or(|listed| context.is_default() || listed.contains(context));
    let is_selected = |name: &QualifiedSubject| {
        prefix.admits(&name.context) && is_listed(&name.context) && name.subject.starts_with(prefix.start())
    };
    let mut names: Vec<QualifiedSubject> = names.filter(is_selected).collect();
    names.sort_by(|one, other| {
        let contexts = compare(one.context.as_str(), other.context.as_str());
        contexts.then_with(|| compare(&one.subject, &other.subject))
    });
    let mut found: HashMap<QualifiedSubject, Vec<String>> = HashMap::new();
    for name in names {
        if let Some(target) = alias(snapshot, &name) {
            found.entry(QualifiedSubject::parse_in(&target, &name.context)).or_default().push(name.to_string());
        }
    }
    found
}

/// Whether a version has a rule of the type.
pub(super) fn has_rule(version: &Version, rule_type: &str) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Rules {
        migration_rules: Option<Vec<Rule>>,
        domain_rules: Option<Vec<Rule>>,
        encoding_rules: Option<Vec<Rule>>,
    }
    #[derive(Deserialize)]
    struct Rule {
        r#type: Option<String>,
    }
    let Some(raw) = version.rule_set.as_deref() else { return false };
    let Rules { migration_rules, domain_rules, encoding_rules } = serde_json::from_str(raw.get()).unwrap_or_default();
    let mut rules = [migration_rules, domain_rules, encoding_rules].into_iter().flatten().flatten();
    rules.any(|rule| rule.r#type.as_deref() == Some(rule_type))
}

/// Whether a list of schemas is to show associations, or to go by them.
pub(super) fn asks_associations(operation: &Operation) -> bool {
    ["resourceType", "associationType", "lifecycle"].iter().any(|name| operation.query.get(name).is_some())
}

/// The associations that a list of schemas goes by.
pub(super) struct Filter<'a> {
    kind: Option<&'a str>,
    sides: Vec<&'a str>,
    lifecycles: Vec<&'a str>,
    by_subject: HashMap<&'a str, Vec<&'a Association>>,
}

impl<'a> Filter<'a> {
    /// Reads what is asked for; nothing if nothing is.
    pub(super) fn read(operation: &'a Operation, snapshot: &'a Snapshot) -> Result<Option<Self>, Verdict> {
        let query = &operation.query;
        let lifecycles: Vec<&str> = query.all("lifecycle").collect();
        if lifecycles.iter().any(|lifecycle| !["NONE", "STRONG", "WEAK"].contains(lifecycle)) {
            return Err(Refusal::not_found().into());
        }
        if !asks_associations(operation) {
            return Ok(None);
        }
        let mut by_subject: HashMap<&str, Vec<&Association>> = HashMap::new();
        for association in known(snapshot)? {
            by_subject.entry(&association.subject).or_default().push(association);
        }
        let sides = query.all("associationType").collect();
        Ok(Some(Self { kind: query.get("resourceType"), sides, lifecycles, by_subject }))
    }

    /// What is shown of a subject's associations, printed; `None` where the subject is left out.
    /// `NONE` asks for subjects that have none of the rest.
    pub(super) fn shown(&self, subject: &str) -> Option<Vec<u8>> {
        let own = self.by_subject.get(subject).map_or(&[][..], Vec::as_slice).iter().copied();
        let mut own: Vec<&Association> = own.filter(|association| self.takes(association)).collect();
        if own.is_empty() {
            return self.lifecycles.contains(&"NONE").then(Vec::new);
        }
        if !self.lifecycles.is_empty() {
            own.retain(|association| self.lifecycles.contains(&association.lifecycle.as_str()));
        }
        own.sort_by(|one, other| order(one, other));
        (!own.is_empty()).then(|| listed(own).into())
    }

    fn takes(&self, association: &Association) -> bool {
        self.kind.is_none_or(|kind| association.resource_type == kind)
            && (self.sides.is_empty() || self.sides.contains(&association.association_type.as_str()))
    }
}
