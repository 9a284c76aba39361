//! The row that a CustomResourceDefinition makes, and the status that a CRD gets. Pure: the server reads CRDs, swaps
//! [`crate::Kinds`], and writes the status.

use std::collections::HashMap;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::field::{Error, Path};
use crate::kind::{Column, Context, Rules, ScalePaths, Selectable, Subresource, Version, keep, only_status};
use crate::kinds::edit::{flag, has, list, same};
use crate::validation::names;
use crate::{Kind, Resource, Value, discovery, pod, structural};

const VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

fn texts(values: &[Value]) -> Vec<SmolStr> {
    values.iter().filter_map(Value::as_str).map(SmolStr::from).collect()
}

/// The kind of a CRD that was validated. Names are the accepted ones, or, before there are any, those asked for.
pub fn kind_from_crd(crd: &Value) -> Result<Kind, Vec<Error>> {
    let accepted = crd.at(&["status", "acceptedNames"]).filter(|names| !names.str_at(&["kind"]).is_empty());
    let Some(of) = accepted.or_else(|| crd.at(&["spec", "names"])) else {
        return Err(vec![Error::required(Path::new("spec").child("names"), "")]);
    };
    let group = crd.str_at(&["spec", "group"]);
    let kind = SmolStr::from(of.str_at(&["kind"]));
    let mut versions = Vec::new();
    let mut fields: Vec<Selectable> = Vec::new();
    for body in list(crd, &["spec", "versions"]) {
        versions.push(version(body, group, &kind));
        for field in list(body, &["selectableFields"]) {
            let label = SmolStr::from(field.str_at(&["jsonPath"]).trim_start_matches('.'));
            if !fields.iter().any(|known| known.label == label) {
                fields.push(Selectable { path: label.clone(), label, zero: "" });
            }
        }
    }
    if versions.iter().filter(|version| version.storage).count() != 1 {
        let path = Path::new("spec").child("versions");
        let text = "must have exactly one version marked as storage version";
        return Err(vec![Error::invalid(path, Value::Null, text)]);
    }
    versions.sort_by_key(|version| std::cmp::Reverse(discovery::priority(&version.name)));
    let rules = Custom::new(&versions);
    Ok(Kind {
        resource: Resource::new(group, of.str_at(&["plural"])),
        list_kind: of.str_at(&["listKind"]).into(),
        singular: of.str_at(&["singular"]).into(),
        short_names: texts(list(of, &["shortNames"])),
        categories: texts(list(of, &["categories"])),
        namespaced: crd.str_at(&["spec", "scope"]) == "Namespaced",
        kind,
        versions,
        fields,
        rules: Box::new(rules),
        stored_as: None,
        custom: true,
        converter: None,
    })
}

fn version(body: &Value, group: &str, kind: &SmolStr) -> Version {
    let name = SmolStr::from(body.str_at(&["name"]));
    let verbs = |verbs: &[&str]| verbs.iter().map(SmolStr::new).collect::<Vec<SmolStr>>();
    let part = verbs(&["get", "patch", "update"]);
    let mut subresources = Vec::new();
    if has(body, &["subresources", "status"]) {
        subresources.push(Subresource {
            name: "status".into(),
            group: group.into(),
            version: name.clone(),
            kind: kind.clone(),
            verbs: part.clone(),
            paths: None,
        });
    }
    if let Some(scale) = body.at(&["subresources", "scale"]).filter(|scale| !scale.is_null()) {
        let selector = scale.str_at(&["labelSelectorPath"]);
        subresources.push(Subresource {
            name: "scale".into(),
            group: "autoscaling".into(),
            version: "v1".into(),
            kind: "Scale".into(),
            verbs: part,
            paths: Some(ScalePaths {
                spec_replicas: scale.str_at(&["specReplicasPath"]).into(),
                status_replicas: scale.str_at(&["statusReplicasPath"]).into(),
                selector: (!selector.is_empty()).then(|| selector.into()),
            }),
        });
    }
    let columns = list(body, &["additionalPrinterColumns"]).iter().map(|column| Column {
        name: column.str_at(&["name"]).into(),
        kind: column.str_at(&["type"]).into(),
        format: column.str_at(&["format"]).into(),
        description: match column.str_at(&["description"]) {
            "" => format!(
                "Custom resource definition column (in JSONPath format): {}",
                column.str_at(&["jsonPath"])
            ),
            text => text.into(),
        },
        priority: column.get("priority").and_then(Value::as_int).unwrap_or_default() as i32,
        path: Some(column.str_at(&["jsonPath"]).into()),
    });
    let deprecated = flag(body, &["deprecated"]).then(|| match body.str_at(&["deprecationWarning"]) {
        "" => format!("{group}/{name} {kind} is deprecated"),
        text => text.into(),
    });
    let schema = body.at(&["schema", "openAPIV3Schema"]).filter(|schema| !schema.is_null()).cloned();
    Version {
        served: flag(body, &["served"]),
        storage: flag(body, &["storage"]),
        default: true,
        deprecated,
        verbs: verbs(&VERBS),
        subresources,
        columns: columns.collect(),
        type_name: "",
        structural: schema.as_ref().map(|schema| Arc::new(structural::Schema::parse(schema))),
        schema: schema.map(Arc::new),
        name,
    }
}

