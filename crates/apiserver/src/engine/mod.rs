//! The verbs, written once for every kind (D1): a [`Call`] is one request to one resource.

pub mod create;
pub mod delete;
pub mod list;
pub mod options;
pub mod patch;
pub mod render;
pub mod update;
pub mod watch;
pub mod websocket;

use std::sync::Arc;

use api::kind::Version;
use api::{Key, Kind, Object, Revision};
use client::Cache;
use http::{HeaderMap, Method, Response, StatusCode};
use parking_lot::Mutex;

use crate::codec::Strictness;
use crate::http::{Accept, Body, Info, Query};
use crate::server::Inner;
use crate::status::{Result, Status};
use crate::{Identity, audit};

/// What a request's path leads to.
#[derive(Clone)]
pub(crate) struct Target {
    pub kind: Arc<Kind>,
    /// Place in [`Kind::versions`].
    pub version: usize,
    /// The row that stores the objects: `kind` itself, or another one (Event).
    pub storage: Arc<Kind>,
    /// `None`: nothing is stored.
    pub cache: Option<Arc<Cache>>,
}

impl Target {
    pub fn version(&self) -> &Version {
        &self.kind.versions[self.version]
    }
    pub fn cache(&self) -> Result<&Arc<Cache>> {
        self.cache.as_ref().ok_or_else(Status::no_such_path)
    }
    /// Objects are served as they are stored.
    pub fn is_storage(&self) -> bool {
        self.kind.is_storage(&self.version().name) && self.kind.converter.is_none()
    }
    /// A stored object in the storage version.
    pub fn stored_value(&self, object: &Object) -> Result<api::Value> {
        let mut value = object.value();
        if let Some(kind) = Some(&self.storage).filter(|kind| kind.converter.is_some()) {
            crate::codec::from_storage(kind, &kind.storage().name, &mut value)?;
        }
        Ok(value)
    }
    pub fn key(&self, namespace: &str, name: &str) -> Key {
        Key::new(&self.storage.resource, namespace, name)
    }
}

/// See the module.
pub(crate) struct Call {
    pub inner: Arc<Inner>,
    pub identity: Arc<Identity>,
    pub method: Method,
    pub headers: HeaderMap,
    pub info: Arc<Info>,
    pub query: Query,
    pub accept: Accept,
    pub target: Target,
    /// For the answer's `Warning` headers.
    pub warnings: Mutex<Vec<String>>,
    /// What the audit log notes of it.
    pub audit: Option<Arc<audit::Entry>>,
}

/// The options that every write takes.
#[derive(Clone, Debug)]
pub(crate) struct WriteOptions {
    pub dry_run: bool,
    pub manager: String,
    pub strictness: Strictness,
    pub force: bool,
    /// `managedFields` are accounted for already.
    pub applied: bool,
    /// Admission has judged what leads to this write, or the server writes for itself.
    pub admitted: bool,
}

impl Call {
    pub fn write_options(&self) -> Result<WriteOptions> {
        let apply = || crate::codec::media_of(self.content_type()) == "application/apply-patch+yaml";
        let apply = (self.info.verb == "patch").then(apply);
        let (dry_run, strictness) = options::write(&self.query, self.info.verb, apply)?;
        Ok(WriteOptions {
            dry_run,
            manager: self.manager(),
            strictness,
            force: self.query.flag("force"),
            applied: false,
            admitted: false,
        })
    }

    /// `fieldManager`, or the client's program as upstream takes it from the user agent.
    fn manager(&self) -> String {
        match self.query.get("fieldManager") {
            "" => {
                let agent = self.headers.get(http::header::USER_AGENT);
                let agent = agent.and_then(|agent| agent.to_str().ok()).unwrap_or_default();
                let program = agent.split('/').next().unwrap_or_default();
                if program.is_empty() { "unknown".into() } else { program.chars().take(128).collect() }
            }
            named => named.into(),
        }
    }

    pub fn content_type(&self) -> &str {
        let value = self.headers.get(http::header::CONTENT_TYPE);
        value.and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn warn(&self, warnings: impl IntoIterator<Item = String>) {
        let mut all = self.warnings.lock();
        for warning in warnings {
            if !all.contains(&warning) && all.len() < 64 {
                all.push(warning);
            }
        }
    }

    /// Notes something for the audit log; the first note under a key stays.
    pub fn annotate(&self, key: String, text: String) {
        if let Some(entry) = &self.audit {
            entry.annotate(&key, &text);
        }
    }

    /// The object that the path names, not older than any write that was answered before.
    pub async fn current(&self) -> Result<Arc<Object>> {
        let cache = self.target.cache()?;
        self.inner.catch_up(cache).await?;
        self.find(cache)
    }

    fn find(&self, cache: &Cache) -> Result<Arc<Object>> {
        cache
            .get(self.namespace(), &self.info.name)
            .ok_or_else(|| Status::not_found(&self.target.kind.resource, &self.info.name))
    }

    /// The namespace of the path, `""` for cluster-scoped kinds (also for namespaces themselves).
    pub fn namespace(&self) -> &str {
        if self.target.kind.namespaced { &self.info.namespace } else { "" }
    }

    pub async fn get(&self) -> Result<Response<Body>> {
        let cache = self.target.cache()?;
        let version = self.query.get("resourceVersion");
        match version {
            "" => self.inner.catch_up(cache).await?,
            "0" => {}
            asked => self.inner.wait_for(cache, one_version(asked)?).await?,
        }
        let object = self.find(cache)?;
        self.answer(StatusCode::OK, &object)
    }
}

/// A `resourceVersion` of a list's query.
pub(crate) fn parse_version(text: &str) -> Result<Revision> {
    text.parse()
        .map(Revision)
        .map_err(|_| Status::bad_request(format!("invalid resource version: {}", no_version(text))))
}

/// Of a get or a watch, where upstream lets the error of its storage through.
pub(crate) fn one_version(text: &str) -> Result<Revision> {
    text.parse().map(Revision).map_err(|_| Status::new(500, "", no_version(text)))
}

fn no_version(text: &str) -> String {
    let text = api::text::quote(text);
    format!("resourceVersion: Invalid value: {text}: strconv.ParseUint: parsing {text}: invalid syntax")
}
