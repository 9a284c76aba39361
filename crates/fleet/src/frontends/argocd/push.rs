//! Argo CD's webhook: what a server of Git tells about a push, and which Applications it concerns. GitHub, GitLab, Gogs and Gitea,
//! Bitbucket and Bitbucket Server, judged by the secrets of `argocd-secret` under Argo CD's names.
//!
//! Unlike upstream, a sender whose secret is not set is refused: a look costs bytes, and anybody could ask for it.

use api::Value;
use ring::hmac;

use crate::frontends::flux::receiver::{Call, hub, same, verified};
use crate::git::semver;

/// Where senders call.
pub(crate) const PATH: &str = "/api/webhook";
/// The Secret with what senders know, in Argo CD's namespace.
pub(crate) const SECRET: &str = "argocd-secret";

/// A push.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Push {
    /// Pages or addresses of the repository.
    addresses: Vec<String>,
    /// Branch or tag.
    revision: String,
    /// It is, or may be, the default branch.
    head: bool,
    /// What changed; empty: not told.
    files: Vec<String>,
}

/// Why a call is not heard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nothing that is known here.
    Unknown,
    Unauthorized(String),
    Malformed(String),
}

/// Reads a call; `None`: it is about no push. `secret` gives fields of the Secret.
pub(crate) fn read(
    call: &Call<'_>,
    secret: impl Fn(&str) -> Option<Vec<u8>>,
) -> Result<Option<Push>, Refusal> {
    let unauthorized = |text: &str| Refusal::Unauthorized(text.into());
    let key = |name: &str| {
        let value = secret(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| Refusal::Unauthorized(format!("{SECRET} has no {name}")))
    };
    let good =
        |is: bool| if is { Ok(()) } else { Err(unauthorized("the secret or signature does not match")) };
    let has = |name: &str| !call.header(name).is_empty();
    let parsed = || -> Result<Value, Refusal> {
        serde_json::from_slice(call.body).map_err(|error| Refusal::Malformed(error.to_string()))
    };
    // Gogs and Gitea send GitHub's headers too.
    if has("x-gogs-event") {
        let key = key("webhook.gogs.secret")?;
        good(verified(hmac::HMAC_SHA256, call.header("x-gogs-signature"), call.body, &key))?;
        return Ok((call.header("x-gogs-event") == "push").then_some(parsed()?).map(|body| hosted(&body)));
    }
    if has("x-github-event") {
        let key = key("webhook.github.secret")?;
        hub(call, &key).map_err(|text| unauthorized(&text))?;
        return Ok((call.header("x-github-event") == "push").then_some(parsed()?).map(|body| hosted(&body)));
    }
    if has("x-gitlab-event") {
        good(same(call.header("x-gitlab-token").as_bytes(), &key("webhook.gitlab.secret")?))?;
        let about = ["Push Hook", "Tag Push Hook", "System Hook"].contains(&call.header("x-gitlab-event"));
        return Ok(about.then_some(parsed()?).map(|body| gitlab(&body)));
    }
    if has("x-hook-uuid") {
        good(same(call.header("x-hook-uuid").as_bytes(), &key("webhook.bitbucket.uuid")?))?;
        let about = call.header("x-event-key") == "repo:push";
        return Ok(about.then_some(parsed()?).map(|body| bitbucket(&body)));
    }
    if has("x-event-key") {
        let key = key("webhook.bitbucketserver.secret")?;
        hub(call, &key).map_err(|text| unauthorized(&text))?;
        let about = call.header("x-event-key") == "repo:refs_changed";
        return Ok(about.then_some(parsed()?).map(|body| bitbucket_server(&body)));
    }
    Err(Refusal::Unknown)
}

/// `refs/heads/a/b` is `a/b`.
fn short(reference: &str) -> String {
    reference.splitn(3, '/').last().unwrap_or_default().into()
}

fn changed(body: &Value) -> Vec<String> {
    let commits = body.get("commits").and_then(Value::as_array).unwrap_or_default();
    let lists = commits.iter().flat_map(|commit| ["added", "modified", "removed"].map(|how| commit.get(how)));
    let names = lists.flatten().filter_map(Value::as_array).flatten();
    names.filter_map(|name| name.as_str().map(Into::into)).collect()
}

/// GitHub's form, and that of Gogs.
fn hosted(body: &Value) -> Push {
    let revision = short(body.str_at(&["ref"]));
    Push {
        addresses: vec![body.str_at(&["repository", "html_url"]).into()],
        head: body.str_at(&["repository", "default_branch"]) == revision,
        revision,
        files: changed(body),
    }
}

fn gitlab(body: &Value) -> Push {
    let revision = short(body.str_at(&["ref"]));
    Push {
        addresses: vec![body.str_at(&["project", "web_url"]).into()],
        head: body.str_at(&["project", "default_branch"]) == revision,
        revision,
        files: changed(body),
    }
}

