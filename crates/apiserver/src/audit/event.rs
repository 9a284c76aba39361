//! What is noted of one request while it runs, and the events that are made of it (k8s.io/apiserver/pkg/apis/audit/v1 `Event`;
//! fields in upstream's order).
//!
//! The last event of a request is made when the last holder of its [`Entry`] lets go: the answer, the stream of a watch, or the
//! task that carries an upgraded connection. A request that is cut off is noted all the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Value;
use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
use parking_lot::Mutex;

use super::Audit;
use super::policy::{Level, Note, Stage};
use crate::http::{Body, Info};
use crate::{Identity, codec, review};

/// Of a user agent (upstream's `maxUserAgentLength`).
const AGENT: usize = 1024;

/// See the module.
pub(crate) struct Entry {
    audit: Arc<Audit>,
    note: Note,
    info: Arc<Info>,
    /// The request streams: `ResponseStarted` is a stage of it.
    streams: bool,
    received: Timestamp,
    state: Mutex<State>,
}

/// What is known so far; each part in the form of the event.
#[derive(Default)]
struct State {
    id: String,
    uri: String,
    user: Value,
    impersonated: Option<Value>,
    sources: Vec<Value>,
    agent: String,
    /// What the request's object says of itself, where the path does not.
    namespace: String,
    name: String,
    uid: String,
    version: String,
    request: Option<Value>,
    status: Option<Value>,
    response: Option<Value>,
    annotations: BTreeMap<String, String>,
    started: bool,
    done: bool,
}

/// What a request shows of itself before anything is known of it.
pub(crate) struct Shown<'a> {
    pub id: String,
    pub uri: &'a http::Uri,
    pub headers: &'a http::HeaderMap,
    pub peer: Option<std::net::IpAddr>,
}

impl Entry {
    pub(super) fn new(
        audit: Arc<Audit>,
        note: Note,
        identity: Option<&Identity>,
        info: Arc<Info>,
        shown: Shown<'_>,
        streams: bool,
    ) -> Arc<Entry> {
        let text =
            |name: &str| shown.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut agent = text("user-agent").to_string();
        if agent.len() > AGENT {
            agent.truncate(agent.floor_char_boundary(AGENT));
            agent.push_str("...TRUNCATED");
        }
        let state = State {
            id: shown.id,
            uri: shown.uri.path_and_query().map_or_else(|| "/".into(), ToString::to_string),
            user: identity.map_or_else(Value::object, review::user_info),
            sources: sources(text("x-forwarded-for"), text("x-real-ip"), shown.peer),
            agent,
            ..State::default()
        };
        let received = audit.clock.now();
        let entry = Entry { audit, note, info, streams, received, state: Mutex::new(state) };
        entry.emit(&entry.state.lock(), Stage::RequestReceived);
        Arc::new(entry)
    }

    pub fn wants(&self, level: Level) -> bool {
        self.note.level >= level
    }

    /// The first text under a key stays.
    pub fn annotate(&self, key: &str, text: &str) {
        self.state.lock().annotations.entry(key.into()).or_insert_with(|| text.into());
    }

    pub fn impersonated(&self, identity: &Identity) {
        self.state.lock().impersonated = Some(review::user_info(identity));
    }

    /// The request was refused for who asks; `attempted`: by what they tried to prove it.
    pub fn unauthenticated(&self, attempted: &str) {
        let mut status = Value::object();
        status.set(&["metadata"], Value::object());
        let text = match attempted {
            "" => "Authentication failed, no credentials provided".to_string(),
            methods => format!("Authentication failed, attempted: {methods}"),
        };
        status.set(&["message"], text);
        self.state.lock().status = Some(status);
    }

