//! A repository, an agent and a cluster for the front ends' suites: skiff's own API server in this process, or the cluster
//! whose kubeconfig `SKIFF_TEST_KUBECONFIG` names (upstream's, say), in namespaces of its own. The agent is the
//! ServiceAccount that `skiff fleet agent install --restricted` makes, with those rights and the ones on what tests put
//! into Git.

#![allow(clippy::unwrap_used, dead_code)] // helpers of tests; each suite uses some

#[path = "git.rs"]
mod program;
#[path = "servers.rs"]
pub mod servers;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use api::Value;
use fleet::cluster::Cluster;
pub use program::git;
use servers::Web;

pub struct Bench {
    pub cluster: Cluster,
    pub client: kube::Client,
    pub namespace: String,
    pub directory: tempfile::TempDir,
    pub agent: Option<base::Tasks>,
    pub own: Option<testkit_cluster::Cluster>,
    /// The agent's, from its next start on.
    pub clock: base::Clock,
    /// The agent's, from its next start on.
    pub agent_client: kube::Client,
    /// How long anything is waited for.
    pub patience: Duration,
    change: fn(&mut fleet::Config),
    /// An agent keeps all applications of a cluster: one at a time.
    _alone: tokio::sync::MutexGuard<'static, ()>,
}

static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// xorshift64: the seed alone decides where it is cut.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// A number that the environment may set.
pub fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

pub async fn connect(kubeconfig: &kube::config::Kubeconfig) -> kube::Client {
    let config = kube::Config::from_custom_kubeconfig(kubeconfig.clone(), &Default::default()).await.unwrap();
    fleet::connect::client(config).unwrap()
}

pub async fn bench(name: &str) -> Bench {
    bench_with(name, |_| {}).await
}

/// What the repositories of tests hold, besides what the printed roles allow.
const HELD: &str = "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: fleet-tests}
rules:
- apiGroups: ['', apps, batch]
  resources: [namespaces, configmaps, services, secrets, deployments, jobs]
  verbs: [get, list, watch, create, patch, update, delete]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: fleet-tests}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: fleet-tests}
subjects:
- {kind: ServiceAccount, name: skiff-fleet, namespace: skiff-fleet}
";

/// Applies all documents of a text as an administrator.
pub async fn apply_all(cluster: &Cluster, text: &str) {
    for object in render::yaml::parse(text, render::yaml::Dialect::V2).unwrap() {
        let kind = cluster.kind(object.str_at(&["apiVersion"]), object.str_at(&["kind"])).await.unwrap();
        cluster.apply(&kind, &object, fleet::cluster::Apply { dry_run: false, strict: true }).await.unwrap();
    }
}

