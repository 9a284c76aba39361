//! CustomResourceDefinition: what a user's kind may say of itself. The row that it makes is [`crate::kinds::custom`]'s.

use std::collections::BTreeSet;

use crate::Value;
use crate::field::{Error, Path};
use crate::kind::{Context, Rules, keep, only_status};
use crate::kinds::Builtin;
use crate::kinds::edit::{default, flag, has, inside, list, same};
use crate::table::cells;
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
    versions(spec, &path.child("versions"), errors);
    self::names(spec.get("names").unwrap_or(&empty), true, &path.child("names"), errors);
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
}

/// Not in a schema's place, and therefore looked at last.
fn preserves(crd: &Value, errors: &mut Errors) {
    if flag(crd, &["spec", "preserveUnknownFields"]) {
        let text = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema \
                    instead";
        errors.push(Error::invalid(Path::new("spec").child("preserveUnknownFields"), true, text));
    }
}

/// The schema of a version, if it has one.
fn schema_of(version: &Value) -> Option<&Value> {
    version.at(&["schema", "openAPIV3Schema"]).filter(|schema| !schema.is_null())
}

fn versions(spec: &Value, path: &Path, errors: &mut Errors) {
    let versions = list(spec, &["versions"]);
    for (at, _) in versions.iter().enumerate().filter(|(_, version)| schema_of(version).is_none()) {
        errors.push(Error::required(path.index(at).child("schema").child("openAPIV3Schema"), ""));
    }
    let mut seen = BTreeSet::new();
    for (at, version) in versions.iter().enumerate() {
        let path = path.index(at);
        let name = version.str_at(&["name"]);
        let wrong = names::dns_1035_label(name);
        if !wrong.is_empty() {
            errors.push(Error::invalid(path.child("name"), name, wrong.join(",")));
        }
        seen.insert(name);
        for text in deprecation(version) {
            let shown = version.str_at(&["deprecationWarning"]);
            errors.push(Error::invalid(path.child("deprecationWarning"), shown, text));
        }
        if let Some(schema) = schema_of(version) {
            let inner = path.child("schema").child("openAPIV3Schema");
            let kind = schema.str_at(&["type"]);
            if has(version, &["subresources", "status"]) && !matches!(kind, "" | "object") {
                let text = "only \"object\" is allowed as the type at the root of the schema if the status \
                            subresource is enabled";
                errors.push(Error::invalid(inner.child("type"), kind, text));
            }
            errors.extend(structural::check(&inner, schema));
        }
        subresources(version, &path.child("subresources"), errors);
        for (at, column) in list(version, &["additionalPrinterColumns"]).iter().enumerate() {
            self::column(column, &path.child("additionalPrinterColumns").index(at), errors);
        }
        selectable(version, &path.child("selectableFields"), errors);
    }
    let whole =
        |text: &str| Error::invalid(path.clone(), spec.get("versions").cloned().unwrap_or_default(), text);
    if seen.len() != versions.len() {
        errors.push(whole("must contain unique version names"));
    }
    if versions.iter().filter(|version| flag(version, &["storage"])).count() != 1 {
        errors.push(whole("must have exactly one version marked as storage version"));
    }
    // The first version's name is also what an older field, `version`, is taken to say.
    let first = versions.first().map(|version| version.str_at(&["name"])).unwrap_or_default();
    let wrong = names::dns_1035_label(first);
    if !first.is_empty() && !wrong.is_empty() {
        errors.push(Error::invalid(Path::new("spec").child("version"), first, wrong.join(",")));
    }
}

/// What is wrong with `deprecationWarning`.
fn deprecation(version: &Value) -> Vec<&'static str> {
    let Some(text) = version.get("deprecationWarning").and_then(Value::as_str) else { return Vec::new() };
    if !flag(version, &["deprecated"]) {
        return vec!["can only be set for deprecated versions"];
    }
    let mut wrong = Vec::new();
    if text.len() > 256 {
        wrong.push("must be <= 256 characters long");
    }
    if text.is_empty() {
        wrong.push("must not be an empty string");
    }
    wrong
}

/// Fields by which lists may be asked for: scalars that the schema has, outside of lists.
fn selectable(version: &Value, path: &Path, errors: &mut Errors) {
    let fields = list(version, &["selectableFields"]);
    if fields.is_empty() {
        return;
    }
    let Some(schema) = schema_of(version) else {
        let text = "may only be set when `version.schema.openAPIV3Schema` is not included";
        return errors.push(Error::invalid(path.clone(), "", text));
    };
    let schema = structural::Schema::parse(schema);
    let mut seen = BTreeSet::new();
    for (at, field) in fields.iter().enumerate() {
        let text = field.str_at(&["jsonPath"]);
        let path = path.index(at).child("jsonPath");
        if text.is_empty() {
            errors.push(Error::required(path, ""));
            continue;
        }
        let found = match place(text, &schema) {
            Ok(found) => found,
            Err(why) => {
                errors.push(Error::invalid(path, text, format!("is an invalid path: {why}")));
                continue;
            }
        };
        if text.starts_with(".metadata") {
            errors.push(Error::invalid(path.clone(), text, "must not point to fields in metadata"));
        }
        use structural::NodeType;
        if !matches!(found.node, NodeType::String | NodeType::Boolean | NodeType::Integer) {
            let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with \
                       formats are allowed.";
            errors.push(Error::invalid(path.clone(), text, why));
        }
        if !seen.insert(text) {
            errors.push(Error::duplicate(path, text));
        }
    }
    if seen.len() > 8 {
        errors.push(Error::too_many(path.clone(), seen.len(), 8));
    }
}

