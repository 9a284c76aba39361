//! `watch`: the cache's events as a stream, in the form that was asked for.
//!
//! Nobody waits for a watcher: it holds a place in the cache's ring and is cut off when that place is gone. There is no
//! task a watch; the connection drives the stream.
//!
//! What is sent to very many watchers costs more by the record than by the byte. So a watcher among so many that has just been
//! sent something looks again only after a while ([`pace`]), and events that came meanwhile share one record.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use api::object::Change;
use api::{Object, Revision, Value};
use bytes::{BufMut, Bytes, BytesMut};
use client::{Event, Subscription};
use futures_util::stream;
use http::{Response, StatusCode};
use rand::Rng;
use tokio::time::{Instant, Sleep, sleep_until};

use super::list::Selection;
use super::options::ListOptions;
use super::{Call, Target, one_version, render};
use crate::http::accept::{Accept, As, Media};
use crate::http::{Aborted, Body, respond};
use crate::status::{Result, Status};

const STREAMS: &str = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
/// How often a watch that asked for bookmarks gets one.
const BOOKMARKS: Duration = Duration::from_secs(60);
/// Bytes that are gathered before they are handed to the connection.
const GATHER: usize = 32 * 1024;
/// Frames that a watch keeps room for while nothing happens.
const FEW: usize = 4;
/// From so many watchers of one resource on they are paced. With 100 it saves a seventh of the processor's time and costs each
/// event six milliseconds; with 1,000 it saves nearly half, and writers are no longer held up (docs/bench.md).
const MANY: usize = 250;
/// What each of them adds to the time between two records of one.
const SHARE: Duration = Duration::from_micros(100);
/// Nobody waits longer than that, however many there are.
const LONGEST: Duration = Duration::from_millis(100);

/// How long a watcher that was sent something waits before it looks again.
fn pace(watchers: usize) -> Option<Duration> {
    let share = SHARE.saturating_mul(watchers.try_into().unwrap_or(u32::MAX));
    (watchers >= MANY).then(|| share.min(LONGEST))
}

pub(super) struct Watch {
    encoder: Encoder,
    selection: Selection,
    /// The namespace of the path.
    namespace: String,
    subscription: Option<Subscription>,
    pending: VecDeque<Bytes>,
    initial: std::vec::IntoIter<Arc<Object>>,
    /// Said after the initial objects, with the annotation of KEP-3157.
    initial_end: Option<Revision>,
    bookmarks: Option<Instant>,
    /// Events are looked for from then on; `None`: as they come.
    look_at: Option<Instant>,
    /// One for the watch's life: to set one up for each event is a good part of what an event costs.
    timer: Pin<Box<Sleep>>,
    end: Instant,
    last_bookmark: Revision,
    /// Nothing follows what is pending.
    over: bool,
    _open: crate::metrics::Open,
}

impl Call {
    pub async fn watch(self: Arc<Call>) -> Result<Response<Body>> {
        let watch = Watch::open(&self).await?;
        let content_type = match self.accept.media {
            Media::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
            _ => "application/json",
        };
        let chunks = stream::unfold(watch, |mut watch| async move {
            watch.next().await.map(|chunk| (Ok::<_, Aborted>(chunk), watch))
        });
        Ok(respond::body(StatusCode::OK, content_type, Body::stream(chunks)))
    }
}

