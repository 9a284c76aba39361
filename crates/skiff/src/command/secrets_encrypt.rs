//! `skiff secrets-encrypt`: how Secrets are sealed at rest, and a change of keys while the server runs.
//!
//! Each step writes the key file and has the server read it again (SIGHUP); the next one is taken when the server's status tells
//! that every Secret is sealed anew. A step that is cut off leaves a file with more keys than are needed, never fewer.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::config;
use crate::roles::{self, State};
use crate::server::encryption;

/// How long a server may take to seal everything anew.
const PATIENCE: Duration = Duration::from_secs(300);

/// How Secrets are sealed at rest, and a change of keys while the server runs
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Tell by which key Secrets are sealed, and which others are kept
    Status(Args),
    /// Seal every Secret with a new key, and forget the old ones
    RotateKeys(Args),
    /// Seal Secrets again that `disable` opened
    Enable(Args),
    /// Store every Secret as it is; the keys are kept
    Disable(Args),
}

#[derive(clap::Args, Debug)]
pub struct Args {
    /// The server's data directory [default: the configuration file's, else /var/lib/skiff]
    #[arg(short, long, env = "SKIFF_DATA_DIR", hide_env_values = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The server's run directory [default: the configuration file's, else /run/skiff]
    #[arg(long, env = "SKIFF_RUN_DIR", hide_env_values = true, value_name = "DIR")]
    run_dir: Option<PathBuf>,
}

/// The server whose keys are meant.
struct Place {
    data: PathBuf,
    run: PathBuf,
}

impl Args {
    fn place(&self) -> Result<Place> {
        Ok(Place {
            data: config::told("data-dir", self.data_dir.as_ref(), config::DATA_DIR)?,
            run: config::told("run-dir", self.run_dir.as_ref(), config::RUN_DIR)?,
        })
    }
}

