//! What both decoders here make of a text, and whether that is what upstream's make of it. Also what a test of kept answers asks.

use api::Value as Tree;
use render::goyaml::kyaml;
use render::yaml;
use serde_json::{Value, json};

/// What one side made of a question, or its error.
pub type Answer = Result<Value, String>;

/// Both answers to a document, each `{"out"}` or `{"error"}`.
pub fn ours(asked: &Value) -> Answer {
    let text = asked["text"].as_str().unwrap_or_default();
    let told = |answer: Result<Value, String>| match answer {
        Ok(out) => json!({"out": out}),
        Err(error) => json!({"error": error}),
    };
    let helm =
        render::helm::engine::yaml_both_ways(text).map(|(json, yaml)| json!({"json": json, "yaml": yaml}));
    let kustomize = kyaml::documents(text).and_then(|all| {
        let mut out = String::new();
        for document in all {
            match &document.value {
                Tree::Null => continue,
                Tree::Object(map) if map.is_empty() => continue,
                Tree::Array(items) if items.is_empty() => continue,
                Tree::Object(_) => {}
                _ => return Err("not a map".into()),
            }
            yaml::emit(&document.value, &mut out);
            out.push_str("---\n");
        }
        Ok(out.into())
    });
    let (helm, kustomize) = (told(helm), told(kustomize));
    match (&helm["error"], &kustomize["error"]) {
        (Value::String(_), Value::String(_)) => Err(json!([helm, kustomize]).to_string()),
        _ => Ok(json!([helm, kustomize])),
    }
}

/// Both pairs of answers, of Helm's reader and of Kustomize's.
pub fn pairs(theirs: &Answer, ours: &Answer) -> [(Value, Value); 2] {
    let read = |answer: &Answer| match answer {
        Ok(out) => out.clone(),
        Err(text) => serde_json::from_str(text).unwrap_or_else(|_| json!([{"panic": text}, {"panic": text}])),
    };
    let (theirs, ours) = (read(theirs), read(ours));
    [0, 1].map(|at| (theirs[at].clone(), ours[at].clone()))
}

pub fn same(theirs: &Answer, ours: &Answer) -> bool {
    let [helm, kustomize] = pairs(theirs, ours);
    let refused = |one: &Value| one["error"].is_string();
    helm.0 == helm.1 && (kustomize.0 == kustomize.1 || refused(&kustomize.0) && refused(&kustomize.1))
}
