//! One request from its first byte to its answer: who asks, may they, which verb (k8s.io/apiserver/pkg/server/config.go,
//! `DefaultBuildHandlerChain`).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderName, Method, Request, Response};
use http_body_util::{BodyExt, Limited};
use parking_lot::Mutex;

use super::{Accept, Body, Info, Query, accept, respond};
use crate::audit::{Entry, Shown};
use crate::engine::{Call, websocket};
use crate::flow::Sorted;
use crate::server::Inner;
use crate::status::{Result, Status};
use crate::{Identity, aggregate, authn, authz, flow, nonresource, subresource};

/// What a request was sorted into (k8s.io/api/flowcontrol/v1).
const FLOW_SCHEMA: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
/// Names a request in the audit log; a client may choose it.
const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
const PRIORITY_LEVEL: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

/// A request that was understood and allowed.
pub(crate) struct Asked {
    pub identity: Arc<Identity>,
    pub info: Arc<Info>,
    pub query: Query,
    pub audit: Option<Arc<Entry>>,
}

/// The client's side of an upgrade, and what the audit log notes until it ends.
pub(crate) struct Upgrade {
    pub client: hyper::upgrade::OnUpgrade,
    _audit: Option<Arc<Entry>>,
}

/// Where a connection comes from, among a request's extensions.
#[derive(Clone, Copy)]
pub(super) struct Peer(pub std::net::IpAddr);

impl Inner {
    /// Answers one request of a connection or of a role. `identity` is what the connection or the process vouches for.
    pub(crate) async fn answer<B>(
        self: Arc<Self>,
        identity: Option<Arc<Identity>>,
        request: Request<B>,
    ) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::fmt::Display + Send,
    {
        let since = Instant::now();
        let (parts, body) = request.into_parts();
        let (method, uri) = (parts.method.clone(), parts.uri.clone());
        let query = Query::parse(uri.query());
        let info = Arc::new(Info::of(&method, uri.path(), &query));
        let dry_run = query.has("dryRun");
        // For the case of a failure: the headers go with the request.
        let accept = parts.headers.get(http::header::ACCEPT).cloned();
        let _running = self.metrics.running(&info);
        let (mut sorted, mut entry) = (None, None);
        let id = audit_id(&parts.headers);
        let route = self.route(identity, &info, query, parts, body, (&mut sorted, &mut entry), &id);
        // A panic costs its request, not the connection's others (D16).
        let result = AssertUnwindSafe(route).catch_unwind().await;
        let accept = || Accept::of_text(accept.as_ref()).unwrap_or_default();
        let mut response = match result {
            Ok(Ok(response)) => response,
            // What is no API at all is answered as Go's server does.
            Ok(Err(status)) if status.code() == 404 && !self.knows(uri.path()) => {
                respond::error(http::StatusCode::NOT_FOUND, "404 page not found\n")
            }
            Ok(Err(status)) => respond::failure(&accept(), &status),
            Err(panic) => {
                let panic = base::task::panic_text(&*panic);
                tracing::error!(path = uri.path(), panic, "a request panicked");
                if let Some(entry) = &entry {
                    entry.panicked(panic);
                }
                respond::failure(&accept(), &Status::internal("the request could not be handled"))
            }
        };
        if let Some(Sorted { schema, level }) = sorted {
            response.headers_mut().insert(FLOW_SCHEMA, schema);
            response.headers_mut().insert(PRIORITY_LEVEL, level);
        }
        // Nobody keeps what somebody was shown (upstream's WithCacheControl).
        if let http::header::Entry::Vacant(none) = response.headers_mut().entry(http::header::CACHE_CONTROL) {
            none.insert(http::HeaderValue::from_static("no-cache, private"));
        }
        if let Some(entry) = entry {
            response = entry.answered(response);
        }
        if let Ok(id) = http::HeaderValue::from_str(&id) {
            response.headers_mut().insert(AUDIT_ID, id);
        }
        let served = || !info.is_resource || self.knows(uri.path());
        self.metrics.answered(&method, &info, dry_run, response.status().as_u16(), since.elapsed(), served);
        if method == Method::HEAD {
            *response.body_mut() = Body::Empty;
        }
        response
    }

