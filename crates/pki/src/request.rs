//! Certificate requests of others (PKCS #10, RFC 2986), and the certificates that an [`Authority`] makes of them.
//!
//! Of a request are kept: the subject and the public key, byte for byte (a subject may have several organizations), and the
//! alternative names. Everything else (uses, dates) is the signer's to say; other extensions are left out, as upstream's signer
//! does (k8s.io/kubernetes/pkg/controller/certificates/authority).

use base::Clock;
use rcgen::SigningKey;
use rustls_pki_types::pem::{PemObject, SectionKind};
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate, X509CertificationRequest};

use crate::authority::Authority;
use crate::{Error, der};

/// What a request says, checked to be signed by the key that it is for.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub dns: usize,
    pub addresses: usize,
    pub emails: usize,
    pub uris: usize,
    subject: Vec<u8>,
    public_key: Vec<u8>,
    /// The value of the extension.
    names: Option<Vec<u8>>,
}

impl Wanted {
    /// Reads one PEM block `CERTIFICATE REQUEST`.
    pub fn parse(pem: &[u8]) -> Result<Wanted, String> {
        const BLOCK: &str = "PEM block type must be CERTIFICATE REQUEST";
        let (kind, der) = <(SectionKind, Vec<u8>)>::from_pem_slice(pem).map_err(|_| BLOCK)?;
        if kind != SectionKind::Csr {
            return Err(BLOCK.into());
        }
        let (_, request) = X509CertificationRequest::from_der(&der).map_err(|error| error.to_string())?;
        request
            .verify_signature()
            .map_err(|error| format!("unable to verify certificate request signature: {error}"))?;
        let info = &request.certification_request_info;
        let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().map(String::from);
        let mut wanted = Wanted {
            common_name: info
                .subject
                .iter_common_name()
                .last()
                .and_then(|name| text(name).ok())
                .unwrap_or_default(),
            organizations: info
                .subject
                .iter_organization()
                .map(|name| text(name).map_err(|error| error.to_string()))
                .collect::<Result<_, _>>()?,
            dns: 0,
            addresses: 0,
            emails: 0,
            uris: 0,
            subject: info.subject.as_raw().to_vec(),
            public_key: info.subject_pki.raw.to_vec(),
            names: None,
        };
        for attribute in info.iter_attributes() {
            let ParsedCriAttribute::ExtensionRequest(asked) = attribute.parsed_attribute() else { continue };
            for extension in &asked.extensions {
                let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() else {
                    continue;
                };
                for name in &names.general_names {
                    match name {
                        GeneralName::DNSName(_) => wanted.dns += 1,
                        GeneralName::IPAddress(_) => wanted.addresses += 1,
                        GeneralName::RFC822Name(_) => wanted.emails += 1,
                        GeneralName::URI(_) => wanted.uris += 1,
                        _ => {
                            return Err(
                                "a subjectAltName is neither a DNS name, an address, an email nor a URI"
                                    .into(),
                            );
                        }
                    }
                }
                wanted.names = Some(extension.value.to_vec());
            }
        }
        Ok(wanted)
    }
}

/// The seconds that a certificate is signed back, so that a peer whose clock is slow takes it.
const BACKDATE: i64 = 300;
/// Seconds of life below which the end is not moved back too.
const SHORT: i64 = 8 * 3600;

impl Authority {
    /// Signs a request for `usages`, by Kubernetes' names (`client auth`), for `seconds` of life; gives PEM.
    pub fn sign(
        &self,
        wanted: &Wanted,
        usages: &[&str],
        seconds: i64,
        clock: &Clock,
    ) -> Result<String, Error> {
        let failed = |detail: String| Error::Issue { subject: wanted.common_name.clone(), detail };
        if rcgen::PublicKeyData::algorithm(self.key()) != &rcgen::PKCS_ECDSA_P256_SHA256 {
            return Err(failed("the CA's key is not of the curve P-256".into()));
        }
        let pem = self.pem();
        let (_, own) =
            x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|error| failed(error.to_string()))?;
        let own = own.parse_x509().map_err(|error| failed(error.to_string()))?;
        let now = clock.now().as_second();
        let end = own.validity().not_after.timestamp();
        if now >= end {
            return Err(failed("the signer has expired".into()));
        }
        let wished = if seconds < SHORT { now + seconds } else { now + seconds - BACKDATE };
        let signed = certificate(&own, wanted, usages, now - BACKDATE, wished.min(end)).map_err(failed)?;
        let signature = self.key().sign(&signed).map_err(|error| failed(error.to_string()))?;
        let whole = der::sequence(&[signed, algorithm(), der::bits(&signature, 0)]);
        Ok(der::pem("CERTIFICATE", &whole))
    }
}

