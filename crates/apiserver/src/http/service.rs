//! The server as a tower service in this process: the caller's identity is fixed when the service is made, so that no
//! socket can forge it; from there a request goes the way that every request goes (D12).

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};

use super::Body;
use crate::Identity;
use crate::server::Inner;

/// Cheap to clone.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
    identity: Arc<Identity>,
}

impl Service {
    pub(crate) fn new(inner: Arc<Inner>, identity: Arc<Identity>) -> Service {
        Service { inner, identity }
    }
}

impl<B> tower::Service<Request<B>> for Service
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display + Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (inner, identity) = (self.inner.clone(), self.identity.clone());
        Box::pin(async move { Ok(inner.answer(Some(identity), request).await) })
    }
}
