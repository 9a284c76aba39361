//! `AppProject`: what its applications may take from where, put where, and when. Roles are for people and their
//! tokens, which Argo CD's own server checks; nothing here asks for them.

use std::sync::Arc;
use std::time::Duration;

use api::Value;
use api::cron::Schedule;
use jiff::Timestamp;

use super::integrity;
use super::read::{duration, strings};
use super::spec::normal_url;
use crate::app::Fault;
use crate::frontends::Context;
use crate::git::verify::Verify;
use crate::glob::{fits, fits_or_denies};
use crate::permits::{Pattern, Permits};
use crate::source::Recipe;

/// The address and the name of the only cluster that there is.
pub(super) const SERVER: &str = "https://kubernetes.default.svc";
pub(super) const CLUSTER: &str = "in-cluster";

/// What a project says of one application.
pub(super) struct Judged {
    pub permits: Arc<Permits>,
    /// A sync by itself, or by hand, may start now.
    pub automatic: bool,
    pub by_hand: bool,
    /// Time of day matters.
    pub windows: bool,
    /// What must be signed, of each source.
    pub verify: Vec<Verify>,
}

/// Finds the application's project and judges its sources and its destination.
pub(super) fn judge(object: &Value, recipe: &Recipe, context: &Context<'_>) -> Result<Judged, Fault> {
    let name = match object.str_at(&["spec", "project"]) {
        "" => "default",
        name => name,
    };
    if !context.is_known("AppProject") {
        return Err(Fault { kind: crate::app::FaultKind::Wait, text: "projects are not known yet".into() });
    }
    let project = context
        .get("AppProject", &context.settings.argocd_namespace, name)
        .ok_or_else(|| Fault::spec(format!("Application referencing project {name} which does not exist")))?;
    let (app, namespace) = (object.str_at(&["metadata", "name"]), object.str_at(&["metadata", "namespace"]));
    let spec = project.get("spec").cloned().unwrap_or_default();
    if namespace != context.settings.argocd_namespace
        && !strings(spec.get("sourceNamespaces")).any(|pattern| fits(pattern, namespace, None))
    {
        let text = format!(
            "application '{app}' in namespace '{namespace}' is not permitted to use project '{name}'"
        );
        return Err(Fault::spec(text));
    }
    let refused = [("permitOnlyProjectScopedClusters", "clusters belong to no project here")];
    for (field, why) in refused {
        let asks = spec.get(field).is_some_and(|value| match value {
            Value::Array(items) => !items.is_empty(),
            Value::Object(map) => !map.is_empty(),
            Value::Bool(on) => *on,
            _ => false,
        });
        if asks {
            return Err(Fault::spec(format!(
                "project '{name}' asks for spec.{field}, and {why}: nothing is synced"
            )));
        }
    }
    for source in &recipe.sources {
        if !source_permitted(&spec, &source.url) {
            let text = format!("application repo {} is not permitted in project '{name}'", source.url);
            return Err(Fault::spec(text));
        }
    }
    let permits = permits(name, &spec);
    let destination = object.str_at(&["spec", "destination", "namespace"]);
    if !permits.namespace(destination) {
        let text = format!(
            "application destination server '{SERVER}' and namespace '{destination}' do not match any of the allowed destinations in project '{name}'"
        );
        return Err(Fault::spec(text));
    }
    let windows: Vec<&Value> = spec
        .get("syncWindows")
        .and_then(Value::as_array)
        .unwrap_or_default()
        .iter()
        .filter(|window| concerns(window, app, destination))
        .collect();
    let open = |by_hand| can_sync(&windows, context.now, by_hand).map_err(Fault::spec);
    Ok(Judged {
        permits: Arc::new(permits),
        automatic: open(false)?,
        by_hand: open(true)?,
        windows: !windows.is_empty(),
        verify: integrity::rules(&spec, recipe)
            .map_err(|text| Fault::spec(format!("project '{name}': {text}")))?,
    })
}

fn source_permitted(spec: &Value, url: &str) -> bool {
    let url = normal_url(url);
    let mut permitted = false;
    for pattern in strings(spec.get("sourceRepos")) {
        let (deny, bare) = match pattern.strip_prefix('!') {
            Some(bare) => (true, bare),
            None => (false, pattern),
        };
        // `*` alone is everything, also across slashes.
        let same = bare == "*" || fits(&normal_url(bare), &url, Some('/'));
        match (same, deny) {
            (true, true) => return false,
            (true, false) | (false, true) => permitted = true,
            (false, false) => {}
        }
    }
    permitted
}

fn permits(name: &str, spec: &Value) -> Permits {
    let list = |field: &str| -> Option<Vec<Pattern>> {
        let all = spec.get(field)?.as_array()?;
        let pattern = |one: &Value| Pattern {
            group: one.str_at(&["group"]).into(),
            kind: one.str_at(&["kind"]).into(),
            name: one.str_at(&["name"]).into(),
        };
        Some(all.iter().map(pattern).collect())
    };
    let mut namespaces = Vec::new();
    for one in spec.get("destinations").and_then(Value::as_array).unwrap_or_default() {
        let (server, cluster) = (one.str_at(&["server"]), one.str_at(&["name"]));
        let here = (!server.is_empty() && fits_or_denies(server, SERVER, None))
            || (!cluster.is_empty() && fits_or_denies(cluster, CLUSTER, None));
        if here {
            namespaces.push(one.str_at(&["namespace"]).to_string());
        }
    }
    Permits {
        project: name.into(),
        cluster_allowed: list("clusterResourceWhitelist").unwrap_or_default(),
        cluster_denied: list("clusterResourceBlacklist").unwrap_or_default(),
        allowed: list("namespaceResourceWhitelist"),
        denied: list("namespaceResourceBlacklist").unwrap_or_default(),
        namespaces: Some(namespaces),
    }
}

