//! What differs between two answers, as lines that are the same for the same cause.
//!
//! Masked before: uids, revisions, times of today, what an allocator chose, ages in Tables. A Go struct in an error's text is
//! masked too: upstream prints the names of its internal types there, which are nobody's API.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::side::Answer;

/// None: the answers mean the same.
pub fn lines(theirs: &Answer, ours: &Answer) -> Vec<String> {
    let mut lines = Vec::new();
    if theirs.code == 599 {
        return vec!["upstream closed the connection without an answer".into()];
    }
    if theirs.content != ours.content {
        lines.push(format!("content type: upstream {:?}, skiff {:?}", theirs.content, ours.content));
    }
    let (mut their_body, mut our_body) = (theirs.json(), ours.json());
    mask(&mut their_body, "");
    mask(&mut our_body, "");
    match (theirs.code < 300, ours.code < 300) {
        (true, true) if their_body.is_null() && our_body.is_null() => {
            if !theirs.content.contains("protobuf") {
                lines.extend(text_difference(&theirs.body, &ours.body));
            }
        }
        (true, true) => {
            difference(&their_body, &our_body, "", &mut lines);
            if lines.is_empty() && their_body != our_body {
                lines.push("fields stand in another order".into());
            }
        }
        _ => errors(theirs, ours, &their_body, &our_body, &mut lines),
    }
    if theirs.code != ours.code && (lines.is_empty() || theirs.code < 300 && ours.code < 300) {
        lines.insert(0, format!("code: upstream {}, skiff {}", theirs.code, ours.code));
    }
    if (theirs.code < 300) != (ours.code < 300) {
        // Who refuses what the other takes warns of nothing.
        return lines;
    }
    let texts =
        |answer: &Answer| -> BTreeSet<String> { answer.warnings.iter().map(|text| masked(text)).collect() };
    let (their_texts, our_texts) = (texts(theirs), texts(ours));
    lines.extend(their_texts.difference(&our_texts).map(|text| format!("warning - {text}")));
    lines.extend(our_texts.difference(&their_texts).map(|text| format!("warning + {text}")));
    lines
}

fn errors(theirs: &Answer, ours: &Answer, their_body: &Value, our_body: &Value, lines: &mut Vec<String>) {
    let (their_causes, our_causes) = (causes(their_body), causes(our_body));
    // What upstream breaks at is one line; what skiff says instead is told by its code.
    let broken = theirs.code == 500 && ours.code == 422;
    if theirs.code != ours.code {
        let why = |answer: &Answer, body: &Value| match answer.code {
            422 if !causes(body).is_empty() => String::new(),
            code if code < 300 => String::new(),
            _ => format!(" ({})", body["message"].as_str().unwrap_or_default()),
        };
        let (a, b) = (why(theirs, their_body), why(ours, our_body));
        // What is taken by one and refused by causes is told by the causes below.
        if !a.is_empty() || !b.is_empty() || their_causes.is_empty() && our_causes.is_empty() {
            lines.push(general(&format!("code: upstream {}{a}, skiff {}{b}", theirs.code, ours.code)));
        }
    }
    if broken {
        return;
    }
    let missing = their_causes.iter().filter(|cause| !our_causes.contains(cause));
    let extra = our_causes.iter().filter(|cause| !their_causes.contains(cause));
    let before = lines.len();
    lines.extend(missing.map(|cause| general(&format!("- {cause}"))));
    lines.extend(extra.map(|cause| general(&format!("+ {cause}"))));
    let same_causes = lines.len() == before;
    if theirs.code == ours.code && same_causes {
        if their_causes != our_causes {
            let sorted =
                |causes: &[String]| once(&by_chance(causes)).into_iter().cloned().collect::<Vec<_>>();
            let same = sorted(&their_causes) == sorted(&our_causes);
            if their_causes.len() != our_causes.len() || !same {
                lines.push(if same { REPEATED.into() } else { "causes stand in another order".into() });
            }
        } else if their_causes.is_empty() || theirs.code != 422 {
            difference(their_body, our_body, "", lines);
        }
    }
}

