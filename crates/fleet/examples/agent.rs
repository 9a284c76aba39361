//! The engine against any cluster: `agent KUBECONFIG DATA-DIRECTORY CHILD-PROGRAM [SECONDS]`. For development; the
//! product's agent is `skiff`.

use std::time::Duration;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().unwrap_or_else(|| panic!("give {what}"));
    let (kubeconfig, data, child) =
        (next("a kubeconfig"), next("a data directory"), next("the fleet-child program"));
    let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.expect("a configuration");
    let client = fleet::connect::client(config).expect("a client");
    let mut config = fleet::Config::new(data);
    config.child = fleet::child::Command { program: child.into(), arguments: Vec::new() };
    config.interval = std::env::args().nth(4).and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let tasks = base::Tasks::new();
    let clock = base::Clock::system(jiff::Timestamp::UNIX_EPOCH);
    fleet::run(config, client, clock, tasks).await;
}
