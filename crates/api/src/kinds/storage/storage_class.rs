//! StorageClass, and what VolumeAttributesClass shares with it.

use crate::Value;
use crate::field::Error;
use crate::kinds::edit::{default_pointer, flag, list};
use crate::kinds::{Builtin, Strategy, node_labels};
use crate::table::age;
use crate::validation::{Node, names};

pub const KIND: Builtin = Builtin {
    group: "storage.k8s.io",
    plural: "storageclasses",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            defaults,
            check: |class| {
                provisioner(&class.get("provisioner"));
                parameters(&class.get("parameters"));
                class.get("reclaimPolicy").one_of(&["Delete", "Retain"]);
                class.get("volumeBindingMode").set("").one_of_set(&["Immediate", "WaitForFirstConsumer"]);
                topologies(&class.get("allowedTopologies"));
            },
            update: |class, old| {
                for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
                    class.get(field).immutable(&old.get(field));
                }
            },
            warnings,
            row: Some(row),
            ..Strategy::new()
        })
    },
};

fn defaults(_: &str, value: &mut Value) {
    default_pointer(value, "reclaimPolicy", "Delete");
    default_pointer(value, "volumeBindingMode", "Immediate");
}

/// A qualified name in any case.
pub fn provisioner(name: &Node<'_>) {
    name.required();
    if !name.text().is_empty() {
        let lower = name.text().to_lowercase();
        for text in names::qualified_name(&lower) {
            name.error(Error::invalid(name.path().clone(), lower.as_str(), text));
        }
    }
}

/// At most 512 of them, and 256 KiB.
pub fn parameters(parameters: &Node<'_>) {
    let entries = parameters.entries();
    if entries.len() > 512 {
        return parameters.error(Error::too_long(parameters.path().clone(), 512));
    }
    let size: usize = entries.iter().map(|(key, value)| key.len() + value.text().len()).sum();
    for (key, _) in entries.iter().filter(|(key, _)| key.is_empty()) {
        parameters.error(Error::invalid(parameters.path().clone(), *key, "field can not be empty."));
    }
    if size > 256 << 10 {
        parameters.error(Error::too_long(parameters.path().clone(), 256 << 10));
    }
}

fn topologies(topologies: &Node<'_>) {
    let terms = topologies.items();
    let plain = |term: &Node<'_>| {
        let mut keys: Vec<(String, Vec<String>)> = Vec::new();
        for expression in term.get("matchLabelExpressions").items() {
            let mut values: Vec<String> =
                expression.get("values").texts().into_iter().map(String::from).collect();
            values.sort();
            values.dedup();
            keys.retain(|(key, _)| key != expression.get("key").text());
            keys.push((expression.get("key").text().into(), values));
        }
        keys.sort();
        keys
    };
    for (at, term) in terms.iter().enumerate() {
        let expressions = term.get("matchLabelExpressions").items();
        for (at, expression) in expressions.iter().enumerate() {
            expression.get("values").required().distinct("");
            let key = expression.get("key");
            key.label_key();
            if expressions[..at].iter().any(|other| other.get("key").text() == key.text()) {
                key.duplicate();
            }
        }
        // A term that says nothing is for upstream the same as each that it has not come to yet, itself among them.
        let own = plain(term);
        let before = terms[..at].iter().filter(|other| plain(other) == own).count();
        let unread = if own.is_empty() { terms.len() - at } else { 0 };
        for _ in 0..before + unread {
            let path = term.path().child("matchLabelExpressions");
            term.error(Error::duplicate(path, ""));
        }
    }
}

fn warnings(class: &Value, _: Option<&Value>) -> Vec<String> {
    let mut texts = Vec::new();
    for (at, term) in list(class, &["allowedTopologies"]).iter().enumerate() {
        for (index, expression) in list(term, &["matchLabelExpressions"]).iter().enumerate() {
            if let Some(text) = node_labels::deprecated(expression.str_at(&["key"])) {
                texts.push(format!("allowedTopologies[{at}].matchLabelExpressions[{index}].key: {text}"));
            }
        }
    }
    texts
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let mut name = value.str_at(&["metadata", "name"]).to_string();
    let marked = |key: &str| value.str_at(&["metadata", "annotations", key]) == "true";
    if marked("storageclass.kubernetes.io/is-default-class")
        || marked("storageclass.beta.kubernetes.io/is-default-class")
    {
        name.push_str(" (default)");
    }
    vec![
        name.into(),
        value.str_at(&["provisioner"]).into(),
        value.str_at(&["reclaimPolicy"]).into(),
        value.str_at(&["volumeBindingMode"]).into(),
        flag(value, &["allowVolumeExpansion"]).into(),
        age(value, now),
    ]
}
