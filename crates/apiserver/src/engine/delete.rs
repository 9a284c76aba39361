//! `delete` and `deletecollection`: preconditions, grace, finalizers, propagation
//! (k8s.io/apiserver/pkg/registry/rest/delete.go, generic/registry/store.go).

use std::sync::Arc;

use api::{Kind, Object, Value, field};
use bytes::Bytes;
use http::{Response, StatusCode};
use store::{Durability, Expect, Write};

use super::list::Selection;
use super::options::{self, ListOptions};
use super::{Call, Target};
use crate::admit::{self, Operation};
use crate::codec::{self, Expected};
use crate::custom;
use crate::http::Body;
use crate::status::{self, Details, MODIFIED, Result, Status};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
const ATTEMPTS: usize = 64;

/// `metav1.DeleteOptions`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// No policy was named, and the kind orphans.
    pub orphans: bool,
    pub grace: Option<i64>,
    pub uid: Option<String>,
    pub version: Option<String>,
    pub orphan: Option<bool>,
    pub policy: Option<String>,
    pub dry_run: bool,
    /// Admission has judged what leads to this, or the server deletes for itself.
    pub admitted: bool,
}

/// What became of an object.
pub(crate) struct Deleted {
    pub object: Arc<Object>,
    /// It is gone, not only marked.
    pub gone: bool,
}

impl Options {
    /// From the body, or from the query where there is none.
    pub fn of(call: &Call, bytes: &Bytes) -> Result<Options> {
        let mut options = Options::default();
        let mut errors = Vec::new();
        if bytes.is_empty() {
            let query = &call.query;
            options.grace = options::integer(query, "gracePeriodSeconds")?;
            options.policy = Some(query.get("propagationPolicy").to_string()).filter(|text| !text.is_empty());
            options.orphan = query.has("orphanDependents").then(|| query.flag("orphanDependents"));
            options.validate(&mut errors);
            options.dry_run = options::dry_run(query.all("dryRun"), &mut errors);
        } else {
            let of = Expected::named("", "v1", "DeleteOptions");
            // Clients send it as of meta/v1, of the kind's own group, or of v1.
            let value = codec::decode_options(&of, call.content_type(), bytes)?;
            let text = |path: &[&str]| value.at(path).and_then(Value::as_str).map(String::from);
            options.grace = value.get("gracePeriodSeconds").and_then(Value::as_int);
            options.uid = text(&["preconditions", "uid"]);
            options.version = text(&["preconditions", "resourceVersion"]);
            options.policy = text(&["propagationPolicy"]);
            options.orphan = value.get("orphanDependents").and_then(Value::as_bool);
            let dry = value.get("dryRun").and_then(Value::as_array).unwrap_or_default();
            options.validate(&mut errors);
            let asked = dry.iter().filter_map(Value::as_str);
            // Upstream does not look at the query beside a body; who asks there for a dry run does not mean to delete.
            options.dry_run =
                options::dry_run(asked, &mut errors) || call.query.all("dryRun").any(|value| value == "All");
        }
        if !errors.is_empty() {
            return Err(Status::invalid_kind("meta.k8s.io", "DeleteOptions", "", &errors));
        }
        let rules = &call.target.storage.rules;
        if !rules.has_dependents() {
            (options.policy, options.orphan) = (None, None);
        }
        if options.policy.is_none() && options.orphan.is_none() && rules.orphans_by_default() {
            if call.target.kind.kind == "Job" {
                call.warn([JOBS.to_string()]);
            }
            options.orphans = true;
        }
        Ok(options)
    }

    fn validate(&self, errors: &mut Vec<field::Error>) {
        let path = field::Path::new("propagationPolicy");
        if let Some(policy) = &self.policy {
            if self.orphan.is_some() {
                let text = "orphanDependents and deletionPropagation cannot be both set";
                errors.push(field::Error::invalid(path.clone(), policy.as_str(), text));
            }
            if !matches!(policy.as_str(), "Foreground" | "Background" | "Orphan") {
                errors.push(field::Error {
                    path,
                    reason: field::Reason::NotSupported,
                    value: Some(policy.as_str().into()),
                    detail: "supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"".into(),
                });
            }
        }
    }

    /// The finalizers that the garbage collector acts on, added and taken away as the policy says.
    fn finalizers(&self, have: &[String]) -> Vec<String> {
        let has = |name: &str| have.iter().any(|own| own == name);
        let asked = |policy: &str, finalizer: &str| match (self.orphan, self.policy.as_deref()) {
            (Some(orphan), _) => orphan && policy == "Orphan",
            (None, Some(named)) => named == policy,
            (None, None) if has(finalizer) => true,
            (None, None) => policy == "Orphan" && self.orphans && !has(FOREGROUND),
        };
        let mut all: Vec<String> =
            have.iter().filter(|name| *name != ORPHAN && *name != FOREGROUND).cloned().collect();
        if asked("Orphan", ORPHAN) {
            all.push(ORPHAN.into());
        }
        if asked("Foreground", FOREGROUND) {
            all.push(FOREGROUND.into());
        }
        all
    }
}

