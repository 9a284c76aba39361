//! Go's `time`: layouts, zones read from TZif files.
//!
//! A [`Time`] is seconds and nanoseconds since 1970 with the zone it is shown in. The monotonic reading that `now` carries in Go, and
//! prints behind the time, is not there. The calendar and durations are `api`'s.
//!
//! Long because layouts and zones are each a grammar of Go's that is only complete in one piece.

use std::rc::Rc;

pub use api::time::days;
use api::time::quote;

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

/// `time.ParseInLocation`. The error is Go's text.
pub fn parse(layout: &str, value: &str, zone: &Zone) -> Result<Time, String> {
    Parser { layout, value }.parse(zone)
}

struct Parser<'a> {
    layout: &'a str,
    value: &'a str,
}

#[derive(Default)]
struct Fields {
    year: i64,
    month: Option<i64>,
    day: Option<i64>,
    yearday: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanoseconds: u32,
    pm: bool,
    am: bool,
    offset: Option<i32>,
    utc: bool,
    abbreviation: Option<String>,
}

impl Parser<'_> {
    fn fault(&self, part: &str, rest: &str, message: &str) -> String {
        if message.is_empty() {
            return format!(
                "parsing time {} as {}: cannot parse {} as {}",
                quote(self.value),
                quote(self.layout),
                quote(rest),
                quote(part)
            );
        }
        format!("parsing time {}{message}", quote(self.value))
    }

    fn parse(&self, zone: &Zone) -> Result<Time, String> {
        let mut fields = Fields { year: 0, ..Fields::default() };
        let (mut layout, mut value) = (self.layout, self.value);
        let mut range = None;
        loop {
            let (prefix, part, suffix) = next(layout);
            let shown = part.map_or(prefix, |part| part);
            value = skip(value, prefix).map_err(|rest| self.fault(prefix, rest, ""))?;
            let Some(part) = part else {
                if !value.is_empty() {
                    return Err(self.fault("", value, &format!(": extra text: {}", quote(value))));
                }
                break;
            };
            let held = value;
            let fault = || self.fault(shown, held, "");
            layout = suffix;
            let mut take = |length: usize| -> Result<i64, String> {
                let text = value.get(..length).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
                let text = text.ok_or_else(fault)?;
                value = &value[length..];
                text.parse().map_err(|_| fault())
            };
            match part {
                "2006" => fields.year = take(4)?,
                "06" => {
                    let short = take(2)?;
                    fields.year = if short >= 69 { 1900 + short } else { 2000 + short };
                }
                "01" | "1" => {
                    let month = digits(&mut value, part == "01").ok_or_else(fault)?;
                    if !(1..=12).contains(&month) {
                        range = range.or(Some("month"));
                    }
                    fields.month = Some(month);
                }
                "January" | "Jan" => {
                    let long = part == "January";
                    let found = MONTHS.iter().position(|name| {
                        let name = if long { name } else { &name[..3] };
                        value.get(..name.len()).is_some_and(|text| text.eq_ignore_ascii_case(name))
                    });
                    let at = found.ok_or_else(fault)?;
                    value = &value[if long { MONTHS[at].len() } else { 3 }..];
                    fields.month = Some(at as i64 + 1);
                }
                "Monday" | "Mon" => {
                    let long = part == "Monday";
                    let found = DAYS.iter().find(|name| {
                        let name = if long { name } else { &name[..3] };
                        value.get(..name.len()).is_some_and(|text| text.eq_ignore_ascii_case(name))
                    });
                    let name = found.ok_or_else(fault)?;
                    value = &value[if long { name.len() } else { 3 }..];
                }
                "2" | "_2" | "02" => {
                    if part == "_2" {
                        value = value.strip_prefix(' ').unwrap_or(value);
                    }
                    fields.day = Some(digits(&mut value, part == "02").ok_or_else(fault)?);
                }
                "__2" | "002" => {
                    if part == "__2" {
                        value = value.trim_start_matches(' ');
                    }
                    let length = value.bytes().take(3).take_while(u8::is_ascii_digit).count();
                    let text = value.get(..length).filter(|text| !text.is_empty()).ok_or_else(fault)?;
                    fields.yearday = text.parse().ok();
                    value = &value[length..];
                }
                "15" => {
                    fields.hour = digits(&mut value, false).ok_or_else(fault)?;
                    if !(0..24).contains(&fields.hour) {
                        range = range.or(Some("hour"));
                    }
                }
                "3" | "03" => {
                    fields.hour = digits(&mut value, part == "03").ok_or_else(fault)?;
                    if !(0..=12).contains(&fields.hour) {
                        range = range.or(Some("hour"));
                    }
                }
                "4" | "04" => {
                    fields.minute = digits(&mut value, part == "04").ok_or_else(fault)?;
                    if !(0..60).contains(&fields.minute) {
                        range = range.or(Some("minute"));
                    }
                }
                "5" | "05" => {
                    fields.second = digits(&mut value, part == "05").ok_or_else(fault)?;
                    if !(0..60).contains(&fields.second) {
                        range = range.or(Some("second"));
                    }
                    // A fraction may follow the seconds although the layout has none.
                    let (before, following, _) = next(layout);
                    let own = following.is_some_and(|part| part.starts_with(['.', ','])) && before.is_empty();
                    if !own
                        && value.starts_with(['.', ','])
                        && value.as_bytes().get(1).is_some_and(u8::is_ascii_digit)
                    {
                        let length = 1 + value.bytes().skip(1).take_while(u8::is_ascii_digit).count();
                        fields.nanoseconds = nanoseconds(&value[1..length]);
                        value = &value[length..];
                    }
                }
                "PM" | "pm" => {
                    let text = value.get(..2).ok_or_else(fault)?;
                    let (am, pm) = if part == "PM" { ("AM", "PM") } else { ("am", "pm") };
                    match text {
                        text if text == pm => fields.pm = true,
                        text if text == am => fields.am = true,
                        _ => return Err(fault()),
                    }
                    value = &value[2..];
                }
                "MST" => {
                    if let Some(rest) = value.strip_prefix("UTC") {
                        fields.utc = true;
                        value = rest;
                    } else {
                        let length = value.bytes().take_while(u8::is_ascii_uppercase).count();
                        if !(3..=5).contains(&length) {
                            return Err(fault());
                        }
                        fields.abbreviation = Some(value[..length].into());
                        value = &value[length..];
                    }
                }
                zone if zone.starts_with(['Z', '-']) => {
                    if zone.starts_with('Z') && value.starts_with('Z') {
                        value = &value[1..];
                        fields.utc = true;
                        continue;
                    }
                    let (seconds, length) = parse_offset(value, zone).ok_or_else(fault)?;
                    fields.offset = Some(seconds);
                    value = &value[length..];
                }
                fraction => {
                    if fraction.ends_with('9') {
                        if value.starts_with(['.', ',']) {
                            let length = 1 + value.bytes().skip(1).take_while(u8::is_ascii_digit).count();
                            fields.nanoseconds = nanoseconds(&value[1..length]);
                            value = &value[length..];
                        }
                    } else {
                        let text = value.get(..fraction.len()).ok_or_else(fault)?;
                        if !text.starts_with(['.', ','])
                            || !text[1..].bytes().all(|byte| byte.is_ascii_digit())
                        {
                            return Err(fault());
                        }
                        fields.nanoseconds = nanoseconds(&text[1..]);
                        value = &value[fraction.len()..];
                    }
                }
            }
            if let Some(what) = range {
                return Err(self.fault(part, value, &format!(": {what} out of range")));
            }
        }
        fields.finish(self, zone)
    }
}

