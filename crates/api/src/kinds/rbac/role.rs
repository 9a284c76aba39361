//! Role.

use super::rules;
use crate::Value;
use crate::kind::{Context, Rules};
use crate::kinds::Builtin;
use crate::validation::check::Errors;

pub const KIND: Builtin =
    Builtin { group: rules::GROUP, plural: "roles", storage: "v1", rules: || Box::new(Role) };

struct Role;

impl Rules for Role {
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        rules::rules(new, true, errors);
    }
    fn create_on_update(&self) -> bool {
        true
    }
    fn bad_name(&self, name: &str, _: bool) -> Option<String> {
        rules::bad_name(name)
    }
    fn cells(&self, value: &Value, _: i64) -> Option<Vec<Value>> {
        Some(rules::role_cells(value))
    }
}
