//! The configuration and the mode of every subject, for which no registry has a list.

use std::collections::HashSet;
use std::sync::Arc;

use super::Core;
use super::pass::{PassError, all_subjects};
use super::poll::Poll;
use crate::protocol::subject::QualifiedSubject;
use crate::replica::Snapshot;

impl Core {
    /// Asks for all of them, those that were never asked for first.
    pub(super) async fn sweep(&self, poll: &Poll) -> Result<u64, PassError> {
        let (aliases, refusal) = match poll.aliases().await {
            Ok(aliases) => (aliases, None),
            Err(error) if error.status().is_some() => (Vec::new(), Some(error)),
            Err(error) => return Err(error.into()),
        };
        let keys = keys(&self.replica.snapshot(), &aliases);
        let changes = self.take_answers(poll, keys).await?;
        refusal.map_or(Ok(changes), |error| Err(error.into()))
    }
}

fn keys(held: &Snapshot, aliases: &[String]) -> Vec<Arc<str>> {
    let subjects = all_subjects(held).filter(|subject| !subject.is_bare_context());
    let subjects = subjects.chain(aliases.iter().map(|name| QualifiedSubject::parse(name)));
    let wanted = subjects.flat_map(|subject| [format!("/config/{subject}"), format!("/mode/{subject}")]);
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

fn is_of_a_subject(key: &str) -> bool {
    let name = ["/config/", "/mode/"].iter().find_map(|route| key.strip_prefix(route));
    name.is_some_and(|name| {
        let is_contexts = name.starts_with(":.") && name.ends_with(":?defaultToGlobal=true");
        !is_contexts && !QualifiedSubject::parse(name).is_bare_context()
    })
}
