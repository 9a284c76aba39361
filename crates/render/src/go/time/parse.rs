//! `time.Parse`: a text by a layout, with Go's leniences and its words for what does not fit.

use api::time::quote;

use super::{DAYS, MONTHS, Time, Zone, civil, days, next};

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
