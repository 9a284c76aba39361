//! Argo CD Applications against a real API server: what is applied, healed, pruned, kept, told.
//!
//! Runs against skiff's own API server in this process, or against the cluster whose kubeconfig `SKIFF_TEST_KUBECONFIG`
//! names (upstream's, say), in namespaces of its own. Needs the program git to make repositories.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of test functions

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use api::Value;
use fleet::cluster::Cluster;

fn git(at: &Path, arguments: &[&str]) {
    let status = Command::new("git")
        .current_dir(at)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .status()
        .expect("these tests need the program git");
    assert!(status.success(), "git {arguments:?}");
}

struct Bench {
    cluster: Cluster,
    client: kube::Client,
    namespace: String,
    directory: tempfile::TempDir,
    agent: Option<base::Tasks>,
    own: Option<testkit_cluster::Cluster>,
    /// An agent keeps all applications of a cluster: one at a time.
    _alone: tokio::sync::MutexGuard<'static, ()>,
}

static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn connect(kubeconfig: &kube::config::Kubeconfig) -> kube::Client {
    let config = kube::Config::from_custom_kubeconfig(kubeconfig.clone(), &Default::default()).await.unwrap();
    kube::Client::try_from(config).unwrap()
}

async fn bench(name: &str) -> Bench {
    let alone = ALONE.lock().await;
    // `RUST_LOG=fleet=debug` shows what the agent does.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .try_init();
    let (client, own) = match std::env::var("SKIFF_TEST_KUBECONFIG") {
        Ok(path) => (connect(&kube::config::Kubeconfig::read_from(path).unwrap()).await, None),
        Err(_) => {
            let own = testkit_cluster::Cluster::start().await;
            (own.admin(), Some(own))
        }
    };
    let namespace = format!("fleet-{name}-{:x}", jiff::Timestamp::now().as_millisecond());
    let mut bench = Bench {
        cluster: Cluster::new(client.clone()),
        client,
        namespace,
        directory: tempfile::tempdir().unwrap(),
        agent: None,
        own,
        _alone: alone,
    };
    std::fs::create_dir_all(bench.repository()).unwrap();
    git(&bench.repository(), &["init", "-q"]);
    bench.start().await;
    bench
}

fn yaml(text: &str) -> Value {
    render::yaml::parse(text, render::yaml::Dialect::V2).unwrap().swap_remove(0)
}

fn map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  key: {value}\n")
}

impl Bench {
    fn repository(&self) -> PathBuf {
        self.directory.path().join("repository")
    }

    fn looks(&self) -> PathBuf {
        self.directory.path().join("looks")
    }