/// The rules of a custom kind: its schema's, and upstream's generic strategy (registry/customresource).
struct Custom {
    schemas: Vec<(SmolStr, Arc<structural::Schema>)>,
    /// The CEL rules of the storage version.
    rules: Option<structural::cel::Compiled>,
    storage: usize,
    status: bool,
}

impl Custom {
    fn new(versions: &[Version]) -> Custom {
        let schemas: Vec<(SmolStr, Arc<structural::Schema>)> = versions
            .iter()
            .map(|version| (version.name.clone(), version.structural.clone().unwrap_or_default()))
            .collect();
        let storage = versions.iter().position(|version| version.storage).unwrap_or_default();
        let rules = structural::cel::Compiled::of(&schemas[storage].1);
        Custom { schemas, rules, storage, status: versions[storage].subresource("status").is_some() }
    }
}

impl Custom {
    /// The CEL rules.
    fn judge(&self, new: &Value, old: Option<&Value>, schema: &structural::Schema, errors: &mut Vec<Error>) {
        use crate::field::Reason as R;
        let Some(rules) = &self.rules else { return };
        // These leave values that rules are not made for.
        let blocks = |error: &Error| {
            matches!(error.reason, R::NotSupported | R::Required | R::TooLong | R::TooMany | R::TypeInvalid)
        };
        if errors.iter().any(blocks) {
            let text = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
            return errors.push(Error::invalid(Path::default(), Value::Null, text));
        }
        errors.extend(rules.validate(new, old, schema, &mut Vec::new()));
    }
}

impl Rules for Custom {
    fn default(&self, version: &str, value: &mut Value) {
        if let Some((_, schema)) = self.schemas.iter().find(|(name, _)| name == version) {
            structural::default(value, schema);
        }
    }
    fn prepare_update(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        if self.status {
            keep(new, old, "status");
        }
    }
    fn prepare_status(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        only_status(new, old);
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Vec<Error>) {
        let (_, schema) = &self.schemas[self.storage];
        errors.extend(structural::validate(new, schema));
        self.judge(new, None, schema, errors);
    }
    fn validate_update(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Vec<Error>) {
        let (_, schema) = &self.schemas[self.storage];
        errors.extend(structural::validate_update(new, Some(old), schema));
        self.judge(new, Some(old), schema, errors);
    }
    fn validate_status(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Vec<Error>) {
        let (_, schema) = &self.schemas[self.storage];
        errors.extend(structural::validate_update(new, Some(old), schema));
        self.judge(new, Some(old), schema, errors);
    }
    fn has_status(&self) -> bool {
        self.status
    }
    fn has_generation(&self) -> bool {
        true
    }
    /// Without a status subresource `status` is a field like any other.
    fn generation_changes(&self, new: &Value, old: &Value) -> bool {
        crate::kind::spec_differs(new, old) || (!self.status && !same(new.get("status"), old.get("status")))
    }
    fn unconditional_update(&self) -> bool {
        false
    }
    fn bad_name(&self, name: &str, prefix: bool) -> Option<String> {
        crate::kind::name_by(names::dns_subdomain, name, prefix)
    }
}

