//! The image of a container: pull policy, pull secrets, and the events that tell of them.

use base64::Engine;
use client::recorder::Severity::{Normal, Warning};
use k8s_openapi::api::core::v1::{Pod, Secret};
use std::time::Duration;

use super::Shared;
use crate::images::{self, Got, Image, Login};
use crate::pod::Reason;
use crate::pod::spec::{self, Entry};

/// The image, or why it is not here; `true` if trying again is a matter of pull back-off.
pub async fn ensure(shared: &Shared, pod: &Pod, entry: &Entry<'_>) -> Result<Image, (Reason, bool)> {
    let name = entry.container.image.clone().unwrap_or_default();
    let field = || Some(entry.field_path());
    let policy = entry.container.image_pull_policy.as_deref().unwrap_or("IfNotPresent");
    let present = match shared.seams.images.get(&name).await {
        Ok(found) => found,
        Err(error @ images::Error::InvalidName { .. }) => {
            let message = format!("Failed to apply default image tag {name:?}: {error}");
            shared.tell(pod, field(), Warning, "InspectFailed", &message);
            return Err((Reason::new("InvalidImageName", message), false));
        }
        Err(error) => {
            let message = format!("Failed to inspect image {name:?}: {}", base::chain(&error));
            shared.tell(pod, field(), Warning, "InspectFailed", &message);
            return Err((Reason::new("ImageInspectError", message), false));
        }
    };
    let older = match (policy, present) {
        ("Always", present) => present,
        ("IfNotPresent", None) => None,
        (_, Some(image)) => {
            let message =
                format!("Container image {name:?} already present on machine and can be accessed by the pod");
            shared.tell(pod, field(), Normal, "Pulled", message);
            return Ok(image);
        }
        (_, None) => {
            let message = format!("Container image {name:?} is not present with pull policy of Never");
            shared.tell(pod, field(), Warning, "ErrImageNeverPull", &message);
            return Err((Reason::new("ErrImageNeverPull", message), false));
        }
    };
    let logins = logins(shared, pod);
    shared.tell(pod, field(), Normal, "Pulling", format!("Pulling image {name:?}"));
    let began = shared.clock.now();
    match images::pull(&*shared.seams.images, &name, &logins, older).await {
        Ok(Got::Kept(image, why)) => {
            let message =
                format!("Image {name:?} on the machine is used, no registry told of a newer one: {why}");
            shared.tell(pod, field(), Warning, "Failed", message);
            Ok(image)
        }
        Ok(Got::Pulled(image)) => {
            let took = shared.clock.now().duration_since(began);
            // Upstream cuts it to milliseconds.
            let took = u64::try_from(took.as_millis()).map_or(Duration::ZERO, Duration::from_millis);
            let took = api::time::duration::text(took);
            let size = image.size;
            let message = format!(
                "Successfully pulled image {name:?} in {took} ({took} including waiting). Image size: {size} bytes."
            );
            shared.tell(pod, field(), Normal, "Pulled", message);
            Ok(image)
        }
        Err(error) => {
            let message = base::chain(&error).to_string();
            shared.tell(pod, field(), Warning, "Failed", format!("Failed to pull image {name:?}: {message}"));
            shared.tell(pod, field(), Warning, "Failed", "Error: ErrImagePull");
            Err((Reason::new("ErrImagePull", message), true))
        }
    }
}

/// The logins of `imagePullSecrets`; one that is absent is told and skipped.
fn logins(shared: &Shared, pod: &Pod) -> Vec<Login> {
    let pod_spec = spec::spec(pod);
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for reference in pod_spec.image_pull_secrets.iter().flatten() {
        match shared.seams.sources.secret(spec::namespace(pod), &reference.name) {
            Some(secret) => found.extend(of_secret(&secret)),
            None => missing.push(reference.name.clone()),
        }
    }
    if !missing.is_empty() {
        let message = format!(
            "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
            missing.join(", ")
        );
        shared.tell(pod, None, Warning, "FailedToRetrieveImagePullSecret", message);
    }
    found
}

/// Reads `.dockerconfigjson` and the older `.dockercfg`.
fn of_secret(secret: &Secret) -> Vec<Login> {
    let data =
        |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice());
    let parse = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).ok();
    let auths = match (data(".dockerconfigjson"), data(".dockercfg")) {
        (Some(bytes), _) => {
            parse(bytes).and_then(|mut config| config.get_mut("auths").map(serde_json::Value::take))
        }
        (None, Some(bytes)) => parse(bytes),
        (None, None) => None,
    };
    let Some(serde_json::Value::Object(auths)) = auths else { return Vec::new() };
    auths
        .into_iter()
        .filter_map(|(registry, entry)| {
            let text =
                |key: &str| entry.get(key).and_then(|value| value.as_str()).filter(|text| !text.is_empty());
            let (username, password) = match (text("username"), text("auth")) {
                (Some(username), _) => (username.to_owned(), text("password").unwrap_or_default().to_owned()),
                (None, Some(auth)) => {
                    let decoded = base64::engine::general_purpose::STANDARD.decode(auth.trim()).ok()?;
                    let decoded = String::from_utf8(decoded).ok()?;
                    let (username, password) = decoded.split_once(':')?;
                    (username.to_owned(), password.trim_end_matches('\0').to_owned())
                }
                (None, None) => return None,
            };
            let registry = registry.trim_start_matches("https://").trim_start_matches("http://");
            let registry = registry.split('/').next().unwrap_or_default().to_owned();
            Some(Login { registry, username, password })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_secrets_are_read() {
        let config = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YTpi"},"r.example:5000":{"username":"u","password":"p"}}}"#;
        let data = base64::engine::general_purpose::STANDARD.encode(config);
        let secret: Secret =
            serde_json::from_value(serde_json::json!({"data": {".dockerconfigjson": data}})).unwrap();
        let login = |registry: &str, username: &str, password: &str| Login {
            registry: registry.into(),
            username: username.into(),
            password: password.into(),
        };
        assert_eq!(
            of_secret(&secret),
            [login("index.docker.io", "a", "b"), login("r.example:5000", "u", "p")]
        );
    }
}
