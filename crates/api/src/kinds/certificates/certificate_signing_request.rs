//! CertificateSigningRequest: who asks is written down by the server; a condition of approval is for ever.

use base64::Engine as _;

use crate::Value;
use crate::field::Error;
use crate::kind::{Context, Rules, keep, keep_all_but};
use crate::kinds::Builtin;
use crate::kinds::edit::list;
use crate::pod::condition;
use crate::table::{age, cells, duration};
use crate::validation::check::Errors;
use crate::validation::node::{inspect, inspect_both};
use crate::validation::{Node, names};

pub const KIND: Builtin = Builtin {
    group: "certificates.k8s.io",
    plural: "certificatesigningrequests",
    storage: "v1",
    rules: || Box::new(CertificateSigningRequest),
};

struct CertificateSigningRequest;

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

impl Rules for CertificateSigningRequest {
    fn has_status(&self) -> bool {
        true
    }
    fn prepare_create(&self, context: &Context<'_>, new: &mut Value) {
        new.remove(&["status"]);
        new.set(&["status"], Value::object());
        let texts =
            |texts: &[String]| texts.iter().map(|text| Value::from(text.as_str())).collect::<Vec<_>>();
        let spec = new.make(&["spec"]);
        for field in ["uid", "groups", "extra"] {
            spec.remove(&[field]);
        }
        spec.set(&["username"], context.user);
        if !context.who.uid.is_empty() {
            spec.set(&["uid"], context.who.uid);
        }
        spec.set(&["groups"], texts(context.who.groups));
        for (name, values) in context.who.extra {
            spec.set(&["extra", name], texts(values));
        }
    }
    fn prepare_update(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        keep(new, old, "spec");
        keep(new, old, "status");
    }
    fn prepare_status(&self, context: &Context<'_>, new: &mut Value, old: &Value) {
        keep_all_but(new, old, &["metadata", "status"]);
        for kind in ["Approved", "Denied"] {
            keep_conditions(new, old, kind);
        }
        stamp(new, old, context.now);
    }
    fn prepare_subresource(&self, name: &str, context: &Context<'_>, new: &mut Value, old: &Value) {
        match name {
            "approval" => {
                stamp(new, old, context.now);
                let conditions = new.at(&["status", "conditions"]).cloned();
                keep_all_but(new, old, &["metadata"]);
                match conditions {
                    Some(conditions) => new.set(&["status", "conditions"], conditions),
                    None => drop(new.remove(&["status", "conditions"])),
                }
            }
            "status" => self.prepare_status(context, new, old),
            _ => self.prepare_update(context, new, old),
        }
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        inspect(new, errors, |request| check(request, None));
    }
    fn validate_update(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        inspect_both(new, old, errors, |request, old| update(request, old, false, false));
    }
    fn validate_status(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        inspect_both(new, old, errors, |request, old| update(request, old, false, true));
    }
    fn validate_subresource(
        &self,
        name: &str,
        context: &Context<'_>,
        new: &Value,
        old: &Value,
        errors: &mut Errors,
    ) {
        match name {
            "approval" => inspect_both(new, old, errors, |request, old| update(request, old, true, false)),
            "status" => self.validate_status(context, new, old, errors),
            _ => self.validate_update(context, new, old, errors),
        }
    }
    fn bad_name(&self, _: &str, _: bool) -> Option<String> {
        None
    }
    fn cells(&self, value: &Value, now: i64) -> Option<Vec<Value>> {
        Some(row(value, now))
    }
}

fn of_kind<'a>(value: &'a Value, kind: &str) -> Vec<&'a Value> {
    let conditions = list(value, &["status", "conditions"]).iter();
    conditions.filter(|condition| condition.str_at(&["type"]) == kind).collect()
}

/// Conditions of a type are the old object's, where there are as many.
fn keep_conditions(new: &mut Value, old: &Value, kind: &str) {
    let was: Vec<Value> = of_kind(old, kind).into_iter().cloned().collect();
    if was.len() != of_kind(new, kind).len() {
        return;
    }
    let mut was = was.into_iter();
    for condition in new.at_mut(&["status", "conditions"]).and_then(Value::as_array_mut).into_iter().flatten()
    {
        if condition.str_at(&["type"]) == kind
            && let Some(old) = was.next()
        {
            *condition = old;
        }
    }
}

