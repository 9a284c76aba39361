//! Bytes of a look at a source: without news, and with one line changed in a large repository.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use fleet::git::{Outcome, Polls, obtain};
use fleet::source::{Credentials, Fetch};
use fleet::wire::{Traffic, totals};

use crate::program::git;
use crate::row;
use crate::servers::{Ssh, Web};

const FILES: usize = 50_000;
const COMMITS: usize = 10_000;

pub fn run() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("srv");
    std::fs::create_dir_all(root.join("big")).unwrap();
    eprintln!("making a repository of {FILES} files and {COMMITS} commits");
    large(&root.join("big"));
    let web = Web::start(root.clone());
    let ssh = Ssh::start();
    let https = format!("https://localhost:{}/big", web.port);
    let shell = format!("ssh://git@127.0.0.1:{}{}/big", ssh.port, root.display());
    let (first, _) = look(&https, &web.credentials(), &directory.path().join("https"), None);
    let (_, quiet) = look(&https, &web.credentials(), &directory.path().join("https"), Some(&first));
    row(
        "poll without news over https, cold, no resumption: two certificates of ECDSA",
        &shown(quiet),
        "3 KB with resumption",
    );
    polled(&https, &web, &directory.path().join("https"), &first);
    look(&shell, &ssh.credentials(), &directory.path().join("ssh"), None);
    let (_, quiet) = look(&shell, &ssh.credentials(), &directory.path().join("ssh"), Some(&first));
    row("poll without news over ssh", &shown(quiet), "8 KB");
    one_line(&root.join("big"));
    let (_, changed) = look(&https, &web.credentials(), &directory.path().join("https"), Some(&first));
    let pack = changed.received.saturating_sub(look_alone(&https, &web, directory.path()));
    row(
        &format!("one-line change in {FILES} files and {COMMITS} commits, whole fetch over https"),
        &shown(changed),
        "",
    );
    row("of it the pack and what is said about it", &format!("{:.1} KB", pack as f64 / 1e3), "20 KB of pack");
}

/// What the agent itself asks while nothing is new: first a whole handshake, then a resumed one.
fn polled(url: &str, web: &Web, clone: &Path, known: &str) {
    let polls = Polls::default();
    let fetch = request(url, &web.credentials(), clone, Some(known));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (what, budget) in [("its first poll", ""), ("each poll after it, its session resumed", "3 KB")] {
        let (unchanged, traffic) = runtime.block_on(polls.unchanged(std::slice::from_ref(&fetch), 0));
        assert!(unchanged, "the poll was left to a child");
        row(&format!("poll without news over https by the agent itself: {what}"), &shown(traffic), budget);
    }
}

/// Bytes that a look without news receives.
fn look_alone(url: &str, web: &Web, directory: &Path) -> u64 {
    let (revision, _) = look(url, &web.credentials(), &directory.join("https"), None);
    look(url, &web.credentials(), &directory.join("https"), Some(&revision)).1.received
}

fn shown(traffic: Traffic) -> String {
    format!("{:.1} KB ({} B out, {} B in)", traffic.total() as f64 / 1e3, traffic.sent, traffic.received)
}

fn request(url: &str, credentials: &Credentials, clone: &Path, known: Option<&str>) -> Fetch {
    Fetch {
        url: url.into(),
        revision: "main".into(),
        credentials: credentials.clone(),
        repository: clone.into(),
        known: known.map(Into::into),
        ..Fetch::default()
    }
}

fn look(url: &str, credentials: &Credentials, clone: &Path, known: Option<&str>) -> (String, Traffic) {
    let before = totals();
    let revision = match obtain(&request(url, credentials, clone, known)).unwrap() {
        Outcome::Unchanged(revision) => revision,
        Outcome::Commit(commit) => commit.revision,
    };
    let after = totals();
    (revision, Traffic { sent: after.sent - before.sent, received: after.received - before.received })
}

/// Files in folders of a hundred; each commit changes one line of one of them.
fn large(at: &Path) {
    git(at, &["init", "-q", "--bare"]);
    let mut import = import(at);
    let mut out = std::io::BufWriter::new(import.stdin.take().unwrap());
    for commit in 0..COMMITS {
        write!(
            out,
            "commit refs/heads/main\ncommitter t <t@example.com> {} +0000\ndata 1\nx\n",
            1_700_000_000 + commit
        )
        .unwrap();
        let files = if commit == 0 { 0..FILES } else { commit % FILES..commit % FILES + 1 };
        for file in files {
            let text = text(file, commit);
            write!(out, "M 644 inline {}\ndata {}\n{text}\n", path(file), text.len()).unwrap();
        }
    }
    drop(out.into_inner().unwrap());
    assert!(import.wait().unwrap().success());
    git(at, &["repack", "-q", "-a", "-d"]);
}

/// `git fast-import`, which reads a stream of commits.
fn import(at: &Path) -> Child {
    let mut command = Command::new("git");
    command.arg("-C").arg(at).args(["fast-import", "--quiet"]).stdin(Stdio::piped()).stdout(Stdio::null());
    command.spawn().unwrap()
}

fn path(file: usize) -> String {
    format!("sites/s{:03}/f{:02}.yaml", file / 100, file % 100)
}

fn text(file: usize, commit: usize) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: f{file}\ndata:\n  key: c{commit}\n")
}

fn one_line(at: &Path) {
    let text = text(7, COMMITS);
    let stream = format!(
        "commit refs/heads/main\ncommitter t <t@example.com> 1790000000 +0000\ndata 1\nx\nfrom refs/heads/main^0\nM 644 inline {}\ndata {}\n{text}\n",
        path(7),
        text.len()
    );
    let mut import = import(at);
    import.stdin.take().unwrap().write_all(stream.as_bytes()).unwrap();
    assert!(import.wait().unwrap().success());
}
