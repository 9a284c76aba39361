//! Tests of the cache, and the one object that the crate's tests are made of.

use super::*;

/// A pod with the least that a header needs.
pub(crate) fn object(namespace: &str, name: &str, revision: u64) -> Arc<Object> {
    owned(namespace, name, revision, "", "")
}

pub(crate) fn owned(namespace: &str, name: &str, revision: u64, owner: &str, node: &str) -> Arc<Object> {
    let owners = match owner {
        "" => Vec::new(),
        uid => vec![api::object::Owner { uid: Uid(uid.into()), controller: true }],
    };
    let json = format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"{namespace}","resourceVersion":"{revision}"}}}}"#
    );
    Arc::new(Object {
        key: Key::new(&Resource::new("", "pods"), namespace, name),
        uid: Uid(format!("{namespace}-{name}").into()),
        revision: Revision(revision),
        labels: Box::default(),
        owners: owners.into(),
        fields: Box::new([node.into()]),
        deleting: false,
        prefix: 29,
        managed_fields: 0..0,
        json: json.into(),
    })
}

pub(crate) fn pods() -> Arc<Cache> {
    cache(Limits::default())
}

pub(crate) fn cache(limits: Limits) -> Arc<Cache> {
    let about = About {
        resource: Resource::new("", "pods"),
        kind: "Pod".into(),
        version: "v1".into(),
        namespaced: true,
        verbs: Vec::new(),
        fields: vec!["spec.nodeName".into()],
        paths: vec!["spec.nodeName".into()],
        custom: false,
    };
    Cache::new(about, limits)
}

fn names(objects: &[Arc<Object>]) -> Vec<&str> {
    objects.iter().map(|object| object.key.name()).collect()
}

fn revisions(events: &[Arc<Event>]) -> Vec<u64> {
    events.iter().map(|event| event.revision().0).collect()
}

#[tokio::test]
async fn a_subscriber_sees_the_snapshot_plus_what_follows() {
    let cache = pods();
    cache.fill(vec![object("a", "one", 3), object("b", "two", 5)], Revision(10));
    let (snapshot, mut live) = cache.watch();
    cache.apply([Update::Put(object("a", "one", 11)), Update::Put(object("a", "new", 12))]);
    cache.apply([Update::Delete(object("b", "two", 13))]);
    assert_eq!((snapshot.revision.0, snapshot.len()), (10, 2));
    let events = live.next().await.unwrap();
    assert_eq!(revisions(&events), [11, 12, 13]);
    assert!(matches!(&events[0].change, Change::Put { before: Some(before), .. } if before.revision.0 == 3));
    assert!(matches!(&events[1].change, Change::Put { before: None, .. }));
    assert!(matches!(&events[2].change, Change::Delete { before, .. } if before.revision.0 == 5));
    let mut resumed = cache.subscribe(Revision(12)).unwrap();
    assert_eq!(revisions(&resumed.try_next().unwrap()), [13]);
    assert!(matches!(cache.subscribe(Revision(9)), Err(Gone { .. })));
    let mut ahead = cache.subscribe(Revision(20)).unwrap();
    cache.apply([Update::Put(object("a", "x", 20)), Update::Put(object("a", "y", 21))]);
    assert_eq!(revisions(&ahead.next().await.unwrap()), [21]);
}

#[test]
fn the_past_is_shown_as_it_was() {
    let cache = pods();
    cache.fill(vec![object("a", "one", 3), object("b", "two", 5)], Revision(10));
    cache.apply([Update::Put(object("a", "new", 11)), Update::Delete(object("b", "two", 12))]);
    cache.apply([Update::Put(object("a", "one", 13))]);
    let at = |revision| {
        let snapshot = cache.snapshot_at(Revision(revision)).unwrap();
        snapshot.iter().map(|object| (object.key.name().to_string(), object.revision.0)).collect::<Vec<_>>()
    };
    assert_eq!(at(10), [("one".into(), 3), ("two".into(), 5)]);
    assert_eq!(at(11), [("new".into(), 11), ("one".into(), 3), ("two".into(), 5)]);
    assert_eq!(at(12), [("new".into(), 11), ("one".into(), 3)]);
    assert_eq!(at(13), [("new".into(), 11), ("one".into(), 13)]);
    assert!(cache.snapshot_at(Revision(9)).is_err());
}

