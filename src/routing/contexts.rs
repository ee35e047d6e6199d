//! The map of contexts: under which name the primary knows each of ours (DESIGN.md, Configuration).
//!
//! Several sites share one primary, each in contexts of its own. Here a context has our name; there it may
//! have another. What is not mapped is not visible.

use std::fmt;
use std::ops::Deref;

use serde::Deserialize;

use super::Addressed;
use super::rename::Unmapped;
use crate::admission::Admitted;
use crate::protocol::operation::Operation;
use crate::protocol::subject::Context;

/// One entry of the map as it is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Our name: `.` for the default context, `.name` for another, `.name*` for all whose names begin so.
    pub local: String,
    /// The primary's name. Of the same kind as ours: one context, or all that begin alike.
    pub primary: String,
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ↔ {}", self.local, self.primary)
    }
}

/// The map, both ways. Made of nothing it is the identity, under which every name passes as it is.
#[derive(Clone, Debug, Default)]
pub struct Contexts {
    entries: Vec<Entry>,
    /// The only context of ours that there is, and that plain names mean.
    bound: Option<Context>,
}

/// Which contexts one side of an entry means.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// The one of this name.
    One(String),
    /// Those whose names go on after this beginning.
    Beginning(String),
}

#[derive(Clone, Debug)]
struct Entry {
    pair: Pair,
    local: Pattern,
    primary: Pattern,
}

/// One entry of the map, as far as it selects subjects of the primary's; under a map of nothing everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection(Option<Pattern>);

impl Selection {
    /// The `subjectPrefix` by which the primary lists what is selected (WIRE.md § 3.6).
    pub fn primary_prefix(&self) -> String {
        match &self.0 {
            None => ":*:".to_owned(),
            Some(Pattern::One(name)) => Context::named(name).prefix(),
            Some(Pattern::Beginning(start)) => format!(":{start}"),
        }
    }
}

/// Why a map cannot be used. Every message names the entries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// A name is none of a context.
    #[error(
        "{pair}: '{name}' is no name of a context; expected '.', '.name', or '.name*' for all that begin so, without colons"
    )]
    Name {
        /// The entry.
        pair: Pair,
        /// The name.
        name: String,
    },
    /// A name stands for what belongs to all sites.
    #[error("{pair}: {name} holds what counts for the whole registry and cannot be mapped")]
    Reserved {
        /// The entry.
        pair: Pair,
        /// The name.
        name: String,
    },
    /// One side is one context, the other many.
    #[error("{0}: one context cannot be mapped to many; write '*' at the end of both or of neither")]
    Uneven(Pair),
    /// Two entries would give a context of ours two names.
    #[error("{0} and {1}: both map the local context {2}")]
    Ambiguous(Pair, Pair, String),
    /// Two entries would mix two contexts of ours in one.
    #[error("{0} and {1}: both lead to the primary's context {2}")]
    Mixed(Pair, Pair, String),
    /// Names go round in a circle.
    #[error("{0} and {1}: names go round in a circle, each is mapped to what the other maps")]
    Circle(Pair, Pair),
}

impl Contexts {
    /// Reads a map.
    pub fn of(pairs: &[Pair]) -> Result<Self, MapError> {
        let entries = pairs.iter().map(Entry::read).collect::<Result<Vec<_>, _>>()?;
        for (index, one) in entries.iter().enumerate() {
            for other in &entries[..index] {
                let pairs = || (other.pair.clone(), one.pair.clone());
                if let Some(name) = one.local.shared(&other.local) {
                    let (other, one) = pairs();
                    return Err(MapError::Ambiguous(other, one, name));
                }
                if let Some(name) = one.primary.shared(&other.primary) {
                    let (other, one) = pairs();
                    return Err(MapError::Mixed(other, one, name));
                }
            }
        }
        match circle(&entries) {
            Some((one, other)) => Err(MapError::Circle(entries[one].pair.clone(), entries[other].pair.clone())),
            None => Ok(Self { entries, bound: None }),
        }
    }

    /// Whether names pass as they are.
    pub fn is_identity(&self) -> bool {
        self.entries.is_empty() && self.bound.is_none()
    }

    /// The map as it is written down beside what was read through it: the same text for the same map.
    pub fn printed(&self) -> String {
        let mut lines: Vec<String> = self.entries.iter().map(|entry| entry.pair.to_string()).collect();
        lines.sort();
        lines.join("\n")
    }

    /// The part of the map that there is for whoever is bound to one context of ours: nothing else is mapped.
    #[must_use]
    pub fn within(&self, bound: &Context) -> Self {
        let entry = self.to_primary(bound).map(|there| {
            let (local, primary) = (bound.as_str().to_owned(), there.as_str().to_owned());
            let pair = Pair { local: local.clone(), primary: primary.clone() };
            Entry { pair, local: Pattern::One(local), primary: Pattern::One(primary) }
        });
        Self { entries: entry.into_iter().collect(), bound: Some(bound.clone()) }
    }

