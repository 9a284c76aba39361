//! `serve <dir> <address>`: an API server alone, to try clients on. Prints where its kubeconfig is.

use std::path::PathBuf;
use std::sync::Arc;

use apiserver::NodeDialer;
use apiserver::node::Stream;

struct NoNodes;

#[async_trait::async_trait]
impl NodeDialer for NoNodes {
    async fn connect(&self, node: &str) -> std::io::Result<Box<dyn Stream>> {
        Err(std::io::Error::new(std::io::ErrorKind::NotFound, format!("no node {node:?} here")))
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let dir = PathBuf::from(arguments.get(1).map_or("/tmp/skiff-serve", String::as_str));
    let address = arguments.get(2).map_or("127.0.0.1:16443", String::as_str);
    let clock = base::Clock::system("2026-01-01T00:00:00Z".parse().expect("because it is a time"));
    let cluster = testkit_cluster::Cluster::open(&dir, clock, "192.0.2.1:6443", Arc::new(NoNodes)).await;
    let kubeconfig = cluster.listen(address).await;
    let path = dir.join("kubeconfig");
    std::fs::write(&path, kubeconfig).expect("because the directory is ours");
    println!("{}", path.display());
    tokio::signal::ctrl_c().await.expect("because signals work");
    cluster.stop().await;
}
