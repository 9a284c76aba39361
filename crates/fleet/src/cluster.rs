//! Requests to an API server by kind and name: discovery, get, apply, patch, delete, metadata lists and watches.
//!
//! Every write of the engine is a server-side apply as [`MANAGER`], forced on exactly the fields of the manifest; the
//! only others are deletions and status patches.

use std::collections::HashMap;
use std::sync::Arc;

use api::Value;
use futures_util::{Stream, StreamExt};
use http::{Method, Request};
use kube::core::WatchEvent;
use parking_lot::Mutex;
use serde::Deserialize;
use smol_str::SmolStr;

/// The engine's field manager.
pub const MANAGER: &str = "skiff-fleet";

/// A request that did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {what}")]
    Request { what: String, source: Box<kube::Error> },
    #[error(
        "the API server could not find the requested resource: no kind {kind} in {api_version}; {}",
        instead(api_version)
    )]
    Kind { api_version: String, kind: String },
}

/// What to do about a kind that is not served: nobody here carries out the other kinds of Argo CD and Flux.
fn instead(api_version: &str) -> &'static str {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    match group {
        "argoproj.io" => "skiff takes Application and AppProject: commit the Applications that it would make",
        group if group.ends_with(".toolkit.fluxcd.io") => {
            "of Flux, skiff takes GitRepository and Kustomization; take it out, or let its own controller run"
        }
        _ => "install its CustomResourceDefinition first",
    }
}

impl Error {
    /// The HTTP status, if the server answered with one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Error::Request { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            Error::Kind { .. } => None,
        }
    }
    /// What the server said, or the whole chain.
    pub fn text(&self) -> String {
        if let Error::Request { source, .. } = self
            && let kube::Error::Api(status) = source.as_ref()
        {
            return status.message.clone();
        }
        base::chain(self).to_string()
    }
}

/// A served kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    pub group: SmolStr,
    pub version: SmolStr,
    pub kind: SmolStr,
    pub plural: SmolStr,
    pub namespaced: bool,
}

impl Kind {
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
    fn collection(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let api_version = self.api_version();
        if self.namespaced && !namespace.is_empty() {
            format!("{root}/{api_version}/namespaces/{namespace}/{}", self.plural)
        } else {
            format!("{root}/{api_version}/{}", self.plural)
        }
    }
    fn object(&self, namespace: &str, name: &str) -> String {
        format!("{}/{}", self.collection(namespace), urlencode(name))
    }
}

fn urlencode(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes()
        .map(|byte| if plain(&byte) { (byte as char).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// An object's metadata, as lists and watches of metadata give it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Meta {
    #[serde(default)]
    pub metadata: Metadata,
}

/// See [`Meta`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    pub name: String,
    pub namespace: String,
    pub uid: SmolStr,
    pub resource_version: String,
    pub deletion_timestamp: Option<String>,
    pub annotations: HashMap<String, String>,
    pub labels: HashMap<String, String>,
    pub managed_fields: Vec<ManagedFields>,
    pub owner_references: Vec<OwnerReference>,
}

/// Only whether it controls.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OwnerReference {
    pub controller: bool,
}

/// One manager's fields, as they came.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ManagedFields {
    pub manager: String,
    pub operation: String,
    pub subresource: String,
    pub fields_v1: Option<Box<serde_json::value::RawValue>>,
}

impl Metadata {
    /// Of a whole object.
    pub fn of(object: &Value) -> Metadata {
        let part = object.get("metadata").map(Value::to_json).unwrap_or_default();
        serde_json::from_slice(&part).unwrap_or_default()
    }

    /// A digest of the fields that we own, by apply or by replacing; empty if we own none.
    pub fn our_fields(&self) -> SmolStr {
        let ours = self
            .managed_fields
            .iter()
            .filter(|entry| entry.manager == MANAGER && entry.subresource.is_empty());
        let texts: Vec<&str> =
            ours.filter_map(|entry| entry.fields_v1.as_ref()).map(|fields| fields.get()).collect();
        if texts.is_empty() {
            SmolStr::default()
        } else {
            crate::hash::short(texts.concat().as_bytes()).into()
        }
    }
}

#[derive(Deserialize)]
struct MetaList {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(default)]
    items: Vec<Meta>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ListMeta {
    resource_version: String,
    r#continue: String,
}