/// `ecdsa-with-SHA256` (RFC 5758).
fn algorithm() -> Vec<u8> {
    der::sequence(&[der::oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02])])
}

/// The part of a certificate that is signed (RFC 5280, 4.1.2).
fn certificate(
    own: &X509Certificate<'_>,
    wanted: &Wanted,
    usages: &[&str],
    from: i64,
    to: i64,
) -> Result<Vec<u8>, String> {
    let mut serial = crate::random::<16>().map_err(|error| error.to_string())?;
    // Positive, and of one length.
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(der::sequence(&[
        der::tagged(0, &der::integer(&[2])),
        der::integer(&serial),
        algorithm(),
        own.subject().as_raw().to_vec(),
        der::sequence(&[der::time(from), der::time(to)]),
        wanted.subject.clone(),
        wanted.public_key.clone(),
        der::tagged(3, &der::sequence(&extensions(own, wanted, usages)?)),
    ]))
}

fn extensions(own: &X509Certificate<'_>, wanted: &Wanted, usages: &[&str]) -> Result<Vec<Vec<u8>>, String> {
    let (uses, purposes) = uses(usages)?;
    let mut all = Vec::new();
    if uses != 0 {
        all.push(der::extension(&[0x55, 0x1d, 0x0f], true, &der::flags(uses)));
    }
    if !purposes.is_empty() {
        let purposes: Vec<Vec<u8>> = purposes.iter().map(|oid| der::oid(oid)).collect();
        all.push(der::extension(&[0x55, 0x1d, 0x25], false, &der::sequence(&purposes)));
    }
    all.push(der::extension(&[0x55, 0x1d, 0x13], true, &der::sequence(&[])));
    let identifier = own.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0),
        _ => None,
    });
    if let Some(identifier) = identifier {
        all.push(der::extension(&[0x55, 0x1d, 0x23], false, &der::sequence(&[der::implicit(0, identifier)])));
    }
    if let Some(names) = &wanted.names {
        // Critical where nothing else names the subject (RFC 5280, 4.2.1.6).
        all.push(der::extension(&[0x55, 0x1d, 0x11], wanted.subject == der::sequence(&[]), names));
    }
    Ok(all)
}

/// Kubernetes' names of key usages, by their bit.
const USES: [(&str, u32); 10] = [
    ("digital signature", 0),
    ("signing", 0),
    ("content commitment", 1),
    ("key encipherment", 2),
    ("data encipherment", 3),
    ("key agreement", 4),
    ("cert sign", 5),
    ("crl sign", 6),
    ("encipher only", 7),
    ("decipher only", 8),
];

/// Kubernetes' names of extended key usages, in the order in which Go writes them.
const PURPOSES: [(&str, &[u8]); 13] = [
    ("any", &[0x55, 0x1d, 0x25, 0x00]),
    ("server auth", &[0x2b, 6, 1, 5, 5, 7, 3, 1]),
    ("client auth", &[0x2b, 6, 1, 5, 5, 7, 3, 2]),
    ("code signing", &[0x2b, 6, 1, 5, 5, 7, 3, 3]),
    ("email protection", &[0x2b, 6, 1, 5, 5, 7, 3, 4]),
    ("s/mime", &[0x2b, 6, 1, 5, 5, 7, 3, 4]),
    ("ipsec end system", &[0x2b, 6, 1, 5, 5, 7, 3, 5]),
    ("ipsec tunnel", &[0x2b, 6, 1, 5, 5, 7, 3, 6]),
    ("ipsec user", &[0x2b, 6, 1, 5, 5, 7, 3, 7]),
    ("timestamping", &[0x2b, 6, 1, 5, 5, 7, 3, 8]),
    ("ocsp signing", &[0x2b, 6, 1, 5, 5, 7, 3, 9]),
    ("microsoft sgc", &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 10, 3, 3]),
    ("netscape sgc", &[0x60, 0x86, 0x48, 1, 0x86, 0xf8, 0x42, 4, 1]),
];

