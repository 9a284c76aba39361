//! Whether the owner's own controller runs in the cluster: two that follow the same objects would undo each other's work.
//!
//! Followed by watches, for as long as the agent runs: a front end stays off, or goes off, while its owner's controller
//! is to run, and comes back when that is scaled down. A Lease counts by when its renewals are seen, so that wrong clocks
//! decide nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::Value;
use futures_util::StreamExt;
use kube::core::WatchEvent;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::cluster::{Cluster, Error};

/// How a controller is told from others: its workload's name, or the label that all its installations bear.
const CONTROLLERS: &[(&str, Looked)] = &[
    (
        "argocd",
        Looked::new("apps/v1", "StatefulSet", "app.kubernetes.io/name", "argocd-application-controller"),
    ),
    (
        "argocd",
        Looked::new("apps/v1", "Deployment", "app.kubernetes.io/name", "argocd-application-controller"),
    ),
    ("flux", Looked::new("apps/v1", "Deployment", "", "source-controller")),
    ("flux", Looked::new("apps/v1", "Deployment", "", "kustomize-controller")),
    ("flux", Looked::new(LEASES, "Lease", "", "source-controller-leader-election")),
    ("flux", Looked::new(LEASES, "Lease", "", "kustomize-controller-leader-election")),
];

const LEASES: &str = "coordination.k8s.io/v1";

#[derive(Clone, Copy, Debug)]
struct Looked {
    api_version: &'static str,
    kind: &'static str,
    /// Empty: `value` is the object's name.
    label: &'static str,
    value: &'static str,
}

impl Looked {
    const fn new(
        api_version: &'static str,
        kind: &'static str,
        label: &'static str,
        value: &'static str,
    ) -> Looked {
        Looked { api_version, kind, label, value }
    }
    fn query(&self) -> String {
        match self.label {
            "" => format!("fieldSelector=metadata.name%3D{}", self.value),
            label => format!("labelSelector={}%3D{}", label.replace('/', "%2F"), self.value),
        }
    }
}

/// An object by which a controller shows that it lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sign {
    pub api_version: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
}

impl std::fmt::Display for Sign {
    /// `Deployment flux-system/kustomize-controller`.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// Pods that it is to have: one that restarts or is upgraded has nobody ready for a while, and lives.
    Workload { wanted: i64 },
    /// Holder and time of renewal as they stand there, and until when that counts.
    Lease { state: String, until: Option<Instant> },
}

#[derive(Debug, Default)]
struct State {
    seen: BTreeMap<Sign, Seen>,
    /// How many of the watches listed once.
    listed: usize,
    fault: Option<String>,
}

impl State {
    /// What lives, and until when that is known without news.
    fn live(&self, now: Instant) -> (Option<Sign>, Option<Instant>) {
        let mut first = None;
        let mut until: Option<Instant> = None;
        for (sign, seen) in &self.seen {
            match seen {
                Seen::Workload { wanted } if *wanted > 0 => first = first.or(Some(sign)),
                Seen::Lease { until: Some(end), .. } if *end > now => {
                    first = first.or(Some(sign));
                    until = Some(until.map_or(*end, |until| until.min(*end)));
                }
                _ => {}
            }
        }
        (first.cloned(), until)
    }

    fn put(&mut self, sign: Sign, object: &Value, now: Instant) {
        let number = |path: &[&str]| object.at(path).and_then(Value::as_int);
        let seen = if sign.kind == "Lease" {
            let holder = object.str_at(&["spec", "holderIdentity"]);
            let state = format!("{holder} {}", object.str_at(&["spec", "renewTime"]));
            let seconds = number(&["spec", "leaseDurationSeconds"]).unwrap_or(35);
            let patience = Duration::from_secs(u64::try_from(seconds).unwrap_or(35));
            let until = match self.seen.get(&sign) {
                // Written, and not renewed.
                Some(Seen::Lease { state: before, until }) if *before == state => *until,
                _ => Some(now + patience),
            };
            Seen::Lease { state, until: until.filter(|_| !holder.is_empty()) }
        } else {
            let left = number(&["status", "replicas"]).unwrap_or_default();
            Seen::Workload { wanted: number(&["spec", "replicas"]).unwrap_or(1).max(left) }
        };
        self.seen.insert(sign, seen);
    }
}

/// What is known of one owner's controllers.
#[derive(Clone)]
pub struct Neighbours {
    owner: &'static str,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    cluster: Cluster,
}

/// Whether somebody else follows the same objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Free,
    /// By which object that is known.
    Taken(Sign),
    /// Nobody can tell: the look failed.
    Unknown(String),
}

impl Neighbours {
    pub fn new(cluster: &Cluster, owner: &'static str) -> Neighbours {
        Neighbours { owner, state: Arc::default(), changed: Arc::default(), cluster: cluster.clone() }
    }

    fn watched(&self) -> impl Iterator<Item = Looked> + use<> {
        let owner = self.owner;
        CONTROLLERS.iter().filter(move |(whose, _)| *whose == owner).map(|(_, looked)| *looked)
    }

    /// Follows all signs; never ends.
    pub async fn follow(&self) {
        let all = self.watched().map(|looked| self.watch(looked));
        futures_util::future::join_all(all).await;
    }

