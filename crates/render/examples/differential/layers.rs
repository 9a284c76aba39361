//! The kustomizations of generated trees, with every field that layers are made of.

use std::fmt::Write;

use crate::chance::Chance;
use crate::objects::Object;
use crate::trees::Files;

pub fn kustomization(
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
