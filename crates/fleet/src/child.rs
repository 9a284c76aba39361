//! Fetch and render in a short-lived process of the same program (D14): its peaks never become idle memory, and a
//! hostile repository meets limits of memory and processor time, with no secret but its own repository's.
//!
//! The request comes as one JSON line on standard input. Standard output tells how many bytes came and went while that
//! goes on, a line a second at the most, and then the answer: a link that is slow is given as long as it makes progress.

use std::collections::BTreeMap;
use std::io::{BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::Instant;

use crate::artifact::Artifact;
use crate::compose::{self, Grafted, Sparse};
use crate::cut;
use crate::generate::{self, Extra, WithFile};
use crate::git::{self, Commit, Outcome, verify};
use crate::helm::{self, Around};
use crate::ignore::Filtered;
use crate::jq::Masks;
use crate::source::{Fetch, Render, Request, Source};
use crate::wire::{self, Traffic};

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
    /// The sources still are at these commits.
    Unchanged(Vec<String>),
    /// Manifests lie where the request said.
    Artifact(Artifact),
    /// A source could not be had: offline, or refused.
    Unavailable(String),
    /// A live server answered that there is no such revision, or gave one that may not be taken.
    Absent(String),
    /// The commit is there, and is not signed as it must be.
    Unsigned { what: verify::Unsigned, text: String },
    /// The commit is there, and what is in it cannot be rendered.
    Unrenderable { revision: String, text: String },
}

/// The child could not be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot start {program}")]
    Start { program: PathBuf, source: std::io::Error },
    #[error("the fetch made no progress for {seconds} s, or did not end in time")]
    Patience { seconds: u64 },
    #[error(
        "the fetch ended without an answer ({status}); it may have needed more memory than {memory} bytes: {stderr}"
    )]
    Silent { status: String, memory: u64, stderr: String },
}

/// A line of the child's standard output.
#[derive(Serialize, Deserialize)]
enum Line {
    Progress(Traffic),
    Done(Traffic, Box<Answer>),
}

/// Bytes that count as progress: a server that drips is given up.
const PROGRESS: u64 = 4 << 10;
/// Bytes of packs that give a child another second: of processor time, and of silence while it makes out what came.
const PACE: u64 = 2 << 20;

/// Runs one request in a child; tells also what it cost, as far as is known.
pub async fn run(command: &Command, request: &Request) -> (Result<Answer, Error>, Traffic) {
    let mut traffic = Traffic::default();
    let answer = talk(command, request, &mut traffic).await;
    (answer, traffic)
}

