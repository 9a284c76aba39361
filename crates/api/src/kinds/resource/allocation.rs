//! The status of a ResourceClaim: which devices it got, and what their drivers say of them.

use super::device::binding;
use super::devices::{configuration, few, raw_object, reference, references};
use super::resource_slice::pool_name;
use crate::Value;
use crate::field::Error;
use crate::kinds::core::persistent_volume::driver_name;
use crate::kinds::edit::list;
use crate::validation::{Node, names};

/// A new AllocationResult; `devices` is the claim's `spec.devices`.
pub fn allocation(allocation: &Node<'_>, devices: &Value) {
    let (results, config) = (allocation.at(&["devices", "results"]), allocation.at(&["devices", "config"]));
    if few(&results, 32) {
        for result in results.items() {
            reference(&result.get("request"), devices);
            device_id(&result);
            binding(&result);
        }
    }
    if few(&config, 64) {
        for config in config.items() {
            config.get("source").required_one_of(&["FromClaim", "FromClass"]);
            references(&config.get("requests"), devices);
            configuration(&config);
        }
    }
    let selector = allocation.get("nodeSelector");
    if selector.has() {
        selector.by(crate::kinds::core::pod::node_selector);
    }
}

/// Driver, pool, device and share: what names a device.
fn device_id(at: &Node<'_>) {
    driver_name(&at.get("driver"));
    pool_name(&at.get("pool"));
    at.get("device").is_even_empty(names::dns_label);
    let share = at.get("shareID");
    if share.has() {
        uid(&share);
    }
}

/// `driver/pool/device` with the share.
fn id_of(value: &Value) -> String {
    let part = |field: &str| value.str_at(&[field]);
    let device = format!("{}/{}/{}", part("driver"), part("pool"), part("device"));
    match part("shareID") {
        "" => device,
        share => format!("{device}/{share}"),
    }
}

/// `status.devices`.
pub fn statuses(devices: &Node<'_>, allocation: &Node<'_>) {
    let allocated: Vec<String> =
        list(allocation.value(), &["devices", "results"]).iter().map(id_of).collect();
    let items = devices.items();
    for item in &items {
        device_id(item);
        let id = id_of(item.value());
        if !allocated.contains(&id) {
            let mut shown = Value::object();
            for field in ["driver", "pool", "device"] {
                shown.set(&[field], item.get(field).text());
            }
            item.error(Error::invalid(
                item.path().clone(),
                shown,
                "must be an allocated device in the claim",
            ));
        }
        let conditions = item.get("conditions");
        conditions.at_most_items(8);
        conditions.conditions();
        let data = item.get("data");
        if data.has() {
            raw_object(&data);
        }
        network(&item.get("networkData"));
    }
    for (at, item) in items.iter().enumerate() {
        let id = id_of(item.value());
        if items[..at].iter().any(|other| id_of(other.value()) == id) {
            item.error(Error::duplicate(item.path().clone(), id));
        }
    }
}

fn network(data: &Node<'_>) {
    data.get("interfaceName").at_most_bytes(256);
    data.get("hardwareAddress").at_most_bytes(128);
    let ips = data.get("ips");
    if few(&ips, 16) {
        let items = ips.items();
        for item in &items {
            interface_address(item);
        }
        ips.distinct("");
    }
}

/// `192.0.2.5/24`, with the bits of the host.
fn interface_address(node: &Node<'_>) {
    let parsed = || -> Option<String> {
        let (ip, bits) = node.text().split_once('/')?;
        let (ip, bits): (std::net::IpAddr, u8) = (ip.parse().ok()?, bits.parse().ok()?);
        let most = if ip.is_ipv4() { 32 } else { 128 };
        match ip.to_canonical() {
            canonical if bits <= most && canonical.is_ipv4() && ip.is_ipv6() => {
                Some(format!("{canonical}/{}", bits.checked_sub(96)?))
            }
            canonical => (bits <= most).then(|| format!("{canonical}/{bits}")),
        }
    };
    match parsed() {
        None => node.invalid("must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"),
        Some(canonical) if canonical != node.text() => {
            node.invalid(format!("must be in canonical form ({canonical:?})"));
        }
        Some(_) => {}
    }
}

/// A UUID in its normal form.
fn uid(node: &Node<'_>) {
    let text = node.text();
    let good = |text: &str| {
        text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            })
    };
    if !good(text) {
        let why = match text.len() {
            36 => "invalid UUID format".to_string(),
            len => format!("invalid UUID length: {len}"),
        };
        node.invalid(format!("error validating uid: {why}"));
    } else if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        node.invalid(
            "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal \
             characters",
        );
    }
}
