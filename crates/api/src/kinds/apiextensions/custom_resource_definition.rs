//! CustomResourceDefinition: what a user's kind may say of itself. The row that it makes is [`crate::kinds::custom`]'s.

use std::collections::BTreeSet;

use crate::Value;
use crate::field::{Error, Path};
use crate::kind::{Context, Rules, keep, only_status};
use crate::kinds::Builtin;
use crate::kinds::edit::{default, flag, has, inside, list, same};
use crate::table::{cells, jsonpath};
use crate::validation::check::{self, Errors};
use crate::validation::{meta, names};
use crate::{pod, structural};

pub const KIND: Builtin = Builtin {
    group: "apiextensions.k8s.io",
    plural: "customresourcedefinitions",
    storage: "v1",
    rules: || Box::new(CustomResourceDefinition),
};

struct CustomResourceDefinition;

/// Adds the storage version to those that objects may be stored in.
fn note_stored_version(crd: &mut Value) {
    let versions = list(crd, &["spec", "versions"]);
    let Some(name) =
        versions.iter().find(|version| flag(version, &["storage"])).map(|version| version.str_at(&["name"]))
    else {
        return;
    };
    let mut stored = list(crd, &["status", "storedVersions"]).to_vec();
    if !stored.iter().any(|version| version.as_str() == Some(name)) {
        stored.push(name.into());
        crd.set(&["status", "storedVersions"], stored);
    }
}

fn is_established(crd: &Value) -> bool {
    pod::condition(crd, "Established").is_some_and(|condition| condition.str_at(&["status"]) == "True")
}

fn spec(crd: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let empty = Value::object();
    let spec = crd.get("spec").unwrap_or(&empty);
    let group = spec.str_at(&["group"]);
    let wrong = names::dns_subdomain(group);
    if group.is_empty() {
        errors.push(Error::required(path.child("group"), ""));
    } else if !wrong.is_empty() {
        errors.push(Error::invalid(path.child("group"), group, wrong.join(",")));
    } else if !group.contains('.') {
        errors.push(Error::invalid(path.child("group"), group, "should be a domain with at least one dot"));
    }
    check::required_one_of(spec.str_at(&["scope"]), path.child("scope"), &["Cluster", "Namespaced"], errors);
    if flag(spec, &["preserveUnknownFields"]) {
        let text = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema \
                    instead";
        errors.push(Error::invalid(path.child("preserveUnknownFields"), true, text));
    }
    versions(spec, &path.child("versions"), errors);
    let strategy = spec.str_at(&["conversion", "strategy"]);
    check::required_one_of(
        strategy,
        path.child("conversion").child("strategy"),
        &["None", "Webhook"],
        errors,
    );
    if strategy == "Webhook" && !has(spec, &["conversion", "webhook", "clientConfig"]) {
        let path = path.child("conversion").child("webhookClientConfig");
        errors.push(Error::required(path, "required when strategy is set to Webhook"));
    }
    self::names(spec.get("names").unwrap_or(&empty), true, &path.child("names"), errors);
}

fn versions(spec: &Value, path: &Path, errors: &mut Errors) {
    let versions = list(spec, &["versions"]);
    let mut seen = BTreeSet::new();
    for (at, version) in versions.iter().enumerate() {
        let path = path.index(at);
        let name = version.str_at(&["name"]);
        let wrong = names::dns_1035_label(name);
        if !wrong.is_empty() {
            errors.push(Error::invalid(path.child("name"), name, wrong.join(",")));
            if at == 0 {
                // The first version's name is also what an older field, `version`, is taken to say.
                errors.push(Error::invalid(Path::new("spec").child("version"), name, wrong.join(",")));
            }
        }
        seen.insert(name);
        let inner = path.child("schema").child("openAPIV3Schema");
        match version.at(&["schema", "openAPIV3Schema"]).filter(|schema| !schema.is_null()) {
            None => errors.push(Error::required(inner, "")),
            Some(schema) => errors.extend(structural::check(&inner, schema)),
        }
        if !flag(version, &["deprecated"]) && has(version, &["deprecationWarning"]) {
            let text = version.str_at(&["deprecationWarning"]);
            let path = path.child("deprecationWarning");
            errors.push(Error::invalid(path, text, "can only be set for deprecated versions"));
        }
        subresources(version, &path.child("subresources"), errors);
        for (at, column) in list(version, &["additionalPrinterColumns"]).iter().enumerate() {
            self::column(column, &path.child("additionalPrinterColumns").index(at), errors);
        }
        let fields = list(version, &["selectableFields"]);
        let inner = path.child("selectableFields");
        if fields.len() > 8 {
            errors.push(Error::too_many(inner.clone(), fields.len(), 8));
        }
        for (at, field) in fields.iter().enumerate() {
            let text = field.str_at(&["jsonPath"]);
            if text.is_empty() || !jsonpath::is_valid(text) {
                errors.push(Error::invalid(inner.index(at).child("jsonPath"), text, "is an invalid path"));
            }
        }
    }
    let whole = |text: &str| Error::invalid(path.clone(), versions.to_vec(), text);
    if seen.len() != versions.len() {
        errors.push(whole("must contain unique version names"));
    }
    if versions.iter().filter(|version| flag(version, &["storage"])).count() != 1 {
        errors.push(whole("must have exactly one version marked as storage version"));
    }
}

