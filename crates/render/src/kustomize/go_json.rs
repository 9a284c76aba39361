//! JSON as Go's encoding/json writes it: sorted keys; `<`, `>`, `&` and the line separators escaped.

use api::Value;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Compact,
    /// Two spaces a level.
    Pretty,
}

pub(super) fn text(value: &Value, layout: Layout) -> String {
    let mut out = String::new();
    write(value, layout, 0, &mut out);
    out
}

fn line(layout: Layout, level: usize, out: &mut String) {
    if layout == Layout::Pretty {
        out.push('\n');
        out.push_str(&"  ".repeat(level));
    }
}

fn write(value: &Value, layout: Layout, level: usize, out: &mut String) {
    match value {
        Value::Object(map) if map.is_empty() => out.push_str("{}"),
        Value::Array(items) if items.is_empty() => out.push_str("[]"),
        Value::Object(map) => {
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_by(|a, b| a.0.cmp(b.0));
            out.push('{');
            for (at, (key, value)) in fields.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                line(layout, level + 1, out);
                string(key, out);
                out.push(':');
                if layout == Layout::Pretty {
                    out.push(' ');
                }
                write(value, layout, level + 1, out);
            }
            line(layout, level, out);
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                line(layout, level + 1, out);
                write(item, layout, level + 1, out);
            }
            line(layout, level, out);
            out.push(']');
        }
        Value::String(text) => string(text, out),
        other => out.push_str(&other.to_string()),
    }
}

fn string(text: &str, out: &mut String) {
    let quoted = String::from_utf8(Value::String(text.into()).to_json()).expect("because JSON is UTF-8");
    for char in quoted.chars() {
        match char {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", char as u32)),
            other => out.push(other),
        }
    }
}