async fn talk(command: &Command, request: &Request, traffic: &mut Traffic) -> Result<Answer, Error> {
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
    let stdout = child.stdout.take().expect("because it is piped");
    let mut stderr = child.stderr.take().expect("because it is piped");
    let limits = request.limits;
    let talk = async {
        let mut answer = None;
        let mut err = Vec::new();
        let send = async {
            // A child that dies early closes the pipe; its exit tells why.
            let _ = stdin.write_all(&input).await;
            drop(stdin);
            Ok(())
        };
        let read = async {
            // An answer is a line of a megabyte at the most.
            let mut lines = BufReader::new(stdout.take(4 << 20)).lines();
            let mut counted = 0;
            let mut end = Instant::now() + Duration::from_secs(limits.wall);
            loop {
                let line = tokio::time::timeout_at(end, lines.next_line()).await;
                let line = line.map_err(|_| Error::Patience { seconds: limits.wall })?;
                match line.ok().flatten().and_then(|line| serde_json::from_str(&line).ok()) {
                    None => return Ok(()),
                    Some(Line::Done(all, done)) => (*traffic, answer) = (all, Some(*done)),
                    Some(Line::Progress(all)) => {
                        *traffic = all;
                        if all.total() - counted >= PROGRESS {
                            counted = all.total();
                            end = Instant::now() + Duration::from_secs(limits.wall + counted / PACE);
                        }
                    }
                }
            }
        };
        let read_err = async {
            let _ = (&mut stderr).take(16 << 10).read_to_end(&mut err).await;
            Ok(())
        };
        tokio::try_join!(send, read, read_err)?;
        let status = child.wait().await.map_err(start)?;
        Ok((status, answer, err))
    };
    let whole = Duration::from_secs(limits.whole);
    let (status, answer, err) =
        tokio::time::timeout(whole, talk).await.map_err(|_| Error::Patience { seconds: limits.whole })??;
    answer.ok_or_else(|| Error::Silent {
        status: status.to_string(),
        memory: limits.memory,
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
    cut::arm_child();
    cut::child("child.begin");
    wire::trust_time(request.now);
    let processor = request.limits.processor;
    // Ends with the process; without it the parent only knows less.
    let _ = std::thread::Builder::new().name("progress".into()).spawn(move || tell_progress(processor));
    let answer = obtain(&request);
    cut::child("child.answer");
    if say(&Line::Done(wire::totals(), Box::new(answer))).is_err() { 3 } else { 0 }
}

fn say(line: &Line) -> std::io::Result<()> {
    let mut bytes = serde_json::to_vec(line).expect("because it is plain data");
    bytes.push(b'\n');
    std::io::stdout().lock().write_all(&bytes)
}

fn tell_progress(processor: u64) {
    let mut told = Traffic::default();
    let out = std::io::stdout();
    loop {
        // Nobody reads any more: the parent is dead, and the next one has a child of its own at work on the same clone.
        let mut ends = [PollFd::new(out.as_fd(), PollFlags::empty())];
        if poll(&mut ends, 1000u16).is_ok_and(|count| count > 0) {
            std::process::exit(3);
        }
        let now = wire::totals();
        if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_CPU) {
            let _ = setrlimit(Resource::RLIMIT_CPU, (processor + wire::handled() / PACE).min(hard), hard);
        }
        if now != told && say(&Line::Progress(now)).is_err() {
            return;
        }
        told = now;
    }
}

fn limit(request: &Request) {
    let limits = &request.limits;
    // A kernel that refuses leaves the limit of time that the parent keeps.
    // Of what no file backs (setrlimit(2), RLIMIT_DATA): packs of any size are mapped, and are no memory that is kept.
    let _ = setrlimit(Resource::RLIMIT_DATA, limits.memory, limits.memory);
    // Large packs may take longer, in proportion to what came.
    let most = match limits.source {
        0 => RLIM_INFINITY,
        bytes => limits.processor.saturating_add(bytes / PACE * 2),
    };
    let _ = setrlimit(Resource::RLIMIT_CPU, limits.processor, most);
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
}

/// One source, fetched.
struct Part {
    commit: Commit,
    tree: render::Tree,
    extra: Extra,
}

#[expect(clippy::result_large_err, reason = "an answer is made once in the life of a child")]
fn obtain(request: &Request) -> Answer {
    let look = |fetch: &Fetch| match git::obtain(&Fetch { most: request.limits.source, ..fetch.clone() }) {
        Ok(outcome) => Ok(outcome),
        Err(
            error
            @ (git::Error::Revision { .. } | git::Error::Rewritten { .. } | git::Error::TooLarge { .. }),
        ) => Err(Answer::Absent(base::chain(&error).to_string())),
        Err(git::Error::Unsigned { what, text }) => Err(Answer::Unsigned { what, text }),
        Err(error) => Err(Answer::Unavailable(base::chain(&error).to_string())),
    };
    let mut outcomes = Vec::new();
    for fetch in &request.fetches {
        match look(fetch) {
            Ok(outcome) => outcomes.push(outcome),
            Err(answer) => return answer,
        }
    }
    let known = |outcome: &Outcome| match outcome {
        Outcome::Unchanged(revision) => Some(revision.clone()),
        Outcome::Commit(_) => None,
    };
    if let Some(all) = outcomes.iter().map(known).collect::<Option<Vec<_>>>() {
        return Answer::Unchanged(all);
    }
    let mut commits = Vec::new();
    for (outcome, fetch) in outcomes.into_iter().zip(&request.fetches) {
        commits.push(match outcome {
            Outcome::Commit(commit) => *commit,
            // Another source has news: this one's commit is needed too, and the clone has it.
            Outcome::Unchanged(_) => match look(&Fetch { known: None, ..fetch.clone() }) {
                Ok(Outcome::Commit(commit)) => *commit,
                Ok(Outcome::Unchanged(revision)) => {
                    return Answer::Unavailable(format!(
                        "the commit {revision} of {} is not there",
                        fetch.url
                    ));
                }
                Err(answer) => return answer,
            },
        });
    }
    match parts(commits, request) {
        Ok(parts) => render_all(request, parts),
        Err(answer) => answer,
    }
}

/// Makes the trees out of commits: what is put into the first source's tree is a part of that one then, and of no other.
#[expect(clippy::result_large_err, reason = "an answer is made once in the life of a child")]
fn parts(mut commits: Vec<Commit>, request: &Request) -> Result<Vec<Part>, Answer> {
    let sources = &request.recipe.sources;
    let mut trees = Vec::new();
    for (commit, source) in commits.iter_mut().zip(sources) {
        trees.push(Some(tree(commit, source)?));
    }
    for at in 1..trees.len() {
        let Some(mount) = &sources[at].mount else { continue };
        if let (Some(base), Some(tree)) = (trees[0].take(), trees[at].take()) {
            let tree = ignored(tree, &sources[at]);
            trees[0] = Some(Box::new(Grafted::new(base).with(&mount.to, &mount.from, tree)));
        }
    }
    let limits = &request.limits;
    let finished = commits.into_iter().zip(trees).zip(sources).map(|((commit, tree), source)| {
        let tree = tree.map(|tree| ignored(tree, source)).unwrap_or_else(|| Box::new(compose::Nothing));
        let (tree, extra) = WithFile::new(tree);
        Part { commit, tree: render::Tree::with_limits(tree, limits.file, limits.files), extra }
    });
    Ok(finished.collect())
}

/// A commit's tree with its submodules, and only the folders that count.
#[expect(clippy::result_large_err, reason = "an answer is made once in the life of a child")]
fn tree(commit: &mut Commit, source: &Source) -> Result<compose::Part, Answer> {
    let Some(tree) = commit.tree.take() else {
        return Err(Answer::Unavailable(format!("the commit {} has no tree", commit.revision)));
    };
    let mut whole = Grafted::new(Box::new(tree));
    // The outer ones first: one within another covers it.
    commit.modules.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (path, tree) in std::mem::take(&mut commit.modules) {
        whole = whole.with(&path, "", Box::new(tree));
    }
    if source.sparse.is_empty() {
        return Ok(Box::new(whole));
    }
    let sparse = Sparse::new(Box::new(whole), &source.sparse);
    match sparse.missing() {
        Ok(None) => Ok(Box::new(sparse)),
        Ok(Some(folder)) => Err(Answer::Absent(format!(
            "failed to sparse checkout directories: {folder}: no such directory in the source"
        ))),
        Err(error) => Err(Answer::Unavailable(format!("{}: {error}", source.url))),
    }
}

fn ignored(tree: compose::Part, source: &Source) -> compose::Part {
    match &source.ignore {
        None => tree,
        Some(rules) => Box::new(Filtered::new(tree, rules)),
    }
}

fn render_all(request: &Request, parts: Vec<Part>) -> Answer {
    cut::child("child.render");
    let first =
        request.recipe.sources.iter().position(|source| source.render != Render::Nothing).unwrap_or(0);
    let revision = parts.get(first).map(|part| part.commit.revision.clone()).unwrap_or_default();
    let unrenderable = |text: String| Answer::Unrenderable { revision: revision.clone(), text };
    let masks = match Masks::new(&request.recipe.masks) {
        Ok(masks) => masks,
        Err(text) => return unrenderable(text),
    };
    let mut documents = Vec::new();
    let mut kinds = Vec::new();
    let named = parts.iter().zip(&request.recipe.sources).filter(|(_, source)| !source.name.is_empty());
    let others: BTreeMap<&str, &render::Tree> =
        named.map(|(part, source)| (source.name.as_str(), &part.tree)).collect();
    for (part, source) in parts.iter().zip(&request.recipe.sources) {
        let limits = request.limits;
        let bounds =
            render::Limits { objects: limits.objects.saturating_sub(documents.len()), output: limits.output };
        let around = Around {
            name: &request.recipe.name,
            namespace: &request.recipe.namespace,
            revision: &part.commit.revision,
            others: &others,
        };
        match render_path(part, source, bounds, &around) {
            Ok(Some((kind, more))) => {
                kinds.push(kind.to_string());
                documents.extend(more);
            }
            Ok(None) => {}
            Err(text) => return unrenderable(text),
        }
    }
    // What others put into a chart's output is bounded as files are.
    if documents.len() > request.limits.objects {
        return unrenderable(format!(
            "the output holds more than {} objects; split the application",
            request.limits.objects
        ));
    }
    let resolved = kinds.is_empty();
    if let Some(variables) = &request.recipe.finish.substitute {
        let options = render::substitute::Options { strict: false, always: request.recipe.finish.always };
        documents = match render::substitute::substitute(documents, variables, options) {
            Ok(documents) => documents,
            Err(error) => return unrenderable(base::chain(&error).to_string()),
        };
    }
    for document in &mut documents {
        finish(request, document);
        if let Err(text) = masks.note(document) {
            return unrenderable(text);
        }
    }
    let digest = match write(request, &documents) {
        Ok(digest) => digest,
        Err(error) => return unrenderable(format!("cannot write {}: {error}", request.manifests.display())),
    };
    let whole = kinds.iter().any(|kind| kind == "Kustomize" || kind == "Helm");
    let revisions = parts.iter().map(|part| part.commit.revision.clone()).collect();
    let names = parts.iter().map(|part| part.commit.name.clone()).collect();
    let signatures = parts.iter().flat_map(|part| part.commit.signatures.iter().cloned()).collect();
    let trusted = request.fetches.iter().find(|fetch| fetch.verify.asks());
    let trusted = trusted.map(|fetch| fetch.keys.fingerprint()).unwrap_or_default();
    let main = parts.into_iter().nth(first).map(|part| part.commit);
    let main = main.as_ref();
    let text = |of: fn(&Commit) -> &String| main.map(|commit| of(commit).clone()).unwrap_or_default();
    Answer::Artifact(Artifact {
        source: request.recipe.digest(),
        inputs: String::new(),
        revision: revision.clone(),
        revisions,
        names,
        digest,
        counter: 0,
        expiry: None,
        signatures,
        trusted,
        kind: kinds.first().cloned().unwrap_or_default(),
        kinds,
        objects: documents.len(),
        deliberate_empty: documents.is_empty() && (whole || resolved),
        author: text(|commit| &commit.author),
        date: text(|commit| &commit.date),
        message: text(|commit| &commit.message),
    })
}

fn finish(request: &Request, document: &mut api::Value) {
    let finish = &request.recipe.finish;
    for (key, text) in &finish.labels {
        document.set(&["metadata", "labels", key], text.as_str());
    }
    for (key, text) in &finish.annotations {
        document.set(&["metadata", "annotations", key], text.as_str());
    }
}

type Rendered = Option<(&'static str, Vec<api::Value>)>;

fn render_path(
    part: &Part,
    source: &Source,
    limits: render::Limits,
    around: &Around<'_>,
) -> Result<Rendered, String> {
    let (tree, at) = (&part.tree, source.path.as_str());
    let told = |error: render::Error| base::chain(&error).to_string();
    if source.render == Render::Nothing {
        return Ok(None);
    }
    let clean = tree.resolve("", at).map_err(|error| told(error.into()))?;
    if tree.entry("", &clean).map_err(|error| told(error.into()))?.is_none() {
        let path = format!("{at} (app path does not exist)");
        return Err(told(render::tree::Error::Missing { path }.into()));
    }
    let kustomization = || render::kustomize::is_kustomization(tree, &clean);
    let done = match &source.render {
        Render::Nothing => return Ok(None),
        Render::Helm(options) => ("Helm", helm::build(tree, &clean, options, around)?),
        Render::Detect if helm::is_chart(tree, &clean) => {
            ("Helm", helm::build(tree, &clean, &Default::default(), around)?)
        }
        Render::Directory(options) => {
            ("Directory", render::directory::build(tree, &clean, options, limits).map_err(told)?)
        }
        Render::Kustomize(edits) => {
            let options = crate::world::kustomize(edits.as_ref().clone(), limits);
            ("Kustomize", render::kustomize::build_options(tree, &clean, &options).map_err(told)?)
        }
        Render::KustomizeAny(edits) => {
            let made = !kustomization();
            let documents = generate::build(tree, &part.extra, &clean, edits, limits).map_err(told)?;
            (if made { "Directory" } else { "Kustomize" }, documents)
        }
        Render::Detect if kustomization() => {
            let options = crate::world::kustomize(Default::default(), limits);
            ("Kustomize", render::kustomize::build_options(tree, &clean, &options).map_err(told)?)
        }
        Render::Detect => {
            let plain = Default::default();
            ("Directory", render::directory::build(tree, &clean, &plain, limits).map_err(told)?)
        }
    };
    Ok(Some(done))
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
        cut::child("child.write");
    }
    crate::files::sync(&out.into_inner().map_err(|error| error.into_error())?)?;
    cut::child("child.synced");
    Ok(crate::hash::full(digest))
}
