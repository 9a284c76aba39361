//! The demo: a box, one Git repository, one Argo CD Application. A commit changes what runs; a deleted Deployment heals; a dead
//! link and a killed daemon change nothing. Everything happens in a network namespace of its own, with no way out.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use e2e::git::Repository;
use e2e::{Machine, image, machine, namespace, until};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};

const NAMESPACE: &str = "skiff-demo";
const PORT: u16 = 16443;

/// Runs skiff's main job for real, in two minutes, and removes everything again
#[derive(Parser)]
struct Args {
    /// Leave everything running at the end and say what to try
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match start(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: &Args) -> Result<()> {
    let binary = PathBuf::from(
        std::env::var_os("SKIFF_BINARY").context("SKIFF_BINARY names no skiff: use cargo xtask demo")?,
    );
    let folder = tempfile::Builder::new().prefix("skiff-demo-").tempdir()?;
    namespace::forget(NAMESPACE);
    namespace::enter(args.keep.then_some(NAMESPACE))?;
    let runtime = tokio::runtime::Runtime::new()?;
    let machine = Machine::new(&binary, folder.path(), PORT).flags(&[
        "--node-name",
        "store-12",
        "--fleet-interval",
        "2",
    ]);
    let mut demo =
        Demo { machine, folder: folder.path().into(), started: Instant::now(), step: 0, figures: Vec::new() };
    let done = runtime.block_on(demo.run());
    if let (Ok(()), true) = (&done, args.keep) {
        demo.farewell(folder.keep())?;
        std::process::exit(0);
    }
    let log = done.as_ref().err().map(|_| demo.machine.log_tail(20));
    let uninstalled = demo.machine.uninstall();
    drop(demo);
    drop(runtime);
    namespace::end_all();
    if let Some(log) = log {
        eprintln!("The server's log ended:\n{log}");
    }
    done.and(uninstalled)
}

struct Demo {
    machine: Machine,
    folder: PathBuf,
    started: Instant,
    step: usize,
    figures: Vec<(&'static str, String)>,
}

impl Demo {
    fn say(&mut self, what: &str) {
        self.step += 1;
        println!("\n[{:>5.1}s] {}. {what}", self.started.elapsed().as_secs_f64(), self.step);
    }

    fn note(&self, what: impl std::fmt::Display) {
        println!("         {what}");
    }

    async fn run(&mut self) -> Result<()> {
        self.say("An image of a static web server, put as a tar where skiff looks for images");
        image::put(&self.machine, "example.com/shop/web", &["1", "2"])?;

        self.say("skiff server starts on an empty box");
        let ready = self.machine.start().await?;
        self.figures.push(("start to API ready", format!("{:.2} s", ready.as_secs_f64())));
        let client = self.machine.client().await?;
        let node = until("the node to be Ready", machine::PATIENCE, async || {
            e2e::cluster::ready_node(&client).await
        })
        .await?;
        self.figures.push(("start to node Ready", format!("{:.2} s", self.started_after(ready))));
        self.note(format!("node {node} is Ready"));

        self.say("A Git repository: a base, and an overlay for a region and for a store");
        let repository = Repository::init(&self.folder.join("shop.git"))?;
        let first = repository.commit("Sell from every store", &files("1", 2))?;
        self.note(format!("commit {}", &first[..10]));

        self.say("kubectl apply -f application.yaml: the Argo CD Application that its owner already has");
        let since = Instant::now();
        self.apply(&client, &application(repository.path())).await?;
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), "shop");
        until("the Deployment of the overlay to be available", machine::PATIENCE, async || {
            e2e::cluster::available(&deployments, "store-web", 2).await
        })
        .await?;
        self.figures
            .push(("Application applied to pods ready", format!("{:.2} s", since.elapsed().as_secs_f64())));
        self.pods(&client).await?;
        let answer = self.ask(&client).await?;
        self.note(format!("its Service answers: {answer}"));
        self.expect(&answer, "version=1")?;

        self.say("A commit changes the image; nobody touches the cluster");
        let since = Instant::now();
        let second = repository.commit("Sell the new thing", &files("2", 2))?;
        let answer = self.answers(&client, "version=2").await?;
        self.figures
            .push(("commit to the new version answering", format!("{:.2} s", since.elapsed().as_secs_f64())));
        self.note(format!("commit {}: {answer}", &second[..10]));