impl Fields {
    fn finish(mut self, parser: &Parser<'_>, zone: &Zone) -> Result<Time, String> {
        if self.pm && self.hour < 12 {
            self.hour += 12;
        } else if self.am && self.hour == 12 {
            self.hour = 0;
        }
        let leap = (self.year % 4 == 0 && self.year % 100 != 0) || self.year % 400 == 0;
        let out_of_range = |what: &str| parser.fault("", "", &format!(": {what} out of range"));
        if let Some(yearday) = self.yearday {
            if yearday < 1 || yearday > 365 + i64::from(leap) {
                return Err(out_of_range("day-of-year"));
            }
            let date = civil((days(self.year, 1, 1) + yearday - 1) * 86_400);
            self.month = self.month.or(Some(date.month));
            self.day = self.day.or(Some(date.day));
        }
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        if day < 1 || day > days(self.year, month + 1, 1) - days(self.year, month, 1) {
            return Err(out_of_range("day"));
        }
        let local = days(self.year, month, day) * 86_400 + self.hour * 3600 + self.minute * 60 + self.second;
        let at = |seconds: i64, zone: Zone| Time { seconds, nanoseconds: self.nanoseconds, zone };
        if self.utc {
            return Ok(at(local, Zone::Utc));
        }
        if let Some(offset) = self.offset {
            let seconds = local - i64::from(offset);
            // The zone itself, if it has this offset then.
            let here = at(seconds, zone.clone());
            let (own, _) = here.offset();
            if own == i64::from(offset) {
                return Ok(here);
            }
            return Ok(at(seconds, Zone::Fixed(self.abbreviation.unwrap_or_default(), offset)));
        }
        if let Some(name) = self.abbreviation {
            let guess = at(local, zone.clone());
            let (own, abbreviation) = guess.offset();
            if abbreviation == name {
                return Ok(at(local - own, zone.clone()));
            }
            let hours = name.strip_prefix("GMT").and_then(|text| text.parse::<i32>().ok()).unwrap_or(0);
            return Ok(at(local - i64::from(hours) * 3600, Zone::Fixed(name, hours * 3600)));
        }
        let (guess, _) = at(local, zone.clone()).offset();
        let (better, _) = at(local - guess, zone.clone()).offset();
        Ok(at(local - better, zone.clone()))
    }
}

