//! A link that breaks again and again: each conversation keeps what came whole, and the fetch of a repository many times larger
//! than what one of them carries still ends. Against real git behind a relay that cuts connections. Needs the program git.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of test functions

#[path = "bench/fixture.rs"]
mod fixture;
#[path = "bench/git.rs"]
mod program;
#[path = "bench/servers.rs"]
mod servers;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use fixture::Fixture;
use fleet::git::verify::Verify;
use fleet::git::{Outcome, obtain};
use fleet::signature::Keys;
use fleet::source::Fetch;
use program::git;
use servers::{Ssh, Web};

/// In front of a server: a connection is cut after so many bytes from the server.
struct Relay {
    port: u16,
    /// 0: none is cut.
    after: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
    cuts: Arc<AtomicUsize>,
}

impl Relay {
    fn start(server: u16, after: u64) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Relay {
            port: listener.local_addr().unwrap().port(),
            after: Arc::new(AtomicU64::new(after)),
            bytes: Arc::default(),
            cuts: Arc::default(),
        };
        let (after, bytes, cuts) = (relay.after.clone(), relay.bytes.clone(), relay.cuts.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
                let (after, bytes, cuts) = (after.clone(), bytes.clone(), cuts.clone());
                std::thread::spawn(move || carry(server, client, &after, &bytes, &cuts));
            }
        });
        relay
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, after: &AtomicU64, bytes: &AtomicU64, cuts: &AtomicUsize) {
    let mut buffer = [0; 1024];
    let mut carried = 0;
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
        bytes.fetch_add(count as u64, Ordering::SeqCst);
        carried += count as u64;
        let limit = after.load(Ordering::SeqCst);
        if limit > 0 && carried >= limit {
            cuts.fetch_add(1, Ordering::SeqCst);
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Files that do not compress: so many of 8 kB each, in folders.
fn commit(at: &Path, files: usize, seed: u64) -> String {
    let mut state = seed | 1;
    for file in 0..files {
        let noise: Vec<u8> = (0..8192)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 56) as u8
            })
            .collect();
        let path = at.join(format!("d{}/f{file}", file % 7));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, noise).unwrap();
    }
    git(at, &["add", "-A"]);
    git(at, &["commit", "-q", "-m", "x"]);
    git(at, &["rev-parse", "HEAD"])
}

/// Looks until it is there; gives the commit and how many looks it took.
fn until_there(request: &Fetch) -> (String, usize) {
    for looks in 1..=30 {
        match obtain(request) {
            Ok(Outcome::Commit(commit)) => {
                let tree = render::Tree::new(commit.tree.expect("a commit has a tree"));
                for folder in tree.list("", ".").unwrap() {
                    for file in tree.list("", &folder).unwrap() {
                        assert_eq!(tree.read("", &format!("{folder}/{file}")).unwrap().len(), 8192);
                    }
                }
                return (commit.revision, looks);
            }
            Ok(Outcome::Unchanged(_)) => panic!("nothing was known"),
            Err(error) => println!("look {looks}: {error}"),
        }
    }
    panic!("thirty looks did not fetch it");
}

/// git's own opinion of the clone.
fn check(fixture: &Fixture) {
    git(&fixture.clone(), &["fsck", "--full", "--strict"]);
}

/// A look over https, through the relay.
fn https(fixture: &Fixture, web: &Web, relay: &Relay) -> Fetch {
    let url = format!("https://localhost:{}/repo/.git", relay.port);
    Fetch { credentials: web.credentials(), ..fixture.request(&url, "main") }
}

const FILES: usize = 64;
/// What they weigh.
const CONTENT: u64 = FILES as u64 * 8192;
/// What a connection carries.
const CARRIED: u64 = 40_000;

fn over(request: Fetch, fixture: &Fixture, relay: &Relay) {
    let first = fixture.head();
    let (commit, looks) = until_there(&request);
    let (bytes, cuts) = (relay.bytes.load(Ordering::SeqCst), relay.cuts.load(Ordering::SeqCst));
    println!("{CONTENT} bytes over {cuts} cuts after {CARRIED}: {bytes} bytes, {looks} looks");
    assert_eq!(commit, first);
    assert!(cuts >= 10, "the link was cut {cuts} times only");
    // Each conversation costs a handshake, and loses an object and what the transport had not given out yet.
    assert!(bytes < CONTENT * 5 / 2, "{bytes} bytes");
    check(fixture);
    // The repository moves on while a fetch is under way: what was begun is not in vain.
    commit_and_break(fixture, relay, &request);
    let second = commit_small(fixture);
    relay.bytes.store(0, Ordering::SeqCst);
    let (commit, looks) = until_there(&request);
    let bytes = relay.bytes.load(Ordering::SeqCst);
    println!("a commit more meanwhile: {bytes} bytes, {looks} looks");
    assert_eq!(commit, second);
    assert!(bytes < CONTENT * 5 / 2, "{bytes} bytes");
    check(fixture);
    // Nothing is asked for twice, and small changes are small.
    relay.after.store(0, Ordering::SeqCst);
    for _ in 0..3 {
        let third = commit_small(fixture);
        relay.bytes.store(0, Ordering::SeqCst);
        assert_eq!(until_there(&request), (third, 1));
        let bytes = relay.bytes.load(Ordering::SeqCst);
        assert!(bytes < 25_000, "{bytes} bytes for a file of 8 kB");
    }
    check(fixture);
    let packs = std::fs::read_dir(fixture.clone().join("objects/pack")).unwrap().count();
    assert!(packs <= 36, "{packs} files in the pack folder");
}

