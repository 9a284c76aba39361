//! Encryption at rest: what an EncryptionConfiguration seals before it is stored
//! (k8s.io/apiserver/pkg/server/options/encryptionconfig). Whoever has the disk has no Secret without the key file.
//!
//! Each sealed value says by whom: `k8s:enc:<provider>:v1:<key>:`. The first provider of a resource seals, all of them open; a
//! value that another one sealed is stale, and is written anew by an update that changes nothing or by [`Encrypted::rewrite`].
//! Invariant: a server without the key of a stored value does not start, so that nothing is taken for absent that is only
//! unreadable. Not here: KMS v1, which upstream has off.
//! A KMS plugin is asked before: [`Rules::refresh`] and [`Rules::learn`], so that sealing and opening wait for nobody.

mod cipher;
mod kms;
mod store;

use std::sync::Arc;

use api::{Key, Value};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use self::cipher::Cipher;
pub(crate) use self::store::Encrypted;

/// What begins every sealed value. No JSON does.
const SEALED: &[u8] = b"k8s:enc:";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("it is no EncryptionConfiguration of apiserver.config.k8s.io/v1")]
    Kind,
    #[error("resources[{0}]: {1}")]
    Rule(usize, String),
    #[error("resources[{rule}].providers[{provider}]: {why}")]
    Provider { rule: usize, provider: usize, why: String },
    #[error("{0}: {1}")]
    Open(Key, &'static str),
    #[error("{0}")]
    Plugin(String),
    #[error(
        "{key} is sealed by {prefix}, and no such key is configured: give the server its EncryptionConfiguration back"
    )]
    NoKey { key: Key, prefix: String },
    #[error("{key} was sealed by {prefix}, whose secret is another one or whose bytes were changed")]
    WrongKey { key: Key, prefix: String },
}

/// A value is sealed, whoever has its key.
pub(crate) fn is_sealed(value: &[u8]) -> bool {
    value.starts_with(SEALED)
}

/// What a message says of a sealed value that nobody opens.
pub(crate) fn unreadable(key: &Key, value: &[u8]) -> Error {
    // `k8s:enc:<provider>:v1:<key>:`; what follows is no text.
    let end =
        value.iter().enumerate().filter(|(_, byte)| **byte == b':').nth(4).map_or(SEALED.len(), |(at, _)| at);
    Error::NoKey { key: key.clone(), prefix: String::from_utf8_lossy(&value[..end]).into_owned() }
}

struct Provider {
    /// `k8s:enc:aesgcm:v1:key1:`, empty for identity.
    prefix: String,
    cipher: Cipher,
}

struct Rule {
    /// `secrets`, `*.apps`, `*.*`.
    resources: Vec<String>,
    providers: Vec<Provider>,
}

/// An EncryptionConfiguration, with its keys.
#[derive(Default)]
pub(crate) struct Rules(Vec<Rule>);

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).unwrap_or_default()
}

impl Rules {
    pub fn parse(document: &Value) -> Result<Rules, Error> {
        if document.str_at(&["kind"]) != "EncryptionConfiguration"
            || document.str_at(&["apiVersion"]) != "apiserver.config.k8s.io/v1"
        {
            return Err(Error::Kind);
        }
        let mut rules = Vec::new();
        for (at, rule) in list(document, "resources").iter().enumerate() {
            let resources: Vec<String> =
                list(rule, "resources").iter().filter_map(Value::as_str).map(String::from).collect();
            if resources.is_empty() {
                return Err(Error::Rule(at, "at least one resource is required".into()));
            }
            if let Some(wrong) = resources.iter().find(|name| name.chars().any(char::is_uppercase)) {
                return Err(Error::Rule(
                    at,
                    format!("{wrong}: resource name should not contain capital letters"),
                ));
            }
            let mut providers = Vec::new();
            for (place, provider) in list(rule, "providers").iter().enumerate() {
                let wrong = |why: String| Error::Provider { rule: at, provider: place, why };
                providers.extend(Provider::parse(provider).map_err(wrong)?);
            }
            if providers.is_empty() {
                return Err(Error::Rule(at, "at least one provider is required".into()));
            }
            rules.push(Rule { resources, providers });
        }
        match rules.is_empty() {
            true => Err(Error::Rule(0, "at least one resources is required".into())),
            false => Ok(Rules(rules)),
        }
    }

