//! Answers load balancers' health checks: a Service of policy Local has a port that says whether this node has
//! endpoints. The answers are upstream's: 200 if there is one, else 503, and JSON either way.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use base::{Tasks, Token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::watch::{self, Receiver, Sender};

/// A check that takes longer, or comes while so many are open, is hung up on.
const PATIENCE: Duration = Duration::from_secs(5);
const AT_ONCE: usize = 32;

/// The health check servers of all Services.
pub(crate) struct Health {
    tasks: Tasks,
    servers: BTreeMap<String, Server>,
}

struct Server {
    port: u16,
    endpoints: Sender<usize>,
    stop: Token,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Health {
    pub(crate) fn new(tasks: Tasks) -> Health {
        Health { tasks, servers: BTreeMap::new() }
    }

    /// Makes the servers exactly `wanted`: port and ready endpoints by Service.
    pub(crate) fn serve(&mut self, wanted: &BTreeMap<String, (u16, usize)>) {
        self.servers.retain(|name, server| wanted.get(name).is_some_and(|(port, _)| *port == server.port));
        for (name, (port, count)) in wanted {
            match self.servers.entry(name.clone()) {
                Entry::Occupied(server) => {
                    server.get().endpoints.send_replace(*count);
                }
                Entry::Vacant(place) => {
                    let (endpoints, told) = watch::channel(*count);
                    let stop = self.tasks.token().child_token();
                    let (name, port, token) = (name.clone(), *port, stop.clone());
                    self.tasks.spawn("health check port", async move {
                        token.run_until_cancelled(listen(name, port, told)).await;
                    });
                    place.insert(Server { port, endpoints, stop });
                }
            }
        }
    }
}

async fn listen(name: String, port: u16, endpoints: Receiver<usize>) {
    let listener = match TcpListener::bind(("0.0.0.0", port)).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(service = name, port, %error, "health checks cannot be answered");
            return;
        }
    };
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: give others time to close theirs.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let text = answer(&name, *endpoints.borrow());
        let _detached = base::spawn("health check", async move {
            let _slow_or_gone = tokio::time::timeout(PATIENCE, reply(stream, text)).await;
            drop(place);
        });
    }
}

/// Reads the request's head, which is not looked at, and answers.
async fn reply(mut stream: TcpStream, text: String) -> std::io::Result<()> {
    let (mut buffer, mut length) = ([0; 4096], 0);
    while length < buffer.len() && !buffer[..length].windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer[length..]).await? {
            0 => return Ok(()),
            more => length += more,
        }
    }
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

fn answer(service: &str, endpoints: usize) -> String {
    let (namespace, name) = service.split_once('/').unwrap_or_default();
    let status = if endpoints > 0 { "200 OK" } else { "503 Service Unavailable" };
    let body = format!(
        "{{\n\t\"service\": {{\n\t\t\"namespace\": \"{namespace}\",\n\t\t\"name\": \"{name}\"\n\t}},\n\t\"localEndpoints\": {endpoints},\n\t\"serviceProxyHealthy\": true\n}}"
    );
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\nX-Load-Balancing-Endpoint-Weight: {endpoints}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_without_endpoints_is_unhealthy() {
        for (endpoints, status) in [(0, "503"), (2, "200")] {
            let text = answer("default/web", endpoints);
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
            let body = text.split("\r\n\r\n").nth(1).unwrap();
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["localEndpoints"], endpoints);
            assert_eq!(body["service"]["name"], "web");
        }
    }
}
