//! Three servers on an etcd of three members, all of which are killed (`kill -9`) at random while they write and read the same keys.
//! A history of what each server was told is checked against what the etcd holds in the end: no acknowledged write is lost or moved,
//! every server's watch saw every event once and in order over its own restarts, no read was stale, nothing was invented.
//!
//! The servers are this test binary; each says on its standard output what it tried, what it was told and what it saw.
#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

#[allow(dead_code)]
mod program;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use store::etcd::{Etcd, Options};
use store::{Batch, Durability, Error, Expect, Key, Revision, Store, Write};

const ENDPOINTS: &str = "SKIFF_FAULT_ENDPOINTS";
const NAME: &str = "SKIFF_FAULT_NAME";
const FROM: &str = "SKIFF_FAULT_FROM";
const ROUNDS: &str = "SKIFF_FAULT_ROUNDS";
const SEED: &str = "SKIFF_FAULT_SEED";
const PREFIX: &str = "core/configmaps/";
const SERVERS: usize = 3;
const WRITERS: usize = 3;
/// Few keys, so that servers meet on them.
const KEYS: u32 = 12;
/// Acknowledged writes between two kills.
const APART: std::ops::Range<usize> = 10..120;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Nanoseconds; the processes are on one machine.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// One line in one write: a line that the parent reads whole was said before the kill.
fn say(line: String) {
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

/// A server's part; without its environment there is nothing to do.
#[test]
fn serves_until_killed() {
    let Ok(endpoints) = std::env::var(ENDPOINTS) else { return };
    let name = std::env::var(NAME).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let options = Options::new(endpoints.split(',').map(String::from).collect());
        let store = loop {
            match Etcd::open(options.clone()).await {
                Ok(store) => break Arc::new(store),
                Err(error) => eprintln!("{name}: {}", base::chain(&error)),
            }
        };
        tokio::spawn(watch(store.clone()));
        let tasks: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(work(store.clone(), format!("{name}-{writer}"))))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// Says every event; goes on where it was when the watch ends.
async fn watch(store: Arc<Etcd>) {
    let mut from = Revision(number(FROM, 1));
    loop {
        let Ok(mut watch) = store.watch(PREFIX, from).await else { continue };
        while let Some(batch) = watch.recv().await {
            let Batch::Events(events) = batch else { continue };
            for event in events {
                let value =
                    event.value.map_or("-".into(), |value| String::from_utf8(value.to_vec()).unwrap());
                say(format!("saw {} {} {value}\n", event.revision, event.key));
                from = event.revision;
            }
        }
    }
}

async fn work(store: Arc<Etcd>, name: String) {
    let mut random = StdRng::from_os_rng();
    for count in 0.. {
        let key: Key = format!("{PREFIX}a/n{}", random.random_range(0..KEYS)).parse().unwrap();
        let begun = now();
        let Ok(found) = store.get(&key, None).await else { continue };
        say(format!("read {key} {} {begun}\n", found.as_ref().map_or(0, |record| record.revision.0)));
        let expect = found.map_or(Expect::Absent, |record| Expect::At(record.revision));
        let delete = expect != Expect::Absent && random.random_bool(0.2);
        let text = format!("{name}-{count}-{:x}", random.random::<u32>());
        let value = (!delete).then(|| Bytes::from(text.clone()));
        say(format!("try {text}\n"));
        let write = Write { key: key.clone(), expect, value, durability: Durability::Durable, ttl: None };
        match store.write(write).await {
            Ok(revision) => {
                let value = if delete { "-" } else { &text };
                say(format!("ack {revision} {key} {value} {}\n", now()));
            }
            // Somebody was faster, or nobody knows.
            Err(Error::Conflict { .. } | Error::Engine { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        let begun = now();
        if let Ok(revision) = store.current().await {
            say(format!("current {revision} {begun}\n"));
        }
    }
}

struct Server {
    child: Child,
    /// The revision of the last event that it said.
    seen: u64,
}

/// What was said, by whom.
#[derive(Default)]
struct History {
    tried: BTreeSet<String>,
    /// By revision: key, value, when.
    acknowledged: BTreeMap<u64, (String, String, u64)>,
    /// Key, revision (0: none), when it was asked.
    reads: Vec<(String, u64, u64)>,
    /// Revision, when it was asked.
    currents: Vec<(u64, u64)>,
    seen: [Vec<(u64, String, String)>; SERVERS],
}

impl History {
    fn take(&mut self, server: usize, line: &str) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["try", value] => drop(self.tried.insert(value.into())),
            ["ack", revision, key, value, at] => {
                let entry = (key.into(), value.into(), at.parse().unwrap());
                let before = self.acknowledged.insert(revision.parse().unwrap(), entry);
                assert!(before.is_none(), "revision {revision} was given twice");
            }
            ["read", key, revision, at] => {
                self.reads.push((key.into(), revision.parse().unwrap(), at.parse().unwrap()));
            }
            ["current", revision, at] => self.currents.push((revision.parse().unwrap(), at.parse().unwrap())),
            ["saw", revision, key, value] => {
                self.seen[server].push((revision.parse().unwrap(), key.into(), value.into()));
            }
            _ => {}
        }
    }

    /// `truth`: what the etcd holds, every event.
    fn check(&self, truth: &BTreeMap<u64, (String, String)>) {
        for (revision, (key, value, _)) in &self.acknowledged {
            let there = truth.get(revision).map(|(key, value)| (key.as_str(), value.as_str()));
            assert_eq!(
                there,
                Some((key.as_str(), value.as_str())),
                "acknowledged write {revision} was lost or moved"
            );
        }
        for (revision, (_, value)) in truth {
            assert!(
                value == "-" || self.tried.contains(value),
                "{value} at {revision} was written by nobody"
            );
        }
        for (server, seen) in self.seen.iter().enumerate() {
            let last = seen.last().map_or(0, |(revision, ..)| *revision);
            let expected: Vec<_> = truth
                .range(..=last)
                .map(|(revision, (key, value))| (*revision, key.clone(), value.clone()))
                .collect();
            assert_eq!(seen.len(), expected.len(), "server {server} missed or doubled events");
            assert!(*seen == expected, "server {server} saw other events, or in another order");
        }
        // Acknowledged before a read began: the read must show it, or what came after it.
        let mut by_time: Vec<(u64, u64, &str)> =
            self.acknowledged.iter().map(|(revision, (key, _, at))| (*at, *revision, key.as_str())).collect();
        by_time.sort();
        let mut reads: Vec<(u64, Option<&str>, u64)> =
            self.reads.iter().map(|(key, revision, at)| (*at, Some(key.as_str()), *revision)).collect();
        reads.extend(self.currents.iter().map(|(revision, at)| (*at, None, *revision)));
        reads.sort();
        let (mut newest, mut of_key, mut next) = (0, HashMap::<&str, u64>::new(), 0);
        for (at, key, revision) in reads {
            while let Some((_, revision, key)) =
                by_time.get(next).filter(|(acknowledged, ..)| *acknowledged < at)
            {
                newest = newest.max(*revision);
                let known = of_key.entry(*key).or_default();
                *known = (*known).max(*revision);
                next += 1;
            }
            match key {
                None => assert!(
                    revision >= newest,
                    "revision {revision} was told current after {newest} was acknowledged"
                ),
                Some(key) => {
                    let known = of_key.get(key).copied().unwrap_or(0);
                    let gone = || truth.range(known..).any(|(_, (own, value))| own == key && value == "-");
                    assert!(
                        revision >= known || (revision == 0 && gone()),
                        "a read of {key} gave {revision} after {known} was acknowledged"
                    );
                }
            }
        }
    }
}

/// The checker itself: it takes a good history, and none that is bent in one place.
#[test]
fn a_bent_history_is_found_out() {
    let key = || format!("{PREFIX}a/n1");
    let truth = BTreeMap::from([
        (5, (key(), "one".to_string())),
        (7, (key(), "-".into())),
        (9, (key(), "two".into())),
    ]);
    let good = || {
        let mut history = History::default();
        for server in 0..SERVERS {
            for (revision, (key, value)) in &truth {
                history.take(server, &format!("saw {revision} {key} {value}"));
            }
        }
        for line in [
            "try one",
            "try two",
            "read KEY 0 1",
            "current 4 1",
            "ack 5 KEY one 10",
            "read KEY 5 11",
            "ack 7 KEY - 20",
            "read KEY 0 21",
            "current 7 21",
            "ack 9 KEY two 30",
            "read KEY 9 31",
        ] {
            history.take(0, &line.replace("KEY", &key()));
        }
        history
    };
    good().check(&truth);
    let check = |what: &str, bend: &dyn Fn(&mut History)| {
        let mut history = good();
        bend(&mut history);
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| history.check(&truth)));
        assert!(judged.is_err(), "{what} was not found out");
    };
    check("a lost write", &|history| history.take(0, &format!("ack 8 {} three 25", key())));
    check("a moved write", &|history| drop(history.acknowledged.insert(5, (key(), "two".into(), 10))));
    check("an invented write", &|history| assert!(history.tried.remove("two")));
    check("a missed event", &|history| drop(history.seen[1].remove(1)));
    check("a reordered event", &|history| history.seen[2].swap(0, 1));
    check("a doubled event", &|history| history.seen[0].insert(1, (5, key(), "one".into())));
    check("a stale read", &|history| history.take(0, &format!("read {} 5 32", key())));
    check("a stale absence", &|history| history.take(0, &format!("read {} 0 32", key())));
    check("a stale revision", &|history| history.take(0, "current 5 22"));
}

