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
    let flag = Flag { name, short: None, takes, env: None, group: "refused", fate: Fate::Refused(why) };
    // k3s' only short name among what is refused.
    if matches!(name.as_bytes(), b"server") { flag.short('s') } else { flag }
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
const DATASTORE: &str = "Datastore";
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
    served(NETWORK, "node-external-ip", One("IP"), "External address; told in the node's status, and a name in the server's certificate"),
    served(NETWORK, "resolv-conf", One("FILE"), "Resolvers for names outside the cluster [default: /etc/resolv.conf]").env("SKIFF_RESOLV_CONF"),
    served("Client", "write-kubeconfig", One("FILE"), "Where the administrator's kubeconfig goes [default: /etc/skiff/skiff.yaml]").short('o').env("SKIFF_KUBECONFIG_OUTPUT"),
    served("Client", "write-kubeconfig-mode", One("MODE"), "Its mode, in octal [default: 0600]").env("SKIFF_KUBECONFIG_MODE"),
    served("Client", "write-kubeconfig-group", One("GROUP"), "Its group").env("SKIFF_KUBECONFIG_GROUP"),
    served(CLUSTER, "token", One("TOKEN"), "Secret for nodes that join, kept in <data-dir>/server/token and made if not given; this version is one node").short('t').env("SKIFF_TOKEN"),
    served(CLUSTER, "token-file", One("FILE"), "The token, in a file").env("SKIFF_TOKEN_FILE"),
    served(DATASTORE, "datastore-endpoint", Many("URL"), "Members of an etcd v3 that several servers share, as https://HOST:2379, in place of this server's own SQLite").env("SKIFF_DATASTORE_ENDPOINT"),
    served(DATASTORE, "datastore-cafile", One("FILE"), "CA of the etcd's certificates [default: the machine's]").env("SKIFF_DATASTORE_CAFILE"),
    served(DATASTORE, "datastore-certfile", One("FILE"), "Certificate that this server shows to the etcd").env("SKIFF_DATASTORE_CERTFILE"),
    served(DATASTORE, "datastore-keyfile", One("FILE"), "Its key").env("SKIFF_DATASTORE_KEYFILE"),
    served(NODE, "node-name", One("NAME"), "Name of this node [default: the host's]").env("SKIFF_NODE_NAME"),
    served(NODE, "node-label", Many("KEY=VALUE"), "Labels that the node registers with"),
    served(NODE, "node-taint", Many("KEY=VALUE:EFFECT"), "Taints that the node registers with"),
    served(NODE, "private-registry", One("FILE"), "Mirrors, credentials and CAs of registries, as in k3s [default: /etc/skiff/registries.yaml]"),
    served(NODE, "kubelet-arg", Many("NAME=VALUE"), "Settings of the kubelet under upstream's names (max-pods, image-gc-high-threshold, …)"),
    served(CLUSTER, "kube-apiserver-arg", Many("NAME=VALUE"), "Settings of the API server under upstream's names (anonymous-auth, runtime-config, …)"),
    served(CLUSTER, "secrets-encryption", Switch, "Seal Secrets before they are stored, with a key kept in <data-dir>/server/cred; once sealed, they stay so"),
    served(CLUSTER, "secrets-encryption-provider", One("NAME"), "What seals them: secretbox or aescbc [default: secretbox]"),
    served(COMPONENT, "disable", Many("NAME"), "Leave a component out: coredns (the cluster's DNS), fleet, or of it just argocd or flux with their CRDs"),
    served(COMPONENT, "disable-agent", Switch, "Run no node here: API, controllers and scheduler only"),
    served(COMPONENT, "disable-scheduler", Switch, "Run no scheduler"),
    served(COMPONENT, "disable-controller-manager", Switch, "Run no controllers; for tests of clients that expect none"),
    served(COMPONENT, "disable-kube-proxy", Switch, "Make no rules for Services"),
    served(FLEET, "fleet-interval", One("SECONDS"), "How often Git is asked, in place of Argo CD's three minutes and up to one of jitter"),
    served(FLEET, "fleet-monthly-bytes", One("BYTES"), "Bytes a month that Git may cost (500M, 2G); once they are used up, only what is asked for by hand is fetched"),
    served(FLEET, "fleet-source-bytes", One("BYTES"), "Bytes of one commit of a source (500M, 2G); 0: any number. A gigabyte of the disk stays free in any case [default: 8G]"),
    served(FLEET, "fleet-webhooks", One("ADDRESS"), "Listen there for webhooks (0.0.0.0:9292), so that a push is fetched at once; nothing needs them"),
    served(LOG, "debug", Switch, "Log more, as --v=5"),
    served(LOG, "v", One("LEVEL"), "0 to 1 tells what matters, 2 to 4 adds debugging, 5 and more everything").short('v'),
    served(LOG, "log-format", One("text|json"), "Form of log lines [default: text]"),
    served(LOG, "log", One("FILE"), "Log to this file").short('l'),
    served(LOG, "alsologtostderr", Switch, "Log to standard error as well as to the file"),
];

