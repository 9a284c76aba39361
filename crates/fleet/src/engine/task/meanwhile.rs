//! What others changed in our fields since they were applied, listed before it is undone: what was applied, what is here,
//! what Git has. Most of all after an outage, in which somebody on site had to help himself and Git moved on too.

use super::*;
use crate::cluster::Apply;

/// Lines of one object, and objects of one sync: more are counted.
const LINES: usize = 20;
const OBJECTS: usize = 50;

impl Task {
    /// One line a field. Objects that the plan does not write, and fields that nobody changed, are not in it.
    pub(super) async fn meanwhile(
        &self,
        app: &App,
        artifact: &Artifact,
        plan: &Plan,
        live: &BTreeMap<Id, Live>,
    ) -> Vec<String> {
        let Some((_, index)) = &self.index else { return Vec::new() };
        let changed: Vec<&Wanted> = plan
            .steps
            .iter()
            .flat_map(|step| &step.apply)
            .map(|at| &index.wanted[*at])
            .filter(|wanted| wanted.place.hook.is_none() && self.was_touched(wanted, live))
            .collect();
        if changed.is_empty() {
            return Vec::new();
        }
        let before = self.applied_before(app, &changed).await;
        let mut lines = Vec::new();
        for wanted in changed.iter().take(OBJECTS) {
            // Courtesy: what cannot be read is not listed, and is applied all the same.
            lines.extend(
                self.lines_of(app, artifact, index, wanted, before.get(&wanted.id)).await.unwrap_or_default(),
            );
        }
        if changed.len() > OBJECTS {
            lines.push(format!("and {} more objects", changed.len() - OBJECTS));
        }
        lines
    }

    /// It is there, we applied it, and our fields are not as we left them.
    fn was_touched(&self, wanted: &Wanted, live: &BTreeMap<Id, Live>) -> bool {
        let Some(owned) = self.inventory.objects.get(&wanted.id) else { return false };
        let applied = !owned.hash.is_empty() && !owned.fields.is_empty();
        applied
            && live.get(&wanted.id).is_some_and(|live| live.uid == owned.uid && live.fields != owned.fields)
    }

    /// The manifests by which these were applied last: of the artifact before, if that is the one.
    async fn applied_before(&self, app: &App, changed: &[&Wanted]) -> BTreeMap<Id, Value> {
        let hash = |wanted: &Wanted| self.inventory.objects.get(&wanted.id).map(|owned| owned.hash.clone());
        let mut all = BTreeMap::new();
        if changed.iter().all(|wanted| hash(wanted).as_ref() == Some(&wanted.hash)) {
            return all;
        }
        let Some(previous) = self.store.previous() else { return all };
        let made =
            Index::make(&self.shared.cluster, self.front, app, &self.store, &previous, &self.inventory).await;
        let Ok(index) = made else { return all };
        for wanted in changed {
            let Some(old) = index.wanted.iter().find(|old| old.id == wanted.id) else { continue };
            if hash(wanted).as_ref() == Some(&old.hash)
                && let Ok(mut manifest) = self.store.read(&previous, old.offset)
            {
                super::super::index::masked(&mut manifest);
                index.prepare(self.front, app, &mut manifest);
                all.insert(wanted.id.clone(), manifest);
            }
        }
        all
    }

