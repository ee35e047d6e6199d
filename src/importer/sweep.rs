//! The configuration and the mode of every subject, for which no registry has a list.

use std::collections::HashSet;
use std::sync::Arc;

use super::Core;
use super::pass::{PassError, all_subjects};
use super::poll::{Aliases, Poll};
use crate::protocol::json::{push_array, push_string};
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::answer::ALIASES;
use crate::replica::{Change, Remembered, Snapshot};

impl Core {
    /// Asks for all of them, those that were never asked for first.
    pub(super) async fn sweep(&self, poll: &Poll) -> Result<u64, PassError> {
        let (aliases, refusal) = match poll.aliases().await {
            Ok(aliases) => (aliases, None),
            Err(error) if error.status().is_some() => (Aliases::default(), Some(error)),
            Err(error) => return Err(error.into()),
        };
        let keys = keys(&self.replica.snapshot(), &aliases.names);
        let changes = self.take_answers(poll, keys).await?;
        match refusal {
            Some(error) => Err(error.into()),
            None => Ok(changes + self.note_aliases(aliases).await?),
        }
    }

    /// Remembers that what stands for what is known, now that the configurations of all names that the
    /// primary lists as aliases have been read.
    async fn note_aliases(&self, mut aliases: Aliases) -> Result<u64, PassError> {
        aliases.names.sort();
        aliases.names.dedup();
        let mut body = Vec::new();
        push_array(&mut body, &aliases.names, |out, name| push_string(out, name));
        let listed = aliases.is_whole.then(|| Remembered { status: 200, body: body.into() });
        if self.replica.snapshot().remembered(ALIASES).map(|known| &**known) == listed.as_ref() {
            return Ok(0);
        }
        let change = Change::Remember { key: Arc::from(ALIASES), answer: listed };
        self.replica.apply_reading(vec![change], self.replica.ticket()).await?;
        Ok(1)
    }
}

fn keys(held: &Snapshot, aliases: &[String]) -> Vec<Arc<str>> {
    let subjects = all_subjects(held).filter(|subject| !subject.is_bare_context());
    let subjects = subjects.chain(aliases.iter().map(|name| QualifiedSubject::parse(name)));
    let wanted = subjects.flat_map(|subject| [format!("/config/{subject}"), format!("/mode/{subject}")]);
    let wanted = wanted.chain(namesakes(held).into_iter().map(|name| format!("/config/{name}")));
    let (known, mut keys): (Vec<Arc<str>>, Vec<Arc<str>>) =
        wanted.map(Arc::<str>::from).partition(|key| held.remembered(key).is_some());
    // What is remembered of subjects that are gone may have changed or gone too.
    let met: HashSet<&Arc<str>> = known.iter().collect();
    let left: Vec<_> =
        held.remembered_keys().filter(|key| is_of_a_subject(key) && !met.contains(key)).cloned().collect();
    keys.extend(known);
    keys.extend(left);
    keys
}

/// The names of the default context that only others have: what is asked for under one of them lies there, unless it is an
/// alias, and no list has those that lead to a subject without versions.
fn namesakes(held: &Snapshot) -> HashSet<QualifiedSubject> {
    let in_others = all_subjects(held).filter(|subject| !subject.is_bare_context() && !subject.context.is_default());
    let plain = in_others.map(|subject| QualifiedSubject { context: Context::default_context(), ..subject });
    plain.filter(|name| held.subject(name).is_none()).collect()
}

fn is_of_a_subject(key: &str) -> bool {
    let name = ["/config/", "/mode/"].iter().find_map(|route| key.strip_prefix(route));
    name.is_some_and(|name| {
        let is_contexts = name.starts_with(":.") && name.ends_with(":?defaultToGlobal=true");
        !is_contexts && !QualifiedSubject::parse(name).is_bare_context()
    })
}
