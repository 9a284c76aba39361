//! Sprig's functions and those that Helm adds, a family a file.
//!
//! Invariant: the same arguments give what upstream's functions give, wrong ones the same error. `env` and `expandenv` are not there, as
//! in Helm; `getHostByName` gives an empty text, as in Helm without `--enable-dns`; `include`, `tpl`, `required` and `fail` are in
//! [`crate::helm::engine`], which wraps their errors.

pub mod crypto;
pub mod date;
pub mod dicts;
pub mod encoding;
pub mod flow;
pub mod keys;
pub mod lists;
pub mod math;
pub mod network;
pub mod paths;
mod pretty;
pub mod reflection;
pub mod regex;
pub mod semver;
pub mod strings;
pub mod toml;
pub mod urls;
pub mod words;
pub mod yaml;

use crate::go::{Str, Value};
use crate::template::{Frame, Function, Functions};

pub(crate) type Entries = Vec<(&'static str, Function)>;
pub(crate) type Done = Result<Value, String>;

/// Adds all families.
pub fn add_to(functions: &mut Functions) {
    for family in [
        strings::all(),
        lists::all(),
        dicts::all(),
        math::all(),
        date::all(),
        crypto::all(),
        encoding::all(),
        semver::all(),
        regex::all(),
        urls::all(),
        flow::all(),
        reflection::all(),
        network::all(),
        paths::all(),
        yaml::all(),
        toml::all(),
    ] {
        functions.extend(family);
    }
}

/// What Go says when a nil is asked for its type.
pub(crate) const NIL_POINTER: &str = "runtime error: invalid memory address or nil pointer dereference";

/// A string argument; the parameter's type lets nothing else in.
pub(crate) fn str(args: &[Value], at: usize) -> Str {
    match args.get(at) {
        Some(Value::Str(text) | Value::Bytes(text)) => text.clone(),
        _ => "".into(),
    }
}

pub(crate) fn text(args: &[Value], at: usize) -> String {
    str(args, at).text().into_owned()
}

pub(crate) fn int(args: &[Value], at: usize) -> i64 {
    args.get(at).and_then(Value::as_int).unwrap_or(0)
}

/// A made text, counted.
pub(crate) fn made(frame: &Frame<'_, '_>, bytes: impl Into<Vec<u8>>) -> Done {
    let bytes = bytes.into();
    frame.exec.wrote(bytes.len())?;
    Ok(Value::Str(bytes.into()))
}

/// Sprig's `strval`: how a value becomes text.
pub(crate) fn strval(value: &Value) -> Str {
    match value {
        Value::Str(text) | Value::Bytes(text) => text.clone(),
        other => crate::go::print::display(other).into(),
    }
}

/// Sprig's `empty`. A value without a length or a nil, as a time, is never empty.
pub(crate) fn empty(value: &Value) -> bool {
    !value.truth()
}
