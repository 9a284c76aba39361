//! KMS v2: a plugin beside the server, on a Unix socket, keeps the key that never leaves it (KEP-3299; k8s.io/kms/apis/v2,
//! k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2). It seals one seed; each value is sealed by AES-GCM under a key that is
//! made of the seed and of 32 bytes of chance. Bytes are upstream's: what one sealed the other opens by the same plugin.
//!
//! Invariant: a value is sealed under the key that the plugin named last; when it names another, what the former sealed is stale. The
//! plugin is asked when a seed is made and when one is met that is not known yet, never for a value. Where it has named no key for
//! three minutes nothing is sealed any more, so that who moves to another key knows after that time that the old one seals nothing;
//! what is sealed is opened all the same.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use api::Value;
use api::protobuf::Error as Wire;
use api::protobuf::wire::{Field, Reader, Writer};
use bytes::Bytes;
use grpc::{Channel, Endpoint};
use parking_lot::Mutex;
use ring::hkdf;
use sha2::{Digest, Sha256};

const STATUS: &str = "/v2.KeyManagementService/Status";
const ENCRYPT: &str = "/v2.KeyManagementService/Encrypt";
const DECRYPT: &str = "/v2.KeyManagementService/Decrypt";

const SEED: usize = 32;
const INFO: usize = 32;
const NONCE: usize = 12;
/// EncryptedDEKSourceType of a seed; 0 is a key that is used as it is, which upstream wrote before v1.28.
const HKDF_SEED: u64 = 1;
/// How long the plugin may take, unless the configuration says otherwise.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Seeds that are remembered; each is one call of the plugin to know again.
const KNOWN: usize = 1000;

/// How long a key seals after the plugin was asked for it (upstream's kmsv2PluginWriteDEKSourceMaxTTL).
const LASTS: Duration = Duration::from_secs(3 * 60);
const OUTDATED: &str = "the KMS plugin has named no key for three minutes";

const CANNOT_OPEN: &str = "the KMS plugin has not opened its key, or the bytes are not what was sealed";

type Annotations = BTreeMap<String, Vec<u8>>;

/// One plugin.
pub(super) struct Plugin {
    name: String,
    channel: Channel,
    timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What seals now.
    current: Option<Arc<Sealing>>,
    /// Until when it does.
    lasts: Option<Instant>,
    /// The version that the plugin told first, which it keeps.
    version: String,
    /// Why the last question failed.
    trouble: Option<String>,
    /// By the hash of a sealed seed: the seed, and how it is used.
    known: HashMap<[u8; 32], Arc<Source>>,
}

impl State {
    /// What seals at a moment.
    fn sealing(&self, now: Instant) -> Result<Arc<Sealing>, &'static str> {
        let current = self.current.clone().ok_or("the KMS plugin has named no key yet")?;
        match self.lasts {
            Some(end) if now <= end => Ok(current),
            _ => Err(OUTDATED),
        }
    }
}

struct Source {
    key: Vec<u8>,
    kind: u64,
}

struct Sealing {
    source: Source,
    sealed: Vec<u8>,
    key_id: String,
    annotations: Annotations,
}

/// `EncryptedObject`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Envelope {
    data: Vec<u8>,
    key_id: String,
    source: Vec<u8>,
    annotations: Annotations,
    kind: u64,
}

fn map_field(writer: &mut Writer, tag: u32, map: &Annotations) {
    for (key, value) in map.iter().rev() {
        writer.nested(tag, |writer| {
            writer.bytes_field(2, value);
            writer.bytes_field(1, key.as_bytes());
        });
    }
}

fn map_entry(bytes: &[u8], map: &mut Annotations) -> Result<(), Wire> {
    let (mut reader, mut key, mut value) = (Reader::new(bytes), String::new(), Vec::new());
    while let Some((tag, field)) = reader.field()? {
        match (tag, field) {
            (1, Field::Bytes(text)) => key = String::from_utf8_lossy(text).into_owned(),
            (2, Field::Bytes(bytes)) => value = bytes.to_vec(),
            _ => {}
        }
    }
    map.insert(key, value);
    Ok(())
}

