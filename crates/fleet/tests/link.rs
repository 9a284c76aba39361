//! Looks over a bad link ([`bad_link`]): both transports make progress. Needs root, and the programs git, ip, tc, nft and
//! unshare.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of test functions

#[path = "bench/bad_link.rs"]
mod bad_link;
#[path = "bench/git.rs"]
mod program;
#[path = "bench/servers.rs"]
mod servers;

use std::path::Path;

use bad_link::outside;
use fleet::child::{self, Answer};
use fleet::source::{Credentials, Fetch, Limits, Recipe, Request, Source};
use program::git;
use servers::{Ssh, Web};

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
