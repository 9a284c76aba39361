//! Events that people read: sent in the background, counted instead of repeated, bounded for each object.
//!
//! Recording never waits and never fails its caller: with a full queue or an unreachable server an event is lost and
//! counted. Two forms, as upstream's components send them: core/v1 with a count, events.k8s.io/v1 with a series.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::{Clock, Tasks};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::informer::Meta;
use crate::writer::{Error, Writer};

/// The object that an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Regarding {
    pub api_version: String,
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// `spec.containers{web}` for an event about one container.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field_path: String,
}

impl Regarding {
    /// The object that `meta` is the metadata of.
    pub fn of(api_version: &str, kind: &str, meta: &Meta) -> Regarding {
        Regarding {
            api_version: api_version.into(),
            kind: kind.into(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            field_path: String::new(),
        }
    }

    /// The object that a typed value is.
    pub fn typed<K>(object: &K) -> Regarding
    where
        K: k8s_openapi::Resource
            + k8s_openapi::Metadata<Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>,
    {
        let meta = object.metadata();
        Regarding {
            api_version: K::API_VERSION.into(),
            kind: K::KIND.into(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            field_path: String::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    Normal,
    Warning,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        }
    }
}

/// Which of the API's two forms a component sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// core/v1: kubelet and controllers.
    Core,
    /// events.k8s.io/v1: scheduler.
    Series,
}

struct Note {
    regarding: Regarding,
    related: Option<Regarding>,
    severity: Severity,
    reason: String,
    action: String,
    message: String,
    at: Timestamp,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    notes: mpsc::Sender<Note>,
    clock: Clock,
    lost: Arc<AtomicU64>,
}

/// Who records: `component` is upstream's name (`kubelet`, `default-scheduler`), `instance` the node or host.
#[derive(Clone, Debug)]
pub struct Source {
    pub component: String,
    pub instance: String,
}

impl Recorder {
    pub fn start(writer: Writer, source: Source, form: Form, clock: Clock, tasks: &Tasks) -> Recorder {
        let (notes, mut inbox) = mpsc::channel::<Note>(256);
        tasks.spawn("events", async move {
            let mut sender = Sender { writer, source, form, sent: HashMap::new(), budgets: HashMap::new() };
            while let Some(note) = inbox.recv().await {
                sender.send(note).await;
            }
        });
        Recorder { notes, clock, lost: Arc::default() }
    }

    /// Records without waiting.
    pub fn record(
        &self,
        regarding: &Regarding,
        severity: Severity,
        reason: &str,
        action: &str,
        message: impl Into<String>,
    ) {
        self.record_with(regarding, None, severity, reason, action, message);
    }

