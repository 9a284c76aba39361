//! TLS of outgoing connections whose trust is not one of the cluster's own CAs: the machine's CAs, a given bundle with a
//! certificate to show, or anyone where the configuration says so (`insecureSkipTLSVerify`).

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::remote::Trust;

pub(crate) fn client(trust: &Trust, shows: Option<&(String, String)>) -> Result<Arc<ClientConfig>, String> {
    let builder = match trust {
        Trust::Anyone => base::tls::trusting_anyone(),
        Trust::System => base::tls::trusting(base::tls::machine_roots()),
        Trust::These(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(pem)? {
                roots.add(certificate).map_err(|error| error.to_string())?;
            }
            base::tls::trusting(roots)
        }
    };
    let config = match shows {
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| error.to_string())?;
            builder
                .with_client_auth_cert(certificates(certificate)?, key)
                .map_err(|error| error.to_string())?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}
