//! `skiff status`: what is up, what is not, why, and what to do.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use jiff::Timestamp;

use super::{Output, table};
use crate::config;
use crate::roles;

/// What is up, what is not, why, and what to do
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Exit code: 0 all up, 1 something is not, 3 no server runs here.\n\nExamples:\n  skiff status\n  skiff status -o json"
)]
pub struct Args {
    /// The server's run directory [default: the configuration file's, else /run/skiff]
    #[arg(long, env = "SKIFF_RUN_DIR", hide_env_values = true, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let run_dir = config::told("run-dir", args.run_dir.as_ref(), config::RUN_DIR)?;
    let Some(report) = roles::ask(&run_dir)? else {
        match args.output {
            Output::Json => println!("{}", serde_json::json!({"running": false})),
            Output::Table => println!(
                "No skiff server runs here (nothing answers in {}).\nStart one with `skiff server`; `skiff check` tells \
                 whether this machine can run it.",
                run_dir.display()
            ),
        }
        return Ok(ExitCode::from(3));
    };
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
        Output::Table => {
            println!(
                "skiff {} (Kubernetes {}), node {}, {}, up {}",
                report.version,
                report.kubernetes,
                report.node,
                report.address,
                age(report.started)
            );
            let rows = report.roles.iter().map(|role| {
                vec![role.name.clone(), format!("{:?}", role.state), age(role.since), role.reason.clone()]
            });
            println!("{}", table(&["Role", "State", "For", "Reason"], rows));
            for role in report.roles.iter().filter(|role| !role.hint.is_empty()) {
                println!("\n{}: {}", role.name, role.hint);
            }
        }
    }
    Ok(if report.healthy() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `12s`, `5m`, `3h`, `2d`.
fn age(since: Timestamp) -> String {
    let seconds = Timestamp::now().as_second().saturating_sub(since.as_second()).max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
