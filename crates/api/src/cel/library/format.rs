//! Named formats (k8s.io/apiserver/pkg/cel/library/format.go): names, labels and a few of OpenAPI's.

use crate::validation::names;

/// A format and what it says of a text that is not of it; nothing for one that is.
#[derive(Debug)]
pub struct Format {
    pub name: &'static str,
    pub check: fn(&str) -> Vec<String>,
    /// Characters of the expression behind it, for what checking costs.
    pub regex: u64,
}

/// A prefix may end in a dash, as `generateName` does.
fn prefix(check: fn(&str) -> Vec<String>, text: &str) -> Vec<String> {
    match text.strip_suffix('-') {
        Some(head) if !head.is_empty() => check(&format!("{head}a")),
        _ => check(text),
    }
}

fn open_api(format: &str, text: &str) -> Vec<String> {
    match crate::structural::is_format(format, text) {
        true => Vec::new(),
        false => vec![format!("invalid {format}")],
    }
}

static ALL: [Format; 13] = [
    Format { name: "dns1123Label", check: names::dns_label, regex: 30 },
    Format { name: "dns1123Subdomain", check: names::dns_subdomain, regex: 60 },
    Format { name: "dns1035Label", check: names::dns_1035_label, regex: 30 },
    Format { name: "qualifiedName", check: names::qualified_name, regex: 60 },
    Format { name: "dns1123LabelPrefix", check: |text| prefix(names::dns_label, text), regex: 30 },
    Format { name: "dns1123SubdomainPrefix", check: |text| prefix(names::dns_subdomain, text), regex: 60 },
    Format { name: "dns1035LabelPrefix", check: |text| prefix(names::dns_1035_label, text), regex: 30 },
    Format { name: "labelValue", check: names::label_value, regex: 40 },
    Format {
        name: "uri",
        check: |text| match super::url::Url::parse(text) {
            Ok(_) => Vec::new(),
            Err(why) => {
                vec![why.trim_start_matches("URL parse error during conversion from string: ").to_string()]
            }
        },
        regex: 30,
    },
    Format {
        name: "uuid",
        check: |text| match open_api("uuid", text).is_empty() {
            true => Vec::new(),
            false => vec!["does not match the UUID format".into()],
        },
        regex: 50,
    },
    Format {
        name: "byte",
        check: |text| match open_api("byte", text).is_empty() {
            true => Vec::new(),
            false => vec!["invalid base64".into()],
        },
        regex: 70,
    },
    Format {
        name: "date",
        check: |text| match open_api("date", text).is_empty() {
            true => Vec::new(),
            false => vec!["invalid date".into()],
        },
        regex: 60,
    },
    Format {
        name: "datetime",
        check: |text| match open_api("date-time", text).is_empty() {
            true => Vec::new(),
            false => vec!["invalid datetime".into()],
        },
        regex: 100,
    },
];

/// The format of this name.
pub fn named(name: &str) -> Option<&'static Format> {
    ALL.iter().find(|format| format.name == name)
}
