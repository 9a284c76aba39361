//! Masterminds/semver: loose versions and constraints by its rules (`~`, `^`, `x`, ranges, pre-releases only where asked for).

use std::cell::RefCell;
use std::cmp::Ordering;
use std::rc::Rc;
use std::sync::LazyLock;

use regex::Regex;

use super::quote;

/// A version; `pointer` tells `*semver.Version` from the copies that its methods give.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    pub major: u64,
    pub minor: u64,
    pub patch: u64,
    pub pre: String,
    pub metadata: String,
    pub original: String,
    pub pointer: bool,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.pre.is_empty() {
            write!(f, "-{}", self.pre)?;
        }
        if !self.metadata.is_empty() {
            write!(f, "+{}", self.metadata)?;
        }
        Ok(())
    }
}

const LOOSE: &str = r"v?([0-9]+)(\.[0-9]+)?(\.[0-9]+)?(-([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?(\+([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?";
const PARTIAL: &str = r"v?([0-9|x|X|\*]+)(\.[0-9|x|X|\*]+)?(\.[0-9|x|X|\*]+)?(-([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?(\+([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?";
const OPERATORS: &str = r"=||!=|>|<|>=|=>|<=|=<|~|~>|\^";

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("because the pattern is constant")
}

static VERSION: LazyLock<Regex> = LazyLock::new(|| pattern(&format!("^{LOOSE}$")));
static CONSTRAINT: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!(r"^\s*({OPERATORS})\s*({PARTIAL})\s*$")));
static RANGE: LazyLock<Regex> = LazyLock::new(|| pattern(&format!(r"\s*({PARTIAL})\s+-\s+({PARTIAL})\s*")));
static FIND: LazyLock<Regex> = LazyLock::new(|| pattern(&format!(r"({OPERATORS})\s*({PARTIAL})")));
static VALID: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(r"^(\s*({OPERATORS})\s*({PARTIAL})\s*)((?:\s+|,\s*)({OPERATORS})\s*({PARTIAL})\s*)*$"))
});

/// `semver.NewVersion`.
pub fn parse(text: &str) -> Result<Version, String> {
    if text.len() > 256 {
        return Err("version string is too long (max 256 bytes)".into());
    }
    let Some(found) = VERSION.captures(text) else { return Err("invalid semantic version".into()) };
    let part = |at: usize| found.get(at).map_or("", |part| part.as_str());
    let segment = |text: &str| -> Result<u64, String> {
        let digits = text.trim_start_matches('.');
        if digits.is_empty() {
            return Ok(0);
        }
        digits.parse().map_err(|_| {
            format!(
                "error parsing version segment: strconv.ParseUint: parsing {}: value out of range",
                quote::quote(digits.as_bytes())
            )
        })
    };
    let version = Version {
        major: segment(part(1))?,
        minor: segment(part(2))?,
        patch: segment(part(3))?,
        pre: part(5).into(),
        metadata: part(8).into(),
        original: text.into(),
        pointer: true,
    };
    if !version.pre.is_empty() {
        check_pre(&version.pre)?;
    }
    Ok(version)
}

pub fn check_pre(pre: &str) -> Result<(), String> {
    for part in pre.split('.') {
        if part.is_empty() {
            return Err("invalid prerelease string".into());
        }
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            if part.len() > 1 && part.starts_with('0') {
                return Err("version segment starts with 0".into());
            }
        } else if !part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err("invalid prerelease string".into());
        }
    }
    Ok(())
}

pub fn check_metadata(metadata: &str) -> Result<(), String> {
    let good = metadata.split('.').all(|part| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    });
    good.then_some(()).ok_or_else(|| "invalid metadata string".into())
}

impl Version {
    pub fn compare(&self, other: &Version) -> Ordering {
        (self.major, self.minor, self.patch).cmp(&(other.major, other.minor, other.patch)).then_with(
            || match (self.pre.is_empty(), other.pre.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => compare_pre(&self.pre, &other.pre),
            },
        )
    }

    /// A copy with other parts; `original` keeps the `v` it began with.
    pub fn with(&self, change: impl FnOnce(&mut Version)) -> Version {
        let mut next = Version { pointer: false, ..self.clone() };
        change(&mut next);
        let prefix = if self.original.starts_with('v') { "v" } else { "" };
        next.original = format!("{prefix}{next}");
        next
    }
}

fn compare_pre(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.split('.').collect(), b.split('.').collect());
    (0..a.len().max(b.len()))
        .map(|at| compare_part(a.get(at).copied().unwrap_or(""), b.get(at).copied().unwrap_or("")))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn compare_part(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    if a.is_empty() {
        return Ordering::Less;
    }
    if b.is_empty() {
        return Ordering::Greater;
    }
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| !text.starts_with('+'));
    match (number(a), number(b)) {
        (None, None) => a.cmp(b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (Some(a), Some(b)) => a.cmp(&b).then(Ordering::Less),
    }
}

struct One {
    version: Version,
    operator: String,
    minor_dirty: bool,
    patch_dirty: bool,
    dirty: bool,
}

/// Alternatives of which each is a list of conditions.
pub struct Constraints(Vec<(Vec<One>, bool)>);

thread_local! {
    /// What was read last: charts ask the same of each object's API version.
    static LAST: RefCell<Option<(String, Rc<Constraints>)>> = const { RefCell::new(None) };
}

