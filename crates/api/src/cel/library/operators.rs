//! Operators of CEL's language definition.

use std::sync::Arc;

use super::Out;
use crate::cel::value::{Val, same_keys};
use crate::schema::ListType;

pub(super) fn call<'a>(function: &str, args: &[Val<'a>]) -> Option<Out<'a>> {
    use Val as V;
    let overflow = |what: &str| Err(format!("{what} overflow"));
    Some(match (function, args) {
        ("_==_", [one, other]) => Ok(V::Bool(one.equals(other))),
        ("_!=_", [one, other]) => Ok(V::Bool(!one.equals(other))),
        ("_<_" | "_<=_" | "_>_" | "_>=_", [one, other]) => match one.order(other) {
            Some(order) => Ok(V::Bool(match function {
                "_<_" => order.is_lt(),
                "_<=_" => order.is_le(),
                "_>_" => order.is_gt(),
                _ => order.is_ge(),
            })),
            // NaN has no order to anything.
            None if matches!(one, V::Double(_)) || matches!(other, V::Double(_)) => {
                let number = |value: &V<'_>| matches!(value, V::Int(_) | V::Uint(_) | V::Double(_));
                if !(number(one) && number(other)) {
                    return None;
                }
                Ok(V::Bool(false))
            }
            None => return None,
        },
        ("!_", [V::Bool(flag)]) => Ok(V::Bool(!flag)),
        ("-_", [V::Int(number)]) => {
            number.checked_neg().map_or_else(|| overflow("integer"), |n| Ok(V::Int(n)))
        }
        ("-_", [V::Double(number)]) => Ok(V::Double(-number)),
        ("_+_", [V::Int(one), V::Int(other)]) => {
            one.checked_add(*other).map_or_else(|| overflow("integer"), |number| Ok(V::Int(number)))
        }
        ("_-_", [V::Int(one), V::Int(other)]) => {
            one.checked_sub(*other).map_or_else(|| overflow("integer"), |number| Ok(V::Int(number)))
        }
        ("_*_", [V::Int(one), V::Int(other)]) => {
            one.checked_mul(*other).map_or_else(|| overflow("integer"), |number| Ok(V::Int(number)))
        }
        ("_/_", [V::Int(_), V::Int(0)]) | ("_/_", [V::Uint(_), V::Uint(0)]) => Err("division by zero".into()),
        ("_%_", [V::Int(_), V::Int(0)]) | ("_%_", [V::Uint(_), V::Uint(0)]) => Err("modulus by zero".into()),
        ("_/_", [V::Int(one), V::Int(other)]) => {
            one.checked_div(*other).map_or_else(|| overflow("integer"), |number| Ok(V::Int(number)))
        }
        ("_%_", [V::Int(one), V::Int(other)]) => {
            one.checked_rem(*other).map_or_else(|| overflow("integer"), |number| Ok(V::Int(number)))
        }
        ("_+_", [V::Uint(one), V::Uint(other)]) => {
            one.checked_add(*other).map_or_else(|| overflow("unsigned integer"), |number| Ok(V::Uint(number)))
        }
        ("_-_", [V::Uint(one), V::Uint(other)]) => {
            one.checked_sub(*other).map_or_else(|| overflow("unsigned integer"), |number| Ok(V::Uint(number)))
        }
        ("_*_", [V::Uint(one), V::Uint(other)]) => {
            one.checked_mul(*other).map_or_else(|| overflow("unsigned integer"), |number| Ok(V::Uint(number)))
        }
        ("_/_", [V::Uint(one), V::Uint(other)]) => Ok(V::Uint(one / other)),
        ("_%_", [V::Uint(one), V::Uint(other)]) => Ok(V::Uint(one % other)),
        ("_+_", [V::Double(one), V::Double(other)]) => Ok(V::Double(one + other)),
        ("_-_", [V::Double(one), V::Double(other)]) => Ok(V::Double(one - other)),
        ("_*_", [V::Double(one), V::Double(other)]) => Ok(V::Double(one * other)),
        ("_/_", [V::Double(one), V::Double(other)]) => Ok(V::Double(one / other)),
        ("_+_", [V::String(one), V::String(other)]) => Ok(V::text(format!("{one}{other}"))),
        ("_+_", [V::Bytes(one), V::Bytes(other)]) => Ok(V::Bytes([&one[..], &other[..]].concat().into())),
        ("_+_", [V::Duration(one), V::Duration(other)]) => {
            one.checked_add(*other).map_or_else(|| overflow("duration"), |nanos| Ok(V::Duration(nanos)))
        }
        ("_-_", [V::Duration(one), V::Duration(other)]) => {
            one.checked_sub(*other).map_or_else(|| overflow("duration"), |nanos| Ok(V::Duration(nanos)))
        }
        ("_+_", [V::Timestamp(time), V::Duration(nanos)] | [V::Duration(nanos), V::Timestamp(time)]) => {
            Ok(V::Timestamp(time + i128::from(*nanos)))
        }
        ("_-_", [V::Timestamp(time), V::Duration(nanos)]) => Ok(V::Timestamp(time - i128::from(*nanos))),
        ("_-_", [V::Timestamp(one), V::Timestamp(other)]) => {
            i64::try_from(one - other).map_or_else(|_| overflow("duration"), |nanos| Ok(V::Duration(nanos)))
        }
        ("_+_", [one, other]) => join(one, other)?,
        ("@in", [value, range]) => match (range.items(), range) {
            (Some(items), _) => Ok(V::Bool(items.iter().any(|item| item.equals(value)))),
            (None, range) => match (range.entries(), value) {
                (Some(_), V::String(key)) => Ok(V::Bool(range.field(key).is_some())),
                (Some(entries), value) => Ok(V::Bool(entries.iter().any(|(key, _)| key.equals(value)))),
                (None, _) => return None,
            },
        },
        ("_[_]", [V::Optional(inner), key]) => {
            Ok(V::maybe(inner.as_ref().and_then(|inner| at(inner, key).ok())))
        }
        ("_[?_]", [V::Optional(inner), key]) => {
            Ok(V::maybe(inner.as_ref().and_then(|inner| at(inner, key).ok())))
        }
        ("_[_]", [range, key]) => at(range, key),
        ("_[?_]", [range, key]) => Ok(V::maybe(at(range, key).ok())),
        ("type", [value]) => Ok(V::Type(value.type_name())),
        ("dyn", [value]) => Ok(value.clone()),
        ("size", [V::String(_) | V::Bytes(_) | V::List(_) | V::Map(_) | V::Tree(..)]) => {
            Ok(V::Int(args[0].size() as i64))
        }
        ("optional.of", [value]) => Ok(V::some(value.clone())),
        ("optional.none", []) => Ok(V::Optional(None)),
        ("optional.ofNonZeroValue", [value]) => Ok(match zero(value) {
            true => V::Optional(None),
            false => V::some(value.clone()),
        }),
        ("hasValue", [V::Optional(inner)]) => Ok(V::Bool(inner.is_some())),
        ("value", [V::Optional(inner)]) => match inner {
            Some(inner) => Ok((**inner).clone()),
            None => Err("optional.none() dereference".into()),
        },
        _ => return None,
    })
}

