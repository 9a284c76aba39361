//! From a container of a pod to what the runtime is to run: command, environment, mounts, limits, security.
//!
//! Everything here is pure but for [`mounts`], which writes into the pod's folder. Nothing starts here.

pub mod env;
pub mod expand;
pub mod field;
pub mod files;
pub mod mounts;
pub mod resources;
pub mod security;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use runtime::ContainerSpec;

use crate::config::Config;
use crate::images::Image;
use crate::pod::spec::{self, Entry};
use crate::sources::Sources;
use crate::volumes::Places;

/// Shown with `CreateContainerConfigError`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Env(#[from] env::Error),
    #[error(transparent)]
    Mounts(#[from] mounts::Error),
    #[error(transparent)]
    Security(#[from] security::Error),
    #[error("{0}")]
    Hostname(String),
    #[error("no command specified")]
    NoCommand,
}

/// What a container is made from.
pub struct Context<'a> {
    pub config: &'a Config,
    pub sources: &'a dyn Sources,
    pub pod: &'a Pod,
    pub entry: &'a Entry<'a>,
    pub image: &'a Image,
    pub attempt: u32,
    pub ips: &'a [IpAddr],
    pub allocatable: &'a BTreeMap<String, Quantity>,
    /// Bytes.
    pub node_memory: i64,
    /// The node's /etc/hosts and resolv.conf.
    pub host_hosts: &'a str,
    pub host_resolver: &'a files::Resolver,
}

/// See the module.
pub fn build(context: &Context, id: String) -> Result<ContainerSpec, Error> {
    let Context { config, pod, image, .. } = context;
    let container = &*context.entry.container;
    let ips = if spec::host_network(pod) { &config.node_ips } else { context.ips };
    let declared = env::declared(
        &env::Context {
            pod,
            sources: context.sources,
            addresses: field::Addresses { host: &config.node_ips, pod: ips },
            allocatable: context.allocatable,
        },
        container,
    )?;
    let expanded = |words: &Option<Vec<String>>| -> Vec<String> {
        words.iter().flatten().map(|word| expand::expand(word, |name| declared.get(name))).collect()
    };
    // OCI and upstream: a command of its own takes away the image's arguments too.
    let (own_command, own_args) = (expanded(&container.command), expanded(&container.args));
    let mut command = if own_command.is_empty() { image.entrypoint.clone() } else { own_command.clone() };
    if !own_args.is_empty() {
        command.extend(own_args);
    } else if own_command.is_empty() {
        command.extend(image.cmd.iter().cloned());
    }
    if command.is_empty() {
        return Err(Error::NoCommand);
    }
    let profiles = config.paths.data().join("node/seccomp");
    let security = security::security(pod, container, &image.user, &profiles)?;
    let places = Places::new(&config.paths, spec::uid(pod));
    let mut mounts = mounts::volumes(pod, container, &declared, &places)?;
    let hostname = files::kernel_hostname(pod, &config.cluster_domain).map_err(Error::Hostname)?;
    let resolver = files::resolver(pod, context.host_resolver, &config.cluster_dns, &config.cluster_domain);
    let texts = mounts::Files {
        hosts: &files::hosts(pod, ips, &config.cluster_domain, context.host_hosts),
        resolver: &resolver.render(),
        hostname: &format!("{hostname}\n"),
    };
    mounts::files(&places, container, context.attempt, &texts, &mut mounts)?;
    for (index, path) in image.volumes.iter().enumerate() {
        if mounts.iter().any(|mount| mount.target == *path) {
            continue;
        }
        let source = places.container(&container.name).join(format!("image-volume-{index}"));
        std::fs::create_dir_all(&source)
            .map_err(|error| mounts::Error::Write { path: source.clone(), source: error })?;
        mounts.push(runtime::Mount {
            source,
            target: path.into(),
            read_only: false,
            propagation: runtime::Propagation::None,
        });
    }
    let mut env = env::Env::default();
    env.set("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    env.set("HOSTNAME", &hostname);
    if container.tty == Some(true) {
        env.set("TERM", "xterm");
    }
    for variable in &image.env {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        env.set(name, value);
    }
    for (name, value) in declared.into_vec() {
        env.set(name, value);
    }
    let working_dir = container.working_dir.clone().filter(|folder| !folder.is_empty());
    let mut annotations = BTreeMap::new();
    annotations.insert("io.kubernetes.container.restartCount".to_owned(), context.attempt.to_string());
    Ok(ContainerSpec {
        id,
        sandbox: spec::uid(pod).to_owned(),
        name: container.name.clone(),
        attempt: context.attempt,
        image: container.image.clone().unwrap_or_default(),
        image_id: image.reference(),
        layers: image.layers.clone(),
        command,
        env: env.into_vec(),
        working_dir: working_dir.unwrap_or_else(|| image.working_dir.clone()),
        mounts,
        devices: Vec::new(),
        security,
        resources: resources::container(pod, container, context.node_memory),
        tty: container.tty == Some(true),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        log_path: PathBuf::from(format!("{}/{}.log", container.name, context.attempt)),
        beside: None,
        labels: labels(pod, &container.name),
        annotations,
    })
}

/// The labels that upstream puts on containers, for whoever looks at them from outside.
pub fn labels(pod: &Pod, container: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("io.kubernetes.pod.name".to_owned(), spec::name(pod).to_owned()),
        ("io.kubernetes.pod.namespace".to_owned(), spec::namespace(pod).to_owned()),
        ("io.kubernetes.pod.uid".to_owned(), spec::uid(pod).to_owned()),
        ("io.kubernetes.container.name".to_owned(), container.to_owned()),
    ])
}
