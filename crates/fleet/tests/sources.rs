//! What a source may be made of and how it is reached: submodules, proxies, certificates of clients. Against real git, as
//! in `git.rs`.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of test functions

#[path = "bench/git.rs"]
mod program;
#[path = "bench/servers.rs"]
mod servers;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fleet::child::{self, Answer};
use fleet::git::{Outcome, obtain};
use fleet::source::{Credentials, Fetch, Inputs, Limits, Mount, Recipe, Render, Request, Source};
use program::git;
use servers::Web;

/// Repositories beside each other below `srv`.
struct Places(tempfile::TempDir);

impl Places {
    fn new() -> Places {
        Places(tempfile::tempdir().unwrap())
    }
    fn root(&self) -> PathBuf {
        self.0.path().join("srv")
    }
    fn repository(&self, name: &str) -> PathBuf {
        let path = self.root().join(name);
        if !path.exists() {
            std::fs::create_dir_all(&path).unwrap();
            git(&path, &["init", "-q"]);
        }
        path
    }
    fn commit(&self, name: &str, files: &[(&str, &str)]) -> String {
        let at = self.repository(name);
        for (path, text) in files {
            let path = at.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        git(&at, &["add", "-A"]);
        git(&at, &["commit", "-q", "-m", "a change"]);
        git(&at, &["rev-parse", "HEAD"])
    }
    /// Adds the repository `of` as a submodule at `path`; `url` is what `.gitmodules` says.
    fn submodule(&self, name: &str, of: &str, path: &str, url: &str) {
        let at = self.repository(name);
        let of = self.repository(of);
        git(
            &at,
            &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", of.to_str().unwrap(), path],
        );
        git(&at, &["config", "-f", ".gitmodules", &format!("submodule.{path}.url"), url]);
        git(&at, &["add", "-A"]);
        git(&at, &["commit", "-q", "-m", "a submodule"]);
    }
    fn request(&self, url: &str) -> Fetch {
        Fetch {
            url: url.into(),
            revision: "main".into(),
            repository: self.0.path().join("clone"),
            submodules: true,
            ..Fetch::default()
        }
    }
}

/// The paths of all submodules.
fn modules(request: &Fetch) -> Result<Vec<String>, String> {
    match obtain(request).map_err(|error| error.to_string())? {
        Outcome::Commit(commit) => Ok(commit.modules.into_iter().map(|(path, _)| path).collect()),
        Outcome::Unchanged(_) => panic!("nothing was known"),
    }
}

fn map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n")
}

