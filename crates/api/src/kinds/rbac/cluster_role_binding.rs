//! ClusterRoleBinding: who has a role; the role never changes.

use super::rules;
use crate::Value;
use crate::kind::{Context, Rules};
use crate::kinds::Builtin;
use crate::validation::check::Errors;

pub const KIND: Builtin = Builtin {
    group: rules::GROUP,
    plural: "clusterrolebindings",
    storage: "v1",
    rules: || Box::new(ClusterRoleBinding),
};

struct ClusterRoleBinding;

impl Rules for ClusterRoleBinding {
    fn default(&self, _: &str, value: &mut Value) {
        rules::default_binding(value);
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        rules::binding(new, false, errors);
    }
    fn validate_update(&self, context: &Context<'_>, new: &Value, old: &Value, errors: &mut Errors) {
        self.validate_create(context, new, errors);
        rules::same_role(new, old, errors);
    }
    fn create_on_update(&self) -> bool {
        true
    }
    fn bad_name(&self, name: &str, _: bool) -> Option<String> {
        rules::bad_name(name)
    }
    fn cells(&self, value: &Value, now: i64) -> Option<Vec<Value>> {
        Some(rules::binding_cells(value, now))
    }
}
