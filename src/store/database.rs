//! The redb file: its tables, its format, its checks.

use std::fmt;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition, WriteTransaction,
};

use super::error::Panicked;
use super::place::Place;
use super::{Entry, Error, Table};

type Definition = TableDefinition<'static, &'static str, &'static [u8]>;

const TABLES: [(Table, Definition); 7] = [
    (Table::Texts, TableDefinition::new("texts")),
    (Table::Versions, TableDefinition::new("versions")),
    (Table::Remembered, TableDefinition::new("remembered")),
    (Table::Doubts, TableDefinition::new("doubts")),
    (Table::Meta, TableDefinition::new("meta")),
    (Table::Modes, TableDefinition::new("modes")),
    (Table::Ledger, TableDefinition::new("ledger")),
];

// A table of its own, so that no key of the rooms above can collide with it.
const FORMAT: Definition = TableDefinition::new("format");
const FORMAT_KEY: &str = "version";
const FORMAT_KNOWN: &str = "2";
const PROBE_KEY: &str = "probe";
const PROBE_BYTES: usize = 16 << 10;

// redb's cache is of little use to us: everything is read once at start, and then only written.
const CACHE: usize = 4 << 20;

/// How a file becomes a database; the tests put a disk without space in between.
pub(super) type Opener = fn(&Builder, File) -> Result<Database, DatabaseError>;

/// The database in its place.
pub(super) struct Keeper {
    place: Place,
    opener: Opener,
    // None after a failed write, until it could be opened again: redb takes nothing more after an I/O error.
    database: Option<Database>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Keeper {
    /// Opens the file, making it where it is missing, and checks all of it.
    pub(super) fn open(place: Place, opener: Opener) -> Result<Self, Error> {
        let file = match place.open()? {
            Some(file) => file,
            None => guarded(&place, || create(&place, opener))?,
        };
        Self::of_file(place, file, opener)
    }

    /// Opens a file that is there, and checks all of it.
    pub(super) fn of_file(place: Place, file: File, opener: Opener) -> Result<Self, Error> {
        let mut keeper = Self { place, opener, database: None };
        let database = guarded(&keeper.place, || keeper.start(file, Check::All))?;
        guarded(&keeper.place, || check_format(&keeper.place, &database))?;
        keeper.database = Some(database);
        Ok(keeper)
    }

    /// The state file.
    pub(super) fn file(&self) -> PathBuf {
        self.place.file()
    }

    /// A view of the records as they are now.
    pub(super) fn view(&self) -> Result<View, Error> {
        let Some(database) = &self.database else { return Err(Error::Closed) };
        database.begin_read().map(View).map_err(|error| Error::Read(error.into()))
    }

    /// Puts all of it into one transaction and returns when that is on disk.
    pub(super) fn write<'a>(&mut self, entries: impl Iterator<Item = &'a Entry>) -> Result<(), Error> {
        self.transact(|transaction| put_all(transaction, entries))
    }

    /// Writes something that nobody needs, to find out whether writing works again.
    pub(super) fn probe(&mut self) -> Result<(), Error> {
        self.transact(|transaction| {
            transaction.open_table(FORMAT)?.insert(PROBE_KEY, [0; PROBE_BYTES].as_slice())?;
            Ok(())
        })
    }

    fn transact(&mut self, fill: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>) -> Result<(), Error> {
        let open = match self.database.take() {
            Some(open) => open,
            None => guarded(&self.place, || self.reopen())?,
        };
        guarded(&self.place, || commit(&open, fill).map_err(Error::Write))?;
        self.database = Some(open);
        Ok(())
    }

    /// Releases the file and the folder.
    pub(super) fn close(&mut self) {
        if let Some(database) = self.database.take() {
            // Nothing is lost if this fails: every commit is on disk, and the next start mends the rest.
            let closed = guarded(&self.place, || Ok(database.close()));
            tracing::debug!(?closed, "the state file is closed");
        }
        self.place.release();
    }

