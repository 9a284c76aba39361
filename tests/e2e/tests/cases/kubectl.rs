//! An unmodified kubectl, as a person uses it. Without one on the PATH this says that it could not run.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use e2e::{Machine, cluster, image, machine::PATIENCE, until};

const MANIFEST: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: example.com/web:1
        ports: [{containerPort: 8080}]
";

pub async fn everyday(machine: &mut Machine) -> Result<()> {
    if Command::new("kubectl").arg("version").arg("--client").output().is_err() {
        eprintln!("COULD NOT RUN: there is no kubectl on the PATH");
        return Ok(());
    }
    std::fs::create_dir_all(machine.images())?;
    for version in ["1", "2"] {
        let archive = machine.images().join(format!("web-{version}.tar"));
        image::write(&format!("example.com/web:{version}"), version, &archive)?;
    }
    machine.start().await?;
    let client = machine.client().await?;
    until("a Ready node", PATIENCE, async || cluster::ready_node(&client).await).await?;
    let file = machine.data().with_file_name("web.yaml");
    std::fs::write(&file, MANIFEST)?;
    let file = file.to_str().context("the folder's name is no text")?;
    // In order: what is said, and what the answer must have in it.
    let steps: &[(&[&str], &str)] = &[
        (&["apply", "-f", file], "deployment.apps/web created"),
        (&["apply", "-f", file], "deployment.apps/web unchanged"),
        (&["rollout", "status", "deploy/web", "--timeout=60s"], "successfully rolled out"),
        (&["get", "deploy", "web", "-o", "wide"], "example.com/web:1"),
        (&["get", "pods", "-o", "jsonpath={.items[0].status.phase}"], "Running"),
        (&["get", "pods", "-o", "custom-columns=P:.status.phase"], "Running"),
        (&["describe", "deploy", "web"], "Scaled up replica set"),
        (&["exec", "deploy/web", "--", "/bin/toolbox", "cat", "/www/healthz"], "ok"),
        (&["logs", "deploy/web"], "listening on 8080"),
        (&["label", "deploy", "web", "tier=front"], "labeled"),
        (&["annotate", "deploy", "web", "note=hello"], "annotated"),
        (&["set", "image", "deploy/web", "web=example.com/web:2"], "image updated"),
        (&["rollout", "status", "deploy/web", "--timeout=60s"], "successfully rolled out"),
        (&["rollout", "history", "deploy/web"], "2"),
        (&["rollout", "undo", "deploy/web"], "rolled back"),
        (&["rollout", "status", "deploy/web", "--timeout=60s"], "successfully rolled out"),
        (&["rollout", "restart", "deploy/web"], "restarted"),
        (&["rollout", "status", "deploy/web", "--timeout=60s"], "successfully rolled out"),
        (&["scale", "deploy/web", "--replicas=2"], "scaled"),
        (&["wait", "deploy/web", "--for=condition=Available", "--timeout=60s"], "condition met"),
        (&["expose", "deploy", "web", "--port=80", "--target-port=8080"], "exposed"),
        (&["apply", "--server-side", "--force-conflicts", "-f", file], "serverside-applied"),
        (&["explain", "deployment.spec.strategy"], "RollingUpdate"),
        (&["api-resources"], "deployments"),
        (&["auth", "can-i", "create", "pods"], "yes"),
        (&["create", "configmap", "kept", "--from-literal=a=b"], "created"),
        (&["patch", "configmap", "kept", "--type=merge", "-p", r#"{"data":{"a":"c"}}"#], "patched"),
        (&["delete", "-f", file], "deleted"),
    ];
    for (words, part) in steps {
        let output = Command::new("kubectl").args(*words).env("KUBECONFIG", machine.kubeconfig()).output()?;
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if !output.status.success() || !said.contains(part) {
            bail!("kubectl {}: {}, and {part:?} is expected in:\n{said}", words.join(" "), output.status);
        }
    }
    let refused = Command::new("kubectl")
        .args(["create", "configmap", "No_Good"])
        .env("KUBECONFIG", machine.kubeconfig())
        .output()?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(!refused.status.success() && said.contains("RFC 1123"), "a bad name is refused with {said}");
    Ok(())
}