        self.say("Somebody deletes the Deployment by hand");
        let since = Instant::now();
        let before = deployments.get("store-web").await?.metadata.uid;
        deployments.delete("store-web", &DeleteParams::default()).await?;
        until("the Deployment to come back", machine::PATIENCE, async || {
            let found = deployments.get_opt("store-web").await?;
            Ok(found.filter(|found| found.metadata.uid != before))
        })
        .await?;
        self.figures
            .push(("deleted by hand to made again", format!("{:.2} s", since.elapsed().as_secs_f64())));
        until("its pods", machine::PATIENCE, async || {
            e2e::cluster::available(&deployments, "store-web", 2).await
        })
        .await?;
        self.answers(&client, "version=2").await?;
        self.note("it is back, and answers");

        self.say("The repository goes away, and skiff is killed with -9");
        std::fs::rename(repository.path(), self.folder.join("gone.git"))?;
        let before = e2e::cluster::processes("toolbox");
        if before.is_empty() {
            bail!("no process of the web server was found");
        }
        let address = self.address(&client).await?;
        self.machine.kill()?;
        let after = e2e::cluster::processes("toolbox");
        if before != after {
            bail!("the processes changed: {before:?} became {after:?}");
        }
        let answer = e2e::cluster::get(&address).await.context("the Service did not answer without skiff")?;
        self.note(format!("the same process ids serve on: {before:?}"));
        self.note(format!("without skiff the Service answers: {}", answer.trim()));

        self.say("skiff starts again and takes them over");
        let again = self.machine.start().await?;
        self.figures.push(("start again to API ready", format!("{:.2} s", again.as_secs_f64())));
        let client = self.machine.client().await?;
        until("the node to be Ready", machine::PATIENCE, async || e2e::cluster::ready_node(&client).await)
            .await?;
        until("the pods to be Ready", machine::PATIENCE, async || {
            let deployments: Api<Deployment> = Api::namespaced(client.clone(), "shop");
            e2e::cluster::available(&deployments, "store-web", 2).await
        })
        .await?;
        if e2e::cluster::processes("toolbox") != before {
            bail!("the containers were started anew");
        }
        self.note(format!("the same process ids: {before:?}"));
        self.pods(&client).await?;
        self.offline(&client).await?;
        self.measure()?;
        Ok(())
    }

    fn started_after(&self, ready: Duration) -> f64 {
        self.started.elapsed().as_secs_f64().max(ready.as_secs_f64())
    }

