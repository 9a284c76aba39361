//! `create`: decode → default → admit → prepare → validate → store
//! (k8s.io/apiserver/pkg/endpoints/handlers/create.go, pkg/registry/rest/create.go).

use std::sync::Arc;

use api::kind::Context;
use api::{Object, Revision, Value, validation};
use bytes::Bytes;
use http::{Response, StatusCode};
use rand::Rng;
use store::{Durability, Expect, Write};

use super::{Call, Target, WriteOptions};
use crate::admit::{self, Operation, Options};
use crate::codec::{self, Expected};
use crate::http::Body;
use crate::manage;
use crate::status::{Result, Status};

/// Letters of a generated suffix: no vowels and nothing that looks like another (apimachinery's `rand`).
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Most bytes of `generateName` that are used.
const BASE: usize = 63 - 5;
/// How often a generated name is tried.
const ATTEMPTS: usize = 8;
/// How often somebody on another server may be faster in taking an address or a port.
const RACES: usize = 64;

impl Call {
    pub async fn create(&self, bytes: Bytes) -> Result<Response<Body>> {
        let options = self.write_options()?;
        let value = self.decode(&bytes, &options)?;
        let object = self.create_value(value, &options).await?;
        self.answer(StatusCode::CREATED, &object)
    }

    /// Decodes a body of the target's kind and version; gives it defaulted, in the storage version.
    pub fn decode(&self, bytes: &Bytes, options: &WriteOptions) -> Result<Value> {
        let target = &self.target;
        let expected = Expected::kind(&target.kind, target.version());
        let mut warnings = Vec::new();
        let mut value =
            codec::decode(&expected, self.content_type(), bytes, options.strictness, &mut warnings)?;
        self.check_names(&mut value)?;
        target.complete(&mut value, options, &self.inner.now(), &mut warnings)?;
        self.warn(warnings);
        Ok(value)
    }

    /// The body's name and namespace are the path's, or empty.
    pub(crate) fn check_names(&self, value: &mut Value) -> Result<()> {
        if self.target.kind.namespaced {
            self.placed_as_asked(value.str_at(&["metadata", "namespace"]))?;
            value.set(&["metadata", "namespace"], self.info.namespace.as_str());
        } else if !value.str_at(&["metadata", "namespace"]).is_empty() {
            value.remove(&["metadata", "namespace"]);
        }
        let given = value.str_at(&["metadata", "name"]);
        if !self.info.name.is_empty() && self.info.verb != "create" {
            self.named_as_asked(given)?;
        }
        Ok(())
    }