/// The agent as it is in a cluster: the rights that are printed for it, and no more.
async fn agent_client(admin: &kube::Client, own: Option<&testkit_cluster::Cluster>) -> kube::Client {
    let cluster = Cluster::new(admin.clone());
    let install = fleet::install::Install {
        image: "skiff:test".into(),
        front_ends: vec!["argocd".into(), "flux".into()],
        webhooks: true,
        restricted: true,
    };
    let manifests = install.manifests();
    let (roles, deployment) = manifests.rsplit_once("---\n").unwrap();
    assert!(deployment.contains("kind: Deployment"));
    apply_all(&cluster, roles).await;
    apply_all(&cluster, HELD).await;
    let (namespace, account) = (fleet::install::NAMESPACE, fleet::install::ACCOUNT);
    if let Some(own) = own {
        // As skiff does it: in process.
        return own.server.local(testkit_cluster::Identity::service_account(namespace, account));
    }
    let request =
        http::Request::post(format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"))
            .header("content-type", "application/json")
            .body(br#"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}"#.to_vec())
            .unwrap();
    let answer: Value = admin.request(request).await.unwrap();
    let path = std::env::var("SKIFF_TEST_KUBECONFIG").unwrap();
    let mut kubeconfig = kube::config::Kubeconfig::read_from(path).unwrap();
    for user in &mut kubeconfig.auth_infos {
        let token = answer.str_at(&["status", "token"]).to_string();
        user.auth_info = Some(kube::config::AuthInfo { token: Some(token.into()), ..Default::default() });
    }
    connect(&kubeconfig).await
}

/// [`bench`] with a changed configuration of the agent.
pub async fn bench_with(name: &str, change: fn(&mut fleet::Config)) -> Bench {
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
    let agent_client = agent_client(&client, own.as_ref()).await;
    let mut bench = Bench {
        agent_client,
        patience: Duration::from_secs(60),
        clock: base::Clock::system(jiff::Timestamp::UNIX_EPOCH),
        change,
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

pub fn api_version(kind: &str) -> &'static str {
    match kind {
        "Application" => "argoproj.io/v1alpha1",
        "GitRepository" => "source.toolkit.fluxcd.io/v1",
        "Kustomization" => "kustomize.toolkit.fluxcd.io/v1",
        "Deployment" => "apps/v1",
        _ => "v1",
    }
}

pub fn yaml(text: &str) -> Value {
    render::yaml::parse(text, render::yaml::Dialect::V2).unwrap().swap_remove(0)
}

pub fn map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  key: {value}\n")
}

impl Bench {
    pub fn repository(&self) -> PathBuf {
        self.directory.path().join("repository")
    }

    pub fn looks(&self) -> PathBuf {
        self.directory.path().join("looks")
    }

    pub fn head(&self) -> String {
        let output =
            Command::new("git").current_dir(self.repository()).args(["rev-parse", "HEAD"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    }

    /// A line for each time that a child waited for the disk.
    pub fn syncs(&self) -> PathBuf {
        self.directory.path().join("syncs")
    }

    pub async fn start(&mut self) {
        let mut config = fleet::Config::new(self.directory.path().join("data"));
        // Each look at the source starts a child: a line a look.
        let script = format!(
            // A child that must not live long is killed; else it takes the shell's place.
            "echo look >>'{}'\nif [ -s '{}' ]; then exec timeout -s KILL \"$(cat '{1}')\" '{2}'; fi\nexec '{2}' 'syncs={4}' $(cat '{3}' 2>/dev/null)\n",
            self.looks().display(),
            self.directory.path().join("lives").display(),
            env!("CARGO_BIN_EXE_fleet-child"),
            self.cut_of_child().display(),
            self.syncs().display(),
        );
        config.child =
            fleet::child::Command { program: "/bin/sh".into(), arguments: vec!["-c".into(), script] };
        config.interval = Some(Duration::from_secs(1));
        let tasks = base::Tasks::new();
        let clock = self.clock.clone();
        (self.change)(&mut config);
        let followed = config.front_ends.clone();
        let client = self.agent_client.clone();
        let own = tasks.clone();
        tasks.spawn("fleet", async move { fleet::run(config, client, clock, own).await });
        self.agent = Some(tasks);
        for front in fleet::frontends::ALL
            .iter()
            .filter(|front| followed.is_empty() || followed.iter().any(|name| name == front.name))
        {
            self.until("the kinds are served", async || {
                self.cluster.kind(front.api_version, front.kind).await.ok()
            })
            .await;
        }
    }

    /// Holds the place at which the next child is cut that comes there ([`fleet::cut`]); gone once one was.
    pub fn cut_of_child(&self) -> PathBuf {
        self.directory.path().join("cut")
    }

    /// How long children live from now on; `MAX`: as long as they want.
    pub fn child_lives(&self, time: Duration) {
        let text =
            if time == Duration::MAX { String::new() } else { format!("{}", time.as_secs_f64().max(0.001)) };
        std::fs::write(self.directory.path().join("lives"), text).unwrap();
    }

    pub async fn stop(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.stop().await;
        }
    }

    pub fn commit(&self, files: &[(&str, &str)]) {
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

    /// Serves the repository over https, known to the agent by a Secret and a ConfigMap; gives its address.
    pub async fn serve(&self) -> (Web, String) {
        let web = Web::start(self.directory.path().into());
        let credentials = web.credentials();
        let url = format!("https://localhost:{}/repository/.git", web.port);
        let secret = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {0}, namespace: argocd, labels: {{argocd.argoproj.io/secret-type: repository}}}}\nstringData: {{url: '{url}', username: {1}, password: {2}}}\n",
            self.namespace, credentials.username, credentials.password
        );
        self.apply(&yaml(&secret)).await;
        let certificates: String = credentials.ca.lines().map(|line| format!("    {line}\n")).collect();
        let trusted = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: argocd-tls-certs-cm, namespace: argocd}}\ndata:\n  localhost: |\n{certificates}"
        );
        self.apply(&yaml(&trusted)).await;
        (web, url)
    }

    /// Takes away what [`Bench::serve`] made.
    pub async fn unserve(&self) {
        for (kind, which) in [("Secret", self.namespace.as_str()), ("ConfigMap", "argocd-tls-certs-cm")] {
            let kind = self.cluster.kind("v1", kind).await.unwrap();
            self.cluster.delete(&kind, "argocd", which, "", "Background").await.unwrap();
        }
    }

    pub async fn create(&self, spec: &str) {
        self.create_as(&self.namespace, &self.repository().display().to_string(), spec).await;
    }

    pub async fn create_as(&self, name: &str, url: &str, spec: &str) {
        let text = format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata:\n  name: {name}\n  namespace: argocd\n  finalizers: [resources-finalizer.argocd.argoproj.io/background]\nspec:\n  project: default\n  destination: {{server: https://kubernetes.default.svc, namespace: {0}}}\n  source: {{repoURL: {url}, path: app, targetRevision: main}}\n{spec}",
            self.namespace,
        );
        self.apply(&yaml(&text)).await;
    }

    pub async fn apply(&self, object: &Value) {
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

    pub async fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let api_version = api_version(kind);
        let namespace = if kind == "Application" { "argocd" } else { &self.namespace };
        let kind = self.cluster.kind(api_version, kind).await.unwrap();
        self.cluster.get(&kind, namespace, name).await.unwrap()
    }

    pub async fn value(&self, name: &str) -> Option<String> {
        let object = self.get("ConfigMap", name).await?;
        object
            .at(&["metadata", "deletionTimestamp"])
            .is_none()
            .then(|| object.str_at(&["data", "key"]).to_string())
    }

    pub async fn status(&self) -> Value {
        self.get("Application", &self.namespace)
            .await
            .and_then(|app| app.get("status").cloned())
            .unwrap_or_default()
    }

    pub async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let end = Instant::now() + self.patience;
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(Instant::now() < end, "waited {:?} for: {what}\n{}", self.patience, self.status().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn until_value(&self, name: &str, value: Option<&str>) {
        let end = Instant::now() + self.patience;
        loop {
            let there = self.value(name).await;
            if there.as_deref() == value {
                return;
            }
            let status = self.status().await;
            assert!(
                Instant::now() < end,
                "waited {:?} for {name} to be {value:?}, it is {there:?}\n{status}",
                self.patience
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn until_condition(&self, part: &str) {
        let what = format!("a condition with {part:?}");
        self.until(&what, async || {
            let status = self.status().await;
            let all = status.get("conditions").and_then(Value::as_array).unwrap_or_default().to_vec();
            all.iter().any(|one| one.str_at(&["message"]).contains(part)).then_some(())
        })
        .await;
    }

    /// One object at "one" in Git, served over https, and an automated Application that follows it; it is there.
    pub async fn served(&self) -> (Web, String) {
        self.commit(&[("app/a.yaml", &map("a", "one"))]);
        let (web, url) = self.serve().await;
        let policy = "  syncPolicy: {automated: {}, syncOptions: [CreateNamespace=true]}\n";
        self.create_as(&self.namespace, &url, policy).await;
        self.until_value("a", Some("one")).await;
        (web, url)
    }

    /// Deletes an object, and waits until it is gone.
    pub async fn remove(&self, (api_version, kind): (&str, &str), namespace: &str, name: &str) {
        let served = self.cluster.kind(api_version, kind).await.unwrap();
        self.cluster.delete(&served, namespace, name, "", "Background").await.unwrap();
        self.until(&format!("{kind} {name} is gone"), async || {
            self.cluster.get(&served, namespace, name).await.unwrap().is_none().then_some(())
        })
        .await;
    }

    /// Sets an annotation of the Application; empty: takes it away.
    pub async fn annotate(&self, name: &str, text: &str) {
        let kind = self.cluster.kind("argoproj.io/v1alpha1", "Application").await.unwrap();
        let mut patch = Value::object();
        let value = if text.is_empty() { Value::Null } else { text.into() };
        patch.set(&["metadata", "annotations", name], value);
        self.cluster.merge_patch(&kind, "argocd", &self.namespace, &patch).await.unwrap();
    }

    /// Asks for a sync by hand.
    pub async fn order(&self, operation: &str) {
        let kind = self.cluster.kind("argoproj.io/v1alpha1", "Application").await.unwrap();
        let patch: Value = serde_json::from_str(&format!(r#"{{"operation":{operation}}}"#)).unwrap();
        self.cluster.merge_patch(&kind, "argocd", &self.namespace, &patch).await.unwrap();
        self.until("the operation is taken away", async || {
            let app = self.get("Application", &self.namespace).await?;
            app.get("operation").is_none_or(Value::is_null).then_some(())
        })
        .await;
    }

    pub async fn until_synced(&self) {
        let head = self.head();
        self.until("Synced", async || {
            let status = self.status().await;
            let conditions = status.get("conditions").is_some_and(|all| !all.is_null());
            let synced = status.str_at(&["sync", "status"]) == "Synced";
            (synced && !conditions && status.str_at(&["sync", "revision"]) == head).then_some(())
        })
        .await;
    }

    pub async fn finish(mut self) {
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
