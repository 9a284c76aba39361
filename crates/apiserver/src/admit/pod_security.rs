//! PodSecurity: a namespace's labels say by which of the Pod Security Standards its pods are refused, warned of and noted
//! (k8s.io/pod-security-admission/admission). Pods are refused; what makes pods is only warned of.

use api::pod_security::{Level, Standard, Violation, describe, evaluate};
use api::{Value, field};

use super::{Operation, Plugin, Request};
use crate::status::{Result, Status};

pub(super) const PLUGIN: Plugin = Plugin {
    name: "PodSecurity",
    default: true,
    handles: |request| {
        matches!(request.operation, Operation::Create | Operation::Update)
            && (is_pod(request) || template(request).is_some() || request.is("", "namespaces"))
    },
    mutate: None,
    validate: Some(|request, value| {
        let result = match value {
            Some(value) if request.is("", "namespaces") => namespace(request, value),
            Some(value) => pod(request, value),
            None => Ok(()),
        };
        Box::pin(std::future::ready(result))
    }),
};

const PREFIX: &str = "pod-security.kubernetes.io/";
/// Pods that a changed namespace is checked against.
const MOST: usize = 3000;

/// What one namespace has, by mode. The defaults are the server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub enforce: Standard,
    pub audit: Standard,
    pub warn: Standard,
}

/// The server's defaults and who is exempt (`PodSecurityConfiguration`).
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub defaults: Policy,
    pub exempt_users: Vec<String>,
    pub exempt_namespaces: Vec<String>,
    pub exempt_runtime_classes: Vec<String>,
}

fn is_pod(request: &Request<'_>) -> bool {
    request.is("", "pods") && matches!(request.subresource, "" | "ephemeralcontainers" | "resize")
}

/// Where a kind that makes pods keeps what they are like.
fn template(request: &Request<'_>) -> Option<&'static [&'static str]> {
    let resource = &request.call.target.storage.resource;
    if !request.subresource.is_empty() {
        return None;
    }
    Some(match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "podtemplates") => &["template"],
        ("", "replicationcontrollers")
        | ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => &["spec", "template"],
        ("batch", "cronjobs") => &["spec", "jobTemplate", "spec", "template"],
        _ => return None,
    })
}

/// What labels say, and what is wrong with them: a wrong level is the strictest, a wrong version the latest.
fn policy(labels: impl Fn(&str) -> Option<String>, defaults: Policy) -> (Policy, Vec<field::Error>) {
    let (mut policy, mut errors) = (defaults, Vec::new());
    let path = field::Path::new("metadata").child("labels");
    let mut warn_set = false;
    let mut read = |mode: &str, fallback: Level, standard: &mut Standard| {
        let key = format!("{PREFIX}{mode}");
        if let Some(text) = labels(&key) {
            warn_set |= mode == "warn";
            standard.level = Level::parse(&text).unwrap_or_else(|| {
                let detail = "must be one of privileged, baseline, restricted";
                errors.push(field::Error::invalid(path.key(&key), text.as_str(), detail));
                fallback
            });
            // A level of its own is not at the server's version.
            standard.minor = None;
        }
        let key = format!("{key}-version");
        if let Some(text) = labels(&key) {
            standard.minor = Standard::parse_version(&text).unwrap_or_else(|| {
                let detail = "must be \"latest\" or \"v1.x\"";
                errors.push(field::Error::invalid(path.key(&key), text.as_str(), detail));
                None
            });
        }
    };
    read("enforce", Level::Restricted, &mut policy.enforce);
    read("audit", Level::Privileged, &mut policy.audit);
    read("warn", Level::Privileged, &mut policy.warn);
    // Nobody is surprised by what was only enforced.
    if !warn_set && policy.enforce.level > policy.warn.level {
        policy.warn = policy.enforce;
    }
    (policy, errors)
}

fn of_labels(labels: Option<&Value>, defaults: Policy) -> (Policy, Vec<field::Error>) {
    policy(
        |key| labels.map(|labels| labels.str_at(&[key]).to_string()).filter(|text| !text.is_empty()),
        defaults,
    )
}

