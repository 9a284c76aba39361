//! The functions that every template has: comparison, `index`, `len`, `printf`, escapes.

use std::rc::Rc;

use super::slot::{Function, Functions, Slot, builtin, function};
use super::{Frame, method};
use crate::go::value::{ListType, MapType, Sized};
use crate::go::{Value, print, text, url};

type Done = Result<Slot, String>;

/// Go's own functions, to which others are added.
pub fn functions() -> Functions {
    let mut all: Vec<(&'static str, Function)> = vec![
        // These three are done where calls are: the first two stop early, the third has a function for argument.
        ("and", builtin("rr*", |_, _| Err("unreachable".into()))),
        ("or", builtin("rr*", |_, _| Err("unreachable".into()))),
        ("call", builtin("rr*", |_, _| Err("unreachable".into()))),
        ("not", builtin("r", |_, args| Ok(Slot::of(Value::Bool(!args[0].truth()))))),
        ("index", builtin("rr*", |_, args| index(args))),
        ("slice", builtin("rr*", |_, args| slice(args))),
        ("len", builtin("r", |_, args| length(&args[0]))),
        ("eq", builtin("rr*", |_, args| equal(&args).map(boolean))),
        ("ne", builtin("rr", |_, args| equal(&args).map(|same| boolean(!same)))),
        ("lt", builtin("rr", |_, args| less(&args).map(boolean))),
        ("le", builtin("rr", |_, args| at_most(&args).map(boolean))),
        ("gt", builtin("rr", |_, args| at_most(&args).map(|is| boolean(!is)))),
        ("ge", builtin("rr", |_, args| less(&args).map(|is| boolean(!is)))),
        ("print", function("a*", |frame, args| made(frame, print::sprint(args)))),
        ("println", function("a*", |frame, args| made(frame, print::sprintln(args)))),
        (
            "printf",
            function("sa*", |frame, args| match &args[0] {
                Value::Str(format) => made(frame, print::sprintf(format.bytes(), &args[1..])),
                _ => made(frame, Vec::new()),
            }),
        ),
        ("html", function("a*", |frame, args| made(frame, html(&joined(args))))),
        ("js", function("a*", |frame, args| made(frame, js(&joined(args))))),
        (
            "urlquery",
            function("a*", |frame, args| made(frame, url::query_escape(&joined(args)).into_bytes())),
        ),
    ];
    all.drain(..).collect()
}

fn boolean(flag: bool) -> Slot {
    Slot::of(Value::Bool(flag))
}

fn made(frame: &Frame<'_, '_>, bytes: Vec<u8>) -> Result<Value, String> {
    frame.exec.wrote(bytes.len())?;
    Ok(Value::Str(bytes.into()))
}

/// Arguments as one text; a missing value is `<no value>`.
fn joined(args: &[Value]) -> Vec<u8> {
    match args {
        [Value::Str(text)] => text.bytes().to_vec(),
        _ => {
            let shown: Vec<Value> = args
                .iter()
                .map(|arg| if matches!(arg, Value::Nil) { Value::from("<no value>") } else { arg.clone() })
                .collect();
            print::sprint(&shown)
        }
    }
}

fn html(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            byte => out.push(*byte),
        }
    }
    out
}

fn js(bytes: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(bytes.len());
    for (_, char, _) in text::chars(bytes) {
        match char {
            '\\' | '\'' | '"' => {
                out.push('\\');
                out.push(char);
            }
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", char as u32)),
            char if (char as u32) < 0x20 || !char.is_ascii() && !text::is_print(char) => {
                out.push_str(&format!("\\u{:04X}", char as u32));
            }
            char => out.push(char),
        }
    }
    out.into_bytes()
}

fn index_of(slot: &Slot, most: usize) -> Result<usize, String> {
    let number = match &slot.value {
        None | Some(Value::Nil) => return Err("cannot index slice/array with nil".into()),
        Some(value) => value
            .as_int()
            .ok_or_else(|| format!("cannot index slice/array with type {}", value.type_name()))?,
    };
    match usize::try_from(number) {
        Ok(at) if at <= most => Ok(at),
        _ => Err(format!("index out of range: {number}")),
    }
}