    fn head(&self) -> String {
        let output =
            Command::new("git").current_dir(self.repository()).args(["rev-parse", "HEAD"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    }

    async fn start(&mut self) {
        let mut config = fleet::Config::new(self.directory.path().join("data"));
        // Each look at the source starts a child: a line a look.
        let script = format!(
            "echo look >>'{}'\nexec '{}'\n",
            self.looks().display(),
            env!("CARGO_BIN_EXE_fleet-child")
        );
        config.child =
            fleet::child::Command { program: "/bin/sh".into(), arguments: vec!["-c".into(), script] };
        config.interval = Some(Duration::from_secs(1));
        let tasks = base::Tasks::new();
        let clock = base::Clock::system(jiff::Timestamp::UNIX_EPOCH);
        let client = match &self.own {
            // As skiff does it: in process.
            Some(own) => own.admin(),
            None => self.client.clone(),
        };
        let own = tasks.clone();
        tasks.spawn("fleet", async move { fleet::run(config, client, clock, own).await });
        self.agent = Some(tasks);
        self.until("the kind Application is served", async || {
            self.cluster.kind("argoproj.io/v1alpha1", "Application").await.ok()
        })
        .await;
    }

    async fn stop(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.stop().await;
        }
    }

    fn commit(&self, files: &[(&str, &str)]) {
        for entry in std::fs::read_dir(self.repository()).unwrap().flatten() {
            if entry.file_name() != ".git" {
                let _ = std::fs::remove_dir_all(entry.path()).or_else(|_| std::fs::remove_file(entry.path()));
            }
        }
        for (path, text) in files {
            let path = self.repository().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        git(&self.repository(), &["add", "-A"]);
        git(&self.repository(), &["commit", "-q", "--allow-empty", "-m", "a change"]);
    }

    async fn create(&self, spec: &str) {
        let text = format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata:\n  name: {0}\n  namespace: argocd\n  finalizers: [resources-finalizer.argocd.argoproj.io/background]\nspec:\n  project: default\n  destination: {{server: https://kubernetes.default.svc, namespace: {0}}}\n  source: {{repoURL: {1}, path: app, targetRevision: main}}\n{spec}",
            self.namespace,
            self.repository().display()
        );
        self.apply(&yaml(&text)).await;
    }

    async fn apply(&self, object: &Value) {
        let kind = self.cluster.kind(object.str_at(&["apiVersion"]), object.str_at(&["kind"])).await.unwrap();
        let object = object.clone();
        let text = serde_json::to_string(&object).unwrap();
        let manager = "test";
        let uri = format!(
            "/{}/{}/{}{}/{}?fieldManager={manager}&force=true",
            if kind.group.is_empty() { "api" } else { "apis" },
            kind.api_version(),
            match object.str_at(&["metadata", "namespace"]) {
                "" => String::new(),
                namespace => format!("namespaces/{namespace}/"),
            },
            kind.plural,
            object.str_at(&["metadata", "name"])
        );
        let request = http::Request::patch(uri)
            .header("content-type", "application/apply-patch+yaml")
            .body(text.into_bytes())
            .unwrap();
        self.client.request::<Value>(request).await.unwrap();
    }

    async fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let api_version = match kind {
            "Application" => "argoproj.io/v1alpha1",
            "Deployment" => "apps/v1",
            _ => "v1",
        };
        let namespace = if kind == "Application" { "argocd" } else { &self.namespace };
        let kind = self.cluster.kind(api_version, kind).await.unwrap();
        self.cluster.get(&kind, namespace, name).await.unwrap()
    }

    async fn value(&self, name: &str) -> Option<String> {
        let object = self.get("ConfigMap", name).await?;
        object
            .at(&["metadata", "deletionTimestamp"])
            .is_none()
            .then(|| object.str_at(&["data", "key"]).to_string())
    }

    async fn status(&self) -> Value {
        self.get("Application", &self.namespace)
            .await
            .and_then(|app| app.get("status").cloned())
            .unwrap_or_default()
    }

    async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(Instant::now() < end, "waited a minute for: {what}\n{}", self.status().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn until_value(&self, name: &str, value: Option<&str>) {
        let what = format!("{name} is {value:?}");
        self.until(&what, async || (self.value(name).await.as_deref() == value).then_some(())).await;
    }

    async fn until_condition(&self, part: &str) {
        let what = format!("a condition with {part:?}");
        self.until(&what, async || {
            let status = self.status().await;
            let all = status.get("conditions").and_then(Value::as_array).unwrap_or_default().to_vec();
            all.iter().any(|one| one.str_at(&["message"]).contains(part)).then_some(())
        })
        .await;
    }

    async fn until_synced(&self) {
        let head = self.head();
        self.until("Synced", async || {
            let status = self.status().await;
            let conditions = status.get("conditions").is_some_and(|all| !all.is_null());
            let synced = status.str_at(&["sync", "status"]) == "Synced";
            (synced && !conditions && status.str_at(&["sync", "revision"]) == head).then_some(())
        })
        .await;
    }

    async fn finish(mut self) {
        let kind = self.cluster.kind("argoproj.io/v1alpha1", "Application").await.unwrap();
        let _ = self.cluster.delete(&kind, "argocd", &self.namespace, "", "Background").await;
        self.until("the application is gone", async || {
            self.get("Application", &self.namespace).await.is_none().then_some(())
        })
        .await;
        let kind = self.cluster.kind("v1", "Namespace").await.unwrap();
        let _ = self.cluster.delete(&kind, "", &self.namespace, "", "Background").await;
        self.stop().await;
    }
}

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
    bench.commit(&[
        ("app/a.yaml", &map("a", "one")),
        ("app/bad.yaml", bad),
        ("app/none.yaml", unknown),
        ("app/z.yaml", &map("z", "one")),
    ]);
    bench.create(AUTOMATED).await;
    bench.until_value("a", Some("one")).await;
    bench.until_value("z", Some("one")).await;
    bench.until_condition("Service").await;
    let status = bench.status().await;
    assert_eq!(status.str_at(&["operationState", "phase"]), "Failed");
    assert!(status.to_string().contains("no kind Nothing in example.com/v1"), "{status}");
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
    bench.commit(&[("app/a.yaml", "a: [\n")]);
    bench.until_condition("app/a.yaml: line").await;
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
