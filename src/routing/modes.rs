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
    /// Where the data of a scope live around which nothing is set but read-only.
    at_heart: Home,
    set: BTreeMap<QualifiedSubject, Setting>,
    /// Where everything lives, if it is one place.
    throughout: Option<Home>,
}

/// Which registry the data of a scope belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Home {
    /// The primary's: reads are answered from our copy, writes go there.
    Primary,
    /// The local registry's, which is asked for everything.
    Local,
}

/// What is set on a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The mode.
    pub mode: Mode,
    /// Where the data live, as far as that was said of this scope: who is made read-only stays where it is.
    home: Option<Home>,
}

impl Setting {
    /// A mode that was set where another one was.
    fn after(before: Option<Self>, mode: Mode) -> Self {
        Self { mode, home: Home::of(mode).or(before.and_then(|before| before.home)) }
    }

    /// How it is kept: the mode, and where the data live if the mode does not say it.
    pub fn printed(self) -> String {
        match self.home.filter(|_| self.mode.is_read_only()) {
            Some(Home::Primary) => format!("{} PRIMARY", self.mode),
            Some(Home::Local) => format!("{} LOCAL", self.mode),
            None => self.mode.to_string(),
        }
    }

    fn read(kept: &[u8]) -> Option<Self> {
        let (mode, home) = std::str::from_utf8(kept).ok().map(|kept| kept.split_once(' ').unwrap_or((kept, "")))?;
        let mode = Mode::parse(mode)?;
        let home = match home {
            "PRIMARY" => Some(Home::Primary),
            "LOCAL" => Some(Home::Local),
            "" => Home::of(mode),
            _ => return None,
        };
        Some(Self { mode, home })
    }
}

/// One change of the table: a scope, and what is set on it from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeChange {
    /// The subject, or the context under no subject's name.
    pub scope: QualifiedSubject,
    /// `None`: nothing of its own.
    pub set: Option<Setting>,
}

impl ModeChange {
    /// Under which key a scope's mode is kept.
    pub fn key(&self) -> String {
        self.scope.spelt()
    }

