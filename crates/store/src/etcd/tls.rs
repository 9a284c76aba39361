//! Whom an etcd cluster is believed by, and what it is shown.

use std::path::Path;
use std::sync::Arc;

use base::tls;
use rustls::ClientConfig;

use super::Options;
use crate::Error;

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::Unusable(format!("cannot use {} for etcd: {why}", path.display()))
}

/// HTTP/2 with the CA of the options, or the machine's, and the client's certificate if there is one.
pub(super) fn configuration(options: &Options) -> Result<Arc<ClientConfig>, Error> {
    let builder = match &options.ca {
        Some(path) => {
            let given = tls::certificates(&read(path)?).map_err(|error| unusable(path, &error))?;
            if given.is_empty() {
                return Err(unusable(path, &"no certificate is in it"));
            }
            tls::believing(given, false).map_err(|error| unusable(path, &error))?
        }
        None => tls::trusting(tls::machine_roots()),
    };
    let mut config = match (&options.certificate, &options.key) {
        (Some(certificate), Some(key)) => tls::showing(builder, &read(certificate)?, &read(key)?)
            .map_err(|error| unusable(certificate, &error))?,
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
