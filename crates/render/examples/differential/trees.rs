//! Generated trees of overlays, built here and by upstream, compared byte for byte.
//!
//! Long because every kind of object and every field of a kustomization has its lines here.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use render::{Tree, kustomize};
use serde_json::json;

use crate::chance::Chance;
use crate::oracle::{self, Answer};

type Files = BTreeMap<String, String>;

const NAMES: &[&str] = &["web", "db", "cache", "api"];

pub fn run(count: usize, seed: u64, verbose: bool) -> bool {
    println!("trees: {count} from seed {seed}");
    let questions = (0..count).map(move |number| {
        let files = tree(seed, number);
        json!({"id": number, "kind": "build", "path": "top", "order": "legacy", "files": files})
    });
    let (mut same, mut failed, mut wrong) = (0, 0, Vec::new());
    let mut ours_took = Duration::ZERO;
    oracle::ask(questions, |number, answer| {
        let files = tree(seed, number);
        let since = Instant::now();
        let ours = kustomize::build(&Tree::memory(files.clone()), "top").map(|all| render::print(&all));
        ours_took += since.elapsed();
        // The oracle does not know its own version.
        let answer = match answer {
            Answer::Out(text) => Answer::Out(
                text.as_str().unwrap_or_default().replace("kustomize-(devel)", "kustomize-v5.8.1").into(),
            ),
            error => error,
        };
        let reason = match (&ours, &answer) {
            (Ok(ours), Answer::Out(theirs)) if Some(ours.as_str()) == theirs.as_str() => {
                same += 1;
                return;
            }
            (Err(_), Answer::Error(_)) => {
                failed += 1;
                return;
            }
            (Ok(ours), Answer::Out(theirs)) => first_difference(ours, theirs.as_str().unwrap_or_default()),
            (Err(error), Answer::Out(_)) => format!("we fail: {error}"),
            (Ok(_), Answer::Error(error)) => format!("they fail: {error}"),
        };
        if verbose && wrong.is_empty() {
            for (path, text) in &files {
                println!("--- {path}\n{text}");
            }
            println!("=== ours\n{}", ours.unwrap_or_else(|error| error.to_string()));
            if let Answer::Out(theirs) = answer {
                println!("=== theirs\n{}", theirs.as_str().unwrap_or_default());
            }
        }
        wrong.push(format!("#{number}: {reason}"));
    });
    for reason in wrong.iter().take(25) {
        println!("OTHER {reason}");
    }
    println!(
        "trees: {same} same, {failed} refused by both, {} other; ours took {:.1} s",
        wrong.len(),
        ours_took.as_secs_f64()
    );
    wrong.is_empty()
}

/// One tree, printed, to look at.
pub fn show(seed: u64, number: usize) {
    for (path, text) in tree(seed, number) {
        println!("--- {path}\n{text}");
    }
}

pub fn first_difference(ours: &str, theirs: &str) -> String {
    let at = ours.lines().zip(theirs.lines()).position(|(ours, theirs)| ours != theirs);
    let at = at.unwrap_or_else(|| ours.lines().count().min(theirs.lines().count()));
    let line = |text: &str| text.lines().nth(at).unwrap_or("(end)").to_string();
    format!("line {}:\n    ours   {}\n    theirs {}", at + 1, line(ours), line(theirs))
}