    /// The providers of a key's resource; the first rule that names it counts.
    fn of(&self, key: &Key) -> Option<&[Provider]> {
        let resource = key.resource();
        let (group, plural) = (resource.group.as_str(), resource.plural.as_str());
        let names = |own: &String| {
            let (name, of) = own.split_once('.').unwrap_or((own, ""));
            match (name, of) {
                ("*", "*") => true,
                ("*", of) => of == group,
                (name, of) => name == plural && of == group,
            }
        };
        self.0.iter().find(|rule| rule.resources.iter().any(names)).map(|rule| rule.providers.as_slice())
    }

    pub(crate) fn seal(&self, key: &Key, value: Bytes) -> Result<Bytes, Error> {
        match self.of(key).and_then(<[Provider]>::first) {
            None | Some(Provider { cipher: Cipher::Identity, .. }) => Ok(value),
            Some(provider) => {
                let mut sealed = provider.prefix.clone().into_bytes();
                let done = provider.cipher.seal(key.as_str().as_bytes(), &value, &mut sealed);
                done.map(|()| sealed.into()).map_err(|why| Error::Open(key.clone(), why))
            }
        }
    }

    fn open(&self, key: &Key, value: Bytes) -> Result<Bytes, Error> {
        self.open_as(key, key.as_str().as_bytes(), value)
    }

    /// Opens what was sealed under another name: AES-GCM binds a value to it.
    pub(crate) fn open_as(&self, key: &Key, name: &[u8], value: Bytes) -> Result<Bytes, Error> {
        if !is_sealed(&value) {
            return Ok(value);
        }
        // One name may stand for two secrets while they are rotated: each is tried.
        let mut missed = None;
        for provider in self.of(key).unwrap_or_default() {
            if provider.prefix.is_empty() || !value.starts_with(provider.prefix.as_bytes()) {
                continue;
            }
            match provider.cipher.open(name, &value[provider.prefix.len()..]) {
                Ok(opened) => return Ok(opened.into()),
                Err(_) => missed = Some(provider.prefix.clone()),
            }
        }
        match missed {
            Some(prefix) => Err(Error::WrongKey { key: key.clone(), prefix }),
            None => Err(unreadable(key, &value)),
        }
    }

    fn plugins(&self) -> impl Iterator<Item = (&str, &Arc<kms::Plugin>)> + Send {
        let providers = self.0.iter().flat_map(|rule| &rule.providers);
        providers.filter_map(|provider| match &provider.cipher {
            Cipher::Kms(plugin) => Some((provider.prefix.as_str(), plugin)),
            _ => None,
        })
    }

    /// Asks the KMS plugins for their present keys; `true`: one is another than before.
    pub(crate) async fn refresh(&self) -> Result<bool, Error> {
        let mut changed = false;
        for (_, plugin) in self.plugins() {
            changed |= plugin.refresh().await.map_err(Error::Plugin)?;
        }
        Ok(changed)
    }

    /// What the KMS plugins said last; `None`: there is none.
    fn health_of_plugins(&self) -> Option<Result<(), String>> {
        let troubles: Vec<Option<String>> = self.plugins().map(|(_, plugin)| plugin.trouble()).collect();
        let first = troubles.iter().flatten().next().cloned();
        (!troubles.is_empty()).then(|| first.map_or(Ok(()), Err))
    }

