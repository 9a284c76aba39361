//! What of a commit is no part of a Flux source: rules in `.gitignore`'s form, of `.sourceignore` files and of the
//! source's object, after Flux' own (pictures, archives, what belongs to Git and to build services).

use std::cell::RefCell;
use std::collections::HashMap;

use render::tree::{Entry, Reader};

/// Flux' own rules.
const DEFAULTS: &str = "\
.git/\n.gitignore\n.gitmodules\n.gitattributes\n\
*.jpg\n*.jpeg\n*.gif\n*.png\n*.wmv\n*.flv\n*.tar.gz\n*.zip\n\
.github/\n.circleci/\n.travis.yml\n.gitlab-ci.yml\nappveyor.yml\n.drone.yml\n\
cloudbuild.yaml\ncodeship-services.yml\ncodeship-steps.yml\n\
**/.goreleaser.yml\n**/.sops.yaml\n**/.flux.yaml\n";
const FILE: &str = ".sourceignore";

#[derive(Clone, Debug)]
struct Rule {
    pattern: String,
    /// Takes back what an earlier rule left out.
    again: bool,
    directory: bool,
    /// Seen from the rule's own directory, not at any depth.
    anchored: bool,
    /// The directory of the file that the rule is in, with a slash at its end; empty: the root.
    within: String,
}

fn rules(text: &str, directory: &str) -> Vec<Rule> {
    let within = if directory.is_empty() { String::new() } else { format!("{directory}/") };
    let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (again, line) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
            let (directory, line) = line.strip_suffix('/').map_or((false, line), |rest| (true, rest));
            let anchored = line.contains('/');
            Rule {
                pattern: line.trim_start_matches('/').to_string(),
                again,
                directory,
                anchored,
                within: within.clone(),
            }
        })
        .collect()
}

impl Rule {
    fn fits(&self, path: &str, is_directory: bool) -> bool {
        let Some(path) = path.strip_prefix(&self.within) else { return false };
        if self.directory && !is_directory {
            return false;
        }
        if self.anchored {
            let pattern: Vec<&str> = self.pattern.split('/').collect();
            let path: Vec<&str> = path.split('/').collect();
            return path_fits(&pattern, &path);
        }
        name_fits(&self.pattern, path.rsplit('/').next().unwrap_or(path))
    }
}

/// Whether a path fits a pattern, both in names; `**` stands for any number of folders, and at the end for all inside.
fn path_fits(pattern: &[&str], path: &[&str]) -> bool {
    // From the end: whether the rest of the path fits the rest of the pattern.
    let mut fits = vec![false; path.len() + 1];
    fits[path.len()] = true;
    for (at, part) in pattern.iter().enumerate().rev() {
        let mut now = vec![false; path.len() + 1];
        for from in (0..=path.len()).rev() {
            now[from] = match *part {
                "**" if at + 1 == pattern.len() => from < path.len(),
                "**" => fits[from] || (from < path.len() && now[from + 1]),
                part => from < path.len() && fits[from + 1] && name_fits(part, path[from]),
            };
        }
        fits = now;
    }
    fits[0]
}

/// Whether a name fits a pattern of `*`, `?`, `[a-z]` and `\\`, in a time that grows with their lengths' product.
fn name_fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut from) = (0, 0);
    // Where the last star is, and up to where it reaches now.
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(at) {
            None if from == name.len() => return true,
            Some('*') => {
                star = Some((at, from));
                at += 1;
                continue;
            }
            _ if from == name.len() => None,
            None => None,
            Some(_) => one_fits(&pattern[at..], name[from]),
        };
        match (step, star) {
            (Some(taken), _) => {
                at += taken;
                from += 1;
            }
            (None, Some((back, reach))) if reach < name.len() => {
                star = Some((back, reach + 1));
                at = back + 1;
                from = reach + 1;
            }
            _ => return false,
        }
    }
}

/// How much of the pattern one letter takes; `None`: it does not fit.
fn one_fits(pattern: &[char], letter: char) -> Option<usize> {
    match pattern[0] {
        '?' => Some(1),
        '\\' => (*pattern.get(1)? == letter).then_some(2),
        '[' => {
            let negated = matches!(pattern.get(1)?, '!' | '^');
            let first = if negated { 2 } else { 1 };
            // A bracket that comes first is a letter like others.
            let close = first + 1 + pattern.get(first + 1..)?.iter().position(|one| *one == ']')?;
            let set = &pattern[first..close];
            let range = |three: &[char]| three[1] == '-' && (three[0]..=three[2]).contains(&letter);
            let has = set.contains(&letter) || set.windows(3).any(range);
            (has != negated).then_some(close + 1)
        }
        plain => (plain == letter).then_some(1),
    }
}

/// A reader without what is ignored.
pub struct Filtered<R> {
    inner: R,
    defaults: Vec<Rule>,
    /// Of the source's object: they come last.
    last: Vec<Rule>,
    files: RefCell<HashMap<String, Vec<Rule>>>,
}

impl<R: Reader> Filtered<R> {
    pub fn new(inner: R, last: &str) -> Filtered<R> {
        let (defaults, last) = (rules(DEFAULTS, ""), rules(last, ""));
        Filtered { inner, defaults, last, files: RefCell::default() }
    }