    /// The body's namespace is the path's, or empty.
    pub(super) fn placed_as_asked(&self, given: &str) -> Result<()> {
        if given.is_empty() || given == self.info.namespace {
            return Ok(());
        }
        Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ))
    }

    /// The body's name is the path's.
    pub(super) fn named_as_asked(&self, given: &str) -> Result<()> {
        let name = &self.info.name;
        match given {
            _ if given == name => Ok(()),
            "" => Err(Status::bad_request(format!(
                "the name of the object ({name} based on URL) was undeterminable: name must be provided"
            ))),
            _ => Err(Status::bad_request(format!(
                "the name of the object ({given}) does not match the name on the URL ({name})"
            ))),
        }
    }

    /// Creates a defaulted value of the storage version.
    pub async fn create_value(&self, mut value: Value, options: &WriteOptions) -> Result<Arc<Object>> {
        let target = &self.target;
        let generate = value.str_at(&["metadata", "generateName"]).to_string();
        let generated = value.str_at(&["metadata", "name"]).is_empty() && !generate.is_empty();
        let now = self.inner.now();
        begin(&mut value, &now);
        manage::created(target, &mut value, options, &self.info.subresource, &now);
        let request = admit::Request::new(self, Operation::Create, "", Options::Write(options));
        if !options.admitted {
            admit::mutate(&request, &mut value).await?;
        }
        // Copied only where another name may have to be tried.
        let mut template = Some(value);
        let mut turn = None;
        for attempt in 0usize.. {
            let again = generated || admit::has_pool(target);
            let copy = if again { template.clone() } else { template.take() };
            let mut value = copy.expect("because nothing else is tried twice");
            if generated {
                value.set(&["metadata", "name"], generated_name(&generate));
            }
            let name = value.str_at(&["metadata", "name"]).to_string();
            let key = target.key(if target.kind.namespaced { &self.info.namespace } else { "" }, &name);
            let context =
                Context { key: &key, now: &now, user: &self.identity.name, who: self.identity.who() };
            target.storage.rules.drop_disabled(&mut value);
            target.storage.rules.prepare_create(&context, &mut value);
            // A kind may name what nobody named.
            let name = value.str_at(&["metadata", "name"]).to_string();
            let key = target.key(if target.kind.namespaced { &self.info.namespace } else { "" }, &name);
            let context = Context { key: &key, ..context };
            if target.storage.rules.has_generation() {
                value.set(&["metadata", "generation"], 1i64);
            }
            let seen = admit::know_pool(self).await?;
            let hold = admit::allocate(self, None, &mut value, options)?;
            codec::canonical(&target.storage, &mut value)?;
            let mut errors = Vec::new();
            admit::admin_access::created(self, &value, &mut errors);
            validation::validate_object_meta(&target.kind, &value, &mut errors);
            target.kind.rules.validate_create(&context, &value, &mut errors);
            admit::pod_certificates::created(self, &value, &mut errors);
            if !errors.is_empty() {
                return Err(Status::invalid(&target.storage, &name, &errors));
            }
            if !options.admitted {
                admit::validate(&request, Some(&value)).await?;
            }
            self.warn(target.storage.rules.warnings(&value, None));
            let exists = || Status::already_exists(&target.kind.resource, &name);
            if options.dry_run {
                if target.cache()?.get_key(&key).is_some() {
                    return Err(exists());
                }
                return target.unsaved(&value);
            }
            // Only the store minds.
            if !value.str_at(&["metadata", "resourceVersion"]).is_empty() {
                return Err(Status::new(
                    500,
                    "",
                    "resourceVersion should not be set on objects to be created",
                ));
            }
            let stored = Bytes::from(api::object::stored(&value));
            let write = Write {
                key: key.clone(),
                expect: Expect::Absent,
                value: Some(stored.clone()),
                durability: durability(target, None, &value),
                ttl: self.inner.ttl(target),
            };
            match admit::write(&*self.inner.store, write, hold.as_ref(), seen).await {
                Ok(revision) => {
                    let object = self.written(&key, stored, revision).await?;
                    hold.into_iter().for_each(admit::Hold::keep);
                    request.keep();
                    return Ok(object);
                }
                Err(store::Error::Raced(_)) if attempt < RACES => {
                    if turn.is_none() {
                        turn = Some(self.inner.services.turn().await);
                    }
                    continue;
                }
                Err(store::Error::Conflict { .. }) if generated && attempt < ATTEMPTS => continue,
                Err(store::Error::Conflict { .. }) if generated => {
                    let message = format!(
                        "{} {name:?} already exists, the server was not able to generate a unique name for the object",
                        target.kind.resource
                    );
                    return Err(Status::new(409, "AlreadyExists", message).retry_after(1));
                }
                Err(store::Error::Conflict { current: Some(record), .. }) => {
                    let there = Object::from_stored(&target.storage, &record.value, key, record.revision);
                    let deleting = there.is_ok_and(|object| object.deleting);
                    return Err(if deleting {
                        exists().prefixed("object is being deleted: ")
                    } else {
                        exists()
                    });
                }
                Err(store::Error::Conflict { .. }) => return Err(exists()),
                Err(error) => return Err(Status::store(&target.kind.resource, &name, error)),
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// The object of a write, once the server's own cache holds it (read your writes).
    pub async fn written(&self, key: &api::Key, stored: Bytes, revision: Revision) -> Result<Arc<Object>> {
        let cache = self.target.cache()?;
        self.inner.wait_for_written(&self.target.storage.resource, cache, revision).await?;
        // Usually what the cache has just got; somebody may have been faster.
        if let Some(object) = cache.get_key(key).filter(|object| object.revision == revision) {
            return Ok(object);
        }
        Object::from_stored(&self.target.storage, &stored, key.clone(), revision)
            .map(Arc::new)
            .map_err(Status::internal)
    }
}

impl Target {
    /// From a decoded value of the target's version to a defaulted one of the storage version.
    pub fn complete(
        &self,
        value: &mut Value,
        options: &WriteOptions,
        now: &str,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        crate::custom::prune(self, value, options.strictness, warnings)?;
        codec::default(&self.kind, self.version(), value);
        codec::to_storage(&self.kind, &self.storage, &self.version().name, value)?;
        self.storage.rules.default_moments(now, value);
        Ok(())
    }

    /// The object of a dry run.
    pub fn unsaved(&self, value: &Value) -> Result<Arc<Object>> {
        let mut object = Object::from_value(&self.storage, value, Revision(0)).map_err(Status::internal)?;
        let shown = value.str_at(&["metadata", "resourceVersion"]);
        if shown.is_empty() {
            // A create has no revision yet.
            object.json = value.to_json().into();
            object.managed_fields = 0..0;
        } else if let Ok(revision) = shown.parse() {
            object =
                Object::from_value(&self.storage, value, Revision(revision)).map_err(Status::internal)?;
        }
        Ok(Arc::new(object))
    }
}

/// What every new object gets (`rest.FillObjectMetaSystemFields`).
fn begin(value: &mut Value, now: &str) {
    let metadata = value.make(&["metadata"]);
    // A generation stays where the kind counts none, as upstream's does.
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        metadata.remove(&[field]);
    }
    metadata.set(&["uid"], uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string());
    metadata.set(&["creationTimestamp"], now);
}

/// `base` and five letters.
pub(crate) fn generated_name(base: &str) -> String {
    let mut end = base.len().min(BASE);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = base[..end].to_string();
    let mut random = rand::rng();
    name.extend((0..5).map(|_| LETTERS[random.random_range(0..LETTERS.len())] as char));
    name
}

/// How safe a write must be (D5).
pub(crate) fn durability(target: &Target, old: Option<&Value>, new: &Value) -> Durability {
    match (target.storage.resource.group.as_str(), target.storage.resource.plural.as_str()) {
        ("", "events") => Durability::Relaxed,
        ("coordination.k8s.io", "leases") if old.is_some_and(|old| only_renewed(old, new)) => {
            Durability::Volatile
        }
        _ => Durability::Durable,
    }
}

/// Nothing but `spec.renewTime` differs, and what follows from it.
fn only_renewed(old: &Value, new: &Value) -> bool {
    let without = |value: &Value| {
        let mut value = value.clone();
        value.remove(&["spec", "renewTime"]);
        value.remove(&["metadata", "managedFields"]);
        value.remove(&["metadata", "resourceVersion"]);
        value
    };
    without(old) == without(new)
}
