//! Certificates (RFC 9580, 10.1): a primary key, what it says of itself, its subkeys, and whether one of them may sign.

use ring::digest;
use ring::signature::{self as crypto, RsaPublicKeyComponents, UnparsedPublicKey};
use sha1::{Digest, Sha1};

use super::packet::{
    self, Bytes, Hash, PUBLIC_KEY, PUBLIC_SUBKEY, SIGNATURE, Signature, USER_ATTRIBUTE, USER_ID,
};
use super::{Why, armour};

/// Kinds of signatures.
const BINARY: u8 = 0x00;
const CERTIFICATIONS: std::ops::RangeInclusive<u8> = 0x10..=0x13;
const SUBKEY: u8 = 0x18;
const BACK: u8 = 0x19;
const DIRECT: u8 = 0x1f;
const REVOKED: u8 = 0x20;
const SUBKEY_REVOKED: u8 = 0x28;
const NAME_REVOKED: u8 = 0x30;
/// Key flags: it signs.
const SIGNS: u8 = 0x02;

#[derive(Clone, Debug)]
enum Public {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Ed25519(Vec<u8>),
    P256(Vec<u8>),
    P384(Vec<u8>),
    Other(String),
}

/// A key of a certificate.
#[derive(Clone, Debug)]
pub(super) struct Key {
    body: Vec<u8>,
    id: String,
    created: u64,
    public: Public,
}

