//! Every flag of `skiff server`, and every flag of k3s' server and agent: served under k3s' name, or refused with the
//! reason and what to use. The configuration file has the same names as keys.
//!
//! One table drives the command line, the file, `--help` and the test that no k3s flag is unknown.

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing, or `=true` / `=false`.
    Switch,
    /// One value; the placeholder of `--help`.
    One(&'static str),
    /// Any number of values: given again, or separated by commas.
    Many(&'static str),
}

/// What becomes of a flag.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// Works; the help text.
    Served(&'static str),
    /// Known from k3s and refused: why, and what to use.
    Refused(&'static str),
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    pub name: &'static str,
    pub short: Option<char>,
    pub takes: Takes,
    /// Environment variable that it can come from.
    pub env: Option<&'static str>,
    /// Heading of `--help`.
    pub group: &'static str,
    pub fate: Fate,
}

const fn served(group: &'static str, name: &'static str, takes: Takes, help: &'static str) -> Flag {
    Flag { name, short: None, takes, env: None, group, fate: Fate::Served(help) }
}

const fn refused(name: &'static str, takes: Takes, why: &'static str) -> Flag {
    Flag { name, short: None, takes, env: None, group: "refused", fate: Fate::Refused(why) }
}

impl Flag {
    const fn short(mut self, short: char) -> Flag {
        self.short = Some(short);
        self
    }
    const fn env(mut self, env: &'static str) -> Flag {
        self.env = Some(env);
        self
    }
}

use Takes::{Many, One, Switch};

const LISTENER: &str = "Listener";
const NETWORK: &str = "Networking";
const NODE: &str = "Node";
const CLUSTER: &str = "Cluster";
const COMPONENT: &str = "Components";
const LOG: &str = "Logging";
const FLEET: &str = "Fleet";

/// The flags that work.
pub const SERVED: &[Flag] = &[
    served("Configuration", "config", One("FILE"), "Configuration file; keys are these flags' names, and FILE.d/*.yaml is read after it [default: /etc/skiff/config.yaml]").short('c').env("SKIFF_CONFIG_FILE"),
    served("Configuration", "data-dir", One("DIR"), "Where state is kept; one server a directory [default: /var/lib/skiff]").short('d').env("SKIFF_DATA_DIR"),
    served("Configuration", "run-dir", One("DIR"), "Sockets and network namespaces, gone after a reboot [default: /run/skiff]").env("SKIFF_RUN_DIR"),
    served(LISTENER, "bind-address", One("IP"), "Address to listen on [default: 0.0.0.0]"),
    served(LISTENER, "https-listen-port", One("PORT"), "Port of the API [default: 6443]"),
    served(LISTENER, "advertise-address", One("IP"), "Address of the API told to pods [default: the node's]"),
    served(LISTENER, "tls-san", Many("NAME"), "More names or addresses in the server's certificate"),
    served(NETWORK, "cluster-cidr", One("CIDR"), "Addresses of pods [default: 10.42.0.0/16]"),
    served(NETWORK, "service-cidr", One("CIDR"), "Addresses of Services [default: 10.43.0.0/16]"),
    served(NETWORK, "service-node-port-range", One("FROM-TO"), "Ports of NodePort Services [default: 30000-32767]"),
    served(NETWORK, "cluster-dns", One("IP"), "Address of the cluster's DNS, in the service CIDR [default: its tenth]"),
    served(NETWORK, "cluster-domain", One("NAME"), "Domain of the cluster [default: cluster.local]"),
    served(NETWORK, "node-ip", One("IP"), "Address of this node [default: that of the default route, else the first]").short('i'),
    served(NETWORK, "node-external-ip", One("IP"), "External address; goes into the server's certificate"),
    served(NETWORK, "resolv-conf", One("FILE"), "Resolvers for names outside the cluster [default: /etc/resolv.conf]").env("SKIFF_RESOLV_CONF"),
    served("Client", "write-kubeconfig", One("FILE"), "Where the administrator's kubeconfig goes [default: /etc/skiff/skiff.yaml]").short('o').env("SKIFF_KUBECONFIG_OUTPUT"),
    served("Client", "write-kubeconfig-mode", One("MODE"), "Its mode, in octal [default: 0600]").env("SKIFF_KUBECONFIG_MODE"),
    served("Client", "write-kubeconfig-group", One("GROUP"), "Its group").env("SKIFF_KUBECONFIG_GROUP"),
    served(CLUSTER, "token", One("TOKEN"), "Secret for nodes that join, kept in <data-dir>/server/token and made if not given; this version is one node").short('t').env("SKIFF_TOKEN"),
    served(CLUSTER, "token-file", One("FILE"), "The token, in a file").env("SKIFF_TOKEN_FILE"),
    served(NODE, "node-name", One("NAME"), "Name of this node [default: the host's]").env("SKIFF_NODE_NAME"),
    served(NODE, "node-label", Many("KEY=VALUE"), "Labels that the node registers with"),
    served(NODE, "node-taint", Many("KEY=VALUE:EFFECT"), "Taints that the node registers with"),
    served(NODE, "private-registry", One("FILE"), "Mirrors, credentials and CAs of registries, as in k3s [default: /etc/skiff/registries.yaml]"),
    served(NODE, "kubelet-arg", Many("NAME=VALUE"), "Settings of the kubelet under upstream's names (max-pods, image-gc-high-threshold, …)"),
    served(CLUSTER, "kube-apiserver-arg", Many("NAME=VALUE"), "Settings of the API server under upstream's names (anonymous-auth, runtime-config, …)"),
    served(COMPONENT, "disable", Many("NAME"), "Leave a component out: coredns (the cluster's DNS), fleet"),
    served(COMPONENT, "disable-agent", Switch, "Run no node here: API, controllers and scheduler only"),
    served(COMPONENT, "disable-scheduler", Switch, "Run no scheduler"),
    served(COMPONENT, "disable-kube-proxy", Switch, "Make no rules for Services"),
    served(FLEET, "fleet-interval", One("SECONDS"), "How often Git is asked, in place of Argo CD's three minutes and up to one of jitter"),
    served(LOG, "debug", Switch, "Log more, as --v=5"),
    served(LOG, "v", One("LEVEL"), "0 to 1 tells what matters, 2 to 4 adds debugging, 5 and more everything"),
    served(LOG, "log-format", One("text|json"), "Form of log lines [default: text]"),
    served(LOG, "log", One("FILE"), "Log to this file").short('l'),
    served(LOG, "alsologtostderr", Switch, "Log to standard error as well as to the file"),
];

const ONE_ENGINE: &str =
    "skiff's own store is SQLite and needs no settings; several servers on etcd are not in this version";
const ETCD: &str = "there is no embedded etcd: state is one SQLite file under the data directory; copy it with the server stopped";
const FLANNEL: &str =
    "there is no flannel: pods are on one bridge, with addresses from --cluster-cidr; leave the flag out";
const RUNTIME: &str =
    "containers run in skiff's own runtime, without containerd, Docker or a pause image; leave the flag out";
const ALWAYS: &str = "skiff has no such component to leave out; leave the flag out";
const JOIN: &str = "this version is one node; run one server a site and keep sites in step with fleet";

/// k3s' flags that do not work here.
pub const REFUSED: &[Flag] = &[
    refused("flannel-backend", One("BACKEND"), FLANNEL),
    refused("flannel-ipv6-masq", Switch, FLANNEL),
    refused("flannel-external-ip", Switch, FLANNEL),
    refused("flannel-iface", One("NAME"), FLANNEL),
    refused("flannel-conf", One("FILE"), FLANNEL),
    refused("flannel-cni-conf", One("FILE"), FLANNEL),
    refused("no-flannel", Switch, FLANNEL),
    refused(
        "egress-selector-mode",
        One("MODE"),
        "the server reaches its node in process and later through a tunnel that the node opened; leave the flag out",
    ),
    refused(
        "servicelb-namespace",
        One("NAME"),
        "there is no ServiceLB; use NodePort Services or a host port",
    ),
    refused("advertise-port", One("PORT"), "pods reach the API at the port of --https-listen-port"),
    refused(
        "tls-san-security",
        Switch,
        "names are never added to the certificate from requests; list them with --tls-san",
    ),
    refused("helm-job-image", One("IMAGE"), "there are no Helm jobs: charts come through fleet"),
    refused("agent-token", One("TOKEN"), JOIN),
    refused("agent-token-file", One("FILE"), JOIN),
    refused("server", One("URL"), JOIN),
    refused("cluster-init", Switch, ONE_ENGINE),
    refused("cluster-reset", Switch, ETCD),
    refused("cluster-reset-restore-path", One("FILE"), ETCD),
    refused("etcd-arg", Many("ARG"), ETCD),
    refused(
        "kube-controller-manager-arg",
        Many("ARG"),
        "controllers have no flags of their own in this version",
    ),
    refused("kube-scheduler-arg", Many("ARG"), "the scheduler has no flags of its own in this version"),
    refused(
        "kube-cloud-controller-manager-arg",
        Many("ARG"),
        "there is no cloud controller; leave the flag out",
    ),
    refused(
        "kube-proxy-arg",
        Many("ARG"),
        "Services are one nftables table that skiff compiles; leave the flag out",
    ),
    refused("datastore-endpoint", One("URL"), ONE_ENGINE),
    refused("datastore-cafile", One("FILE"), ONE_ENGINE),
    refused("datastore-certfile", One("FILE"), ONE_ENGINE),
    refused("datastore-keyfile", One("FILE"), ONE_ENGINE),
    refused("datastore-max-idle-connections", One("N"), ONE_ENGINE),
    refused("datastore-max-open-connections", One("N"), ONE_ENGINE),
    refused("datastore-connection-max-lifetime", One("TIME"), ONE_ENGINE),
    refused("kine-tls", Switch, ONE_ENGINE),
    refused("etcd-expose-metrics", Switch, ETCD),
    refused("etcd-disable-snapshots", Switch, ETCD),
    refused("etcd-snapshot-name", One("NAME"), ETCD),
    refused("etcd-snapshot-schedule-cron", One("CRON"), ETCD),
    refused("etcd-snapshot-reconcile-interval", One("TIME"), ETCD),
    refused("etcd-snapshot-retention", One("N"), ETCD),
    refused("etcd-snapshot-dir", One("DIR"), ETCD),
    refused("etcd-snapshot-compress", Switch, ETCD),
    refused("etcd-s3", Switch, ETCD),
    refused("etcd-s3-endpoint", One("URL"), ETCD),
    refused("etcd-s3-endpoint-ca", One("FILE"), ETCD),
    refused("etcd-s3-skip-ssl-verify", Switch, ETCD),
    refused("etcd-s3-access-key", One("KEY"), ETCD),
    refused("etcd-s3-secret-key", One("KEY"), ETCD),
    refused("etcd-s3-session-token", One("TOKEN"), ETCD),
    refused("etcd-s3-bucket", One("NAME"), ETCD),
    refused("etcd-s3-bucket-lookup-type", One("TYPE"), ETCD),
    refused("etcd-s3-region", One("NAME"), ETCD),
    refused("etcd-s3-folder", One("NAME"), ETCD),
    refused("etcd-s3-proxy", One("URL"), ETCD),
    refused("etcd-s3-config-secret", One("NAME"), ETCD),
    refused("etcd-s3-insecure", Switch, ETCD),
    refused("etcd-s3-retention", One("N"), ETCD),
    refused("etcd-s3-timeout", One("TIME"), ETCD),
    refused(
        "default-local-storage-path",
        One("DIR"),
        "there is no local path provisioner in this version; use hostPath volumes",
    ),
    refused("disable-cloud-controller", Switch, ALWAYS),
    refused(
        "disable-network-policy",
        Switch,
        "NetworkPolicy objects are kept but not enforced in this version, so there is nothing to turn off",
    ),
    refused("disable-helm-controller", Switch, ALWAYS),
    refused(
        "disable-apiserver",
        Switch,
        "roles are one process in this version; --disable-agent leaves out the node",
    ),
    refused(
        "disable-controller-manager",
        Switch,
        "roles are one process in this version; --disable-agent leaves out the node",
    ),
    refused("disable-etcd", Switch, ETCD),
    refused(
        "embedded-registry",
        Switch,
        "images are not shared among nodes in this version; put tars into <data-dir>/images or set a mirror in registries.yaml",
    ),
    refused("supervisor-metrics", Switch, "metrics are at /metrics of the API"),
    refused("enable-pprof", Switch, "there is no Go profiler in a Rust binary; use perf"),
    refused(
        "secrets-encryption",
        Switch,
        "encryption at rest is not in this version; encrypt the disk under the data directory",
    ),
    refused(
        "secrets-encryption-provider",
        One("NAME"),
        "encryption at rest is not in this version; encrypt the disk under the data directory",
    ),
    refused(
        "system-default-registry",
        One("URL"),
        "skiff pulls no images of its own; set mirrors in registries.yaml",
    ),
    refused("airgap-extra-registry", Many("URL"), "images from tars keep the names they were saved with"),
    refused("disable-default-registry-endpoint", Switch, "set the endpoints of a mirror in registries.yaml"),
    refused(
        "nonroot-devices",
        Switch,
        "devices in pods belong to the container's user when its securityContext says so",
    ),
    refused("rootless", Switch, "skiff needs root: it makes namespaces, cgroups and nftables rules"),
    refused("prefer-bundled-bin", Switch, "skiff calls no other programs; leave the flag out"),
    refused("selinux", Switch, "SELinux labels are not in this version"),
    refused("disable-selinux", Switch, "SELinux labels are not in this version; leave the flag out"),
    refused("lb-server-port", One("PORT"), JOIN),
    refused("with-node-id", Switch, "give the node a name of its own with --node-name"),
    refused("node-internal-dns", One("NAME"), "the node's addresses are its name and --node-ip"),
    refused(
        "node-external-dns",
        One("NAME"),
        "the node's addresses are its name, --node-ip and --node-external-ip",
    ),
    refused(
        "protect-kernel-defaults",
        Switch,
        "skiff changes only the sysctls that forwarding needs and tells which; see skiff check",
    ),
    refused("docker", Switch, RUNTIME),
    refused("container-runtime-endpoint", One("PATH"), RUNTIME),
    refused("default-runtime", One("NAME"), RUNTIME),
    refused("image-service-endpoint", One("PATH"), RUNTIME),
    refused("pause-image", One("IMAGE"), RUNTIME),
    refused("snapshotter", One("NAME"), RUNTIME),
    refused(
        "image-credential-provider-bin-dir",
        One("DIR"),
        "credentials come from registries.yaml and imagePullSecrets",
    ),
    refused(
        "image-credential-provider-config",
        One("FILE"),
        "credentials come from registries.yaml and imagePullSecrets",
    ),
    refused("vpn-auth", One("AUTH"), JOIN),
    refused("vpn-auth-file", One("FILE"), JOIN),
    refused("cluster-secret", One("SECRET"), "it is called --token now; use that"),
    refused("vmodule", One("PATTERN"), "use --v, or SKIFF_LOG with a filter such as info,kubelet=debug"),
];

/// All flags, served first.
pub fn all() -> impl Iterator<Item = &'static Flag> {
    SERVED.iter().chain(REFUSED)
}

pub fn find(name: &str) -> Option<&'static Flag> {
    all().find(|flag| flag.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_there_once_and_reasons_say_something() {
        let mut names: Vec<_> = all().map(|flag| flag.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        for flag in REFUSED {
            assert!(matches!(flag.fate, Fate::Refused(why) if why.len() > 20), "{}", flag.name);
        }
    }
}
