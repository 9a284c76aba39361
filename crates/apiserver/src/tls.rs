//! TLS of outgoing connections whose trust is not one of the cluster's own CAs: the machine's CAs, a given bundle with a
//! certificate to show, or anyone where the configuration says so (`insecureSkipTLSVerify`).

use std::sync::Arc;

use base::Clock;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

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
        Trust::Anyone => base::tls::trusting_anyone(),
        Trust::System => base::tls::trusting(base::tls::machine_roots()),
        Trust::These(pem) => {
            let mut roots = RootCertStore::empty();
            let themselves = certificates(pem)?;
            for certificate in &themselves {
                roots.add(certificate.clone()).map_err(|error| error.to_string())?;
            }
            match base::tls::verifier(roots) {
                Ok(signed) => base::tls::verified_by(Arc::new(Given { signed, themselves })),
                // Nobody is believed.
                Err(_) => base::tls::trusting(RootCertStore::empty()),
            }
        }
    };
    Ok(match shows {
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| error.to_string())?;
            builder
                .with_client_auth_cert(certificates(certificate)?, key)
                .map_err(|error| error.to_string())?
        }
        None => builder.with_no_client_auth(),
    })
}

/// Believes servers whose certificate one of the given ones signed and, as Go does, the given ones themselves: many a webhook shows
/// a certificate that it signed for itself, and hands it out as its CA.
#[derive(Debug)]
struct Given {
    signed: Arc<WebPkiServerVerifier>,
    themselves: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Given {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if !self.themselves.iter().any(|own| own[..] == shown[..]) {
            return self.signed.verify_server_cert(shown, others, name, ocsp, now);
        }
        verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
        let parsed = x509_parser::parse_x509_certificate(shown);
        let (_, parsed) = parsed.map_err(|_| CertificateError::BadEncoding)?;
        let (now, validity) = (i64::try_from(now.as_secs()).unwrap_or(i64::MAX), parsed.validity());
        if now < validity.not_before.timestamp() {
            return Err(CertificateError::NotValidYet.into());
        }
        if now > validity.not_after.timestamp() {
            return Err(CertificateError::Expired.into());
        }
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed.verify_tls12_signature(message, certificate, signed)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed.verify_tls13_signature(message, certificate, signed)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}
