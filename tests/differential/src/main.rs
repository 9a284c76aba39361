//! `differential`: upstream's API server and skiff's are sent the same requests; what differs is counted, and named.
//!
//! Invariant: a request is made of the facts, the fixtures and the seed alone, so that a run can be told by its flags. Nearly
//! all writes are dry runs; what is kept lies in one namespace a kind. Not here: speed, watches, and anything above the API.

mod compare;
mod known;
mod mutate;
mod objects;
mod plan;
mod recorded;
mod reference;
mod report;
mod side;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use side::Live;
use tokio::sync::Mutex;

/// Compare the answers of upstream's API server and of skiff's
#[derive(Parser)]
pub struct Args {
    /// Folder with upstream's kube-apiserver and etcd
    #[arg(long)]
    reference: PathBuf,
    /// Folder with upstream's API fixtures (k8s.io/api/testdata/HEAD)
    #[arg(long)]
    fixtures: PathBuf,
    /// Keep upstream's answers in this folder, and ask upstream only for what is not there yet
    #[arg(long)]
    answers: Option<PathBuf>,
    /// Only these kinds, e.g. Pod or apps/Deployment
    #[arg(long, value_delimiter = ',')]
    kind: Vec<String>,
    /// The alpha and beta kinds that are off by default, with `api/all=true` on both sides
    #[arg(long)]
    off: bool,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests a kind; what is above is left out by the seed
    #[arg(long, default_value_t = 1500)]
    limit: usize,
    /// Write every difference to this file, one JSON object a line
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write some creates that both answer alike to this file, for the tests of `crates/api` (`kinds/fixtures`)
    #[arg(long)]
    record: Option<PathBuf>,
    /// Lines of the most frequent differences to print
    #[arg(long, default_value_t = 60)]
    top: usize,
    /// Send one request, `METHOD PATH [BODY]`, to both and print both answers
    #[arg(long, num_args = 2..=3)]
    ask: Option<Vec<String>>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("differential: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<bool> {
    let objects = objects::read(&args.fixtures)?;
    reference::own_network()?;
    let folder = tempfile::Builder::new().prefix("skiff-differential-").tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(16 << 20)
        .build()
        .context("cannot start the runtime")?;
    let live =
        Live { programs: &args.reference, folder: folder.path(), all: args.off, reference: Mutex::default() };
    let done = runtime.block_on(compare_all(args, &objects, &live));
    if let Some(mut reference) = live.reference.into_inner() {
        reference.stop();
    }
    done
}

async fn compare_all(args: &Args, objects: &objects::Objects, live: &Live<'_>) -> Result<bool> {
    let mut both = side::Both::start(args.answers.clone().map(recorded::Recorded::at), args.off).await;
    if let Some(words) = &args.ask {
        both.go_live(live).await?;
        return both.ask(words).await.map(|()| true);
    }
    let mut report = report::Report::new(known::read()?, args.json.as_deref(), args.record.as_deref())?;
    for kind in plan::kinds(&args.kind, !args.off) {
        let name = plan::name(kind);
        both.turn(&name, live).await?;
        match plan::run(&both, kind, objects, args, &mut report).await {
            Err(error) if error.is::<recorded::Missing>() => {
                report.forget(&name);
                both.go_live(live).await?;
                plan::run(&both, kind, objects, args, &mut report).await?;
            }
            done => done?,
        }
        both.keep()?;
        report.keep();
    }
    report.print(args.top);
    Ok(report.clean())
}
