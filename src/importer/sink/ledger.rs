//! What is ours in the local registry: the versions and configurations that were written there, or found there as
//! they should be. Nothing else is ever deleted or replaced there.
//!
//! A version is entered before it is sent, so that whoever is killed in between finds it again as his own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::content::Content;
use super::held::Place;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::store::{self, Entry, Store, Table};

const VERSION: &str = "version ";
const CONFIG: &str = "config ";
const STRAY: &str = "stray ";
const INSTANCE: &str = "instance";
const REGISTRY: &str = "registry";

/// A version of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) id: i32,
    /// What was sent, which need not be what the local registry made of it.
    pub(super) content: Content,
}

/// The versions of ours of one subject.
pub(super) type WrittenSubject = BTreeMap<i32, Written>;

/// A version to which the local registry gave an id of its own: the sign that it is one that does so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stray {
    pub(super) subject: QualifiedSubject,
    pub(super) id: i32,
}

/// One change of the ledger.
#[derive(Clone, Debug)]
pub(super) enum Line {
    Written(Place, Written),
    Gone(Place),
    Config(QualifiedSubject, bool),
    Stray(Context, Option<Stray>),
    Instance(String),
    Registry(String),
}

/// The ledger as it is known; who changes it has it kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    versions: BTreeMap<QualifiedSubject, WrittenSubject>,
    configs: BTreeSet<QualifiedSubject>,
    strays: BTreeMap<Context, Stray>,
    instance: Option<String>,
    registry: Option<String>,
}

impl Ledger {
    /// What was kept. A line that cannot be read is as none: what it was about is then not ours, and stays.
    pub(super) fn load(store: &Store) -> Result<Self, store::Error> {
        let mut ledger = Self::default();
        store.load(&[Table::Ledger], |_, key, value| match line(key, value) {
            Some(line) => ledger.apply(line),
            None => tracing::warn!(key, "a line of the ledger of the local registry cannot be read"),
        })?;
        Ok(ledger)
    }

    /// Takes lines over, and has them kept before it is believed that they are.
    pub(super) fn enter(&mut self, lines: Vec<Line>, store: &Store) -> impl Future<Output = Kept> + use<> {
        let batch = lines.iter().map(entry).collect::<Vec<_>>();
        let is_empty = batch.is_empty();
        lines.into_iter().for_each(|line| self.apply(line));
        let commit = (!is_empty).then(|| store.commit(batch));
        async move {
            match commit {
                Some(commit) => commit.await,
                None => Ok(()),
            }
        }
    }

    fn apply(&mut self, line: Line) {
        match line {
            Line::Written((subject, version), written) => {
                self.versions.entry(subject).or_default().insert(version, written);
            }
            Line::Gone((subject, version)) => {
                if let Some(versions) = self.versions.get_mut(&subject) {
                    versions.remove(&version);
                    if versions.is_empty() {
                        self.versions.remove(&subject);
                    }
                }
            }
            Line::Config(scope, true) => drop(self.configs.insert(scope)),
            Line::Config(scope, false) => drop(self.configs.remove(&scope)),
            Line::Stray(context, Some(stray)) => drop(self.strays.insert(context, stray)),
            Line::Stray(context, None) => drop(self.strays.remove(&context)),
            Line::Instance(instance) => self.instance = Some(instance),
            Line::Registry(urls) => self.registry = Some(urls),
        }
    }

    /// What is to be struck out and entered when the ledger is of a registry with these URLs from now on. What was
    /// ours in another one is not ours in this.
    pub(super) fn of(&self, urls: &str) -> Vec<Line> {
        let mut lines = Vec::new();
        if self.registry.as_deref() == Some(urls) {
            return lines;
        }
        if self.registry.is_some() {
            let places = self
                .versions
                .iter()
                .flat_map(|(subject, versions)| versions.keys().map(|number| Line::Gone((subject.clone(), *number))));
            lines.extend(places);
            lines.extend(self.configs.iter().map(|scope| Line::Config(scope.clone(), false)));
            lines.extend(self.strays.keys().map(|context| Line::Stray(context.clone(), None)));
        }
        lines.push(Line::Registry(urls.to_owned()));
        lines
    }

    pub(super) fn written(&self, subject: &QualifiedSubject) -> Option<&WrittenSubject> {
        self.versions.get(subject)
    }

    pub(super) fn subjects(&self) -> impl Iterator<Item = &QualifiedSubject> {
        self.versions.keys()
    }

    pub(super) fn configs(&self) -> impl Iterator<Item = &QualifiedSubject> {
        self.configs.iter()
    }

    pub(super) fn has_config(&self, scope: &QualifiedSubject) -> bool {
        self.configs.contains(scope)
    }

    pub(super) fn strays(&self) -> impl Iterator<Item = (&Context, &Stray)> {
        self.strays.iter()
    }

    pub(super) fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }

    /// Whether the local registry has ever kept an id of that context as it was sent.
    pub(super) fn knows(&self, context: &Context) -> bool {
        self.versions.keys().any(|subject| subject.context == *context)
    }
}

/// Whether lines are on the disk.
pub(super) type Kept = Result<(), Arc<store::Error>>;

