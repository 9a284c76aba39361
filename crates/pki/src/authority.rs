//! One certificate authority: a P-256 key and its self-signed certificate in two files, and what it issues.

use std::path::Path;

use base::Clock;
use jiff::Span;
use jiff::tz::TimeZone;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};

use crate::{Error, files};

/// Days that a CA lives: nobody visits a site to renew one.
const CA_DAYS: i64 = 3650;
/// Days that an issued certificate lives.
pub(crate) const LEAF_DAYS: i64 = 365;

/// See the module.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    /// Without its key.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Authority")
    }
}

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Serve,
    Client,
    /// A peer that serves and calls.
    Both,
}

/// What to issue.
#[derive(Clone, Debug)]
pub struct Request {
    /// The user's name for a client certificate.
    pub common_name: String,
    /// The group for a client certificate, e.g. `system:masters`.
    pub organization: Option<String>,
    /// DNS names and addresses for a serving certificate.
    pub names: Vec<String>,
    pub purpose: Purpose,
}

/// A certificate with its key, both PEM.
#[derive(Clone)]
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    /// Loads `<dir>/<file>.crt` and `.key`, or makes them.
    pub fn open(dir: &Path, file: &str, name: &str, clock: &Clock) -> Result<Authority, Error> {
        let (certificate, key) = (dir.join(format!("{file}.crt")), dir.join(format!("{file}.key")));
        let unusable = |detail: String| Error::Unusable { path: certificate.clone(), what: "CA", detail };
        let (pem, pair) = match (files::read(&certificate)?, files::read(&key)?) {
            (Some(pem), Some(text)) => {
                (pem, KeyPair::from_pem(&text).map_err(|error| unusable(error.to_string()))?)
            }
            (Some(_), None) => return Err(unusable(format!("{} is missing", key.display()))),
            // A key without a certificate is what a power cut between the two writes leaves: start over.
            (None, _) => {
                let (pem, pair) = make(name, clock)
                    .map_err(|error| Error::Issue { subject: name.into(), detail: error.to_string() })?;
                files::write(&key, &pair.serialize_pem())?;
                files::write(&certificate, &pem)?;
                (pem, pair)
            }
        };
        let issuer = Issuer::from_ca_cert_pem(&pem, pair).map_err(|error| unusable(error.to_string()))?;
        Ok(Authority { pem, issuer })
    }

    /// The CA's certificate.
    pub fn pem(&self) -> String {
        self.pem.clone()
    }

    pub(crate) fn key(&self) -> &KeyPair {
        self.issuer.key()
    }

    /// Issues a certificate that is valid from a day ago (clocks differ) for a year, with a new key.
    pub fn issue(&self, request: &Request, clock: &Clock) -> Result<Issued, Error> {
        let attempt = || -> Result<Issued, rcgen::Error> {
            let pair = KeyPair::generate()?;
            let mut params = CertificateParams::new(request.names.clone())?;
            dates(&mut params, clock, LEAF_DAYS);
            params.distinguished_name = DistinguishedName::new();
            if let Some(organization) = &request.organization {
                params.distinguished_name.push(DnType::OrganizationName, organization.as_str());
            }
            params.distinguished_name.push(DnType::CommonName, request.common_name.as_str());
            params.is_ca = IsCa::ExplicitNoCa;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = match request.purpose {
                Purpose::Serve => vec![ExtendedKeyUsagePurpose::ServerAuth],
                Purpose::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
                Purpose::Both => {
                    vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
                }
            };
            params.use_authority_key_identifier_extension = true;
            let certificate = params.signed_by(&pair, &self.issuer)?;
            Ok(Issued { certificate: certificate.pem(), key: pair.serialize_pem() })
        };
        attempt()
            .map_err(|error| Error::Issue { subject: request.common_name.clone(), detail: error.to_string() })
    }

    /// The certificate in `<dir>/<file>.crt` with its key, issued anew if one of them is missing or damaged, it was issued by
    /// another CA, is for other names, or has lived two thirds of its life.
    pub fn keep(&self, dir: &Path, file: &str, request: &Request, clock: &Clock) -> Result<Issued, Error> {
        let (certificate, key) = (dir.join(format!("{file}.crt")), dir.join(format!("{file}.key")));
        if let (Some(pem), Some(text)) = (files::read(&certificate)?, files::read(&key)?)
            && self.fits(&pem, &text, request, clock)
        {
            return Ok(Issued { certificate: pem, key: text });
        }
        files::make_dir(dir)?;
        let issued = self.issue(request, clock)?;
        files::write(&key, &issued.key)?;
        files::write(&certificate, &issued.certificate)?;
        Ok(issued)
    }

    /// The certificate is this CA's and the key's, says what `request` asks, and is in the first two thirds of its life.
    fn fits(&self, pem: &str, key: &str, request: &Request, clock: &Clock) -> bool {
        use x509_parser::prelude::*;
        let (Ok((_, own)), Ok((_, ca))) =
            (parse_x509_pem(pem.as_bytes()), parse_x509_pem(self.pem.as_bytes()))
        else {
            return false;
        };
        let (Ok(own), Ok(ca)) = (own.parse_x509(), ca.parse_x509()) else { return false };
        let Ok(key) = KeyPair::from_pem(key) else { return false };
        let whole = own.public_key().subject_public_key.data == key.public_key_raw();
        let now = clock.now().as_second();
        let (from, to) = (own.validity().not_before.timestamp(), own.validity().not_after.timestamp());
        let young = from <= now && now < from + (to - from) / 3 * 2;
        let subject = own.subject().iter_common_name().any(|name| name.as_str() == Ok(&request.common_name));
        let mut names: Vec<String> = match own.subject_alternative_name() {
            Ok(Some(names)) => names.value.general_names.iter().filter_map(name_text).collect(),
            _ => Vec::new(),
        };
        let mut wanted = request.names.clone();
        names.sort();
        wanted.sort();
        whole && young && subject && names == wanted && own.verify_signature(Some(ca.public_key())).is_ok()
    }
}