    fn of_directory(&self, directory: &str) -> std::io::Result<Vec<Rule>> {
        if let Some(known) = self.files.borrow().get(directory) {
            return Ok(known.clone());
        }
        let path = render::tree::join(directory, FILE);
        let found = match self.inner.entry(&path)? {
            Some(Entry::File { .. }) => rules(&String::from_utf8_lossy(&self.inner.read(&path)?), directory),
            _ => Vec::new(),
        };
        self.files.borrow_mut().insert(directory.into(), found.clone());
        Ok(found)
    }

    /// Whether a path, or a directory above it, is left out.
    fn is_ignored(&self, path: &str, is_directory: bool) -> std::io::Result<bool> {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let mut from_files = self.of_directory("")?;
        for end in ends {
            let part = &path[..end];
            let directory = is_directory || end < path.len();
            let all = self.defaults.iter().chain(&from_files).chain(&self.last);
            let verdict = all.rev().find(|rule| rule.fits(part, directory));
            if verdict.is_some_and(|rule| !rule.again) {
                return Ok(true);
            }
            if end < path.len() {
                from_files.extend(self.of_directory(part)?);
            }
        }
        Ok(false)
    }
}

impl<R: Reader> Reader for Filtered<R> {
    fn entry(&self, path: &str) -> std::io::Result<Option<Entry>> {
        let Some(entry) = self.inner.entry(path)? else { return Ok(None) };
        Ok((!self.is_ignored(path, entry == Entry::Directory)?).then_some(entry))
    }
    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        self.inner.read(path)
    }
    fn list(&self, path: &str) -> std::io::Result<Vec<String>> {
        let mut names = Vec::new();
        for name in self.inner.list(path)? {
            if self.entry(&render::tree::join(path, &name))?.is_some() {
                names.push(name);
            }
        }
        Ok(names)
    }
}

#[cfg(test)]
pub(crate) fn memory(files: &[(&'static str, &'static str)]) -> impl Reader + use<> {
    tests::Memory(files.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) struct Memory(pub(super) Vec<(&'static str, &'static str)>);

    impl Reader for Memory {
        fn entry(&self, path: &str) -> std::io::Result<Option<Entry>> {
            if let Some((_, text)) = self.0.iter().find(|(name, _)| *name == path) {
                return Ok(Some(Entry::File { size: text.len() as u64 }));
            }
            let below = format!("{path}/");
            Ok(self.0.iter().any(|(name, _)| name.starts_with(&below)).then_some(Entry::Directory))
        }
        fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
            let found = self.0.iter().find(|(name, _)| *name == path);
            found.map(|(_, text)| text.as_bytes().to_vec()).ok_or_else(|| std::io::ErrorKind::NotFound.into())
        }
        fn list(&self, path: &str) -> std::io::Result<Vec<String>> {
            let inside = if path.is_empty() { String::new() } else { format!("{path}/") };
            let below = self.0.iter().filter_map(|(name, _)| name.strip_prefix(&inside));
            let names: std::collections::BTreeSet<String> =
                below.map(|rest| rest.split('/').next().unwrap_or(rest).to_string()).collect();
            Ok(names.into_iter().collect())
        }
    }

    #[test]
    fn patterns_are_those_of_git() {
        for (rule, path, expected) in [
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "a/x/c", false),
            ("**/b", "b", true),
            ("**/b", "x/y/b", true),
            ("a/**", "a/x/y", true),
            ("a/**", "a", false),
            ("/b", "b", true),
            ("/b", "a/b", false),
            ("b", "a/b", true),
            ("*.tar.gz", "a/x.tar.gz", true),
            ("a/*.yaml", "a/b/c.yaml", false),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxbxxcx", false),
            ("[a-c]?", "bx", true),
            ("[!a-c]?", "bx", false),
            ("\\!x", "!x", true),
            ("{a,b}", "a", false),
            ("x*", "x", true),
        ] {
            assert_eq!(rules(rule, "")[0].fits(path, false), expected, "{rule} {path}");
        }
        let long = "a".repeat(5_000);
        assert!(!name_fits(&"*a".repeat(50), &format!("{long}b")));
    }

    #[test]
    fn rules_leave_out_and_take_back() {
        let tree = Memory(vec![
            (".sourceignore", "# only apps\n/*\n!/apps/\n"),
            ("apps/a.yaml", ""),
            ("apps/logo.png", ""),
            ("apps/deep/.sourceignore", "secret.yaml\n"),
            ("apps/deep/secret.yaml", ""),
            ("apps/deep/fine.yaml", ""),
            ("apps/other/secret.yaml", ""),
            ("infra/b.yaml", ""),
            ("apps/tmp/x.yaml", ""),
        ]);
        let tree = Filtered::new(tree, "tmp/\n");
        for (path, there) in [
            ("apps/a.yaml", true),
            ("apps/logo.png", false),
            ("apps/deep/secret.yaml", false),
            ("apps/deep/fine.yaml", true),
            ("apps/other/secret.yaml", true),
            ("infra/b.yaml", false),
            ("apps/tmp/x.yaml", false),
            ("apps", true),
        ] {
            assert_eq!(tree.entry(path).unwrap().is_some(), there, "{path}");
        }
    }
}
