//! Private keys and certificates. Keys of RSA and on curves are made of the [`World`]'s chance; DSA keys, which nothing
//! has accepted for years, are not made.

use std::rc::Rc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rsa::RsaPrivateKey;
use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey, LineEnding};
use rsa::pkcs8::EncodePrivateKey;

use super::{Done, Entries, int, text};
use crate::go::value::{Field, Struct, StructType};
use crate::go::{Value, World, print};
use crate::template::{Frame, function};

pub fn all() -> Entries {
    vec![
        (
            "genPrivateKey",
            function("s", |frame, a| {
                // Making a key of 4096 bits takes seconds.
                frame.exec.step(5_000_000)?;
                let kind = text(a, 0);
                Ok(match kind.as_str() {
                    "" | "rsa" => rsa_key(frame, 4096)?.into(),
                    "ecdsa" => ec_key(frame)?.into(),
                    "ed25519" => ed25519_key(frame).into(),
                    "dsa" => return Err("DSA keys are not made; use rsa, ecdsa or ed25519".into()),
                    other => format!("Unknown type {other}").into(),
                })
            }),
        ),
        ("buildCustomCert", function("ss", |_, a| build_custom(a))),
        (
            "genCA",
            function("si", |frame, a| {
                let key = rsa_key(frame, 2048)?;
                certificate(frame, &text(a, 0), None, None, int(a, 1), &key, Signer::Authority)
            }),
        ),
        (
            "genCAWithKey",
            function("sis", |frame, a| {
                let key = checked(&text(a, 2)).map_err(|error| format!("parsing private key: {error}"))?;
                certificate(frame, &text(a, 0), None, None, int(a, 1), &key, Signer::Authority)
            }),
        ),
        (
            "genSelfSignedCert",
            function("sLLi", |frame, a| {
                let key = rsa_key(frame, 2048)?;
                certificate_for(frame, a, &key, Signer::Own)
            }),
        ),
        (
            "genSelfSignedCertWithKey",
            function("sLLis", |frame, a| {
                let key = checked(&text(a, 4)).map_err(|error| format!("parsing private key: {error}"))?;
                certificate_for(frame, a, &key, Signer::Own)
            }),
        ),
        (
            "genSignedCert",
            function("sLLic", |frame, a| {
                let key = rsa_key(frame, 2048)?;
                certificate_for(frame, a, &key, Signer::Other(&a[4]))
            }),
        ),
        (
            "genSignedCertWithKey",
            function("sLLics", |frame, a| {
                let key = checked(&text(a, 5)).map_err(|error| format!("parsing private key: {error}"))?;
                certificate_for(frame, a, &key, Signer::Other(&a[4]))
            }),
        ),
    ]
}

/// The world's chance in the form that key generators take.
struct Chance<'w>(&'w dyn World);

impl rsa::rand_core::TryRng for Chance<'_> {
    type Error = std::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.0.random(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.0.random(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }
    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Self::Error> {
        self.0.random(buffer);
        Ok(())
    }
}

impl rsa::rand_core::TryCryptoRng for Chance<'_> {}