impl Watch {
    /// What the call asks to watch, from the state or the revision that it names.
    pub async fn open(call: &Arc<Call>) -> Result<Watch> {
        let cache = call.target.cache()?.clone();
        let selection = Selection::of(call)?;
        let limits = &call.inner.config.limits;
        let options = ListOptions::of(&call.query, true)?;
        if call.accept.media == Media::Yaml {
            return Err(Status::not_acceptable(STREAMS));
        }
        call.includes()?;
        let timeout = match options.seconds {
            0 => limits.min_watch.mul_f64(1.0 + rand::rng().random::<f64>()),
            seconds => Duration::from_secs(seconds.min(86_400)),
        };
        let initial_events = options.initial == Some(true);
        let marks = call.query.flag("allowWatchBookmarks");
        let version = call.query.get("resourceVersion").to_string();
        let now = Instant::now();
        let mut watch = Watch {
            selection,
            namespace: call.namespace().to_string(),
            subscription: None,
            pending: VecDeque::new(),
            initial: Vec::new().into_iter(),
            initial_end: None,
            bookmarks: marks.then(|| now + BOOKMARKS),
            look_at: None,
            timer: Box::pin(sleep_until(now + timeout)),
            end: now + timeout,
            last_bookmark: Revision(0),
            over: false,
            _open: call.inner.metrics.watching(&call.info),
            encoder: Encoder {
                accept: call.accept,
                include: call.query.get("includeObject").to_string(),
                headers: true,
                plain: call.accept.media != Media::Protobuf
                    && call.accept.form == As::Object
                    && call.target.is_storage(),
                call: call.clone(),
            },
        };
        let asked = match version.as_str() {
            "" => None,
            text => Some(one_version(text)?),
        };
        let from_state = asked.is_none_or(|asked| asked.0 == 0) && options.initial.is_none();
        if from_state || initial_events {
            match asked {
                None => call.inner.catch_up(&cache).await?,
                Some(Revision(0)) => {}
                Some(asked) => call.inner.wait_for(&cache, asked).await?,
            }
            let (snapshot, subscription) = cache.watch();
            let objects =
                snapshot.range(&watch.namespace, None).filter(|object| watch.selection.matches(object));
            watch.initial = objects.cloned().collect::<Vec<_>>().into_iter();
            watch.initial_end = (initial_events && marks).then_some(snapshot.revision);
            watch.last_bookmark = snapshot.revision;
            watch.subscription = Some(subscription);
        } else {
            let from = match asked {
                None | Some(Revision(0)) => {
                    call.inner.catch_up(&cache).await?;
                    cache.revision()
                }
                Some(asked) => asked,
            };
            watch.last_bookmark = from;
            match cache.subscribe(from) {
                Ok(subscription) => watch.subscription = Some(subscription),
                Err(gone) => {
                    // As upstream: the stream opens, and says so.
                    let status = Status::too_old(gone.asked, gone.oldest);
                    watch.pending.push_back(watch.encoder.frame("ERROR", &status.value()));
                    watch.over = true;
                }
            }
        }
        Ok(watch)
    }