    fn start(&self, file: File, check: Check) -> Result<Database, Error> {
        let place = &self.place;
        let found = file.metadata();
        let found = found.map_err(|source| Error::Io { action: "look at", path: place.file().into(), source })?;
        if found.len() == 0 {
            return Err(damaged(place, StorageError::Corrupted("the file is empty".to_owned())));
        }
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE).set_check_integrity_on_open(matches!(check, Check::All));
        (self.opener)(&builder, file).map_err(|error| refused(place, error))
    }

    // The file was checked as a whole at start; here only what was cut off is mended.
    fn reopen(&self) -> Result<Database, Error> {
        let missing = || Error::Place { path: self.place.file().into(), what: "was removed while it was in use" };
        let file = self.place.open()?.ok_or_else(missing)?;
        self.start(file, Check::CutOffs)
    }
}

enum Check {
    All,
    CutOffs,
}

/// A database in a file.
pub(super) fn in_file(builder: &Builder, file: File) -> Result<Database, DatabaseError> {
    builder.create_with_backend(FileBackend::new(file)?)
}

/// Makes a file with all tables and no records.
fn create(place: &Place, opener: Opener) -> Result<File, Error> {
    let database = opener(&Database::builder(), place.begin()?).map_err(|error| refused(place, error))?;
    lay_out(&database).map_err(Error::Write)?;
    database.close().map_err(|error| refused(place, error))?;
    place.keep()?;
    place.open()?.ok_or_else(|| Error::Place { path: place.file().into(), what: "vanished" })
}

fn lay_out(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    for (_, definition) in TABLES {
        transaction.open_table(definition)?;
    }
    transaction.open_table(FORMAT)?.insert(FORMAT_KEY, FORMAT_KNOWN.as_bytes())?;
    Ok(transaction.commit()?)
}

fn check_format(place: &Place, database: &Database) -> Result<(), Error> {
    match read_format(database).map_err(Error::Read)? {
        Some(found) if found == FORMAT_KNOWN => Ok(()),
        Some(found) => Err(Error::OtherFormat { path: place.file().into(), found, known: FORMAT_KNOWN }),
        None => Err(damaged(place, StorageError::Corrupted("the format is not stated".to_owned()))),
    }
}

fn read_format(database: &Database) -> Result<Option<String>, redb::Error> {
    match database.begin_read()?.open_table(FORMAT) {
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
        Ok(table) => Ok(table.get(FORMAT_KEY)?.map(|value| String::from_utf8_lossy(value.value()).into_owned())),
    }
}

/// The records of one moment; several may be looked through at once.
pub(super) struct View(ReadTransaction);

impl View {
    /// Shows every record of some tables.
    pub(super) fn load(&self, tables: &[Table], mut record: impl FnMut(Table, &str, &[u8])) -> Result<(), Error> {
        // Not guarded: the file was found whole at start, so a panic in here is one of `record`.
        self.read(tables, &mut record).map_err(Error::Read)
    }

    fn read(&self, tables: &[Table], record: &mut impl FnMut(Table, &str, &[u8])) -> Result<(), redb::Error> {
        for (table, definition) in TABLES.into_iter().filter(|(table, _)| tables.contains(table)) {
            let table_of_records = match self.0.open_table(definition) {
                Ok(open) => open,
                // It came with a later release, and nothing was written since.
                Err(redb::TableError::TableDoesNotExist(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            for entry in table_of_records.iter()? {
                let (key, value) = entry?;
                record(table, key.value(), value.value());
            }
        }
        Ok(())
    }
}

fn commit(
    database: &Database,
    fill: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    // Saves the walk over the whole file after a crash, and makes redb write in two phases, so that
    // the newest committed state is never the one in doubt.
    transaction.set_quick_repair(true);
    fill(&transaction)?;
    Ok(transaction.commit()?)
}

fn put_all<'a>(transaction: &WriteTransaction, entries: impl Iterator<Item = &'a Entry>) -> Result<(), redb::Error> {
    let mut open = Vec::with_capacity(TABLES.len());
    for (_, definition) in TABLES {
        open.push(transaction.open_table(definition)?);
    }
    for entry in entries {
        let table = &mut open[entry.table as usize];
        match &entry.value {
            Some(value) => drop(table.insert(entry.key.as_str(), value.as_ref())?),
            None => drop(table.remove(entry.key.as_str())?),
        }
    }
    Ok(())
}

/// Turns a panic of redb into the report of a damaged file, as it is about files that contradict themselves.
fn guarded<T>(place: &Place, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(damaged(place, Panicked::new(panic.as_ref()))))
}

fn damaged(place: &Place, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Damaged { path: place.file().into(), source: Box::new(source) }
}

fn refused(place: &Place, error: DatabaseError) -> Error {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            Error::Locked { path: place.directory().into() }
        }
        DatabaseError::Storage(StorageError::Io(source)) if source.kind() != std::io::ErrorKind::InvalidData => {
            Error::Io { action: "open", path: place.file().into(), source }
        }
        error => damaged(place, error),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use bytes::Bytes;
    use redb::StorageBackend;