    /// Of these values those that a plugin sealed, for [`Rules::learn`].
    fn of_plugins<'v>(&self, values: impl Iterator<Item = &'v Bytes>) -> Vec<Bytes> {
        let sealed = |value: &&Bytes| self.plugins().any(|(prefix, _)| value.starts_with(prefix.as_bytes()));
        values.filter(sealed).cloned().collect()
    }

    /// Has the plugins open what these values need that is not known yet.
    async fn learn(&self, values: Vec<Bytes>) -> Result<(), Error> {
        for value in values {
            for (prefix, plugin) in self.plugins() {
                if let Some(sealed) = value.strip_prefix(prefix.as_bytes()) {
                    plugin.learn(sealed).await.map_err(Error::Plugin)?;
                }
            }
        }
        Ok(())
    }

    /// Whether it would be sealed otherwise today.
    fn is_stale(&self, key: &Key, value: &[u8]) -> bool {
        match self.of(key).and_then(<[Provider]>::first) {
            Some(first) if !first.prefix.is_empty() => {
                let sealed = value.strip_prefix(first.prefix.as_bytes());
                sealed.is_none_or(|sealed| {
                    let opened = first.cipher.open(key.as_str().as_bytes(), sealed);
                    opened.is_err() || !first.cipher.is_current(sealed)
                })
            }
            _ => is_sealed(value),
        }
    }
}

