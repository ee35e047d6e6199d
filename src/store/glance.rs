//! A look at the state of an outpost that runs, ran, or never did, without a trace and without a lock.

use std::fs::File;
use std::path::Path;

use redb::{Builder, Database, DatabaseError};

use super::database::Keeper;
use super::place::Place;
use super::shadow::{Shadow, head};
use super::{Error, Table};

const TRIES: usize = 20;

/// A key and its value.
pub type Record = (String, Vec<u8>);

/// The records of a table, keys in byte order; `None` where there is no state.
///
/// A lock would keep an outpost from starting meanwhile, so nothing is locked: what changes while it is read is read
/// again. A state that was not closed is mended in memory, not on the disk.
pub fn glance(directory: &Path, table: Table) -> Result<Option<Vec<Record>>, Error> {
    for _ in 0..TRIES {
        let Some((place, file)) = Place::look(directory)? else { return Ok(None) };
        let path = place.file();
        let unreadable = |source| Error::Io { action: "read", path: path.clone().into(), source };
        let before = head(&file).map_err(unreadable)?;
        let read = records(place, file.try_clone().map_err(unreadable)?, table);
        if head(&file).map_err(unreadable)? == before {
            return read.map(Some);
        }
    }
    Err(Error::Restless { path: directory.into() })
}

fn records(place: Place, file: File, table: Table) -> Result<Vec<Record>, Error> {
    let mut keeper = Keeper::of_file(place, file, in_shadow)?;
    let mut found = Vec::new();
    let loaded = keeper
        .view()
        .and_then(|view| view.load(&[table], |_, key, value| found.push((key.to_owned(), value.to_vec()))));
    keeper.close();
    loaded.map(|()| found)
}

fn in_shadow(builder: &Builder, file: File) -> Result<Database, DatabaseError> {
    builder.create_with_backend(Shadow::over(file).map_err(redb::StorageError::from)?)
}
