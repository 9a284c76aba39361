//! Schedules of CronJobs and sync windows, as robfig/cron's standard parser reads them: five fields, names, steps,
//! `?`, `@daily` and its like, `@every 1h30m`, a leading `TZ=`.
//!
//! The texts of errors are upstream's, since users meet them in validation. Each field is checked and written out as
//! a plain list here; the walk over the calendar is cronexpr's. No clock: the caller says after when.

use cronexpr::{Crontab, FallbackTimezoneOption, ParseOptions};
use jiff::Timestamp;

use crate::time::duration;

/// Why a schedule cannot be used. Shown after the field's path and value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("empty spec string")]
    Empty,
    #[error("provided bad location {name}: unknown time zone {name}")]
    Zone { name: String },
    #[error("expected exactly 5 fields, found {found}: [{fields}]")]
    Fields { found: usize, fields: String },
    #[error("unrecognized descriptor: {0}")]
    Descriptor(String),
    #[error("failed to parse duration {text}: {problem}")]
    Duration { text: String, problem: duration::Error },
    #[error("failed to parse int from {text}: strconv.Atoi: parsing {quoted}: invalid syntax")]
    Number { text: String, quoted: String },
    #[error("negative number ({number}) not allowed: {number}")]
    Negative { number: i64 },
    #[error("too many hyphens: {0}")]
    Hyphens(String),
    #[error("too many slashes: {0}")]
    Slashes(String),
    #[error("beginning of range ({start}) below minimum ({minimum}): {text}")]
    Below { start: i64, minimum: u8, text: String },
    #[error("end of range ({end}) above maximum ({maximum}): {text}")]
    Above { end: i64, maximum: u8, text: String },
    #[error("beginning of range ({start}) beyond end of range ({end}): {text}")]
    Backward { start: i64, end: i64, text: String },
    #[error("step of range should be a positive number: {0}")]
    Step(String),
    #[error("the schedule cannot be followed: {0}")]
    Walk(String),
}

/// When something is due.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// By the calendar of a time zone.
    Calendar(Box<Crontab>),
    /// `@every`: this many whole seconds apart, at least one.
    Every(i64),
}

/// One of the five fields.
struct Bounds {
    minimum: u8,
    maximum: u8,
    /// Names of values from `first_name` on.
    names: &'static [&'static str],
    first_name: u8,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const FIELDS: [Bounds; 5] = [
    Bounds { minimum: 0, maximum: 59, names: &[], first_name: 0 },
    Bounds { minimum: 0, maximum: 23, names: &[], first_name: 0 },
    Bounds { minimum: 1, maximum: 31, names: &[], first_name: 0 },
    Bounds { minimum: 1, maximum: 12, names: &MONTHS, first_name: 1 },
    Bounds { minimum: 0, maximum: 6, names: &DAYS, first_name: 0 },
];

/// The five fields of a descriptor.
const DESCRIPTORS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

impl Schedule {
    /// Reads `text` in the time zone named, or in UTC. A `TZ=` or `CRON_TZ=` in the text goes before `zone`.
    pub fn parse(text: &str, zone: Option<&str>) -> Result<Schedule, Error> {
        let mut zone = zone.filter(|zone| !zone.is_empty()).unwrap_or("UTC").to_string();
        let mut rest = text;
        if let Some(named) = text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ=")) {
            let (name, after) = named.split_once(' ').unwrap_or((named, ""));
            zone = name.to_string();
            rest = after.trim();
        }
        if !knows_zone(&zone) {
            return Err(Error::Zone { name: zone });
        }
        if rest.is_empty() {
            return Err(Error::Empty);
        }
        if let Some(every) = rest.strip_prefix("@every ") {
            let nanos =
                duration::parse(every).map_err(|problem| Error::Duration { text: rest.into(), problem })?;
            return Ok(Schedule::Every((nanos / 1_000_000_000).max(1)));
        }
        if rest.starts_with('@') {
            let known = DESCRIPTORS.iter().find(|(name, _)| *name == rest);
            rest = known.map(|(_, fields)| *fields).ok_or_else(|| Error::Descriptor(rest.into()))?;
        }
        let fields: Vec<&str> = rest.split_whitespace().collect();
        if fields.len() != FIELDS.len() {
            return Err(Error::Fields { found: fields.len(), fields: fields.join(" ") });
        }
        let plain: Vec<String> =
            fields.iter().zip(&FIELDS).map(|(field, bounds)| bounds.list(field)).collect::<Result<_, _>>()?;
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        // The local zone of upstream's controller is UTC in practice, and jiff's name for it is that.
        let place = if zone == "UTC" || zone == "Local" { String::new() } else { format!(" {zone}") };
        let crontab = cronexpr::parse_crontab_with(&format!("{}{place}", plain.join(" ")), options);
        crontab
            .map(|crontab| Schedule::Calendar(Box::new(crontab)))
            .map_err(|error| Error::Walk(error.to_string()))
    }

    /// The first time after `after`, in whole seconds; `None` if there is none within four years.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Schedule::Every(seconds) => Timestamp::from_second(after.as_second().checked_add(*seconds)?).ok(),
            Schedule::Calendar(crontab) => {
                let after = Timestamp::from_second(after.as_second()).ok()?;
                crontab.find_next(cronexpr::MakeTimestamp(after)).ok().map(|next| next.timestamp())
            }
        }
    }
}

