//! The etcd engine: the contract, and what only several servers have: writes of others, members that die, TLS, leases.
//! Without etcd on the machine every test says that it did not run.

#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

mod contract;
#[allow(dead_code)]
mod program;

use std::sync::atomic::{AtomicUsize, Ordering};

use contract::{key, put};
use program::Cluster;
use store::etcd::{Etcd, Options};
use store::{Batch, Error, Expect, Revision, Store, Write};

async fn open(cluster: &Cluster, root: &str) -> Etcd {
    Etcd::open(Options { root: root.into(), ..Options::new(cluster.endpoints()) }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract() {
    let Some(program) = program::find() else { return };
    let cluster = Cluster::start(program, 1);
    let count = AtomicUsize::new(0);
    // One cluster, with a root for every case.
    contract::run(async || open(&cluster, &format!("/case{}", count.fetch_add(1, Ordering::Relaxed))).await)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_server_writes_another_reads_and_sees() {
    let Some(program) = program::find() else { return };
    let cluster = Cluster::start(program, 1);
    let (one, other) = (open(&cluster, "/registry").await, open(&cluster, "/registry").await);
    let mut watch = other.watch("core/pods/", other.current().await.unwrap()).await.unwrap();
    let mut last = Revision(0);
    for number in 0..200 {
        let name = format!("core/pods/a/{number}");
        last = one.write(put(&name, Expect::Absent, "1")).await.unwrap();
        let found = other.get(&key(&name), None).await.unwrap().unwrap();
        assert_eq!(found.revision, last);
        assert!(other.current().await.unwrap() >= last);
    }
    let seen = contract::next(&mut watch, 200).await;
    assert!(seen.windows(2).all(|pair| pair[0].revision < pair[1].revision));
    assert_eq!(seen.last().unwrap().revision, last);
    match other.write(put("core/pods/a/7", Expect::At(last), "2")).await {
        Err(Error::Conflict { current: Some(record), .. }) => assert_eq!(&record.value[..], b"1"),
        other => panic!("{other:?}"),
    }
    // A write outside of the objects moves the revision, and no event will ever say so: who waits is told by progress.
    assert!(one.put_aside("/elsewhere", Expect::Absent, b"x").await.unwrap());
    assert!(!one.put_aside("/elsewhere", Expect::Absent, b"y").await.unwrap());
    assert_eq!(&other.aside("/elsewhere").await.unwrap().unwrap().0[..], b"x");
    let newest = other.current().await.unwrap();
    assert!(newest > last);
    loop {
        match watch.recv().await.unwrap() {
            Batch::Progress(revision) if revision >= newest => break,
            Batch::Progress(_) => {}
            Batch::Events(events) => panic!("{events:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_pages_of_one_revision() {
    let Some(program) = program::find() else { return };
    let cluster = Cluster::start(program, 1);
    let store = std::sync::Arc::new(open(&cluster, "/registry").await);
    let writers = (0..16).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 0..160 {
                store
                    .write(put(&format!("core/pods/w{writer:02}/{number:03}"), Expect::Absent, "x"))
                    .await
                    .unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let page = store.range("core/pods/", None, 0, None).await.unwrap();
    assert_eq!((page.records.len(), page.more), (2560, false));
    assert!(page.records.is_sorted_by(|one, other| one.key < other.key));
    let (mut after, mut found) = (None, 0);
    loop {
        let some = store.range("", after.as_deref(), 500, Some(page.revision)).await.unwrap();
        found += some.records.len();
        after = some.records.last().map(|record| record.key.as_str().to_string());
        if !some.more {
            break;
        }
    }
    assert_eq!(found, 2560);
    // A watch from the start sees every one once, however many came since.
    let mut watch = store.watch("core/pods/w03/", Revision(1)).await.unwrap();
    assert_eq!(contract::next(&mut watch, 160).await.len(), 160);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_and_watches_go_on_when_members_die() {
    let Some(program) = program::find() else { return };
    let mut cluster = Cluster::start(program, 3);
    let store = open(&cluster, "/registry").await;
    let mut watch = store.watch("", store.current().await.unwrap()).await.unwrap();
    let mut written = Vec::new();
    for round in 0..3 {
        cluster.kill(round);
        let mut number = 0;
        while number < 5 {
            match store.write(put(&format!("core/pods/a/{round}-{number}"), Expect::Absent, "1")).await {
                Ok(revision) => written.push(revision),
                // Its answer was lost with the member: it may be there.
                Err(Error::Engine { .. }) => {}
                Err(Error::Conflict { current: Some(record), .. }) => written.push(record.revision),
                Err(error) => panic!("{error}"),
            }
            number += usize::from(
                store.get(&key(&format!("core/pods/a/{round}-{number}")), None).await.unwrap().is_some(),
            );
        }
        cluster.start_member(round);
        cluster.wait(round);
    }
    let seen: Vec<Revision> =
        contract::next(&mut watch, 15).await.iter().map(|event| event.revision).collect();
    written.dedup();
    assert_eq!(seen.len(), 15);
    assert!(written.iter().all(|revision| seen.contains(revision)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_with_an_end_is_deleted() {
    let Some(program) = program::find() else { return };
    let cluster = Cluster::start(program, 1);
    let options = Options { lease_reuse: std::time::Duration::ZERO, ..Options::new(cluster.endpoints()) };
    let store = Etcd::open(options).await.unwrap();
    let mut watch = store.watch("core/events/", store.current().await.unwrap()).await.unwrap();
    let write = Write { ttl: Some(1), ..put("core/events/a/e", Expect::Absent, "1") };
    store.write(write).await.unwrap();
    let events = contract::next(&mut watch, 2).await;
    assert_eq!((&events[0].key, events[1].value.as_ref()), (&key("core/events/a/e"), None));
    assert!(store.size().await.unwrap() > 0);
    assert!(store.version().await.unwrap().starts_with("3."));
}

/// etcd takes 1.5 MiB a request, and its gRPC half a MiB more before it does not even read it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_too_large_is_refused_in_etcds_words() {
    let Some(program) = program::find() else { return };
    let cluster = Cluster::start(program, 1);
    let store = open(&cluster, "/registry").await;
    for (bytes, fits) in [(1 << 20, true), (3 << 19, false), (2 << 20, false), (3 << 20, false)] {
        let name = format!("core/configmaps/a/n{bytes}");
        match store.write(put(&name, Expect::Absent, &"x".repeat(bytes))).await {
            Ok(_) => assert!(fits, "{bytes} bytes were taken"),
            Err(Error::TooLarge(text)) => {
                assert_eq!((fits, text.as_str()), (false, "etcdserver: request is too large"));
            }
            Err(error) => panic!("{bytes} bytes: {}", base::chain(&error)),
        }
    }
    // The connection is still good.
    assert!(store.get(&key("core/configmaps/a/n1048576"), None).await.unwrap().is_some());
}

#[tokio::test]
async fn an_etcd_that_is_not_there_is_named() {
    let options = Options::new(vec!["http://127.0.0.1:1".into()]);
    let error = Etcd::open(options).await.err().unwrap();
    let text = base::chain(&error).to_string();
    assert!(text.contains("cannot connect to 127.0.0.1:1"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_servers_that_take_from_a_pool_one_must_look_again() {
    let Some(program) = program::find() else { return };
    let cluster = Cluster::start(program, 1);
    let (one, other) = (open(&cluster, "/registry").await, open(&cluster, "/registry").await);
    let seen = one.current().await.unwrap();
    let taken =
        one.write_from("addresses", seen, put("core/services/a/x", Expect::Absent, "1")).await.unwrap();
    let late = put("core/services/a/y", Expect::Absent, "1");
    assert!(matches!(
        other.write_from("addresses", seen, late.clone()).await,
        Err(Error::Raced("addresses"))
    ));
    assert!(other.get(&late.key, None).await.unwrap().is_none());
    other.write_from("ports", seen, put("core/services/a/z", Expect::Absent, "1")).await.unwrap();
    other.write_from("addresses", taken, late.clone()).await.unwrap();
    // What is wrong with the object itself is told first.
    assert!(matches!(
        other.write_from("addresses", seen, late).await,
        Err(Error::Conflict { current: Some(_), .. })
    ));
}

/// A CA, and for each name a certificate that may serve and ask, as PEM files.
fn certificates(folder: &std::path::Path, names: &[&str]) {
    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
    let write = |name: &str, certificate: String, key: &KeyPair| {
        std::fs::write(folder.join(format!("{name}.crt")), certificate).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    };
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    write("ca", params.self_signed(&key).unwrap().pem(), &key);
    let issuer = Issuer::new(params, key);
    for name in names {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_string()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        write(name, params.signed_by(&key, &issuer).unwrap().pem(), &key);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_show_certificates() {
    let Some(program) = program::find() else { return };
    let cluster = Cluster::start_with(program, 1, "https", |folder| {
        certificates(folder, &["server", "client"]);
        let file = |name: &str| folder.join(name).display().to_string();
        let mut words = vec!["--client-cert-auth".to_string()];
        for (flag, name) in
            [("cert-file", "server.crt"), ("key-file", "server.key"), ("trusted-ca-file", "ca.crt")]
        {
            words.extend([format!("--{flag}"), file(name)]);
        }
        words
    });
    let file = |name: &str| Some(cluster.folder().join(name));
    let known = Options { ca: file("ca.crt"), ..Options::new(cluster.endpoints()) };
    let whole = Options { certificate: file("client.crt"), key: file("client.key"), ..known.clone() };
    let store = Etcd::open(whole.clone()).await.unwrap();
    store.write(put("core/pods/a/x", Expect::Absent, "1")).await.unwrap();
    let why = async |options: Options| {
        let error = Etcd::open(options).await.err().unwrap();
        base::chain(&error).to_string()
    };
    let half = Options { certificate: None, ..whole.clone() };
    assert!(why(half).await.contains("needs both its certificate and its key"));
    let other = tempfile::tempdir().unwrap();
    certificates(other.path(), &[]);
    let stranger = Options { ca: Some(other.path().join("ca.crt")), ..whole };
    assert!(why(stranger).await.contains("certificate"));
    assert!(!why(known).await.is_empty(), "an etcd that asks for a certificate takes nobody without one");
}