pub fn run(command: &Command) -> Result<ExitCode> {
    if let Command::RotateKeys(args) | Command::Enable(args) | Command::Disable(args) = command {
        let data = args.place()?.data;
        if crate::server::shared::mark(&data).exists() {
            bail!(
                "several servers read what one seals: change {} by hand on each, a new key last in the list first, then first, then \
                 alone, and send each server SIGHUP after every step",
                encryption::path(&data).display()
            );
        }
    }
    match command {
        Command::Status(args) => status(&args.place()?)?,
        Command::RotateKeys(args) => {
            let place = args.place()?;
            let path = path(&place)?;
            let old = providers(&path)?;
            let (kind, keys) = sealing(&old).context("no key is in the file to take the place of")?;
            let fresh = encryption::key()?;
            let mut all = vec![fresh.clone()];
            all.extend(keys.clone());
            let plain = json!({"identity": {}});
            step(&place, &path, vec![json!({kind.as_str(): {"keys": all}}), plain.clone()])?;
            step(&place, &path, vec![json!({kind.as_str(): {"keys": [fresh.clone()]}}), plain])?;
            let name = fresh["name"].as_str().unwrap_or_default();
            println!("Every Secret is sealed with {name}; {} old keys are gone.", keys.len());
        }
        Command::Enable(args) => reorder(&args.place()?, true)?,
        Command::Disable(args) => reorder(&args.place()?, false)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn path(place: &Place) -> Result<PathBuf> {
    let path = encryption::path(&place.data);
    match path.exists() {
        true => Ok(path),
        false => bail!("{} is not there: start the server with --secrets-encryption first", path.display()),
    }
}

/// The providers of the one rule that the file has.
fn providers(path: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let document: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
    let rules = document["resources"].as_array().map_or(0, Vec::len);
    match document["resources"][0]["providers"].as_array() {
        Some(providers) if rules == 1 => Ok(providers.clone()),
        _ => bail!("{} was changed by hand: change it so again, and send the server SIGHUP", path.display()),
    }
}

/// The first provider with keys, and those.
fn sealing(providers: &[Value]) -> Option<(String, Vec<Value>)> {
    providers.iter().find_map(|provider| {
        let (kind, settings) = provider.as_object()?.iter().next()?;
        Some((kind.clone(), settings["keys"].as_array()?.clone()))
    })
}

fn status(place: &Place) -> Result<()> {
    let path = encryption::path(&place.data);
    if !path.exists() {
        println!("Secrets are stored as they are: the server was never started with --secrets-encryption.");
        return Ok(());
    }
    let providers = providers(&path)?;
    let plain_first = providers.first().is_some_and(|provider| provider.get("identity").is_some());
    println!("Encryption: {}", if plain_first { "disabled" } else { "enabled" });
    for (kind, keys) in providers.iter().filter_map(|own| sealing(std::slice::from_ref(own))) {
        for (at, key) in keys.iter().enumerate() {
            let mark = if at == 0 && !plain_first { "seals" } else { "opens" };
            println!("{mark}  {kind}  {}", key["name"].as_str().unwrap_or_default());
        }
    }
    match roles::ask(&place.run)? {
        None => println!("No server runs here."),
        Some(report) => match report.roles.iter().find(|role| role.name == encryption::ROLE) {
            Some(role) if role.state == State::Up => println!("The server seals by: {}", role.reason),
            Some(role) => println!("The server is {:?}: {}", role.state, role.reason),
            None => println!("The server that runs was started without the file: start it again."),
        },
    }
    Ok(())
}

/// Puts the keys or `identity` first.
fn reorder(place: &Place, sealed: bool) -> Result<()> {
    let path = path(place)?;
    let (mut plain, mut keyed): (Vec<Value>, Vec<Value>) =
        providers(&path)?.into_iter().partition(|provider| provider.get("identity").is_some());
    if plain.is_empty() {
        plain.push(json!({"identity": {}}));
    }
    let all = match sealed {
        true => {
            keyed.append(&mut plain);
            keyed
        }
        false => {
            plain.append(&mut keyed);
            plain
        }
    };
    step(place, &path, all)?;
    println!("Every Secret is {}.", if sealed { "sealed" } else { "stored as it is" });
    Ok(())
}

/// Has the server read its files again.
fn tell(pid: u32) -> Result<()> {
    kill(Pid::from_raw(pid.try_into()?), Signal::SIGHUP).context("cannot tell the server (are you root?)")
}

/// Writes the file and waits until the server has done as it says; puts the old file back if the server does not take it.
fn step(place: &Place, path: &Path, providers: Vec<Value>) -> Result<()> {
    let before = std::fs::read_to_string(path)?;
    let report = roles::ask(&place.run)?.context("no server runs here: keys are changed while it does")?;
    let role =
        |report: &roles::Report| report.roles.iter().find(|role| role.name == encryption::ROLE).cloned();
    let since = role(&report).context("the server was started without the file: start it again")?.since;
    encryption::write(path, &encryption::document(providers))?;
    tell(report.pid)?;
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let report = roles::ask(&place.run)?.context("the server went away: look at its log")?;
        match role(&report).filter(|role| role.since > since) {
            Some(role) if role.state == State::Up => return Ok(()),
            Some(role) => {
                encryption::write(path, &serde_json::from_str(&before)?)?;
                tell(report.pid)?;
                bail!("the server did not take the change, and the file is as it was: {}", role.reason);
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    bail!("the server still seals Secrets anew; see skiff status, then run this again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_provider_with_keys_is_what_seals() {
        let check = |providers: Value, expected: Option<(&str, usize)>| {
            let found = sealing(providers.as_array().unwrap());
            assert_eq!(found.as_ref().map(|(kind, keys)| (kind.as_str(), keys.len())), expected);
        };
        check(json!([{"identity": {}}]), None);
        check(json!([{"identity": {}}, {"secretbox": {"keys": [{}, {}]}}]), Some(("secretbox", 2)));
        check(json!([{"aescbc": {"keys": [{}]}}, {"identity": {}}]), Some(("aescbc", 1)));
    }
}
