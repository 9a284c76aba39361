//! A listener for webhooks, off unless it is asked for: who pushed tells so, and is looked at before the interval is over. Nothing
//! depends on it.
//!
//! Plain HTTP as upstream's receivers speak it, behind whatever ends TLS. Calls are bounded in size, time and number; one that is
//! not known gets no reason. It asks for a look just as the annotations of the owners' programs do.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::Value;
use futures_util::StreamExt;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use kube::core::WatchEvent;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{Key, Shared, key, slim};
use crate::cluster::Error;
use crate::frontends::argocd::FRONT_END;
use crate::frontends::argocd::push::{self, Refusal};
use crate::frontends::flux::receiver::{self, Call, Target};

/// Upstream's bound of a body.
const LONGEST: usize = 3 << 20;
const HEADERS: usize = 64 << 10;
/// For the whole of a call.
const PATIENCE: Duration = Duration::from_secs(30);
/// Calls at once.
const CALLS: usize = 32;
/// How often tokens are read again: all, and those that were not there.
const AGAIN: Duration = Duration::from_secs(600);
const SOON: Duration = Duration::from_secs(30);
const FINALIZER: &str = "finalizers.fluxcd.io";

/// Who hears calls now.
#[derive(Default)]
pub(super) struct Hooks {
    owners: Mutex<BTreeSet<&'static str>>,
    /// Receivers by their paths.
    receivers: Mutex<HashMap<String, Key>>,
}

/// Takes calls for as long as it is not dropped.
pub(super) async fn listen(shared: Arc<Shared>, address: SocketAddr, tasks: base::Tasks) {
    let listener = loop {
        match tokio::net::TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) => tracing::warn!(%address, %error, "cannot listen for webhooks; it is tried again"),
        }
        tokio::time::sleep(SOON).await;
    };
    tracing::info!(%address, "listening for webhooks");
    let free = Arc::new(Semaphore::new(CALLS));
    loop {
        let Ok(permit) = free.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, say.
                tracing::debug!(%error, "a webhook was not taken");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let shared = shared.clone();
        tasks.spawn("fleet webhook", async move {
            let _permit = permit;
            let service = hyper::service::service_fn(move |request| {
                let shared = shared.clone();
                async move { Ok::<_, std::convert::Infallible>(respond(&shared, request).await) }
            });
            let serving = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(10))
                .max_buf_size(HEADERS)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(PATIENCE, serving).await;
        });
    }
}

