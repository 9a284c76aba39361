//! Plain texts that Go's YAML takes for a time: `2006-1-2`, with an optional time of day after `T`, `t` or a space.
//!
//! With `T` or `t` a zone is needed (`Z`, `+07:00`), with a space there is none. The rules are those of Go's `time.Parse`: one or two
//! digits for all but the year, a fraction of any length behind a point or a comma, no seconds of a leap.

/// Whether a plain text is a time.
pub fn is_time(text: &str) -> bool {
    Time::parse(text).is_some()
}

/// The time as Go writes it in JSON (RFC 3339); none if it is no time.
pub(super) fn as_json(text: &str) -> Option<String> {
    let time = Time::parse(text)?;
    let mut out = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        time.year, time.month, time.day, time.hour, time.minute, time.second
    );
    let fraction: String = time.fraction.chars().take(9).collect();
    let fraction = fraction.trim_end_matches('0');
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    match time.offset {
        0 => out.push('Z'),
        minutes => {
            let sign = if minutes < 0 { '-' } else { '+' };
            out.push_str(&format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60));
        }
    }
    Some(out)
}

struct Time<'a> {
    year: u32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    fraction: &'a str,
    /// Minutes east.
    offset: i32,
}

impl<'a> Time<'a> {
    fn parse(text: &'a str) -> Option<Time<'a>> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        if digits != 4 {
            return None;
        }
        let year = text[..4].parse().ok()?;
        let (month, rest) = number(text[4..].strip_prefix('-')?)?;
        let (day, rest) = number(rest.strip_prefix('-')?)?;
        let mut time = Time { year, month, day, hour: 0, minute: 0, second: 0, fraction: "", offset: 0 };
        if !(1..=12).contains(&month) || !(1..=days(year, month)).contains(&day) {
            return None;
        }
        if rest.is_empty() {
            return Some(time);
        }
        // Go takes any number of blanks of a text for the one of the layout.
        let (rest, zoned) = match rest.strip_prefix(['T', 't']) {
            Some(rest) => (rest, true),
            None => (rest.strip_prefix(' ')?.trim_start_matches(' '), false),
        };
        let (hour, rest) = number(rest)?;
        let (minute, rest) = number(rest.strip_prefix(':')?)?;
        let (second, mut rest) = number(rest.strip_prefix(':')?)?;
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        (time.hour, time.minute, time.second) = (hour, minute, second);
        if let Some(fraction) = rest.strip_prefix(['.', ',']) {
            let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if length > 0 {
                (time.fraction, rest) = fraction.split_at(length);
            }
        }
        if zoned {
            time.offset = offset(rest)?;
            rest = "";
        }
        rest.is_empty().then_some(time)
    }
}

/// A number of one or two digits, and what follows it.
fn number(text: &str) -> Option<(u32, &str)> {
    let length = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    Some((text[..length].parse().ok()?, &text[length..]))
}

/// `Z` or `+07:00`, in minutes.
fn offset(text: &str) -> Option<i32> {
    if text == "Z" {
        return Some(0);
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let (hours, minutes) = rest.split_once(':')?;
    let ((hours, ""), (minutes, "")) = (number(hours)?, number(minutes)?) else { return None };
    if rest.len() != 5 {
        return None;
    }
    // Go lets a day and an hour pass in full.
    (hours <= 24 && minutes <= 60).then_some(sign * (hours * 60 + minutes) as i32)
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}