impl Key {
    fn read(body: &[u8]) -> Result<Key, String> {
        let mut bytes = Bytes(body);
        let version = bytes.byte()?;
        if version != 4 {
            return Err(format!("a PGP key of version {version}; 4 is read"));
        }
        let created = bytes.number(4)? as u64;
        let public = match bytes.byte()? {
            1 | 3 => Public::Rsa { n: bytes.mpi()?.to_vec(), e: bytes.mpi()?.to_vec() },
            algorithm @ (19 | 22) => {
                let length = usize::from(bytes.byte()?);
                let curve = hex::encode(bytes.take(length)?);
                let point = bytes.mpi()?.to_vec();
                match (algorithm, curve.as_str()) {
                    (19, "2a8648ce3d030107") => Public::P256(point),
                    (19, "2b81040022") => Public::P384(point),
                    (22, "2b06010401da470f01") if point.first() == Some(&0x40) => {
                        Public::Ed25519(point[1..].to_vec())
                    }
                    _ => Public::Other(format!("the curve {curve} is not supported")),
                }
            }
            27 => Public::Ed25519(bytes.take(32)?.to_vec()),
            algorithm => Public::Other(format!("the algorithm {algorithm} is not supported")),
        };
        let mut key = Key { body: body.to_vec(), id: String::new(), created, public };
        let fingerprint = Sha1::digest(key.prefixed()?);
        key.id = hex::encode_upper(&fingerprint[12..]);
        Ok(key)
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// As it is hashed.
    fn prefixed(&self) -> Result<Vec<u8>, String> {
        let length = u16::try_from(self.body.len()).map_err(|_| "a PGP key that is too long")?;
        Ok([&[0x99][..], &length.to_be_bytes(), &self.body].concat())
    }

    /// Whether this key made the signature over these bytes.
    fn made(&self, signature: &Signature, signed: &[&[u8]]) -> Result<(), String> {
        let hash = signature.hash.ok_or("the signature's hash is too old or not known")?;
        let message = [&signed.concat()[..], &signature.trailer].concat();
        let digest = digest::digest(
            match hash {
                Hash::Sha256 => &digest::SHA256,
                Hash::Sha384 => &digest::SHA384,
                Hash::Sha512 => &digest::SHA512,
            },
            &message,
        );
        let bad = || "the signature is not of these bytes".to_string();
        if !digest.as_ref().starts_with(&signature.left) {
            return Err(bad());
        }
        let mut value = Bytes(&signature.value);
        let wide = |bytes: &[u8], width: usize| -> Result<Vec<u8>, String> {
            let missing = width.checked_sub(bytes.len()).ok_or_else(bad)?;
            Ok([vec![0; missing], bytes.to_vec()].concat())
        };
        let verified = match (&self.public, signature.algorithm) {
            (Public::Rsa { n, e }, 1 | 3) => {
                let parameters = match hash {
                    Hash::Sha256 => &crypto::RSA_PKCS1_2048_8192_SHA256,
                    Hash::Sha384 => &crypto::RSA_PKCS1_2048_8192_SHA384,
                    Hash::Sha512 => &crypto::RSA_PKCS1_2048_8192_SHA512,
                };
                let value = wide(value.mpi()?, n.len())?;
                RsaPublicKeyComponents { n, e }.verify(parameters, &message, &value)
            }
            (Public::Ed25519(key), 22) => {
                let value = [wide(value.mpi()?, 32)?, wide(value.mpi()?, 32)?].concat();
                UnparsedPublicKey::new(&crypto::ED25519, key).verify(digest.as_ref(), &value)
            }
            (Public::Ed25519(key), 27) => {
                UnparsedPublicKey::new(&crypto::ED25519, key).verify(digest.as_ref(), value.take(64)?)
            }
            (Public::P256(key), 19) if hash == Hash::Sha256 => {
                let value = [wide(value.mpi()?, 32)?, wide(value.mpi()?, 32)?].concat();
                UnparsedPublicKey::new(&crypto::ECDSA_P256_SHA256_FIXED, key).verify(&message, &value)
            }
            (Public::P384(key), 19) if hash == Hash::Sha384 => {
                let value = [wide(value.mpi()?, 48)?, wide(value.mpi()?, 48)?].concat();
                UnparsedPublicKey::new(&crypto::ECDSA_P384_SHA384_FIXED, key).verify(&message, &value)
            }
            (Public::P256(_) | Public::P384(_), 19) => {
                return Err("the signature's hash does not go with its curve".into());
            }
            (Public::Other(text), _) => return Err(text.clone()),
            _ => return Err("the signature is of another algorithm than its key".into()),
        };
        verified.map_err(|_| bad())
    }
}

/// A key, and what its owner says of it.
#[derive(Clone, Debug)]
struct Part {
    key: Key,
    /// That it belongs to the certificate, newest last: valid ones only.
    bound: Vec<Signature>,
    revoked: bool,
}

/// A user id or attribute of a certificate.
struct Name {
    /// As it is hashed.
    signed: Vec<u8>,
    /// By the primary key.
    certified: Vec<Signature>,
    /// When the primary key took its certifications back, in seconds since the epoch.
    revoked: Option<u64>,
}

/// A primary key with its subkeys; only signatures that hold were taken in.
pub(super) struct Certificate {
    primary: Part,
    subkeys: Vec<Part>,
}

impl Certificate {
    /// All certificates of an armoured ring.
    pub fn read_all(ring: &str) -> Result<Vec<Certificate>, String> {
        let blocks = armour::read_all(ring, "PUBLIC KEY BLOCK")?;
        if blocks.is_empty() {
            return Err("no PGP PUBLIC KEY BLOCK is in it".into());
        }
        let mut all = Vec::new();
        for block in blocks {
            let packets = packet::all(&block)?;
            let mut rest = packets.as_slice();
            while let Some(at) = rest.iter().position(|packet| packet.tag == PUBLIC_KEY) {
                let end = rest[at + 1..].iter().position(|packet| packet.tag == PUBLIC_KEY);
                let end = end.map_or(rest.len(), |end| at + 1 + end);
                all.push(Certificate::read(&rest[at..end])?);
                rest = &rest[end..];
            }
        }
        Ok(all)
    }

