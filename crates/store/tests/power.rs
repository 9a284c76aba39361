//! Cuts of power under load: after each, every acknowledged durable write is there, nothing is torn, and no revision that
//! was shown is given again.
#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

#[path = "power/disk.rs"]
mod disk;
#[path = "power/vfs.rs"]
mod vfs;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use disk::Disk;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use store::sqlite::Options;
use store::{Durability, Expect, Key, Revision, Sqlite, Store, Write};

const SEED: &str = "SKIFF_POWER_SEED";
const CUTS: &str = "SKIFF_POWER_CUTS";
const WRITERS: u64 = 8;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What was answered: for each key the newest revision and value; for each, also what was asked and never answered.
#[derive(Default)]
struct Known {
    state: BTreeMap<Key, (Revision, Option<Bytes>)>,
    asked: BTreeMap<Key, Option<Bytes>>,
    highest: Revision,
    count: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_loses_no_acknowledged_write() {
    let (seed, cuts) = (number(SEED, rand::random::<u32>().into()), number(CUTS, 60));
    println!("{cuts} cuts, {SEED}={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let known = Arc::new(Mutex::new(Known::default()));
    let mut disk = Disk::default();
    for round in 0..=cuts {
        let name = format!("power-{seed}-{round}");
        vfs::register(&name, &disk);
        // Small histories, so that compactions and checkpoints are cut too.
        let options = Options {
            vfs: Some(name),
            history: std::time::Duration::ZERO,
            history_revisions: 50,
            checkpoint_pages: 40,
            ..Options::default()
        };
        let store = Arc::new(Sqlite::open(&path, options).unwrap());
        verify(&store, &known, round).await;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(write(store.clone(), known.clone(), writer, random.random())))
            .collect();
        let until = known.lock().unwrap().count + random.random_range(1..120);
        while known.lock().unwrap().count < until {
            tokio::task::yield_now().await;
        }
        let after = disk.cut(&mut random);
        for writer in writers {
            writer.await.unwrap();
        }
        drop(store);
        // Its VFS stays registered for ever; nobody has its files open any more.
        std::mem::replace(&mut disk, after).state().files.clear();
    }
    let known = known.lock().unwrap();
    println!(
        "{} acknowledged writes, the newest of each of {} keys found after every cut",
        known.count,
        known.state.len()
    );
    assert!(known.count > cuts);
}

async fn verify(store: &Sqlite, known: &Mutex<Known>, round: u64) {
    assert!(
        store.epoch() >= known.lock().unwrap().highest,
        "round {round}: a revision that was shown can come again"
    );
    let page = store.range("", None, 0, None).await.unwrap();
    let found: BTreeMap<Key, (Revision, Bytes)> =
        page.records.into_iter().map(|record| (record.key, (record.revision, record.value))).collect();
    let mut known = known.lock().unwrap();
    let asked = std::mem::take(&mut known.asked);
    for (key, (revision, value)) in &known.state {
        let there = found.get(key);
        let same = there.map(|(revision, value)| (*revision, value))
            == value.as_ref().map(|value| (*revision, value));
        // A write whose answer the cut took may have happened.
        let newer = asked.get(key).is_some_and(|asked| there.map(|(_, value)| value) == asked.as_ref());
        assert!(same || newer, "round {round}: {key} was {value:?} at {revision}, it is {there:?}");
    }
    // A delete whose answer the cut took did happen.
    known.state.retain(|key, _| found.contains_key(key) || asked.get(key) != Some(&None));
    for (key, (revision, value)) in found {
        known.state.insert(key, (revision, Some(value)));
    }
}

/// Writes keys of its own until the power is cut.
async fn write(store: Arc<Sqlite>, known: Arc<Mutex<Known>>, writer: u64, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    loop {
        let key: Key = format!("core/configmaps/w{writer}/n{}", random.random_range(0..5)).parse().unwrap();
        let before = match store.get(&key, None).await {
            Ok(before) => before,
            Err(_) => return,
        };
        let delete = before.is_some() && random.random_bool(0.2);
        let value = (!delete).then(|| Bytes::from(vec![random.random::<u8>(); random.random_range(1..9000)]));
        let expect = before.map_or(Expect::Absent, |record| Expect::At(record.revision));
        known.lock().unwrap().asked.insert(key.clone(), value.clone());
        let durability = Durability::Durable;
        let write = Write { key: key.clone(), expect, value: value.clone(), durability, ttl: None };
        let Ok(revision) = store.write(write).await else { return };
        {
            let mut known = known.lock().unwrap();
            known.asked.remove(&key);
            known.state.insert(key, (revision, value));
            known.highest = known.highest.max(revision);
            known.count += 1;
        }
        let event: Key = format!("core/events/w{writer}/{revision}").parse().unwrap();
        let shown = Write {
            key: event,
            expect: Expect::Absent,
            value: Some(Bytes::from_static(b"event")),
            durability: Durability::Relaxed,
            ttl: None,
        };
        let Ok(revision) = store.write(shown).await else { return };
        let mut known = known.lock().unwrap();
        known.highest = known.highest.max(revision);
    }
}

#[tokio::test]
async fn a_write_alone_costs_one_flush_and_many_share_one() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    vfs::register("flushes", &disk);
    let options = Options { vfs: Some("flushes".into()), ..Options::default() };
    let store = Sqlite::open(&folder.path().join("state.db"), options).unwrap();
    let put = |at: u64| Write {
        key: format!("core/configmaps/a/n{at}").parse().unwrap(),
        expect: Expect::Absent,
        value: Some(Bytes::from(vec![b'x'; 1000])),
        durability: Durability::Durable,
        ttl: None,
    };
    // The first write of a log flushes its header too.
    store.write(put(0)).await.unwrap();
    let before = disk.flushes();
    for at in 1..=20 {
        store.write(put(at)).await.unwrap();
        assert_eq!(disk.flushes(), before + at);
    }
    // While the first of these waits for the disk the others come together.
    let mut writes: Vec<_> = (100..164).map(|at| store.write(put(at))).collect();
    {
        let _disk_is_busy = disk.state();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for write in &mut writes {
            assert!(write.as_mut().poll(&mut context).is_pending());
        }
    }
    for write in writes {
        write.await.unwrap();
    }
    let flushes = disk.flushes() - before - 20;
    assert!((1..=2).contains(&flushes), "64 writes cost {flushes} flushes");
}
