//! `.helmignore`: patterns by upstream's rules, which are not Git's (`!` takes away everything that does not match).

use crate::go::path;

/// The patterns of a file, in order.
#[derive(Debug, Default)]
pub struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    negated: bool,
    directory: bool,
    place: Place,
    pattern: String,
}

#[derive(Debug, PartialEq)]
enum Place {
    /// The pattern holds a slash: the whole path is matched.
    Path,
    /// Only the last name is.
    Name,
}

impl Rules {
    pub fn parse(text: &str) -> Result<Rules, String> {
        let mut rules = Rules::default();
        for line in text.trim_start_matches('\u{feff}').lines() {
            rules.add(line)?;
        }
        Ok(rules)
    }

    /// Files in `templates` whose names start with a dot.
    pub fn add_defaults(&mut self) {
        self.add("templates/.?*").expect("because the pattern is constant");
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        if line.contains("**") {
            return Err("double-star (**) syntax is not supported".into());
        }
        path::matches(line, "abc").map_err(|()| "syntax error in pattern".to_string())?;
        let (negated, rule) = line.strip_prefix('!').map_or((false, line), |rule| (true, rule));
        let (directory, rule) = rule.strip_suffix('/').map_or((false, rule), |rule| (true, rule));
        let place = if rule.contains('/') { Place::Path } else { Place::Name };
        let pattern = rule.strip_prefix('/').unwrap_or(rule).to_string();
        self.0.push(Rule { negated, directory, place, pattern });
        Ok(())
    }

    /// Whether a path is left out.
    pub fn ignores(&self, name: &str, directory: bool) -> bool {
        if name.is_empty() || name == "." || name == "./" {
            return false;
        }
        for rule in &self.0 {
            let subject = if rule.place == Place::Name { path::base(name) } else { name };
            let matched = || path::matches(&rule.pattern, subject).unwrap_or(false);
            if rule.negated {
                if rule.directory && !directory || !matched() {
                    return true;
                }
                continue;
            }
            if (!rule.directory || directory) && matched() {
                return true;
            }
        }
        false
    }
}
