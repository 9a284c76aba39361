//! Semantic versions (semver.org 2.0.0) as `semver()` takes them (k8s.io/apiserver/pkg/cel/library/semverlib.go).

use std::cmp::Ordering;

/// A version; what follows `+` counts for nothing.
#[derive(Clone, Debug)]
pub struct Semver {
    pub numbers: [u64; 3],
    pre: Vec<String>,
}

impl Semver {
    /// `loose`: a leading `v`, missing minor and patch and leading zeros are taken.
    pub fn parse(text: &str, loose: bool) -> Result<Semver, String> {
        let bad = |why: &str| format!("Semver parse error during conversion from string: {why}");
        let text = if loose { text.trim().trim_start_matches('v') } else { text };
        let (rest, build) = text.split_once('+').map_or((text, None), |(rest, build)| (rest, Some(build)));
        let (core, pre) = rest.split_once('-').map_or((rest, None), |(core, pre)| (core, Some(pre)));
        let parts: Vec<&str> = core.split('.').collect();
        if parts.len() > 3 || (parts.len() != 3 && !loose) {
            return Err(bad("No Major.Minor.Patch elements found"));
        }
        let mut numbers = [0; 3];
        for (at, part) in parts.iter().enumerate() {
            if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(bad(&format!("Invalid character(s) found in version number {part:?}")));
            }
            if part.len() > 1 && part.starts_with('0') && !loose {
                return Err(bad(&format!("Version number must not contain leading zeroes {part:?}")));
            }
            numbers[at] = part.parse().map_err(|_| bad("number out of range"))?;
        }
        let identifiers = |text: Option<&str>| -> Result<Vec<String>, String> {
            let mut all = Vec::new();
            for part in text.into_iter().flat_map(|text| text.split('.')) {
                if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                    return Err(bad(&format!("Invalid character(s) found in prerelease {part:?}")));
                }
                all.push(part.to_string());
            }
            Ok(all)
        };
        identifiers(build)?;
        let pre = identifiers(pre)?;
        let leading = |part: &String| {
            part.len() > 1 && part.starts_with('0') && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if pre.iter().any(leading) {
            return Err(bad("Numeric PreRelease version must not contain leading zeroes"));
        }
        Ok(Semver { numbers, pre })
    }

    pub fn compare(&self, other: &Semver) -> Ordering {
        let by_number = self.numbers.cmp(&other.numbers);
        if by_number != Ordering::Equal {
            return by_number;
        }
        match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                for (one, two) in self.pre.iter().zip(&other.pre) {
                    let order = match (one.parse::<u64>(), two.parse::<u64>()) {
                        (Ok(one), Ok(two)) => one.cmp(&two),
                        (Ok(_), Err(_)) => Ordering::Less,
                        (Err(_), Ok(_)) => Ordering::Greater,
                        (Err(_), Err(_)) => one.cmp(two),
                    };
                    if order != Ordering::Equal {
                        return order;
                    }
                }
                self.pre.len().cmp(&other.pre.len())
            }
        }
    }
}
