//! The requests of one kind: what is asked, in which order, and how many.
//!
//! Creates are tried before the objects are there, then the objects are made, read in every form, changed in every way as a dry
//! run, and deleted.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use api::schema::{self, KindRow};
use futures_util::StreamExt;
use http::Method;
use serde_json::{Value, json};

use crate::Args;
use crate::compare;
use crate::mutate::{self, Change, Mutation, Step};
use crate::objects::Objects;
use crate::report::Report;
use crate::side::{Answer, Ask, Both};

/// Requests under way at once.
const AT_ONCE: usize = 24;
/// Creates of a kind that `--record` writes down.
const RECORDED: usize = 12;
/// Between two looks at a status that is still to be written.
const PAUSE: Duration = Duration::from_millis(50);
const DRY: &str = "dryRun=All";
/// Ways to read; the second is the `Accept` header.
const FORMS: &[(&str, &str)] = &[
    ("json", "application/json"),
    ("yaml", "application/yaml"),
    ("table", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
    ("metadata", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json"),
];
const LISTS: &[(&str, &str)] = &[
    ("json", "application/json"),
    ("table", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
    ("metadata", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"),
];

/// The kinds to compare, in discovery order: those that are on by default, or the others.
pub fn kinds(wanted: &[String], on: bool) -> Vec<&'static KindRow> {
    let is = |row: &&KindRow| {
        let names =
            [row.kind().to_string(), row.plural().to_string(), format!("{}/{}", row.group(), row.kind())];
        let version = format!("{}/{}", row.version(), row.kind());
        wanted.is_empty()
            || wanted
                .iter()
                .any(|word| names.iter().chain([&version]).any(|name| name.eq_ignore_ascii_case(word)))
    };
    schema::kinds().iter().filter(|row| row.on_by_default() == on).filter(is).collect()
}

/// `group/version/kind`, without the group of the core kinds.
pub fn name(row: &KindRow) -> String {
    match row.group() {
        "" => format!("{}/{}", row.version(), row.kind()),
        group => format!("{group}/{}/{}", row.version(), row.kind()),
    }
}

/// One thing to ask; the two sides' requests differ only in what the servers chose (uid, revision).
struct Case {
    what: String,
    theirs: Ask,
    ours: Ask,
}

impl Case {
    fn both(what: impl Into<String>, ask: Ask) -> Case {
        Case { what: what.into(), theirs: ask.clone(), ours: ask }
    }
}

struct Plan<'a> {
    both: &'a Both,
    name: String,
    row: &'static KindRow,
    of: &'static schema::Type,
    collection: String,
    random: Random,
}

/// SplitMix64: chance from the seed alone.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
    /// Leaves `most` of them, in their order.
    fn sample<T>(&mut self, mut items: Vec<T>, most: usize) -> Vec<T> {
        while items.len() > most {
            let at = self.next() as usize % items.len();
            items.swap_remove(at);
        }
        items
    }
}

pub async fn run(
    both: &Both,
    row: &'static KindRow,
    objects: &Objects,
    args: &Args,
    report: &mut Report,
) -> Result<()> {
    let prefix = match row.group() {
        "" => format!("/api/{}", row.version()),
        group => format!("/apis/{group}/{}", row.version()),
    };
    let namespace = format!("d-{}-{}", row.plural(), row.version());
    let collection = match row.namespaced() {
        true => format!("{prefix}/namespaces/{namespace}/{}", row.plural()),
        false => format!("{prefix}/{}", row.plural()),
    };
    let of = schema::lookup(row.type_name()).context("a kind without a type")?;
    let api_version = prefix.trim_start_matches("/apis/").trim_start_matches("/api/").to_string();
    let name = name(row);
    let seed = args.seed ^ name.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31) + u64::from(byte));
    let mut plan = Plan { both, name, row, of, collection, random: Random(seed) };
    if row.namespaced() {
        plan.namespace(&namespace).await?;
    }
    let full = objects.full(&api_version, row.kind()).cloned().map(|mut full| {
        full["metadata"] = json!({"labels": full["metadata"]["labels"], "annotations": full["metadata"]["annotations"],
            "finalizers": full["metadata"]["finalizers"], "ownerReferences": full["metadata"]["ownerReferences"]});
        full
    });
    let bases = objects.bases(&api_version, row.kind());
    if !row.verbs().any(|verb| verb == "create") {
        return Ok(());
    }
    if bases.is_empty() {
        eprintln!("{}: objects/ holds none", plan.name);
    }
    let creates = plan.creates(&bases, full.as_ref());
    let creates = plan.random.sample(creates, args.limit / 2);
    plan.compare(creates, report).await?;
    if !row.verbs().any(|verb| verb == "update") {
        return Ok(());
    }
    let mut updates = Vec::new();
    for base in &bases {
        updates.extend(plan.make(base, full.as_ref(), report).await?);
    }
    let updates = plan.random.sample(updates, args.limit / 2);
    plan.compare(updates, report).await?;
    plan.end(&bases, report).await
}

