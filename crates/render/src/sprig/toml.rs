//! Helm's TOML functions, as BurntSushi/toml prints and reads: keys sorted, tables indented by two blanks a level.

mod cursor;
mod read;
mod tables;
#[cfg(test)]
mod tests;

use super::{Entries, made, str};
use crate::go::time::Zone;
use crate::go::value::Sized;
use crate::go::{Map, MapType, Str, Value, float, print, walk};
use crate::template::function;

pub fn all() -> Entries {
    vec![
        (
            "toToml",
            function("a", |frame, a| match encode(&a[0]) {
                _ if matches!(a[0], Value::Nil) => {
                    Err("reflect: call of reflect.Value.Type on zero Value".into())
                }
                Ok(text) => made(frame, text),
                Err(error) => Ok(error.into()),
            }),
        ),
        (
            "fromToml",
            function("s", |_, a| {
                let read = read::read(str(a, 0).bytes()).unwrap_or_else(|error| {
                    let fault = Map::new(MapType::Any);
                    fault.put("Error", error.into());
                    fault
                });
                Ok(Value::Map(read))
            }),
        ),
    ]
}

fn encode(value: &Value) -> Result<String, String> {
    let mut out = String::new();
    let Value::Map(map) = value else {
        inline(value, &mut out)?;
        return Ok(out);
    };
    table(map, &mut Vec::new(), &mut out)?;
    Ok(out)
}

/// Whether a value is written as a table of its own, or several.
fn is_table(value: &Value) -> bool {
    matches!(value, Value::Map(_)) || is_tables(value)
}

fn is_tables(value: &Value) -> bool {
    match value {
        Value::List(list) => !list.is_empty() && list.iter().all(|item| matches!(item, Value::Map(_))),
        _ => false,
    }
}

fn table(map: &Map, path: &mut Vec<String>, out: &mut String) -> Result<(), String> {
    // Each table is headed by its whole name.
    let head = path.iter().map(|name| name.len() + 2).sum();
    let Some(_inside) = walk::enter(map.len()).filter(|_| walk::bytes(head)) else { return Ok(()) };
    let indent = "  ".repeat(path.len());
    let entries = map.entries();
    for (key, value) in entries.iter().filter(|(_, value)| !is_table(value) && !value.is_nil()) {
        out.push_str(&format!("{indent}{} = ", name(key)));
        inline(value, out)?;
        out.push('\n');
    }
    for (key, value) in entries.iter().filter(|(_, value)| is_table(value)) {
        path.push(name(key));
        let head = "  ".repeat(path.len() - 1);
        let before = |out: &mut String, top: bool| {
            if top && !out.is_empty() {
                out.push('\n');
            }
        };
        let top = path.len() == 1;
        match value {
            Value::Map(inner) => {
                before(out, top);
                out.push_str(&format!("{head}[{}]\n", path.join(".")));
                table(inner, path, out)?;
            }
            Value::List(list) => {
                for item in list.iter() {
                    before(out, !out.is_empty());
                    out.push_str(&format!("{head}[[{}]]\n", path.join(".")));
                    if let Value::Map(inner) = item {
                        table(inner, path, out)?;
                    }
                }
            }
            _ => {}
        }
        path.pop();
    }
    Ok(())
}

fn name(key: &Str) -> String {
    let bare = !key.is_empty()
        && key.bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if bare { key.text().into_owned() } else { quoted(&key.text()) }
}

/// A basic string, or a key that is not bare.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            char if (char as u32) < 0x20 || char == '\u{7f}' => {
                out.push_str(&format!("\\u{:04x}", char as u32))
            }
            char => out.push(char),
        }
    }
    out.push('"');
    out
}

fn inline(value: &Value, out: &mut String) -> Result<(), String> {
    let Some(_inside) = value.enter() else { return Ok(()) };
    match value {
        Value::Bool(flag) => out.push_str(&flag.to_string()),
        Value::Sized(Sized::Duration, _) => out.push_str(&quoted(&print::display(value))),
        Value::Int(number) | Value::Int64(number) | Value::Sized(_, number) => {
            out.push_str(&number.to_string())
        }
        Value::Float(number) => {
            let text = float::format(*number, b'g', -1);
            let whole = number.is_finite() && !text.contains(['.', 'e']);
            out.push_str(&text.to_lowercase().replace("+inf", "inf"));
            if whole {
                out.push_str(".0");
            }
        }
        Value::Str(text) if !walk::bytes(text.len()) => {}
        Value::Str(text) => out.push_str(&quoted(&text.text())),
        Value::List(_) | Value::Bytes(_) => {
            out.push('[');
            for (at, item) in value.elements().unwrap_or_default().iter().enumerate() {
                if item.is_nil() {
                    return Err("toml: cannot encode array with nil element".into());
                }
                if at > 0 {
                    out.push_str(", ");
                }
                inline(item, out)?;
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            // What is nil is left out, but not the comma that is written before what follows.
            let (tables, plain): (Vec<_>, Vec<_>) =
                map.entries().into_iter().partition(|(_, item)| is_table(item));
            let count = plain.len() + tables.len();
            for (at, (key, item)) in plain.iter().chain(&tables).enumerate() {
                if item.is_nil() {
                    continue;
                }
                out.push_str(&format!("{} = ", name(key)));
                inline(item, out)?;
                if at + 1 != count {
                    out.push_str(", ");
                }
            }
            out.push('}');
        }
        Value::Time(time) => out.push_str(&match &time.zone {
            Zone::Fixed(name, _) => match read::LOCAL.iter().find(|(local, _)| local == name) {
                Some((_, layout)) => time.format(layout),
                None => time.rfc3339(),
            },
            _ => time.rfc3339(),
        }),
        Value::Version(version) => out.push_str(&quoted(&version.to_string())),
        other => return Err(format!("toml: unsupported type: {}", other.type_name())),
    }
    Ok(())
}