/// All files change, and the child dies after some of it came.
fn commit_and_break(fixture: &Fixture, relay: &Relay, request: &Fetch) {
    commit(&fixture.work(), FILES, 99);
    relay.after.store(12_000, Ordering::SeqCst);
    let error = obtain(request).err().expect("too little comes for anything").to_string();
    println!("{error}");
    relay.after.store(CARRIED, Ordering::SeqCst);
}

fn commit_small(fixture: &Fixture) -> String {
    let head = fixture.head();
    commit(&fixture.work(), 1, u64::from_str_radix(&head[..15], 16).unwrap())
}

#[test]
fn https_ends_over_a_link_that_breaks() {
    let fixture = Fixture::new();
    commit(&fixture.work(), FILES, 7);
    let web = Web::start(fixture.root());
    let relay = Relay::start(web.port, CARRIED);
    let request = https(&fixture, &web, &relay);
    over(request, &fixture, &relay);
}

#[test]
fn ssh_ends_over_a_link_that_breaks() {
    let fixture = Fixture::new();
    commit(&fixture.work(), FILES, 7);
    let ssh = Ssh::start();
    let relay = Relay::start(ssh.port, CARRIED);
    let mut credentials = ssh.credentials();
    credentials.known_hosts = credentials.known_hosts.replace(&ssh.port.to_string(), &relay.port.to_string());
    let url = format!("ssh://git@127.0.0.1:{}{}", relay.port, fixture.work().display());
    let request = Fetch { credentials, ..fixture.request(&url, "main") };
    over(request, &fixture, &relay);
}

#[test]
fn what_a_killed_child_received_is_kept() {
    let fixture = Fixture::new();
    let head = commit(&fixture.work(), FILES, 7);
    let web = Web::start(fixture.root());
    let relay = Relay::start(web.port, 0);
    let request = https(&fixture, &web, &relay);
    // As a process leaves it that is killed: a pack that breaks off, whose count was not written yet.
    let sent = "git rev-parse HEAD | git pack-objects --revs --stdout --delta-base-offset --shallow -q";
    let sent = Command::new("sh").current_dir(fixture.work()).args(["-c", sent]).output().unwrap();
    let mut bytes = sent.stdout;
    bytes.truncate(bytes.len() * 3 / 4);
    bytes[8..12].fill(0);
    git(fixture.directory.path(), &["init", "-q", "--bare", "clone"]);
    std::fs::create_dir_all(fixture.clone().join("objects/pack")).unwrap();
    std::fs::write(fixture.clone().join("objects/pack/.tmpAbC"), bytes).unwrap();
    assert_eq!(until_there(&request), (head, 1));
    let bytes = relay.bytes.load(Ordering::SeqCst);
    assert!(bytes < CONTENT / 3, "{bytes} bytes came for the last quarter");
    assert!(!fixture.clone().join("objects/pack/.tmpAbC").exists());
    check(&fixture);
}

#[test]
fn signed_histories_come_over_a_link_that_breaks() {
    let fixture = Fixture::new();
    let key = fixture.directory.path().join("key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.expect("the program ssh-keygen is needed").success());
    let signing = format!("user.signingkey={}", key.display());
    let sign = ["-c", "gpg.format=ssh", "-c", &signing, "commit", "-q", "--allow-empty", "-S", "-m"];
    // What does not compress, so that one connection carries no more than some of it.
    let mut state = 7u64;
    for _ in 0..40 {
        let noise: String = (0..400)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                format!("{:08x}", state >> 32)
            })
            .collect();
        let arguments: Vec<&str> = sign.iter().copied().chain([noise.as_str()]).collect();
        git(&fixture.work(), &arguments);
    }
    git(&fixture.work(), &["config", "uploadpack.allowFilter", "true"]);
    let web = Web::start(fixture.root());
    let relay = Relay::start(web.port, 20_000);
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    let request = Fetch {
        verify: Verify { commit: true, history: true, ..Verify::default() },
        keys: Keys { ssh: vec![public], pgp: Vec::new() },
        ..https(&fixture, &web, &relay)
    };
    let signatures = (1..=30).find_map(|look| match obtain(&request) {
        Ok(Outcome::Commit(commit)) => Some(commit.signatures),
        Ok(Outcome::Unchanged(_)) => panic!("nothing was known"),
        Err(error) => {
            println!("look {look}: {error}");
            None
        }
    });
    let cuts = relay.cuts.load(Ordering::SeqCst);
    assert_eq!(signatures.unwrap(), [format!("40 commits up to '{}'", fixture.head())]);
    assert!(cuts >= 3, "the link was cut {cuts} times only");
    let bytes = relay.bytes.load(Ordering::SeqCst);
    assert!(bytes < 1_000_000, "{bytes} bytes");
}
