//! The embedded durable store: what must outlive the process.
//!
//! Named tables of small records over one redb file. The store knows nothing about schemas: the
//! rooms above decide what a key and a value are. A batch is all or nothing, batches keep their
//! order, and a batch that was reported as committed is on disk.

mod database;
mod error;
mod glance;
mod place;
mod shadow;
mod writer;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;

pub use error::Error;
pub use glance::{Record, glance};

use database::{Keeper, in_file};
use place::Place;
use writer::Writer;

/// Where the state lives.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of the durable state; without one everything is held in memory and lost at exit.
    pub directory: Option<PathBuf>,
}

/// The tables, each a map from a text to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// Schema texts, shared by versions.
    Texts,
    /// Subject versions.
    Versions,
    /// Answers of the primary that are kept as they were.
    Remembered,
    /// What must be read again before it is trusted.
    Doubts,
    /// Everything there is one of.
    Meta,
    /// The modes that are set, by scope.
    Modes,
    /// What in the local registry is ours.
    Ledger,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Texts, Self::Versions, Self::Remembered, Self::Doubts, Self::Meta, Self::Modes, Self::Ledger];
}

/// One change: a new value under a key, or none to remove the key.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The table to change.
    pub table: Table,
    /// The key in that table.
    pub key: String,
    /// The new value; `None` removes the key.
    pub value: Option<Bytes>,
}

impl Entry {
    /// Puts a value under a key.
    pub fn put(table: Table, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self { table, key: key.into(), value: Some(value.into()) }
    }

    /// Removes a key.
    pub fn remove(table: Table, key: impl Into<String>) -> Self {
        Self { table, key: key.into(), value: None }
    }
}

/// A handle on the store; clones share it. When the last one falls, what was handed over is flushed and the file is
/// released.
#[derive(Clone, Debug)]
pub struct Store {
    writer: Option<Arc<Writer>>,
}

impl Store {
    /// Opens the store, creating its folder and file where they are missing.
    ///
    /// The whole file is read and its checksums are verified, because redb trusts pages it reads
    /// later: a damaged file is found here or nowhere.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let Some(directory) = &config.directory else {
            return Ok(Self { writer: None });
        };
        let place = Place::claim(directory)?;
        let keeper = Keeper::open(place, in_file)?;
        Ok(Self { writer: Some(Arc::new(Writer::start(keeper)?)) })
    }

    /// Whether there is a file behind it; otherwise nothing outlives the process.
    pub fn is_durable(&self) -> bool {
        self.writer.is_some()
    }

    /// Shows every record of some tables once, table by table in the order of [`Table`], keys in byte order. Several
    /// threads may do so at once.
    pub fn load(&self, tables: &[Table], record: impl FnMut(Table, &str, &[u8])) -> Result<(), Error> {
        self.writer.as_ref().map_or(Ok(()), |writer| writer.load(tables, record))
    }

    /// Hands over a batch; what is returned ends when the batch is on disk, or certainly was not reported as such.
    ///
    /// The place of a batch in the order is that of this call, not of the first poll, and dropping
    /// the future does not take the batch back. After an error the batch may still turn out to be
    /// on disk (the sync failed, not the write); a later batch on the same keys settles it.
    pub fn commit(&self, batch: Vec<Entry>) -> impl Future<Output = Result<(), Arc<Error>>> + Send + use<> {
        let receipt = self.writer.as_ref().map(|writer| writer.hand_over(batch));
        async move {
            match receipt {
                None => Ok(()),
                Some(receipt) => receipt.await.unwrap_or_else(|_| Err(Arc::new(Error::Closed))),
            }
        }
    }

    /// Whether writing works: the last batch could be written or, a second later, a try without one.
    pub fn is_writable(&self) -> bool {
        self.writer.as_ref().is_none_or(|writer| writer.is_writable())
    }

    /// Space that the file takes on its disk.
    pub fn bytes_on_disk(&self) -> u64 {
        self.writer.as_ref().map_or(0, |writer| writer.bytes_on_disk())
    }

    /// Flushes what was handed over, then releases the file; later batches fail.
    pub fn close(&self) {
        if let Some(writer) = &self.writer {
            writer.close();
        }
    }
}
