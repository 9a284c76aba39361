//! Clients of servers that are killed under them: writers, a reader of lists, watches that go on where they were. Every answer goes
//! into the history; none is asked for twice.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http::{Method, Request};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::history::{Asked, Data, End, FIELD, History, Line, Read, Seen, Write};

/// Where the objects are that are written.
pub const NAMESPACE: &str = "faults";
/// Few, so that clients meet on them.
const NAMES: u32 = 12;
const PATCHED: u32 = 3;
/// After this an answer does not come any more.
const ANSWER: Duration = Duration::from_secs(10);
/// A watch is sent a bookmark each minute; one that is silent for longer is dead.
const SILENCE: Duration = Duration::from_secs(90);

/// What the clients share.
pub struct Load {
    /// One for each server; the servers' addresses and CA outlive their kills.
    clients: Vec<Client>,
    history: Mutex<History>,
    since: Instant,
    acknowledged: AtomicU64,
    stop: AtomicBool,
    seed: u64,
}

/// An answer: its code and body.
type Answer = (u16, Value);

impl Load {
    pub fn new(clients: Vec<Client>, seed: u64) -> Arc<Load> {
        let (history, since) = (Mutex::default(), Instant::now());
        let (acknowledged, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        Arc::new(Load { clients, history, since, acknowledged, stop, seed })
    }

    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Writes that were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Writers and readers end after what they are at.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn now(&self) -> u64 {
        self.since.elapsed().as_nanos() as u64
    }

    fn random(&self, client: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed ^ (client << 32))
    }

    /// Makes the namespace; gives the revision from which everything is seen.
    pub async fn prepare(&self) -> Result<u64> {
        let namespace = json!({"metadata": {"name": NAMESPACE}});
        let (code, answer) = self.ask(0, Method::POST, "/api/v1/namespaces", None, &namespace).await?;
        if code != 201 {
            bail!("the namespace was not made: {answer}");
        }
        let (_, list) = self.ask(0, Method::GET, &path(""), None, &Value::Null).await?;
        revision(&list).context("a list without a revision")
    }

