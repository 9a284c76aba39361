//! The profile `RuntimeDefault`: every call that the table knows, but for those that containerd's default refuses too,
//! unless a capability stands for them. What the table does not know is refused.

use std::collections::BTreeMap;

use super::super::capabilities::has;
use super::compile::{ALLOW, Comparison, Condition, Filter, Rule, errno};
use super::syscalls::SYSCALLS;

/// Never in a container: keyrings and io_uring are not namespaced, the others are obsolete or the machine's.
const NEVER: &[&str] = &[
    "_sysctl",
    "add_key",
    "afs_syscall",
    "create_module",
    "get_kernel_syms",
    "getpmsg",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lsm_set_self_attr",
    "nfsservctl",
    "putpmsg",
    "query_module",
    "request_key",
    "security",
    "swapoff",
    "swapon",
    "sysfs",
    "tuxcall",
    "userfaultfd",
    "uselib",
    "ustat",
    "vserver",
];

/// With the capability only.
const GUARDED: &[(&str, &[&str])] = &[
    ("DAC_READ_SEARCH", &["open_by_handle_at"]),
    (
        "SYS_ADMIN",
        &[
            "bpf",
            "clone3",
            "fanotify_init",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "listmount",
            "lookup_dcookie",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "perf_event_open",
            "quotactl",
            "quotactl_fd",
            "setdomainname",
            "sethostname",
            "setns",
            "statmount",
            "syslog",
            "umount2",
            "unshare",
        ],
    ),
    ("SYS_BOOT", &["reboot"]),
    ("SYS_CHROOT", &["chroot"]),
    ("SYS_MODULE", &["delete_module", "finit_module", "init_module"]),
    (
        "SYS_NICE",
        &[
            "get_mempolicy",
            "mbind",
            "migrate_pages",
            "move_pages",
            "set_mempolicy",
            "set_mempolicy_home_node",
        ],
    ),
    ("SYS_PACCT", &["acct"]),
    ("SYS_PTRACE", &["kcmp", "pidfd_getfd"]),
    ("SYS_RAWIO", &["ioperm", "iopl"]),
    ("SYS_TIME", &["clock_adjtime", "clock_settime", "settimeofday"]),
    ("SYS_TTY_CONFIG", &["vhangup"]),
    ("SYSLOG", &["syslog"]),
    ("PERFMON", &["perf_event_open"]),
    ("BPF", &["bpf"]),
];

/// `CLONE_NEW*` but `CLONE_NEWTIME`, which `clone` cannot have.
const NEW_NAMESPACES: u64 = 0x7e02_0000;
const AF_VSOCK: u64 = 40;
/// `PER_LINUX`, `PER_LINUX32`, with `UNAME26`, and the question for the present one.
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

pub(super) fn filter(capabilities: u64) -> Filter {
    let mut rules = BTreeMap::new();
    let mut newest = 0;
    for (name, ..) in SYSCALLS {
        let Some(number) = super::number_of(name) else { continue };
        newest = newest.max(number);
        let rules_of = rules_of(name, capabilities);
        if !rules_of.is_empty() {
            rules.insert(number, rules_of);
        }
    }
    Filter { rules, otherwise: errno(libc::EPERM), newer: errno(libc::ENOSYS), newest }
}

fn allow(argument: u8, comparison: Comparison, value: u64) -> Rule {
    Rule { conditions: vec![Condition { argument, comparison, value }], action: ALLOW }
}

fn rules_of(name: &str, capabilities: u64) -> Vec<Rule> {
    let always = |action: u32| vec![Rule { conditions: Vec::new(), action }];
    if NEVER.contains(&name) {
        return Vec::new();
    }
    let admin = has(capabilities, "SYS_ADMIN");
    match name {
        "personality" => PERSONALITIES.iter().map(|value| allow(0, Comparison::Equal, *value)).collect(),
        "clone" if !admin => vec![allow(0, Comparison::Masked(NEW_NAMESPACES), 0)],
        // Its flags are behind a pointer; C libraries fall back to `clone` from ENOSYS.
        "clone3" if !admin => always(errno(libc::ENOSYS)),
        "socket" => vec![allow(0, Comparison::NotEqual, AF_VSOCK)],
        _ => {
            let mut guards = GUARDED.iter().filter(|(_, names)| names.contains(&name)).peekable();
            let free = guards.peek().is_none();
            if free || guards.any(|(capability, _)| has(capabilities, capability)) {
                always(ALLOW)
            } else {
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::compile::compile;
    use super::super::compile::tests::run_here;
    use super::*;
    use crate::Security;

    fn check(capabilities: u64, name: &str, argument: u64, expected: u32) {
        let program = compile(&filter(capabilities)).unwrap();
        let number = super::super::number_of(name).unwrap();
        assert_eq!(run_here(&program, number, [argument, 0, 0, 0, 0, 0]), expected, "{name}({argument:#x})");
    }

    #[test]
    fn refuses_what_containerd_refuses() {
        let usual = super::super::super::capabilities::set(&Security::default()).unwrap();
        let denied = errno(libc::EPERM);
        for (name, argument, expected) in [
            ("read", 0, ALLOW),
            ("openat", 0, ALLOW),
            ("mount", 0, denied),
            ("chroot", 0, ALLOW), // SYS_CHROOT is among the usual capabilities
            ("clone", 0x11, ALLOW),
            ("clone", 0x1000_0000, denied),
            ("clone3", 0, errno(libc::ENOSYS)),
            ("socket", 2, ALLOW),
            ("socket", 40, denied),
            ("personality", 0, ALLOW),
            ("personality", 0x0040_0000, denied),
            ("keyctl", 0, denied),
            ("io_uring_setup", 0, denied),
            ("unshare", 0, denied),
            ("ptrace", 0, ALLOW),
        ] {
            check(usual, name, argument, expected);
        }
        let admin = 1 << 21;
        check(admin, "mount", 0, ALLOW);
        check(admin, "clone", 0x1000_0000, ALLOW);
        check(admin, "clone3", 0, ALLOW);
        check(admin, "keyctl", 0, denied);
        let program = compile(&filter(usual)).unwrap();
        assert_eq!(run_here(&program, 5000, [0; 6]), errno(libc::ENOSYS));
        assert_eq!(
            run_here(&program, 0x4000_0000, [0; 6]),
            errno(libc::ENOSYS),
            "x32 has no door of its own"
        );
    }

    #[test]
    fn every_name_is_a_call() {
        let names = NEVER.iter().chain(GUARDED.iter().flat_map(|(_, names)| names.iter()));
        for name in names {
            assert!(SYSCALLS.iter().any(|(known, ..)| known == name), "{name}");
        }
    }
}
