//! Volumes and their mounts.

use std::collections::BTreeSet;

use super::Scope;
use super::container::{field_ref, is_privileged, resource_ref};
use crate::Value;
use crate::field::{Error, Path};
use crate::kinds::core::{persistent_volume, persistent_volume_claim, volume_source};
use crate::kinds::edit::{flag, has, int, list};
use crate::pod::quantity;
use crate::validation::check::{self, Errors};
use crate::validation::names;
use crate::validation::node::inspect_at;

const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";

/// Gives the good volumes by name.
pub fn volumes<'a>(
    volumes: &'a [Value],
    pod: Option<&str>,
    is_pod: bool,
    path: &Path,
    errors: &mut Errors,
) -> Vec<(&'a str, &'a Value)> {
    let mut good: Vec<(&str, &Value)> = Vec::new();
    for (at, volume) in volumes.iter().enumerate() {
        let path = path.index(at);
        let name = volume.str_at(&["name"]);
        let before = errors.len();
        source(volume, is_pod, &path, errors);
        check::required_format(name, &path.child("name"), names::dns_label, errors);
        if good.iter().any(|(other, _)| *other == name) {
            errors.push(Error::duplicate(path.child("name"), name));
        }
        if errors.len() == before {
            good.push((name, volume));
        }
        let claim = volume.str_at(&["persistentVolumeClaim", "claimName"]);
        let made = |other: &Value| {
            has(other, &["ephemeral"])
                && pod.is_some_and(|pod| {
                    !pod.is_empty() && claim == format!("{pod}-{}", other.str_at(&["name"]))
                })
        };
        if !claim.is_empty() && volumes.iter().any(made) {
            let text = "must not reference a PVC that gets created for an ephemeral volume";
            errors.push(Error::invalid(path.child("persistentVolumeClaim").child("claimName"), claim, text));
        }
    }
    good
}

/// The order in which upstream looks at the sources of a volume.
const ORDER: &str = "emptyDir hostPath gitRepo gcePersistentDisk awsElasticBlockStore secret nfs iscsi glusterfs \
    flocker persistentVolumeClaim rbd cinder cephfs quobyte downwardAPI fc flexVolume configMap \
    azureFile vsphereVolume photonPersistentDisk portworxVolume azureDisk storageos projected \
    scaleIO csi ephemeral image";

fn source(volume: &Value, is_pod: bool, path: &Path, errors: &mut Errors) {
    let mut sources: Vec<(&str, &Value)> = volume
        .as_map()
        .into_iter()
        .flat_map(|map| map.iter())
        .filter(|(key, value)| *key != "name" && !value.is_null())
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    // Of two sources the first that upstream looks at is not the one to blame.
    sources.sort_by_key(|(kind, _)| ORDER.split(' ').position(|other| other == *kind).unwrap_or(usize::MAX));
    if sources.is_empty() {
        errors.push(Error::required(path.clone(), "must specify a volume type"));
    }
    for (at, (kind, source)) in sources.into_iter().enumerate() {
        // Upstream names some otherwise: where it looks into them, or where it does not.
        let path = path.child(match (kind, at) {
            ("gcePersistentDisk", 0) => "persistentDisk",
            ("downwardAPI", 1..) => "downwarAPI",
            ("cephfs", 1..) => "cephFS",
            _ => kind,
        });
        if at > 0 {
            errors.push(Error::forbidden(path, "may not specify more than 1 volume type"));
            continue;
        }
        match kind {
            "emptyDir" if source.get("sizeLimit").is_some_and(|limit| quantity(limit).sign() < 0) => {
                let text = "SizeLimit field must be a valid resource quantity";
                errors.push(Error::forbidden(path.child("sizeLimit"), text));
            }
            "hostPath" => host_path(source, &path, errors),
            "secret" | "configMap" => {
                let name = if kind == "secret" { "secretName" } else { "name" };
                check::required(source, &path, name, errors);
                mode(source, "defaultMode", &path, errors);
                items(source, &path, errors);
            }
            "persistentVolumeClaim" => drop(check::required(source, &path, "claimName", errors)),
            "downwardAPI" => {
                mode(source, "defaultMode", &path, errors);
                for file in list(source, &["items"]) {
                    downward_file(file, &path, errors);
                }
            }
            "projected" => projected(source, &path, errors),
            "csi" => inspect_at(source, &path, errors, |source| {
                persistent_volume::driver_name(&source.get("driver"));
                let secret = source.get("nodePublishSecretRef");
                if secret.has() {
                    secret.get("name").required();
                    // Upstream's path lacks the reference.
                    secret.get("name").named(source.path().child("name")).is(names::dns_subdomain);
                }
            }),
            "ephemeral" => inspect_at(source, &path, errors, |source| {
                let template = source.get("volumeClaimTemplate");
                if !template.has() {
                    return template.missing("");
                }
                template.get("metadata").template_metadata();
                persistent_volume_claim::spec(&template.get("spec"));
            }),
            "image" => {
                let policy = source.str_at(&["pullPolicy"]);
                let policies = ["Always", "IfNotPresent", "Never"];
                // A template may leave it to who makes the pod.
                if is_pod {
                    check::required(source, &path, "reference", errors);
                }
                check::required_one_of(policy, path.child("pullPolicy"), &policies, errors);
            }
            kind => inspect_at(source, &path, errors, |source| {
                volume_source::check(kind, source, None);
            }),
        }
    }
}

