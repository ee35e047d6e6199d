//! The mode table: which mode is set where, which one counts, and what may be changed about it.
//!
//! The table is a value. Whoever changes it makes the next one, has it kept, and shows it then.

use std::collections::BTreeMap;

use crate::protocol::error::Refusal;
use crate::protocol::mode::{Mode, ModeUpdate};
use crate::protocol::subject::{Context, QualifiedSubject};

/// The modes that are set, and the one that counts where none is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeTable {
    otherwise: Mode,
    set: BTreeMap<QualifiedSubject, Mode>,
}

/// One change of the table: a scope, and its mode from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeChange {
    /// The subject, or the context under no subject's name.
    pub scope: QualifiedSubject,
    /// `None`: none of its own.
    pub mode: Option<Mode>,
}

impl ModeChange {
    /// Under which key a scope's mode is kept.
    pub fn key(&self) -> String {
        self.scope.spelt()
    }

    /// What is kept under a key. A mode that cannot be read is read-only until it is set again: it is never guessed.
    pub fn kept(key: &str, value: &[u8]) -> Self {
        let mode = std::str::from_utf8(value).ok().and_then(Mode::parse);
        if mode.is_none() {
            tracing::error!(
                scope = key,
                "the mode that is kept cannot be read; the scope is read-only until it is set again"
            );
        }
        Self { scope: QualifiedSubject::parse(key), mode: Some(mode.unwrap_or(Mode::ReadOnly)) }
    }
}

/// What else bears on whether a mode can be set.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// Whether there is a local registry to serve what is not forwarded.
    pub has_local: bool,
    /// Whether there is a primary to forward to.
    pub has_primary: bool,
    /// Whether the scope holds a subject with a live version.
    pub holds_subjects: bool,
    /// Whether the client insists.
    pub force: bool,
}

impl ModeTable {
    /// Nothing set: `otherwise` counts everywhere.
    pub fn of(otherwise: Mode) -> Self {
        Self { otherwise, set: BTreeMap::new() }
    }

    /// The next table.
    #[must_use]
    pub fn with(&self, changes: &[ModeChange]) -> Self {
        let mut next = self.clone();
        for ModeChange { scope, mode } in changes {
            match mode {
                Some(mode) => next.set.insert(scope.clone(), *mode),
                None => next.set.remove(scope),
            };
        }
        next
    }

    /// The mode that counts where nothing is set.
    pub fn otherwise(&self) -> Mode {
        self.otherwise
    }

    /// What a scope itself is set to.
    pub fn own(&self, scope: &QualifiedSubject) -> Option<Mode> {
        self.set.get(scope).copied()
    }

    /// The mode in scope: of what is set on the subject, on its context, and on everything, the closest
    /// (WIRE.md § 4.1). A named context takes nothing over from the default one.
    pub fn in_scope(&self, subject: &QualifiedSubject) -> Mode {
        let around = [whole(&subject.context), whole(&Context::global())];
        [subject].into_iter().chain(&around).find_map(|scope| self.own(scope)).unwrap_or(self.otherwise)
    }

    /// Where a context's data live when it is read-only: the mode around it that says so.
    pub fn base(&self, subject: &QualifiedSubject) -> Mode {
        let around = [whole(&subject.context), whole(&Context::global())];
        let set = [subject].into_iter().chain(&around).filter_map(|scope| self.own(scope));
        set.chain([self.otherwise]).find(|mode| !mode.is_read_only()).unwrap_or(self.otherwise)
    }

    /// Subjects that are set to a mode in which two registries would assign ids in one forwarding context.
    pub fn leftovers(&self) -> impl Iterator<Item = (&QualifiedSubject, Mode)> {
        self.set.iter().map(|(scope, mode)| (scope, *mode)).filter(|(scope, mode)| self.is_leftover(scope, *mode))
    }

    fn is_leftover(&self, scope: &QualifiedSubject, mode: Mode) -> bool {
        let is_local = matches!(mode, Mode::ReadWrite | Mode::Import);
        !scope.is_bare_context() && is_local && self.base(&whole(&scope.context)) == Mode::Forward
    }

    /// All that is set.
    pub fn iter(&self) -> impl Iterator<Item = (&QualifiedSubject, Mode)> {
        self.set.iter().map(|(scope, mode)| (scope, *mode))
    }

