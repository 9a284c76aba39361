//! The cluster's own certificate authorities, certificates, and ServiceAccount tokens (D12).
//!
//! Invariant: no key leaves its file except to the process that owns it; every file here has mode 0600 and is replaced
//! whole. All dates are judged by `base::Clock`, the trusted time. Not here: who is allowed what.

mod authority;
mod der;
pub mod files;
mod jwt;
mod request;
pub mod takeover;
mod tls;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use authority::{Authority, Issued, Purpose, Request};
pub use jwt::{BadToken, Bound, Claims, FORMER, Ref, TokenKey, Verifier};
pub use request::Wanted;
pub use tls::{Serving, client_config, server_config, time};

use base::Clock;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot write {path}")]
    Write { path: PathBuf, source: std::io::Error },
    #[error(
        "{path} is no usable {what}: {detail}; restore it from a backup, or remove it to have a new one made"
    )]
    Unusable { path: PathBuf, what: &'static str, detail: String },
    #[error("cannot issue a certificate for {subject}: {detail}")]
    Issue { subject: String, detail: String },
    #[error("cannot set up TLS: {0}")]
    Tls(String),
    #[error("the system gives no random bytes")]
    Random,
}

/// Bytes that nobody can guess, from the system: for keys, tokens and serial numbers.
pub fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .map_err(|_| Error::Random)?;
    Ok(bytes)
}

/// What a server owns, in one directory: a CA for serving certificates, one for client certificates, and the
/// key that signs ServiceAccount tokens.
pub struct Pki {
    pub server: Arc<Authority>,
    pub client: Arc<Authority>,
    /// Of the certificate by which this server vouches for users at aggregated servers; it is good for nothing else.
    pub front_proxy: Arc<Authority>,
    pub service_account: Arc<TokenKey>,
    pub clock: Clock,
}

impl Pki {
    /// Loads what is in `dir`, and makes what is missing.
    pub fn open(dir: &Path, clock: &Clock) -> Result<Pki, Error> {
        files::make_dir(dir)?;
        Ok(Pki {
            server: Arc::new(Authority::open(dir, "server-ca", "skiff-server-ca", clock)?),
            client: Arc::new(Authority::open(dir, "client-ca", "skiff-client-ca", clock)?),
            front_proxy: Arc::new(Authority::open(
                dir,
                "request-header-ca",
                "skiff-request-header-ca",
                clock,
            )?),
            service_account: Arc::new(TokenKey::open(&dir.join("service.key"))?),
            clock: clock.clone(),
        })
    }

    /// A rustls configuration that serves `serving` and asks clients for a certificate of the client CA without
    /// insisting on one (who has none may still show a token).
    pub fn server_config(&self, serving: Arc<Serving>) -> Result<Arc<rustls::ServerConfig>, Error> {
        server_config(serving, Some(&self.client.pem()), &self.clock)
    }
}

/// A kubeconfig with one cluster, one user, and the certificates inside.
pub fn kubeconfig(server: &str, server_ca: &str, user: &Issued) -> String {
    use base64::Engine;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: default\n  cluster:\n    certificate-authority-data: {}\n    \
         server: {server}\ncontexts:\n- name: default\n  context:\n    cluster: default\n    user: default\n\
         current-context: default\npreferences: {{}}\nusers:\n- name: default\n  user:\n    \
         client-certificate-data: {}\n    client-key-data: {}\n",
        encode(server_ca),
        encode(&user.certificate),
        encode(&user.key)
    )
}