fn zero(value: &Val<'_>) -> bool {
    match value {
        Val::Null => true,
        Val::Bool(flag) => !flag,
        Val::Int(number) => *number == 0,
        Val::Uint(number) => *number == 0,
        Val::Double(number) => *number == 0.0,
        Val::Duration(nanos) => *nanos == 0,
        Val::String(_) | Val::Bytes(_) | Val::List(_) | Val::Map(_) | Val::Tree(..) => value.size() == 0,
        _ => false,
    }
}

fn at<'a>(range: &Val<'a>, key: &Val<'a>) -> Out<'a> {
    if let Some(items) = range.items() {
        let place = match key {
            Val::Int(place) => *place,
            Val::Uint(place) => i64::try_from(*place).unwrap_or(i64::MAX),
            Val::Double(place) if place.fract() == 0.0 => *place as i64,
            _ => return Err(format!("unsupported index type '{}' in list", key.type_name())),
        };
        let found = usize::try_from(place).ok().and_then(|place| items.get(place).cloned());
        return found.ok_or_else(|| format!("index out of bounds: {place}"));
    }
    let entries = range.entries().ok_or("no such overload")?;
    let found = entries.into_iter().find(|(own, _)| own.equals(key)).map(|(_, value)| value);
    found.ok_or_else(|| format!("no such key: {}", super::show(key)))
}

/// Lists one after the other; sets and maps of a schema are merged (k8s.io/apiserver/pkg/cel/common/values.go).
fn join<'a>(one: &Val<'a>, other: &Val<'a>) -> Option<Out<'a>> {
    let (mut all, more) = (one.items()?, other.items()?);
    match one.list_type() {
        Some(ListType::Set) => {
            for item in more {
                if !all.iter().any(|own| own.equals(&item)) {
                    all.push(item);
                }
            }
        }
        Some(ListType::Map) => {
            let keys = one.map_keys().unwrap_or_default();
            for item in more {
                match all.iter_mut().find(|own| same_keys(own, &item, keys)) {
                    Some(own) => *own = item,
                    None => all.push(item),
                }
            }
        }
        _ => all.extend(more),
    }
    Some(Ok(Val::List(Arc::new(all))))
}
