//! certificates.k8s.io PodCertificateRequest: what a kubelet asks a signer for in the name of a pod. Nothing of it changes but
//! its status, once, to one of three ends.
//!
//! Not here: what the keys, the request and the issued chain are made of, and who may sign; the server judges those
//! (`apiserver`, `admit/pod_certificates.rs`), which has the arithmetic.

use super::certificate_signing_request::signer_name;
use crate::Value;
use crate::field::{Error, Path, Reason};
use crate::kind::{Context, Rules, keep, only_status};
use crate::kinds::Builtin;
use crate::kinds::edit::{list, same};
use crate::table::cells;
use crate::validation::check::Errors;
use crate::validation::node::{inspect, inspect_both};
use crate::validation::{Node, meta, names};

pub const KIND: Builtin = Builtin {
    group: "certificates.k8s.io",
    plural: "podcertificaterequests",
    storage: "v1beta1",
    rules: || Box::new(PodCertificateRequest),
};

/// The ends of a request; a condition of one of them is true.
pub const ENDS: [&str; 3] = ["Issued", "Denied", "Failed"];
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

struct PodCertificateRequest;

impl Rules for PodCertificateRequest {
    fn has_status(&self) -> bool {
        true
    }
    fn unconditional_update(&self) -> bool {
        false
    }
    fn prepare_update(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        keep(new, old, "status");
    }
    fn prepare_status(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        only_status(new, old);
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        inspect(new, errors, |request| check(&request.get("spec")));
    }
    fn validate_update(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        inspect_both(new, old, errors, |request, old| {
            request.get("spec").immutable(&old.get("spec"));
        });
    }
    fn validate_status(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        if errors.is_empty() {
            inspect_both(new, old, errors, check_status);
        }
    }
    fn cells(&self, value: &Value, _: i64) -> Option<Vec<Value>> {
        Some(row(value))
    }
}

fn check(spec: &Node<'_>) {
    let signer = spec.get("signerName");
    signer_name(&signer);
    user_annotations(&spec.get("unverifiedUserAnnotations"));
    for (name, uid) in
        [("podName", "podUID"), ("serviceAccountName", "serviceAccountUID"), ("nodeName", "nodeUID")]
    {
        spec.get(name).is_even_empty(names::dns_subdomain);
        let uid = spec.get(uid);
        if uid.text().is_empty() {
            uid.error(Error::invalid(uid.path().clone(), "", "must not be empty"));
        }
        uid.at_most_bytes(128);
    }
    let seconds = spec.get("maxExpirationSeconds");
    let domain = signer.text().split('/').next().unwrap_or_default();
    let own = domain == "kubernetes.io" || domain.ends_with(".kubernetes.io");
    let most = if own { DAY } else { 91 * DAY };
    if !(HOUR..=most).contains(&seconds.int()) {
        seconds.invalid(format!("must be in the range [{HOUR}, {most}]"));
    }
    let has = |field: &str| !spec.get(field).text().is_empty();
    let (request, key, proof) = (has("stubPKCS10Request"), has("pkixPublicKey"), has("proofOfPossession"));
    if !matches!((request, key, proof), (true, false, false) | (false, true, true)) {
        let text = "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set";
        spec.error(bare(spec.path(), text));
    }
}

/// An invalid value that is not shown.
pub fn bare(path: &Path, detail: impl Into<String>) -> Error {
    Error { path: path.clone(), reason: Reason::Invalid, value: None, detail: detail.into() }
}

fn user_annotations(annotations: &Node<'_>) {
    let mut size = 0;
    for (key, value) in annotations.entries() {
        size += key.len() + value.text().len();
        let key = key.to_lowercase();
        let place = || annotations.path().clone();
        let wrong = names::qualified_name(&key);
        if key.is_empty() {
            annotations.missing("");
        } else if wrong.is_empty() && !key.contains('/') {
            let text = "must be a domain-prefixed key (such as \"acme.io/foo\")";
            annotations.error(Error::invalid(place(), key.as_str(), text));
        } else {
            for why in wrong {
                annotations.error(Error::invalid(place(), key.as_str(), why));
            }
        }
    }
    if size > meta::ANNOTATIONS {
        annotations.error(Error::too_long(annotations.path().clone(), meta::ANNOTATIONS));
    }
}

/// A condition of this type that is true.
pub fn has_ended(request: &Value, end: &str) -> bool {
    let conditions = list(request, &["status", "conditions"]);
    conditions.iter().any(|one| one.str_at(&["type"]) == end && one.str_at(&["status"]) == "True")
}

fn check_status(request: &Node<'_>, old: &Node<'_>) {
    let (status, was) = (request.get("status"), old.get("status"));
    let conditions = status.get("conditions");
    let before = request.count();
    let mut known = 0;
    for (at, condition) in conditions.items().iter().enumerate() {
        // Upstream's path has the index as a step.
        let place = |field: &str| conditions.path().child(&format!("[{at}]")).child(field);
        let (kind, state) = (condition.get("type").text(), condition.get("status").text());
        if !ENDS.contains(&kind) {
            condition.error(Error::not_supported(place("type"), kind, &ENDS));
            continue;
        }
        known += 1;
        if known > 1 {
            let text = r#"There may be at most one condition with type "Issued", "Denied", or "Failed""#;
            condition.error(Error::invalid(place("type"), kind, text));
        }
        if state != "True" {
            condition.error(Error::not_supported(place("status"), state, &["True"]));
        }
    }
    conditions.conditions();
    if request.count() > before {
        return;
    }
    let ended = |value: &Value, ends: &[&str]| ends.iter().any(|end| has_ended(value, end));
    if ended(old.value(), &ENDS) {
        if !status.is_same(&was) {
            let text = "immutable after PodCertificateRequest is issued, denied, or failed";
            status.error(bare(status.path(), text));
        }
    } else if ended(request.value(), &["Denied", "Failed"]) {
        let others = ["certificateChain", "notBefore", "beginRefreshAt", "notAfter"];
        if others.iter().any(|field| !status.get(field).is_empty()) {
            let text =
                "non-condition status fields must be empty when denying or failing the PodCertificateRequest";
            status.error(bare(status.path(), text));
        }
    } else if !ended(request.value(), &["Issued"]) && !same(some(status.value()), some(was.value())) {
        let text = r#"status is immutable unless transitioning to "Issued", "Denied", or "Failed""#;
        status.error(bare(status.path(), text));
    }
}

/// An empty status is none.
fn some(status: &Value) -> Option<&Value> {
    Some(status).filter(|status| status.as_map().is_none_or(|map| !map.is_empty()))
}

fn row(request: &Value) -> Vec<Value> {
    let mut kinds = list(request, &["status", "conditions"]).iter().rev().map(|one| one.str_at(&["type"]));
    let state = kinds.find(|kind| ENDS.contains(kind)).unwrap_or("Pending");
    let spec = |field: &str| Value::from(request.str_at(&["spec", field]));
    vec![
        cells::name(request),
        spec("podName"),
        spec("serviceAccountName"),
        spec("nodeName"),
        spec("signerName"),
        state.into(),
        cells::labels(request.at(&["spec", "unverifiedUserAnnotations"])).into(),
    ]
}
