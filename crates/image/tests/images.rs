//! Import from archives, the inbox, and pulls from a registry that answers as the specification says.
#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use image::{Config, Error, Images, Limits, Login, Registries};
use serde_json::json;
use testkit::image::{Entry, Image, tar_of};

fn root() -> bool {
    // SAFETY: geteuid(2) has no failure and no side effect.
    let root = std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    if !root {
        eprintln!("COULD NOT RUN: unpacking layers needs root");
    }
    root
}

fn open(folder: &Path) -> Images {
    let registries = Registries::default();
    Images::open(Config {
        store: folder.join("store"),
        inbox: folder.join("inbox"),
        registries,
        limits: Limits::default(),
    })
    .unwrap()
}

fn file(path: &str, content: &str) -> (String, Entry) {
    (path.to_owned(), Entry::File(content.as_bytes().to_vec(), 0o644))
}

fn sample(name: &str, text: &str) -> Image {
    Image {
        reference: name.into(),
        layers: vec![vec![file("etc/base", "base")], vec![file("etc/own", text)]],
        config: json!({"Entrypoint": ["/run"], "Env": ["A=b"], "User": "7", "StopSignal": "SIGINT"}),
        compressed: false,
    }
}

#[tokio::test]
async fn an_archive_becomes_an_image() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let images = open(folder.path());
    let archive = folder.path().join("a.tar");
    std::fs::write(&archive, sample("example.com/web:1", "one").docker_archive().unwrap()).unwrap();
    assert_eq!(images.import(&archive).await.unwrap(), ["example.com/web:1"]);
    let image = images.get("example.com/web:1").unwrap().unwrap();
    assert_eq!(
        (image.entrypoint.as_slice(), image.user.as_str(), image.layers.len()),
        (&["/run".to_owned()][..], "7", 2)
    );
    assert_eq!(std::fs::read_to_string(image.layers[1].join("etc/own")).unwrap(), "one");
    assert!(images.get(&image.id).unwrap().is_some());
    // Compressed, with a layer that is here already; and after a restart.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&sample("example.com/web:2", "two").oci_archive().unwrap()).unwrap();
    std::fs::write(&archive, packed.finish().unwrap()).unwrap();
    images.import(&archive).await.unwrap();
    drop(images);
    let images = open(folder.path());
    assert_eq!(images.list().len(), 2);
    images.remove(&image.id).await.unwrap();
    assert!(images.get("example.com/web:1").unwrap().is_none());
    assert!(image.layers[0].exists() && !image.layers[1].exists(), "a shared layer stays");
}

#[tokio::test]
async fn the_inbox_is_noticed() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let images = open(folder.path());
    std::fs::write(
        folder.path().join("inbox/early.tar"),
        sample("example.com/early:1", "e").oci_archive().unwrap(),
    )
    .unwrap();
    std::fs::write(folder.path().join("inbox/broken.tar"), "not a tar").unwrap();
    let watch = tokio::spawn(images.clone().watch());
    let there = async |name: &str| {
        while images.get(name).unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), there("example.com/early:1")).await.unwrap();
    std::fs::write(folder.path().join("half"), sample("example.com/late:1", "l").oci_archive().unwrap())
        .unwrap();
    std::fs::rename(folder.path().join("half"), folder.path().join("inbox/late.tar")).unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(20), there("example.com/late:1")).await.unwrap();
    let pinned = || images.list().iter().filter(|image| image.pinned).count();
    let both = async {
        while pinned() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), both).await.unwrap();
    std::fs::remove_file(folder.path().join("inbox/late.tar")).unwrap();
    assert_eq!(pinned(), 1, "an image whose archive was taken away may go");
    watch.abort();
}

