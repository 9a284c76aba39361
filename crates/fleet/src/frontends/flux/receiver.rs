//! Flux' `Receiver`: who may ask for a look by a webhook, and for what. The path is a secret made of the Secret's token, and most
//! types of senders sign their calls with it besides. Pure functions: [`crate::engine`] listens.
//!
//! Refused by name: filters in CEL, and the types that ask another server (gcr, generic-oidc) or need another format (cdevents).

use api::{Map, Value};
use http::HeaderMap;
use jiff::Timestamp;
use ring::hmac;
use sha2::{Digest, Sha256};

use super::conditions::{self, Condition};
use super::secrets;
use crate::cluster::Cluster;

/// What paths begin with.
pub(crate) const PREFIX: &str = "/hook/";
pub(crate) const API_VERSION: &str = "notification.toolkit.fluxcd.io/v1";
pub(crate) const KIND: &str = "Receiver";

/// The CustomResourceDefinition.
pub(crate) fn definition() -> Value {
    serde_json::from_str(include_str!("receivers.json")).expect("because a test reads it")
}

/// A call as it came.
pub(crate) struct Call<'a> {
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

impl Call<'_> {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Whom a call asks to look.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub api_version: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    /// Of all objects with these labels, if the name is `*`.
    pub selector: String,
}

/// The path of a receiver.
pub(crate) fn path(token: &[u8], name: &str, namespace: &str) -> String {
    let digest = Sha256::new().chain_update(token).chain_update(name).chain_update(namespace);
    format!("{PREFIX}{}", hex::encode(digest.finalize()))
}

/// The token of a receiver's Secret.
///
/// # Errors
/// As upstream tells it. An empty token is none: anybody could guess the path.
pub(crate) async fn token(cluster: &Cluster, receiver: &Value) -> Result<Vec<u8>, String> {
    let namespace = receiver.str_at(&["metadata", "namespace"]);
    let name = receiver.str_at(&["spec", "secretRef", "name"]);
    let secret = secrets::get(cluster, "Secret", namespace, name).await?;
    let secret = secret.ok_or_else(|| {
        format!("unable to read token from secret '{namespace}/{name}' error: Secret \"{name}\" not found")
    })?;
    secrets::bytes(&secret, "token")
        .filter(|token| !token.is_empty())
        .ok_or_else(|| format!("invalid '{namespace}/{name}' secret data: required fields 'token'"))
}

/// What of a receiver is not done here.
fn refused(receiver: &Value) -> Option<String> {
    let spec = receiver.get("spec")?;
    let kind = spec.str_at(&["type"]);
    if !KINDS.contains(&kind) {
        return Some(format!("spec.type {kind} is not supported"));
    }
    let filtered = |one: &Value, field: &str| !one.str_at(&[field]).is_empty();
    let resources = spec.get("resources").and_then(Value::as_array).unwrap_or_default();
    if filtered(spec, "resourceFilter") || resources.iter().any(|one| filtered(one, "filter")) {
        return Some("filters of resources are not supported".into());
    }
    None
}

/// The types that are heard.
const KINDS: [&str; 10] = [
    "generic",
    "generic-hmac",
    "github",
    "gitlab",
    "bitbucket",
    "harbor",
    "dockerhub",
    "quay",
    "nexus",
    "acr",
];

/// Where the receiver is called, and the patch of its status; `None`: it is not, or it shows that already.
pub(crate) fn show(
    receiver: &Value,
    token: &Result<Vec<u8>, String>,
    now: Timestamp,
) -> (Option<String>, Option<Value>) {
    let (name, namespace) =
        (receiver.str_at(&["metadata", "name"]), receiver.str_at(&["metadata", "namespace"]));
    let mut at = None;
    let told = match (refused(receiver), token) {
        (Some(text), _) => {
            let text = format!("Reconciliation failed terminally due to configuration error: {text}");
            vec![
                Condition::new("Stalled", "True", "UnsupportedFeature", text.clone()),
                Condition::new("Ready", "False", "UnsupportedFeature", text),
            ]
        }
        (None, Err(text)) => vec![
            Condition::new("Reconciling", "True", "ProgressingWithRetry", "Reconciliation in progress"),
            Condition::new("Ready", "False", "TokenNotFound", text.clone()),
        ],
        (None, Ok(token)) => {
            let path = path(token, name, namespace);
            let told = format!("Receiver initialized for path: {path}");
            at = Some(path);
            vec![Condition::new("Ready", "True", "Succeeded", told)]
        }
    };
    let mut status = Map::from_iter([("conditions", conditions::list(receiver, &told, now))]);
    if let Some(path) = &at {
        status.insert("webhookPath", path.as_str());
    }
    let done = !told.iter().any(|one| one.kind == "Reconciling");
    let generation = match done {
        true => receiver.at(&["metadata", "generation"]),
        false => receiver.at(&["status", "observedGeneration"]),
    };
    if let Some(generation) = generation {
        status.insert("observedGeneration", generation.clone());
    }
    let handled = match receiver.str_at(&["metadata", "annotations", super::REQUESTED]) {
        "" => receiver.str_at(&["status", "lastHandledReconcileAt"]),
        asked => asked,
    };
    if !handled.is_empty() {
        status.insert("lastHandledReconcileAt", handled);
    }
    (at, conditions::patch(receiver, Value::Object(status)))
}

