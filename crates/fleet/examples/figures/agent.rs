//! The agent as a process beside an API server: memory, time from a commit to applied objects, processor time and writes at
//! rest. With the interval of its owner, so that nothing but what is measured happens.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use api::Value;
use fleet::child::{self, Answer};
use fleet::cluster::{Apply, Cluster};
use fleet::source::{Fetch, Limits, Recipe, Request, Source};

use crate::process;
use crate::program::git;
use crate::row;

struct Bench {
    _server: testkit_cluster::Cluster,
    cluster: Cluster,
    directory: tempfile::TempDir,
    agent: Child,
    skiff: PathBuf,
}

fn yaml(text: &str) -> Value {
    render::yaml::parse(text, render::yaml::Dialect::V2).unwrap().swap_remove(0)
}

pub async fn run(skiff: &Path, memory: bool, speed: bool) {
    let mut bench = start(skiff).await;
    bench.settled().await;
    if memory {
        row("agent, idle, argocd and flux on, no application (PSS)", &memory_of(bench.agent.id()), "10 MB");
    }
    if speed {
        bench.hundred().await;
    }
    if memory {
        bench.thousands().await;
        bench.rest().await;
    }
    let _ = bench.agent.kill();
    let _ = bench.agent.wait();
}

fn memory_of(pid: u32) -> String {
    format!("{}, of it anonymous {}", mb(process::pss(pid)), mb(process::anonymous(pid)))
}

