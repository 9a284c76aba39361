//! OpenPGP signatures over bytes (RFC 9580, version 4 keys and signatures): enough of it to say whether a commit or tag was
//! signed by a key that is trusted, and no more. Primitives are ring's.
//!
//! Written here and not taken from a library: the one that is kept well and pure Rust (`pgp` 0.21) brings 95 packages more, 49
//! of them second versions of what ssh has (RSA, curves, ciphers, big numbers), since it also decrypts, and the binary is
//! over its budget. What is refused: hashes older than SHA-2, RSA under 2048 bits, DSA, P-521 and Brainpool, keys and signatures
//! that are expired or revoked, signing subkeys without their back-signature, critical parts that are not known.

mod armour;
mod key;
mod packet;

use std::fmt;

use super::Signer;
use key::Certificate;
use packet::Signature;

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// None of the keys made it, by its own word.
    NoKey {
        issuer: String,
    },
    /// The key is there, and the bytes were not signed by it.
    Bad {
        issuer: String,
    },
    ExpiredKey {
        issuer: String,
    },
    RevokedKey {
        issuer: String,
    },
    ExpiredSignature {
        issuer: String,
    },
    /// The key may not sign, or cannot be used.
    Unusable {
        issuer: String,
        text: String,
    },
    /// The signature or the keys cannot be read.
    Unreadable(String),
}

impl Why {
    /// The id of the key that the signature names; empty: none.
    pub fn issuer(&self) -> &str {
        match self {
            Why::NoKey { issuer }
            | Why::Bad { issuer }
            | Why::ExpiredKey { issuer }
            | Why::RevokedKey { issuer }
            | Why::ExpiredSignature { issuer }
            | Why::Unusable { issuer, .. } => issuer,
            Why::Unreadable(_) => "",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::NoKey { issuer } => write!(out, "no matching key (signed by {issuer})"),
            Why::Bad { issuer } => {
                write!(out, "no matching key (the signature of {issuer} is not of these bytes)")
            }
            Why::ExpiredKey { issuer } => write!(out, "key {issuer} is expired"),
            Why::RevokedKey { issuer } => write!(out, "key {issuer} is revoked"),
            Why::ExpiredSignature { issuer } => write!(out, "the signature of {issuer} is expired"),
            Why::Unusable { issuer, text } => write!(out, "key {issuer}: {text}"),
            Why::Unreadable(text) => out.write_str(text),
        }
    }
}

impl std::error::Error for Why {}

/// Verifies an armoured detached signature of `payload` with armoured rings of keys; `now` in seconds since the epoch.
pub fn verify(payload: &[u8], signature: &str, rings: &[String], now: u64) -> Result<Signer, Why> {
    let bytes = armour::read(signature, "SIGNATURE").map_err(Why::Unreadable)?;
    let signatures: Vec<Signature> = packet::all(&bytes)
        .map_err(Why::Unreadable)?
        .into_iter()
        .filter(|packet| packet.tag == packet::SIGNATURE)
        .map(|packet| Signature::read(packet.body))
        .collect::<Result<_, _>>()
        .map_err(Why::Unreadable)?;
    let [signature] = signatures.as_slice() else {
        return Err(Why::Unreadable(format!("{} signatures where one is expected", signatures.len())));
    };
    let (mut certificates, mut unreadable) = (Vec::new(), None);
    for ring in rings {
        match Certificate::read_all(ring) {
            Ok(more) => certificates.extend(more),
            Err(text) => unreadable = unreadable.or(Some(format!("unable to read armored key ring: {text}"))),
        }
    }
    if let Some(text) = unreadable.filter(|_| certificates.is_empty()) {
        return Err(Why::Unreadable(text));
    }
    let issuer = signature.issuer.clone().unwrap_or_default();
    let mut worst = Why::NoKey { issuer: issuer.clone() };
    for certificate in &certificates {
        for key in certificate.keys() {
            if !issuer.is_empty() && key.id() != issuer {
                continue;
            }
            match certificate.signed(key, signature, payload, now) {
                Ok(()) => {
                    let primary = certificate.id().to_string();
                    return Ok(Signer { ids: vec![primary.clone(), key.id().to_string()], key: primary });
                }
                Err(why) => worst = why,
            }
        }
    }
    Err(worst)
}

#[cfg(test)]
mod tests;
