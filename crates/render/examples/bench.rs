//! How long a large kustomization takes, as whole processes and as a warm loop: this, and upstream's program if `KUSTOMIZE`
//! names one. `cargo xtask bench render` builds and starts it.

#![allow(clippy::unwrap_used)] // a tool of the developer, which may stop where it stands

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use render::{Tree, kustomize};

/// Applications in the tree; each is ten objects.
const APPS: usize = 100;
const RUNS: usize = 10;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, dir] = words.as_slice()
        && mode == "build"
    {
        let documents = kustomize::build(&Tree::directory(dir), "top").unwrap();
        print!("{}", render::print(&documents));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_tree(dir.path());
    let tree = || kustomize::build(&Tree::directory(dir.path()), "top").unwrap();
    let documents = tree();
    let printed = render::print(&documents);
    println!("tree: {} objects, {} bytes printed", documents.len(), printed.len());
    let mut warm: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let since = Instant::now();
            std::hint::black_box(render::print(&tree()));
            since.elapsed()
        })
        .collect();
    warm.sort();
    println!("warm loop: median {:.1} ms, best {:.1} ms", millis(warm[RUNS / 2]), millis(warm[0]));
    let me = std::env::current_exe().unwrap();
    let path = dir.path().to_str().unwrap();
    measure("as a process", Command::new(me).args(["build", path]), &printed);
    match std::env::var("KUSTOMIZE") {
        // Upstream second: the memory told is the largest of the processes so far, and its is the larger one.
        Ok(program) => {
            measure(
                "kustomize build",
                Command::new(program).arg("build").arg(dir.path().join("top")),
                &printed,
            );
        }
        Err(_) => println!("kustomize build: not measured, set KUSTOMIZE to the program"),
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn measure(what: &str, command: &mut Command, expected: &str) {
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..RUNS {
        let since = Instant::now();
        let output = command.stderr(Stdio::inherit()).output().unwrap();
        times.push(since.elapsed());
        assert!(output.status.success(), "{what} failed");
        assert!(output.stdout == expected.as_bytes(), "{what} printed something else");
    }
    times.sort();
    let memory = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    println!(
        "{what}: median {:.1} ms, best {:.1} ms, peak memory {:.1} MB",
        millis(times[RUNS / 2]),
        millis(times[0]),
        memory as f64 / 1024.0
    );
}

/// A base of applications that name each other's ConfigMaps, Secrets and accounts; two overlays above it.
fn write_tree(root: &Path) {
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
