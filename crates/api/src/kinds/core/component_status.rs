//! ComponentStatus: never stored: the server answers its create.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin =
    Builtin { group: "", plural: "componentstatuses", storage: "v1", rules: || Box::new(FactsOnly::new()) };
