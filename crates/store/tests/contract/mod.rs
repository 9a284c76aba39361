//! What every engine must do, as one suite: each engine's test file calls [`run`] with a way to make a fresh store.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use store::{Batch, Durability, Error, Event, Expect, Key, Revision, Store, Write};
use tokio::sync::mpsc::Receiver;

/// Runs every case of the contract, each on a store of its own.
pub async fn run<S, F>(open: impl Fn() -> F)
where
    S: Store,
    F: Future<Output = S>,
{
    create_get_delete(&open().await).await;
    compare_and_swap(&open().await).await;
    one_revision_a_write(Arc::new(open().await)).await;
    ranges(&open().await).await;
    reads_at_a_revision(&open().await).await;
    watches(&open().await).await;
    watch_sees_a_write_before_its_answer(&open().await).await;
    compaction(&open().await).await;
    a_bounded_past(&open().await).await;
    every_durability_shares_one_counter(&open().await).await;
    closing(&open().await).await;
}

pub fn key(text: &str) -> Key {
    text.parse().unwrap()
}

pub fn put(name: &str, expect: Expect, value: &str) -> Write {
    Write {
        key: key(name),
        expect,
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        durability: Durability::Durable,
        ttl: None,
    }
}

fn delete(name: &str, revision: Revision) -> Write {
    Write { value: None, ..put(name, Expect::At(revision), "") }
}

/// The next `count` events, however they are batched.
pub async fn next(watch: &mut Receiver<Batch>, count: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < count {
        match watch.recv().await.expect("the watch ended") {
            Batch::Events(batch) => events.extend(batch),
            Batch::Progress(_) => {}
        }
    }
    assert_eq!(events.len(), count, "more events than were written");
    events
}

/// At most that many writes follow, and never what was compacted.
async fn a_bounded_past(store: &dyn Store) {
    assert!(store.before_last(2).await.unwrap() <= store.current().await.unwrap());
    let mut revisions = Vec::new();
    for name in ["core/configmaps/a/x", "core/configmaps/a/y", "core/configmaps/a/z"] {
        revisions.push(store.write(put(name, Expect::Absent, "1")).await.unwrap());
    }
    assert_eq!(store.before_last(2).await.unwrap(), revisions[0]);
    assert_eq!(store.before_last(0).await.unwrap(), revisions[2]);
    let mut watch = store.watch("core/configmaps/", store.before_last(2).await.unwrap()).await.unwrap();
    let seen: Vec<Revision> = next(&mut watch, 2).await.iter().map(|event| event.revision).collect();
    assert_eq!(seen, revisions[1..]);
    store.compact(revisions[1]).await.unwrap();
    assert_eq!(store.before_last(2).await.unwrap(), revisions[1]);
}

async fn create_get_delete(store: &dyn Store) {
    let first = store.write(put("core/configmaps/a/x", Expect::Absent, "1")).await.unwrap();
    let record = store.get(&key("core/configmaps/a/x"), None).await.unwrap().unwrap();
    assert_eq!((record.revision, &record.value[..]), (first, &b"1"[..]));
    let gone = store.write(delete("core/configmaps/a/x", first)).await.unwrap();
    assert!(gone > first, "a deletion has a revision of its own");
    assert_eq!(store.get(&key("core/configmaps/a/x"), None).await.unwrap(), None);
    let again = store.write(put("core/configmaps/a/x", Expect::Absent, "2")).await.unwrap();
    assert!(again > gone);
    assert!(store.current().await.unwrap() >= again);
}