fn mb(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

async fn start(skiff: &Path) -> Bench {
    let server = testkit_cluster::Cluster::start().await;
    let kubeconfig = server.listen("127.0.0.1:0").await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kubeconfig");
    std::fs::write(&file, kubeconfig).unwrap();
    let agent = Command::new(skiff)
        .args(["fleet", "agent", "--front-ends", "argocd,flux", "--kubeconfig"])
        .arg(&file)
        .arg("--data-dir")
        .arg(directory.path().join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(directory.path().join("log")).unwrap())
        .spawn()
        .expect("the program skiff starts");
    let cluster = Cluster::new(server.admin());
    Bench { _server: server, cluster, directory, agent, skiff: skiff.into() }
}

impl Bench {
    async fn until(&self, what: &str, mut look: impl AsyncFnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(300);
        while !look().await {
            assert!(
                Instant::now() < end,
                "waited for {what}; the log is in {}",
                self.directory.path().display()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The agent follows, and uses no processor time for a second.
    async fn settled(&self) {
        self.until("the kinds", async || {
            self.cluster.kind("argoproj.io/v1alpha1", "Application").await.is_ok()
                && self.cluster.kind("kustomize.toolkit.fluxcd.io/v1", "Kustomization").await.is_ok()
        })
        .await;
        loop {
            let before = process::ticks(self.agent.id());
            tokio::time::sleep(Duration::from_secs(2)).await;
            if process::ticks(self.agent.id()) == before {
                return;
            }
        }
    }

    fn repository(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn commit(&self, name: &str, objects: usize, value: &str) {
        let at = self.repository(name);
        std::fs::create_dir_all(at.join("app")).unwrap();
        if !at.join(".git").exists() {
            git(&at, &["init", "-q"]);
        }
        for object in 0..objects {
            let text = format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}-{object}}}\ndata: {{key: {value}, more: \"{}\"}}\n",
                "x".repeat(200)
            );
            std::fs::write(at.join(format!("app/m{object}.yaml")), text).unwrap();
        }
        git(&at, &["add", "-A"]);
        git(&at, &["commit", "-q", "-m", value]);
    }

    async fn create(&self, name: &str) {
        let text = format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}, namespace: argocd}}\nspec:\n  project: default\n  destination: {{server: https://kubernetes.default.svc, namespace: {name}}}\n  source: {{repoURL: {}, path: app, targetRevision: main}}\n  syncPolicy: {{automated: {{prune: true, selfHeal: true}}, syncOptions: [CreateNamespace=true]}}\n",
            self.repository(name).display()
        );
        let kind = self.cluster.kind("argoproj.io/v1alpha1", "Application").await.unwrap();
        self.cluster.apply(&kind, &yaml(&text), Apply { dry_run: false, strict: false }).await.unwrap();
    }

    async fn applied(&self, name: &str, objects: usize, value: &str) {
        let kind = self.cluster.kind("v1", "ConfigMap").await.unwrap();
        self.until("all objects", async || {
            let all = self.cluster.list(&kind, name, "").await.unwrap();
            all.iter().filter(|one| one.str_at(&["data", "key"]) == value).count() == objects
        })
        .await;
    }

    async fn refresh(&self, name: &str) {
        let kind = self.cluster.kind("argoproj.io/v1alpha1", "Application").await.unwrap();
        let patch: Value =
            serde_json::from_str(r#"{"metadata":{"annotations":{"argocd.argoproj.io/refresh":"normal"}}}"#)
                .unwrap();
        self.cluster.merge_patch(&kind, "argocd", name, &patch).await.unwrap();
    }

    /// What the child takes alone: process, fetch and rendering.
    async fn child_alone(&self, name: &str) -> Duration {
        let command = child::Command { program: self.skiff.clone(), arguments: vec!["fleet-child".into()] };
        let url = self.repository(name).display().to_string();
        let source =
            Source { url: url.clone(), revision: "main".into(), path: "app".into(), ..Source::default() };
        let request = Request {
            recipe: Recipe { sources: vec![source], ..Recipe::default() },
            fetches: vec![Fetch { url, revision: "main".into(), ..Fetch::default() }],
            manifests: self.directory.path().join("manifests.jsonl"),
            limits: Limits::default(),
            now: 0,
        };
        let since = Instant::now();
        match child::run(&command, &request).await.0.unwrap() {
            Answer::Artifact(_) => since.elapsed(),
            other => panic!("{other:?}"),
        }
    }

    async fn hundred(&self) {
        self.commit("hundred", 100, "v0");
        self.create("hundred").await;
        self.applied("hundred", 100, "v0").await;
        let (mut whole, mut child) = (Vec::new(), Vec::new());
        for round in 1..=5 {
            let value = format!("v{round}");
            self.settled().await;
            self.commit("hundred", 100, &value);
            let since = Instant::now();
            self.refresh("hundred").await;
            self.applied("hundred", 100, &value).await;
            whole.push(since.elapsed());
            child.push(self.child_alone("hundred").await);
        }
        whole.sort();
        child.sort();
        let (whole, child) = (whole[2].as_secs_f64(), child[2].as_secs_f64());
        row(
            "asked to look → 100 changed objects applied, median of 5",
            &format!("{whole:.2} s; fetch and rendering alone {child:.2} s"),
            "0.5 s after the fetch",
        );
    }

    async fn thousands(&self) {
        for app in ["m0", "m1", "m2", "m3"] {
            self.commit(app, 500, "v0");
        }
        let pid = self.agent.id();
        let (done, stop) = tokio::sync::oneshot::channel::<()>();
        let watcher = std::thread::spawn(move || {
            let mut stop = stop;
            let (mut peak, mut child) = (0, 0);
            while stop.try_recv().is_err() {
                let own: u64 = process::children(pid).into_iter().map(process::pss).sum();
                child = child.max(own);
                peak = peak.max(own + process::pss(pid));
                std::thread::sleep(Duration::from_millis(2));
            }
            (peak, child)
        });
        for app in ["m0", "m1", "m2", "m3"] {
            self.create(app).await;
        }
        for app in ["m0", "m1", "m2", "m3"] {
            self.applied(app, 500, "v0").await;
        }
        self.settled().await;
        let _ = done.send(());
        let (peak, child) = watcher.join().unwrap();
        row("with 2,000 objects of four Applications (PSS)", &memory_of(pid), "14 MB");
        row(
            "peak with children while they came (PSS, every 2 ms)",
            &format!("{}, of it children {}", mb(peak), mb(child)),
            "60 MB",
        );
    }

    async fn rest(&self) {
        let pid = self.agent.id();
        let (ticks, written) = (process::ticks(pid), process::written(pid));
        let seconds = 60;
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        row(
            "processor time at rest with 2,000 objects, of a core, over 60 s",
            &format!("{:.2} %", (process::ticks(pid) - ticks) as f64 / seconds as f64),
            "0",
        );
        row("bytes written at rest, over 60 s", &format!("{}", process::written(pid) - written), "0");
    }
}
