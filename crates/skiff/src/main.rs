//! `skiff`: the command line. It parses, starts one command, and tells errors with their whole chain.

mod command;
mod config;
mod heap;
mod log;
mod rest;
mod roles;
mod server;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// Few arenas, and memory goes back soon: what it is told is in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Unix seconds of the build (or of `SOURCE_DATE_EPOCH`): no trustworthy clock is behind it.
pub const BUILT: i64 = parse_seconds(env!("SKIFF_BUILT"));
/// The subcommand under which fleet's short-lived child runs: fetch and render, in one process that ends (D14).
pub const FLEET_CHILD: &str = "fleet-child";
/// The same of the fleet agent, which stays: its command line was read by the process that it was.
pub const FLEET_AGENT: &str = "fleet-agent";
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

const fn parse_seconds(text: &str) -> i64 {
    let (bytes, mut at, mut number) = (text.as_bytes(), 0, 0);
    while at < bytes.len() {
        number = number * 10 + (bytes[at] - b'0') as i64;
        at += 1;
    }
    number
}

/// Kubernetes for the edge in one small binary, kept in step with Git
#[derive(Parser, Debug)]
#[command(
    name = "skiff",
    version,
    after_help = "Start with:\n  skiff check\n  skiff server\n  export KUBECONFIG=/etc/skiff/skiff.yaml; kubectl get nodes"
)]
struct Cli {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Subcommand, Debug)]
enum Sub {
    Status(command::status::Args),
    Check(command::check::Args),
    #[command(subcommand)]
    Backup(command::backup::Command),
    #[command(subcommand)]
    Import(command::import::Command),
    #[command(subcommand)]
    SecretsEncrypt(command::secrets_encrypt::Command),
    Uninstall(command::uninstall::Args),
    #[command(subcommand)]
    Fleet(command::fleet::Command),
    /// Print a shell's completion script
    #[command(after_help = "Example:\n  skiff completion bash > /etc/bash_completion.d/skiff")]
    Completion {
        shell: clap_complete::Shell,
    },
}

fn cli(server: clap::Command) -> clap::Command {
    Cli::command().subcommand(server).subcommand_required(true)
}

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|word| word == FLEET_CHILD) {
        return fleet::child::main().into();
    }
    let words: Vec<_> = std::env::args_os().take(3).collect();
    let done = match words.as_slice() {
        [_, word, said] if word == FLEET_AGENT => command::fleet::agent::resumed(&said.to_string_lossy()),
        _ => run(),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("skiff: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let matches = cli(config::command()).get_matches();
    if let Some(("server", matches)) = matches.subcommand() {
        let config = config::resolve(matches)?;
        log::start(&config.log)?;
        return server::run(config);
    }
    // What is printed into a closed pipe ends the command in silence, as everywhere: `skiff status -o json | head`.
    // SAFETY: no other thread runs yet, and the default action is no handler (signal(2)).
    let _before = unsafe {
        nix::sys::signal::signal(nix::sys::signal::Signal::SIGPIPE, nix::sys::signal::SigHandler::SigDfl)
    };
    match Cli::from_arg_matches(&matches)?.command {
        Sub::Status(args) => command::status::run(&args),
        Sub::Check(args) => command::check::run(&args),
        Sub::Backup(command) => command::backup::run(&command),
        Sub::Import(command) => command::import::run(&command),
        Sub::SecretsEncrypt(command) => command::secrets_encrypt::run(&command),
        Sub::Uninstall(args) => command::uninstall::run(&args),
        Sub::Fleet(command) => command::fleet::run(&command),
        Sub::Completion { shell } => {
            clap_complete::generate(shell, &mut cli(config::completed()), "skiff", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    }
}
