//! `cargo xtask`: the project's own commands. Each is one file; what needs the real binary is a program of `tests/e2e` that
//! is built here and started.

mod bench;
mod check;
mod clients;
mod conformance;
mod demo;
mod differential;
mod dist;
mod faults;
mod fuzz;
mod gitops;
mod kubectl;
mod render;
mod run;
mod test;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Cli {
    #[command(flatten)]
    Command(Command),
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Test(test::Args),
    Check(check::Args),
    Bench(bench::Args),
    Clients(clients::Args),
    Conformance(conformance::Args),
    Render(render::Args),
    Differential(differential::Args),
    Dist(dist::Args),
    Faults(faults::Args),
    Fuzz(fuzz::Args),
    Gitops(gitops::Args),
    Vm(vm::Args),
}

fn main() -> ExitCode {
    let Cli::Command(command) = Cli::parse();
    let done = match command {
        Command::Demo(args) => demo::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Clients(args) => clients::run(&args),
        Command::Conformance(args) => conformance::run(&args),
        Command::Render(args) => render::run(&args),
        Command::Differential(args) => differential::run(&args),
        Command::Dist(args) => dist::run(&args),
        Command::Faults(command) => faults::run(&command),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Gitops(args) => gitops::run(&args),
        Command::Vm(args) => vm::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