#[tokio::test]
async fn what_is_wrong_with_an_archive_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let images = open(folder.path());
    let path = folder.path().join("a.tar");
    std::fs::write(&path, "x".repeat(5000)).unwrap();
    assert!(matches!(images.import(&path).await, Err(Error::Archive { .. })));
    std::fs::write(&path, tar_of(&[file("hello", "")]).unwrap()).unwrap();
    let error = images.import(&path).await.unwrap_err().to_string();
    assert!(error.contains("docker save"), "{error}");
    let mut archive = sample("example.com/web:1", "text-to-change").oci_archive().unwrap();
    let at = archive.windows(14).position(|bytes| bytes == b"text-to-change").unwrap();
    archive[at] = b'T';
    std::fs::write(&path, archive).unwrap();
    if root() {
        assert!(matches!(images.import(&path).await, Err(Error::Digest { .. })));
        assert!(images.list().is_empty());
    }
}

/// A registry on a port of its own that wants a token or a login, and can break off a blob half-way.
struct Registry {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

fn registry(image: &Image, repository: &str, break_first_blob: bool) -> Registry {
    let built = image.build().unwrap();
    let mut answers: HashMap<String, Vec<u8>> = HashMap::new();
    answers.insert(format!("/v2/{repository}/manifests/1"), built.manifest.bytes);
    for blob in built.layers.into_iter().chain([built.config]) {
        answers.insert(format!("/v2/{repository}/blobs/{}", blob.digest), blob.bytes);
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (host, log) = (address.clone(), asked.clone());
    std::thread::spawn(move || {
        let mut to_break = break_first_blob;
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let mut lines = Vec::new();
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
                lines.push(std::mem::take(&mut line).trim().to_owned());
            }
            let Some(path) = lines.first().and_then(|line| line.split(' ').nth(1)).map(str::to_owned) else {
                continue;
            };
            let header = |name: &str| {
                lines.iter().find_map(|line| {
                    line.to_lowercase().starts_with(name).then(|| line[name.len()..].trim().to_owned())
                })
            };
            log.lock().unwrap().push(format!("{path} {}", header("range:").unwrap_or_default()));
            let mut stream = reader.into_inner();
            let mut say = |status: &str, more: &str, body: &[u8], sent: usize| {
                let _gone = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{more}\r\n",
                    body.len()
                );
                let _gone = stream.write_all(&body[..sent]);
            };
            if path.starts_with("/token") {
                match header("authorization:").as_deref() {
                    Some("Basic dTpw") => say("200 OK", "", br#"{"token":"good"}"#, 16),
                    _ => say("403 Forbidden", "", b"", 0),
                }
            } else if header("authorization:").as_deref() != Some("Bearer good") {
                let more =
                    format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"test\"\r\n");
                say("401 Unauthorized", &more, b"", 0);
            } else if let Some(body) = answers.get(&path) {
                let from: usize = header("range:")
                    .and_then(|range| range.trim_start_matches("bytes=").trim_end_matches('-').parse().ok())
                    .unwrap_or(0);
                let rest = &body[from..];
                let large = path.contains("/blobs/") && rest.len() > 1000;
                let sent = if large && std::mem::take(&mut to_break) { 1000 } else { rest.len() };
                say(if from > 0 { "206 Partial Content" } else { "200 OK" }, "", rest, sent);
            } else {
                say("404 Not Found", "", b"", 0);
            }
        }
    });
    Registry { address, asked }
}

fn login(registry: &Registry) -> Vec<Login> {
    vec![Login { registry: registry.address.clone(), username: "u".into(), password: "p".into() }]
}

