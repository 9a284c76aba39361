//! Types and kinds.

use super::{Entries, text};
use crate::go::Value;
use crate::template::function;

pub fn all() -> Entries {
    vec![
        ("typeOf", function("a", |_, a| Ok(a[0].type_name().into_owned().into()))),
        ("typeIs", function("sa", |_, a| Ok(Value::Bool(text(a, 0) == a[1].type_name())))),
        (
            "typeIsLike",
            function("sa", |_, a| {
                let (target, ty) = (text(a, 0), a[1].type_name());
                Ok(Value::Bool(target == ty || format!("*{target}") == ty))
            }),
        ),
        ("kindOf", function("a", |_, a| Ok(a[0].kind().into()))),
        ("kindIs", function("sa", |_, a| Ok(Value::Bool(text(a, 0) == a[1].kind())))),
        ("deepEqual", function("aa", |_, a| Ok(Value::Bool(a[0].deep_equal(&a[1]))))),
    ]
}