/// The names that the CRDs of one group have, each with the CRDs that have it.
#[derive(Default)]
pub struct Names {
    resources: HashMap<SmolStr, Vec<SmolStr>>,
    kinds: HashMap<SmolStr, Vec<SmolStr>>,
}

impl Names {
    /// Notes what `crd` was granted.
    pub fn add(&mut self, crd: &Value) {
        let Some(names) = crd.at(&["status", "acceptedNames"]) else { return };
        let owner = SmolStr::from(crd.str_at(&["metadata", "name"]));
        let plural: [SmolStr; 2] = [names.str_at(&["plural"]).into(), names.str_at(&["singular"]).into()];
        let kinds: [SmolStr; 2] = [names.str_at(&["kind"]).into(), names.str_at(&["listKind"]).into()];
        for name in plural.into_iter().chain(texts(list(names, &["shortNames"]))) {
            self.resources.entry(name).or_default().push(owner.clone());
        }
        for name in kinds {
            self.kinds.entry(name).or_default().push(owner.clone());
        }
    }
}

/// The status that a CRD should have, given the names of its group (upstream's naming and establishing
/// controllers in one step, for a server that serves a kind at once). `None`: it has it.
pub fn status(crd: &Value, names: &Names, now: &str) -> Option<Value> {
    let asked = crd.at(&["spec", "names"])?;
    let itself = crd.str_at(&["metadata", "name"]);
    let have = crd.at(&["status", "acceptedNames"]).cloned().unwrap_or_else(Value::object);
    let mut accepted = have.clone();
    let mut conflict: Option<(&str, String)> = None;
    let free = |text: &str, used: &HashMap<SmolStr, Vec<SmolStr>>| {
        let owners = used.get(text).map_or(&[][..], Vec::as_slice);
        owners
            .iter()
            .all(|owner| owner == itself)
            .then_some(())
            .ok_or_else(|| format!("{text:?} is already in use"))
    };
    for (field, reason, used) in [
        ("plural", "PluralConflict", &names.resources),
        ("singular", "SingularConflict", &names.resources),
        ("kind", "KindConflict", &names.kinds),
        ("listKind", "ListKindConflict", &names.kinds),
    ] {
        let text = asked.str_at(&[field]);
        match free(text, used) {
            Ok(()) => accepted.set(&[field], text),
            Err(_) if text == have.str_at(&[field]) => {}
            Err(wrong) => conflict = Some((reason, wrong)),
        }
    }
    let short = texts(list(asked, &["shortNames"]));
    let own = texts(list(&have, &["shortNames"]));
    let wrong: Vec<String> = short
        .iter()
        .filter(|name| !own.contains(name))
        .filter_map(|name| free(name, &names.resources).err())
        .collect();
    match wrong.len() {
        0 => keep(&mut accepted, asked, "shortNames"),
        1 => conflict = Some(("ShortNamesConflict", wrong.concat())),
        _ => conflict = Some(("ShortNamesConflict", format!("[{}]", wrong.join(", ")))),
    }
    keep(&mut accepted, asked, "categories");
    let names_accepted = match &conflict {
        None => ("True", "NoConflicts", "no conflicts found".to_string()),
        Some((reason, text)) => ("False", *reason, text.clone()),
    };
    let was = pod::condition(crd, "Established").map(|condition| condition.str_at(&["status"]) == "True");
    let established = match (was, &conflict) {
        (Some(true), _) | (_, None) => {
            ("True", "InitialNamesAccepted", "the initial names have been accepted".to_string())
        }
        _ => ("False", "NotAccepted", "not all names are accepted".to_string()),
    };
    let mut status = crd.get("status").cloned().unwrap_or_else(Value::object);
    let mut conditions = list(crd, &["status", "conditions"]).to_vec();
    for (kind, (state, reason, message)) in [("NamesAccepted", names_accepted), ("Established", established)]
    {
        set_condition(&mut conditions, kind, state, reason, &message, now);
    }
    status.set(&["conditions"], conditions);
    status.set(&["acceptedNames"], accepted);
    (!same(Some(&status), crd.get("status"))).then_some(status)
}

