//! `update`: read, change, prepare, admit, validate, compare and swap
//! (k8s.io/apiserver/pkg/registry/rest/update.go, registry/store.go `Update`). `patch` is an update whose new object is made
//! of the old one, and is made again when somebody else was faster.

use std::sync::Arc;

use api::kind::Context;
use api::{Key, Object, Value, validation};
use bytes::Bytes;
use http::{Response, StatusCode};
use store::{Expect, Write};

use super::create::durability;
use super::{Call, WriteOptions};
use crate::admit::{self, Form, Operation, Options};
use crate::codec;
use crate::http::Body;
use crate::status::{MODIFIED, Result, Status};
use crate::{manage, subresource};

/// What of an object a request may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Main,
    Status,
    /// A subresource with rules of its own: the new object is taken as it was made.
    Whole,
}

/// How often a change that can be made again is made again.
const ATTEMPTS: usize = 64;

/// Makes the new object of the old one, both in the storage version.
pub(crate) type Make<'a> = &'a (dyn Fn(&Value) -> Result<Value> + Send + Sync);

/// An object, and whether the write made it.
pub(crate) struct Outcome {
    pub object: Arc<Object>,
    pub created: bool,
}

impl Outcome {
    pub fn code(&self) -> StatusCode {
        if self.created { StatusCode::CREATED } else { StatusCode::OK }
    }
}

impl Call {
    pub async fn update(&self, bytes: Bytes) -> Result<Response<Body>> {
        let options = self.write_options()?;
        let part = match self.info.subresource.as_str() {
            "" => Part::Main,
            "status" => Part::Status,
            _ => Part::Whole,
        };
        let value = self.decode(&bytes, &options)?;
        let outcome =
            self.change(part, &options, manage::How::Update, &|_| Ok(value.clone()), Some(&value)).await?;
        self.answer(outcome.code(), &outcome.object)
    }

