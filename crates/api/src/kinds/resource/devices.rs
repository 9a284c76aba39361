//! What claims, their templates and device classes have in common (dynamic resource allocation, KEP-4381).

use std::sync::LazyLock;

use crate::Value;
use crate::cel::{Env, Type};
use crate::field::Error;
use crate::kinds::core::persistent_volume::driver_name;
use crate::kinds::edit::{default, default_pointer, each, inside, is_unset, list};
use crate::validation::{Node, names};

const MOST_REQUESTS: usize = 32;
const MODES: [&str; 2] = ["All", "ExactCount"];

/// Of a claim's spec. v1beta1 has what a request asks for beside its name, not below `exactly`.
pub fn defaults(version: &str, spec: &mut Value) {
    if version == "v1beta1" {
        each(spec, &["devices", "requests"], |request| {
            // Without a class it has alternatives, or is nothing.
            if !request.str_at(&["deviceClassName"]).is_empty() {
                one(request);
            }
            each(request, &["firstAvailable"], one);
        });
        return;
    }
    each(spec, &["devices", "requests"], |request| {
        inside(request, &["exactly"], one);
        each(request, &["firstAvailable"], one);
    });
}

fn one(request: &mut Value) {
    default(request, "allocationMode", "ExactCount");
    if request.str_at(&["allocationMode"]) == "ExactCount" {
        default(request, "count", 1i64);
    }
    each(request, &["tolerations"], |toleration| default_pointer(toleration, "operator", "Equal"));
}

/// What v1beta1 has in a request itself, in the order of the struct that holds it since.
const EXACT: [&str; 7] =
    ["deviceClassName", "selectors", "allocationMode", "count", "adminAccess", "tolerations", "capacity"];

/// A claim's spec from v1beta1.
pub fn to_storage(spec: &mut Value) {
    each(spec, &["devices", "requests"], |request| {
        let mut exact = Value::object();
        for field in EXACT {
            // What Go has for a field that was not sent is no field that was.
            let sent =
                |value: &Value| !is_unset(Some(value)) && !value.as_array().is_some_and(<[Value]>::is_empty);
            if let Some(value) = request.remove(&[field]).filter(sent) {
                exact.set(&[field], value);
            }
        }
        if exact.as_map().is_some_and(|map| !map.is_empty()) {
            request.set(&["exactly"], exact);
        }
    });
}

/// A claim's spec for v1beta1.
pub fn from_storage(spec: &mut Value) {
    each(spec, &["devices", "requests"], |request| {
        let Some(mut exact) = request.remove(&["exactly"]) else { return };
        for field in EXACT {
            if let Some(value) = exact.remove(&[field]) {
                request.set(&[field], value);
            }
        }
    });
}

/// At most so many elements; true: they may be looked at.
pub fn few(list: &Node<'_>, most: usize) -> bool {
    let before = list.count();
    list.at_most_items(most);
    list.count() == before
}

/// Each element once, by what `key` makes of it.
fn once(items: &[Node<'_>], key: fn(&Node<'_>) -> String) {
    for (at, item) in items.iter().enumerate() {
        if items[..at].iter().any(|other| key(other) == key(item)) {
            item.error(Error::duplicate(item.path().clone(), key(item)));
        }
    }
}