/// Whether a call is one that the receiver expects.
///
/// # Errors
/// Why not, for the log: the caller is told nothing.
pub(crate) fn check(receiver: &Value, token: &[u8], call: &Call<'_>) -> Result<(), String> {
    let kind = receiver.str_at(&["spec", "type"]);
    match kind {
        "generic" => Ok(()),
        "generic-hmac" => signed(call.header("x-signature"), call.body, token),
        "github" => {
            hub(call, token)?;
            expected(receiver, call.header("x-github-event"), "GitHub")
        }
        "bitbucket" => {
            hub(call, token)?;
            expected(receiver, call.header("x-event-key"), "Bitbucket server")
        }
        "gitlab" => {
            if !same(call.header("x-gitlab-token").as_bytes(), token) {
                return Err("the X-Gitlab-Token header value does not match the receiver token".into());
            }
            expected(receiver, call.header("x-gitlab-event"), "GitLab")
        }
        "harbor" => match same(call.header("authorization").as_bytes(), token) {
            true => Ok(()),
            false => Err("the Harbor Authorization header value does not match the receiver token".into()),
        },
        "nexus" => {
            let signature = call.header("x-nexus-webhook-signature");
            let algorithm = hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY;
            if !verified(algorithm, signature, call.body, token) {
                return Err("invalid Nexus signature".into());
            }
            json(call.body, "Nexus")
        }
        "quay" => json(call.body, "Quay"),
        "dockerhub" => json(call.body, "DockerHub"),
        "acr" => json(call.body, "ACR"),
        other => Err(format!("recevier type \"{other}\" not supported")),
    }
}

fn json(body: &[u8], sender: &str) -> Result<(), String> {
    let read = serde_json::from_slice::<Value>(body).map_err(|error| error.to_string());
    match read {
        Ok(value) if value.as_map().is_some() => Ok(()),
        Ok(_) => Err(format!("cannot decode {sender} webhook payload: it is no object")),
        Err(text) => Err(format!("cannot decode {sender} webhook payload: {text}")),
    }
}

fn expected(receiver: &Value, event: &str, sender: &str) -> Result<(), String> {
    let events = receiver.at(&["spec", "events"]).and_then(Value::as_array).unwrap_or_default();
    let allowed = |one: &Value| one.as_str().is_some_and(|one| one.eq_ignore_ascii_case(event));
    match events.is_empty() || events.iter().any(allowed) {
        true => Ok(()),
        false => Err(format!("the {sender} event \"{event}\" is not authorised")),
    }
}

/// A call as GitHub signs it: the newer header counts if both are there.
pub(crate) fn hub(call: &Call<'_>, token: &[u8]) -> Result<(), String> {
    let kind = call.header("content-type").split(';').next().unwrap_or_default().trim();
    if !["application/json", "application/x-www-form-urlencoded"].contains(&kind) {
        return Err(format!("webhook request has unsupported Content-Type \"{kind}\""));
    }
    let signature = match call.header("x-hub-signature-256") {
        "" => call.header("x-hub-signature"),
        signature => signature,
    };
    signed(signature, call.body, token)
}

/// `sha256=…` and its like.
fn signed(signature: &str, body: &[u8], token: &[u8]) -> Result<(), String> {
    if signature.is_empty() {
        return Err("missing signature".into());
    }
    let (kind, digits) =
        signature.split_once('=').ok_or_else(|| format!("error parsing signature \"{signature}\""))?;
    let algorithm = match kind {
        "sha1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        "sha256" => hmac::HMAC_SHA256,
        "sha512" => hmac::HMAC_SHA512,
        other => return Err(format!("unknown hash type prefix: \"{other}\"")),
    };
    match verified(algorithm, digits, body, token) {
        true => Ok(()),
        false => Err("payload signature check failed".into()),
    }
}

