//! What `skiff server` is told: command line over environment over file over defaults, checked once, as one typed value.

pub mod file;
pub mod flags;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};
use api::validation::names;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use ipnet::IpNet;

use flags::{Fate, Flag, Takes};

pub const CONFIG_FILE: &str = "/etc/skiff/config.yaml";
pub const DATA_DIR: &str = "/var/lib/skiff";
pub const RUN_DIR: &str = "/run/skiff";
pub const KUBECONFIG: &str = "/etc/skiff/skiff.yaml";
pub const REGISTRIES: &str = "/etc/skiff/registries.yaml";

/// The checked configuration of a server.
#[derive(Clone, Debug)]
pub struct Server {
    pub data_dir: PathBuf,
    pub run_dir: PathBuf,
    pub bind_address: IpAddr,
    pub port: u16,
    pub advertise_address: Option<IpAddr>,
    pub tls_san: Vec<String>,
    pub cluster_cidr: IpNet,
    pub service_cidr: IpNet,
    pub node_ports: RangeInclusive<u16>,
    pub cluster_dns: IpAddr,
    pub cluster_domain: String,
    pub node_ip: Option<IpAddr>,
    pub node_external_ip: Option<IpAddr>,
    pub resolv_conf: PathBuf,
    pub kubeconfig: PathBuf,
    pub kubeconfig_mode: u32,
    pub kubeconfig_group: Option<String>,
    pub token: Option<String>,
    /// The etcd of several servers, in place of a database of this one's own.
    pub datastore: Option<store::etcd::Options>,
    pub node_name: String,
    pub node_labels: BTreeMap<String, String>,
    /// `key=value:Effect`, checked.
    pub node_taints: Vec<Taint>,
    pub registries: PathBuf,
    /// What seals Secrets, with `--secrets-encryption`.
    pub secrets_encryption: Option<&'static str>,
    pub kubelet_args: BTreeMap<String, String>,
    pub apiserver_args: BTreeMap<String, String>,
    pub disable: BTreeSet<String>,
    pub agent: bool,
    pub scheduler: bool,
    pub controllers: bool,
    pub proxy: bool,
    /// Seconds.
    pub fleet_interval: Option<u64>,
    pub fleet_monthly_bytes: Option<u64>,
    pub fleet_source_bytes: Option<u64>,
    pub fleet_webhooks: Option<std::net::SocketAddr>,
    pub log: Log,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    pub key: String,
    pub value: String,
    pub effect: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    pub level: u8,
    pub json: bool,
    pub file: Option<PathBuf>,
    pub also_stderr: bool,
}

/// `skiff server` as clap knows it, made of the table of flags.
pub fn command() -> Command {
    of(flags::all())
}

/// The same with the flags that work alone, as a shell completes it.
pub fn completed() -> Command {
    of(flags::SERVED.iter().copied())
}

fn of(flags: impl Iterator<Item = Flag>) -> Command {
    let command = Command::new("server")
        .about("Run a cluster of one node: API, controllers, scheduler, kubelet, network, DNS and fleet in one process")
        .after_help(
            "Examples:\n  skiff server\n  skiff server --node-name shop-12 --node-label region=south\n  \
             skiff server --config /etc/skiff/config.yaml --https-listen-port 7443\n\n\
             Then: export KUBECONFIG=/etc/skiff/skiff.yaml; kubectl get nodes",
        );
    flags.fold(command, |command, flag| command.arg(arg(flag)))
}

fn arg(flag: Flag) -> Arg {
    let arg = Arg::new(flag.name).long(flag.name).help_heading(flag.group);
    let arg = match flag.takes {
        Takes::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Takes::One(name) => arg.value_name(name).action(ArgAction::Set).overrides_with(flag.name),
        // A component's setting may hold commas itself: `runtime-config=a=true,b=true`.
        Takes::Many(name) if flag.name.ends_with("-arg") => arg.value_name(name).action(ArgAction::Append),
        Takes::Many(name) => arg.value_name(name).action(ArgAction::Append).value_delimiter(','),
    };
    let arg = match flag.short {
        Some(short) => arg.short(short),
        None => arg,
    };
    let arg = match flag.env {
        Some(env) => arg.env(env).hide_env_values(true),
        None => arg,
    };
    match flag.fate {
        Fate::Served(help) => arg.help(help),
        Fate::Refused(_) => arg.hide(true),
    }
}

