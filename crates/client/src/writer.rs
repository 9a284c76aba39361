//! Writes of a role: JSON requests with a field manager, and after each a wait until the role's own cache shows it.
//!
//! Invariant: once a write is answered, the writer's next read of the cache sees it. So a reconciler never acts on a
//! state older than its own last write, and needs no table of expectations. Answers are not decoded beyond metadata.

use std::sync::Arc;
use std::time::Duration;

use api::{Key, Object, Resource, Revision};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::Caches;
use crate::cache::About;
use crate::informer::{Meta, decoded};

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Writer {
    client: kube::Client,
    caches: Caches,
    manager: &'static str,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server answered, and said no.
    #[error("cannot {verb} {target}: {}", .status.message)]
    Refused { verb: &'static str, target: String, status: Box<kube::core::Status> },
    #[error("cannot {verb} {target}")]
    Request { verb: &'static str, target: String, source: Box<kube::Error> },
    #[error("cannot {verb} {target}: the request cannot be built")]
    Build { verb: &'static str, target: String, source: http::Error },
    #[error("cannot {verb} {target}: it cannot be encoded")]
    Encode { verb: &'static str, target: String, source: serde_json::Error },
    #[error("{0} is not a resource that this process knows")]
    Unknown(Resource),
    #[error("the cache of {resource} did not show revision {revision} in time")]
    Stale { resource: Resource, revision: Revision },
}

/// The body of a PATCH.
#[derive(Clone, Copy, Debug)]
pub enum Patch<'a, T> {
    /// RFC 7386; works for every kind.
    Merge(&'a T),
    /// Upstream's own; built-in kinds only.
    Strategic(&'a T),
    /// RFC 6902.
    Json(&'a T),
    /// Server-side apply; `force` takes fields from other managers.
    Apply { body: &'a T, force: bool },
}

/// How dependents of a deleted object are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// What a delete insists on.
#[derive(Clone, Debug, Default)]
pub struct Delete<'a> {
    pub uid: Option<&'a str>,
    pub resource_version: Option<&'a str>,
    pub propagation: Option<Propagation>,
    pub grace: Option<i64>,
}

#[derive(Default, Deserialize)]
struct Answer {
    #[serde(default)]
    metadata: Meta,
}

/// How long a write waits for the cache. In process it is microseconds; a remote watch may be reconnecting.
const PATIENCE: Duration = Duration::from_secs(30);

impl Writer {
    /// `manager` is the field manager, as upstream's component names itself: `kube-controller-manager`.
    pub fn new(client: kube::Client, caches: Caches, manager: &'static str) -> Writer {
        Writer { client, caches, manager }
    }

    pub fn client(&self) -> &kube::Client {
        &self.client
    }

    /// What the server says of an object, past every cache; `None` if it is not there.
    pub async fn get(&self, key: &Key) -> Result<Option<Meta>, Error> {
        let path = self.about(&key.resource())?.path(key.namespace(), key.name());
        let none: Option<&()> = None;
        match self.send("get", key.to_string(), http::Method::GET, &path, JSON, none, None).await {
            Ok(meta) => Ok(Some(meta)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates; gives the metadata of what the server made of it.
    pub async fn create<T: Serialize>(
        &self,
        resource: &Resource,
        namespace: &str,
        body: &T,
    ) -> Result<Meta, Error> {
        let about = self.about(resource)?;
        let path = format!("{}?fieldManager={}", about.path(namespace, ""), self.manager);
        let target = format!("{resource} in {namespace:?}");
        self.send("create", target, http::Method::POST, &path, JSON, Some(body), Some(resource)).await
    }

    /// Posts to a subresource of an object: `binding`, `eviction`, `token`.
    pub async fn post<T: Serialize>(&self, key: &Key, subresource: &str, body: &T) -> Result<Meta, Error> {
        let about = self.about(&key.resource())?;
        let path = about.path(key.namespace(), key.name());
        let path = format!("{path}/{subresource}?fieldManager={}", self.manager);
        let target = format!("{subresource} of {key}");
        self.send("post", target, http::Method::POST, &path, JSON, Some(body), None).await
    }

    /// Patches an object, or a subresource of it (`status`) if one is named.
    pub async fn patch<T: Serialize>(
        &self,
        key: &Key,
        subresource: &str,
        patch: Patch<'_, T>,
    ) -> Result<Meta, Error> {
        let resource = key.resource();
        let about = self.about(&resource)?;
        let mut path = about.path(key.namespace(), key.name());
        if !subresource.is_empty() {
            path.push('/');
            path.push_str(subresource);
        }
        path.push_str("?fieldManager=");
        path.push_str(self.manager);
        let (kind, body) = match patch {
            Patch::Merge(body) => ("application/merge-patch+json", body),
            Patch::Strategic(body) => ("application/strategic-merge-patch+json", body),
            Patch::Json(body) => ("application/json-patch+json", body),
            Patch::Apply { body, force } => {
                path.push_str(if force { "&force=true" } else { "&force=false" });
                ("application/apply-patch+yaml", body)
            }
        };
        let target = key.to_string();
        self.send("patch", target, http::Method::PATCH, &path, kind, Some(body), Some(&resource)).await
    }

    /// Replaces an object, or a subresource of it, by itself with `change` merged in (RFC 7386), unless it changed
    /// meanwhile. Fields that no type of ours knows survive; upstream's roles often grant `update` and not `patch`.
    pub async fn update(
        &self,
        object: &Arc<Object>,
        subresource: &str,
        change: &serde_json::Value,
    ) -> Result<Meta, Error> {
        let encode = |source| Error::Encode { verb: "update", target: object.key.to_string(), source };
        let mut body: serde_json::Value = decoded(object).map_err(encode)?;
        crate::diff::apply(&mut body, change);
        self.put(&object.key, subresource, &body).await
    }

    /// Brings `status` from `old` to `new` if they differ, unless the object changed meanwhile. Gives whether anything
    /// was written; an object that is gone has no status to write.
    pub async fn status<T: Serialize>(&self, object: &Arc<Object>, old: &T, new: &T) -> Result<bool, Error> {
        let encode = |source| Error::Encode { verb: "update", target: object.key.to_string(), source };
        let Some(status) = crate::diff::typed(old, new).map_err(encode)? else { return Ok(false) };
        match self.update(object, "status", &json!({ "status": status })).await {
            Err(error) if error.is_not_found() => Ok(false),
            written => written.map(|_| true),
        }
    }

    /// Replaces a subresource: `finalize` of a namespace.
    pub async fn put<T: Serialize>(&self, key: &Key, subresource: &str, body: &T) -> Result<Meta, Error> {
        let resource = key.resource();
        let path = self.about(&resource)?.path(key.namespace(), key.name());
        let slash = if subresource.is_empty() { "" } else { "/" };
        let path = format!("{path}{slash}{subresource}?fieldManager={}", self.manager);
        let target = key.to_string();
        self.send("update", target, http::Method::PUT, &path, JSON, Some(body), Some(&resource)).await
    }

    pub async fn delete(&self, key: &Key, options: Delete<'_>) -> Result<Meta, Error> {
        let resource = key.resource();
        let path = self.about(&resource)?.path(key.namespace(), key.name());
        let body = options.body();
        let target = key.to_string();
        self.send("delete", target, http::Method::DELETE, &path, JSON, Some(&body), Some(&resource)).await
    }

    /// Deletes every object of a resource in one namespace.
    pub async fn delete_all(
        &self,
        resource: &Resource,
        namespace: &str,
        options: Delete<'_>,
    ) -> Result<(), Error> {
        let path = self.about(resource)?.path(namespace, "");
        let target = format!("all {resource} in {namespace:?}");
        let body = options.body();
        self.send("delete", target, http::Method::DELETE, &path, JSON, Some(&body), None).await.map(drop)
    }

    /// A request outside the resource paths above, as an Event in another version of its group.
    pub async fn raw<T: Serialize>(
        &self,
        verb: &'static str,
        method: http::Method,
        path: &str,
        content_type: &'static str,
        body: &T,
    ) -> Result<Meta, Error> {
        self.send(verb, path.to_string(), method, path, content_type, Some(body), None).await
    }

    pub fn manager(&self) -> &'static str {
        self.manager
    }

    fn about(&self, resource: &Resource) -> Result<About, Error> {
        let cache = self.caches.get(resource).ok_or_else(|| Error::Unknown(resource.clone()))?;
        Ok(cache.about().clone())
    }

    async fn send<T: Serialize>(
        &self,
        verb: &'static str,
        target: String,
        method: http::Method,
        path: &str,
        content_type: &'static str,
        body: Option<&T>,
        settle: Option<&Resource>,
    ) -> Result<Meta, Error> {
        let body = match body.map(serde_json::to_vec).transpose() {
            Ok(body) => body.unwrap_or_default(),
            Err(source) => return Err(Error::Encode { verb, target, source }),
        };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, content_type)
            .header(http::header::ACCEPT, JSON)
            .body(body);
        let request = match request {
            Ok(request) => request,
            Err(source) => return Err(Error::Build { verb, target, source }),
        };
        let answer: Answer = match self.client.request(request).await {
            Ok(answer) => answer,
            Err(kube::Error::Api(status)) => return Err(Error::Refused { verb, target, status }),
            Err(source) => return Err(Error::Request { verb, target, source: Box::new(source) }),
        };
        if let Some(resource) = settle {
            self.settle(resource, &answer.metadata.resource_version).await?;
        }
        Ok(answer.metadata)
    }

    async fn settle(&self, resource: &Resource, revision: &str) -> Result<(), Error> {
        let (Some(cache), Ok(revision)) = (self.caches.get(resource), revision.parse()) else {
            return Ok(());
        };
        let revision = Revision(revision);
        if !cache.synced() || cache.revision() >= revision {
            return Ok(());
        }
        tokio::time::timeout(PATIENCE, cache.wait_for(revision))
            .await
            .map_err(|_elapsed| Error::Stale { resource: resource.clone(), revision })
    }
}

const JSON: &str = "application/json";

impl Delete<'_> {
    fn body(&self) -> serde_json::Value {
        let mut body = json!({ "kind": "DeleteOptions", "apiVersion": "v1" });
        if self.uid.is_some() || self.resource_version.is_some() {
            let mut preconditions = serde_json::Map::new();
            for (field, value) in [("uid", self.uid), ("resourceVersion", self.resource_version)] {
                if let Some(value) = value {
                    preconditions.insert(field.into(), value.into());
                }
            }
            body["preconditions"] = preconditions.into();
        }
        if let Some(propagation) = self.propagation {
            body["propagationPolicy"] = match propagation {
                Propagation::Background => "Background",
                Propagation::Foreground => "Foreground",
                Propagation::Orphan => "Orphan",
            }
            .into();
        }
        if let Some(grace) = self.grace {
            body["gracePeriodSeconds"] = grace.into();
        }
        body
    }
}

impl Error {
    fn refusal(&self) -> Option<&kube::core::Status> {
        match self {
            Error::Refused { status, .. } => Some(status),
            _ => None,
        }
    }
    /// The HTTP code of the server's refusal.
    pub fn code(&self) -> Option<u16> {
        self.refusal().map(|status| status.code)
    }
    /// The `reason` of the server's refusal: `AlreadyExists`, `Conflict`, …
    pub fn reason(&self) -> &str {
        self.refusal().map_or("", |status| &status.reason)
    }
    /// The server's own words, or ours.
    pub fn message(&self) -> String {
        self.refusal().map_or_else(|| base::chain(self).to_string(), |status| status.message.clone())
    }
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409) && self.reason() == "Conflict"
    }
    pub fn already_exists(&self) -> bool {
        self.code() == Some(409) && self.reason() == "AlreadyExists"
    }
    /// The namespace is going away, so that nothing can be created in it.
    pub fn namespace_terminating(&self) -> bool {
        self.code() == Some(403) && self.message().contains("because it is being terminated")
    }
}

/// The error is a lost race, whatever wraps it.
pub(crate) fn is_conflict(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<Error>().is_some_and(Error::is_conflict) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Turns "it is gone already" into success.
pub fn gone_is_fine(result: Result<Meta, Error>) -> Result<(), Error> {
    match result {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}
