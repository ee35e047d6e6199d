//! The folder and the file of the state: made private, never through a link, held by one process.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Error;

const FILE: &str = "outpost.redb";
const UNFINISHED: &str = "outpost.redb.new";

/// A folder that this process holds alone for as long as the value lives.
#[derive(Debug)]
pub(super) struct Place {
    directory: PathBuf,
    // The lock on the folder lasts over the moments in which the file is closed to be opened again.
    held: File,
}

impl Place {
    /// Makes the folder where it is missing and takes it.
    pub(super) fn claim(directory: &Path) -> Result<Self, Error> {
        // Without this, a slash at the end would make the system look through a link.
        let directory: PathBuf = directory.components().collect();
        match fs::symlink_metadata(&directory) {
            Ok(found) => refuse_unless(found.is_dir(), &found, &directory, "is not a directory")?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
                made.map_err(|source| io_error("create the directory", &directory, source))?;
            }
            Err(source) => return Err(io_error("look at", &directory, source)),
        }
        let held = File::open(&directory).map_err(|source| io_error("open the directory", &directory, source))?;
        match held.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(Error::Locked { path: directory.into() }),
            // Some network file systems cannot lock a folder; there the lock that redb takes on the file must do.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        Ok(Self { directory, held })
    }

    /// The folder and the state file in it, to be read while others have them; none if one of them is not there.
    pub(super) fn look(directory: &Path) -> Result<Option<(Self, File)>, Error> {
        let directory: PathBuf = directory.components().collect();
        let found = |path: &Path| match fs::symlink_metadata(path) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(io_error("look at", path, source)),
        };
        let Some(folder) = found(&directory)? else { return Ok(None) };
        refuse_unless(folder.is_dir(), &folder, &directory, "is not a directory")?;
        let path = directory.join(FILE);
        let Some(state) = found(&path)? else { return Ok(None) };
        refuse_unless(state.is_file(), &state, &path, "is not a file")?;
        let file = File::open(&path).map_err(|source| io_error("open", &path, source))?;
        let held = File::open(&directory).map_err(|source| io_error("open the directory", &directory, source))?;
        Ok(Some((Self { directory, held }, file)))
    }

    /// The file with the state, whether it is there or not.
    pub(super) fn file(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// The folder.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Lets others have the folder.
    pub(super) fn release(&self) {
        // Said and not left to the end of the value: a process that is just being started holds a copy of it.
        if let Err(error) = self.held.unlock() {
            tracing::debug!(%error, "the state directory had no lock to release");
        }
    }

    /// Opens the state file; none if there is none.
    pub(super) fn open(&self) -> Result<Option<File>, Error> {
        let path = self.file();
        let before = match fs::symlink_metadata(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io_error("look at", &path, source)),
        };
        refuse_unless(before.is_file(), &before, &path, "is not a file")?;
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.map_err(|source| io_error("open", &path, source))?;
        let opened = file.metadata().map_err(|source| io_error("look at", &path, source))?;
        if (opened.dev(), opened.ino()) != (before.dev(), before.ino()) {
            return Err(Error::Place { path: path.into(), what: "was exchanged while it was opened" });
        }
        if opened.mode() & 0o077 != 0 {
            let private = fs::Permissions::from_mode(0o600);
            file.set_permissions(private).map_err(|source| io_error("make private", &path, source))?;
        }
        Ok(Some(file))
    }

    /// Opens an empty file that becomes the state file with [`Place::keep`], so that a start that
    /// was killed half-way never leaves a state file without content.
    pub(super) fn begin(&self) -> Result<File, Error> {
        let path = self.directory.join(UNFINISHED);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("remove", &path, source));
            }
            _ => {}
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        file.map_err(|source| io_error("create", &path, source))
    }

    /// Gives the file its lasting name.
    pub(super) fn keep(&self) -> Result<(), Error> {
        let path = self.directory.join(UNFINISHED);
        fs::rename(&path, self.file()).map_err(|source| io_error("rename", &path, source))?;
        let synced = File::open(&self.directory).and_then(|directory| directory.sync_all());
        synced.map_err(|source| io_error("sync the directory", &self.directory, source))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.release();
    }
}

fn refuse_unless(right: bool, found: &fs::Metadata, path: &Path, what: &'static str) -> Result<(), Error> {
    let what = if found.is_symlink() { "is a symbolic link, which is not followed" } else { what };
    if right { Ok(()) } else { Err(Error::Place { path: path.into(), what }) }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io { action, path: path.into(), source }
}
