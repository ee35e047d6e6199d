//! Modes, and which one is in scope (WIRE.md § 4).

use schema_outpost::protocol::subject::QualifiedSubject;

use super::State;
use crate::failure::{Failure, Outcome};

/// What may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    ReadWrite,
    ReadOnly,
    ReadOnlyOverride,
    Import,
    Forward,
}

const NAMES: [(&str, Mode); 5] = [
    ("READWRITE", Mode::ReadWrite),
    ("READONLY", Mode::ReadOnly),
    ("READONLY_OVERRIDE", Mode::ReadOnlyOverride),
    ("IMPORT", Mode::Import),
    ("FORWARD", Mode::Forward),
];

impl Mode {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, mode)| *mode)
    }

    pub(crate) fn as_str(self) -> &'static str {
        NAMES.iter().find(|(_, mode)| *mode == self).map_or("", |(name, _)| name)
    }

    pub(crate) fn is_read_only(self) -> bool {
        matches!(self, Self::ReadOnly | Self::ReadOnlyOverride)
    }

    pub(crate) fn imports(self) -> bool {
        matches!(self, Self::Import | Self::Forward)
    }
}

/// Where a setting of a subject is looked for, the closest first.
pub(super) fn scopes(subject: &QualifiedSubject) -> Vec<String> {
    let mut scopes = Vec::with_capacity(3);
    if !subject.is_bare_context() {
        scopes.push(subject.to_string());
    }
    scopes.push(subject.context.prefix());
    scopes.push(":.__GLOBAL:".to_owned());
    scopes
}

impl State {
    /// The mode in scope.
    pub(crate) fn mode(&self, subject: &QualifiedSubject) -> Mode {
        let own = scopes(subject).iter().find_map(|scope| self.modes.get(scope).copied());
        own.unwrap_or(Mode::ReadWrite)
    }

    /// Fails where nothing may be changed. `shown` is what the message calls the subject.
    pub(crate) fn check_writable(&self, subject: &QualifiedSubject, shown: &str) -> Outcome<()> {
        if self.mode(subject).is_read_only() {
            return Err(refused(shown, subject, "is in read-only mode"));
        }
        Ok(())
    }

    /// Fails where a schema may not be registered: with an explicit id only imports are, without one never.
    pub(crate) fn check_registrable(&self, subject: &QualifiedSubject, id: i32) -> Outcome<()> {
        let mode = self.mode(subject);
        let why = match (mode.is_read_only(), mode.imports(), id >= 0) {
            (true, _, _) => "is in read-only mode",
            (_, true, false) => "is not in read-write mode",
            (_, false, true) => "is not in import mode",
            _ => return Ok(()),
        };
        Err(refused(&subject.to_string(), subject, why))
    }
}

fn refused(shown: &str, subject: &QualifiedSubject, why: &str) -> Failure {
    Failure::not_permitted(format!("Subject {shown} in context {} {why}", subject.context.prefix()))
}