impl Plan<'_> {
    /// The kind's own namespace with the ServiceAccount that pods want.
    async fn namespace(&self, name: &str) -> Result<()> {
        let make = |path: String, body: Value| Ask::new(Method::POST, path, body.to_string());
        let space = json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}});
        let account = json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"}});
        let asks = [
            make("/api/v1/namespaces".into(), space),
            make(format!("/api/v1/namespaces/{name}/serviceaccounts"), account),
        ];
        for ask in asks {
            let (theirs, ours) = self.both.send(&ask).await?;
            for answer in [theirs, ours] {
                if answer.code != 201 && answer.code != 409 {
                    bail!("cannot make {}: {}", ask.path, String::from_utf8_lossy(&answer.body));
                }
            }
        }
        Ok(())
    }

    async fn compare(&self, cases: Vec<Case>, report: &mut Report) -> Result<()> {
        let mut answers = futures_util::stream::iter(cases)
            .map(|case| async move {
                let answers = self.both.send_each(&case.theirs, &case.ours).await;
                (case, answers)
            })
            .buffered(AT_ONCE);
        let mut recorded = 0;
        while let Some((case, answers)) = answers.next().await {
            let (theirs, ours) = answers.with_context(|| format!("{}: {}", self.name, case.what))?;
            let lines = compare::lines(&theirs, &ours);
            let create = case.ours.method == Method::POST && case.ours.path.ends_with(DRY);
            if create && lines.is_empty() && recorded < RECORDED && theirs.body.len() < 4000 {
                recorded += 1;
                report.record(&case.ours, &theirs);
            }
            report.add(&self.name, &case.what, &case.ours, (&theirs, &ours), &lines);
        }
        Ok(())
    }

    fn note(&self, what: &str, ask: &Ask, theirs: &Answer, ours: &Answer, report: &mut Report) {
        report.add(&self.name, what, ask, (theirs, ours), &compare::lines(theirs, ours));
    }

    fn creates(&mut self, bases: &[Value], full: Option<&Value>) -> Vec<Case> {
        let stored = self.row.verbs().any(|verb| verb == "watch");
        let query = if stored { format!("?{DRY}") } else { "?pretty=false".into() };
        let path = format!("{}{query}", self.collection);
        let mut cases = Vec::new();
        if let Some(full) = full {
            let mut full = full.clone();
            full["metadata"]["name"] = json!("full");
            cases.push(Case::both("full fixture", Ask::new(Method::POST, path.clone(), mutate::text(&full))));
        }
        for base in bases {
            cases.push(Case::both("valid", Ask::new(Method::POST, path.clone(), mutate::text(base))));
            for mutation in mutate::all(base, full, self.of) {
                let Some(object) = mutation.apply(base) else { continue };
                let body = mutate::text(&object);
                let name = mutation.name();
                if mutation.is_unknown() {
                    for how in ["Strict", "Warn", "Ignore"] {
                        let path = format!("{path}&fieldValidation={how}");
                        cases.push(Case::both(
                            format!("{name} {how}"),
                            Ask::new(Method::POST, path, body.clone()),
                        ));
                    }
                } else {
                    cases.push(Case::both(name, Ask::new(Method::POST, path.clone(), body)));
                }
            }
        }
        cases
    }

    /// Makes an object, reads it, and gives the ways to change it.
    async fn make(&mut self, base: &Value, full: Option<&Value>, report: &mut Report) -> Result<Vec<Case>> {
        let name = base["metadata"]["name"].as_str().context("a base without a name")?.to_string();
        let ask = Ask::new(Method::POST, self.collection.clone(), mutate::text(base));
        let (theirs, ours) = self.both.send(&ask).await?;
        self.note("create", &ask, &theirs, &ours, report);
        let path = format!("{}/{name}", self.collection);
        if theirs.code == 201 && ours.code == 201 {
            self.settle(&path).await?;
        }
        for (form, accept) in FORMS {
            let ask = Ask { accept, ..Ask::get(&path) };
            let (theirs, ours) = self.both.send(&ask).await?;
            self.note(&format!("get {form}"), &ask, &theirs, &ours, report);
        }
        let (theirs, ours) = self.both.send(&Ask::get(&path)).await?;
        if theirs.code != 200 || ours.code != 200 {
            eprintln!(
                "{}: {name} is not there: upstream {} {}",
                self.name,
                theirs.code,
                ask_text(&self.both.theirs(&ask).await?)
            );
            return Ok(Vec::new());
        }
        let (theirs, ours) = (theirs.json(), ours.json());
        let mut cases = Vec::new();
        let mutations = mutate::all(&theirs, full, self.of);
        for mutation in &mutations {
            self.change(&path, mutation, &theirs, &ours, &mut cases);
        }
        for subresource in self.row.subresources().split(';').filter_map(|text| text.split_once('=')) {
            if matches!(subresource.0, "status" | "finalize" | "resize" | "ephemeralcontainers") {
                let path = format!("{path}/{}", subresource.0);
                for mutation in &mutations {
                    self.subresource(&path, subresource.0, mutation, &theirs, &ours, &mut cases);
                }
            }
        }
        Ok(cases)
    }

    /// Waits until the controllers inside the API servers have written the status of what they look after, so that they do
    /// not write between two requests.
    async fn settle(&self, path: &str) -> Result<()> {
        let condition = match self.row.kind() {
            "CustomResourceDefinition" => "Established",
            "APIService" => "Available",
            "FlowSchema" => "Dangling",
            _ => return Ok(()),
        };
        let done = |answer: Answer| {
            let object = answer.json();
            let conditions = object["status"]["conditions"].as_array();
            conditions.into_iter().flatten().any(|one| one["type"] == condition)
        };
        // One side after the other: each answers as often in a replay as it did when it was recorded.
        let ask = Ask::get(path);
        for _ in 0..300 {
            if done(self.both.theirs(&ask).await?) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        for _ in 0..300 {
            if done(self.both.ours(&ask).await?) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// An update and one of the patches.
    fn change(
        &mut self,
        path: &str,
        mutation: &Mutation,
        theirs: &Value,
        ours: &Value,
        cases: &mut Vec<Case>,
    ) {
        let (Some(new_theirs), Some(new_ours)) = (mutation.apply(theirs), mutation.apply(ours)) else {
            return;
        };
        let name = mutation.name();
        let strict = if mutation.is_unknown() { "&fieldValidation=Strict" } else { "" };
        let put = |body: &Value| Ask::new(Method::PUT, format!("{path}?{DRY}{strict}"), mutate::text(body));
        cases.push(Case { what: name.clone(), theirs: put(&new_theirs), ours: put(&new_ours) });
        if matches!(mutation.change, Change::Double) {
            return;
        }
        let patch = |content: &'static str, query: &str, body: Vec<u8>| Ask {
            content,
            ..Ask::new(Method::PATCH, format!("{path}?{DRY}{strict}{query}"), body)
        };
        let (content, query, bodies) = match self.random.next() % 4 {
            0 => {
                let of = |object: &Value| mutate::text(&merge_patch(mutation, object));
                ("application/merge-patch+json", "", (of(theirs), of(ours)))
            }
            1 => {
                let of = |object: &Value| mutate::text(&merge_patch(mutation, object));
                ("application/strategic-merge-patch+json", "", (of(theirs), of(ours)))
            }
            2 => {
                let of = |object: &Value| mutate::text(&json_patch(mutation, object));
                ("application/json-patch+json", "", (of(theirs), of(ours)))
            }
            _ => {
                let of = |object: &Value| mutate::text(&applied(object));
                let bodies = (of(&new_theirs), of(&new_ours));
                ("application/apply-patch+yaml", "&fieldManager=applier&force=true", bodies)
            }
        };
        cases.push(Case {
            what: format!("{name} ({content})"),
            theirs: patch(content, query, bodies.0),
            ours: patch(content, query, bodies.1),
        });
    }

    fn subresource(
        &mut self,
        path: &str,
        subresource: &str,
        mutation: &Mutation,
        theirs: &Value,
        ours: &Value,
        cases: &mut Vec<Case>,
    ) {
        let first = match mutation.place.first() {
            Some(Step::Key(key)) => key.as_str(),
            _ => "",
        };
        // What a subresource does not write is tried now and then only.
        let own = match subresource {
            "status" => first == "status",
            "ephemeralcontainers" => mutation.name().contains("ephemeralContainers"),
            "resize" => mutation.name().contains("resources") || mutation.name().contains("resizePolicy"),
            _ => first == "spec",
        };
        if !own && !self.random.next().is_multiple_of(16) {
            return;
        }
        let (Some(theirs), Some(ours)) = (mutation.apply(theirs), mutation.apply(ours)) else { return };
        let put = |body: &Value| Ask::new(Method::PUT, format!("{path}?{DRY}"), mutate::text(body));
        let what = format!("{subresource} {}", mutation.name());
        cases.push(Case { what, theirs: put(&theirs), ours: put(&ours) });
    }

    /// Lists, deletes, and what is asked of what is not there.
    async fn end(&self, bases: &[Value], report: &mut Report) -> Result<()> {
        let mut cases = Vec::new();
        if self.row.namespaced() {
            for (form, accept) in LISTS {
                let ask = Ask { accept, ..Ask::get(&self.collection) };
                cases.push(Case::both(format!("list {form}"), ask));
            }
        }
        cases.push(Case::both("absent", Ask::get(format!("{}/absent", self.collection))));
        let absent = |method: Method, body: &str| {
            Ask::new(method, format!("{}/absent?{DRY}", self.collection), body.as_bytes())
        };
        cases.push(Case::both("delete absent", absent(Method::DELETE, "")));
        cases.push(Case::both(
            "patch absent",
            Ask {
                content: "application/merge-patch+json",
                ..absent(Method::PATCH, r#"{"metadata":{"labels":{"a":"b"}}}"#)
            },
        ));
        cases.push(Case::both(
            "bad selector",
            Ask::get(format!("{}?labelSelector=a%3Db%3Dc", self.collection)),
        ));
        cases.push(Case::both(
            "bad field",
            Ask::get(format!("{}?fieldSelector=spec.bogus%3Dx", self.collection)),
        ));
        for base in bases {
            let Some(name) = base["metadata"]["name"].as_str() else { continue };
            let delete = |query: &str, body: &str| {
                Ask::new(Method::DELETE, format!("{}/{name}?{query}", self.collection), body.as_bytes())
            };
            cases.push(Case::both("delete dry", delete(DRY, "")));
            cases.push(Case::both(
                "delete dry orphan",
                delete(&format!("{DRY}&propagationPolicy=Orphan"), ""),
            ));
            cases.push(Case::both(
                "delete dry foreground",
                delete(&format!("{DRY}&propagationPolicy=Foreground"), ""),
            ));
            cases.push(Case::both("delete bad policy", delete("propagationPolicy=Bogus", "")));
            let body = r#"{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":"x"}}"#;
            cases.push(Case::both("delete other uid", delete("", body)));
            let create = Ask::new(Method::POST, self.collection.clone(), mutate::text(base));
            cases.push(Case::both("create again", create));
        }
        self.compare(cases, report).await?;
        for base in bases {
            let Some(name) = base["metadata"]["name"].as_str() else { continue };
            let path = format!("{}/{name}", self.collection);
            let cases = vec![Case::both("delete", Ask::new(Method::DELETE, path.clone(), Vec::new()))];
            self.compare(cases, report).await?;
        }
        Ok(())
    }
}

fn ask_text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).chars().take(400).collect()
}