fn mode(value: &Value, field: &str, path: &Path, errors: &mut Errors) {
    if let Some(mode) = value.get(field).and_then(Value::as_int).filter(|mode| !(0..=0o777).contains(mode)) {
        errors.push(Error::invalid(path.child(field), mode, MODE));
    }
}

pub const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

fn host_path(source: &Value, path: &Path, errors: &mut Errors) {
    let host = check::required(source, path, "path", errors);
    if !host.is_empty() {
        no_backsteps(host, &path.child("path"), errors);
        check::optional_one_of(source, path, "type", &HOST_PATH_TYPES, errors);
    }
}

fn items(source: &Value, path: &Path, errors: &mut Errors) {
    for (at, item) in list(source, &["items"]).iter().enumerate() {
        let path = path.child("items").index(at);
        check::required(item, &path, "key", errors);
        check::required(item, &path, "path", errors);
        local_path(item.str_at(&["path"]), &path.child("path"), errors);
        mode(item, "mode", &path, errors);
    }
}

const VOLUME_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

fn downward_file(file: &Value, path: &Path, errors: &mut Errors) {
    check::required(file, path, "path", errors);
    local_path(file.str_at(&["path"]), &path.child("path"), errors);
    let (field, resource) = (file.get("fieldRef"), file.get("resourceFieldRef"));
    match (field.filter(|value| !value.is_null()), resource.filter(|value| !value.is_null())) {
        (Some(field), resource) => {
            field_ref(field, &VOLUME_FIELDS, &path.child("fieldRef"), errors);
            if resource.is_some() {
                let text = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(Error::invalid(path.clone(), "resource", text));
            }
        }
        (None, Some(resource)) => resource_ref(resource, true, &path.child("resourceFieldRef"), errors),
        (None, None) => {
            errors.push(Error::required(path.clone(), "one of fieldRef and resourceFieldRef is required"));
        }
    }
    mode(file, "mode", path, errors);
}