fn subresources(version: &Value, path: &Path, errors: &mut Errors) {
    let Some(scale) = version.at(&["subresources", "scale"]).filter(|scale| !scale.is_null()) else { return };
    let path = path.child("scale");
    for (field, root, required) in [
        ("specReplicasPath", ".spec.", true),
        ("statusReplicasPath", ".status.", true),
        ("labelSelectorPath", "", false),
    ] {
        let text = scale.str_at(&[field]);
        let inner = path.child(field);
        if text.is_empty() {
            if required {
                errors.push(Error::required(inner, ""));
            }
        } else if !jsonpath::is_valid(text) || text.contains('[') {
            errors.push(Error::invalid(inner, text, "must be a json path without array notation"));
        } else if required && !text.starts_with(root) {
            let text_of = format!("should be a json path under {}", root.trim_end_matches('.'));
            errors.push(Error::invalid(inner, text, text_of));
        } else if !required && !text.starts_with(".spec.") && !text.starts_with(".status.") {
            errors.push(Error::invalid(inner, text, "should be a json path under either .spec or .status"));
        }
    }
}

fn column(column: &Value, path: &Path, errors: &mut Errors) {
    check::required(column, path, "name", errors);
    let kinds = ["boolean", "date", "integer", "number", "string"];
    let kind = column.str_at(&["type"]);
    if kind.is_empty() {
        errors.push(Error::required(path.child("type"), "must be one of boolean,date,integer,number,string"));
    } else if !kinds.contains(&kind) {
        let text = "must be one of boolean,date,integer,number,string";
        errors.push(Error::invalid(path.child("type"), kind, text));
    }
    let formats = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
    let format = column.str_at(&["format"]);
    if !format.is_empty() && !formats.contains(&format) {
        let text = format!("must be one of {}", formats.join(","));
        errors.push(Error::invalid(path.child("format"), format, text));
    }
    let json = column.str_at(&["jsonPath"]);
    if json.is_empty() {
        errors.push(Error::required(path.child("JSONPath"), ""));
    } else if !jsonpath::is_valid(json) {
        errors.push(Error::invalid(path.child("JSONPath"), json, "is an invalid path"));
    }
}

fn names(names_: &Value, required: bool, path: &Path, errors: &mut Errors) {
    let label = |field: &str, text: &str, errors: &mut Errors| {
        let wrong = names::dns_1035_label(&text.to_lowercase());
        if !text.is_empty() && !wrong.is_empty() {
            errors.push(Error::invalid(path.child(field), text, wrong.join(",")));
        }
    };
    for field in ["plural", "singular", "kind", "listKind"] {
        let text = names_.str_at(&[field]);
        if text.is_empty() && required {
            errors.push(Error::required(path.child(field), ""));
        }
        let lower = matches!(field, "plural" | "singular");
        if lower && text.chars().any(|letter| letter.is_uppercase()) {
            let wrong = names::dns_1035_label(text);
            errors.push(Error::invalid(path.child(field), text, wrong.join(",")));
        } else {
            label(field, text, errors);
        }
    }
    for field in ["shortNames", "categories"] {
        for (at, text) in list(names_, &[field]).iter().filter_map(Value::as_str).enumerate() {
            let wrong = names::dns_1035_label(text);
            if !wrong.is_empty() {
                errors.push(Error::invalid(path.child(field).index(at), text, wrong.join(",")));
            }
        }
    }
    let (kind, list_kind) = (names_.str_at(&["kind"]), names_.str_at(&["listKind"]));
    if !kind.is_empty() && kind == list_kind {
        let text = "kind and listKind may not be the same";
        errors.push(Error::invalid(path.child("listKind"), list_kind, text));
    }
}

