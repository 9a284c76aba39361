//! Argo CD Applications against a real API server: what is applied, healed, pruned, kept, told. Needs the program git.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of test functions

mod bench;
#[path = "bench/gpg.rs"]
mod gpg;

use api::Value;
use bench::{bench, map, yaml};

const AUTOMATED: &str =
    "  syncPolicy: {automated: {prune: true, selfHeal: true}, syncOptions: [CreateNamespace=true]}\n";

#[tokio::test(flavor = "multi_thread")]
async fn follows_heals_and_prunes() {
    let bench = bench("follow").await;
    bench.commit(&[("app/a.yaml", &map("a", "one")), ("app/b.yaml", &map("b", "one"))]);
    bench.create(AUTOMATED).await;
    bench.until_value("a", Some("one")).await;
    bench.until_synced().await;
    let status = bench.status().await;
    assert_eq!(status.str_at(&["health", "status"]), "Healthy");
    assert_eq!(status.str_at(&["sourceType"]), "Directory");
    assert_eq!(status.get("resources").unwrap().as_array().unwrap().len(), 2);
    assert_eq!(status.str_at(&["operationState", "phase"]), "Succeeded");

    // Drift and deletion are undone.
    bench
        .apply(&yaml(
            &map("a", "wrong").replace("metadata:", &format!("metadata:\n  namespace: {}", bench.namespace)),
        ))
        .await;
    bench.until_value("a", Some("one")).await;
    let kind = bench.cluster.kind("v1", "ConfigMap").await.unwrap();
    bench.cluster.delete(&kind, &bench.namespace, "b", "", "Background").await.unwrap();
    bench.until_value("b", Some("one")).await;

    // A commit changes, adds and prunes; what is not ours stays.
    let stranger =
        map("stranger", "x").replace("metadata:", &format!("metadata:\n  namespace: {}", bench.namespace));
    bench.apply(&yaml(&stranger)).await;
    bench.commit(&[("app/a.yaml", &map("a", "two")), ("app/c.yaml", &map("c", "two"))]);
    bench.until_value("a", Some("two")).await;
    bench.until_value("c", Some("two")).await;
    bench.until_value("b", None).await;
    bench.until_value("stranger", Some("x")).await;
    bench.until_synced().await;

    // Converged: looks that change nothing write nothing.
    let before = bench.get("Application", &bench.namespace).await.unwrap();
    let looks = || std::fs::read_to_string(bench.looks()).unwrap().lines().count();
    let three_more = looks() + 3;
    bench.until("three more looks", async || (looks() >= three_more).then_some(())).await;
    let after = bench.get("Application", &bench.namespace).await.unwrap();
    assert_eq!(
        before.str_at(&["metadata", "resourceVersion"]),
        after.str_at(&["metadata", "resourceVersion"])
    );

    // The cascade takes its objects along.
    let namespace = bench.namespace.clone();
    let app = bench.cluster.kind("argoproj.io/v1alpha1", "Application").await.unwrap();
    bench.cluster.delete(&app, "argocd", &namespace, "", "Background").await.unwrap();
    bench.until_value("a", None).await;
    bench.until_value("stranger", Some("x")).await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failing_object_holds_back_no_other() {
    let bench = bench("fail").await;
    let bad = "apiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec: {ports: [{port: 99999}]}\n";
    let unknown = "apiVersion: example.com/v1\nkind: Nothing\nmetadata: {name: none}\n";
    let set =
        "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {name: set, namespace: argocd}\n";
    bench.commit(&[
        ("app/a.yaml", &map("a", "one")),
        ("app/bad.yaml", bad),
        ("app/none.yaml", unknown),
        ("app/set.yaml", set),
        ("app/z.yaml", &map("z", "one")),
    ]);
    bench.create(AUTOMATED).await;
    bench.until_value("a", Some("one")).await;
    bench.until_value("z", Some("one")).await;
    bench.until_condition("Service").await;
    let status = bench.status().await;
    assert_eq!(status.str_at(&["operationState", "phase"]), "Failed");
    assert!(status.to_string().contains("no kind Nothing in example.com/v1"), "{status}");
    assert!(status.to_string().contains("commit the Applications that it would make"), "{status}");
    bench.commit(&[("app/a.yaml", &map("a", "two"))]);
    bench.until_value("a", Some("two")).await;
    bench.until_synced().await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_what_it_has_through_every_kind_of_bad_news() {
    let mut bench = bench("keep").await;
    bench.commit(&[("app/a.yaml", &map("a", "one"))]);
    bench.create(AUTOMATED).await;
    bench.until_synced().await;
    // What does not even look like a manifest is none, as in Argo CD.
    bench.commit(&[("app/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: [\n")]);
    bench.until_condition("app/a.yaml: ").await;
    bench.until_value("a", Some("one")).await;
    bench.commit(&[("elsewhere/a.yaml", &map("a", "one"))]);
    bench.until_condition("app path does not exist").await;
    bench.until_value("a", Some("one")).await;
    bench.commit(&[("app/README.md", "nothing")]);
    bench.until_condition("allowEmpty").await;
    bench.until_value("a", Some("one")).await;
    bench.commit(&[("app/a.yaml", &map("a", "two"))]);
    bench.until_value("a", Some("two")).await;
    bench.until_synced().await;

    // The repository goes away, and the agent is restarted: it heals from what it has.
    std::fs::rename(bench.repository(), bench.directory.path().join("away")).unwrap();
    bench.until_condition("offline since").await;
    let told = bench.status().await.get("conditions").unwrap().to_string();
    bench.stop().await;
    let kind = bench.cluster.kind("v1", "ConfigMap").await.unwrap();
    bench.cluster.delete(&kind, &bench.namespace, "a", "", "Background").await.unwrap();
    bench.start().await;
    bench.until_value("a", Some("two")).await;
    bench.until_condition("offline since").await;
    assert_eq!(
        bench.status().await.get("conditions").unwrap().to_string(),
        told,
        "the outage began before the restart"
    );
    std::fs::rename(bench.directory.path().join("away"), bench.repository()).unwrap();
    bench.until_synced().await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_hand_and_masked() {
    let bench = bench("hand").await;
    bench.commit(&[("app/a.yaml", &map("a", "one"))]);
    let spec = "  syncPolicy: {syncOptions: [CreateNamespace=true]}\n  ignoreDifferences: [{kind: ConfigMap, name: m, jsonPointers: [/data/key]}]\n";
    bench.create(spec).await;
    bench
        .until("OutOfSync", async || {
            (bench.status().await.str_at(&["sync", "status"]) == "OutOfSync").then_some(())
        })
        .await;
    assert_eq!(bench.value("a").await, None);
    let kind = bench.cluster.kind("argoproj.io/v1alpha1", "Application").await.unwrap();
    let order: Value =
        serde_json::from_str(r#"{"operation":{"sync":{"prune":true},"initiatedBy":{"username":"alice"}}}"#)
            .unwrap();
    bench.cluster.merge_patch(&kind, "argocd", &bench.namespace, &order).await.unwrap();
    bench.until_value("a", Some("one")).await;
    bench.until_synced().await;
    bench
        .until("the operation is taken away", async || {
            let app = bench.get("Application", &bench.namespace).await?;
            app.get("operation").is_none_or(Value::is_null).then_some(())
        })
        .await;
    let status = bench.status().await;
    assert_eq!(status.str_at(&["operationState", "operation", "initiatedBy", "username"]), "alice");
    // Drift is told and left.
    let wrong =
        map("a", "wrong").replace("metadata:", &format!("metadata:\n  namespace: {}", bench.namespace));
    bench.apply(&yaml(&wrong)).await;
    bench
        .until("OutOfSync", async || {
            (bench.status().await.str_at(&["sync", "status"]) == "OutOfSync").then_some(())
        })
        .await;
    assert_eq!(bench.value("a").await.as_deref(), Some("wrong"));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn takes_over_what_kubectl_applied() {
    let bench = bench("adopt").await;
    bench
        .apply(&yaml(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {}}}\n", bench.namespace)))
        .await;
    let kind = bench.cluster.kind("v1", "ConfigMap").await.unwrap();
    let mut old = yaml(&map("a", "one"));
    old.set(&["metadata", "namespace"], bench.namespace.as_str());
    old.set(&["data", "leftover"], "x");
    let uri =
        format!("/api/v1/namespaces/{}/configmaps?fieldManager=kubectl-client-side-apply", bench.namespace);
    let request =
        http::Request::post(uri).header("content-type", "application/json").body(old.to_json()).unwrap();
    bench.client.request::<Value>(request).await.unwrap();
    let uid = bench.get("ConfigMap", "a").await.unwrap().str_at(&["metadata", "uid"]).to_string();
    bench.commit(&[("app/a.yaml", &map("a", "one"))]);
    bench.create(AUTOMATED).await;
    bench.until_synced().await;
    let now = bench.cluster.get(&kind, &bench.namespace, "a").await.unwrap().unwrap();
    assert_eq!(now.str_at(&["metadata", "uid"]), uid);
    assert_eq!(now.at(&["data", "leftover"]), None, "a field that Git does not have goes with its applier");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_delays_no_other() {
    let bench = bench("silent").await;
    bench.commit(&[("app/a.yaml", &map("a", "one"))]);
    // Takes connections and says nothing.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let name = |at: usize| format!("{}-{at}", bench.namespace);
    for at in 0..4 {
        bench.create_as(&name(at), &format!("https://127.0.0.1:{port}/r{at}"), AUTOMATED).await;
    }
    bench.create(AUTOMATED).await;
    bench.until_value("a", Some("one")).await;
    bench
        .until("the silent server is told", async || {
            // They share few places, so which of them is first is chance.
            for at in 0..4 {
                let app = bench.get("Application", &name(at)).await?;
                let told = app.get("status").map(Value::to_string).unwrap_or_default();
                if told.contains("does not finish a handshake") && told.contains("offline since") {
                    return Some(());
                }
            }
            None
        })
        .await;
    let kind = bench.cluster.kind("argoproj.io/v1alpha1", "Application").await.unwrap();
    for at in 0..4 {
        bench.cluster.delete(&kind, "argocd", &name(at), "", "Background").await.unwrap();
    }
    silent.abort();
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing_and_says_so() {
    let bench = bench("dry").await;
    bench.commit(&[("app/a.yaml", &map("a", "one")), ("app/b.yaml", &map("b", "one"))]);
    bench.create("  syncPolicy: {syncOptions: [CreateNamespace=true]}\n").await;
    bench.order(r#"{"sync":{},"initiatedBy":{"username":"alice"}}"#).await;
    bench.until_synced().await;
    bench.commit(&[("app/a.yaml", &map("a", "two"))]);
    bench.order(r#"{"sync":{"dryRun":true,"prune":true}}"#).await;
    let status = bench.status().await;
    assert_eq!(status.str_at(&["operationState", "message"]), "successfully synced (dry run)");
    assert!(status.to_string().contains("pruned (dry run)"), "{status}");
    assert_eq!(bench.value("a").await.as_deref(), Some("one"));
    assert_eq!(bench.value("b").await.as_deref(), Some("one"));
    // Just one object, by hand.
    bench.order(r#"{"sync":{"resources":[{"group":"","kind":"ConfigMap","name":"a"}],"prune":true}}"#).await;
    bench.until_value("a", Some("two")).await;
    assert_eq!(bench.value("b").await.as_deref(), Some("one"));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_branch_is_an_answer_and_no_outage() {
    let bench = bench("branch").await;
    bench.commit(&[("app/a.yaml", &map("a", "one"))]);
    bench.create(AUTOMATED).await;
    bench.until_synced().await;
    let kind = bench.cluster.kind("argoproj.io/v1alpha1", "Application").await.unwrap();
    let wrong: Value = serde_json::from_str(r#"{"spec":{"source":{"targetRevision":"mian"}}}"#).unwrap();
    bench.cluster.merge_patch(&kind, "argocd", &bench.namespace, &wrong).await.unwrap();
    bench.until_condition("unable to resolve 'mian'").await;
    let told = bench.status().await.get("conditions").unwrap().to_string();
    assert!(told.contains("ComparisonError") && !told.contains("offline"), "{told}");
    bench.until_value("a", Some("one")).await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_enforced() {
    let bench = bench("project").await;
    let project = |denied: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata: {{name: {0}, namespace: argocd}}\nspec:\n  sourceRepos: ['*']\n  destinations: [{{server: '*', namespace: {0}}}]\n  clusterResourceWhitelist: [{{group: '', kind: Namespace}}]\n  namespaceResourceBlacklist: [{denied}]\n",
            bench.namespace
        )
    };
    let away = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: away, namespace: default}\n";
    bench.commit(&[("app/a.yaml", &map("a", "one")), ("app/away.yaml", away)]);
    bench.create(AUTOMATED).await;
    let kind = bench.cluster.kind("argoproj.io/v1alpha1", "Application").await.unwrap();
    let patch: Value =
        serde_json::from_str(&format!(r#"{{"spec":{{"project":"{}"}}}}"#, bench.namespace)).unwrap();
    bench.cluster.merge_patch(&kind, "argocd", &bench.namespace, &patch).await.unwrap();
    bench.until_condition("which does not exist").await;
    bench.apply(&yaml(&project(""))).await;
    bench.until_condition("namespace default is not permitted").await;
    bench.until_value("a", Some("one")).await;
    // A change of the project is noticed.
    bench.commit(&[("app/a.yaml", &map("a", "two"))]);
    bench.apply(&yaml(&project("{group: '', kind: ConfigMap}"))).await;
    bench.until_condition("resource :ConfigMap is not permitted").await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_inventory_is_rebuilt_from_marks() {
    let mut bench = bench("lost").await;
    bench.commit(&[("app/a.yaml", &map("a", "one")), ("app/b.yaml", &map("b", "one"))]);
    bench.create(AUTOMATED).await;
    bench.until_synced().await;
    bench.stop().await;
    std::fs::remove_dir_all(bench.directory.path().join("data")).unwrap();
    bench.commit(&[("app/a.yaml", &map("a", "two"))]);
    bench.start().await;
    bench.until_value("a", Some("two")).await;
    bench.until_value("b", None).await;
    bench.until_synced().await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_by_jq_and_unknown_options() {
    let bench = bench("jq").await;
    bench.commit(&[("app/a.yaml", &map("a", "one"))]);
    let spec = "  syncPolicy: {automated: {selfHeal: true}, syncOptions: [CreateNamespace=true, Fancy=true]}\n  ignoreDifferences: [{kind: ConfigMap, jqPathExpressions: ['.data | to_entries[] | select(.key == \"key\") | .value', '.data.key']}]\n";
    bench.create(spec).await;
    // Made whole although the field is left to others, and then left alone.
    bench.until_value("a", Some("one")).await;
    bench.until_condition("Fancy=true is not known").await;
    let theirs =
        map("a", "theirs").replace("metadata:", &format!("metadata:\n  namespace: {}", bench.namespace));
    bench.apply(&yaml(&theirs)).await;
    bench.commit(&[("app/a.yaml", &format!("{}  more: x\n", map("a", "two")))]);
    bench
        .until("the new field", async || {
            let object = bench.get("ConfigMap", "a").await?;
            (object.str_at(&["data", "more"]) == "x").then_some(())
        })
        .await;
    assert_eq!(bench.value("a").await.as_deref(), Some("theirs"));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_with_values_of_another_source() {
    let bench = bench("chart").await;
    let chart = "apiVersion: v2\nname: shop\nversion: 1.0.0\n";
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}-map}\ndata: {key: {{ .Values.key | upper }}}\n";
    let hook = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: hook, annotations: {helm.sh/hook: pre-install}}\ndata: {key: ran}\n";
    let files = |value: &str| {
        bench.commit(&[
            ("app/Chart.yaml", chart),
            ("app/values.yaml", "key: chart\n"),
            ("app/templates/map.yaml", template),
            ("app/templates/hook.yaml", hook),
            ("sites/store.yaml", &format!("key: {value}\n")),
        ]);
    };
    files("one");
    bench.create(AUTOMATED).await;
    let name = format!("{}-map", bench.namespace);
    bench.until_value(&name, Some("CHART")).await;
    bench.until_value("hook", Some("ran")).await;
    let kind = bench.cluster.kind("argoproj.io/v1alpha1", "Application").await.unwrap();
    let url = bench.repository().display().to_string();
    let patch: Value = serde_json::from_str(&format!(
        r#"{{"spec":{{"source":null,"sources":[
        {{"repoURL":"{url}","path":"app","targetRevision":"main","helm":{{"releaseName":"shop","valueFiles":["$site/sites/store.yaml"]}}}},
        {{"repoURL":"{url}","ref":"site","targetRevision":"main"}}]}}}}"#
    ))
    .unwrap();
    bench.cluster.merge_patch(&kind, "argocd", &bench.namespace, &patch).await.unwrap();
    bench.until_value("shop-map", Some("ONE")).await;
    bench.until_value(&name, None).await;
    files("two");
    bench.until_value("shop-map", Some("TWO")).await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_sources_are_one_application() {
    let bench = bench("several").await;
    bench.commit(&[("app/a.yaml", &map("a", "one")), ("more/b.yaml", &map("b", "one"))]);
    bench.create(AUTOMATED).await;
    let kind = bench.cluster.kind("argoproj.io/v1alpha1", "Application").await.unwrap();
    let url = bench.repository().display().to_string();
    let patch: Value = serde_json::from_str(&format!(
        r#"{{"spec":{{"source":null,"sources":[{{"repoURL":"{url}","path":"app","targetRevision":"main"}},
        {{"repoURL":"file://{url}","path":"more","targetRevision":"HEAD"}}]}}}}"#
    ))
    .unwrap();
    bench.cluster.merge_patch(&kind, "argocd", &bench.namespace, &patch).await.unwrap();
    bench.until_value("b", Some("one")).await;
    let head = bench.head();
    bench
        .until("both revisions", async || {
            let status = bench.status().await;
            let both = status.at(&["sync", "revisions"])?.as_array()?.to_vec();
            (both.len() == 2 && both.iter().all(|one| one.as_str() == Some(&head))).then_some(())
        })
        .await;
    bench.commit(&[("app/a.yaml", &map("a", "two")), ("more/b.yaml", &map("b", "two"))]);
    bench.until_value("a", Some("two")).await;
    bench.until_value("b", Some("two")).await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_takes_only_what_its_people_signed() {
    let bench = bench("signed").await;
    let gpg = gpg::Gpg::new();
    let key = gpg.key("author", "ed25519", "sign", "never", &[]);
    let ring = gpg.export(&key).replace('\n', "\n    ");
    bench
        .apply(&yaml(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: argocd-gpg-keys-cm, namespace: argocd}}\ndata:\n  {}: |\n    {ring}\n",
            &key[24..]
        )))
        .await;
    bench
        .apply(&yaml(&format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata: {{name: {}, namespace: argocd}}\nspec:\n  sourceRepos: ['*']\n  destinations: [{{server: '*', namespace: '*'}}]\n  clusterResourceWhitelist: [{{group: '*', kind: '*'}}]\n  signatureKeys: [{{keyID: {}}}]\n",
            bench.namespace,
            &key[24..]
        )))
        .await;
    bench.commit(&[("app/a.yaml", &map("a", "one"))]);
    let url = bench.repository().display().to_string();
    let text = format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata:\n  name: {0}\n  namespace: argocd\n  finalizers: [resources-finalizer.argocd.argoproj.io/background]\nspec:\n  project: {0}\n  destination: {{server: https://kubernetes.default.svc, namespace: {0}}}\n  source: {{repoURL: {url}, path: app, targetRevision: main}}\n{AUTOMATED}",
        bench.namespace
    );
    bench.apply(&yaml(&text)).await;
    bench.until_condition("unsigned (key_id=)").await;
    assert_eq!(bench.value("a").await, None);
    let signed = |text: &str| {
        std::fs::write(bench.repository().join("app/a.yaml"), map("a", text)).unwrap();
        let mut git = std::process::Command::new("git");
        git.current_dir(bench.repository()).env("GNUPGHOME", gpg.folder());
        git.args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.com",
            "commit",
            "-q",
            "-a",
            "-m",
            "signed",
        ]);
        gpg::run(git.arg(format!("-S{key}")));
    };
    signed("two");
    bench.until_value("a", Some("two")).await;
    bench.until_synced().await;
    // What nobody signed changes nothing, and what is signed again does.
    bench.commit(&[("app/a.yaml", &map("a", "three"))]);
    bench.until_condition("the cluster is kept at").await;
    assert_eq!(bench.value("a").await.as_deref(), Some("two"));
    signed("four");
    bench.until_value("a", Some("four")).await;
    bench.finish().await;
}
