//! Making an [`Object`]: one scan over the stored text finds all that the header holds, one copy fills the revision in.
//!
//! No tree is made. What is missing in the text is as Go's zero value: a selectable field that is a bool reads `false`.

use std::ops::Range;

use bytes::Bytes;
use smol_str::{SmolStr, ToSmolStr};

use super::{Object, Owner};
use crate::json::scan::Scan;
use crate::{Key, Kind, Revision, Uid, Value, json};

/// A text that is no object of its kind.
#[derive(Debug, thiserror::Error)]
#[error("{key} does not hold a JSON object with metadata: {problem}")]
pub struct Error {
    pub key: Key,
    pub problem: &'static str,
}

/// The bytes that the store keeps of a value: compact JSON without `metadata.resourceVersion`.
pub fn stored(value: &Value) -> Vec<u8> {
    let Some(metadata) = value.get("metadata").and_then(Value::as_map) else { return json::to_vec(value) };
    if !metadata.contains_key("resourceVersion") {
        return json::to_vec(value);
    }
    let mut out = Vec::with_capacity(1024);
    out.push(b'{');
    for (at, (key, field)) in value.as_map().into_iter().flat_map(|map| map.iter()).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        json::write_string(key, &mut out);
        out.push(b':');
        if key != "metadata" {
            json::write(field, &mut out);
            continue;
        }
        out.push(b'{');
        for (at, (key, field)) in metadata.iter().filter(|(key, _)| *key != "resourceVersion").enumerate() {
            if at > 0 {
                out.push(b',');
            }
            json::write_string(key, &mut out);
            out.push(b':');
            json::write(field, &mut out);
        }
        out.push(b'}');
    }
    out.push(b'}');
    out
}

/// What the scan found, in places of the stored text.
#[derive(Default)]
struct Found<'a> {
    uid: SmolStr,
    labels: Vec<(SmolStr, SmolStr)>,
    owners: Vec<Owner>,
    fields: Vec<Option<SmolStr>>,
    deleting: bool,
    prefix: usize,
    managed: Range<usize>,
    /// Where the revision goes: in the place of these bytes, with a comma before or after it.
    splice: Option<(Range<usize>, &'static str, &'static str)>,
    wanted: Vec<&'a str>,
}

impl Object {
    /// The object of a value in the storage version; the key is made of its name and namespace.
    pub fn from_value(kind: &Kind, value: &Value, revision: Revision) -> Result<Object, Error> {
        let key = Key::new(
            &kind.resource,
            value.str_at(&["metadata", "namespace"]),
            value.str_at(&["metadata", "name"]),
        );
        Object::from_stored(kind, &stored(value), key, revision)
    }

    /// The object of a stored value: JSON of the storage version with `kind` and `apiVersion` first and without
    /// `metadata.resourceVersion`, which becomes `revision`.
    pub fn from_stored(kind: &Kind, stored: &[u8], key: Key, revision: Revision) -> Result<Object, Error> {
        let mut found = Found {
            // A path may be two, `a|b`: the first that is not empty counts.
            wanted: kind.fields.iter().flat_map(|field| field.path.split('|')).collect(),
            ..Found::default()
        };
        found.fields.resize(found.wanted.len(), None);
        if found.top(stored).is_none() {
            return Err(Error { key, problem: "it ends or breaks off" });
        }
        let Some((gap, before, after)) = found.splice.clone() else {
            return Err(Error { key, problem: "there is no metadata" });
        };
        if u32::try_from(stored.len() + 64).is_err() {
            return Err(Error { key, problem: "it is larger than 4 GiB" });
        }
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(revision.0);
        let mut buffer = Vec::with_capacity(stored.len() + digits.len() + 24);
        buffer.extend_from_slice(&stored[..gap.start]);
        for part in [before, "\"resourceVersion\":\"", digits, "\"", after] {
            buffer.extend_from_slice(part.as_bytes());
        }
        let grown = buffer.len() - gap.start - gap.len();
        buffer.extend_from_slice(&stored[gap.end..]);
        let moved = |at: usize| (if at >= gap.start { at + grown } else { at }) as u32;
        let managed_fields = if found.managed.is_empty() {
            0..0
        } else {
            moved(found.managed.start)..moved(found.managed.end)
        };
        found.owners.sort_by_key(|owner| !owner.controller);
        let mut values = found.fields.into_iter();
        let fields = kind.fields.iter().map(|field| {
            let alternatives = values.by_ref().take(field.path.split('|').count());
            let first =
                alternatives.fold(None, |first, value| first.or(value.filter(|text| !text.is_empty())));
            first.unwrap_or_else(|| SmolStr::new_static(field.zero))
        });
        let fields = fields.collect();
        Ok(Object {
            key,
            uid: Uid(found.uid),
            revision,
            labels: found.labels.into_boxed_slice(),
            owners: found.owners.into_boxed_slice(),
            fields,
            deleting: found.deleting,
            prefix: u16::try_from(found.prefix).unwrap_or(0),
            managed_fields,
            json: Bytes::from(buffer),
        })
    }

