//! Paths and operations. Each has what clients look for: the action, the group, version and kind, the media types of a
//! patch, the parameters of a write. The deprecated `/watch/` paths and proxies are left out.

use super::custom;
use super::schemas::{Form, META};
use crate::kind::{Subresource, Version};
use crate::schema;
use crate::{Kind, Map, Value};

pub(super) fn add(paths: &mut Map, kind: &Kind, version: &Version, form: Form<'_>) {
    let root = match kind.resource.group.as_str() {
        "" => format!("/api/{}", version.name),
        group => format!("/apis/{group}/{}", version.name),
    };
    let plural = &kind.resource.plural;
    let space = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
    let all = format!("{root}{space}/{plural}");
    let one = format!("{all}/{{name}}");
    let has = |verb: &str| version.verbs.iter().any(|have| have == verb);
    let of = Target::of(kind, version, form);
    let mut item = Map::new();
    for (verb, method, action) in [
        ("list", "get", "list"),
        ("create", "post", "post"),
        ("deletecollection", "delete", "deletecollection"),
    ] {
        if has(verb) {
            item.insert(method, of.operation(action));
        }
    }
    put(paths, all, item, kind.namespaced, false, form);
    if has("list") && kind.namespaced {
        let mut item = Map::new();
        item.insert("get", of.list_all());
        put(paths, format!("{root}/{plural}"), item, false, false, form);
    }
    let mut item = Map::new();
    for (verb, method) in [("get", "get"), ("update", "put"), ("patch", "patch"), ("delete", "delete")] {
        if has(verb) {
            item.insert(method, of.operation(method));
        }
    }
    put(paths, one.clone(), item, kind.namespaced, true, form);
    for sub in version.subresources.iter().filter(|sub| !sub.kind.ends_with("Options")) {
        let of = Target { sub: Some(sub), ..Target::of(kind, version, form) };
        let mut item = Map::new();
        for (verb, method) in [("get", "get"), ("create", "post"), ("update", "put"), ("patch", "patch")] {
            if sub.verbs.iter().any(|have| have == verb) {
                item.insert(method, of.operation(method));
            }
        }
        put(paths, format!("{one}/{}", sub.name), item, kind.namespaced, true, form);
    }
}

fn put(paths: &mut Map, path: String, mut item: Map, namespaced: bool, named: bool, form: Form<'_>) {
    if item.is_empty() {
        return;
    }
    let mut parameters = Vec::new();
    for (name, wanted) in [("name", named), ("namespace", namespaced)] {
        if wanted {
            let mut parameter = parameter(name, "path", "string", form);
            parameter.set(&["required"], true);
            parameters.push(parameter);
        }
    }
    parameters.push(parameter("pretty", "query", "string", form));
    item.insert("parameters", parameters);
    paths.insert(path, Value::Object(item));
}

fn parameter(name: &str, place: &str, kind: &str, form: Form<'_>) -> Value {
    let mut value = Value::object();
    value.set(&["name"], name);
    value.set(&["in"], place);
    let at: &[&str] = if form.is_v3() { &["schema"] } else { &[] };
    let schema = value.make(at);
    schema.set(&["type"], kind);
    schema.set(&["uniqueItems"], true);
    value
}

const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// What an operation is on.
#[derive(Clone, Copy)]
struct Target<'a> {
    kind: &'a Kind,
    version: &'a Version,
    sub: Option<&'a Subresource>,
    form: Form<'a>,
}

