//! TLS of outgoing connections: whom they believe. Connections between skiff's own processes are not made here but in `pki`,
//! by the cluster's CAs and the trusted clock (D12).
//!
//! Every configuration is ring's with its default versions of TLS. Taking anyone is asked for by name, never a default.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WantsClientCert, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme,
    WantsVerifier,
};

/// A configuration that still lacks the client's own certificate.
pub type Builder = ConfigBuilder<ClientConfig, WantsClientCert>;

/// Mozilla's CAs, for boxes that have none, and those of the machine, which its owner chose.
pub fn machine_roots() -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Believes servers whose certificate one of `roots` signed.
pub fn trusting(roots: RootCertStore) -> Builder {
    builder().with_root_certificates(roots)
}

/// Believes servers whose certificate one of the `given` ones signed and, as Go does, servers that show a given one: many a
/// webhook or registry shows a certificate that it signed for itself, and hands it out as its CA. With `machine`, the CAs of
/// [`machine_roots`] are believed too; without it and with none given, nobody is. Errors: a given one is no certificate.
pub fn believing(given: Vec<CertificateDer<'static>>, machine: bool) -> Result<Builder, rustls::Error> {
    let mut roots = if machine { machine_roots() } else { RootCertStore::empty() };
    for certificate in &given {
        roots.add(certificate.clone())?;
    }
    Ok(match WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build() {
        Ok(signed) => judged(Trust::Given { signed, themselves: given }, true),
        Err(_) => trusting(RootCertStore::empty()),
    })
}

/// The certificates of a bundle in PEM; what is none is passed over.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_slice_iter(pem).collect()
}

/// Shows a certificate (a chain in PEM, the client's own first) and proves to hold its key. The error says which of both is wrong.
pub fn showing(builder: Builder, chain: &[u8], key: &[u8]) -> Result<ClientConfig, String> {
    let chain =
        certificates(chain).map_err(|error| format!("the client certificate cannot be read: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| format!("the client key cannot be read: {error}"))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| format!("the client certificate cannot be used: {error}"))
}

/// Takes any certificate, as the owner of the connection asked (`insecureSkipTLSVerify` and its like), from whoever proves to
/// hold its key.
pub fn trusting_anyone() -> Builder {
    judged(Trust::Anyone, true)
}

/// Takes any certificate without the proof that the server holds its key: for probes, which ask only whether something
/// answers, and for loads whose cost is measured.
pub fn trusting_anyone_unproven() -> Builder {
    judged(Trust::Anyone, false)
}

fn judged(trust: Trust, proven: bool) -> Builder {
    let judge = Judge { trust, proven, provider: provider() };
    builder().dangerous().with_custom_certificate_verifier(Arc::new(judge))
}

fn builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("because ring has the default protocol versions")
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Which certificates are believed.
#[derive(Debug)]
enum Trust {
    Anyone,
    /// See [`believing`].
    Given {
        signed: Arc<WebPkiServerVerifier>,
        themselves: Vec<CertificateDer<'static>>,
    },
}

#[derive(Debug)]
struct Judge {
    trust: Trust,
    /// The handshake's signature is checked.
    proven: bool,
    provider: Arc<CryptoProvider>,
}

/// How one version of TLS checks that a message was signed with a certificate's key.
type Check = fn(
    &[u8],
    &CertificateDer<'_>,
    &DigitallySignedStruct,
    &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, rustls::Error>;

impl Judge {
    fn prove(
        &self,
        check: Check,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match self.proven {
            false => Ok(HandshakeSignatureValid::assertion()),
            true => check(message, certificate, signed, &self.provider.signature_verification_algorithms),
        }
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Trust::Given { signed, themselves } = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        if !themselves.iter().any(|own| own[..] == shown[..]) {
            return signed.verify_server_cert(shown, others, name, ocsp, now);
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
        self.prove(verify_tls12_signature, message, certificate, signed)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.prove(verify_tls13_signature, message, certificate, signed)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
