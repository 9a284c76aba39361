//! `kill -9` again and again under writers and watchers: what was acknowledged is there, and a watch that resumes misses
//! nothing, sees nothing twice and nothing out of order.
//!
//! Each writer has a fixed story: its n-th write is known beforehand (a create, two updates, a delete, on each of its objects in
//! turn). A write whose answer was lost with the server is looked up after the next start and then counted or repeated, so the
//! story has no gap. Each watcher must see each story from its start to its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::{Machine, machine::PATIENCE, until};
use futures_util::TryStreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;
use tokio::sync::watch;

/// How often the server is killed: a few times unless this says otherwise.
const CRASHES: &str = "SKIFF_CRASHES";
const WRITERS: u64 = 16;
const WATCHERS: usize = 4;
/// Objects of one writer.
const SLOTS: u64 = 5;

/// What the writers and watchers are told: a client of the server that runs, or none.
type Current = watch::Receiver<Option<kube::Client>>;

pub async fn kills(machine: &mut Machine) -> Result<()> {
    let kills: u64 = std::env::var(CRASHES).ok().map(|text| text.parse()).transpose()?.unwrap_or(8);
    let seed: u64 = std::env::var("SKIFF_SEED").ok().map(|text| text.parse()).transpose()?.unwrap_or(1);
    eprintln!("    {kills} kills (more with {CRASHES}=200), seed {seed} (another with SKIFF_SEED)");
    // No node: a start then is an API server's, and soon.
    machine.add_flags(&["--disable-agent", "--disable", "fleet"]);
    machine.start().await?;
    let client = machine.client().await?;
    let (tell, current) = watch::channel(Some(client.clone()));
    let done = Arc::new(AtomicBool::new(false));
    let begin =
        maps(&client).list(&Default::default()).await?.metadata.resource_version.context("no revision")?;
    let writers: Vec<_> =
        (0..WRITERS).map(|one| tokio::spawn(write(one, current.clone(), done.clone()))).collect();
    let progress: Vec<_> = (0..WATCHERS).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let mut watchers = tokio::task::JoinSet::new();
    for progress in &progress {
        watchers.spawn(follow(begin.clone(), current.clone(), progress.clone()));
    }

    let (mut random, mut slowest) = (seed, Duration::ZERO);
    for round in 0..kills {
        // splitmix64: the kill comes 50 to 561 ms after the start was seen.
        random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^= mixed >> 27;
        let under_load = Duration::from_millis(50 + mixed % 512);
        tokio::select! {
            () = tokio::time::sleep(under_load) => {}
            ended = watchers.join_next() => bail!("in round {round} a watcher ended: {ended:?}"),
        }
        machine.kill()?;
        tell.send_replace(None);
        slowest = slowest.max(machine.start().await.with_context(|| format!("after kill {round}"))?);
        tell.send_replace(Some(machine.client().await?));
    }

    done.store(true, Ordering::SeqCst);
    let mut told = Vec::new();
    for writer in writers {
        told.push(writer.await??);
    }
    let writes: u64 = told.iter().map(|story| story.length).sum();
    let lost: u64 = told.iter().map(|story| story.unanswered).sum();
    for progress in &progress {
        until("a watcher to see the last write", PATIENCE, async || {
            Ok((progress.load(Ordering::SeqCst) == writes).then_some(()))
        })
        .await
        .with_context(|| format!("it saw {} of {writes}", progress.load(Ordering::SeqCst)))?;
    }
    drop(tell);
    while let Some(seen) = watchers.join_next().await {
        let seen = seen??;
        for (story, events) in told.iter().zip(seen) {
            story.check(&events)?;
        }
    }
    present(&machine.client().await?, &told).await?;
    eprintln!(
        "    {writes} writes, {lost} of them without an answer; {WATCHERS} watchers saw each once and in order; the slowest \
         start took {slowest:.1?}"
    );
    Ok(())
}

fn maps(client: &kube::Client) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), "default")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Create,
    Update,
    Delete,
}