    use super::*;

    thread_local! {
        /// Steps on the disk until [`Dying`] ends.
        static STEPS: Cell<usize> = const { Cell::new(usize::MAX) };
    }

    /// A disk that takes some steps and then none, as for a process that was killed.
    #[derive(Debug)]
    struct Dying(FileBackend);

    fn step() -> std::io::Result<()> {
        let left = STEPS.get().checked_sub(1);
        STEPS.set(left.unwrap_or(0));
        left.map(drop).ok_or_else(|| std::io::ErrorKind::BrokenPipe.into())
    }

    impl StorageBackend for Dying {
        fn len(&self) -> std::io::Result<u64> {
            self.0.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
            self.0.read(offset, out)
        }
        fn set_len(&self, len: u64) -> std::io::Result<()> {
            step()?;
            self.0.set_len(len)
        }
        fn sync_data(&self) -> std::io::Result<()> {
            // A process that dies leaves to the system what it wrote, so there is nothing to wait for.
            step()
        }
        fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
            step()?;
            self.0.write(offset, data)
        }
    }

    fn on_dying(builder: &Builder, file: File) -> Result<Database, DatabaseError> {
        builder.create_with_backend(Dying(FileBackend::new(file)?))
    }

    /// Two keys that belong together, with a value that says which batch they came from.
    fn batch(number: u8) -> [Entry; 2] {
        ["left", "right"].map(|key| Entry::put(Table::Texts, key, Bytes::from(vec![number; 3_000])))
    }

    #[test]
    fn whichever_step_on_the_disk_is_the_last_what_was_reported_is_there_and_no_batch_is_there_in_part() {
        for steps in 0.. {
            let folder = tempfile::tempdir().expect("a folder");
            STEPS.set(steps);
            let mut reported = 0;
            if let Ok(mut keeper) = Keeper::open(Place::claim(folder.path()).expect("claimed"), on_dying) {
                while reported < 5 && keeper.write(batch(reported + 1).iter()).is_ok() {
                    reported += 1;
                }
            }
            let survivor = Keeper::open(Place::claim(folder.path()).expect("claimed"), in_file).expect("opens again");
            let mut found = Vec::new();
            let view = survivor.view().expect("open");
            view.load(&Table::ALL, |_, _, value| found.push(value.to_vec())).expect("readable");
            let number = found.first().map_or(0, |value| value[0]);
            assert_eq!(found, if number == 0 { vec![] } else { vec![vec![number; 3_000]; 2] }, "after {steps} steps");
            assert!(number == reported || number == reported + 1, "{reported} reported, {number} found");
            if reported == 5 {
                assert!(steps > 50, "the runs before were cut off in the middle of something");
                break;
            }
        }
    }

    #[test]
    fn a_file_from_before_a_table_came_is_read_and_gets_it_with_the_next_batch() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Keeper::open(Place::claim(folder.path()).expect("claimed"), in_file).expect("opens");
        let mut keeper = open();
        let without = keeper.transact(|transaction| {
            assert!(transaction.delete_table(TABLES[Table::Modes as usize].1)?);
            Ok(())
        });
        without.expect("deleted");
        keeper.close();
        let mut keeper = open();
        let records = |keeper: &Keeper| {
            let mut found = 0;
            keeper.view().expect("open").load(&Table::ALL, |_, _, _| found += 1).expect("readable");
            found
        };
        assert_eq!(records(&keeper), 0);
        keeper.write([Entry::put(Table::Modes, "s", "READONLY")].iter()).expect("written");
        assert_eq!(records(&keeper), 1);
    }

    #[test]
    fn every_table_stands_at_its_own_number() {
        for (number, (table, _)) in TABLES.into_iter().enumerate() {
            assert_eq!(table as usize, number);
        }
        let last = Table::Ledger as usize;
        assert_eq!(last + 1, TABLES.len());
    }
}