impl<'a> Target<'a> {
    fn of(kind: &'a Kind, version: &'a Version, form: Form<'a>) -> Target<'a> {
        Target { kind, version, sub: None, form }
    }

    /// `coreV1`, `appsV1`, `rbacAuthorizationV1`, `stableExampleComV1`.
    fn tag(&self, separator: &str) -> String {
        let group = match self.kind.resource.group.as_str() {
            "" => "core",
            group if self.kind.custom => group,
            group => group.strip_suffix(".k8s.io").unwrap_or(group),
        };
        let mut text = String::new();
        for (at, part) in group.split('.').enumerate() {
            text.push_str(&if at == 0 { part.to_string() } else { capital(part) });
        }
        if separator.is_empty() {
            capital(&text) + &capital(&self.version.name)
        } else {
            format!("{text}{separator}{}", self.version.name)
        }
    }

    /// Schema of what is sent and given back.
    fn body(&self) -> Value {
        let name = match self.sub {
            Some(sub) => match schema::of_kind(&sub.group, &sub.version, &sub.kind) {
                Some(of) if !(self.kind.custom && sub.kind == self.kind.kind) => of.name().to_string(),
                _ => custom::name(self.kind, self.version, &self.kind.kind),
            },
            None if self.kind.custom => custom::name(self.kind, self.version, &self.kind.kind),
            None => self.version.type_name.into(),
        };
        self.form.reference(&name)
    }

    fn list_body(&self) -> Value {
        let list = schema::of_kind(&self.kind.resource.group, &self.version.name, &self.kind.list_kind);
        match list {
            Some(of) if !self.kind.custom => self.form.reference(of.name()),
            _ => self.form.reference(&custom::name(self.kind, self.version, &self.kind.list_kind)),
        }
    }

    fn list_all(&self) -> Value {
        let mut operation = self.operation("list");
        let space = if self.kind.namespaced { "ForAllNamespaces" } else { "" };
        operation.set(&["operationId"], format!("list{}{}{space}", self.tag(""), self.kind.kind));
        operation
    }

    fn operation(&self, action: &str) -> Value {
        let mut value = Value::object();
        let verb = match action {
            "get" => "read",
            "put" => "replace",
            "post" => "create",
            "deletecollection" => "delete",
            other => other,
        };
        let collection = if action == "deletecollection" { "Collection" } else { "" };
        let space = if self.kind.namespaced { "Namespaced" } else { "" };
        let sub = self.sub.map(|sub| capital(&sub.name)).unwrap_or_default();
        let id = format!("{verb}{}{collection}{space}{}{sub}", self.tag(""), self.kind.kind);
        value.set(&["operationId"], id);
        value.set(&["tags"], vec![Value::from(self.tag("_"))]);
        let mut parameters = Vec::new();
        let mut query = |name: &str, kind: &str| parameters.push(parameter(name, "query", kind, self.form));
        match action {
            "list" | "deletecollection" => {
                for name in
                    ["continue", "fieldSelector", "labelSelector", "resourceVersion", "resourceVersionMatch"]
                {
                    query(name, "string");
                }
                query("limit", "integer");
                query("timeoutSeconds", "integer");
                if action == "list" {
                    query("allowWatchBookmarks", "boolean");
                    query("sendInitialEvents", "boolean");
                    query("watch", "boolean");
                }
            }
            "post" | "put" | "patch" => {
                for name in ["dryRun", "fieldManager", "fieldValidation"] {
                    query(name, "string");
                }
                if action == "patch" {
                    query("force", "boolean");
                }
            }
            _ => {}
        }
        if action.starts_with("delete") {
            query("dryRun", "string");
            query("gracePeriodSeconds", "integer");
            query("orphanDependents", "boolean");
            query("propagationPolicy", "string");
        }
        self.request(action, &mut value, &mut parameters);
        if !parameters.is_empty() {
            value.set(&["parameters"], parameters);
        }
        let answer = match action {
            "list" => self.list_body(),
            "delete" | "deletecollection" => self.form.reference(&format!("{META}.Status")),
            _ => self.body(),
        };
        let codes: &[&str] = match action {
            "post" => &["200", "201", "202"],
            "put" | "patch" => &["200", "201"],
            "delete" => &["200", "202"],
            _ => &["200"],
        };
        for code in codes {
            value.set(&["responses", code, "description"], if *code == "201" { "Created" } else { "OK" });
            if self.form.is_v3() {
                value.set(&["responses", code, "content", "application/json", "schema"], answer.clone());
            } else {
                value.set(&["responses", code, "schema"], answer.clone());
            }
        }
        value.set(&["x-kubernetes-action"], action);
        let gvk = value.make(&["x-kubernetes-group-version-kind"]);
        let (group, version, kind) = match self.sub {
            Some(sub) => (&sub.group, &sub.version, &sub.kind),
            None => (&self.kind.resource.group, &self.version.name, &self.kind.kind),
        };
        gvk.set(&["group"], group.clone());
        gvk.set(&["kind"], kind.clone());
        gvk.set(&["version"], version.clone());
        value
    }

    fn request(&self, action: &str, value: &mut Value, parameters: &mut Vec<Value>) {
        let patches = || PATCHES.iter().filter(|kind| !self.kind.custom || !kind.contains("strategic"));
        let schema = match action {
            "post" | "put" => self.body(),
            "patch" => self.form.reference(&format!("{META}.Patch")),
            "delete" | "deletecollection" => self.form.reference(&format!("{META}.DeleteOptions")),
            _ => return,
        };
        if self.form.is_v3() {
            let kinds: Vec<&str> = if action == "patch" { patches().copied().collect() } else { vec!["*/*"] };
            for kind in kinds {
                value.set(&["requestBody", "content", kind, "schema"], schema.clone());
            }
            if !action.starts_with("delete") {
                value.set(&["requestBody", "required"], true);
            }
            return;
        }
        let kinds: Vec<Value> = match action {
            "patch" => patches().map(|kind| Value::from(*kind)).collect(),
            _ => vec!["*/*".into()],
        };
        value.set(&["consumes"], kinds);
        value.set(&["produces"], vec![Value::from("application/json"), "application/yaml".into()]);
        let mut body = Value::object();
        body.set(&["in"], "body");
        body.set(&["name"], "body");
        body.set(&["schema"], schema);
        if !action.starts_with("delete") {
            body.set(&["required"], true);
        }
        parameters.push(body);
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().collect::<String>() + letters.as_str())
        .unwrap_or_default()
}
