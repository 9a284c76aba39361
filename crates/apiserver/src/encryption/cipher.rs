//! The ciphers of an EncryptionConfiguration, byte for byte as upstream writes them
//! (k8s.io/apiserver/pkg/storage/value/encrypt): what was sealed there opens here.
//!
//! Each seal draws a new nonce from the system's generator and puts it before what it sealed. AES-CBC is upstream's, without a
//! check of what it opens; it is served for stores that have it, and the documents name secretbox.

use std::sync::Arc;

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::consts::U12;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, StreamCipher, StreamCipherSeek};
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm};
use poly1305::Poly1305;
use rand::RngCore;
use salsa20::XSalsa20;

use super::kms::Plugin;

type Aes192Gcm = AesGcm<aes::Aes192, U12>;

const GCM_NONCE: usize = 12;
const CBC_IV: usize = 16;
const BOX_NONCE: usize = 24;
const BOX_TAG: usize = 16;

const CANNOT_SEAL: &str = "the value cannot be sealed";
const CANNOT_OPEN: &str = "the stored bytes are not what was sealed, or the key is not its key";

/// One key of a provider.
pub(super) enum Cipher {
    /// Values as they are.
    Identity,
    Gcm128(Box<Aes128Gcm>),
    Gcm192(Box<Aes192Gcm>),
    Gcm256(Box<Aes256Gcm>),
    Cbc(Vec<u8>),
    Secretbox([u8; 32]),
    Kms(Arc<Plugin>),
}

/// Runs `$run` with the AES of the key's length in CBC.
macro_rules! cbc {
    ($key:expr, $iv:expr, $mode:ident, |$cipher:ident| $run:expr) => {
        match $key.len() {
            16 => cbc::$mode::<aes::Aes128>::new_from_slices($key, $iv).ok().and_then(|$cipher| $run),
            24 => cbc::$mode::<aes::Aes192>::new_from_slices($key, $iv).ok().and_then(|$cipher| $run),
            _ => cbc::$mode::<aes::Aes256>::new_from_slices($key, $iv).ok().and_then(|$cipher| $run),
        }
    };
}

/// Runs `$run` with the AES-GCM of the key's length.
macro_rules! gcm {
    ($self:expr, |$cipher:ident| $run:expr) => {
        match $self {
            Cipher::Gcm128($cipher) => $run,
            Cipher::Gcm192($cipher) => $run,
            Cipher::Gcm256($cipher) => $run,
            _ => Err(aes_gcm::Error),
        }
    };
}

impl Cipher {
    pub fn known(kind: &str) -> bool {
        matches!(kind, "identity" | "aesgcm" | "aescbc" | "secretbox")
    }

    pub fn new(kind: &str, secret: &[u8]) -> Result<Cipher, String> {
        let size = |sizes: &str| {
            format!("secret is not of the expected length, got {}, expected one of [{sizes}]", secret.len())
        };
        let made = match (kind, secret.len()) {
            ("aesgcm", 16) => Aes128Gcm::new_from_slice(secret).ok().map(|own| Cipher::Gcm128(own.into())),
            ("aesgcm", 24) => Aes192Gcm::new_from_slice(secret).ok().map(|own| Cipher::Gcm192(own.into())),
            ("aesgcm", 32) => Aes256Gcm::new_from_slice(secret).ok().map(|own| Cipher::Gcm256(own.into())),
            ("aescbc", 16 | 24 | 32) => Some(Cipher::Cbc(secret.to_vec())),
            ("secretbox", 32) => secret.try_into().ok().map(Cipher::Secretbox),
            ("aesgcm" | "aescbc", _) => return Err(size("16 24 32")),
            ("secretbox", _) => return Err(size("32")),
            (other, _) => {
                return Err(format!("{other} is not served: use secretbox, aesgcm, aescbc or identity"));
            }
        };
        made.ok_or_else(|| "the key is not usable".into())
    }

    /// Appends the sealed `plain` to `out`. `bound`: what it is bound to, where the cipher can.
    pub fn seal(&self, bound: &[u8], plain: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        let mut random = rand::rng();
        match self {
            Cipher::Identity => out.extend_from_slice(plain),
            Cipher::Gcm128(_) | Cipher::Gcm192(_) | Cipher::Gcm256(_) => {
                let mut nonce = [0; GCM_NONCE];
                random.fill_bytes(&mut nonce);
                let payload = Payload { msg: plain, aad: bound };
                let sealed = gcm!(self, |cipher| cipher.encrypt(&nonce.into(), payload));
                out.extend_from_slice(&nonce);
                out.extend(sealed.map_err(|_| CANNOT_SEAL)?);
            }
            Cipher::Cbc(key) => {
                let mut iv = [0; CBC_IV];
                random.fill_bytes(&mut iv);
                let sealed =
                    cbc!(key, &iv, Encryptor, |cipher| Some(cipher.encrypt_padded_vec::<Pkcs7>(plain)));
                out.extend_from_slice(&iv);
                out.extend(sealed.ok_or(CANNOT_SEAL)?);
            }
            Cipher::Secretbox(key) => {
                let mut nonce = [0; BOX_NONCE];
                random.fill_bytes(&mut nonce);
                out.extend_from_slice(&nonce);
                secretbox(key, &nonce, plain, out);
            }
            Cipher::Kms(plugin) => plugin.seal(bound, plain, out)?,
        }
        Ok(())
    }