/// The n-th write of every writer: what is done to which of its objects. n counts from 1.
fn step(n: u64) -> (Verb, u64) {
    let verb = match (n - 1) / SLOTS % 4 {
        0 => Verb::Create,
        1 | 2 => Verb::Update,
        _ => Verb::Delete,
    };
    (verb, (n - 1) % SLOTS)
}

/// What a writer did.
#[derive(Debug)]
struct Story {
    writer: u64,
    /// Its last write.
    length: u64,
    unanswered: u64,
    /// Revisions of the writes that were answered with an object, by their number.
    revisions: HashMap<u64, u64>,
}

/// What a watcher saw of one write: the verb, the slot, the number in the object, its revision.
type Seen = (Verb, u64, u64, u64);

impl Story {
    fn check(&self, events: &[Seen]) -> Result<()> {
        let who = self.writer;
        for (at, (verb, slot, number, revision)) in events.iter().enumerate() {
            let n = at as u64 + 1;
            let (wanted, of) = step(n);
            ensure!(
                (*verb, *slot) == (wanted, of) && (*verb == Verb::Delete || *number == n),
                "writer {who}: write {n} is {wanted:?} of object {of}, a watcher saw {verb:?} of object {slot} with {number}"
            );
            let answered = self.revisions.get(&n);
            ensure!(
                answered.is_none_or(|answered| answered == revision),
                "writer {who}: write {n} was answered with revision {answered:?} and watched with {revision}"
            );
        }
        ensure!(
            events.len() as u64 == self.length,
            "writer {who}: {} of {} writes were seen",
            events.len(),
            self.length
        );
        Ok(())
    }
}

/// A client of the server that runs, once one runs; none when nobody starts one any more.
async fn server(current: &mut Current) -> Option<kube::Client> {
    // Whoever would start one is gone: the last client is of a server that nobody watches over.
    current.has_changed().ok()?;
    let running = current.wait_for(Option::is_some).await.ok()?;
    running.clone()
}

/// Resolves when nobody starts the server any more.
async fn ended(current: &mut Current) {
    while current.changed().await.is_ok() {}
}

/// Writes a story until it is told to end; ends with what came of it.
async fn write(writer: u64, mut current: Current, done: Arc<AtomicBool>) -> Result<Story> {
    let mut story = Story { writer, length: 0, unanswered: 0, revisions: HashMap::new() };
    // The revision of each object that is there.
    let mut revisions: [Option<String>; SLOTS as usize] = Default::default();
    let mut unsure = false;
    while unsure || !done.load(Ordering::SeqCst) {
        let Some(client) = server(&mut current).await else {
            bail!("writer {writer}: nobody starts the server any more")
        };
        let api = maps(&client);
        let n = story.length + 1;
        let (verb, slot) = step(n);
        let name = format!("w{writer}-{slot}");
        if unsure {
            let Ok(found) = api.get_opt(&name).await else { continue };
            let before = revisions[slot as usize].clone();
            let number = found.as_ref().map(number).transpose()?;
            let took = match verb {
                Verb::Delete => number.is_none(),
                Verb::Create | Verb::Update => number == Some(n),
            };
            let old = found.as_ref().and_then(|map| map.metadata.resource_version.clone());
            ensure!(
                took || old == before,
                "writer {writer}: before write {n}, object {slot} had revision {before:?}; after a crash it has {old:?} and holds \
                 {number:?}"
            );
            unsure = false;
            if took {
                story.length = n;
                revisions[slot as usize] = old;
            }
            continue;
        }
        let revision = revisions[slot as usize].clone();
        let answer = match verb {
            Verb::Create => api.create(&PostParams::default(), &map(&name, n, None)).await.map(Some),
            Verb::Update => {
                api.replace(&name, &PostParams::default(), &map(&name, n, revision)).await.map(Some)
            }
            Verb::Delete => api.delete(&name, &DeleteParams::default()).await.map(|_| None),
        };
        match answer {
            Ok(object) => {
                story.length = n;
                let revision = object.and_then(|object| object.metadata.resource_version);
                if let Some(revision) = &revision {
                    story.revisions.insert(n, revision.parse()?);
                }
                revisions[slot as usize] = revision;
            }
            // A refusal of what should work: a write that was acknowledged is not there, or one came twice.
            Err(kube::Error::Api(status)) if (400..429).contains(&status.code) => {
                bail!("writer {writer}: write {n} ({verb:?} of object {slot}) was refused: {status:?}")
            }
            Err(_) => {
                unsure = true;
                story.unanswered += 1;
            }
        }
    }
    Ok(story)
}

