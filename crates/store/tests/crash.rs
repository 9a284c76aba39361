//! `kill -9` under 16 writers: every acknowledged write is found again, and a watch that resumes sees each event once, in
//! order. The child is this test binary; it tells on its standard output what was acknowledged and what it saw.
#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use store::sqlite::Options;
use store::{Batch, Durability, Error, Expect, Key, Revision, Sqlite, Store, Write};

const WRITERS: u64 = 16;
const FOLDER: &str = "SKIFF_CRASH_FOLDER";
const FROM: &str = "SKIFF_CRASH_FROM";
const SEED: &str = "SKIFF_CRASH_SEED";

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// One line in one write: a line that the parent reads whole was said before the kill.
fn say(line: String) {
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

/// The child's part; without its environment there is nothing to do.
#[test]
fn writes_until_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(Sqlite::open(&Path::new(&folder).join("state.db"), Options::default()).unwrap());
        let mut watch = store.watch("core/configmaps/", Revision(number(FROM, 0))).await.unwrap();
        tokio::spawn(async move {
            while let Some(batch) = watch.recv().await {
                let Batch::Events(events) = batch else { continue };
                for event in events {
                    let value = event.value.map(|value| String::from_utf8(value.to_vec()).unwrap());
                    say(format!(
                        "saw {} {} {}\n",
                        event.revision,
                        event.key,
                        value.as_deref().unwrap_or("-")
                    ));
                }
            }
        });
        let writers = (0..WRITERS).map(|writer| tokio::spawn(write(store.clone(), writer)));
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
    });
}

async fn write(store: Arc<Sqlite>, writer: u64) {
    let mut random = StdRng::seed_from_u64(number(SEED, 0) ^ (writer << 32));
    loop {
        let key: Key = format!("core/configmaps/w{writer}/n{}", random.random_range(0..20)).parse().unwrap();
        let expect = match store.get(&key, None).await.unwrap() {
            Some(record) => Expect::At(record.revision),
            None => Expect::Absent,
        };
        let delete = expect != Expect::Absent && random.random_bool(0.2);
        let text = format!("{:x}", random.random::<u64>());
        let value = (!delete).then(|| Bytes::from(text.clone()));
        let durability = Durability::Durable;
        let revision =
            store.write(Write { key: key.clone(), expect, value, durability, ttl: None }).await.unwrap();
        say(format!("ack {revision} {key} {}\n", if delete { "-" } else { &text }));
        // Company of the other durabilities, under the same counter.
        let event: Key = format!("core/events/w{writer}/{revision}").parse().unwrap();
        let durability = if random.random_bool(0.5) { Durability::Relaxed } else { Durability::Volatile };
        let value = Some(Bytes::from_static(b"event"));
        let company = Write { key: event, expect: Expect::Absent, value, durability, ttl: Some(60) };
        match store.write(company).await {
            Ok(revision) => say(format!("shown {revision}\n")),
            // A writer of an earlier round had the same revision of its own key: not possible, and told.
            Err(Error::Conflict { .. }) => say(format!("twice {revision}\n")),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn kill_9_loses_no_acknowledged_write_and_no_event() {
    let rounds = number("SKIFF_CRASH_ROUNDS", 200);
    let seed = number(SEED, rand::random::<u32>().into());
    println!("{rounds} rounds, {SEED}={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<u64, (String, String)> = BTreeMap::new();
    let mut seen: Vec<(u64, String, String)> = Vec::new();
    let mut shown = 0;
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writes_until_killed", "--nocapture"])
            .env(FOLDER, folder.path())
            .env(FROM, seen.last().map_or(0, |(revision, ..)| *revision).to_string())
            .env(SEED, (seed + round).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let until = random.random_range(1..400);
        let (mut count, mut lowest) = (0, u64::MAX);
        let mut highest = shown;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while let Some(Ok(line)) = lines.next() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["ack", revision, key, value] => {
                    let revision = revision.parse().unwrap();
                    lowest = lowest.min(revision);
                    highest = highest.max(revision);
                    let before = acknowledged.insert(revision, (key.into(), value.into()));
                    assert!(before.is_none(), "revision {revision} was given twice");
                    count += 1;
                    if count == until {
                        child.kill().unwrap();
                    }
                }
                ["shown", revision] => {
                    let revision = revision.parse().unwrap();
                    lowest = lowest.min(revision);
                    highest = highest.max(revision);
                }
                ["saw", revision, key, value] => {
                    seen.push((revision.parse().unwrap(), key.into(), value.into()));
                }
                ["twice", ..] => panic!("{line}"),
                _ => {}
            }
        }
        child.wait().unwrap();
        assert!(count >= until, "the child died by itself in round {round}");
        assert!(lowest > shown, "round {round} gave revision {lowest}, {shown} had been shown before");
        shown = highest;
    }
    assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0), "events were doubled or reordered");

    // Read to the end what the last kill cut off, then compare.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Sqlite::open(&folder.path().join("state.db"), Options::default()).unwrap();
        let from = seen.last().map_or(0, |(revision, ..)| *revision);
        let mut watch = store.watch("core/configmaps/", Revision(from)).await.unwrap();
        if let Some(Batch::Events(rest)) = watch.recv().await {
            for event in rest {
                let value =
                    event.value.map_or("-".into(), |value| String::from_utf8(value.to_vec()).unwrap());
                seen.push((event.revision.0, event.key.to_string(), value));
            }
        }
        let by_revision: BTreeMap<u64, (String, String)> =
            seen.iter().map(|(revision, key, value)| (*revision, (key.clone(), value.clone()))).collect();
        for (revision, write) in &acknowledged {
            assert_eq!(by_revision.get(revision), Some(write), "acknowledged write {revision} was lost");
        }
        let mut state = BTreeMap::new();
        for (revision, key, value) in &seen {
            match value.as_str() {
                "-" => drop(state.remove(key)),
                value => drop(state.insert(key.clone(), (*revision, value.to_owned()))),
            }
        }
        let page = store.range("core/configmaps/", None, 0, None).await.unwrap();
        let found: BTreeMap<String, (u64, String)> = page
            .records
            .iter()
            .map(|record| {
                let value = String::from_utf8(record.value.to_vec()).unwrap();
                (record.key.to_string(), (record.revision.0, value))
            })
            .collect();
        assert_eq!(found, state, "the state is not what the events make");
    });
    println!("{} acknowledged writes found again, {} events in order", acknowledged.len(), seen.len());
}