#[test]
fn pages_and_namespaces_are_ranges() {
    let cache = pods();
    let all = ["a/1", "a/2", "a/3", "a-b/1", "b/1"];
    let objects = all.iter().map(|path| path.split_once('/').unwrap()).map(|(ns, name)| object(ns, name, 1));
    cache.fill(objects.collect(), Revision(1));
    let snapshot = cache.snapshot();
    let list = |namespace: &str, after: Option<&str>| {
        let after = after.map(|path| format!("core/pods/{path}").parse().unwrap());
        let found: Vec<_> = snapshot.range(namespace, after.as_ref()).collect();
        assert_eq!(snapshot.count(namespace, after.as_ref()), found.len());
        found.iter().map(|o| format!("{}/{}", o.key.namespace(), o.key.name())).collect::<Vec<_>>()
    };
    assert_eq!(list("", None), ["a-b/1", "a/1", "a/2", "a/3", "b/1"]);
    assert_eq!(list("a", None), ["a/1", "a/2", "a/3"]);
    assert_eq!(list("a", Some("a/2")), ["a/3"]);
    assert_eq!(list("", Some("a/3")), ["b/1"]);
    assert_eq!(list("c", None), Vec::<String>::new());
}

#[test]
fn indexes_follow_changes() {
    let cache = pods();
    cache.fill(vec![owned("a", "one", 1, "rs", ""), owned("a", "two", 2, "rs", "n1")], Revision(2));
    let rs = Uid("rs".into());
    assert_eq!(names(&cache.by_owner(&rs)), ["one", "two"]);
    assert_eq!(names(&cache.by_field("spec.nodeName", "n1")), ["two"]);
    assert_eq!(names(&cache.by_field("spec.nodeName", "")), ["one"]);
    cache
        .apply([Update::Put(owned("a", "one", 3, "rs", "n1")), Update::Delete(owned("a", "two", 4, "", ""))]);
    assert_eq!(names(&cache.by_field("spec.nodeName", "n1")), ["one"]);
    assert_eq!(names(&cache.by_owner(&rs)), ["one"]);
    cache.fill(vec![], Revision(9));
    assert!(cache.by_owner(&rs).is_empty() && cache.owners().is_empty());
}

#[tokio::test]
async fn a_slow_subscriber_is_closed_and_memory_is_bounded() {
    let cache = cache(Limits { events: 10, bytes: 1 << 20, least: 2 });
    cache.fill(vec![], Revision(1));
    let (_, mut slow) = cache.watch();
    let (_, mut quick) = cache.watch();
    for revision in 2..20 {
        cache.apply([Update::Put(object("a", "one", revision))]);
        assert_eq!(revisions(&quick.next().await.unwrap()), [revision]);
    }
    assert_eq!(slow.next().await.unwrap_err(), Closed);
    assert!(cache.subscribe(Revision(8)).is_err());
    assert!(cache.subscribe(Revision(9)).is_ok());
}

#[test]
fn a_list_after_a_gap_tells_what_differs() {
    let cache = pods();
    cache.fill(vec![object("a", "kept", 1), object("a", "lost", 2), object("a", "changed", 3)], Revision(3));
    let (_, mut live) = cache.watch();
    cache.fill(vec![object("a", "kept", 1), object("a", "changed", 7), object("a", "new", 6)], Revision(9));
    let events = live.try_next().unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            let deleted = matches!(event.change, Change::Delete { .. });
            (event.change.object().key.name().to_string(), event.revision().0, deleted)
        })
        .collect();
    assert_eq!(told, [("new".into(), 6, false), ("changed".into(), 7, false), ("lost".into(), 9, true)]);
}

#[tokio::test]
async fn progress_is_what_was_yielded() {
    let cache = pods();
    cache.fill(vec![], Revision(1));
    let (_, mut live) = cache.watch();
    cache.advance(Revision(5));
    assert_eq!(live.progress(), Revision(5));
    cache.apply([Update::Put(object("a", "one", 6))]);
    cache.advance(Revision(9));
    assert_eq!(live.progress(), Revision(5));
    live.next().await.unwrap();
    assert_eq!(live.progress(), Revision(9));
    let waiter = tokio::spawn({
        let cache = cache.clone();
        async move { cache.wait_for(Revision(12)).await }
    });
    tokio::task::yield_now().await;
    cache.advance(Revision(12));
    waiter.await.unwrap();
    cache.close();
    assert_eq!(live.next().await.unwrap_err(), Closed);
}

#[test]
fn a_form_is_made_once() {
    let event = Event::new(Change::Put { object: object("a", "b", 1), before: None });
    assert_eq!(event.form(1, || "x".into()), "x");
    assert_eq!(event.form(1, || unreachable!("it is there")), "x");
    assert_eq!(event.form(2, || "y".into()), "y");
}