/// Whether the time zone is in the IANA database that is built in (or is Go's `Local`).
pub fn knows_zone(name: &str) -> bool {
    name == "Local" || jiff::tz::TimeZone::get(name).is_ok()
}

impl Bounds {
    /// The field as `*` or as a list of numbers.
    fn list(&self, field: &str) -> Result<String, Error> {
        let (mut bits, mut star) = (0_u64, false);
        for range in field.split(',').filter(|range| !range.is_empty()) {
            let (more, is_star) = self.range(range)?;
            bits |= more;
            star |= is_star;
        }
        if star {
            return Ok("*".into());
        }
        let numbers = (self.minimum..=self.maximum).filter(|number| bits & (1 << number) != 0);
        let list = numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(",");
        if list.is_empty() {
            // "," alone passes upstream's parser and is never due.
            return Err(Error::Walk(format!("the field {field:?} names no time")));
        }
        Ok(list)
    }

    fn range(&self, text: &str) -> Result<(u64, bool), Error> {
        let parts: Vec<&str> = text.split('/').collect();
        let ends: Vec<&str> = parts[0].split('-').collect();
        let mut star = matches!(ends[0], "*" | "?");
        let (start, mut end) = match (star, ends.as_slice()) {
            (true, _) => (i64::from(self.minimum), i64::from(self.maximum)),
            (false, [one]) => (self.number(one)?, self.number(one)?),
            (false, [first, last]) => (self.number(first)?, self.number(last)?),
            (false, _) => return Err(Error::Hyphens(text.into())),
        };
        let step = match parts.as_slice() {
            [_] => 1,
            [_, step] => {
                let step = number(step)?;
                if ends.len() == 1 {
                    end = i64::from(self.maximum); // "N/step" is "N-max/step"
                }
                star &= step <= 1;
                step
            }
            _ => return Err(Error::Slashes(text.into())),
        };
        let text = text.to_string();
        if start < i64::from(self.minimum) {
            return Err(Error::Below { start, minimum: self.minimum, text });
        }
        if end > i64::from(self.maximum) {
            return Err(Error::Above { end, maximum: self.maximum, text });
        }
        if start > end {
            return Err(Error::Backward { start, end, text });
        }
        if step == 0 {
            return Err(Error::Step(text));
        }
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        Ok(((start..=end).step_by(step).fold(0, |bits, number| bits | 1 << number), star))
    }

    fn number(&self, text: &str) -> Result<i64, Error> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        match named.and_then(|at| i64::try_from(at).ok()) {
            Some(at) => Ok(at + i64::from(self.first_name)),
            None => number(text),
        }
    }
}

fn number(text: &str) -> Result<i64, Error> {
    let bad = |_| Error::Number { text: text.into(), quoted: crate::text::quote(text) };
    let number: i64 = text.parse().map_err(bad)?;
    if number < 0 { Err(Error::Negative { number }) } else { Ok(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(text: &str, zone: Option<&str>, after: &str) -> String {
        let schedule = Schedule::parse(text, zone).unwrap();
        schedule.next(after.parse().unwrap()).map_or("never".into(), |next| next.to_string())
    }

    #[test]
    fn due_when_upstream_says() {
        // Expected values by robfig/cron v3.
        let cases = [
            ("* * * * *", "2026-01-01T00:00:30Z", "2026-01-01T00:01:00Z"),
            ("*/15 * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:15:00Z"),
            ("5/15 * * * ?", "2026-01-01T00:06:00Z", "2026-01-01T00:20:00Z"),
            ("0 0 13 * FRI", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"), // either day
            ("0 0 */2 * MON", "2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z"), // a step is no star: either
            ("0 0 * * mon-wed", "2026-01-01T00:00:00Z", "2026-01-05T00:00:00Z"),
            ("0 0 29 feb *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("59 23 31 2 *", "2026-01-01T00:00:00Z", "never"),
            ("@monthly", "2026-01-15T00:00:00Z", "2026-02-01T00:00:00Z"),
            ("@every 1h30m", "2026-01-01T00:00:00.5Z", "2026-01-01T01:30:00Z"),
            ("@every 1ms", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
            ("TZ=Asia/Seoul 0 9 * * *", "2026-01-01T00:00:01Z", "2026-01-02T00:00:00Z"),
        ];
        for (text, after, expected) in cases {
            assert_eq!(next(text, None, after), expected, "{text}");
        }
        assert_eq!(next("0 2 * * *", Some("Europe/Berlin"), "2026-07-01T00:00:00Z"), "2026-07-02T00:00:00Z");
    }

    #[test]
    fn mistakes_are_told_in_upstreams_words() {
        let cases = [
            ("", "empty spec string"),
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
            ("* * * * L", "failed to parse int from L: strconv.Atoi: parsing \"L\": invalid syntax"),
            ("@often", "unrecognized descriptor: @often"),
            ("@every x", "failed to parse duration @every x: time: invalid duration \"x\""),
            ("TZ=Nowhere 0 0 * * *", "provided bad location Nowhere: unknown time zone Nowhere"),
        ];
        for (text, expected) in cases {
            assert_eq!(Schedule::parse(text, None).unwrap_err().to_string(), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[-0-9*?/, @A-Za-z=]{0,24}") {
            if let Ok(schedule) = Schedule::parse(&text, None) {
                let _ = schedule.next(Timestamp::UNIX_EPOCH);
            }
        }
    }
}
