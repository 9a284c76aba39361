//! Charts and kustomizations of others, wherever they lie on this machine, rendered here and by upstream's programs.
//!
//! Each chart is rendered with its own values, with each file of values in its `ci` folder, and with values of its own changed by
//! chance. Where a chart throws dice, upstream renders it three times, and lines that differ among these are not compared.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use render::go::World;
use render::helm::{Chart, Options, ValuesFile, template};
use render::{Tree, kustomize};

use crate::chance::Chance;
use crate::trees::first_difference;

/// The machine's clock and chance; zones are those that are built in.
pub struct Machine;

impl World for Machine {
    fn now(&self) -> i128 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128)
    }
    fn random(&self, buffer: &mut [u8]) {
        std::fs::File::open("/dev/urandom").unwrap().read_exact(buffer).unwrap();
    }
    fn zone(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}

/// Folders below `root` that hold one of the named files, sorted.
pub fn find(root: &Path, names: &[&str], out: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(root) else { return };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    if entries.iter().any(|entry| names.iter().any(|name| entry.file_name() == *name)) {
        out.push(root.to_path_buf());
    }
    for entry in entries {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            find(&entry.path(), names, out);
        }
    }
}

/// Packed charts below `root`, sorted.
fn archives(root: &Path, out: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(root) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() && !path.is_symlink() {
            archives(&path, out);
        } else if path.extension().is_some_and(|end| end == "tgz") {
            out.push(path);
        }
    }
}

pub fn inside(path: &Path) -> String {
    path.strip_prefix("/").unwrap_or(path).to_string_lossy().into_owned()
}

/// An error; what upstream says of a schema has no order, as its properties have none.
fn orderless(error: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = error.trim_end().lines().collect();
    if error.starts_with("values don't meet the specifications") {
        lines.sort_unstable();
    }
    lines
}

#[derive(Default)]
struct Tally {
    same: usize,
    refused: usize,
    other: Vec<String>,
}

impl Tally {
    fn add(
        &mut self,
        name: &str,
        ours: Result<String, String>,
        theirs: &mut dyn FnMut() -> Result<String, String>,
    ) {
        let first = theirs();
        let reason = match (&ours, &first) {
            (Ok(ours), Ok(theirs)) if ours == theirs => {
                self.same += 1;
                return;
            }
            (Err(ours), Err(theirs)) if orderless(ours) == orderless(theirs) => {
                self.refused += 1;
                return;
            }
            (Err(ours), Err(theirs)) => {
                format!("both fail, in other words:\n    ours   {ours}\n    theirs {theirs}")
            }
            (Ok(ours), Ok(one)) => {
                let again = [theirs(), theirs()];
                let all: Vec<&str> =
                    std::iter::once(one).chain(again.iter().flatten()).map(String::as_str).collect();
                match unexplained(ours, &all) {
                    Some(reason) => reason,
                    None => {
                        self.same += 1;
                        return;
                    }
                }
            }
            (Err(error), Ok(_)) => format!("we fail: {error}"),
            (Ok(_), Err(error)) => format!("they fail: {error}"),
        };
        println!("OTHER {name}: {reason}");
        self.other.push(name.to_string());
    }

    fn tell(&self, what: &str) -> bool {
        println!(
            "{what}: {} same, {} refused with the same words, {} other",
            self.same,
            self.refused,
            self.other.len()
        );
        self.other.is_empty()
    }
}

/// The first line of `ours` that is not what all of `theirs` have in common; none if that is so throughout.
pub fn unexplained(ours: &str, theirs: &[&str]) -> Option<String> {
    let lines: Vec<Vec<&str>> = theirs.iter().map(|text| text.lines().collect()).collect();
    let ours: Vec<&str> = ours.lines().collect();
    if lines.iter().any(|other| other.len() != ours.len()) {
        return Some(first_difference(&ours.join("\n"), theirs[0]));
    }
    let at = ours.iter().enumerate().position(|(at, line)| {
        let first = lines[0][at];
        lines.iter().all(|other| other[at] == first) && *line != first
    })?;
    Some(format!("line {}:\n    ours   {}\n    theirs {}", at + 1, ours[at], lines[0][at]))
}

fn run_program(program: &str, words: &[String], error_from: &str) -> Result<String, String> {
    let done = Command::new(program).args(words).output().expect("the program starts");
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    let from = text.find(error_from).unwrap_or(0);
    Err(text[from..].trim_end().trim_start_matches(error_from).to_string())
}

