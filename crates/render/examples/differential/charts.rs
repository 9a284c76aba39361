//! Charts put together from pieces that each show one part of the language, of Sprig or of Helm: values, globals, subcharts with
//! conditions, tags, aliases and imports, hooks, CRDs, files, schemas, `tpl`, errors.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::answer;
use crate::chance::Chance;
use crate::compare::Layer;
use crate::oracle::{Answer, ask};

/// Pieces of templates, each a document or part of one.
const PIECES: &[&str] = &[
    "name: {{ include \"c.name\" . }}",
    "labels: {{- include \"c.labels\" . | nindent 2 }}",
    "{{- range $k, $v := .Values.map }}\n{{ $k }}: {{ $v | quote }}\n{{- end }}",
    "{{- range $i, $e := .Values.list }}\nitem{{ $i }}: {{ $e }}\n{{- else }}\nnone: true\n{{- end }}",
    "{{- with .Values.map.nested }}\nnested: {{- toYaml . | nindent 2 }}\n{{- end }}",
    "image: \"{{ .Values.image.repo }}:{{ .Values.image.tag | default .Chart.AppVersion }}\"",
    "{{- if and .Values.on (not .Values.off) }}\non: {{ .Values.on }}\n{{- else if .Values.off }}\noff: 1\n{{- end }}",
    "tpl: {{ tpl .Values.template . | quote }}",
    "ver: {{ .Capabilities.KubeVersion.Minor }} {{ .Capabilities.APIVersions.Has \"apps/v1\" }} {{ .Capabilities.KubeVersion }}",
    "rel: {{ .Release.Name }}/{{ .Release.Namespace }} {{ .Release.IsInstall }} {{ .Release.Revision }} {{ .Release.Service }}",
    "chart: {{ .Chart.Name }}-{{ .Chart.Version }} {{ .Chart.Type }} {{ .Template.Name }} {{ .Template.BasePath }}",
    "file: {{ .Files.Get \"conf/a.txt\" | quote }}\nconf:\n{{ (.Files.Glob \"conf/*\").AsConfig | indent 2 }}",
    "secrets:\n{{ (.Files.Glob \"conf/**\").AsSecrets | indent 2 }}\nlines: {{ .Files.Lines \"conf/a.txt\" | toJson }}",
    "global: {{ .Values.global | toJson }}",
    "all: {{ .Values | toJson | sha256sum | trunc 12 }}",
    "values: {{- .Values.map | toYaml | nindent 2 }}",
    "pretty: {{ .Values.map | toPrettyJson | quote }}",
    "num: {{ .Values.num }} {{ .Values.num | int }} {{ .Values.big }} {{ .Values.big | int64 }} {{ mul .Values.num 3 }}",
    "dict: {{ dict \"a\" 1 \"b\" (list 1 2 3) | toYaml | nindent 2 }}",
    "merged: {{ merge (dict \"a\" 1) .Values.map | toJson }}",
    "set: {{ $_ := set .Values.map \"added\" \"x\" }}{{ .Values.map.added }}",
    "loop: {{ range untilStep 0 10 3 }}{{ . }},{{ end }}",
    "str: {{ \"a-b_c d\" | camelcase }} {{ \"FooBar\" | snakecase }} {{ \"x\" | repeat 3 }} {{ substr 1 3 \"abcdef\" }}",
    "re: {{ regexReplaceAll \"a(x*)b\" \"-ab-axxb-\" \"${1}W\" }} {{ regexFindAll \"[2,4,6,8]\" \"123456789\" -1 | join \",\" }}",
    "sem: {{ semverCompare \">=1.20-0\" .Capabilities.KubeVersion.Version }} {{ (semver \"1.2.3\").IncMinor }}",
    "tern: {{ ternary \"y\" \"n\" .Values.on }} {{ empty .Values.nosuch }} {{ coalesce .Values.nosuch \"\" 4 }}",
    "cmt: {{/* a comment */}}{{- \" trimmed \" -}} x",
    "b64: {{ \"hello\" | b64enc }} {{ \"aGVsbG8=\" | b64dec }}",
    "print: {{ printf \"%-10s|%05d|%.2f|%v|%q\" \"ab\" 42 3.14159 .Values.list \"q\" | quote }}",
    "var: {{ $x := 1 }}{{ range .Values.list }}{{ $x = add $x 1 }}{{ end }}{{ $x }}",
    "brk: {{ range $i, $e := .Values.list }}{{ if gt $i 1 }}{{ break }}{{ end }}{{ if eq $i 0 }}{{ continue }}{{ end }}{{ $e }}{{ end }}",
    "date: {{ dateInZone \"2006-01-02T15:04:05Z07:00\" (toDate \"2006-01-02\" \"2024-02-29\") \"UTC\" }}",
    "sub: '{{ .Values.sub | toJson }} {{ range $k, $v := .Subcharts }}{{ $k }}={{ $v.Chart.Version }} {{ end }}'",
    "block: {{ block \"c.block\" . }}in block{{ end }}",
    "multi: |\n  {{- .Values.text | nindent 2 }}",
    "yaml: '{{ (fromYaml .Values.yaml).a }} {{ fromYamlArray \"[1, 2]\" | toJson }} {{ fromJson \"{\\\"x\\\":1}\" | toYaml }}'",
    "look: '{{ lookup \"v1\" \"Secret\" \"ns\" \"n\" | toJson }} {{ kindOf .Values.list }} {{ typeOf .Values.num }}'",
    "has: {{ has \"a\" .Values.list }} {{ without .Values.list \"a\" | toJson }} {{ uniq (list 1 1 2) }} {{ first .Values.list }}",
];