/// Hexadecimal digits of a keyed digest, in constant time.
pub(crate) fn verified(algorithm: hmac::Algorithm, digits: &str, body: &[u8], key: &[u8]) -> bool {
    let key = hmac::Key::new(algorithm, key);
    hex::decode(digits).is_ok_and(|tag| hmac::verify(&key, body, &tag).is_ok())
}

/// Equal, told in a time that does not tell where they differ.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"compare");
    hmac::verify(&key, a, hmac::sign(&key, b).as_ref()).is_ok()
}

/// Kinds whose version need not be given.
fn default_version(kind: &str) -> &'static str {
    match kind {
        "Bucket" | "HelmChart" | "HelmRepository" | "GitRepository" | "OCIRepository" => {
            "source.toolkit.fluxcd.io/v1"
        }
        "ImageRepository" => "image.toolkit.fluxcd.io/v1",
        "ArtifactGenerator" => "source.extensions.fluxcd.io/v1beta1",
        _ => "",
    }
}

/// Whom the receiver's calls ask to look; a fault names one that cannot be told.
pub(crate) fn targets(receiver: &Value) -> Vec<Result<Target, String>> {
    let all = receiver.at(&["spec", "resources"]).and_then(Value::as_array).unwrap_or_default();
    let own = receiver.str_at(&["metadata", "namespace"]);
    let of = |one: &Value| {
        let kind = one.str_at(&["kind"]);
        let api_version = match one.str_at(&["apiVersion"]) {
            "" => default_version(kind),
            given => given,
        };
        if api_version.is_empty() {
            return Err(format!("apiVersion must be specified for kind \"{kind}\""));
        }
        let labels = one.get("matchLabels").and_then(Value::as_map);
        if one.str_at(&["name"]) == "*" && labels.is_none() {
            return Err("matchLabels field not set when using wildcard '*' as name".into());
        }
        let pair = |(key, value): (&str, &Value)| format!("{key}={}", value.as_str().unwrap_or_default());
        let pairs: Vec<String> =
            labels.into_iter().flat_map(|map| map.iter()).map(|(key, value)| pair((key, value))).collect();
        Ok(Target {
            api_version: api_version.into(),
            kind: kind.into(),
            namespace: match one.str_at(&["namespace"]) {
                "" => own.into(),
                given => given.into(),
            },
            name: one.str_at(&["name"]).into(),
            selector: pairs.join(","),
        })
    };
    all.iter().map(of).collect()
}

