//! A kustomization of a thousand objects.

use std::fmt::Write;
use std::path::Path;

/// Applications in the tree; each is ten objects.
const APPS: usize = 100;

/// A base of applications that name each other's ConfigMaps, Secrets and accounts; two overlays above it.
pub fn write(root: &Path) {
    let mut resources = String::from("resources:\n");
    std::fs::create_dir_all(root.join("base")).unwrap();
    for app in 0..APPS {
        let mut text = String::new();
        for part in ["web", "worker"] {
            let _ = write!(
                text,
                "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: app{app}-{part}\nspec:\n  replicas: 2\n  selector:\n    matchLabels: {{app: app{app}}}\n  template:\n    metadata:\n      labels: {{app: app{app}}}\n    spec:\n      serviceAccountName: app{app}\n      containers:\n      - name: main\n        image: registry.io/app:{app}\n        envFrom:\n        - configMapRef: {{name: app{app}}}\n        env:\n        - name: KEY\n          valueFrom: {{secretKeyRef: {{name: app{app}, key: key}}}}\n        ports:\n        - containerPort: 8080\n      volumes:\n      - name: data\n        persistentVolumeClaim: {{claimName: app{app}}}\n---\n"
            );
        }
        let _ = write!(
            text,
            "apiVersion: v1\nkind: Service\nmetadata: {{name: app{app}}}\nspec:\n  selector: {{app: app{app}}}\n  ports:\n  - port: 80\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: app{app}}}\ndata:\n  a: one\n  b: two\n---\napiVersion: v1\nkind: Secret\nmetadata: {{name: app{app}}}\ndata: {{key: MQ==}}\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: app{app}}}\n---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: app{app}}}\nspec:\n  accessModes: [ReadWriteOnce]\n  resources: {{requests: {{storage: 1Gi}}}}\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: app{app}}}\nrules:\n- apiGroups: [\"\"]\n  resources: [configmaps]\n  verbs: [get]\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: app{app}}}\nroleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: app{app}}}\nsubjects:\n- {{kind: ServiceAccount, name: app{app}}}\n---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: app{app}}}\nspec:\n  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: app{app}-web}}\n  maxReplicas: 5\n"
        );
        std::fs::write(root.join(format!("base/app{app}.yaml")), text).unwrap();
        let _ = writeln!(resources, "- app{app}.yaml");
    }
    let put = |path: &str, text: &str| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put("base/kustomization.yaml", &resources);
    put(
        "middle/kustomization.yaml",
        "resources: [../base]\nnamePrefix: shop-\nlabels:\n- pairs: {team: a}\n  includeSelectors: true\npatches:\n- target: {kind: Deployment, name: .*-web}\n  patch: |\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: any}\n    spec:\n      template:\n        spec:\n          containers:\n          - name: side\n            image: side:1\n",
    );
    put(
        "top/kustomization.yaml",
        "resources: [../middle]\nnamespace: store\nnameSuffix: -v2\ncommonAnnotations: {by: bench}\nimages:\n- name: registry.io/app\n  newTag: \"2.0\"\npatches:\n- target: {kind: Deployment}\n  patch: |\n    - op: add\n      path: /spec/template/spec/containers/0/args\n      value: [a, b]\n",
    );
}
