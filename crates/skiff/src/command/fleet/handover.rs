//! `skiff fleet takeover` and `handback`: whose the fields of what an owner's controller made are.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use fleet::handover::{Told, What};

use super::Reach;

/// `skiff fleet takeover`
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  kubectl -n argocd scale statefulset argocd-application-controller --replicas=0\n  skiff fleet takeover argocd"
)]
pub struct Takeover {
    /// Whose: argocd or flux
    owner: String,
    #[command(flatten)]
    reach: Reach,
}

/// `skiff fleet handback`
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  skiff fleet handback flux\n  kubectl -n flux-system scale deployment source-controller kustomize-controller --replicas=1"
)]
pub struct Handback {
    /// To whom: argocd or flux
    owner: String,
    /// How long the agent has to let go
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    patience: u64,
    #[command(flatten)]
    reach: Reach,
}

/// People write both.
fn owner(name: &str) -> &str {
    if name == "argo" { "argocd" } else { name }
}

pub async fn take_over(args: &Takeover) -> Result<ExitCode> {
    let cluster = args.reach.cluster().await?;
    let told = fleet::handover::take_over(&cluster, owner(&args.owner), &Default::default()).await?;
    Ok(tell(&told, "ours"))
}

pub async fn hand_back(args: &Handback) -> Result<ExitCode> {
    let cluster = args.reach.cluster().await?;
    let patience = Duration::from_secs(args.patience);
    let (told, answered) =
        fleet::handover::hand_back(&cluster, owner(&args.owner), &Default::default(), patience).await?;
    if !answered {
        println!("no agent answered: none runs here, or its front end is off");
    }
    Ok(tell(&told, "given back"))
}

/// One line for each object that drives, and one for each object that is not as asked.
fn tell(told: &[Told], done: &str) -> ExitCode {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut code = ExitCode::SUCCESS;
    for one in told {
        let (moved, already) = counts.entry(&one.by).or_default();
        let why = match &one.what {
            What::Moved => {
                *moved += 1;
                continue;
            }
            What::Already => {
                *already += 1;
                continue;
            }
            What::Gone => "is not there".to_string(),
            What::NotMarked => "bears another's mark or none: left alone".into(),
            What::Child => "is a controller's: left alone".into(),
            What::Failed(text) => {
                code = ExitCode::FAILURE;
                text.clone()
            }
        };
        println!("{}: {}: {why}", one.by, one.id);
    }
    for (by, (moved, already)) in &counts {
        println!("{by}: {moved} objects are {done} now, {already} were so already");
    }
    if counts.is_empty() {
        println!("nothing is there");
    }
    code
}
