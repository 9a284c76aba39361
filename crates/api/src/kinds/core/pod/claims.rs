//! What a Pod's status says of the devices that it was given.

use std::collections::BTreeSet;

use crate::Value;
use crate::field::{Error, Path};
use crate::kinds::edit::{has, list};
use crate::validation::check::{self, Errors};
use crate::validation::names;

const HEALTH: &[&str] = &["Healthy", "Unhealthy", "Unknown"];
const LONGEST: usize = 1024;

/// The claims that were made for the pod.
pub(super) fn validate(pod: &Value, errors: &mut Errors) {
    let path = Path::new("status").child("resourceClaimStatuses");
    let claims = list(pod, &["spec", "resourceClaims"]);
    let mut seen = BTreeSet::new();
    for (at, status) in list(pod, &["status", "resourceClaimStatuses"]).iter().enumerate() {
        let path = path.index(at);
        let name = status.str_at(&["name"]);
        if !claims.iter().any(|claim| claim.str_at(&["name"]) == name) {
            let text = "must match the name of an entry in `spec.resourceClaims`";
            errors.push(Error::invalid(path.child("name"), name, text));
        }
        if !seen.insert(name) {
            errors.push(Error::duplicate(path.child("name"), name));
        }
        if has(status, &["resourceClaimName"]) {
            let claim = status.str_at(&["resourceClaimName"]);
            check::format(claim, &path.child("resourceClaimName"), names::dns_subdomain, errors);
        }
    }
    extended(pod, errors);
}

/// The claim for what the containers ask of device classes as of other resources.
fn extended(pod: &Value, errors: &mut Errors) {
    let Some(status) = pod.at(&["status", "extendedResourceClaimStatus"]).filter(|status| !status.is_null())
    else {
        return;
    };
    let path = Path::new("status").child("extendedResourceClaimStatus");
    let inner = path.child("requestMappings");
    let mappings = list(status, &["requestMappings"]);
    if mappings.is_empty() {
        errors.push(Error::required(inner.clone(), "at least one request mapping is required"));
    }
    let spec = |field: &str| list(pod, &["spec", field]).iter();
    let mut seen = BTreeSet::new();
    for (at, mapping) in mappings.iter().enumerate() {
        let inner = inner.index(at);
        let text = |field: &str| mapping.str_at(&[field]);
        let (container, resource) = (text("containerName"), text("resourceName"));
        let found =
            spec("containers").chain(spec("initContainers")).find(|one| one.str_at(&["name"]) == container);
        match found {
            Some(found) if has(found, &["resources", "requests", resource]) => {}
            Some(_) => {
                let text = "must match the extended resource name of an entry in \
                            spec.initContainers.resources.requests or spec.containers.resources.requests";
                errors.push(Error::invalid(inner.child("resourceName"), resource, text));
            }
            None => {
                let text =
                    "must match the name of an entry in spec.initContainers.name or spec.containers.name";
                errors.push(Error::invalid(inner.child("containerName"), container, text));
            }
        }
        // Upstream's path lacks the mapping.
        check::format(text("requestName"), &path.child("requestName"), names::dns_label, errors);
        if !seen.insert((container, resource, text("requestName"))) {
            for field in ["containerName", "resourceName", "requestName"] {
                errors.push(Error::duplicate(inner.child(field), text(field)));
            }
        }
    }
    let claim = check::required(status, &path, "resourceClaimName", errors);
    if !claim.is_empty() {
        check::format(claim, &path.child("resourceClaimName"), names::dns_subdomain, errors);
    }
}

/// How the devices do that containers were given.
pub(super) fn health(pod: &Value, errors: &mut Errors) {
    for (field, of) in [("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")] {
        let containers = list(pod, &["spec", of]);
        for (at, status) in list(pod, &["status", field]).iter().enumerate() {
            let path = Path::new("status").child(field).index(at).child("allocatedResourcesStatus");
            let name = status.str_at(&["name"]);
            let container = containers.iter().find(|container| container.str_at(&["name"]) == name);
            for (at, resource) in list(status, &["allocatedResourcesStatus"]).iter().enumerate() {
                let path = path.index(at);
                if let Some(container) = container {
                    belongs(resource.str_at(&["name"]), container, path.child("name"), errors);
                }
                devices(list(resource, &["resources"]), &path.child("resources"), errors);
            }
        }
    }
}

/// Ephemeral containers are given none.
pub(super) fn none_of_ephemeral(pod: &Value, errors: &mut Errors) {
    let field = "ephemeralContainerStatuses";
    for (at, status) in list(pod, &["status", field]).iter().enumerate() {
        if !list(status, &["allocatedResourcesStatus"]).is_empty() {
            let path = Path::new("status").child(field).index(at).child("allocatedResourcesStatus");
            errors.push(Error::forbidden(path, "must not be specified in container status"));
        }
    }
}

fn belongs(name: &str, container: &Value, path: Path, errors: &mut Errors) {
    let claims = list(container, &["resources", "claims"]);
    let named = |claim: &Value| match claim.str_at(&["request"]) {
        "" => format!("claim:{}", claim.str_at(&["name"])),
        request => format!("claim:{}/{request}", claim.str_at(&["name"])),
    };
    if name.starts_with("claim:") {
        if !claims.iter().any(|claim| named(claim) == name) {
            let text = "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' \
                        or 'claim:<claimName>' if request is empty";
            errors.push(Error::invalid(path, name, text));
        }
    } else if !has(container, &["resources", "requests", name]) {
        errors.push(Error::invalid(path, name, "must match one of the container's resource requests"));
    }
}

fn devices(devices: &[Value], path: &Path, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (at, device) in devices.iter().enumerate() {
        let path = path.index(at);
        check::one_of(device.str_at(&["health"]), path.child("health"), HEALTH, errors);
        if has(device, &["message"]) {
            let message = device.str_at(&["message"]);
            if message.is_empty() {
                errors.push(Error::required(path.child("message"), "must be non-empty if specified"));
            } else if message.len() > LONGEST {
                errors.push(Error::too_long(path.child("message"), LONGEST));
            }
        }
        let id = device.str_at(&["resourceID"]);
        if !seen.insert(id) {
            errors.push(Error::duplicate(path.child("resourceID"), id));
        }
    }
}
