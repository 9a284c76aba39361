//! Admission policies: ValidatingAdmissionPolicy and MutatingAdmissionPolicy with their bindings
//! (k8s.io/apiserver/pkg/admission/plugin/policy). A policy does nothing without a binding.
//!
//! Policies and bindings are kept parsed, by name; expressions are compiled when a policy is seen, and one that does not
//! compile fails the requests that it is about, as its failure policy says.

mod mutating;
mod params;
mod parsed;
mod validating;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use client::Update;
use parking_lot::Mutex;

use super::{Plugin, webhook};
pub(super) use parsed::{Binding, Policy};

pub(super) const MUTATING: Plugin = Plugin {
    name: "MutatingAdmissionPolicy",
    default: true,
    handles: |request| {
        !request.call.inner.admission.policies.mutating.is_empty() && webhook::may_judge(request)
    },
    mutate: Some(|request, value| Box::pin(async move { mutating::mutate(request, value) })),
    validate: None,
};

pub(super) const VALIDATING: Plugin = Plugin {
    name: "ValidatingAdmissionPolicy",
    default: true,
    handles: |request| {
        !request.call.inner.admission.policies.validating.is_empty() && webhook::may_judge(request)
    },
    mutate: None,
    validate: Some(|request, value| Box::pin(async move { validating::validate(request, value) })),
};

/// All policies that are bound.
#[derive(Default)]
pub(crate) struct Policies {
    pub mutating: Bound,
    pub validating: Bound,
}

/// Policies with their bindings, in the order of their names.
#[derive(Default)]
pub(crate) struct Bound {
    known: Mutex<Known>,
    all: ArcSwap<Vec<(Arc<Policy>, Vec<Arc<Binding>>)>>,
}

#[derive(Default)]
struct Known {
    policies: BTreeMap<String, Arc<Policy>>,
    bindings: BTreeMap<String, Arc<Binding>>,
}

impl Policies {
    pub fn observe(&self, plural: &str, update: &Update) {
        match plural {
            "validatingadmissionpolicies" => self.validating.policy(update),
            "validatingadmissionpolicybindings" => self.validating.binding(update),
            "mutatingadmissionpolicies" => self.mutating.policy(update),
            "mutatingadmissionpolicybindings" => self.mutating.binding(update),
            _ => {}
        }
    }
}

impl Bound {
    pub fn is_empty(&self) -> bool {
        self.all.load().is_empty()
    }
    pub fn all(&self) -> Arc<Vec<(Arc<Policy>, Vec<Arc<Binding>>)>> {
        self.all.load_full()
    }
    fn policy(&self, update: &Update) {
        let mut known = self.known.lock();
        match update {
            Update::Put(object) => {
                known.policies.insert(object.name().into(), Arc::new(Policy::of(&object.value())));
            }
            Update::Delete(object) => drop(known.policies.remove(object.name())),
        }
        self.publish(&known);
    }
    fn binding(&self, update: &Update) {
        let mut known = self.known.lock();
        match update {
            Update::Put(object) => {
                known.bindings.insert(object.name().into(), Arc::new(Binding::of(&object.value())));
            }
            Update::Delete(object) => drop(known.bindings.remove(object.name())),
        }
        self.publish(&known);
    }
    fn publish(&self, known: &Known) {
        let bound = known.policies.values().filter_map(|policy| {
            let bindings: Vec<Arc<Binding>> =
                known.bindings.values().filter(|binding| binding.policy == policy.name).cloned().collect();
            (!bindings.is_empty()).then(|| (policy.clone(), bindings))
        });
        self.all.store(Arc::new(bound.collect()));
    }
}
