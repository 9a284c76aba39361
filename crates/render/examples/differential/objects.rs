//! The objects of generated trees.

use std::fmt::Write;

use crate::chance::Chance;
use crate::trees::{Files, NAMES};

/// An object that later layers may speak of.
#[derive(Clone)]
pub struct Object {
    pub version: &'static str,
    pub kind: &'static str,
    pub name: String,
    /// Empty if none is written.
    pub namespace: &'static str,
}

pub fn objects(chance: &mut Chance, at: &str, base: usize, files: &mut Files) -> Vec<Object> {
    let mut all: Vec<Object> = Vec::new();
    for file in 0..1 + chance.below(4) {
        let mut text = String::new();
        for part in 0..1 + chance.below(3) {
            let (version, kind, body) = body(chance);
            let name = format!("{}{}", chance.pick(NAMES), if base == 0 { "" } else { "-b" });
            if all.iter().any(|one| one.kind == kind && one.name == name) {
                continue;
            }
            if part > 0 && !text.is_empty() {
                text.push_str("---\n");
            }
            let _ = write!(text, "apiVersion: {version}\nkind: {kind}\nmetadata:\n  name: {name}\n");
            let namespace = if chance.one_in(5) { chance.pick(&["default", "shop", "infra"]) } else { "" };
            if !namespace.is_empty() {
                let _ = writeln!(text, "  namespace: {namespace}");
            }
            if chance.one_in(3) {
                let _ = writeln!(
                    text,
                    "  labels: {{app: {name}, tier: {}}}",
                    chance.pick(&["front", "back", "'1'", "\"true\""])
                );
            }
            if chance.one_in(4) {
                text.push_str("  annotations:\n    note: |\n      two\n      lines\n    n: \"1\"\n");
            }
            text.push_str(&body);
            all.push(Object { version, kind, name, namespace });
        }
        if !text.is_empty() {
            files.insert(format!("{at}/file{file}.yaml"), text);
        }
    }
    all
}

fn pod(chance: &mut Chance, indent: &str) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        let _ = writeln!(out, "{indent}{text}");
    };
    line("containers:");
    for at in 0..1 + chance.below(2) {
        line(&format!("- name: {}", ["main", "side"][at]));
        line(&format!(
            "  image: {}",
            chance.pick(&[
                "nginx",
                "nginx:1.25",
                "reg.io:5000/app/web:v1",
                "app@sha256:abc",
                "busybox:latest"
            ])
        ));
        if chance.one_in(2) {
            line("  env:");
            line(&format!("  - {{name: A, value: \"{}\"}}", chance.below(20)));
            if chance.one_in(2) {
                line(&format!(
                    "  - name: B\n{indent}    valueFrom: {{configMapKeyRef: {{name: {}, key: a}}}}",
                    chance.pick(NAMES)
                ));
            }
            if chance.one_in(3) {
                line(&format!(
                    "  - name: C\n{indent}    valueFrom: {{secretKeyRef: {{name: {}, key: a}}}}",
                    chance.pick(NAMES)
                ));
            }
        }
        if chance.one_in(3) {
            line(&format!("  envFrom:\n{indent}  - configMapRef: {{name: {}}}", chance.pick(NAMES)));
        }
        if chance.one_in(2) {
            line("  ports:");
            line("  - containerPort: 80");
            if chance.one_in(2) {
                line("  - {containerPort: 80, protocol: UDP}");
            }
        }
        if chance.one_in(3) {
            line("  args: [a, \"2\", 'true']");
        }
        if chance.one_in(4) {
            line("  resources: {limits: {cpu: 500m, memory: 1Gi}, requests: {cpu: 0.5}}");
        }
    }
    if chance.one_in(4) {
        line(&format!("serviceAccountName: {}", chance.pick(NAMES)));
    }
    if chance.one_in(3) {
        line("volumes:");
        line(&format!("- name: v\n{indent}  configMap: {{name: {}}}", chance.pick(NAMES)));
        if chance.one_in(2) {
            line(&format!("- {{name: p, persistentVolumeClaim: {{claimName: {}}}}}", chance.pick(NAMES)));
        }
        if chance.one_in(2) {
            line("- name: e\n".trim_end());
            line("  emptyDir: {}");
        }
    }
    if chance.one_in(5) {
        line("tolerations:\n".trim_end());
        line("- {key: a, operator: Exists}");
    }
    out
}

fn template(chance: &mut Chance, indent: &str) -> String {
    let labels = chance.pick(&["{app: web}", "{app: web, tier: back}"]);
    let mut out = format!("{indent}template:\n{indent}  metadata:\n{indent}    labels: {labels}\n");
    if chance.one_in(4) {
        let _ = writeln!(out, "{indent}    annotations: {{k: v}}");
    }
    let _ = writeln!(out, "{indent}  spec:");
    out + &pod(chance, &format!("{indent}    "))
}