/// The files of one case: bases, perhaps a component, layers of overlays, the last of them `top`.
fn tree(seed: u64, number: usize) -> Files {
    let mut chance = Chance::new(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
    let mut files = Files::new();
    let bases = 1 + chance.below(2);
    let mut all = Vec::new();
    for base in 0..bases {
        let at = format!("base{base}");
        let objects = objects(&mut chance, &at, base, &mut files);
        kustomization(&mut chance, &at, &mut files, &objects, "", "");
        all.extend(objects);
    }
    let components = chance.below(2);
    for at in 0..components {
        let at = format!("component{at}");
        let kind = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n";
        kustomization(&mut chance, &at, &mut files, &all, kind, "");
    }
    let layers = 1 + chance.below(3);
    let mut below: Vec<String> = (0..bases).map(|base| format!("../base{base}")).collect();
    for layer in 0..layers {
        let at = if layer + 1 == layers { "top".to_string() } else { format!("layer{layer}") };
        let mut head = format!("resources: [{}]\n", below.join(", "));
        if components > 0 && chance.one_in(2) {
            head.push_str("components: [../component0]\n");
        }
        kustomization(&mut chance, &at, &mut files, &all, &head, "more");
        below = vec![format!("../{at}")];
    }
    files
}

/// An object that later layers may speak of.
#[derive(Clone)]
struct Object {
    version: &'static str,
    kind: &'static str,
    name: String,
    /// Empty if none is written.
    namespace: &'static str,
}

fn objects(chance: &mut Chance, at: &str, base: usize, files: &mut Files) -> Vec<Object> {
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

fn kustomization(
    chance: &mut Chance,
    at: &str,
    files: &mut Files,
    objects: &[Object],
    head: &str,
    more: &str,
) {
    let mut text = head.to_string();
    let mut resources = Vec::new();
    if head.is_empty() {
        let inside = format!("{at}/");
        resources.extend(files.keys().filter_map(|path| path.strip_prefix(&inside)).map(ToString::to_string));
    }
    if !resources.is_empty() {
        let _ = writeln!(text, "resources:\n- {}", resources.join("\n- "));
    }
    let density = if more.is_empty() { 6 } else { 3 };
    if chance.one_in(density) {
        let _ = writeln!(text, "namePrefix: {}", chance.pick(&["pre-", "x-", "a-b-"]));
    }
    if chance.one_in(density + 1) {
        let _ = writeln!(text, "nameSuffix: {}", chance.pick(&["-suf", "-v1", "-r1"]));
    }
    if chance.one_in(density) {
        let _ = writeln!(text, "namespace: {}", chance.pick(&["shop", "prod", "default"]));
    }
    if chance.one_in(density + 2) {
        let _ =
            writeln!(text, "commonLabels: {{team: {}, env: prod}}", chance.pick(&["a", "'1'", "\"yes\""]));
    }
    if chance.one_in(density) {
        let _ = writeln!(text, "labels:\n- pairs: {{owner: me}}");
        match chance.below(4) {
            0 => text.push_str("  includeSelectors: true\n"),
            1 => text.push_str("  includeTemplates: true\n"),
            2 => text.push_str("  fields:\n  - {path: spec/extra, create: true, kind: Widget}\n"),
            _ => {}
        }
    }
    if chance.one_in(density + 1) {
        text.push_str("commonAnnotations:\n  managed: \"true\"\n  long: a text that is long enough to be folded when it is printed because it has more than eighty columns\n");
    }
    if chance.one_in(density) {
        let _ = writeln!(
            text,
            "images:\n- name: {}",
            chance.pick(&["nginx", "reg.io:5000/app/web", "app", "busybox"])
        );
        match chance.below(4) {
            0 => text.push_str("  newTag: \"2.0\"\n"),
            1 => text.push_str("  newName: mirror.io/x\n  newTag: v2\n"),
            2 => text.push_str("  digest: sha256:def\n"),
            _ => text.push_str("  tagSuffix: -x\n"),
        }
    }
    let workloads: Vec<&Object> = objects
        .iter()
        .filter(|one| ["Deployment", "StatefulSet", "ReplicaSet"].contains(&one.kind))
        .collect();
    if chance.one_in(density) && !workloads.is_empty() {
        let _ = writeln!(
            text,
            "replicas:\n- {{name: {}, count: {}}}",
            workloads[chance.below(workloads.len())].name,
            chance.below(5)
        );
    }
    if chance.one_in(density) && !objects.is_empty() {
        patches(chance, at, files, objects, &mut text);
    }
    generators(chance, at, files, density, &mut text);
    if chance.one_in(density + 1) && !objects.is_empty() {
        replacements(chance, objects, &mut text);
    }
    if chance.one_in(9) {
        text.push_str("transformers:\n- |\n  apiVersion: builtin\n  kind: NamespaceTransformer\n  metadata: {name: n, namespace: set}\n");
        text.push_str(chance.pick(&[
            "  unsetOnly: true\n",
            "  setRoleBindingSubjects: allServiceAccounts\n",
            "  setRoleBindingSubjects: none\n",
        ]));
    }
    if !more.is_empty() && chance.one_in(12) {
        text.push_str(chance.pick(&[
            "buildMetadata: [originAnnotations]\n",
            "buildMetadata: [originAnnotations, transformerAnnotations]\n",
            "buildMetadata: [managedByLabel]\n",
        ]));
    }
    if !more.is_empty() && chance.one_in(8) {
        text.push_str(chance.pick(&[
            "sortOptions: {order: fifo}\n",
            "sortOptions: {order: legacy}\n",
            "sortOptions:\n  order: legacy\n  legacySortOptions: {orderFirst: [Service, Namespace], orderLast: [Deployment]}\n",
        ]));
    }
    if text == head && !text.contains("resources:") {
        text.push_str("resources: []\n");
    }
    files.insert(format!("{at}/kustomization.yaml"), text);
}

fn patches(chance: &mut Chance, at: &str, files: &mut Files, objects: &[Object], text: &mut String) {
    text.push_str("patches:\n");
    for part in 0..1 + chance.below(3) {
        let object = &objects[chance.below(objects.len())];
        let mut head = format!(
            "apiVersion: {}
kind: {}
metadata:
  name: {}
",
            object.version, object.kind, object.name
        );
        if !object.namespace.is_empty() {
            let _ = writeln!(head, "  namespace: {}", object.namespace);
        }
        let has_pod = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"].contains(&object.kind);
        let merge = match chance.below(9) {
            0 if has_pod => {
                "spec:\n  template:\n    spec:\n      containers:\n      - name: main\n        env:\n        - {name: A, value: patched}\n        - {name: NEW, value: \"1\"}\n        ports:\n        - {containerPort: 80, name: http}\n        - containerPort: 443\n"
            }
            1 if has_pod => {
                "spec:\n  template:\n    spec:\n      containers:\n      - name: side\n        $patch: delete\n      - name: extra\n        image: extra:1\n"
            }
            2 if has_pod => {
                "spec:\n  template:\n    spec:\n      containers:\n      - $patch: replace\n      - name: only\n        image: only:1\n      tolerations:\n      - key: b\n      volumes:\n      - name: v\n        emptyDir: {}\n        configMap: null\n"
            }
            3 if has_pod => {
                "spec:\n  replicas: null\n  template:\n    $patch: replace\n    metadata: {labels: {app: new}}\n    spec: {containers: [{name: z, image: nginx}]}\n"
            }
            4 => "  labels: {patched: \"1\", app: null}\n  annotations:\n    a.b/c: x\n    n: 5\n",
            5 => "$patch: delete\n",
            6 => "spec:\n  list: [z]\n  items:\n  - name: y\n    value: 2\n  size: null\n",
            7 => "data: {a: \"2\", c: new}\n",
            _ => {
                "  finalizers: [x/y]\n  ownerReferences:\n  - {apiVersion: v1, kind: Pod, name: o, uid: u1}\n"
            }
        };
        match chance.below(5) {
            0 => {
                let path = format!("patch{part}.yaml");
                let _ = writeln!(text, "- path: {path}");
                files.insert(format!("{at}/{path}"), head + merge);
            }
            1 => {
                let _ = writeln!(
                    text,
                    "- target: {{kind: {}}}\n  patch: |\n    {}",
                    object.kind,
                    (head + merge).trim_end().replace('\n', "\n    ")
                );
            }
            2 => {
                let operations = chance.pick(&[
                    "- {op: add, path: /metadata/annotations, value: {j: p}}\n",
                    "- op: add\n  path: /metadata/labels\n  value: {j: \"1\"}\n- op: replace\n  path: /metadata/labels/j\n  value: x\n",
                    "- {op: test, path: /kind, value: Deployment}\n- {op: add, path: /spec/x, value: [1, 2]}\n",
                    "- {op: copy, from: /metadata/name, path: /metadata/generateName}\n",
                    "- {op: add, path: /spec/template/spec/containers/-, value: {name: j, image: j}}\n",
                ]);
                let target = if chance.one_in(2) {
                    format!("name: {}", object.name)
                } else {
                    "labelSelector: app=web".into()
                };
                let _ = writeln!(
                    text,
                    "- target: {{kind: {}, {target}}}\n  patch: |\n    {}",
                    object.kind,
                    operations.trim_end().replace('\n', "\n    ")
                );
            }
            3 => {
                let _ = writeln!(
                    text,
                    "- target: {{name: {}.*, namespace: default}}\n  options: {{allowNameChange: {}}}\n  patch: |\n    {}",
                    object.name,
                    chance.one_in(3),
                    (head + merge).trim_end().replace('\n', "\n    ")
                );
            }
            _ => {
                let _ =
                    writeln!(text, "- patch: |-\n    {}", (head + merge).trim_end().replace('\n', "\n    "));
            }
        }
    }
}

fn generators(chance: &mut Chance, at: &str, files: &mut Files, density: usize, text: &mut String) {
    if chance.one_in(density) {
        let name =
            if chance.one_in(8) { chance.pick(&["web", "gen"]).to_string() } else { format!("gen-{at}") };
        let _ = writeln!(
            text,
            "configMapGenerator:\n- name: {name}\n  literals: [a=1, 'b=two words', \"c='quoted'\"]"
        );
        if chance.one_in(12) {
            let _ = writeln!(text, "  behavior: {}", chance.pick(&["merge", "replace", "create"]));
        }
        if chance.one_in(3) {
            text.push_str("  files: [app.conf, other=app.conf]\n");
            files.insert(format!("{at}/app.conf"), "line one\nline: two\n".into());
        }
        if chance.one_in(4) {
            text.push_str("  envs: [vars.env]\n");
            files.insert(format!("{at}/vars.env"), "# comment\nX=1\n  Y = 2\nZ=\n".into());
        }
        if chance.one_in(4) {
            text.push_str("  options: {disableNameSuffixHash: true, labels: {l: \"1\"}, immutable: true}\n");
        }
        if chance.one_in(4) {
            text.push_str("  namespace: shop\n");
        }
    }
    if chance.one_in(density + 1) {
        let _ = writeln!(
            text,
            "secretGenerator:\n- name: {}\n  literals: [user=admin, pass=s3cr3t]",
            chance.pick(&["api", "creds"])
        );
        if chance.one_in(2) {
            text.push_str("  type: kubernetes.io/basic-auth\n");
        }
    }
    if chance.one_in(density + 3) {
        text.push_str("generatorOptions: {annotations: {g: o}, labels: {l: global}");
        text.push_str(if chance.one_in(2) { ", disableNameSuffixHash: true}\n" } else { "}\n" });
    }
}

fn replacements(chance: &mut Chance, objects: &[Object], text: &mut String) {
    let source = &objects[chance.below(objects.len())];
    let target = &objects[chance.below(objects.len())];
    text.push_str("replacements:\n");
    match chance.below(6) {
        0 => text.push_str("- sourceValue: given\n"),
        _ => {
            let _ = writeln!(text, "- source: {{kind: {}, name: {}}}", source.kind, source.name);
            if chance.one_in(4) {
                text.pop();
                text.pop();
                text.push_str(", fieldPath: metadata.name, options: {delimiter: \"-\", index: 0}}\n");
            }
        }
    }
    let _ = writeln!(text, "  targets:\n  - select: {{kind: {}}}", target.kind);
    if chance.one_in(4) {
        let _ = writeln!(text, "    reject: [{{name: {}}}]", target.name);
    }
    let workload = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"].contains(&target.kind);
    let paths = match target.kind {
        _ if chance.one_in(20) => "    fieldPaths: [spec.replicas]\n",
        _ if workload && chance.one_in(2) => {
            "    fieldPaths: [\"spec.template.spec.containers.[name=main].image\"]\n    options: {delimiter: \":\", index: 1}\n"
        }
        _ if workload => "    fieldPaths: [\"spec.template.spec.containers.*.image\"]\n",
        "ConfigMap" if chance.one_in(2) => {
            "    fieldPaths: [data.a, \"data.[conf.json].host\"]\n    options: {create: true}\n"
        }
        "Widget" if chance.one_in(2) => {
            "    fieldPaths: [spec.list.1, spec.ref, \"spec.items.[name=x].name\"]\n"
        }
        "Service" if chance.one_in(2) => {
            "    fieldPaths: [\"spec.ports.[port=80].name\"]\n    options: {create: true}\n"
        }
        _ => chance.pick(&[
            "    fieldPaths: [metadata.annotations.copied]\n    options: {create: true}\n",
            "    fieldPaths: [\"metadata.labels.[a.b/c]\"]\n    options: {create: true}\n",
            "    fieldPaths: [metadata.name]\n    options: {delimiter: \"-\", index: 1}\n",
        ]),
    };
    text.push_str(paths);
}