fn map(name: &str, number: u64, revision: Option<String>) -> ConfigMap {
    let object = json!({"metadata": {"name": name, "resourceVersion": revision}, "data": {"number": number.to_string()}});
    serde_json::from_value(object).expect("because it is a ConfigMap")
}

fn number(map: &ConfigMap) -> Result<u64> {
    let text = map.data.as_ref().and_then(|data| data.get("number"));
    Ok(text.with_context(|| format!("{:?} has no number", map.metadata.name))?.parse()?)
}

/// Watches from a revision on, again after each crash, until nobody starts the server any more. Gives what it saw by writer.
async fn follow(
    mut revision: String,
    mut current: Current,
    progress: Arc<AtomicU64>,
) -> Result<Vec<Vec<Seen>>> {
    let mut seen = vec![Vec::new(); WRITERS as usize];
    while let Some(client) = server(&mut current).await {
        let stream = match maps(&client).watch(&WatchParams::default(), &revision).await {
            Ok(stream) => stream,
            Err(kube::Error::Api(status)) if status.code == 410 => {
                bail!("a watch of a durable kind cannot go on from {revision}: {status:?}")
            }
            Err(_) => continue,
        };
        let mut stream = std::pin::pin!(stream);
        loop {
            let event = tokio::select! {
                event = stream.try_next() => event,
                () = ended(&mut current) => break,
            };
            let (verb, map) = match event {
                Ok(Some(WatchEvent::Added(map))) => (Verb::Create, map),
                Ok(Some(WatchEvent::Modified(map))) => (Verb::Update, map),
                Ok(Some(WatchEvent::Deleted(map))) => (Verb::Delete, map),
                Ok(Some(WatchEvent::Bookmark(mark))) => {
                    revision = mark.metadata.resource_version;
                    continue;
                }
                Ok(Some(WatchEvent::Error(status))) => {
                    bail!("a watch from {revision} was refused: {status:?}")
                }
                Ok(None) | Err(_) => break,
            };
            let next = map.metadata.resource_version.clone().context("an event without a revision")?;
            let (before, after): (u64, u64) = (revision.parse()?, next.parse()?);
            ensure!(before < after, "after revision {before} an event of revision {after} was sent");
            revision = next;
            let name = map.metadata.name.clone().unwrap_or_default();
            // What is not a writer's: kube-root-ca.crt.
            let Some((writer, slot)) = name.strip_prefix('w').and_then(|rest| rest.split_once('-')) else {
                continue;
            };
            let writer: usize = writer.parse()?;
            seen.get_mut(writer).context("a writer that there is not")?.push((
                verb,
                slot.parse()?,
                number(&map)?,
                after,
            ));
            progress.fetch_add(1, Ordering::SeqCst);
        }
    }
    Ok(seen)
}

/// What is there at the end is what the stories end with.
async fn present(client: &kube::Client, told: &[Story]) -> Result<()> {
    let mut wanted: HashMap<String, u64> = HashMap::new();
    for story in told {
        for n in 1..=story.length {
            let (verb, slot) = step(n);
            let name = format!("w{}-{slot}", story.writer);
            match verb {
                Verb::Delete => drop(wanted.remove(&name)),
                Verb::Create | Verb::Update => drop(wanted.insert(name, n)),
            }
        }
    }
    let mut found = HashMap::new();
    for map in maps(client).list(&Default::default()).await?.items {
        let name = map.metadata.name.clone().unwrap_or_default();
        if name.starts_with('w') {
            found.insert(name, number(&map)?);
        }
    }
    ensure!(found == wanted, "there are {found:?}, and not {wanted:?}");
    Ok(())
}
