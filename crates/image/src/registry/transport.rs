//! HTTPS and HTTP to registries, with the machine's CAs, those of Mozilla for boxes that have none, and each host's own.

use std::collections::HashMap;
use std::fmt::Display;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use base::tls;
use bytes::Bytes;
use http::{HeaderName, Method, Request};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use tower::Service;

use crate::registries::Tls;
use crate::{Error, Registries};

pub(crate) type Response = http::Response<Incoming>;
type Http = Client<HttpsConnector<HttpConnector<Names>>, Empty<Bytes>>;

/// Until a registry has answered with its headers.
const PATIENCE: Duration = Duration::from_secs(30);
/// Until a resolver has told a name's addresses. Alone, the system's resolver gives up after half a minute and longer: whoever waits for
/// a pod would be told nothing for as long.
const RESOLVE: Duration = Duration::from_secs(5);
/// Until a connection is there, over all addresses of a name: four SYNs at the kernel's intervals (RFC 6298), for slow links.
const CONNECT: Duration = Duration::from_secs(10);

pub(crate) struct Transport {
    usual: Http,
    /// Hosts with TLS settings of their own.
    special: HashMap<String, Http>,
}

impl Transport {
    pub fn new(registries: &Registries) -> Result<Transport, Error> {
        let mut special = HashMap::new();
        for (host, settings) in &registries.configs {
            if let Some(own_tls) = &settings.tls {
                let config =
                    own(own_tls).map_err(|detail| Error::Registries { path: host.into(), detail })?;
                special.insert(host.clone(), client(config));
            }
        }
        let usual = tls::trusting(tls::machine_roots()).with_no_client_auth();
        Ok(Transport { usual: client(usual), special })
    }

    /// Sends a request without a body. The error is a text for a person.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: Vec<(HeaderName, String)>,
    ) -> Result<Response, String> {
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header(http::header::USER_AGENT, concat!("skiff/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Empty::new()).map_err(|error| format!("{url} is no URL: {error}"))?;
        let host = request.uri().authority().map_or("", |authority| authority.as_str()).to_owned();
        let client = self.special.get(&host).unwrap_or(&self.usual);
        match tokio::time::timeout(PATIENCE, client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(format!("{host}: {}", base::chain(&error))),
            Err(_) => Err(format!("{host} did not answer in {} seconds", PATIENCE.as_secs())),
        }
    }
}

/// A redirect's target, which may be relative (RFC 9110, section 10.2.2).
pub(crate) fn join(from: &str, to: &str) -> Result<String, String> {
    if to.contains("://") {
        return Ok(to.to_owned());
    }
    let (scheme, rest) = from.split_once("://").ok_or_else(|| format!("{from} is no URL"))?;
    let host = rest.split('/').next().unwrap_or_default();
    Ok(format!("{scheme}://{host}/{}", to.trim_start_matches('/')))
}

fn client(config: ClientConfig) -> Http {
    let mut tcp = HttpConnector::new_with_resolver(Names(GaiResolver::new()));
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(CONNECT));
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(Duration::from_secs(20))
        .pool_max_idle_per_host(2)
        .build(https)
}

/// The system's resolver, with an end to its patience.
#[derive(Clone)]
struct Names(GaiResolver);

impl Service<Name> for Names {
    type Response = GaiAddrs;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<GaiAddrs>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(in_time(name.to_string(), self.0.call(name)))
    }
}

async fn in_time<T>(name: String, found: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(RESOLVE, found).await {
        Ok(found) => found,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no resolver told the address of {name} in {} seconds", RESOLVE.as_secs()),
        )),
    }
}

fn own(settings: &Tls) -> Result<ClientConfig, String> {
    let at = |path: &Path, error: &dyn Display| format!("{}: {error}", path.display());
    let read = |path: &Path| std::fs::read(path).map_err(|error| at(path, &error));
    let builder = match &settings.ca_file {
        _ if settings.insecure_skip_verify => tls::trusting_anyone(),
        Some(path) => {
            let given = tls::certificates(&read(path)?).map_err(|error| at(path, &error))?;
            tls::believing(given, true).map_err(|error| at(path, &error))?
        }
        None => tls::trusting(tls::machine_roots()),
    };
    match (&settings.cert_file, &settings.key_file) {
        (Some(certificate), Some(key)) => {
            tls::showing(builder, &read(certificate)?, &read(key)?).map_err(|error| at(certificate, &error))
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_does_not_answer_is_told_soon() {
        let began = tokio::time::Instant::now();
        let error = in_time::<()>("registry.example".into(), std::future::pending()).await.unwrap_err();
        assert_eq!(error.to_string(), "no resolver told the address of registry.example in 5 seconds");
        assert_eq!(began.elapsed(), RESOLVE);
        let found = in_time("registry.example".into(), async { Ok(7) }).await.unwrap();
        assert_eq!(found, 7);
    }
}