    /// The store holds exactly `stored` of this object: its own JSON without the revision.
    pub fn is_stored_as(&self, stored: &[u8]) -> bool {
        let revision = format!("\"resourceVersion\":\"{}\"", self.revision);
        let json = &self.json[..];
        // No string holds it: quotes in strings are escaped. Metadata comes first, so that it is found soon.
        let Some(at) = json.windows(revision.len()).position(|part| part == revision.as_bytes()) else {
            return json == stored;
        };
        let (mut start, mut end) = (at, at + revision.len());
        match (json.get(end), json.get(start.wrapping_sub(1))) {
            (Some(b','), _) => end += 1,
            (_, Some(b',')) => start -= 1,
            _ => {}
        }
        let (head, tail) = (&json[..start], &json[end..]);
        stored.len() == head.len() + tail.len() && stored.starts_with(head) && stored.ends_with(tail)
    }

    /// The object as a tree, with its revision.
    pub fn value(&self) -> Value {
        json::parse(&self.json).expect("because the buffer was scanned when it was made")
    }

    /// The JSON in two pieces that leave `managedFields` out, for those who decode it to read.
    pub fn without_managed_fields(&self) -> [&[u8]; 2] {
        let Range { start, end } = self.managed_fields;
        [&self.json[..start as usize], &self.json[end as usize..]]
    }

    /// What follows `{` in a list of typed items: the JSON without kind and apiVersion.
    pub fn after_prefix(&self) -> &[u8] {
        &self.json[usize::from(self.prefix).max(1)..]
    }

