//! What a server is told at its start. Plain data with upstream's defaults; nothing here is read from files.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::Identity;

/// See the module.
#[derive(Clone)]
pub struct Config {
    /// Where ClusterIPs come from, the primary family first.
    pub service_cidrs: Vec<IpNet>,
    pub node_ports: RangeInclusive<u16>,
    pub cluster_domain: String,
    /// Where pods and other nodes reach this server: the endpoint of the `kubernetes` Service.
    pub advertise: SocketAddr,
    /// `iss` of the ServiceAccount tokens made here, and the only one believed.
    pub issuer: String,
    /// Audiences that a token for this API may carry; the first is the default of TokenRequest.
    pub audiences: Vec<String>,
    /// Signs and verifies ServiceAccount tokens.
    pub service_account_key: Arc<pki::TokenKey>,
    /// PEM of the CA of client certificates, published in `extension-apiserver-authentication`.
    pub client_ca: Option<String>,
    /// An AuthenticationConfiguration: issuers whose tokens are believed, and where nobody is somebody.
    pub authentication: Option<api::Value>,
    /// Who judges requests; `None`: the node's own rules, then RBAC.
    pub authorization: Option<crate::Authorization>,
    /// Who judges tokens that nobody here knows.
    pub token_webhook: Option<crate::TokenWebhook>,
    /// What is noted of requests, and where; `None`: nothing.
    pub audit: Option<crate::audit::Settings>,
    /// An EncryptionConfiguration: what is sealed before it is stored.
    pub encryption: Option<api::Value>,
    /// Bearer tokens with a fixed user.
    pub static_tokens: Vec<StaticToken>,
    /// Who shows nothing is `system:anonymous` (and is then judged by RBAC like anyone).
    pub anonymous: bool,
    /// `--runtime-config`: `group/version` (`v1` for core), `api/all`, `api/ga`, `api/beta`, `api/alpha`.
    pub runtime_config: Vec<(String, bool)>,
    /// What this server shows to the servers behind APIServices; `None`: nothing, and they are told nothing of a user.
    pub front_proxy: Option<FrontProxy>,
    /// Admission plugins that are on beside the default ones, and those of them that are off
    /// (`--enable-admission-plugins`, `--disable-admission-plugins`).
    pub enable_admission: Vec<String>,
    pub disable_admission: Vec<String>,
    /// PodSecurity's defaults and exemptions.
    pub pod_security: crate::PodSecurity,
    /// Where an address of the Service network is dialed, for servers that are on no node of the cluster. `None`: there.
    pub route: Option<Route>,
    pub limits: Limits,
}

/// The certificate that vouches for users in headers (`--proxy-client-cert-file`), and the CA that it is of.
#[derive(Clone, Debug)]
pub struct FrontProxy {
    /// PEM.
    pub ca: String,
    pub certificate: String,
    pub key: String,
}

/// See [`Config::route`].
pub type Route = Arc<dyn Fn(SocketAddr) -> SocketAddr + Send + Sync>;

/// See [`Config::static_tokens`].
#[derive(Clone)]
pub struct StaticToken {
    pub token: String,
    pub identity: Identity,
}

/// Bounds on what one client may ask.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body: usize,
    /// From the first byte to the last of a request's headers.
    pub header_timeout: Duration,
    /// Of a request that is neither a watch nor a stream.
    pub request_timeout: Duration,
    /// Requests in flight that read; with those that write the seats that priority and fairness shares out.
    pub in_flight: usize,
    pub mutating_in_flight: usize,
    /// How long a client may take nothing of an answer before its connection is closed.
    pub write_timeout: Duration,
    /// Open connections; more wait in the listener's queue.
    pub connections: usize,
    /// A watch without `timeoutSeconds` ends after this long to twice this long.
    pub min_watch: Duration,
    /// Seconds that an Event lives.
    pub event_ttl: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body: 3 * 1024 * 1024,
            header_timeout: Duration::from_secs(32),
            request_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            in_flight: 400,
            mutating_in_flight: 200,
            connections: 4096,
            min_watch: Duration::from_secs(1800),
            event_ttl: 3600,
        }
    }
}

impl Config {
    /// A configuration with upstream's and k3s' defaults.
    pub fn new(advertise: SocketAddr, service_account_key: Arc<pki::TokenKey>) -> Config {
        let issuer = "https://kubernetes.default.svc.cluster.local".to_string();
        Config {
            service_cidrs: vec!["10.43.0.0/16".parse().expect("because it is a network")],
            node_ports: 30000..=32767,
            cluster_domain: "cluster.local".into(),
            advertise,
            audiences: vec![issuer.clone()],
            issuer,
            service_account_key,
            client_ca: None,
            authentication: None,
            authorization: None,
            token_webhook: None,
            audit: None,
            encryption: None,
            static_tokens: Vec::new(),
            anonymous: true,
            runtime_config: Vec::new(),
            front_proxy: None,
            enable_admission: Vec::new(),
            disable_admission: Vec::new(),
            pod_security: crate::PodSecurity::default(),
            route: None,
            limits: Limits::default(),
        }
    }

    /// Whether a version of a group is served: what `runtime_config` says last and most exactly, else `default`.
    pub fn serves(&self, group: &str, version: &str, default: bool) -> bool {
        let exact = if group.is_empty() { version.to_string() } else { format!("{group}/{version}") };
        let stage = match () {
            () if version.contains("alpha") => "api/alpha",
            () if version.contains("beta") => "api/beta",
            () => "api/ga",
        };
        let said =
            |key: &str| self.runtime_config.iter().rev().find(|(name, _)| name == key).map(|(_, on)| *on);
        said(&exact).or_else(|| said(stage)).or_else(|| said("api/all")).unwrap_or(default)
    }

    /// The ClusterIP of the `kubernetes` Service: the first address of the first range.
    pub fn kubernetes_ip(&self) -> std::net::IpAddr {
        let first = &self.service_cidrs[0];
        match first.network() {
            std::net::IpAddr::V4(network) => std::net::Ipv4Addr::from(u32::from(network) + 1).into(),
            std::net::IpAddr::V6(network) => std::net::Ipv6Addr::from(u128::from(network) + 1).into(),
        }
    }
}