    /// What is kept under a key. A mode that cannot be read is read-only until it is set again: it is never guessed.
    pub fn kept(key: &str, value: &[u8]) -> Self {
        let set = Setting::read(value);
        if set.is_none() {
            tracing::error!(
                scope = key,
                "the mode that is kept cannot be read; the scope is read-only until it is set again"
            );
        }
        let set = set.unwrap_or(Setting::after(None, Mode::ReadOnly));
        Self { scope: QualifiedSubject::parse(key), set: Some(set) }
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

impl Home {
    fn of(mode: Mode) -> Option<Self> {
        match mode {
            Mode::Forward => Some(Self::Primary),
            Mode::ReadWrite | Mode::Import => Some(Self::Local),
            Mode::ReadOnly | Mode::ReadOnlyOverride => None,
        }
    }
}

impl ModeTable {
    /// Nothing set: `otherwise` counts everywhere. If that only forbids writes, the data live `at_heart`.
    pub fn of(otherwise: Mode, at_heart: Home) -> Self {
        let set = BTreeMap::new();
        Self { otherwise, at_heart, set, throughout: None }.settled()
    }

    /// The next table.
    #[must_use]
    pub fn with(&self, changes: &[ModeChange]) -> Self {
        let mut next = self.clone();
        for ModeChange { scope, set } in changes {
            match set {
                Some(set) => next.set.insert(scope.clone(), *set),
                None => next.set.remove(scope),
            };
        }
        next.settled()
    }

    fn settled(mut self) -> Self {
        let everywhere = self.home(&whole(&Context::global()));
        let is_same = self.set.keys().all(|scope| self.home(scope) == everywhere);
        let is_same = is_same && self.home(&QualifiedSubject::none()) == everywhere;
        self.throughout = is_same.then_some(everywhere);
        self
    }

    /// Where everything lives, if it is one place.
    pub fn throughout(&self) -> Option<Home> {
        self.throughout
    }

    /// Whether writes are refused anywhere.
    pub fn forbids_anything(&self) -> bool {
        self.otherwise.is_read_only() || self.set.values().any(|set| set.mode.is_read_only())
    }

    /// Where a scope's data live: what is closest around it and says more than that nothing may be written.
    pub fn home(&self, scope: &QualifiedSubject) -> Home {
        let around = [whole(&scope.context), whole(&Context::global())];
        let mut set = [scope].into_iter().chain(&around).filter_map(|scope| self.set.get(scope));
        set.find_map(|set| set.home).or(Home::of(self.otherwise)).unwrap_or(self.at_heart)
    }

    /// The mode that counts where nothing is set.
    pub fn otherwise(&self) -> Mode {
        self.otherwise
    }

    /// What a scope itself is set to.
    pub fn own(&self, scope: &QualifiedSubject) -> Option<Mode> {
        self.set.get(scope).map(|set| set.mode)
    }

    /// The mode in scope: of what is set on the subject, on its context, and on everything, the closest
    /// (WIRE.md § 4.1). A named context takes nothing over from the default one.
    pub fn in_scope(&self, subject: &QualifiedSubject) -> Mode {
        let around = [whole(&subject.context), whole(&Context::global())];
        [subject].into_iter().chain(&around).find_map(|scope| self.own(scope)).unwrap_or(self.otherwise)
    }

    /// Subjects that are set to a mode in which two registries would assign ids in one forwarding context.
    pub fn leftovers(&self) -> impl Iterator<Item = (&QualifiedSubject, Mode)> {
        self.iter().filter(|(scope, _)| !scope.is_bare_context() && self.is_apart(scope))
    }

    /// Whether subjects of a context live elsewhere than the context does.
    pub fn is_divided(&self, context: &Context) -> bool {
        let home = self.home(&whole(context));
        self.set.keys().any(|scope| scope.context == *context && self.home(scope) != home)
    }

    /// What is set whose data live in a registry that there is not.
    pub fn homeless(&self, is_there: impl Fn(Home) -> bool) -> impl Iterator<Item = (&QualifiedSubject, Mode, Home)> {
        self.iter().map(|(scope, mode)| (scope, mode, self.home(scope))).filter(move |(_, _, home)| !is_there(*home))
    }

    /// Whether a subject's data live in the local registry, and its context's do not: two would assign ids in it.
    fn is_apart(&self, subject: &QualifiedSubject) -> bool {
        self.home(subject) == Home::Local && self.home(&whole(&subject.context)) == Home::Primary
    }

    fn would_be_apart(&self, scope: &QualifiedSubject, mode: Mode) -> bool {
        let would_live = Home::of(mode).unwrap_or_else(|| self.home(scope));
        !scope.is_bare_context() && would_live == Home::Local && self.home(&whole(&scope.context)) == Home::Primary
    }

    /// All that is set.
    pub fn iter(&self) -> impl Iterator<Item = (&QualifiedSubject, Mode)> {
        self.set.iter().map(|(scope, set)| (scope, set.mode))
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
        let ModeUpdate::Set(mode, _) = *update else { return Ok(ModeChange { scope: scope.clone(), set: None }) };
        let is_subject = !scope.is_bare_context();
        let needs = |what: &str| Refusal::not_permitted(format!("Mode {mode} needs {what}, and this outpost has none"));
        match mode {
            Mode::Forward if is_subject => {
                return Err(Refusal::new(42204, "Forward mode only supported on global level"));
            }
            Mode::Forward if !around.has_primary => return Err(needs("a primary")),
            Mode::ReadWrite | Mode::Import if !around.has_local => return Err(needs("a local registry")),
            Mode::Import if self.in_scope(scope) != Mode::Import && around.holds_subjects && !around.force => {
                return Err(Refusal::not_permitted("Cannot import since found existing subjects"));
            }
            Mode::ReadWrite | Mode::Import if self.would_be_apart(scope, mode) && !around.force => {
                return Err(Refusal::not_permitted(format!(
                    "Subject {scope} lies in a context that is forwarded: in mode {mode} two registries would assign ids in it"
                )));
            }
            _ => {}
        }
        let set = Setting::after(self.set.get(scope).copied(), mode);
        Ok(ModeChange { scope: scope.clone(), set: Some(set) })
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
        let changes = changes.map(|scope| ModeChange { scope: scope.clone(), set: None }).collect();
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

    fn set(name: &str, mode: Mode) -> ModeChange {
        ModeChange { scope: scope(name), set: Some(Setting::after(None, mode)) }
    }

    fn table(otherwise: Mode, all: &[(&str, Mode)]) -> ModeTable {
        let changes: Vec<ModeChange> = all.iter().map(|(name, mode)| set(name, *mode)).collect();
        ModeTable::of(otherwise, Home::Primary).with(&changes)
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
        assert_eq!(ModeTable::of(Forward, Home::Primary).in_scope(&scope(":.d:s")), Forward);
    }

    #[test]
    fn what_is_read_only_lives_where_it_lived_before() {
        let table =
            table(Mode::Forward, &[("s", Mode::ReadOnly), (":.c:", Mode::ReadWrite), (":.c:s", Mode::ReadOnly)]);
        assert_eq!(table.home(&scope("s")), Home::Primary);
        assert_eq!(table.home(&scope(":.c:s")), Home::Local);
        let unsaid = ModeTable::of(Mode::ReadOnly, Home::Local);
        assert_eq!((unsaid.home(&scope("s")), unsaid.throughout()), (Home::Local, Some(Home::Local)));
        assert!(unsaid.forbids_anything());
    }

    #[test]
    fn who_is_made_read_only_stays_where_it_is() {
        let forwarded = ModeTable::of(Mode::Forward, Home::Primary);
        let mut local = forwarded.with(&[set(":.c:", Mode::ReadWrite)]);
        for mode in [Mode::ReadOnly, Mode::ReadOnlyOverride] {
            let update = ModeUpdate::Set(mode, String::new());
            let change = local.update(&scope(":.c:"), &update, AT_LIBERTY).expect("let through");
            let kept = change.set.expect("set").printed();
            assert_eq!(kept, format!("{mode} LOCAL"));
            assert_eq!(ModeChange::kept(":.c:", kept.as_bytes()), change);
            local = local.with(&[change]);
            assert_eq!((local.home(&scope(":.c:s")), local.in_scope(&scope(":.c:s"))), (Home::Local, mode));
        }
        // Where nothing was said of it, it goes with what is around it.
        let inherits = forwarded.with(&[set(":.d:", Mode::ReadOnly)]);
        assert_eq!(inherits.home(&scope(":.d:")), Home::Primary);
        assert_eq!(inherits.with(&[set(":.__GLOBAL:", Mode::ReadWrite)]).home(&scope(":.d:")), Home::Local);
    }

    #[test]
    fn what_is_kept_and_cannot_be_read_forbids_writes() {
        for odd in [&b"READWRITES"[..], b"", b"READONLY ELSEWHERE", b"\xff"] {
            let change = ModeChange::kept("s", odd);
            assert_eq!(change.set.map(|set| set.mode), Some(Mode::ReadOnly));
        }
    }

    #[test]
    fn what_lives_in_one_place_is_known_as_a_whole() {
        let forwarded = table(Mode::Forward, &[("s", Mode::ReadOnly), (":.c:", Mode::Forward)]);
        assert_eq!(forwarded.throughout(), Some(Home::Primary));
        for odd in ["", ":.c:", ":.c:s", "s"] {
            let one = set(odd, Mode::ReadWrite);
            assert_eq!(forwarded.with(&[one]).throughout(), None, "{odd}");
        }
        let all = set(":.__GLOBAL:", Mode::Import);
        assert_eq!(forwarded.with(std::slice::from_ref(&all)).throughout(), None, "one context is forwarded");
        let none = ModeChange { scope: scope(":.c:"), set: None };
        assert_eq!(forwarded.with(&[all, none]).throughout(), Some(Home::Local));
    }

    #[test]
    fn forward_is_for_whole_contexts() {
        let table = ModeTable::of(Mode::ReadWrite, Home::Local);
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
        let update = ModeUpdate::Set(Mode::ReadOnly, String::new());
        let held = left.with(&[left.update(&scope("s"), &update, AT_LIBERTY).expect("let through")]);
        assert_eq!(held.leftovers().count(), 1, "read-only, it still lives apart from its context");
        let later = left.with(&[set("", Mode::ReadOnly)]);
        assert_eq!(later.leftovers().count(), 1, "read-only is still the primary's");
    }

    #[test]
    fn a_mode_needs_whoever_is_to_serve_in_it() {
        let table = ModeTable::of(Mode::Forward, Home::Primary);
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
