//! Rows of kinds from the facts' tables (`schema/rows.rs`).

use smol_str::SmolStr;

use super::Builtin;
use crate::kind::{Column, Selectable, Subresource, Version};
use crate::schema::{self, KindRow};
use crate::{Kind, Resource};

fn text(text: &'static str) -> SmolStr {
    SmolStr::new_static(text)
}

fn list(texts: impl Iterator<Item = &'static str>) -> Vec<SmolStr> {
    texts.map(text).collect()
}

/// The row of one resource: its versions in the facts' order, which is discovery's order of preference.
pub(super) fn kind(builtin: &Builtin, serve: &impl Fn(&str, &str, bool) -> bool) -> Kind {
    let rows: Vec<&KindRow> = schema::kinds()
        .iter()
        .filter(|row| row.group() == builtin.group && row.plural() == builtin.plural)
        .collect();
    let first = rows[0];
    let stored_as = (builtin.group == "events.k8s.io").then(|| Resource::new("", "events"));
    Kind {
        resource: Resource { group: text(builtin.group), plural: text(builtin.plural) },
        kind: text(first.kind()),
        list_kind: text(first.list_kind()),
        singular: text(first.singular()),
        short_names: list(first.short_names()),
        categories: list(first.categories()),
        namespaced: first.namespaced(),
        versions: rows.iter().map(|row| version(row, builtin, serve)).collect(),
        fields: selectable(&rows),
        rules: (builtin.rules)(),
        stored_as,
        custom: false,
        converter: None,
    }
}

fn columns(builtin: &Builtin) -> Vec<Column> {
    schema::columns(builtin.group, builtin.plural)
        .map(|row| Column {
            name: text(row.name()),
            kind: text(row.kind()),
            format: text(row.format()),
            description: String::new(),
            priority: row.priority(),
            path: None,
        })
        .collect()
}

/// Labels of all versions; none differs between versions of one resource.
fn selectable(rows: &[&KindRow]) -> Vec<Selectable> {
    let mut fields: Vec<Selectable> = Vec::new();
    for row in rows.iter().flat_map(|row| schema::selectable(row.group(), row.version(), row.kind())) {
        let label = row.label();
        if label.starts_with("metadata.") || fields.iter().any(|field| field.label == label) {
            continue;
        }
        let path = match row.selects() {
            _ if !row.filled() => "",
            "source" => "source.component|reportingComponent",
            "status.successful" => "status.succeeded",
            other => other,
        };
        let zero = match path {
            "spec.unschedulable" | "spec.hostNetwork" => "false",
            "status.replicas" | "status.succeeded" => "0",
            _ => "",
        };
        fields.push(Selectable { label: text(label), path: text(path), zero });
    }
    fields
}

fn version(row: &KindRow, builtin: &Builtin, serve: &impl Fn(&str, &str, bool) -> bool) -> Version {
    let default = row.on_by_default();
    Version {
        name: text(row.version()),
        served: serve(row.group(), row.version(), default),
        storage: row.version() == builtin.storage,
        default,
        deprecated: deprecated(row.group(), row.version(), row.kind()),
        verbs: list(row.verbs()),
        subresources: row
            .subresources()
            .split(';')
            .filter(|text| !text.is_empty())
            .map(|fact| subresource(fact, row))
            .collect(),
        columns: columns(builtin),
        type_name: row.type_name(),
        schema: None,
        structural: None,
    }
}

/// `name=Kind:verbs` or `name=group/version/Kind:verbs`.
fn subresource(fact: &'static str, row: &KindRow) -> Subresource {
    let (name, rest) = fact.split_once('=').expect("because a subresource in kinds.tsv has a kind");
    let (kind, verbs) = rest.split_once(':').expect("because a subresource in kinds.tsv has verbs");
    let mut parts = kind.rsplitn(3, '/');
    let kind = parts.next().unwrap_or_default();
    let (group, version) = match (parts.next(), parts.next()) {
        (Some(version), group) => (group.unwrap_or_default(), version),
        (None, _) => (row.group(), row.version()),
    };
    Subresource {
        name: text(name),
        group: text(group),
        version: text(version),
        kind: text(kind),
        verbs: list(verbs.split(',')),
        paths: None,
    }
}

/// The text of the `Warning` header for a version of a kind that upstream calls deprecated (APILifecycleDeprecated). Versions that
/// have an end live for three releases.
fn deprecated(group: &str, version: &str, kind: &str) -> Option<String> {
    let (since, instead) = match (group, version, kind) {
        ("", _, "ComponentStatus") => return Some("v1 ComponentStatus is deprecated in v1.19+".into()),
        ("", _, "Endpoints") => {
            return Some(
                "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".into(),
            );
        }
        ("storage.k8s.io", "v1beta1", "VolumeAttributesClass") => {
            (34, "; use storage.k8s.io/v1 VolumeAttributesClass")
        }
        ("networking.k8s.io", "v1beta1", _) | ("certificates.k8s.io", "v1alpha1", "ClusterTrustBundle") => {
            (34, "")
        }
        ("admissionregistration.k8s.io", "v1alpha1", _)
        | ("coordination.k8s.io", "v1alpha2", _)
        | ("resource.k8s.io", "v1beta1", _) => (35, ""),
        ("coordination.k8s.io", "v1beta1", _)
        | ("resource.k8s.io", "v1alpha3", "DeviceTaintRule")
        | (
            "resource.k8s.io",
            "v1beta2",
            "DeviceClass" | "ResourceClaim" | "ResourceClaimTemplate" | "ResourceSlice",
        ) => (36, ""),
        _ => return None,
    };
    let end = since + 3;
    Some(format!("{group}/{version} {kind} is deprecated in v1.{since}+, unavailable in v1.{end}+{instead}"))
}