fn stored_versions(crd: &Value, errors: &mut Errors) {
    let path = Path::new("status").child("storedVersions");
    let stored = list(crd, &["status", "storedVersions"]);
    if stored.is_empty() {
        let value = crd.at(&["status", "storedVersions"]).cloned().unwrap_or_default();
        return errors.push(Error::invalid(path, value, "must have at least one stored version"));
    }
    let versions = list(crd, &["spec", "versions"]);
    for version in versions.iter().filter(|version| flag(version, &["storage"])) {
        let name = version.str_at(&["name"]);
        if !stored.iter().any(|stored| stored.as_str() == Some(name)) {
            let text = format!("must have the storage version {name}");
            errors.push(Error::invalid(path.clone(), stored.to_vec(), text));
        }
    }
    for (at, name) in stored.iter().filter_map(Value::as_str).enumerate() {
        if !versions.iter().any(|version| version.str_at(&["name"]) == name) {
            let text = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions \
                 until a storage migration ensures no data remains persisted in {name} and removes {name} from \
                 status.storedVersions"
            );
            errors.push(Error::invalid(path.index(at), name, text));
        }
    }
}

impl Rules for CustomResourceDefinition {
    fn default(&self, _: &str, value: &mut Value) {
        let spec = value.make(&["spec"]);
        let kind = spec.str_at(&["names", "kind"]).to_string();
        if !kind.is_empty() {
            inside(spec, &["names"], |names| {
                default(names, "singular", kind.to_lowercase());
                default(names, "listKind", format!("{kind}List"));
            });
        }
        if !has(spec, &["conversion"]) {
            spec.set(&["conversion", "strategy"], "None");
        }
        inside(spec, &["conversion", "webhook", "clientConfig", "service"], |service| {
            default(service, "port", 443i64);
        });
        if list(value, &["status", "storedVersions"]).is_empty() {
            note_stored_version(value);
        }
    }
    fn prepare_create(&self, _: &Context<'_>, new: &mut Value) {
        new.remove(&["status"]);
        note_stored_version(new);
    }
    fn prepare_update(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        note_stored_version(new);
    }
    fn prepare_status(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        only_status(new, old);
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        let name = new.str_at(&["metadata", "name"]);
        let wanted =
            format!("{}.{}", new.str_at(&["spec", "names", "plural"]), new.str_at(&["spec", "group"]));
        if name != wanted {
            let text = "must be spec.names.plural+\".\"+spec.group";
            errors.push(Error::invalid(Path::new("metadata").child("name"), name, text));
        }
        let group = new.str_at(&["spec", "group"]);
        let protected = group.ends_with(".k8s.io") || group.ends_with(".kubernetes.io");
        let approval = "api-approved.kubernetes.io";
        if protected && new.str_at(&["metadata", "annotations", approval]).is_empty() {
            let path = Path::new("metadata").child("annotations").key(approval);
            let text = "protected groups must have approval annotation \"api-approved.kubernetes.io\", see \
                        https://github.com/kubernetes/enhancements/pull/1111";
            errors.push(Error::required(path, text));
        }
        spec(new, errors);
        stored_versions(new, errors);
    }
    fn validate_update(&self, context: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        self.validate_create(context, new, errors);
        if !is_established(old) {
            return;
        }
        let path = Path::new("spec");
        for (field, inner) in [("scope", path.child("scope")), ("group", path.child("group"))] {
            let (now, was) = (new.at(&["spec", field]), old.at(&["spec", field]));
            meta::immutable(now, was, inner, errors);
        }
        for field in ["kind", "plural"] {
            let (now, was) = (new.at(&["spec", "names", field]), old.at(&["spec", "names", field]));
            meta::immutable(now, was, path.child("names").child(field), errors);
        }
    }
    fn validate_status(&self, _: &Context<'_>, new: &Value, _: &Value, errors: &mut Errors) {
        let empty = Value::object();
        let accepted = new.at(&["status", "acceptedNames"]).unwrap_or(&empty);
        names(accepted, false, &Path::new("status").child("acceptedNames"), errors);
        stored_versions(new, errors);
    }
    fn has_status(&self) -> bool {
        true
    }
    fn has_generation(&self) -> bool {
        true
    }
    fn generation_changes(&self, new: &Value, old: &Value) -> bool {
        !same(new.get("spec"), old.get("spec"))
    }
    fn unconditional_update(&self) -> bool {
        false
    }
    fn cells(&self, value: &Value, _: i64) -> Option<Vec<Value>> {
        Some(vec![cells::name(value), value.str_at(&["metadata", "creationTimestamp"]).into()])
    }
}
