//! What admission is asked about: upstream's `admission.Attributes`
//! (k8s.io/apiserver/pkg/admission/interfaces.go).

use std::collections::HashSet;

use api::Value;
use parking_lot::Mutex;

use super::quota::Charge;
use crate::engine::{Call, WriteOptions, delete};
use crate::status::Status;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

impl Operation {
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Connect => "CONNECT",
        }
    }
}

/// What the object of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Of the call's kind, in its storage version.
    Own,
    /// Of a kind of its own, as the subresource takes it: group, version, kind.
    Other(&'static str, &'static str, &'static str),
}

/// The options of the operation.
#[derive(Clone, Copy)]
pub(crate) enum Options<'a> {
    Write(&'a WriteOptions),
    Delete(&'a delete::Options),
    None,
}

/// See the module.
pub(crate) struct Request<'a> {
    pub call: &'a Call,
    pub operation: Operation,
    pub form: Form,
    /// What an update goes through, `""` for the object itself.
    pub subresource: &'a str,
    pub old: Option<&'a Value>,
    pub options: Options<'a>,
    pub rounds: Mutex<Rounds>,
    /// What the write took of quotas; given back unless it is kept.
    pub charges: Mutex<Vec<Charge>>,
}

/// What reinvocation remembers (k8s.io/apiserver/pkg/admission/reinvocation.go).
#[derive(Default)]
pub(crate) struct Rounds {
    /// The plugins run for the second time.
    pub second: bool,
    /// Somebody changed the object after others had seen it.
    pub wanted: bool,
    /// Hooks that ran and may run again.
    pub ran: Vec<String>,
    /// Of them, those that have to.
    pub repeat: HashSet<String>,
    /// The object after the last hook.
    pub output: Option<Value>,
}

impl<'a> Request<'a> {
    pub fn new(
        call: &'a Call,
        operation: Operation,
        subresource: &'a str,
        options: Options<'a>,
    ) -> Request<'a> {
        Request {
            call,
            operation,
            form: Form::Own,
            subresource,
            old: None,
            options,
            rounds: Mutex::new(Rounds::default()),
            charges: Mutex::new(Vec::new()),
        }
    }
    pub fn over(mut self, old: &'a Value) -> Request<'a> {
        self.old = Some(old);
        self
    }
    pub fn of(mut self, form: Form) -> Request<'a> {
        self.form = form;
        self
    }

    /// The write is done.
    pub fn keep(&self) {
        self.charges.lock().iter_mut().for_each(Charge::keep);
    }

    /// Another round is due; it is the last.
    pub fn again(&self) -> bool {
        let mut rounds = self.rounds.lock();
        let again = rounds.wanted && !rounds.second;
        rounds.second = true;
        again
    }

    pub fn is(&self, group: &str, plural: &str) -> bool {
        let resource = &self.call.target.storage.resource;
        resource.group == group && resource.plural == plural
    }
    /// An object of this kind itself is made.
    pub fn creates(&self, group: &str, plural: &str) -> bool {
        self.operation == Operation::Create && self.subresource.is_empty() && self.is(group, plural)
    }
    /// An object of this kind itself is changed.
    pub fn updates(&self, group: &str, plural: &str) -> bool {
        self.operation == Operation::Update && self.subresource.is_empty() && self.is(group, plural)
    }
    /// For namespaces themselves it is their name.
    pub fn namespace(&self) -> &str {
        &self.call.info.namespace
    }
    /// Empty for a create whose name is yet to be generated, and for deletions of many.
    pub fn name<'v>(&'v self, value: Option<&'v Value>) -> &'v str {
        match (self.operation, self.form, value) {
            (Operation::Create, Form::Own, Some(value)) => value.str_at(&["metadata", "name"]),
            _ if self.call.info.verb == "deletecollection" => "",
            _ => &self.call.info.name,
        }
    }
    pub fn dry_run(&self) -> bool {
        match self.options {
            Options::Write(options) => options.dry_run,
            Options::Delete(options) => options.dry_run,
            Options::None => false,
        }
    }
    /// 403 as `admission.NewForbidden` words it.
    pub fn forbidden(&self, value: Option<&Value>, why: impl std::fmt::Display) -> Status {
        let name = match (self.name(value), value) {
            ("", Some(value)) if self.operation == Operation::Create => {
                match value.str_at(&["metadata", "generateName"]) {
                    "" => "Unknown".to_string(),
                    prefix => prefix.to_string(),
                }
            }
            ("", _) => "Unknown".to_string(),
            (name, _) => name.to_string(),
        };
        Status::forbidden(&self.call.target.kind.resource, &name, why)
    }

    /// The options as an object, as webhooks and policies see them.
    pub fn options_value(&self) -> Value {
        let mut value = Value::object();
        match self.options {
            Options::Write(options) => {
                let kind = match (self.operation, self.call.info.verb) {
                    (Operation::Create, _) => "CreateOptions",
                    (_, "patch") => "PatchOptions",
                    _ => "UpdateOptions",
                };
                value.set(&["kind"], kind);
                value.set(&["apiVersion"], "meta.k8s.io/v1");
                if kind == "PatchOptions" && options.force {
                    value.set(&["force"], true);
                }
                let manager = self.call.query.get("fieldManager");
                if !manager.is_empty() {
                    value.set(&["fieldManager"], manager);
                }
                let validation = self.call.query.get("fieldValidation");
                if !validation.is_empty() {
                    value.set(&["fieldValidation"], validation);
                }
            }
            Options::Delete(options) => {
                value.set(&["kind"], "DeleteOptions");
                value.set(&["apiVersion"], "meta.k8s.io/v1");
                if let Some(grace) = options.grace {
                    value.set(&["gracePeriodSeconds"], grace);
                }
                if let Some(uid) = &options.uid {
                    value.set(&["preconditions", "uid"], uid.as_str());
                }
                if let Some(version) = &options.version {
                    value.set(&["preconditions", "resourceVersion"], version.as_str());
                }
                if let Some(orphan) = options.orphan {
                    value.set(&["orphanDependents"], orphan);
                }
                if let Some(policy) = &options.policy {
                    value.set(&["propagationPolicy"], policy.as_str());
                }
            }
            Options::None => return Value::Null,
        }
        if self.dry_run() {
            value.set(&["dryRun"], vec![Value::from("All")]);
        }
        value
    }
}
