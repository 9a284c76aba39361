//! The command lines of Flux and Argo CD, unmodified, as their users know them. `cargo xtask gitops` builds both and runs
//! these; without the programs they say that they could not run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::git::Repository;
use e2e::{Machine, image, machine::PATIENCE, until};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

const MAP: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: default}\ndata: {key: one}\n";

/// A program with a home of its own, against the machine.
struct Program {
    path: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
}

impl Program {
    /// The program that `variable` names; `None`, and a word about it, if it names none.
    fn find(variable: &str, machine: &Machine) -> Result<Option<Program>> {
        let Some(path) = std::env::var_os(variable).map(PathBuf::from) else {
            eprintln!("COULD NOT RUN: {variable} names no program; `cargo xtask gitops` builds it");
            return Ok(None);
        };
        ensure!(path.is_file(), "{variable} names {}, which is not there", path.display());
        let home = machine.data().with_file_name("home");
        std::fs::create_dir_all(&home)?;
        Ok(Some(Program { path, kubeconfig: machine.kubeconfig(), home }))
    }

    /// What it prints, both ways; it must succeed.
    fn run(&self, words: &str) -> Result<String> {
        let mut command = Command::new(&self.path);
        command.args(words.split(' ')).env("KUBECONFIG", &self.kubeconfig).env("HOME", &self.home);
        let output = command.output().with_context(|| format!("cannot start {}", self.path.display()))?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        ensure!(output.status.success(), "`{words}` failed:\n{text}");
        Ok(text)
    }

    fn says(&self, words: &str, parts: &[&str]) -> Result<()> {
        let text = self.run(words)?;
        for part in parts {
            ensure!(text.contains(part), "`{words}` does not say {part:?}:\n{text}");
        }
        Ok(())
    }
}

/// Applies an object as its owner would; its kind may come a little later.
async fn apply(client: &kube::Client, object: &Value) -> Result<()> {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let api_version = text("/apiVersion");
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("/kind")));
    let api: Api<DynamicObject> = match text("/metadata/namespace") {
        "" => Api::all_with(client.clone(), &kind),
        namespace => Api::namespaced_with(client.clone(), namespace, &kind),
    };
    until(&format!("{} to be taken", text("/kind")), PATIENCE, async || {
        Ok(Some(api.patch(text("/metadata/name"), &PatchParams::apply("e2e"), &Patch::Apply(object)).await?))
    })
    .await
    .map(drop)
}

fn repository(machine: &Machine) -> Result<(Repository, String)> {
    let repository = Repository::init(&machine.data().with_file_name("site.git"))?;
    let commit = repository.commit("One map", &[("apps/a.yaml", Some(MAP))])?;
    Ok((repository, commit))
}

pub async fn flux(machine: &mut Machine) -> Result<()> {
    let Some(flux) = Program::find("SKIFF_FLUX", machine)? else { return Ok(()) };
    let (repository, commit) = repository(machine)?;
    machine.start().await?;
    let client = machine.client().await?;
    apply(&client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "flux-system"}}))
        .await?;
    let named = |name: &str| json!({"name": name, "namespace": "flux-system"});
    let url = url(repository.path());
    apply(
        &client,
        &json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": named("site"),
            "spec": {"url": url, "interval": "10m", "ref": {"branch": "main"}},
        }),
    )
    .await?;
    apply(&client, &json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": named("apps"),
        "spec": {"interval": "10m", "path": "./apps", "prune": true, "wait": true, "sourceRef": {"kind": "GitRepository", "name": "site"}},
    })).await?;
    let revision = format!("main@sha1:{commit}");
    until("the Kustomization to be ready", PATIENCE, async || {
        Ok(flux.run("get kustomizations").ok().filter(|text| text.contains("Applied revision")))
    })
    .await?;
    let short = format!("main@sha1:{}", &commit[..8]);
    flux.says(
        "get all",
        &["gitrepository/site", "kustomization/apps", &short, "stored artifact for revision"],
    )?;
    flux.says("get sources git", &["site", &short, "True"])?;
    flux.says("reconcile source git site --timeout 1m", &[&format!("fetched revision {revision}")])?;
    let other = MAP.replace("name: a", "name: b");
    let second = repository.commit("Another", &[("apps/b.yaml", Some(other.as_str()))])?;
    flux.says(
        "reconcile kustomization apps --with-source --timeout 1m",
        &[&format!("fetched revision main@sha1:{second}"), &format!("applied revision main@sha1:{second}")],
    )?;
    flux.says("suspend kustomization apps", &["kustomization suspended"])?;
    flux.says("get kustomizations", &["True     \tTrue"])?;
    flux.says("resume kustomization apps --timeout 1m", &["Kustomization apps reconciliation completed"])?;
    flux.says("suspend source git site", &["source git suspended"])?;
    flux.says("resume source git site --timeout 1m", &["GitRepository site reconciliation completed"])?;
    flux.says("tree kustomization apps", &["ConfigMap/default/a", "ConfigMap/default/b"])?;
    flux.says("trace configmap a -n default", &["Managed by Flux", "Kustomization:   apps", &url])?;
    flux.says("events", &["ReconciliationSucceeded", "Kustomization/apps", "GitRepository/site"])?;
    flux.says("export kustomization apps", &["kind: Kustomization", "path: ./apps"])?;
    flux.says("export source git site", &["kind: GitRepository", "branch: main"])
}