async fn respond(shared: &Shared, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let status = match Limited::new(body, LONGEST).collect().await {
        Err(error) if error.is::<LengthLimitError>() => StatusCode::PAYLOAD_TOO_LARGE,
        Err(_) => StatusCode::BAD_REQUEST,
        Ok(body) => hear(shared, path, &parts.headers, &body.to_bytes()).await,
    };
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

async fn hear(shared: &Shared, path: &str, headers: &HeaderMap, body: &[u8]) -> StatusCode {
    let call = Call { headers, body };
    let on = |owner: &str| shared.hooks.owners.lock().contains(owner);
    if path.starts_with(receiver::PREFIX) && on("flux") {
        let found = shared.hooks.receivers.lock().get(path).cloned();
        return match found {
            Some(key) => received(shared, &key, path, &call).await,
            None => StatusCode::NOT_FOUND,
        };
    }
    if path == push::PATH && on("argocd") {
        return pushed(shared, &call).await;
    }
    StatusCode::NOT_FOUND
}

/// A call of a Receiver.
async fn received(shared: &Shared, (namespace, name): &Key, path: &str, call: &Call<'_>) -> StatusCode {
    let cluster = &shared.cluster;
    let found = async {
        let kind = cluster.kind(receiver::API_VERSION, receiver::KIND).await?;
        cluster.get(&kind, namespace, name).await
    };
    let object = match found.await {
        Ok(Some(object)) => object,
        Ok(None) => return StatusCode::NOT_FOUND,
        Err(error) => {
            tracing::warn!(receiver = %format!("{namespace}/{name}"), error = error.text(), "unable to read");
            return StatusCode::INTERNAL_SERVER_ERROR;
        }
    };
    if object.at(&["spec", "suspend"]).and_then(Value::as_bool) == Some(true) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let Ok(token) = receiver::token(cluster, &object).await else { return StatusCode::SERVICE_UNAVAILABLE };
    if receiver::path(&token, name, namespace) != path {
        // The token was changed a moment ago.
        return StatusCode::NOT_FOUND;
    }
    if let Err(text) = receiver::check(&object, &token, call) {
        tracing::info!(receiver = %format!("{namespace}/{name}"), text, "unable to validate payload");
        return StatusCode::BAD_REQUEST;
    }
    let mut status = StatusCode::OK;
    for target in receiver::targets(&object) {
        let asked = match target {
            Ok(target) => ask(shared, &target).await.map_err(|error| error.text()),
            Err(text) => Err(text),
        };
        if let Err(text) = asked {
            tracing::warn!(receiver = %format!("{namespace}/{name}"), text, "unable to request reconciliation");
            status = StatusCode::INTERNAL_SERVER_ERROR;
        }
    }
    status
}

async fn ask(shared: &Shared, target: &Target) -> Result<(), Error> {
    let cluster = &shared.cluster;
    let kind = cluster.kind(&target.api_version, &target.kind).await?;
    let names = match target.name.as_str() {
        "*" => {
            let all = cluster.list(&kind, &target.namespace, &target.selector).await?;
            all.iter().map(|one| one.str_at(&["metadata", "name"]).to_string()).collect()
        }
        name => vec![name.to_string()],
    };
    for name in names {
        let patch = receiver::request(shared.clock.now());
        cluster.merge_patch(&kind, &target.namespace, &name, &patch).await?;
    }
    Ok(())
}

/// A call of Argo CD's webhook.
async fn pushed(shared: &Shared, call: &Call<'_>) -> StatusCode {
    let cluster = &shared.cluster;
    let namespace = shared.config.settings.argocd_namespace.as_str();
    let secret = async {
        let kind = cluster.kind("v1", "Secret").await?;
        cluster.get(&kind, namespace, push::SECRET).await
    };
    let Ok(secret) = secret.await else { return StatusCode::INTERNAL_SERVER_ERROR };
    let field = |name: &str| crate::frontends::flux::secret_bytes(secret.as_ref()?, name);
    let push = match push::read(call, field) {
        Ok(Some(push)) => push,
        Ok(None) => return StatusCode::OK,
        Err(Refusal::Unknown) => return StatusCode::BAD_REQUEST,
        Err(Refusal::Unauthorized(text)) => {
            tracing::info!(text, "a webhook was refused");
            return StatusCode::UNAUTHORIZED;
        }
        Err(Refusal::Malformed(text)) => {
            tracing::info!(text, "a webhook cannot be read");
            return StatusCode::BAD_REQUEST;
        }
    };
    let asked = async {
        let kind = cluster.kind(FRONT_END.api_version, FRONT_END.kind).await?;
        for app in cluster.list(&kind, namespace, "").await? {
            if push::concerns(&app, &push) {
                let mut patch = Value::object();
                patch.set(&["metadata", "annotations", "argocd.argoproj.io/refresh"], "normal");
                cluster.merge_patch(&kind, namespace, app.str_at(&["metadata", "name"]), &patch).await?;
            }
        }
        Ok::<(), Error>(())
    };
    match asked.await {
        Ok(()) => StatusCode::OK,
        Err(error) => {
            tracing::warn!(error = error.text(), "unable to refresh applications from a webhook");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

/// Takes an owner's calls for as long as it is not dropped: its front end is on.
pub(super) async fn stay_open(shared: &Arc<Shared>, owner: &'static str) {
    struct Open<'a>(&'a Hooks, &'static str);
    impl Drop for Open<'_> {
        fn drop(&mut self) {
            self.0.owners.lock().remove(self.1);
        }
    }
    shared.hooks.owners.lock().insert(owner);
    let _open = Open(&shared.hooks, owner);
    if owner != "flux" {
        std::future::pending::<()>().await;
    }
    let mut pause = Duration::from_secs(1);
    loop {
        if let Err(error) = follow(shared, &mut pause).await {
            tracing::debug!(error = error.text(), "the watch of receivers ended");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(SOON);
    }
}

/// Shows where Receivers are called, and knows it.
async fn follow(shared: &Shared, pause: &mut Duration) -> Result<(), Error> {
    let cluster = &shared.cluster;
    super::make(vec![receiver::definition()], cluster).await?;
    let kind = cluster.kind(receiver::API_VERSION, receiver::KIND).await?;
    let (objects, mut revision) = cluster.list_all(&kind).await?;
    let mut all: HashMap<Key, Value> = objects.into_iter().map(|one| (key(&one), slim(one))).collect();
    shared.hooks.receivers.lock().clear();
    let mut waiting = BTreeSet::new();
    for (which, object) in &all {
        keep(shared, which, Some(object), &mut waiting).await;
    }
    *pause = Duration::from_secs(1);
    loop {
        let stream = cluster.watch_objects(&kind, "", &revision).await?;
        let mut stream = std::pin::pin!(stream);
        loop {
            let again = if waiting.is_empty() { AGAIN } else { SOON };
            let Ok(event) = tokio::time::timeout(again, stream.next()).await else {
                let which = if again == AGAIN { all.keys().cloned().collect() } else { waiting.clone() };
                for which in which {
                    keep(shared, &which, all.get(&which), &mut waiting).await;
                }
                continue;
            };
            match event.transpose()? {
                Some(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                    revision = object.str_at(&["metadata", "resourceVersion"]).into();
                    let which = key(&object);
                    keep(shared, &which, Some(&object), &mut waiting).await;
                    all.insert(which, slim(object));
                }
                Some(WatchEvent::Deleted(object)) => {
                    revision = object.str_at(&["metadata", "resourceVersion"]).into();
                    all.remove(&key(&object));
                    keep(shared, &key(&object), None, &mut waiting).await;
                }
                Some(WatchEvent::Bookmark(bookmark)) => revision = bookmark.metadata.resource_version,
                Some(WatchEvent::Error(_)) => return Ok(()),
                None => break,
            }
        }
    }
}

/// Takes in a Receiver as it is now; those whose token is missing are `waiting`.
async fn keep(shared: &Shared, which: &Key, object: Option<&Value>, waiting: &mut BTreeSet<Key>) {
    let cluster = &shared.cluster;
    waiting.remove(which);
    let Some(object) = object else {
        shared.hooks.receivers.lock().retain(|_, known| known != which);
        return;
    };
    let (namespace, name) = which;
    let kind = match cluster.kind(receiver::API_VERSION, receiver::KIND).await {
        Ok(kind) => kind,
        Err(_) => return,
    };
    if object.at(&["metadata", "deletionTimestamp"]).is_some_and(|at| !at.is_null()) {
        shared.hooks.receivers.lock().retain(|_, known| known != which);
        // Upstream's, of a time before.
        let all = object.at(&["metadata", "finalizers"]).and_then(Value::as_array).unwrap_or_default();
        let left: Vec<Value> = all.iter().filter(|one| one.as_str() != Some(FINALIZER)).cloned().collect();
        if left.len() < all.len() {
            let mut patch = Value::object();
            patch.set(&["metadata", "finalizers"], Value::Array(left));
            let _ = cluster.merge_patch(&kind, namespace, name, &patch).await;
        }
        return;
    }
    if object.at(&["spec", "suspend"]).and_then(Value::as_bool) == Some(true) {
        let path = object.str_at(&["status", "webhookPath"]);
        if !path.is_empty() {
            shared.hooks.receivers.lock().insert(path.into(), which.clone());
        }
        return;
    }
    let token = receiver::token(cluster, object).await;
    let (path, patch) = receiver::show(object, &token, shared.clock.now());
    {
        let mut receivers = shared.hooks.receivers.lock();
        receivers.retain(|_, known| known != which);
        match path {
            Some(path) => drop(receivers.insert(path, which.clone())),
            None if token.is_err() => drop(waiting.insert(which.clone())),
            None => {}
        }
    }
    if let Some(patch) = patch
        && let Err(error) = cluster.status_patch(&kind, namespace, name, &patch).await
    {
        tracing::debug!(receiver = %format!("{namespace}/{name}"), error = error.text(), "cannot show its status");
    }
}
