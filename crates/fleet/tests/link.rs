//! A link of 64 kbit/s that loses a fifth of its packets, both ways: a token bucket on the loopback of a network namespace,
//! and a rule that drops what arrives by chance (not every kernel has netem). Needs root, and the programs git, ip, tc, nft
//! and unshare.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of test functions

#[path = "bench/servers.rs"]
mod servers;

use std::path::Path;
use std::process::Command;

use fleet::child::{self, Answer};
use fleet::source::{Credentials, Fetch, Limits, Recipe, Request, Source};
use servers::{Ssh, Web};

/// Set in the namespace that the test makes for itself.
const INSIDE: &str = "SKIFF_TEST_LINK_INSIDE";

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).status().is_ok_and(|status| status.success())
}

/// Runs the test again in a namespace of its own; `false`: it is in there. Leaves the host's network alone.
fn outside(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return false;
    }
    let slow = "ip link set lo up mtu 1500 && tc qdisc add dev lo root tbf rate 64kbit burst 3000 latency 2s \
                && nft 'add table inet bad; add chain inet bad in { type filter hook input priority 0; }; \
                add rule inet bad in numgen random mod 5 0 drop'";
    if !run("unshare", &["-n", "sh", "-c", slow]) {
        eprintln!("NOT TESTED: this needs root, ip, tc with tbf, and nft");
        return true;
    }
    let own = std::env::current_exe().unwrap();
    let again = format!("{slow} && exec '{}' --exact {name} --nocapture", own.display());
    let status = Command::new("unshare").args(["-n", "sh", "-c", &again]).env(INSIDE, "1").status().unwrap();
    assert!(status.success(), "see above");
    true
}

fn git(at: &Path, arguments: &[&str]) {
    let status = Command::new("git")
        .current_dir(at)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .status()
        .expect("these tests need the program git");
    assert!(status.success(), "git {arguments:?}");
}

/// 24 kB that do not compress, in objects that can be rendered.
fn commit(at: &Path, seed: u64) {
    let mut state = seed;
    std::fs::create_dir_all(at.join("app")).unwrap();
    for file in 0..12 {
        let noise: String = (0..1000)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                format!("{:02x}", state >> 56)
            })
            .collect();
        let text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m{file}}}\ndata: {{key: \"{noise}\"}}\n"
        );
        std::fs::write(at.join(format!("app/m{file}.yaml")), text).unwrap();
    }
    git(at, &["add", "-A"]);
    git(at, &["commit", "-q", "-m", "x"]);
}

/// Looks until the objects are there; gives how many looks it took and the bytes of all.
async fn until_there(url: &str, credentials: &Credentials, directory: &Path) -> (usize, u64) {
    let command = child::Command { program: env!("CARGO_BIN_EXE_fleet-child").into(), arguments: Vec::new() };
    let source = Source { url: url.into(), revision: "main".into(), path: "app".into(), ..Source::default() };
    let mut bytes = 0;
    for looks in 1..=20 {
        let request = Request {
            recipe: Recipe { sources: vec![source.clone()], ..Recipe::default() },
            fetches: vec![Fetch {
                url: url.into(),
                revision: "main".into(),
                credentials: credentials.clone(),
                repository: directory.join("clone"),
                ..Fetch::default()
            }],
            manifests: directory.join("manifests.jsonl"),
            // Not by the time that it takes is a look given up, but when nothing comes any more.
            limits: Limits { wall: 60, ..Limits::default() },
            now: 0,
        };
        let (answer, traffic) = child::run(&command, &request).await;
        bytes += traffic.total();
        match answer {
            Ok(Answer::Artifact(artifact)) => {
                assert_eq!(artifact.objects, 12);
                return (looks, bytes);
            }
            // The handshake may be lost: the agent asks again after a minute.
            Ok(Answer::Unavailable(text)) => eprintln!("look {looks}: {text}"),
            Err(error) => eprintln!("look {looks}: {error}"),
            Ok(other) => panic!("{other:?}"),
        }
    }
    panic!("twenty looks did not fetch 24 kB");
}

fn over(name: &str, serve: impl FnOnce(&Path) -> (String, Credentials, Box<dyn std::any::Any>)) {
    if outside(name) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let work = directory.path().join("srv/repo");
    std::fs::create_dir_all(&work).unwrap();
    git(&work, &["init", "-q"]);
    commit(&work, 7);
    let (url, credentials, _server) = serve(&directory.path().join("srv"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (looks, bytes) = until_there(&url, &credentials, directory.path()).await;
        println!("{name}: {looks} looks, {bytes} bytes");
        commit(&work, 8);
        let (looks, bytes) = until_there(&url, &credentials, directory.path()).await;
        println!("{name}, a change: {looks} looks, {bytes} bytes");
    });
}

#[test]
fn https_makes_progress_over_a_bad_link() {
    over("https_makes_progress_over_a_bad_link", |root| {
        let web = Web::start(root.into());
        let url = format!("https://localhost:{}/repo/.git", web.port);
        (url, web.credentials(), Box::new(web))
    });
}

#[test]
fn ssh_makes_progress_over_a_bad_link() {
    over("ssh_makes_progress_over_a_bad_link", |root| {
        let ssh = Ssh::start();
        let url = format!("ssh://git@127.0.0.1:{}{}/repo", ssh.port, root.display());
        (url, ssh.credentials(), Box::new(ssh))
    });
}