/// `semver.NewConstraint`.
pub fn constraints(text: &str) -> Result<Rc<Constraints>, String> {
    let last =
        LAST.with_borrow(|last| last.as_ref().filter(|(own, _)| own == text).map(|(_, read)| read.clone()));
    if let Some(read) = last {
        return Ok(read);
    }
    let read = Rc::new(read(text)?);
    LAST.set(Some((text.into(), read.clone())));
    Ok(read)
}

fn read(text: &str) -> Result<Constraints, String> {
    if text.len() > 512 {
        return Err("constraint string is too long (max 512 bytes)".into());
    }
    let mut rewritten = text.to_string();
    for found in RANGE.captures_iter(text) {
        let part = |at: usize| found.get(at).map_or("", |part| part.as_str());
        let range = format!(">= {}, <= {} ", part(1), part(10));
        rewritten = rewritten.replacen(part(0), &range, 1);
    }
    let alternatives: Vec<&str> = rewritten.split("||").collect();
    if alternatives.len() > 32 {
        return Err("too many constraint groups (max 32)".into());
    }
    let mut all = Vec::new();
    for alternative in alternatives {
        if !VALID.is_match(alternative) {
            return Err(format!("improper constraint: {}", quote::quote(alternative.as_bytes())));
        }
        let mut list = Vec::new();
        for found in FIND.find_iter(alternative) {
            list.push(one(found.as_str())?);
        }
        let pre = list.iter().any(|one: &One| !one.version.pre.is_empty());
        all.push((list, pre));
    }
    Ok(Constraints(all))
}

fn one(text: &str) -> Result<One, String> {
    let Some(found) = CONSTRAINT.captures(text) else {
        return Err(format!("improper constraint: {}", quote::quote(text.as_bytes())));
    };
    let part = |at: usize| found.get(at).map_or("", |part| part.as_str());
    let any = |text: &str| matches!(text.trim_start_matches('.'), "" | "x" | "X" | "*");
    let (mut minor_dirty, mut patch_dirty, mut dirty) = (false, false, false);
    let version = if any(part(3)) {
        dirty = true;
        format!("0.0.0{}", part(6))
    } else if any(part(4)) {
        (minor_dirty, dirty) = (true, true);
        format!("{}.0.0{}", part(3), part(6))
    } else if any(part(5)) {
        (patch_dirty, dirty) = (true, true);
        format!("{}{}.0{}", part(3), part(4), part(6))
    } else {
        part(2).to_string()
    };
    let version = parse(&version).map_err(|_| "constraint parser error".to_string())?;
    Ok(One { version, operator: part(1).into(), minor_dirty, patch_dirty, dirty })
}

impl Constraints {
    /// Whether a version satisfies one of the alternatives.
    pub fn check(&self, version: &Version) -> bool {
        self.0.iter().any(|(list, pre)| list.iter().all(|one| one.check(version, *pre)))
    }
}

impl One {
    fn check(&self, version: &Version, include_pre: bool) -> bool {
        if !version.pre.is_empty() && !include_pre {
            return false;
        }
        let wanted = &self.version;
        let order = version.compare(wanted);
        match self.operator.as_str() {
            "" | "=" if self.dirty => self.tilde(version, order),
            "" | "=" => order.is_eq(),
            "!=" => self.differs(version, order),
            ">" => {
                if !self.dirty || version.major != wanted.major {
                    return if self.dirty { version.major > wanted.major } else { order.is_gt() };
                }
                !self.minor_dirty
                    && if self.patch_dirty { version.minor > wanted.minor } else { order.is_gt() }
            }
            "<" => order.is_lt(),
            ">=" | "=>" => order.is_ge(),
            "<=" | "=<" => {
                if !self.dirty {
                    return order.is_le();
                }
                version.major < wanted.major
                    || version.major == wanted.major && (version.minor <= wanted.minor || self.minor_dirty)
            }
            "~" | "~>" => self.tilde(version, order),
            _ => self.caret(version, order),
        }
    }

    fn differs(&self, version: &Version, order: Ordering) -> bool {
        let wanted = &self.version;
        if self.dirty {
            if wanted.major != version.major {
                return true;
            }
            if wanted.minor != version.minor && !self.minor_dirty {
                return true;
            }
            if self.minor_dirty {
                return false;
            }
            if wanted.patch != version.patch && !self.patch_dirty {
                return true;
            }
            if self.patch_dirty {
                return (!version.pre.is_empty() || !wanted.pre.is_empty())
                    && compare_pre(&version.pre, &wanted.pre).is_ne();
            }
        }
        order.is_ne()
    }

    fn tilde(&self, version: &Version, order: Ordering) -> bool {
        let wanted = &self.version;
        if order.is_lt() {
            return false;
        }
        let zero = wanted.major == 0 && wanted.minor == 0 && wanted.patch == 0;
        if zero && !self.minor_dirty && !self.patch_dirty {
            return true;
        }
        version.major == wanted.major && (version.minor == wanted.minor || self.minor_dirty)
    }

    fn caret(&self, version: &Version, order: Ordering) -> bool {
        let wanted = &self.version;
        if order.is_lt() {
            return false;
        }
        if wanted.major > 0 || self.minor_dirty {
            return version.major == wanted.major;
        }
        if version.major > 0 {
            return false;
        }
        if wanted.minor > 0 || self.patch_dirty {
            return version.minor == wanted.minor;
        }
        version.minor == 0 && wanted.patch == version.patch
    }
}
