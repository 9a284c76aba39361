//! Outages: what changed on both sides meanwhile is listed before it is undone, wrong clocks and months with restarts stop
//! nothing, a budget of bytes is kept, and a converged agent writes nothing at all. Needs the program git.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of test functions

mod bench;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use api::Value;
use bench::{Bench, bench, map, yaml};

fn placed(bench: &Bench, text: &str) -> Value {
    let mut object = yaml(text);
    object.set(&["metadata", "namespace"], bench.namespace.as_str());
    object
}

async fn events(bench: &Bench, reason: &str) -> Vec<String> {
    let kind = bench.cluster.kind("v1", "Event").await.unwrap();
    let all = bench.cluster.list(&kind, "argocd", "").await.unwrap();
    let about = |one: &&Value| {
        one.str_at(&["involvedObject", "name"]) == bench.namespace && one.str_at(&["reason"]) == reason
    };
    all.iter().filter(about).map(|one| one.str_at(&["message"]).to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_on_both_sides_is_listed_before_it_is_undone() {
    let mut bench = bench("both").await;
    bench.commit(&[("app/a.yaml", &map("a", "one")), ("app/b.yaml", &map("b", "one"))]);
    bench.create("  syncPolicy: {automated: {prune: true}, syncOptions: [CreateNamespace=true]}\n").await;
    bench.until_synced().await;
    let away = bench.directory.path().join("away");
    std::fs::rename(bench.repository(), &away).unwrap();
    bench.until_condition("offline since").await;
    // Somebody on site helps himself, the box is restarted, and Git moves on.
    bench.apply(&placed(&bench, &map("a", "local"))).await;
    for _ in 0..3 {
        bench.stop().await;
        bench.start().await;
    }
    bench.until_condition("offline since").await;
    assert_eq!(bench.value("a").await.as_deref(), Some("local"));
    std::fs::rename(&away, bench.repository()).unwrap();
    bench.commit(&[("app/a.yaml", &map("a", "two")), ("app/b.yaml", &map("b", "two"))]);
    bench.until_value("a", Some("two")).await;
    bench.until_synced().await;
    let told = events(&bench, "Overwriting").await;
    let line =
        format!("ConfigMap {}/a: data.key was \"one\", is \"local\" here, Git has \"two\"", bench.namespace);
    assert!(told.len() == 1 && told[0].contains(&line) && !told[0].contains("/b:"), "{told:?}");
    let ring = std::fs::read_to_string(bench.directory.path().join("data/report.jsonl")).unwrap();
    let said = ring.lines().filter(|one| one.contains("is \\\"local\\\" here")).count();
    assert!(said > 0, "{ring}");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_decades_off_stops_nothing() {
    let mut bench = bench("clock").await;
    bench.commit(&[("app/a.yaml", &map("a", "one"))]);
    bench.create("  syncPolicy: {automated: {selfHeal: true}, syncOptions: [CreateNamespace=true]}\n").await;
    bench.until_synced().await;
    for (at, value) in [("1970-01-02T00:00:00Z", "past"), ("2088-01-01T00:00:00Z", "future")] {
        bench.stop().await;
        bench.clock = base::Clock::fixed(at.parse().unwrap());
        bench.start().await;
        bench.commit(&[("app/a.yaml", &map("a", value))]);
        bench.until_value("a", Some(value)).await;
        bench.apply(&placed(&bench, &map("a", "drift"))).await;
        bench.until_value("a", Some(value)).await;
        bench.until_synced().await;
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_decades_ahead_does_not_make_servers_expired() {
    let mut bench = bench("ahead").await;
    let _served = bench.served().await;
    bench.stop().await;
    // The server's certificate ends in 2040.
    bench.clock = base::Clock::fixed("2088-01-01T00:00:00Z".parse().unwrap());
    bench.start().await;
    bench.commit(&[("app/a.yaml", &map("a", "two"))]);
    bench.until_value("a", Some("two")).await;
    // Years ahead are believed, and then it is told what is wrong.
    bench.stop().await;
    std::fs::write(bench.directory.path().join("data/trusted-time"), "2087-01-01T00:00:00Z").unwrap();
    bench.start().await;
    bench
        .until_condition("the certificate of localhost was good until 2040-01-01, and it is 2088-01-01 here")
        .await;
    bench.unserve().await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_bytes_stops_looks_and_not_people() {
    let bench = bench::bench_with("budget", |config| config.monthly_bytes = Some(20_000)).await;
    let (web, _) = bench.served().await;
    // Each look costs some kilobytes, and there is one a second.
    bench.until_condition("the budget of 20 kB this month is used up").await;
    bench.commit(&[("app/a.yaml", &map("a", "two"))]);
    let requests = web.requests.load(std::sync::atomic::Ordering::SeqCst);
    bench.apply(&placed(&bench, &map("other", "x"))).await;
    bench.order(r#"{"sync":{}}"#).await;
    bench.until_value("a", Some("two")).await;
    assert!(web.requests.load(std::sync::atomic::Ordering::SeqCst) > requests);
    let spent = std::fs::read_to_string(bench.directory.path().join("data/bytes.json")).unwrap();
    assert!(spent.contains("\"bytes\":"), "{spent}");
    bench.unserve().await;
    bench.finish().await;
}

/// Every file with what a write changes of it.
fn files(at: &Path, all: &mut BTreeMap<String, (u64, SystemTime)>) {
    for entry in std::fs::read_dir(at).into_iter().flatten().flatten() {
        let meta = entry.metadata().unwrap();
        if meta.is_dir() {
            files(&entry.path(), all);
        }
        all.insert(entry.path().display().to_string(), (meta.len(), meta.modified().unwrap()));
    }
}

/// The revision of everything: any write moves it.
async fn revision(bench: &Bench) -> String {
    let kind = bench.cluster.kind("v1", "ConfigMap").await.unwrap();
    bench.cluster.list_all(&kind).await.unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_looks_that_find_nothing_writes_nothing() {
    // A day of Argo CD's three minutes is 480 looks; here they come one after the other.
    let looks = std::env::var("SKIFF_LOOKS").ok().and_then(|text| text.parse().ok()).unwrap_or(480);
    let mut bench = bench::bench_with("quiet", |config| {
        config.interval = Some(std::time::Duration::from_millis(5));
    })
    .await;
    bench.stop().await;
    bench.clock = base::Clock::fixed(jiff::Timestamp::now());
    bench.start().await;
    bench.commit(&[("app/a.yaml", &map("a", "one")), ("app/b.yaml", &map("b", "one"))]);
    bench
        .create(
            "  syncPolicy: {automated: {prune: true, selfHeal: true}, syncOptions: [CreateNamespace=true]}\n",
        )
        .await;
    for text in [
        format!(
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {{name: quiet, namespace: default}}\nspec: {{url: 'file://{}', interval: 1m, ref: {{branch: main}}}}\n",
            bench.repository().display()
        ),
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: quiet, namespace: default}\nspec: {interval: 1m, path: app, prune: true, targetNamespace: default, namePrefix: flux-, sourceRef: {kind: GitRepository, name: quiet}}\n".to_string(),
    ] {
        let object = yaml(&text);
        bench
            .until("the kind is served", async || {
                bench.cluster.kind(object.str_at(&["apiVersion"]), object.str_at(&["kind"])).await.ok()
            })
            .await;
        bench.apply(&object).await;
    }
    bench.until_synced().await;
    let served = bench.cluster.kind("kustomize.toolkit.fluxcd.io/v1", "Kustomization").await.unwrap();
    bench
        .until("the Kustomization is ready", async || {
            let object = bench.cluster.get(&served, "default", "quiet").await.unwrap()?;
            let all = object.at(&["status", "conditions"])?.as_array()?.to_vec();
            all.iter().any(|one| one.str_at(&["reason"]) == "ReconciliationSucceeded").then_some(())
        })
        .await;
    let count = || std::fs::read_to_string(bench.looks()).unwrap().lines().count();
    let data = bench.directory.path().join("data");
    // What the last transition had to write is written when a few looks came after it.
    let settled = count() + 10;
    bench.until("ten looks", async || (count() >= settled).then_some(())).await;
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    files(&data, &mut before);
    let revision_before = revision(&bench).await;
    let synced = || {
        let children = std::fs::read_to_string(bench.syncs()).unwrap_or_default().lines().count() as u64;
        (fleet::cut::syncs(), children)
    };
    let synced_before = synced();
    assert!(synced_before.0 > 0 && synced_before.1 > 0, "what the first sync waited for was not counted");
    let last = count() + looks;
    // Three minutes go by with each look: windows, back-offs and what is told by the day would show.
    let mut passed = count();
    bench
        .until("a day of looks", async || {
            let now = count();
            bench.clock.advance(std::time::Duration::from_secs(180) * (now - passed) as u32);
            passed = now;
            (now >= last).then_some(())
        })
        .await;
    files(&data, &mut after);
    assert_eq!(before, after, "files were written");
    assert_eq!(synced(), synced_before, "somebody waited for the disk");
    if bench.own.is_some() {
        // On a cluster that others use too, they write.
        assert_eq!(revision_before, revision(&bench).await, "the API was written to");
    }
    for kind in ["Kustomization", "GitRepository"] {
        bench.remove((bench::api_version(kind), kind), "default", "quiet").await;
    }
    bench.stop().await;
    bench.start().await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_goes_with_the_last_that_follows_it() {
    let bench = bench::bench_with("clones", |config| {
        config.forget = std::time::Duration::from_millis(800);
    })
    .await;
    bench.commit(&[("app/a.yaml", &map("a", "one"))]);
    let (_web, url) = bench.serve().await;
    let policy = "  syncPolicy: {automated: {}, syncOptions: [CreateNamespace=true]}\n";
    let (first, second) = (bench.namespace.clone(), format!("{}-too", bench.namespace));
    for name in [&first, &second] {
        bench.create_as(name, &url, policy).await;
    }
    bench.until_synced().await;
    let clones = || {
        let all = std::fs::read_dir(bench.directory.path().join("data/sources")).unwrap().flatten();
        all.filter(|entry| entry.path().join("objects").exists()).count()
    };
    let looks = || std::fs::read_to_string(bench.looks()).unwrap().lines().count();
    bench.until("it was fetched", async || (clones() == 1 && looks() > 1).then_some(())).await;
    let kind = bench.cluster.kind("argoproj.io/v1alpha1", "Application").await.unwrap();
    bench.remove(("argoproj.io/v1alpha1", "Application"), "argocd", &second).await;
    // Looks go on meanwhile, of the one that is left.
    bench.commit(&[("app/a.yaml", &map("a", "two"))]);
    bench.until_value("a", Some("two")).await;
    assert_eq!(clones(), 1);
    bench.cluster.delete(&kind, "argocd", &first, "", "Background").await.unwrap();
    bench.until("its clone is gone", async || (clones() == 0).then_some(())).await;
    let left = std::fs::read_dir(bench.directory.path().join("data/sources")).unwrap().count();
    assert_eq!(left, 0, "something of it was left");
    bench.unserve().await;
    bench.finish().await;
}