    /// With what the whole names of subjects begin at the primary that begin with a text here. Those of its default
    /// context begin with nothing, as far as that goes.
    pub(super) fn beginnings_there(&self, start: &str) -> Vec<String> {
        self.entries.iter().filter_map(|entry| entry.beginning_there(start)).collect()
    }

    /// Whether no context but the default one can be there.
    pub(super) fn is_the_default_alone(&self) -> bool {
        let is_default = |entry: &Entry| entry.local == Pattern::One(Context::default_context().as_str().to_owned());
        !self.is_identity() && self.entries.iter().all(is_default)
    }

    /// The context that plain names mean, where that is not the default one.
    pub(super) fn bound(&self) -> Option<&Context> {
        self.bound.as_ref()
    }

    /// Finds out whether the names of a request mean anything to whoever asks, of a listener that may be bound to
    /// one context. Whose data live in the local registry needs no name at the primary.
    pub fn address<O: Deref<Target = Operation>>(
        &self,
        admitted: Admitted<O>,
        bound: Option<&Context>,
        is_local: impl Fn(&Context) -> bool,
    ) -> Result<Addressed<O>, Unmapped> {
        self.admit(admitted.operation(), bound, is_local)?;
        Ok(Addressed { admitted })
    }

    /// The parts of the primary that the map shows, which have nothing in common.
    pub fn selections(&self) -> Vec<Selection> {
        if self.is_identity() {
            return vec![Selection(None)];
        }
        self.entries.iter().map(|entry| Selection(Some(entry.primary.clone()))).collect()
    }

    /// Which of the selections a context of ours is in.
    pub fn selection_of(&self, local: &Context) -> Option<usize> {
        if self.is_identity() {
            return Some(0);
        }
        self.entries.iter().position(|entry| entry.local.rest(local.as_str()).is_some())
    }

    /// The primary's name of a context of ours, if it is mapped.
    pub fn to_primary(&self, local: &Context) -> Option<Context> {
        if self.is_identity() {
            return Some(local.clone());
        }
        self.entries.iter().find_map(|entry| renamed(local, &entry.local, &entry.primary))
    }

    /// Our name of a context of the primary's, if it is mapped.
    pub fn to_local(&self, primary: &Context) -> Option<Context> {
        if self.is_identity() {
            return Some(primary.clone());
        }
        self.entries.iter().find_map(|entry| renamed(primary, &entry.primary, &entry.local))
    }
}

impl Entry {
    fn read(pair: &Pair) -> Result<Self, MapError> {
        let local = Pattern::read(&pair.local, pair)?;
        let primary = Pattern::read(&pair.primary, pair)?;
        match (&local, &primary) {
            (Pattern::One(_), Pattern::One(_)) | (Pattern::Beginning(_), Pattern::Beginning(_)) => {
                Ok(Self { pair: pair.clone(), local, primary })
            }
            _ => Err(MapError::Uneven(pair.clone())),
        }
    }
}

impl Entry {
    /// With what names of this entry begin at the primary, of those that begin with a text here; nothing if none do.
    fn beginning_there(&self, start: &str) -> Option<String> {
        let before = |pattern: &Pattern| match pattern {
            Pattern::One(name) => Context::named(name).prefix(),
            Pattern::Beginning(beginning) => format!(":{beginning}"),
        };
        let (here, there) = (before(&self.local), before(&self.primary));
        match start.strip_prefix(&here) {
            // What is written like the name of a context is none of the default one's.
            Some(rest) if !(here.is_empty() && rest.starts_with(":.")) => Some(format!("{there}{rest}")),
            None if here.starts_with(start) => Some(there),
            _ => None,
        }
    }
}

/// The context that carries what counts for everything.
const GLOBAL: &str = ".__GLOBAL";

impl Pattern {
    fn read(name: &str, pair: &Pair) -> Result<Self, MapError> {
        let (start, is_many) = name.strip_suffix('*').map_or((name, false), |start| (start, true));
        let is_odd = |letter: char| letter == ':' || letter == '*' || letter == '/' || letter.is_control();
        if !start.starts_with('.') || start.contains(is_odd) {
            return Err(MapError::Name { pair: pair.clone(), name: name.to_owned() });
        }
        if start == GLOBAL {
            return Err(MapError::Reserved { pair: pair.clone(), name: name.to_owned() });
        }
        Ok(if is_many { Self::Beginning(start.to_owned()) } else { Self::One(start.to_owned()) })
    }

    /// What of a name follows the beginning; nothing of the one name.
    fn rest<'n>(&self, name: &'n str) -> Option<&'n str> {
        match self {
            Self::One(own) => (own == name).then_some(""),
            // What counts for everything is nobody's, however the beginnings are chosen.
            Self::Beginning(start) => name.strip_prefix(&**start).filter(|rest| !rest.is_empty() && name != GLOBAL),
        }
    }

    /// A name that both mean.
    fn shared(&self, other: &Self) -> Option<String> {
        match (self, other) {
            (Self::One(name), pattern) | (pattern, Self::One(name)) => pattern.rest(name).map(|_| name.clone()),
            (Self::Beginning(one), Self::Beginning(other)) => {
                let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
                long.starts_with(&**short).then(|| format!("{long}*"))
            }
        }
    }
}

