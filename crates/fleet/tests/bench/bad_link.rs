//! A link of 64 kbit/s that loses a fifth of its packets, both ways: a token bucket on the loopback of a network namespace,
//! and a rule that drops what arrives by chance (not every kernel has netem). Needs root, and the programs ip, tc, nft and
//! unshare.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::process::Command;

/// Set in the namespace that a test makes for itself.
const INSIDE: &str = "SKIFF_TEST_LINK_INSIDE";

/// Runs the test of that name again in a namespace of its own; `false`: it is in there. Leaves the host's network alone.
pub fn outside(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return false;
    }
    let slow = "ip link set lo up mtu 1500 && tc qdisc add dev lo root tbf rate 64kbit burst 3000 latency 2s \
                && nft 'add table inet bad; add chain inet bad in { type filter hook input priority 0; }; \
                add rule inet bad in numgen random mod 5 0 drop'";
    let can = Command::new("unshare").args(["-n", "sh", "-c", slow]).status();
    if !can.is_ok_and(|status| status.success()) {
        eprintln!("NOT TESTED: this needs root, ip, tc with tbf, and nft");
        return true;
    }
    let own = std::env::current_exe().unwrap();
    let again = format!("{slow} && exec '{}' --exact {name} --nocapture", own.display());
    let status = Command::new("unshare").args(["-n", "sh", "-c", &again]).env(INSIDE, "1").status().unwrap();
    assert!(status.success(), "see above");
    true
}