    pub fn namespace(&self) -> &str {
        self.key.namespace()
    }
    pub fn name(&self) -> &str {
        self.key.name()
    }
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl<'a> Found<'a> {
    fn top(&mut self, text: &[u8]) -> Option<()> {
        let mut scan = Scan::new(text);
        let mut count = 0;
        let mut types = 0;
        scan.object(|scan, key| {
            count += 1;
            match key {
                b"kind" | b"apiVersion" => {
                    types += 1;
                    scan.skip()?;
                    if types == 2 && count == 2 && scan.peek() == Some(b',') {
                        self.prefix = scan.at + 1;
                    }
                    Some(())
                }
                b"metadata" => self.metadata(scan),
                _ => {
                    let inside: Vec<(usize, &str)> = self
                        .wanted
                        .iter()
                        .enumerate()
                        .filter_map(|(at, path)| Some((at, under(path, key)?)))
                        .collect();
                    self.selectable(scan, &inside)
                }
            }
        })?;
        scan.peek().is_none().then_some(())
    }

    /// Reads the wanted fields below the value that is next; `wanted` holds the rest of each path.
    fn selectable(&mut self, scan: &mut Scan<'_>, wanted: &[(usize, &str)]) -> Option<()> {
        if wanted.is_empty() {
            scan.skip()?;
            return Some(());
        }
        if scan.peek()? != b'{' {
            let value = scalar(scan.skip()?);
            for (at, rest) in wanted {
                if rest.is_empty() {
                    self.fields[*at] = value.clone();
                }
            }
            return Some(());
        }
        scan.object(|scan, key| {
            let inside: Vec<(usize, &str)> =
                wanted.iter().filter_map(|(at, rest)| Some((*at, under(rest, key)?))).collect();
            self.selectable(scan, &inside)
        })
    }

    fn metadata(&mut self, scan: &mut Scan<'_>) -> Option<()> {
        if scan.peek()? != b'{' {
            scan.skip()?;
            return Some(());
        }
        let mut start = scan.at + 1;
        let mut fields = 0;
        scan.object(|scan, key| {
            // `start` is behind the brace or the comma before this field.
            let begin = start;
            fields += 1;
            match key {
                b"name" | b"generateName" | b"namespace" | b"selfLink" => drop(scan.skip()?),
                b"uid" => self.uid = scalar(scan.skip()?)?,
                b"resourceVersion" => {
                    scan.skip()?;
                    self.splice = Some((begin..scan.at, "", ""));
                }
                _ => {
                    if self.splice.is_none() {
                        self.splice = Some((begin..begin, "", ","));
                    }
                    match key {
                        b"labels" => self.labels(scan)?,
                        b"ownerReferences" => self.owners(scan)?,
                        b"deletionTimestamp" => self.deleting = scan.skip()? != b"null",
                        b"managedFields" => {
                            scan.skip()?;
                            let end = scan.at;
                            self.managed = if fields > 1 {
                                begin - 1..end
                            } else {
                                begin..end + usize::from(scan.peek() == Some(b','))
                            };
                        }
                        _ => drop(scan.skip()?),
                    }
                }
            }
            scan.peek();
            start = scan.at + 1;
            Some(())
        })?;
        if self.splice.is_none() {
            // Behind the last field, before the closing brace.
            let end = scan.at - 1;
            self.splice = Some((end..end, if fields > 0 { "," } else { "" }, ""));
        }
        Some(())
    }

    fn labels(&mut self, scan: &mut Scan<'_>) -> Option<()> {
        if scan.peek()? != b'{' {
            scan.skip()?;
            return Some(());
        }
        scan.object(|scan, key| {
            let value = scalar(scan.skip()?)?;
            self.labels.push((unescape(key), value));
            Some(())
        })
    }

    fn owners(&mut self, scan: &mut Scan<'_>) -> Option<()> {
        if scan.peek()? != b'[' {
            scan.skip()?;
            return Some(());
        }
        scan.array(|scan| {
            let mut owner = Owner { uid: Uid::default(), controller: false };
            scan.object(|scan, key| {
                let value = scan.skip()?;
                match key {
                    b"uid" => owner.uid = Uid(scalar(value)?),
                    b"controller" => owner.controller = value == b"true",
                    _ => {}
                }
                Some(())
            })?;
            self.owners.push(owner);
            Some(())
        })
    }
}

/// The rest of a dotted path below `key`; `None`: the path leads elsewhere.
fn under<'p>(path: &'p str, key: &[u8]) -> Option<&'p str> {
    let rest = path.as_bytes().strip_prefix(key)?;
    match rest.first() {
        None => Some(""),
        Some(b'.') => path.get(key.len() + 1..),
        Some(_) => None,
    }
}

/// The text of a scalar: a string without quotes, a number or bool as written; nothing of the rest.
fn scalar(raw: &[u8]) -> Option<SmolStr> {
    match raw {
        [b'"', inside @ .., b'"'] => Some(unescape(inside)),
        b"null" => Some(SmolStr::default()),
        [b'{' | b'[', ..] => Some(SmolStr::default()),
        plain => Some(std::str::from_utf8(plain).ok()?.to_smolstr()),
    }
}