async fn compare_and_swap(store: &dyn Store) {
    let first = store.write(put("core/configmaps/a/x", Expect::Absent, "1")).await.unwrap();
    let taken = store.write(put("core/configmaps/a/x", Expect::Absent, "2")).await;
    match taken {
        Err(Error::Conflict { current: Some(record), .. }) => assert_eq!(record.revision, first),
        other => panic!("a create over an existing key gave {other:?}"),
    }
    let second = store.write(put("core/configmaps/a/x", Expect::At(first), "2")).await.unwrap();
    assert!(matches!(
        store.write(put("core/configmaps/a/x", Expect::At(first), "3")).await,
        Err(Error::Conflict { current: Some(record), .. }) if record.revision == second
    ));
    assert!(matches!(
        store.write(put("core/configmaps/a/y", Expect::At(first), "3")).await,
        Err(Error::Conflict { current: None, .. })
    ));
}

async fn one_revision_a_write(store: Arc<impl Store>) {
    let writers = (0..16).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut revisions = Vec::new();
            for number in 0..20 {
                let name = format!("core/configmaps/w{writer}/n{number}");
                revisions.push(store.write(put(&name, Expect::Absent, "x")).await.unwrap());
            }
            assert!(revisions.is_sorted());
            revisions
        })
    });
    let mut all = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        all.extend(writer.await.unwrap());
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 320, "two writes had one revision");
}

async fn ranges(store: &dyn Store) {
    for name in ["core/pods/b/x", "core/pods/a/y", "core/pods/a/x", "core/pods/a-b/x", "core/podsx/a/x"] {
        store.write(put(name, Expect::Absent, name)).await.unwrap();
    }
    let page = store.range("core/pods/", None, 0, None).await.unwrap();
    let names: Vec<&str> = page.records.iter().map(|record| record.key.as_str()).collect();
    assert_eq!(names, ["core/pods/a-b/x", "core/pods/a/x", "core/pods/a/y", "core/pods/b/x"]);
    assert!(!page.more);
    let page = store.range("core/pods/", None, 2, None).await.unwrap();
    assert!(page.more && page.records.len() == 2);
    // What is written meanwhile does not show in the second page.
    store.write(put("core/pods/a/z", Expect::Absent, "later")).await.unwrap();
    let rest = store.range("core/pods/", Some("core/pods/a/x"), 2, Some(page.revision)).await.unwrap();
    let names: Vec<&str> = rest.records.iter().map(|record| record.key.as_str()).collect();
    assert_eq!(names, ["core/pods/a/y", "core/pods/b/x"]);
    assert!(!rest.more);
    assert_eq!(store.range("", None, 0, None).await.unwrap().records.len(), 6);
}

async fn reads_at_a_revision(store: &dyn Store) {
    let first = store.write(put("core/pods/a/x", Expect::Absent, "1")).await.unwrap();
    let second = store.write(put("core/pods/a/x", Expect::At(first), "2")).await.unwrap();
    let third = store.write(delete("core/pods/a/x", second)).await.unwrap();
    let at = async |revision| store.get(&key("core/pods/a/x"), Some(revision)).await.unwrap();
    assert_eq!(&at(first).await.unwrap().value[..], b"1");
    assert_eq!(&at(second).await.unwrap().value[..], b"2");
    assert_eq!(at(third).await, None);
    assert!(matches!(
        store.get(&key("core/pods/a/x"), Some(Revision(third.0 + 1_000_000))).await,
        Err(Error::Future { .. })
    ));
}

async fn watches(store: &dyn Store) {
    let start = store.current().await.unwrap();
    let first = store.write(put("core/pods/a/x", Expect::Absent, "1")).await.unwrap();
    store.write(put("core/nodes/n", Expect::Absent, "1")).await.unwrap();
    let mut late = store.watch("core/pods/", start).await.unwrap();
    let second = store.write(put("core/pods/a/x", Expect::At(first), "2")).await.unwrap();
    let third = store.write(delete("core/pods/a/x", second)).await.unwrap();
    let events = next(&mut late, 3).await;
    let seen: Vec<_> = events.iter().map(|event| (event.revision, event.value.as_deref())).collect();
    assert_eq!(seen, [(first, Some(&b"1"[..])), (second, Some(&b"2"[..])), (third, None)]);
    let mut resumed = store.watch("core/pods/", second).await.unwrap();
    assert_eq!(next(&mut resumed, 1).await[0].revision, third);
    // A write elsewhere shows as progress.
    let other = store.write(put("core/nodes/m", Expect::Absent, "1")).await.unwrap();
    assert_eq!(resumed.recv().await, Some(Batch::Progress(other)));
}

