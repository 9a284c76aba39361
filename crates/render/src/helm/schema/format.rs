//! The formats of texts, each with the library's reason why a text has it not. Formats that are not known hold everything.

use crate::go::time::{self, Zone};
use crate::go::{quote, regexp, url};

type Done = Result<(), String>;

fn fail<T>(text: impl Into<String>) -> Result<T, String> {
    Err(text.into())
}

/// The error is the reason alone.
pub(super) fn check(name: &str, text: &str) -> Done {
    match name {
        "regex" => regexp::compile(text).map(drop),
        "json-pointer" => json_pointer(text),
        "relative-json-pointer" => relative_json_pointer(text),
        "uuid" => uuid(text),
        "duration" => duration(text),
        "period" => period(text),
        "ipv4" => ipv4(text),
        "ipv6" => ipv6(text),
        "hostname" => hostname(text),
        "email" => email(text),
        "date" => date(text),
        "time" => clock(text),
        "date-time" => date_time(text),
        "uri" | "iri" => uri(text),
        "uri-reference" | "iri-reference" => uri_reference(text),
        "uri-template" => uri_template(text),
        "semver" => semver(text),
        _ => Ok(()),
    }
}

fn json_pointer(text: &str) -> Done {
    if text.is_empty() {
        return Ok(());
    }
    let Some(rest) = text.strip_prefix('/') else { return fail("not starting with /") };
    let mut chars = rest.chars();
    while let Some(char) = chars.next() {
        if char == '~' && !matches!(chars.next(), Some('0' | '1')) {
            return fail("~ must be followed by 0 or 1");
        }
    }
    Ok(())
}

fn relative_json_pointer(text: &str) -> Done {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    match &text[digits..] {
        _ if digits == 0 => fail("must start with non-negative integer"),
        _ if digits > 1 && text.starts_with('0') => fail("starts with zero"),
        "#" => Ok(()),
        rest => json_pointer(rest),
    }
}

fn uuid(text: &str) -> Done {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let groups: Vec<&str> = text.split('-').collect();
    if groups.len() != GROUPS.len() {
        return fail("must have 5 elements");
    }
    for (at, (group, length)) in groups.iter().zip(GROUPS).enumerate() {
        if group.len() != length {
            return fail(format!("element {} must be {length} characters long", at + 1));
        }
        if let Some(char) = group.chars().find(|char| !char.is_ascii_hexdigit()) {
            return fail(format!("non-hex character {}", quote::quote_char(char)));
        }
    }
    Ok(())
}

fn duration(text: &str) -> Done {
    let Some(text) = text.strip_prefix('P') else { return fail("must start with P") };
    if text.is_empty() {
        return fail("nothing after P");
    }
    if let Some(weeks) = text.strip_suffix('W') {
        return match weeks {
            "" => fail("no number in week"),
            weeks if weeks.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
            _ => fail("invalid week"),
        };
    }
    const UNITS: [&str; 2] = ["YMD", "HMS"];
    for (at, mut part) in text.split('T').enumerate() {
        if at != 0 && part.is_empty() {
            return fail("no time elements");
        }
        let Some(all) = UNITS.get(at) else { return fail("more than one T") };
        let mut units = *all;
        while !part.is_empty() {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 {
                return fail("missing number");
            }
            part = &part[digits..];
            let Some(unit) = part.chars().next() else { return fail("missing unit") };
            let shown = || quote::quote_char(unit);
            match units.find(unit) {
                Some(found) => units = &units[found + 1..],
                None if all.contains(unit) => return fail(format!("unit {} out of order", shown())),
                None => return fail(format!("invalid unit {}", shown())),
            }
            part = &part[unit.len_utf8()..];
        }
    }
    Ok(())
}

fn period(text: &str) -> Done {
    let Some((start, end)) = text.split_once('/') else { return fail("missing slash") };
    let wrong = |what: &'static str| move |reason: String| format!("invalid {what}: {reason}");
    if start.starts_with('P') {
        duration(start).map_err(wrong("start duration"))?;
        return date_time(end).map_err(wrong("end date-time"));
    }
    date_time(start).map_err(wrong("start date-time"))?;
    if end.starts_with('P') {
        return duration(end).map_err(wrong("end duration"));
    }
    date_time(end).map_err(wrong("end date-time"))
}

