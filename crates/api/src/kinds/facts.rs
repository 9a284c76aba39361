//! Rows of kinds from the facts: `kinds.tsv`, `columns.tsv`, `selectable-fields.tsv`. Parsed once, when the table is made.

use std::collections::HashMap;

use smol_str::SmolStr;

use super::Builtin;
use crate::kind::{Column, Selectable, Subresource, Version};
use crate::{Kind, Resource};

const KINDS: &str = include_str!("../../../../facts/kinds.tsv");
const COLUMNS: &str = include_str!("../../../../facts/columns.tsv");
const FIELDS: &str = include_str!("../../../../facts/selectable-fields.tsv");

type Row = Vec<&'static str>;

/// The three tables, by what they are asked for.
pub(super) struct Facts {
    kinds: HashMap<(&'static str, &'static str), Vec<Row>>,
    columns: HashMap<(&'static str, &'static str), Vec<Row>>,
    fields: HashMap<(&'static str, &'static str), Vec<Row>>,
}

fn rows(table: &'static str) -> impl Iterator<Item = Row> {
    table.lines().skip(1).map(|line| line.split('\t').collect())
}

fn group_by(
    table: &'static str,
    group: usize,
    name: usize,
) -> HashMap<(&'static str, &'static str), Vec<Row>> {
    let mut map: HashMap<_, Vec<Row>> = HashMap::new();
    for row in rows(table) {
        map.entry((row[group], row[name])).or_default().push(row);
    }
    map
}

/// Group and plural of every resource in the facts.
#[cfg(test)]
pub(super) fn resources() -> impl Iterator<Item = (&'static str, &'static str)> {
    rows(KINDS).map(|row| (row[0], row[5]))
}

fn text(text: &'static str) -> SmolStr {
    SmolStr::new_static(text)
}

fn list(texts: &'static str) -> Vec<SmolStr> {
    texts.split(',').filter(|item| !item.is_empty()).map(text).collect()
}

impl Facts {
    pub(super) fn read() -> Facts {
        Facts {
            kinds: group_by(KINDS, 0, 5),
            columns: group_by(COLUMNS, 0, 1),
            fields: group_by(FIELDS, 0, 2),
        }
    }

    /// The row of one resource: its versions in the facts' order, which is discovery's order of preference.
    pub(super) fn kind(&self, builtin: &Builtin, serve: &impl Fn(&str, &str, bool) -> bool) -> Kind {
        let rows = &self.kinds[&(builtin.group, builtin.plural)];
        let first = &rows[0];
        let columns = self.columns(builtin);
        let versions = rows.iter().map(|row| version(row, builtin, &columns, serve)).collect();
        let stored_as = (builtin.group == "events.k8s.io").then(|| Resource::new("", "events"));
        Kind {
            resource: Resource { group: text(builtin.group), plural: text(builtin.plural) },
            kind: text(first[2]),
            list_kind: text(first[3]),
            singular: text(first[6]),
            short_names: list(first[7]),
            categories: list(first[8]),
            namespaced: first[9] == "1",
            versions,
            fields: self.selectable(builtin.group, first[2]),
            rules: (builtin.rules)(),
            stored_as,
            custom: false,
        }
    }

    fn columns(&self, builtin: &Builtin) -> Vec<Column> {
        let rows = self.columns.get(&(builtin.group, builtin.plural)).map(Vec::as_slice).unwrap_or_default();
        rows.iter()
            .map(|row| Column {
                name: text(row[3]),
                kind: text(row[4]),
                format: text(row[5]),
                description: String::new(),
                priority: row[6].parse().expect("because priorities in columns.tsv are numbers"),
                path: None,
            })
            .collect()
    }

    /// Labels of all versions; none differs between versions of one resource.
    fn selectable(&self, group: &str, kind: &str) -> Vec<Selectable> {
        let mut fields: Vec<Selectable> = Vec::new();
        let rows = self.fields.iter().find(|((g, k), _)| *g == group && *k == kind).map(|(_, rows)| rows);
        for row in rows.into_iter().flatten() {
            let label = row[3];
            if label.starts_with("metadata.") || fields.iter().any(|field| field.label == label) {
                continue;
            }
            let selects = if row[4].is_empty() { label } else { row[4] };
            let path = match selects {
                _ if row[5] == "0" => "",
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
}

fn version(
    row: &Row,
    builtin: &Builtin,
    columns: &[Column],
    serve: &impl Fn(&str, &str, bool) -> bool,
) -> Version {
    let default = row[13] == "1";
    Version {
        name: text(row[1]),
        served: serve(row[0], row[1], default),
        storage: row[1] == builtin.storage,
        default,
        deprecated: deprecated(row[0], row[2]),
        verbs: list(row[11]),
        subresources: row[10]
            .split(';')
            .filter(|text| !text.is_empty())
            .map(|text| subresource(text, row))
            .collect(),
        columns: columns.to_vec(),
        type_name: row[4],
        schema: None,
    }
}

/// `name=Kind:verbs` or `name=group/version/Kind:verbs`.
fn subresource(fact: &'static str, row: &Row) -> Subresource {
    let (name, rest) = fact.split_once('=').expect("because a subresource in kinds.tsv has a kind");
    let (kind, verbs) = rest.split_once(':').expect("because a subresource in kinds.tsv has verbs");
    let mut parts = kind.rsplitn(3, '/');
    let kind = parts.next().unwrap_or_default();
    let (group, version) = match (parts.next(), parts.next()) {
        (Some(version), group) => (group.unwrap_or_default(), version),
        (None, _) => (row[0], row[1]),
    };
    Subresource {
        name: text(name),
        group: text(group),
        version: text(version),
        kind: text(kind),
        verbs: list(verbs),
        paths: None,
    }
}

/// The text of the `Warning` header for a kind that upstream calls deprecated (APILifecycleDeprecated).
fn deprecated(group: &str, kind: &str) -> Option<String> {
    let text = match (group, kind) {
        ("", "ComponentStatus") => "v1 ComponentStatus is deprecated in v1.19+",
        ("", "Endpoints") => "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
        _ => return None,
    };
    Some(text.into())
}
