//! ComponentStatus: never stored: the server answers its create.

use crate::kinds::Builtin;
use crate::kinds::strategy::Strategy;

pub const KIND: Builtin =
    Builtin { group: "", plural: "componentstatuses", storage: "v1", rules: || Box::new(Strategy::new()) };