    async fn lines_of(
        &self,
        app: &App,
        artifact: &Artifact,
        index: &Index,
        wanted: &Wanted,
        before: Option<&Value>,
    ) -> Option<Vec<String>> {
        let id = &wanted.id;
        let mut manifest = self.store.read(artifact, wanted.offset).ok()?;
        super::super::index::masked(&mut manifest);
        index.prepare(self.front, app, &mut manifest);
        let cluster = self.shared.cluster.acting_as(app.user.as_deref());
        let kind = cluster.kind(manifest.str_at(&["apiVersion"]), &id.kind).await.ok()?;
        let here = cluster.get(&kind, &id.namespace, &id.name).await.ok()??;
        let now = self.shared.clock.now();
        crate::mask::apply(&app.masks, id, &mut manifest, &here, &wanted.masked, now);
        // The server says what applying would change: it knows defaults, and 0.5 for 500m.
        let how = Apply { dry_run: true, strict: false };
        let then = cluster.apply(&kind, &manifest, how).await.ok()?;
        let mut found = Vec::new();
        differences(&here, &then, &mut Vec::new(), &mut found);
        let more = found.len().saturating_sub(LINES);
        let mut lines: Vec<String> = found
            .into_iter()
            .take(LINES)
            .map(|one| {
                let was = before.unwrap_or(&manifest);
                let was = at(was, &one.path);
                let text = |value: Option<&Value>| value.map_or("nothing".to_string(), short);
                let (path, here, git) = (one.path.join("."), text(one.here), text(one.git));
                format!("{id}: {path} was {}, is {here} here, Git has {git}", text(was))
            })
            .collect();
        if more > 0 {
            lines.push(format!("{id}: and {more} more fields"));
        }
        Some(lines)
    }
}

struct Difference<'a> {
    path: Vec<String>,
    here: Option<&'a Value>,
    git: Option<&'a Value>,
}

/// What a write changes anyway, and what is not ours.
const PASSED_OVER: [&[&str]; 4] = [
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
    &["metadata", "generation"],
    &["status"],
];

fn differences<'a>(here: &'a Value, git: &'a Value, path: &mut Vec<String>, out: &mut Vec<Difference<'a>>) {
    if PASSED_OVER.iter().any(|one| path.iter().eq(one.iter())) || crate::frontends::same(here, git) {
        return;
    }
    match (here, git) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&str> =
                a.iter().chain(b.iter()).map(|(key, _)| key.as_str()).collect();
            for key in keys {
                path.push(key.into());
                match (a.get(key), b.get(key)) {
                    (Some(here), Some(git)) => differences(here, git, path, out),
                    (here, git) => out.push(Difference { path: path.clone(), here, git }),
                }
                path.pop();
            }
        }
        (Value::Array(a), Value::Array(b)) if named(a) && named(b) => {
            let names: std::collections::BTreeSet<&str> =
                a.iter().chain(b).map(|item| item.str_at(&["name"])).collect();
            for name in names {
                let of = |items: &'a [Value]| items.iter().find(|item| item.str_at(&["name"]) == name);
                path.push(name.into());
                match (of(a), of(b)) {
                    (Some(here), Some(git)) => differences(here, git, path, out),
                    (here, git) => out.push(Difference { path: path.clone(), here, git }),
                }
                path.pop();
            }
        }
        _ => out.push(Difference { path: path.clone(), here: Some(here), git: Some(git) }),
    }
}

fn named(items: &[Value]) -> bool {
    items.iter().all(|item| !item.str_at(&["name"]).is_empty())
}

/// The value at a path of fields and names of list items.
fn at<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    let Some((first, rest)) = path.split_first() else { return Some(value) };
    let below = match value {
        Value::Array(items) => items.iter().find(|item| item.str_at(&["name"]) == first),
        other => other.get(first),
    };
    at(below?, rest)
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_and_items_of_lists_by_name() {
        let parse = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
        let here = parse(
            r#"{"metadata":{"generation":3},"spec":{"replicas":5,"containers":[{"name":"c","image":"x"},{"name":"d"}]},"status":{"a":1}}"#,
        );
        let git = parse(
            r#"{"metadata":{"generation":4},"spec":{"replicas":3,"containers":[{"name":"c","image":"y"}],"paused":true},"status":{"a":2}}"#,
        );
        let mut found = Vec::new();
        differences(&here, &git, &mut Vec::new(), &mut found);
        let paths: Vec<String> = found.iter().map(|one| one.path.join(".")).collect();
        assert_eq!(paths, ["spec.containers.c.image", "spec.containers.d", "spec.paused", "spec.replicas"]);
        assert_eq!(at(&git, &found[0].path).and_then(Value::as_str), Some("y"));
        assert_eq!(at(&git, &found[1].path), None);
    }
}