fn entry(line: &Line) -> Entry {
    let put = |key: String, value: Vec<u8>| Entry::put(Table::Ledger, key, value);
    match line {
        Line::Written(place, written) => {
            put(version_key(place), [&written.id.to_le_bytes()[..], &written.content.bytes()].concat())
        }
        Line::Gone(place) => Entry::remove(Table::Ledger, version_key(place)),
        Line::Config(scope, true) => put(format!("{CONFIG}{}", scope.spelt()), Vec::new()),
        Line::Config(scope, false) => Entry::remove(Table::Ledger, format!("{CONFIG}{}", scope.spelt())),
        Line::Stray(context, Some(stray)) => {
            put(format!("{STRAY}{context}"), format!("{}\n{}", stray.id, stray.subject.spelt()).into_bytes())
        }
        Line::Stray(context, None) => Entry::remove(Table::Ledger, format!("{STRAY}{context}")),
        Line::Instance(instance) => put(INSTANCE.to_owned(), instance.clone().into_bytes()),
        Line::Registry(urls) => put(REGISTRY.to_owned(), urls.clone().into_bytes()),
    }
}

fn version_key((subject, version): &Place) -> String {
    format!("{VERSION}{}\n{version}", subject.spelt())
}

fn line(key: &str, value: &[u8]) -> Option<Line> {
    if key == INSTANCE {
        return Some(Line::Instance(String::from_utf8(value.to_vec()).ok()?));
    }
    if key == REGISTRY {
        return Some(Line::Registry(String::from_utf8(value.to_vec()).ok()?));
    }
    if let Some(scope) = key.strip_prefix(CONFIG) {
        return Some(Line::Config(QualifiedSubject::parse(scope), true));
    }
    if let Some(context) = key.strip_prefix(STRAY) {
        let (id, subject) = std::str::from_utf8(value).ok()?.split_once('\n')?;
        let stray = Stray { subject: QualifiedSubject::parse(subject), id: id.parse().ok()? };
        return Some(Line::Stray(Context::named(context), Some(stray)));
    }
    let (subject, version) = key.strip_prefix(VERSION)?.rsplit_once('\n')?;
    let (id, content) = value.split_first_chunk::<4>()?;
    let written = Written { id: i32::from_le_bytes(*id), content: Content::from_bytes(content.try_into().ok()?) };
    Some(Line::Written((QualifiedSubject::parse(subject), version.parse().ok()?), written))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_ours_in_one_registry_is_not_ours_in_another() {
        let store = Store::open(&store::Config::default()).expect("in memory");
        let mut ledger = Ledger::default();
        let place = (QualifiedSubject::parse("s"), 1);
        let lines = [
            Line::Registry("https://one".to_owned()),
            Line::Instance("me".to_owned()),
            Line::Written(place, Written { id: 1, content: Content::from_bytes([0; 16]) }),
            Line::Config(QualifiedSubject::none(), true),
        ];
        ledger.enter(lines.into(), &store).await.expect("kept");
        assert!(ledger.of("https://one").is_empty());
        ledger.enter(ledger.of("https://two"), &store).await.expect("kept");
        assert!(ledger.subjects().next().is_none() && ledger.configs().next().is_none());
        assert!(ledger.of("https://two").is_empty() && ledger.instance() == Some("me"));
    }

    #[tokio::test]
    async fn what_was_entered_is_known_after_a_restart_and_what_was_struck_out_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = store::Config { directory: Some(folder.path().to_owned()) };
        let place = |subject: &str, version| (QualifiedSubject::parse(subject), version);
        let written = |id, byte| Written { id, content: Content::from_bytes([byte; 16]) };
        {
            let store = Store::open(&config).expect("opened");
            let mut ledger = Ledger::load(&store).expect("empty");
            let stray = Stray { subject: QualifiedSubject::parse(":.c:s"), id: -3 };
            let lines = vec![
                Line::Written(place("s", 1), written(7, 1)),
                Line::Written(place("s", 2), written(8, 2)),
                Line::Written(place(":.c:a\nb", 1), written(9, 3)),
                Line::Config(QualifiedSubject::none(), true),
                Line::Config(QualifiedSubject::parse("s"), true),
                Line::Stray(Context::named(".c"), Some(stray)),
                Line::Instance("me".to_owned()),
            ];
            ledger.enter(lines, &store).await.expect("kept");
            let gone = vec![Line::Gone(place("s", 1)), Line::Config(QualifiedSubject::parse("s"), false)];
            ledger.enter(gone, &store).await.expect("kept");
        }
        let ledger = Ledger::load(&Store::open(&config).expect("opened")).expect("readable");
        let numbers = |subject: &str| {
            let written = ledger.written(&QualifiedSubject::parse(subject)).expect("it is known");
            written.iter().map(|(number, written)| (*number, written.id)).collect::<Vec<_>>()
        };
        assert_eq!((numbers("s"), numbers(":.c:a\nb")), (vec![(2, 8)], vec![(1, 9)]));
        assert!(ledger.has_config(&QualifiedSubject::none()) && !ledger.has_config(&QualifiedSubject::parse("s")));
        assert_eq!(ledger.strays().map(|(_, stray)| stray.id).collect::<Vec<_>>(), [-3]);
        assert_eq!(ledger.instance(), Some("me"));
        assert!(ledger.of("https://one").len() == 1 && ledger.versions.len() == 2, "it was never said whose it is");
        assert!(ledger.knows(&Context::named(".c")) && !ledger.knows(&Context::named(".d")));
    }
}