/// The values of all flags, from wherever they came.
struct Values<'a> {
    matches: &'a ArgMatches,
    file: file::Settings,
}

impl Values<'_> {
    fn all(&self, name: &str) -> Vec<String> {
        let given = self.matches.value_source(name).is_some_and(|source| source != ValueSource::DefaultValue);
        if given {
            return self.matches.get_many::<String>(name).into_iter().flatten().cloned().collect();
        }
        self.file.get(name).cloned().unwrap_or_default()
    }

    fn one(&self, name: &str) -> Option<String> {
        self.all(name).pop()
    }

    fn parse<T: FromStr>(&self, name: &str, what: &str) -> Result<Option<T>> {
        self.one(name)
            .map(|text| text.parse().map_err(|_| anyhow!("--{name}={text}: this is no {what}")))
            .transpose()
    }

    fn switch(&self, name: &str) -> Result<bool> {
        Ok(self.parse(name, "true or false")?.unwrap_or(false))
    }

    fn pairs(&self, name: &str) -> Result<BTreeMap<String, String>> {
        let pair = |text: String| match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok((key.trim_start_matches("--").to_owned(), value.to_owned()))
            }
            _ => bail!("--{name}={text}: a name and a value are needed, as in name=value"),
        };
        self.all(name).into_iter().map(pair).collect()
    }
}

/// A setting as the commands beside the server know it: the one given, else what the server's configuration file says,
/// else the default.
pub fn told<T: Clone + From<String>>(name: &str, given: Option<&T>, default: &str) -> Result<T> {
    if let Some(value) = given {
        return Ok(value.clone());
    }
    Ok(settings()?.remove(name).and_then(|mut values| values.pop()).unwrap_or_else(|| default.into()).into())
}

/// A setting of the kubelet as the configuration file says it, else the default.
pub fn told_kubelet(name: &str, given: Option<&str>, default: &str) -> Result<String> {
    if let Some(value) = given {
        return Ok(value.to_owned());
    }
    let args = settings()?.remove("kubelet-arg").unwrap_or_default();
    let value = args.iter().rev().find_map(|arg| {
        let (key, value) = arg.trim_start_matches("--").split_once('=')?;
        (key == name).then(|| value.to_owned())
    });
    Ok(value.unwrap_or_else(|| default.to_owned()))
}

/// The configuration file that a server here would read.
fn settings() -> Result<file::Settings> {
    let asked = std::env::var_os("SKIFF_CONFIG_FILE");
    file::read(asked.as_deref().unwrap_or(CONFIG_FILE.as_ref()).as_ref(), asked.is_some())
}

