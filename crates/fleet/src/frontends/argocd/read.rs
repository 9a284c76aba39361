//! Small readers of the values that Argo CD's objects are made of.

use std::collections::BTreeMap;
use std::time::Duration;

use api::Value;

pub(crate) fn texts(value: Option<&Value>) -> BTreeMap<String, String> {
    let map = value.and_then(Value::as_map);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), Into::into);
    map.into_iter().flat_map(|map| map.iter()).map(|(key, value)| (key.to_string(), text(value))).collect()
}

pub(crate) fn strings(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.and_then(Value::as_array).unwrap_or_default().iter().filter_map(Value::as_str)
}

/// Go's durations: `1h30m`, `5s`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let nanos = api::time::duration::parse(text).ok()?;
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, seconds) in [
            ("5s", Some(5.0)),
            ("1m30s", Some(90.0)),
            ("3m", Some(180.0)),
            ("7", Some(7.0)),
            ("500ms", Some(0.5)),
            ("1.5h", Some(5400.0)),
            ("x", None),
            ("5", Some(5.0)),
            ("5x", None),
            ("", None),
        ] {
            assert_eq!(duration(text).map(|duration| duration.as_secs_f64()), seconds, "{text}");
        }
    }
}
