//! Generated directories of plain manifests: the objects that Argo CD takes from them, and what this does.

use std::collections::BTreeMap;
use std::path::Path;

use render::directory::{Options, build};
use render::{Limits, Tree};
use serde_json::{Value, json};

use crate::chance::Chance;
use crate::compare::{Known, Layer, both};
use crate::oracle::Answer;

pub fn run(count: usize, seed: u64) -> bool {
    let layer = Layer {
        name: "directories",
        ours: &ours,
        same: &same,
        tell: &|asked, theirs, ours| {
            format!("{}\n{}", serde_json::to_string_pretty(asked).unwrap(), both(theirs, ours))
        },
        shown: 20,
        known: KNOWN,
    };
    layer.run(count, seed, question)
}

/// A source is not left, not even to see whether anything is there.
const KNOWN: &[Known] = &[Known {
    name: "with links that lead out to nothing",
    without: |asked| {
        let links = asked["links"].as_object_mut();
        links.is_some_and(|links| {
            let before = links.len();
            links.retain(|_, target| !target.as_str().is_some_and(|target| target.starts_with("../../")));
            links.len() < before
        })
    },
}];

fn ours(asked: &Value) -> Answer {
    let folder = tempfile::tempdir().unwrap();
    let texts = |field: &str| -> BTreeMap<String, String> {
        serde_json::from_value(asked[field].clone()).unwrap_or_default()
    };
    let place = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        path
    };
    for (name, text) in texts("files") {
        std::fs::write(place(&name), text).unwrap();
    }
    for (name, target) in texts("links") {
        std::os::unix::fs::symlink(target, place(&name)).unwrap();
    }
    let text = |field: &str| asked[field].as_str().unwrap_or_default().to_string();
    let options =
        Options { recurse: asked["recurse"] == true, include: text("include"), exclude: text("exclude") };
    let tree = Tree::directory(folder.path());
    let built = build(&tree, "app", &options, Limits::default()).map_err(|error| error.to_string())?;
    Ok(built.iter().map(|object| serde_json::from_slice::<Value>(&object.to_json()).unwrap()).collect())
}

/// The words of errors are compared where they are Argo CD's own; what it would find out later is refused here.
fn same(theirs: &Answer, ours: &Answer) -> bool {
    const OWN: [&str; 2] = ["Only single objects are allowed", "Object 'Kind' is missing"];
    match (theirs, ours) {
        (Ok(theirs), Ok(ours)) => theirs == ours,
        (Err(theirs), Err(ours)) => OWN.iter().all(|text| theirs.contains(text) == ours.contains(text)),
        (Ok(theirs), Err(ours)) => {
            let incomplete = |object: &Value| {
                ["kind", "apiVersion"].iter().any(|field| object[field].as_str().is_none_or(str::is_empty))
            };
            ours.contains("missing; every object needs")
                && theirs.as_array().is_some_and(|all| all.iter().any(incomplete))
        }
        (Err(_), Ok(_)) => false,
    }
}

fn question(number: usize, seed: u64) -> Value {
    let mut chance = Chance::new(seed.wrapping_mul(3_000_017).wrapping_add(number as u64));
    let chance = &mut chance;
    let mut files = BTreeMap::new();
    let mut links = BTreeMap::new();
    files.insert("app/a.yaml".to_string(), object(chance, "first"));
    files.insert("outside.yaml".to_string(), object(chance, "outside"));
    for at in 0..1 + chance.below(5) {
        let folder =
            chance.pick(&["app/", "app/", "app/", "app/deep/", "app/deep/er/", "app/b-c/", "app/ü/"]);
        let end = chance.pick(&[".yaml", ".yaml", ".yaml", ".yml", ".json", ".yaml.bak", ".txt", ".YAML"]);
        let name =
            format!("{folder}{}{at}{end}", chance.pick(&["web", "a", "x-y", ".hidden", "values", "a[1]"]));
        if chance.one_in(9) {
            let targets = [
                "a.yaml",
                "../a.yaml",
                "../outside.yaml",
                "deep",
                "nowhere.yaml",
                ".",
                "../../etc/passwd",
                "/etc/hostname",
            ];
            links.insert(name, chance.pick(&targets).to_string());
        } else {
            let text = if end == ".json" { json_file(chance) } else { yaml_file(chance) };
            files.insert(name, text);
        }
    }
    let globs = [
        "*",
        "*.yaml",
        "{*.yml,*.json}",
        "deep/*",
        "**/*.yaml",
        "a*",
        "web?.yaml",
        "[a-w]*.yaml",
        "[!a]*",
        "*/er/*",
        "{a.yaml,deep/**}",
        "deep",
        "*.{yaml,yml}",
        "a\\[*",
        "",
    ];
    let glob = |chance: &mut Chance| if chance.one_in(3) { chance.pick(&globs) } else { "" };
    json!({
        "id": number, "kind": "directory", "files": files, "links": links, "recurse": chance.one_in(2),
        "include": glob(chance), "exclude": glob(chance),
    })
}

