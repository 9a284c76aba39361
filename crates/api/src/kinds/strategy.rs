//! A kind's rules as one table of what is special: flags, a defaults function, and checks on [`Node`]s. A kind that needs more
//! implements [`Rules`] itself.

use crate::Value;
use crate::field;
use crate::kind::{Context, Rules, keep, keep_all_but, name_by, only_status, spec_differs};
use crate::validation::Node;
use crate::validation::names;
use crate::validation::node::{inspect, inspect_both};

type Check = fn(&Node<'_>);
/// Of the new object and the old one.
type Compare = fn(&Node<'_>, &Node<'_>);

pub struct Strategy {
    /// [`Rules::complete`].
    pub complete: bool,
    pub status: bool,
    pub generation: bool,
    pub create_on_update: bool,
    /// [`Rules::orphans_by_default`].
    pub orphans: bool,
    pub unconditional_update: bool,
    /// An update of `status` leaves metadata alone (upstream's ResetObjectMetaForStatus).
    pub status_keeps_metadata: bool,
    /// The format of the object's name.
    pub name: fn(&str) -> Vec<String>,
    /// [`Rules::default`].
    pub defaults: fn(&str, &mut Value),
    /// [`Rules::default_moments`].
    pub default_moments: fn(&str, &mut Value),
    /// [`Rules::to_storage`] and [`Rules::from_storage`].
    pub to_storage: fn(&str, &mut Value),
    pub from_storage: fn(&str, &mut Value),
    /// [`Rules::cells`].
    pub row: Option<fn(&Value, i64) -> Vec<Value>>,
    /// [`Rules::pod_spec`].
    pub pod_spec: &'static [&'static str],
    /// [`Rules::drop_disabled`], beside what a pod's spec loses.
    pub disabled: fn(&mut Value),
    /// What a create sets or drops beyond `status`.
    pub created: fn(&mut Value),
    /// What an update keeps beyond `status`.
    pub updated: fn(&mut Value, &Value),
    /// On a create, and before [`Strategy::update`] on an update.
    pub check: Check,
    /// On a create alone, after [`Strategy::check`].
    pub created_check: Check,
    /// On an update; with [`Strategy::update_alone`] in place of [`Strategy::check`].
    pub update: Compare,
    pub update_alone: bool,
    /// On an update of `status`.
    pub check_status: Compare,
    pub generation_changes: fn(&Value, &Value) -> bool,
    pub warnings: fn(&Value, Option<&Value>) -> Vec<String>,
}

impl Strategy {
    /// What most kinds have: no status, no generation, unconditional updates.
    pub const fn new() -> Strategy {
        Strategy {
            complete: true,
            status: false,
            generation: false,
            create_on_update: false,
            orphans: false,
            unconditional_update: true,
            status_keeps_metadata: false,
            name: names::dns_subdomain,
            defaults: |_, _| {},
            default_moments: |_, _| {},
            to_storage: |_, _| {},
            from_storage: |_, _| {},
            row: None,
            pod_spec: &[],
            disabled: |_| {},
            created: |_| {},
            updated: |_, _| {},
            check: |_| {},
            created_check: |_| {},
            update: |_, _| {},
            update_alone: false,
            check_status: |_, _| {},
            generation_changes: spec_differs,
            warnings: |_, _| Vec::new(),
        }
    }

    /// The same for a kind whose validation is not written yet.
    pub const fn incomplete() -> Strategy {
        Strategy { complete: false, ..Strategy::new() }
    }
}

impl Default for Strategy {
    fn default() -> Strategy {
        Strategy::new()
    }
}

impl Rules for Strategy {
    fn pod_spec(&self) -> &'static [&'static str] {
        self.pod_spec
    }
    fn default(&self, version: &str, value: &mut Value) {
        (self.defaults)(version, value);
    }
    fn default_moments(&self, now: &str, value: &mut Value) {
        (self.default_moments)(now, value);
    }
    fn to_storage(&self, version: &str, value: &mut Value) {
        (self.to_storage)(version, value);
    }
    fn from_storage(&self, version: &str, value: &mut Value) {
        (self.from_storage)(version, value);
    }
    fn cells(&self, value: &Value, now: i64) -> Option<Vec<Value>> {
        self.row.map(|row| row(value, now))
    }
    fn has_status(&self) -> bool {
        self.status
    }
    fn has_generation(&self) -> bool {
        self.generation
    }
    fn create_on_update(&self) -> bool {
        self.create_on_update
    }
    fn orphans_by_default(&self) -> bool {
        self.orphans
    }
    fn unconditional_update(&self) -> bool {
        self.unconditional_update
    }
    fn bad_name(&self, name: &str, prefix: bool) -> Option<String> {
        name_by(self.name, name, prefix)
    }
    fn drop_disabled(&self, new: &mut Value) {
        if let Some(spec) = new.at_mut(self.pod_spec).filter(|_| !self.pod_spec.is_empty()) {
            super::core::pod::disabled::drop_fields(spec);
        }
        (self.disabled)(new);
    }
    /// What upstream's defaults put into a status stands in what it answers, though it cleared the client's.
    fn prepare_create(&self, _: &Context<'_>, new: &mut Value) {
        if self.status {
            new.remove(&["status"]);
            (self.defaults)("", new);
        }
        (self.created)(new);
    }
    fn prepare_update(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        if self.status {
            keep(new, old, "status");
        }
        (self.updated)(new, old);
    }
    fn prepare_status(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        if self.status_keeps_metadata {
            only_status(new, old);
        } else {
            keep_all_but(new, old, &["metadata", "status"]);
        }
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Vec<field::Error>) {
        inspect(new, errors, self.check);
        inspect(new, errors, self.created_check);
    }
    fn validate_update(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Vec<field::Error>) {
        if !self.update_alone {
            inspect(new, errors, self.check);
        }
        inspect_both(new, old, errors, self.update);
    }
    fn validate_status(&self, _: &Context<'_>, new: &Value, old: &Value, errors: &mut Vec<field::Error>) {
        inspect_both(new, old, errors, self.check_status);
    }
    fn complete(&self) -> bool {
        self.complete
    }
    fn generation_changes(&self, new: &Value, old: &Value) -> bool {
        (self.generation_changes)(new, old)
    }
    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        (self.warnings)(new, old)
    }
}