fn projected(source: &Value, path: &Path, errors: &mut Errors) {
    mode(source, "defaultMode", path, errors);
    let mut taken = BTreeSet::new();
    for (at, projection) in list(source, &["sources"]).iter().enumerate() {
        let inner = path.child("sources").index(at);
        let mut sources = 0;
        for kind in ["secret", "configMap"] {
            let Some(body) = projection.get(kind).filter(|body| !body.is_null()) else { continue };
            sources += 1;
            let name = check::required(body, &inner.child(kind), "name", errors);
            items(body, &inner.child(kind), errors);
            for item in list(body, &["items"]) {
                let target = item.str_at(&["path"]);
                if !target.is_empty() && !taken.insert(target) {
                    errors.push(Error::invalid(path.clone(), name, "conflicting duplicate paths"));
                }
            }
        }
        if has(projection, &["downwardAPI"]) {
            sources += 1;
            for file in list(projection, &["downwardAPI", "items"]) {
                downward_file(file, &inner.child("downwardAPI"), errors);
                let target = file.str_at(&["path"]);
                if !target.is_empty() && !taken.insert(target) {
                    errors.push(Error::invalid(path.clone(), target, "conflicting duplicate paths"));
                }
            }
        }
        if let Some(token) = projection.get("serviceAccountToken").filter(|token| !token.is_null()) {
            sources += 1;
            let seconds = int(token, &["expirationSeconds"]);
            let at = inner.child("serviceAccountToken").child("expirationSeconds");
            if seconds < 600 {
                let text = "may not specify a duration less than 10 minutes";
                errors.push(Error::invalid(at.clone(), seconds, text));
            }
            if seconds > 1 << 32 {
                errors.push(Error::invalid(
                    at,
                    seconds,
                    "may not specify a duration larger than 2^32 seconds",
                ));
            }
            let target = check::required(token, path, "path", errors);
            if !target.is_empty() {
                local_path(target, &path.child("path"), errors);
            }
        }
        if let Some(bundle) = projection.get("clusterTrustBundle").filter(|bundle| !bundle.is_null()) {
            sources += 1;
            let inner = inner.child("clusterTrustBundle");
            match (has(bundle, &["name"]), has(bundle, &["signerName"])) {
                (true, true) => {
                    let text = "only one of name and signerName may be used";
                    errors.push(Error::invalid(inner.clone(), bundle.clone(), text));
                }
                (false, false) => {
                    errors
                        .push(Error::required(inner.clone(), "either name or signerName must be specified"));
                }
                _ => {}
            }
            let target = check::required(bundle, &inner, "path", errors);
            local_path(target, &inner.child("path"), errors);
            if !taken.insert(target) {
                errors.push(Error::invalid(path.clone(), target, "conflicting duplicate paths"));
            }
        }
        if has(projection, &["podCertificate"]) {
            sources += 1;
        }
        if sources > 1 {
            errors.push(Error::forbidden(inner, "may not specify more than 1 volume type per source"));
        }
    }
}

/// A path in a volume: relative, no `..`, not beginning with `..`.
fn local_path(target: &str, path: &Path, errors: &mut Errors) {
    descending(target, path, errors);
    if target.starts_with("..") && !target.starts_with("../") {
        errors.push(Error::invalid(path.clone(), target, "must not start with '..'"));
    }
}

fn descending(target: &str, path: &Path, errors: &mut Errors) {
    if target.starts_with('/') {
        errors.push(Error::invalid(path.clone(), target, "must be a relative path"));
    }
    no_backsteps(target, path, errors);
}

pub(super) fn no_backsteps(target: &str, path: &Path, errors: &mut Errors) {
    if target.split('/').any(|part| part == "..") {
        errors.push(Error::invalid(path.clone(), target, "must not contain '..'"));
    }
}