/// `known.tsv` has the reason.
const REPEATED: &str = "causes are named another number of times";

/// The causes in their order, but for neighbours about keys of a map, which upstream goes over as chance has it.
fn by_chance(causes: &[String]) -> Vec<String> {
    let keyed = |cause: &String| {
        // Upstream goes over a map of the sources of a metric.
        if cause.ends_with("must populate the given metric source only") {
            return true;
        }
        let field = cause.split(": ").next().unwrap_or_default();
        field.rsplit_once('[').is_some_and(|(_, key)| !key.starts_with(|first: char| first.is_ascii_digit()))
    };
    let mut causes = causes.to_vec();
    for run in causes.chunk_by_mut(|one, other| keyed(one) && keyed(other)) {
        run.sort();
    }
    causes
}

/// The causes in their order, each once.
fn once(causes: &[String]) -> Vec<&String> {
    let mut found: Vec<&String> = Vec::new();
    for cause in causes {
        if !found.contains(&cause) {
            found.push(cause);
        }
    }
    found
}

/// `reason field: message` of each cause.
fn causes(body: &Value) -> Vec<String> {
    let list = body["details"]["causes"].as_array();
    list.into_iter()
        .flatten()
        .map(|cause| {
            let text = |field: &str| cause[field].as_str().unwrap_or_default();
            if text("field") == "patch" {
                return patch_free(text("message"));
            }
            struct_free(&format!("{} {}: {}", text("reason"), text("field"), text("message")))
        })
        .collect()
}

/// A patch whose result does not decode: without the result, whose fields stand in no order.
fn patch_free(message: &str) -> String {
    let reason = message.rfind("\": ").map_or(message, |at| &message[at + 3..]);
    format!("FieldValueInvalid patch: {reason}")
}

/// The first line (upstream prints comparisons of its internal structs below it) without what stands between `value: {`
/// and the last `}: `.
fn struct_free(text: &str) -> String {
    let mut text = text.lines().next().unwrap_or_default().to_string();
    // An empty collection and none are one thing in skiff: what is null here may be {} there.
    text = text.replace("value: null", "value: {}");
    for open in ["value: {", "value: [{", "value: map[", "value: []string{", "value: []"] {
        if let Some(from) = text.find(open) {
            let from = from + "value: ".len();
            let to = text[from..].rfind("}: ").or_else(|| text[from..].rfind("]: "));
            let to = to.map_or(text.len(), |to| from + to + 1);
            text.replace_range(from..to, "STRUCT");
            break;
        }
    }
    if let Some(end) = text.find("if it was previously negative)") {
        text.truncate(end);
    }
    text
}

/// Indices made `[]`, so that the same cause in two places is one line.
fn general(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        let digits = rest[open + 1..].bytes().take_while(u8::is_ascii_digit).count();
        out.push_str(&rest[..=open]);
        rest = &rest[open + 1..];
        if digits > 0 && rest[digits..].starts_with(']') {
            rest = &rest[digits..];
        }
    }
    out.push_str(rest);
    out
}

fn difference(theirs: &Value, ours: &Value, path: &str, lines: &mut Vec<String>) {
    if lines.len() > 12 {
        return;
    }
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let null = Value::Null;
                let (x, y) = (a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null));
                if a.contains_key(key) != b.contains_key(key) {
                    let short = |value: &Value| value.to_string().chars().take(240).collect::<String>();
                    lines.push(match a.contains_key(key) {
                        true => general(&format!("{path}.{key}: skiff lacks {}", short(x))),
                        false => general(&format!("{path}.{key}: only skiff has {}", short(y))),
                    });
                } else {
                    difference(x, y, &format!("{path}.{key}"), lines);
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            if a.len() != b.len() {
                lines.push(general(&format!("{path}: upstream has {} elements, skiff {}", a.len(), b.len())));
            }
            for (at, (x, y)) in a.iter().zip(b).enumerate() {
                difference(x, y, &format!("{path}[{at}]"), lines);
            }
        }
        (a, b) if a == b => {}
        (a, b) => lines.push(general(&format!("{path}: upstream {a}, skiff {b}"))),
    }
}

