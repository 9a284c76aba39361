//! The writer: compact, in field order, byte for byte what Go's `json.Encoder` writes.

use std::io::Write as _;

use crate::Value;

/// Compact JSON.
pub fn to_vec(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write(value, &mut out);
    out
}

/// Compact JSON.
pub fn to_string(value: &Value) -> String {
    String::from_utf8(to_vec(value)).expect("because JSON of texts is UTF-8")
}

/// Appends compact JSON.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
        Value::Float(number) => write_float(*number, out),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Object(map) => {
            out.push(b'{');
            for (at, (key, value)) in map.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                write(value, out);
            }
            out.push(b'}');
        }
    }
}

/// ES6's number format, as Go has it: shortest digits, an exponent below 1e-6 and from 1e21.
fn write_float(number: f64, out: &mut Vec<u8>) {
    let size = number.abs();
    let written = if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        let text = if text.contains("e-") { text } else { text.replace('e', "e+") };
        out.write_all(text.as_bytes())
    } else {
        write!(out, "{number}")
    };
    written.expect("because a Vec takes every byte");
}

/// What stands for a byte in a string: 0 itself, 1 `\u00XX`, else `\` and this.
static ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut low = 0;
    while low < 0x20 {
        table[low] = 1;
        low += 1;
    }
    table[b'<' as usize] = 1;
    table[b'>' as usize] = 1;
    table[b'&' as usize] = 1;
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[b'\t' as usize] = b't';
    table[0x08] = b'b';
    table[0x0c] = b'f';
    // The first byte of U+2028 and U+2029 is looked at more closely.
    table[0xe2] = 2;
    table
};

/// Appends a string with its quotes.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut plain = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escape = ESCAPES[usize::from(byte)];
        if escape == 0 {
            continue;
        }
        if escape == 2 {
            if let [0x80, last @ (0xa8 | 0xa9)] = bytes[at + 1..at + 3] {
                out.extend_from_slice(&bytes[plain..at]);
                out.extend_from_slice(if last == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                plain = at + 3;
            }
            continue;
        }
        out.extend_from_slice(&bytes[plain..at]);
        plain = at + 1;
        if escape == 1 {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&digits);
        } else {
            out.extend_from_slice(&[b'\\', escape]);
        }
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}