fn body(chance: &mut Chance) -> (&'static str, &'static str, String) {
    let name = chance.pick(NAMES);
    match chance.below(22) {
        0..=4 => {
            let kind = chance.pick(&["Deployment", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"]);
            let mut text = String::from("spec:\n");
            if kind != "DaemonSet" && chance.one_in(2) {
                let _ = writeln!(text, "  replicas: {}", chance.below(4));
            }
            text.push_str("  selector:\n    matchLabels: {app: web}\n");
            if kind == "StatefulSet" {
                let _ = writeln!(text, "  serviceName: {name}");
                if chance.one_in(2) {
                    text.push_str("  volumeClaimTemplates:\n  - metadata: {name: data}\n    spec: {storageClassName: fast}\n");
                }
            }
            text.push_str(&template(chance, "  "));
            ("apps/v1", kind, text)
        }
        5 => ("batch/v1", "Job", format!("spec:\n{}", template(chance, "  "))),
        6 => {
            let text = "spec:\n  schedule: \"*/5 * * * *\"\n  jobTemplate:\n    spec:\n";
            ("batch/v1", "CronJob", format!("{text}{}", template(chance, "      ")))
        }
        7 => ("v1", "Pod", format!("spec:\n{}", pod(chance, "  "))),
        8 | 9 => {
            let mut text = String::from(
                "spec:\n  selector: {app: web}\n  ports:\n  - {name: http, port: 80, targetPort: 8080}\n",
            );
            if chance.one_in(2) {
                text.push_str("  - port: 53\n    protocol: UDP\n");
            }
            ("v1", "Service", text)
        }
        10 | 11 => {
            let mut text = String::from("data:\n  a: \"1\"\n  b: plain text\n");
            if chance.one_in(3) {
                text.push_str("  conf.json: '{\"host\": \"x\", \"port\": 1, \"list\": [1, 2]}'\n");
            }
            ("v1", "ConfigMap", text)
        }
        12 => ("v1", "Secret", "type: Opaque\ndata: {a: MQ==}\nstringData: {b: x}\n".into()),
        13 => ("v1", "ServiceAccount", format!("imagePullSecrets:\n- name: {name}\n")),
        14 => {
            let kind = chance.pick(&["Role", "ClusterRole"]);
            let text = format!(
                "rules:\n- apiGroups: ['']\n  resources: [configmaps]\n  resourceNames: [{name}]\n  verbs: [get, list]\n"
            );
            ("rbac.authorization.k8s.io/v1", kind, text)
        }
        15 => {
            let kind = chance.pick(&["RoleBinding", "ClusterRoleBinding"]);
            let role = chance.pick(&["Role", "ClusterRole"]);
            let mut text = format!(
                "roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {role}, name: {name}}}\nsubjects:\n"
            );
            let _ = writeln!(
                text,
                "- {{kind: ServiceAccount, name: {}, namespace: {}}}",
                chance.pick(&["default", "web", "api"]),
                chance.pick(&["default", "shop"])
            );
            if chance.one_in(2) {
                let _ = writeln!(text, "- kind: ServiceAccount\n  name: {}", chance.pick(&["default", "db"]));
            }
            ("rbac.authorization.k8s.io/v1", kind, text)
        }
        16 => {
            let text = format!(
                "spec:\n  tls:\n  - {{hosts: [a.io], secretName: {name}}}\n  rules:\n  - host: a.io\n    http:\n      paths:\n      - path: /\n        pathType: Prefix\n        backend: {{service: {{name: {}, port: {{number: 80}}}}}}\n",
                chance.pick(NAMES)
            );
            ("networking.k8s.io/v1", "Ingress", text)
        }
        17 => {
            let kind = chance.pick(&["Deployment", "StatefulSet"]);
            let text = format!(
                "spec:\n  scaleTargetRef: {{apiVersion: apps/v1, kind: {kind}, name: {name}}}\n  minReplicas: 1\n  maxReplicas: 3\n"
            );
            ("autoscaling/v2", "HorizontalPodAutoscaler", text)
        }
        18 => (
            "v1",
            "PersistentVolumeClaim",
            format!("spec:\n  volumeName: {name}\n  accessModes: [ReadWriteOnce]\n"),
        ),
        19 => (
            "example.com/v1",
            "Widget",
            format!(
                "spec:\n  ref: {name}\n  size: 3\n  ratio: 1.50\n  list: [a, b, c]\n  items:\n  - name: x\n    value: 1\n  containers:\n  - {{name: c, image: nginx:1}}\n"
            ),
        ),
        20 => (
            "policy/v1",
            "PodDisruptionBudget",
            "spec:\n  minAvailable: 50%\n  selector: {matchLabels: {app: web}}\n".into(),
        ),
        _ => ("v1", "Namespace", String::new()),
    }
}