fn text_difference(theirs: &[u8], ours: &[u8]) -> Option<String> {
    let text = |bytes: &[u8]| masked(&String::from_utf8_lossy(bytes));
    let (theirs, ours) = (text(theirs), text(ours));
    if theirs == ours {
        return None;
    }
    let first = theirs.lines().zip(ours.lines()).find(|(a, b)| a != b);
    Some(match first {
        Some((a, b)) => format!("text: upstream {a:?}, skiff {b:?}"),
        None => {
            format!("text: upstream has {} lines, skiff {}", theirs.lines().count(), ours.lines().count())
        }
    })
}

fn mask(value: &mut Value, key: &str) {
    match value {
        Value::Object(fields) => {
            if fields.contains_key("columnDefinitions") {
                mask_ages(fields);
            }
            // The name of a pod's own volume is also a key of its managed fields.
            let random = |key: &String| key.contains("kube-api-access-");
            if fields.keys().any(random) {
                *fields =
                    std::mem::take(fields).into_iter().map(|(key, value)| (masked(&key), value)).collect();
            }
            for (key, value) in fields {
                mask(value, key);
                if matches!(key.as_str(), "resourceRules" | "nonResourceRules") {
                    unorder(value);
                }
                if key == "managedFields" {
                    by_manager(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, key)),
        Value::String(text) => {
            *text = match key {
                "resourceVersion" if !text.is_empty() => "RV".into(),
                "continue" => "CONTINUE".into(),
                _ => masked(text),
            }
        }
        Value::Number(_) if matches!(key, "nodePort" | "healthCheckNodePort" | "remainingItemCount") => {
            *value = 1.into()
        }
        _ => {}
    }
}

/// The rules of a SelfSubjectRulesReview: upstream's come as a map gives them.
fn unorder(rules: &mut Value) {
    if let Value::Array(rules) = rules {
        rules.sort_by_key(Value::to_string);
    }
}

/// Managers stand by time, and which of two came first is the clock's: each under what it is told by, so that one that the other
/// side has not is one difference.
fn by_manager(managers: &mut Value) {
    let Value::Array(list) = managers else { return };
    let name = |one: &Value| {
        let fields = ["operation", "manager", "subresource", "apiVersion"];
        let texts = fields.map(|field| one[field].as_str().unwrap_or_default().to_string());
        texts.iter().filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>().join(" ")
    };
    let named: serde_json::Map<_, _> = list.iter().map(|one| (name(one), one.clone())).collect();
    if named.len() == list.len() {
        *managers = Value::Object(named);
    }
}

/// Ages stand in columns of their own.
fn mask_ages(table: &mut serde_json::Map<String, Value>) {
    let is_age = |column: &Value| {
        matches!(column["name"].as_str(), Some("Age" | "Last Seen" | "First Seen" | "Duration" | "TimeAdded"))
    };
    let columns = table.get("columnDefinitions").and_then(Value::as_array).cloned().unwrap_or_default();
    for row in table.get_mut("rows").and_then(Value::as_array_mut).into_iter().flatten() {
        for (cell, _) in row["cells"]
            .as_array_mut()
            .into_iter()
            .flatten()
            .zip(&columns)
            .filter(|(_, column)| is_age(column))
        {
            if let Value::String(text) = cell
                && text.ends_with(|last: char| "smhdy".contains(last))
                && text.starts_with(|first: char| first.is_ascii_digit())
            {
                *text = "AGE".into();
            }
        }
    }
}

/// A text without uids, times of this year and addresses of the Services' network.
fn masked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut at = 0;
    while at < bytes.len() {
        if out.ends_with("odePort: ") && bytes[at].is_ascii_digit() {
            out.push_str("NODE-PORT");
            at += bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        } else if out.ends_with("resourceVersion: \"") && bytes[at].is_ascii_digit() {
            out.push_str("RV");
            at += bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        } else if let Some(len) = uid(&bytes[at..]) {
            out.push_str("UID");
            at += len;
        } else if out.ends_with("kube-api-access-") {
            out.push_str("RANDOM");
            at += bytes[at..].iter().take(5).take_while(|byte| byte.is_ascii_alphanumeric()).count().max(1);
        } else if let Some(len) = time(&bytes[at..]) {
            out.push_str("TIME");
            at += len;
        } else if let Some(len) = node_port(&out, &bytes[at..]) {
            out.push_str("NODE-PORT");
            at += len;
        } else if let Some(len) = address(&bytes[at..]) {
            out.push_str("CLUSTER-IP");
            at += len;
        } else {
            let next = text[at..].chars().next().map_or(1, char::len_utf8);
            out.push_str(&text[at..at + next]);
            at += next;
        }
    }
    out
}

fn uid(bytes: &[u8]) -> Option<usize> {
    let form = bytes.get(..36)?;
    let good = form.iter().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    good.then_some(36)
}

fn time(bytes: &[u8]) -> Option<usize> {
    let form = bytes.get(..20)?;
    let shape = form.iter().zip(b"0000-00-00T00:00:00").all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        other => byte == other,
    });
    let year: u32 = std::str::from_utf8(form.get(..4)?).ok()?.parse().ok()?;
    if !shape || year < 2025 {
        return None;
    }
    let rest = bytes[19..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    (bytes.get(19 + rest) == Some(&b'Z')).then_some(20 + rest)
}

