//! Why the store could not be opened, read or written.

use std::any::Any;
use std::io;
use std::path::Path;

/// A store that cannot do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The place named in the settings cannot hold the state.
    #[error("the state directory cannot be used: {path} {what}")]
    Place {
        /// The folder or the file in it.
        path: Box<Path>,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which folder or file.
        path: Box<Path>,
        /// What the system said.
        source: io::Error,
    },
    /// Another process works on this folder.
    #[error("the state directory {path} is in use by another process; each sidecar needs its own")]
    Locked {
        /// The folder.
        path: Box<Path>,
    },
    /// The file was never still long enough to be looked at.
    #[error("the state in {path} changes faster than it can be read")]
    Restless {
        /// The folder.
        path: Box<Path>,
    },
    /// The file's content is not what was written.
    #[error(
        "the state file {path} is damaged; move it away and start again: the replica is read anew from the primary, \
         modes set through this sidecar must be set again"
    )]
    Damaged {
        /// The file.
        path: Box<Path>,
        /// Which check failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file was written by another release.
    #[error(
        "the state file {path} has format {found}, this release knows {known}; start the release that wrote it, or move \
         the file away: the replica is then read anew from the primary, modes set through this sidecar must be set again"
    )]
    OtherFormat {
        /// The file.
        path: Box<Path>,
        /// The format in the file.
        found: String,
        /// The format of this release.
        known: &'static str,
    },
    /// A batch could not be made durable.
    #[error("cannot write the state")]
    Write(#[source] redb::Error),
    /// The records could not be read.
    #[error("cannot read the state")]
    Read(#[source] redb::Error),
    /// The thread that writes could not be started.
    #[error("cannot start the thread that writes the state")]
    Thread(#[source] io::Error),
    /// The store was closed before.
    #[error("the store is closed")]
    Closed,
}

/// What redb said in a panic; it panics where a file contradicts itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Panicked(String);

impl Panicked {
    pub(super) fn new(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        Self(text.unwrap_or("an impossible state").to_owned())
    }
}
