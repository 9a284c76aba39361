//! Go's `time`: layouts, zones read from TZif files.
//!
//! A [`Time`] is seconds and nanoseconds since 1970 with the zone it is shown in. The monotonic reading that `now` carries in Go, and
//! prints behind the time, is not there. The calendar and durations are `api`'s.

mod parse;

use std::rc::Rc;

pub use api::time::days;

pub use parse::parse;

/// What a zone is: a fixed offset, or rules.
#[derive(Clone, Debug)]
pub enum Zone {
    Utc,
    Fixed(String, i32),
    Rules(Rc<jiff::tz::TimeZone>, bool),
}

#[derive(Clone, Debug)]
pub struct Time {
    pub seconds: i64,
    pub nanoseconds: u32,
    pub zone: Zone,
}

impl PartialEq for Time {
    fn eq(&self, other: &Time) -> bool {
        (self.seconds, self.nanoseconds) == (other.seconds, other.nanoseconds)
    }
}

/// Midnight of the first of January of year 1, which is Go's zero.
pub const ZERO: i64 = -62_135_596_800;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

pub fn month_name(month: i64) -> String {
    usize::try_from(month - 1)
        .ok()
        .and_then(|at| MONTHS.get(at))
        .map_or(format!("%!Month({month})"), |name| (*name).into())
}

pub fn weekday_name(day: i64) -> String {
    usize::try_from(day)
        .ok()
        .and_then(|at| DAYS.get(at))
        .map_or(format!("%!Weekday({day})"), |name| (*name).into())
}

/// The zone of a TZif file.
pub fn zone(name: &str, tzif: &[u8]) -> Option<Zone> {
    let rules = jiff::tz::TimeZone::tzif(name, tzif).ok()?;
    Some(Zone::Rules(Rc::new(rules), name == "Local"))
}

/// A date and a time of day.
#[derive(Clone, Copy, Debug)]
pub struct Civil {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    /// Days since Sunday.
    pub weekday: i64,
    /// Days since the first of January, from 1.
    pub yearday: i64,
}

fn civil(local: i64) -> Civil {
    let (year, month, day, hour, minute, second) = api::time::civil(local);
    let day_number = local.div_euclid(86_400);
    Civil {
        year,
        month,
        day,
        hour,
        minute,
        second,
        weekday: (day_number + 4).rem_euclid(7),
        yearday: day_number - days(year, 1, 1) + 1,
    }
}

impl Time {
    pub fn utc(seconds: i64, nanoseconds: u32) -> Time {
        Time { seconds, nanoseconds, zone: Zone::Utc }
    }

    pub fn is_zero(&self) -> bool {
        self.seconds == ZERO && self.nanoseconds == 0
    }

