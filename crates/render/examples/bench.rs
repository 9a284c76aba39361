//! How long a large kustomization and a large chart take, as whole processes and as a warm loop: this, upstream's programs if
//! `KUSTOMIZE` and `HELM` name them, and a warm loop of upstream's libraries if `ORACLE` names the built oracle.
//! `cargo xtask bench render` builds and starts it.

#![allow(clippy::unwrap_used)] // a tool of the developer, which may stop where it stands

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use render::go::world::Fixed;
use render::helm::{Options, template_at};
use render::{Tree, kustomize};
use serde_json::{Value, json};

#[path = "bench/chart.rs"]
mod chart;
#[allow(dead_code)] // its errors are told elsewhere
#[path = "differential/oracle.rs"]
mod oracle;
#[path = "bench/tree.rs"]
mod tree;

/// As the product does.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const RUNS: usize = 10;

fn build(dir: &str) -> String {
    render::print(&kustomize::build(&Tree::directory(dir), "top").unwrap())
}

fn template(dir: &str) -> String {
    let options = Options::new("release-name", "default");
    template_at(&Tree::directory(dir), "", &options, &Fixed::at(0)).unwrap().text
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["build", dir] => print!("{}", build(dir)),
        ["template", dir] => print!("{}", template(dir)),
        // What is measured, for who wants to look into it: `DIR/tree/top` and `DIR/chart`.
        ["write", dir] => {
            tree::write(&Path::new(dir).join("tree"));
            chart::write(&Path::new(dir).join("chart"));
        }
        // The same again and again, for a profiler.
        ["loop", mode, dir, runs] => {
            let ours = if *mode == "build" { build } else { template };
            for _ in 0..runs.parse::<usize>().unwrap() {
                std::hint::black_box(ours(dir));
            }
        }
        ["peak", program, words @ ..] => {
            // The memory of one child, which a process of its own can tell.
            assert!(Command::new(program).args(words).stdout(Stdio::null()).status().unwrap().success());
            println!("{}", getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss());
        }
        _ => all(),
    }
}

fn all() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    tree::write(&dir.path().join("tree"));
    let size = chart::write(&dir.path().join("chart"));
    let printed = build(&path("tree"));
    println!("tree: {} objects, {} bytes printed", 1 + printed.matches("\n---\n").count(), printed.len());
    let question = json!({"kind": "build", "path": path("tree/top"), "order": "legacy"});
    compare("build", &build, &path("tree"), "KUSTOMIZE", &["build", &path("tree/top")], question);
    let printed = template(&path("chart"));
    println!("chart: {size} bytes of templates, {} bytes printed", printed.len());
    let mut files = BTreeMap::new();
    read_all(&dir.path().join("chart"), "", &mut files);
    let question = json!({"kind": "helm", "files": files, "name": "release-name", "namespace": "default"});
    compare(
        "template",
        &template,
        &path("chart"),
        "HELM",
        &["template", "release-name", &path("chart")],
        question,
    );
}

/// The texts below a folder, by their paths in it.
fn read_all(folder: &Path, inside: &str, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let name = format!("{inside}{}", entry.file_name().to_string_lossy());
        match entry.file_type().unwrap().is_dir() {
            true => read_all(&entry.path(), &format!("{name}/"), files),
            false => drop(files.insert(name, std::fs::read_to_string(entry.path()).unwrap())),
        }
    }
}

/// Here as a loop and as a process, and there; `question` is what the oracle is asked to do in a loop.
fn compare(
    mode: &str,
    ours: &dyn Fn(&str) -> String,
    dir: &str,
    program: &str,
    theirs: &[&str],
    question: Value,
) {
    let expected = ours(dir);
    let warm: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let since = Instant::now();
            std::hint::black_box(ours(dir));
            since.elapsed()
        })
        .collect();
    tell("here, warm loop", warm);
    match std::env::var("ORACLE") {
        Ok(_) => tell("upstream, warm loop", warm_there(question)),
        Err(_) => println!("  upstream, warm loop: not measured, set ORACLE to the built oracle"),
    }
    let me = std::env::current_exe().unwrap().to_str().unwrap().to_string();
    measure("here", &me, &[mode, dir], &expected);
    match std::env::var(program) {
        Ok(program) => measure("upstream", &program, theirs, &expected),
        Err(_) => println!("  upstream: not measured, set {program} to the program"),
    }
}

/// One run more than is told: the first of a process is not warm.
fn warm_there(question: Value) -> Vec<Duration> {
    let mut times = Vec::new();
    let asked = json!({"id": 0, "kind": "loop", "runs": RUNS + 1, "question": question});
    oracle::ask(std::iter::once(asked), |_, answer| {
        let answer = answer.expect("upstream renders it");
        let nanoseconds = answer.as_array().into_iter().flatten().filter_map(Value::as_u64);
        times = nanoseconds.skip(1).map(Duration::from_nanos).collect();
    });
    times
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort();
    println!("  {what}: median {:.1} ms, best {:.1} ms", millis(times[times.len() / 2]), millis(times[0]));
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn measure(what: &str, program: &str, words: &[&str], expected: &str) {
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..RUNS {
        let since = Instant::now();
        let output = Command::new(program).args(words).stderr(Stdio::inherit()).output().unwrap();
        times.push(since.elapsed());
        assert!(output.status.success(), "{what} failed");
        assert!(output.stdout == expected.as_bytes(), "{what} printed something else");
    }
    times.sort();
    let me = std::env::current_exe().unwrap();
    let peak = Command::new(me).arg("peak").arg(program).args(words).output().unwrap();
    let peak: f64 = String::from_utf8_lossy(&peak.stdout).trim().parse().unwrap();
    println!(
        "  {what}, as a process: median {:.1} ms, best {:.1} ms, peak memory {:.1} MB",
        millis(times[RUNS / 2]),
        millis(times[0]),
        peak / 1024.0
    );
}
