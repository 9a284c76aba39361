//! Links of what is proxied: a page that a pod serves as `/` is shown below a longer path, so its absolute links and redirects get
//! that path before them (k8s.io/apimachinery/pkg/util/proxy, Transport).
//!
//! A page is read whole to be changed; one that is compressed, or larger than [`PAGE`], passes as it is.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, LOCATION};
use http::{HeaderValue, Response};
use http_body_util::{BodyExt, Limited};

use crate::http::Body;
use crate::status::{Result, Status};

/// Bytes of a page that is changed.
const PAGE: usize = 8 << 20;

/// Where links live in HTML.
const LINKS: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// Elements whose content is text, whatever it looks like.
const TEXT: [&str; 4] = ["script", "style", "textarea", "title"];

/// How the client sees what is proxied.
pub(super) struct Place {
    /// The path that stands before the pod's own.
    pub before: String,
    /// Names of the pod's host in absolute links: its address, and what the client asked for.
    pub hosts: Vec<String>,
}

impl Place {
    /// The link as the client must follow it; `None`: as it is.
    fn link(&self, link: &str) -> Option<String> {
        let after_scheme = link.split_once("://").filter(|(scheme, _)| {
            !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        let path = match after_scheme.map(|(_, rest)| rest).or_else(|| link.strip_prefix("//")) {
            Some(rest) => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                let (host, path) = rest.split_at(end);
                if !self.hosts.iter().any(|own| own == host) {
                    return None;
                }
                path
            }
            None => link,
        };
        if !path.starts_with('/') {
            return None;
        }
        let before = self.before.trim_end_matches('/');
        Some(if path.starts_with(before) { path.to_owned() } else { format!("{before}{path}") })
    }

    /// The answer of a pod with its redirect or its page's links as the client must follow them.
    pub async fn show(&self, response: Response<Body>) -> Result<Response<Body>> {
        let (mut parts, body) = response.into_parts();
        if let Some(to) = parts.headers.get(LOCATION).and_then(|value| value.to_str().ok()) {
            if let Some(value) = self.link(to).and_then(|to| HeaderValue::from_str(&to).ok()) {
                parts.headers.insert(LOCATION, value);
            }
            return Ok(Response::from_parts(parts, body));
        }
        if !is_page(&parts.headers) {
            return Ok(Response::from_parts(parts, body));
        }
        let page = Limited::new(body, PAGE).collect().await;
        let page = page.map_err(|error| Status::unavailable(format!("error reading the page: {error}")))?;
        let page = Bytes::from(rewrite(&page.to_bytes(), &|link| self.link(link)));
        if parts.headers.contains_key(CONTENT_LENGTH) {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(page.len()));
        }
        Ok(Response::from_parts(parts, Body::One(page)))
    }
}

fn is_page(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let small = text(CONTENT_LENGTH).parse::<usize>().is_ok_and(|length| length <= PAGE);
    let html = text(CONTENT_TYPE).split(';').next().is_some_and(|kind| kind.trim() == "text/html");
    html && small && text(CONTENT_ENCODING).is_empty()
}

/// The page with each link changed; everything else stays byte for byte.
fn rewrite(page: &[u8], change: &dyn Fn(&str) -> Option<String>) -> Vec<u8> {
    let mut out = Vec::with_capacity(page.len());
    let mut at = 0;
    while let Some(open) = find(page, at, b"<") {
        let start = if page[open..].starts_with(b"<!--") {
            find(page, open, b"-->").map_or(page.len(), |end| end + 3)
        } else {
            open + 1
        };
        out.extend_from_slice(&page[at..start]);
        at = start;
        let name = word(page, at, |byte| byte.is_ascii_alphanumeric());
        if page.get(open + 1) == Some(&b'!') || name.is_empty() {
            continue;
        }
        let tag = String::from_utf8_lossy(name).to_ascii_lowercase();
        at = attributes(page, at, at + name.len(), &tag, change, &mut out);
        if TEXT.contains(&tag.as_str()) {
            let end = close(page, at, &tag);
            out.extend_from_slice(&page[at..end]);
            at = end;
        }
    }
    out.extend_from_slice(&page[at..]);
    out
}