    /// One request to one server. Errors: no whole answer came.
    async fn ask(
        &self,
        server: usize,
        method: Method,
        path: &str,
        kind: Option<&str>,
        body: &Value,
    ) -> Result<Answer> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", kind.unwrap_or("application/json"));
        let request = request.body(Body::from(body))?;
        let answer = async {
            let response = self.clients[server].send(request).await?;
            let code = response.status().as_u16();
            let bytes = response.into_body().collect().await?.to_bytes();
            anyhow::Ok((code, serde_json::from_slice(&bytes).unwrap_or_default()))
        };
        tokio::time::timeout(ANSWER, answer).await?
    }

    /// Until it is stopped: reads an object, and writes what follows from it. Now and then at another server than it read from.
    pub async fn write(self: Arc<Load>, client: u64) {
        let mut random = self.random(client);
        for count in 0u64.. {
            if self.stopped() {
                return;
            }
            let name = format!("n{}", random.random_range(0..NAMES));
            let server = random.random_range(0..self.clients.len());
            let begun = self.now();
            let found = match self.ask(server, Method::GET, &path(&name), None, &Value::Null).await {
                Ok((200, object)) => object_of(&object),
                Ok((404, _)) => None,
                _ => {
                    wait().await;
                    continue;
                }
            };
            let seen = Seen::One(name.clone(), found.clone());
            self.read_done(begun, seen);
            let server =
                if random.random_bool(0.2) { random.random_range(0..self.clients.len()) } else { server };
            let id = format!("c{client}-{count}");
            let choice = random.random_range(0..10);
            let write = match found {
                None => Write::Create { name, id },
                Some((over, _)) if choice < 2 => Write::Delete { name, over },
                Some(_) if choice < 5 => {
                    Write::Patch { name, field: format!("p{}", random.random_range(0..PATCHED)), id }
                }
                Some((over, _)) => Write::Put { name, over, id },
            };
            self.asked(server, write).await;
        }
    }

    async fn asked(&self, server: usize, write: Write) {
        let object = |name: &str, id: &str| json!({"metadata": {"name": name}, "data": {FIELD: id}});
        let (method, path, kind, body) = match &write {
            Write::Create { name, id } => (Method::POST, path(""), None, object(name, id)),
            Write::Put { name, over, id } => {
                let mut body = object(name, id);
                body["metadata"]["resourceVersion"] = over.to_string().into();
                (Method::PUT, path(name), None, body)
            }
            Write::Patch { name, field, id } => (
                Method::PATCH,
                path(name),
                Some("application/merge-patch+json"),
                json!({"data": {field: id}}),
            ),
            Write::Delete { name, over } => {
                let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"resourceVersion": over.to_string()}});
                (Method::DELETE, path(name), None, options)
            }
        };
        let begun = self.now();
        let answer = self.ask(server, method, &path, kind, &body).await;
        let ended = self.now();
        let mut wrong = None;
        let end = match &answer {
            Ok((200 | 201, object)) if !matches!(write, Write::Delete { .. }) => {
                if revision(object).is_none() {
                    wrong = Some(format!("{write:?} was answered without a revision: {object}"));
                }
                End::Done(revision(object))
            }
            Ok((200, _)) => End::Done(None),
            Ok((404 | 409 | 429, _)) => End::Refused,
            Ok((code @ 400..500, answer)) => {
                wrong = Some(format!("{write:?} was answered {code}: {answer}"));
                End::Refused
            }
            _ => End::Unknown,
        };
        if matches!(end, End::Done(_)) {
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        let open = end == End::Unknown;
        {
            let mut history = self.history();
            history.asked.push(Asked { begun, ended, write, end });
            history.wrong.extend(wrong);
        }
        if open {
            wait().await;
        }
    }

    fn read_done(&self, begun: u64, seen: Seen) {
        let ended = self.now();
        self.history().reads.push(Read { begun, ended, seen });
    }

    /// Until it is stopped: lists, whole or by pages or from the cache; and Events and a Lease, which are kept less safely, under the
    /// same revisions.
    pub async fn list(self: Arc<Load>, client: u64) {
        let mut random = self.random(client);
        for count in 0u64.. {
            if self.stopped() {
                return;
            }
            let server = random.random_range(0..self.clients.len());
            let how = match random.random_range(0..4) {
                0 => "?limit=5",
                1 => "?resourceVersion=0",
                _ => "",
            };
            if self.list_once(server, how).await.is_err() {
                wait().await;
                continue;
            }
            let event = json!({
                "metadata": {"name": format!("e{client}-{count}")}, "reason": "Fault", "type": "Normal",
                "involvedObject": {"kind": "ConfigMap", "namespace": NAMESPACE, "name": "n0"},
            });
            let events = format!("/api/v1/namespaces/{NAMESPACE}/events");
            if let Ok((201, object)) = self.ask(server, Method::POST, &events, None, &event).await {
                self.shown(revision(&object));
            }
            let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {"holderIdentity": format!("h{count}")}});
            let leases = format!(
                "/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/l{client}?fieldManager=faults&force=true"
            );
            let apply = Some("application/apply-patch+yaml");
            if let Ok((200 | 201, object)) = self.ask(server, Method::PATCH, &leases, apply, &lease).await {
                self.shown(revision(&object));
            }
        }
    }

    fn shown(&self, revision: Option<u64>) {
        let at = self.now();
        self.history().shown.extend(revision.map(|revision| (at, revision)));
    }

    /// Lists and notes it; gives its revision.
    pub async fn list_once(&self, server: usize, how: &str) -> Result<u64> {
        let begun = self.now();
        let mut items = BTreeMap::new();
        let mut whole: Option<u64> = None;
        let mut next = String::new();
        loop {
            let (code, list) = self
                .ask(server, Method::GET, &format!("{}{how}{next}", path("")), None, &Value::Null)
                .await?;
            if code != 200 {
                bail!("a list was answered {code}: {list}");
            }
            let of = revision(&list).context("a list without a revision")?;
            if whole.is_some_and(|whole| whole != of) {
                self.history().wrong.push(format!("the pages of a list are of {whole:?} and {of}"));
            }
            whole = Some(of);
            for item in list["items"].as_array().into_iter().flatten() {
                let name = item["metadata"]["name"].as_str().unwrap_or_default();
                items.extend(object_of(item).filter(|_| ours(name)).map(|found| (name.to_owned(), found)));
            }
            match list["metadata"]["continue"].as_str() {
                Some(token) if !token.is_empty() => next = format!("&continue={token}"),
                _ => break,
            }
        }
        let of = whole.unwrap_or_default();
        self.read_done(begun, Seen::All(of, items, !how.contains("resourceVersion=0")));
        Ok(of)
    }

    /// Follows from a revision until it is told to end; each time a server goes, at the next that is there.
    pub async fn watch(
        self: Arc<Load>,
        watch: usize,
        from: u64,
        all: bool,
        mut end: tokio::sync::watch::Receiver<bool>,
    ) {
        let mut random = self.random(1000 + watch as u64);
        let mut last = from;
        while !*end.borrow() {
            let server = random.random_range(0..self.clients.len());
            tokio::select! {
                _ended = end.changed() => {}
                _over = self.follow(server, watch, &mut last, all) => wait().await,
            }
        }
    }

    /// One connection of a watch. `all`: of all namespaces.
    async fn follow(&self, server: usize, watch: usize, last: &mut u64, all: bool) -> Result<()> {
        let of = if all { "/api/v1/configmaps".to_owned() } else { path("") };
        let request = Request::get(format!("{of}?watch=1&resourceVersion={last}&allowWatchBookmarks=true"))
            .body(Body::empty())?;
        let response = tokio::time::timeout(ANSWER, self.clients[server].send(request)).await??;
        let code = response.status().as_u16();
        let mut body = response.into_body();
        let mut rest = Vec::new();
        while let Some(frame) = tokio::time::timeout(SILENCE, body.frame()).await? {
            rest.extend_from_slice(frame?.data_ref().map_or(&[][..], |data| data));
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                self.line(watch, serde_json::from_slice(&line)?, last)?;
            }
        }
        if (400..500).contains(&code) {
            let text = String::from_utf8_lossy(&rest).into_owned();
            self.history().wrong.push(format!("watch {watch} from {last} was answered {code}: {text}"));
            bail!("refused");
        }
        Ok(())
    }

    fn line(&self, watch: usize, event: Value, last: &mut u64) -> Result<()> {
        let at = self.now();
        let object = &event["object"];
        let kind = event["type"].as_str().unwrap_or_default();
        if kind == "ERROR" {
            self.history().wrong.push(format!("watch {watch} from {last} was told {object}"));
            bail!("ended");
        }
        let revision = revision(object).with_context(|| format!("an event without a revision: {event}"))?;
        *last = revision;
        let (name, namespace) = (&object["metadata"]["name"], &object["metadata"]["namespace"]);
        let name = name.as_str().unwrap_or_default().to_owned();
        let line = match kind {
            "BOOKMARK" => Line::Bookmark(revision),
            _ if namespace != NAMESPACE || !ours(&name) => return Ok(()),
            "DELETED" => Line::Event { at, revision, name, data: None },
            _ => Line::Event { at, revision, name, data: Some(data(object)) },
        };
        self.history().watches[watch].push(line);
        Ok(())
    }
}

/// What follows an answer that did not come: a moment, for the server to be there again.
fn wait() -> impl Future<Output = ()> {
    tokio::time::sleep(Duration::from_millis(10))
}

fn path(name: &str) -> String {
    let slash = if name.is_empty() { "" } else { "/" };
    format!("/api/v1/namespaces/{NAMESPACE}/configmaps{slash}{name}")
}

/// Not one that a controller made.
fn ours(name: &str) -> bool {
    name.strip_prefix('n').is_some_and(|rest| rest.parse::<u32>().is_ok())
}

fn revision(object: &Value) -> Option<u64> {
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}

fn data(object: &Value) -> Data {
    let fields = object["data"].as_object().into_iter().flatten();
    fields.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

fn object_of(object: &Value) -> Option<(u64, Data)> {
    Some((revision(object)?, data(object)))
}
