//! What a pod says of Windows: options of its containers, HostProcess containers, and the fields that only the other system has.

use crate::Value;
use crate::field::{Error, Path};
use crate::kinds::edit::{flag, has, list};
use crate::validation::check::Errors;
use crate::validation::names;

const KINDS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Every container with its path, in upstream's order.
fn containers<'a>(spec: &'a Value, path: &'a Path) -> impl Iterator<Item = (&'a Value, Path)> {
    KINDS.into_iter().flat_map(move |field| {
        let path = path.child(field);
        list(spec, &[field]).iter().enumerate().map(move |(at, container)| (container, path.index(at)))
    })
}

/// `windowsOptions` of a security context.
pub fn options(context: &Value, path: &Path, errors: &mut Errors) {
    let Some(options) = context.get("windowsOptions").filter(|options| !options.is_null()) else { return };
    let path = path.child("windowsOptions");
    let text = |field: &str| options.get(field).and_then(Value::as_str);
    if let Some(name) = text("gmsaCredentialSpecName") {
        for reason in names::dns_subdomain(name) {
            errors.push(Error::invalid(path.child("gmsaCredentialSpecName"), name, reason));
        }
    }
    if let Some(spec) = text("gmsaCredentialSpec") {
        let why = match spec.len() {
            0 => "gmsaCredentialSpec cannot be an empty string",
            len if len > 64 * 1024 => "gmsaCredentialSpec size must be under 64 KiB",
            _ => "",
        };
        if !why.is_empty() {
            errors.push(Error::invalid(path.child("gmsaCredentialSpec"), spec, why));
        }
    }
    if let Some(name) = text("runAsUserName") {
        for why in user_name(name) {
            errors.push(Error::invalid(path.child("runAsUserName"), name, why));
        }
    }
}

/// `DOMAIN\user`.
fn user_name(name: &str) -> Vec<&'static str> {
    if name.is_empty() {
        return vec!["runAsUserName cannot be an empty string"];
    }
    if name.chars().any(|letter| letter.is_ascii_control()) {
        return vec!["runAsUserName cannot contain control characters"];
    }
    let (domain, user) = match name.split_once('\\') {
        Some((_, user)) if user.contains('\\') => {
            return vec!["runAsUserName cannot contain more than one backslash"];
        }
        Some((domain, user)) => (Some(domain), user),
        None => (None, name),
    };
    let mut wrong = Vec::new();
    if domain.is_some_and(|domain| domain.len() >= 256) {
        wrong.push("runAsUserName's Domain length must be under 256 characters");
    }
    if domain.is_some_and(|domain| !is_net_bios(domain) && !is_dns(domain)) {
        wrong.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
    }
    if user.is_empty() {
        wrong.push("runAsUserName's User cannot be empty");
    } else if user.len() > 104 {
        wrong.push("runAsUserName's User length must not be longer than 104 characters");
    }
    if !user.is_empty() && user.chars().all(|letter| matches!(letter, '.' | ' ')) {
        wrong.push("runAsUserName's User cannot contain only periods or spaces");
    }
    if user.contains(|letter| "\"/\\:;|=,+*?<>@[]".contains(letter)) {
        wrong.push("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]");
    }
    wrong
}

fn is_net_bios(domain: &str) -> bool {
    let good = |letter: char| !"\\/:*?\"<>|".contains(letter);
    !domain.starts_with('.') && (1..=15).contains(&domain.chars().count()) && domain.chars().all(good)
}

fn is_dns(domain: &str) -> bool {
    domain.split('.').all(|label| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

/// HostProcess containers come all together, and with the host's network.
pub fn host_process(spec: &Value, path: &Path, errors: &mut Errors) {
    const FIELD: [&str; 3] = ["securityContext", "windowsOptions", "hostProcess"];
    let of = |value: &Value| value.at(&FIELD).and_then(Value::as_bool);
    let pod = of(spec);
    let (mut all, mut host) = (0, 0);
    for (container, path) in containers(spec, path) {
        all += 1;
        let own = of(container);
        if let (Some(pod), Some(own)) = (pod, own)
            && pod != own
        {
            let path = FIELD.iter().fold(path, |path, field| path.child(field));
            let text = format!("pod hostProcess value must be identical if both are specified, was {pod}");
            errors.push(Error::invalid(path, own, text));
        }
        host += usize::from(own.or(pod).unwrap_or(false));
    }
    if host == 0 {
        return;
    }
    if host != all {
        let text =
            "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.push(Error::invalid(path.clone(), "", text));
    }
    if !flag(spec, &["hostNetwork"]) {
        let text = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.push(Error::invalid(path.child("hostNetwork"), false, text));
    }
}

/// What a pod with `os.name: linux` may not say.
pub fn linux(spec: &Value, path: &Path, errors: &mut Errors) {
    let own = [(spec, path.clone())].into_iter();
    for (value, path) in own.chain(containers(spec, path)) {
        if has(value, &["securityContext", "windowsOptions"]) {
            let path = path.child("securityContext").child("windowsOptions");
            errors.push(Error::forbidden(path, "windows options cannot be set for a linux pod"));
        }
    }
}

/// Fields of a pod's and of a container's security context, in the order in which upstream looks at them; those with a dot
/// before them stand in the spec itself.
const OF_POD: [&str; 15] = [
    "appArmorProfile",
    "seLinuxOptions",
    ".hostUsers",
    ".hostPID",
    ".hostIPC",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    ".shareProcessNamespace",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
];
const OF_CONTAINER: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

/// What a pod with `os.name: windows` may not say.
pub fn windows(spec: &Value, path: &Path, errors: &mut Errors) {
    let mut forbid = |value: Option<&Value>, path: Path| {
        let unset = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        // A flag of a container is a pointer: false is set too.
        let container =
            matches!(value, Some(Value::Bool(false))) && path.to_string().contains("securityContext");
        if value.is_some_and(|value| container || !unset(value)) {
            errors.push(Error::forbidden(path, "cannot be set for a windows pod"));
        }
    };
    let context = path.child("securityContext");
    for field in OF_POD {
        match field.strip_prefix('.') {
            Some(field) => forbid(spec.get(field), path.child(field)),
            None => forbid(spec.at(&["securityContext", field]), context.child(field)),
        }
    }
    for (container, path) in containers(spec, path) {
        let path = path.child("securityContext");
        for field in OF_CONTAINER {
            forbid(container.at(&["securityContext", field]), path.child(field));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::user_name;

    #[test]
    fn user_names() {
        for (name, count) in [
            ("ContainerUser", 0),
            ("DOM\\user", 0),
            ("a\\b\\c", 1),
            ("", 1),
            (".. .", 1),
            ("a@b", 1),
            ("\\x", 1),
        ] {
            assert_eq!(user_name(name).len(), count, "{name:?}: {:?}", user_name(name));
        }
    }
}