/// The node of a schema that a path of names leads to.
fn place<'a>(text: &str, schema: &'a structural::Schema) -> Result<&'a structural::Schema, String> {
    const NOWHERE: &str = "does not refer to a valid field";
    let Some(rest) = text.strip_prefix('.') else {
        let word = text.split(['.', '[', ']']).next().unwrap_or_default();
        return Err(match text.starts_with('[') {
            true => "array notation is not allowed".into(),
            false => format!("expected [ or . but got: {word}"),
        });
    };
    let mut here = schema;
    for name in rest.split('.') {
        if name.is_empty() {
            return Err("unexpected end of JSON path".into());
        }
        let (name, bracket) = name.split_once('[').map_or((name, false), |(name, _)| (name, true));
        here = match (here.properties.is_empty(), &here.additional) {
            (false, _) => here.property(name).ok_or(NOWHERE)?,
            (true, structural::Additional::Schema(inner)) => inner,
            (true, _) => return Err(NOWHERE.into()),
        };
        if bracket {
            return Err("array notation is not allowed".into());
        }
    }
    Ok(here)
}

/// A path in dots; what it says is found out by who follows it.
fn simple(text: &str) -> bool {
    text.starts_with('.')
}

const NOT_SIMPLE: &str = "must be a simple json path starting with .";

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
        } else if !simple(text) {
            errors.push(Error::invalid(inner, text, NOT_SIMPLE));
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
    } else if !simple(json) {
        errors.push(Error::invalid(path.child("JSONPath"), json, NOT_SIMPLE));
    }
}

fn names(names_: &Value, required: bool, path: &Path, errors: &mut Errors) {
    const NAMES: [&str; 4] = ["plural", "singular", "kind", "listKind"];
    for field in NAMES.iter().filter(|field| required && names_.str_at(&[field]).is_empty()) {
        errors.push(Error::required(path.child(field), ""));
    }
    for field in NAMES {
        let text = names_.str_at(&[field]);
        let lower = matches!(field, "plural" | "singular");
        let wrong = match lower {
            true => names::dns_1035_label(text),
            false => names::dns_1035_label(&text.to_lowercase()),
        };
        if !text.is_empty() && !wrong.is_empty() {
            let mixed = if lower { "" } else { "may have mixed case, but should otherwise match: " };
            errors.push(Error::invalid(path.child(field), text, format!("{mixed}{}", wrong.join(","))));
        }
    }
    let labels = |field: &str, errors: &mut Errors| {
        for (at, text) in list(names_, &[field]).iter().filter_map(Value::as_str).enumerate() {
            let wrong = names::dns_1035_label(text);
            if !wrong.is_empty() {
                errors.push(Error::invalid(path.child(field).index(at), text, wrong.join(",")));
            }
        }
    };
    labels("shortNames", errors);
    let (kind, list_kind) = (names_.str_at(&["kind"]), names_.str_at(&["listKind"]));
    if !kind.is_empty() && kind == list_kind {
        let text = "kind and listKind may not be the same";
        errors.push(Error::invalid(path.child("listKind"), list_kind, text));
    }
    labels("categories", errors);
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

/// What holds for a definition at any time.
fn whole(crd: &Value, changed: &[Error], errors: &mut Errors) {
    spec(crd, errors);
    errors.extend_from_slice(changed);
    stored_versions(crd, errors);
    let group = crd.str_at(&["spec", "group"]);
    let protected = group.ends_with(".k8s.io") || group.ends_with(".kubernetes.io");
    let approval = "api-approved.kubernetes.io";
    if protected && crd.str_at(&["metadata", "annotations", approval]).is_empty() {
        let path = Path::new("metadata").child("annotations").key(approval);
        let text = "protected groups must have approval annotation \"api-approved.kubernetes.io\", see \
                    https://github.com/kubernetes/enhancements/pull/1111";
        errors.push(Error::required(path, text));
    }
    preserves(crd, errors);
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
        if !name.is_empty() && name != wanted {
            let text = "must be spec.names.plural+\".\"+spec.group";
            errors.push(Error::invalid(Path::new("metadata").child("name"), name, text));
        }
        whole(new, &[], errors);
    }
    fn validate_update(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        const FIXED: [&[&str]; 4] = [
            &["spec", "scope"],
            &["spec", "names", "kind"],
            &["spec", "group"],
            &["spec", "names", "plural"],
        ];
        let mut changed = Errors::new();
        for field in FIXED.iter().filter(|_| is_established(old)) {
            let path = field[1..].iter().fold(Path::new("spec"), |path, name| path.child(name));
            meta::immutable(new.at(field), old.at(field), path, &mut changed);
        }
        whole(new, &changed, errors);
    }
    fn validate_status(&self, _: &Context<'_>, new: &Value, _: &Value, errors: &mut Errors) {
        let empty = Value::object();
        let accepted = new.at(&["status", "acceptedNames"]).unwrap_or(&empty);
        names(accepted, false, &Path::new("status").child("acceptedNames"), errors);
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