    fn read(packets: &[packet::Packet<'_>]) -> Result<Certificate, String> {
        let key = Key::read(packets[0].body)?;
        let own = key.prefixed()?;
        let mut primary = Part { key: key.clone(), bound: Vec::new(), revoked: false };
        let mut subkeys: Vec<Part> = Vec::new();
        let mut names: Vec<Name> = Vec::new();
        for packet in &packets[1..] {
            match packet.tag {
                USER_ID | USER_ATTRIBUTE => {
                    let head = if packet.tag == USER_ID { 0xb4 } else { 0xd1 };
                    let length =
                        u32::try_from(packet.body.len()).map_err(|_| "a PGP user id that is too long")?;
                    let signed = [&[head][..], &length.to_be_bytes(), packet.body].concat();
                    names.push(Name { signed, certified: Vec::new(), revoked: None });
                }
                PUBLIC_SUBKEY => {
                    // One of a kind that is not read cannot sign either.
                    let key = Key::read(packet.body)?;
                    subkeys.push(Part { key, bound: Vec::new(), revoked: false });
                }
                SIGNATURE => {
                    // A revocation counts even if it cannot be verified (an old hash, a designated revoker's, a form that is not
                    // read): who made it meant that this key is not to be trusted. Upstream's library refuses the ring.
                    match (subkeys.last_mut(), packet::kind(packet.body)) {
                        (None, Some(REVOKED)) => primary.revoked = true,
                        (Some(part), Some(SUBKEY_REVOKED)) => part.revoked = true,
                        _ => {}
                    }
                    // Others' certifications and forms that are not read say nothing here.
                    let Ok(signature) = Signature::read(packet.body) else { continue };
                    let by_primary =
                        |signed: &[&[u8]]| !signature.strange && key.made(&signature, signed).is_ok();
                    match (subkeys.last_mut(), signature.kind, names.last_mut()) {
                        (None, DIRECT, _) if by_primary(&[&own]) => primary.bound.push(signature),
                        (None, kind, Some(name))
                            if CERTIFICATIONS.contains(&kind) && by_primary(&[&own, &name.signed]) =>
                        {
                            name.certified.push(signature);
                        }
                        (None, NAME_REVOKED, Some(name)) if by_primary(&[&own, &name.signed]) => {
                            name.revoked = name.revoked.max(Some(signature.created));
                        }
                        (Some(part), SUBKEY, _) if by_primary(&[&own, &part.key.prefixed()?]) => {
                            part.bound.push(signature);
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        for name in names {
            let holds = |made: &Signature| name.revoked.is_none_or(|revoked| revoked < made.created);
            primary.bound.extend(name.certified.into_iter().filter(holds));
        }
        for part in subkeys.iter_mut().chain([&mut primary]) {
            part.bound.sort_by_key(|signature| signature.created);
        }
        Ok(Certificate { primary, subkeys })
    }

    pub fn id(&self) -> &str {
        &self.primary.key.id
    }

    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        [&self.primary].into_iter().chain(&self.subkeys).map(|part| &part.key)
    }

    /// Whether `key`, one of its own, signed these bytes, and may.
    pub fn signed(&self, key: &Key, signature: &Signature, payload: &[u8], now: u64) -> Result<(), Why> {
        let issuer = || key.id.clone();
        let unusable = |text: &str| Why::Unusable { issuer: issuer(), text: text.into() };
        if let Public::Other(text) = &key.public {
            return Err(unusable(text));
        }
        if signature.kind != BINARY || signature.strange {
            return Err(unusable("its signature is of a kind that is not taken"));
        }
        if signature.hash.is_none() {
            return Err(unusable("its signature's hash is too old or not known"));
        }
        key.made(signature, &[payload]).map_err(|_| Why::Bad { issuer: issuer() })?;
        let part = [&self.primary].into_iter().chain(&self.subkeys).find(|part| part.key.body == key.body);
        let part = part.ok_or_else(|| unusable("it is not of this certificate"))?;
        let is_primary = part.key.body == self.primary.key.body;
        if self.primary.revoked || part.revoked {
            return Err(Why::RevokedKey { issuer: issuer() });
        }
        for part in [&self.primary, part] {
            let Some(bound) = part.bound.iter().rfind(|bound| !bound.is_over(now)) else {
                return Err(unusable("nothing that holds says that it belongs to its owner"));
            };
            let end = part.key.created.saturating_add(bound.key_lifetime);
            if bound.key_lifetime != 0 && end <= now {
                return Err(Why::ExpiredKey { issuer: issuer() });
            }
        }
        let bound = part.bound.iter().rfind(|bound| !bound.is_over(now));
        let flags = bound.and_then(|bound| bound.flags);
        // A primary key without flags may do everything.
        if !flags.map_or(is_primary, |flags| flags & SIGNS != 0) {
            return Err(unusable("it is not a key that signs"));
        }
        if !is_primary {
            let own = self.primary.key.prefixed().map_err(|text| unusable(&text))?;
            let sub = part.key.prefixed().map_err(|text| unusable(&text))?;
            let back =
                bound.and_then(|bound| bound.back.as_ref()).filter(|back| back.kind == BACK && !back.strange);
            let holds = back.is_some_and(|back| part.key.made(back, &[&own, &sub]).is_ok());
            if !holds {
                return Err(unusable("the subkey does not say that it belongs to its primary key"));
            }
        }
        if signature.is_over(now) {
            return Err(Why::ExpiredSignature { issuer: issuer() });
        }
        if signature.created < part.key.created {
            return Err(unusable("its signature is older than it"));
        }
        Ok(())
    }
}