async fn watch_sees_a_write_before_its_answer(store: &dyn Store) {
    let start = store.current().await.unwrap();
    let mut watch = store.watch("", start).await.unwrap();
    assert!(matches!(watch.try_recv(), Ok(Batch::Progress(_))));
    for number in 0..50 {
        let revision = store.write(put(&format!("core/pods/a/{number}"), Expect::Absent, "x")).await.unwrap();
        match watch.try_recv() {
            Ok(Batch::Events(events)) => assert_eq!(events.last().unwrap().revision, revision),
            other => panic!("the write was answered before it was published: {other:?}"),
        }
    }
}

async fn compaction(store: &dyn Store) {
    let first = store.write(put("core/pods/a/x", Expect::Absent, "1")).await.unwrap();
    let second = store.write(put("core/pods/a/x", Expect::At(first), "2")).await.unwrap();
    let gone = store.write(put("core/pods/a/y", Expect::Absent, "1")).await.unwrap();
    let deleted = store.write(delete("core/pods/a/y", gone)).await.unwrap();
    store.compact(deleted).await.unwrap();
    assert!(matches!(store.watch("", first).await, Err(Error::Compacted { .. })));
    assert!(matches!(store.range("core/pods/", None, 0, Some(second)).await, Err(Error::Compacted { .. })));
    let page = store.range("core/pods/", None, 0, None).await.unwrap();
    assert_eq!(page.records.len(), 1);
    assert_eq!(page.records[0].revision, second);
    let third = store.write(put("core/pods/a/x", Expect::At(second), "3")).await.unwrap();
    let mut watch = store.watch("", deleted).await.unwrap();
    assert_eq!(next(&mut watch, 1).await[0].revision, third);
}

async fn every_durability_shares_one_counter(store: &dyn Store) {
    let mut watch = store.watch("", store.current().await.unwrap()).await.unwrap();
    let write = |name: &str, expect, durability| Write { durability, ..put(name, expect, "x") };
    let lease = store.write(put("coordination.k8s.io/leases/a/l", Expect::Absent, "0")).await.unwrap();
    let event = store.write(write("core/events/a/e", Expect::Absent, Durability::Relaxed)).await.unwrap();
    let renewed = store
        .write(write("coordination.k8s.io/leases/a/l", Expect::At(lease), Durability::Volatile))
        .await
        .unwrap();
    let again = store
        .write(write("coordination.k8s.io/leases/a/l", Expect::At(renewed), Durability::Volatile))
        .await
        .unwrap();
    let pod = store.write(put("core/pods/a/x", Expect::Absent, "1")).await.unwrap();
    let seen: Vec<Revision> = next(&mut watch, 5).await.iter().map(|event| event.revision).collect();
    assert_eq!(seen, [lease, event, renewed, again, pod]);
    let found = store.get(&key("coordination.k8s.io/leases/a/l"), None).await.unwrap().unwrap();
    assert_eq!(found.revision, again);
    let page = store.range("", None, 0, None).await.unwrap();
    let mut revisions: Vec<Revision> = page.records.iter().map(|record| record.revision).collect();
    revisions.sort();
    assert_eq!(revisions, [event, again, pod]);
}

async fn closing(store: &dyn Store) {
    store.write(put("core/pods/a/x", Expect::Absent, "1")).await.unwrap();
    store.close().await;
    assert!(matches!(store.write(put("core/pods/a/y", Expect::Absent, "1")).await, Err(Error::Closed)));
    assert!(matches!(store.get(&key("core/pods/a/x"), None).await, Err(Error::Closed)));
}