fn first<'a>(body: &'a Value, path: &[&str]) -> Option<&'a Value> {
    body.at(path).and_then(Value::as_array)?.first()
}

fn bitbucket(body: &Value) -> Push {
    let change = first(body, &["push", "changes"]);
    Push {
        addresses: vec![body.str_at(&["repository", "links", "html", "href"]).into()],
        revision: change.map(|one| one.str_at(&["new", "name"]).into()).unwrap_or_default(),
        // The call does not tell.
        head: true,
        files: Vec::new(),
    }
}

fn bitbucket_server(body: &Value) -> Push {
    let change = first(body, &["changes"]);
    let links = body.at(&["repository", "links", "clone"]).and_then(Value::as_array).unwrap_or_default();
    let known = links.iter().filter(|link| ["http", "ssh"].contains(&link.str_at(&["name"])));
    Push {
        addresses: known.map(|link| link.str_at(&["href"]).into()).collect(),
        revision: change.map(|one| short(one.str_at(&["ref", "id"]))).unwrap_or_default(),
        head: true,
        files: Vec::new(),
    }
}

/// Whether an Application follows what was pushed.
pub(crate) fn concerns(app: &Value, push: &Push) -> bool {
    let several = app.at(&["spec", "sources"]).and_then(Value::as_array).unwrap_or_default();
    let one = app.at(&["spec", "source"]).into_iter();
    one.chain(several).any(|source| {
        let address = source.str_at(&["repoURL"]);
        push.addresses.iter().any(|page| is_of(page, address))
            && follows(source.str_at(&["targetRevision"]), push)
            && touches(app, source, &push.files)
    })
}

fn follows(target: &str, push: &Push) -> bool {
    let bare = short(target);
    if bare.is_empty() || bare == "HEAD" {
        return push.head;
    }
    let named = target.starts_with("refs/heads/") || target.starts_with("refs/tags/");
    let target = if named { bare.as_str() } else { target };
    push.revision == target || semver::highest(target, std::iter::once(push.revision.as_str())).is_some()
}

/// Whether an address of a repository is that of a web page: other schemes, users, ports and a `.git` are the same repository.
fn is_of(page: &str, address: &str) -> bool {
    let (page, address) = (page.to_ascii_lowercase(), address.to_ascii_lowercase());
    let bare = |text: &str| {
        let text = text.split_once("://").map_or(text, |(_, rest)| rest);
        let user = text.split_once('@').filter(|(user, _)| !user.contains('/'));
        user.map_or(text, |(_, rest)| rest).to_string()
    };
    let page = bare(&page);
    let Some((host, path)) = page.split_once('/') else { return false };
    let host = host.split(':').next().unwrap_or_default();
    let path = path.trim_end_matches('/');
    if host.is_empty() || path.is_empty() {
        return false;
    }
    let path = path.strip_suffix(".git").unwrap_or(path);
    let address = bare(&address);
    let places = [Some(address.as_str()), address.strip_prefix("ssh."), address.strip_prefix("altssh.")];
    places.into_iter().flatten().any(|place| {
        let Some(rest) = place.strip_prefix(host) else { return false };
        let port = rest.strip_prefix(':').map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
        [Some(rest), port].into_iter().flatten().any(|rest| {
            let rest = rest.strip_prefix([':', '/']).unwrap_or_default();
            rest.strip_suffix(".git").unwrap_or(rest) == path
        })
    })
}