    async fn route<B>(
        self: &Arc<Self>,
        identity: Option<Arc<Identity>>,
        info: &Arc<Info>,
        query: Query,
        mut parts: Parts,
        body: B,
        (sorted, entry): (&mut Option<Sorted>, &mut Option<Arc<Entry>>),
        id: &str,
    ) -> Result<Response<Body>>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::fmt::Display + Send,
    {
        let streams = info.is_resource && subresource::is_stream(&info.subresource);
        authn::take_token(&mut parts.headers);
        let found = authn::identify(self, identity, &parts.headers, parts.uri.path()).await;
        if let Some(audit) = &self.audit {
            let peer = parts.extensions.get::<Peer>().map(|peer| peer.0);
            let shown = Shown { id: id.into(), uri: &parts.uri, headers: &parts.headers, peer };
            let who = found.as_deref().ok();
            *entry = audit.begin(who, info, shown, streams || info.verb == "watch").await;
            if let (Some(entry), Err(_)) = (&entry, &found) {
                entry.unauthenticated(if parts.headers.contains_key(AUTHORIZATION) { "bearer" } else { "" });
            }
        }
        let upgrade = parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
        let upgrade = upgrade.map(|client| Upgrade { client, _audit: entry.clone() });
        let asker = found?;
        let identity = authn::impersonate(self, asker.clone(), &parts.headers)?;
        if let Some(entry) = entry.as_ref().filter(|_| !Arc::ptr_eq(&asker, &identity)) {
            entry.impersonated(&identity);
        }
        // A watch holds its seat until it is open; other streams take none.
        let seat = match streams {
            true => None,
            false => {
                let (found, seat) = self.flow.enter(&identity, info).await;
                *sorted = found;
                match seat {
                    Ok(seat) => seat,
                    Err(flow::Busy) => return Ok(respond::busy()),
                }
            }
        };
        if let Err(status) = authz::check(self, &identity, info, entry.as_deref()).await {
            let accept = Accept::of_text(parts.headers.get(http::header::ACCEPT)).unwrap_or_default();
            return Ok(respond::refused(&accept, &status));
        }
        if let Some(entry) = self.aggregated.of_path(parts.uri.path()) {
            return Box::pin(aggregate::forward(self, &entry, &identity, parts, body, upgrade)).await;
        }
        let asked = Asked { identity, info: info.clone(), query, audit: entry.clone() };
        if streams || info.verb == "watch" {
            return self.resource(asked, parts, body, upgrade).await;
        }
        let limit = self.config.limits.request_timeout;
        let answer = async {
            match asked.info.is_resource {
                true => self.resource(asked, parts, body, upgrade).await,
                false => Box::pin(nonresource::answer(self, &asked, &parts)).await,
            }
        };
        let answer = tokio::time::timeout(limit, answer).await;
        drop(seat);
        answer
            .unwrap_or_else(|_| Err(Status::timeout("request did not complete within the allotted timeout")))
    }

    /// The path is below a group and version that is served.
    fn knows(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let kinds = self.kinds.load();
        match parts.as_slice() {
            // Upstream's router has the whole of a group of its own.
            ["api", version, ..] if !version.is_empty() => true,
            ["apis", group, version, more @ ..] if !version.is_empty() => {
                let own = kinds.iter().any(|kind| !kind.custom && kind.resource.group == *group);
                let versions = || api::discovery::group_versions(&kinds, group);
                own || !more.is_empty() && versions().iter().any(|own| own == version)
            }
            _ => false,
        }
    }