    /// The next bytes, of several events if they are there; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        let bytes = self.ready().await.then(|| self.gather());
        if self.pending.is_empty() {
            self.pending.shrink_to(FEW);
        }
        bytes
    }

    /// One event's bytes; `None` at the end. Cancel-safe.
    pub async fn frame(&mut self) -> Option<Bytes> {
        self.ready().await.then(|| self.pending.pop_front())?
    }

    /// There is a frame that needs no waiting.
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Waits until something is pending; false at the end.
    async fn ready(&mut self) -> bool {
        loop {
            self.fill_from_initial();
            if !self.pending.is_empty() {
                return true;
            }
            let Some(subscription) = self.subscription.as_mut().filter(|_| !self.over) else { return false };
            let wake = self.bookmarks.map_or(self.end, |at| at.min(self.end));
            let wake = self.look_at.map_or(wake, |at| at.min(wake));
            let timer = &mut self.timer;
            if timer.deadline() != wake {
                timer.as_mut().reset(wake);
            }
            let events = match self.look_at {
                Some(_) => {
                    timer.await;
                    self.look_at = None;
                    subscription.try_next()
                }
                None => tokio::select! {
                    biased;
                    events = subscription.next() => events,
                    () = timer => Ok(Vec::new()),
                },
            };
            let Ok(events) = events else {
                self.over = true;
                continue;
            };
            events.iter().for_each(|event| self.take(event));
            if !self.pending.is_empty() {
                self.look_at = self.pace().map(|pace| Instant::now() + pace);
            }
            self.tick();
        }
    }

    fn pace(&self) -> Option<Duration> {
        pace(self.subscription.as_ref()?.watchers())
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if now >= self.end {
            self.over = true;
        }
        if let Some(at) = self.bookmarks
            && (now >= at || self.over)
            && let Some(subscription) = &mut self.subscription
        {
            self.bookmarks = Some(now + BOOKMARKS);
            let progress = subscription.progress();
            // A quiet watch costs nothing: the same revision is not told twice.
            if progress > self.last_bookmark {
                self.last_bookmark = progress;
                let frame = self.encoder.bookmark(progress, false);
                self.pending.push_back(frame);
            }
        }
    }

    fn fill_from_initial(&mut self) {
        let mut size = 0;
        while size < GATHER {
            let Some(object) = self.initial.next() else {
                // Which gives its room back, for as long as the watch lives.
                self.initial = Vec::new().into_iter();
                if let Some(revision) = self.initial_end.take() {
                    let frame = self.encoder.bookmark(revision, true);
                    self.pending.push_back(frame);
                }
                return;
            };
            let frame = self.encoder.object("ADDED", &object);
            size += frame.len();
            self.pending.push_back(frame);
        }
    }

    /// Small frames become one buffer; there is at least one.
    fn gather(&mut self) -> Bytes {
        let first = self.pending.pop_front().unwrap_or_default();
        let mut size = first.len();
        let more = self.pending.iter().take_while(|frame| {
            size += frame.len();
            size <= GATHER
        });
        let more = more.count();
        if more == 0 {
            return first;
        }
        let size = first.len() + self.pending.iter().take(more).map(Bytes::len).sum::<usize>();
        let mut all = BytesMut::with_capacity(size);
        all.extend_from_slice(&first);
        self.pending.drain(..more).for_each(|frame| all.extend_from_slice(&frame));
        all.freeze()
    }

    fn wanted(&self, object: &Object) -> bool {
        (self.namespace.is_empty() || object.namespace() == self.namespace) && self.selection.matches(object)
    }

    fn take(&mut self, event: &Event) {
        let frame = match &event.change {
            Change::Put { object, before } => {
                let is = self.wanted(object);
                let was = before.as_ref().filter(|before| self.wanted(before));
                match (was, is) {
                    (None, true) => self.encoder.event("ADDED", event),
                    (Some(_), true) => self.encoder.event("MODIFIED", event),
                    (Some(before), false) => {
                        // It left the selection: its last state in it, at the revision of the change.
                        let kind = &self.encoder.call.target.storage;
                        match Object::from_stored(kind, &before.json, before.key.clone(), object.revision) {
                            Ok(last) => self.encoder.object("DELETED", &Arc::new(last)),
                            Err(_) => return,
                        }
                    }
                    (None, false) => return,
                }
            }
            Change::Delete { object, .. } if self.wanted(object) => self.encoder.event("DELETED", event),
            Change::Delete { .. } => return,
        };
        self.last_bookmark = self.last_bookmark.max(event.revision());
        self.pending.push_back(frame);
    }
}

/// Makes frames.
struct Encoder {
    call: Arc<Call>,
    accept: Accept,
    include: String,
    /// The next Table names its columns.
    headers: bool,
    /// Objects go out as the cache has them.
    plain: bool,
}

impl Encoder {
    fn target(&self) -> &Target {
        &self.call.target
    }

    /// One event, its form shared with the other watchers of the same form.
    fn event(&mut self, kind: &str, event: &Event) -> Bytes {
        let object = event.change.object();
        if self.plain {
            return json_frame(kind, &object.json);
        }
        let headers = std::mem::take(&mut self.headers);
        let form = self.form_number(headers);
        let encoded = event.form(form, || self.encode(object, headers).unwrap_or_default());
        if encoded.is_empty() {
            return self.unconverted(object);
        }
        self.wrap(kind, &encoded)
    }

