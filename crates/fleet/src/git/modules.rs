//! Submodules: what `.gitmodules` names and the tree pins is fetched too, at the pinned commit, with submodules of its own.
//!
//! Credentials of a repository go to no other host than its own, but for ssh keys, which give nothing away. A repository of
//! a server cannot name a path of this host.

use gix::config::File;

use super::{CommitTree, Error, Outcome, Url, obtain as obtain_one, parse_url};
use crate::source::{Credentials, Fetch};

/// Submodules in submodules.
const DEPTH: u32 = 8;
/// Submodules of one repository.
const MOST: usize = 128;
const FILE: &str = ".gitmodules";

/// An entry of `.gitmodules`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    pub path: String,
    pub url: String,
}

/// Reads `.gitmodules`; entries with `update = none` are left out, as git does.
///
/// # Errors
/// Says what is wrong with the file.
pub fn parse(text: &[u8]) -> Result<Vec<Module>, String> {
    let file = File::from_bytes_no_includes(text, gix::config::file::Metadata::api(), Default::default())
        .map_err(|error| format!("{FILE}: {error}"))?;
    let mut all = Vec::new();
    for section in file.sections_by_name("submodule").into_iter().flatten() {
        let value = |name: &str| section.value(name).map(|text| text.to_string()).unwrap_or_default();
        let name = section.header().subsection_name().map(ToString::to_string).unwrap_or_default();
        let (path, url) = (value("path"), value("url"));
        if value("update") == "none" {
            continue;
        }
        if path.is_empty() || url.is_empty() {
            return Err(format!("{FILE}: the submodule {name:?} needs a path and a url"));
        }
        let clean = path.trim_end_matches('/');
        if clean.split('/').any(|part| matches!(part, "" | "." | ".." | ".git")) {
            return Err(format!(
                "{FILE}: the submodule {name:?} has the path {path:?}, which leads elsewhere"
            ));
        }
        all.push(Module { path: clean.into(), url });
    }
    if all.len() > MOST {
        return Err(format!("{FILE}: more than {MOST} submodules"));
    }
    Ok(all)
}

/// The address of a submodule: `./` and `../` are seen from its parent's.
///
/// # Errors
/// It leads above the parent's host.
pub fn address(parent: &str, url: &str) -> Result<String, String> {
    if !(url.starts_with("./") || url.starts_with("../")) {
        return Ok(url.into());
    }
    let mut base = parent.trim_end_matches('/').to_string();
    let mut rest = url;
    loop {
        if let Some(after) = rest.strip_prefix("./") {
            rest = after;
        } else if let Some(after) = rest.strip_prefix("../") {
            rest = after;
            let scheme = base.find("://").map_or(0, |at| at + 3);
            let cut = base[scheme..].rfind(['/', ':']).map(|at| scheme + at);
            let cut = cut.filter(|at| *at > scheme).ok_or_else(|| format!("{url} leads above {parent}"))?;
            // The colon of `host:path` stays.
            base.truncate(if base.as_bytes()[cut] == b':' { cut + 1 } else { cut });
        } else {
            break;
        }
    }
    let between = if base.ends_with(':') { "" } else { "/" };
    Ok(format!("{base}{between}{rest}"))
}

/// The trees of all submodules of a commit, by their paths.
pub(super) fn obtain(tree: &CommitTree, request: &Fetch) -> Result<Vec<(String, CommitTree)>, Error> {
    let fault = |text: String| Error::Fetch { url: request.url.clone(), text };
    let Some(text) = tree.file(FILE).map_err(|error| fault(error.to_string()))? else {
        return Ok(Vec::new());
    };
    let mut all = Vec::new();
    for module in parse(&text).map_err(fault)? {
        // What the tree does not pin is not there.
        let Some(commit) = tree.link(&module.path).map_err(|error| fault(error.to_string()))? else {
            continue;
        };
        if request.depth >= DEPTH {
            return Err(fault(format!("submodules are nested more than {DEPTH} deep")));
        }
        let url = address(&request.url, &module.url).map_err(fault)?;
        let (from, to) = (parse_url(&request.url)?, parse_url(&url)?);
        if matches!(to, Url::Local(_)) && !matches!(from, Url::Local(_)) {
            return Err(fault(format!("the submodule {} is at {url}, a path of this host", module.path)));
        }
        let home = request.repository.with_extension("modules");
        std::fs::create_dir_all(&home)
            .map_err(|error| fault(format!("cannot make {}: {error}", home.display())))?;
        let below = Fetch {
            revision: commit.to_string(),
            credentials: credentials(&request.credentials, &from, &to),
            repository: home.join(crate::hash::short(url.as_bytes())),
            submodules: true,
            depth: request.depth + 1,
            most: request.most,
            url,
            ..Fetch::default()
        };
        let Outcome::Commit(mut commit) = obtain_one(&below)? else {
            return Err(fault(format!("the submodule {} gave nothing", module.path)));
        };
        for (path, tree) in std::mem::take(&mut commit.modules) {
            all.push((format!("{}/{path}", module.path), tree));
        }
        all.extend(commit.tree.take().map(|tree| (module.path, tree)));
    }
    Ok(all)
}