fn index(args: Vec<Slot>) -> Done {
    let mut args = args.into_iter();
    let mut item = args.next().unwrap_or(Slot::INVALID).elem();
    if !item.is_valid() {
        return Err("index of untyped nil".into());
    }
    for index in args {
        let index = index.elem();
        let value = item.value.clone().unwrap_or(Value::Nil);
        item = match &value {
            Value::Nil => return Err("index of nil pointer".into()),
            Value::Str(text) => {
                let at = index_of(&index, text.len())?;
                let byte = text.bytes().get(at).ok_or_else(|| runtime_string(at, text.len()))?;
                Slot::of(Value::Sized(Sized::Uint8, i64::from(*byte)))
            }
            Value::List(_) | Value::Bytes(_) => {
                let elements = value.elements().unwrap_or_default();
                let at = index_of(&index, elements.len())?;
                let element = elements.get(at).ok_or("reflect: slice index out of range")?.clone();
                let any = matches!(&value, Value::List(list) if list.ty == ListType::Any);
                if any { Slot::interface(element) } else { Slot::of(element) }
            }
            Value::Map(map) => {
                let key = match &index.value {
                    None | Some(Value::Nil) => return Err("value is nil; should be of type string".into()),
                    Some(Value::Str(key)) => key,
                    Some(other) => {
                        return Err(format!("value has type {}; should be string", other.type_name()));
                    }
                };
                let any = matches!(map.ty(), MapType::Any | MapType::Values);
                match map.get(key.bytes()) {
                    Some(value) if any => Slot::interface(value),
                    Some(value) => Slot::of(value),
                    None => method::zero_of(map.ty()),
                }
            }
            Value::Struct(object) if object.pointer => {
                return Err(format!("can't index item of type {}", object.ty.name));
            }
            Value::Version(_) => return Err("can't index item of type semver.Version".into()),
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(item)
}

fn runtime_string(_: usize, _: usize) -> String {
    "reflect: string index out of range".into()
}

fn slice(args: Vec<Slot>) -> Done {
    let mut args = args.into_iter();
    let item = args.next().unwrap_or(Slot::INVALID).elem();
    let Some(value) = item.value else { return Err("slice of untyped nil".into()) };
    let indexes: Vec<Slot> = args.collect();
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let length = match &value {
        Value::Str(_) if indexes.len() == 3 => return Err("cannot 3-index slice a string".into()),
        Value::Str(text) | Value::Bytes(text) => text.len(),
        Value::List(list) => list.len(),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let mut bounds = [0, length, length];
    for (at, index) in indexes.iter().enumerate() {
        bounds[at] = index_of(index, length)?;
    }
    let [from, to, cap] = bounds;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    if to > cap {
        return Err(format!("invalid slice index: {to} > {cap}"));
    }
    Ok(Slot::of(match value {
        Value::Str(text) => Value::Str(text.bytes()[from..to].into()),
        Value::Bytes(text) => Value::Bytes(text.bytes()[from..to].into()),
        Value::List(list) => Value::List(crate::go::List::new(list.ty, list.as_slice()[from..to].to_vec())),
        other => other,
    }))
}

fn length(slot: &Slot) -> Done {
    let length = match &slot.value {
        None => return Err("reflect: call of reflect.Value.Type on zero Value".into()),
        Some(Value::Nil) => return Err("len of nil pointer".into()),
        Some(Value::Str(text) | Value::Bytes(text)) => text.len(),
        Some(Value::List(list)) => list.len(),
        Some(Value::Map(map)) => map.len(),
        Some(other) => return Err(format!("len of type {}", other.type_name().trim_start_matches('*'))),
    };
    Ok(Slot::of(Value::Int(length as i64)))
}

/// The call of a function that is data; there is none in a chart.
pub(super) fn call(name: Option<String>, args: Vec<Slot>) -> Done {
    let Some(value) = args.into_iter().next().and_then(|slot| slot.elem().value) else {
        return Err("call of nil".into());
    };
    Err(format!("non-function {} of type {}", name.unwrap_or_default(), value.type_name()))
}

#[derive(Clone, Copy, PartialEq)]
enum Basic {
    Bool,
    Int,
    Uint,
    Float,
    Text,
}

fn basic(value: &Value) -> Option<Basic> {
    Some(match value {
        Value::Bool(_) => Basic::Bool,
        Value::Sized(Sized::Uint8 | Sized::Uint32 | Sized::Uint64, _) => Basic::Uint,
        Value::Int(_) | Value::Int64(_) | Value::Sized(..) => Basic::Int,
        Value::Float(_) => Basic::Float,
        Value::Str(_) => Basic::Text,
        _ => return None,
    })
}

fn unsigned(value: &Value) -> u64 {
    value.as_int().unwrap_or_default() as u64
}

fn equal(args: &[Slot]) -> Result<bool, String> {
    let values: Vec<Slot> = args.iter().cloned().map(Slot::elem).collect();
    let [first, others @ ..] = values.as_slice() else { return Ok(false) };
    if others.is_empty() {
        return Err("missing argument for comparison".into());
    }
    for other in others {
        if equal_pair(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal_pair(first: &Slot, other: &Slot) -> Result<bool, String> {
    let (Some(a), Some(b)) = (&first.value, &other.value) else {
        return Ok(first.is_nil() && other.is_nil() && (basic_of(first) == basic_of(other)));
    };
    Ok(match (basic(a), basic(b)) {
        (Some(Basic::Int), Some(Basic::Uint)) => a.as_int() >= Some(0) && unsigned(a) == unsigned(b),
        (Some(Basic::Uint), Some(Basic::Int)) => b.as_int() >= Some(0) && unsigned(a) == unsigned(b),
        (left, right) if left != right => {
            return Err(format!(
                "incompatible types for comparison: {} and {}",
                a.type_name(),
                b.type_name()
            ));
        }
        (Some(Basic::Float), _) => matches!((a, b), (Value::Float(a), Value::Float(b)) if a == b),
        (Some(Basic::Int | Basic::Uint), _) => a.as_int() == b.as_int(),
        (Some(_), _) => a.deep_equal(b),
        (None, _) => {
            if a.kind() != b.kind() {
                return Err(format!(
                    "non-comparable types {}: {}, {}: {}",
                    text::decode(&print::sprintf(b"%s", std::slice::from_ref(a))),
                    a.type_name(),
                    b.type_name(),
                    print::display(b)
                ));
            }
            if a.is_nil() || b.is_nil() {
                return Ok(a.is_nil() == b.is_nil());
            }
            if matches!(b, Value::Map(_) | Value::List(_) | Value::Bytes(_)) {
                let shown = print::sprintf(b"%s", std::slice::from_ref(b));
                return Err(format!("non-comparable type {}: {}", text::decode(&shown), b.type_name()));
            }
            match (a, b) {
                // Two pointers are one only if they point to one.
                (Value::Version(a), Value::Version(b)) if a.pointer => Rc::ptr_eq(a, b),
                _ => a.deep_equal(b),
            }
        }
    })
}

fn basic_of(slot: &Slot) -> bool {
    slot.value.as_ref().is_some_and(|value| basic(value).is_some())
}

fn less(args: &[Slot]) -> Result<bool, String> {
    const BAD: &str = "invalid type for comparison";
    let pick = |at: usize| -> Result<(Value, Basic), String> {
        let value = args[at].clone().elem().value.ok_or(BAD)?;
        let kind = basic(&value).ok_or(BAD)?;
        Ok((value, kind))
    };
    let ((a, left), (b, right)) = (pick(0)?, pick(1)?);
    Ok(match (left, right) {
        (Basic::Int, Basic::Uint) => a.as_int() < Some(0) || unsigned(&a) < unsigned(&b),
        (Basic::Uint, Basic::Int) => b.as_int() >= Some(0) && unsigned(&a) < unsigned(&b),
        (left, right) if left != right => {
            return Err(format!(
                "incompatible types for comparison: {} and {}",
                a.type_name(),
                b.type_name()
            ));
        }
        (Basic::Bool, _) => return Err(BAD.into()),
        (Basic::Uint, _) => unsigned(&a) < unsigned(&b),
        (Basic::Int, _) => a.as_int() < b.as_int(),
        (Basic::Float, _) => matches!((&a, &b), (Value::Float(a), Value::Float(b)) if a < b),
        (Basic::Text, _) => matches!((&a, &b), (Value::Str(a), Value::Str(b)) if a < b),
    })
}

fn at_most(args: &[Slot]) -> Result<bool, String> {
    Ok(less(args)? || equal(args)?)
}