fn renamed(context: &Context, from: &Pattern, to: &Pattern) -> Option<Context> {
    let rest = from.rest(context.as_str())?;
    let (Pattern::One(start) | Pattern::Beginning(start)) = to;
    Some(Context::named(&format!("{start}{rest}")))
}

/// Two entries of a circle: each entry leads to those that map, as a name of ours, what it is mapped to.
fn circle(entries: &[Entry]) -> Option<(usize, usize)> {
    let leads = |from: usize, to: usize| from != to && entries[from].primary.shared(&entries[to].local).is_some();
    (0..entries.len()).find_map(|start| {
        let mut reached = vec![false; entries.len()];
        let mut ahead = vec![start];
        while let Some(at) = ahead.pop() {
            for next in (0..entries.len()).filter(|next| leads(at, *next)) {
                if next == start {
                    return Some((start, at));
                }
                if !std::mem::replace(&mut reached[next], true) {
                    ahead.push(next);
                }
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Result<Contexts, MapError> {
        let pairs: Vec<Pair> =
            pairs.iter().map(|(local, primary)| Pair { local: (*local).into(), primary: (*primary).into() }).collect();
        Contexts::of(&pairs)
    }

    fn there(map: &Contexts, local: &str) -> Option<String> {
        map.to_primary(&Context::named(local)).map(|context| context.to_string())
    }

    fn here(map: &Contexts, primary: &str) -> Option<String> {
        map.to_local(&Context::named(primary)).map(|context| context.to_string())
    }

    #[test]
    fn a_map_of_nothing_lets_every_name_pass() {
        let map = map(&[]).expect("a map");
        assert!(map.is_identity());
        assert_eq!(there(&map, ".x").as_deref(), Some(".x"));
        assert_eq!(here(&map, ".__GLOBAL").as_deref(), Some(".__GLOBAL"));
    }

    #[test]
    fn what_is_mapped_has_one_name_on_each_side_and_what_is_not_has_none() {
        let map = map(&[(".", ".site1"), (".*", ".site1.*")]).expect("a map");
        for (local, primary) in [(".", ".site1"), (".finance", ".site1.finance"), (".a.b", ".site1.a.b")] {
            assert_eq!(there(&map, local).as_deref(), Some(primary));
            assert_eq!(here(&map, primary).as_deref(), Some(local));
        }
        for foreign in [".", ".site2", ".site2.finance", ".site1x", ".__GLOBAL", "*"] {
            assert_eq!(here(&map, foreign), None, "{foreign}");
        }
        assert_eq!(there(&map, ".__GLOBAL"), None);
        assert_eq!(there(&map, "*"), None);
    }

    #[test]
    fn a_context_can_have_one_name_for_all() {
        let map = map(&[(".x", ".x")]).expect("a map");
        assert_eq!(there(&map, ".x").as_deref(), Some(".x"));
        assert_eq!(there(&map, "."), None);
    }

    #[test]
    fn maps_that_would_mix_contexts_are_refused_with_both_entries_named() {
        for (pairs, why) in [
            (vec![(".a", ".x"), (".a", ".y")], ".a ↔ .x and .a ↔ .y: both map the local context .a"),
            (vec![(".a", ".x"), (".b", ".x")], ".a ↔ .x and .b ↔ .x: both lead to the primary's context .x"),
            (vec![(".*", ".s.*"), (".a", ".t")], ".* ↔ .s.* and .a ↔ .t: both map the local context .a"),
            (vec![(".a*", ".s*"), (".ab*", ".t*")], ".a* ↔ .s* and .ab* ↔ .t*: both map the local context .ab*"),
            (vec![(".a*", ".s*"), (".b", ".s1")], ".a* ↔ .s* and .b ↔ .s1: both lead to the primary's context .s1"),
            (
                vec![(".a", ".b"), (".b", ".a")],
                ".a ↔ .b and .b ↔ .a: names go round in a circle, each is mapped to what the other maps",
            ),
            (
                vec![(".a.*", ".b.*"), (".b.*", ".a.*")],
                ".a.* ↔ .b.* and .b.* ↔ .a.*: names go round in a circle, each is mapped to what the other maps",
            ),
        ] {
            let error = map(&pairs).expect_err(why);
            assert_eq!(error.to_string(), why);
        }
        let round = map(&[(".a", ".b"), (".b", ".c"), (".c", ".a")]).expect_err("a circle of three");
        assert!(matches!(round, MapError::Circle(..)), "{round}");
        map(&[(".a", ".b"), (".b", ".c")]).expect("a chain is no circle");
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for (local, primary) in [("a", ".x"), (".a:b", ".x"), (":.a:", ".x"), ("", ".x"), (".a", "*"), (".a*b", ".x")] {
            let error = map(&[(local, primary)]).expect_err(local);
            assert!(matches!(error, MapError::Name { .. }), "{error}");
        }
        assert!(matches!(map(&[(".__GLOBAL", ".x")]), Err(MapError::Reserved { .. })));
        assert!(matches!(map(&[(".a*", ".x")]), Err(MapError::Uneven(_))));
    }
}