    fn object(&mut self, kind: &str, object: &Arc<Object>) -> Bytes {
        if self.plain {
            return json_frame(kind, &object.json);
        }
        let headers = std::mem::take(&mut self.headers);
        match self.encode(object, headers) {
            Ok(encoded) => self.wrap(kind, &encoded),
            Err(status) => self.frame("ERROR", &status.value()),
        }
    }

    /// The error of an object that cannot be had in the version that is watched.
    fn unconverted(&self, object: &Object) -> Bytes {
        let status = match self.target().in_version(object) {
            Err(status) => status,
            Ok(_) => Status::internal("unable to encode watch object"),
        };
        self.frame("ERROR", &status.value())
    }

    /// Different numbers for different bytes of one object.
    fn form_number(&self, headers: bool) -> u64 {
        use std::hash::{Hash, Hasher};
        let mut hasher = std::hash::DefaultHasher::new();
        let target = self.target();
        (target.kind.resource.group.as_str(), target.version, self.accept.media as u8).hash(&mut hasher);
        (self.accept.form as u8, headers && self.accept.form == As::Table, &self.include).hash(&mut hasher);
        self.accept.beta.hash(&mut hasher);
        hasher.finish()
    }

    fn encode(&self, object: &Arc<Object>, headers: bool) -> Result<Bytes> {
        let mut value = match self.accept.form {
            As::Object => self.target().in_version(object)?,
            As::Metadata => render::metadata_only(object, true),
            As::Table => {
                let now = self.call.inner.clock.now().as_second();
                let row = self.target().table_row(object, now, &self.include)?;
                self.target().table(vec![row], object.revision.0, headers)
            }
        };
        self.accept.dated(&mut value);
        Ok(self.bytes(&value))
    }

    fn bytes(&self, value: &Value) -> Bytes {
        match self.accept.media {
            Media::Protobuf => match crate::codec::to_protobuf(value) {
                Some(bytes) => bytes.into(),
                None => value.to_json().into(),
            },
            _ => api::json::to_vec(value).into(),
        }
    }

    fn wrap(&self, kind: &str, encoded: &Bytes) -> Bytes {
        match self.accept.media {
            Media::Protobuf => crate::codec::watch_frame(kind, encoded),
            _ => json_frame(kind, encoded),
        }
    }

    fn frame(&self, kind: &str, value: &Value) -> Bytes {
        self.wrap(kind, &self.bytes(value))
    }

    fn bookmark(&self, revision: Revision, initial_end: bool) -> Bytes {
        let target = self.target();
        let mut value = Value::object();
        let (kind, version) = match self.accept.form {
            As::Metadata => ("PartialObjectMetadata".to_string(), "meta.k8s.io/v1".to_string()),
            _ => (target.kind.kind.to_string(), target.kind.api_version(&target.version().name)),
        };
        value.set(&["kind"], kind);
        value.set(&["apiVersion"], version);
        value.set(&["metadata", "resourceVersion"], revision.to_string());
        if initial_end {
            value.set(&["metadata", "annotations", "k8s.io/initial-events-end"], "true");
        }
        if let (As::Object, Some(of)) = (self.accept.form, api::schema::lookup(target.version().type_name)) {
            let _ = api::decode::normalize(of, &mut value);
        }
        if self.accept.form == As::Table {
            let now = self.call.inner.clock.now().as_second();
            let row = target.bookmark_row(value, now, &self.include);
            value = target.table(vec![row], revision.0, false);
        }
        self.accept.dated(&mut value);
        self.frame("BOOKMARK", &value)
    }
}

fn json_frame(kind: &str, object: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(object.len() + kind.len() + 24);
    frame.put_slice(b"{\"type\":\"");
    frame.put_slice(kind.as_bytes());
    frame.put_slice(b"\",\"object\":");
    frame.put_slice(object);
    frame.put_slice(b"}\n");
    frame.freeze()
}