fn ipv4(text: &str) -> Done {
    let groups: Vec<&str> = text.split('.').collect();
    if groups.len() != 4 {
        return fail("expected four decimals");
    }
    for group in groups {
        if group.len() > 1 && group.starts_with('0') {
            return fail("leading zeros");
        }
        let digits = group.strip_prefix(['+', '-']).unwrap_or(group);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let shown = quote::quote(group.as_bytes());
            return fail(format!("strconv.Atoi: parsing {shown}: invalid syntax"));
        }
        match group.parse::<i64>() {
            Err(_) => {
                let shown = quote::quote(group.as_bytes());
                return fail(format!("strconv.Atoi: parsing {shown}: value out of range"));
            }
            Ok(number) if !(0..=255).contains(&number) => {
                return fail("decimal must be between 0 and 255");
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

fn ipv6(text: &str) -> Done {
    if !text.contains(':') {
        return fail("missing colon");
    }
    let (address, zone) = text.split_once('%').map_or((text, None), |(address, zone)| (address, Some(zone)));
    if address.parse::<std::net::Ipv6Addr>().is_err() {
        let shown = quote::quote(text.as_bytes());
        return fail(format!("ParseAddr({shown}): unable to parse IP"));
    }
    if zone.is_some() {
        return fail("zone id is not a part of ipv6 address");
    }
    Ok(())
}

fn hostname(text: &str) -> Done {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.len() > 253 {
        return fail("more than 253 characters long");
    }
    for label in text.split('.') {
        if !(1..=63).contains(&label.len()) {
            return fail("label must be 1 to 63 characters long");
        }
        if label.starts_with('-') {
            return fail("label starts with hyphen");
        }
        if label.ends_with('-') {
            return fail("label ends with hyphen");
        }
        if let Some(char) = label.chars().find(|char| !(char.is_ascii_alphanumeric() || *char == '-')) {
            return fail(format!("invalid character {}", quote::quote_char(char)));
        }
    }
    Ok(())
}

fn email(text: &str) -> Done {
    if text.len() > 254 {
        return fail("more than 255 characters long");
    }
    let Some((local, domain)) = text.rsplit_once('@') else { return fail("missing @") };
    if local.len() > 64 {
        return fail("local part more than 64 characters long");
    }
    if local.len() > 1 && local.starts_with('"') && local.ends_with('"') {
        if local[1..local.len() - 1].contains(['\\', '"']) {
            return fail("backslash and quote are not allowed within quoted local part");
        }
    } else {
        if local.starts_with('.') {
            return fail("starts with dot");
        }
        if local.ends_with('.') {
            return fail("ends with dot");
        }
        if local.contains("..") {
            return fail("consecutive dots");
        }
        let allowed = |char: char| char.is_ascii_alphanumeric() || ".!#$%&'*+-/=?^_`{|}~".contains(char);
        if let Some(char) = local.chars().find(|char| !allowed(*char)) {
            return fail(format!("invalid character {}", quote::quote_char(char)));
        }
    }
    if let Some(inner) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return match inner.strip_prefix("IPv6:") {
            Some(address) => ipv6(address).map_err(|reason| format!("invalid ipv6 address: {reason}")),
            None => ipv4(inner).map_err(|reason| format!("invalid ipv4 address: {reason}")),
        };
    }
    hostname(domain).map_err(|reason| format!("invalid domain: {reason}"))
}

fn date(text: &str) -> Done {
    time::parse("2006-01-02", text, &Zone::Utc).map(drop)
}

/// Two digits that may carry a sign, as `strconv.Atoi` reads them.
fn numbers(text: &str, most: usize, wrong: &str, negative: &str) -> Result<Vec<i64>, String> {
    let mut out = Vec::new();
    for part in text.splitn(most, ':') {
        match crate::go::float::parse_int(part, 10) {
            None => return fail(wrong),
            Some(number) if number < 0 => return fail(negative),
            Some(number) => out.push(number),
        }
    }
    Ok(out)
}

fn clock(text: &str) -> Done {
    if text.len() < 9 {
        return fail("less than 9 characters long");
    }
    if text.as_bytes()[2] != b':' || text.as_bytes()[5] != b':' {
        return fail("missing colon in correct place");
    }
    let (Some(head), Some(mut rest)) = (text.get(..8), text.get(8..)) else {
        return fail("invalid hour/min/sec");
    };
    let parts = numbers(head, 3, "invalid hour/min/sec", "non-positive hour/min/sec")?;
    let [mut hour, mut minute, second] = parts[..] else { return fail("missing hour/min/sec") };
    if hour > 23 || minute > 59 || second > 60 {
        return fail("hour/min/sec out of range");
    }
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return fail("no digits in second fraction");
        }
        rest = &fraction[digits..];
    }
    if rest != "z" && rest != "Z" {
        if rest.len() != 6 {
            return fail("offset must be 6 characters long");
        }
        let sign = match rest.as_bytes()[0] {
            b'+' => -1,
            b'-' => 1,
            _ => return fail("offset must begin with plus/minus"),
        };
        let offset = rest.get(1..).filter(|offset| offset.as_bytes()[2] == b':');
        let Some(offset) = offset else { return fail("missing colon in offset in correct place") };
        let parts = numbers(offset, 2, "invalid hour/min in offset", "non-positive hour/min in offset")?;
        let [hours, minutes] = parts[..] else { return fail("invalid hour/min in offset") };
        if hours > 23 || minutes > 59 {
            return fail("hour/min in offset out of range");
        }
        let mut all = hour * 60 + minute + sign * (hours * 60 + minutes);
        if all < 0 {
            all += 24 * 60;
        }
        (hour, minute) = (all / 60, all % 60);
    }
    if second >= 60 && (hour != 23 || minute != 59) {
        return fail("invalid leap second");
    }
    Ok(())
}