/// [`once`], by name.
pub fn once_by_name(items: &[Node<'_>]) {
    once(items, name_of);
}

/// [`once`], by the text of a field.
pub fn once_by(items: &[Node<'_>], field: &str) {
    for (at, item) in items.iter().enumerate() {
        let own = item.get(field).text();
        if items[..at].iter().any(|other| other.get(field).text() == own) {
            item.error(Error::duplicate(item.path().clone(), own));
        }
    }
}

fn name_of(node: &Node<'_>) -> String {
    node.get("name").text().into()
}

fn text_of(node: &Node<'_>) -> String {
    node.text().into()
}

/// A claim's spec.
pub fn claim(spec: &Node<'_>) {
    let devices = spec.get("devices");
    let requests = devices.get("requests");
    if few(&requests, MOST_REQUESTS) {
        let items = requests.items();
        items.iter().for_each(request);
        once(&items, name_of);
    }
    let (constraints, config) = (devices.get("constraints"), devices.get("config"));
    if few(&constraints, 32) {
        for constraint in constraints.items() {
            references(&constraint.get("requests"), devices.value());
            let (same, distinct) = (constraint.get("matchAttribute"), constraint.get("distinctAttribute"));
            match (same.has(), distinct.has()) {
                (true, _) => qualified(&same),
                (false, true) => qualified(&distinct),
                (false, false) => constraint.missing(
                    "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set",
                ),
            }
        }
    }
    if few(&config, 32) {
        for config in config.items() {
            references(&config.get("requests"), devices.value());
            configuration(&config);
        }
    }
}

fn request(request: &Node<'_>) {
    request.get("name").is_even_empty(names::dns_label);
    let (exactly, first) = (request.get("exactly"), request.get("firstAvailable"));
    match (exactly.has(), !first.is_empty()) {
        (false, false) => request.missing("exactly one of `exactly` or `firstAvailable` is required"),
        (true, true) => {
            let text =
                "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            request.error(Error::invalid(request.path().clone(), Value::Null, text));
        }
        (true, false) => device(&exactly),
        (false, true) if few(&first, 8) => {
            let items = first.items();
            for item in &items {
                item.get("name").is_even_empty(names::dns_label);
                device(item);
            }
            once(&items, name_of);
        }
        (false, true) => {}
    }
}

fn device(request: &Node<'_>) {
    request.get("deviceClassName").required().is(names::dns_subdomain);
    selectors(&request.get("selectors"));
    let (mode, count) = (request.get("allocationMode"), request.get("count"));
    match mode.text() {
        "All" if count.int() != 0 => count.invalid("must not be specified when allocationMode is 'All'"),
        "All" => {}
        "ExactCount" => drop(count.positive()),
        _ => drop(mode.one_of_even_empty(&MODES)),
    }
    for toleration in request.get("tolerations").items() {
        self::toleration(&toleration);
    }
}

fn toleration(toleration: &Node<'_>) {
    let (key, value) = (toleration.get("key"), toleration.get("value"));
    if !key.text().is_empty() {
        key.label_key();
    }
    match toleration.get("operator").text() {
        "Exists" if !value.text().is_empty() => value.invalid("must be empty for operator `Exists`"),
        "Exists" => {}
        "Equal" => drop(value.is_even_empty(names::label_value)),
        _ => drop(toleration.get("operator").required_one_of(&["Equal", "Exists"])),
    }
    toleration.get("effect").one_of(&["NoExecute", "NoSchedule", "None"]);
}

pub fn selectors(selectors: &Node<'_>) {
    if !few(selectors, 32) {
        return;
    }
    for selector in selectors.items() {
        let cel = selector.get("cel");
        match cel.has() {
            true => expression(&cel.get("expression")),
            false => cel.missing(""),
        }
    }
}

/// What chooses devices: a condition on `device`.
fn expression(node: &Node<'_>) {
    static ENV: LazyLock<Env> = LazyLock::new(|| {
        let of = |value: Type| Type::map(Type::String, Type::map(Type::String, value));
        let device = Type::object(
            "kubernetes.DRADevice",
            [
                ("driver".into(), Type::String),
                ("attributes".into(), of(Type::Dyn)),
                ("capacity".into(), of(Type::Opaque("kubernetes.Quantity"))),
                ("allowMultipleAllocations".into(), Type::Bool),
            ],
        );
        Env::new().with("device", device)
    });
    if node.text().len() > 10 * 1024 {
        node.at_most_bytes(10 * 1024);
        return;
    }
    // A macro that only these expressions have, and that the compiler does not know: such a one is taken unread.
    if node.text().contains("cel.bind(") {
        return;
    }
    match ENV.compile(node.text()) {
        Err(issues) => node.invalid(format!("compilation failed: {issues}")),
        Ok(program) if !matches!(program.output(), Type::Bool | Type::Dyn) => {
            node.invalid(format!("must evaluate to bool or the unknown type, not {}", program.output()));
        }
        Ok(_) => {}
    }
}

/// A DeviceConfiguration.
pub fn configuration(config: &Node<'_>) {
    let opaque = config.get("opaque");
    if !opaque.has() {
        return opaque.missing("");
    }
    driver_name(&opaque.get("driver"));
    raw_object(&opaque.get("parameters"));
}

/// A RawExtension that holds an object of at most 10 KiB.
pub fn raw_object(parameters: &Node<'_>) {
    let omitted = |text: &str| {
        parameters.error(Error::invalid(parameters.path().clone(), "<value omitted>", text));
    };
    match parameters.value() {
        Value::Null => parameters.missing(""),
        value if value.to_string().len() > 10 * 1024 => {
            parameters.error(Error::too_long(parameters.path().clone(), 10 * 1024));
        }
        Value::Object(_) => {}
        _ => omitted("must be a valid JSON object"),
    }
}

/// Names of requests of the claim, `request` or `request/subrequest`.
pub fn references(references: &Node<'_>, devices: &Value) {
    if !few(references, MOST_REQUESTS) {
        return;
    }
    let items = references.items();
    for item in &items {
        reference(item, devices);
    }
    once(&items, text_of);
}

/// The name of a request of the claim.
pub fn reference(name: &Node<'_>, devices: &Value) {
    const UNKNOWN: &str = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
    let parts: Vec<&str> = name.text().split('/').collect();
    if parts.len() > 2 {
        return name.invalid(UNKNOWN);
    }
    for part in &parts {
        for text in names::dns_label(part) {
            name.error(Error::invalid(name.path().clone(), *part, text));
        }
    }
    let request = list(devices, &["requests"]).iter().find(|request| request.str_at(&["name"]) == parts[0]);
    let known = request.is_some_and(|request| {
        parts.get(1).is_none_or(|sub| {
            list(request, &["firstAvailable"]).iter().any(|request| request.str_at(&["name"]) == *sub)
        })
    });
    if !known {
        name.invalid(UNKNOWN);
    }
}

/// `example.com/name`, the name an identifier of C.
fn qualified(name: &Node<'_>) {
    let text = name.text();
    let invalid = |shown: &str, why: String| name.error(Error::invalid(name.path().clone(), shown, why));
    match text.split_once('/') {
        None => {
            identifier(name, text);
            invalid(text, "a fully qualified name must be a domain and a name separated by a slash".into());
        }
        Some((_, rest)) if rest.contains('/') => {}
        Some((domain, rest)) => {
            if domain.is_empty() {
                invalid("", "the domain must not be empty".into());
            } else {
                if domain.len() > 63 {
                    name.error(Error::too_long(name.path().clone(), 63));
                }
                for why in names::dns_subdomain(&domain.to_lowercase()) {
                    invalid(domain, why);
                }
            }
            match rest.is_empty() {
                true => invalid("", "the name must not be empty".into()),
                false => identifier(name, rest),
            }
        }
    }
}

/// A key of attributes or capacities: an identifier, with or without a domain.
pub fn qualified_key(at: &Node<'_>, key: &str) {
    if key.contains('/') {
        let value = Value::from(key);
        qualified(&at.beside(&value));
    } else {
        identifier(at, key);
    }
}

fn identifier(name: &Node<'_>, text: &str) {
    if text.len() > 32 {
        name.error(Error::too_long(name.path().clone(), 32));
    }
    for why in names::c_identifier(text) {
        name.error(Error::invalid(name.path().clone(), text, why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Value {
        crate::json::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn v1beta1_asks_beside_the_name() {
        let old = parse(
            r#"{"devices":{"requests":[{"name":"a","deviceClassName":"gpu","allocationMode":"ExactCount","count":2},
            {"name":"b","firstAvailable":[{"name":"c","deviceClassName":"gpu"}]}]}}"#,
        );
        let mut spec = old.clone();
        to_storage(&mut spec);
        let stored = parse(
            r#"{"devices":{"requests":[{"name":"a","exactly":{"deviceClassName":"gpu","allocationMode":"ExactCount","count":2}},
            {"name":"b","firstAvailable":[{"name":"c","deviceClassName":"gpu"}]}]}}"#,
        );
        assert_eq!(spec, stored);
        from_storage(&mut spec);
        assert_eq!(spec, old);
    }

    #[test]
    fn selectors_are_compiled() {
        let check = |text: &str| {
            let mut selector = Value::object();
            selector.set(&["cel", "expression"], text);
            let mut body = Value::object();
            body.set(&["selectors"], vec![selector]);
            let mut errors = Vec::new();
            crate::validation::node::inspect(&body, &mut errors, |body| selectors(&body.get("selectors")));
            errors.iter().map(|error| error.detail.lines().next().unwrap_or_default().to_string()).collect()
        };
        let good: Vec<String> = check(r#"device.attributes["x.com"].size > 3 && device.driver == "x.com""#);
        assert_eq!(good, Vec::<String>::new());
        let bad: Vec<String> = check("device.nothing");
        assert_eq!(bad, ["compilation failed: ERROR: <input>:1:7: undefined field 'nothing'"]);
        let text: Vec<String> = check("device.driver");
        assert_eq!(text, ["must evaluate to bool or the unknown type, not string"]);
    }
}
