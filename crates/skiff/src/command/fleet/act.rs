//! The commands that ask for something: sync, suspend, resume, rollback. They write what the owner's own tools write.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use fleet::inspect::{self, Asked};
use fleet::wish;
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

/// `skiff fleet postpone`
#[derive(Args, Debug)]
#[command(
    after_help = "Drift is left, too; `skiff fleet sync` is carried out all the same.\n\nExamples:\n  skiff fleet postpone --for 4h\n  skiff fleet postpone shop --end"
)]
pub struct Postpone {
    /// NAME, NAMESPACE/NAME or KIND/NAMESPACE/NAME; without it, all
    application: Option<String>,
    #[command(flatten)]
    reach: Reach,
    /// How long: 90m, 4h, 2d; 7 days at the most
    #[arg(long = "for", value_name = "TIME", value_parser = time, required_unless_present = "end")]
    time: Option<Duration>,
    /// Do what is waiting
    #[arg(long, conflicts_with = "time")]
    end: bool,
}

fn time(text: &str) -> Result<Duration, String> {
    let (digits, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(format!("{text} is no time like 90m, 4h or 2d")),
    };
    let count: u64 = digits.parse().map_err(|_| format!("{text} is no time like 90m, 4h or 2d"))?;
    let time = Duration::from_secs(count.saturating_mul(seconds));
    if time > wish::LONGEST {
        return Err(format!("{text} is more than {} days", wish::LONGEST.as_secs() / (24 * 3600)));
    }
    Ok(time)
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

pub async fn postpone(args: &Postpone) -> Result<ExitCode> {
    let cluster = args.reach.cluster().await?;
    let rows = match &args.application {
        Some(name) => vec![inspect::find(&cluster, name).await?],
        // A GitRepository changes nothing here.
        None => {
            let mut all = inspect::list(&cluster).await?;
            all.retain(|row| row.front.kind != "GitRepository");
            all
        }
    };
    if rows.is_empty() {
        bail!("there are no applications");
    }
    let until = match args.time {
        Some(time) if !args.end => Some(Timestamp::from_second((Timestamp::now() + time).as_second())?),
        _ => None,
    };
    for row in &rows {
        inspect::postpone(&cluster, row, until).await?;
        match until {
            Some(until) => println!("{}/{} waits until {until}", row.namespace(), row.name()),
            None => println!("{}/{} waits no more", row.namespace(), row.name()),
        }
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
