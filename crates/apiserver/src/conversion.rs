//! Conversion webhooks of CustomResourceDefinitions (k8s.io/apiextensions-apiserver/pkg/apiserver/conversion).
//!
//! Objects stay stored in the version that they were written in; a webhook is asked when one is needed in another. The
//! engine converts in the middle of synchronous work, so a call runs on a small runtime of its own while the asking thread
//! steps aside. Answers are remembered by what was asked: an object that does not change is converted once.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use api::Value;
use api::kind::Converter;
use parking_lot::Mutex;
use tokio::runtime::{Handle, Runtime, RuntimeFlavor};

use crate::remote::Remote;
use crate::server::Inner;

/// How long a webhook may take (upstream's ConversionWebhook timeout).
const PATIENCE: Duration = Duration::from_secs(30);
/// Converted objects that are remembered, per definition.
const REMEMBERED: usize = 1000;

/// Where conversions wait for their webhooks: one thread, outside of the server's own runtime, which they must not hold up.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("conversion")
        .enable_all()
        .build()
        .expect("because a thread can be started")
});

/// The webhook of one definition.
pub(crate) struct Webhook {
    inner: Weak<Inner>,
    remote: Result<Remote, String>,
    versions: Vec<String>,
    known: Mutex<HashMap<(String, Vec<u8>), Value>>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Webhook").field("remote", &self.remote).finish_non_exhaustive()
    }
}

impl Webhook {
    /// Of a definition's `spec.conversion`; `None`: versions differ in their names only.
    pub fn of(inner: &Arc<Inner>, definition: &Value) -> Option<Arc<dyn Converter>> {
        let conversion = definition.at(&["spec", "conversion"])?;
        if conversion.str_at(&["strategy"]) != "Webhook" {
            return None;
        }
        let empty = Value::object();
        let config = conversion.at(&["webhook", "clientConfig"]).unwrap_or(&empty);
        let versions = conversion
            .at(&["webhook", "conversionReviewVersions"])
            .and_then(Value::as_array)
            .unwrap_or_default();
        Some(Arc::new(Webhook {
            inner: Arc::downgrade(inner),
            remote: Remote::of_client_config(config),
            versions: versions.iter().filter_map(Value::as_str).map(String::from).collect(),
            known: Mutex::default(),
        }))
    }

    fn ask(&self, objects: Vec<Value>, to: &str) -> Result<Vec<Value>, String> {
        let inner = self.inner.upgrade().ok_or("the server is shutting down")?;
        let remote = self.remote.clone()?;
        if !self.versions.iter().any(|version| version == "v1") {
            return Err("does not accept known ConversionReview versions (v1)".into());
        }
        let uid = uuid::Uuid::new_v4().to_string();
        let count = objects.len();
        let mut request = Value::object();
        request.set(&["uid"], uid.as_str());
        request.set(&["desiredAPIVersion"], to);
        request.set(&["objects"], objects);
        let mut review = Value::object();
        review.set(&["kind"], "ConversionReview");
        review.set(&["apiVersion"], "apiextensions.k8s.io/v1");
        review.set(&["request"], request);
        let query = format!("timeout={}s", PATIENCE.as_secs());
        let answer = wait(async move { inner.post_json(&remote, &query, &review, PATIENCE).await })??;
        let response = answer.get("response").filter(|response| !response.is_null());
        let response = response.ok_or("no response provided")?;
        let given = response.str_at(&["uid"]);
        if given != uid {
            return Err(format!("expected response.uid={uid:?}, got {given:?}"));
        }
        if response.str_at(&["result", "status"]) != "Success" {
            return Err(match response.str_at(&["result", "message"]) {
                "" => "response.result.status was not 'Success'".into(),
                message => message.to_string(),
            });
        }
        let converted = response.get("convertedObjects").and_then(Value::as_array).unwrap_or_default();
        match converted.len() == count {
            true => Ok(converted.to_vec()),
            false => Err(format!("returned {} objects, expected {count}", converted.len())),
        }
    }
}

impl Converter for Webhook {
    fn convert(&self, objects: Vec<Value>, to: &str) -> Result<Vec<Value>, String> {
        // By place: what is known, or what is to be asked.
        let keys: Vec<(String, Vec<u8>)> =
            objects.iter().map(|object| (to.to_string(), object.to_json())).collect();
        let mut results: Vec<Option<Value>> = {
            let known = self.known.lock();
            keys.iter().map(|key| known.get(key).cloned()).collect()
        };
        let missing: Vec<usize> = (0..objects.len()).filter(|at| results[*at].is_none()).collect();
        if !missing.is_empty() {
            let asked: Vec<Value> = missing.iter().map(|at| objects[*at].clone()).collect();
            let from = asked[0].str_at(&["apiVersion"]).to_string();
            let kind = asked[0].str_at(&["kind"]).to_string();
            let failed = |why: String| format!("conversion webhook for {from}, Kind={kind} failed: {why}");
            let made = self.ask(asked, to).map_err(failed)?;
            let mut known = self.known.lock();
            for (at, new) in missing.into_iter().zip(made) {
                let new = checked(&objects[at], new, to).map_err(|why| {
                    format!("conversion webhook for {from}, Kind={kind} returned invalid object at index {at}: {why}")
                })?;
                if known.len() >= REMEMBERED {
                    known.clear();
                }
                known.insert(keys[at].clone(), new.clone());
                results[at] = Some(new);
            }
        }
        Ok(results.into_iter().flatten().collect())
    }
}

/// A converted object with the metadata of the original: a webhook may change labels and annotations only.
fn checked(old: &Value, mut new: Value, to: &str) -> Result<Value, String> {
    let (version, kind) = (new.str_at(&["apiVersion"]), new.str_at(&["kind"]));
    if version != to {
        return Err(format!("invalid groupVersion (expected {to}, received {version})"));
    }
    if kind != old.str_at(&["kind"]) {
        return Err(format!("invalid kind (expected {}, received {kind})", old.str_at(&["kind"])));
    }
    for field in ["name", "namespace", "uid"] {
        if new.at(&["metadata", field]) != old.at(&["metadata", field]) {
            return Err(format!("metadata.{field} changed"));
        }
    }
    let mut metadata = old.get("metadata").cloned().unwrap_or_else(Value::object);
    for field in ["labels", "annotations"] {
        match new.at(&["metadata", field]) {
            Some(value) => metadata.set(&[field], value.clone()),
            None => drop(metadata.remove(&[field])),
        }
    }
    new.set(&["metadata"], metadata);
    Ok(new)
}

/// The result of a future, from a thread that may not await.
pub(crate) fn wait<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Result<T, String> {
    let (done, result) = std::sync::mpsc::sync_channel(1);
    RUNTIME.spawn(async move {
        let _ = done.send(future.await);
    });
    let receive = move || result.recv().map_err(|_| "the call was lost".to_string());
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(receive),
        _ => receive(),
    }
}