impl Envelope {
    fn write(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        if self.kind != 0 {
            writer.varint_field(5, self.kind);
        }
        map_field(&mut writer, 4, &self.annotations);
        writer.bytes_field(3, &self.source);
        writer.bytes_field(2, self.key_id.as_bytes());
        writer.bytes_field(1, &self.data);
        writer.finish()
    }

    fn read(bytes: &[u8]) -> Result<Envelope, Wire> {
        let (mut reader, mut envelope) = (Reader::new(bytes), Envelope::default());
        while let Some((tag, field)) = reader.field()? {
            match (tag, field) {
                (1, Field::Bytes(data)) => envelope.data = data.to_vec(),
                (2, Field::Bytes(text)) => envelope.key_id = String::from_utf8_lossy(text).into_owned(),
                (3, Field::Bytes(source)) => envelope.source = source.to_vec(),
                (4, Field::Bytes(entry)) => map_entry(entry, &mut envelope.annotations)?,
                (5, Field::Varint(kind)) => envelope.kind = kind,
                _ => {}
            }
        }
        Ok(envelope)
    }
}

impl Source {
    /// The cipher of one value, and what stands before its nonce.
    fn cipher(&self, info: &[u8]) -> Option<Aes256Gcm> {
        if self.kind != HKDF_SEED {
            return Aes256Gcm::new_from_slice(&self.key).ok();
        }
        let mut key = [0; SEED];
        let seed = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &self.key);
        seed.expand(&[info], hkdf::HKDF_SHA256).and_then(|made| made.fill(&mut key)).ok()?;
        Aes256Gcm::new_from_slice(&key).ok()
    }

    fn seal(&self, bound: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let mut chance = [0; INFO + NONCE];
        rand::RngCore::fill_bytes(&mut rand::rng(), &mut chance);
        let (info, nonce) = chance.split_first_chunk::<INFO>()?;
        let nonce: [u8; NONCE] = nonce.try_into().ok()?;
        let sealed = self.cipher(info)?.encrypt(&nonce.into(), Payload { msg: plain, aad: bound }).ok()?;
        Some([&chance[..], &sealed[..]].concat())
    }

    fn open(&self, bound: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (info, rest) = sealed.split_at_checked(if self.kind == HKDF_SEED { INFO } else { 0 })?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>()?;
        self.cipher(info)?.decrypt(&(*nonce).into(), Payload { msg: rest, aad: bound }).ok()
    }
}

impl Plugin {
    /// The `kms` entry of a configuration.
    pub fn parse(settings: &Value) -> Result<Arc<Plugin>, String> {
        match settings.str_at(&["apiVersion"]) {
            "v2" => {}
            other => return Err(format!("kms: apiVersion {other:?} is not served: use v2")),
        }
        let (name, endpoint) = (settings.str_at(&["name"]), settings.str_at(&["endpoint"]));
        if name.is_empty() || name.contains(':') {
            return Err("kms: name is required, and must not contain ':'".into());
        }
        let path = endpoint.strip_prefix("unix://").filter(|path| !path.is_empty());
        let path = path
            .ok_or_else(|| format!("kms: unsupported scheme of endpoint {endpoint:?}: use unix:///PATH"))?;
        let timeout = match settings.str_at(&["timeout"]) {
            "" => TIMEOUT,
            text => api::time::duration::parse(text)
                .ok()
                .and_then(|nanos| u64::try_from(nanos).ok())
                .filter(|nanos| *nanos > 0)
                .map(Duration::from_nanos)
                .ok_or_else(|| format!("kms: timeout {text:?} should be a positive value"))?,
        };
        let spawn: grpc::Spawn = |driver| drop(base::spawn("kms-connection", driver));
        let channel = Channel::new(Endpoint::Unix(path.into()), spawn);
        Ok(Arc::new(Plugin { name: name.into(), channel, timeout, state: Mutex::default() }))
    }

    /// What its values begin with.
    pub fn prefix(&self) -> String {
        format!("k8s:enc:kms:v2:{}:", self.name)
    }

    async fn call(&self, path: &'static str, message: Writer) -> Result<Bytes, String> {
        let answer = self.channel.unary(path, message.finish().into(), self.timeout).await;
        answer.map_err(|error| format!("the KMS plugin {}: {error}", self.name))
    }