    async fn resource<B>(
        self: &Arc<Self>,
        asked: Asked,
        parts: Parts,
        body: B,
        upgrade: Option<crate::http::Upgrade>,
    ) -> Result<Response<Body>>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::fmt::Display + Send,
    {
        let Asked { identity, info, query, audit } = asked;
        let target =
            self.target(&info.group, &info.version, &info.resource).ok_or_else(Status::no_such_path)?;
        // A path outside of a namespace lists all of them, and one inside is no path of a cluster-scoped kind.
        if !target.kind.namespaced && !info.namespace.is_empty() && info.resource != "namespaces" {
            return Err(Status::no_such_path());
        }
        let tables = matches!(info.verb, "get" | "list" | "watch") && target.cache.is_some();
        // Upstream has routes for GET alone; what a node answers goes through as it is.
        if parts.method == Method::HEAD && !subresource::is_stream(&info.subresource) {
            return Err(Status::no_such_method());
        }
        if !target.kind.custom && !accept::is_routed(&parts.headers) {
            let lists = matches!(info.verb, "list" | "watch");
            return Err(Status::no_representation(if lists { accept::LISTED } else { accept::MEDIA }));
        }
        let accept = match target.kind.custom {
            true => Accept::of_custom(&parts.headers, &query, tables)?,
            false => Accept::of(&parts.headers, &query, tables)?,
        };
        let call = Call {
            inner: self.clone(),
            identity,
            method: parts.method.clone(),
            headers: parts.headers,
            info,
            query,
            accept,
            target,
            warnings: Mutex::new(Vec::new()),
            audit,
        };
        call.warn(call.target.version().deprecated.clone());
        if subresource::is_stream(&call.info.subresource) {
            return Box::pin(subresource::connect::run(call, parts.uri, body, upgrade)).await;
        }
        let bytes = match call.info.verb {
            "get" | "list" | "watch" => Bytes::new(),
            _ => read(body, &call.headers, self.config.limits.body).await?,
        };
        if let Some(entry) = &call.audit {
            entry.request(call.content_type(), &bytes);
        }
        if call.info.verb == "watch" && call.info.subresource.is_empty() {
            call.allows("watch")?;
            let call = Arc::new(call);
            return match websocket::is_wanted(&call.headers) {
                true => Box::pin(call.watch_by_websocket(upgrade)).await,
                false => Box::pin(call.watch()).await,
            };
        }
        let outcome = call.run(bytes).await;
        let Call { accept, warnings, .. } = call;
        let warnings = warnings.into_inner();
        // A refusal carries its warnings too.
        let mut response = match outcome {
            Err(status) if !warnings.is_empty() => respond::failure(&accept, &status),
            outcome => outcome?,
        };
        respond::warn(&mut response, &warnings);
        Ok(response)
    }
}

impl Call {
    /// Runs the verb that the method and path ask for. All but `get` are boxed: a future is moved several times before it
    /// first runs, and theirs are ten times as large.
    async fn run(&self, bytes: Bytes) -> Result<Response<Body>> {
        if !self.info.subresource.is_empty() {
            return Box::pin(subresource::run(self, bytes)).await;
        }
        if self.target.cache.is_none() && self.target.storage.is_stored() {
            return Err(Status::unavailable("the resource is being brought up"));
        }
        if self.target.cache.is_none() {
            return Box::pin(crate::review::run(self, bytes)).await;
        }
        self.allows(self.info.verb)?;
        let whole = self.info.name.is_empty();
        match self.info.verb {
            "get" => self.get().await,
            "list" => Box::pin(self.list()).await,
            "create" if self.target.kind.namespaced && self.info.namespace.is_empty() => Err(self.no_verb()),
            "create" if whole => Box::pin(self.create(bytes)).await,
            "update" if !whole => Box::pin(self.update(bytes)).await,
            "patch" if !whole => Box::pin(self.patch(bytes)).await,
            "delete" => Box::pin(self.delete(bytes)).await,
            "deletecollection" => Box::pin(self.delete_collection(bytes)).await,
            _ => Err(self.no_verb()),
        }
    }

    /// 405 for verbs that the kind does not have.
    pub fn allows(&self, verb: &str) -> Result<()> {
        match self.target.version().verbs.iter().any(|have| have == verb) {
            true => Ok(()),
            false => Err(self.no_verb()),
        }
    }

    pub fn no_verb(&self) -> Status {
        Status::no_such_method()
    }
}

/// The id that a client gave its request, or a new one.
fn audit_id(headers: &http::HeaderMap) -> String {
    let given = headers.get(AUDIT_ID).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty());
    // A random UUID, of a generator that asks the system once and not for each request.
    let new = || uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string();
    given.map_or_else(new, |text| text.chars().take(64).collect())
}

/// The whole body, up to `limit` bytes.
async fn read<B>(body: B, headers: &http::HeaderMap, limit: usize) -> Result<Bytes>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display + Send,
{
    let length = headers.get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.and_then(|text| text.parse::<usize>().ok()).is_some_and(|length| length > limit) {
        return Err(Status::too_large(limit));
    }
    let body = body.map_err(|error| error.to_string());
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Status::too_large(limit)),
        Err(error) => Err(Status::bad_request(format!("cannot read the request's body: {error}"))),
    }
}
