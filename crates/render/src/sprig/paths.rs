//! Paths. Those of the operating system are Linux' and the same.

use super::{Entries, text};
use crate::go::{Value, path};
use crate::template::function;

pub fn all() -> Entries {
    let mut all = Entries::new();
    for (name, os) in
        [("base", "osBase"), ("dir", "osDir"), ("clean", "osClean"), ("ext", "osExt"), ("isAbs", "osIsAbs")]
    {
        let make = || match name {
            "base" => function("s", |_, a| Ok(path::base(&text(a, 0)).into())),
            "dir" => function("s", |_, a| Ok(path::dir(&text(a, 0)).into())),
            "clean" => function("s", |_, a| Ok(path::clean(&text(a, 0)).into())),
            "ext" => function("s", |_, a| Ok(path::ext(&text(a, 0)).into())),
            _ => function("s", |_, a| Ok(Value::Bool(text(a, 0).starts_with('/')))),
        };
        all.push((name, make()));
        all.push((os, make()));
    }
    all
}