/// Times of conditions that carry none: of the change, or those of the condition that was there.
fn stamp(new: &mut Value, old: &Value, now: &str) {
    for condition in new.at_mut(&["status", "conditions"]).and_then(Value::as_array_mut).into_iter().flatten()
    {
        let none = |condition: &Value, field: &str| condition.get(field).is_none_or(Value::is_null);
        if none(condition, "lastUpdateTime") {
            condition.set(&["lastUpdateTime"], now);
        }
        if none(condition, "lastTransitionTime") {
            let kind = condition.str_at(&["type"]).to_string();
            let same =
                of_kind(old, &kind).into_iter().find(|was| was.get("status") == condition.get("status"));
            let time =
                same.and_then(|was| was.get("lastTransitionTime")).filter(|time| !time.is_null()).cloned();
            condition.set(&["lastTransitionTime"], time.unwrap_or_else(|| now.into()));
        }
    }
}

/// `old`: mistakes of it may stay.
fn check(request: &Node<'_>, old: Option<&Node<'_>>) {
    let spec = request.get("spec");
    if let Some(why) = bad_request(spec.get("request").text()) {
        spec.get("request").invalid(why);
    }
    let usages = spec.get("usages");
    usages.required();
    let items = usages.items();
    let had = |bad: fn(&[&str]) -> bool| old.is_some_and(|old| bad(&old.at(&["spec", "usages"]).texts()));
    if !had(|usages| usages.iter().any(|usage| !USAGES.contains(usage))) {
        for usage in &items {
            usage.one_of_even_empty(&USAGES);
        }
    }
    if !had(|usages| usages.iter().enumerate().any(|(at, usage)| usages[..at].contains(usage))) {
        usages.distinct("");
    }
    let signer = spec.get("signerName");
    let legacy = |node: &Node<'_>| node.text() == "kubernetes.io/legacy-unknown";
    if legacy(&signer) && !old.is_some_and(|old| legacy(&old.at(&["spec", "signerName"]))) {
        signer.invalid("the legacy signerName is not allowed via this API version");
    } else {
        signer_name(&signer);
    }
    let seconds = spec.get("expirationSeconds");
    if seconds.has() && seconds.int() < 600 {
        seconds.invalid("may not specify a duration less than 600 seconds (10 minutes)");
    }
    conditions(&request.at(&["status", "conditions"]), old);
    let certificate = request.at(&["status", "certificate"]);
    let arbitrary =
        old.is_some_and(|old| bad_certificate(old.at(&["status", "certificate"]).text()).is_some());
    if let Some(why) = bad_certificate(certificate.text()).filter(|_| !arbitrary) {
        certificate.error(Error::invalid(certificate.path().clone(), "<certificate data>", why));
    }
}

/// Whatever is not PEM blocks of certificates. Of what is in one only the first byte is looked at.
fn bad_certificate(base64: &str) -> Option<String> {
    use base64::engine::general_purpose::STANDARD;
    if base64.is_empty() {
        return None;
    }
    let pem = STANDARD.decode(base64).unwrap_or_default();
    let pem = String::from_utf8_lossy(&pem);
    let (mut rest, mut blocks) = (&*pem, 0);
    while let Some((_, block)) = rest.split_once("-----BEGIN ") {
        rest = block;
        let Some((kind, body)) = block.split_once("-----") else { continue };
        let Some((body, after)) = body.split_once(&format!("-----END {kind}-----")) else { continue };
        rest = after;
        if kind != "CERTIFICATE" {
            return Some(format!("only CERTIFICATE PEM blocks are allowed, found {kind:?}"));
        }
        if body.contains(':') {
            return Some("no PEM block headers are permitted".into());
        }
        let text: String = body.split_whitespace().collect();
        let Ok(bytes) = STANDARD.decode(&text) else { continue };
        blocks += 1;
        match bytes.first() {
            None => return Some("found CERTIFICATE PEM block containing 0 certificates".into()),
            Some(0x30) => {}
            Some(_) => return Some("x509: malformed certificate".into()),
        }
    }
    (blocks == 0).then(|| "must contain at least one CERTIFICATE PEM block".into())
}

/// A PEM block of the right type; who signs reads what is in it.
fn bad_request(base64: &str) -> Option<&'static str> {
    let pem = base64::engine::general_purpose::STANDARD.decode(base64).unwrap_or_default();
    let pem = String::from_utf8_lossy(&pem);
    let (begin, end) = ("-----BEGIN CERTIFICATE REQUEST-----", "-----END CERTIFICATE REQUEST-----");
    let first = pem.find("-----BEGIN ");
    let good = first.is_some() && first == pem.find(begin) && pem.contains(end);
    (!good).then_some("PEM block type must be CERTIFICATE REQUEST")
}