/// Copies a tag from `from` to its end, changing links; gives where it ends. `at`: behind its name.
fn attributes(
    page: &[u8],
    from: usize,
    mut at: usize,
    tag: &str,
    change: &dyn Fn(&str) -> Option<String>,
    out: &mut Vec<u8>,
) -> usize {
    let links = LINKS.iter().find(|(name, _)| *name == tag).map_or(&[][..], |(_, links)| links);
    let mut copied = from;
    let blank = |byte: u8| byte.is_ascii_whitespace();
    loop {
        at += word(page, at, |byte| blank(byte) || byte == b'/').len();
        match page.get(at) {
            None => break,
            Some(b'>') => {
                at += 1;
                break;
            }
            Some(_) => {}
        }
        let name = word(page, at, |byte| !blank(byte) && !b"/>=".contains(&byte));
        at += name.len().max(1);
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let equals = at + word(page, at, blank).len();
        if page.get(equals) != Some(&b'=') {
            continue;
        }
        at = equals + 1;
        at += word(page, at, blank).len();
        let (start, value) = match page.get(at) {
            Some(&quote @ (b'"' | b'\'')) => {
                let value = word(page, at + 1, |byte| byte != quote);
                (at + 1, value)
            }
            _ => (at, word(page, at, |byte| !blank(byte) && byte != b'>')),
        };
        let quoted = usize::from(start > at);
        at = (start + value.len() + quoted).min(page.len());
        if links.contains(&name.as_str())
            && let Some(link) = std::str::from_utf8(value).ok().and_then(change)
        {
            out.extend_from_slice(&page[copied..start]);
            out.extend_from_slice(link.as_bytes());
            copied = start + value.len();
        }
    }
    out.extend_from_slice(&page[copied..at]);
    at
}

/// The bytes from `at` on that fit.
fn word(page: &[u8], at: usize, fits: impl Fn(u8) -> bool) -> &[u8] {
    let rest = page.get(at..).unwrap_or_default();
    let end = rest.iter().position(|byte| !fits(*byte)).unwrap_or(rest.len());
    &rest[..end]
}

fn find(page: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    page.get(from..)?.windows(what.len()).position(|window| window == what).map(|at| from + at)
}

/// Where the end tag of an element begins.
fn close(page: &[u8], from: usize, tag: &str) -> usize {
    let mut at = from;
    while let Some(found) = find(page, at, b"</") {
        let name = page.get(found + 2..found + 2 + tag.len()).unwrap_or_default();
        if name.eq_ignore_ascii_case(tag.as_bytes()) {
            return found;
        }
        at = found + 2;
    }
    page.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_get_the_path_before_them() {
        let place = Place { before: "/p/proxy".into(), hosts: vec!["10.0.0.1:80".into(), "api:6443".into()] };
        for (page, expected) in [
            (r#"<a href="/x">t</a>"#, r#"<a href="/p/proxy/x">t</a>"#),
            ("<A Class=b HREF=/x/>", "<A Class=b HREF=/p/proxy/x/>"),
            ("<img alt='/x' src = '/y'/><b href='/z'>", "<img alt='/x' src = '/p/proxy/y'/><b href='/z'>"),
            (
                r#"<a href="x">, <a href="../x">, <a href="">"#,
                r#"<a href="x">, <a href="../x">, <a href="">"#,
            ),
            ("<a href=//other/x><a href=http://10.0.0.1:80/x>", "<a href=//other/x><a href=/p/proxy/x>"),
            ("<a href='/p/proxy/x'>", "<a href='/p/proxy/x'>"),
            ("<!-- <a href='/x'> --><a href='/x'>", "<!-- <a href='/x'> --><a href='/p/proxy/x'>"),
            (
                "<script src=/a>'<a href=\"/x\">'</script>",
                "<script src=/p/proxy/a>'<a href=\"/x\">'</script>",
            ),
            ("a < b <a href='/x", "a < b <a href='/p/proxy/x"),
            ("<a href", "<a href"),
            ("<a =/x>", "<a =/x>"),
            ("<!doctype html><", "<!doctype html><"),
        ] {
            let found = rewrite(page.as_bytes(), &|link| place.link(link));
            assert_eq!(String::from_utf8(found).unwrap(), expected, "{page}");
        }
    }
}
