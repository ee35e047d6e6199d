//! The store over real files: what it keeps, what it refuses, what it notices.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use schema_outpost::store::{Config, Entry, Error, Store, Table, glance};

fn open(directory: &Path) -> Result<Store, Error> {
    Store::open(&Config { directory: Some(directory.to_owned()) })
}

fn records(store: &Store) -> BTreeMap<(String, String), Vec<u8>> {
    let mut found = BTreeMap::new();
    let loaded = store.load(&Table::ALL, |table, key, value| {
        found.insert((format!("{table:?}"), key.to_owned()), value.to_vec());
    });
    loaded.expect("readable");
    found
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_restart_and_what_was_removed_is_not() {
    let folder = folder();
    let store = open(folder.path()).expect("opened");
    assert!(store.is_durable());
    assert!(records(&store).is_empty(), "a new store shows nothing of its own");
    let versions =
        |key: &str, value: &'static str| Entry::put(Table::Versions, key, Bytes::from_static(value.as_bytes()));
    store
        .commit(vec![versions("a", "1"), versions("b", "1"), Entry::put(Table::Doubts, "a", "x")])
        .await
        .expect("kept");
    store.commit(vec![versions("a", "2"), Entry::remove(Table::Versions, "b")]).await.expect("kept");
    store.commit(vec![Entry::remove(Table::Texts, "never there")]).await.expect("no harm");
    let before = records(&store);
    store.close();
    assert!(matches!(*store.commit(vec![versions("c", "1")]).await.expect_err("closed"), Error::Closed));

    let again = open(folder.path()).expect("opened");
    assert_eq!(records(&again), before);
    assert_eq!(before.len(), 2);
    assert_eq!(before[&("Versions".to_owned(), "a".to_owned())], b"2");
    assert!(again.bytes_on_disk() > 0);
}

#[tokio::test]
async fn batches_end_in_the_order_in_which_they_were_handed_over() {
    let folder = folder();
    let store = open(folder.path()).expect("opened");
    // Handed over by the call, so that the order in which the futures run, if at all, is of no matter.
    let mut waiting: Vec<_> =
        (0..500).map(|n: u32| store.commit(vec![Entry::put(Table::Meta, "last", n.to_string())])).collect();
    waiting.reverse();
    drop(waiting.split_off(250));
    for batch in waiting {
        batch.await.expect("kept");
    }
    drop(store);
    let again = open(folder.path()).expect("opened");
    assert_eq!(records(&again).into_values().collect::<Vec<_>>(), [b"499".to_vec()]);
}

#[tokio::test]
async fn without_a_folder_everything_is_taken_and_nothing_kept() {
    let store = Store::open(&Config::default()).expect("opened");
    assert!(!store.is_durable());
    store.commit(vec![Entry::put(Table::Meta, "a", "1")]).await.expect("taken");
    assert!(records(&store).is_empty());
    assert_eq!(store.bytes_on_disk(), 0);
}

#[test]
fn a_second_opening_of_the_same_folder_is_refused_until_the_first_is_closed() {
    let folder = folder();
    let first = open(folder.path()).expect("opened");
    let second = open(folder.path()).expect_err("in use");
    assert!(matches!(second, Error::Locked { .. }), "{second:?}");
    assert!(second.to_string().contains("in use by another process"));
    drop(first);
    open(folder.path()).expect("free again");
}

#[test]
fn folder_and_file_are_private_whatever_the_umask() {
    const ROLE: &str = "OUTPOST_TEST_OPENS_UNDER_UMASK_0";
    if let Some(directory) = std::env::var_os(ROLE) {
        open(Path::new(&directory)).expect("opened");
        return;
    }
    let folder = folder();
    let state = folder.path().join("deep/state");
    let me = std::env::current_exe().expect("this test");
    let ended = Command::new("sh")
        .args(["-c", "umask 000 && exec \"$0\" --exact folder_and_file_are_private_whatever_the_umask"])
        .arg(me)
        .env(ROLE, &state)
        .stdout(Stdio::null())
        .status();
    assert!(ended.expect("ran").success());
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join("outpost.redb")), 0o600);
    assert_eq!(fs::read_dir(&state).expect("listed").count(), 1, "nothing else is left there");

    fs::set_permissions(state.join("outpost.redb"), fs::Permissions::from_mode(0o666)).expect("opened up");
    open(&state).expect("opened");
    assert_eq!(mode(&state.join("outpost.redb")), 0o600);
}