#[test]
fn kills_of_servers_and_of_etcd_lose_and_reorder_nothing() {
    let Some(program) = program::find() else { return };
    let rounds = number(ROUNDS, 12);
    let seed = number(SEED, rand::random::<u32>().into());
    println!("{rounds} kills, {SEED}={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = program::Cluster::start(program, 3);
    let endpoints = cluster.endpoints().join(",");
    let (lines, said) = mpsc::channel::<(usize, u64, String)>();
    let start = |server: usize, life: u64, from: u64| {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "serves_until_killed", "--nocapture"])
            .env(ENDPOINTS, &endpoints)
            .env(NAME, format!("s{server}l{life}"))
            .env(FROM, from.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let lines = lines.clone();
        std::thread::spawn(move || {
            // The last line of a killed server may be torn.
            for line in output.split(b'\n').map_while(Result::ok) {
                let _over = lines.send((server, life, String::from_utf8(line).unwrap()));
            }
            let _over = lines.send((server, life, String::new()));
        });
        Server { child, seen: from }
    };
    let mut lives = [0u64; SERVERS];
    let mut servers: Vec<Server> = (0..SERVERS).map(|server| start(server, 0, 1)).collect();
    let mut history = History::default();
    let mut down: Option<usize> = None;
    for _ in 0..rounds {
        let mut until = random.random_range(APART);
        while until > 0 {
            let (server, _, line) =
                said.recv_timeout(Duration::from_secs(60)).expect("nothing was said for a minute");
            until -= usize::from(line.starts_with("ack"));
            history.take(server, &line);
        }
        // What was down comes back before the next falls: of three members one may be missing.
        if let Some(member) = down.take() {
            cluster.start_member(member);
            cluster.wait(member);
        } else if random.random_bool(0.5) {
            let member = random.random_range(0..3);
            cluster.kill(member);
            down = Some(member);
        } else {
            let server = random.random_range(0..SERVERS);
            servers[server].child.kill().unwrap();
            servers[server].child.wait().unwrap();
            // To the end of what it said.
            loop {
                let (own, life, line) = said.recv().unwrap();
                history.take(own, &line);
                if own == server && life == lives[server] && line.is_empty() {
                    break;
                }
            }
            lives[server] += 1;
            let from = history.seen[server].last().map_or(servers[server].seen, |(revision, ..)| *revision);
            servers[server] = start(server, lives[server], from);
        }
    }
    if let Some(member) = down {
        cluster.start_member(member);
        cluster.wait(member);
    }
    for server in &mut servers {
        server.child.kill().unwrap();
        server.child.wait().unwrap();
    }
    drop(lines);
    while let Ok((server, _, line)) = said.recv() {
        history.take(server, &line);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let truth = runtime.block_on(async {
        let store = Etcd::open(Options::new(cluster.endpoints())).await.unwrap();
        let end = store.current().await.unwrap();
        let mut watch = store.watch(PREFIX, Revision(1)).await.unwrap();
        let mut truth = BTreeMap::new();
        loop {
            match watch.recv().await.unwrap() {
                Batch::Events(events) => truth.extend(events.into_iter().map(|event| {
                    let value =
                        event.value.map_or("-".into(), |value| String::from_utf8(value.to_vec()).unwrap());
                    (event.revision.0, (event.key.to_string(), value))
                })),
                Batch::Progress(revision) if revision >= end => break truth,
                Batch::Progress(_) => {}
            }
            if truth.last_key_value().is_some_and(|(revision, _)| *revision >= end.0) {
                break truth;
            }
        }
    });
    history.check(&truth);
    let seen: usize = history.seen.iter().map(Vec::len).sum();
    println!(
        "{} acknowledged writes found again, {} events of {} servers in order, {} reads not stale",
        history.acknowledged.len(),
        seen,
        SERVERS,
        history.reads.len() + history.currents.len()
    );
    assert!(history.acknowledged.len() as u64 > rounds, "too little was written to judge");
}