/// How an object is applied or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Apply {
    pub dry_run: bool,
    /// Unknown fields are errors, and are ignored otherwise.
    pub strict: bool,
}

impl Apply {
    /// The options of the request.
    fn query(self) -> String {
        let validation = if self.strict { "Strict" } else { "Ignore" };
        let dry = if self.dry_run { "&dryRun=All" } else { "" };
        format!("fieldManager={MANAGER}&fieldValidation={validation}{dry}")
    }
}

/// Namespace and name of an object.
fn place(object: &Value) -> (&str, &str) {
    (object.str_at(&["metadata", "namespace"]), object.str_at(&["metadata", "name"]))
}

/// The objects of a list, taken out of it.
fn items(list: &mut Value) -> Vec<Value> {
    match list.remove(&["items"]) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
    /// As whom requests are made; `None`: as the client is.
    user: Option<Arc<str>>,
    kinds: Arc<Mutex<HashMap<String, Vec<Kind>>>>,
}

const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
/// Objects a page of a list.
const PAGE: usize = 200;

impl Cluster {
    pub fn new(client: kube::Client) -> Cluster {
        Cluster { client, user: None, kinds: Arc::default() }
    }

    /// The same cluster, asked as another user (`Impersonate-User`); what is known of kinds is shared.
    pub fn acting_as(&self, user: Option<&str>) -> Cluster {
        Cluster { user: user.map(Into::into), ..self.clone() }
    }

    async fn send<T: serde::de::DeserializeOwned>(
        &self,
        what: impl FnOnce() -> String,
        request: http::Result<Request<Vec<u8>>>,
    ) -> Result<T, Error> {
        let request = request
            .map_err(|error| kube::Error::BuildRequest(kube::core::request::Error::BuildRequest(error)));
        let sent = match request.and_then(|request| self.signed(request)) {
            Ok(request) => self.client.request::<T>(request).await,
            Err(error) => Err(error),
        };
        sent.map_err(|source| Error::Request { what: what(), source: Box::new(source) })
    }

    fn signed(&self, mut request: Request<Vec<u8>>) -> Result<Request<Vec<u8>>, kube::Error> {
        if let Some(user) = &self.user {
            let value = http::HeaderValue::from_str(user).map_err(|error| {
                kube::Error::BuildRequest(kube::core::request::Error::BuildRequest(error.into()))
            })?;
            request.headers_mut().insert("impersonate-user", value);
        }
        Ok(request)
    }

    /// The kind, asked of the server once and remembered; asked again when it is not known.
    pub async fn kind(&self, api_version: &str, kind: &str) -> Result<Kind, Error> {
        if let Some(known) = self.known(api_version, kind) {
            return Ok(known);
        }
        let root = if api_version.contains('/') { "/apis" } else { "/api" };
        let request = Request::get(format!("{root}/{api_version}")).body(Vec::new());
        let list: Value = match self.send(|| format!("discover {api_version}"), request).await {
            Ok(list) => list,
            Err(error) if error.code() == Some(404) => Value::Null,
            Err(error) => return Err(error),
        };
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resources = list.get("resources").and_then(Value::as_array).unwrap_or_default();
        let kinds = resources
            .iter()
            .filter(|resource| !resource.str_at(&["name"]).contains('/'))
            .map(|resource| Kind {
                group: group.into(),
                version: version.into(),
                kind: resource.str_at(&["kind"]).into(),
                plural: resource.str_at(&["name"]).into(),
                namespaced: resource.get("namespaced").and_then(Value::as_bool).unwrap_or_default(),
            })
            .collect();
        self.kinds.lock().insert(api_version.into(), kinds);
        self.known(api_version, kind)
            .ok_or_else(|| Error::Kind { api_version: api_version.into(), kind: kind.into() })
    }

    fn known(&self, api_version: &str, kind: &str) -> Option<Kind> {
        self.kinds.lock().get(api_version)?.iter().find(|one| one.kind == kind).cloned()
    }

    /// Forgets what is known of kinds: a CRD may have changed.
    pub fn forget_kinds(&self) {
        self.kinds.lock().clear();
    }