    /// As [`Recorder::record`], naming a second object that the event is about.
    pub fn record_with(
        &self,
        regarding: &Regarding,
        related: Option<Regarding>,
        severity: Severity,
        reason: &str,
        action: &str,
        message: impl Into<String>,
    ) {
        let mut message = message.into();
        if message.len() > LONGEST {
            let end = (0..=LONGEST).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
            message.truncate(end);
        }
        let note = Note {
            regarding: regarding.clone(),
            related,
            severity,
            reason: reason.into(),
            action: action.into(),
            message,
            at: self.clock.now(),
        };
        if self.notes.try_send(note).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn normal(&self, regarding: &Regarding, reason: &str, message: impl Into<String>) {
        self.record(regarding, Severity::Normal, reason, reason, message);
    }
    pub fn warning(&self, regarding: &Regarding, reason: &str, message: impl Into<String>) {
        self.record(regarding, Severity::Warning, reason, reason, message);
    }

    /// Events that could not be queued.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// The API takes no longer note.
const LONGEST: usize = 1024;
/// Different events and objects that are remembered; beyond it the memory starts anew.
const REMEMBERED: usize = 512;
/// Upstream's spam filter: 25 events at once for an object, then one in five minutes.
const BURST: f64 = 25.0;
const REFILL_SECONDS: f64 = 300.0;

struct Sender {
    writer: Writer,
    source: Source,
    form: Form,
    sent: HashMap<String, Sent>,
    budgets: HashMap<String, (f64, Timestamp)>,
}

struct Sent {
    name: String,
    count: i64,
    last: Timestamp,
}

impl Sender {
    async fn send(&mut self, note: Note) {
        if !self.allowed(&note) {
            return;
        }
        let same = format!(
            "{}\0{}\0{}\0{}\0{}\0{}",
            note.regarding.uid,
            note.regarding.name,
            note.regarding.field_path,
            note.severity.as_str(),
            note.reason,
            note.message
        );
        if let Some(sent) = self.sent.get_mut(&same) {
            // Upstream closes a series after six minutes of silence; the next event is a new one.
            if self.form == Form::Core || seconds(sent.last, note.at) < 360.0 {
                sent.count += 1;
                sent.last = note.at;
                let (name, count) = (sent.name.clone(), sent.count);
                match self.repeat(&note, &name, count).await {
                    Ok(()) => return,
                    Err(error) if error.is_not_found() => {}
                    Err(error) => return told(&error),
                }
            }
        }
        let name = format!("{}.{:x}", note.regarding.name, note.at.as_nanosecond());
        match self.first(&note, &name).await {
            Ok(()) => {
                if self.sent.len() >= REMEMBERED {
                    self.sent.clear();
                }
                self.sent.insert(same, Sent { name, count: 1, last: note.at });
            }
            // The namespace is going away, or was never there: nobody will read it.
            Err(error) if error.is_not_found() || error.namespace_terminating() => {}
            Err(error) => told(&error),
        }
    }

    fn allowed(&mut self, note: &Note) -> bool {
        if self.budgets.len() >= REMEMBERED {
            self.budgets.clear();
        }
        let of = format!("{}\0{}", note.regarding.uid, note.regarding.name);
        let (left, at) = self.budgets.entry(of).or_insert((BURST, note.at));
        *left = (*left + seconds(*at, note.at) / REFILL_SECONDS).min(BURST);
        *at = note.at;
        let enough = *left >= 1.0;
        if enough {
            *left -= 1.0;
        }
        enough
    }

    fn path(&self, note: &Note) -> String {
        let api = match self.form {
            Form::Core => "/api/v1",
            Form::Series => "/apis/events.k8s.io/v1",
        };
        format!("{api}/namespaces/{}/events", namespace(note))
    }

    async fn first(&self, note: &Note, name: &str) -> Result<(), Error> {
        let body = body(self.form, &self.source, note, name);
        let path = format!("{}?fieldManager={}", self.path(note), self.writer.manager());
        self.writer.raw("create", http::Method::POST, &path, "application/json", &body).await.map(drop)
    }

    async fn repeat(&self, note: &Note, name: &str, count: i64) -> Result<(), Error> {
        let body = match self.form {
            Form::Core => json!({ "count": count, "lastTimestamp": second(note.at) }),
            Form::Series => {
                json!({ "series": { "count": count, "lastObservedTime": micro(note.at) } })
            }
        };
        let path = format!("{}/{name}?fieldManager={}", self.path(note), self.writer.manager());
        let kind = "application/merge-patch+json";
        self.writer.raw("patch", http::Method::PATCH, &path, kind, &body).await.map(drop)
    }
}

fn told(error: &Error) {
    tracing::debug!(error = %base::chain(error), "an event was lost");
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    (to.as_millisecond() - from.as_millisecond()) as f64 / 1000.0
}

/// `metav1.Time`.
pub fn second(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

/// `metav1.MicroTime`: always six digits.
pub fn micro(at: Timestamp) -> String {
    format!("{at:.6}")
}

/// Events about cluster-scoped objects live in `default`.
fn namespace(note: &Note) -> &str {
    if note.regarding.namespace.is_empty() { "default" } else { &note.regarding.namespace }
}

fn body(form: Form, source: &Source, note: &Note, name: &str) -> Value {
    let metadata = json!({ "name": name, "namespace": namespace(note) });
    let mut body = match form {
        Form::Core => json!({
            "kind": "Event", "apiVersion": "v1", "metadata": metadata,
            "involvedObject": note.regarding,
            "reason": note.reason, "message": note.message, "type": note.severity.as_str(),
            "source": { "component": source.component, "host": source.instance },
            "firstTimestamp": second(note.at), "lastTimestamp": second(note.at), "count": 1,
            "reportingComponent": source.component, "reportingInstance": source.instance,
        }),
        Form::Series => json!({
            "kind": "Event", "apiVersion": "events.k8s.io/v1", "metadata": metadata,
            "eventTime": micro(note.at), "regarding": note.regarding,
            "reason": note.reason, "action": note.action, "note": note.message,
            "type": note.severity.as_str(),
            "reportingController": source.component, "reportingInstance": source.instance,
        }),
    };
    if let Some(related) = &note.related {
        body["related"] = json!(related);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_upstream_writes_them() {
        let at: Timestamp = "2026-11-21T12:00:00.5Z".parse().unwrap();
        assert_eq!(second(at), "2026-11-21T12:00:00Z");
        assert_eq!(micro(at), "2026-11-21T12:00:00.500000Z");
    }
}