fn name_text(name: &x509_parser::extensions::GeneralName<'_>) -> Option<String> {
    use x509_parser::extensions::GeneralName;
    match name {
        GeneralName::DNSName(name) => Some((*name).into()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|octets| std::net::Ipv4Addr::from(octets).to_string()),
            16 => {
                <[u8; 16]>::try_from(*bytes).ok().map(|octets| std::net::Ipv6Addr::from(octets).to_string())
            }
            _ => None,
        },
        _ => None,
    }
}

fn make(name: &str, clock: &Clock) -> Result<(String, KeyPair), rcgen::Error> {
    let pair = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    dates(&mut params, clock, CA_DAYS);
    params.distinguished_name = DistinguishedName::new();
    // The time makes the names of two CAs differ, so that a client with both finds the right one.
    let named = format!("{name}@{}", clock.now().as_second());
    params.distinguished_name.push(DnType::CommonName, named);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok((params.self_signed(&pair)?.pem(), pair))
}

/// From midnight of the day before to midnight `days` later.
fn dates(params: &mut CertificateParams, clock: &Clock, days: i64) {
    let today = clock.now().to_zoned(TimeZone::UTC).date();
    let day = |span: Span| {
        let date = today.saturating_add(span);
        rcgen::date_time_ymd(date.year().into(), date.month() as u8, date.day() as u8)
    };
    params.not_before = day(Span::new().days(-1));
    params.not_after = day(Span::new().days(days));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;

    fn request(names: &[&str]) -> Request {
        Request {
            common_name: "kube-apiserver".into(),
            organization: None,
            names: names.iter().map(|name| name.to_string()).collect(),
            purpose: Purpose::Serve,
        }
    }

    #[test]
    fn a_certificate_is_kept_until_it_no_longer_fits() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::fixed("2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
        let ca = Authority::open(dir.path(), "ca", "test", &clock).unwrap();
        let keep = |ca: &Authority, names: &[&str]| {
            ca.keep(dir.path(), "serving", &request(names), &clock).unwrap().certificate
        };
        let first = keep(&ca, &["localhost", "127.0.0.1"]);
        assert_eq!(keep(&ca, &["127.0.0.1", "localhost"]), first);
        let other = keep(&ca, &["localhost", "127.0.0.1", "box"]);
        assert_ne!(other, first);
        for damaged in ["", "-----BEGIN PRIVATE K"] {
            std::fs::write(dir.path().join("serving.key"), damaged).unwrap();
            assert_ne!(keep(&ca, &["localhost", "127.0.0.1", "box"]), other);
        }
        let other = keep(&ca, &["localhost", "127.0.0.1", "box"]);
        clock.advance(Duration::from_secs(240 * 86400));
        assert_eq!(keep(&ca, &["localhost", "127.0.0.1", "box"]), other);
        clock.advance(Duration::from_secs(10 * 86400));
        let renewed = keep(&ca, &["localhost", "127.0.0.1", "box"]);
        assert_ne!(renewed, other);
        let again = Authority::open(dir.path(), "ca", "test", &clock).unwrap();
        assert_eq!(again.pem(), ca.pem());
        std::fs::remove_file(dir.path().join("ca.crt")).unwrap();
        let new = Authority::open(dir.path(), "ca", "test", &clock).unwrap();
        assert_ne!(keep(&new, &["localhost", "127.0.0.1", "box"]), renewed);
    }
}