/// k3s' flags that do not work here, by the reason: why, and what to use.
pub const REFUSED: &[(&str, &[(&str, Takes)])] = &[
    (
        "there is no flannel: pods are on one bridge, with addresses from --cluster-cidr; leave the flag out",
        &[
            ("flannel-backend", One("BACKEND")),
            ("flannel-ipv6-masq", Switch),
            ("flannel-external-ip", Switch),
            ("flannel-iface", One("NAME")),
            ("flannel-conf", One("FILE")),
            ("flannel-cni-conf", One("FILE")),
            ("no-flannel", Switch),
        ],
    ),
    (
        "the server reaches its node in process and later through a tunnel that the node opened; leave the flag out",
        &[("egress-selector-mode", One("MODE"))],
    ),
    ("there is no ServiceLB; use NodePort Services or a host port", &[("servicelb-namespace", One("NAME"))]),
    ("pods reach the API at the port of --https-listen-port", &[("advertise-port", One("PORT"))]),
    (
        "names are never added to the certificate from requests; list them with --tls-san",
        &[("tls-san-security", Switch)],
    ),
    ("there are no Helm jobs: charts come through fleet", &[("helm-job-image", One("IMAGE"))]),
    (
        "this version is one node; run one server a site and keep sites in step with fleet",
        &[
            ("agent-token", One("TOKEN")),
            ("agent-token-file", One("FILE")),
            ("server", One("URL")),
            ("lb-server-port", One("PORT")),
            ("vpn-auth", One("AUTH")),
            ("vpn-auth-file", One("FILE")),
            ("disable-apiserver-lb", Switch),
        ],
    ),
    (
        "there is no embedded etcd and no SQL database but the server's own SQLite, which needs no settings; several servers share an etcd that you run, with --datastore-endpoint",
        &[
            ("cluster-init", Switch),
            ("datastore-max-idle-connections", One("N")),
            ("datastore-max-open-connections", One("N")),
            ("datastore-connection-max-lifetime", One("TIME")),
            ("kine-tls", Switch),
        ],
    ),
    (
        "there is no embedded etcd: state is one SQLite file under the data directory; save it with `skiff backup create`",
        &[
            ("cluster-reset", Switch),
            ("cluster-reset-restore-path", One("FILE")),
            ("etcd-arg", Many("ARG")),
            ("etcd-expose-metrics", Switch),
            ("etcd-disable-snapshots", Switch),
            ("etcd-snapshot-name", One("NAME")),
            ("etcd-snapshot-schedule-cron", One("CRON")),
            ("etcd-snapshot-reconcile-interval", One("TIME")),
            ("etcd-snapshot-retention", One("N")),
            ("etcd-snapshot-dir", One("DIR")),
            ("etcd-snapshot-compress", Switch),
            ("etcd-s3", Switch),
            ("etcd-s3-endpoint", One("URL")),
            ("etcd-s3-endpoint-ca", One("FILE")),
            ("etcd-s3-skip-ssl-verify", Switch),
            ("etcd-s3-access-key", One("KEY")),
            ("etcd-s3-secret-key", One("KEY")),
            ("etcd-s3-session-token", One("TOKEN")),
            ("etcd-s3-bucket", One("NAME")),
            ("etcd-s3-bucket-lookup-type", One("TYPE")),
            ("etcd-s3-region", One("NAME")),
            ("etcd-s3-folder", One("NAME")),
            ("etcd-s3-proxy", One("URL")),
            ("etcd-s3-config-secret", One("NAME")),
            ("etcd-s3-insecure", Switch),
            ("etcd-s3-retention", One("N")),
            ("etcd-s3-timeout", One("TIME")),
            ("disable-etcd", Switch),
        ],
    ),
    (
        "controllers have no flags of their own in this version",
        &[("kube-controller-manager-arg", Many("ARG")), ("kube-controller-arg", Many("ARG"))],
    ),
    ("the scheduler has no flags of its own in this version", &[("kube-scheduler-arg", Many("ARG"))]),
    (
        "there is no cloud controller; leave the flag out",
        &[("kube-cloud-controller-manager-arg", Many("ARG")), ("kube-cloud-controller-arg", Many("ARG"))],
    ),
    (
        "Services are one nftables table that skiff compiles; leave the flag out",
        &[("kube-proxy-arg", Many("ARG"))],
    ),
    (
        "there is no local path provisioner in this version; use hostPath volumes",
        &[("default-local-storage-path", One("DIR"))],
    ),
    (
        "skiff has no such component to leave out; leave the flag out",
        &[("disable-cloud-controller", Switch), ("disable-helm-controller", Switch)],
    ),
    (
        "NetworkPolicy objects are kept but not enforced in this version, so there is nothing to turn off",
        &[("disable-network-policy", Switch)],
    ),
    (
        "roles are one process in this version; --disable-agent leaves out the node",
        &[("disable-apiserver", Switch)],
    ),
    (
        "images are not shared among nodes in this version; put tars into <data-dir>/images or set a mirror in registries.yaml",
        &[("embedded-registry", Switch)],
    ),
    ("metrics are at /metrics of the API", &[("supervisor-metrics", Switch)]),
    ("there is no Go profiler in a Rust binary; use perf", &[("enable-pprof", Switch)]),
    (
        "skiff pulls no images of its own; set mirrors in registries.yaml",
        &[("system-default-registry", One("URL"))],
    ),
    ("images from tars keep the names they were saved with", &[("airgap-extra-registry", Many("URL"))]),
    ("set the endpoints of a mirror in registries.yaml", &[("disable-default-registry-endpoint", Switch)]),
    (
        "devices in pods belong to the container's user when its securityContext says so",
        &[("nonroot-devices", Switch)],
    ),
    ("skiff needs root: it makes namespaces, cgroups and nftables rules", &[("rootless", Switch)]),
    ("skiff calls no other programs; leave the flag out", &[("prefer-bundled-bin", Switch)]),
    ("SELinux labels are not in this version", &[("selinux", Switch)]),
    ("SELinux labels are not in this version; leave the flag out", &[("disable-selinux", Switch)]),
    ("give the node a name of its own with --node-name", &[("with-node-id", Switch)]),
    ("the node's addresses are its name and --node-ip", &[("node-internal-dns", One("NAME"))]),
    (
        "the node's addresses are its name, --node-ip and --node-external-ip",
        &[("node-external-dns", One("NAME"))],
    ),
    (
        "skiff changes only the sysctls that forwarding needs and tells which; see skiff check",
        &[("protect-kernel-defaults", Switch)],
    ),
    (
        "containers run in skiff's own runtime, without containerd, Docker or a pause image; leave the flag out",
        &[
            ("docker", Switch),
            ("container-runtime-endpoint", One("PATH")),
            ("default-runtime", One("NAME")),
            ("image-service-endpoint", One("PATH")),
            ("pause-image", One("IMAGE")),
            ("snapshotter", One("NAME")),
        ],
    ),
    (
        "credentials come from registries.yaml and imagePullSecrets",
        &[
            ("image-credential-provider-bin-dir", One("DIR")),
            ("image-credential-provider-config", One("FILE")),
        ],
    ),
    ("it is called --token now; use that", &[("cluster-secret", One("SECRET"))]),
    ("use --v, or SKIFF_LOG with a filter such as info,kubelet=debug", &[("vmodule", One("PATTERN"))]),
];

