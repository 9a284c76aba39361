//! Lines of `--set` and its kin, right ones and wrong ones.

use serde_json::{Value, json};

use crate::answer;
use crate::chance::Chance;
use crate::compare::{Layer, both};

fn line(chance: &mut Chance) -> String {
    let parts = [
        "a",
        "b",
        "a.b",
        "c[0]",
        "c[1].d",
        "e[0][1]",
        "=",
        "=1",
        "=x",
        "=true",
        "=null",
        "={1,2}",
        "={}",
        "={a",
        ",",
        "\\,",
        "\\.",
        ".",
        "[",
        "]",
        "[-1]",
        "[x]",
        "=0",
        "=007",
        "=1.5",
        "=9223372036854775808",
        "=a=b",
        " ",
        "=é",
        "\"q\"",
        "={\"j\":[1]}",
        "=[1,{\"k\":null}]",
        "=\"s\"",
        "a.b.c.d",
        "[99999]",
    ];
    (0..1 + chance.below(6)).map(|_| chance.pick(&parts)).collect()
}

fn question(number: usize, seed: u64) -> Value {
    let mut chance = Chance::new(seed ^ (number as u64).wrapping_mul(0x1000_0005));
    let chance = &mut chance;
    let files = json!({
        "Chart.yaml": "apiVersion: v2\nname: c\nversion: 0.1.0\n",
        "values.yaml": "a: {b: 1, c: [1, 2]}\nb: text\nc: [x, {d: 1}]\ne: null\n",
        "templates/a.yaml": "{{ toJson .Values }}",
    });
    let mut asked = json!({"id": number, "kind": "helm", "files": files, "name": "rel", "namespace": "ns"});
    let flag = chance.pick(&["set", "set", "set", "setString", "setJSON", "setLiteral"]);
    asked[flag] = json!([line(chance)]);
    asked
}

/// Asks `count` lines; true if every answer is the same.
pub fn run(count: usize, seed: u64) -> bool {
    let layer = Layer {
        name: "lines of flags",
        ours: &answer::answer,
        same: &|theirs, ours| theirs == ours,
        tell: &|asked, theirs, ours| {
            let mut about = asked.clone();
            if let Some(about) = about.as_object_mut() {
                about.remove("files");
            }
            format!("{about}\n{}", both(theirs, ours))
        },
        shown: 60,
        known: &[],
    };
    layer.run(count, seed, question)
}
