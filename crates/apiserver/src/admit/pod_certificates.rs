//! What the keys and certificates of a PodCertificateRequest are made of, and who may sign (a part of the kind's validation
//! that needs arithmetic and the authorizer; k8s.io/kubernetes/pkg/apis/certificates/validation).

use api::Value;
use api::field::{Error, Path};
use api::kinds::certificates::pod_certificate_request::{ENDS, bare, has_ended};
use api::validation::check::Errors;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{self, UnparsedPublicKey};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::SubjectPublicKeyInfo;

use super::certificates::may;
use crate::engine::Call;

/// Bytes of a key, a proof or a request.
const MOST: usize = 10 * 1024;
/// Bytes of a chain.
const MOST_CHAIN: usize = 100 * 1024;
const MINUTE: i64 = 60;

fn is_one(call: &Call) -> bool {
    let resource = &call.target.kind.resource;
    (resource.group.as_str(), resource.plural.as_str()) == ("certificates.k8s.io", "podcertificaterequests")
}

fn place(steps: [&str; 2]) -> Path {
    Path::new(steps[0]).child(steps[1])
}

fn bytes(value: &Value, field: &str) -> Vec<u8> {
    STANDARD.decode(value.str_at(&["spec", field])).unwrap_or_default()
}

/// Adds what is wrong with the key of a new request. A request that names neither or both kinds of key was told so.
pub(crate) fn created(call: &Call, value: &Value, errors: &mut Errors) {
    if !is_one(call) {
        return;
    }
    let (request, key, proof) =
        (bytes(value, "stubPKCS10Request"), bytes(value, "pkixPublicKey"), bytes(value, "proofOfPossession"));
    match (request.is_empty(), key.is_empty(), proof.is_empty()) {
        (false, true, true) => errors.extend(bad_request(&request)),
        (true, false, false) => {
            let uid = value.str_at(&["spec", "podUID"]);
            let shown = value.str_at(&["spec", "pkixPublicKey"]);
            errors.extend(bad_key(&key, shown, &proof, uid));
        }
        _ => {}
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Curve {
    P256,
    P384,
    P521,
    Other(&'static str),
}

/// A public key by what Go's parser makes of it.
enum Key<'k> {
    Ed25519(&'k [u8]),
    Ec(Curve, &'k [u8]),
    /// Bits of the modulus, in whole bytes.
    Rsa(usize),
    Other,
}

fn key<'k>(info: &'k SubjectPublicKeyInfo<'_>) -> Option<Key<'k>> {
    let point: &[u8] = &info.subject_public_key.data;
    match info.algorithm.algorithm.to_id_string().as_str() {
        "1.3.101.112" => (point.len() == 32).then_some(Key::Ed25519(point)),
        "1.2.840.10045.2.1" => {
            let curve = info.algorithm.parameters.as_ref()?.as_oid().ok()?;
            let (curve, length) = match curve.to_id_string().as_str() {
                "1.2.840.10045.3.1.7" => (Curve::P256, 65),
                "1.3.132.0.34" => (Curve::P384, 97),
                "1.3.132.0.35" => (Curve::P521, 133),
                "1.3.132.0.33" => (Curve::Other("P-224"), 57),
                _ => return None,
            };
            (point.len() == length && point[0] == 4).then_some(Key::Ec(curve, point))
        }
        "1.2.840.113549.1.1.1" => match info.parsed().ok()? {
            x509_parser::public_key::PublicKey::RSA(key) => {
                let modulus = key.modulus.iter().skip_while(|byte| **byte == 0).count();
                Some(Key::Rsa(modulus * 8))
            }
            _ => None,
        },
        "1.3.101.110" | "1.2.840.10040.4.1" => Some(Key::Other),
        _ => None,
    }
}

const RSA: &str = "RSA keys must have modulus size 3072 or 4096";
const UNKNOWN: &str = "unknown public key type; supported types are Ed25519, ECDSA, and RSA";

fn bad_key(key_der: &[u8], shown: &str, proof: &[u8], uid: &str) -> Option<Error> {
    let (path, proof_path) = (place(["spec", "pkixPublicKey"]), place(["spec", "proofOfPossession"]));
    if key_der.len() > MOST {
        return Some(Error::too_long(path, MOST));
    }
    if proof.len() > MOST {
        return Some(Error::too_long(proof_path, MOST));
    }
    let info = SubjectPublicKeyInfo::from_der(key_der).ok().filter(|(rest, _)| rest.is_empty());
    let Some((info, key)) = info.as_ref().and_then(|(_, info)| Some((info, key(info)?))) else {
        return Some(Error::invalid(path, shown, "must be a valid PKIX-serialized public key"));
    };
    match key {
        Key::Ec(Curve::Other(name), _) => {
            let text = "elliptic public keys must use curve P256 or P384";
            return Some(Error::invalid(path, format!("curve {name}"), text));
        }
        Key::Rsa(bits) if bits != 3072 && bits != 4096 => {
            return Some(Error::invalid(path, format!("{bits}-bit modulus"), RSA));
        }
        Key::Other => return Some(Error::invalid(path, shown, UNKNOWN)),
        _ => {}
    }
    let good = proves(info, &key, uid.as_bytes(), proof);
    (!good).then(|| bare(&proof_path, "could not verify proof-of-possession signature"))
}

/// `proof` is this key's signature of the pod's uid.
fn proves(info: &SubjectPublicKeyInfo<'_>, key: &Key<'_>, uid: &[u8], proof: &[u8]) -> bool {
    let by = |of: &'static dyn signature::VerificationAlgorithm, point: &[u8]| {
        UnparsedPublicKey::new(of, point).verify(uid, proof).is_ok()
    };
    match key {
        Key::Ed25519(point) => by(&signature::ED25519, point),
        Key::Ec(Curve::P256, point) => by(&signature::ECDSA_P256_SHA256_ASN1, point),
        Key::Ec(Curve::P384, point) => by(&signature::ECDSA_P384_SHA256_ASN1, point),
        Key::Ec(Curve::P521, point) => {
            verifies_p521(point, ring::digest::digest(&ring::digest::SHA256, uid).as_ref(), proof)
        }
        Key::Rsa(_) => verifies_pss(info.raw, uid, proof),
        Key::Ec(Curve::Other(_), _) | Key::Other => false,
    }
}

/// RSASSA-PSS with SHA-256 and salt of any length (ring takes one length only, Go's signer makes the longest).
fn verifies_pss(der: &[u8], message: &[u8], signature: &[u8]) -> bool {
    use rsa::pkcs8::DecodePublicKey;
    use rsa::pss::{Signature, VerifyingKey};
    use rsa::signature::Verifier;
    let (Ok(key), Ok(signature)) =
        (rsa::RsaPublicKey::from_public_key_der(der), Signature::try_from(signature))
    else {
        return false;
    };
    VerifyingKey::<rsa::sha2::Sha256>::new_with_auto_salt_len(key).verify(message, &signature).is_ok()
}

/// ring knows no P-521. A digest shorter than the curve's order is the same number with zeros before it.
fn verifies_p521(point: &[u8], digest: &[u8], der: &[u8]) -> bool {
    use p521::ecdsa::signature::hazmat::PrehashVerifier;
    use p521::ecdsa::{Signature, VerifyingKey};
    const WIDTH: usize = 66;
    let fixed = |bytes: &[u8]| -> Option<Vec<u8>> {
        let bytes: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        let zeros = WIDTH.checked_sub(bytes.len())?;
        Some([vec![0; zeros], bytes].concat())
    };
    let parts = || -> Option<Vec<u8>> {
        let (r, s) = two_integers(der)?;
        Some([fixed(r)?, fixed(s)?].concat())
    };
    let (Some(parts), Some(digest)) = (parts(), fixed(digest)) else { return false };
    match (VerifyingKey::from_sec1_bytes(point), Signature::from_slice(&parts)) {
        (Ok(key), Ok(signature)) => key.verify_prehash(&digest, &signature).is_ok(),
        _ => false,
    }
}

/// `SEQUENCE { INTEGER, INTEGER }` in DER, of less than 256 bytes.
fn two_integers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    fn value(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
        let (first, rest) = der.split_first()?;
        let (length, rest) = rest.split_first().filter(|_| *first == tag)?;
        let (length, rest) = match length {
            0..=0x7f => (usize::from(*length), rest),
            0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
            _ => return None,
        };
        rest.split_at_checked(length)
    }
    let (inner, rest) = value(0x30, der)?;
    let (r, inner) = value(0x02, inner)?;
    let (s, end) = value(0x02, inner)?;
    (rest.is_empty() && end.is_empty()).then_some((r, s))
}

fn bad_request(der: &[u8]) -> Option<Error> {
    let path = place(["spec", "stubPKCS10Request"]);
    if der.len() > MOST {
        return Some(Error::too_long(path, MOST));
    }
    let request = X509CertificationRequest::from_der(der).ok().filter(|(rest, _)| rest.is_empty());
    let info = request.as_ref().map(|(_, request)| &request.certification_request_info.subject_pki);
    let (Some((_, request)), Some(key)) = (&request, info.and_then(key)) else {
        return Some(bare(&path, "must be a valid PKCS#10 CSR"));
    };
    match key {
        Key::Ec(Curve::Other(name), _) => {
            let text = "elliptic public keys must use curve P256, P384, or P521";
            return Some(Error::invalid(path, format!("curve {name}"), text));
        }
        Key::Rsa(bits) if bits != 3072 && bits != 4096 => {
            return Some(Error::invalid(path, format!("{bits}-bit modulus"), RSA));
        }
        Key::Other => return Some(bare(&path, UNKNOWN)),
        _ => {}
    }
    let signed = match key {
        Key::Ec(Curve::P521, point) => {
            let of = match request.signature_algorithm.algorithm.to_id_string().as_str() {
                "1.2.840.10045.4.3.2" => &ring::digest::SHA256,
                "1.2.840.10045.4.3.3" => &ring::digest::SHA384,
                _ => &ring::digest::SHA512,
            };
            let digest = ring::digest::digest(of, request.certification_request_info.raw);
            verifies_p521(point, digest.as_ref(), &request.signature_value.data)
        }
        _ => request.verify_signature().is_ok(),
    };
    (!signed).then(|| bare(&path, "invalid signature"))
}

/// Adds what is wrong with an issued chain, and then that who writes the status may not sign.
pub(crate) fn told(call: &Call, value: &Value, old: &Value, now: i64, errors: &mut Errors) {
    if !is_one(call) || !errors.is_empty() {
        return;
    }
    let ended = ENDS.iter().any(|end| has_ended(old, end));
    if !ended && has_ended(value, "Issued") {
        bad_chain(value, old, now, errors);
    }
    if errors.is_empty() && value.get("status") != old.get("status") {
        let signer = old.str_at(&["spec", "signerName"]);
        if !may(call, "sign", signer) {
            let user = &call.identity.name;
            let text = format!("User {user:?} is not permitted to \"sign\" for signer {signer:?}");
            errors.push(Error::forbidden(place(["spec", "signerName"]), text));
        }
    }
}

/// Stops at the first mistake that makes no sense of the rest, as upstream does.
fn bad_chain(value: &Value, old: &Value, now: i64, errors: &mut Errors) {
    let path = place(["status", "certificateChain"]);
    let chain = value.str_at(&["status", "certificateChain"]);
    if chain.len() > MOST_CHAIN {
        return errors.push(Error::too_long(path, MOST_CHAIN));
    }
    let wrong = |text: &str| Error::invalid(path.clone(), chain, text);
    let mut blocks = Pem::iter_from_buffer(chain.as_bytes()).map_while(Result::ok);
    let Some(leaf) = blocks.next() else {
        return errors.push(wrong("issued certificate chain must contain at least one certificate"));
    };
    if leaf.label != "CERTIFICATE" {
        return errors
            .push(wrong("issued certificate chain must consist entirely of CERTIFICATE PEM blocks"));
    }
    let Some((_, leaf)) = X509Certificate::from_der(&leaf.contents).ok().filter(|(rest, _)| rest.is_empty())
    else {
        return errors.push(wrong("leaf certificate does not parse as valid X.509"));
    };
    bad_names(&leaf, &path, errors);
    let key = match bytes(old, "stubPKCS10Request") {
        request if request.is_empty() => bytes(old, "pkixPublicKey"),
        request => X509CertificationRequest::from_der(&request)
            .map(|(_, request)| request.certification_request_info.subject_pki.raw.to_vec())
            .unwrap_or_default(),
    };
    let wanted = SubjectPublicKeyInfo::from_der(&key);
    let same = wanted.is_ok_and(|(_, wanted)| {
        let is = leaf.public_key();
        wanted.subject_public_key == is.subject_public_key
            && wanted.algorithm.algorithm == is.algorithm.algorithm
    });
    if !same {
        return errors.push(wrong("leaf certificate was not issued to the requested public key"));
    }
    let before = errors.len();
    let moment = |field: &str| value.str_at(&["status", field]);
    for (field, why) in [
        ("notBefore", "must be present and consistent with the issued certificate"),
        ("notAfter", "must be present and consistent with the issued certificate"),
        ("beginRefreshAt", "must be present and in the range [notbefore+10min, notafter-10min]"),
    ] {
        if moment(field).is_empty() {
            errors.push(Error::required(place(["status", field]), why));
        }
    }
    if errors.len() > before {
        return;
    }
    errors.extend(bad_times(value, &leaf, now));
    if errors.len() > before {
        return;
    }
    for block in blocks {
        if block.label != "CERTIFICATE" {
            // Upstream's spelling.
            return errors
                .push(wrong("issued certificate chain must consist entirely of CERTFICATE PEM blocks"));
        }
        if X509Certificate::from_der(&block.contents).is_err() {
            return errors.push(wrong("intermediate certificate does not parse as valid X.509"));
        }
    }
}

fn bad_names(leaf: &X509Certificate<'_>, path: &Path, errors: &mut Errors) {
    let names = leaf.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let mut wrong = |name: &str, text: &str| errors.push(Error::invalid(path.clone(), name, text));
    for name in names {
        if let GeneralName::DNSName(name) = name {
            if name.is_empty() {
                wrong(name, "leaf certificate should not contain empty DNSName");
            }
            if name.contains("..") {
                wrong(name, "leaf certificate's DNSName should not contain '..'");
            }
            if name.starts_with('.') || name.ends_with('.') {
                wrong(name, "leaf certificate's DNSName should not start or end with '.'");
            }
        }
    }
    for name in names {
        if let GeneralName::RFC822Name(name) = name
            && name.split_once('@').is_none_or(|(user, host)| user.is_empty() || host.is_empty())
        {
            wrong(name, "leaf certificate should not contain invalid EmailAddress");
        }
    }
}

fn bad_times(value: &Value, leaf: &X509Certificate<'_>, now: i64) -> Option<Error> {
    let text = |field: &str| value.str_at(&["status", field]);
    let seconds = |field: &str| api::time::parse(text(field)).map_or(0, |time| time.seconds);
    let wrong = |field: &str, why: &str| Some(Error::invalid(place(["status", field]), text(field), why));
    let (from, to, refresh) = (seconds("notBefore"), seconds("notAfter"), seconds("beginRefreshAt"));
    let (begins, ends) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
    let chain = place(["status", "certificateChain"]);
    let life = ends - begins;
    let most = value.at(&["spec", "maxExpirationSeconds"]).and_then(Value::as_int).unwrap_or_default();
    let shown = life.saturating_mul(1_000_000_000);
    if from != begins {
        return wrong("notBefore", "must be set to the NotBefore time encoded in the leaf certificate");
    }
    if (from - now).abs() >= 5 * MINUTE {
        return wrong("notBefore", "must be set to within 5 minutes of kube-apiserver's current time");
    }
    if to != ends {
        return wrong("notAfter", "must be set to the NotAfter time encoded in the leaf certificate");
    }
    if life < 60 * MINUTE {
        return Some(Error::invalid(chain, shown, "leaf certificate lifetime must be >= 1 hour"));
    }
    if life > most {
        let why = format!("leaf certificate lifetime must be <= spec.maxExpirationSeconds ({most})");
        return Some(Error::invalid(chain, shown, why));
    }
    if refresh < from + 10 * MINUTE {
        return wrong("beginRefreshAt", "must be at least 10 minutes after status.notBefore");
    }
    if refresh > to - 10 * MINUTE {
        return wrong("beginRefreshAt", "must be at least 10 minutes before status.notAfter");
    }
    None
}