/// What is behind a prefix; the error is what is left where they part.
fn skip<'a>(mut value: &'a str, prefix: &str) -> Result<&'a str, &'a str> {
    let mut prefix = prefix;
    while !prefix.is_empty() {
        if prefix.starts_with(' ') {
            if !value.is_empty() && !value.starts_with(' ') {
                return Err(value);
            }
            prefix = prefix.trim_start_matches(' ');
            value = value.trim_start_matches(' ');
            continue;
        }
        let length = prefix.chars().next().map_or(1, char::len_utf8);
        value = value.strip_prefix(&prefix[..length]).ok_or(value)?;
        prefix = &prefix[length..];
    }
    Ok(value)
}

/// One or two digits; two if `fixed`.
fn digits(value: &mut &str, fixed: bool) -> Option<i64> {
    let bytes = value.as_bytes();
    let length = match (bytes.first()?.is_ascii_digit(), bytes.get(1).is_some_and(u8::is_ascii_digit)) {
        (false, _) => return None,
        (true, true) => 2,
        (true, false) if fixed => return None,
        (true, false) => 1,
    };
    let number = value[..length].parse().ok()?;
    *value = &value[length..];
    Some(number)
}

fn nanoseconds(digits: &str) -> u32 {
    let cut = &digits[..digits.len().min(9)];
    format!("{cut:0<9}").parse().unwrap_or_default()
}

fn parse_offset(value: &str, part: &str) -> Option<(i32, usize)> {
    let length = part.len();
    let text = value.get(..length)?;
    let sign = match text.as_bytes()[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let colons = part.contains(':');
    let digits: String = text[1..].chars().filter(|char| *char != ':').collect();
    if colons != text.contains(':') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let pair = |at: usize| digits.get(at..at + 2).map_or(Some(0), |text| text.parse::<i32>().ok());
    let (hours, minutes, seconds) = (pair(0)?, pair(2)?, pair(4)?);
    if hours > 24 || minutes >= 60 || seconds >= 60 {
        return None;
    }
    Some((sign * (hours * 3600 + minutes * 60 + seconds), length))
}