/// Compares every chart below `root` with `$HELM template`.
pub fn charts(root: &str, variants: usize, seed: u64) -> bool {
    let helm = std::env::var("HELM").unwrap_or_else(|_| "helm".into());
    let mut found = Vec::new();
    find(Path::new(root), &["Chart.yaml"], &mut found);
    archives(Path::new(root), &mut found);
    let mut tally = Tally::default();
    for (number, path) in found.iter().enumerate() {
        let mut cases: Vec<(String, Option<PathBuf>, Option<String>)> = vec![("default".into(), None, None)];
        if let Ok(ci) = std::fs::read_dir(path.join("ci")) {
            let mut files: Vec<PathBuf> = ci.flatten().map(|entry| entry.path()).collect();
            files.sort();
            files.retain(|file| file.extension().is_some_and(|end| end == "yaml"));
            cases.extend(files.into_iter().map(|file| (file.display().to_string(), Some(file), None)));
        }
        let own = std::fs::read_to_string(path.join("values.yaml")).unwrap_or_default();
        for variant in 0..variants {
            let mut chance = Chance::new(seed.wrapping_add((number * 1000 + variant) as u64));
            if let Some(text) = changed(&own, &mut chance) {
                cases.push((
                    format!("changed {variant}: {}", text.trim().replace('\n', "; ")),
                    None,
                    Some(text),
                ));
            }
        }
        let scratch = tempfile::NamedTempFile::new().unwrap();
        for (name, file, text) in cases {
            let file = match text {
                Some(text) => {
                    std::fs::write(scratch.path(), text).unwrap();
                    Some(scratch.path().to_path_buf())
                }
                None => file,
            };
            let mut words: Vec<String> =
                ["template", "release-name", &path.display().to_string(), "--namespace", "default"]
                    .map(Into::into)
                    .into();
            let mut options = Options::new("release-name", "default");
            if let Some(file) = &file {
                words.extend(["-f".into(), file.display().to_string()]);
                let text = std::fs::read_to_string(file).unwrap();
                options.values.push(ValuesFile { name: file.display().to_string(), text });
            }
            let ours = Chart::load(&Tree::directory("/"), &inside(path))
                .map_err(|error| error.to_string())
                .and_then(|chart| template(&chart, &options, &Machine).map_err(|error| error.to_string()))
                .map(|rendered| rendered.text);
            let mut theirs = || run_program(&helm, &words, "Error: ");
            tally.add(&format!("{} [{name}]", path.display()), ours, &mut theirs);
        }
    }
    tally.tell(&format!("{} charts", found.len()))
}

/// Some of a chart's own values, changed: flags turned round, lists emptied, texts and numbers replaced.
fn changed(own: &str, chance: &mut Chance) -> Option<String> {
    let value = render::goyaml::all(own).ok()?.into_iter().next()?;
    let mut leaves = Vec::new();
    leaves_of(&value, &mut Vec::new(), &mut leaves);
    if leaves.is_empty() {
        return None;
    }
    let mut tree: BTreeMap<Vec<String>, String> = BTreeMap::new();
    for _ in 0..2 + chance.below(6) {
        let (path, leaf) = &leaves[chance.below(leaves.len())];
        let text = match leaf {
            api::Value::Bool(flag) => (!flag).to_string(),
            api::Value::Int(_) | api::Value::Float(_) => {
                chance.pick(&["0", "1", "3", "1000000", "2.5"]).to_string()
            }
            api::Value::Array(_) => chance.pick(&["[]", "[a, b]", "[{name: x, value: \"1\"}]"]).to_string(),
            api::Value::Object(_) => chance.pick(&["{}", "{a: b}", "{k: \"1\", l: 2}"]).to_string(),
            api::Value::Null => chance.pick(&["x", "{}", "[]", "1", "true"]).to_string(),
            api::Value::String(_) => {
                chance.pick(&["\"\"", "abc", "\"5\"", "a-b.c", "null", "\"{{ .Release.Name }}\""]).to_string()
            }
        };
        tree.insert(path.clone(), text);
    }
    let mut out = String::new();
    write_nested(&tree.into_iter().collect::<Vec<_>>(), 0, &mut out);
    Some(out)
}

fn leaves_of(value: &api::Value, at: &mut Vec<String>, out: &mut Vec<(Vec<String>, api::Value)>) {
    match value {
        api::Value::Object(map) if !map.is_empty() => {
            for (key, value) in map.iter() {
                at.push(key.to_string());
                leaves_of(value, at, out);
                at.pop();
            }
        }
        _ if at.is_empty() => {}
        other => out.push((at.clone(), other.clone())),
    }
}

fn write_nested(entries: &[(Vec<String>, String)], depth: usize, out: &mut String) {
    let mut from = 0;
    while from < entries.len() {
        let key = &entries[from].0[depth];
        let to = entries[from..].iter().position(|(path, _)| path[depth] != *key);
        let to = to.map_or(entries.len(), |length| from + length);
        let quoted = serde_json::to_string(key).unwrap();
        if entries[from].0.len() == depth + 1 {
            out.push_str(&format!("{}{quoted}: {}\n", "  ".repeat(depth), entries[from].1));
        } else {
            out.push_str(&format!("{}{quoted}:\n", "  ".repeat(depth)));
            write_nested(&entries[from..to], depth + 1, out);
        }
        from = to;
    }
}

/// Compares every kustomization below `root` with `$KUSTOMIZE build`; those that name something on a network are left out.
pub fn kustomizations(root: &str) -> bool {
    let program = std::env::var("KUSTOMIZE").unwrap_or_else(|_| "kustomize".into());
    let mut found = Vec::new();
    find(Path::new(root), &["kustomization.yaml", "kustomization.yml", "Kustomization"], &mut found);
    let (mut tally, mut elsewhere) = (Tally::default(), 0);
    for path in &found {
        let options = kustomize::Options { world: Some(&Machine), ..Default::default() };
        let ours = kustomize::build_options(&Tree::directory("/"), &inside(path), &options)
            .map(|documents| render::print(&documents))
            .map_err(|error| error.to_string());
        if ours.as_ref().is_err_and(|error| error.contains("nothing is fetched")) {
            elsewhere += 1;
            continue;
        }
        let words = ["build".to_string(), path.display().to_string()];
        let mut theirs = || run_program(&program, &words, "Error: ");
        // The words of Kustomize's errors are not ours: it names no field.
        match (ours, theirs()) {
            (Err(_), Err(_)) => tally.refused += 1,
            (ours, _) => tally.add(&path.display().to_string(), ours, &mut theirs),
        }
    }
    println!("{elsewhere} kustomizations need a network");
    tally.tell(&format!("{} kustomizations", found.len()))
}
