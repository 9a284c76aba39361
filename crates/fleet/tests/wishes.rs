//! What annotations of ours ask for: history that only goes forward, a threshold of deletions, "not now", and back to what was
//! healthy. Needs the program git.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of test functions

mod bench;

use std::time::Duration;

use bench::{bench, git, map};
use fleet::wish;

// Nobody collects garbage in this server: what is pruned in the foreground would stay for ever, being deleted.
const AUTOMATED: &str = "  syncPolicy: {automated: {prune: true, selfHeal: true}, syncOptions: [CreateNamespace=true, PrunePropagationPolicy=background]}\n";

#[tokio::test(flavor = "multi_thread")]
async fn history_only_goes_forward_where_that_is_asked() {
    let bench = bench("forward").await;
    let _served = bench.served().await;
    bench.annotate(wish::HISTORY, "forward-only").await;
    bench.commit(&[("app/a.yaml", &map("a", "two"))]);
    bench.until_value("a", Some("two")).await;
    // A branch that began before, merged.
    let run = |arguments: &[&str]| git(&bench.repository(), arguments);
    run(&["checkout", "-q", "-b", "side", "HEAD~1"]);
    bench.commit(&[("app/a.yaml", &map("a", "one")), ("app/b.yaml", &map("b", "side"))]);
    run(&["checkout", "-q", "main"]);
    run(&["merge", "-q", "--no-edit", "side"]);
    bench.until_value("b", Some("side")).await;
    bench.until_synced().await;
    let before = bench.head();
    // Back, and elsewhere.
    run(&["reset", "-q", "--hard", "HEAD~1"]);
    bench.until_condition("was rewritten").await;
    bench.commit(&[("app/a.yaml", &map("a", "three"))]);
    bench.until_condition(&format!("{} does not come after {before}", bench.head())).await;
    bench.until_condition("the cluster is kept at").await;
    assert_eq!(bench.value("a").await.as_deref(), Some("two"));
    bench.annotate(wish::HISTORY, "").await;
    bench.until_value("a", Some("three")).await;
    bench.unserve().await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_of_the_host_goes_forward_too() {
    let bench = bench("forwardpath").await;
    bench.commit(&[("app/a.yaml", &map("a", "one"))]);
    bench.create(AUTOMATED).await;
    bench.annotate(wish::HISTORY, "forward-only").await;
    bench.until_value("a", Some("one")).await;
    bench.commit(&[("app/a.yaml", &map("a", "two"))]);
    bench.until_value("a", Some("two")).await;
    git(&bench.repository(), &["reset", "-q", "--hard", "HEAD~1"]);
    bench.until_condition("was rewritten").await;
    assert_eq!(bench.value("a").await.as_deref(), Some("two"));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_deletions_than_the_threshold_wait() {
    let bench = bench("shrink").await;
    let all: Vec<(String, String)> =
        ["a", "b", "c", "d"].map(|name| (format!("app/{name}.yaml"), map(name, "one"))).into();
    let files: Vec<(&str, &str)> = all.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    bench.commit(&files);
    bench.create(AUTOMATED).await;
    bench.annotate(wish::SHRINK, "25%").await;
    bench.until_synced().await;
    bench.commit(&[("app/a.yaml", &map("a", "two"))]);
    bench.until_condition("3 of 4 objects would be deleted, more than 25%").await;
    bench.until_value("a", Some("two")).await;
    for name in ["b", "c", "d"] {
        assert_eq!(bench.value(name).await.as_deref(), Some("one"));
    }
    // One of them alone may go.
    bench.commit(&files[..3]);
    bench.until_value("d", None).await;
    bench.until_synced().await;
    bench.commit(&files[..1]);
    bench.until_condition("2 of 3 objects would be deleted").await;
    bench.order(r#"{"sync":{"prune":true}}"#).await;
    bench.until_value("b", None).await;
    bench.until_value("c", None).await;
    bench.until_synced().await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn not_now_waits_and_ends() {
    let bench = bench("notnow").await;
    bench.commit(&[("app/a.yaml", &map("a", "one"))]);
    bench.create(AUTOMATED).await;
    bench.until_synced().await;
    let soon = |time: Duration| (jiff::Timestamp::now() + time).to_string();
    bench.annotate(wish::NOT_NOW, &soon(Duration::from_secs(3600))).await;
    bench.commit(&[("app/a.yaml", &map("a", "two"))]);
    bench.until_condition("not now: what is new waits until").await;
    assert_eq!(bench.value("a").await.as_deref(), Some("one"));
    assert_eq!(bench.status().await.str_at(&["sync", "status"]), "OutOfSync");
    // Somebody who is there may all the same.
    bench.order(r#"{"sync":{}}"#).await;
    bench.until_value("a", Some("two")).await;
    bench.commit(&[("app/a.yaml", &map("a", "three"))]);
    bench.until_condition("not now").await;
    // It ends by itself.
    bench.annotate(wish::NOT_NOW, &soon(Duration::from_secs(2))).await;
    bench.until_value("a", Some("three")).await;
    bench.annotate(wish::NOT_NOW, "2088-01-01T00:00:00Z").await;
    bench.until_condition("more than 7 days away, and delays nothing").await;
    bench.commit(&[("app/a.yaml", &map("a", "four"))]);
    bench.until_value("a", Some("four")).await;
    bench.finish().await;
}

/// Nobody runs it here, so it never becomes healthy.
const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n  template: {metadata: {labels: {app: web}}, spec: {nodeSelector: {no: node}, containers: [{name: web, image: none}]}}\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_become_healthy_gives_way_to_what_was() {
    let mut bench = bench("fallback").await;
    bench.commit(&[("app/a.yaml", &map("a", "one"))]);
    bench.create(AUTOMATED).await;
    bench.annotate(wish::ROLLBACK, "last-healthy").await;
    bench.annotate(wish::ROLLBACK_AFTER, "3s").await;
    bench.until_synced().await;
    let healthy: String = bench.head().chars().take(12).collect();
    bench.commit(&[("app/a.yaml", &map("a", "two")), ("app/web.yaml", DEPLOYMENT)]);
    let sick: String = bench.head().chars().take(12).collect();
    bench.until_value("a", Some("two")).await;
    bench.until_condition(&format!("{sick} did not become healthy, and is given up for {healthy}")).await;
    bench.until_value("a", Some("one")).await;
    let gone = async || bench.get("Deployment", "web").await.is_none().then_some(());
    bench.until("the deployment is gone", gone).await;
    // Looks go on, and a restart changes nothing.
    bench.stop().await;
    bench.start().await;
    bench.until_condition("is given up for").await;
    let looks = || std::fs::read_to_string(bench.looks()).unwrap().lines().count();
    let more = looks() + 3;
    bench.until("three more looks", async || (looks() >= more).then_some(())).await;
    assert_eq!(bench.value("a").await.as_deref(), Some("one"));
    assert_eq!(bench.status().await.str_at(&["sync", "status"]), "OutOfSync");
    // The next commit is another try.
    bench.commit(&[("app/a.yaml", &map("a", "three"))]);
    bench.until_value("a", Some("three")).await;
    bench.until_synced().await;
    bench.finish().await;
}
