//! RFC 3339 as Go reads and writes it: `metav1.Time` in seconds, `metav1.MicroTime` with six decimals, always UTC. Durations
//! are in [`duration`].

pub mod duration;

/// A point in time: seconds since the epoch (before it too) and nanoseconds into that second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    pub seconds: i64,
    pub nanos: u32,
}

/// A text that is no time, told as Go's `time.Parse` does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parsing time {}{problem}", quote(.text))]
pub struct Error {
    text: String,
    problem: String,
}

const SECONDS: &str = "2006-01-02T15:04:05Z07:00";
const MICROS: &str = "2006-01-02T15:04:05.000000Z07:00";

/// Reads RFC 3339, with or without a fraction.
pub fn parse(text: &str) -> Result<Time, Error> {
    read(text, SECONDS)
}

/// Reads RFC 3339 with a fraction of exactly six digits, as MicroTime demands.
pub fn parse_micro(text: &str) -> Result<Time, Error> {
    read(text, MICROS)
}

fn read(text: &str, layout: &'static str) -> Result<Time, Error> {
    let mut reader = Reader { text, layout, at: 0 };
    let year = reader.number(4, "2006")?;
    reader.fixed("-")?;
    let month = reader.number(2, "01")?;
    reader.fixed("-")?;
    let day = reader.number(2, "02")?;
    reader.fixed("T")?;
    let hour = reader.number(2, "15")?;
    reader.fixed(":")?;
    let minute = reader.number(2, "04")?;
    reader.fixed(":")?;
    let second = reader.number(2, "05")?;
    let out_of_range = |part| Error { text: text.into(), problem: format!(": {part} out of range") };
    if !(1..=12).contains(&month) {
        return Err(out_of_range("month"));
    }
    for (value, limit, part) in [(hour, 24, "hour"), (minute, 60, "minute"), (second, 60, "second")] {
        if value >= limit {
            return Err(out_of_range(part));
        }
    }
    let mut nanos = 0;
    let fraction = reader.rest().strip_prefix(['.', ',']).unwrap_or_default();
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    if layout == MICROS && digits != 6 {
        return Err(reader.cannot(".000000"));
    }
    if digits > 0 {
        let kept = &fraction[..digits.min(9)];
        nanos = kept.parse::<u32>().unwrap_or(0) * 10u32.pow(9 - kept.len() as u32);
        reader.at += digits + 1;
    }
    let offset = if reader.rest().starts_with('Z') {
        reader.at += 1;
        0
    } else {
        let back = reader.at;
        let sign = match reader.rest().bytes().next() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Err(reader.cannot("Z07:00")),
        };
        reader.at += 1;
        let parts = (|| {
            let hours = reader.number(2, "").ok()?;
            reader.fixed(":").ok()?;
            Some((hours, reader.number(2, "").ok()?))
        })();
        match parts {
            Some((hours, minutes)) if hours <= 24 && minutes < 60 => sign * (hours * 3600 + minutes * 60),
            Some(_) => return Err(out_of_range("time zone offset hour")),
            None => {
                reader.at = back;
                return Err(reader.cannot("Z07:00"));
            }
        }
    };
    if !reader.rest().is_empty() {
        let problem = format!(": extra text: {}", quote(reader.rest()));
        return Err(Error { text: text.into(), problem });
    }
    if day < 1 || day > days_in(year, month) {
        return Err(out_of_range("day"));
    }
    let seconds = days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
    Ok(Time { seconds, nanos })
}

struct Reader<'a> {
    text: &'a str,
    layout: &'static str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }
    fn cannot(&self, part: &str) -> Error {
        let (layout, rest) = (quote(self.layout), quote(self.rest()));
        let problem = format!(" as {layout}: cannot parse {rest} as {}", quote(part));
        Error { text: self.text.into(), problem }
    }
    fn number(&mut self, digits: usize, part: &str) -> Result<i64, Error> {
        match self.text.as_bytes().get(self.at..self.at + digits) {
            Some(found) if found.iter().all(u8::is_ascii_digit) => {
                self.at += digits;
                Ok(found.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
            }
            _ => Err(self.cannot(part)),
        }
    }
    fn fixed(&mut self, part: &str) -> Result<(), Error> {
        if !self.rest().starts_with(part) {
            return Err(self.cannot(part));
        }
        self.at += part.len();
        Ok(())
    }
}

/// `2006-01-02T15:04:05Z`.
pub fn format(seconds: i64) -> String {
    let (year, month, day, hour, minute, second) = civil(seconds);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `2006-01-02T15:04:05.000000Z`, cut to microseconds.
pub fn format_micro(time: Time) -> String {
    let text = format(time.seconds);
    format!("{}.{:06}Z", text.trim_end_matches('Z'), time.nanos / 1000)
}

/// As Go's package `time` quotes what it complains of: everything beyond ASCII as bytes.
pub fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', byte.into()]),
            b' '..0x80 => out.push(byte.into()),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}

/// Year, month, day, hour, minute, second in UTC.
pub fn civil(seconds: i64) -> (i64, i64, i64, i64, i64, i64) {
    let (days, rest) = (seconds.div_euclid(86400), seconds.rem_euclid(86400));
    // Days are counted in eras of 400 years that begin on 1 March, so that the leap day is the last of its year.
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day, rest / 3600, rest / 60 % 60, rest % 60)
}

/// Days since 1970 of a date in the Gregorian calendar; months outside 1 to 12 count on.
pub fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = (year + (month - 1).div_euclid(12), (month - 1).rem_euclid(12) + 1);
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("2024-02-29T23:59:59.987654321+02:00", "2024-02-29T21:59:59Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59-00:30", "10000-01-01T00:29:59Z"),
        ] {
            assert_eq!(format(parse(text).unwrap().seconds), expected, "{text}");
        }
        let micro = parse_micro("2024-02-29T23:59:59.987654Z").unwrap();
        assert_eq!(format_micro(micro), "2024-02-29T23:59:59.987654Z");
        assert_eq!(parse("1970-01-01T00:00:01Z").unwrap().seconds, 1);
    }

    #[test]
    fn complains_as_go_does() {
        for (text, expected) in [
            ("x", r#"parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006""#),
            ("2024-13-01T00:00:00Z", r#"parsing time "2024-13-01T00:00:00Z": month out of range"#),
            ("2023-02-29T00:00:00Z", r#"parsing time "2023-02-29T00:00:00Z": day out of range"#),
            (
                "2024-01-01T00:00:00",
                r#"parsing time "2024-01-01T00:00:00" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00""#,
            ),
            (
                "2024-01-01T00:00:00Zé",
                r#"parsing time "2024-01-01T00:00:00Z\xc3\xa9": extra text: "\xc3\xa9""#,
            ),
            ("2024-01-01T00:00:00Zx", r#"parsing time "2024-01-01T00:00:00Zx": extra text: "x""#),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), expected);
        }
        assert!(parse_micro("2024-01-01T00:00:00Z").is_err());
    }
}
