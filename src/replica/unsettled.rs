//! Rows of which nobody knows whether they were kept: the store reported a failure, and they may be on disk all the
//! same.
//!
//! What is on disk then is no state that anybody was shown, and the next changes would be made on top of it: a version
//! that is there and not here has a text that is swept when nothing here has it any more, and the next start would
//! find a version without one. So the next rows that are kept go together with what these rows are to be.

use std::collections::HashSet;

use super::keep::{Entry, Table, answer_row, fact_row};
use super::row;
use super::snapshot::{Scope, Snapshot};
use super::texts::{TextKey, Texts};
use crate::protocol::subject::QualifiedSubject;

/// The keys of such rows.
#[derive(Debug, Default)]
pub(super) struct Unsettled(HashSet<(Table, String)>);

impl Unsettled {
    /// Adds rows that were reported as not kept.
    pub(super) fn add(&mut self, rows: impl IntoIterator<Item = (Table, String)>) {
        self.0.extend(rows);
    }

    /// To be kept before anything else: the rows as they are to be.
    pub(super) fn settlement(&self, held: &Snapshot, texts: &Texts) -> Vec<Entry> {
        let mut entries: Vec<_> = self.0.iter().cloned().collect();
        entries.retain(|(table, key)| *table != Table::Texts || !texts.uses(key));
        let entry = |(table, key): (Table, String)| Entry { table, value: value(held, table, &key), key };
        entries.into_iter().map(entry).collect()
    }

    /// They are kept now.
    pub(super) fn settled(&mut self) {
        self.0 = HashSet::new();
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What stands under a key if all that is held is kept, and nothing else is.
fn value(held: &Snapshot, table: Table, key: &str) -> Option<Vec<u8>> {
    match table {
        Table::Texts => None,
        Table::Versions => {
            let (name, number) = key.rsplit_once('\n')?;
            let version = held.version(&QualifiedSubject::parse(name), number.parse().ok()?)?;
            Some(row::write(version, &TextKey::of(&version.text)))
        }
        Table::Remembered => held.remembered(key).map(|answer| answer_row(answer)),
        Table::Doubts => held.doubts.get(&Scope::parse(key)?).map(|doubt| doubt.as_str().as_bytes().to_vec()),
        Table::Meta => fact_row(held, key),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};

    use futures_util::future::BoxFuture;

    use super::super::{Change, Doubt, Keep, Loading, NotKept, Remembered, Replica, Spelling};
    use super::*;
    use crate::protocol::schema::{Listed, SchemaType, Version};
    use crate::protocol::shape::Profile;
    use crate::protocol::subject::Context;

    /// By the number of the table and the key.
    type Rows = BTreeMap<(u8, String), (Table, Vec<u8>)>;

    /// A disk that does all that it is told to, and may say that it did not.
    #[derive(Clone, Default)]
    struct Disk {
        rows: Arc<Mutex<Rows>>,
        denies: Arc<AtomicBool>,
    }

    impl Keep for Disk {
        fn keep(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), NotKept>> {
            let mut rows = self.rows.lock().expect("nobody panics");
            for Entry { table, key, value } in entries {
                match value {
                    Some(value) => drop(rows.insert((table as u8, key), (table, value))),
                    None => drop(rows.remove(&(table as u8, key))),
                }
            }
            let denied = self.denies.load(Ordering::Relaxed).then(|| NotKept("the sync failed".into()));
            Box::pin(std::future::ready(denied.map_or(Ok(()), Err)))
        }
    }

    impl Disk {
        /// What the next start would find.
        fn restarted(&self) -> Arc<Replica> {
            let mut loading = Loading::default();
            for ((_, key), (table, value)) in &*self.rows.lock().expect("nobody panics") {
                loading.row(*table, key, value).expect("readable");
            }
            Arc::new(Replica::load(loading, self.clone()).expect("whole"))
        }
    }

    fn subject(name: &str, versions: &[(i32, &str)]) -> Change {
        let version = |(number, text): &(i32, &str)| -> Version {
            let printed = format!(r#"{{"version":{number},"id":{number},"schema":"{text}"}}"#);
            serde_json::from_str::<Listed>(&printed).expect("a version").version
        };
        Change::Subject { subject: QualifiedSubject::parse(name), versions: versions.iter().map(version).collect() }
    }

    fn everything(profile: Profile, name: &str, number: i32) -> Vec<Change> {
        let answer = Remembered { status: 200, body: format!("{number}").into() };
        vec![
            subject(name, &[(1, "shared"), (number, "own")]),
            Change::Remember { key: "/config".into(), answer: Some(answer) },
            Change::Contexts(vec![Context::default_context(), Context::named(&format!(".c{number}"))]),
            Change::Associations(Some(vec![])),
            Change::MaxId(Context::default_context(), 10 * number),
            Change::Doubt(Scope::Subject(QualifiedSubject::parse(name)), Some(Doubt::Unsure)),
            Change::Profile(profile),
            Change::ReadAt(number.unsigned_abs().into()),
            Change::StoredAs(Spelling::of(&SchemaType::Avro, name), "shared".into()),
        ]
    }

    #[tokio::test]
    async fn what_reached_the_disk_though_it_was_reported_as_failed_is_gone_with_the_next_batch() {
        let disk = Disk::default();
        let replica = disk.restarted();
        let apply = |changes| replica.apply_reading(changes, replica.ticket());
        apply(everything(Profile::parse("8").expect("known"), "first", 2)).await.expect("kept");
        let rows = disk.rows.lock().expect("nobody panics").clone();

        disk.denies.store(true, Ordering::Relaxed);
        let other = Profile::parse("7").expect("known");
        apply(everything(other, "second", 3)).await.expect_err("denied");
        apply(vec![subject("first", &[])]).await.expect_err("denied");
        assert_ne!(*disk.rows.lock().expect("nobody panics"), rows, "it is on disk all the same");

        disk.denies.store(false, Ordering::Relaxed);
        replica.sweep().await.expect("kept");
        assert_eq!(*disk.rows.lock().expect("nobody panics"), rows, "as if nothing had been");
    }

    #[tokio::test]
    async fn a_text_that_is_swept_after_a_batch_was_reported_as_failed_does_not_stop_the_next_start() {
        let disk = Disk::default();
        let replica = disk.restarted();
        let apply = |changes| replica.apply_reading(changes, replica.ticket());
        apply(vec![subject("first", &[(1, "shared")])]).await.expect("kept");
        disk.denies.store(true, Ordering::Relaxed);
        apply(vec![subject("second", &[(1, "shared")])]).await.expect_err("denied");
        disk.denies.store(false, Ordering::Relaxed);
        apply(vec![subject("first", &[])]).await.expect("kept");
        replica.sweep().await.expect("kept");
        assert_eq!(replica.texts().await.0, 0, "nobody has the text any more");
        assert!(disk.restarted().snapshot().is_empty());
    }
}
