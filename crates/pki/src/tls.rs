//! rustls configurations: the certificate that a server shows can be replaced while it serves, and dates are judged
//! by the trusted clock.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base::Clock;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::{Error, Issued};

/// The certificate that a server shows; [`Serving::replace`] changes it for new connections.
#[derive(Debug)]
pub struct Serving(ArcSwap<CertifiedKey>);

impl Serving {
    pub fn new(issued: &Issued) -> Result<Arc<Serving>, Error> {
        Ok(Arc::new(Serving(ArcSwap::from_pointee(certified(issued)?))))
    }
    pub fn replace(&self, issued: &Issued) -> Result<(), Error> {
        self.0.store(Arc::new(certified(issued)?));
        Ok(())
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn tls(error: impl std::fmt::Display) -> Error {
    Error::Tls(error.to_string())
}

fn certified(issued: &Issued) -> Result<CertifiedKey, Error> {
    let chain = certificates(&issued.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).map_err(tls)?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(tls)?;
    Ok(CertifiedKey::new(chain, key))
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(tls)
}

fn roots(pem: &str) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(tls)?;
    }
    Ok(Arc::new(roots))
}

/// What rustls judges dates by: the trusted clock.
pub fn time(clock: &Clock) -> Arc<dyn TimeProvider> {
    Arc::new(Trusted(clock.clone()))
}

#[derive(Debug)]
struct Trusted(Clock);

impl TimeProvider for Trusted {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// A server's configuration, HTTP/2 preferred. With `client_ca` (PEM) a client may show a certificate of it; one of another CA
/// ends the handshake.
pub fn server_config(
    serving: Arc<Serving>,
    client_ca: Option<&str>,
    clock: &Clock,
) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_details(provider.clone(), Arc::new(Trusted(clock.clone())))
        .with_safe_default_protocol_versions()
        .map_err(tls)?;
    let builder = match client_ca {
        Some(pem) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(roots(pem)?, provider)
                .allow_unauthenticated()
                .build()
                .map_err(tls)?,
        ),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(serving);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A client's configuration that trusts `server_ca` (PEM) and shows `identity` if there is one.
pub fn client_config(
    server_ca: &str,
    identity: Option<&Issued>,
    clock: &Clock,
) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(server_ca)?, provider.clone())
        .build()
        .map_err(tls)?;
    let builder = ClientConfig::builder_with_details(provider, Arc::new(Trusted(clock.clone())))
        .with_safe_default_protocol_versions()
        .map_err(tls)?
        .with_webpki_verifier(verifier);
    let config = match identity {
        Some(issued) => builder
            .with_client_auth_cert(
                certificates(&issued.certificate)?,
                PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).map_err(tls)?,
            )
            .map_err(tls)?,
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}