    pub fn nanos(&self) -> i128 {
        i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanoseconds)
    }

    /// Nanoseconds later.
    pub fn plus(&self, nanoseconds: i64) -> Time {
        let total = self.nanos() + i128::from(nanoseconds);
        Time {
            seconds: total.div_euclid(1_000_000_000) as i64,
            nanoseconds: total.rem_euclid(1_000_000_000) as u32,
            zone: self.zone.clone(),
        }
    }

    pub fn within(&self, zone: Zone) -> Time {
        Time { zone, ..self.clone() }
    }

    /// Seconds east of Greenwich, and the zone's abbreviation.
    pub fn offset(&self) -> (i64, String) {
        match &self.zone {
            Zone::Utc => (0, "UTC".into()),
            Zone::Fixed(name, seconds) => (i64::from(*seconds), name.clone()),
            Zone::Rules(rules, _) => match jiff::Timestamp::from_second(self.seconds) {
                Ok(at) => {
                    let info = rules.to_offset_info(at);
                    (i64::from(info.offset().seconds()), info.abbreviation().to_string())
                }
                Err(_) => (0, "UTC".into()),
            },
        }
    }

    pub fn civil(&self) -> Civil {
        civil(self.seconds + self.offset().0)
    }

    /// `encoding/json`'s form.
    pub fn rfc3339(&self) -> String {
        self.format("2006-01-02T15:04:05.999999999Z07:00")
    }

    pub fn iso_week(&self) -> (i64, i64) {
        let date = self.civil();
        let thursday = date.yearday + 4 - if date.weekday == 0 { 7 } else { date.weekday };
        let length = |year: i64| days(year + 1, 1, 1) - days(year, 1, 1);
        if thursday < 1 {
            (date.year - 1, (thursday + length(date.year - 1) - 1) / 7 + 1)
        } else if thursday > length(date.year) {
            (date.year + 1, 1)
        } else {
            (date.year, (thursday - 1) / 7 + 1)
        }
    }

    /// `Time.Format`.
    pub fn format(&self, layout: &str) -> String {
        let date = self.civil();
        let (offset, name) = self.offset();
        let mut out = String::new();
        let mut rest = layout;
        while !rest.is_empty() {
            let (prefix, part, suffix) = next(rest);
            out.push_str(prefix);
            let Some(part) = part else { break };
            let hour12 = if date.hour % 12 == 0 { 12 } else { date.hour % 12 };
            let text = match part {
                "2006" if date.year < 0 => format!("-{:04}", -date.year),
                "2006" => format!("{:04}", date.year),
                "06" => format!("{:02}", date.year.rem_euclid(100)),
                "January" => month_name(date.month),
                "Jan" => month_name(date.month)[..3].into(),
                "1" => date.month.to_string(),
                "01" => format!("{:02}", date.month),
                "Monday" => weekday_name(date.weekday),
                "Mon" => weekday_name(date.weekday)[..3].into(),
                "2" => date.day.to_string(),
                "_2" => format!("{:2}", date.day),
                "02" => format!("{:02}", date.day),
                "__2" => format!("{:3}", date.yearday),
                "002" => format!("{:03}", date.yearday),
                "15" => format!("{:02}", date.hour),
                "3" => hour12.to_string(),
                "03" => format!("{hour12:02}"),
                "4" => date.minute.to_string(),
                "04" => format!("{:02}", date.minute),
                "5" => date.second.to_string(),
                "05" => format!("{:02}", date.second),
                "PM" => if date.hour >= 12 { "PM" } else { "AM" }.into(),
                "pm" => if date.hour >= 12 { "pm" } else { "am" }.into(),
                "MST" if name.is_empty() => offset_text(offset, "", false),
                "MST" => name.clone(),
                zone if zone.starts_with(['Z', '-']) => zone_text(offset, zone),
                fraction => self.fraction(fraction),
            };
            out.push_str(&text);
            rest = suffix;
        }
        out
    }

    fn fraction(&self, part: &str) -> String {
        let digits = part.len() - 1;
        let all = format!("{:09}", self.nanoseconds);
        let cut = &all[..digits.min(9)];
        if part.ends_with('9') {
            let cut = cut.trim_end_matches('0');
            return if cut.is_empty() { String::new() } else { format!("{}{cut}", &part[..1]) };
        }
        format!("{}{cut}{}", &part[..1], "0".repeat(digits.saturating_sub(9)))
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.format("2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}

fn offset_text(offset: i64, colon: &str, seconds: bool) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    let size = offset.abs();
    let mut text = format!("{sign}{:02}", size / 3600);
    if colon != "none" {
        text.push_str(&format!("{colon}{:02}", size / 60 % 60));
    }
    if seconds {
        text.push_str(&format!("{colon}{:02}", size % 60));
    }
    text
}

fn zone_text(offset: i64, part: &str) -> String {
    if part.starts_with('Z') && offset == 0 {
        return "Z".into();
    }
    let body = &part[1..];
    match body {
        "07" => offset_text(offset, "none", false),
        "0700" => offset_text(offset, "", false),
        "07:00" => offset_text(offset, ":", false),
        "070000" => offset_text(offset, "", true),
        _ => offset_text(offset, ":", true),
    }
}

/// What a layout has before its next part, the part, and what is behind it.
fn next(layout: &str) -> (&str, Option<&str>, &str) {
    const PARTS: [&str; 35] = [
        "January",
        "Jan",
        "Monday",
        "Mon",
        "MST",
        "2006",
        "_2006",
        "__2",
        "_2",
        "01",
        "002",
        "02",
        "03",
        "04",
        "05",
        "06",
        "15",
        "1",
        "2",
        "3",
        "4",
        "5",
        "PM",
        "pm",
        "-07:00:00",
        "-070000",
        "-07:00",
        "-0700",
        "-07",
        "Z07:00:00",
        "Z070000",
        "Z07:00",
        "Z0700",
        "Z07",
        "",
    ];
    let bytes = layout.as_bytes();
    for at in 0..layout.len() {
        if !layout.is_char_boundary(at) {
            continue;
        }
        let rest = &layout[at..];
        if rest.starts_with(['.', ',']) {
            let digit = rest.as_bytes().get(1).copied();
            if let Some(digit @ (b'0' | b'9')) = digit {
                let length = rest.bytes().skip(1).take_while(|byte| *byte == digit).count();
                let after = rest.as_bytes().get(1 + length);
                if !after.is_some_and(u8::is_ascii_digit) {
                    return (&layout[..at], Some(&rest[..1 + length]), &rest[1 + length..]);
                }
            }
            continue;
        }
        for part in PARTS {
            if part.is_empty() || !rest.starts_with(part) {
                continue;
            }
            match part {
                // `Jan` in `Janet` is text.
                "Jan" | "Mon" if rest.as_bytes().get(3).is_some_and(u8::is_ascii_lowercase) => continue,
                // `_2006` is an underscore and a year.
                "_2006" => return (&layout[..at + 1], Some(&rest[1..5]), &rest[5..]),
                _ => {}
            }
            debug_assert!(at < bytes.len());
            return (&layout[..at], Some(&rest[..part.len()]), &rest[part.len()..]);
        }
    }
    (layout, None, "")
}
