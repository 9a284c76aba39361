//! ClusterRole.

use super::rules;
use crate::Value;
use crate::field::{Error, Path};
use crate::kind::{Context, Rules};
use crate::kinds::Builtin;
use crate::kinds::edit::{has, list};
use crate::selector::Labels;
use crate::validation::check;
use crate::validation::check::Errors;

pub const KIND: Builtin =
    Builtin { group: rules::GROUP, plural: "clusterroles", storage: "v1", rules: || Box::new(ClusterRole) };

struct ClusterRole;

impl Rules for ClusterRole {
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        rules::rules(new, false, errors);
        let path = Path::new("aggregationRule").child("clusterRoleSelectors");
        let selectors = list(new, &["aggregationRule", "clusterRoleSelectors"]);
        if has(new, &["aggregationRule"]) && selectors.is_empty() {
            let text = "at least one clusterRoleSelector required if aggregationRule is non-nil";
            errors.push(Error::required(path.clone(), text));
        }
        for (at, selector) in selectors.iter().enumerate() {
            let path = path.index(at);
            check::label_selector(Some(selector), &path, errors);
            if Labels::from_object(selector).is_err() {
                errors.push(Error::invalid(path, Value::Null, "invalid label selector."));
            }
        }
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
