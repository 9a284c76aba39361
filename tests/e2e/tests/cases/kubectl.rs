//! An unmodified kubectl, as a person uses it: every one that is to be had (the one on the PATH, those of `SKIFF_KUBECTL`).
//! Without any this says that it could not run.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
use e2e::{Machine, cluster, image, machine::PATIENCE, until};

/// Paths of kubectls besides the one on the PATH, separated by colons.
const KUBECTLS: &str = "SKIFF_KUBECTL";

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

/// A pod that answers what it is told.
const ECHO: &str = "apiVersion: v1
kind: Pod
metadata:
  name: echo
spec:
  terminationGracePeriodSeconds: 1
  restartPolicy: Never
  containers:
  - {name: echo, image: example.com/web:1, command: [/bin/cat], stdin: true, stdinOnce: true}
";

pub async fn everyday(machine: &mut Machine) -> Result<()> {
    let programs = programs()?;
    if programs.is_empty() {
        eprintln!("COULD NOT RUN: there is no kubectl on the PATH, and {KUBECTLS} names none");
        return Ok(());
    }
    image::put(machine, "example.com/web", &["1", "2"])?;
    machine.start().await?;
    let client = machine.client().await?;
    until("a Ready node", PATIENCE, async || cluster::ready_node(&client).await).await?;
    for program in programs {
        let folder = machine.data().with_file_name("kubectl");
        std::fs::create_dir_all(&folder)?;
        let kubectl = Kubectl { program, kubeconfig: machine.kubeconfig(), folder: folder.clone() };
        let version = kubectl.run(&["version", "--client"], None)?;
        let version = String::from_utf8_lossy(&version.stdout).lines().next().unwrap_or_default().to_owned();
        eprintln!("    {version}");
        whole_list(&kubectl).await.with_context(|| format!("with {version}"))?;
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

/// All that can be found; a path that is named and not there is an error.
fn programs() -> Result<Vec<PathBuf>> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path =
        std::env::split_paths(&path).map(|folder| folder.join("kubectl")).find(|file| file.is_file());
    let mut found = Vec::from_iter(on_path);
    let named = std::env::var_os(KUBECTLS).unwrap_or_default();
    for named in std::env::split_paths(&named).filter(|named| !named.as_os_str().is_empty()) {
        ensure!(named.is_file(), "{KUBECTLS} names {}, which is not there", named.display());
        found.push(named);
    }
    if found.len() < 2 {
        eprintln!("COULD NOT RUN: with a second version of kubectl; name one in {KUBECTLS}");
    }
    Ok(found)
}

struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    /// A folder for files.
    folder: PathBuf,
}

