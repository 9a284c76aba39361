//! Fetch and render in a short-lived process of the same program (D14): its peaks never become idle memory, and a
//! hostile repository meets limits of memory and processor time, with no secret but its own repository's.
//!
//! The request comes as one JSON line on standard input, the answer goes as one JSON line to standard output.

use std::io::{BufWriter, Read, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::artifact::Artifact;
use crate::git::{self, Outcome};
use crate::source::{Render, Request};

/// How the child is started: `program arguments…`.
#[derive(Clone, Debug)]
pub struct Command {
    pub program: PathBuf,
    pub arguments: Vec<String>,
}

impl Default for Command {
    /// This program again, with the hidden subcommand that calls [`main`].
    fn default() -> Command {
        Command { program: "/proc/self/exe".into(), arguments: vec!["fleet-child".into()] }
    }
}

/// What the child answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The source still is at this commit.
    Unchanged(String),
    /// Manifests lie where the request said.
    Artifact(Artifact),
    /// The source could not be had: offline, refused, or no such revision.
    Unavailable(String),
    /// The commit is there, and what is in it cannot be rendered.
    Unrenderable { revision: String, text: String },
}

/// The child could not be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot start {program}")]
    Start { program: PathBuf, source: std::io::Error },
    #[error("the fetch did not end within {seconds} s")]
    Patience { seconds: u64 },
    #[error(
        "the fetch ended without an answer ({status}); it may have needed more memory than {memory} bytes: {stderr}"
    )]
    Silent { status: String, memory: u64, stderr: String },
}

/// Runs one request in a child.
pub async fn run(command: &Command, request: &Request) -> Result<Answer, Error> {
    let start = |source| Error::Start { program: command.program.clone(), source };
    let mut child = tokio::process::Command::new(&command.program)
        .args(&command.arguments)
        // Nothing of ours leaks in: no variables but the one that keeps Rust quiet.
        .env_clear()
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(start)?;
    let input = serde_json::to_vec(request).expect("because a request is plain data");
    let mut stdin = child.stdin.take().expect("because it is piped");
    let mut stdout = child.stdout.take().expect("because it is piped");
    let mut stderr = child.stderr.take().expect("because it is piped");
    let talk = async {
        let mut out = Vec::new();
        let mut err = Vec::new();
        let send = async {
            // A child that dies early closes the pipe; its exit tells why.
            let _ = stdin.write_all(&input).await;
            drop(stdin);
        };
        let read = (&mut stdout).take(1 << 20);
        let read_err = (&mut stderr).take(16 << 10);
        let (mut read, mut read_err) = (read, read_err);
        let ((), _, _) = tokio::join!(send, read.read_to_end(&mut out), read_err.read_to_end(&mut err));
        let status = child.wait().await.map_err(start)?;
        Ok((status, out, err))
    };
    let (status, out, err) = tokio::time::timeout(Duration::from_secs(request.limits.wall), talk)
        .await
        .map_err(|_| Error::Patience { seconds: request.limits.wall })??;
    serde_json::from_slice(&out).map_err(|_| Error::Silent {
        status: status.to_string(),
        memory: request.limits.memory,
        stderr: String::from_utf8_lossy(&err).lines().last().unwrap_or_default().to_string(),
    })
}

/// The child's whole life. Returns the exit code.
pub fn main() -> u8 {
    let mut input = Vec::new();
    if std::io::stdin().lock().take(16 << 20).read_to_end(&mut input).is_err() {
        return 2;
    }
    let Ok(request) = serde_json::from_slice::<Request>(&input) else {
        eprintln!("fleet-child is started by skiff itself, with a request on standard input");
        return 2;
    };
    limit(&request);
    let answer = obtain(&request);
    let line = serde_json::to_vec(&answer).expect("because an answer is plain data");
    if std::io::stdout().lock().write_all(&line).is_err() { 3 } else { 0 }
}

fn limit(request: &Request) {
    use nix::sys::resource::{Resource, setrlimit};
    let limits = &request.limits;
    // A kernel that refuses leaves the limit of time that the parent keeps.
    let _ = setrlimit(Resource::RLIMIT_AS, limits.memory, limits.memory);
    let _ = setrlimit(Resource::RLIMIT_CPU, limits.processor, limits.processor);
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
}

fn obtain(request: &Request) -> Answer {
    let commit = match git::obtain(request) {
        Ok(Outcome::Unchanged(revision)) => return Answer::Unchanged(revision),
        Ok(Outcome::Commit(commit)) => *commit,
        Err(error) => return Answer::Unavailable(base::chain(&error).to_string()),
    };
    let revision = commit.revision.clone();
    let unrenderable = |text: String| Answer::Unrenderable { revision: revision.clone(), text };
    let limits = &request.limits;
    let tree = render::Tree::with_limits(commit.tree, limits.file, limits.files);
    let bounds = render::Limits { objects: limits.objects, output: limits.output };
    let (kind, documents) = match render_path(&tree, request, bounds) {
        Ok(done) => done,
        Err(error) => return unrenderable(base::chain(&error).to_string()),
    };
    let digest = match write(request, &documents) {
        Ok(digest) => digest,
        Err(error) => return unrenderable(format!("cannot write {}: {error}", request.manifests.display())),
    };
    Answer::Artifact(Artifact {
        source: request.source.digest(),
        revision,
        digest,
        counter: 0,
        expiry: None,
        signatures: Vec::new(),
        kind: kind.into(),
        objects: documents.len(),
        deliberate_empty: documents.is_empty() && kind == "Kustomize",
        author: commit.author,
        date: commit.date,
        message: commit.message,
    })
}

fn render_path(
    tree: &render::Tree,
    request: &Request,
    limits: render::Limits,
) -> Result<(&'static str, Vec<api::Value>), render::Error> {
    let at = request.source.path.as_str();
    let missing = || {
        let path = format!("{at} (app path does not exist)");
        render::Error::Tree(render::tree::Error::Missing { path })
    };
    let clean = tree.resolve("", at)?;
    tree.entry("", &clean)?.ok_or_else(missing)?;
    match &request.source.render {
        Render::Directory(options) => {
            Ok(("Directory", render::directory::build(tree, &clean, options, limits)?))
        }
        Render::Kustomize(edits) => {
            Ok(("Kustomize", render::kustomize::build_with(tree, &clean, edits, limits)?))
        }
        Render::Detect if render::kustomize::is_kustomization(tree, &clean) => {
            Ok(("Kustomize", render::kustomize::build_with(tree, &clean, &Default::default(), limits)?))
        }
        Render::Detect => {
            Ok(("Directory", render::directory::build(tree, &clean, &Default::default(), limits)?))
        }
    }
}

fn write(request: &Request, documents: &[api::Value]) -> std::io::Result<String> {
    if let Some(directory) = request.manifests.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let file = std::fs::File::create(&request.manifests)?;
    let mut out = BufWriter::new(file);
    let mut digest = Sha256::new();
    for document in documents {
        let mut line = document.to_json();
        line.push(b'\n');
        digest.update(&line);
        out.write_all(&line)?;
    }
    out.into_inner().map_err(|error| error.into_error())?.sync_all()?;
    Ok(crate::hash::full(digest))
}
