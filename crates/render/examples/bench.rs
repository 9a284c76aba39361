//! How long a large kustomization and a large chart take, as whole processes and as a warm loop: this, and upstream's programs if
//! `KUSTOMIZE` and `HELM` name them. `cargo xtask bench render` builds and starts it.

#![allow(clippy::unwrap_used)] // a tool of the developer, which may stop where it stands

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use render::go::world::Fixed;
use render::helm::{Options, template_at};
use render::{Tree, kustomize};

#[path = "bench/chart.rs"]
mod chart;
#[path = "bench/tree.rs"]
mod tree;

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
    compare("build", &build, &path("tree"), "KUSTOMIZE", &["build", &path("tree/top")]);
    let printed = template(&path("chart"));
    println!("chart: {size} bytes of templates, {} bytes printed", printed.len());
    compare("template", &template, &path("chart"), "HELM", &["template", "release-name", &path("chart")]);
}

/// Here as a loop and as a process, and there.
fn compare(mode: &str, ours: &dyn Fn(&str) -> String, dir: &str, program: &str, theirs: &[&str]) {
    let expected = ours(dir);
    let mut warm: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let since = Instant::now();
            std::hint::black_box(ours(dir));
            since.elapsed()
        })
        .collect();
    warm.sort();
    println!("  warm loop: median {:.1} ms, best {:.1} ms", millis(warm[RUNS / 2]), millis(warm[0]));
    let me = std::env::current_exe().unwrap().to_str().unwrap().to_string();
    measure("here", &me, &[mode, dir], &expected);
    match std::env::var(program) {
        Ok(program) => measure("upstream", &program, theirs, &expected),
        Err(_) => println!("  upstream: not measured, set {program} to the program"),
    }
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
