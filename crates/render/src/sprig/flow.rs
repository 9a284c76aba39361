//! Defaults and choices.

use super::{Entries, empty};
use crate::go::Value;
use crate::template::function;

pub fn all() -> Entries {
    vec![
        (
            "default",
            function("aa*", |_, a| {
                Ok(match a.get(1) {
                    Some(given) if !empty(given) => given.clone(),
                    _ => a[0].clone(),
                })
            }),
        ),
        ("empty", function("a", |_, a| Ok(Value::Bool(empty(&a[0]))))),
        (
            "coalesce",
            function("a*", |_, a| Ok(a.iter().find(|value| !empty(value)).cloned().unwrap_or(Value::Nil))),
        ),
        ("all", function("a*", |_, a| Ok(Value::Bool(!a.iter().any(empty))))),
        ("any", function("a*", |_, a| Ok(Value::Bool(a.iter().any(|value| !empty(value)))))),
        ("ternary", function("aab", |_, a| Ok(a[usize::from(!a[2].truth())].clone()))),
        ("fail", function("s", |_, a| Err(super::text(a, 0)))),
    ]
}
