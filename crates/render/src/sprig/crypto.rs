//! Hashes, passwords and chance. Chance comes from the [`World`](crate::go::World) alone.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blowfish::Blowfish;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::NoPadding};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::{Done, Entries, int, made, math, str, text};
use crate::go::Value;
use crate::template::{Frame, function};

pub fn all() -> Entries {
    let mut all: Entries = vec![
        ("sha1sum", function("s", |_, a| Ok(hex::encode(Sha1::digest(str(a, 0).bytes())).into()))),
        ("sha256sum", function("s", |_, a| Ok(hex::encode(Sha256::digest(str(a, 0).bytes())).into()))),
        ("sha512sum", function("s", |_, a| Ok(hex::encode(Sha512::digest(str(a, 0).bytes())).into()))),
        ("adler32sum", function("s", |_, a| Ok(adler32(str(a, 0).bytes()).to_string().into()))),
        ("bcrypt", function("s", |frame, a| Ok(bcrypt(frame, str(a, 0).bytes())?.into()))),
        (
            "htpasswd",
            function("ss", |frame, a| {
                let name = text(a, 0);
                if name.contains(':') {
                    return Ok(format!("invalid username: {name}").into());
                }
                Ok(format!("{name}:{}", bcrypt(frame, str(a, 1).bytes())?).into())
            }),
        ),
        ("derivePassword", function("ussss", derive_password)),
        ("encryptAES", function("ss", encrypt)),
        ("decryptAES", function("ss", decrypt)),
        (
            "uuidv4",
            function("", |frame, _| {
                let mut bytes = [0; 16];
                frame.exec.world.random(&mut bytes);
                bytes[6] = bytes[6] & 0x0f | 0x40;
                bytes[8] = bytes[8] & 0x3f | 0x80;
                let hex = hex::encode(bytes);
                Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
                    .into())
            }),
        ),
        (
            "randBytes",
            function("i", |frame, a| {
                let count =
                    usize::try_from(int(a, 0)).map_err(|_| "runtime error: makeslice: len out of range")?;
                frame.exec.wrote(count.saturating_mul(2))?;
                let mut bytes = vec![0; count];
                frame.exec.world.random(&mut bytes);
                Ok(STANDARD.encode(bytes).into())
            }),
        ),
        (
            "randAlphaNum",
            function("i", |frame, a| {
                pick(frame, int(a, 0), b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
            }),
        ),
        (
            "randAlpha",
            function("i", |frame, a| {
                pick(frame, int(a, 0), b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
            }),
        ),
        ("randNumeric", function("i", |frame, a| pick(frame, int(a, 0), b"0123456789"))),
        (
            "randAscii",
            function("i", |frame, a| {
                let printable: Vec<u8> = (b' '..=b'~').collect();
                pick(frame, int(a, 0), &printable)
            }),
        ),
        (
            "shuffle",
            function("s", |frame, a| {
                let mut chars: Vec<char> = text(a, 0).chars().collect();
                for at in (1..chars.len()).rev() {
                    chars.swap(at, math::below(frame, at as u64 + 1) as usize);
                }
                Ok(chars.into_iter().collect::<String>().into())
            }),
        ),
    ];
    all.extend(super::keys::all());
    all
}

fn pick(frame: &Frame<'_, '_>, count: i64, letters: &[u8]) -> Done {
    let count = usize::try_from(count).unwrap_or(0);
    frame.exec.step(count as u64)?;
    let out: Vec<u8> =
        (0..count).map(|_| letters[math::below(frame, letters.len() as u64) as usize]).collect();
    made(frame, out)
}

fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    b << 16 | a
}

/// The cost that Go's library has for default.
const COST: u32 = 10;

/// bcrypt in the `2a` form. What is longer than 72 bytes is refused, as Go does.
fn bcrypt(frame: &Frame<'_, '_>, password: &[u8]) -> Result<String, String> {
    if password.len() > 72 {
        return Ok("failed to encrypt string with bcrypt: bcrypt: password length exceeds 72 bytes".into());
    }
    frame.exec.step(1_000_000)?;
    let mut salt = [0; 16];
    frame.exec.world.random(&mut salt);
    let mut key = password.to_vec();
    key.push(0);
    let mut state = Blowfish::bc_init_state();
    state.salted_expand_key(&salt, &key);
    for _ in 0..1u32 << COST {
        state.bc_expand_key(&key);
        state.bc_expand_key(&salt);
    }
    let mut words = [0u32; 6];
    for (word, chunk) in words.iter_mut().zip(b"OrpheanBeholderScryDoubt".chunks_exact(4)) {
        *word = u32::from_be_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
    }
    for _ in 0..64 {
        for at in [0, 2, 4] {
            let [left, right] = state.bc_encrypt([words[at], words[at + 1]]);
            (words[at], words[at + 1]) = (left, right);
        }
    }
    let digest: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    Ok(format!("$2a${COST:02}${}{}", radix64(&salt), radix64(&digest[..23])))
}

