//! Go's `net/url`: what `urlParse` takes apart, `urlJoin` puts together, and `urlquery` escapes.

use super::quote;

#[derive(Clone, Debug, Default)]
pub struct Url {
    pub scheme: String,
    pub opaque: String,
    /// As it is written in a URL; `None` if there is no `@`.
    pub user: Option<String>,
    pub host: String,
    pub path: String,
    pub raw_path: String,
    pub force_query: bool,
    pub query: String,
    pub fragment: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Path,
    Segment,
    Host,
    User,
    Query,
    Fragment,
}

fn keeps(byte: u8, mode: Mode) -> bool {
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
        return true;
    }
    match mode {
        Mode::Host => matches!(
            byte,
            b'!' | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'['
                | b']'
                | b'<'
                | b'>'
                | b'"'
        ),
        Mode::Path => matches!(byte, b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'@'),
        Mode::Segment => matches!(byte, b'$' | b'&' | b'+' | b':' | b'=' | b'@'),
        Mode::User => matches!(byte, b'$' | b'&' | b'+' | b',' | b';' | b'='),
        Mode::Query => false,
        Mode::Fragment => matches!(
            byte,
            b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'?' | b'@' | b'!' | b'(' | b')' | b'*'
        ),
    }
}

fn escape(text: &str, mode: Mode) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if mode == Mode::Query && byte == b' ' {
            out.push('+');
        } else if keeps(byte, mode) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// `url.QueryEscape`.
pub fn query_escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b' ' => out.push('+'),
            byte if keeps(*byte, Mode::Query) => out.push(*byte as char),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn unescape(text: &str, mode: Mode) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let hex = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
            let value = hex
                .filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
                .and_then(|hex| u8::from_str_radix(hex, 16).ok());
            let Some(value) = value else {
                let end = bytes.len().min(at + 3);
                return Err(format!("invalid URL escape {}", quote::quote(&bytes[at..end])));
            };
            if mode == Mode::Host && value < 0x80 && bytes.get(at + 1..at + 3) != Some(b"25") {
                return Err(format!("invalid URL escape {}", quote::quote(&bytes[at..at + 3])));
            }
            out.push(value);
            at += 3;
            continue;
        }
        if mode == Mode::Host && bytes[at] < 0x80 && !keeps(bytes[at], Mode::Host) {
            return Err(format!("invalid character {} in host name", quote::quote(&bytes[at..=at])));
        }
        out.push(bytes[at]);
        at += 1;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// `url.Parse`; the error is `parse "…": …`.
pub fn parse(text: &str) -> Result<Url, String> {
    let (before, fragment) = text.split_once('#').unwrap_or((text, ""));
    let fault = |error: String| format!("parse {}: {error}", quote::quote(text.as_bytes()));
    let mut url = parse_reference(before)
        .map_err(|error| format!("parse {}: {error}", quote::quote(before.as_bytes())))?;
    url.fragment = unescape(fragment, Mode::Fragment).map_err(fault)?;
    Ok(url)
}

fn parse_reference(text: &str) -> Result<Url, String> {
    if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return Err("net/url: invalid control character in URL".into());
    }
    let mut url = Url::default();
    if text == "*" {
        url.path = "*".into();
        return Ok(url);
    }
    let (scheme, rest) = split_scheme(text)?;
    url.scheme = scheme.to_ascii_lowercase();
    let mut rest = rest;
    if rest.ends_with('?') && rest.matches('?').count() == 1 {
        url.force_query = true;
        rest = &rest[..rest.len() - 1];
    } else if let Some((before, query)) = rest.split_once('?') {
        url.query = query.into();
        rest = before;
    }
    if !rest.starts_with('/') {
        if !url.scheme.is_empty() {
            url.opaque = rest.into();
            return Ok(url);
        }
        let segment = rest.split('/').next().unwrap_or_default();
        if segment.contains(':') {
            return Err("first path segment in URL cannot contain colon".into());
        }
    }
    if rest.starts_with("//") && (!url.scheme.is_empty() || !rest.starts_with("///")) {
        let authority = &rest[2..];
        let (authority, path) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
        rest = path;
        let host = match authority.rsplit_once('@') {
            Some((user, host)) => {
                let valid = user
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte));
                if !valid {
                    return Err("net/url: invalid userinfo".into());
                }
                url.user = Some(match user.split_once(':') {
                    None => escape(&unescape(user, Mode::User)?, Mode::User),
                    Some((name, word)) => format!(
                        "{}:{}",
                        escape(&unescape(name, Mode::User)?, Mode::User),
                        escape(&unescape(word, Mode::User)?, Mode::User)
                    ),
                });
                host
            }
            None => authority,
        };
        url.host = parse_host(host)?;
    }
    url.path = unescape(rest, Mode::Path)?;
    if escape(&url.path, Mode::Path) != rest {
        url.raw_path = rest.into();
    }
    Ok(url)
}

fn split_scheme(text: &str) -> Result<(&str, &str), String> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme".into()),
            b':' => return Ok((&text[..at], &text[at + 1..])),
            _ => return Ok(("", text)),
        }
    }
    Ok(("", text))
}

fn parse_host(host: &str) -> Result<String, String> {
    let port_of = |text: &str| -> Result<(), String> {
        let good = text.is_empty()
            || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
        good.then_some(()).ok_or_else(|| format!("invalid port {} after host", quote::quote(text.as_bytes())))
    };
    if host.starts_with('[') {
        let end = host.rfind(']').ok_or("missing ']' in host")?;
        port_of(&host[end + 1..])?;
    } else if let Some(at) = host.rfind(':') {
        port_of(&host[at..])?;
    }
    unescape(host, Mode::Host)
}

impl Url {
    pub fn hostname(&self) -> String {
        let host = match self.host.rfind(':') {
            Some(at) if self.host[at + 1..].bytes().all(|byte| byte.is_ascii_digit()) => &self.host[..at],
            _ => &self.host,
        };
        match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) => inner.into(),
            None => host.into(),
        }
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = String::new();
        if !self.scheme.is_empty() {
            out.push_str(&self.scheme);
            out.push(':');
        }
        if !self.opaque.is_empty() {
            out.push_str(&self.opaque);
        } else {
            if !self.scheme.is_empty() || !self.host.is_empty() || self.user.is_some() {
                if !self.host.is_empty() || !self.path.is_empty() || self.user.is_some() {
                    out.push_str("//");
                }
                if let Some(user) = &self.user {
                    out.push_str(user);
                    out.push('@');
                }
                out.push_str(&escape(&self.host, Mode::Host));
            }
            let path = if self.path == "*" { "*".into() } else { escape(&self.path, Mode::Path) };
            if !path.is_empty() && !path.starts_with('/') && !self.host.is_empty() {
                out.push('/');
            }
            // A first segment with a colon would be read as a scheme.
            if out.is_empty() && path.split('/').next().is_some_and(|segment| segment.contains(':')) {
                out.push_str("./");
            }
            out.push_str(&path);
        }
        if self.force_query || !self.query.is_empty() {
            out.push('?');
            out.push_str(&self.query);
        }
        if !self.fragment.is_empty() {
            out.push('#');
            out.push_str(&escape(&self.fragment, Mode::Fragment));
        }
        debug_assert!(keeps(b'a', Mode::Segment));
        f.write_str(&out)
    }
}
