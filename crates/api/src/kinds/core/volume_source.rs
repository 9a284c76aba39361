//! What of a volume's source Pods and PersistentVolumes check alike: the sources of clouds and appliances, which CSI has
//! replaced and upstream still judges.

use crate::validation::{Node, names};

const CACHING: [&str; 3] = ["None", "ReadOnly", "ReadWrite"];
const DISKS: [&str; 3] = ["Dedicated", "Managed", "Shared"];

/// Checks a source by the name of its field; false: this file does not know it. `volume` is the PersistentVolume's name,
/// none for a Pod's volume, whose sources have a few rules less.
pub fn check(kind: &str, source: &Node<'_>, volume: Option<&str>) -> bool {
    let required: &[&str] = match kind {
        "gcePersistentDisk" => &["pdName"],
        "awsElasticBlockStore" => &["volumeID"],
        "glusterfs" => &["endpoints", "path"],
        "rbd" => &["monitors", "image"],
        "cephfs" => &["monitors"],
        "flexVolume" => &["driver"],
        "azureFile" => &["secretName", "shareName"],
        "azureDisk" => &["diskName", "diskURI"],
        "vsphereVolume" => &["volumePath"],
        "photonPersistentDisk" => &["pdID"],
        "portworxVolume" | "cinder" => &["volumeID"],
        "scaleIO" => &["gateway", "system", "volumeName"],
        "gitRepo" => &["repository"],
        "quobyte" | "flocker" | "fc" | "iscsi" | "storageos" | "nfs" => &[],
        _ => return false,
    };
    for field in required {
        source.get(field).required();
    }
    let persistent = volume.is_some();
    match kind {
        "gcePersistentDisk" | "awsElasticBlockStore" => {
            let partition = source.get("partition");
            if !(0..=255).contains(&partition.int()) {
                partition.invalid("must be between 1 and 255, inclusive");
            }
        }
        "glusterfs" if persistent => {
            let namespace = source.get("endpointsNamespace");
            if namespace.has() && namespace.text().is_empty() {
                namespace.invalid("if the endpointnamespace is set, it must be a valid namespace name");
            }
            namespace.is(names::dns_label);
        }
        "azureFile" if source.get("secretNamespace").has() => drop(source.get("secretNamespace").required()),
        "cinder" => secret(&source.get("secretRef"), persistent),
        "nfs" => {
            source.get("server").required();
            let path = source.get("path");
            path.required();
            if !path.text().starts_with('/') {
                path.invalid("must be an absolute path");
            }
        }
        "flexVolume" => options(&source.get("options")),
        "azureDisk" => azure_disk(source),
        "quobyte" => quobyte(source),
        "flocker" => flocker(source),
        "fc" => fibre_channel(source),
        "iscsi" => iscsi(source, volume),
        "storageos" => {
            source.get("volumeName").required().is(names::dns_label);
            source.get("volumeNamespace").is(names::dns_label);
            secret(&source.get("secretRef"), persistent);
        }
        "gitRepo" => {
            let target = source.get("directory");
            if target.text().starts_with('/') {
                target.invalid("must be a relative path");
            }
            no_backsteps(&target);
        }
        _ => {}
    }
    true
}

pub fn no_backsteps(path: &Node<'_>) {
    if path.text().split('/').any(|part| part == "..") {
        path.invalid("must not contain '..'");
    }
}

/// A name, and in a PersistentVolume a namespace.
fn secret(reference: &Node<'_>, namespaced: bool) {
    if reference.has() {
        reference.get("name").required();
        if namespaced {
            reference.get("namespace").required();
        }
    }
}

fn options(options: &Node<'_>) {
    for (key, node) in options.entries() {
        let space = format!(".{}", key.split_once('/').map_or(key, |(space, _)| space).to_lowercase());
        if space.ends_with(".kubernetes.io") || space.ends_with(".k8s.io") {
            let text = "kubernetes.io and k8s.io namespaces are reserved";
            node.error(crate::field::Error::invalid(node.path().clone(), key, text));
        }
    }
}

fn azure_disk(source: &Node<'_>) {
    let uri = source.get("diskURI");
    for (field, supported) in [("cachingMode", &CACHING), ("kind", &DISKS)] {
        let node = source.get(field);
        if node.has() {
            node.one_of_even_empty(supported);
        }
    }
    let managed = source.get("kind").text() == "Managed";
    if source.get("kind").has() && managed && !uri.text().starts_with("/subscriptions/") {
        uri.one_of_even_empty(&[
            "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",
        ]);
    }
    if source.get("kind").has() && !managed && !uri.text().starts_with("https://") {
        uri.one_of_even_empty(&[
            "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd",
        ]);
    }
}