const JOBS: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove \
                    them or set propagationPolicy=Orphan to suppress this warning";

/// An update took the last thing away that a deletion waited for.
pub(crate) fn is_finished(target: &Target, new: &Value, old: &Value) -> bool {
    let grace = new.at(&["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_int).unwrap_or(0);
    old.at(&["metadata", "deletionTimestamp"]).is_some_and(|time| !time.is_null())
        && grace == 0
        && finalizers(new).is_empty()
        && !holds(&target.storage, new)
}

fn finalizers(value: &Value) -> Vec<String> {
    let items = value.at(&["metadata", "finalizers"]).and_then(Value::as_array).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(String::from).collect()
}

/// Namespaces have finalizers of their own in `spec`.
fn holds(storage: &Kind, value: &Value) -> bool {
    storage.resource.group.is_empty()
        && storage.resource.plural == "namespaces"
        && value.at(&["spec", "finalizers"]).and_then(Value::as_array).is_some_and(|list| !list.is_empty())
}

/// Kinds whose delete answers with the object and not with a Status (upstream's ReturnDeletedObject).
fn answers_object(kind: &Kind) -> bool {
    match kind.resource.group.as_str() {
        "" => matches!(
            kind.resource.plural.as_str(),
            "resourcequotas"
                | "persistentvolumes"
                | "serviceaccounts"
                | "persistentvolumeclaims"
                | "namespaces"
                | "pods"
                | "services"
                | "podtemplates"
        ),
        "storage.k8s.io" => !matches!(kind.resource.plural.as_str(), "csistoragecapacities"),
        "resource.k8s.io" => true,
        _ => false,
    }
}

impl Call {
    pub async fn delete(&self, bytes: Bytes) -> Result<Response<Body>> {
        let options = Options::of(self, &bytes)?;
        let deleted = self.delete_one(&self.info.name, self.namespace(), &options).await?;
        let code = match !deleted.gone && options.orphan == Some(false) {
            true => StatusCode::ACCEPTED,
            false => StatusCode::OK,
        };
        if deleted.gone && !answers_object(&self.target.kind) {
            let details = Details {
                name: self.info.name.clone(),
                group: self.target.kind.resource.group.to_string(),
                kind: self.target.kind.resource.plural.to_string(),
                uid: deleted.object.uid.to_string(),
                ..Details::default()
            };
            return Ok(self.answer_value(code, &status::success(&details)));
        }
        self.answer(code, &deleted.object)
    }

    pub async fn delete_one(&self, name: &str, namespace: &str, options: &Options) -> Result<Deleted> {
        let target = &self.target;
        let resource = &target.kind.resource;
        let cache = target.cache()?;
        let key = target.key(namespace, name);
        for _ in 0..ATTEMPTS {
            self.inner.catch_up(cache).await?;
            let old = cache.get_key(&key).ok_or_else(|| Status::not_found(resource, name))?;
            let old_value = target.stored_value(&old)?;
            preconditions(target, &old, options)?;
            if !options.admitted {
                let asked = admit::Options::Delete(options);
                let request = admit::Request::new(self, Operation::Delete, "", asked).over(&old_value);
                admit::mutate(&request, &mut Value::Null).await?;
                admit::validate(&request, None).await?;
            }
            let mut new = old_value.clone();
            let gone = match self.mark(&mut new, options) {
                Mark::Already => return Ok(Deleted { object: old, gone: false }),
                Mark::Later => false,
                Mark::Now => true,
            };
            if options.dry_run {
                return Ok(Deleted { object: target.unsaved(&new)?, gone });
            }
            codec::canonical(&target.storage, &mut new)?;
            let stored = Bytes::from(api::object::stored(&new));
            let write = Write {
                key: key.clone(),
                expect: Expect::At(old.revision),
                value: (!gone).then(|| stored.clone()),
                durability: match resource.plural == "events" {
                    true => Durability::Relaxed,
                    false => Durability::Durable,
                },
                ttl: self.inner.ttl(target),
            };
            match self.inner.store.write(write).await {
                Ok(revision) => {
                    let object = self.written(&key, stored, revision).await?;
                    return Ok(Deleted { object, gone });
                }
                Err(store::Error::Conflict { .. }) => continue,
                Err(error) => return Err(Status::store(resource, name, error)),
            }
        }
        Err(Status::conflict(resource, name, MODIFIED))
    }

    /// Marks the object as deleted as far as it has to be.
    fn mark(&self, value: &mut Value, options: &Options) -> Mark {
        let mark = self.marked(value, options);
        // What was set last goes where upstream writes it.
        if let Err(error) = codec::canonical(&self.target.storage, value) {
            tracing::error!(?error, "a stored object has not the form of its kind");
        }
        mark
    }

    fn marked(&self, value: &mut Value, options: &Options) -> Mark {
        let target = &self.target;
        let now = self.inner.clock.now().as_second();
        let metadata = |field: &str, value: &Value| value.at(&["metadata", field]).cloned();
        let deleting = metadata("deletionTimestamp", value).filter(|time| !time.is_null());
        let had = finalizers(value);
        let asked = options.grace.map(|grace| if grace < 0 { 1 } else { grace });
        let mut grace = target.storage.rules.graceful(value, asked);
        if let (Some(at), Some(_)) = (&deleting, grace) {
            let left =
                metadata("deletionGracePeriodSeconds", value).and_then(|left| left.as_int()).unwrap_or(0);
            match asked {
                _ if left == 0 => grace = None,
                // Only shorter.
                Some(asked) if asked < left => {
                    let end =
                        api::time::parse(at.as_str().unwrap_or_default()).map_or(now, |time| time.seconds);
                    let moved = end - left + asked;
                    let period = if moved < now && asked != 0 { 1 } else { asked };
                    value.set(&["metadata", "deletionTimestamp"], api::time::format(moved.max(now)));
                    value.set(&["metadata", "deletionGracePeriodSeconds"], period);
                    return self.rest(value, had, period == 0);
                }
                _ => return Mark::Already,
            }
        }
        if deleting.is_none() {
            custom::deleting(target, value, &self.inner.now());
        }
        let had = finalizers(value);
        // Upstream marks a definition by code of its own, which looks at no options.
        let definition = deleting.is_none() && custom::is_definition(target);
        let wanted = if definition { had.clone() } else { options.finalizers(&had) };
        match wanted.is_empty() {
            true => drop(value.remove(&["metadata", "finalizers"])),
            false => {
                let list: Vec<Value> = wanted.iter().map(|name| Value::from(name.as_str())).collect();
                value.set(&["metadata", "finalizers"], list);
            }
        }
        let graceful = grace.is_some();
        let grace = grace.unwrap_or(0);
        let later = grace > 0 || !wanted.is_empty() || holds(&target.storage, value);
        if !later && !graceful {
            return Mark::Now;
        }
        if deleting.is_none() {
            let generation = metadata("generation", value).and_then(|at| at.as_int()).unwrap_or(0);
            value.set(&["metadata", "deletionTimestamp"], api::time::format(now + grace));
            if !definition {
                if generation > 0 {
                    value.set(&["metadata", "generation"], generation + 1);
                }
                value.set(&["metadata", "deletionGracePeriodSeconds"], grace);
            }
        } else if grace == 0 {
            value.set(&["metadata", "deletionGracePeriodSeconds"], 0i64);
        }
        if holds(&target.storage, value) {
            // The namespace controller empties it, and then takes the finalizer away.
            value.remove(&["metadata", "deletionGracePeriodSeconds"]);
            value.set(&["status", "phase"], "Terminating");
        }
        match later {
            true if deleting.is_some() && wanted == had && grace == 0 => Mark::Already,
            true => Mark::Later,
            false => Mark::Now,
        }
    }

    fn rest(&self, value: &Value, finalizers: Vec<String>, over: bool) -> Mark {
        match over && finalizers.is_empty() && !holds(&self.target.storage, value) {
            true => Mark::Now,
            false => Mark::Later,
        }
    }

    pub async fn delete_collection(&self, bytes: Bytes) -> Result<Response<Body>> {
        let options = Options::of(self, &bytes)?;
        let selection = Selection::of(self)?;
        let page = self.page(&selection, &ListOptions::of(&self.query, false)?).await?;
        for object in &page.objects {
            match self.delete_one(object.name(), object.namespace(), &options).await {
                Err(status) if status.reason() != "NotFound" => return Err(status),
                _ => {}
            }
        }
        // What was there, as a list shows it.
        self.list_answer(page)
    }
}

enum Mark {
    /// Nothing to do.
    Already,
    Later,
    Now,
}

fn preconditions(target: &Target, object: &Object, options: &Options) -> Result<()> {
    // Upstream names the stored kind here, not the resource, except where a registry looks before the store does.
    let storage = &target.storage;
    let early = matches!(storage.kind.as_str(), "Namespace" | "CustomResourceDefinition") && !storage.custom;
    let resource = &match early {
        true => storage.resource.clone(),
        false => api::Resource::new(storage.resource.group.clone(), storage.kind.clone()),
    };
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != object.uid.0) {
        let have = &object.uid;
        let why = match early {
            true => format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {have}"),
            false => format!(
                "the UID in the precondition ({uid}) does not match the UID in record ({have}). The object might have been \
                 deleted and then recreated"
            ),
        };
        return Err(Status::conflict(resource, object.name(), why));
    }
    let have = object.revision.to_string();
    if let Some(version) = options.version.as_deref().filter(|version| *version != have) {
        let why = format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({have}). The object might have been modified"
        );
        return Err(Status::conflict(resource, object.name(), why));
    }
    Ok(())
}
