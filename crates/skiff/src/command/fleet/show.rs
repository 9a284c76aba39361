//! The commands that look: status, plan, diff, tree, history. Each for people and as JSON.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use fleet::child;
use fleet::inspect::{self, Leaf, Preview, Row};
use jiff::Timestamp;
use serde_json::json;

use super::super::table;
use super::{Output, Reach};

/// `skiff fleet status`
#[derive(Args, Debug)]
#[command(
    after_help = "Exit code: 0 all in step and healthy, 1 something is not.\n\nExample:\n  skiff fleet status -o json\n  skiff fleet status --watch"
)]
pub struct Status {
    #[command(flatten)]
    reach: Reach,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    /// Stay, and show it again whenever it changes; as JSON, a line each time
    #[arg(short, long)]
    watch: bool,
}

/// One application.
#[derive(Args, Debug)]
pub struct One {
    /// NAME, NAMESPACE/NAME or KIND/NAMESPACE/NAME
    application: String,
    #[command(flatten)]
    reach: Reach,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// `skiff fleet plan` and `diff`
#[derive(Args, Debug)]
#[command(after_help = "Exit code: 0 nothing to do, 2 something would change, 1 it cannot be found out.")]
pub struct Plan {
    #[command(flatten)]
    one: One,
    /// Prune also where the application does not
    #[arg(long)]
    prune: bool,
}

fn is_good(row: &Row) -> bool {
    let (sync, health) = row.standing();
    row.is_suspended()
        || (["Synced", "Ready"].contains(&sync.as_str())
            && ["Healthy", "Suspended"].contains(&health.as_str()))
}

/// Between two looks of `--watch`.
const LOOK: Duration = Duration::from_secs(1);

pub async fn status(args: &Status) -> Result<ExitCode> {
    let cluster = args.reach.cluster().await?;
    let rows = inspect::list(&cluster).await?;
    if !args.watch {
        println!("{}", shown(&rows, args.output, Lines::Several)?);
        return Ok(if rows.iter().all(is_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let screen = std::io::stdout().is_terminal() && args.output == Output::Table;
    let mut last = String::new();
    let mut found = Ok(rows);
    loop {
        let text = match &found {
            Ok(rows) => shown(rows, args.output, Lines::One)?,
            // The cluster may be away for a while.
            Err(error) if args.output == Output::Table => format!("{error}"),
            Err(_) => last.clone(),
        };
        if text != last {
            // Clears the screen, and begins at its top.
            let clear = if screen { "\x1b[2J\x1b[H" } else { "" };
            println!("{clear}{text}");
            last = text;
        }
        tokio::time::sleep(LOOK).await;
        found = inspect::list(&cluster).await;
    }
}

/// How JSON is laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    One,
    Several,
}

fn shown(rows: &[Row], output: Output, lines: Lines) -> Result<String> {
    let mut text = String::new();
    match output {
        Output::Json => {
            let all: Vec<_> = rows
                .iter()
                .map(|row| {
                    let (sync, health) = row.standing();
                    json!({"kind": row.front.kind, "namespace": row.namespace(), "name": row.name(), "sync": sync,
                        "health": health, "revision": row.revision(), "suspended": row.is_suspended(), "message": row.message()})
                })
                .collect();
            text = match lines {
                Lines::One => serde_json::to_string(&all)?,
                Lines::Several => serde_json::to_string_pretty(&all)?,
            };
        }
        Output::Table if rows.is_empty() => {
            text.push_str(
                "No applications. Apply an Argo CD Application, or a Flux GitRepository and Kustomization.",
            );
        }
        Output::Table => {
            let cells = rows.iter().map(|row| {
                let (sync, health) = row.standing();
                let sync = if row.is_suspended() { format!("{sync} (suspended)") } else { sync };
                vec![
                    row.front.kind.into(),
                    row.namespace().into(),
                    row.name().into(),
                    sync,
                    health,
                    short(&row.revision()),
                ]
            });
            text = table(&["Kind", "Namespace", "Name", "Sync", "Health", "Revision"], cells).to_string();
            for row in rows.iter().filter(|row| !row.message().is_empty()) {
                text.push_str(&format!("\n\n{}/{}: {}", row.namespace(), row.name(), row.message()));
            }
        }
    }
    Ok(text)
}

/// A revision with its commits cut to what people read.
fn short(revision: &str) -> String {
    let cut = |part: &str| match part.split_once("@sha1:") {
        Some((name, commit)) => format!("{name}@{}", &commit[..commit.len().min(12)]),
        None => part.trim_start_matches("sha1:").chars().take(12).collect(),
    };
    revision.split(',').map(cut).collect::<Vec<_>>().join(",")
}

pub async fn plan(args: &Plan, lines: bool) -> Result<ExitCode> {
    let cluster = args.one.reach.cluster().await?;
    let row = inspect::find(&cluster, &args.one.application).await?;
    let directory = Scratch::new()?;
    let command = child::Command {
        program: std::env::current_exe().context("cannot find this program's own file")?,
        arguments: vec![crate::FLEET_CHILD.into()],
    };
    let preview =
        inspect::preview(&cluster, &row, &command, &directory.0, args.prune, Timestamp::now()).await?;
    let failed = preview.changes.iter().any(|change| change.fault.is_some());
    match args.one.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&as_json(&preview))?),
        Output::Table => print_preview(&preview, lines),
    }
    Ok(match () {
        () if failed => ExitCode::FAILURE,
        () if preview.changes.is_empty() => ExitCode::SUCCESS,
        () => ExitCode::from(2),
    })
}