    async fn watch(&self, looked: Looked) {
        let mut pause = Duration::from_secs(1);
        let mut listed = false;
        loop {
            if let Err(error) = self.look(looked, &mut listed).await {
                tracing::debug!(
                    kind = looked.kind,
                    error = error.text(),
                    "a look for other controllers ended"
                );
                if !listed {
                    self.state.lock().fault = Some(error.text());
                    self.changed.notify_one();
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(60));
            } else {
                pause = Duration::from_secs(1);
            }
        }
    }

    async fn look(&self, looked: Looked, listed: &mut bool) -> Result<(), Error> {
        let kind = self.cluster.kind(looked.api_version, looked.kind).await?;
        let (objects, mut revision) = self.cluster.list_selected(&kind, &looked.query()).await?;
        let sign = |object: &Value| Sign {
            api_version: looked.api_version.into(),
            kind: looked.kind.into(),
            namespace: object.str_at(&["metadata", "namespace"]).into(),
            name: object.str_at(&["metadata", "name"]).into(),
        };
        {
            let mut state = self.state.lock();
            let signs: Vec<Sign> = objects.iter().map(&sign).collect();
            let mine = |one: &Sign| {
                one.kind == looked.kind && (!looked.label.is_empty() || one.name == looked.value)
            };
            state.seen.retain(|one, _| !mine(one) || signs.contains(one));
            for (sign, object) in signs.into_iter().zip(&objects) {
                state.put(sign, object, Instant::now());
            }
            state.fault = None;
            if !std::mem::replace(listed, true) {
                state.listed += 1;
            }
        }
        self.changed.notify_one();
        loop {
            let stream = self.cluster.watch_selected(&kind, &looked.query(), &revision).await?;
            let mut stream = std::pin::pin!(stream);
            while let Some(event) = stream.next().await {
                match event? {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                        revision = object.str_at(&["metadata", "resourceVersion"]).into();
                        self.state.lock().put(sign(&object), &object, Instant::now());
                    }
                    WatchEvent::Deleted(object) => {
                        revision = object.str_at(&["metadata", "resourceVersion"]).into();
                        self.state.lock().seen.remove(&sign(&object));
                    }
                    WatchEvent::Bookmark(bookmark) => {
                        revision = bookmark.metadata.resource_version;
                        continue;
                    }
                    WatchEvent::Error(_) => return Ok(()),
                }
                self.changed.notify_one();
            }
        }
    }

    /// Waits until it stands otherwise than `known`; `None`: until anything is known.
    pub async fn changes(&self, known: Option<&Standing>) -> Standing {
        loop {
            let (now, until) = {
                let state = self.state.lock();
                let (live, until) = state.live(Instant::now());
                let now = match (live, &state.fault) {
                    (Some(sign), _) => Some(Standing::Taken(sign)),
                    (None, Some(fault)) => Some(Standing::Unknown(fault.clone())),
                    (None, None) => (state.listed == self.watched().count()).then_some(Standing::Free),
                };
                (now, until)
            };
            // Another sign of the same life is no news.
            let same = matches!((&now, known), (Some(Standing::Taken(_)), Some(Standing::Taken(_))))
                || now.as_ref() == known;
            match now {
                Some(now) if !same => return now,
                _ => {}
            }
            match until {
                Some(until) => {
                    let _ = tokio::time::timeout_at(until, self.changed.notified()).await;
                }
                None => self.changed.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(kind: &str) -> Sign {
        Sign { kind: kind.into(), name: "x".into(), ..Sign::default() }
    }

    fn parse(text: &str) -> Value {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn a_lease_counts_while_it_is_seen_renewed() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let lease = |time: &str, holder: &str| {
            parse(&format!(
                r#"{{"spec":{{"holderIdentity":"{holder}","renewTime":"{time}","leaseDurationSeconds":30}}}}"#
            ))
        };
        let mut state = State::default();
        // Whatever its clock says, it may live until it was not renewed for its own time.
        state.put(sign("Lease"), &lease("1970-01-01T00:00:00Z", "a"), start);
        assert!(state.live(after(29)).0.is_some());
        assert_eq!(state.live(after(29)).1, Some(after(30)));
        state.put(sign("Lease"), &lease("1970-01-01T00:00:00Z", "a"), after(20));
        assert_eq!(state.live(after(31)).0, None);
        state.put(sign("Lease"), &lease("1970-01-01T00:00:05Z", "a"), after(40));
        assert!(state.live(after(69)).0.is_some());
        // Let go of.
        state.put(sign("Lease"), &lease("1970-01-01T00:00:06Z", ""), after(41));
        assert_eq!(state.live(after(42)), (None, None));
    }

    #[test]
    fn a_workload_counts_until_it_is_scaled_down_and_its_pods_are_gone() {
        let now = Instant::now();
        let mut state = State::default();
        for text in [r#"{"spec":{}}"#, r#"{"spec":{"replicas":0},"status":{"replicas":1}}"#] {
            state.put(sign("Deployment"), &parse(text), now);
            assert_eq!(state.live(now).0, Some(sign("Deployment")), "{text}");
        }
        state.put(sign("Deployment"), &parse(r#"{"spec":{"replicas":0},"status":{}}"#), now);
        assert_eq!(state.live(now).0, None);
    }
}
