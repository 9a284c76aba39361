//! Lists.

use super::{Done, Entries, NIL_POINTER, empty, int};
use crate::go::value::{List, ListType};
use crate::go::{Value, cast};
use crate::template::{Function, function};

pub fn all() -> Entries {
    let mut all: Entries = vec![
        ("list", function("a*", |_, a| Ok(Value::list(a.to_vec())))),
        ("tuple", function("a*", |_, a| Ok(Value::list(a.to_vec())))),
        (
            "concat",
            function("a*", |frame, a| {
                let mut out = Vec::new();
                for list in a {
                    let Some(items) = list.elements() else {
                        return Err(match list {
                            Value::Nil => NIL_POINTER.into(),
                            other => format!("Cannot concat type {} as list", other.kind()),
                        });
                    };
                    frame.exec.step(items.len() as u64)?;
                    out.extend_from_slice(&items);
                }
                // Nothing was ever appended to a nil slice.
                Ok(if out.is_empty() { Value::nil_list() } else { Value::list(out) })
            }),
        ),
    ];
    let pairs: [(&str, &str, fn() -> Function); 14] = [
        ("append", "mustAppend", || function("aa", push)),
        ("push", "mustPush", || function("aa", push)),
        ("prepend", "mustPrepend", || function("aa", prepend)),
        ("first", "mustFirst", || {
            function("a", |_, a| Ok(items(&a[0], "find first on")?.first().cloned().unwrap_or(Value::Nil)))
        }),
        ("rest", "mustRest", || {
            function("a", |_, a| {
                let items = items(&a[0], "find rest on")?;
                Ok(if items.is_empty() { Value::nil_list() } else { Value::list(items[1..].to_vec()) })
            })
        }),
        ("last", "mustLast", || {
            function("a", |_, a| Ok(items(&a[0], "find last on")?.last().cloned().unwrap_or(Value::Nil)))
        }),
        ("initial", "mustInitial", || {
            function("a", |_, a| {
                let items = items(&a[0], "find initial on")?;
                Ok(match items.split_last() {
                    None => Value::nil_list(),
                    Some((_, before)) => Value::list(before.to_vec()),
                })
            })
        }),
        ("reverse", "mustReverse", || {
            function("a", |_, a| {
                let mut items = items(&a[0], "find reverse on")?;
                items.reverse();
                Ok(Value::list(items))
            })
        }),
        ("compact", "mustCompact", || {
            function("a", |_, a| {
                let mut items = items(&a[0], "compact on")?;
                items.retain(|item| !empty(item));
                Ok(Value::list(items))
            })
        }),
        ("uniq", "mustUniq", || {
            function("a", |frame, a| {
                let items = items(&a[0], "find uniq on")?;
                let mut out: Vec<Value> = Vec::new();
                for item in items {
                    frame.exec.step(out.len() as u64)?;
                    if !out.iter().any(|other| other.deep_equal(&item)) {
                        out.push(item);
                    }
                }
                Ok(Value::list(out))
            })
        }),
        ("without", "mustWithout", || {
            function("aa*", |frame, a| {
                let mut items = items(&a[0], "find without on")?;
                frame.exec.step(items.len() as u64 * a.len() as u64)?;
                items.retain(|item| !a[1..].iter().any(|other| other.deep_equal(item)));
                Ok(Value::list(items))
            })
        }),
        ("has", "mustHas", || {
            function("aa", |_, a| {
                if matches!(a[1], Value::Nil) {
                    return Ok(Value::Bool(false));
                }
                let items = items(&a[1], "find has on")?;
                Ok(Value::Bool(items.iter().any(|item| item.deep_equal(&a[0]))))
            })
        }),
        ("slice", "mustSlice", || function("aa*", slice)),
        ("chunk", "mustChunk", || function("ia", chunk)),
    ];
    for (name, must, make) in pairs {
        all.push((name, make()));
        all.push((must, make()));
    }
    all
}

type Frame<'e, 'w> = crate::template::Frame<'e, 'w>;

/// The elements of a slice; `verb` is what upstream's error says cannot be done.
fn items(value: &Value, verb: &str) -> Result<Vec<Value>, String> {
    match value.elements() {
        Some(items) => Ok(items.into_owned()),
        None if matches!(value, Value::Nil) => Err(NIL_POINTER.into()),
        None => Err(format!("Cannot {verb} type {}", value.kind())),
    }
}

fn push(frame: &Frame<'_, '_>, args: &[Value]) -> Done {
    let mut list = items(&args[0], "push on")?;
    frame.exec.step(list.len() as u64 / 8)?;
    list.push(args[1].clone());
    Ok(Value::list(list))
}

fn prepend(frame: &Frame<'_, '_>, args: &[Value]) -> Done {
    let mut list = items(&args[0], "prepend on")?;
    frame.exec.step(list.len() as u64 / 8)?;
    list.insert(0, args[1].clone());
    Ok(Value::list(list))
}

fn slice(_: &Frame<'_, '_>, args: &[Value]) -> Done {
    let length = match &args[0] {
        Value::Nil => return Err(NIL_POINTER.into()),
        other => match other.elements() {
            Some(items) => items.len() as i64,
            None => return Err(format!("list should be type of slice or array but {}", other.kind())),
        },
    };
    if length == 0 {
        return Ok(Value::Nil);
    }
    let start = args.get(1).map_or(0, cast::to_int64);
    let end = args.get(2).map_or(length, cast::to_int64);
    if start < 0 || end < start || end > length {
        return Err("reflect.Value.Slice: slice index out of bounds".into());
    }
    let range = start as usize..end as usize;
    Ok(match &args[0] {
        Value::List(list) => Value::List(List::new(list.ty, list.as_slice()[range].to_vec())),
        Value::Bytes(bytes) => Value::Bytes(bytes.bytes()[range].into()),
        other => other.clone(),
    })
}

fn chunk(_: &Frame<'_, '_>, args: &[Value]) -> Done {
    let size = int(args, 0);
    let items = match args[1].elements() {
        Some(items) => items.into_owned(),
        None if matches!(args[1], Value::Nil) => return Err(NIL_POINTER.into()),
        None => return Err(format!("Cannot chunk type {}", args[1].kind())),
    };
    let count = ((items.len() as f64 - 1.0) / size as f64).floor() + 1.0;
    if !(0.0..=1e9).contains(&count) || size < 0 && count > 0.0 && items.len() != 1 {
        return Err("runtime error: makeslice: len out of range".into());
    }
    if count == 0.0 {
        return Ok(Value::List(List::new(ListType::Lists, Vec::new())));
    }
    let chunks =
        items.chunks(size.unsigned_abs() as usize).map(|chunk| Value::list(chunk.to_vec())).collect();
    Ok(Value::List(List::new(ListType::Lists, chunks)))
}