    pub fn open(&self, bound: &[u8], sealed: &[u8]) -> Result<Vec<u8>, &'static str> {
        match self {
            Cipher::Identity => Ok(sealed.to_vec()),
            Cipher::Gcm128(_) | Cipher::Gcm192(_) | Cipher::Gcm256(_) => {
                let (nonce, rest) = sealed.split_first_chunk::<GCM_NONCE>().ok_or(CANNOT_OPEN)?;
                let payload = Payload { msg: rest, aad: bound };
                gcm!(self, |cipher| cipher.decrypt(&(*nonce).into(), payload)).map_err(|_| CANNOT_OPEN)
            }
            Cipher::Cbc(key) => {
                let (iv, rest) = sealed.split_first_chunk::<CBC_IV>().ok_or(CANNOT_OPEN)?;
                cbc!(key, iv, Decryptor, |cipher| cipher.decrypt_padded_vec::<Pkcs7>(rest).ok())
                    .ok_or(CANNOT_OPEN)
            }
            Cipher::Secretbox(key) => {
                let (nonce, rest) = sealed.split_first_chunk::<BOX_NONCE>().ok_or(CANNOT_OPEN)?;
                secretbox_open(key, nonce, rest).ok_or(CANNOT_OPEN)
            }
            Cipher::Kms(plugin) => plugin.open(bound, sealed),
        }
    }

    /// What this sealed would be sealed the same way today; only a plugin changes its key by itself.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        match self {
            Cipher::Kms(plugin) => plugin.is_current(sealed),
            _ => true,
        }
    }
}

/// The stream of one nonce, past its first 32 bytes, which are the tag's key (NaCl's `crypto_secretbox`).
fn stream(key: &[u8; 32], nonce: &[u8; BOX_NONCE]) -> (XSalsa20, Poly1305) {
    let mut stream = XSalsa20::new(key.into(), nonce.into());
    let mut first = [0; 32];
    stream.apply_keystream(&mut first);
    stream.seek(32_u32);
    (stream, Poly1305::new(&first.into()))
}

/// Appends the tag and then the sealed text.
fn secretbox(key: &[u8; 32], nonce: &[u8; BOX_NONCE], plain: &[u8], out: &mut Vec<u8>) {
    let (mut stream, tag) = stream(key, nonce);
    let mut sealed = plain.to_vec();
    stream.apply_keystream(&mut sealed);
    out.extend_from_slice(&tag.compute_unpadded(&sealed));
    out.extend(sealed);
}

fn secretbox_open(key: &[u8; 32], nonce: &[u8; BOX_NONCE], sealed: &[u8]) -> Option<Vec<u8>> {
    let (given, sealed) = sealed.split_first_chunk::<BOX_TAG>()?;
    let (mut stream, tag) = stream(key, nonce);
    let tag = tag.compute_unpadded(sealed);
    // In a time that does not tell how much of it is right.
    let differ = tag.iter().zip(given).fold(0, |differ, (one, other)| differ | (one ^ other));
    if differ != 0 {
        return None;
    }
    let mut plain = sealed.to_vec();
    stream.apply_keystream(&mut plain);
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        hex(text)
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
    }

    /// NaCl's own vector (tests/secretbox.c).
    #[test]
    fn secretbox_is_nacls() {
        let key = bytes("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389");
        let nonce = bytes("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37");
        let plain = bytes(
            "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f4\
             1db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52\
             f0a089bc76897040e082f937763848645e0705",
        );
        let sealed = bytes(
            "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b\
             4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da\
             99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5",
        );
        let (key, nonce): ([u8; 32], [u8; 24]) = (key.try_into().unwrap(), nonce.try_into().unwrap());
        let mut out = Vec::new();
        secretbox(&key, &nonce, &plain, &mut out);
        assert_eq!(out, sealed);
        assert_eq!(secretbox_open(&key, &nonce, &sealed), Some(plain));
    }

    #[test]
    fn short_values_open_to_nothing() {
        for kind in ["aesgcm", "aescbc", "secretbox"] {
            let cipher = Cipher::new(kind, &[7; 32]).unwrap();
            for length in 0..50 {
                let zeros = vec![0; length];
                let opened = cipher.open(b"k", &zeros);
                assert!(kind == "aescbc" || opened.is_err(), "{kind} {length}");
            }
        }
    }
}
