//! URLs as Go's `url.ParseRequestURI` takes them: absolute, or a path from the root.

/// The parts of a URL that expressions may ask for.
#[derive(Clone, Debug)]
pub struct Url {
    pub text: String,
    pub scheme: String,
    /// With its port.
    pub host: String,
    /// As it was written.
    pub path: String,
    query: String,
}

impl Url {
    pub fn parse(text: &str) -> Result<Url, String> {
        let bad = |why: &str| format!("URL parse error during conversion from string: parse {text:?}: {why}");
        if text.is_empty() {
            return Err(bad("empty url"));
        }
        if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return Err(bad("net/url: invalid control character in URL"));
        }
        let (before, query) = text.split_once('?').unwrap_or((text, ""));
        let scheme_end = before.find(':').filter(|end| {
            let head = &before[..*end];
            head.starts_with(|letter: char| letter.is_ascii_alphabetic())
                && head.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
        });
        let (scheme, rest) = match scheme_end {
            Some(end) => (before[..end].to_ascii_lowercase(), &before[end + 1..]),
            None => (String::new(), before),
        };
        if scheme.is_empty() && !rest.starts_with('/') {
            return Err(bad("invalid URI for request"));
        }
        if before.starts_with(':') {
            return Err(bad("missing protocol scheme"));
        }
        let (host, path) = match rest.strip_prefix("//") {
            Some(rest) if !scheme.is_empty() || !rest.starts_with('/') => {
                let end = rest.find('/').unwrap_or(rest.len());
                (&rest[..end], &rest[end..])
            }
            _ => ("", rest),
        };
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        if host.contains(' ') {
            return Err(bad("invalid character \" \" in host name"));
        }
        let port =
            host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map_or("", |(_, port)| port);
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(bad(&format!("invalid port \":{port}\" after host")));
        }
        let escapes_are_good = |text: &str| {
            let bytes = text.as_bytes();
            (0..bytes.len())
                .filter(|at| bytes[*at] == b'%')
                .all(|at| bytes.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit)))
        };
        if !escapes_are_good(path) {
            return Err(bad("invalid URL escape"));
        }
        let path = path.replace(' ', "%20");
        Ok(Url { text: text.into(), scheme, host: host.into(), path, query: query.into() })
    }

    pub fn hostname(&self) -> &str {
        match self.host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((inner, _)) => inner,
            None => self.host.split(':').next().unwrap_or_default(),
        }
    }

    pub fn port(&self) -> &str {
        let after = self.host.rsplit_once(']').map_or(self.host.as_str(), |(_, rest)| rest);
        after.rsplit_once(':').map_or("", |(_, port)| port)
    }

    /// Keys with their values, decoded, in the order they came.
    pub fn query(&self) -> Vec<(String, Vec<String>)> {
        let mut all: Vec<(String, Vec<String>)> = Vec::new();
        for pair in self.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (key, value) = (decode(key), decode(value));
            match all.iter_mut().find(|(known, _)| *known == key) {
                Some((_, values)) => values.push(value),
                None => all.push((key, vec![value])),
            }
        }
        all
    }
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        match (bytes[at], hex.and_then(|two| u8::from_str_radix(two, 16).ok())) {
            (b'+', _) => out.push(b' '),
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}