    /// The body that came with the request.
    pub fn request(&self, content_type: &str, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let patch = self.info.verb == "patch";
        // What a patch or the options of a deletion carry is not the object's.
        let names = matches!(self.info.verb, "create" | "update");
        if !names && !self.wants(Level::Request) {
            return;
        }
        let Some(mut value) = read(content_type, bytes) else { return };
        let mut state = self.state.lock();
        if names {
            let own = |field: &str| value.str_at(&["metadata", field]).to_string();
            (state.namespace, state.name) = (own("namespace"), own("name"));
            (state.uid, state.version) = (own("uid"), own("resourceVersion"));
        }
        if self.wants(Level::Request) {
            if self.note.omit_managed_fields && !patch {
                strip(&mut value);
            }
            state.request = Some(value);
        }
    }

    /// Notes the answer; one that streams goes on holding the entry.
    pub fn answered(self: &Arc<Entry>, mut response: Response<Body>) -> Response<Body> {
        let code = response.status().as_u16();
        let open = matches!(response.body(), Body::Stream(_)) || code == 101;
        let shows = self.info.is_resource && self.wants(Level::RequestResponse) && !open;
        // A Status is noted on every level: of a failure, and of a deletion.
        let says = code >= 400 || self.info.verb.starts_with("delete");
        if shows && matches!(response.body(), Body::Lazy { .. }) {
            let body = std::mem::take(response.body_mut());
            *response.body_mut() = Body::One(whole(body));
        }
        let value = match response.body() {
            Body::One(bytes) if shows || says => answer(&response, bytes),
            _ => None,
        };
        {
            let mut state = self.state.lock();
            let mut status = state.status.take().unwrap_or_else(|| {
                let mut status = Value::object();
                status.set(&["metadata"], Value::object());
                status
            });
            if let Some(own) = value.as_ref().filter(|value| value.str_at(&["kind"]) == "Status" && says) {
                for field in ["status", "message", "reason", "details"] {
                    if let Some(part) = own.get(field).filter(|_| status.get(field).is_none()) {
                        status.set(&[field], part.clone());
                    }
                }
            }
            status.set(&["code"], i64::from(code));
            state.status = Some(status);
            if let Some(mut value) = value.filter(|_| shows) {
                if self.note.omit_managed_fields {
                    strip(&mut value);
                }
                state.response = Some(value);
            }
            if self.streams {
                state.started = true;
                self.emit(&state, Stage::ResponseStarted);
            }
        }
        match std::mem::take(response.body_mut()) {
            Body::Stream(chunks) => {
                *response.body_mut() = Body::Stream(Box::pin(Held { chunks, _entry: self.clone() }))
            }
            body => *response.body_mut() = body,
        }
        response
    }

    pub fn panicked(&self, text: &str) {
        let mut state = self.state.lock();
        let mut status = Value::object();
        status.set(&["metadata"], Value::object());
        status.set(&["status"], "Failure");
        status.set(&["message"], format!("APIServer panic'd: {text}"));
        status.set(&["reason"], "InternalError");
        status.set(&["code"], 500);
        state.status = Some(status);
        state.done = true;
        self.emit(&state, Stage::Panic);
    }