#[test]
fn a_place_that_cannot_hold_the_state_is_refused_and_left_alone() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("file"), "mine").expect("written");
    fs::create_dir(at("real")).expect("made");
    symlink(at("real"), at("link")).expect("linked");
    symlink(at("nowhere"), at("dangling")).expect("linked");
    fs::create_dir(at("odd")).expect("made");
    symlink(at("file"), at("odd/outpost.redb")).expect("linked");
    fs::create_dir_all(at("odder/outpost.redb")).expect("made");
    for (place, said) in [
        (at("file"), "is not a directory"),
        (at("link"), "is a symbolic link"),
        (at("link/"), "is a symbolic link"),
        (at("dangling"), "is a symbolic link"),
        (at("odd"), "is a symbolic link"),
        (at("odder"), "is not a file"),
        (at("file/below"), "cannot look at"),
        (PathBuf::from("/proc/outpost/state"), "cannot create the directory"),
        // A folder in which nobody may make a file, not even root.
        (PathBuf::from("/proc/self"), "is a symbolic link"),
        (PathBuf::from("/proc/sys/kernel"), "cannot create"),
    ] {
        let error = open(&place).expect_err("refused").to_string();
        assert!(error.contains(said), "{}: {error}", place.display());
    }
    assert_eq!(fs::read_to_string(at("file")).expect("there"), "mine");
    assert_eq!(fs::read_dir(at("real")).expect("listed").count(), 0);
    assert!(!at("nowhere").exists());
}

#[test]
fn a_start_that_was_killed_before_the_file_was_ready_begins_again() {
    let folder = folder();
    fs::write(folder.path().join("outpost.redb.new"), "half of a").expect("written");
    assert!(records(&open(folder.path()).expect("opened")).is_empty());
    assert!(!folder.path().join("outpost.redb.new").exists());
}

#[test]
fn a_file_of_a_later_release_is_refused() {
    let folder = folder();
    drop(open(folder.path()).expect("opened"));
    let database = redb::Database::open(folder.path().join("outpost.redb")).expect("a redb file");
    let transaction = database.begin_write().expect("begun");
    let format = redb::TableDefinition::<&str, &[u8]>::new("format");
    transaction.open_table(format).expect("there").insert("version", b"7".as_slice()).expect("put");
    transaction.commit().expect("kept");
    drop(database);
    let error = open(folder.path()).expect_err("refused");
    assert!(matches!(&error, Error::OtherFormat { found, .. } if found == "7"), "{error:?}");
    assert!(error.to_string().contains("format 7"));
}

#[tokio::test]
async fn a_damaged_file_is_noticed_and_never_shows_another_content() {
    let folder = folder();
    let file = folder.path().join("outpost.redb");
    let store = open(folder.path()).expect("opened");
    for n in 0..40 {
        let texts = (0..5).map(|m| Entry::put(Table::Texts, format!("{n}/{m}"), format!("text {n} {m} ").repeat(40)));
        store.commit(texts.collect()).await.expect("kept");
    }
    let good = records(&store);
    drop(store);
    let bytes = fs::read(&file).expect("read");

    let mut refused = 0;
    for sample in 0..100_usize {
        let mut flipped = bytes.clone();
        // A walk over the whole file with an odd step, so that heads, keys, values and free pages are all met.
        let place = (sample * 7_919 + sample * bytes.len() / 100) % bytes.len();
        flipped[place] ^= 1 << (sample % 8);
        refused += usize::from(!survives(&folder, &flipped, &good));
    }
    assert!(refused > 10, "most of the file is in use, but only {refused} of 100 were noticed");
    for cut in [0, 1, 100, 4_096, bytes.len() / 2, bytes.len() - 1] {
        assert!(!survives(&folder, &bytes[..cut], &good), "cut off after {cut} bytes");
    }
    let mut longer = bytes.clone();
    longer.extend_from_slice(&[0x5a; 10_000]);
    survives(&folder, &longer, &good);
    assert!(survives(&folder, &bytes, &good), "the undamaged file still opens");
}

