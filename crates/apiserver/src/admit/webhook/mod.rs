//! Admission webhooks: MutatingAdmissionWebhook and ValidatingAdmissionWebhook
//! (k8s.io/apiserver/pkg/admission/plugin/webhook).
//!
//! The configurations are kept parsed, in the order they are called: by configuration's name, then as they stand in it. A
//! configuration is never itself judged by one, so that a bad one can always be taken away.

mod call;
mod dispatch;
mod hook;
pub(crate) mod matching;
pub(crate) mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use client::Update;
use parking_lot::Mutex;

use super::{Plugin, Request};
pub(super) use call::admission_request;
pub(crate) use hook::Hook;

pub(super) const MUTATING: Plugin = Plugin {
    name: "MutatingAdmissionWebhook",
    default: true,
    handles: |request| !request.call.inner.admission.hooks.mutating.is_empty() && may_judge(request),
    mutate: Some(|request, value| Box::pin(dispatch::mutate(request, value))),
    validate: None,
};

pub(super) const VALIDATING: Plugin = Plugin {
    name: "ValidatingAdmissionWebhook",
    default: true,
    handles: |request| !request.call.inner.admission.hooks.validating.is_empty() && may_judge(request),
    mutate: None,
    validate: Some(|request, value| Box::pin(dispatch::validate(request, value))),
};

/// What configures admission is not judged by webhooks and policies.
pub(super) fn may_judge(request: &Request<'_>) -> bool {
    let resource = &request.call.target.storage.resource;
    resource.group != "admissionregistration.k8s.io"
}

/// All webhooks, by kind of configuration.
#[derive(Default)]
pub(crate) struct Hooks {
    pub mutating: Ordered,
    pub validating: Ordered,
}

impl Hooks {
    pub fn observe(&self, plural: &str, update: &Update) {
        match plural {
            "mutatingwebhookconfigurations" => self.mutating.observe(update),
            "validatingwebhookconfigurations" => self.validating.observe(update),
            _ => {}
        }
    }
}

/// Webhooks in the order they are called; read without a lock.
#[derive(Default)]
pub(crate) struct Ordered {
    by_name: Mutex<BTreeMap<String, Vec<Arc<Hook>>>>,
    all: ArcSwap<Vec<Arc<Hook>>>,
}

impl Ordered {
    pub fn is_empty(&self) -> bool {
        self.all.load().is_empty()
    }
    pub fn all(&self) -> Arc<Vec<Arc<Hook>>> {
        self.all.load_full()
    }
    fn observe(&self, update: &Update) {
        let mut by_name = self.by_name.lock();
        match update {
            Update::Put(object) => {
                by_name.insert(object.name().to_string(), Hook::all_of(&object.value()));
            }
            Update::Delete(object) => {
                by_name.remove(object.name());
            }
        }
        self.all.store(Arc::new(by_name.values().flatten().cloned().collect()));
    }
}
