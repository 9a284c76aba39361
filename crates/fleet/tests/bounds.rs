//! Sources that are too large end in a clear error and within the child's memory; large ones that are allowed are read.
//! Needs the program git.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of test functions

#[path = "bench/fixture.rs"]
mod fixture;
#[path = "bench/git.rs"]
mod program;
#[path = "bench/servers.rs"]
mod servers;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use fleet::child::{self, Answer};
use fleet::source::{Fetch, Limits, Recipe, Request, Source};

/// A bare repository with one commit of files in `app`, made from a stream: no working tree.
fn repository(at: &Path, files: usize, text: impl Fn(usize) -> String) {
    repository_of(at, (0..files).map(|file| (format!("app/f{file:05}.yaml"), text(file))));
}

/// The same of any files: paths and texts.
fn repository_of(at: &Path, files: impl Iterator<Item = (String, String)>) {
    let run = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(at).args(arguments).stdin(Stdio::piped()).stdout(Stdio::null());
        command.spawn().expect("these tests need the program git")
    };
    std::fs::create_dir_all(at).unwrap();
    assert!(run(&["init", "-q", "--bare", "-b", "main"]).wait().unwrap().success());
    let mut import = run(&["-c", "fastimport.unpackLimit=1", "fast-import", "--quiet"]);
    let mut out = std::io::BufWriter::new(import.stdin.take().unwrap());
    write!(out, "commit refs/heads/main\ncommitter t <t@example.com> 1790000000 +0000\ndata 1\nx\n").unwrap();
    for (path, text) in files {
        write!(out, "M 644 inline {path}\ndata {}\n{text}\n", text.len()).unwrap();
    }
    drop(out.into_inner().unwrap());
    assert!(import.wait().unwrap().success());
}

fn object(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  key: value\n---\n")
}

async fn look(directory: &Path) -> Answer {
    look_within(directory, Limits::default()).await
}

async fn look_within(directory: &Path, limits: Limits) -> Answer {
    let command = child::Command { program: env!("CARGO_BIN_EXE_fleet-child").into(), arguments: Vec::new() };
    let url = directory.join("repository").display().to_string();
    let source =
        Source { url: url.clone(), revision: "main".into(), path: "app".into(), ..Source::default() };
    let request = Request {
        recipe: Recipe { sources: vec![source], ..Recipe::default() },
        fetches: vec![Fetch { url, revision: "main".into(), ..Fetch::default() }],
        manifests: directory.join("manifests.jsonl"),
        limits,
        now: 0,
    };
    child::run(&command, &request).await.0.unwrap()
}

#[tokio::test]
async fn ten_thousand_files_in_one_folder_are_read() {
    let directory = tempfile::tempdir().unwrap();
    repository(&directory.path().join("repository"), 10_000, |file| object(&format!("m{file}")));
    match look(directory.path()).await {
        Answer::Artifact(artifact) => assert_eq!(artifact.objects, 10_000),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_hundred_thousand_objects_are_refused_by_name_of_the_limit() {
    let directory = tempfile::tempdir().unwrap();
    repository(&directory.path().join("repository"), 10_000, |file| {
        (0..10).map(|at| object(&format!("m{file}-{at}"))).collect()
    });
    match look(directory.path()).await {
        Answer::Unrenderable { text, .. } => {
            assert!(text.contains("20000 objects"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_pack_larger_than_the_childs_memory_is_read() {
    let directory = tempfile::tempdir().unwrap();
    // 96 MB that hardly compress, beside one object that is asked for.
    let mut state = 7u64;
    let mut noise = || -> String {
        let letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/";
        (0..1 << 20)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                letters[(state >> 58) as usize] as char
            })
            .collect()
    };
    let files = (0..97).map(|file| match file {
        0 => ("app/m0.yaml".to_string(), object("m0")),
        file => (format!("noise/f{file}"), noise()),
    });
    repository_of(&directory.path().join("repository"), files);
    let packs = directory.path().join("repository/objects/pack");
    let largest = std::fs::read_dir(packs).unwrap().map(|one| one.unwrap().metadata().unwrap().len()).max();
    assert!(largest > Some(60 << 20), "{largest:?}");
    let limits = Limits { memory: 40 << 20, ..Limits::default() };
    match look_within(directory.path(), limits).await {
        Answer::Artifact(artifact) => assert_eq!(artifact.objects, 1),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_source_larger_than_its_limit_is_refused_and_not_fetched_again() {
    let fixture = fixture::Fixture::new();
    std::fs::create_dir_all(fixture.work().join("app")).unwrap();
    std::fs::write(fixture.work().join("app/m0.yaml"), object("m0")).unwrap();
    let mut state = 7u64;
    let noise: Vec<u8> = (0..512 << 10)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        })
        .collect();
    std::fs::write(fixture.work().join("noise"), noise).unwrap();
    fixture.commit("x: y");
    let web = servers::Web::start(fixture.root());
    let command = child::Command { program: env!("CARGO_BIN_EXE_fleet-child").into(), arguments: Vec::new() };
    let look = async |source: u64| {
        let url = format!("https://localhost:{}/repo/.git", web.port);
        let recipe =
            Source { url: url.clone(), revision: "main".into(), path: "app".into(), ..Source::default() };
        let request = Request {
            recipe: Recipe { sources: vec![recipe], ..Recipe::default() },
            fetches: vec![Fetch { credentials: web.credentials(), ..fixture.request(&url, "main") }],
            manifests: fixture.directory.path().join("manifests.jsonl"),
            limits: Limits { source, ..Limits::default() },
            now: 0,
        };
        let (answer, traffic) = child::run(&command, &request).await;
        (answer.unwrap(), traffic.total())
    };
    for (round, most) in [(0, 400_000), (1, 10_000)] {
        let (answer, bytes) = look(100_000).await;
        let Answer::Absent(text) = answer else { panic!("{answer:?}") };
        assert!(text.contains("more than 100000 bytes") && text.contains("--source-bytes"), "{text}");
        assert!(bytes < most, "{bytes} bytes in round {round}");
        let packs = std::fs::read_dir(fixture.clone().join("objects/pack"));
        assert_eq!(packs.map_or(0, Iterator::count), 0, "half a clone was left");
    }
    match look(1_000_000).await.0 {
        Answer::Artifact(artifact) => assert_eq!(artifact.objects, 1),
        other => panic!("{other:?}"),
    }
    // What is here counts no more.
    fixture.commit("x: z");
    match look(100_000).await.0 {
        Answer::Artifact(artifact) => assert_eq!(artifact.objects, 1),
        other => panic!("{other:?}"),
    }
}
