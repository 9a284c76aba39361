//! TLS of outgoing connections whose trust is not one of the cluster's own CAs: the machine's CAs, a given bundle with a
//! certificate to show, or anyone where the configuration says so (`insecureSkipTLSVerify`).

use std::sync::Arc;

use base::{Clock, tls};
use rustls::ClientConfig;

use crate::remote::Trust;

/// For connections: dates are judged by `clock`, the trusted time.
pub(crate) fn client(
    trust: &Trust,
    shows: Option<&(String, String)>,
    clock: &Clock,
) -> Result<Arc<ClientConfig>, String> {
    let mut config = believing(trust, shows)?;
    config.time_provider = pki::time(clock);
    Ok(Arc::new(config))
}

/// Whether a connection could be made so at all.
pub(crate) fn check(trust: &Trust) -> Result<(), String> {
    believing(trust, None).map(drop)
}

fn believing(trust: &Trust, shows: Option<&(String, String)>) -> Result<ClientConfig, String> {
    let builder = match trust {
        Trust::Anyone => tls::trusting_anyone(),
        Trust::System => tls::trusting(tls::machine_roots()),
        Trust::These(pem) => {
            let given = tls::certificates(pem.as_bytes()).map_err(|error| error.to_string())?;
            tls::believing(given, false).map_err(|error| error.to_string())?
        }
    };
    match shows {
        Some((certificate, key)) => tls::showing(builder, certificate.as_bytes(), key.as_bytes()),
        None => Ok(builder.with_no_client_auth()),
    }
}
