//! The manifests that run the agent in a cluster: namespace, roles, Deployment. The roles are the least that the engine's
//! own doings need; what Git holds needs more, which its owner grants.

/// Where the agent and its lease are.
pub const NAMESPACE: &str = "skiff-fleet";
/// The agent's ServiceAccount, in [`NAMESPACE`].
pub const ACCOUNT: &str = "skiff-fleet";

/// What is installed.
#[derive(Clone, Debug)]
pub struct Install {
    pub image: String,
    /// Owners: `argocd`, `flux`.
    pub front_ends: Vec<String>,
    /// It listens for webhooks, behind a Service.
    pub webhooks: bool,
    /// Without the binding to cluster-admin.
    pub restricted: bool,
}

impl Install {
    fn follows(&self, owner: &str) -> bool {
        self.front_ends.iter().any(|name| name == owner)
    }

    /// YAML documents, for people and for `kubectl apply`.
    pub fn manifests(&self) -> String {
        let mut all = vec![
            format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n"),
            format!(
                "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {ACCOUNT}, namespace: {NAMESPACE}}}\n"
            ),
            self.cluster_role(),
            binding("", "skiff-fleet", "ClusterRole", "skiff-fleet"),
            lease_role(),
            binding(NAMESPACE, "skiff-fleet", "Role", "skiff-fleet"),
        ];
        if self.follows("argocd") {
            all.push(argocd_role());
            all.push(binding("argocd", "skiff-fleet", "Role", "skiff-fleet"));
        }
        if !self.restricted {
            let why = "# What Git holds may be of any kind: who follows all of it needs to be able to make all of it.\n";
            all.push(format!("{why}{}", binding("", "skiff-fleet-applies", "ClusterRole", "cluster-admin")));
        }
        if self.webhooks {
            all.push(service());
        }
        all.push(self.deployment());
        all.join("---\n")
    }

    fn cluster_role(&self) -> String {
        let mut text = "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: skiff-fleet}
rules:
# Their definitions, where nobody installed them; one that is there is never changed.
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [get, create, patch]
- apiGroups: ['']
  resources: [events]
  verbs: [create]
"
        .to_string();
        if self.follows("argocd") {
            text.push_str(
                "# Applications: watched, their status shown, finalizers taken off. Projects: read, `default` made if missing.
- apiGroups: [argoproj.io]
  resources: [applications]
  verbs: [get, list, watch, patch]
- apiGroups: [argoproj.io]
  resources: [appprojects]
  verbs: [get, list, watch, create, patch]
- apiGroups: ['']
  resources: [namespaces]
  verbs: [get, create, patch]
  resourceNames: [argocd]
# Whether Argo CD's own controller is live.
- apiGroups: [apps]
  resources: [statefulsets, deployments]
  verbs: [list, watch]
",
            );
        }
        if self.follows("flux") {
            text.push_str(
                "# Flux' objects: watched, their status shown, finalizers put on and taken off.
- apiGroups: [source.toolkit.fluxcd.io]
  resources: [gitrepositories, gitrepositories/status]
  verbs: [get, list, watch, patch]
- apiGroups: [kustomize.toolkit.fluxcd.io]
  resources: [kustomizations, kustomizations/status]
  verbs: [get, list, watch, patch]
# Credentials and variables that they name, in whatever namespace they are.
- apiGroups: ['']
  resources: [secrets, configmaps]
  verbs: [get]
# As whom Kustomizations with serviceAccountName are applied.
- apiGroups: ['']
  resources: [serviceaccounts]
  verbs: [get, impersonate]
# Whether Flux' own controllers are live.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list, watch]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [list, watch]
",
            );
            if self.webhooks {
                text.push_str(
                    "# Receivers of webhooks: watched, their status shown.
- apiGroups: [notification.toolkit.fluxcd.io]
  resources: [receivers, receivers/status]
  verbs: [get, list, watch, patch]
",
                );
            }
        }
        text
    }

    fn deployment(&self) -> String {
        format!(
            "apiVersion: apps/v1
kind: Deployment
metadata: {{name: skiff-fleet, namespace: {NAMESPACE}}}
spec:
  replicas: 1
  strategy: {{type: Recreate}}
  selector: {{matchLabels: {{app: skiff-fleet}}}}
  template:
    metadata: {{labels: {{app: skiff-fleet}}}}
    spec:
      serviceAccountName: {ACCOUNT}
      containers:
      - name: agent
        image: {image}
        imagePullPolicy: IfNotPresent
        args: [fleet, agent, '--front-ends={front_ends}', --data-dir=/data{webhooks}]
{ports}        env:
        # In reports; the pod's own name changes with each pod.
        - {{name: SKIFF_SITE, valueFrom: {{fieldRef: {{fieldPath: spec.nodeName}}}}}}
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
            image = self.image,
            front_ends = self.front_ends.join(","),
            webhooks = if self.webhooks { format!(", '--webhooks=0.0.0.0:{PORT}'") } else { String::new() },
            ports = match self.webhooks {
                true => format!("        ports: [{{name: webhooks, containerPort: {PORT}}}]\n"),
                false => String::new(),
            },
        )
    }
}

/// Where webhooks come in, as upstream's.
const PORT: u16 = 9292;

fn service() -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: webhook-receiver, namespace: {NAMESPACE}}}
spec:
  selector: {{app: skiff-fleet}}
  ports: [{{name: http, port: 80, targetPort: webhooks}}]
"
    )
}

fn lease_role() -> String {
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: skiff-fleet, namespace: {NAMESPACE}}}
rules:
# By which one of several agents leads.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update]
"
    )
}

fn argocd_role() -> String {
    "apiVersion: v1
kind: Namespace
metadata: {name: argocd}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: skiff-fleet, namespace: argocd}
rules:
# Credentials of repositories, known hosts and CAs.
- apiGroups: ['']
  resources: [secrets, configmaps]
  verbs: [get, list]
"
    .into()
}

/// Binds the agent's ServiceAccount to a role; no namespace: everywhere.
fn binding(namespace: &str, name: &str, role_kind: &str, role: &str) -> String {
    let (kind, place) = match namespace {
        "" => ("ClusterRoleBinding", String::new()),
        namespace => ("RoleBinding", format!(", namespace: {namespace}")),
    };
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: {kind}
metadata: {{name: {name}{place}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {role_kind}, name: {role}}}
subjects:
- {{kind: ServiceAccount, name: {ACCOUNT}, namespace: {NAMESPACE}}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_yaml_and_least() {
        let install = |front_ends: &[&str], restricted| Install {
            image: "skiff:1".into(),
            webhooks: false,
            front_ends: front_ends.iter().map(|name| (*name).into()).collect(),
            restricted,
        };
        let documents = |install: Install| {
            let all = api::yaml::parse(&install.manifests(), api::yaml::Dialect::V2).unwrap();
            assert!(all.iter().all(|one| !one.str_at(&["kind"]).is_empty()));
            all.len()
        };
        assert_eq!(documents(install(&["flux"], false)), 8);
        assert_eq!(documents(install(&["argocd", "flux"], true)), 10);
        let heard = Install { webhooks: true, ..install(&["flux"], false) };
        assert!(heard.manifests().contains("containerPort: 9292") && documents(heard) == 9);
        let text = install(&["flux"], true).manifests();
        assert!(!text.contains("receivers") && !text.contains("9292"));
        assert!(!text.contains("cluster-admin") && !text.contains("argo"));
        assert!(!install(&["argocd"], true).manifests().contains("impersonate"));
    }
}