fn uses(usages: &[&str]) -> Result<(u32, Vec<&'static [u8]>), String> {
    let known = |usage: &&&str| {
        USES.iter().any(|(name, _)| *name == **usage) || PURPOSES.iter().any(|(name, _)| *name == **usage)
    };
    let unknown: Vec<_> = usages.iter().filter(|usage| !known(usage)).collect();
    if !unknown.is_empty() {
        return Err(format!("unrecognized usage values: {unknown:?}"));
    }
    let bits =
        USES.iter().filter(|(name, _)| usages.contains(name)).fold(0, |bits, (_, bit)| bits | 1 << bit);
    let mut purposes: Vec<&[u8]> =
        PURPOSES.iter().filter(|(name, _)| usages.contains(name)).map(|(_, oid)| *oid).collect();
    purposes.dedup();
    Ok((bits, purposes))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    const DAY: i64 = 86_400;

    fn authority() -> (tempfile::TempDir, Clock, Authority) {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::fixed("2026-01-01T12:00:00Z".parse().unwrap());
        let authority = Authority::open(dir.path(), "ca", "test", &clock).unwrap();
        (dir, clock, authority)
    }

    fn request(names: &[&str], pair: &KeyPair) -> String {
        let mut params =
            CertificateParams::new(names.iter().map(|name| name.to_string()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "jane");
        params.distinguished_name.push(DnType::OrganizationName, "dev");
        params.serialize_request(pair).unwrap().pem().unwrap()
    }

    #[test]
    fn a_signed_request_is_its_subject_with_the_uses_that_were_given() {
        let (_dir, clock, authority) = authority();
        let pair = KeyPair::generate().unwrap();
        let wanted = Wanted::parse(request(&["box", "10.0.0.7"], &pair).as_bytes()).unwrap();
        assert_eq!((wanted.common_name.as_str(), wanted.dns, wanted.addresses), ("jane", 1, 1));
        let pem = authority.sign(&wanted, &["client auth", "digital signature"], 30 * DAY, &clock).unwrap();
        let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
        let made = block.parse_x509().unwrap();
        let ca = authority.pem();
        let (_, ca) = x509_parser::pem::parse_x509_pem(ca.as_bytes()).unwrap();
        let ca = ca.parse_x509().unwrap();
        made.verify_signature(Some(ca.public_key())).unwrap();
        assert_eq!(made.issuer(), ca.subject());
        assert_eq!(made.public_key().raw, rcgen::PublicKeyData::subject_public_key_info(&pair));
        let now = clock.now().as_second();
        assert_eq!(made.validity().not_before.timestamp(), now - BACKDATE);
        assert_eq!(made.validity().not_after.timestamp(), now + 30 * DAY - BACKDATE);
        let uses = made.key_usage().unwrap().unwrap();
        assert!(uses.critical && uses.value.digital_signature() && !uses.value.key_cert_sign());
        let purposes = made.extended_key_usage().unwrap().unwrap().value;
        assert!(purposes.client_auth && !purposes.server_auth);
        assert!(!made.basic_constraints().unwrap().unwrap().value.ca);
        assert_eq!(made.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 2);
    }

    #[test]
    fn no_certificate_outlives_its_signer_and_short_ones_keep_their_end() {
        let (_dir, clock, authority) = authority();
        let wanted = Wanted::parse(request(&[], &KeyPair::generate().unwrap()).as_bytes()).unwrap();
        let end = |seconds: i64| {
            let pem = authority.sign(&wanted, &["client auth"], seconds, &clock).unwrap();
            let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
            block.parse_x509().unwrap().validity().not_after.timestamp()
        };
        assert_eq!(end(3600), clock.now().as_second() + 3600);
        assert!(end(40 * 365 * DAY) < clock.now().as_second() + 3651 * DAY);
        let why =
            authority.sign(&wanted, &["client auth", "moonlight"], DAY, &clock).unwrap_err().to_string();
        assert!(why.contains("unrecognized usage values: [\"moonlight\"]"), "{why}");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let pair = KeyPair::generate().unwrap();
        let good = request(&[], &pair);
        assert!(Wanted::parse(b"nothing").unwrap_err().contains("PEM block type"));
        assert!(Wanted::parse(pair.serialize_pem().as_bytes()).unwrap_err().contains("PEM block type"));
        // The last byte of the signature.
        let (_, mut der) = <(SectionKind, Vec<u8>)>::from_pem_slice(good.as_bytes()).unwrap();
        *der.last_mut().unwrap() ^= 1;
        let bent = der::pem("CERTIFICATE REQUEST", &der);
        assert!(Wanted::parse(bent.as_bytes()).unwrap_err().contains("signature"));
    }
}
