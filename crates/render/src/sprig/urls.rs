//! URLs.

use super::{Done, Entries, NIL_POINTER, text};
use crate::go::url::{self, Url};
use crate::go::{Map, Value};
use crate::template::{Frame, function};

pub fn all() -> Entries {
    vec![
        (
            "urlParse",
            function("s", |_, a| {
                let url = url::parse(&text(a, 0)).map_err(|error| format!("unable to parse url: {error}"))?;
                let hostname = url.hostname();
                Ok(Value::Map(Map::any([
                    ("scheme", Value::from(url.scheme)),
                    ("host", url.host.into()),
                    ("hostname", hostname.into()),
                    ("path", url.path.into()),
                    ("query", url.query.into()),
                    ("opaque", url.opaque.into()),
                    ("fragment", url.fragment.into()),
                    ("userinfo", url.user.unwrap_or_default().into()),
                ])))
            }),
        ),
        ("urlJoin", function("m", join)),
    ]
}

fn join(_: &Frame<'_, '_>, args: &[Value]) -> Done {
    let Value::Map(map) = &args[0] else { return Ok(Value::from("")) };
    let part = |key: &str| match map.get(key.as_bytes()) {
        None => Ok(String::new()),
        Some(Value::Str(text)) => Ok(text.text().into_owned()),
        Some(Value::Nil) => Err(NIL_POINTER.to_string()),
        Some(other) => {
            Err(format!("unable to parse {key} key, must be of type string, but {} found", other.kind()))
        }
    };
    let mut joined = Url {
        scheme: part("scheme")?,
        host: part("host")?,
        path: part("path")?,
        query: part("query")?,
        opaque: part("opaque")?,
        fragment: part("fragment")?,
        ..Url::default()
    };
    let user = part("userinfo")?;
    if !user.is_empty() {
        let parsed = url::parse(&format!("proto://{user}@host"))
            .map_err(|error| format!("unable to parse userinfo in dict: {error}"))?;
        joined.user = parsed.user;
    }
    Ok(joined.to_string().into())
}
