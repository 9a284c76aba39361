//! Fills a [`Cache`] from an API server over its client: list, then watch, for ever.
//!
//! A broken watch resumes from the last revision; 410 Gone lists anew. Failures back off with jitter, so that a
//! thousand nodes do not come back at once. Idle it holds one open request and nothing else.

use std::sync::Arc;
use std::time::Duration;

use api::{Object, Revision};
use futures_util::{AsyncBufReadExt, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cache::{About, Cache, Update};
use crate::wire;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {verb} {resource}")]
    Request { verb: &'static str, resource: api::Resource, source: Box<kube::Error> },
    #[error("the watch of {resource} broke")]
    Stream { resource: api::Resource, source: std::io::Error },
    #[error("the answer for {resource} is not what it should be")]
    Answer { resource: api::Resource, source: serde_json::Error },
    #[error("the watch of {resource} ended: {message}")]
    Refused { resource: api::Resource, code: u16, message: String },
    #[error(transparent)]
    Object(#[from] wire::Error),
}

/// A part of a resource: what a kubelet may see of the pods is `field: spec.nodeName=<its node>`.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub field: Option<String>,
    pub label: Option<String>,
}

const PAGE: usize = 500;
const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// Fills `cache` until the future is dropped.
pub async fn run(client: kube::Client, cache: Arc<Cache>, selection: Selection) {
    let reflector = Reflector { client, cache, selection };
    let mut from = None;
    let mut failures = 0u32;
    loop {
        match reflector.once(&mut from).await {
            Ok(()) => failures = 0,
            Err(error) => {
                if let Error::Refused { code: 410, .. } = error {
                    from = None;
                } else {
                    failures += 1;
                }
                tracing::debug!(error = %base::chain(&error), failures, "a reflector starts again");
            }
        }
        if failures > 0 {
            let delay = FIRST_DELAY.saturating_mul(1 << (failures - 1).min(16)).min(LONGEST_DELAY);
            tokio::time::sleep(delay.mul_f64(rand::random_range(0.5..1.5))).await;
        }
    }
}

struct Reflector {
    client: kube::Client,
    cache: Arc<Cache>,
    selection: Selection,
}

#[derive(Deserialize)]
struct Page<'a> {
    metadata: PageMeta,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: String,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Bookmark {
    metadata: PageMeta,
}

impl Reflector {
    fn about(&self) -> &About {
        self.cache.about()
    }

    fn path(&self, query: &str) -> String {
        let mut path = format!("{}?{query}", self.about().path("", ""));
        for (name, selector) in
            [("fieldSelector", &self.selection.field), ("labelSelector", &self.selection.label)]
        {
            if let Some(selector) = selector {
                path.push_str(&format!("&{name}={}", encode(selector)));
            }
        }
        path
    }

    fn request(path: &str) -> http::Request<Vec<u8>> {
        http::Request::get(path)
            .header(http::header::ACCEPT, "application/json")
            .body(Vec::new())
            .expect("because the path was percent-encoded")
    }

    /// Lists if `from` is not known, then watches until the watch ends.
    async fn once(&self, from: &mut Option<Revision>) -> Result<(), Error> {
        let start = match *from {
            Some(revision) => revision,
            None => {
                let (objects, revision) = self.list().await?;
                self.cache.fill(objects, revision);
                *from = Some(revision);
                revision
            }
        };
        self.watch(start, from).await
    }

    async fn list(&self) -> Result<(Vec<Arc<Object>>, Revision), Error> {
        let mut objects = Vec::new();
        let mut next = String::new();
        loop {
            let path = self.path(&format!("limit={PAGE}&continue={}", encode(&next)));
            let text =
                self.client.request_text(Self::request(&path)).await.map_err(|source| Error::Request {
                    verb: "list",
                    resource: self.about().resource.clone(),
                    source: Box::new(source),
                })?;
            let page: Page<'_> = serde_json::from_str(&text).map_err(|e| self.answer(e))?;
            for item in page.items.unwrap_or_default() {
                objects.push(wire::object(self.about(), item.get())?);
            }
            next = page.metadata.next;
            if next.is_empty() {
                return Ok((objects, self.revision(&page.metadata.resource_version)));
            }
        }
    }

    async fn watch(&self, start: Revision, from: &mut Option<Revision>) -> Result<(), Error> {
        let path = self.path(&format!("watch=true&allowWatchBookmarks=true&resourceVersion={start}"));
        let stream = self.client.request_stream(Self::request(&path)).await.map_err(|source| {
            let resource = self.about().resource.clone();
            match source {
                kube::Error::Api(status) if status.code == 410 => {
                    Error::Refused { resource, code: 410, message: status.message }
                }
                source => Error::Request { verb: "watch", resource, source: Box::new(source) },
            }
        })?;
        let mut lines = std::pin::pin!(stream.lines());
        while let Some(line) = lines.next().await {
            let line =
                line.map_err(|source| Error::Stream { resource: self.about().resource.clone(), source })?;
            let frame: Frame<'_> = serde_json::from_str(&line).map_err(|e| self.answer(e))?;
            match frame.kind {
                "BOOKMARK" => {
                    let bookmark: Bookmark =
                        serde_json::from_str(frame.object.get()).map_err(|e| self.answer(e))?;
                    let revision = self.revision(&bookmark.metadata.resource_version);
                    self.cache.advance(revision);
                    *from = Some(revision);
                }
                "ERROR" => {
                    let refusal: Refusal =
                        serde_json::from_str(frame.object.get()).map_err(|e| self.answer(e))?;
                    return Err(Error::Refused {
                        resource: self.about().resource.clone(),
                        code: refusal.code,
                        message: refusal.message,
                    });
                }
                kind => {
                    let object = wire::object(self.about(), frame.object.get())?;
                    *from = Some(object.revision);
                    self.cache.apply([match kind {
                        "DELETED" => Update::Delete(object),
                        _ => Update::Put(object),
                    }]);
                }
            }
        }
        Ok(())
    }

    fn answer(&self, source: serde_json::Error) -> Error {
        Error::Answer { resource: self.about().resource.clone(), source }
    }

    fn revision(&self, text: &str) -> Revision {
        Revision(text.parse().unwrap_or_default())
    }
}

/// Percent-encodes all but RFC 3986's unreserved characters.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
