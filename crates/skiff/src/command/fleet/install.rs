//! `skiff fleet agent install --print`: what runs the agent in a cluster, to read and to apply.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

pub const NAMESPACE: &str = "skiff-fleet";

/// `skiff fleet agent install`
#[derive(Args, Debug)]
pub struct Install {
    /// Print the manifests; nothing is ever applied by this command
    #[arg(long)]
    print: bool,
    /// The image that holds this program
    #[arg(long, default_value = concat!("skiff:", env!("CARGO_PKG_VERSION")), value_name = "IMAGE")]
    image: String,
    /// Whose objects are followed: argocd, flux
    #[arg(long, value_delimiter = ',', default_value = "argocd,flux", value_name = "NAMES")]
    front_ends: Vec<String>,
    /// Leave out the binding to cluster-admin: the agent then may apply only what ServiceAccounts named by
    /// Kustomizations, or roles that you bind to it, allow
    #[arg(long)]
    restricted: bool,
}

pub fn run(args: &Install) -> Result<ExitCode> {
    if !args.print {
        bail!("give --print, read what it says, and apply it with kubectl");
    }
    print!("{}", manifests(args));
    Ok(ExitCode::SUCCESS)
}

fn manifests(args: &Install) -> String {
    let mut groups = Vec::new();
    if args.front_ends.iter().any(|name| name == "argocd") {
        groups.push("argoproj.io");
    }
    if args.front_ends.iter().any(|name| name == "flux") {
        groups.extend(["source.toolkit.fluxcd.io", "kustomize.toolkit.fluxcd.io"]);
    }
    let admin = match args.restricted {
        true => String::new(),
        false => format!(
            "---
# What Git holds may be of any kind: who follows all of it needs to be able to make all of it.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: skiff-fleet-applies}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}
subjects:
- {{kind: ServiceAccount, name: skiff-fleet, namespace: {NAMESPACE}}}
"
        ),
    };
    format!(
        "apiVersion: v1
kind: Namespace
metadata: {{name: {NAMESPACE}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: skiff-fleet, namespace: {NAMESPACE}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: skiff-fleet}}
rules:
# Its owners' objects, and their definitions where nobody installed them.
- apiGroups: [{groups}]
  resources: ['*']
  verbs: [get, list, watch, patch, update]
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [get, list, watch, create, patch]
# Credentials of repositories and variables.
- apiGroups: ['']
  resources: [secrets, configmaps]
  verbs: [get, list]
- apiGroups: ['', events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# As whom Kustomizations with serviceAccountName are applied.
- apiGroups: ['']
  resources: [serviceaccounts]
  verbs: [impersonate]
# Whether another controller follows the same objects.
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: skiff-fleet}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: skiff-fleet}}
subjects:
- {{kind: ServiceAccount, name: skiff-fleet, namespace: {NAMESPACE}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: skiff-fleet, namespace: {NAMESPACE}}}
rules:
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update, patch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: skiff-fleet, namespace: {NAMESPACE}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: skiff-fleet}}
subjects:
- {{kind: ServiceAccount, name: skiff-fleet, namespace: {NAMESPACE}}}
{admin}---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: skiff-fleet, namespace: {NAMESPACE}}}
spec:
  replicas: 1
  strategy: {{type: Recreate}}
  selector: {{matchLabels: {{app: skiff-fleet}}}}
  template:
    metadata: {{labels: {{app: skiff-fleet}}}}
    spec:
      serviceAccountName: skiff-fleet
      containers:
      - name: agent
        image: {image}
        imagePullPolicy: IfNotPresent
        args: [fleet, agent, --front-ends={front_ends}, --data-dir=/data]
        resources:
          requests: {{cpu: 10m, memory: 16Mi}}
          limits: {{memory: 256Mi}}
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: {{drop: [ALL]}}
        volumeMounts:
        - {{name: data, mountPath: /data}}
        - {{name: tmp, mountPath: /tmp}}
      volumes:
      # On the node's disk: the last good manifests outlive the pod, a restart and a reboot without an uplink.
      - {{name: data, hostPath: {{path: /var/lib/skiff-fleet, type: DirectoryOrCreate}}}}
      - {{name: tmp, emptyDir: {{}}}}
",
        groups = groups.join(", "),
        image = args.image,
        front_ends = args.front_ends.join(","),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_yaml_and_least() {
        let args = |restricted| Install {
            print: true,
            image: "skiff:1".into(),
            front_ends: vec!["flux".into()],
            restricted,
        };
        let all = api::yaml::parse(&manifests(&args(false)), api::yaml::Dialect::V2).unwrap();
        assert_eq!(all.len(), 8);
        assert!(all.iter().all(|one| !one.str_at(&["kind"]).is_empty()));
        let text = manifests(&args(true));
        assert!(!text.contains("cluster-admin") && !text.contains("argoproj.io"));
        assert_eq!(api::yaml::parse(&text, api::yaml::Dialect::V2).unwrap().len(), 7);
    }
}
