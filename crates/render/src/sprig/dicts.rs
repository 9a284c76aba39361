//! Dictionaries. They are shared: `set`, `unset` and `merge` change what others hold.

use std::rc::Rc;

use super::{Done, Entries, empty, str, strval};
use crate::go::semver::Version;
use crate::go::value::MapType;
use crate::go::{Map, Value};
use crate::template::{Frame, function};

pub fn all() -> Entries {
    vec![
        (
            "dict",
            function("a*", |_, a| {
                let out = Map::new(MapType::Any);
                for pair in a.chunks(2) {
                    out.put(strval(&pair[0]), pair.get(1).cloned().unwrap_or_else(|| Value::from("")));
                }
                Ok(Value::Map(out))
            }),
        ),
        (
            "get",
            function("ms", |_, a| Ok(map(a, 0).get(str(a, 1).bytes()).unwrap_or_else(|| Value::from("")))),
        ),
        (
            "set",
            function("msa", |_, a| {
                map(a, 0).set(str(a, 1), a[2].clone())?;
                Ok(a[0].clone())
            }),
        ),
        (
            "unset",
            function("ms", |_, a| {
                map(a, 0).remove(str(a, 1).bytes());
                Ok(a[0].clone())
            }),
        ),
        ("hasKey", function("ms", |_, a| Ok(Value::Bool(map(a, 0).get(str(a, 1).bytes()).is_some())))),
        (
            "pluck",
            function("sm*", |_, a| {
                let key = str(a, 0);
                Ok(Value::list((1..a.len()).filter_map(|at| map(a, at).get(key.bytes())).collect()))
            }),
        ),
        // Go gives keys and values in any order; here it is that of the keys.
        ("keys", function("m*", |_, a| Ok(Value::strings((0..a.len()).flat_map(|at| map(a, at).keys()))))),
        (
            "values",
            function("m", |_, a| {
                Ok(Value::list(map(a, 0).entries().into_iter().map(|(_, value)| value).collect()))
            }),
        ),
        (
            "pick",
            function("ms*", |_, a| {
                let out = Map::new(MapType::Any);
                for at in 1..a.len() {
                    if let Some(value) = map(a, 0).get(str(a, at).bytes()) {
                        out.put(str(a, at), value);
                    }
                }
                Ok(Value::Map(out))
            }),
        ),
        (
            "omit",
            function("ms*", |_, a| {
                let out = map(a, 0).copy().retyped(MapType::Any);
                for at in 1..a.len() {
                    out.remove(str(a, at).bytes());
                }
                Ok(Value::Map(out))
            }),
        ),
        ("merge", function("mm*", |frame, a| merged(frame, a, false))),
        ("mustMerge", function("mm*", |frame, a| merged(frame, a, false))),
        ("mergeOverwrite", function("mm*", |frame, a| merged(frame, a, true))),
        ("mustMergeOverwrite", function("mm*", |frame, a| merged(frame, a, true))),
        ("deepCopy", function("a", |_, a| deep_copy(&a[0]))),
        ("mustDeepCopy", function("a", |_, a| deep_copy(&a[0]))),
        ("dig", function("a*", dig)),
    ]
}

fn deep_copy(value: &Value) -> Done {
    match value {
        Value::Nil => Err("reflect: call of reflect.Value.Type on zero Value".into()),
        // Its fields are not exported, and so not copied.
        Value::Version(version) => {
            Ok(Value::Version(Rc::new(Version { pointer: version.pointer, ..Version::default() })))
        }
        value => Ok(value.deep_copy()),
    }
}

fn map(args: &[Value], at: usize) -> Map {
    match args.get(at) {
        Some(Value::Map(map)) => map.clone(),
        _ => Map::nil(MapType::Any),
    }
}

fn merged(frame: &Frame<'_, '_>, args: &[Value], overwrite: bool) -> Done {
    let target = map(args, 0);
    // A nil map stays one where nothing but nil maps is merged into it.
    let some = (1..args.len()).any(|at| !map(args, at).is_nil());
    let target = if target.is_nil() && some { Map::new(MapType::Any) } else { target };
    for at in 1..args.len() {
        merge(frame, &target, &map(args, at), overwrite, 0)?;
    }
    Ok(Value::Map(target))
}

/// mergo: an empty value of the target is replaced, with `overwrite` every one; maps are merged, lists replaced.
pub(crate) fn merge(
    frame: &Frame<'_, '_>,
    target: &Map,
    source: &Map,
    overwrite: bool,
    depth: usize,
) -> Result<(), String> {
    if depth > 1_000 || target.same(source) {
        return Ok(());
    }
    for (key, new) in source.entries() {
        frame.exec.step(1)?;
        let old = target.get(key.bytes());
        if matches!(new, Value::Nil) {
            if overwrite {
                target.put(key, new);
            }
            continue;
        }
        let old_is_empty = old.as_ref().is_none_or(|old| empty(old) && !matches!(old, Value::Struct(_)));
        match (&new, &old) {
            (Value::Map(from), Some(Value::Map(into))) if !into.is_nil() => {
                merge(frame, into, from, overwrite, depth + 1)?;
                if !into.is_empty() {
                    continue;
                }
            }
            (Value::List(_) | Value::Bytes(_), Some(_)) if !old_is_empty => {
                if overwrite && !source.is_empty() {
                    target.put(key, new);
                }
                continue;
            }
            _ => {}
        }
        if overwrite || old_is_empty {
            target.put(key, new);
        }
    }
    Ok(())
}

fn dig(_: &Frame<'_, '_>, args: &[Value]) -> Done {
    if args.len() < 3 {
        return Err("dig needs at least three arguments".into());
    }
    let (default, dict) = (&args[args.len() - 2], &args[args.len() - 1]);
    let keys = &args[..args.len() - 2];
    let as_map = |value: &Value| match value {
        Value::Map(map) if map.ty() == MapType::Any => Ok(map.clone()),
        other => Err(conversion(other, "map[string]interface {}")),
    };
    let mut here = as_map(dict)?;
    let mut names = Vec::new();
    for key in keys {
        match key {
            Value::Str(name) => names.push(name.clone()),
            other => return Err(conversion(other, "string")),
        }
    }
    let last = names.len() - 1;
    for (at, name) in names.iter().enumerate() {
        let Some(found) = here.get(name.bytes()) else { return Ok(default.clone()) };
        if at == last {
            return Ok(found);
        }
        here = as_map(&found)?;
    }
    Ok(default.clone())
}

/// The panic of a type assertion.
fn conversion(value: &Value, wanted: &str) -> String {
    match value {
        Value::Nil => format!("interface conversion: interface {{}} is nil, not {wanted}"),
        other => format!("interface conversion: interface {{}} is {}, not {wanted}", other.type_name()),
    }
}
