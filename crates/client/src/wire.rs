//! From an API server's JSON to an [`Object`]: the bytes are kept, only the header is read.
//!
//! The server's JSON is compact and carries the revision, so the buffer is the answer's own text with `kind` and
//! `apiVersion` first; items of a list, which carry neither, get them. The store's side has its own way
//! (`api`), because its bytes carry no revision.

use std::sync::Arc;

use api::object::Owner;
use api::{Key, Object, Revision, Uid, Value};
use serde::Deserialize;
use serde_json::value::RawValue;
use smol_str::SmolStr;

use crate::cache::About;

#[derive(Debug, thiserror::Error)]
#[error("an object of {resource} cannot be read: {reason}")]
pub struct Error {
    resource: api::Resource,
    reason: String,
}

#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    name: SmolStr,
    #[serde(default)]
    namespace: SmolStr,
    #[serde(default)]
    uid: SmolStr,
    resource_version: SmolStr,
    #[serde(default)]
    deletion_timestamp: Option<SmolStr>,
    #[serde(default)]
    labels: Value,
    #[serde(default)]
    owner_references: Vec<Reference>,
    #[serde(borrow, default)]
    managed_fields: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Reference {
    uid: SmolStr,
    #[serde(default)]
    controller: Option<bool>,
}

/// Reads one object of a watch event, or one item of a list.
pub fn object(about: &About, text: &str) -> Result<Arc<Object>, Error> {
    let error = |reason: String| Error { resource: about.resource.clone(), reason };
    let prefix = format!("{{\"kind\":\"{}\",\"apiVersion\":\"{}\",", about.kind, about.api_version());
    let json = with_prefix(text.trim(), &prefix).ok_or_else(|| error("it is no JSON object".into()))?;
    let header: Header<'_> = serde_json::from_str(&json).map_err(|cause| error(cause.to_string()))?;
    let metadata = header.metadata;
    let revision = metadata
        .resource_version
        .parse()
        .map(Revision)
        .map_err(|_| error(format!("resourceVersion {:?} is no number", metadata.resource_version)))?;
    let managed_fields = metadata.managed_fields.map_or(0..0, |raw| cut(&json, raw.get()));
    let labels = metadata.labels.as_map().map_or_else(Box::default, |labels| {
        labels.iter().map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().into())).collect()
    });
    let mut owners: Vec<Owner> = metadata
        .owner_references
        .into_iter()
        .map(|owner| Owner { uid: Uid(owner.uid), controller: owner.controller == Some(true) })
        .collect();
    owners.sort_by_key(|owner| !owner.controller);
    Ok(Arc::new(Object {
        key: Key::new(&about.resource, &metadata.namespace, &metadata.name),
        uid: Uid(metadata.uid),
        revision,
        labels,
        owners: owners.into(),
        fields: fields(about, &json).map_err(|cause| error(cause.to_string()))?,
        deleting: metadata.deletion_timestamp.is_some(),
        prefix: prefix.len() as u16,
        managed_fields,
        json: json.into(),
    }))
}

/// `text` with exactly `prefix` before its other fields.
fn with_prefix(text: &str, prefix: &str) -> Option<String> {
    if text.starts_with(prefix) {
        return Some(text.to_string());
    }
    // Upstream writes `kind` and `apiVersion` of custom resources first too, but in the other order.
    #[derive(Deserialize)]
    struct Types<'a> {
        #[serde(borrow, default)]
        kind: Option<&'a RawValue>,
        #[serde(borrow, default, rename = "apiVersion")]
        api_version: Option<&'a RawValue>,
    }
    let mut rest = text.strip_prefix('{')?.to_string();
    let types: Types<'_> = serde_json::from_str(text).ok()?;
    for (name, value) in [("kind", types.kind), ("apiVersion", types.api_version)] {
        if let Some(value) = value {
            let field = format!("\"{name}\":{}", value.get());
            let at = rest.find(&field)?;
            let comma = rest[at + field.len()..].starts_with(',');
            rest.replace_range(at..at + field.len() + usize::from(comma), "");
        }
    }
    Some(format!("{prefix}{rest}"))
}

/// Where `"managedFields":<raw>` lies in `json`, with one comma.
fn cut(json: &str, raw: &str) -> std::ops::Range<u32> {
    const NAME: &str = "\"managedFields\":";
    let value = raw.as_ptr() as usize - json.as_ptr() as usize;
    let (mut start, mut end) = (value.saturating_sub(NAME.len()), value + raw.len());
    if json.get(start..value) != Some(NAME) {
        return 0..0; // not compact: nothing is cut
    }
    if json.as_bytes().get(start.wrapping_sub(1)) == Some(&b',') {
        start -= 1;
    } else if json.as_bytes().get(end) == Some(&b',') {
        end += 1;
    }
    start as u32..end as u32
}

fn fields(about: &About, json: &str) -> Result<Box<[SmolStr]>, serde_json::Error> {
    if about.paths.is_empty() {
        return Ok(Box::default());
    }
    let value: Value = serde_json::from_str(json)?;
    let read = |path: &SmolStr| {
        let found = path.split('.').try_fold(&value, |value, field| value.get(field));
        match found {
            None | Some(Value::Null) => SmolStr::default(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => SmolStr::from(other.to_string()),
        }
    };
    Ok(about.paths.iter().map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_header_and_keeps_the_bytes() {
        let about = crate::cache::tests::pods().about().clone();
        let body = r#""metadata":{"name":"a","namespace":"ns","uid":"u","resourceVersion":"7","labels":{"app":"web"},"ownerReferences":[{"uid":"x"},{"uid":"y","controller":true}],"managedFields":[{"manager":"m"}]},"spec":{"nodeName":"n1"}}"#;
        let whole = format!(r#"{{"kind":"Pod","apiVersion":"v1",{body}"#);
        for text in
            [whole.clone(), format!("{{{body}"), format!(r#"{{"apiVersion":"v1","kind":"Pod",{body}"#)]
        {
            let object = object(&about, &text).unwrap();
            assert_eq!(object.json, whole);
            assert_eq!(object.key.as_str(), "core/pods/ns/a");
            assert_eq!((object.revision.0, object.uid.0.as_str(), object.deleting), (7, "u", false));
            assert_eq!(object.owners[0].uid.0, "y");
            assert_eq!(object.fields[0], "n1");
            assert_eq!(object.labels[0], ("app".into(), "web".into()));
            assert_eq!(&whole[..usize::from(object.prefix)], r#"{"kind":"Pod","apiVersion":"v1","#);
            let range = object.managed_fields.start as usize..object.managed_fields.end as usize;
            assert_eq!(&whole[range], r#","managedFields":[{"manager":"m"}]"#);
        }
        assert!(super::object(&about, r#"{"metadata":{"name":"a"}}"#).is_err());
    }
}
