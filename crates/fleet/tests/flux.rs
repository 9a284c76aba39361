//! Flux' GitRepository and Kustomization against a real API server: what is applied, healed, pruned, kept, told. Needs the
//! program git.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of test functions

mod bench;

use api::Value;
use bench::{Bench, bench, map, yaml};

/// Makes the namespace, the repository's object and a Kustomization.
async fn begin(bench: &Bench, path: &str, more: &str) {
    bench
        .apply(&yaml(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {}}}\n", bench.namespace)))
        .await;
    repository(bench, "site", "suspend: false").await;
    kustomization(bench, "apps", path, more).await;
}

async fn kustomization(bench: &Bench, name: &str, path: &str, more: &str) {
    bench
        .apply(&yaml(&format!(
            "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: {name}, namespace: {0}}}\nspec:\n  interval: 10m\n  path: {path}\n  prune: true\n  targetNamespace: {0}\n  sourceRef: {{kind: GitRepository, name: site}}\n{more}",
            bench.namespace
        )))
        .await;
}

async fn condition(bench: &Bench, kind: &str, name: &str) -> Option<(String, String, String)> {
    let kind_ = bench.cluster.kind(bench::api_version(kind), kind).await.unwrap();
    let object = bench.cluster.get(&kind_, &bench.namespace, name).await.unwrap()?;
    let all = object.at(&["status", "conditions"])?.as_array()?.to_vec();
    let ready = all.iter().find(|one| one.str_at(&["type"]) == "Ready")?;
    let text = |field: &str| ready.str_at(&[field]).to_string();
    Some((text("status"), text("reason"), text("message")))
}

async fn until_ready(bench: &Bench, kind: &str, name: &str, reason: &str, part: &str) {
    bench
        .until(&format!("{kind} {name} is {reason}: {part}"), async || {
            let (_, now, message) = condition(bench, kind, name).await?;
            (now == reason && message.contains(part)).then_some(())
        })
        .await;
}

