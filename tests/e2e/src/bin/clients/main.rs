//! Clients that nobody here wrote, against a skiff of its own: the driver behind `cargo xtask clients`.
//!
//! Invariant: a client's tests are run as their makers wrote them; what of them does not pass stands in `tests/clients/known.tsv`
//! with the reason, and anything else that fails, or that passes though it stands there, fails the run. Not here: the official
//! conformance suite, which has a driver of its own.

mod controller_runtime;
mod helm;
mod kube_rs;
mod kubectl;
mod lines;
mod python;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use e2e::programs::Programs;
use e2e::{Machine, cluster, machine, namespace, until};
use serde_json::json;
use testkit::image::{Entry, Image};

use lines::Outcome;

/// Run other people's clients against skiff and count
#[derive(Parser)]
struct Args {
    /// Folder of programs and reports
    #[arg(long)]
    out: PathBuf,
    /// Only these clients
    #[arg(long, value_delimiter = ',')]
    client: Vec<String>,
    /// Only tests whose name holds this
    #[arg(long)]
    focus: Option<String>,
}

/// A client with tests.
struct Client {
    name: &'static str,
    flags: &'static [&'static str],
    /// Whether pods must run.
    node: bool,
    /// Each has a server of its own; of none there is one for all tests.
    parts: &'static [&'static str],
    run: fn(&Place<'_>) -> Result<Vec<Outcome>>,
}

const ALL: &[Client] =
    &[kubectl::CLIENT, helm::CLIENT, python::CLIENT, kube_rs::CLIENT, controller_runtime::CLIENT];

/// Where a client's tests run.
pub struct Place<'a> {
    machine: &'a Machine,
    programs: &'a Programs,
    /// For logs of this client.
    out: PathBuf,
    /// `tests/clients`.
    sources: PathBuf,
    focus: Option<&'a str>,
    /// Which of the client's parts; empty: it has none.
    part: &'static str,
}

/// The image that tests of clients run: busybox with its applets.
const BUSYBOX: &str = "docker.io/library/busybox:stable";
const PORT: u16 = 16443;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("clients: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<bool> {
    let Some(binary) = std::env::var_os("SKIFF_BINARY").map(PathBuf::from) else {
        bail!("SKIFF_BINARY names no skiff: use cargo xtask clients");
    };
    if let Some(unknown) = args.client.iter().find(|name| ALL.iter().all(|client| client.name != *name)) {
        let names: Vec<&str> = ALL.iter().map(|client| client.name).collect();
        bail!("no client {unknown}: there are {}", names.join(", "));
    }
    let out = std::path::absolute(&args.out)?;
    let programs = Programs::new(out.join("bin"))?;
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients").canonicalize()?;
    let wanted =
        |client: &&Client| args.client.is_empty() || args.client.iter().any(|name| name == client.name);
    // What is downloaded is downloaded before the network is left.
    let clients: Vec<&Client> = ALL.iter().filter(wanted).collect();
    for client in &clients {
        prepare(client.name, &programs, &sources, &out)?;
    }
    namespace::enter(None)?;
    let mut report = report::Report::new(report::known(&sources.join("known.tsv"))?);
    for client in clients {
        let folder = out.join(client.name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        println!("==> {}; logs are in {}", client.name, folder.display());
        let mut outcomes = Vec::new();
        for part in if client.parts.is_empty() { &[""] } else { client.parts } {
            let log = folder.join(format!("skiff{}.log", part.replace('/', "-")));
            outcomes.extend(on_a_machine(client, &binary, &programs, &log, |machine| {
                (client.run)(&Place {
                    machine,
                    programs: &programs,
                    out: folder.clone(),
                    sources: sources.clone(),
                    focus: args.focus.as_deref(),
                    part,
                })
            })?);
        }
        report.add(client.name, outcomes, args.focus.as_deref());
    }
    namespace::end_all();
    report.print(&out.join("summary.json"))
}

fn prepare(client: &str, programs: &Programs, sources: &Path, out: &Path) -> Result<()> {
    match client {
        "kubectl" => kubectl::prepare(programs),
        "helm" => programs.get("helm").map(drop),
        "python" => python::prepare(sources, out),
        "kube-rs" => kube_rs::prepare(out),
        _ => controller_runtime::prepare(programs),
    }
}

/// Starts a server for a client, and takes it away again.
fn on_a_machine<T>(
    client: &Client,
    binary: &Path,
    programs: &Programs,
    log: &Path,
    work: impl FnOnce(&Machine) -> Result<T>,
) -> Result<T> {
    let folder = tempfile::Builder::new().prefix("skiff-clients-").tempdir()?;
    let mut machine = Machine::new(binary, folder.path(), PORT).flags(client.flags);
    let tokens = folder.path().join("tokens.csv");
    std::fs::write(&tokens, kubectl::TOKENS)?;
    machine.add_flags(&["--kube-apiserver-arg", &format!("token-auth-file={}", tokens.display())]);
    if client.name == kubectl::CLIENT.name {
        let file = kubectl::authority(programs)?;
        machine.add_flags(&["--kube-apiserver-arg", &format!("client-ca-file={}", file.display())]);
    }
    if client.node {
        machine.add_flags(&["--node-name", "box"]);
        std::fs::create_dir_all(machine.images())?;
        busybox()?.save(&machine.images().join("busybox.tar"))?;
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let started: Result<()> = runtime.block_on(async {
        machine.start().await?;
        if client.node {
            let client = machine.client().await?;
            until("a Ready node", machine::PATIENCE, async || cluster::ready_node(&client).await).await?;
        }
        Ok(())
    });
    let done = started.and_then(|()| work(&machine));
    let _none = std::fs::copy(machine.log(), log);
    let ended = machine.uninstall();
    let done = done?;
    ended.map(|()| done)
}

/// The Debian package's program under all of its names.
fn busybox() -> Result<Image> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("busybox")).find(|file| file.is_file());
    let program =
        found.context("pods of these tests run busybox: install the Debian package busybox-static")?;
    let applets =
        std::process::Command::new(&program).arg("--list").output().context("cannot start busybox")?;
    let mut layer: Vec<(String, Entry)> = [("bin", 0o755), ("tmp", 0o1777), ("etc", 0o755), ("root", 0o700)]
        .map(|(path, mode)| (path.into(), Entry::Folder(mode)))
        .into();
    layer.push(("etc/passwd".into(), Entry::File(b"root:x:0:0:root:/root:/bin/sh\n".to_vec(), 0o644)));
    layer.push(("bin/busybox".into(), Entry::File(std::fs::read(&program)?, 0o755)));
    for applet in
        String::from_utf8_lossy(&applets.stdout).split_whitespace().filter(|name| *name != "busybox")
    {
        layer.push((format!("bin/{applet}"), Entry::Link("/bin/busybox".into())));
    }
    let mut image = Image::new(BUSYBOX, &[]);
    image.layers = vec![layer];
    image.config = json!({"Cmd": ["sh"], "Env": ["PATH=/bin"]});
    Ok(image)
}
