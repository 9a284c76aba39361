//! Capabilities by name, and the set that a container has unless told otherwise, as in containerd.

use crate::{Error, Security};

/// By number, from `linux/capability.h`.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

const ALL: u64 = (1 << NAMES.len()) - 1;

fn bit(name: &str) -> Result<u64, Error> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    match NAMES.iter().position(|known| *known == short) {
        Some(number) => Ok(1 << number),
        None if short == "ALL" => Ok(ALL),
        None => Err(Error::Container {
            reason: "CreateContainerError",
            message: format!("unknown capability \"CAP_{short}\""),
        }),
    }
}

/// Whether `set` has the capability `name` of [`NAMES`].
pub(super) fn has(set: u64, name: &str) -> bool {
    bit(name).is_ok_and(|bit| set & bit == bit)
}

/// The capabilities of a container. `ALL` is taken first, so that `add: [ALL], drop: [X]` and its mirror mean what they say.
pub(super) fn set(security: &Security) -> Result<u64, Error> {
    if security.privileged {
        return Ok(ALL);
    }
    let mut set = 0;
    for name in DEFAULT {
        set |= bit(name)?;
    }
    let is_all = |name: &&String| name.eq_ignore_ascii_case("ALL");
    if security.add_capabilities.iter().any(|name| is_all(&name)) {
        set = ALL;
    }
    if security.drop_capabilities.iter().any(|name| is_all(&name)) {
        set = 0;
    }
    for name in security.add_capabilities.iter().filter(|name| !is_all(name)) {
        set |= bit(name)?;
    }
    for name in security.drop_capabilities.iter().filter(|name| !is_all(name)) {
        set &= !bit(name)?;
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(add: &[&str], drop: &[&str], expected: u64) {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let security =
            Security { add_capabilities: names(add), drop_capabilities: names(drop), ..Security::default() };
        assert_eq!(set(&security).unwrap(), expected, "add {add:?} drop {drop:?}");
    }

    #[test]
    fn adds_and_drops() {
        check(&[], &[], 0xa804_25fb); // what `capsh --print` shows in a pod of containerd
        check(&["NET_ADMIN"], &[], 0xa804_35fb);
        check(&["CAP_NET_ADMIN"], &["all"], 1 << 12);
        check(&["ALL"], &["SYS_ADMIN"], ALL & !(1 << 21));
        assert!(set(&Security { add_capabilities: vec!["NO".into()], ..Security::default() }).is_err());
    }
}