async fn finish(bench: Bench) {
    for kind in ["Kustomization", "GitRepository"] {
        let served = bench.cluster.kind(bench::api_version(kind), kind).await.unwrap();
        let all = bench.cluster.list(&served, &bench.namespace, "").await.unwrap();
        for name in all.iter().map(|one| one.str_at(&["metadata", "name"])) {
            bench.cluster.delete(&served, &bench.namespace, name, "", "Background").await.unwrap();
        }
        bench
            .until("all are gone", async || {
                bench.cluster.list(&served, &bench.namespace, "").await.unwrap().is_empty().then_some(())
            })
            .await;
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_heals_and_prunes() {
    let bench = bench("flux").await;
    bench.commit(&[
        ("apps/a.yaml", &map("a", "${X:=one}")),
        ("apps/deep/b.yml", &map("b", "one")),
        ("README.md", "x"),
    ]);
    begin(&bench, "./apps", "  wait: true\n  postBuild: {substituteStrategy: Always}\n").await;
    bench.until_value("a", Some("one")).await;
    bench.until_value("b", Some("one")).await;
    let revision = format!("main@sha1:{}", bench.head());
    until_ready(&bench, "GitRepository", "site", "Succeeded", &revision).await;
    until_ready(&bench, "Kustomization", "apps", "ReconciliationSucceeded", &revision).await;
    let kind = bench.cluster.kind("kustomize.toolkit.fluxcd.io/v1", "Kustomization").await.unwrap();
    let object = bench.cluster.get(&kind, &bench.namespace, "apps").await.unwrap().unwrap();
    let entries = object.at(&["status", "inventory", "entries"]).unwrap().to_string();
    assert!(entries.contains(&format!("{}_a__ConfigMap", bench.namespace)), "{entries}");
    assert_eq!(object.str_at(&["status", "lastAppliedRevision"]), revision);
    let map_ = bench.get("ConfigMap", "a").await.unwrap();
    assert_eq!(map_.str_at(&["metadata", "labels", "kustomize.toolkit.fluxcd.io/name"]), "apps");

    // Drift is undone, a commit changes and prunes.
    let served = bench.cluster.kind("v1", "ConfigMap").await.unwrap();
    bench.cluster.delete(&served, &bench.namespace, "b", "", "Background").await.unwrap();
    bench.until_value("b", Some("one")).await;
    bench.commit(&[("apps/a.yaml", &map("a", "two"))]);
    bench.until_value("a", Some("two")).await;
    bench.until_value("b", None).await;
    let revision = format!("main@sha1:{}", bench.head());
    until_ready(&bench, "Kustomization", "apps", "ReconciliationSucceeded", &revision).await;

    // Whoever runs the cluster may take an object out.
    let paused: Value = serde_json::from_str(
        r#"{"metadata":{"annotations":{"kustomize.toolkit.fluxcd.io/reconcile":"disabled"}},"data":{"key":"mine"}}"#,
    )
    .unwrap();
    bench.cluster.merge_patch(&served, &bench.namespace, "a", &paused).await.unwrap();
    bench.commit(&[("apps/a.yaml", &map("a", "three")), ("apps/c.yaml", &map("c", "three"))]);
    bench.until_value("c", Some("three")).await;
    assert_eq!(bench.value("a").await.as_deref(), Some("mine"));
    finish(bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dependencies_variables_and_suspension() {
    let bench = bench("depends").await;
    bench.commit(&[
        ("infra/i.yaml", &map("i", "${COLOUR}-${SIZE}")),
        ("apps/kustomization.yaml", "resources: [a.yaml]\n"),
        ("apps/a.yaml", &map("a", "one")),
        ("apps/unused.yaml", &map("unused", "x")),
    ]);
    begin(&bench, "apps", "  dependsOn: [{name: infra}]\n").await;
    until_ready(&bench, "Kustomization", "apps", "DependencyNotReady", "dependency").await;
    kustomization(
        &bench,
        "infra",
        "infra",
        "  postBuild: {substitute: {SIZE: big}, substituteFrom: [{kind: ConfigMap, name: vars}]}\n",
    )
    .await;
    until_ready(&bench, "Kustomization", "infra", "BuildFailed", "substitute from 'ConfigMap/vars'").await;
    let vars = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: vars, namespace: {}}}\ndata: {{COLOUR: red, SIZE: small}}\n",
        bench.namespace
    );
    bench.apply(&yaml(&vars)).await;
    bench.until_value("i", Some("red-big")).await;
    bench.until_value("a", Some("one")).await;
    assert_eq!(bench.value("unused").await, None);

    // Suspended: nothing follows until it is resumed.
    let kind = bench.cluster.kind("kustomize.toolkit.fluxcd.io/v1", "Kustomization").await.unwrap();
    let suspend =
        |on: bool| -> Value { serde_json::from_str(&format!(r#"{{"spec":{{"suspend":{on}}}}}"#)).unwrap() };
    bench.cluster.merge_patch(&kind, &bench.namespace, "infra", &suspend(true)).await.unwrap();
    let files = |text: &str| {
        bench.commit(&[
            ("infra/i.yaml", &map("i", text)),
            ("apps/kustomization.yaml", "resources: [a.yaml]\n"),
            ("apps/a.yaml", &map("a", "one")),
        ]);
    };
    files("two");
    let revision = format!("main@sha1:{}", bench.head());
    until_ready(&bench, "GitRepository", "site", "Succeeded", &revision).await;
    until_ready(&bench, "Kustomization", "apps", "DependencyNotReady", "is not ready").await;
    assert_eq!(bench.value("i").await.as_deref(), Some("red-big"));
    bench.cluster.merge_patch(&kind, &bench.namespace, "infra", &suspend(false)).await.unwrap();
    bench.until_value("i", Some("two")).await;
    until_ready(&bench, "Kustomization", "apps", "ReconciliationSucceeded", &revision).await;
    finish(bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_news_keep_what_is_there() {
    let bench = bench("fluxbad").await;
    bench.commit(&[("apps/a.yaml", &map("a", "one"))]);
    begin(&bench, "apps", "").await;
    bench.until_value("a", Some("one")).await;
    bench.commit(&[("apps/a.yaml", "a: [\n")]);
    until_ready(&bench, "Kustomization", "apps", "BuildFailed", "apps/a.yaml").await;
    bench.commit(&[("apps/README.md", "nothing")]);
    until_ready(&bench, "Kustomization", "apps", "ReconciliationFailed", "holds no objects").await;
    bench.until_value("a", Some("one")).await;
    // The repository goes away; drift is still undone.
    bench.commit(&[("apps/a.yaml", &map("a", "two"))]);
    bench.until_value("a", Some("two")).await;
    std::fs::rename(bench.repository(), bench.directory.path().join("away")).unwrap();
    until_ready(&bench, "GitRepository", "site", "GitOperationFailed", "offline since").await;
    let served = bench.cluster.kind("v1", "ConfigMap").await.unwrap();
    bench.cluster.delete(&served, &bench.namespace, "a", "", "Background").await.unwrap();
    bench.until_value("a", Some("two")).await;
    std::fs::rename(bench.directory.path().join("away"), bench.repository()).unwrap();
    until_ready(&bench, "GitRepository", "site", "Succeeded", "stored artifact").await;
    finish(bench).await;
}

async fn repository(bench: &Bench, name: &str, spec: &str) {
    bench
        .apply(&yaml(&format!(
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {{name: {name}, namespace: {}}}\nspec: {{url: 'file://{}', interval: 1m, ref: {{branch: main}}, {spec}}}\n",
            bench.namespace,
            bench.repository().display()
        )))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_say_what_is_healthy_and_ready() {
    let bench = bench("fluxcel").await;
    bench.commit(&[
        ("first/a.yaml", &map("first", "waiting")),
        ("second/b.yaml", &map("second", "one")),
        ("second/kustomization.yaml", "resources: [b.yaml]\n"),
        ("third/c.yaml", &map("third", "one")),
    ]);
    // A ConfigMap has no health of its own; by this one it is in progress until its text says otherwise.
    let check = "  wait: true\n  healthCheckExprs:\n  - {apiVersion: v1, kind: ConfigMap, current: \"data.key == 'done'\", failed: \"data.key == 'broken'\"}\n";
    begin(&bench, "first", check).await;
    let ready = "  dependsOn:\n  - {name: apps, readyExpr: \"dep.metadata.name == 'apps' && self.spec.path == 'second' && dep.status.conditions.exists(c, c.type == 'Healthy' && c.status == 'True')\"}\n";
    let more =
        "  components: [nowhere]\n  ignoreMissingComponents: true\n  buildMetadata: [originAnnotations]\n";
    kustomization(&bench, "second", "second", &format!("{ready}{more}")).await;
    until_ready(&bench, "Kustomization", "second", "DependencyNotReady", "according to readyExpr eval").await;
    bench.until_value("first", Some("waiting")).await;
    assert_eq!(bench.value("second").await, None);
    bench.commit(&[
        ("first/a.yaml", &map("first", "done")),
        ("second/b.yaml", &map("second", "one")),
        ("second/kustomization.yaml", "resources: [b.yaml]\n"),
        ("third/c.yaml", &map("third", "one")),
    ]);
    until_ready(&bench, "Kustomization", "apps", "ReconciliationSucceeded", &bench.head()).await;
    bench.until_value("second", Some("one")).await;
    let second = bench.get("ConfigMap", "second").await.unwrap();
    let origin = second.str_at(&["metadata", "annotations", "config.kubernetes.io/origin"]);
    assert!(origin.contains("path: b.yaml"), "{second}");
    // What is no expression stalls, in upstream's words.
    let bad = "  dependsOn: [{name: apps, readyExpr: \"dep.status.\"}]\n";
    kustomization(&bench, "third", "third", bad).await;
    until_ready(
        &bench,
        "Kustomization",
        "third",
        "InvalidCELExpression",
        "failed terminally due to configuration error",
    )
    .await;
    let bad = "  wait: true\n  healthCheckExprs: [{apiVersion: v1, kind: ConfigMap, current: \"1 +\"}]\n";
    kustomization(&bench, "fourth", "third", bad).await;
    until_ready(
        &bench,
        "Kustomization",
        "fourth",
        "InvalidCELExpression",
        "failed to parse the expression Current",
    )
    .await;
    finish(bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_does_what_its_policy_says() {
    let bench = bench("fluxgone").await;
    let held = |name: &str| {
        map(name, "one").replace(
            &format!("  name: {name}\n"),
            &format!("  name: {name}\n  finalizers: [example.com/held]\n"),
        )
    };
    bench.commit(&[
        ("stays/a.yaml", &map("stays", "one")),
        ("asked/b.yaml", &held("asked")),
        ("waits/c.yaml", &held("waits")),
    ]);
    begin(&bench, "stays", "  deletionPolicy: Orphan\n").await;
    kustomization(&bench, "asked", "asked", "  deletionPolicy: Delete\n").await;
    kustomization(&bench, "waits", "waits", "  deletionPolicy: WaitForTermination\n  timeout: 30m\n").await;
    for name in ["stays", "asked", "waits"] {
        bench.until_value(name, Some("one")).await;
    }
    let served = bench.cluster.kind("kustomize.toolkit.fluxcd.io/v1", "Kustomization").await.unwrap();
    for name in ["apps", "asked", "waits"] {
        until_ready(&bench, "Kustomization", name, "ReconciliationSucceeded", "Applied").await;
        bench.cluster.delete(&served, &bench.namespace, name, "", "Background").await.unwrap();
    }
    let gone = async |name: &str| bench.cluster.get(&served, &bench.namespace, name).await.unwrap().is_none();
    for name in ["apps", "asked"] {
        bench.until(&format!("{name} is gone"), async || gone(name).await.then_some(())).await;
    }
    assert_eq!(bench.value("stays").await.as_deref(), Some("one"));
    let deleting = |object: &Value| object.at(&["metadata", "deletionTimestamp"]).is_some();
    for name in ["asked", "waits"] {
        bench
            .until("its deletion is asked for", async || {
                deleting(&bench.get("ConfigMap", name).await.unwrap()).then_some(())
            })
            .await;
    }
    assert!(!gone("waits").await, "it waits for its object");
    let maps = bench.cluster.kind("v1", "ConfigMap").await.unwrap();
    let free: Value = serde_json::from_str(r#"{"metadata":{"finalizers":null}}"#).unwrap();
    for name in ["asked", "waits"] {
        bench.cluster.merge_patch(&maps, &bench.namespace, name, &free).await.unwrap();
    }
    bench.until("waits is gone", async || gone("waits").await.then_some(())).await;
    finish(bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_are_included_and_verified() {
    let bench = bench("fluxmore").await;
    let folder = bench.directory.path().join("keys");
    std::fs::create_dir_all(&folder).unwrap();
    let key = folder.join("id");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "author", "-f"])
        .arg(&key)
        .status()
        .expect("this test needs the program ssh-keygen");
    assert!(made.success());
    let signed = |text: &str| {
        std::fs::write(bench.repository().join("apps/a.yaml"), map("a", text)).unwrap();
        let signing = format!("user.signingkey={}", key.display());
        bench::git(&bench.repository(), &["add", "-A"]);
        let sign = ["-c", "gpg.format=ssh", "-c", &signing, "commit", "-q", "-S", "-m", "signed"];
        bench::git(&bench.repository(), &sign);
    };
    bench.commit(&[("apps/a.yaml", &map("a", "none")), ("shared/s.yaml", &map("shared", "one"))]);
    bench
        .apply(&yaml(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {}}}\n", bench.namespace)))
        .await;
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    bench
        .apply(&yaml(&format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: authors, namespace: {}}}\nstringData: {{author.sshpub: '{}'}}\n",
            bench.namespace,
            public.trim()
        )))
        .await;
    repository(
        &bench,
        "site",
        "verify: {mode: HEAD, secretRef: {name: authors}}, include: [{repository: {name: shared}, fromPath: shared, toPath: apps/more}]",
    )
    .await;
    until_ready(&bench, "GitRepository", "site", "NotFound", "could not get resource for include 'shared'")
        .await;
    repository(&bench, "shared", "sparseCheckout: [shared]").await;
    until_ready(
        &bench,
        "GitRepository",
        "site",
        "InvalidCommitSignature",
        "unsupported signature type: empty",
    )
    .await;
    kustomization(&bench, "apps", "apps", "").await;
    until_ready(&bench, "Kustomization", "apps", "ArtifactFailed", "Source artifact not found").await;

    signed("one");
    let revision = format!("main@sha1:{}", bench.head());
    until_ready(&bench, "GitRepository", "site", "Succeeded", &revision).await;
    bench.until_value("a", Some("one")).await;
    bench.until_value("shared", Some("one")).await;
    let served = bench.cluster.kind("source.toolkit.fluxcd.io/v1", "GitRepository").await.unwrap();
    let site = bench
        .until("what is included is at the same commit", async || {
            let site = bench.cluster.get(&served, &bench.namespace, "site").await.unwrap()?;
            let included = site.at(&["status", "includedArtifacts"])?.as_array()?;
            (included[0].str_at(&["revision"]) == revision).then_some(site.clone())
        })
        .await;
    let status = site.get("status").unwrap();
    assert_eq!(status.str_at(&["sourceVerificationMode"]), "HEAD");
    assert!(status.str_at(&["sourceVerificationFingerprint"]).starts_with("sha256:"), "{status}");
    assert!(
        status.to_string().contains("SourceVerified") && status.to_string().contains("with key 'SHA256:"),
        "{status}"
    );

    // Nobody signed: the cluster stays at what was good.
    bench.commit(&[("apps/a.yaml", &map("a", "two")), ("shared/s.yaml", &map("shared", "two"))]);
    until_ready(&bench, "GitRepository", "site", "InvalidCommitSignature", "the cluster is kept at").await;
    assert_eq!(bench.value("a").await.as_deref(), Some("one"));
    finish(bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guards_hold_what_they_guard() {
    let bench = bench("guards").await;
    let all = ["a", "b", "c", "d"].map(|name| (format!("apps/{name}.yaml"), map(name, "one")));
    let files: Vec<(&str, &str)> = all.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    bench.commit(&files);
    begin(&bench, "./apps", "").await;
    bench.until_value("d", Some("one")).await;
    let annotate = async |kind: &str, name: &str, annotation: &str, text: &str| {
        let served = bench.cluster.kind(bench::api_version(kind), kind).await.unwrap();
        let mut patch = Value::object();
        patch.set(&["metadata", "annotations", annotation], text);
        bench.cluster.merge_patch(&served, &bench.namespace, name, &patch).await.unwrap();
    };
    annotate("Kustomization", "apps", fleet::wish::SHRINK, "25%").await;
    annotate("GitRepository", "site", fleet::wish::HISTORY, "forward-only").await;
    bench.commit(&[("apps/a.yaml", &map("a", "two"))]);
    until_ready(&bench, "Kustomization", "apps", "Held", "3 of 4 objects would be deleted").await;
    bench.until_value("a", Some("two")).await;
    assert_eq!(bench.value("b").await.as_deref(), Some("one"));
    bench::git(&bench.repository(), &["reset", "-q", "--hard", "HEAD~1"]);
    until_ready(&bench, "GitRepository", "site", "GitOperationFailed", "was rewritten").await;
    assert_eq!(bench.value("a").await.as_deref(), Some("two"));
    bench::git(&bench.repository(), &["reset", "-q", "--hard", "ORIG_HEAD"]);
    until_ready(&bench, "GitRepository", "site", "Succeeded", &bench.head()).await;
    annotate("Kustomization", "apps", fleet::wish::NOT_NOW, "2026-01-01T00:00:00Z").await;
    annotate("Kustomization", "apps", fleet::wish::SHRINK, "75%").await;
    bench.until_value("b", None).await;
    until_ready(&bench, "Kustomization", "apps", "ReconciliationSucceeded", &bench.head()).await;
    finish(bench).await;
}