    fn odd(&self, why: impl std::fmt::Display) -> String {
        format!("the KMS plugin {} answered what KMS v2 does not have: {why}", self.name)
    }

    /// Asks which key is the present one, and makes a seed under it if it is another; `true`: it is.
    pub async fn refresh(&self) -> Result<bool, String> {
        // The answer may be as old as the question.
        let lasts = Instant::now() + LASTS;
        let answer = self.ask(lasts).await;
        self.state.lock().trouble = answer.as_ref().err().cloned();
        answer
    }

    /// Why the last [`Plugin::refresh`] failed.
    pub fn trouble(&self) -> Option<String> {
        self.state.lock().trouble.clone()
    }

    async fn ask(&self, lasts: Instant) -> Result<bool, String> {
        let answer = self.call(STATUS, Writer::default()).await?;
        let [version, health, key_id] = texts(&answer, [1, 2, 3]).map_err(|error| self.odd(error))?;
        if !matches!(version.as_str(), "v2" | "v2beta1") {
            return Err(self.odd(format_args!("version {version:?}")));
        }
        {
            let mut state = self.state.lock();
            if state.version.is_empty() {
                state.version.clone_from(&version);
            } else if state.version != version {
                return Err(self.odd(format_args!("version {version:?} after {:?}", state.version)));
            }
        }
        // As upstream: who is not well may name its key all the same.
        let named = self.follow(&key_id, lasts).await?;
        match health.as_str() {
            "ok" => Ok(named),
            _ => Err(format!("the KMS plugin {} is not well: {health}", self.name)),
        }
    }

    /// Has the key of this name seal; `true`: it is another one than before.
    async fn follow(&self, named: &str, lasts: Instant) -> Result<bool, String> {
        {
            let mut state = self.state.lock();
            if state.current.as_ref().is_some_and(|current| current.key_id == named) {
                state.lasts = Some(lasts);
                return Ok(false);
            }
        }
        let mut seed = vec![0; SEED];
        rand::RngCore::fill_bytes(&mut rand::rng(), &mut seed);
        let mut asked = Writer::default();
        asked.bytes_field(
            2,
            uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string().as_bytes(),
        );
        asked.bytes_field(1, &seed);
        let answer = self.call(ENCRYPT, asked).await?;
        let (mut reader, mut sealed, mut key_id, mut annotations) =
            (Reader::new(&answer), Vec::new(), String::new(), Annotations::new());
        while let Some((tag, field)) = reader.field().map_err(|error| self.odd(error))? {
            match (tag, field) {
                (1, Field::Bytes(bytes)) => sealed = bytes.to_vec(),
                (2, Field::Bytes(text)) => key_id = String::from_utf8_lossy(text).into_owned(),
                (3, Field::Bytes(entry)) => {
                    map_entry(entry, &mut annotations).map_err(|error| self.odd(error))?
                }
                _ => {}
            }
        }
        if sealed.is_empty() || key_id.is_empty() {
            return Err(self.odd("neither ciphertext nor key_id may be empty"));
        }
        if key_id != named {
            return Err(self.odd(format_args!("it names the key {named:?} and seals by {key_id:?}")));
        }
        let mut state = self.state.lock();
        let known = Arc::new(Source { key: seed.clone(), kind: HKDF_SEED });
        state.known.insert(Sha256::digest(&sealed).into(), known);
        let source = Source { key: seed, kind: HKDF_SEED };
        state.current = Some(Arc::new(Sealing { source, sealed, key_id, annotations }));
        state.lasts = Some(lasts);
        Ok(true)
    }