/// Pieces that end in an error.
const FAULTS: &[&str] = &[
    "x: {{ required \"x is needed\" .Values.nosuch }}",
    "x: {{ fail \"on purpose\" }}",
    "x: {{ .Values.nosuch.deeper }}",
    "x: {{ include \"nosuch\" . }}",
    "x: {{ template \"nosuch\" . }}",
    "x: {{ tpl \"{{ .Values.no.such }}\" . }}",
    "x: {{ index .Values.list 99 }}",
    "x: {{ .Values.num | upper }}",
    "x: {{ trunc \"a\" 1 }}",
    "x: {{ if }}",
    "x: {{ nosuch 1 }}",
    "x: {{ .Values.map.a.b.c }}",
    "x: y: z",
    "x:\n  a: 1\n b: 2",
    "{{ end }}",
    "{{ range .Values.num }}{{ end }}",
    "x: {{ lt 1 \"a\" }}",
    "x: \"unclosed",
];

const KINDS: &[&str] =
    &["ConfigMap", "Deployment", "Service", "Secret", "Namespace", "Role", "CronJob", "Widget", "Job"];
const HOOKS: &[&str] = &["pre-install", "post-upgrade,pre-rollback", "test", "test-success", "nosuch"];

const HELPERS: &str = "{{- define \"c.name\" -}}\n{{ .Release.Name }}-{{ .Chart.Name | trunc 63 | trimSuffix \"-\" }}\n{{- end -}}\n{{- define \"c.labels\" -}}\napp: {{ include \"c.name\" . }}\nchart: {{ printf \"%s-%s\" .Chart.Name .Chart.Version | replace \"+\" \"_\" }}\n{{- end -}}\n";

fn template(chance: &mut Chance, fault: bool) -> String {
    let mut out = String::new();
    for document in 0..1 + chance.below(3) {
        if document > 0 {
            out.push_str("\n---\n");
        }
        out.push_str(&format!("apiVersion: v1\nkind: {}\n", chance.pick(KINDS)));
        if chance.one_in(4) {
            out.push_str(&format!(
                "metadata:\n  name: n{document}\n  annotations:\n    helm.sh/hook: {}\n    helm.sh/hook-weight: \"{}\"\n",
                chance.pick(HOOKS),
                chance.below(5)
            ));
        }
        for _ in 0..1 + chance.below(4) {
            out.push_str(chance.pick(PIECES));
            out.push('\n');
        }
    }
    if fault {
        out.push_str(chance.pick(FAULTS));
        out.push('\n');
    }
    out
}

fn values(chance: &mut Chance) -> Value {
    let mut all = json!({
        "map": {"a": "x", "b": chance.below(9), "nested": {"c": [1, "two", null], "d": {"e": true}}, "on": "yes"},
        "list": ["a", "b", "c"], "image": {"repo": "nginx", "tag": ""}, "on": chance.one_in(2), "off": chance.one_in(2),
        "template": "{{ .Release.Name }}-{{ .Values.num }}", "num": chance.below(2_000_000), "big": 12_345_678_901i64,
        "text": "line one\nline: two\n", "yaml": "a: 1\nb: [x]\n", "global": {"g": 1, "shared": {"x": 1}},
        "tags": {"front": chance.one_in(2)},
    });
    for _ in 0..chance.below(3) {
        let key = chance.pick(&["list", "text", "off", "global", "tags", "big"]).to_string();
        if let Some(all) = all.as_object_mut() {
            all.remove(&key);
        }
    }
    all["sub"] = json!({"enabled": chance.one_in(2), "own": 1, "nested": {"n": null}});
    if chance.one_in(4) {
        all["map"]["nested"] = Value::Null;
    }
    all
}

fn chart(name: &str, chance: &mut Chance, faulty: bool, files: &mut Map<String, Value>, at: &str) {
    files.insert(format!("{at}templates/_helpers.tpl"), HELPERS.into());
    for number in 0..1 + chance.below(3) {
        let fault = faulty && number == 0;
        files.insert(format!("{at}templates/t{number}.yaml"), template(chance, fault).into());
    }
    files.insert(format!("{at}values.yaml"), values(chance).to_string().into());
    files.insert(format!("{at}conf/a.txt"), "first\nsecond\n".into());
    files.insert(format!("{at}conf/b.conf"), "k=v".into());
    if chance.one_in(3) {
        files.insert(
            format!("{at}templates/NOTES.txt"),
            format!("Thanks for {name} {{{{ .Release.Name }}}}").into(),
        );
    }
    if chance.one_in(4) {
        files.insert(format!("{at}crds/crd.yaml"), "kind: CustomResourceDefinition\n".into());
    }
}