impl Provider {
    /// One entry of `providers`: a provider for each of its keys.
    fn parse(provider: &Value) -> Result<Vec<Provider>, String> {
        let mut named = provider.as_map().into_iter().flat_map(|map| map.iter());
        let (Some((kind, settings)), None) = (named.next(), named.next()) else {
            return Err(
                "more than one provider specified in a single element, should split into different list elements".into()
            );
        };
        if kind == "kms" {
            let plugin = kms::Plugin::parse(settings)?;
            return Ok(vec![Provider { prefix: plugin.prefix(), cipher: Cipher::Kms(plugin) }]);
        }
        if kind == "identity" {
            return Ok(vec![Provider { prefix: String::new(), cipher: Cipher::Identity }]);
        }
        let keys = list(settings, "keys");
        if keys.is_empty() && Cipher::known(kind) {
            return Err(format!("{kind}: at least one key is required"));
        }
        let mut providers = Vec::new();
        for key in keys {
            let name = key.str_at(&["name"]);
            let wrong = |why: &dyn std::fmt::Display| format!("{kind}, key {name:?}: {why}");
            if name.is_empty() {
                return Err(wrong(&"name is a mandatory field for a key"));
            }
            let secret = STANDARD.decode(key.str_at(&["secret"]));
            let secret = secret.map_err(|_| wrong(&"secrets must be base64 encoded"))?;
            let cipher = Cipher::new(kind, &secret).map_err(|why| wrong(&why))?;
            providers.push(Provider { prefix: format!("k8s:enc:{kind}:v1:{name}:"), cipher });
        }
        match providers.is_empty() {
            true => Err(Cipher::new(kind, &[]).err().unwrap_or_default()),
            false => Ok(providers),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(document: serde_json::Value) -> Result<Rules, String> {
        let value = api::json::parse(document.to_string().as_bytes()).unwrap();
        Rules::parse(&value).map_err(|error| error.to_string())
    }

    fn of(providers: serde_json::Value) -> Result<Rules, String> {
        rules(json!({"kind": "EncryptionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1",
            "resources": [{"resources": ["secrets"], "providers": providers}]}))
    }

    fn key(name: &str, byte: u8, length: usize) -> serde_json::Value {
        json!({"name": name, "secret": STANDARD.encode(vec![byte; length])})
    }

    #[test]
    fn what_one_key_sealed_only_that_key_opens() {
        let secret: Key = "core/secrets/default/s".parse().unwrap();
        let other: Key = "core/secrets/default/t".parse().unwrap();
        let plain = Bytes::from_static(b"{\"kind\":\"Secret\"}");
        for (kind, length) in [
            ("aesgcm", 16),
            ("aesgcm", 24),
            ("aesgcm", 32),
            ("aescbc", 16),
            ("aescbc", 24),
            ("aescbc", 32),
            ("secretbox", 32),
        ] {
            let one = of(json!([{kind: {"keys": [key("one", 1, length)]}}])).unwrap();
            let sealed = one.seal(&secret, plain.clone()).unwrap();
            assert!(sealed.starts_with(format!("k8s:enc:{kind}:v1:one:").as_bytes()));
            assert_eq!(one.open(&secret, sealed.clone()).unwrap(), plain);
            assert!(!one.is_stale(&secret, &sealed) && one.is_stale(&secret, &plain));
            if kind == "aesgcm" {
                assert!(one.open(&other, sealed.clone()).is_err(), "a value is bound to its key");
            }
            let same_name = of(json!([{kind: {"keys": [key("one", 2, length)]}}])).unwrap();
            let both = of(
                json!([{kind: {"keys": [key("one", 2, length)]}}, {kind: {"keys": [key("one", 1, length)]}}]),
            )
            .unwrap();
            let opened = same_name.open(&secret, sealed.clone());
            assert!(kind == "aescbc" || opened.is_err(), "{kind}");
            assert_ne!(opened.ok(), Some(plain.clone()));
            if kind != "aescbc" {
                assert_eq!(both.open(&secret, sealed.clone()).unwrap(), plain);
                assert!(both.is_stale(&secret, &sealed));
            }
            let none = of(json!([{"identity": {}}])).unwrap();
            let why = none.open(&secret, sealed.clone()).unwrap_err().to_string();
            assert!(why.contains(&format!("k8s:enc:{kind}:v1:one, and no such key")), "{why}");
            let mut bent = sealed.to_vec();
            *bent.last_mut().unwrap() ^= 1;
            assert_ne!(one.open(&secret, bent.into()).ok(), Some(plain.clone()));
        }
    }

    #[test]
    fn resources_are_named_as_upstream_names_them() {
        let check = |names: &[&str], yes: &[&str], no: &[&str]| {
            let rules = rules(json!({"kind": "EncryptionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1",
                "resources": [{"resources": names, "providers": [{"secretbox": {"keys": [key("k", 1, 32)]}}]}]}))
            .unwrap();
            let sealed = |text: &&&str| rules.of(&text.parse().unwrap()).is_some();
            assert_eq!(yes.iter().filter(sealed).count(), yes.len(), "{names:?}");
            assert_eq!(no.iter().filter(sealed).count(), 0, "{names:?}");
        };
        let (secret, deployment) = ("core/secrets/a/b", "apps/deployments/a/b");
        check(&["secrets"], &[secret], &[deployment, "other.io/secrets/a/b"]);
        check(&["*."], &[secret], &[deployment]);
        check(&["*.apps"], &[deployment], &[secret]);
        check(&["*.*"], &[deployment, secret], &[]);
        check(&["deployments.apps"], &[deployment], &[secret]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let check = |providers: serde_json::Value, expected: &str| {
            let why = of(providers).err().unwrap();
            assert!(why.contains(expected), "{why}");
        };
        check(json!([]), "resources[0]: at least one provider is required");
        check(json!([{"aesgcm": {"keys": [key("k", 1, 31)]}}]), "got 31, expected one of [16 24 32]");
        check(json!([{"secretbox": {"keys": [key("k", 1, 16)]}}]), "got 16, expected one of [32]");
        check(json!([{"aescbc": {"keys": []}}]), "providers[0]: aescbc: at least one key is required");
        check(
            json!([{"kms": {"apiVersion": "v1", "name": "x", "endpoint": "unix:///x"}}]),
            "apiVersion \"v1\" is not served",
        );
        check(
            json!([{"kms": {"apiVersion": "v2", "name": "x", "endpoint": "tcp://x"}}]),
            "unsupported scheme",
        );
        check(json!([{"aesgcm": {}, "identity": {}}]), "more than one provider");
        check(json!([{"aesgcm": {"keys": [{"name": "k", "secret": "§"}]}}]), "base64");
    }
}
