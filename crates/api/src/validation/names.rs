//! Formats of names, labels, keys and addresses (k8s.io/apimachinery/pkg/util/validation and pkg/api/validate/content).
//!
//! Each function gives the reasons why a text is bad, in upstream's words; none means good.

use std::net::IpAddr;

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_TEXT: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with \
                              an alphanumeric character";

/// `text (e.g. 'a',  or 'b', regex used for validation is 'format')`, with upstream's two blanks.
pub fn regex_error(text: &str, format: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{text} (regex used for validation is '{format}')");
    }
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{text} (e.g. {}regex used for validation is '{format}')", examples.join(" or "))
}

fn too_long(most: usize) -> String {
    format!("must be no more than {most} characters")
}

pub fn range(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(&first), Some(&last)) if is_alphanumeric(first) && is_alphanumeric(last))
        && bytes.iter().all(|&byte| is_alphanumeric(byte) || byte == b'-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn is_qualified(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(first), Some(last)) if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// RFC 1123 label.
pub fn dns_label(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 63 {
        wrong.push(too_long(63));
    }
    if !is_label(text) {
        wrong.push(if is_subdomain(text) {
            "must not contain dots".into()
        } else {
            regex_error(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
                 and end with an alphanumeric character",
                LABEL,
                &["my-name", "123-abc"],
            )
        });
    }
    wrong
}

/// RFC 1123 subdomain.
pub fn dns_subdomain(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 253 {
        wrong.push(too_long(253));
    }
    if !is_subdomain(text) {
        wrong.push(regex_error(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character",
            &format!("{LABEL}(\\.{LABEL})*"),
            &["example.com"],
        ));
    }
    wrong
}

/// RFC 1123 subdomain that may hold underscores: a DNS search path.
pub fn dns_search(text: &str) -> Vec<String> {
    const PART: &str = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
    let mut wrong = Vec::new();
    if text.len() > 253 {
        wrong.push(too_long(253));
    }
    let is_part = |part: &str| is_label(&part.strip_prefix('_').unwrap_or(part).replace('_', "-"));
    if !text.split('.').all(is_part) {
        wrong.push(regex_error(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and \
             must start and end with an alphanumeric character",
            &format!("{PART}(\\.{PART})*"),
            &["example.com"],
        ));
    }
    wrong
}

/// RFC 1035 label.
pub fn dns_1035_label(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 63 {
        wrong.push(too_long(63));
    }
    if !is_label(text) || !text.as_bytes()[0].is_ascii_lowercase() {
        wrong.push(regex_error(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
             character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    wrong
}

/// `*.example.com`.
pub fn wildcard_subdomain(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 253 {
        wrong.push(too_long(253));
    }
    if !text.strip_prefix("*.").is_some_and(is_subdomain) {
        wrong.push(regex_error(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist \
             of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            &format!("\\*\\.{LABEL}(\\.{LABEL})*"),
            &["*.example.com"],
        ));
    }
    wrong
}

/// A name in a URL's path, the rule of RBAC's kinds and APIService.
pub fn path_segment(text: &str) -> Vec<String> {
    match text {
        "." | ".." => vec![format!("may not be '{text}'")],
        _ => {
            let bad = |illegal: &&str| text.contains(*illegal);
            let found = ["/", "%"];
            found
                .iter()
                .filter(|illegal| bad(illegal))
                .map(|illegal| format!("may not contain '{illegal}'"))
                .collect()
        }
    }
}

/// A key of a label, an annotation, a finalizer: `[<subdomain>/]name`.
pub fn qualified_name(text: &str) -> Vec<String> {
    let regex = |head: &str| {
        regex_error(&format!("{head}{QUALIFIED_TEXT}"), QUALIFIED, &["MyName", "my.name", "123-abc"])
    };
    let mut wrong = Vec::new();
    let parts: Vec<&str> = text.split('/').collect();
    let name = match parts[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                wrong.push("prefix part must be non-empty".into());
            } else {
                let bytes = |text: String| text.replace("characters", "bytes");
                wrong.extend(dns_subdomain(prefix).into_iter().map(|text| {
                    // The newer package of upstream's that checks keys counts bytes where the older says characters.
                    let text = if text.starts_with("must be no more") { bytes(text) } else { text };
                    format!("prefix part {text}")
                }));
            }
            name
        }
        _ => {
            return vec![
                regex("a valid label key ")
                    + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
            ];
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".into());
    } else if name.len() > 63 {
        wrong.push("name part must be no more than 63 bytes".into());
    }
    if !is_qualified(name) {
        wrong.push(regex("name part "));
    }
    wrong
}

/// A label's value.
pub fn label_value(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 63 {
        wrong.push("must be no more than 63 bytes".into());
    }
    if !text.is_empty() && !is_qualified(text) {
        wrong.push(regex_error(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
             start and end with an alphanumeric character",
            &format!("({QUALIFIED})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    wrong
}

/// The name of a container's or Service's port.
pub fn port_name(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 15 {
        wrong.push(too_long(15));
    }
    if text.is_empty() || !text.bytes().all(|byte| is_alphanumeric(byte) || byte == b'-') {
        wrong.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".into());
    }
    if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        wrong.push("must contain at least one letter (a-z)".into());
    }
    if text.contains("--") {
        wrong.push("must not contain consecutive hyphens".into());
    }
    if text.starts_with('-') || text.ends_with('-') {
        wrong.push("must not begin or end with a hyphen".into());
    }
    wrong
}

pub fn port_number(port: i64) -> Vec<String> {
    if (1..=65535).contains(&port) { Vec::new() } else { vec![range(1, 65535)] }
}

/// `25%`.
pub fn percent(text: &str) -> Vec<String> {
    let good = text
        .strip_suffix('%')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    if good {
        return Vec::new();
    }
    let text = "a valid percent string must be a numeric string followed by an ending '%'";
    vec![regex_error(text, "[0-9]+%", &["1%", "93%"])]
}

pub fn http_header(text: &str) -> Vec<String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Vec::new();
    }
    let words = "a valid HTTP header must consist of alphanumeric characters or '-'";
    vec![regex_error(words, "[-A-Za-z0-9]+", &["X-Header-Name"])]
}

/// The name of an environment variable (RelaxedEnvironmentVariableValidation is on).
pub fn env_name(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.is_empty() {
        wrong.push("environment variable name must be non-empty".into());
    }
    if !text.chars().all(|letter| (' '..='~').contains(&letter) && letter != '=') {
        let words = "a valid environment variable name must consist only of printable ASCII characters other than '='";
        wrong.push(words.into());
    }
    wrong
}

/// `reason` of a condition.
pub fn condition_reason(text: &str) -> Vec<String> {
    let bytes = text.as_bytes();
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b',' | b':');
    let good = bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.iter().all(|byte| inner(*byte))
        && bytes.last().is_some_and(|last| last.is_ascii_alphanumeric() || *last == b'_');
    if good {
        return Vec::new();
    }
    let words = "a condition reason must start with alphabetic character, optionally followed by a string of \
                 alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'";
    vec![regex_error(
        words,
        "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?",
        &["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"],
    )]
}

pub fn c_identifier(text: &str) -> Vec<String> {
    let good = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && text.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    if good {
        return Vec::new();
    }
    let words = "a valid C identifier must start with alphabetic character or '_', followed by a string of \
                 alphanumeric characters or '_'";
    vec![regex_error(words, "[A-Za-z_][A-Za-z0-9_]*", &["my_name", "MY_NAME", "MyName"])]
}

/// A key of a ConfigMap's or Secret's data.
pub fn config_key(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > 253 {
        wrong.push(too_long(253));
    }
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() || !text.bytes().all(good) {
        wrong.push(regex_error(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    match text {
        "." => wrong.push("must not be '.'".into()),
        ".." => wrong.push("must not be '..'".into()),
        _ if text.starts_with("..") => wrong.push("must not start with '..'".into()),
        _ => {}
    }
    wrong
}

/// An IP address that every reader takes for the same one.
pub fn ip(text: &str) -> Vec<String> {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            vec!["must not be an IPv4-mapped IPv6 address".into()]
        }
        Ok(_) => Vec::new(),
        Err(_) if has_leading_zeros(text) => vec!["must not have leading 0s".into()],
        Err(_) => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".into()],
    }
}

/// Four numbers of which one begins with 0: octal for some readers.
fn has_leading_zeros(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let small = |part: &&str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) && part.parse::<u8>().is_ok()
    };
    parts.len() == 4 && parts.iter().all(small)
}

/// As [`ip`], and written as Go writes it.
pub fn canonical_ip(text: &str) -> Vec<String> {
    let wrong = ip(text);
    match text.parse::<IpAddr>() {
        Ok(address) if wrong.is_empty() && address.to_string() != text => {
            vec![format!("must be in canonical form ({:?})", address.to_string())]
        }
        _ => wrong,
    }
}

/// An address block, `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    bits: u32,
}

/// What Go's netip.ParsePrefix takes.
pub fn parse_cidr(text: &str) -> Option<Cidr> {
    let (address, bits) = text.split_once('/')?;
    let plain = !bits.is_empty()
        && bits.bytes().all(|byte| byte.is_ascii_digit())
        && !(bits.len() > 1 && bits.starts_with('0'));
    let cidr = Cidr { address: address.parse().ok()?, bits: bits.parse().ok()? };
    (plain && cidr.bits <= cidr.width()).then_some(cidr)
}

impl Cidr {
    pub fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }
    fn width(&self) -> u32 {
        if self.is_ipv4() { 32 } else { 128 }
    }
    /// The bits of the address, the first at the top.
    fn value(&self) -> u128 {
        match self.address {
            IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
            IpAddr::V6(address) => u128::from(address),
        }
    }
    fn network(&self) -> u128 {
        if self.bits == 0 { 0 } else { self.value() & (u128::MAX << (128 - self.bits)) }
    }
    /// Smaller than `outer`, and inside it.
    pub fn lies_strictly_in(&self, outer: &Cidr) -> bool {
        let cut = Cidr { address: self.address, bits: outer.bits };
        self.is_ipv4() == outer.is_ipv4() && self.bits > outer.bits && cut.network() == outer.network()
    }
}