/// Checks everything that can be checked without touching the machine.
pub fn resolve(matches: &ArgMatches) -> Result<Server> {
    for (why, names) in flags::REFUSED {
        for (name, _) in *names {
            if matches.value_source(name) == Some(ValueSource::CommandLine) {
                bail!("--{name} is not served: {why}");
            }
        }
    }
    let path = matches.get_one::<String>("config");
    let file = file::read(path.map_or(CONFIG_FILE.as_ref(), |path| path.as_ref()), path.is_some())?;
    let values = Values { matches, file };
    let folder = |name: &str, default: &str| -> Result<PathBuf> {
        let path = PathBuf::from(values.one(name).unwrap_or_else(|| default.into()));
        std::path::absolute(&path).with_context(|| format!("--{name}={}", path.display()))
    };
    let service_cidr: IpNet = values
        .parse("service-cidr", "network, such as 10.43.0.0/16")?
        .unwrap_or("10.43.0.0/16".parse().expect("because the text is a network"));
    let cluster_cidr: IpNet = values
        .parse("cluster-cidr", "network, such as 10.42.0.0/16")?
        .unwrap_or("10.42.0.0/16".parse().expect("because the text is a network"));
    for (name, cidr) in [("service-cidr", service_cidr), ("cluster-cidr", cluster_cidr)] {
        if !cidr.addr().is_ipv4() {
            bail!("--{name}={cidr}: IPv6 clusters are not in this version; use an IPv4 network");
        }
        if cidr.prefix_len() > 24 {
            bail!("--{name}={cidr}: too small, a /24 is the least");
        }
    }
    if service_cidr.contains(&cluster_cidr.network()) || cluster_cidr.contains(&service_cidr.network()) {
        bail!(
            "--cluster-cidr={cluster_cidr} and --service-cidr={service_cidr} overlap; give them separate networks"
        );
    }
    let tenth = service_cidr.hosts().nth(9).expect("because a /24 has ten hosts");
    let cluster_dns = values.parse("cluster-dns", "address")?.unwrap_or(tenth);
    if !service_cidr.contains(&cluster_dns) {
        bail!("--cluster-dns={cluster_dns} is not in --service-cidr={service_cidr}");
    }
    let token = match (values.one("token"), values.one("token-file")) {
        (Some(token), _) => Some(token),
        (None, Some(file)) => {
            let text = std::fs::read_to_string(&file).with_context(|| format!("--token-file={file}"))?;
            Some(text.trim().to_owned())
        }
        (None, None) => None,
    };
    let mode = values.one("write-kubeconfig-mode").unwrap_or_else(|| "0600".into());
    let disable = disabled(values.all("disable"))?;
    let level = match (values.parse("v", "number")?, values.switch("debug")?) {
        (Some(level), _) => level,
        (None, true) => 5,
        (None, false) => 0,
    };
    let json = match values.one("log-format").as_deref() {
        None | Some("text") => false,
        Some("json") => true,
        Some(other) => bail!("--log-format={other}: text and json are known"),
    };
    Ok(Server {
        data_dir: folder("data-dir", DATA_DIR)?,
        run_dir: folder("run-dir", RUN_DIR)?,
        bind_address: values.parse("bind-address", "address")?.unwrap_or(IpAddr::from([0, 0, 0, 0])),
        port: values.parse::<std::num::NonZeroU16>("https-listen-port", "port")?.map_or(6443, Into::into),
        advertise_address: advertised(values.parse("advertise-address", "address")?)?,
        tls_san: values.all("tls-san"),
        node_ports: ports(&values.one("service-node-port-range").unwrap_or_else(|| "30000-32767".into()))?,
        cluster_domain: domain(values.one("cluster-domain").unwrap_or_else(|| "cluster.local".into()))?,
        node_ip: values.parse("node-ip", "address")?,
        node_external_ip: values.parse("node-external-ip", "address")?,
        resolv_conf: folder("resolv-conf", "/etc/resolv.conf")?,
        kubeconfig: folder("write-kubeconfig", KUBECONFIG)?,
        kubeconfig_mode: u32::from_str_radix(mode.trim_start_matches("0o"), 8)
            .ok()
            .filter(|mode| *mode <= 0o777)
            .with_context(|| format!("--write-kubeconfig-mode={mode}: this is no mode, such as 0640"))?,
        kubeconfig_group: values.one("write-kubeconfig-group"),
        token,
        datastore: datastore(&values)?,
        node_name: node_name(values.one("node-name"))?,
        node_labels: labels(values.pairs("node-label")?)?,
        node_taints: values.all("node-taint").iter().map(|text| taint(text)).collect::<Result<_>>()?,
        registries: folder("private-registry", REGISTRIES)?,
        secrets_encryption: match values.switch("secrets-encryption")? {
            true => {
                let name = values.one("secrets-encryption-provider");
                Some(crate::server::encryption::provider(name.as_deref().unwrap_or("secretbox"))?)
            }
            false => None,
        },
        kubelet_args: values.pairs("kubelet-arg")?,
        apiserver_args: values.pairs("kube-apiserver-arg")?,
        agent: !values.switch("disable-agent")?,
        scheduler: !values.switch("disable-scheduler")?,
        controllers: !values.switch("disable-controller-manager")?,
        proxy: !values.switch("disable-kube-proxy")?,
        fleet_interval: values.parse("fleet-interval", "number of seconds")?,
        fleet_monthly_bytes: bytes(&values, "fleet-monthly-bytes")?,
        fleet_source_bytes: bytes(&values, "fleet-source-bytes")?,
        fleet_webhooks: values.parse("fleet-webhooks", "address and port, as 0.0.0.0:9292")?,
        log: Log {
            level,
            json,
            file: values.one("log").map(PathBuf::from),
            also_stderr: values.switch("alsologtostderr")?,
        },
        cluster_cidr,
        service_cidr,
        cluster_dns,
        disable,
    })
}