/// `80:31234/TCP` of a Table.
fn node_port(before: &str, bytes: &[u8]) -> Option<usize> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (before.ends_with(':') && digits == 5 && bytes[0] == b'3' && bytes.get(5) == Some(&b'/')).then_some(5)
}

fn address(bytes: &[u8]) -> Option<usize> {
    let rest = bytes.strip_prefix(b"10.43.")?;
    let len = rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    (len >= 3).then_some(6 + len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(code: u16, body: Value) -> Answer {
        Answer {
            code,
            content: "application/json".into(),
            warnings: Vec::new(),
            body: body.to_string().into_bytes(),
        }
    }

    #[test]
    fn uids_and_times_are_no_difference() {
        let with = |uid: &str, time: &str, revision: &str| {
            answer(
                200,
                json!({"metadata": {"uid": uid, "creationTimestamp": time, "resourceVersion": revision}}),
            )
        };
        let a = with("0f1e2d3c-0000-4000-8000-00000000000a", "2026-01-02T03:04:05Z", "7");
        let b = with("1f1e2d3c-0000-4000-8000-00000000000b", "2026-01-02T03:04:06Z", "9");
        assert!(lines(&a, &b).is_empty());
    }

    #[test]
    fn names_what_differs() {
        let cause = |text: &str| {
            let cause =
                json!({"reason": "FieldValueInvalid", "field": "spec.ports[0].port", "message": text});
            answer(422, json!({"details": {"causes": [cause]}}))
        };
        assert!(
            lines(&cause("Invalid value: {\"A\":1}: no"), &cause("Invalid value: {\"a\":1}: no")).is_empty()
        );
        assert_eq!(
            lines(&cause("Invalid value: 0: no"), &answer(201, json!({}))),
            ["- FieldValueInvalid spec.ports[].port: Invalid value: 0: no"]
        );
        let body = |text: &str| answer(200, json!({"spec": {"a": text}}));
        assert_eq!(lines(&body("x"), &body("y")), [".spec.a: upstream \"x\", skiff \"y\""]);
    }
}
