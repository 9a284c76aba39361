//! Which tests of `conformance/tests.tsv` a run is for.

use anyhow::{Context, Result, bail};
use regex::Regex;

use crate::Args;

/// The suite's tests: stage, images, name.
const TESTS: &str = include_str!("../../../../../conformance/tests.tsv");

/// One test of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Test {
    pub name: &'static str,
    pub stage: &'static str,
    /// Short names of the images that it runs.
    images: &'static str,
}

impl Test {
    /// The interest group that owns it, as its name begins.
    pub fn sig(&self) -> &'static str {
        self.name.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or("other", |(sig, _)| sig)
    }

    /// It must have the cluster to itself.
    pub fn serial(&self) -> bool {
        self.name.contains("[Serial]")
    }

    pub fn images(&self) -> impl Iterator<Item = &'static str> {
        self.images.split('+').filter(|image| *image != "-")
    }
}

/// The tests that the arguments ask for, in the order of their names.
pub fn select(args: &Args) -> Result<Vec<Test>> {
    let regex = |text: &Option<String>| {
        text.as_ref()
            .map(|text| Regex::new(text).with_context(|| format!("not a regular expression: {text}")))
            .transpose()
    };
    let (focus, skip) = (regex(&args.focus)?, regex(&args.skip)?);
    let mut tests: Vec<Test> = all()
        .filter(|test| args.stage.is_empty() || args.stage.iter().any(|stage| stage == test.stage))
        .filter(|test| focus.as_ref().is_none_or(|focus| focus.is_match(test.name)))
        .filter(|test| !skip.as_ref().is_some_and(|skip| skip.is_match(test.name)))
        .collect();
    tests.sort_unstable();
    if tests.is_empty() {
        bail!("no test of conformance/tests.tsv is in that stage, matches the focus and is not skipped");
    }
    Ok(tests)
}

fn all() -> impl Iterator<Item = Test> {
    TESTS.lines().skip(1).filter_map(|line| {
        let mut fields = line.split('\t');
        let (stage, images, name) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Test { name, stage, images })
    })
}

/// A name as a regular expression for it alone.
pub fn escape(name: &str) -> String {
    let special = |letter: char| r"\.+*?()|[]{}^$".contains(letter);
    name.chars().flat_map(|letter| special(letter).then_some('\\').into_iter().chain([letter])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_chosen_by_stage_and_name() {
        let chosen = |words: &[&str]| {
            let args =
                <Args as clap::Parser>::try_parse_from([&["conformance", "--suite", "x"], words].concat())
                    .unwrap();
            select(&args).map(|tests| tests.len()).ok()
        };
        assert_eq!(chosen(&[]), Some(446));
        assert_eq!(chosen(&["--stage", "A"]), Some(103));
        assert_eq!(chosen(&["--stage", "A,B"]), Some(146));
        let sysctls = ["--stage", "B,C", "--focus", "^\\[sig-node\\] Sysctls"];
        assert_eq!(chosen(&sysctls), Some(2));
        assert_eq!(chosen(&[&sysctls[..], &["--skip", "reject"]].concat()), Some(1));
        assert_eq!(chosen(&["--stage", "H"]), None);
        assert_eq!(chosen(&["--focus", "("]), None);
    }

    #[test]
    fn a_test_tells_its_group_and_images() {
        let test = all().find(|test| test.images == "agnhost+busybox").unwrap();
        assert_eq!(test.images().collect::<Vec<_>>(), ["agnhost", "busybox"]);
        assert!(all().all(|test| test.sig().starts_with("sig-")), "a name without its group");
        assert_eq!(escape("a [b] (c)"), r"a \[b\] \(c\)");
    }
}
