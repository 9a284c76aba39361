//! One request from its first byte to its answer: who asks, may they, which verb (k8s.io/apiserver/pkg/server/config.go,
//! `DefaultBuildHandlerChain`).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::FutureExt;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Limited};
use parking_lot::Mutex;

use super::{Accept, Body, Info, Query, respond};
use crate::engine::Call;
use crate::server::Inner;
use crate::status::{Result, Status};
use crate::{Identity, authn, authz, nonresource, subresource};

/// A request that was understood and allowed.
pub(crate) struct Asked {
    pub identity: Arc<Identity>,
    pub info: Info,
    pub query: Query,
}

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
        let (parts, body) = request.into_parts();
        let head = parts.method == Method::HEAD;
        let accept = Accept::of(&parts.headers, &Query::default(), false).unwrap_or_default();
        let path = parts.uri.path().to_string();
        // A panic costs its request, not the connection's others (D16).
        let result = AssertUnwindSafe(self.route(identity, parts, body)).catch_unwind().await;
        let mut response = match result {
            Ok(Ok(response)) => response,
            // What is no API at all is answered as Go's server does.
            Ok(Err(status)) if status.code() == 404 && !self.knows(&path) => {
                respond::text(http::StatusCode::NOT_FOUND, "404 page not found\n")
            }
            Ok(Err(status)) => respond::failure(&accept, &status),
            Err(panic) => {
                tracing::error!(path, panic = base::task::panic_text(&*panic), "a request panicked");
                respond::failure(&accept, &Status::internal("the request could not be handled"))
            }
        };
        if head {
            *response.body_mut() = Body::Empty;
        }
        response
    }

    async fn route<B>(
        self: &Arc<Self>,
        identity: Option<Arc<Identity>>,
        mut parts: Parts,
        body: B,
    ) -> Result<Response<Body>>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::fmt::Display + Send,
    {
        let query = Query::parse(parts.uri.query());
        let info = Info::of(&parts.method, parts.uri.path(), &query);
        let upgrade = parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
        let identity = authn::identify(self, identity, &parts.headers)?;
        let identity = authn::impersonate(self, identity, &parts.headers)?;
        authz::check(self, &identity, &info)?;
        let asked = Asked { identity, info, query };
        let streams = asked.info.is_resource
            && (asked.info.verb == "watch" || subresource::is_stream(&asked.info.subresource));
        if streams {
            return self.resource(asked, parts, body, upgrade).await;
        }
        let _counted = Counted::enter(self)?;
        let limit = self.config.limits.request_timeout;
        let answer = async {
            match asked.info.is_resource {
                true => self.resource(asked, parts, body, upgrade).await,
                false => nonresource::answer(self, &asked, &parts).await,
            }
        };
        tokio::time::timeout(limit, answer)
            .await
            .unwrap_or_else(|_| Err(Status::timeout("request did not complete within the allotted timeout")))
    }

    /// The path is below a group and version that is served.
    fn knows(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let kinds = self.kinds.load();
        let (group, version, more) = match parts.as_slice() {
            ["api", version, more @ ..] => ("", *version, more),
            ["apis", group, version, more @ ..] => (*group, *version, more),
            _ => return false,
        };
        !more.is_empty() && api::discovery::group_versions(&kinds, group).iter().any(|own| own == version)
    }

    async fn resource<B>(
        self: &Arc<Self>,
        asked: Asked,
        parts: Parts,
        body: B,
        upgrade: Option<hyper::upgrade::OnUpgrade>,
    ) -> Result<Response<Body>>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::fmt::Display + Send,
    {
        let Asked { identity, info, query } = asked;
        let target =
            self.target(&info.group, &info.version, &info.resource).ok_or_else(Status::no_such_path)?;
        // A path outside of a namespace lists all of them, and one inside is no path of a cluster-scoped kind.
        if !target.kind.namespaced && !info.namespace.is_empty() && info.resource != "namespaces" {
            return Err(Status::no_such_path());
        }
        let tables = matches!(info.verb, "get" | "list" | "watch") && target.cache.is_some();
        let accept = Accept::of(&parts.headers, &query, tables)?;
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
        };
        if subresource::is_stream(&call.info.subresource) {
            return subresource::stream(call, parts.uri, body, upgrade).await;
        }
        let bytes = match call.info.verb {
            "get" | "list" | "watch" => Bytes::new(),
            _ => read(body, &call.headers, self.config.limits.body).await?,
        };
        if call.info.verb == "watch" && call.info.subresource.is_empty() {
            call.allows("watch")?;
            return Arc::new(call).watch().await;
        }
        let mut response = call.run(bytes).await?;
        respond::warn(&mut response, &call.warnings.into_inner());
        Ok(response)
    }
}

impl Call {
    /// Runs the verb that the method and path ask for.
    async fn run(&self, bytes: Bytes) -> Result<Response<Body>> {
        if !self.info.subresource.is_empty() {
            return subresource::run(self, bytes).await;
        }
        if self.target.cache.is_none() && self.target.storage.is_stored() {
            return Err(Status::unavailable("the resource is being brought up"));
        }
        if self.target.cache.is_none() {
            return crate::review::run(self, bytes).await;
        }
        self.allows(self.info.verb)?;
        let whole = self.info.name.is_empty();
        match self.info.verb {
            "get" => self.get().await,
            "list" => self.list().await,
            "create" if self.target.kind.namespaced && self.info.namespace.is_empty() => Err(self.no_verb()),
            "create" if whole => self.create(bytes).await,
            "update" if !whole => self.update(bytes).await,
            "patch" if !whole => self.patch(bytes).await,
            "delete" => self.delete(bytes).await,
            "deletecollection" => self.delete_collection(bytes).await,
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

/// One of the requests in flight.
struct Counted<'a>(&'a Inner);

impl<'a> Counted<'a> {
    fn enter(inner: &'a Inner) -> Result<Counted<'a>> {
        let before = inner.in_flight.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(inner);
        match before < inner.config.limits.in_flight {
            true => Ok(counted),
            false => Err(Status::too_many_requests("too many requests, please try again later", 1)),
        }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