/// The chart of a number, and how it is rendered.
pub fn question(number: usize, seed: u64) -> Value {
    let mut chance = Chance::new(seed ^ (number as u64).wrapping_mul(0x1000_0001));
    let chance = &mut chance;
    let mut files = Map::new();
    let faulty = chance.one_in(4);
    chart("c", chance, faulty, &mut files, "");
    let mut meta = json!({"apiVersion": "v2", "name": "c", "version": "0.1.0+b1", "appVersion": "1.10"});
    let mut dependencies = Vec::new();
    for name in ["sub", "other"].into_iter().take(chance.below(3)) {
        chart(name, chance, false, &mut files, &format!("charts/{name}/"));
        let own = json!({"apiVersion": "v2", "name": name, "version": format!("1.{}.0", chance.below(4))});
        files.insert(format!("charts/{name}/Chart.yaml"), own.to_string().into());
        let mut entry =
            json!({"name": name, "version": chance.pick(&["1.x", ">=1.0.0", "*", "~1.2"]), "repository": ""});
        match chance.below(5) {
            0 => entry["condition"] = format!("{name}.enabled").into(),
            1 => entry["tags"] = json!(["front"]),
            2 => entry["alias"] = format!("{name}-alias").into(),
            3 => entry["import-values"] = json!([{"child": "map", "parent": "imported"}]),
            _ => {}
        }
        if !chance.one_in(5) {
            dependencies.push(entry);
        }
    }
    if !dependencies.is_empty() {
        meta["dependencies"] = dependencies.into();
    }
    if chance.one_in(10) {
        meta["kubeVersion"] = chance.pick(&[">=1.20", "<1.10"]).into();
    }
    files.insert("Chart.yaml".into(), meta.to_string().into());
    if chance.one_in(6) {
        let required: Vec<&str> = ["num", "nosuch"].into_iter().take(1 + chance.below(2)).collect();
        let most = if chance.one_in(2) { 10 } else { 3_000_000 };
        let schema = json!({"type": "object", "required": required, "properties": {
            "num": {"type": "integer", "maximum": most}, "list": {"type": "array", "items": {"type": "string"}}}});
        files.insert("values.schema.json".into(), schema.to_string().into());
    }
    let mut asked = json!({"id": number, "kind": "helm", "files": files, "name": "rel", "namespace": "ns", "kubeVersion": "1.36.0"});
    if chance.one_in(2) {
        asked["values"] = json!(["map: {a: null, z: new}\nsub: {own: 2}\nglobal: {g: 2, shared: null}\n"]);
    }
    if chance.one_in(2) {
        asked["set"] = json!(["num=5,list[1]=B,map.k=v", "image.tag=v2,sub.enabled=true,tags.front=false"]);
    }
    for (flag, cases) in [("includeCRDs", 3), ("isUpgrade", 4), ("noHooks", 5), ("skipTests", 4)] {
        asked[flag] = chance.one_in(cases).into();
    }
    if chance.one_in(8) {
        asked["showOnly"] =
            json!([chance.pick(&["templates/t0.yaml", "templates/*.yaml", "templates/nosuch.yaml"])]);
    }
    asked
}

/// Asks for `count` charts; true if every answer is the same.
pub fn run(count: usize, seed: u64) -> bool {
    let layer = Layer {
        name: "charts",
        ours: &answer::answer,
        same: &|theirs, ours| theirs == ours,
        tell: &|_, theirs, ours| {
            let text = |answer: &Answer| match answer {
                Ok(out) => out["manifest"].as_str().unwrap_or_default().to_string(),
                Err(error) => format!("error {error}"),
            };
            let (theirs, ours) = (text(theirs), text(ours));
            let lines = theirs.lines().zip(ours.lines()).filter(|(theirs, ours)| theirs != ours).take(4);
            lines.map(|(theirs, ours)| format!("  upstream {theirs}\n  here     {ours}\n")).collect()
        },
        shown: 10,
        known: &[],
    };
    layer.run(count, seed, question)
}

/// What is kept of a rendering: its hash, or the error.
pub fn digest(answer: &Result<Value, String>) -> Value {
    match answer {
        Ok(out) => hex::encode(Sha256::digest(format!("{}\n{}", out["manifest"], out["notes"]))).into(),
        Err(error) => json!({"error": error}),
    }
}

/// Writes upstream's answers to 200 charts, 40 of which end in an error, one a line: the number and what [`digest`] keeps.
pub fn keep(seed: u64, file: &str) -> bool {
    let (mut fine, mut wrong, mut out) = (0, 0, String::new());
    ask((0..1500).map(move |number| question(number, seed)), |number, answer| {
        let (count, most) = if answer.is_ok() { (&mut fine, 160) } else { (&mut wrong, 40) };
        if *count < most {
            *count += 1;
            out.push_str(&format!("{}\n", json!({"chart": number, "gave": digest(&answer)})));
        }
    });
    std::fs::write(file, out).unwrap();
    println!("{fine} charts and {wrong} errors kept in {file}");
    fine == 160 && wrong == 40
}
