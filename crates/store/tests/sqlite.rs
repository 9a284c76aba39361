//! The SQLite engine: the contract, and what only a file has: restarts, damage, limits.

#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

mod contract;

use contract::{key, put};
use store::sqlite::Options;
use store::{Durability, Error, Expect, Revision, Sqlite, Store, Write};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    contract::run(async || {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Sqlite::open(&folder.path().join(format!("{number}/state.db")), Options::default()).unwrap()
    })
    .await;
}

fn open(folder: &tempfile::TempDir) -> Result<Sqlite, Error> {
    Sqlite::open(&folder.path().join("state.db"), Options::default())
}

#[tokio::test]
async fn a_restart_keeps_values_history_and_the_counter() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).unwrap();
    let first = store.write(put("core/pods/a/x", Expect::Absent, "1")).await.unwrap();
    let second = store.write(put("core/pods/a/x", Expect::At(first), "2")).await.unwrap();
    let event = Write { durability: Durability::Relaxed, ..put("core/events/a/e", Expect::Absent, "e") };
    let third = store.write(event).await.unwrap();
    store.close().await;
    drop(store);
    let store = open(&folder).unwrap();
    assert_eq!(store.epoch(), third, "a clean stop gives the reserved revisions back");
    assert_eq!(store.get(&key("core/pods/a/x"), None).await.unwrap().unwrap().revision, second);
    assert!(store.get(&key("core/events/a/e"), None).await.unwrap().is_some(), "a clean stop flushes");
    let mut watch = store.watch("core/pods/", first).await.unwrap();
    assert_eq!(contract::next(&mut watch, 1).await[0].revision, second);
    assert!(store.write(put("core/pods/a/y", Expect::Absent, "1")).await.unwrap() > third);
}

#[tokio::test]
async fn only_one_process_opens_it() {
    let folder = tempfile::tempdir().unwrap();
    let _held = open(&folder).unwrap();
    match open(&folder) {
        Err(Error::Unusable(text)) => assert!(text.contains("another process"), "{text}"),
        other => panic!("{:?}", other.err()),
    }
}

#[tokio::test]
async fn damage_and_strangers_are_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let check = |text: &str| match open(&folder) {
        Err(Error::Unusable(said)) => assert!(said.contains(text), "{said}"),
        other => panic!("{:?}", other.err()),
    };
    std::fs::write(&path, "this is no database, and long enough to be read as a header of one ".repeat(40))
        .unwrap();
    check("damaged");
    std::fs::remove_file(&path).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE kine (id)").unwrap();
    check("no skiff database");
    std::fs::remove_file(&path).unwrap();
    drop(open(&folder).unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    check("newer skiff");
}

#[tokio::test]
async fn a_full_store_refuses_writes_and_takes_deletes() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { limit: 1 << 20, ..Options::default() };
    let store = Sqlite::open(&folder.path().join("state.db"), options).unwrap();
    let value = "x".repeat(100_000);
    let mut written: Vec<(String, Revision)> = Vec::new();
    let error = loop {
        let name = format!("core/secrets/a/{}", written.len());
        match store.write(put(&name, Expect::Absent, &value)).await {
            Ok(revision) => written.push((name, revision)),
            Err(error) => break error,
        }
        assert!(written.len() < 100, "the limit does not hold");
    };
    assert!(matches!(error, Error::Full(_)), "{error}");
    assert!(
        store.trouble().is_some_and(|told| told.contains("at its limit of 1 MiB")),
        "{:?}",
        store.trouble()
    );
    let mut last = Revision(0);
    for (name, revision) in written.drain(..) {
        last = store.write(Write { value: None, ..put(&name, Expect::At(revision), "") }).await.unwrap();
    }
    store.compact(last).await.unwrap();
    assert!(store.size().await.unwrap() < 200_000, "a compaction gives the space back");
    store.write(put("core/secrets/a/again", Expect::Absent, &value)).await.unwrap();
    assert_eq!(store.trouble(), None);
}

#[tokio::test]
async fn history_does_not_fill_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { limit: 4 << 20, checkpoint_pages: 100, ..Options::default() };
    let store = Sqlite::open(&folder.path().join("state.db"), options).unwrap();
    let value = "x".repeat(20_000);
    let mut last = store.write(put("core/secrets/a/x", Expect::Absent, &value)).await.unwrap();
    let first = last;
    for _ in 0..1000 {
        last = store.write(put("core/secrets/a/x", Expect::At(last), &value)).await.unwrap();
    }
    // Twenty megabytes of one object in a moment: some of its past is kept, and most is not.
    assert!(matches!(store.watch("", first).await, Err(Error::Compacted { .. })));
    assert!(store.watch("", Revision(last.0 - 5)).await.is_ok());
    assert!(store.size().await.unwrap() < 8 << 20, "the file and its log grow with what is overwritten");
}

#[tokio::test]
async fn a_copy_of_a_live_database_becomes_one_whose_revisions_go_on_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).unwrap();
    let first = store.write(put("core/pods/a/x", Expect::Absent, "1")).await.unwrap();
    let second = store.write(put("core/pods/a/x", Expect::At(first), "2")).await.unwrap();
    let copy = folder.path().join("copy/state.db");
    std::fs::create_dir(folder.path().join("copy")).unwrap();
    store::sqlite::copy(&folder.path().join("state.db"), &copy).unwrap();
    let later = store.write(put("core/pods/a/y", Expect::Absent, "1")).await.unwrap();
    // Not over what is there.
    assert!(matches!(store::sqlite::copy(&folder.path().join("state.db"), &copy), Err(Error::Unusable(_))));
    let next = store::sqlite::restored(&copy).unwrap();
    let again = Sqlite::open(&copy, Options::default()).unwrap();
    assert_eq!(again.get(&key("core/pods/a/x"), None).await.unwrap().unwrap().revision, second);
    assert!(again.get(&key("core/pods/a/y"), None).await.unwrap().is_none());
    assert!(next > later && again.write(put("core/pods/a/z", Expect::Absent, "1")).await.unwrap() > next);
    match again.watch("", later).await {
        Err(Error::Compacted { .. }) => {}
        other => panic!("{:?}", other.map(drop)),
    }
}

#[tokio::test]
async fn a_damaged_copy_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).unwrap();
    for at in 0..50 {
        let name = format!("core/pods/a/{at}");
        store.write(put(&name, Expect::Absent, &"x".repeat(3000))).await.unwrap();
    }
    let copy = folder.path().join("copy.db");
    store::sqlite::copy(&folder.path().join("state.db"), &copy).unwrap();
    let whole = std::fs::read(&copy).unwrap();
    let check = |bytes: Vec<u8>, text: &str| {
        std::fs::write(&copy, bytes).unwrap();
        match store::sqlite::restored(&copy) {
            Err(Error::Unusable(said)) => assert!(said.contains(text), "{said}"),
            other => panic!("{other:?}"),
        }
    };
    check(b"this is a text and no database at all".repeat(100).to_vec(), "damaged");
    let mut torn = whole.clone();
    torn[4096..8192].fill(0xff);
    check(torn, "damaged");
    check(whole[..whole.len() / 2].to_vec(), "damaged");
}
