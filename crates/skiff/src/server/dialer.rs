//! The way from the API to the kubelet of the same process: a pipe in memory, which nobody else can connect to (D9).

use std::io;
use std::sync::{Arc, OnceLock};

use tokio::io::DuplexStream;

/// Serves one connection of the node's own API.
pub type Serve = Box<dyn Fn(DuplexStream) + Send + Sync>;

/// Bytes that wait in the pipe in each direction.
const PIPE: usize = 64 << 10;

/// See the module. Connecting fails until the kubelet has started.
pub struct InProcess {
    node: String,
    serve: OnceLock<Serve>,
}

impl InProcess {
    pub fn new(node: &str) -> InProcess {
        InProcess { node: node.into(), serve: OnceLock::new() }
    }

    /// Connects the kubelet.
    pub fn set(self: &Arc<Self>, serve: Serve) {
        if self.serve.set(serve).is_err() {
            tracing::error!("the node's API was connected twice");
        }
    }
}

#[async_trait::async_trait]
impl apiserver::NodeDialer for InProcess {
    async fn connect(&self, node: &str) -> io::Result<Box<dyn apiserver::node::Stream>> {
        let not_connected = |text: String| io::Error::new(io::ErrorKind::NotConnected, text);
        if node != self.node {
            return Err(not_connected(format!("node {node} is not this server's ({})", self.node)));
        }
        let serve = self.serve.get();
        let serve = serve.ok_or_else(|| not_connected(format!("the kubelet of node {node} does not run")))?;
        let (ours, theirs) = tokio::io::duplex(PIPE);
        serve(theirs);
        Ok(Box::new(ours))
    }
}