fn datastore(values: &Values) -> Result<Option<store::etcd::Options>> {
    let file = |name: &str| values.one(name).map(PathBuf::from);
    let (ca, certificate, key) =
        (file("datastore-cafile"), file("datastore-certfile"), file("datastore-keyfile"));
    let endpoints = values.all("datastore-endpoint");
    if endpoints.is_empty() {
        if ca.is_some() || certificate.is_some() || key.is_some() {
            bail!(
                "--datastore-cafile, --datastore-certfile and --datastore-keyfile are of --datastore-endpoint, which is not given"
            );
        }
        return Ok(None);
    }
    if let Some(url) =
        endpoints.iter().find(|url| !url.starts_with("http://") && !url.starts_with("https://"))
    {
        bail!(
            "--datastore-endpoint={url}: etcd is served, as https://HOST:2379 or http://HOST:2379; k3s' SQL databases are not"
        );
    }
    Ok(Some(store::etcd::Options { ca, certificate, key, ..store::etcd::Options::new(endpoints) }))
}

/// A number of bytes, as 500M or 2G.
fn bytes(values: &Values<'_>, name: &str) -> Result<Option<u64>> {
    let Some(text) = values.one(name) else { return Ok(None) };
    let parsed = fleet::ledger::parse(&text);
    parsed.map(Some).with_context(|| format!("--{name}={text}: this is no number of bytes; write 500M or 2G"))
}

fn disabled(names: Vec<String>) -> Result<BTreeSet<String>> {
    for name in &names {
        match name.as_str() {
            "coredns" | "fleet" | "argocd" | "flux" => {}
            // k3s' packaged components, of which there is nothing to disable: accepted, so that its files work.
            "servicelb" | "traefik" | "local-storage" | "metrics-server" | "runtimes" => {}
            _ => bail!("--disable={name}: coredns, fleet, argocd and flux can be left out"),
        }
    }
    Ok(names.into_iter().collect())
}

fn labels(labels: BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    for (key, value) in &labels {
        if let Some(why) = names::qualified_name(key).into_iter().chain(names::label_value(value)).next() {
            bail!("--node-label={key}={value}: {why}");
        }
        if apiserver::restricted_node_label(key) {
            bail!(
                "--node-label={key}={value}: a node may not give itself this label of Kubernetes' own; set it with kubectl \
                 label, or use another prefix"
            );
        }
    }
    Ok(labels)
}

fn advertised(address: Option<IpAddr>) -> Result<Option<IpAddr>> {
    if let Some(address) = address.filter(|address| address.is_unspecified() || address.is_loopback()) {
        bail!("--advertise-address={address}: pods cannot reach that; give an address of this machine");
    }
    Ok(address)
}

fn domain(name: String) -> Result<String> {
    match names::dns_subdomain(&name).pop() {
        None => Ok(name),
        Some(why) => bail!("--cluster-domain={name}: {why}"),
    }
}

fn ports(text: &str) -> Result<RangeInclusive<u16>> {
    let range = text.split_once('-').and_then(|(from, to)| Some(from.parse().ok()?..=to.parse().ok()?));
    range
        .filter(|range: &RangeInclusive<u16>| !range.is_empty() && *range.start() > 0)
        .with_context(|| format!("--service-node-port-range={text}: this is no range, such as 30000-32767"))
}

fn taint(text: &str) -> Result<Taint> {
    let parsed = text.rsplit_once(':').map(|(pair, effect)| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Taint { key: key.into(), value: value.into(), effect: effect.into() }
    });
    parsed
        .filter(|taint| {
            !taint.key.is_empty()
                && ["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&taint.effect.as_str())
        })
        .with_context(|| {
            format!(
                "--node-taint={text}: key=value:Effect is needed, with NoSchedule, PreferNoSchedule or NoExecute"
            )
        })
}