fn unescape(raw: &[u8]) -> SmolStr {
    if !raw.contains(&b'\\') {
        return String::from_utf8_lossy(raw).into();
    }
    let mut quoted = Vec::with_capacity(raw.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(raw);
    quoted.push(b'"');
    match json::parse(&quoted) {
        Ok(Value::String(text)) => text,
        _ => String::from_utf8_lossy(raw).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods() -> std::sync::Arc<Kind> {
        let kinds = crate::kinds::builtin();
        kinds.resource("", "pods").expect("because pods are built in").clone()
    }

    fn check(stored: &str, json: &str) -> Object {
        let key: Key = "core/pods/d/a".parse().unwrap();
        let object = Object::from_stored(&pods(), stored.as_bytes(), key, Revision(42)).unwrap();
        assert_eq!(std::str::from_utf8(&object.json).unwrap(), json);
        if !stored.contains("resourceVersion") {
            assert!(object.is_stored_as(stored.as_bytes()));
            assert!(!object.is_stored_as(stored.replace("metadata", "metabasis").as_bytes()));
            assert!(!object.is_stored_as(format!("{stored} ").as_bytes()));
        }
        object
    }

    #[test]
    fn fills_the_header_and_the_revision() {
        let object = check(
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"d","uid":"u-1","labels":{"a":"\"b"},"deletionTimestamp":"x","ownerReferences":[{"uid":"1"},{"uid":"2","controller":true}],"managedFields":[{"a":"]"}]},"spec":{"nodeName":"n1","x":{"y":[1,{}]}},"status":{"phase":"Running"}}"#,
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"d","uid":"u-1","resourceVersion":"42","labels":{"a":"\"b"},"deletionTimestamp":"x","ownerReferences":[{"uid":"1"},{"uid":"2","controller":true}],"managedFields":[{"a":"]"}]},"spec":{"nodeName":"n1","x":{"y":[1,{}]}},"status":{"phase":"Running"}}"#,
        );
        assert_eq!(object.uid.0, "u-1");
        assert_eq!(object.label("a"), Some("\"b"));
        assert_eq!(object.owners[0], Owner { uid: Uid("2".into()), controller: true });
        let kind = pods();
        let field = |label: &str| {
            let at = kind.fields.iter().position(|field| field.label == label).unwrap();
            object.fields[at].as_str()
        };
        assert_eq!(field("spec.nodeName"), "n1");
        assert_eq!(field("spec.hostNetwork"), "false");
        assert_eq!(field("status.phase"), "Running");
        assert!(object.deleting);
        assert!(object.after_prefix().starts_with(b"\"metadata\":{"));
        let short = object.without_managed_fields().concat();
        assert!(String::from_utf8(short).unwrap().contains(r#""controller":true}]},"spec""#));
        assert_eq!(object.value().str_at(&["metadata", "resourceVersion"]), "42");
    }

    #[test]
    fn finds_the_place_of_the_revision() {
        check(r#"{"metadata":{}}"#, r#"{"metadata":{"resourceVersion":"42"}}"#);
        check(r#"{"metadata":{"name":"a"}}"#, r#"{"metadata":{"name":"a","resourceVersion":"42"}}"#);
        check(
            r#"{"metadata":{"name":"a","resourceVersion":"7","uid":"u"}}"#,
            r#"{"metadata":{"name":"a","resourceVersion":"42","uid":"u"}}"#,
        );
        let only = check(
            r#"{"metadata":{"managedFields":[1],"name":"a"}}"#,
            r#"{"metadata":{"resourceVersion":"42","managedFields":[1],"name":"a"}}"#,
        );
        assert_eq!(
            only.without_managed_fields().concat(),
            br#"{"metadata":{"resourceVersion":"42","name":"a"}}"#
        );
    }

    #[test]
    fn refuses_what_is_no_object() {
        let key: Key = "core/pods/d/a".parse().unwrap();
        for bad in ["", "{", "[]", "{}", r#"{"metadata":{"a":"#, r#"{"metadata":{}}x"#, r#"{"metadata":"a"}"#]
        {
            assert!(Object::from_stored(&pods(), bad.as_bytes(), key.clone(), Revision(1)).is_err(), "{bad}");
        }
    }

    #[test]
    fn makes_an_object_of_a_value() {
        let value =
            json::parse(br#"{"metadata":{"name":"a","namespace":"d","resourceVersion":"3"}}"#).unwrap();
        let object = Object::from_value(&pods(), &value, Revision(9)).unwrap();
        assert_eq!(object.key.as_str(), "core/pods/d/a");
        assert_eq!(&object.json[..], br#"{"metadata":{"name":"a","namespace":"d","resourceVersion":"9"}}"#);
    }
}
