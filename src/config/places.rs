//! Where a setting was written: the line of the file, or the variable.

use std::collections::BTreeMap;

/// The places of all settings, by their key as in `listeners.0.bind`.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) file: String,
    pub(super) lines: BTreeMap<String, usize>,
    pub(super) variables: BTreeMap<String, String>,
}

impl Places {
    /// The place of `key`, or of the closest thing around it that was written down.
    pub(super) fn of(&self, key: &str) -> String {
        let place = |key: &str| {
            let line = || self.lines.get(key).map(|line| format!("{}:{line}", self.file));
            self.variables.get(key).cloned().or_else(line)
        };
        around(key).find_map(place).unwrap_or_default()
    }

    /// Where `key` stands among the lines of the file; what is not there at all comes first.
    pub(super) fn line(&self, key: &str) -> usize {
        around(key).find_map(|key| self.lines.get(key)).copied().unwrap_or_default()
    }

    /// Whether `key` was written as a variable, whose value is always text.
    pub(super) fn is_variable(&self, key: &str) -> bool {
        self.variables.contains_key(key)
    }

    /// Whether `key` and all that is below it come from the environment alone.
    pub(super) fn is_of_environment(&self, key: &str) -> bool {
        self.variable_of(key).is_some() && !self.lines.keys().any(|written| is_at_or_below(written, key))
    }

    /// One of the variables that wrote `key` or something below it.
    pub(super) fn variable_of(&self, key: &str) -> Option<&str> {
        self.variables.iter().find(|(written, _)| is_at_or_below(written, key)).map(|(_, variable)| variable.as_str())
    }
}

/// `a.b.c`, `a.b`, `a`.
fn around(key: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(key), |key| key.rsplit_once('.').map(|(parent, _)| parent))
}

/// Whether `key` is `top` itself or one of the settings below it.
pub(super) fn is_at_or_below(key: &str, top: &str) -> bool {
    key.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
