//! Configurations, and which one is in scope (WIRE.md § 1.19).

use schema_outpost::protocol::subject::QualifiedSubject;

use super::State;
use super::mode::scopes;
use crate::model::{Metadata, RuleSet};

/// A compatibility level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    None,
    Backward,
    BackwardTransitive,
    Forward,
    ForwardTransitive,
    Full,
    FullTransitive,
}

const NAMES: [(&str, Level); 7] = [
    ("NONE", Level::None),
    ("BACKWARD", Level::Backward),
    ("BACKWARD_TRANSITIVE", Level::BackwardTransitive),
    ("FORWARD", Level::Forward),
    ("FORWARD_TRANSITIVE", Level::ForwardTransitive),
    ("FULL", Level::Full),
    ("FULL_TRANSITIVE", Level::FullTransitive),
];

impl Level {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, level)| *level)
    }

    pub(crate) fn as_str(self) -> &'static str {
        NAMES.iter().find(|(_, level)| *level == self).map_or("", |(name, _)| name)
    }

    pub(crate) fn is_transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }

    pub(crate) fn is_backward(self) -> bool {
        matches!(self, Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive)
    }

    pub(crate) fn is_forward(self) -> bool {
        matches!(self, Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive)
    }
}

/// A configuration; what is absent was never set or was cleared.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Config {
    pub(crate) alias: Option<String>,
    pub(crate) alias_for_deks: Option<String>,
    pub(crate) normalize: Option<bool>,
    pub(crate) validate_fields: Option<bool>,
    pub(crate) validate_new_schemas: Option<bool>,
    pub(crate) validate_rules: Option<bool>,
    pub(crate) level: Option<Level>,
    pub(crate) policy: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) default_metadata: Option<Metadata>,
    pub(crate) override_metadata: Option<Metadata>,
    pub(crate) default_rule_set: Option<RuleSet>,
    pub(crate) override_rule_set: Option<RuleSet>,
}

impl Config {
    /// The level that counts; a configuration without one has the server's.
    pub(crate) fn effective_level(&self) -> Level {
        self.level.unwrap_or(Level::Backward)
    }

    /// Whether it gives or forces anything on what is registered.
    pub(crate) fn shapes_schemas(&self) -> bool {
        self.default_metadata.is_some()
            || self.override_metadata.is_some()
            || self.default_rule_set.is_some()
            || self.override_rule_set.is_some()
    }
}

impl State {
    /// The configuration in scope: the closest one as a whole, nothing is merged.
    pub(crate) fn config(&self, subject: &QualifiedSubject) -> Config {
        scopes(subject).iter().find_map(|scope| self.configs.get(scope)).cloned().unwrap_or_default()
    }
}
