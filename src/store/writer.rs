//! The one thread that writes: batches that wait together share one transaction and one sync.

use std::error::Error as _;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

use super::database::Keeper;
use super::{Entry, Error, Table};

// A batch beyond this size travels alone, so that a disk too full for an import does not take the small writes with it.
const GROUP_BYTES: usize = 1 << 20;
const GROUP_BATCHES: usize = 1_024;

const BETWEEN_PROBES: Duration = Duration::from_secs(1);

/// How a batch ended.
pub(super) type Outcome = Result<(), Arc<Error>>;

struct Job {
    batch: Vec<Entry>,
    done: oneshot::Sender<Outcome>,
}

impl Job {
    fn bytes(&self) -> usize {
        self.batch.iter().map(|entry| entry.key.len() + entry.value.as_ref().map_or(0, bytes::Bytes::len)).sum()
    }
}

/// The way to the writing thread.
#[derive(Debug)]
pub(super) struct Writer {
    inbox: Mutex<Option<Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    keeper: Arc<Mutex<Keeper>>,
    writable: Arc<AtomicBool>,
    file: PathBuf,
}

impl Writer {
    pub(super) fn start(keeper: Keeper) -> Result<Self, Error> {
        let (inbox, jobs) = mpsc::channel();
        let file = keeper.file();
        let keeper = Arc::new(Mutex::new(keeper));
        let writable = Arc::new(AtomicBool::new(true));
        let thread = thread::Builder::new().name("store".to_owned()).spawn({
            let (keeper, writable) = (Arc::clone(&keeper), Arc::clone(&writable));
            move || run(&keeper, &writable, &jobs)
        });
        let thread = Mutex::new(Some(thread.map_err(Error::Thread)?));
        Ok(Self { inbox: Mutex::new(Some(inbox)), thread, keeper, writable, file })
    }

    /// Puts a batch at the end of the line. The receipt breaks if the store is closed.
    pub(super) fn hand_over(&self, batch: Vec<Entry>) -> oneshot::Receiver<Outcome> {
        let (done, receipt) = oneshot::channel();
        if let Some(inbox) = lock(&self.inbox).as_ref() {
            // A thread that is gone drops the job, and with it the other end of the receipt.
            drop(inbox.send(Job { batch, done }));
        }
        receipt
    }

    pub(super) fn load(&self, tables: &[Table], record: impl FnMut(Table, &str, &[u8])) -> Result<(), Error> {
        let view = lock(&self.keeper).view()?;
        view.load(tables, record)
    }