pub fn mounts(scope: &Scope<'_>, container: &Value, path: &Path, errors: &mut Errors) {
    let devices = list(container, &["volumeDevices"]);
    let mut seen = BTreeSet::new();
    for (at, mount) in list(container, &["volumeMounts"]).iter().enumerate() {
        let inner = path.index(at);
        let name = check::required(mount, &inner, "name", errors);
        if !scope.volumes.iter().any(|(volume, _)| *volume == name) {
            errors.push(Error::not_found(inner.child("name"), name));
        }
        let target = check::required(mount, &inner, "mountPath", errors);
        if !seen.insert(target) {
            errors.push(Error::invalid(inner.child("mountPath"), target, "must be unique"));
        }
        if devices.iter().any(|device| device.str_at(&["name"]) == name) {
            let text = "must not already exist in volumeDevices";
            errors.push(Error::invalid(inner.child("name"), name, text));
        }
        if devices.iter().any(|device| device.str_at(&["devicePath"]) == target) {
            let text = "must not already exist as a path in volumeDevices";
            errors.push(Error::invalid(inner.child("mountPath"), target, text));
        }
        // These paths lack the index upstream too.
        for field in ["subPath", "subPathExpr"] {
            let sub = mount.str_at(&[field]);
            if field == "subPathExpr" && !sub.is_empty() && !mount.str_at(&["subPath"]).is_empty() {
                let text = "subPathExpr and subPath are mutually exclusive";
                errors.push(Error::invalid(inner.child(field), sub, text));
            }
            if !sub.is_empty() {
                descending(sub, &path.child(field), errors);
            }
        }
        let propagation = mount.get("mountPropagation").and_then(Value::as_str);
        if let Some(mode) = propagation {
            let path = path.child("mountPropagation");
            check::one_of(mode, path.clone(), &["Bidirectional", "HostToContainer", "None"], errors);
            if mode == "Bidirectional" && !is_privileged(container) {
                let text = "Bidirectional mount propagation is available only to privileged containers";
                errors.push(Error::forbidden(path, text));
            }
        }
        recursive_read_only(mount, propagation, &path.child("recursiveReadOnly"), errors);
    }
}

fn recursive_read_only(mount: &Value, propagation: Option<&str>, path: &Path, errors: &mut Errors) {
    match mount.get("recursiveReadOnly").and_then(Value::as_str) {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if !flag(mount, &["readOnly"]) {
                errors.push(Error::forbidden(path.clone(), "may only be specified when readOnly is true"));
            }
            if propagation.is_some_and(|mode| mode != "None") {
                let text = "may only be specified when mountPropagation is None or not specified";
                errors.push(Error::forbidden(path.clone(), text));
            }
        }
        Some(other) => {
            errors.push(Error::not_supported(path.clone(), other, &["Disabled", "Enabled", "IfPossible"]));
        }
    }
}

pub fn devices(scope: &Scope<'_>, container: &Value, path: &Path, errors: &mut Errors) {
    let mounts = list(container, &["volumeMounts"]);
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for (at, device) in list(container, &["volumeDevices"]).iter().enumerate() {
        let path = path.index(at);
        let name = check::required(device, &path, "name", errors);
        if !name.is_empty() && !names.insert(name) {
            errors.push(Error::invalid(path.child("name"), name, "must be unique"));
        }
        match scope.volumes.iter().find(|(volume, _)| *volume == name) {
            None => errors.push(Error::not_found(path.child("name"), name)),
            Some((_, volume)) if !has(volume, &["persistentVolumeClaim"]) && !has(volume, &["ephemeral"]) => {
                let text =
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.push(Error::invalid(path.child("name"), name, text));
            }
            Some(_) => {}
        }
        let target = check::required(device, &path, "devicePath", errors);
        if target.split('/').any(|part| part == "..") {
            let text = "can not contain backsteps ('..')";
            errors.push(Error::invalid(path.child("devicePath"), target, text));
        } else if !paths.insert(target) {
            errors.push(Error::invalid(path.child("devicePath"), target, "must be unique"));
        }
        if mounts.iter().any(|mount| mount.str_at(&["name"]) == name) {
            let text = "must not already exist in volumeMounts";
            errors.push(Error::invalid(path.child("name"), name, text));
        }
        if mounts.iter().any(|mount| mount.str_at(&["mountPath"]) == target) {
            let text = "must not already exist as a path in volumeMounts";
            errors.push(Error::invalid(path.child("devicePath"), target, text));
        }
    }
}