fn date_time(text: &str) -> Done {
    if text.len() < 20 {
        return fail("less than 20 characters long");
    }
    if !matches!(text.as_bytes()[10], b't' | b'T') {
        return fail("11th character must be t or T");
    }
    let (day, rest) = (text.get(..10).unwrap_or_default(), text.get(11..).unwrap_or_default());
    date(day).map_err(|reason| format!("invalid date element: {reason}"))?;
    clock(rest).map_err(|reason| format!("invalid time element: {reason}"))
}

fn parse(text: &str) -> Result<url::Url, String> {
    let url = url::parse(text)?;
    let host = url.hostname();
    if host.contains(':') {
        if !url.host.contains('[') || !url.host.contains(']') {
            return fail("ipv6 address not enclosed in brackets");
        }
        ipv6(&host).map_err(|reason| format!("invalid ipv6 address: {reason}"))?;
    }
    Ok(url)
}

fn uri(text: &str) -> Done {
    if parse(text)?.scheme.is_empty() { fail("relative url") } else { Ok(()) }
}

fn uri_reference(text: &str) -> Done {
    if text.contains('\\') {
        return fail("contains \\");
    }
    parse(text).map(drop)
}

fn uri_template(text: &str) -> Done {
    for part in parse(text)?.raw_path.split('/') {
        let mut open = false;
        for char in part.chars().filter(|char| matches!(char, '{' | '}')) {
            if (char == '{') == open {
                return fail("nested curly braces");
            }
            open = !open;
        }
        if open {
            return fail("no matching closing brace");
        }
    }
    Ok(())
}

fn semver(text: &str) -> Done {
    let plain = |char: char| char.is_ascii_alphanumeric() || char == '-';
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    if let Some(build) = build {
        if build.is_empty() {
            return fail("build is empty");
        }
        for part in build.split('.') {
            if part.is_empty() {
                return fail("build identifier is empty");
            }
            if let Some(char) = part.chars().find(|char| !plain(*char)) {
                return fail(format!("invalid character {} in build identifier", quote::quote_char(char)));
            }
        }
    }
    let (core, pre) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
    for part in pre.into_iter().flat_map(|pre| pre.split('.')) {
        if part.is_empty() {
            return fail("pre-release identifier is empty");
        }
        if let Some(char) = part.chars().find(|char| !plain(*char)) {
            let shown = quote::quote_char(char);
            return fail(format!("invalid character {shown} in pre-release identifier"));
        }
        if part.len() > 1 && part.starts_with('0') && part.bytes().all(|byte| byte.is_ascii_digit()) {
            return fail("pre-release numeric identifier starts with zero");
        }
    }
    let parts: Vec<&str> = core.split('.').collect();
    if parts.len() != 3 {
        return fail("versionCore must have 3 numbers separated by dot");
    }
    for (name, part) in ["major", "minor", "patch"].into_iter().zip(parts) {
        if part.is_empty() {
            return fail(format!("{name} is empty"));
        }
        if part.len() > 1 && part.starts_with('0') {
            return fail(format!("{name} starts with zero"));
        }
        if !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return fail(format!("{name} contains non-digit"));
        }
    }
    Ok(())
}