    /// Changes the object that the path names. `or_create`: what to make if there is none.
    pub async fn change(
        &self,
        part: Part,
        options: &WriteOptions,
        how: manage::How,
        make: Make<'_>,
        or_create: Option<&Value>,
    ) -> Result<Outcome> {
        let target = &self.target;
        let cache = target.cache()?;
        self.inner.catch_up(cache).await?;
        let key = target.key(self.namespace(), &self.info.name);
        let mut current = cache.get_key(&key);
        let mut turn = None;
        for _ in 0..ATTEMPTS {
            let Some(old) = current else {
                let may = target.storage.rules.create_on_update() || how == manage::How::Apply;
                let Some(value) = or_create.filter(|_| part == Part::Main && may) else {
                    return Err(Status::not_found(&target.kind.resource, &self.info.name));
                };
                let uid = value.str_at(&["metadata", "uid"]);
                if how == manage::How::Apply && !uid.is_empty() {
                    let why = format!(
                        "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                    );
                    return Err(Status::conflict(&target.kind.resource, &self.info.name, why));
                }
                let mut value = value.clone();
                value.remove(&["metadata", "resourceVersion"]);
                // A create waits for a turn of its own.
                drop(turn.take());
                match self.create_value(value, options).await {
                    Ok(object) => return Ok(Outcome { object, created: true }),
                    // Somebody was faster: theirs is the object to change.
                    Err(status) if status.reason() == "AlreadyExists" => {
                        self.inner.catch_up(cache).await?;
                        current = cache.get_key(&key);
                        continue;
                    }
                    Err(status) => return Err(status),
                }
            };
            let old_value = target.stored_value(&old)?;
            let new = make(&old_value)?;
            let fixed =
                !new.str_at(&["metadata", "resourceVersion"]).is_empty() && how == manage::How::Update;
            match self.try_change(part, options, how, &key, &old, &old_value, new).await? {
                Tried::Done(object) => return Ok(Outcome { object, created: false }),
                Tried::Beaten if fixed => break,
                tried @ (Tried::Beaten | Tried::Raced) => {
                    if matches!(tried, Tried::Raced) && turn.is_none() {
                        turn = Some(self.inner.services.turn().await);
                    }
                    self.inner.catch_up(cache).await?;
                    current = cache.get_key(&key);
                }
            }
        }
        Err(Status::conflict(&target.kind.resource, &self.info.name, MODIFIED))
    }

    async fn try_change(
        &self,
        part: Part,
        options: &WriteOptions,
        how: manage::How,
        key: &Key,
        old: &Arc<Object>,
        old_value: &Value,
        mut new: Value,
    ) -> Result<Tried> {
        let target = &self.target;
        let rules = &target.storage.rules;
        let resource = &target.kind.resource;
        let name = &self.info.name;
        // Preconditions that the object carries in itself.
        if target.kind.namespaced {
            self.placed_as_asked(new.str_at(&["metadata", "namespace"]))?;
            new.set(&["metadata", "namespace"], self.namespace());
        }
        let uid = new.str_at(&["metadata", "uid"]);
        if !uid.is_empty() && uid != old.uid.0 && how == manage::How::Update {
            // A dry run is judged before the store puts its prefix on.
            let prefix = if options.dry_run { "" } else { "/registry" };
            let why = format!(
                "StorageError: invalid object, Code: 4, Key: {prefix}{}, ResourceVersion: 0, AdditionalErrorMsg: Precondition \
                 failed: UID in precondition: {uid}, UID in object meta: {}",
                // The key that upstream's store has for an object, which its texts show.
                store::etcd::upstream_name(key),
                old.uid
            );
            return Err(Status::conflict(resource, name, why));
        }
        let version = new.str_at(&["metadata", "resourceVersion"]);
        if !version.is_empty() && version.parse::<u64>().is_err() {
            let version = api::text::quote(version);
            return Err(Status::new(
                500,
                "",
                format!("strconv.ParseUint: parsing {version}: invalid syntax"),
            ));
        }
        if version.is_empty() || version == "0" {
            // A Scale need not say which state of its object it is of.
            let whole = self.info.subresource != "scale";
            if !rules.unconditional_update() && how == manage::How::Update && whole {
                let path = api::field::Path::new("metadata").child("resourceVersion");
                let error = api::field::Error::invalid(path, "", "must be specified for an update");
                return Err(Status::invalid(&target.storage, name, &[error]));
            }
        } else if version != old.revision.0.to_string() {
            return Err(Status::conflict(resource, name, MODIFIED));
        }
        let now = self.inner.now();
        keep_system_fields(&mut new, old_value);
        let context = Context { key, now: &now, user: &self.identity.name, who: self.identity.who() };
        // Subresources that show the whole object and have a strategy of their own.
        let sub = self.info.subresource.as_str();
        let shown =
            part == Part::Whole && matches!(sub, "finalize" | "ephemeralcontainers" | "resize" | "approval");
        if sub == "approval" {
            rules.prepare_subresource(sub, &context, &mut new, old_value);
        }
        manage::updated(target, old_value, &mut new, options, &self.info.subresource, &now);
        if part == Part::Status || shown && sub != "approval" {
            // Upstream notes who asked for what before the strategy drops it.
            let owners = new.at(&["metadata", "managedFields"]).cloned();
            match part {
                Part::Status => rules.prepare_status(&context, &mut new, old_value),
                _ => rules.prepare_subresource(sub, &context, &mut new, old_value),
            }
            match owners {
                Some(owners) => new.set(&["metadata", "managedFields"], owners),
                None => drop(new.remove(&["metadata", "managedFields"])),
            }
        }
        let asked = if part == Part::Status { "status" } else { sub };
        let request = admit::Request::new(self, Operation::Update, asked, Options::Write(options));
        let scaled = sub == "scale";
        let shown_old = if scaled { subresource::show_scale(self, old_value) } else { old_value.clone() };
        let form = if scaled { subresource::SCALE_FORM } else { Form::Own };
        let request = request.of(form).over(&shown_old);
        if !options.admitted && scaled {
            let mut shown = subresource::show_scale(self, &new);
            admit::mutate(&request, &mut shown).await?;
            new = subresource::take_scale(self, &new, &shown)?;
        } else if !options.admitted {
            admit::mutate(&request, &mut new).await?;
        }
        rules.drop_disabled(&mut new);
        if part == Part::Main {
            rules.prepare_update(&context, &mut new, old_value);
        }
        let counts =
            part == Part::Main || matches!(self.info.subresource.as_str(), "resize" | "ephemeralcontainers");
        if counts && rules.has_generation() && rules.generation_changes(&new, old_value) {
            let generation = old_value.at(&["metadata", "generation"]).and_then(Value::as_int).unwrap_or(0);
            new.set(&["metadata", "generation"], generation + 1);
        }
        let seen = admit::know_pool(self).await?;
        let hold = admit::allocate(self, Some(old_value), &mut new, options)?;
        new.set(&["metadata", "resourceVersion"], old.revision.0.to_string());
        codec::canonical(&target.storage, &mut new)?;
        let mut errors = Vec::new();
        validation::validate_object_meta_update(&target.kind, &new, old_value, &mut errors);
        match part {
            Part::Status => {
                admit::admin_access::told(self, &new, old_value, &mut errors);
                rules.validate_status(&context, &new, old_value, &mut errors);
                let moment = self.inner.clock.now().as_second();
                admit::pod_certificates::told(self, &new, old_value, moment, &mut errors);
            }
            Part::Main => target.kind.rules.validate_update(&context, &new, old_value, &mut errors),
            Part::Whole if shown => rules.validate_subresource(sub, &context, &new, old_value, &mut errors),
            // Changed only where the subresource may: what it took from the request was checked there.
            Part::Whole => {}
        }
        if !errors.is_empty() {
            return Err(Status::invalid(&target.storage, name, &errors));
        }
        if !options.admitted && scaled {
            admit::validate(&request, Some(&subresource::show_scale(self, &new))).await?;
        } else if !options.admitted {
            admit::validate(&request, Some(&new)).await?;
        }
        // Upstream's strategies of subresources have none.
        if part == Part::Main {
            self.warn(rules.warnings(&new, Some(old_value)));
        }
        manage::settle(&mut new, old_value);
        let stored = Bytes::from(api::object::stored(&new));
        // What a former key sealed is written anew, though nothing changes.
        let stale = async || match &self.inner.encrypted {
            Some(encrypted) => encrypted.is_stale(key).await,
            None => false,
        };
        if old.is_stored_as(&stored) && (options.dry_run || !stale().await) {
            return Ok(Tried::Done(old.clone()));
        }
        if options.dry_run {
            return target.unsaved(&new).map(Tried::Done);
        }
        let done = super::delete::is_finished(target, &new, old_value);
        let write = Write {
            key: key.clone(),
            expect: Expect::At(old.revision),
            value: (!done).then(|| stored.clone()),
            durability: durability(target, Some(old_value), &new),
            ttl: self.inner.ttl(target),
        };
        match admit::write(&*self.inner.store, write, hold.as_ref(), seen).await {
            Ok(revision) => {
                let object = self.written(key, stored, revision).await?;
                hold.into_iter().for_each(admit::Hold::keep);
                request.keep();
                Ok(Tried::Done(object))
            }
            Err(store::Error::Conflict { .. }) => Ok(Tried::Beaten),
            Err(store::Error::Raced(_)) => Ok(Tried::Raced),
            Err(error) => Err(Status::store(resource, name, error)),
        }
    }
}

enum Tried {
    Done(Arc<Object>),
    /// Somebody else changed the object in between.
    Beaten,
    /// Another server took what this write was to take; the object may be as it was.
    Raced,
}

/// What no client changes (`rest.BeforeUpdate`).
fn keep_system_fields(new: &mut Value, old: &Value) {
    let metadata = new.make(&["metadata"]);
    for field in ["creationTimestamp", "generation"] {
        match old.at(&["metadata", field]) {
            Some(value) => metadata.set(&[field], value.clone()),
            None => drop(metadata.remove(&[field])),
        }
    }
    let has = |value: &Value, field: &str| value.get(field).is_some_and(|value| !value.is_null());
    for field in ["uid", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        // A deletion cannot be moved; the others are judged if a client gives them.
        let keep = field == "deletionTimestamp"
            || !has(metadata, field)
            || metadata.str_at(&[field]).is_empty() && field == "uid";
        if let Some(value) = old.at(&["metadata", field]).filter(|_| keep) {
            metadata.set(&[field], value.clone());
        }
    }
    metadata.remove(&["selfLink"]);
    if metadata.str_at(&["name"]).is_empty() {
        metadata.set(&["name"], old.str_at(&["metadata", "name"]));
    }
}