/// `example.com/name`: a domain, and a path of subdomains.
pub(super) fn signer_name(signer: &Node<'_>) {
    let text = signer.text();
    if text.is_empty() {
        return signer.missing("");
    }
    let parts: Vec<&str> = text.split('/').collect();
    let [domain, path] = parts[..] else {
        return signer
            .invalid("must be a fully qualified domain and path of the form 'example.com/signer-name'");
    };
    let invalid = |shown: &str, why: String| signer.error(Error::invalid(signer.path().clone(), shown, why));
    if domain.len() > 253 {
        signer.error(Error::too_long(signer.path().clone(), 253));
    }
    // The first bad label alone is told, with all that is wrong with it.
    let first_bad = |whole: &str, format: fn(&str) -> Vec<String>| {
        if let Some(label) = whole.split('.').find(|label| !format(label).is_empty()) {
            for reason in format(label) {
                invalid(whole, format!("validating label {label:?}: {reason}"));
            }
        }
    };
    first_bad(domain, names::dns_label);
    if !domain.contains('.') {
        invalid(domain, "should be a domain with at least two segments separated by dots".into());
    }
    first_bad(path, names::dns_subdomain);
    signer.at_most_bytes(571);
}

fn conditions(conditions: &Node<'_>, old: Option<&Node<'_>>) {
    let items = conditions.items();
    let olds = old.map(|old| old.at(&["status", "conditions"]).items()).unwrap_or_default();
    let kinds = |items: &[Node<'_>]| -> Vec<String> {
        items.iter().map(|one| one.get("type").text().into()).collect()
    };
    let was = kinds(&olds);
    let doubled = was.iter().enumerate().any(|(at, kind)| was[..at].contains(kind));
    let both = ["Approved", "Denied"].iter().all(|kind| was.iter().any(|was| was == kind));
    let is = kinds(&items);
    for (at, condition) in items.iter().enumerate() {
        let (kind, status) = (condition.get("type"), condition.get("status"));
        if !was.iter().any(String::is_empty) {
            kind.required();
        }
        let statuses: &[&str] = match kind.text() {
            "Approved" | "Denied" | "Failed" => &["True"],
            _ => &["False", "True", "Unknown"],
        };
        status.required_one_of(statuses);
        let other = match kind.text() {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if !both && !other.is_empty() && is[..at].iter().any(|kind| kind == other) {
            let text = "Approved and Denied conditions are mutually exclusive";
            conditions.error(Error::invalid(conditions.path().clone(), kind.text(), text));
        }
        if !doubled && is[..at].iter().any(|before| before == kind.text()) {
            kind.error(Error::duplicate(kind.path().clone(), kind.text()));
        }
    }
}

fn update(request: &Node<'_>, old: &Node<'_>, may_approve: bool, may_issue: bool) {
    check(request, Some(old));
    let conditions = request.at(&["status", "conditions"]);
    let of = |node: &Node<'_>, kind: &str| -> Vec<Value> {
        of_kind(node.value(), kind).into_iter().cloned().collect()
    };
    for kind in ["Approved", "Denied", "Failed"] {
        if of(request, kind).len() < of(old, kind).len() {
            conditions.forbidden(format!("updates may not remove a condition of type {kind:?}"));
        }
    }
    for kind in ["Approved", "Denied"].iter().filter(|_| !may_approve) {
        let (is, was) = (of(request, kind), of(old, kind));
        if is.len() > was.len() {
            conditions.forbidden(format!("updates may not add a condition of type {kind:?}"));
        } else if is.len() == was.len() && is != was {
            let difference = crate::kinds::core::pod::difference(&was.into(), &is.into());
            conditions
                .forbidden(format!("updates may not modify a condition of type {kind:?}\n{difference}"));
        }
    }
    let (certificate, was) = (request.at(&["status", "certificate"]), old.at(&["status", "certificate"]));
    if certificate.text() != was.text() {
        if !may_issue {
            certificate.forbidden("updates may not set certificate content");
        } else if !was.text().is_empty() {
            certificate.forbidden("updates may not modify existing certificate content");
        }
    }
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let has = |kind: &str| condition(value, kind).is_some();
    let mut state = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        _ => "Pending",
    }
    .to_string();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !value.str_at(&["status", "certificate"]).is_empty() {
        state.push_str(",Issued");
    }
    let seconds = value.at(&["spec", "expirationSeconds"]).and_then(Value::as_int);
    vec![
        cells::name(value),
        age(value, now),
        cells::or(value.str_at(&["spec", "signerName"]), "<none>"),
        value.str_at(&["spec", "username"]).into(),
        seconds.map_or("<none>".into(), duration::human).into(),
        state.into(),
    ]
}
