//! internal.apiserver.k8s.io StorageVersion: in which version each server stores a kind.

use crate::Value;
use crate::field::Error;
use crate::kinds::Builtin;
use crate::kinds::edit::list;
use crate::kinds::strategy::Strategy;
use crate::table::{age, cells};
use crate::validation::{Node, names};

/// Servers that a row of a Table names.
const SHOWN: usize = 3;

pub const KIND: Builtin = Builtin {
    group: "internal.apiserver.k8s.io",
    plural: "storageversions",
    storage: "v1alpha1",
    rules: || {
        Box::new(Strategy {
            status: true,
            status_keeps_metadata: true,
            unconditional_update: false,
            name,
            row: Some(row),
            check_status: |object, _| status(&object.get("status")),
            ..Strategy::new()
        })
    },
};

/// `<group>.<resource>`.
fn name(name: &str) -> Vec<String> {
    let Some((group, resource)) = name.rsplit_once('.') else {
        return vec!["name must be in the form of <group>.<resource>".into()];
    };
    let group = names::dns_subdomain(group).into_iter().map(|text| format!("the group segment {text}"));
    let resource =
        names::dns_1035_label(resource).into_iter().map(|text| format!("the resource segment {text}"));
    group.chain(resource).collect()
}

fn row(object: &Value, now: i64) -> Vec<Value> {
    let servers = list(object, &["status", "storageVersions"]);
    let shown =
        |one: &Value| format!("{}={}", one.str_at(&["apiServerID"]), one.str_at(&["encodingVersion"]));
    let mut text = servers.iter().take(SHOWN).map(shown).collect::<Vec<_>>().join(",");
    if servers.len() > SHOWN {
        text.push_str(&format!(" + {} more...", servers.len() - SHOWN));
    }
    let common = cells::or(object.str_at(&["status", "commonEncodingVersion"]), "<unset>");
    vec![cells::name(object), common, cells::or(&text, "<unset>"), age(object, now)]
}

fn status(status: &Node<'_>) {
    let servers = status.get("storageVersions").items();
    for (at, server) in servers.iter().enumerate() {
        let id = server.get("apiServerID");
        if servers[..at].iter().any(|before| before.get("apiServerID").text() == id.text()) {
            id.duplicate();
        }
        self::server(server);
    }
    common(status, &servers);
    conditions(status);
}

fn server(server: &Node<'_>) {
    server.get("apiServerID").is_even_empty(names::dns_subdomain);
    let (encoding, decodable) = (server.get("encodingVersion"), server.get("decodableVersions"));
    api_version(&encoding);
    for version in decodable.items() {
        api_version(&version);
    }
    let known = decodable.texts();
    if !known.contains(&encoding.text()) {
        decodable.invalid(format!("decodableVersions must include encodingVersion {}", encoding.text()));
    }
    for version in server.get("servedVersions").items() {
        api_version(&version);
        if !known.contains(&version.text()) {
            let known = known.join(" ");
            version.invalid(format!(
                "individual served version : {} must be included in decodableVersions : [{known}]",
                version.text()
            ));
        }
    }
}

/// All servers' version, where they agree.
fn common(status: &Node<'_>, servers: &[Node<'_>]) {
    let told = status.get("commonEncodingVersion");
    let first = servers.first().map(|server| server.get("encodingVersion").text());
    let agreed = first.filter(|first| servers.iter().all(|one| one.get("encodingVersion").text() == *first));
    match agreed {
        None if told.has() => told.invalid(
            "should be nil if servers do not agree on the same encoding version, or if there is no server reporting the \
             supported versions yet",
        ),
        Some(version) if !told.has() => told.invalid(format!("the common encoding version is {version}")),
        Some(version) if told.text() != version => {
            told.invalid(format!("the actual common encoding version is {version}"));
        }
        _ => {}
    }
}

/// Upstream's paths leave out the name of the list.
fn conditions(status: &Node<'_>) {
    let conditions = status.get("conditions").items();
    for (at, condition) in conditions.iter().enumerate() {
        let path = |field: &str| status.path().index(at).child(field);
        let kind = condition.get("type").text();
        let same = |before: &Node<'_>| before.get("type").text() == kind;
        if let Some(first) = conditions[..at].iter().rposition(same) {
            let text =
                format!("the type of the condition is not unique, it also appears in conditions[{first}]");
            status.error(Error::invalid(path("type"), kind, text));
        }
        for field in ["type", "status"] {
            let text = condition.get(field).text();
            for wrong in names::qualified_name(text) {
                status.error(Error::invalid(path(field), text, wrong));
            }
        }
        for field in ["reason", "message"] {
            if condition.get(field).text().is_empty() {
                status.error(Error::required(path(field), ""));
            }
        }
    }
}

/// `v1` or `apps/v1`; all that is wrong is one error.
fn api_version(node: &Node<'_>) {
    const EMPTY: &str = "must be non-empty";
    let prefixed = |part: &str, texts: Vec<String>| -> Vec<String> {
        texts.into_iter().map(|text| format!("{part} part: {text}")).collect()
    };
    let checked = |part: &str, text: &str, check: fn(&str) -> Vec<String>| match text.is_empty() {
        true => vec![format!("{part} part: {EMPTY}")],
        false => prefixed(part, check(text)),
    };
    let text = node.text();
    let wrong = match text.split('/').collect::<Vec<_>>().as_slice() {
        [version] => checked("version", version, names::dns_1035_label),
        [group, version] => {
            let mut wrong = checked("group", group, names::dns_subdomain);
            wrong.extend(checked("version", version, names::dns_1035_label));
            wrong
        }
        _ => {
            let what = names::regex_error(
                "a DNS-1035 label, which must consist of lower case alphanumeric characters or '-', start with an alphabetic \
                 character, and end with an alphanumeric character",
                "[a-z]([-a-z0-9]*[a-z0-9])?",
                &["my-name", "abc-123"],
            );
            vec![format!(
                "an apiVersion is {what} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyVersion')"
            )]
        }
    };
    if !wrong.is_empty() {
        node.error(Error::invalid(node.path().clone(), text, wrong.join(",")));
    }
}
