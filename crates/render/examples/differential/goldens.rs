//! The golden files of Helm's own tests of `helm template`: commands are read from the tests' source, carried out here, and compared.
//!
//! What is not carried out is told with its reason: flags that there are none of here, and the texts of a program's usage.

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use render::Tree;
use render::go::world::Fixed;
use render::helm::{Chart, Options, ValuesFile, template};

use crate::real::inside;

/// An argument of `fmt.Sprintf`.
static ARGUMENT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"filepath\.Join\(([^()]*)\)|"[^"]*"|\w+"#).unwrap());
/// A word of a command line.
static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?:'[^']*'|[^ '])+").unwrap());

struct Case {
    name: String,
    words: Vec<String>,
    golden: String,
}

/// The cases of a test file whose command begins with `template`.
fn cases(source: &str) -> Vec<Case> {
    let field = |text: &str, name: &str| -> Option<String> {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(&format!("{name}:"))?.trim().strip_suffix(','))?;
        Some(line.to_string())
    };
    let variable = |name: &str| {
        let found = Regex::new(&format!(r#"\b{name}\s*:?=\s*"([^"]*)""#)).unwrap().captures(source)?;
        Some(found[1].to_string())
    };
    let text_of = |text: &str| text.trim().trim_matches(['"', '`']).to_string();
    let mut out = Vec::new();
    for block in source.split("\n\t\t{\n").skip(1) {
        let (Some(name), Some(command), Some(golden)) =
            (field(block, "name"), field(block, "cmd"), field(block, "golden"))
        else {
            continue;
        };
        let command = match command.strip_prefix("fmt.Sprintf(").and_then(|rest| rest.strip_suffix(')')) {
            None => text_of(&command),
            Some(inner) => {
                let quote = &inner[..1];
                let (format, arguments) = inner[1..].split_once(quote).unwrap_or((inner, ""));
                let mut out = format.to_string();
                for argument in ARGUMENT.captures_iter(arguments) {
                    let value = match argument.get(1) {
                        Some(parts) => {
                            let parts = parts
                                .as_str()
                                .split(", ")
                                .map(|part| variable(part).unwrap_or_else(|| text_of(part)));
                            parts.collect::<Vec<_>>().join("/").replace("//", "/")
                        }
                        None => variable(&argument[0]).unwrap_or_else(|| text_of(&argument[0])),
                    };
                    out = out.replacen("%s", &value, 1);
                }
                out
            }
        };
        let words: Vec<String> =
            WORD.find_iter(&command).map(|word| word.as_str().replace('\'', "")).collect();
        if words.first().is_some_and(|word| word == "template") {
            out.push(Case { name: text_of(&name), words: words[1..].to_vec(), golden: text_of(&golden) });
        }
    }
    out
}

/// Carries a command out in `folder`; the inner error is a rendering's, the outer says why it is not carried out.
fn carry_out(folder: &Path, words: &[String]) -> Result<Result<String, String>, String> {
    let mut options = Options::new("release-name", "default");
    // What the module says; the program is linked with the version of its client.
    options.kube_version = "1.20.0".into();
    let mut chart = None;
    let mut words =
        words.iter().flat_map(|word| match word.split_once('=').filter(|(name, _)| name.starts_with("--")) {
            Some((name, value)) => vec![name.to_string(), value.to_string()],
            None => vec![word.clone()],
        });
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_default();
        match word.as_str() {
            "--set" => options.set.push(value()),
            "--set-string" => options.set_string.push(value()),
            "--show-only" => options.show_only.push(value()),
            "--kube-version" => options.kube_version = value(),
            "--api-versions" => options.api_versions.push(value()),
            "--include-crds" => options.include_crds = true,
            "--skip-tests" => options.skip_tests = true,
            "--values" | "-f" => {
                let name = value();
                let text = std::fs::read_to_string(folder.join(&name)).unwrap();
                options.values.push(ValuesFile { name, text });
            }
            flag if flag.starts_with('-') => return Err(format!("there is no flag {flag}")),
            path => chart = Some(path.to_string()),
        }
    }
    let Some(chart) = chart else { return Err("it asks for the text of a usage".into()) };
    let done = Chart::load(&Tree::directory("/"), &inside(&folder.join(chart)))
        .and_then(|chart| template(&chart, &options, &Fixed::at(0)));
    Ok(done.map(|done| done.text).map_err(|error| format!("Error: {error}\n")))
}

/// Compares with the golden files of the module's folder `cmd/helm`; true if all that is carried out gives the same.
pub fn run(module: &str) -> bool {
    let folder = Path::new(module).join("cmd/helm");
    let source = std::fs::read_to_string(folder.join("template_test.go")).unwrap();
    let (mut same, mut other, mut left) = (0, 0, 0);
    for case in cases(&source) {
        let expected = std::fs::read_to_string(folder.join("testdata").join(&case.golden)).unwrap();
        match carry_out(&folder, &case.words) {
            Err(reason) => {
                left += 1;
                println!("LEFT {}: {reason}", case.name);
            }
            Ok(done) => {
                let got = done.unwrap_or_else(|error| error);
                if got == expected {
                    same += 1;
                } else {
                    other += 1;
                    println!("OTHER {}\n  upstream {expected}\n  here     {got}", case.name);
                }
            }
        }
    }
    println!("template_test.go: {same} same, {other} other, {left} left out");
    other == 0
}