    /// `GET /mode[/{s}]` (WIRE.md § 4.3).
    pub fn show(&self, scope: &QualifiedSubject, default_to_global: bool) -> Result<Mode, Refusal> {
        match self.own(scope) {
            Some(own) => Ok(own),
            None if default_to_global => Ok(self.in_scope(scope)),
            None if is_always_set(scope) => Ok(self.otherwise),
            None => Err(Refusal::no_mode(&scope.to_string())),
        }
    }

    /// `PUT /mode[/{s}]` (WIRE.md § 4.4, CONSISTENCY.md, Modes).
    pub fn update(
        &self,
        scope: &QualifiedSubject,
        update: &ModeUpdate,
        around: Circumstances,
    ) -> Result<ModeChange, Refusal> {
        let ModeUpdate::Set(mode, _) = *update else { return Ok(ModeChange { scope: scope.clone(), mode: None }) };
        let is_subject = !scope.is_bare_context();
        let needs = |what: &str| Refusal::not_permitted(format!("Mode {mode} needs {what}, and this outpost has none"));
        match mode {
            Mode::Forward if is_subject => {
                return Err(Refusal::new(42204, "Forward mode only supported on global level"));
            }
            Mode::Forward if !around.has_primary => return Err(needs("a primary")),
            Mode::ReadWrite | Mode::Import if !around.has_local => return Err(needs("a local registry")),
            Mode::ReadWrite | Mode::Import if self.is_leftover(scope, mode) && !around.force => {
                return Err(Refusal::not_permitted(format!(
                    "Subject {scope} lies in a context that is forwarded: in mode {mode} two registries would assign ids in it"
                )));
            }
            Mode::Import if self.in_scope(scope) != Mode::Import && around.holds_subjects && !around.force => {
                return Err(Refusal::not_permitted("Cannot import since found existing subjects"));
            }
            _ => {}
        }
        Ok(ModeChange { scope: scope.clone(), mode: Some(mode) })
    }

    /// `DELETE /mode[/{s}]` (WIRE.md § 4.5): what is answered, and what changes.
    pub fn delete(
        &self,
        scope: &QualifiedSubject,
        recursive: bool,
    ) -> Result<(Option<Mode>, Vec<ModeChange>), Refusal> {
        let own = self.own(scope);
        if own.is_none() && !is_always_set(scope) && !recursive {
            return Err(Refusal::subject_not_found(&scope.to_string()));
        }
        let within = |other: &QualifiedSubject| {
            recursive && scope.is_bare_context() && !other.is_bare_context() && other.context == scope.context
        };
        // What is asked for goes even if it is not there: a change that failed may have left it on the disk.
        let gone = self.set.keys().filter(|other| *other != scope && within(other));
        let changes = std::iter::once(scope).chain(gone);
        let changes = changes.map(|scope| ModeChange { scope: scope.clone(), mode: None }).collect();
        Ok((own.or_else(|| is_always_set(scope).then_some(self.otherwise)), changes))
    }
}

/// A context as a scope.
pub(super) fn whole(context: &Context) -> QualifiedSubject {
    QualifiedSubject::new(context.clone(), "")
}