fn url(path: &Path) -> String {
    format!("file://{}", path.display())
}

pub async fn argocd(machine: &mut Machine) -> Result<()> {
    let Some(argocd) = Program::find("SKIFF_ARGOCD", machine)? else { return Ok(()) };
    let (repository, commit) = repository(machine)?;
    image::put(machine, "example.com/web", &["1"])?;
    machine.start().await?;
    let client = machine.client().await?;
    // What `--core` insists on, whatever is asked: settings, and a pod that stands for the repo server.
    apply(&client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}})).await?;
    let part = |name: &str| json!({"name": name, "namespace": "argocd", "labels": {"app.kubernetes.io/part-of": "argocd", "app.kubernetes.io/name": name}});
    apply(&client, &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": part("argocd-cm")})).await?;
    apply(&client, &json!({"apiVersion": "v1", "kind": "Secret", "metadata": part("argocd-secret")})).await?;
    apply(&client, &json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": part("argocd-repo-server"),
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "example.com/web:1"}]},
    })).await?;
    apply(
        &client,
        &json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "shop", "namespace": "argocd"},
            "spec": {
                "project": "default",
                "destination": {"server": "https://kubernetes.default.svc", "namespace": "default"},
                "source": {"repoURL": url(repository.path()), "path": "apps", "targetRevision": "main"},
                "syncPolicy": {"syncOptions": ["CreateNamespace=true"]},
            },
        }),
    )
    .await?;
    // Its namespace is the context's.
    let mut config: Value = serde_saphyr::from_str(&std::fs::read_to_string(machine.kubeconfig())?)?;
    for context in config["contexts"].as_array_mut().into_iter().flatten() {
        context["context"]["namespace"] = json!("argocd");
    }
    let kubeconfig = machine.data().with_file_name("argocd.yaml");
    std::fs::write(&kubeconfig, config.to_string())?;
    let argocd = Program { kubeconfig, ..argocd };
    until("the list of applications", PATIENCE, async || {
        Ok(argocd.run("--core app list").ok().filter(|text| text.contains("OutOfSync")))
    })
    .await?;
    argocd.says("--core app get shop", &["OutOfSync from main", "Missing", "ConfigMap"])?;
    // Its own `app sync` asks the repo server for the commit; this asks for the same.
    let mut sync = machine.skiff(&["fleet", "sync", "shop"]);
    ensure!(sync.env("KUBECONFIG", machine.kubeconfig()).status()?.success(), "`skiff fleet sync` failed");
    argocd.says("--core app wait shop --timeout 60", &["Synced to main", "Healthy", &commit])?;
    argocd.says("--core app history shop", &[&commit[..7]])?;
    argocd.says("--core app get shop --refresh", &["Synced to main"])?;
    argocd.says("--core app rollback shop 0 --timeout 60", &["Phase:              Succeeded", &commit])?;
    // A whole commit id needs nobody who knows branches.
    let sync = format!("--core app sync shop --revision {commit} --timeout 60");
    argocd.says(&sync, &["Phase:              Succeeded", &commit])?;
    argocd.says("--core proj list", &["default"])
}