#[tokio::test]
async fn a_pull_verifies_and_goes_on_where_it_stopped() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let images = open(folder.path());
    let registry = registry(&sample("x/web:1", "pulled"), "team/web", true);
    let name = format!("{}/team/web:1", registry.address);
    let first = images.pull(&name, &login(&registry), |_| {}).await;
    assert!(first.is_err(), "the first blob breaks off");
    let last = Mutex::new(image::Progress::default());
    let image =
        images.pull(&name, &login(&registry), |progress| *last.lock().unwrap() = progress).await.unwrap();
    assert_eq!(std::fs::read_to_string(image.layers[1].join("etc/own")).unwrap(), "pulled");
    let last = *last.lock().unwrap();
    assert!(last.total > 0 && last.done == last.total);
    assert!(
        registry.asked.lock().unwrap().iter().any(|asked| asked.ends_with("bytes=1000-")),
        "it did not go on"
    );
    let by_digest = image.names.iter().find(|name| name.contains('@')).unwrap();
    assert!(images.get(by_digest).unwrap().is_some());
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let images = open(folder.path());
    let registry = registry(&sample("x/web:1", "x"), "team/web", false);
    let pull = async |name: &str, logins: &[Login]| images.pull(name, logins, |_| {}).await.unwrap_err();
    assert!(matches!(
        pull(&format!("{}/team/web:1", registry.address), &[]).await,
        Error::Unauthorized { .. }
    ));
    assert!(matches!(
        pull(&format!("{}/team/none:1", registry.address), &login(&registry)).await,
        Error::NotFound { .. }
    ));
    assert!(matches!(pull("UPPER/case", &[]).await, Error::InvalidName { .. }));
    let error = pull("127.0.0.1:1/team/web:1", &[]).await;
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_pull_the_same_image_at_once() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let images = open(folder.path());
    let registry = registry(&sample("x/web:1", "pulled"), "team/web", false);
    let pulls = (0..6).map(|_| {
        let (images, name, login) =
            (images.clone(), format!("{}/team/web:1", registry.address), login(&registry));
        tokio::spawn(async move { images.pull(&name, &login, |_| {}).await })
    });
    for pull in pulls.collect::<Vec<_>>() {
        pull.await.unwrap().unwrap();
    }
    let asked = registry.asked.lock().unwrap();
    let mut blobs: Vec<_> = asked.iter().filter(|asked| asked.contains("/blobs/")).collect();
    blobs.sort();
    let all = blobs.len();
    blobs.dedup();
    // A config is asked for by every pull, and each first question is refused for want of a token.
    assert!(all <= 6 + 6 + 2 * blobs.len(), "{all} questions for {} blobs", blobs.len());
}

/// Upstream's program, pushed to by hand: what a registry really answers.
#[tokio::test(flavor = "multi_thread")]
async fn upstream_s_registry_is_understood() {
    if !root() {
        return;
    }
    let program = Path::new(&std::env::var("HOME").unwrap()).join(".cache/skiff-reference/bin/registry");
    if !program.exists() {
        eprintln!("COULD NOT RUN: upstream's registry is not at {}", program.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let images = open(folder.path());
    let host = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let config = folder.path().join("config.yml");
    let data = folder.path().join("data");
    let text = format!(
        "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{host}'}}\n",
        data.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = std::process::Command::new(program);
    command.arg("serve").arg(&config).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let child = Ended(command.spawn().unwrap());
    let begin = std::time::Instant::now();
    while std::net::TcpStream::connect(&host).is_err() {
        assert!(begin.elapsed().as_secs() < 30, "upstream's registry does not start");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let built = sample("x/web:1", "from upstream").build().unwrap();
    for blob in built.layers.iter().chain([&built.config]) {
        let head = ask(&host, "POST", "/v2/team/web/blobs/uploads/", "", b"");
        let location = head.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap().trim();
        let path = location.trim_start_matches(&format!("http://{host}"));
        let head = ask(
            &host,
            "PUT",
            &format!("{path}&digest={}", blob.digest),
            "application/octet-stream",
            &blob.bytes,
        );
        assert!(head.starts_with("HTTP/1.1 201"), "{head}");
    }
    let kind = built.manifest.media_type;
    let head = ask(&host, "PUT", "/v2/team/web/manifests/1", kind, &built.manifest.bytes);
    assert!(head.starts_with("HTTP/1.1 201"), "{head}");
    let image = images.pull(&format!("{host}/team/web:1"), &[], |_| {}).await.unwrap();
    assert_eq!(std::fs::read_to_string(image.layers[1].join("etc/own")).unwrap(), "from upstream");
    assert!(image.names.contains(&format!("{host}/team/web@{}", built.manifest.digest)), "{:?}", image.names);
    let missing = images.pull(&format!("{host}/team/web:2"), &[], |_| {}).await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
    drop(child);
}

struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

fn ask(host: &str, method: &str, path: &str, kind: &str, body: &[u8]) -> String {
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
