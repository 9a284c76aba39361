//! Ranges of versions over tags: `1.2.x`, `^1.4`, `~1.2`, `>=1.0 <2 || 3.1.*`, `1.0 - 1.9`. The highest tag in the range
//! is what is wanted; pre-releases count only for a range that names one.

use std::cmp::Ordering;

/// How a revision says that it is a range.
pub const PREFIX: &str = "semver:";

/// The tag with the highest version in a range; `None`: no tag is in it, or it is no range.
pub fn highest<'a>(range: &str, tags: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let range = Range::parse(range)?;
    let versions = tags.filter_map(|tag| Some((Version::parse(tag)?, tag)));
    let fitting = versions.filter(|(version, _)| range.holds(version));
    fitting.max_by(|(a, _), (b, _)| a.order(b)).map(|(_, tag)| tag)
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    numbers: [u64; 3],
    /// Empty: a release.
    pre: String,
}

impl Version {
    /// `v1.2.3-rc.1+meta`; missing numbers are zero.
    fn parse(text: &str) -> Option<Version> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.split('+').next().unwrap_or_default();
        let (numbers, pre) = text.split_once('-').unwrap_or((text, ""));
        let mut all = [0; 3];
        for (at, part) in numbers.split('.').enumerate() {
            *all.get_mut(at)? = part.parse().ok()?;
        }
        Some(Version { numbers: all, pre: pre.into() })
    }

    fn order(&self, other: &Version) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.pre.as_str(), other.pre.as_str()) {
            (a, b) if a == b => Ordering::Equal,
            ("", _) => Ordering::Greater,
            (_, "") => Ordering::Less,
            (a, b) => pre_order(a, b),
        })
    }
}

fn pre_order(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// One bound: at least `low`, below `high`, or the contrary.
#[derive(Clone, Debug)]
struct Bound {
    low: Option<(Version, bool)>,
    high: Option<(Version, bool)>,
    not: bool,
    pre: bool,
}

/// Alternatives of bounds that must all hold.
struct Range(Vec<Vec<Bound>>);

impl Range {
    fn parse(text: &str) -> Option<Range> {
        let alternatives = text.split("||").map(|part| {
            if let Some((from, to)) = part.split_once(" - ") {
                return Some(vec![bound(">=", from.trim())?, bound("<=", to.trim())?]);
            }
            let mut bounds = Vec::new();
            let mut operator = String::new();
            for word in part.split([' ', ',']).filter(|word| !word.is_empty()) {
                let at = word.find(|char: char| !"<>=!~^".contains(char)).unwrap_or(word.len());
                operator.push_str(&word[..at]);
                if at < word.len() {
                    bounds.push(bound(&std::mem::take(&mut operator), &word[at..])?);
                }
            }
            (operator.is_empty() && !bounds.is_empty()).then_some(bounds)
        });
        Some(Range(alternatives.collect::<Option<_>>()?))
    }

    fn holds(&self, version: &Version) -> bool {
        self.0.iter().any(|all| all.iter().all(|bound| bound.holds(version)))
    }
}

impl Bound {
    fn holds(&self, version: &Version) -> bool {
        if !version.pre.is_empty() && !self.pre {
            return false;
        }
        let above = self.low.as_ref().is_none_or(|(low, including)| match version.order(low) {
            Ordering::Less => false,
            Ordering::Equal => *including,
            Ordering::Greater => true,
        });
        let below = self.high.as_ref().is_none_or(|(high, including)| match version.order(high) {
            Ordering::Less => true,
            Ordering::Equal => *including,
            Ordering::Greater => false,
        });
        (above && below) != self.not
    }
}

fn bound(operator: &str, text: &str) -> Option<Bound> {
    let bare = text.strip_prefix('v').unwrap_or(text);
    let plain = bare.split(['-', '+']).next().unwrap_or_default();
    // How many numbers are given before a wildcard or the end.
    let given = plain.split('.').take_while(|part| !["x", "X", "*"].contains(part)).count();
    let wild = given < 3;
    let numbers: Vec<&str> = plain.split('.').take(given).collect();
    let pre = if wild { "" } else { bare.split('+').next()?.split_once('-').map_or("", |(_, pre)| pre) };
    let mut low = Version { pre: pre.into(), ..Version { numbers: [0; 3], pre: String::new() } };
    for (at, part) in numbers.iter().enumerate() {
        *low.numbers.get_mut(at)? = part.parse().ok()?;
    }
    // The first version after all that begin with the first `keep` numbers.
    let after = |keep: usize| {
        let mut numbers = low.numbers;
        if keep == 0 {
            return None;
        }
        numbers[keep - 1] += 1;
        numbers[keep..].fill(0);
        Some((Version { numbers, pre: String::new() }, false))
    };
    let first = Some((low.clone(), true));
    let (low_bound, high_bound, not) = match operator {
        "" | "=" if wild => (first, after(given), false),
        "" | "=" => (first.clone(), first, false),
        "!=" if wild => (first, after(given), true),
        "!=" => (first.clone(), first, true),
        ">" if wild => (after(given).map(|(version, _)| (version, true)), None, false),
        ">" => (Some((low.clone(), false)), None, false),
        ">=" | "=>" => (first, None, false),
        "<" => (None, Some((low.clone(), false)), false),
        "<=" | "=<" if wild => (None, after(given), false),
        "<=" | "=<" => (None, first, false),
        "~" | "~>" => (first, after(given.clamp(0, 2)), false),
        "^" => {
            let major = low.numbers.iter().take(given).position(|number| *number > 0);
            (first, after(major.map_or(given, |at| at + 1)), false)
        }
        _ => return None,
    };
    Some(Bound { low: low_bound, high: high_bound, not, pre: !pre.is_empty() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_tag_in_a_range() {
        let tags =
            ["v0.9.0", "v1.0.0", "v1.2.3", "1.2.10", "v1.3.0-rc.1", "v2.0.0", "v2.1.0-beta.2", "latest"];
        for (range, expected) in [
            ("1.x", Some("1.2.10")),
            ("1.2.*", Some("1.2.10")),
            ("^1.0.0", Some("1.2.10")),
            ("~1.2.0", Some("1.2.10")),
            ("^0.9", Some("v0.9.0")),
            (">=1.0.0 <1.2.5", Some("v1.2.3")),
            (">= 1.0.0, < 2", Some("1.2.10")),
            ("1.0 - 1.2.3", Some("v1.2.3")),
            ("*", Some("v2.0.0")),
            (">1", Some("v2.0.0")),
            ("!=2.0.0", Some("1.2.10")),
            ("<1 || >=2", Some("v2.0.0")),
            (">=2.1.0-alpha", Some("v2.1.0-beta.2")),
            ("=1.2.3", Some("v1.2.3")),
            (">=3", None),
            ("main", None),
        ] {
            assert_eq!(highest(range, tags.into_iter()), expected, "{range}");
        }
    }
}
