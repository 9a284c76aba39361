//! Paths of fields by jq expressions, as `ignoreDifferences.jqPathExpressions` has them.
//!
//! Runs in the child only: an expression that never ends meets the child's limit of processor time.

use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, data, unwrap_valr};
use jaq_json::{Val, read};
use serde::{Deserialize, Serialize};

use api::Value;

/// Which fields of which objects; empty texts and `*` match everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Expressions {
    pub group: String,
    pub kind: String,
    pub name: String,
    pub namespace: String,
    pub expressions: Vec<String>,
}

/// The most paths that one expression may name in one object.
const PATHS: usize = 10_000;

type Filter = jaq_core::Filter<data::JustLut<Val>>;

/// A compiled expression.
pub struct Program {
    filter: Filter,
    text: String,
}

impl Program {
    /// Compiles an expression; the error names it.
    pub fn new(text: &str) -> Result<Program, String> {
        let code = format!("path({text})");
        let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
        let funs = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
        let arena = Arena::default();
        let modules = Loader::new(defs)
            .load(&arena, File { code: code.as_str(), path: () })
            .map_err(|_| format!("jqPathExpressions: {text:?} is no jq expression"))?;
        let filter = Compiler::default()
            .with_funs(funs)
            .compile(modules)
            .map_err(|_| format!("jqPathExpressions: {text:?} names a function that is not there"))?;
        Ok(Program { filter, text: text.into() })
    }

    /// The paths in a document, as JSON pointers. An expression that does not fit the document names none.
    pub fn pointers(&self, document: &[u8]) -> Result<Vec<String>, String> {
        let input = read::parse_single(document).map_err(|error| format!("{}: {error}", self.text))?;
        let context = Ctx::<data::JustLut<Val>>::new(&self.filter.lut, Vars::new([]));
        let mut all = Vec::new();
        for output in self.filter.id.run((context, input)).map(unwrap_valr) {
            let Ok(path) = output else { break };
            let parts: Vec<serde_json::Value> =
                serde_json::from_str(&path.to_string()).map_err(|error| format!("{}: {error}", self.text))?;
            all.push(parts.iter().map(pointer_part).collect());
            if all.len() > PATHS {
                return Err(format!("jqPathExpressions: {:?} names more than {PATHS} fields", self.text));
            }
        }
        Ok(all)
    }
}

fn pointer_part(part: &serde_json::Value) -> String {
    let text = part.as_str().map_or_else(|| part.to_string(), Into::into);
    format!("/{}", text.replace('~', "~0").replace('/', "~1"))
}

/// The top-level field in which a rendered document carries the pointers of its masked fields to the engine.
pub const MASKED: &str = "skiff-masked-fields";

/// Compiled expressions, and for which objects they are.
pub struct Masks(Vec<(Expressions, Vec<Program>)>);

impl Masks {
    pub fn new(all: &[Expressions]) -> Result<Masks, String> {
        let compile = |one: &Expressions| {
            let programs: Result<Vec<_>, _> = one.expressions.iter().map(|text| Program::new(text)).collect();
            Ok((one.clone(), programs?))
        };
        Ok(Masks(all.iter().map(compile).collect::<Result<_, String>>()?))
    }

    /// Writes into a document which of its fields are masked.
    pub fn note(&self, document: &mut Value) -> Result<(), String> {
        let api_version = document.str_at(&["apiVersion"]);
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let fits = |pattern: &str, text: &str| pattern.is_empty() || pattern == "*" || pattern == text;
        let mut pointers: Vec<String> = Vec::new();
        for (one, programs) in &self.0 {
            // The namespace is not known before the destination's is put in; a mask that names one is for all without.
            let namespace = document.str_at(&["metadata", "namespace"]);
            let here = (one.group == "*" || one.group == group)
                && fits(&one.kind, document.str_at(&["kind"]))
                && fits(&one.name, document.str_at(&["metadata", "name"]))
                && (namespace.is_empty() || fits(&one.namespace, namespace));
            if here {
                let text = document.to_json();
                for program in programs {
                    pointers.extend(program.pointers(&text)?);
                }
            }
        }
        if !pointers.is_empty() {
            let all = pointers.iter().map(|one| Value::from(one.as_str())).collect();
            document.set(&[MASKED], Value::Array(all));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPLOYMENT: &str = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a","annotations":{"x/y":"1"}},
        "spec":{"template":{"spec":{"containers":[{"name":"a"},{"name":"injected","image":"i"}]}}}}"#;

    #[test]
    fn expressions_name_fields() {
        for (text, expected) in [
            (".spec.replicas", vec!["/spec/replicas"]),
            (
                r#".spec.template.spec.containers[] | select(.name == "injected")"#,
                vec!["/spec/template/spec/containers/1"],
            ),
            (
                r#".spec.template.spec.containers[]? | select(.name | test("^inj")) | .image"#,
                vec!["/spec/template/spec/containers/1/image"],
            ),
            (r#".metadata.annotations."x/y""#, vec!["/metadata/annotations/x~1y"]),
            (".kind[]", vec![]),
        ] {
            assert_eq!(
                Program::new(text).unwrap().pointers(DEPLOYMENT.as_bytes()).unwrap(),
                expected,
                "{text}"
            );
        }
        assert!(Program::new(".spec[").err().unwrap().contains("is no jq expression"));
        assert!(Program::new("nothing_such").err().unwrap().contains("not there"));
    }

    #[test]
    fn documents_carry_what_is_masked() {
        let one = Expressions {
            group: "apps".into(),
            kind: "Deployment".into(),
            expressions: vec![".spec.replicas".into()],
            ..Expressions::default()
        };
        let masks = Masks::new(&[one]).unwrap();
        let mut document: Value = serde_json::from_str(DEPLOYMENT).unwrap();
        masks.note(&mut document).unwrap();
        assert_eq!(document.get(MASKED).unwrap().to_string(), r#"["/spec/replicas"]"#);
        let mut other: Value = serde_json::from_str(r#"{"apiVersion":"v1","kind":"Service"}"#).unwrap();
        masks.note(&mut other).unwrap();
        assert!(other.get(MASKED).is_none());
    }
}
