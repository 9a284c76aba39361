//! APIService: a group and version that another server answers for.

use crate::Value;
use crate::field::Error;
use crate::kind::{Context, Rules, keep, keep_all_but, name_by};
use crate::kinds::Builtin;
use crate::kinds::edit::{default_pointer, has, inside};
use crate::pod::condition;
use crate::table::{age, cells};
use crate::validation::check::Errors;
use crate::validation::node::inspect;
use crate::validation::{Node, names};

pub const KIND: Builtin = Builtin {
    group: "apiregistration.k8s.io",
    plural: "apiservices",
    storage: "v1",
    rules: || Box::new(ApiService),
};

struct ApiService;

impl Rules for ApiService {
    fn default(&self, version: &str, value: &mut Value) {
        defaults(version, value);
    }
    fn bad_name(&self, name: &str, prefix: bool) -> Option<String> {
        name_by(names::path_segment, name, prefix)
    }
    fn has_status(&self) -> bool {
        true
    }
    fn unconditional_update(&self) -> bool {
        false
    }
    /// What this server answers itself is available at once.
    fn prepare_create(&self, context: &Context<'_>, new: &mut Value) {
        new.remove(&["status"]);
        if !has(new, &["spec", "service"]) {
            let mut condition = Value::object();
            let fields = [
                ("type", "Available"),
                ("status", "True"),
                ("lastTransitionTime", context.now),
                ("reason", "Local"),
                ("message", "Local APIServices are always available"),
            ];
            for (field, text) in fields {
                condition.set(&[field], text);
            }
            new.set(&["status", "conditions"], vec![condition]);
        }
    }
    fn prepare_status(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        keep_all_but(new, old, &["metadata", "status"]);
        if let (Some(metadata), Some(was)) = (new.get_mut("metadata"), old.get("metadata")) {
            for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
                keep(metadata, was, field);
            }
        }
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        inspect(new, errors, check);
    }
    fn validate_status(&self, _: &Context<'_>, new: &Value, _: &Value, errors: &mut Errors) {
        inspect(new, errors, |service| {
            for condition in service.at(&["status", "conditions"]).items() {
                condition.get("status").one_of_even_empty(&["True", "False", "Unknown"]);
            }
        });
    }
    fn cells(&self, value: &Value, now: i64) -> Option<Vec<Value>> {
        Some(row(value, now))
    }
}

fn check(service: &Node<'_>) {
    let spec = service.get("spec");
    let (name, group, version) = (service.at(&["metadata", "name"]), spec.get("group"), spec.get("version"));
    let wanted = format!("{}.{}", version.text(), group.text());
    // Without a name there is none to judge.
    if !name.text().is_empty() && names::path_segment(name.text()).is_empty() && name.text() != wanted {
        let text = format!("must be `spec.version+\".\"+spec.group`: {wanted:?}");
        name.error(Error::invalid(name.path().clone(), name.text(), text));
    }
    if group.text().is_empty() && version.text() != "v1" {
        group.missing("only v1 may have an empty group and it better be legacy kube");
    }
    group.is(names::dns_subdomain);
    version.is_even_empty(names::dns_1035_label);
    let bounded = |field: &str, most: i64| {
        let number = spec.get(field);
        if !(1..=most).contains(&number.int()) {
            let text = format!("must be positive and less than {most}");
            number.error(Error::invalid(number.path().clone(), number.int(), text));
        }
    };
    bounded("groupPriorityMinimum", 20000);
    bounded("versionPriority", 1000);
    let (bundle, insecure, target) =
        (spec.get("caBundle"), spec.get("insecureSkipTLSVerify"), spec.get("service"));
    if !target.has() {
        if !bundle.text().is_empty() {
            let bytes = bundle.text().trim_end_matches('=').len() * 3 / 4;
            let text = "local APIServices may not have a caBundle";
            bundle.error(Error::invalid(bundle.path().clone(), format!("{bytes} bytes"), text));
        }
        if insecure.flag() {
            insecure.invalid("local APIServices may not have insecureSkipTLSVerify");
        }
        return;
    }
    target.get("namespace").required();
    target.get("name").required();
    let port = target.get("port");
    let wrong = names::port_number(port.int());
    if !wrong.is_empty() {
        let text = format!("port is not valid: {}", wrong.join(", "));
        port.error(Error::invalid(port.path().clone(), port.int(), text));
    }
    if insecure.flag() && !bundle.text().is_empty() {
        insecure.invalid("may not be true if caBundle is present");
    }
}

fn defaults(_: &str, value: &mut Value) {
    inside(value, &["spec", "service"], |service| default_pointer(service, "port", 443i64));
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let service = match value.at(&["spec", "service"]).filter(|service| !service.is_null()) {
        None => "Local".into(),
        Some(service) => format!("{}/{}", service.str_at(&["namespace"]), service.str_at(&["name"])),
    };
    let available = match condition(value, "Available") {
        None => "Unknown".into(),
        Some(found) if found.str_at(&["status"]) == "True" => "True".into(),
        Some(found) => format!("{} ({})", found.str_at(&["status"]), found.str_at(&["reason"])),
    };
    vec![cells::name(value), service.into(), available.into(), age(value, now)]
}