/// The patch that asks for a look, as upstream's annotation.
pub(crate) fn request(now: Timestamp) -> Value {
    let mut patch = Value::object();
    patch.set(&["metadata", "annotations", super::REQUESTED], now.to_string().as_str());
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver(spec: &str) -> Value {
        let text =
            format!(r#"{{"metadata":{{"name":"r","namespace":"default","generation":3}},"spec":{spec}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn signature(algorithm: hmac::Algorithm, body: &[u8]) -> String {
        hex::encode(hmac::sign(&hmac::Key::new(algorithm, b"token"), body))
    }

    fn judged(spec: &str, headers: &[(&'static str, &str)], body: &[u8]) -> Result<(), String> {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.insert(*name, value.parse().unwrap());
        }
        check(&receiver(spec), b"token", &Call { headers: &all, body })
    }

    #[test]
    fn the_path_is_upstreams() {
        // `echo -n token-rdefault | sha256sum`
        assert_eq!(
            path(b"token-", "r", "default"),
            "/hook/783e2193be65beb93b3ad8a1761368716b864077af654fc650c47870c01c77e9"
        );
        assert_eq!(definition().str_at(&["spec", "names", "kind"]), KIND);
    }

    #[test]
    fn calls_are_judged_as_upstream_does() {
        let body = br#"{"ref":"refs/heads/main"}"#;
        let sha1 = format!("sha1={}", signature(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, body));
        let sha256 = format!("sha256={}", signature(hmac::HMAC_SHA256, body));
        let sha512 = format!("sha512={}", signature(hmac::HMAC_SHA512, body));
        let json = ("content-type", "application/json; charset=utf-8");
        assert_eq!(judged(r#"{"type":"generic"}"#, &[], b""), Ok(()));
        for good in [&sha1, &sha256, &sha512] {
            assert_eq!(judged(r#"{"type":"generic-hmac"}"#, &[("x-signature", good)], body), Ok(()));
            assert_eq!(judged(r#"{"type":"github"}"#, &[json, ("x-hub-signature", good)], body), Ok(()));
        }
        for bad in ["", "sha256", "md5=00", "sha256=zz", "sha256=00", &sha1.replace("sha1", "sha256")] {
            assert!(judged(r#"{"type":"generic-hmac"}"#, &[("x-signature", bad)], body).is_err(), "{bad}");
        }
        assert!(judged(r#"{"type":"generic-hmac"}"#, &[("x-signature", &sha256)], b"other").is_err());
        // The newer header decides.
        let both = [json, ("x-hub-signature", sha1.as_str()), ("x-hub-signature-256", "sha256=00")];
        assert!(judged(r#"{"type":"github"}"#, &both, body).is_err());
        let event = [json, ("x-hub-signature-256", sha256.as_str()), ("x-github-event", "push")];
        assert_eq!(judged(r#"{"type":"github","events":["ping","Push"]}"#, &event, body), Ok(()));
        let told = judged(r#"{"type":"github","events":["ping"]}"#, &event, body).unwrap_err();
        assert_eq!(told, r#"the GitHub event "push" is not authorised"#);
        assert!(judged(r#"{"type":"github"}"#, &event[1..], body).unwrap_err().contains("Content-Type"));
        let gitlab = [("x-gitlab-token", "token"), ("x-gitlab-event", "Push Hook")];
        assert_eq!(judged(r#"{"type":"gitlab","events":["Push Hook"]}"#, &gitlab, body), Ok(()));
        assert!(judged(r#"{"type":"gitlab"}"#, &[("x-gitlab-token", "tokem")], body).is_err());
        assert_eq!(judged(r#"{"type":"harbor"}"#, &[("authorization", "token")], body), Ok(()));
        assert!(judged(r#"{"type":"harbor"}"#, &[], body).is_err());
        let nexus = signature(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, body);
        assert_eq!(judged(r#"{"type":"nexus"}"#, &[("x-nexus-webhook-signature", &nexus)], body), Ok(()));
        assert!(judged(r#"{"type":"quay"}"#, &[], b"[]").is_err());
        assert!(judged(r#"{"type":"gcr"}"#, &[], body).is_err());
    }

    #[test]
    fn its_status_tells_where_it_is_called() {
        let now = Timestamp::UNIX_EPOCH;
        let good = receiver(r#"{"type":"generic","secretRef":{"name":"s"}}"#);
        let (at, patch) = show(&good, &Ok(b"t".to_vec()), now);
        let (at, patch) = (at.unwrap(), patch.unwrap());
        assert_eq!(patch.str_at(&["status", "webhookPath"]), at);
        let mut shown = good.clone();
        shown.set(&["status"], patch.get("status").unwrap().clone());
        assert_eq!(show(&shown, &Ok(b"t".to_vec()), now), (Some(at), None));
        // A token that is gone takes the path away.
        let (at, patch) = show(&shown, &Err("gone".into()), now);
        let patch = patch.unwrap();
        assert!(at.is_none() && patch.at(&["status", "webhookPath"]).is_some_and(Value::is_null));
        for refused in [
            r#"{"type":"gcr"}"#,
            r#"{"type":"generic","resourceFilter":"true"}"#,
            r#"{"type":"generic","resources":[{"filter":"true"}]}"#,
        ] {
            assert!(show(&receiver(refused), &Ok(b"t".to_vec()), now).0.is_none(), "{refused}");
        }
    }

    #[test]
    fn targets_are_named_or_chosen_by_labels() {
        let all = receiver(
            r#"{"resources":[{"kind":"GitRepository","name":"a"},{"kind":"Kustomization","name":"b"},
            {"kind":"Kustomization","apiVersion":"kustomize.toolkit.fluxcd.io/v1","name":"*","namespace":"x","matchLabels":{"a":"b"}}]}"#,
        );
        let targets = targets(&all);
        let one = targets[0].as_ref().unwrap();
        assert_eq!(
            (one.api_version.as_str(), one.namespace.as_str()),
            ("source.toolkit.fluxcd.io/v1", "default")
        );
        assert!(targets[1].is_err());
        let one = targets[2].as_ref().unwrap();
        assert_eq!((one.namespace.as_str(), one.selector.as_str()), ("x", "a=b"));
    }
}