/// What the child renders of sources.
async fn rendered(
    places: &Places,
    sources: Vec<Source>,
    credentials: &Credentials,
) -> Result<String, Answer> {
    let recipe = Recipe { sources, ..Recipe::default() };
    let inputs = Inputs { credentials: vec![credentials.clone(); recipe.sources.len()], ..Inputs::default() };
    let manifests = places.0.path().join("manifests.jsonl");
    let request = Request {
        fetches: recipe.fetches(&inputs, &places.0.path().join("clones"), None),
        recipe,
        manifests: manifests.clone(),
        limits: Limits::default(),
        now: 0,
    };
    std::fs::create_dir_all(places.0.path().join("clones")).unwrap();
    let command = child::Command { program: env!("CARGO_BIN_EXE_fleet-child").into(), arguments: Vec::new() };
    match child::run(&command, &request).await.0.unwrap() {
        Answer::Artifact(_) => Ok(std::fs::read_to_string(manifests).unwrap()),
        other => Err(other),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn submodules_are_part_of_the_tree() {
    let places = Places::new();
    places.commit("deep", &[("deep.yaml", &map("deep"))]);
    let pinned = places.commit("lib", &[("lib.yaml", &map("lib"))]);
    places.submodule("lib", "deep", "below/deep", "../../deep/.git");
    places.commit("app", &[("app/a.yaml", &map("a"))]);
    places.submodule("app", "lib", "app/lib", "../../lib/.git");
    // The pin counts, not what came later.
    places.commit("lib", &[("later.yaml", &map("later"))]);
    assert_ne!(pinned, git(&places.repository("lib"), &["rev-parse", "HEAD"]));
    let web = Web::start(places.root());
    for (url, credentials) in [
        (format!("{}/.git", places.repository("app").display()), Credentials::default()),
        (format!("https://localhost:{}/app/.git", web.port), web.credentials()),
    ] {
        let mut request = places.request(&url);
        request.credentials = credentials.clone();
        // It has a runtime of its own, as in the child.
        let found = tokio::task::block_in_place(|| modules(&request)).unwrap();
        assert_eq!(found, ["app/lib/below/deep", "app/lib"], "{url}");
        let source = Source {
            url: url.clone(),
            revision: "main".into(),
            path: "app".into(),
            render: Render::KustomizeAny(Box::default()),
            submodules: true,
            ..Source::default()
        };
        let all = rendered(&places, vec![source.clone()], &credentials).await.unwrap();
        for (name, there) in [("a", true), ("lib", true), ("deep", true), ("later", false)] {
            assert_eq!(all.contains(&format!(r#""name":"{name}""#)), there, "{url} {name}: {all}");
        }
        let all =
            rendered(&places, vec![Source { submodules: false, ..source }], &credentials).await.unwrap();
        assert!(!all.contains("lib"), "{all}");
    }
    // A pin that is nowhere is told with the submodule's address.
    let at = places.repository("app");
    git(&at, &["update-index", "--cacheinfo", "160000,0123456789012345678901234567890123456789,app/lib"]);
    git(&at, &["commit", "-q", "-m", "a pin"]);
    let error = modules(&places.request(&format!("{}/.git", at.display()))).unwrap_err();
    assert!(error.contains("unable to resolve '0123456789012345678901234567890123456789'"), "{error}");
}

#[test]
fn submodules_of_servers_name_no_paths_of_the_host() {
    let places = Places::new();
    places.commit("secret", &[("secret.yaml", &map("secret"))]);
    places.commit("app", &[("a.yaml", &map("a"))]);
    let secret = places.repository("secret").display().to_string();
    places.submodule("app", "secret", "sub", &secret);
    assert_eq!(modules(&places.request(places.repository("app").to_str().unwrap())).unwrap(), ["sub"]);
    let web = Web::start(places.root());
    let mut request = places.request(&format!("https://localhost:{}/app/.git", web.port));
    request.credentials = web.credentials();
    let error = modules(&request).unwrap_err();
    assert!(error.contains("a path of this host"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_are_put_together() {
    let places = Places::new();
    let source = |name: &str| Source {
        url: places.repository(name).display().to_string(),
        revision: "main".into(),
        path: ".".into(),
        clone: name.into(),
        ignore: Some(String::new()),
        ..Source::default()
    };
    places.commit(
        "app",
        &[
            ("app/a.yaml", &map("a")),
            ("other/o.yaml", &map("other")),
            ("app/.sourceignore", "left-*.yaml\n"),
            ("app/left-out.yaml", &map("left")),
        ],
    );
    places.commit("more", &[("deploy/m.yaml", &map("more")), ("deploy/no.png", "x"), ("README.md", "x")]);
    let app = Source {
        render: Render::KustomizeAny(Box::default()),
        sparse: vec!["./app".into()],
        ..source("app")
    };
    let mount = Some(Mount { from: "deploy".into(), to: "app/vendor/more".into() });
    let more = Source { mount, ..source("more") };
    let none = Credentials::default();
    let all = rendered(&places, vec![app.clone(), more], &none).await.unwrap();
    for (name, there) in [("a", true), ("more", true), ("other", false), ("left", false)] {
        assert_eq!(all.contains(&format!(r#""name":"{name}""#)), there, "{name}: {all}");
    }
    let sparse = Source { sparse: vec!["nowhere".into()], ..app };
    let Err(Answer::Absent(text)) = rendered(&places, vec![sparse], &none).await else {
        panic!("it is there")
    };
    assert!(text.contains("failed to sparse checkout directories: nowhere"), "{text}");
}

#[test]
fn clients_show_their_certificate() {
    let places = Places::new();
    let commit = places.commit("app", &[("a.yaml", &map("a"))]);
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(params, key);
    let own = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["box-1".to_string()]).unwrap().signed_by(&own, &issuer).unwrap();
    let web = Web::start_asking(places.root(), Some(authority.der().clone()));
    let mut request = places.request(&format!("https://localhost:{}/app/.git", web.port));
    request.credentials = Credentials {
        client_certificate: certificate.pem(),
        client_key: own.serialize_pem(),
        ..web.credentials()
    };
    let Ok(Outcome::Commit(found)) = obtain(&request) else { panic!("it was not fetched") };
    assert_eq!(found.revision, commit);
    request.credentials.client_certificate.clear();
    assert!(obtain(&request).is_err());
}

#[test]
fn sources_are_fetched_through_a_proxy() {
    let places = Places::new();
    let commit = places.commit("app", &[("a.yaml", &map("a"))]);
    let web = Web::start(places.root());
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = proxy.local_addr().unwrap();
    let tunnels = Arc::new(AtomicUsize::new(0));
    let (count, port) = (tunnels.clone(), web.port);
    std::thread::spawn(move || {
        for stream in proxy.incoming().flatten() {
            let count = count.clone();
            std::thread::spawn(move || tunnel(stream, port, &count));
        }
    });
    let mut request = places.request(&format!("https://localhost:{}/app/.git", web.port));
    request.credentials = Credentials { proxy: format!("http://box:word@{address}"), ..web.credentials() };
    let Ok(Outcome::Commit(found)) = obtain(&request) else { panic!("it was not fetched") };
    assert_eq!(found.revision, commit);
    assert!(tunnels.load(Ordering::SeqCst) > 0);
    request.credentials.proxy = format!("http://box:wrong@{address}");
    request.known = None;
    let error = obtain(&request).err().unwrap().to_string();
    assert!(error.contains("407"), "{error}");
}

/// A proxy that opens tunnels to the server for whoever has the password.
fn tunnel(mut stream: TcpStream, port: u16, count: &AtomicUsize) {
    let mut asked = Vec::new();
    let mut byte = [0];
    while !asked.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or_default() == 0 {
            return;
        }
        asked.push(byte[0]);
    }
    let asked = String::from_utf8(asked).unwrap();
    // box:word
    if !asked.contains("Proxy-Authorization: Basic Ym94OndvcmQ=\r\n") {
        let _ = stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
        return;
    }
    assert!(asked.starts_with(&format!("CONNECT localhost:{port} HTTP/1.1\r\n")), "{asked}");
    count.fetch_add(1, Ordering::SeqCst);
    let server = TcpStream::connect(("localhost", port)).unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let (mut from, mut to) = (stream.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    let (mut from, mut to) = (server, stream);
    let _ = std::io::copy(&mut from, &mut to);
}
