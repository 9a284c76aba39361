//! Where a repository is, read from what its owner wrote.

use std::path::PathBuf;

use super::Error;

/// A parsed address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Url {
    /// `http` or `https`, without user and password.
    Http(String),
    Ssh {
        user: String,
        host: String,
        port: u16,
        path: String,
    },
    Local(PathBuf),
}

/// Reads `https://…`, `ssh://…`, `user@host:path`, `file:///…` and absolute paths.
pub fn parse(text: &str) -> Result<Url, Error> {
    let fault = |text_: &str| Error::Url { url: text.into(), text: text_.into() };
    if let Some(path) = text.strip_prefix("file://") {
        return Ok(Url::Local(path.into()));
    }
    if text.starts_with('/') {
        return Ok(Url::Local(text.into()));
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        return match scheme {
            "https" | "http" => Ok(Url::Http(format!("{scheme}://{host}{}", path.trim_end_matches('/')))),
            "ssh" | "git+ssh" => {
                let (host, port) =
                    host.rsplit_once(':').filter(|_| !host.ends_with(']')).unwrap_or((host, "22"));
                let port = port.parse().map_err(|_| fault("the port is no number"))?;
                let user = if user.is_empty() { "git" } else { user };
                Ok(Url::Ssh { user: user.into(), host: host.into(), port, path: path.into() })
            }
            _ => Err(fault("this kind of address is not known; use https, ssh or a path of this host")),
        };
    }
    match text.split_once(':') {
        Some((host, path)) if !host.contains('/') => {
            let (user, host) = host.rsplit_once('@').unwrap_or(("git", host));
            Ok(Url::Ssh { user: user.into(), host: host.into(), port: 22, path: path.into() })
        }
        _ => Err(fault("is no address of a repository; use https://…, ssh://…, user@host:path or /path")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let ssh = |user: &str, host: &str, port, path: &str| Url::Ssh {
            user: user.into(),
            host: host.into(),
            port,
            path: path.into(),
        };
        assert_eq!(
            parse("git@example.com:org/repo.git").unwrap(),
            ssh("git", "example.com", 22, "org/repo.git")
        );
        assert_eq!(
            parse("ssh://bob@example.com:2222/org/repo").unwrap(),
            ssh("bob", "example.com", 2222, "/org/repo")
        );
        assert_eq!(
            parse("https://user:pass@example.com/r.git/").unwrap(),
            Url::Http("https://example.com/r.git".into())
        );
        assert_eq!(parse("file:///srv/r").unwrap(), Url::Local("/srv/r".into()));
        assert_eq!(parse("/srv/r").unwrap(), Url::Local("/srv/r".into()));
        assert!(parse("oci://x/y").is_err() && parse("word").is_err());
    }
}
