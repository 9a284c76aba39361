//! Making one probe: a command, an HTTP request, a TCP connection, a gRPC health check.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use runtime::Runtime;
use tokio::net::TcpStream;

use super::{Outcome, grpc, http, timeout};

/// The container that is probed.
pub struct Target<'a> {
    pub id: &'a str,
    pub container: &'a Container,
    /// The pod's address.
    pub ip: Option<IpAddr>,
}

impl Target<'_> {
    /// A port by number or by its name in the container.
    pub fn port(&self, port: &IntOrString) -> Result<u16, String> {
        let number = match port {
            IntOrString::Int(number) => Some(*number),
            IntOrString::String(name) => {
                let named =
                    self.container.ports.iter().flatten().find(|port| port.name.as_ref() == Some(name));
                named.map(|port| port.container_port).or_else(|| name.parse().ok())
            }
        };
        let number = number.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
        number.ok_or_else(|| match port {
            IntOrString::Int(number) => format!("invalid port number: {number}"),
            IntOrString::String(name) => format!("couldn't find port: {name:?}"),
        })
    }

    /// `host`, or the pod's address.
    pub fn host(&self, host: Option<&str>) -> Result<String, String> {
        match host.filter(|host| !host.is_empty()) {
            Some(host) => Ok(host.to_owned()),
            None => self.ip.map(|ip| ip.to_string()).ok_or_else(|| "the pod has no address yet".to_owned()),
        }
    }
}

/// Makes the probe once, within its `timeoutSeconds`.
pub async fn run(runtime: &dyn Runtime, target: &Target<'_>, probe: &Probe) -> Outcome {
    let limit = timeout(probe);
    if let Some(exec) = &probe.exec {
        return command(runtime, target.id, exec.command.clone().unwrap_or_default(), limit).await;
    }
    if let Some(get) = &probe.http_get {
        return http::probe(target, get, limit).await;
    }
    if let Some(tcp) = &probe.tcp_socket {
        let address = target.host(tcp.host.as_deref()).and_then(|host| Ok((host, target.port(&tcp.port)?)));
        return match address {
            Ok((host, port)) => match connect(&host, port, limit).await {
                Ok(_) => Outcome::Success,
                Err(message) => Outcome::Failure(message),
            },
            Err(message) => Outcome::Error(message),
        };
    }
    if let Some(grpc) = &probe.grpc {
        let address =
            target.host(None).and_then(|host| Ok((host, target.port(&IntOrString::Int(grpc.port))?)));
        return match address {
            Ok((host, port)) => {
                grpc::check(&host, port, grpc.service.as_deref().unwrap_or_default(), limit).await
            }
            Err(message) => Outcome::Error(message),
        };
    }
    Outcome::Error("missing probe handler".to_owned())
}

async fn command(runtime: &dyn Runtime, id: &str, command: Vec<String>, limit: Duration) -> Outcome {
    let shown = command.join(" ");
    match runtime.exec_sync(id, command, limit).await {
        Ok((0, _)) => Outcome::Success,
        Ok((_, output)) => Outcome::Failure(String::from_utf8_lossy(&output).into_owned()),
        Err(runtime::Error::Timeout { .. }) => {
            Outcome::Failure(format!("command timed out: {shown:?} timed out after {}s", limit.as_secs()))
        }
        Err(error) => Outcome::Error(base::chain(&error).to_string()),
    }
}

/// A TCP connection; the error reads as Go's.
pub(super) async fn connect(host: &str, port: u16, limit: Duration) -> Result<TcpStream, String> {
    let shown = match host.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, port).to_string(),
        Err(_) => format!("{host}:{port}"),
    };
    match tokio::time::timeout(limit, TcpStream::connect((host, port))).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("dial tcp {shown}: connect: {}", reason(&error))),
        Err(_) => Err(format!("dial tcp {shown}: i/o timeout")),
    }
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".into(),
        std::io::ErrorKind::HostUnreachable => "no route to host".into(),
        std::io::ErrorKind::NetworkUnreachable => "network is unreachable".into(),
        _ => error.to_string(),
    }
}