/// `10.0.0.0/8`.
pub fn cidr(text: &str) -> Vec<String> {
    let Some(cidr) = parse_cidr(text) else {
        return vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".into()];
    };
    let mapped = matches!(cidr.address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
    if mapped {
        return vec!["must not have an IPv4-mapped IPv6 address".into()];
    }
    if cidr.network() != cidr.value() {
        return vec!["must not have bits set beyond the prefix length".into()];
    }
    Vec::new()
}

/// As [`cidr`], and written as Go writes it.
pub fn canonical_cidr(text: &str) -> Vec<String> {
    let wrong = cidr(text);
    match parse_cidr(text).map(|cidr| format!("{}/{}", cidr.address, cidr.bits)) {
        Some(canonical) if wrong.is_empty() && canonical != text => {
            vec![format!("must be in canonical form ({canonical:?})")]
        }
        _ => wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_upstream_takes() {
        for good in ["a", "1", "a-b", "a.b-c.d"] {
            assert!(dns_subdomain(good).is_empty(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a..b", ".a"] {
            assert!(!dns_subdomain(bad).is_empty(), "{bad}");
        }
        assert_eq!(dns_label("a.b"), ["must not contain dots"]);
        assert!(qualified_name("example.com/My_Name.x").is_empty());
        assert!(!qualified_name("a/b/c").is_empty());
        assert!(label_value("").is_empty());
        assert!(cidr("10.0.0.0/8").is_empty() && cidr("0.0.0.0/0").is_empty());
        assert!(!cidr("10.0.0.1/8").is_empty() && !cidr("10.0.0.0/33").is_empty());
        assert!(path_segment("system:node").is_empty());
    }

    #[test]
    fn says_what_upstream_says() {
        assert_eq!(
            label_value("a b")[0],
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
             start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
             validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
        );
    }
}