fn rsa_key(frame: &Frame<'_, '_>, bits: usize) -> Result<String, String> {
    let mut chance = Chance(frame.exec.world);
    let key = RsaPrivateKey::new(&mut chance, bits)
        .map_err(|error| format!("error generating rsa key: {error}"))?;
    let pem = key.to_pkcs1_pem(LineEnding::LF).map_err(|error| error.to_string())?;
    Ok(pem.to_string())
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = super::encoding::base64_encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

/// The label and the bytes of the first PEM block.
fn unpem(text: &str) -> Option<(String, Vec<u8>)> {
    let start = text.find("-----BEGIN ")?;
    let rest = &text[start + "-----BEGIN ".len()..];
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let compact: String = body.chars().filter(|char| !char.is_whitespace()).collect();
    Some((label.into(), super::encoding::base64_decode(compact.as_bytes()).ok()?))
}

fn ec_key(frame: &Frame<'_, '_>) -> Result<String, String> {
    for _ in 0..100 {
        let mut bytes = [0; 32];
        frame.exec.world.random(&mut bytes);
        if let Ok(key) = p256::SecretKey::from_slice(&bytes) {
            let der = key.to_sec1_der().map_err(|error| error.to_string())?;
            return Ok(pem("EC PRIVATE KEY", &der));
        }
    }
    Err("failed to generate private key".into())
}

/// PKCS #8 without the public key: RFC 8410.
fn ed25519_key(frame: &Frame<'_, '_>) -> String {
    const BEFORE: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let mut seed = [0; 32];
    frame.exec.world.random(&mut seed);
    pem("PRIVATE KEY", &[BEFORE.as_slice(), &seed].concat())
}

/// A key's PEM, once it is known to hold a key; the errors are upstream's.
fn checked(text: &str) -> Result<String, String> {
    key_pair(text)?;
    Ok(text.into())
}

fn key_pair(text: &str) -> Result<KeyPair, String> {
    let (label, der) = unpem(text).ok_or("no PEM data in input")?;
    let pkcs8 = match label.as_str() {
        "PRIVATE KEY" => der,
        "RSA PRIVATE KEY" => {
            let key = RsaPrivateKey::from_pkcs1_der(&der)
                .map_err(|error| format!("parsing RSA private key from PEM: {error}"))?;
            key.to_pkcs8_der().map_err(|error| error.to_string())?.as_bytes().to_vec()
        }
        "EC PRIVATE KEY" => {
            let key = p256::SecretKey::from_sec1_der(&der)
                .map_err(|error| format!("parsing EC private key from PEM: {error}"))?;
            let key = p256::pkcs8::EncodePrivateKey::to_pkcs8_der(&key).map_err(|error| error.to_string())?;
            key.as_bytes().to_vec()
        }
        other => {
            return Err(match other.strip_suffix(" PRIVATE KEY") {
                Some(kind) => format!("invalid private key type {kind}"),
                None => format!("no private key data in PEM block of type {other}"),
            });
        }
    };
    KeyPair::try_from(pkcs8).map_err(|error| format!("decoding PEM as PKCS#8: {error}"))
}

static CERTIFICATE: StructType = StructType {
    name: "sprig.certificate",
    embeds: false,
    fields: &[Field { go: "Cert", json: "Cert", omit: false }, Field { go: "Key", json: "Key", omit: false }],
};

fn pair(cert: String, key: String) -> Value {
    Value::Struct(Rc::new(Struct { ty: &CERTIFICATE, pointer: false, fields: vec![cert.into(), key.into()] }))
}

fn build_custom(args: &[Value]) -> Done {
    let decode = |at: usize, what: &str| {
        super::encoding::base64_decode(text(args, at).as_bytes())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(|_| format!("unable to decode base64 {what}"))
    };
    let (cert, key) = (decode(0, "certificate")?, decode(1, "private key")?);
    let (_, der) = unpem(&cert).ok_or("unable to decode certificate")?;
    x509_parser::parse_x509_certificate(&der)
        .map_err(|error| format!("error parsing certificate: decodedCert.Bytes: {error}"))?;
    key_pair(&key).map_err(|error| format!("error parsing private key: {error}"))?;
    Ok(pair(cert, key))
}

enum Signer<'a> {
    Authority,
    Own,
    Other(&'a Value),
}

/// A certificate for the name, addresses, names and days that a template gave.
fn certificate_for(frame: &Frame<'_, '_>, a: &[Value], key: &str, signer: Signer<'_>) -> Done {
    certificate(frame, &text(a, 0), Some(&a[1]), Some(&a[2]), int(a, 3), key, signer)
}

fn certificate(
    frame: &Frame<'_, '_>,
    name: &str,
    ips: Option<&Value>,
    names: Option<&Value>,
    days: i64,
    key: &str,
    signer: Signer<'_>,
) -> Done {
    frame.exec.step(1_000_000)?;
    let own = key_pair(key)?;
    let issuer = match &signer {
        Signer::Other(Value::Struct(ca)) => {
            let part = |name: &str| ca.field(name).map(|value| print::display(&value)).unwrap_or_default();
            let (_, der) = unpem(&part("Cert")).ok_or("unable to decode certificate")?;
            let key =
                key_pair(&part("Key")).map_err(|error| format!("error parsing private key: {error}"))?;
            let issuer = Issuer::from_ca_cert_der(&der.into(), key)
                .map_err(|error| format!("error parsing certificate: decodedSignerCert.Bytes: {error}"))?;
            Some(issuer)
        }
        _ => None,
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    for ip in elements(ips) {
        let Value::Str(text) = &ip else {
            return Err(format!("error parsing ip: {} is not a string", print::display(&ip)));
        };
        let address = text.text().parse().map_err(|_| format!("error parsing ip: {}", text.text()))?;
        params.subject_alt_names.push(SanType::IpAddress(address));
    }
    for dns in elements(names) {
        let Value::Str(text) = &dns else {
            return Err(format!(
                "error processing alternate dns name: {} is not a string",
                print::display(&dns)
            ));
        };
        let name = text.text().as_ref().try_into().map_err(|error: rcgen::Error| error.to_string())?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    let mut serial = [0; 16];
    frame.exec.world.random(&mut serial);
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let now = frame.exec.world.now().div_euclid(1_000_000_000) as i64;
    let start = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = start + std::time::Duration::from_secs(now.max(0) as u64);
    params.not_after =
        start + std::time::Duration::from_secs((now + days.saturating_mul(86_400)).max(0) as u64);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.is_ca = IsCa::ExplicitNoCa;
    if matches!(signer, Signer::Authority) {
        params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params.use_authority_key_identifier_extension = issuer.is_some();
    let made = match &issuer {
        Some(issuer) => params.signed_by(&own, issuer),
        None => params.self_signed(&own),
    };
    let made = made.map_err(|error| format!("error creating certificate: {error}"))?;
    Ok(pair(pem("CERTIFICATE", made.der()), key.into()))
}

fn elements(value: Option<&Value>) -> Vec<Value> {
    value.and_then(Value::elements).map(|items| items.into_owned()).unwrap_or_default()
}