impl Kubectl {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).env("KUBECONFIG", &self.kubeconfig).current_dir(&self.folder);
        // The editor of `edit`: a line of sed. And no colours or cached discovery of another test's.
        command.env("KUBE_EDITOR", "sed -i s/hello/goodbye/").env("HOME", &self.folder);
        command
    }

    fn run(&self, words: &[&str], input: Option<&str>) -> Result<Output> {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        let mut stdin = child.stdin.take().context("because it is piped")?;
        stdin.write_all(input.unwrap_or_default().as_bytes())?;
        drop(stdin);
        Ok(child.wait_with_output()?)
    }

    /// Runs it; it must succeed and say `part`.
    fn says(&self, words: &[&str], input: Option<&str>, part: &str) -> Result<()> {
        let output = self.run(words, input)?;
        let said = said(&output);
        if !output.status.success() || !said.contains(part) {
            bail!("kubectl {}: {}, and {part:?} is expected in:\n{said}", words.join(" "), output.status);
        }
        Ok(())
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn whole_list(kubectl: &Kubectl) -> Result<()> {
    let file = |name: &str, text: &str| -> Result<String> {
        let path = kubectl.folder.join(name);
        std::fs::write(&path, text)?;
        Ok(path.to_str().context("the folder's name is no text")?.to_owned())
    };
    let (web, echo) = (file("web.yaml", MANIFEST)?, file("echo.yaml", ECHO)?);
    let (web, echo) = (web.as_str(), echo.as_str());
    // In order: what is said, and what the answer must have in it.
    let steps: &[(&[&str], &str)] = &[
        (&["apply", "-f", web], "deployment.apps/web created"),
        (&["apply", "-f", web], "deployment.apps/web unchanged"),
        (&["rollout", "status", "deploy/web", "--timeout=60s"], "successfully rolled out"),
        (&["get", "deploy", "web", "-o", "wide"], "example.com/web:1"),
        (&["get", "deploy", "web", "-o", "yaml"], "image: example.com/web:1"),
        (&["get", "deploy", "web", "-o", "json"], "\"image\": \"example.com/web:1\""),
        (&["get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].status.phase}"], "Running"),
        (&["get", "pods", "-o", "custom-columns=P:.status.phase"], "Running"),
        (&["describe", "deploy", "web"], "Scaled up replica set"),
        (&["exec", "deploy/web", "--", "/bin/toolbox", "cat", "/www/healthz"], "ok"),
        (&["logs", "deploy/web"], "listening on 8080"),
        (&["label", "deploy", "web", "tier=front"], "labeled"),
        (&["annotate", "deploy", "web", "note=hello"], "annotated"),
        (&["edit", "deploy", "web"], "edited"),
        (&["get", "deploy", "web", "-o", "jsonpath={.metadata.annotations.note}"], "goodbye"),
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
        (&["apply", "--server-side", "--force-conflicts", "-f", web], "serverside-applied"),
        (&["explain", "deployment.spec.strategy"], "RollingUpdate"),
        (&["api-resources"], "deployments"),
        (&["auth", "can-i", "create", "pods"], "yes"),
        (&["create", "configmap", "kept", "--from-literal=a=b"], "created"),
        (&["patch", "configmap", "kept", "--type=merge", "-p", r#"{"data":{"a":"c"}}"#], "patched"),
        (&["apply", "-f", echo], "pod/echo created"),
        (&["wait", "pod/echo", "--for=condition=Ready", "--timeout=60s"], "condition met"),
    ];
    for (words, part) in steps {
        kubectl.says(words, None, part)?;
    }
    kubectl.says(&["exec", "-i", "echo", "--", "/bin/cat"], Some("through exec\n"), "through exec")?;
    kubectl.says(&["attach", "-i", "echo"], Some("through attach\n"), "through attach")?;
    let run = [
        "run",
        "once",
        "--rm",
        "-i",
        "--restart=Never",
        "--image=example.com/web:1",
        "--command",
        "--",
        "/bin/cat",
    ];
    kubectl.says(&run, Some("through run\n"), "through run")?;
    kubectl.says(&run, Some("and again\n"), "pod \"once\" deleted")?;
    differs(kubectl, web)?;
    copies(kubectl).await?;
    forwards(kubectl).await?;
    let refused = kubectl.run(&["create", "configmap", "No_Good"], None)?;
    ensure!(
        !refused.status.success() && said(&refused).contains("RFC 1123"),
        "a bad name is refused with {}",
        said(&refused)
    );
    for (words, part) in [
        (&["delete", "-f", web, "-f", echo] as &[&str], "deployment.apps \"web\" deleted"),
        (&["delete", "configmap/kept", "service/web"], "configmap \"kept\" deleted"),
        (&["wait", "pods", "--all", "--for=delete", "--timeout=60s"], ""),
    ] {
        kubectl.says(words, None, part)?;
    }
    Ok(())
}

/// `diff` exits with 1 and shows what would change; nothing changes.
fn differs(kubectl: &Kubectl, web: &str) -> Result<()> {
    let changed = MANIFEST.replace("terminationGracePeriodSeconds: 1", "terminationGracePeriodSeconds: 2");
    std::fs::write(web, changed)?;
    let output = kubectl.run(&["diff", "-f", web], None)?;
    let said = said(&output);
    ensure!(output.status.code() == Some(1), "kubectl diff: {}: {said}", output.status);
    for line in ["-      terminationGracePeriodSeconds: 1", "+      terminationGracePeriodSeconds: 2"] {
        ensure!(said.contains(line), "{line:?} is expected in:\n{said}");
    }
    std::fs::write(web, MANIFEST)?;
    Ok(())
}

/// A folder into a container and a file out of it.
async fn copies(kubectl: &Kubectl) -> Result<()> {
    let from = kubectl.folder.join("there");
    std::fs::create_dir_all(from.join("inner"))?;
    std::fs::write(from.join("inner/file"), "carried\n")?;
    // The applied manifest has one replica: the pods that it took away may still be ending.
    let pod = until("one pod of web", PATIENCE, async || {
        let names = ["get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}"];
        let names = String::from_utf8(kubectl.run(&names, None)?.stdout)?;
        Ok((names.split_whitespace().count() == 1).then_some(names))
    })
    .await?;
    kubectl.says(&["cp", "there", &format!("{pod}:/tmp/there")], None, "")?;
    kubectl.says(&["exec", &pod, "--", "/bin/cat", "/tmp/there/inner/file"], None, "carried")?;
    kubectl.says(&["cp", &format!("{pod}:/tmp/there/inner/file"), "back"], None, "")?;
    let back = std::fs::read_to_string(kubectl.folder.join("back"))?;
    ensure!(back == "carried\n", "kubectl cp brought back {back:?}");
    Ok(())
}

/// `port-forward` to a Deployment's pod.
async fn forwards(kubectl: &Kubectl) -> Result<()> {
    struct Ends(Child);
    impl Drop for Ends {
        fn drop(&mut self) {
            let _gone = self.0.kill();
            let _gone = self.0.wait();
        }
    }
    let mut command = kubectl.command(&["port-forward", "deploy/web", "18080:8080"]);
    let _running = Ends(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?);
    until("the forwarded port to answer", PATIENCE, async || {
        Ok(cluster::get("127.0.0.1:18080").await?.contains("version=1").then_some(()))
    })
    .await
}