fn concerns(window: &Value, app: &str, namespace: &str) -> bool {
    let any = |field: &str, texts: &[&str]| {
        let mut all = strings(window.get(field)).peekable();
        let given = all.peek().is_some();
        (given, all.any(|pattern| texts.iter().any(|text| fits(pattern, text, None))))
    };
    let all =
        [any("applications", &[app]), any("clusters", &[SERVER, CLUSTER]), any("namespaces", &[namespace])];
    if window.get("andOperator").and_then(Value::as_bool) == Some(true) {
        all.iter().any(|(given, _)| *given) && all.iter().all(|(given, fits)| !given || *fits)
    } else {
        all.iter().any(|(_, fits)| *fits)
    }
}

/// Argo CD's rule: an open deny window forbids, an open allow window allows, and allow windows that are all closed
/// forbid; `manualSync` lets syncs by hand through where all windows concerned say so.
fn can_sync(windows: &[&Value], now: Timestamp, by_hand: bool) -> Result<bool, String> {
    let (mut denies, mut allows, mut closed) = (Vec::new(), false, Vec::new());
    for window in windows {
        let manual = window.get("manualSync").and_then(Value::as_bool) == Some(true);
        match (window.str_at(&["kind"]), is_open(window, now)?) {
            ("deny", true) => denies.push(manual),
            ("allow", true) => allows = true,
            ("allow", false) => closed.push(manual),
            _ => {}
        }
    }
    let manual = |all: &[bool]| by_hand && all.iter().all(|one| *one);
    Ok(match () {
        () if !denies.is_empty() => manual(&denies),
        () if allows || closed.is_empty() => true,
        () => manual(&closed),
    })
}

fn is_open(window: &Value, now: Timestamp) -> Result<bool, String> {
    let text = window.str_at(&["schedule"]);
    let zone = Some(window.str_at(&["timeZone"])).filter(|zone| !zone.is_empty()).unwrap_or("UTC");
    let schedule = Schedule::parse(text, Some(zone)).map_err(|error| {
        format!("invalid sync windows: cannot parse schedule '{text}': {}", base::chain(&error))
    })?;
    let text = window.str_at(&["duration"]);
    let length: Duration =
        duration(text).ok_or_else(|| format!("invalid sync windows: cannot parse duration '{text}'"))?;
    let seconds = i64::try_from(length.as_secs()).unwrap_or(i64::MAX / 2);
    let before = Timestamp::from_second(now.as_second().saturating_sub(seconds)).unwrap_or(Timestamp::MIN);
    Ok(schedule.next(before).is_some_and(|opens| opens <= now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn windows_open_and_close() {
        let deny = json(r#"{"kind":"deny","schedule":"0 22 * * *","duration":"1h","applications":["*"]}"#);
        let allow = json(
            r#"{"kind":"allow","schedule":"0 9 * * *","duration":"8h","namespaces":["shop-*"],"manualSync":true,"timeZone":"Asia/Seoul"}"#,
        );
        for (windows, time, by_hand, expected) in [
            (vec![&deny], "2026-11-21T22:30:00Z", false, false),
            (vec![&deny], "2026-11-21T22:30:00Z", true, false),
            (vec![&deny], "2026-11-21T23:00:00Z", false, true),
            (vec![&allow], "2026-11-21T00:30:00Z", false, true),
            (vec![&allow], "2026-11-21T09:30:00Z", false, false),
            (vec![&allow], "2026-11-21T09:30:00Z", true, true),
            (vec![&deny, &allow], "2026-11-21T22:30:00Z", true, false),
            (vec![], "2026-11-21T22:30:00Z", false, true),
        ] {
            assert_eq!(can_sync(&windows, time.parse().unwrap(), by_hand), Ok(expected), "{time} {by_hand}");
        }
        assert!(concerns(&allow, "x", "shop-1") && !concerns(&allow, "x", "other"));
        let both = json(r#"{"applications":["a"],"namespaces":["n"],"andOperator":true}"#);
        assert!(concerns(&both, "a", "n") && !concerns(&both, "a", "m"));
    }

    #[test]
    fn sources_are_globs() {
        let spec = json(r#"{"sourceRepos":["https://x.y/org/*","!https://x.y/org/secret"]}"#);
        assert!(source_permitted(&spec, "https://x.y/org/repo.git"));
        assert!(!source_permitted(&spec, "https://x.y/org/secret.git"));
        assert!(source_permitted(&json(r#"{"sourceRepos":["*"]}"#), "git@host:a/b"));
        assert!(!source_permitted(&json(r#"{"sourceRepos":["https://x.y/*"]}"#), "https://z/r"));
    }
}