/// bcrypt's own alphabet.
fn radix64(bytes: &[u8]) -> String {
    use base64::alphabet::Alphabet;
    use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
    let alphabet = Alphabet::new("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
        .expect("because it has 64 different letters");
    GeneralPurpose::new(&alphabet, GeneralPurposeConfig::new().with_encode_padding(false)).encode(bytes)
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0u8; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |byte: u8| block.map(|own| own ^ byte);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

/// Master Password's templates: `C`onsonants, `v`owels, `n`umbers, `o`thers, …
const TEMPLATES: [(&str, &[&str]); 6] = [
    ("maximum", &["anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"]),
    (
        "long",
        &[
            "CvcvnoCvcvCvcv",
            "CvcvCvcvnoCvcv",
            "CvcvCvcvCvcvno",
            "CvccnoCvcvCvcv",
            "CvccCvcvnoCvcv",
            "CvccCvcvCvcvno",
            "CvcvnoCvccCvcv",
            "CvcvCvccnoCvcv",
            "CvcvCvccCvcvno",
            "CvcvnoCvcvCvcc",
            "CvcvCvcvnoCvcc",
            "CvcvCvcvCvccno",
            "CvccnoCvccCvcv",
            "CvccCvccnoCvcv",
            "CvccCvccCvcvno",
            "CvcvnoCvccCvcc",
            "CvcvCvccnoCvcc",
            "CvcvCvccCvccno",
            "CvccnoCvcvCvcc",
            "CvccCvcvnoCvcc",
            "CvccCvcvCvccno",
        ],
    ),
    ("medium", &["CvcnoCvc", "CvcCvcno"]),
    ("short", &["Cvcn"]),
    ("basic", &["aaanaaan", "aannaaan", "aaannaaa"]),
    ("pin", &["nnnn"]),
];

fn letters(class: u8) -> &'static [u8] {
    match class {
        b'V' => b"AEIOU",
        b'C' => b"BCDFGHJKLMNPQRSTVWXYZ",
        b'v' => b"aeiou",
        b'c' => b"bcdfghjklmnpqrstvwxyz",
        b'A' => b"AEIOUBCDFGHJKLMNPQRSTVWXYZ",
        b'a' => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
        b'n' => b"0123456789",
        b'o' => b"@&%?,=[]_:-+*$#!'^~;()/.",
        _ => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
    }
}

fn derive_password(frame: &Frame<'_, '_>, args: &[Value]) -> Done {
    const SEED: &[u8] = b"com.lyndir.masterpassword";
    let (counter, kind) = (int(args, 0) as u32, text(args, 1));
    let (password, user, site) = (str(args, 2), str(args, 3), str(args, 4));
    let Some((_, templates)) = TEMPLATES.iter().find(|(name, _)| *name == kind) else {
        return Ok(format!("cannot find password template {kind}").into());
    };
    // Half a second of work and 32 MB each.
    frame.exec.step(5_000_000)?;
    let salt = [SEED, &(user.len() as u32).to_be_bytes(), user.bytes()].concat();
    let parameters = scrypt::Params::new(15, 8, 2).map_err(|error| error.to_string())?;
    let mut key = [0u8; 64];
    scrypt::scrypt(password.bytes(), &salt, &parameters, &mut key).map_err(|error| error.to_string())?;
    let message = [SEED, &(site.len() as u32).to_be_bytes(), site.bytes(), &counter.to_be_bytes()].concat();
    let seed = hmac_sha256(&key, &message);
    let template = templates[usize::from(seed[0]) % templates.len()];
    let out: Vec<u8> = template
        .bytes()
        .zip(&seed[1..])
        .map(|(class, byte)| {
            let letters = letters(class);
            letters[usize::from(*byte) % letters.len()]
        })
        .collect();
    Ok(Value::Str(out.into()))
}

fn aes_key(password: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    let length = password.len().min(32);
    key[..length].copy_from_slice(&password[..length]);
    key
}

fn encrypt(frame: &Frame<'_, '_>, args: &[Value]) -> Done {
    let plain = str(args, 1);
    if plain.is_empty() {
        return Ok("".into());
    }
    let mut iv = [0; 16];
    frame.exec.world.random(&mut iv);
    let padding = 16 - plain.len() % 16;
    let mut content = plain.bytes().to_vec();
    content.extend(std::iter::repeat_n(padding as u8, padding));
    let length = content.len();
    let cipher = cbc::Encryptor::<aes::Aes256>::new(&aes_key(str(args, 0).bytes()).into(), &iv.into());
    cipher.encrypt_padded::<NoPadding>(&mut content, length).map_err(|error| error.to_string())?;
    made(frame, STANDARD.encode([iv.as_slice(), &content].concat()))
}

fn decrypt(frame: &Frame<'_, '_>, args: &[Value]) -> Done {
    let secret = str(args, 1);
    if secret.is_empty() {
        return Ok("".into());
    }
    let mut content = super::encoding::base64_decode(secret.bytes())?;
    if content.len() < 16 {
        return Err(format!(
            "runtime error: slice bounds out of range [:16] with capacity {}",
            content.capacity()
        ));
    }
    let mut iv = [0; 16];
    iv.copy_from_slice(&content[..16]);
    content.drain(..16);
    if content.len() % 16 != 0 {
        return Err("crypto/cipher: input not full blocks".into());
    }
    let cipher = cbc::Decryptor::<aes::Aes256>::new(&aes_key(str(args, 0).bytes()).into(), &iv.into());
    cipher.decrypt_padded::<NoPadding>(&mut content).map_err(|error| error.to_string())?;
    let Some(padding) = content.last().copied() else {
        return Err("runtime error: index out of range [-1]".into());
    };
    let Some(length) = content.len().checked_sub(usize::from(padding)) else {
        let below = content.len() as i64 - i64::from(padding);
        return Err(format!("runtime error: slice bounds out of range [:{below}]"));
    };
    content.truncate(length);
    made(frame, content)
}
