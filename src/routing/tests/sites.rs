//! Maps, each with what it means said a second time, without looking at its entries.

use std::sync::Arc;

use crate::protocol::subject::Context;
use crate::routing::{Contexts, Pair, Primary};
use crate::upstream::{Config, Registry};

/// A map, and what it must come to.
pub(super) struct Site {
    pub(super) primary: Primary,
    to_primary: fn(&str) -> Option<String>,
    to_local: fn(&str) -> Option<String>,
    /// Beginnings of names of the primary's of which everything is ours.
    pub(super) begin: &'static [&'static str],
    /// Contexts that are worth a try, ours and foreign ones, under our names or the primary's.
    pub(super) contexts: &'static [&'static str],
    /// The only context that there is, on a listener that is bound to it.
    bound: Option<Context>,
}

impl Site {
    /// As it is seen on a listener that is bound to a context.
    pub(super) fn within(&self, bound: &Context) -> Self {
        Self { primary: self.primary.within(bound), bound: Some(bound.clone()), begin: &[], ..*self }
    }

    /// The primary's name of a context of ours.
    pub(super) fn there(&self, local: &str) -> Option<String> {
        let is_shown = self.bound.as_ref().is_none_or(|bound| bound.as_str() == local);
        (self.to_primary)(local).filter(|_| is_shown)
    }

    /// Our name of a context of the primary's.
    pub(super) fn here(&self, primary: &str) -> Option<String> {
        let is_shown = |local: &String| self.bound.as_ref().is_none_or(|bound| bound.as_str() == local);
        (self.to_local)(primary).filter(is_shown)
    }

    /// The context that is meant where none is named.
    pub(super) fn meant(&self) -> Context {
        self.bound.clone().unwrap_or_else(Context::default_context)
    }

    pub(super) fn map(&self) -> &Contexts {
        self.primary.contexts()
    }

    /// The primary's context beside whose subjects names lie; where none is named, that is the default one.
    pub(super) fn parent(&self, local: &Context) -> Context {
        self.there(local.as_str()).map_or_else(Context::default_context, |there| Context::named(&there))
    }

    fn of(
        pairs: &[(&str, &str)],
        to_primary: fn(&str) -> Option<String>,
        to_local: fn(&str) -> Option<String>,
        begin: &'static [&'static str],
        contexts: &'static [&'static str],
    ) -> Self {
        let pairs: Vec<Pair> =
            pairs.iter().map(|(local, primary)| Pair { local: (*local).into(), primary: (*primary).into() }).collect();
        let config = Config { urls: vec!["http://localhost:1".to_owned()], ..Config::default() };
        let registry = Arc::new(Registry::new(&config, "primary").expect("a registry"));
        let contexts_of = Arc::new(Contexts::of(&pairs).expect("a map"));
        Self { primary: Primary::behind(contexts_of, registry), to_primary, to_local, begin, contexts, bound: None }
    }
}

fn begun(name: &str, from: &str, to: &str) -> Option<String> {
    name.strip_prefix(from).filter(|rest| !rest.is_empty() && name != ".__GLOBAL").map(|rest| format!("{to}{rest}"))
}

/// The maps, the one of nothing first.
pub(super) fn sites() -> Vec<Site> {
    vec![
        Site::of(
            &[],
            |local| Some(local.to_owned()),
            |primary| Some(primary.to_owned()),
            &[""],
            &[".", ".x", ".site1", "..", ".__GLOBAL", "*", ".a b", ".%2F"],
        ),
        Site::of(
            &[(".", ".site1"), (".*", ".site1.*")],
            |local| if local == "." { Some(".site1".to_owned()) } else { begun(local, ".", ".site1.") },
            |primary| if primary == ".site1" { Some(".".to_owned()) } else { begun(primary, ".site1.", ".") },
            &[".site1."],
            &[".", ".x", ".site1", ".site1.x", ".site2", ".site2.x", "..", "...", ".__GLOBAL", ".site1.", "*", ".a/b%"],
        ),
        Site::of(
            &[(".", ".a b"), (".x", "."), (".y*", ".z*")],
            |local| match local {
                "." => Some(".a b".to_owned()),
                ".x" => Some(".".to_owned()),
                other => begun(other, ".y", ".z"),
            },
            |primary| match primary {
                ".a b" => Some(".".to_owned()),
                "." => Some(".x".to_owned()),
                other => begun(other, ".z", ".y"),
            },
            &[".z"],
            &[".", ".x", ".y", ".y1", ".yy", ".z", ".z1", ".a b", "..", ".__GLOBAL", "*", ".xy"],
        ),
        Site::of(
            &[(".", "."), (".x", ".y")],
            |local| match local {
                "." => Some(".".to_owned()),
                ".x" => Some(".y".to_owned()),
                _ => None,
            },
            |primary| match primary {
                "." => Some(".".to_owned()),
                ".y" => Some(".x".to_owned()),
                _ => None,
            },
            &[],
            &[".", ".x", ".y", ".yy", "..", ".__GLOBAL", "*"],
        ),
        Site::of(
            &[(".", ".s"), (".*", ".t*")],
            |local| if local == "." { Some(".s".to_owned()) } else { begun(local, ".", ".t") },
            |primary| if primary == ".s" { Some(".".to_owned()) } else { begun(primary, ".t", ".") },
            &[".t"],
            &[".", ".x", ".s", ".t", ".tx", "..", ".t.", ".__GLOBAL", "*"],
        ),
        named_alone(),
    ]
}

/// Everything under its own name, but for the default context, which is nobody's.
fn named_alone() -> Site {
    Site::of(
        &[(".*", ".*")],
        |local| begun(local, ".", "."),
        |primary| begun(primary, ".", "."),
        &["."],
        &[".", ".x", "..", "...", ".__GLOBAL", "*", ".a b"],
    )
}