/// A folder that goes when the command ends.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Result<Scratch> {
        let path = std::env::temp_dir().join(format!("skiff-fleet-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        // Clones and rendered manifests may hold what others must not read.
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .with_context(|| format!("cannot protect {}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn as_json(preview: &Preview) -> serde_json::Value {
    let changes: Vec<_> = preview
        .changes
        .iter()
        .map(|change| {
            json!({"action": change.what, "phase": format!("{:?}", change.phase), "wave": change.wave,
                "group": change.id.group, "kind": change.id.kind, "namespace": change.id.namespace, "name": change.id.name,
                "difference": change.difference, "fault": change.fault})
        })
        .collect();
    let kept: Vec<_> =
        preview.kept.iter().map(|(id, why)| json!({"object": id.to_string(), "reason": why})).collect();
    json!({"revisions": preview.revisions, "changes": changes, "inStep": preview.same, "kept": kept, "warnings": preview.warnings})
}

fn print_preview(preview: &Preview, lines: bool) {
    println!("revision {}", preview.revisions.join(", "));
    for change in &preview.changes {
        let fault = change.fault.as_ref().map(|text| format!(": cannot: {text}")).unwrap_or_default();
        println!("{:<7} {}{fault}", change.what, change.id);
        if lines {
            print!("{}", change.difference);
        }
    }
    for (id, why) in &preview.kept {
        println!("keep    {id}: {why}");
    }
    for text in &preview.warnings {
        println!("warning: {text}");
    }
    println!("{} to do, {} in step", preview.changes.len(), preview.same);
}

pub async fn tree(args: &One) -> Result<ExitCode> {
    let cluster = args.reach.cluster().await?;
    let row = inspect::find(&cluster, &args.application).await?;
    let leaves = inspect::tree(&cluster, &row).await?;
    match args.output {
        Output::Json => {
            let all: Vec<_> = leaves.iter().map(leaf_json).collect();
            println!("{}", serde_json::to_string_pretty(&all)?);
        }
        Output::Table => {
            println!("{} {}/{}", row.front.kind, row.namespace(), row.name());
            print_leaves(&leaves, "");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn leaf_json(leaf: &Leaf) -> serde_json::Value {
    let below: Vec<_> = leaf.below.iter().map(leaf_json).collect();
    json!({"group": leaf.id.group, "kind": leaf.id.kind, "namespace": leaf.id.namespace, "name": leaf.id.name,
        "there": leaf.there, "health": leaf.health.map(|health| health.to_string()), "message": leaf.message, "owns": below})
}

fn print_leaves(leaves: &[Leaf], indent: &str) {
    for (at, leaf) in leaves.iter().enumerate() {
        let last = at + 1 == leaves.len();
        let health = match (leaf.there, leaf.health) {
            (false, _) => "  Missing".to_string(),
            (true, Some(health)) => format!("  {health}"),
            (true, None) => String::new(),
        };
        println!("{indent}{} {}{health}", if last { "└─" } else { "├─" }, leaf.id);
        print_leaves(&leaf.below, &format!("{indent}{}", if last { "   " } else { "│  " }));
    }
}

pub async fn history(args: &One) -> Result<ExitCode> {
    let cluster = args.reach.cluster().await?;
    let row = inspect::find(&cluster, &args.application).await?;
    let all = row.history();
    match args.output {
        Output::Json => {
            let all: Vec<_> = all
                .iter()
                .map(|one| json!({"id": one.id, "time": one.time, "revision": one.revision, "by": one.by}))
                .collect();
            println!("{}", serde_json::to_string_pretty(&all)?);
        }
        Output::Table if all.is_empty() => println!("Never synced."),
        Output::Table => {
            let cells = all.iter().map(|one| {
                let id = one.id.map(|id| id.to_string()).unwrap_or_default();
                vec![id, one.time.clone(), short(&one.revision), one.by.clone()]
            });
            println!("{}", table(&["Id", "Time", "Revision", "By"], cells));
        }
    }
    Ok(ExitCode::SUCCESS)
}