fn quobyte(source: &Node<'_>) {
    let registry = source.get("registry");
    if registry.text().is_empty() {
        registry.missing("must be a host:port pair or multiple pairs separated by commas");
    } else if source.get("tenant").text().len() >= 65 {
        source.get("tenant").missing("must be a UUID and may not exceed a length of 64 characters");
    } else {
        for pair in registry.text().split(',') {
            let good =
                pair.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.starts_with('['));
            if !good {
                registry.invalid("must be a host:port pair or multiple pairs separated by commas");
            }
        }
    }
    source.get("volume").required();
}

fn flocker(source: &Node<'_>) {
    let (name, uuid) = (source.get("datasetName"), source.get("datasetUUID"));
    match (name.is_empty(), uuid.is_empty()) {
        (true, true) => source.missing("one of datasetName and datasetUUID is required"),
        (false, false) => {
            let text = "datasetName and datasetUUID can not be specified simultaneously";
            source.error(crate::field::Error::invalid(source.path().clone(), "resource", text));
        }
        _ => {}
    }
    if name.text().contains('/') {
        name.invalid("must not contain '/'");
    }
}

fn fibre_channel(source: &Node<'_>) {
    let (targets, wwids, lun) = (source.get("targetWWNs"), source.get("wwids"), source.get("lun"));
    if targets.is_empty() && wwids.is_empty() {
        targets.missing("must specify either targetWWNs or wwids, but not both");
    }
    if !targets.is_empty() && !wwids.is_empty() {
        targets.invalid("targetWWNs and wwids can not be specified simultaneously");
    }
    if !targets.is_empty() {
        lun.set("lun is required if targetWWNs is specified").between(0, 255);
    }
}

fn iscsi(source: &Node<'_>, volume: Option<&str>) {
    let portal = source.get("targetPortal");
    portal.required();
    let initiator = source.get("initiatorName");
    if let Some(volume) = volume.filter(|_| initiator.has())
        && volume.len() + 1 + portal.text().len() > 64
    {
        let text = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
                    iscsi.initiatorName is specified.";
        source.get("targetportal").error(crate::field::Error::invalid(
            source.path().child("targetportal"),
            portal.text(),
            text,
        ));
    }
    let unknown = if volume.is_some() {
        "must be valid format"
    } else {
        "must be valid format starting with iqn, eui, or naa"
    };
    let form = |node: &Node<'_>, name: &str| {
        if let Some(text) = bad_initiator(node.text(), unknown) {
            node.error(crate::field::Error::invalid(source.path().child(name), node.text(), text));
        }
    };
    let iqn = source.get("iqn");
    match iqn.text().is_empty() {
        true => iqn.missing(""),
        false => form(&iqn, "iqn"),
    }
    let lun = source.get("lun");
    if !(0..=255).contains(&lun.int()) {
        lun.invalid(names::range(0, 255));
    }
    let reference = source.get("secretRef");
    if source.get("chapAuthDiscovery").flag() || source.get("chapAuthSession").flag() {
        reference.set("");
    }
    if volume.is_some() && reference.has() {
        reference.get("name").required();
    }
    if initiator.has() {
        form(&initiator, "initiatorname");
    }
}

/// Names of iSCSI nodes: `iqn.2001-04.com.example:x`, `eui.` and 16 hex digits, `naa.` and 32.
fn bad_initiator<'a>(text: &str, unknown: &'a str) -> Option<&'a str> {
    let hex = |text: &str, len: usize| text.len() == len && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let good = match text.get(..3) {
        Some("iqn") => {
            // iqn\.\d{4}-\d{2}\.([[:alnum:]-.]+)(:[^,;*&$|\s]+)$
            text.strip_prefix("iqn.").and_then(|rest| rest.split_at_checked(8)).is_some_and(|(date, rest)| {
                let date = date.as_bytes();
                let dated = date.iter().enumerate().all(|(at, byte)| match at {
                    4 => *byte == b'-',
                    7 => *byte == b'.',
                    _ => byte.is_ascii_digit(),
                });
                dated
                    && rest.split_once(':').is_some_and(|(authority, name)| {
                        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
                        !authority.is_empty()
                            && authority.bytes().all(plain)
                            && !name.is_empty()
                            && !name.contains([',', ';', '*', '&', '$', '|', ' ', '\t', '\n'])
                    })
            })
        }
        Some("eui") => text.strip_prefix("eui.").is_some_and(|rest| hex(rest, 16)),
        Some("naa") => text.strip_prefix("naa.").is_some_and(|rest| hex(rest, 32)),
        _ => return Some(unknown),
    };
    (!good).then_some("must be valid format")
}
