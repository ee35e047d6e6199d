//! What of the replica has changed since it was last compared with the local registry. Two states share what is the
//! same in both, so that little is looked at.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::claim::reserved;
use super::configs;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::Snapshot;

/// Subjects, and scopes of configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    pub(super) subjects: BTreeSet<QualifiedSubject>,
    pub(super) configs: BTreeSet<QualifiedSubject>,
}

/// What differs between two states in the contexts that are the primary's.
pub(super) fn between(before: &Snapshot, now: &Snapshot, is_primarys: impl Fn(&Context) -> bool) -> News {
    let mut news = News::default();
    if before.generation() == now.generation() {
        return news;
    }
    for (one, other) in [(before, now), (now, before)] {
        for (context, state) in one.contexts().filter(|(context, _)| is_ours(context, &is_primarys)) {
            let theirs = other.context(context);
            if theirs.is_some_and(|theirs| Arc::ptr_eq(state, theirs)) {
                continue;
            }
            for (name, subject) in state.subjects() {
                let same = theirs.and_then(|theirs| theirs.subject(name));
                if !same.is_some_and(|same| Arc::ptr_eq(same, subject)) {
                    news.subjects.insert(QualifiedSubject { context: context.clone(), subject: name.clone() });
                }
            }
        }
        for key in one.remembered_keys() {
            let (own, theirs) = (one.remembered(key), other.remembered(key));
            if own.zip(theirs).is_some_and(|(own, theirs)| Arc::ptr_eq(own, theirs)) {
                continue;
            }
            let scope = configs::scope(key).filter(|scope| is_ours(&scope.context, &is_primarys));
            news.configs.extend(scope);
        }
    }
    news
}

/// Every configuration that the replica remembers something of.
pub(super) fn all_configs(held: &Snapshot, is_primarys: impl Fn(&Context) -> bool) -> BTreeSet<QualifiedSubject> {
    let scopes = held.remembered_keys().filter_map(|key| configs::scope(key));
    scopes.filter(|scope| is_ours(&scope.context, &is_primarys)).collect()
}

/// Whether a context is the primary's, and not the one in which outposts keep what is theirs.
pub(super) fn is_ours(context: &Context, is_primarys: impl Fn(&Context) -> bool) -> bool {
    *context != reserved() && is_primarys(context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::schema::Listed;
    use crate::replica::{Change, Forgetful, Remembered, Replica};

    fn subject(name: &str, versions: usize) -> Change {
        let version = |number: usize| {
            let printed = format!(r#"{{"version":{number},"id":{number},"schema":"x{number}"}}"#);
            serde_json::from_str::<Listed>(&printed).expect("a version").version
        };
        Change::Subject { subject: QualifiedSubject::parse(name), versions: (1..=versions).map(version).collect() }
    }

    fn config(key: &str, body: &'static str) -> Change {
        Change::Remember { key: Arc::from(key), answer: Some(Remembered { status: 200, body: body.into() }) }
    }

    #[tokio::test]
    async fn what_came_what_went_and_what_is_otherwise_is_found() {
        let replica = Arc::new(Replica::empty(Forgetful));
        let all = vec![
            subject("same", 1),
            subject("more", 1),
            subject("gone", 1),
            subject(":.c:x", 1),
            config("/config/same", "{}"),
            config("/config/more", "{}"),
        ];
        replica.apply_reading(all, replica.ticket()).await.expect("kept");
        let before = replica.snapshot();
        let changes = vec![
            subject("same", 1),
            subject("more", 2),
            subject("gone", 0),
            subject("new", 1),
            subject(":.c:x", 2),
            subject(":.__outpost:x", 1),
            config("/config/same", "{}"),
            config("/config/more", r#"{"a":1}"#),
            config("/config", "{}"),
            config("/mode", "{}"),
        ];
        replica.apply_reading(changes, replica.ticket()).await.expect("kept");
        let now = replica.snapshot();
        let names = |scopes: &BTreeSet<QualifiedSubject>| scopes.iter().map(ToString::to_string).collect::<Vec<_>>();
        let found = between(&before, &now, Context::is_default);
        assert_eq!(names(&found.subjects), ["gone", "more", "new"]);
        assert_eq!(names(&found.configs), ["", "more"]);
        assert_eq!(names(&between(&before, &now, |_| true).subjects), ["gone", "more", "new", ":.c:x"]);
        assert_eq!(between(&now, &now, |_| true), News::default());
        assert_eq!(names(&all_configs(&now, |_| true)), ["", "more", "same"]);
    }
}
