//! TLS of outgoing connections: whom they believe. Connections between skiff's own processes are not made here but in `pki`,
//! by the cluster's CAs and the trusted clock (D12).
//!
//! Every configuration is ring's with its default versions of TLS. Taking anyone is asked for by name, never a default.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WantsClientCert, WebPkiServerVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme, WantsVerifier,
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

/// What [`trusting`] asks, for those who ask more. Errors: `roots` are none.
pub fn verifier(roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, VerifierBuilderError> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build()
}

/// Believes whom `verifier` believes.
pub fn verified_by(verifier: Arc<dyn ServerCertVerifier>) -> Builder {
    builder().dangerous().with_custom_certificate_verifier(verifier)
}

/// Takes any certificate, as the owner of the connection asked (`insecureSkipTLSVerify` and its like), from whoever proves to
/// hold its key.
pub fn trusting_anyone() -> Builder {
    builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone { proven: true, provider: provider() }))
}

/// Takes any certificate without the proof that the server holds its key: for probes, which ask only whether something
/// answers, and for loads whose cost is measured.
pub fn trusting_anyone_unproven() -> Builder {
    builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone { proven: false, provider: provider() }))
}

fn builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("because ring has the default protocol versions")
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[derive(Debug)]
struct Anyone {
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

impl Anyone {
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
