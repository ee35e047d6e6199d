//! A file that is read, and written over in memory only: redb mends and marks what it opens, and what is merely looked
//! at must not change.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

const CHUNK: usize = 4096;

/// Where redb says which of the file's pages count. It is written with every commit, and until the next but one no page
/// that counts is written over: what was read under one and the same head is all of one moment.
const HEAD: usize = 4096;

pub(super) fn head(file: &File) -> Result<Vec<u8>> {
    let mut head = vec![0; HEAD];
    let read = file.read_at(&mut head, 0)?;
    head.truncate(read);
    Ok(head)
}

/// Ends with an error what another process has overtaken: redb panics where pages contradict each other.
#[derive(Debug)]
pub(super) struct Shadow {
    file: File,
    head: Vec<u8>,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    /// How much of the file still counts: what was cut off is not there when the file grows again.
    of_file: u64,
    chunks: BTreeMap<u64, Vec<u8>>,
}

impl Shadow {
    pub(super) fn over(file: File) -> Result<Self> {
        let head = head(&file)?;
        let len = file.metadata()?.len();
        Ok(Self { file, head, written: Mutex::new(Written { len, of_file: len, chunks: BTreeMap::new() }) })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chunk(&self, written: &Written, number: u64) -> Result<Vec<u8>> {
        if let Some(chunk) = written.chunks.get(&number) {
            return Ok(chunk.clone());
        }
        let mut chunk = vec![0; CHUNK];
        let start = number * CHUNK as u64;
        let there = written.of_file.saturating_sub(start).min(CHUNK as u64) as usize;
        self.file.read_exact_at(&mut chunk[..there], start)?;
        Ok(chunk)
    }
}

/// The parts of chunks that a range is made of: number, first byte in the chunk, length.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let (number, within) = (at / CHUNK as u64, (at % CHUNK as u64) as usize);
        let take = (CHUNK - within).min(length - done);
        done += take;
        (take > 0).then_some((number, within, take))
    })
}

impl StorageBackend for Shadow {
    fn len(&self) -> Result<u64> {
        Ok(self.written().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let written = self.written();
        if offset + out.len() as u64 > written.len {
            return Err(Error::from(ErrorKind::UnexpectedEof));
        }
        let mut rest = out;
        for (number, within, take) in parts(offset, rest.len()) {
            let (part, behind) = rest.split_at_mut(take);
            part.copy_from_slice(&self.chunk(&written, number)?[within..within + take]);
            rest = behind;
        }
        if head(&self.file)? == self.head { Ok(()) } else { Err(Error::other("the file was changed meanwhile")) }
    }

    fn set_len(&self, len: u64) -> Result<()> {
        let mut written = self.written();
        if let Some((last, chunk)) = written.chunks.range_mut(len / CHUNK as u64..).next()
            && *last == len / CHUNK as u64
        {
            chunk[(len % CHUNK as u64) as usize..].fill(0);
        }
        written.chunks.retain(|number, _| number * (CHUNK as u64) < len);
        written.of_file = written.of_file.min(len);
        written.len = len;
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut written = self.written();
        let mut rest = data;
        for (number, within, take) in parts(offset, data.len()) {
            let (part, behind) = rest.split_at(take);
            let mut chunk = self.chunk(&written, number)?;
            chunk[within..within + take].copy_from_slice(part);
            written.chunks.insert(number, chunk);
            rest = behind;
        }
        written.len = written.len.max(offset + data.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redb::StorageBackend as _;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, Vec<u8>),
        Cut(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let bytes = (any::<u8>(), 1..9_000_usize).prop_map(|(byte, length)| vec![byte; length]);
        let step = prop_oneof![
            (0..20_000_u64, bytes).prop_map(|(at, bytes)| Step::Write(at, bytes)),
            (0..30_000_u64).prop_map(Step::Cut),
        ];
        proptest::collection::vec(step, 0..12)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again_and_the_file_stays_as_it_was(length in 0..20_000_usize, steps in steps()) {
            let mut expected: Vec<u8> = (0..length).map(|n| (n % 251) as u8 + 1).collect();
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("file");
            std::fs::write(&path, &expected).expect("written");
            let before = expected.clone();
            let shadow = Shadow::over(File::open(&path).expect("there")).expect("its length");
            for step in steps {
                match step {
                    Step::Write(at, bytes) => {
                        let end = at as usize + bytes.len();
                        expected.resize(expected.len().max(end), 0);
                        expected[at as usize..end].copy_from_slice(&bytes);
                        shadow.write(at, &bytes).expect("written");
                    }
                    Step::Cut(len) => {
                        expected.resize(len as usize, 0);
                        shadow.set_len(len).expect("cut");
                    }
                }
                let mut found = vec![0; expected.len()];
                prop_assert_eq!(shadow.len().expect("a length"), expected.len() as u64);
                shadow.read(0, &mut found).expect("readable");
                prop_assert!(found == expected);
                prop_assert!(shadow.read(1, &mut found).is_err() || found.is_empty(), "beyond the end");
            }
            prop_assert!(std::fs::read(&path).expect("there") == before);
        }
    }
}
