//! JSON that go-yaml 3 reads to the same value: for that it need not be read as YAML, which takes longer.

use std::fmt;

use api::{Map, Value};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use smol_str::SmolStr;

/// The object that a text is; none if it is no JSON, has fractions, or is refused as YAML: a key twice, escapes that it does not know.
pub(super) fn object(text: &str) -> Option<Value> {
    let foreign =
        || text.match_indices('\\').any(|(at, _)| matches!(text.as_bytes().get(at + 1), Some(b'/' | b'u')));
    // Nor does it take tabs at the ends of a text.
    let ends = text.starts_with('{') && text.trim_end_matches([' ', '\n']).ends_with('}');
    if !ends || foreign() {
        return None;
    }
    serde_json::from_str::<Once>(text).ok().map(|once| once.0)
}

/// A value with no key twice in a map.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Once, D::Error> {
        from.deserialize_any(Tree)
    }
}

struct Tree;

impl<'de> Visitor<'de> for Tree {
    type Value = Once;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Once, E> {
        Ok(Once(Value::Null))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Once, E> {
        Ok(Once(Value::Bool(flag)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Once, E> {
        Ok(Once(Value::Int(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Once, E> {
        Ok(Once(i64::try_from(number).map_or(Value::Float(number as f64), Value::Int)))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Once, E> {
        // The reader of JSON may miss the nearest one in its last digit; that of YAML does not.
        Err(E::custom("a number with a fraction or an exponent"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Once, E> {
        Ok(Once(Value::String(text.into())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Once, A::Error> {
        let mut items = Vec::new();
        while let Some(Once(item)) = list.next_element()? {
            items.push(item);
        }
        Ok(Once(Value::Array(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Once, A::Error> {
        let mut map = Map::new();
        while let Some((key, Once(value))) = fields.next_entry::<SmolStr, Once>()? {
            if map.insert(key, value).is_some() {
                return Err(A::Error::custom("a key is twice in a map"));
            }
        }
        Ok(Once(Value::Object(map)))
    }
}
