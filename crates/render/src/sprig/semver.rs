//! Versions.

use super::{Entries, text};
use crate::go::{Value, semver};
use crate::template::function;

pub fn all() -> Entries {
    vec![
        ("semver", function("s", |_, a| Ok(Value::Version(semver::parse(&text(a, 0))?.into())))),
        (
            "semverCompare",
            function("ss", |_, a| {
                let constraints = semver::constraints(&text(a, 0))?;
                Ok(Value::Bool(constraints.check(&semver::parse(&text(a, 1))?)))
            }),
        ),
    ]
}
