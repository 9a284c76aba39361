//! Writes of the server itself (`system:apiserver`): they go the way of every write, without HTTP.

use std::sync::Arc;

use api::{Object, Value};
use http::{HeaderMap, Method};
use parking_lot::Mutex;

use crate::Identity;
use crate::codec::Strictness;
use crate::engine::update::{Make, Part};
use crate::engine::{Call, WriteOptions};
use crate::http::{Accept, Info, Query};
use crate::manage::{self, How};
use crate::server::Inner;
use crate::status::{Result, Status};

/// The options of the server's own writes.
pub(crate) fn options() -> WriteOptions {
    WriteOptions {
        dry_run: false,
        manager: "kube-apiserver".into(),
        strictness: Strictness::Ignore,
        force: true,
        applied: false,
        admitted: false,
    }
}

/// Names an object: group, version, plural, namespace, name.
pub(crate) type Place<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str);

impl Inner {
    /// A call of the server itself, at an object.
    pub(crate) fn own_call(self: &Arc<Self>, place: Place<'_>, verb: &'static str) -> Result<Call> {
        self.call_as(Arc::new(Identity::apiserver()), place, verb)
    }

    pub(crate) fn call_as(
        self: &Arc<Self>,
        identity: Arc<Identity>,
        (group, version, plural, namespace, name): Place<'_>,
        verb: &'static str,
    ) -> Result<Call> {
        let target = self.target(group, version, plural).ok_or_else(Status::no_such_path)?;
        Ok(Call {
            inner: self.clone(),
            identity,
            method: Method::POST,
            headers: HeaderMap::new(),
            info: Arc::new(Info {
                is_resource: true,
                verb,
                group: group.into(),
                version: version.into(),
                namespace: namespace.into(),
                resource: plural.into(),
                name: name.into(),
                ..Info::default()
            }),
            query: Query::default(),
            accept: Accept::default(),
            target,
            warnings: Mutex::new(Vec::new()),
            audit: None,
        })
    }

    /// Creates an object; gives what is there if it is there already.
    pub(crate) async fn ensure(self: &Arc<Self>, place: Place<'_>, mut value: Value) -> Result<Arc<Object>> {
        let call = self.own_call(place, "create")?;
        if let Some(there) = call.target.cache()?.get(call.namespace(), place.4) {
            return Ok(there);
        }
        value.set(&["metadata", "name"], place.4);
        if !place.3.is_empty() {
            value.set(&["metadata", "namespace"], place.3);
        }
        let target = &call.target;
        crate::codec::type_meta(&mut value, &target.kind.kind, &target.kind.api_version(place.1));
        target.complete(&mut value, &options(), &call.inner.now(), &mut Vec::new())?;
        match call.create_value(value, &options()).await {
            Err(status) if status.reason() == "AlreadyExists" => call.current().await,
            other => other,
        }
    }

    /// Changes an object that is there.
    pub(crate) async fn change(
        self: &Arc<Self>,
        place: Place<'_>,
        part: Part,
        make: Make<'_>,
    ) -> Result<Arc<Object>> {
        let mut call = self.own_call(place, "update")?;
        if part == Part::Status {
            of_status(&mut call);
        }
        let options = WriteOptions { admitted: true, ..options() };
        Ok(call.change(part, &options, How::Patch, make, None).await?.object)
    }

    /// Applies a status to an object that is there; `manager` comes to own what it says.
    pub(crate) async fn apply_status(
        self: &Arc<Self>,
        place: Place<'_>,
        manager: &str,
        config: &Value,
    ) -> Result<Arc<Object>> {
        let mut call = self.own_call(place, "patch")?;
        of_status(&mut call);
        let options = WriteOptions { admitted: true, applied: true, manager: manager.into(), ..options() };
        let now = self.now();
        let make = |old: &Value| manage::applied(&call.target, Some(old), config, &options, "status", &now);
        Ok(call.change(Part::Status, &options, How::Apply, &make, None).await?.object)
    }
}

fn of_status(call: &mut Call) {
    if let Some(info) = Arc::get_mut(&mut call.info) {
        info.subresource = "status".into();
    }
}