    pub(super) fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Acquire)
    }

    pub(super) fn bytes_on_disk(&self) -> u64 {
        // Asks the system and not the database, which may be in the middle of a sync.
        std::fs::metadata(&self.file).map_or(0, |found| found.blocks() * 512)
    }

    /// Waits for the thread to finish what is in the line.
    pub(super) fn close(&self) {
        drop(lock(&self.inbox).take());
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes the state ended in a panic");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

fn run(keeper: &Mutex<Keeper>, writable: &AtomicBool, jobs: &Receiver<Job>) {
    let mut held = None;
    loop {
        let first = match held.take().map_or_else(|| next(jobs, writable), Next::Job) {
            Next::Job(first) => first,
            Next::Doubt => {
                writable.store(lock(keeper).probe().is_ok(), Ordering::Release);
                continue;
            }
            Next::End => break,
        };
        let group;
        (group, held) = gather(first, jobs);
        let entries = group.iter().flat_map(|job| &job.batch);
        let outcome = lock(keeper).write(entries).map_err(Arc::new);
        if let Err(error) = &outcome {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            tracing::error!(%error, cause, "the state could not be written");
        }
        writable.store(outcome.is_ok(), Ordering::Release);
        for job in group {
            // Whoever asked may have stopped waiting.
            drop(job.done.send(outcome.clone()));
        }
    }
    lock(keeper).close();
}

enum Next {
    Job(Job),
    /// Nothing came, and the last write failed: those who hold back their writes for that reason wait for news.
    Doubt,
    End,
}

fn next(jobs: &Receiver<Job>, writable: &AtomicBool) -> Next {
    if writable.load(Ordering::Acquire) {
        return jobs.recv().map_or(Next::End, Next::Job);
    }
    match jobs.recv_timeout(BETWEEN_PROBES) {
        Ok(job) => Next::Job(job),
        Err(RecvTimeoutError::Timeout) => Next::Doubt,
        Err(RecvTimeoutError::Disconnected) => Next::End,
    }
}

/// The first job and those that wait behind it, as far as they fit; then the one that did not.
fn gather(first: Job, jobs: &Receiver<Job>) -> (Vec<Job>, Option<Job>) {
    let mut bytes = first.bytes();
    let mut group = vec![first];
    while group.len() < GROUP_BATCHES
        && let Ok(next) = jobs.try_recv()
    {
        bytes += next.bytes();
        if bytes > GROUP_BYTES {
            return (group, Some(next));
        }
        group.push(next);
    }
    (group, None)
}

// A panic is caught before it can leave a lock half-way, so a poisoned one holds nothing worse than a clean one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::atomic::AtomicU64;

    use redb::backends::FileBackend;
    use redb::{Builder, Database, DatabaseError, StorageBackend};

    use super::super::place::Place;
    use super::*;

    /// Bytes that may still be written on [`Full`].
    static SPACE: AtomicU64 = AtomicU64::new(u64::MAX);

    /// A disk that runs out of space.
    #[derive(Debug)]
    struct Full(FileBackend);

    impl StorageBackend for Full {
        fn len(&self) -> Result<u64, std::io::Error> {
            self.0.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
            self.0.read(offset, out)
        }
        fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
            self.0.set_len(len)
        }
        fn sync_data(&self) -> Result<(), std::io::Error> {
            self.0.sync_data()
        }
        fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
            let taken =
                SPACE.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(data.len() as u64));
            taken.map_err(|_| std::io::Error::from(std::io::ErrorKind::StorageFull))?;
            self.0.write(offset, data)
        }
    }

    fn on_full(builder: &Builder, file: File) -> Result<Database, DatabaseError> {
        builder.create_with_backend(Full(FileBackend::new(file)?))
    }

    fn contents(writer: &Writer) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        writer.load(&Table::ALL, |_, key, value| found.push((key.to_owned(), value.to_vec()))).expect("readable");
        found
    }

    #[test]
    fn a_full_disk_fails_the_batch_and_the_store_goes_on_when_there_is_space_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Keeper::open(Place::claim(folder.path()).expect("claimed"), on_full);
        let writer = Writer::start(open().expect("opened")).expect("started");
        let write = |key: &str, size| {
            writer.hand_over(vec![Entry::put(Table::Texts, key, vec![7; size])]).blocking_recv().expect("an outcome")
        };
        write("before", 10).expect("there is space");
        for left in [0, 100, 5_000, 20_000, 60_000] {
            SPACE.store(left, Ordering::SeqCst);
            assert!(write("during", 1_000_000).is_err(), "{left} bytes are not enough");
            assert!(!writer.is_writable());
            SPACE.store(u64::MAX, Ordering::SeqCst);
            write("after", 10).expect("there is space again");
            assert!(writer.is_writable());
            let keys: Vec<_> = contents(&writer).into_iter().map(|(key, _)| key).collect();
            assert_eq!(keys, ["after", "before"], "with {left} bytes left");
        }

        SPACE.store(100, Ordering::SeqCst);
        assert!(write("during", 1_000_000).is_err());
        SPACE.store(u64::MAX, Ordering::SeqCst);
        let start = tokio::time::Instant::now();
        while !writer.is_writable() {
            assert!(start.elapsed() < Duration::from_secs(20), "it finds out by itself");
            thread::yield_now();
        }
        drop(writer);
        let again = Writer::start(open().expect("opened")).expect("started");
        assert_eq!(contents(&again).len(), 2);
    }

    #[test]
    fn batches_that_wait_travel_together_unless_they_are_large() {
        let (inbox, jobs) = mpsc::channel();
        let mut receipts = Vec::new();
        for size in [10, 10, GROUP_BYTES, 10] {
            let (done, receipt) = oneshot::channel();
            receipts.push(receipt);
            inbox.send(Job { batch: vec![Entry::put(Table::Meta, "key", vec![0; size])], done }).expect("sent");
        }
        let (group, held) = gather(jobs.recv().expect("the first"), &jobs);
        assert_eq!(group.len(), 2);
        let (group, held) = gather(held.expect("the large one"), &jobs);
        assert_eq!((group.len(), held.map(|job| job.bytes())), (1, Some(13)));
    }
}