/// The default context and everything, of which nobody says that they have no mode.
fn is_always_set(scope: &QualifiedSubject) -> bool {
    scope.is_top_level() || *scope == whole(&Context::global())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> QualifiedSubject {
        QualifiedSubject::parse(text)
    }

    fn table(otherwise: Mode, set: &[(&str, Mode)]) -> ModeTable {
        let changes: Vec<ModeChange> =
            set.iter().map(|(name, mode)| ModeChange { scope: scope(name), mode: Some(*mode) }).collect();
        ModeTable::of(otherwise).with(&changes)
    }

    const AT_LIBERTY: Circumstances =
        Circumstances { has_local: true, has_primary: true, holds_subjects: false, force: false };

    fn put(table: &ModeTable, name: &str, mode: Mode, around: Circumstances) -> Result<(), (u32, String)> {
        let update = ModeUpdate::Set(mode, mode.as_str().to_owned());
        table.update(&scope(name), &update, around).map(drop).map_err(|refusal| (refusal.code, refusal.message))
    }

    #[test]
    fn the_closest_mode_counts() {
        use Mode::{Forward, Import, ReadOnly, ReadWrite};
        let table = table(
            Forward,
            &[("s", ReadOnly), ("", ReadWrite), (":.c:", Import), (":.c:s", ReadOnly), (":.__GLOBAL:", ReadWrite)],
        );
        for (name, mode) in [
            ("s", ReadOnly),
            ("other", ReadWrite),
            ("", ReadWrite),
            (":.c:s", ReadOnly),
            (":.c:other", Import),
            (":.d:s", ReadWrite),
            (":.__GLOBAL:", ReadWrite),
        ] {
            assert_eq!(table.in_scope(&scope(name)), mode, "{name}");
        }
        assert_eq!(super::ModeTable::of(Forward).in_scope(&scope(":.d:s")), Forward);
    }

    #[test]
    fn what_is_read_only_lives_where_it_lived_before() {
        let table =
            table(Mode::Forward, &[("s", Mode::ReadOnly), (":.c:", Mode::ReadWrite), (":.c:s", Mode::ReadOnly)]);
        assert_eq!(table.base(&scope("s")), Mode::Forward);
        assert_eq!(table.base(&scope(":.c:s")), Mode::ReadWrite);
    }

    #[test]
    fn forward_is_for_whole_contexts() {
        let table = ModeTable::of(Mode::ReadWrite);
        for name in ["", ":.c:", ":.__GLOBAL:"] {
            assert_eq!(put(&table, name, Mode::Forward, AT_LIBERTY), Ok(()), "{name}");
        }
        for name in ["s", ":.c:s", ":.__GLOBAL:s"] {
            let refused = put(&table, name, Mode::Forward, Circumstances { force: true, ..AT_LIBERTY });
            assert_eq!(refused, Err((42204, "Forward mode only supported on global level".to_owned())), "{name}");
        }
    }

    #[test]
    fn two_registries_never_assign_ids_in_one_context_unless_someone_insists() {
        let forwarding = table(Mode::Forward, &[(":.c:", Mode::ReadWrite)]);
        for mode in [Mode::ReadWrite, Mode::Import] {
            let refused = put(&forwarding, "s", mode, AT_LIBERTY).expect_err("refused");
            assert_eq!(refused.0, 42205);
            assert_eq!(put(&forwarding, "s", mode, Circumstances { force: true, ..AT_LIBERTY }), Ok(()));
            assert_eq!(put(&forwarding, ":.c:s", mode, AT_LIBERTY), Ok(()), "that context is local as a whole");
        }
        let left = table(Mode::Forward, &[("s", Mode::Import), ("t", Mode::ReadOnly), (":.c:", Mode::ReadWrite)]);
        let names: Vec<String> = left.leftovers().map(|(scope, _)| scope.to_string()).collect();
        assert_eq!(names, ["s"]);
        let later = left.with(&[ModeChange { scope: scope(""), mode: Some(Mode::ReadOnly) }]);
        assert_eq!(later.leftovers().count(), 1, "read-only is still the primary's");
    }

    #[test]
    fn a_mode_needs_whoever_is_to_serve_in_it() {
        let table = ModeTable::of(Mode::Forward);
        let alone = Circumstances { has_local: false, force: true, ..AT_LIBERTY };
        for mode in [Mode::ReadWrite, Mode::Import] {
            assert_eq!(put(&table, "", mode, alone).map_err(|(code, _)| code), Err(42205));
        }
        assert_eq!(put(&table, "", Mode::ReadOnly, alone), Ok(()));
        let islanded = Circumstances { has_primary: false, ..AT_LIBERTY };
        assert_eq!(put(&table, "", Mode::Forward, islanded).map_err(|(code, _)| code), Err(42205));
    }

    #[test]
    fn an_import_begins_on_nothing_unless_someone_insists() {
        let table = table(Mode::ReadWrite, &[(":.c:", Mode::Import)]);
        let held = Circumstances { holds_subjects: true, ..AT_LIBERTY };
        let refused = Err((42205, "Cannot import since found existing subjects".to_owned()));
        assert_eq!(put(&table, "s", Mode::Import, held), refused);
        assert_eq!(put(&table, "s", Mode::Import, Circumstances { force: true, ..held }), Ok(()));
        assert_eq!(put(&table, ":.c:s", Mode::Import, held), Ok(()), "it is importing already");
    }
}