fn object(chance: &mut Chance, name: &str) -> String {
    let kind = chance.pick(&["ConfigMap", "Service", "Widget", "ConfigMapList"]);
    let number = chance.pick(&["1", "1.5", "1000000", "0777", "yes", "1e3", "2001-01-01", "\"1\""]);
    format!("apiVersion: v1\nkind: {kind}\nmetadata:\n  name: {name}\nspec:\n  n: {number}\n")
}

fn yaml_file(chance: &mut Chance) -> String {
    let mut text = String::new();
    if chance.one_in(15) {
        text.push_str("# +argocd:skip-file-rendering\n");
    }
    for at in 0..1 + chance.below(3) {
        if at > 0 {
            text.push_str(chance.pick(&[
                "---\n",
                "---\n",
                "---\n",
                "--- # c\n",
                "---\n---\n",
                "--- x\n",
                "...\n---\n",
                "\n---\n\n",
            ]));
        }
        match chance.below(16) {
            0 => text.push_str("# only a comment\n"),
            1 => text.push_str("{}\n"),
            2 => text.push_str("image: {tag: 1}\nreplicas: 2\n"),
            3 => text.push_str("a: b: c\n"),
            4 => text.push_str("- 1\n- 2\n"),
            5 => text.push_str("just text\n"),
            6 => text.push_str("apiVersion: v1\nmetadata: {name: kindless}\n"),
            7 => text.push_str("kind: A\nmetadata: {name: versionless}\n"),
            8 => text.push_str(chance.pick(&[
                "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: A, metadata: {name: i}}\n- {apiVersion: v1, kind: B}\n",
                "apiVersion: v1\nkind: List\nitems: []\n",
                "apiVersion: v1\nkind: List\nitems: null\n",
                "apiVersion: v1\nkind: List\nitems: [1]\n",
                "apiVersion: v1\nkind: Odd\nitems: {a: 1}\n",
                "apiVersion: v1\nkind: Odd\nspec: {}\nitems: null\n",
                "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: C}]}\n",
            ])),
            9 => text.push_str("{\"apiVersion\": \"v1\", \"kind\": \"J\", \"n\": 1.50}\n"),
            10 => text.push_str("{\"apiVersion\": \"v1\", \"kind\": \"J\"} {\"apiVersion\": \"v1\", \"kind\": \"K\"}\n"),
            _ => text.push_str(&object(chance, &format!("o{at}"))),
        }
    }
    text
}

fn json_file(chance: &mut Chance) -> String {
    chance
        .pick(&[
            r#"{"apiVersion": "v1", "kind": "J", "metadata": {"name": "j"}, "n": [1, 2.50, 1e3, null]}"#,
            r#"{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "A"}]}"#,
            r#"{"apiVersion": "v1", "kind": "J"} {"apiVersion": "v1", "kind": "K"}"#,
            r#"{"apiVersion": "v1", "kind": "J"}  "#,
            r#"{"apiVersion": "v1", "kind": }"#,
            "[]",
        ])
        .to_string()
}
