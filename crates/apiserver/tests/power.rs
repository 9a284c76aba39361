//! Cuts of power under a whole API server: what its clients were answered is there after each, no event that a watch was sent is taken
//! back, skipped or sent twice by the watch that resumes, and no revision that was shown is given again. The disk is the store's own
//! (`crates/store/tests/power`).
#![allow(clippy::unwrap_used, dead_code)] // helpers of tests fail like tests; the disk counts its flushes for others

#[path = "../../store/tests/power/disk.rs"]
mod disk;
#[path = "../../store/tests/power/vfs.rs"]
mod vfs;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::Clock;
use disk::Disk;
use http::Method;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use store::Sqlite;
use store::sqlite::Options;
use testkit_cluster::{Cluster, NoNodes};

const SEED: &str = "SKIFF_POWER_SEED";
const CUTS: &str = "SKIFF_POWER_CUTS";
const WRITERS: u64 = 6;
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PATIENCE: Duration = Duration::from_secs(60);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Revision and value of each object; `None`: it was deleted.
type State = BTreeMap<String, (u64, Option<String>)>;

#[derive(Default)]
struct Known {
    /// What was answered.
    state: State,
    /// What was asked and not answered.
    asked: BTreeMap<String, Option<String>>,
    highest: u64,
    count: u64,
    /// Events that a watch was sent, over all lives of the server.
    seen: Vec<(u64, String, Option<String>)>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_takes_nothing_that_was_answered_or_sent() {
    let (seed, cuts) = (number(SEED, rand::random::<u32>().into()), number(CUTS, 12));
    println!("{cuts} cuts, {SEED}={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let known = Arc::new(Mutex::new(Known::default()));
    let mut disk = Disk::default();
    for round in 0..=cuts {
        let name = format!("server-{seed}-{round}");
        vfs::register(&name, &disk);
        let options = Options { vfs: Some(name), checkpoint_pages: 40, ..Options::default() };
        let store = Arc::new(Sqlite::open(&folder.path().join("state.db"), options).unwrap());
        let clock = Clock::system("2026-01-01T00:00:00Z".parse().unwrap());
        let address = "192.0.2.1:6443";
        let cluster =
            Arc::new(Cluster::on(store, folder.path(), clock, address, Arc::new(NoNodes), |_| {}).await);
        verify(&cluster, &known, round).await;
        let watching = tokio::spawn(watch(cluster.clone(), known.clone()));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(write(cluster.clone(), known.clone(), writer, random.random())))
            .collect();
        let until = known.lock().unwrap().count + random.random_range(1..60);
        while known.lock().unwrap().count < until {
            tokio::task::yield_now().await;
        }
        let after = disk.cut(&mut random);
        for writer in writers {
            writer.await.unwrap();
        }
        watching.abort();
        let _ended = watching.await;
        cluster.stop().await;
        drop(cluster);
        // Its VFS stays registered for ever; nobody has its files open any more.
        std::mem::replace(&mut disk, after).state().files.clear();
    }
    let known = known.lock().unwrap();
    println!(
        "{} acknowledged writes, the newest of each of {} objects found after every cut, {} events in order",
        known.count,
        known.state.len(),
        known.seen.len()
    );
    assert!(known.count > cuts);
}

fn revision(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

/// Name and value of one of ours.
fn ours(object: &Value) -> Option<(String, String)> {
    let name = object["metadata"]["name"].as_str().filter(|name| name.starts_with('w'))?;
    Some((name.to_owned(), object["data"]["v"].as_str()?.to_owned()))
}

async fn verify(cluster: &Arc<Cluster>, known: &Arc<Mutex<Known>>, round: u64) {
    // A marker, up to which the watch that resumes must have read.
    let marker = format!("w-marker-{round}");
    let made = cluster.made(MAPS, json!({"metadata": {"name": marker}, "data": {"v": "marker"}})).await;
    let shown = known.lock().unwrap().highest;
    assert!(revision(&made) > shown, "round {round}: a revision that was shown came again");
    let watching = tokio::spawn(watch(cluster.clone(), known.clone()));
    let wait = async {
        while !known.lock().unwrap().seen.iter().rev().any(|(_, name, _)| *name == marker) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("because a watch resumes over a cut");
    watching.abort();
    let _ended = watching.await;
    let list = cluster.get(MAPS).await;
    let items = list["items"].as_array().unwrap();
    let found: BTreeMap<String, (u64, String)> = items
        .iter()
        .filter_map(|item| ours(item).map(|(name, value)| (name, (revision(item), value))))
        .collect();
    let mut known = known.lock().unwrap();
    let asked = std::mem::take(&mut known.asked);
    for (name, (revision, value)) in &known.state {
        let there = found.get(name);
        let same = there.map(|(own, value)| (*own, value)) == value.as_ref().map(|value| (*revision, value));
        // A write whose answer the cut took may have happened.
        let newer = asked.get(name).is_some_and(|asked| there.map(|(_, value)| value) == asked.as_ref());
        assert!(same || newer, "round {round}: {name} was {value:?} at {revision}, it is {there:?}");
    }
    assert!(known.seen.windows(2).all(|pair| pair[0].0 < pair[1].0), "events were doubled or reordered");
    let mut state = BTreeMap::new();
    for (revision, name, value) in &known.seen {
        match value {
            Some(value) => drop(state.insert(name.clone(), (*revision, value.clone()))),
            None => drop(state.remove(name)),
        }
    }
    assert_eq!(found, state, "round {round}: the list is not what the events make");
    known.state.retain(|name, _| found.contains_key(name) || asked.get(name) != Some(&None));
    for (name, (revision, value)) in found {
        known.state.insert(name, (revision, Some(value)));
    }
}

/// Goes on behind the last event that was seen, until it is ended.
async fn watch(cluster: Arc<Cluster>, known: Arc<Mutex<Known>>) {
    let from = known.lock().unwrap().seen.last().map_or(1, |(revision, ..)| *revision);
    let mut watch = cluster.watch(&format!("{MAPS}?watch=1&resourceVersion={from}")).await;
    while let Some(event) = watch.next().await {
        let object = &event["object"];
        assert_ne!(event["type"], "ERROR", "{object}");
        let Some((name, value)) = ours(object) else { continue };
        let value = (event["type"] != "DELETED").then_some(value);
        let mut known = known.lock().unwrap();
        known.highest = known.highest.max(revision(object));
        known.seen.push((revision(object), name, value));
    }
}

/// Writes objects of its own until the power is cut.
async fn write(cluster: Arc<Cluster>, known: Arc<Mutex<Known>>, writer: u64, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    loop {
        let name = format!("w{writer}n{}", random.random_range(0..5));
        let one = format!("{MAPS}/{name}");
        let there = known.lock().unwrap().state.get(&name).is_some_and(|(_, value)| value.is_some());
        let delete = there && random.random_bool(0.2);
        let value =
            (!delete).then(|| "x".repeat(random.random_range(1..9000)) + &random.random::<u32>().to_string());
        let body = json!({"metadata": {"name": name}, "data": {"v": value}}).to_string();
        known.lock().unwrap().asked.insert(name.clone(), value.clone());
        let answer = match (there, delete) {
            (false, _) => cluster.request(Method::POST, MAPS, body).await,
            (true, false) => cluster.request(Method::PUT, &one, body).await,
            (true, true) => cluster.request(Method::DELETE, &one, "").await,
        };
        if !answer.code.is_success() {
            assert!(answer.code.is_server_error(), "{}", answer.json());
            return;
        }
        let of = if delete { 0 } else { revision(&answer.json()) };
        let event = json!({
            "metadata": {"name": format!("e{seed:x}-{of}")}, "reason": "Cut", "type": "Normal",
            "involvedObject": {"kind": "ConfigMap", "namespace": "default", "name": name},
        });
        {
            let mut known = known.lock().unwrap();
            known.asked.remove(&name);
            known.state.insert(name, (of, value));
            known.highest = known.highest.max(of);
            known.count += 1;
        }
        // Company that is kept less safely, under the same revisions.
        let answer = cluster.post("/api/v1/namespaces/default/events", event).await;
        if answer.code.is_success() {
            let mut known = known.lock().unwrap();
            known.highest = known.highest.max(revision(&answer.json()));
        }
    }
}