    pub async fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Option<Value>, Error> {
        let request = Request::get(kind.object(namespace, name)).body(Vec::new());
        match self.send(|| format!("get {} {name}", kind.plural), request).await {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.code() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One object, or without a name the list of all as the server gives it: what a template's `lookup` asks for.
    pub async fn look_up(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Option<Value>, Error> {
        if !name.is_empty() {
            return self.get(kind, namespace, name).await;
        }
        let request = Request::get(kind.collection(namespace)).body(Vec::new());
        self.send(|| format!("list {}", kind.plural), request).await.map(Some)
    }

    /// Objects with a label selector, whole. For few: Secrets of repositories, say.
    pub async fn list(&self, kind: &Kind, namespace: &str, selector: &str) -> Result<Vec<Value>, Error> {
        let uri = format!("{}?labelSelector={}", kind.collection(namespace), urlencode(selector));
        let request = Request::get(uri).body(Vec::new());
        let mut list: Value = self.send(|| format!("list {}", kind.plural), request).await?;
        Ok(items(&mut list))
    }

    /// Applies a manifest with force; gives back the object.
    pub async fn apply(&self, kind: &Kind, manifest: &Value, how: Apply) -> Result<Value, Error> {
        let (namespace, name) = place(manifest);
        let uri = format!("{}?{}&force=true", kind.object(namespace, name), how.query());
        let request = Request::patch(uri)
            .header("content-type", "application/apply-patch+yaml")
            .header("accept", "application/json")
            .body(manifest.to_json());
        self.send(|| format!("apply {} {name}", kind.plural), request).await
    }

    /// Writes an object whole over the one that is there (its resourceVersion says which).
    pub async fn replace(&self, kind: &Kind, object: &Value, how: Apply) -> Result<Value, Error> {
        let (namespace, name) = place(object);
        let uri = format!("{}?{}", kind.object(namespace, name), how.query());
        let request = Request::put(uri).header("content-type", "application/json").body(object.to_json());
        self.send(|| format!("replace {} {name}", kind.plural), request).await
    }

    /// Creates an object as it is; for events, hooks with a generated name, and replacing.
    pub async fn create(&self, kind: &Kind, namespace: &str, object: &Value) -> Result<Value, Error> {
        let uri = format!("{}?fieldManager={MANAGER}", kind.collection(namespace));
        let request = Request::post(uri).header("content-type", "application/json").body(object.to_json());
        self.send(|| format!("create {}", kind.plural), request).await
    }

    pub async fn merge_patch(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Value, Error> {
        self.patch(kind, namespace, name, "", "application/merge-patch+json", patch).await
    }

    /// A merge patch of the status subresource.
    pub async fn status_patch(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Value, Error> {
        self.patch(kind, namespace, name, "/status", "application/merge-patch+json", patch).await
    }

    pub async fn json_patch(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Value, Error> {
        self.patch(kind, namespace, name, "", "application/json-patch+json", patch).await
    }

    /// A patch by another field manager: a merge patch if it is an object, else a JSON patch.
    pub async fn patch_as(
        &self,
        manager: &str,
        kind: &Kind,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Value, Error> {
        let content = if patch.as_map().is_some() { "merge-patch" } else { "json-patch" };
        let content = format!("application/{content}+json");
        self.patch_by(manager, kind, namespace, (name, ""), &content, patch).await
    }

    async fn patch(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        subresource: &str,
        content: &str,
        patch: &Value,
    ) -> Result<Value, Error> {
        self.patch_by(MANAGER, kind, namespace, (name, subresource), content, patch).await
    }

    async fn patch_by(
        &self,
        manager: &str,
        kind: &Kind,
        namespace: &str,
        (name, subresource): (&str, &str),
        content: &str,
        patch: &Value,
    ) -> Result<Value, Error> {
        let uri = format!("{}{subresource}?fieldManager={manager}", kind.object(namespace, name));
        let request = Request::builder()
            .method(Method::PATCH)
            .uri(uri)
            .header("content-type", content)
            .body(patch.to_json());
        self.send(|| format!("patch {} {name}", kind.plural), request).await
    }

    /// Deletes the object with that uid; `false`: it is gone, or another one took its name.
    pub async fn delete(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        uid: &str,
        propagation: &str,
    ) -> Result<bool, Error> {
        let mut options = Value::object();
        options.set(&["apiVersion"], "v1");
        options.set(&["kind"], "DeleteOptions");
        options.set(&["propagationPolicy"], propagation);
        if !uid.is_empty() {
            options.set(&["preconditions", "uid"], uid);
        }
        let request = Request::delete(kind.object(namespace, name))
            .header("content-type", "application/json")
            .body(options.to_json());
        match self.send::<Value>(|| format!("delete {} {name}", kind.plural), request).await {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.code(), Some(404 | 409)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Calls `each` for the metadata of every object of a kind (in a namespace, or everywhere); gives the revision.
    pub async fn each_metadata(
        &self,
        kind: &Kind,
        namespace: &str,
        mut each: impl FnMut(Metadata),
    ) -> Result<String, Error> {
        let mut next = String::new();
        loop {
            let page =
                if next.is_empty() { String::new() } else { format!("&continue={}", urlencode(&next)) };
            let uri = format!("{}?limit={PAGE}{page}", kind.collection(namespace));
            let request = Request::get(uri).header("accept", METADATA_LIST).body(Vec::new());
            let list: MetaList = self.send(|| format!("list {}", kind.plural), request).await?;
            list.items.into_iter().for_each(|item| each(item.metadata));
            if list.metadata.r#continue.is_empty() {
                return Ok(list.metadata.resource_version);
            }
            next = list.metadata.r#continue;
        }
    }

    /// Metadata as it changes after a revision. Ends when the server ends it.
    pub async fn watch_metadata(
        &self,
        kind: &Kind,
        namespace: &str,
        revision: &str,
    ) -> Result<impl Stream<Item = Result<WatchEvent<Meta>, Error>> + use<>, Error> {
        self.watch(kind, namespace, revision, METADATA).await
    }

    /// Objects, whole, as they change after a revision.
    pub async fn watch_objects(
        &self,
        kind: &Kind,
        namespace: &str,
        revision: &str,
    ) -> Result<impl Stream<Item = Result<WatchEvent<Value>, Error>> + use<>, Error> {
        self.watch(kind, namespace, revision, "application/json").await
    }

    async fn watch<T>(
        &self,
        kind: &Kind,
        namespace: &str,
        revision: &str,
        accept: &str,
    ) -> Result<impl Stream<Item = Result<WatchEvent<T>, Error>> + use<T>, Error>
    where
        T: Clone + serde::de::DeserializeOwned,
    {
        self.watch_at(kind, &kind.collection(namespace), "", revision, accept).await
    }

    async fn watch_at<T>(
        &self,
        kind: &Kind,
        collection: &str,
        selection: &str,
        revision: &str,
        accept: &str,
    ) -> Result<impl Stream<Item = Result<WatchEvent<T>, Error>> + use<T>, Error>
    where
        T: Clone + serde::de::DeserializeOwned,
    {
        let plural = kind.plural.clone();
        let fault = move |source: kube::Error| Error::Request {
            what: format!("watch {plural}"),
            source: Box::new(source),
        };
        // A watch ends by itself now and then, so that a connection that died unseen is found out.
        let seconds = 290 + rand::random_range(0..60);
        let uri = format!(
            "{collection}?watch=1&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={revision}{selection}"
        );
        let request = Request::get(uri).header("accept", accept).body(Vec::new()).map_err(|error| {
            fault(kube::Error::BuildRequest(kube::core::request::Error::BuildRequest(error)))
        })?;
        let stream = self.client.request_events::<T>(request).await.map_err(fault.clone())?;
        Ok(stream.map(move |event| event.map_err(fault.clone())))
    }

    /// Objects of a kind in all namespaces as they change, of those that a selector (as in a query) takes.
    pub async fn watch_selected(
        &self,
        kind: &Kind,
        selector: &str,
        revision: &str,
    ) -> Result<impl Stream<Item = Result<WatchEvent<Value>, Error>> + use<>, Error> {
        let selection = format!("&{selector}");
        self.watch_at(kind, &kind.collection(""), &selection, revision, "application/json").await
    }

    /// All objects of a kind, whole, and their revision; for the objects that drive the engine.
    pub async fn list_all(&self, kind: &Kind) -> Result<(Vec<Value>, String), Error> {
        self.list_selected(kind, "").await
    }

    /// [`Cluster::list_all`] of those that a selector (as in a query) takes.
    pub async fn list_selected(&self, kind: &Kind, selector: &str) -> Result<(Vec<Value>, String), Error> {
        let request = Request::get(format!("{}?{selector}", kind.collection(""))).body(Vec::new());
        let mut list: Value = self.send(|| format!("list {}", kind.plural), request).await?;
        let revision = list.str_at(&["metadata", "resourceVersion"]).to_string();
        Ok((items(&mut list), revision))
    }
}
