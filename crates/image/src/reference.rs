//! Image names as people write them, made whole as Docker does: `nginx` is `docker.io/library/nginx:latest`.
//! Grammar: <https://github.com/distribution/reference>; OCI Distribution Specification, "Pulling manifests".

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// A normalised reference. Without a tag and a digest the tag is `latest`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Host and perhaps port: `docker.io`, `registry.example.com:5000`.
    pub registry: String,
    /// `library/nginx`
    pub repository: String,
    pub tag: Option<String>,
    /// `sha256:…`
    pub digest: Option<String>,
}

impl Reference {
    /// What a registry is asked for: the digest if there is one, else the tag.
    pub fn version(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }

    /// `registry/repository` without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The same repository by digest.
    pub fn with_digest(&self, digest: &str) -> Reference {
        Reference { tag: None, digest: Some(digest.into()), ..self.clone() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(out, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(out, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Reference, Error> {
        let bad = |hint| Error::InvalidName { name: text.into(), hint };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(bad("a digest is sha256: and 64 hexadecimal digits"));
        }
        let slash = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[slash..].find(':') {
            Some(colon) => (&rest[..slash + colon], Some(&rest[slash + colon + 1..])),
            None => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(bad("a tag is up to 128 letters, digits, '_', '.' and '-'"));
        }
        let (registry, path) = match name.split_once('/') {
            Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (first, path),
            _ => ("docker.io", name),
        };
        if path.is_empty() || !path.split('/').all(is_component) {
            return Err(bad(
                "invalid reference format: a repository is lower case letters, digits and separators",
            ));
        }
        let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
        let repository = if registry == "docker.io" && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.into()
        };
        if registry.len() + repository.len() > 255 {
            return Err(bad("a repository name has at most 255 characters"));
        }
        let tag = match (tag, digest) {
            (None, None) => Some("latest".to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Reference { registry: registry.into(), repository, tag, digest: digest.map(str::to_owned) })
    }
}

/// `sha256:` and 64 lower-case hexadecimal digits.
pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

/// Letters and digits, with `.`, `_`, `__` or dashes between them.
fn is_component(part: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    let ends = |at: Option<&u8>| at.is_some_and(|byte| inner(*byte));
    let separators = |run: &[u8]| run.iter().all(|byte| *byte == b'-') || matches!(run, b"." | b"_" | b"__");
    ends(bytes.first())
        && ends(bytes.last())
        && bytes.split(|byte| inner(*byte)).filter(|run| !run.is_empty()).all(separators)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_whole() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, whole) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("me/app", "docker.io/me/app:latest"),
            ("localhost/app:1", "localhost/app:1"),
            ("host:5000/a/b:v_1", "host:5000/a/b:v_1"),
            ("ghcr.io/you/web:1.0.0", "ghcr.io/you/web:1.0.0"),
            ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), whole);
        }
        let both: Reference = format!("a.io/x:1@{digest}").parse().unwrap();
        assert_eq!((both.version(), both.tag.as_deref()), (digest.as_str(), Some("1")));
        assert_eq!(format!("a.io/x@{digest}").parse::<Reference>().unwrap().tag, None);
    }

    #[test]
    fn bad_names_are_refused() {
        for text in
            ["", "Nginx", "a//b", "a:b:c", "x@sha256:12", "a/-b", "x:.tag", "http://a.io/b", "a___b", "a.io/"]
        {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