fn namespace(request: &Request<'_>, value: &Value) -> Result<()> {
    if !request.subresource.is_empty() {
        return Ok(());
    }
    let settings = &request.call.inner.config.pod_security;
    let (new, errors) = of_labels(value.at(&["metadata", "labels"]), settings.defaults);
    let old = request.old.map(|old| of_labels(old.at(&["metadata", "labels"]), settings.defaults));
    if !errors.is_empty() && old.as_ref().is_none_or(|(_, before)| *before != errors) {
        return Err(Status::invalid(&request.call.target.kind, value.str_at(&["metadata", "name"]), &errors));
    }
    let Some((old, _)) = old else { return Ok(()) };
    let (now, before) = (new.enforce, old.enforce);
    let stricter = now != before
        && now.level != Level::Privileged
        && (now.minor != before.minor || now.level > before.level);
    let name = value.str_at(&["metadata", "name"]);
    if !stricter || settings.exempt_namespaces.iter().any(|own| own == name) {
        return Ok(());
    }
    let Some(cache) = request.call.inner.caches.named("", "pods") else { return Ok(()) };
    let snapshot = cache.snapshot();
    let (mut found, mut total): (Vec<(String, Vec<String>)>, usize) = (Vec::new(), 0);
    for pod in snapshot.range(name, None) {
        total += 1;
        if total > MOST {
            continue;
        }
        let pod = pod.value();
        let empty = Value::Null;
        let violations =
            evaluate(now, pod.get("metadata").unwrap_or(&empty), pod.get("spec").unwrap_or(&empty));
        if !violations.is_empty() {
            let (text, name) = (describe(&violations, false), pod.str_at(&["metadata", "name"]).to_string());
            match found.iter_mut().find(|(known, _)| *known == text) {
                Some((_, names)) => names.push(name),
                None => found.push((text, vec![name])),
            }
        }
    }
    let mut warnings = Vec::new();
    if total > MOST {
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {MOST} of {total} existing pods"
        ));
    }
    if !found.is_empty() {
        warnings.push(format!(
            "existing pods in namespace {name:?} violate the new PodSecurity enforce level \"{now}\""
        ));
    }
    let mut shown: Vec<String> = found
        .into_iter()
        .map(|(text, mut names)| {
            names.sort();
            match names.len() {
                1 => format!("{}: {text}", names[0]),
                2 => format!("{} (and 1 other pod): {text}", names[0]),
                count => format!("{} (and {} other pods): {text}", names[0], count - 1),
            }
        })
        .collect();
    shown.sort();
    request.call.warn(warnings.into_iter().chain(shown));
    Ok(())
}

fn pod(request: &Request<'_>, value: &Value) -> Result<()> {
    let call = request.call;
    let settings = &call.inner.config.pod_security;
    let name = request.namespace();
    let exempt = |list: &[String], text: &str| list.iter().any(|own| own == text);
    if exempt(&settings.exempt_namespaces, name) || exempt(&settings.exempt_users, &call.identity.name) {
        return Ok(());
    }
    let Some(namespace) = call.inner.peek("", "namespaces", "", name) else { return Ok(()) };
    let (policy, errors) = policy(|key| namespace.label(key).map(String::from), settings.defaults);
    let privileged = |standard: Standard| standard.level == Level::Privileged;
    if errors.is_empty() && privileged(policy.enforce) && privileged(policy.audit) && privileged(policy.warn)
    {
        return Ok(());
    }
    let enforced = is_pod(request);
    if enforced && request.old.is_some_and(|old| !matters(value, old)) {
        return Ok(());
    }
    let template = if enforced { Some(value) } else { template(request).and_then(|path| value.at(path)) };
    let Some(template) = template.filter(|template| !template.is_null()) else { return Ok(()) };
    let empty = Value::object();
    let (metadata, spec) =
        (template.get("metadata").unwrap_or(&empty), template.get("spec").unwrap_or(&empty));
    let class = spec.str_at(&["runtimeClassName"]);
    if !class.is_empty() && exempt(&settings.exempt_runtime_classes, class) {
        return Ok(());
    }
    let judge = |standard: Standard| -> Vec<Violation> { evaluate(standard, metadata, spec) };
    let note = |key: &str, text: String| call.annotate(format!("{PREFIX}{key}"), text);
    if !errors.is_empty() {
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        note("error", format!("Failed to parse policy: {}", all.join(", ")));
    }
    let audited = judge(policy.audit);
    if !audited.is_empty() {
        let text = format!("would violate PodSecurity \"{}\": {}", policy.audit, describe(&audited, true));
        note("audit-violations", text);
    }
    if enforced {
        note("enforce-policy", policy.enforce.to_string());
        let found = judge(policy.enforce);
        if !found.is_empty() {
            let why = format!("violates PodSecurity \"{}\": {}", policy.enforce, describe(&found, true));
            return Err(request.forbidden(Some(value), why));
        }
    }
    let found = judge(policy.warn);
    if !found.is_empty() {
        call.warn([format!("would violate PodSecurity \"{}\": {}", policy.warn, describe(&found, true))]);
    }
    Ok(())
}

/// An update that could make a pod worse: other containers, images or AppArmor and seccomp annotations.
fn matters(new: &Value, old: &Value) -> bool {
    let containers = |value: &Value, list: &str| -> Vec<(String, Option<Value>)> {
        let all = value.at(&["spec", list]).and_then(Value::as_array).unwrap_or_default();
        all.iter()
            .map(|container| {
                (container.str_at(&["image"]).to_string(), container.get("securityContext").cloned())
            })
            .collect()
    };
    ["containers", "initContainers", "ephemeralContainers"]
        .iter()
        .any(|list| containers(new, list) != containers(old, list))
}
