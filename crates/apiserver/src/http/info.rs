//! What a request is about, told by its path and method: upstream's `RequestInfo`
//! (k8s.io/apiserver/pkg/endpoints/request/requestinfo.go).

use http::Method;

use super::Query;
use super::query::decode;

/// See the module. For a path outside of `/api` and `/apis` only `verb` and `path` are filled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    pub is_resource: bool,
    pub path: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; else the method in lower case.
    pub verb: &'static str,
    pub group: String,
    pub version: String,
    pub namespace: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
    /// What follows the subresource: the path of a proxied request.
    pub rest: String,
    /// The selectors of what reads or deletes many.
    pub fields: String,
    pub labels: String,
}

/// Subresources of namespaces, which look like resources in one.
const OF_NAMESPACES: [&str; 2] = ["status", "finalize"];

impl Info {
    pub fn of(method: &Method, path: &str, query: &Query) -> Info {
        let mut info = Info { path: path.into(), verb: method_verb(method), ..Info::default() };
        let trimmed = path.trim_matches('/');
        let (root, rest) = trimmed.split_once('/').unwrap_or((trimmed, ""));
        let mut parts: Vec<&str> = if rest.is_empty() { Vec::new() } else { rest.split('/').collect() };
        match root {
            "api" if parts.len() >= 2 => {}
            "apis" if parts.len() >= 3 => info.group = parts.remove(0).into(),
            _ => return info,
        }
        info.is_resource = true;
        info.version = parts.remove(0).into();
        info.verb = match *method {
            Method::POST => "create",
            Method::GET | Method::HEAD => "get",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "",
        };
        // The old way to ask for a watch: /api/v1/watch/...
        if parts[0] == "watch" && parts.len() > 1 {
            info.verb = "watch";
            parts.remove(0);
        }
        if parts[0] == "namespaces"
            && let Some(name) = parts.get(1)
        {
            info.namespace = decode(name, false).into_owned();
            if parts.len() > 2 && !OF_NAMESPACES.contains(&parts[2]) {
                parts.drain(..2);
            }
        }
        if parts[0] == "namespaces" {
            info.namespace = parts.get(1).map(|name| decode(name, false).into_owned()).unwrap_or_default();
        }
        info.resource = parts[0].into();
        info.name = parts.get(1).map(|part| decode(part, false).into_owned()).unwrap_or_default();
        info.subresource = parts.get(2).map(|part| part.to_string()).unwrap_or_default();
        if parts.len() > 3 {
            info.rest = parts[3..].join("/");
            if path.ends_with('/') {
                info.rest.push('/');
            }
        }
        if info.name.is_empty() {
            match info.verb {
                "get" if query.flag("watch") => info.verb = "watch",
                "get" => info.verb = "list",
                "delete" => info.verb = "deletecollection",
                _ => {}
            }
        }
        if !matches!(info.verb, "list" | "watch" | "deletecollection") {
            return info;
        }
        info.fields = query.get("fieldSelector").into();
        info.labels = query.get("labelSelector").into();
        // A list of one name is judged by that name.
        if info.name.is_empty() {
            let name = query.get("fieldSelector").split(',').find_map(|term| {
                let (label, value) = term.split_once('=')?;
                (label == "metadata.name").then(|| value.trim_start_matches('='))
            });
            if let Some(name) = name {
                info.name = name.into();
            }
        }
        info
    }
}

fn method_verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, url: &str, expected: [&str; 8]) {
        let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
        let info = Info::of(&method, path, &Query::parse(query));
        let found = [
            info.verb,
            &info.group,
            &info.version,
            &info.namespace,
            &info.resource,
            &info.name,
            &info.subresource,
            &info.rest,
        ];
        assert_eq!(found, expected, "{method} {url}");
    }

    #[test]
    fn tells_requests_apart() {
        use Method as M;
        check(M::GET, "/api/v1/namespaces", ["list", "", "v1", "", "namespaces", "", "", ""]);
        check(M::GET, "/api/v1/namespaces/a", ["get", "", "v1", "a", "namespaces", "a", "", ""]);
        check(
            M::PUT,
            "/api/v1/namespaces/a/finalize",
            ["update", "", "v1", "a", "namespaces", "a", "finalize", ""],
        );
        check(M::GET, "/api/v1/namespaces/a/pods", ["list", "", "v1", "a", "pods", "", "", ""]);
        check(
            M::POST,
            "/api/v1/namespaces/a/pods/p/exec?command=x",
            ["create", "", "v1", "a", "pods", "p", "exec", ""],
        );
        check(M::GET, "/api/v1/pods?watch=true", ["watch", "", "v1", "", "pods", "", "", ""]);
        check(M::GET, "/api/v1/watch/pods", ["watch", "", "v1", "", "pods", "", "", ""]);
        check(
            M::DELETE,
            "/apis/apps/v1/namespaces/a/deployments",
            ["deletecollection", "apps", "v1", "a", "deployments", "", "", ""],
        );
        check(
            M::GET,
            "/api/v1/pods?fieldSelector=metadata.name%3Dx",
            ["list", "", "v1", "", "pods", "x", "", ""],
        );
        check(
            M::GET,
            "/api/v1/nodes/n/proxy/stats/summary",
            ["get", "", "v1", "", "nodes", "n", "proxy", "stats/summary"],
        );
        check(M::GET, "/apis/apps", ["get", "", "", "", "", "", "", ""]);
        check(M::GET, "/healthz", ["get", "", "", "", "", "", "", ""]);
    }
}