    /// Has the plugin open the seed of a value, unless it is known.
    pub async fn learn(&self, sealed: &[u8]) -> Result<(), String> {
        let envelope = Envelope::read(sealed).map_err(|error| error.to_string())?;
        let hash: [u8; 32] = Sha256::digest(&envelope.source).into();
        if self.state.lock().known.contains_key(&hash) {
            return Ok(());
        }
        let mut asked = Writer::default();
        map_field(&mut asked, 4, &envelope.annotations);
        asked.bytes_field(3, envelope.key_id.as_bytes());
        asked.bytes_field(
            2,
            uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string().as_bytes(),
        );
        asked.bytes_field(1, &envelope.source);
        let answer = self.call(DECRYPT, asked).await?;
        let (mut reader, mut key) = (Reader::new(&answer), Vec::new());
        while let Some((tag, field)) = reader.field().map_err(|error| self.odd(error))? {
            if let (1, Field::Bytes(bytes)) = (tag, field) {
                key = bytes.to_vec();
            }
        }
        let mut state = self.state.lock();
        if state.known.len() >= KNOWN {
            state.known.clear();
        }
        state.known.insert(hash, Arc::new(Source { key, kind: envelope.kind }));
        Ok(())
    }

    /// Sealed under the key that the plugin named last.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        let current = self.state.lock().current.clone();
        current.is_some_and(|current| {
            Envelope::read(sealed).is_ok_and(|envelope| envelope.key_id == current.key_id)
        })
    }

    pub fn seal(&self, bound: &[u8], plain: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        let current = self.state.lock().sealing(Instant::now())?;
        let data = current.source.seal(bound, plain).ok_or("the value cannot be sealed")?;
        let envelope = Envelope {
            data,
            key_id: current.key_id.clone(),
            source: current.sealed.clone(),
            annotations: current.annotations.clone(),
            kind: HKDF_SEED,
        };
        out.extend(envelope.write());
        Ok(())
    }

    pub fn open(&self, bound: &[u8], sealed: &[u8]) -> Result<Vec<u8>, &'static str> {
        let envelope = Envelope::read(sealed).map_err(|_| CANNOT_OPEN)?;
        let hash: [u8; 32] = Sha256::digest(&envelope.source).into();
        let source = self.state.lock().known.get(&hash).cloned().ok_or(CANNOT_OPEN)?;
        source.open(bound, &envelope.data).ok_or(CANNOT_OPEN)
    }
}

/// Texts of a message, by their tags.
fn texts<const N: usize>(message: &[u8], tags: [u32; N]) -> Result<[String; N], Wire> {
    let (mut reader, mut found) = (Reader::new(message), [const { String::new() }; N]);
    while let Some((tag, field)) = reader.field()? {
        if let (Some(at), Field::Bytes(text)) = (tags.iter().position(|own| *own == tag), field) {
            found[at] = String::from_utf8_lossy(text).into_owned();
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bound_to_their_seed_and_their_name() {
        let source = |byte| Source { key: vec![byte; SEED], kind: HKDF_SEED };
        let sealed = source(1).seal(b"name", b"secret").unwrap();
        assert_eq!(source(1).open(b"name", &sealed).as_deref(), Some(&b"secret"[..]));
        assert_eq!(source(1).open(b"other", &sealed), None);
        assert_eq!(source(2).open(b"name", &sealed), None);
        assert_ne!(source(1).seal(b"name", b"secret").unwrap(), sealed);
        assert_eq!(source(1).open(b"name", &sealed[..40]), None);
    }

    #[test]
    fn a_key_seals_as_long_as_the_plugin_names_it() {
        let now = Instant::now();
        let mut state = State::default();
        assert!(state.sealing(now).is_err());
        let source = Source { key: vec![1; SEED], kind: HKDF_SEED };
        let sealing =
            Sealing { source, sealed: vec![1], key_id: "1".into(), annotations: Annotations::new() };
        state.current = Some(Arc::new(sealing));
        state.lasts = Some(now + LASTS);
        assert!(state.sealing(now + LASTS).is_ok());
        assert_eq!(state.sealing(now + LASTS + Duration::from_nanos(1)).err(), Some(OUTDATED));
    }

    #[test]
    fn envelopes_are_read_as_they_are_written() {
        let envelope = Envelope {
            data: b"data".to_vec(),
            key_id: "1".into(),
            source: b"source".to_vec(),
            annotations: Annotations::from([("a.b".into(), b"x".to_vec()), ("c.d".into(), b"y".to_vec())]),
            kind: HKDF_SEED,
        };
        assert_eq!(Envelope::read(&envelope.write()).unwrap(), envelope);
        assert_eq!(&envelope.write()[..6], b"\x0a\x04data");
    }
}
