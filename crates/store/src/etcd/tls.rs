//! Whom an etcd cluster is believed by, and what it is shown.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::Options;
use crate::Error;

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unusable = |why: &dyn std::fmt::Display| {
        Error::Unusable(format!("cannot read certificates from {}: {why}", path.display()))
    };
    let read = CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))?;
    let all: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| unusable(&error))?;
    match all.is_empty() {
        true => Err(unusable(&"there is none in it")),
        false => Ok(all),
    }
}

/// HTTP/2 with the CA of the options, or the machine's, and the client's certificate if there is one.
pub(super) fn configuration(options: &Options) -> Result<Arc<ClientConfig>, Error> {
    let roots = match &options.ca {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates(path)?);
            roots
        }
        None => base::tls::machine_roots(),
    };
    let builder = base::tls::trusting(roots);
    let mut config = match (&options.certificate, &options.key) {
        (Some(certificate), Some(key)) => {
            let unusable = |why: &dyn std::fmt::Display| {
                Error::Unusable(format!("cannot use the key {}: {why}", key.display()))
            };
            let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(&error))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, private)
                .map_err(|error| unusable(&error))?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => {
            return Err(Error::Unusable(
                "a client certificate of etcd needs both its certificate and its key".into(),
            ));
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}