/// What of a repository's credentials its submodule gets.
fn credentials(own: &Credentials, from: &Url, to: &Url) -> Credentials {
    let host = |url: &Url| match url {
        Url::Http(address) => address.split('/').take(3).collect::<Vec<_>>().join("/"),
        Url::Ssh { .. } | Url::Local(_) => String::new(),
    };
    if matches!((from, to), (Url::Http(_), Url::Http(_))) && host(from) == host(to) {
        return own.clone();
    }
    Credentials {
        ssh_key: own.ssh_key.clone(),
        ssh_passphrase: own.ssh_passphrase.clone(),
        known_hosts: own.known_hosts.clone(),
        ca: own.ca.clone(),
        proxy: own.proxy.clone(),
        ..Credentials::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read() {
        let text = b"[submodule \"lib\"]\n\tpath = charts/lib\n\turl = ../lib.git\n[submodule \"no\"]\n path = a\n url = b\n update = none\n";
        assert_eq!(parse(text).unwrap(), [Module { path: "charts/lib".into(), url: "../lib.git".into() }]);
        for (bad, expected) in [
            ("[submodule \"x\"]\n path = a\n", "needs a path and a url"),
            ("[submodule \"x\"]\n path = ../a\n url = b\n", "leads elsewhere"),
            ("[submodule \"x\"]\n path = /a\n url = b\n", "leads elsewhere"),
            ("[submodule \"x\"]\n path = a/.git/hooks\n url = b\n", "leads elsewhere"),
            ("[submodule", ".gitmodules"),
        ] {
            let error = parse(bad.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{bad}: {error}");
        }
    }

    #[test]
    fn addresses_are_seen_from_the_parents() {
        for (parent, url, expected) in [
            ("https://h/org/repo.git", "https://x/y", "https://x/y"),
            ("https://h/org/repo.git", "../lib.git", "https://h/org/lib.git"),
            ("https://h/org/repo.git/", "../../other/lib", "https://h/other/lib"),
            ("https://h/org/repo", "./sub", "https://h/org/repo/sub"),
            ("git@h:org/repo.git", "../lib.git", "git@h:org/lib.git"),
            ("git@h:repo.git", "../lib.git", "git@h:lib.git"),
            ("ssh://git@h:22/org/repo", "../lib", "ssh://git@h:22/org/lib"),
            ("/srv/repo", "../lib", "/srv/lib"),
        ] {
            assert_eq!(address(parent, url).unwrap(), expected, "{parent} {url}");
        }
        assert!(address("https://h/repo", "../../../x").is_err());
    }

    #[test]
    fn credentials_stay_with_their_host() {
        let own = Credentials {
            password: "p".into(),
            ssh_key: "k".into(),
            ca: "c".into(),
            ..Credentials::default()
        };
        let of = |from: &str, to: &str| credentials(&own, &parse_url(from).unwrap(), &parse_url(to).unwrap());
        assert_eq!(of("https://h/a", "https://h/b").password, "p");
        for to in ["https://other/b", "http://h/b", "https://h:8443/b", "git@h:b"] {
            let given = of("https://h/a", to);
            assert_eq!((given.password.as_str(), given.ssh_key.as_str()), ("", "k"), "{to}");
        }
    }
}
