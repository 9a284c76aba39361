//! Sources that are too large end in a clear error and within the child's memory; large ones that are allowed are read.
//! Needs the program git.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of test functions

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use fleet::child::{self, Answer};
use fleet::source::{Fetch, Limits, Recipe, Request, Source};

/// A bare repository with one commit, made from a stream: no working tree.
fn repository(at: &Path, files: usize, text: impl Fn(usize) -> String) {
    let run = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(at).args(arguments).stdin(Stdio::piped()).stdout(Stdio::null());
        command.spawn().expect("these tests need the program git")
    };
    std::fs::create_dir_all(at).unwrap();
    assert!(run(&["init", "-q", "--bare", "-b", "main"]).wait().unwrap().success());
    let mut import = run(&["fast-import", "--quiet"]);
    let mut out = std::io::BufWriter::new(import.stdin.take().unwrap());
    write!(out, "commit refs/heads/main\ncommitter t <t@example.com> 1790000000 +0000\ndata 1\nx\n").unwrap();
    for file in 0..files {
        let text = text(file);
        write!(out, "M 644 inline app/f{file:05}.yaml\ndata {}\n{text}\n", text.len()).unwrap();
    }
    drop(out.into_inner().unwrap());
    assert!(import.wait().unwrap().success());
}

fn object(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  key: value\n---\n")
}

async fn look(directory: &Path) -> Answer {
    let command = child::Command { program: env!("CARGO_BIN_EXE_fleet-child").into(), arguments: Vec::new() };
    let url = directory.join("repository").display().to_string();
    let source =
        Source { url: url.clone(), revision: "main".into(), path: "app".into(), ..Source::default() };
    let request = Request {
        recipe: Recipe { sources: vec![source], ..Recipe::default() },
        fetches: vec![Fetch { url, revision: "main".into(), ..Fetch::default() }],
        manifests: directory.join("manifests.jsonl"),
        limits: Limits::default(),
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
