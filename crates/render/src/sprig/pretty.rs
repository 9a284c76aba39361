//! `toYamlPretty`: go-yaml 3 with an indentation of two, over Go's values and not over JSON: lists are indented under their keys, floats
//! keep Go's shortest form, no line is folded.

use crate::go::{Value, float, text::is_print, walk};
use crate::goyaml;

/// A value without the last line end.
pub(super) fn print(value: &Value) -> String {
    let mut out = String::new();
    node(value, 0, &mut out);
    out.strip_suffix('\n').unwrap_or(&out).to_string()
}

/// The fields of a map, or of a struct: go-yaml knows no JSON names, so those are Go's in lower case.
fn pairs(value: &Value) -> Vec<(String, Value)> {
    match value {
        Value::Map(map) => {
            map.entries().into_iter().map(|(key, value)| (key.text().into_owned(), value)).collect()
        }
        Value::Struct(object) => {
            let fields = object.ty.fields.iter().zip(&object.fields);
            fields.map(|(field, value)| (field.go.to_lowercase(), value.clone())).collect()
        }
        _ => Vec::new(),
    }
}

fn pad(level: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", level));
}

/// A node whose first line has its indentation already.
fn node(value: &Value, level: usize, out: &mut String) {
    // The indentation is written for every line.
    let Some(_inside) = value.enter().filter(|_| walk::bytes(2 * level)) else { return };
    let pairs = pairs(value);
    let items = value.elements().unwrap_or_default();
    if pairs.is_empty() && items.is_empty() {
        scalar(value, level, out);
        out.push('\n');
    }
    for (at, (key, value)) in pairs.iter().enumerate() {
        if at > 0 {
            pad(level, out);
        }
        line(key, out);
        out.push(':');
        let nested =
            !self::pairs(value).is_empty() || value.elements().is_some_and(|items| !items.is_empty());
        if nested {
            out.push('\n');
            pad(level + 1, out);
        } else {
            out.push(' ');
        }
        node(value, level + 1, out);
    }
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            pad(level, out);
        }
        out.push_str("- ");
        node(item, level + 1, out);
    }
}

fn scalar(value: &Value, level: usize, out: &mut String) {
    match value {
        Value::Str(value) if !walk::bytes(value.len()) => {}
        Value::Str(value) => string(&value.text(), level, out),
        Value::Nil => out.push_str("null"),
        Value::Float(number) => out.push_str(&match float::format(*number, b'g', -1).as_str() {
            "+Inf" => ".inf".into(),
            "-Inf" => "-.inf".into(),
            "NaN" => ".nan".into(),
            other => other.to_string(),
        }),
        Value::List(_) | Value::Bytes(_) => out.push_str("[]"),
        Value::Map(_) | Value::Struct(_) => out.push_str("{}"),
        Value::Time(time) => out.push_str(&time.rfc3339()),
        other => out.push_str(&crate::go::print::display(other)),
    }
}

fn string(value: &str, level: usize, out: &mut String) {
    let block = value.contains('\n') && value.chars().all(|char| char == '\n' || is_print(char));
    if !block || value.contains(" \n") || value.ends_with(' ') {
        return line(value, out);
    }
    out.push('|');
    if value.starts_with([' ', '\n']) {
        out.push('2');
    }
    if !value.ends_with('\n') {
        out.push('-');
    } else if value.ends_with("\n\n") || value == "\n" {
        out.push('+');
    }
    for line in value.strip_suffix('\n').unwrap_or(value).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(level.max(1), out);
            out.push_str(line);
        }
    }
}

/// A text on one line: plain where it reads back as itself, in single quotes where it needs some, in double quotes otherwise.
fn line(value: &str, out: &mut String) {
    let special = value.chars().any(|char| !is_print(char));
    if special || !goyaml::is_text(value) {
        out.push_str(&crate::go::quote::quote(value.as_bytes()));
        return;
    }
    let indicator = value.starts_with(|char: char| "#,[]{}&*!|>'\"%@`".contains(char))
        || ["-", "?", ":"].contains(&value)
        || ["- ", "? ", ": ", "---", "..."].iter().any(|start| value.starts_with(start));
    let inside = value.contains(": ") || value.ends_with(':') || value.contains(" #");
    if indicator || inside || value.starts_with(' ') || value.ends_with(' ') {
        out.push_str(&format!("'{}'", value.replace('\'', "''")));
    } else {
        out.push_str(value);
    }
}