    fn emit(&self, state: &State, stage: Stage) {
        if self.note.omitted.contains(&stage) {
            return;
        }
        let at = if stage == Stage::RequestReceived { self.received } else { self.audit.clock.now() };
        let mut event = Value::object();
        event.set(&["kind"], "Event");
        event.set(&["apiVersion"], "audit.k8s.io/v1");
        event.set(&["level"], self.note.level.name());
        event.set(&["auditID"], state.id.as_str());
        event.set(&["stage"], stage.name());
        event.set(&["requestURI"], state.uri.as_str());
        event.set(&["verb"], self.info.verb);
        event.set(&["user"], state.user.clone());
        let mut part = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                event.set(&[name], value);
            }
        };
        part("impersonatedUser", state.impersonated.clone());
        part("sourceIPs", (!state.sources.is_empty()).then(|| Value::from(state.sources.clone())));
        part("userAgent", (!state.agent.is_empty()).then(|| Value::from(state.agent.as_str())));
        part("objectRef", self.info.is_resource.then(|| self.reference(state)));
        part("responseStatus", state.status.clone());
        part("requestObject", state.request.clone());
        part("responseObject", state.response.clone());
        event.set(&["requestReceivedTimestamp"], format!("{:.6}", self.received));
        event.set(&["stageTimestamp"], format!("{at:.6}"));
        if !state.annotations.is_empty() {
            for (key, text) in &state.annotations {
                event.set(&["annotations", key], text.as_str());
            }
        }
        self.audit.emit(&event, self.note.level);
    }

    fn reference(&self, state: &State) -> Value {
        let first = |one: &str, other: &str| if one.is_empty() { other.to_string() } else { one.to_string() };
        let info = &self.info;
        let mut reference = Value::object();
        for (field, text) in [
            ("resource", info.resource.clone()),
            ("namespace", first(&info.namespace, &state.namespace)),
            ("name", first(&info.name, &state.name)),
            ("uid", state.uid.clone()),
            ("apiGroup", info.group.clone()),
            ("apiVersion", info.version.clone()),
            ("resourceVersion", state.version.clone()),
            ("subresource", info.subresource.clone()),
        ] {
            if !text.is_empty() {
                reference.set(&[field], text);
            }
        }
        reference
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = std::mem::take(&mut *self.state.lock());
        if state.done {
            return;
        }
        // Nobody heard an answer: upstream notes that as a success too.
        if state.status.is_none() {
            let mut status = Value::object();
            status.set(&["metadata"], Value::object());
            status.set(&["status"], "Success");
            status.set(&["message"], "Connection closed early");
            status.set(&["code"], 200);
            state.status = Some(status);
            if self.streams && !state.started {
                self.emit(&state, Stage::ResponseStarted);
            }
        }
        self.emit(&state, Stage::ResponseComplete);
    }
}

/// A stream that holds its request's entry until it ends.
struct Held {
    chunks: crate::http::Chunks,
    _entry: Arc<Entry>,
}

impl futures_util::Stream for Held {
    type Item = Result<Bytes, crate::http::Aborted>;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.chunks.as_mut().poll_next(context)
    }
}

/// `X-Forwarded-For`, then `X-Real-Ip`, then the connection's own address, each if it is not the last already.
fn sources(forwarded: &str, real: &str, peer: Option<std::net::IpAddr>) -> Vec<Value> {
    let mut all: Vec<std::net::IpAddr> =
        forwarded.split(',').filter_map(|text| text.trim().parse().ok()).collect();
    if let Ok(real) = real.parse()
        && !all.contains(&real)
    {
        all.push(real);
    }
    if let Some(peer) = peer.map(|peer| peer.to_canonical())
        && all.last() != Some(&peer)
    {
        all.push(peer);
    }
    all.into_iter().map(|ip| Value::from(ip.to_string())).collect()
}

/// A body as a value, whatever its form.
fn read(content_type: &str, bytes: &[u8]) -> Option<Value> {
    match codec::media_of(content_type) {
        "application/vnd.kubernetes.protobuf" => api::protobuf::decode(bytes).ok(),
        media if media.contains("yaml") => codec::from_yaml(std::str::from_utf8(bytes).ok()?).ok(),
        _ => api::json::parse(bytes).ok(),
    }
}

fn answer(response: &Response<Body>, bytes: &[u8]) -> Option<Value> {
    use std::io::Read;
    let header =
        |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if header(http::header::CONTENT_ENCODING) == "gzip" {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).ok()?;
        return read(header(http::header::CONTENT_TYPE), &plain);
    }
    read(header(http::header::CONTENT_TYPE), bytes)
}

fn whole(body: Body) -> Bytes {
    match body {
        Body::Lazy { chunks, .. } => chunks.fold(Vec::new(), |mut all, chunk| {
            all.extend_from_slice(&chunk);
            all
        }),
        _ => Vec::new(),
    }
    .into()
}

/// Takes `managedFields` off an object, a list's items or a table's rows.
fn strip(value: &mut Value) {
    value.remove(&["metadata", "managedFields"]);
    for (list, path) in [
        ("items", &["metadata", "managedFields"][..]),
        ("rows", &["object", "metadata", "managedFields"][..]),
    ] {
        for item in value.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            item.remove(path);
        }
    }
}