fn node_name(given: Option<String>) -> Result<String> {
    let name = match given {
        Some(name) => name,
        None => nix::unistd::gethostname()
            .context("cannot read the host's name")?
            .to_string_lossy()
            .to_lowercase(),
    };
    match api::kind::dns_subdomain(&name, false) {
        None => Ok(name),
        Some(_) => bail!(
            "--node-name={name}: a node's name is made of a-z, 0-9, '-' and '.', and starts and ends with a letter or \
             digit"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &str) -> Result<Server> {
        let words = std::iter::once("server").chain(words.split_whitespace());
        // A file that is there keeps the machine's own out of the test.
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let words = words.map(str::to_owned).chain(["--config".into(), path]);
        resolve(&command().try_get_matches_from(words)?)
    }

    #[test]
    fn defaults_are_k3s_ones() {
        let server = check("--node-name n1").unwrap();
        assert_eq!(server.port, 6443);
        assert_eq!(server.cluster_cidr.to_string(), "10.42.0.0/16");
        assert_eq!(server.service_cidr.to_string(), "10.43.0.0/16");
        assert_eq!(server.cluster_dns.to_string(), "10.43.0.10");
        assert_eq!(server.kubeconfig_mode, 0o600);
        assert!(server.agent && server.scheduler && server.controllers && server.proxy);
    }

    #[test]
    fn a_datastore_is_an_etcd() {
        let server =
            check("--node-name n1 --datastore-endpoint https://a:2379,https://b:2379 --datastore-cafile /ca")
                .unwrap();
        let options = server.datastore.unwrap();
        assert_eq!(options.endpoints, ["https://a:2379", "https://b:2379"]);
        assert_eq!(options.ca, Some("/ca".into()));
        let why = |words: &str| check(words).unwrap_err().to_string();
        assert!(why("--node-name n1 --datastore-endpoint mysql://a").contains("etcd is served"));
        assert!(why("--node-name n1 --datastore-keyfile /key").contains("which is not given"));
        assert!(check("--node-name n1").unwrap().datastore.is_none());
    }

    #[test]
    fn values_are_taken() {
        let server = check(
            "--node-name n1 --node-label a=b,c=d --node-label e=f --node-taint k=v:NoSchedule --disable-agent \
             --disable traefik,coredns --service-cidr 10.96.0.0/16 --kubelet-arg max-pods=5 -v 2 -o /tmp/k.yaml",
        )
        .unwrap();
        assert_eq!(server.node_labels.len(), 3);
        assert_eq!(server.node_taints[0].effect, "NoSchedule");
        assert_eq!(server.cluster_dns.to_string(), "10.96.0.10");
        assert_eq!(server.kubelet_args["max-pods"], "5");
        assert!(!server.agent && server.disable.contains("coredns"));
        assert_eq!((server.log.level, server.kubeconfig.to_str()), (2, Some("/tmp/k.yaml")));
    }

    #[test]
    fn each_mistake_has_its_message() {
        let error = |words: &str| format!("{:#}", check(words).unwrap_err());
        assert!(error("--node-name UPPER").contains("a node's name is made of"));
        assert!(error("--cluster-init").contains("SQLite"));
        assert!(error("-s https://other:6443").contains("--server is not served"));
        assert!(error("--flannel-backend=wireguard-native").contains("there is no flannel"));
        for (words, part) in [
            ("--https-listen-port 99999", "this is no port"),
            ("--https-listen-port 0", "this is no port"),
            ("--cluster-domain Foo_Bar", "--cluster-domain=Foo_Bar: a lowercase RFC 1123 subdomain"),
            ("--advertise-address 0.0.0.0", "pods cannot reach that"),
            ("--node-label a/b/c=d", "--node-label=a/b/c=d: a valid label key"),
            ("--node-label kubernetes.io/x=y", "a node may not give itself this label"),
        ] {
            let said = error(&format!("--node-name n {words}"));
            assert!(said.contains(part), "{words}: {said}");
        }
        assert!(error("--node-name n --service-cidr 10.42.8.0/24").contains("overlap"));
        assert!(error("--node-name n --cluster-dns 1.2.3.4").contains("is not in --service-cidr"));
        assert!(error("--node-name n --node-taint a=b").contains("Effect is needed"));
        assert!(error("--node-name n --disable nothing").contains("can be left out"));
        assert!(error("--no-such-flag").contains("--no-such-flag"));
    }
}
