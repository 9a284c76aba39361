//! The commands that ask for something: sync, suspend, resume, rollback. They write what the owner's own tools write.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use fleet::inspect::{self, Asked};
use jiff::Timestamp;

use super::Reach;

/// An application by its name.
#[derive(Args, Debug)]
pub struct Named {
    /// NAME, NAMESPACE/NAME or KIND/NAMESPACE/NAME
    application: String,
    #[command(flatten)]
    reach: Reach,
}

/// `skiff fleet sync`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  skiff fleet sync shop --dry-run")]
pub struct Sync {
    #[command(flatten)]
    named: Named,
    /// Delete what Git no longer has
    #[arg(long)]
    prune: bool,
    /// Ask the API server for everything and change nothing; the result is in the application's status
    #[arg(long)]
    dry_run: bool,
    /// Delete and create what cannot be changed
    #[arg(long)]
    force: bool,
    /// Another branch, tag or commit, once
    #[arg(long, value_name = "NAME")]
    revision: Option<String>,
}

/// `skiff fleet rollback`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  skiff fleet history shop\n  skiff fleet rollback shop 3")]
pub struct Rollback {
    #[command(flatten)]
    named: Named,
    /// The entry of the history; without it, the one before the last
    id: Option<i64>,
    /// Delete what that revision does not have
    #[arg(long)]
    prune: bool,
}

/// Who asks: the person at the keyboard.
fn who() -> String {
    std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "skiff".into())
}

pub async fn sync(args: &Sync) -> Result<ExitCode> {
    let cluster = args.named.reach.cluster().await?;
    let row = inspect::find(&cluster, &args.named.application).await?;
    let asked = Asked {
        prune: args.prune,
        dry_run: args.dry_run,
        force: args.force,
        revision: args.revision.clone(),
        by: who(),
    };
    inspect::sync(&cluster, &row, &asked, Timestamp::now()).await?;
    println!("{}/{} is asked to sync; `skiff fleet status` tells how it goes", row.namespace(), row.name());
    Ok(ExitCode::SUCCESS)
}

pub async fn hold(args: &Named, suspend: bool) -> Result<ExitCode> {
    let cluster = args.reach.cluster().await?;
    let row = inspect::find(&cluster, &args.application).await?;
    if suspend {
        inspect::suspend(&cluster, &row).await?;
        println!(
            "{}/{} is suspended; `skiff fleet resume` lets it follow Git again",
            row.namespace(),
            row.name()
        );
    } else {
        inspect::resume(&cluster, &row).await?;
        println!("{}/{} follows Git again", row.namespace(), row.name());
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn rollback(args: &Rollback) -> Result<ExitCode> {
    let cluster = args.named.reach.cluster().await?;
    let row = inspect::find(&cluster, &args.named.application).await?;
    let asked = Asked { prune: args.prune, by: who(), ..Asked::default() };
    let revision = inspect::rollback(&cluster, &row, args.id, &asked).await?;
    println!("{}/{} is asked to go back to {revision}", row.namespace(), row.name());
    Ok(ExitCode::SUCCESS)
}