/// By the annotation that names the paths that matter.
fn touches(app: &Value, source: &Value, files: &[String]) -> bool {
    let named = app.str_at(&["metadata", "annotations", "argocd.argoproj.io/manifest-generate-paths"]);
    if named.is_empty() || files.is_empty() || named.contains(['*', '?', '[']) {
        return true;
    }
    let own = source.str_at(&["path"]);
    named.split(';').filter(|one| !one.is_empty()).any(|one| {
        let path = match one.strip_prefix('/') {
            Some(absolute) => clean(absolute),
            None => clean(&format!("{own}/{one}")),
        };
        let under = |file: &String| {
            path.is_empty()
                || file.strip_prefix(&path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        files.iter().any(under)
    })
}

/// A path without `.`, `..` and empty parts; the root is empty.
fn clean(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(
        headers: &[(&'static str, &str)],
        body: &str,
        secrets: &[(&str, &str)],
    ) -> Result<Option<Push>, Refusal> {
        let mut all = http::HeaderMap::new();
        for (name, value) in headers {
            all.insert(*name, value.parse().unwrap());
        }
        read(&Call { headers: &all, body: body.as_bytes() }, |name| {
            secrets.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes().to_vec())
        })
    }

    #[test]
    fn addresses_are_compared_as_upstream_does() {
        // Of upstream's test of its expression.
        for (page, address, same) in [
            ("https://example.com/org/repo", "https://example.com/org/repo", true),
            ("https://example.com/org/repo", "https://example.com/org/repo.git", true),
            ("https://example.com/org/repo", "git@example.com:org/repo", true),
            ("https://example.com/org/repo", "ssh://git@example.com/org/repo.git", true),
            ("https://example.com/org/repo", "ssh://user-name@example.com:22/org/repo", true),
            ("https://example.com/org/repo", "ssh://git@ssh.example.com:443/org/repo", true),
            ("https://example.com/org/repo", "ssh://git@altssh.example.com:443/org/repo", true),
            ("https://example.com/org/repo", "https://EXAMPLE.com/ORG/REPO", true),
            ("https://example.com/org/repo", "example.com/org/repo", true),
            ("https://example.com/org/a..b", "https://example.com/org/a..b", true),
            ("https://example.com/org/a.b", "https://example.com/org/aab", false),
            ("https://example.com/org/repo", "https://example.com/org/repo-2", false),
            ("https://example.com/org/repo", "https://an-example.com/org/repo", false),
            ("https://example.com/org/repo", "https://example.com/other/repo", false),
            ("https://1.2.3.4/repo", "https://1.2.3.4:443/repo", true),
            ("", "https://example.com/org/repo", false),
        ] {
            assert_eq!(is_of(page, address), same, "{page} {address}");
        }
    }

    #[test]
    fn pushes_are_read_and_their_senders_known() {
        let body = r#"{"ref":"refs/heads/main","commits":[{"added":["a/x"],"modified":[],"removed":["b"]}],
            "repository":{"html_url":"https://h/o/r","default_branch":"main"}}"#;
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"s");
        let digest = hex::encode(hmac::sign(&key, body.as_bytes()));
        let signature = format!("sha256={digest}");
        let github = [
            ("content-type", "application/json"),
            ("x-github-event", "push"),
            ("x-hub-signature-256", signature.as_str()),
        ];
        let push = call(&github, body, &[("webhook.github.secret", "s")]).unwrap().unwrap();
        assert_eq!((push.head, push.files.as_slice()), (true, ["a/x".to_string(), "b".into()].as_slice()));
        let refused = |one| matches!(one, Err(Refusal::Unauthorized(_)));
        assert!(refused(call(&github, body, &[("webhook.github.secret", "other")])));
        assert!(refused(call(&github, body, &[])));
        assert!(refused(call(&github, body, &[("webhook.github.secret", "")])));
        let gogs =
            [("x-gogs-event", "push"), ("x-github-event", "push"), ("x-gogs-signature", digest.as_str())];
        assert_eq!(call(&gogs, body, &[("webhook.gogs.secret", "s")]).unwrap().unwrap(), push);
        let body =
            r#"{"ref":"refs/tags/v1.2.0","project":{"web_url":"https://h/o/r","default_branch":"main"}}"#;
        let gitlab = [("x-gitlab-event", "Tag Push Hook"), ("x-gitlab-token", "s")];
        let tag = call(&gitlab, body, &[("webhook.gitlab.secret", "s")]).unwrap().unwrap();
        let app = |target: &str, more: &str| -> Value {
            let text = format!(
                r#"{{"metadata":{{"annotations":{{{more}}}}},"spec":{{"source":{{"repoURL":"git@h:o/r.git","path":"a","targetRevision":"{target}"}}}}}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        let concerned = |push: &Push, target: &str| concerns(&app(target, ""), push);
        assert!(concerned(&push, "main") && concerned(&push, "") && concerned(&push, "HEAD"));
        assert!(
            concerned(&push, "refs/heads/main") && !concerned(&push, "other") && !concerned(&push, "1.x")
        );
        assert!(concerned(&tag, "1.x") && concerned(&tag, "v1.2.0") && !concerned(&tag, "main"));
        for (paths, told) in [
            (".", true),
            ("/b", true),
            ("/c", false),
            ("../b;y", true),
            ("x", true),
            ("y", false),
            ("/*", true),
        ] {
            let annotation = format!(r#""argocd.argoproj.io/manifest-generate-paths":"{paths}""#);
            assert_eq!(concerns(&app("main", &annotation), &push), told, "{paths}");
        }
        assert_eq!(call(&[], "{}", &[]), Err(Refusal::Unknown));
        let ping = [("x-gitlab-event", "Note Hook"), ("x-gitlab-token", "s")];
        assert_eq!(call(&ping, "{}", &[("webhook.gitlab.secret", "s")]), Ok(None));
        assert!(matches!(call(&gitlab, "{", &[("webhook.gitlab.secret", "s")]), Err(Refusal::Malformed(_))));
    }
}
