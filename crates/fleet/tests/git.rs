//! Sources over https, ssh and as local paths, against real git: `git http-backend` behind a web server with TLS of its
//! own CA, and `git upload-pack` behind an ssh server. git is used here only; skiff runs none.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of test functions

#[path = "bench/fixture.rs"]
mod fixture;
#[path = "bench/git.rs"]
mod program;
#[path = "bench/servers.rs"]
mod servers;

use std::sync::atomic::Ordering;

use fixture::Fixture;
use fleet::git::{Outcome, obtain};
use fleet::source::Fetch;
use program::git;
use servers::{Ssh, Web, key};

/// A repository with a commit.
fn begun() -> Fixture {
    let fixture = Fixture::new();
    fixture.commit("one");
    fixture
}

/// The commit and the text of `a.yaml`.
fn fetched(request: &Fetch) -> Result<(String, String), String> {
    match obtain(request).map_err(|error| error.to_string())? {
        Outcome::Unchanged(revision) => Ok((revision, "unchanged".into())),
        Outcome::Commit(commit) => {
            let tree = render::Tree::new(commit.tree.expect("a commit has a tree"));
            Ok((commit.revision, tree.text("", "a.yaml").unwrap()))
        }
    }
}

/// What every kind of source must do.
fn contract(fixture: &Fixture, url: &str, change: impl Fn(&mut Fetch)) {
    let ask = |revision: &str, known: Option<&str>| {
        let mut request = fixture.request(url, revision);
        change(&mut request);
        request.known = known.map(Into::into);
        fetched(&request)
    };
    let first = fixture.head();
    git(&fixture.work(), &["tag", "light"]);
    git(&fixture.work(), &["tag", "-a", "-m", "x", "heavy"]);
    assert_eq!(ask("main", None).unwrap(), (first.clone(), "one".into()));
    assert_eq!(ask("", None).unwrap().0, first);
    assert_eq!(ask("main", Some(&first)).unwrap().1, "unchanged");
    let second = fixture.commit("two");
    assert_eq!(ask("main", Some(&first)).unwrap(), (second.clone(), "two".into()));
    for tag in ["light", "heavy", "refs/tags/heavy", &first] {
        assert_eq!(ask(tag, None).unwrap(), (first.clone(), "one".into()), "{tag}");
    }
    // A rewritten history is followed.
    git(&fixture.work(), &["reset", "-q", "--hard", &first]);
    let other = fixture.commit("three");
    assert_eq!(ask("main", Some(&second)).unwrap(), (other, "three".into()));
    // A range of versions is the highest tag in it.
    let first = ask("light", None).unwrap().0;
    git(&fixture.work(), &["tag", "v1.2.0", &first]);
    git(&fixture.work(), &["tag", "-a", "-m", "x", "v1.3.0", "HEAD"]);
    let head = fixture.head();
    assert_eq!(ask("semver:1.x", None).unwrap(), (head.clone(), "three".into()));
    assert_eq!(ask("semver:1.x", Some(&head)).unwrap().1, "unchanged");
    assert_eq!(ask("semver:~1.2.0", None).unwrap(), (first, "one".into()));
    assert!(ask("semver:>=2", None).is_err());
    let error = ask("nowhere", None).unwrap_err();
    assert!(error.contains("unable to resolve 'nowhere'"), "{error}");
}

#[test]
fn local_paths_are_read_where_they_are() {
    let fixture = begun();
    contract(&fixture, fixture.work().to_str().unwrap(), |_| {});
    assert!(!fixture.clone().exists());
    let error = fetched(&fixture.request("/nowhere/at/all", "main")).unwrap_err();
    assert!(error.contains("cannot open the repository"), "{error}");
}

#[test]
fn https_with_an_own_ca_and_credentials() {
    let fixture = begun();
    let web = Web::start(fixture.root());
    let url = format!("https://localhost:{}/repo/.git", web.port);
    let known = |request: &mut Fetch| {
        request.credentials = web.credentials();
    };
    contract(&fixture, &url, known);
    // Incremental fetches do not pile up for ever.
    for round in 0..20 {
        let commit = fixture.commit(&format!("round {round}"));
        let mut request = fixture.request(&url, "main");
        known(&mut request);
        assert_eq!(fetched(&request).unwrap().0, commit);
    }
    let packs = std::fs::read_dir(fixture.clone().join("objects/pack")).unwrap().count();
    assert!(packs <= 36, "{packs} files in the pack folder");

    let moved = format!("https://localhost:{}/moved/repo/.git", web.port);
    let mut request = fixture.request(&moved, "main");
    known(&mut request);
    assert_eq!(fetched(&request).unwrap().1, "round 19");

    let before = web.requests.load(Ordering::SeqCst);
    let mut request = fixture.request(&url, "main");
    known(&mut request);
    request.known = Some(fixture.head());
    assert_eq!(fetched(&request).unwrap().1, "unchanged");
    assert_eq!(web.requests.load(Ordering::SeqCst) - before, 2, "a poll without news is two requests");

    let fails = |change: &dyn Fn(&mut Fetch), expected: &str| {
        let mut request = fixture.request(&url, "main");
        known(&mut request);
        change(&mut request);
        let error = fetched(&request).unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    fails(&|request| request.credentials.password = "wrong".into(), "check user and password");
    fails(&|request| request.credentials.ca.clear(), "cannot be trusted");
    fails(&|request| request.url = url.replace("/repo", "/none"), "repository not found");
    fails(&|request| request.url = "https://localhost:1/x".into(), "cannot connect to localhost:1");
}

#[test]
fn ssh_with_a_key_and_known_hosts() {
    let fixture = begun();
    let (ssh, (stranger, _)) = (Ssh::start(), key());
    let port = ssh.port;
    let url = format!("ssh://git@127.0.0.1:{port}{}", fixture.work().display());
    let known = |request: &mut Fetch| {
        request.credentials = ssh.credentials();
    };
    contract(&fixture, &url, known);
    let fails = |change: &dyn Fn(&mut Fetch), expected: &str| {
        let mut request = fixture.request(&url, "main");
        known(&mut request);
        change(&mut request);
        let error = fetched(&request).unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    fails(&|request| request.credentials.ssh_key = stranger.clone(), "refused the ssh key");
    fails(&|request| request.credentials.known_hosts.clear(), "not among the known hosts");
    fails(&|request| request.credentials.ssh_key.clear(), "sshPrivateKey");
}
