//! The cases, one a file; [`ALL`] is what runs, in order. To add one, add its file and its line.

mod application;
mod crash;
mod durable;
mod front_ends;
mod full_disk;
mod gitops;
mod kubectl;
mod mistakes;
mod pod;
mod refusals;
mod service;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use anyhow::Result;
use e2e::Machine;

/// What a case is: it gets a machine that has not started.
pub type Case = for<'a> fn(&'a mut Machine) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

pub const ALL: &[(&str, Case)] = &[
    ("a_configmap_is_there_after_kill_9", |machine| Box::pin(durable::configmap(machine))),
    ("one_pod_put_on_the_node_by_hand", |machine| Box::pin(pod::by_hand(machine))),
    ("a_deployment_and_its_service", |machine| Box::pin(service::deployment(machine))),
    ("an_application_follows_git", |machine| Box::pin(application::follows_git(machine))),
    ("front_ends_that_are_left_out", |machine| Box::pin(front_ends::left_out(machine))),
    ("what_a_user_with_a_mistake_is_told", |machine| Box::pin(mistakes::told(machine))),
    ("nothing_is_lost_by_kill_9_under_load", |machine| Box::pin(crash::kills(machine))),
    ("everyday_kubectl", |machine| Box::pin(kubectl::everyday(machine))),
    ("the_command_line_of_flux", |machine| Box::pin(gitops::flux(machine))),
    ("the_command_line_of_argo_cd", |machine| Box::pin(gitops::argocd(machine))),
    ("a_full_disk_refuses_and_keeps", |machine| Box::pin(full_disk::refuses_and_keeps(machine))),
    ("a_first_start_on_a_full_disk_says_so", |machine| Box::pin(full_disk::stops_a_first_start(machine))),
    ("what_a_server_that_cannot_start_says", |machine| Box::pin(refusals::at_start(machine))),
];

/// Runs a case on a machine of its own and takes the machine down again; a failure comes with the end of the log.
pub async fn run(case: Case, binary: &Path, folder: &Path) -> Result<()> {
    let mut machine =
        Machine::new(binary, folder, 16443).flags(&["--node-name", "box", "--fleet-interval", "1"]);
    let done = case(&mut machine).await;
    let done =
        done.map_err(|error| error.context(format!("the server's log ends:\n{}", machine.log_tail(25))));
    let ended = machine.uninstall();
    done.and(ended)
}
