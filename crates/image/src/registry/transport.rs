//! HTTPS and HTTP to registries, with the machine's CAs, those of Mozilla for boxes that have none, and each host's own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Method, Request};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::registries::Tls;
use crate::{Error, Registries};

pub(crate) type Response = http::Response<Incoming>;
type Http = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// Until a registry has answered with its headers.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Transport {
    usual: Http,
    /// Hosts with TLS settings of their own.
    special: HashMap<String, Http>,
}

impl Transport {
    pub fn new(registries: &Registries) -> Result<Transport, Error> {
        let mut special = HashMap::new();
        for (host, settings) in &registries.configs {
            if let Some(tls) = &settings.tls {
                let config = own(tls).map_err(|detail| Error::Registries { path: host.into(), detail })?;
                special.insert(host.clone(), client(config));
            }
        }
        Ok(Transport { usual: client(usual()), special })
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
    let https = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(Duration::from_secs(20))
        .pool_max_idle_per_host(2)
        .build(https)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("because ring has the default protocol versions")
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn usual() -> ClientConfig {
    builder().with_root_certificates(roots()).with_no_client_auth()
}

fn own(tls: &Tls) -> Result<ClientConfig, String> {
    let read =
        |path: &std::path::Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let pem = |path: &std::path::Path| -> Result<Vec<CertificateDer<'static>>, String> {
        CertificateDer::pem_slice_iter(&read(path)?)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("{}: {error}", path.display()))
    };
    let mut roots = roots();
    if let Some(path) = &tls.ca_file {
        for certificate in pem(path)? {
            roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    let builder = if tls.insecure_skip_verify {
        builder().dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider())))
    } else {
        builder().with_root_certificates(roots)
    };
    match (&tls.cert_file, &tls.key_file) {
        (Some(certificate), Some(key)) => {
            let key = PrivateKeyDer::from_pem_slice(&read(key)?)
                .map_err(|error| format!("{}: {error}", key.display()))?;
            builder.with_client_auth_cert(pem(certificate)?, key).map_err(|error| error.to_string())
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

/// `insecure_skip_verify`: takes any certificate, as its owner asked.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
