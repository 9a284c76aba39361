//! The figures of the fleet engine beside their budgets: `figures SKIFF [wire|agent|speed]`, where SKIFF is the program under
//! test. Needs no root and no cluster: an API server runs here, the agent is a process of its own. Asserts nothing.

#![allow(clippy::unwrap_used)] // a benchmark: whatever fails ends it

mod agent;
mod process;
#[path = "../../tests/bench/git.rs"]
mod program;
#[path = "../../tests/bench/servers.rs"]
mod servers;
mod wire;

use std::path::PathBuf;

/// One line of the table.
pub fn row(what: &str, measured: &str, budget: &str) {
    println!("| {what} | {measured} | {budget} |");
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let skiff = PathBuf::from(arguments.next().expect("give the program skiff"));
    let family = arguments.next().unwrap_or_default();
    let wanted = |name: &str| family.is_empty() || family == name;
    println!("| what | measured | budget |\n|---|---|---|");
    if wanted("wire") {
        wire::run();
    }
    if wanted("agent") || wanted("speed") {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(agent::run(&skiff, wanted("agent"), wanted("speed")));
    }
}