fn set_condition(
    conditions: &mut Vec<Value>,
    kind: &str,
    state: &str,
    reason: &str,
    message: &str,
    now: &str,
) {
    let found = conditions.iter().position(|condition| condition.str_at(&["type"]) == kind);
    let at = found.unwrap_or_else(|| {
        conditions.push(Value::object());
        conditions.len() - 1
    });
    let condition = &mut conditions[at];
    if condition.str_at(&["status"]) != state {
        condition.set(&["lastTransitionTime"], now);
    }
    for (field, text) in [("type", kind), ("status", state), ("reason", reason), ("message", message)] {
        condition.set(&[field], text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crd() -> Value {
        serde_json::from_str(
            r#"{"metadata":{"name":"crontabs.stable.example.com"},"spec":{"group":"stable.example.com","scope":"Namespaced",
            "names":{"plural":"crontabs","singular":"crontab","kind":"CronTab","listKind":"CronTabList","shortNames":["ct"]},
            "versions":[{"name":"v1beta1","served":true,"storage":false,"schema":{"openAPIV3Schema":{"type":"object"}}},
            {"name":"v1","served":true,"storage":true,"subresources":{"status":{},"scale":{"specReplicasPath":".spec.replicas",
            "statusReplicasPath":".status.replicas"}},"selectableFields":[{"jsonPath":".spec.cronSpec"}],
            "additionalPrinterColumns":[{"name":"Spec","type":"string","jsonPath":".spec.cronSpec"}],
            "schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","properties":{
            "cronSpec":{"type":"string"},"replicas":{"type":"integer"}}}}}}}]}}"#,
        )
        .unwrap()
    }

    #[test]
    fn a_crd_makes_a_row() {
        let kind = kind_from_crd(&crd()).unwrap();
        assert_eq!(kind.resource.to_string(), "crontabs.stable.example.com");
        assert_eq!(kind.versions[0].name, "v1", "the preferred version comes first");
        assert_eq!(kind.fields[0].label, "spec.cronSpec");
        let value: Value =
            serde_json::from_str(r#"{"metadata":{"name":"a"},"spec":{"cronSpec":"* *"}}"#).unwrap();
        assert_eq!(kind.field_values(&value), ["* *"]);
        let cells = crate::table::row(&kind, "v1", &value, 0);
        assert_eq!(Value::Array(cells).to_string(), r#"["a","* *"]"#);
        let headers: Vec<_> =
            crate::table::columns(&kind, "v1beta1").into_iter().map(|column| column.name).collect();
        assert_eq!(headers, ["Name", "Age"]);
    }

    #[test]
    fn names_are_accepted_once() {
        let mut first = crd();
        let given = status(&first, &Names::default(), "2026-01-01T00:00:00Z").unwrap();
        assert_eq!(given.str_at(&["acceptedNames", "kind"]), "CronTab");
        first.set(&["status"], given);
        let mut names = Names::default();
        names.add(&first);
        assert_eq!(status(&first, &names, "2027-01-01T00:00:00Z"), None);
        let mut second = crd();
        second.set(&["metadata", "name"], "cron.stable.example.com");
        second.set(&["spec", "names", "plural"], "cron");
        let refused = status(&second, &names, "2026-01-01T00:00:00Z").unwrap();
        let mut shown = Value::object();
        shown.set(&["status"], refused);
        let condition = pod::condition(&shown, "NamesAccepted").unwrap();
        assert_eq!(condition.str_at(&["status"]), "False");
        assert_eq!(pod::condition(&shown, "Established").unwrap().str_at(&["reason"]), "NotAccepted");
    }
}