/// The change as a merge patch; a list on the way is sent whole.
fn merge_patch(mutation: &Mutation, object: &Value) -> Value {
    let depth = mutation.first_index().unwrap_or(mutation.place.len());
    let changed = mutation.apply(object).unwrap_or_default();
    let way = &mutation.place[..depth];
    let mut here = &changed;
    for step in way {
        let Step::Key(key) = step else { break };
        here = here.get(key).unwrap_or(&Value::Null);
    }
    way.iter().rev().fold(here.clone(), |inner, step| match step {
        Step::Key(key) => json!({ key.as_str(): inner }),
        Step::Index(_) => inner,
    })
}

/// The change as a JSON Patch; where the way is not there, at the first place that is.
fn json_patch(mutation: &Mutation, object: &Value) -> Value {
    let changed = mutation.apply(object).unwrap_or_default();
    let (mut was, mut is, mut pointer) = (object, &changed, String::new());
    for step in &mutation.place {
        let (key, inner, now) = match step {
            Step::Key(key) => (key.replace('~', "~0").replace('/', "~1"), was.get(key), is.get(key)),
            Step::Index(at) => (at.to_string(), was.get(*at), is.get(*at)),
        };
        pointer.push_str(&format!("/{key}"));
        match (inner, now) {
            (Some(inner), Some(now)) => (was, is) = (inner, now),
            (Some(_), None) => return json!([{"op": "remove", "path": pointer}]),
            (None, Some(now)) => return json!([{"op": "add", "path": pointer, "value": now}]),
            (None, None) => break,
        }
    }
    match mutation.change {
        Change::Remove => json!([{"op": "remove", "path": pointer}]),
        _ => json!([{"op": "replace", "path": pointer, "value": is}]),
    }
}

/// What a client would apply: without what the server made.
fn applied(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"] {
            metadata.shift_remove(field);
        }
    }
    object
}