    async fn apply(&self, client: &kube::Client, manifest: &str) -> Result<()> {
        let object: DynamicObject = serde_saphyr::from_str(manifest)?;
        let resource = e2e::cluster::application();
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
        let name = object.metadata.namespace.clone().unwrap_or_default();
        let _there = namespaces
            .create(
                &Default::default(),
                &serde_json::from_value(serde_json::json!({"metadata": {"name": name}}))?,
            )
            .await;
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &name, &resource);
        until("the Application kind to be served", machine::PATIENCE, async || {
            let name = object.metadata.name.clone().unwrap_or_default();
            let applied = api.patch(&name, &PatchParams::apply("demo"), &Patch::Apply(&object)).await?;
            Ok(Some(applied))
        })
        .await?;
        Ok(())
    }

    async fn pods(&self, client: &kube::Client) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), "shop");
        for pod in pods.list(&ListParams::default()).await? {
            let status = pod.status.unwrap_or_default();
            self.note(format!(
                "{}  {}  {}",
                pod.metadata.name.unwrap_or_default(),
                status.phase.unwrap_or_default(),
                status.pod_ip.unwrap_or_default()
            ));
        }
        Ok(())
    }

    async fn address(&self, client: &kube::Client) -> Result<String> {
        let services: Api<Service> = Api::namespaced(client.clone(), "shop");
        let spec = services.get("store-web").await?.spec.context("the Service has no spec")?;
        Ok(format!("{}:80", spec.cluster_ip.context("the Service has no address")?))
    }

    async fn ask(&self, client: &kube::Client) -> Result<String> {
        let address = self.address(client).await?;
        let text = until("the Service to answer", machine::PATIENCE, async || {
            Ok(Some(e2e::cluster::get(&address).await?))
        })
        .await?;
        Ok(text.trim().to_owned())
    }

    async fn answers(&self, client: &kube::Client, part: &str) -> Result<String> {
        let address = self.address(client).await?;
        until(&format!("the Service to answer with {part}"), machine::PATIENCE, async || {
            Ok(Some(e2e::cluster::get(&address).await?.trim().to_owned()).filter(|text| text.contains(part)))
        })
        .await
    }

    fn expect(&self, answer: &str, part: &str) -> Result<()> {
        if !answer.contains(part) {
            bail!("{part} was expected, the answer is {answer:?}");
        }
        Ok(())
    }

    /// What the Application tells of the repository that is gone.
    async fn offline(&self, client: &kube::Client) -> Result<()> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), "argocd", &e2e::cluster::application());
        let told =
            until("the Application to tell that its repository is gone", machine::PATIENCE, async || {
                let object = api.get("edge-web").await?;
                let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
                Ok(conditions.iter().find_map(|condition| condition["message"].as_str().map(str::to_owned)))
            })
            .await?;
        self.note(format!("the Application says: {told}"));
        Ok(())
    }

    fn measure(&mut self) -> Result<()> {
        let pid = self.machine.pid().context("the server does not run")?;
        let server = e2e::cluster::pss(pid)?;
        self.figures.push(("memory of skiff (PSS)", format!("{:.1} MB", server as f64 / 1e6)));
        self.say("Measured");
        for (what, figure) in &self.figures {
            println!("         {what:<40} {figure}");
        }
        Ok(())
    }

    fn farewell(&mut self, folder: PathBuf) -> Result<()> {
        println!("\nEverything is left running, in the network namespace {NAMESPACE}. Try:\n");
        println!(
            "  ip netns exec {NAMESPACE} kubectl --kubeconfig {} get pods -A",
            self.machine.kubeconfig().display()
        );
        println!(
            "  ip netns exec {NAMESPACE} kubectl --kubeconfig {} -n argocd get applications",
            self.machine.kubeconfig().display()
        );
        println!("  git clone {}/gone.git    # commit, push, and put it back as shop.git", folder.display());
        println!(
            "\nEnd it with:\n\n  kill $(ip netns pids {NAMESPACE}); ip netns delete {NAMESPACE}; rm -r {}",
            folder.display()
        );
        Ok(())
    }
}

fn application(repository: &Path) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: edge-web
  namespace: argocd
spec:
  project: default
  destination:
    server: https://kubernetes.default.svc
    namespace: shop
  source:
    repoURL: file://{}
    path: overlays/south/store-12
    targetRevision: main
  syncPolicy:
    automated:
      prune: true
      selfHeal: true
    syncOptions:
    - CreateNamespace=true
",
        repository.display()
    )
}

fn files(version: &str, replicas: u32) -> Vec<(&'static str, Option<&'static str>)> {
    let store: &'static str = Box::leak(
        format!(
            "resources:\n- ../\nnamePrefix: store-\nimages:\n- name: example.com/shop/web\n  newTag: \"{version}\"\nreplicas:\n- name: web\n  count: {replicas}\n"
        )
        .into_boxed_str(),
    );
    vec![
        ("base/kustomization.yaml", Some("resources:\n- web.yaml\n")),
        ("base/web.yaml", Some(WEB)),
        ("overlays/south/kustomization.yaml", Some(REGION)),
        ("overlays/south/store-12/kustomization.yaml", Some(store)),
    ]
}

const REGION: &str = "resources:
- ../../base
labels:
- pairs:
    region: south
configMapGenerator:
- name: greeting
  literals:
  - text=hello from the south
";

const WEB: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 1
  selector:
    matchLabels:
      app: web
  template:
    metadata:
      labels:
        app: web
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: example.com/shop/web:0
        volumeMounts:
        - name: greeting
          mountPath: /www/greeting
        ports:
        - containerPort: 8080
        readinessProbe:
          httpGet:
            path: /healthz
            port: 8080
          periodSeconds: 1
        resources:
          requests:
            cpu: 10m
            memory: 8Mi
          limits:
            memory: 64Mi
      volumes:
      - name: greeting
        configMap:
          name: greeting
---
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector:
    app: web
  ports:
  - port: 80
    targetPort: 8080
";