/// All flags, served first.
pub fn all() -> impl Iterator<Item = Flag> {
    let refused =
        REFUSED.iter().flat_map(|(why, flags)| flags.iter().map(|(name, takes)| refused(name, *takes, why)));
    SERVED.iter().copied().chain(refused)
}

pub fn find(name: &str) -> Option<Flag> {
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
        for (why, _) in REFUSED {
            assert!(why.len() > 20, "{why}");
        }
    }

    /// The names in k3s' `server` and `agent` help (docs.k3s.io/cli), deprecated and hidden ones too.
    const K3S: &str = "
        advertise-address advertise-port agent-token agent-token-file airgap-extra-registry alsologtostderr
        bind-address cluster-cidr cluster-dns cluster-domain cluster-init cluster-reset
        cluster-reset-restore-path cluster-secret config container-runtime-endpoint data-dir datastore-cafile
        datastore-certfile datastore-connection-max-lifetime datastore-endpoint datastore-keyfile
        datastore-max-idle-connections datastore-max-open-connections debug default-local-storage-path
        default-runtime disable disable-agent disable-apiserver disable-apiserver-lb disable-cloud-controller
        disable-controller-manager disable-default-registry-endpoint disable-etcd disable-helm-controller
        disable-kube-proxy disable-network-policy disable-scheduler disable-selinux docker
        egress-selector-mode embedded-registry enable-pprof etcd-arg etcd-disable-snapshots
        etcd-expose-metrics etcd-s3 etcd-s3-access-key etcd-s3-bucket etcd-s3-bucket-lookup-type
        etcd-s3-config-secret etcd-s3-endpoint etcd-s3-endpoint-ca etcd-s3-folder etcd-s3-insecure
        etcd-s3-proxy etcd-s3-region etcd-s3-retention etcd-s3-secret-key etcd-s3-session-token
        etcd-s3-skip-ssl-verify etcd-s3-timeout etcd-snapshot-compress etcd-snapshot-dir etcd-snapshot-name
        etcd-snapshot-reconcile-interval etcd-snapshot-retention etcd-snapshot-schedule-cron flannel-backend
        flannel-cni-conf flannel-conf flannel-external-ip flannel-iface flannel-ipv6-masq helm-job-image
        https-listen-port image-credential-provider-bin-dir image-credential-provider-config
        image-service-endpoint kine-tls kube-apiserver-arg kube-cloud-controller-arg
        kube-cloud-controller-manager-arg kube-controller-arg kube-controller-manager-arg kube-proxy-arg
        kube-scheduler-arg kubelet-arg lb-server-port log no-flannel node-external-dns node-external-ip
        node-internal-dns node-ip node-label node-name node-taint nonroot-devices pause-image
        prefer-bundled-bin private-registry protect-kernel-defaults resolv-conf rootless secrets-encryption
        secrets-encryption-provider selinux server service-cidr service-node-port-range servicelb-namespace
        snapshotter supervisor-metrics system-default-registry tls-san tls-san-security token token-file v
        vmodule vpn-auth vpn-auth-file with-node-id write-kubeconfig write-kubeconfig-group
        write-kubeconfig-mode";

    #[test]
    fn every_flag_of_k3s_is_known() {
        let unknown: Vec<_> = K3S.split_whitespace().filter(|name| find(name).is_none()).collect();
        assert_eq!(unknown, [""; 0]);
    }
    #[test]
    fn the_page_of_flags_names_each() {
        let page = include_str!("../../../../docs/flags.md");
        let absent: Vec<_> = all().filter(|flag| !page.contains(&format!("`--{}`", flag.name))).collect();
        assert!(absent.is_empty(), "docs/flags.md lacks {absent:?}");
    }
}