/// Whether the content opens, in which case it must be what was written.
fn survives(folder: &tempfile::TempDir, content: &[u8], good: &BTreeMap<(String, String), Vec<u8>>) -> bool {
    fs::write(folder.path().join("outpost.redb"), content).expect("written");
    match open(folder.path()) {
        Ok(store) => {
            assert_eq!(&records(&store), good);
            true
        }
        Err(error) => {
            assert!(matches!(error, Error::Damaged { .. } | Error::Io { .. }), "{error:?}");
            assert!(error.source().is_some());
            false
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_batch_that_was_reported_is_there_after_a_kill() {
    const ROLE: &str = "OUTPOST_TEST_COMMITS_UNTIL_KILLED";
    if let Some(directory) = std::env::var_os(ROLE) {
        let store = open(Path::new(&directory)).expect("opened");
        let start = records(&store).len();
        // An end of its own, should nobody live to kill it.
        for n in start..start + 20_000 {
            store.commit(vec![Entry::put(Table::Versions, format!("{n:08}"), vec![1; 700])]).await.expect("kept");
            // Straight to the file: the test harness keeps what a test prints.
            fs::write(Path::new(&directory).join("reported"), (n + 1).to_string()).expect("written");
        }
    }
    let folder = folder();
    let state = folder.path();
    let reported = || fs::read_to_string(state.join("reported")).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut goal: usize = 0;
    for round in 0..5 {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "every_batch_that_was_reported_is_there_after_a_kill"])
            .env(ROLE, state)
            .stdout(Stdio::null())
            .spawn()
            .expect("started");
        goal += 3 + round;
        while reported() < goal {
            assert!(child.try_wait().expect("asked").is_none(), "it runs until it is killed");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        child.kill().expect("killed");
        child.wait().expect("gone");
        let acknowledged = reported();
        let found = records(&open(state).expect("opens after a kill")).len();
        assert!(found >= acknowledged, "{acknowledged} were reported, {found} are there");
        goal = found;
    }
}

#[tokio::test]
async fn a_hundred_thousand_records_load_in_seconds() {
    let folder = folder();
    let store = open(folder.path()).expect("opened");
    let batches: Vec<_> = (0..20)
        .map(|n| {
            let entries = (0..5_000).map(|m| Entry::put(Table::Versions, format!("{n}/{m}"), vec![b'x'; 200]));
            store.commit(entries.collect())
        })
        .collect();
    for batch in batches {
        batch.await.expect("kept");
    }
    drop(store);
    let start = tokio::time::Instant::now();
    let store = open(folder.path()).expect("opened");
    let opened = start.elapsed();
    let mut count = 0;
    store.load(&Table::ALL, |_, _, value| count += usize::from(value.len() == 200)).expect("loaded");
    assert_eq!(count, 100_000);
    let loaded = start.elapsed();
    assert!(loaded < Duration::from_secs(20), "opened in {opened:?}, loaded in {loaded:?}");
}

fn listing(directory: &Path) -> Vec<(String, Vec<u8>, u32)> {
    let entries = fs::read_dir(directory).expect("listed").map(|entry| entry.expect("an entry").path());
    let described = entries.map(|path| (path.display().to_string(), fs::read(&path).expect("readable"), mode(&path)));
    described.collect()
}

#[tokio::test]
async fn a_glance_sees_what_is_kept_beside_the_one_who_holds_it_and_after_a_kill_and_leaves_no_trace() {
    let folder = folder();
    let store = open(folder.path()).expect("opened");
    store
        .commit(vec![Entry::put(Table::Modes, "s", "READONLY"), Entry::put(Table::Meta, "s", "x")])
        .await
        .expect("kept");
    fs::set_permissions(folder.path().join("outpost.redb"), fs::Permissions::from_mode(0o640)).expect("set");
    let expected = Some(vec![("s".to_owned(), b"READONLY".to_vec())]);
    let before = listing(folder.path());
    assert_eq!(glance(folder.path(), Table::Modes).expect("readable"), expected);
    assert_eq!(listing(folder.path()), before, "held by another");
    // As a process that is killed leaves it: the file was never closed.
    let left = tempfile::tempdir().expect("a folder");
    fs::copy(folder.path().join("outpost.redb"), left.path().join("outpost.redb")).expect("copied");
    store.close();
    for place in [folder.path(), left.path()] {
        let before = listing(place);
        assert_eq!(glance(place, Table::Modes).expect("readable"), expected);
        assert_eq!(listing(place), before);
    }
}

#[tokio::test]
async fn a_glance_makes_nothing_where_nothing_is_and_follows_no_link() {
    let folder = folder();
    let missing = folder.path().join("state");
    assert_eq!(glance(&missing, Table::Modes).expect("nothing"), None);
    assert_eq!(glance(folder.path(), Table::Modes).expect("nothing"), None);
    assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0);
    symlink(folder.path(), &missing).expect("linked");
    assert!(matches!(glance(&missing, Table::Modes).expect_err("a link"), Error::Place { .. }));
    fs::write(folder.path().join("outpost.redb"), "no state at all").expect("written");
    assert!(matches!(glance(folder.path(), Table::Modes).expect_err("damaged"), Error::Damaged { .. }));
}

#[tokio::test]
async fn a_glance_sees_one_moment_of_a_state_that_is_being_written() {
    let folder = folder();
    let store = open(folder.path()).expect("opened");
    let two = |number: u32| {
        ["left", "right"].map(|key| Entry::put(Table::Modes, key, format!("{number} {}", "x".repeat(9_000)))).to_vec()
    };
    store.commit(two(0)).await.expect("kept");
    let path = folder.path().to_owned();
    let looking = std::thread::spawn(move || {
        let (mut seen, mut whole) = (std::collections::BTreeSet::new(), 0);
        while seen.len() < 5 {
            match glance(&path, Table::Modes) {
                Ok(found) => {
                    let found = found.expect("there is a state");
                    assert_eq!(found.len(), 2);
                    assert!(found[0].1 == found[1].1, "one batch");
                    seen.insert(found[0].1.clone());
                    whole += 1;
                }
                Err(failure) => assert!(matches!(failure, Error::Restless { .. }), "{failure:?}"),
            }
        }
        whole
    });
    let mut number = 0;
    while !looking.is_finished() {
        number += 1;
        store.commit(two(number)).await.expect("kept");
    }
    assert!(looking.join().expect("no half batch") >= 5);
}

#[test]
fn a_glance_keeps_nobody_from_opening() {
    let folder = folder();
    open(folder.path()).expect("opened");
    let path = folder.path().to_owned();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let looking = std::thread::spawn(move || {
        let mut looks = 0;
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            // A file that is being opened changes all the time, so it need not be readable.
            let _ = glance(&path, Table::Modes);
            looks += 1;
        }
        looks
    });
    for _ in 0..50 {
        open(folder.path()).expect("nobody holds it").close();
    }
    drop(stop);
    assert!(looking.join().expect("ended") > 0);
}
