//! A wrong manifest, a wrong image, a wrong repository: what each tells its user, where they look for it.

use anyhow::{Context, Result, ensure};
use e2e::git::Repository;
use e2e::{Machine, cluster, image, machine::PATIENCE, until};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{Api, ListParams, PostParams};
use serde_json::{Value, json};

use super::application;

pub async fn told(machine: &mut Machine) -> Result<()> {
    image::put(machine, "example.com/web", &["1"])?;
    machine.start().await?;
    let client = machine.client().await?;
    manifests(&client).await?;
    until("a Ready node", PATIENCE, async || cluster::ready_node(&client).await).await?;
    images(machine, &client).await?;
    repositories(machine, &client).await
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "example.com/web:1"}]},
            },
        },
    })
}

/// What `kubectl apply` would be answered, with its strict validation.
async fn manifests(client: &kube::Client) -> Result<()> {
    type Mistake = fn(&mut Value);
    let mistakes: [(Mistake, u16, &str); 6] = [
        (|it| it["spec"]["replica"] = json!(2), 400, "unknown field \"spec.replica\""),
        (|it| it["spec"]["replicas"] = json!("two"), 400, "replicas"),
        (
            |it| it["spec"]["replicas"] = json!(-1),
            422,
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            |it| it["spec"]["selector"]["matchLabels"]["app"] = json!("shop"),
            422,
            "`selector` does not match template `labels`",
        ),
        (|it| it["metadata"]["name"] = json!("Web_1"), 422, "RFC 1123 subdomain"),
        (
            |it| {
                drop(
                    it["spec"]["template"]["spec"]["containers"][0]
                        .as_object_mut()
                        .map(|one| one.remove("name")),
                )
            },
            422,
            "spec.template.spec.containers[0].name: Required value",
        ),
    ];
    for (mistake, code, part) in mistakes {
        let mut wrong = deployment();
        mistake(&mut wrong);
        let path = "/apis/apps/v1/namespaces/default/deployments?fieldValidation=Strict";
        let request = http::Request::post(path)
            .header("content-type", "application/json")
            .body(serde_json::to_vec(&wrong)?)?;
        match client.request::<Value>(request).await {
            Err(kube::Error::Api(status)) => ensure!(
                status.code == code && status.message.contains(part),
                "{code} with {part:?} is expected, it is {} with {:?}",
                status.code,
                status.message
            ),
            other => anyhow::bail!("{part:?} is expected for {wrong}, it is {other:?}"),
        }
    }
    Ok(())
}

/// An image that is nowhere, a name that is none, a command that the image does not have.
async fn images(machine: &Machine, client: &kube::Client) -> Result<()> {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let inbox = machine.images().display().to_string();
    let absent = json!({"name": "c", "image": "registry.invalid/none:1"});
    let cases = [
        ("absent", absent, vec!["ErrImagePull", "ImagePullBackOff"], inbox.as_str()),
        ("unnamed", json!({"name": "c", "image": "Not A Name"}), vec!["InvalidImageName"], "Not A Name"),
        (
            "commandless",
            json!({"name": "c", "image": "example.com/web:1", "command": ["/bin/no-such"]}),
            vec!["RunContainerError", "CrashLoopBackOff", "StartError"],
            "/bin/no-such",
        ),
    ];
    for (name, container, reasons, part) in cases {
        let pod = json!({"metadata": {"name": name}, "spec": {"automountServiceAccountToken": false, "containers": [container]}});
        pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
        let told = until(&format!("the pod {name} to tell what is wrong"), PATIENCE, async || {
            let status = pods.get_status(name).await?.status.unwrap_or_default();
            let container = status.container_statuses.unwrap_or_default().pop();
            let container = container.context("the container has no status")?;
            let texts = [container.state, container.last_state].into_iter().flatten().flat_map(|state| {
                let waiting = state.waiting.and_then(|it| Some((it.reason?, it.message.unwrap_or_default())));
                let ended =
                    state.terminated.and_then(|it| Some((it.reason?, it.message.unwrap_or_default())));
                waiting.into_iter().chain(ended)
            });
            Ok(texts
                .into_iter()
                .find(|(reason, message)| reasons.contains(&reason.as_str()) && message.contains(part)))
        })
        .await
        .with_context(|| format!("{part:?} of one of {reasons:?}"))?;
        eprintln!("    {name}: {}: {}", told.0, told.1);
        let events: Api<Event> = Api::default_namespaced(client.clone());
        let of_pod = ListParams::default().fields(&format!("involvedObject.name={name},type=Warning"));
        until(&format!("a warning event of the pod {name} with {part:?}"), PATIENCE, async || {
            let all = events.list(&of_pod).await?.items;
            Ok(all.iter().any(|one| one.message.as_deref().unwrap_or("").contains(part)).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// A repository that is not there, a branch that is not in it, YAML that is none.
async fn repositories(machine: &Machine, client: &kube::Client) -> Result<()> {
    let nowhere = machine.data().with_file_name("nowhere.git");
    let applications =
        application::apply(client, "nowhere", &format!("file://{}", nowhere.display())).await?;
    says(application::complaint(&applications, "nowhere").await?, "nowhere.git")?;
    application::apply(client, "unreachable", "https://git.invalid/site.git").await?;
    says(application::complaint(&applications, "unreachable").await?, "git.invalid")?;
    let empty = Repository::init(&machine.data().with_file_name("empty.git"))?;
    application::apply(client, "empty", &format!("file://{}", empty.path().display())).await?;
    says(application::complaint(&applications, "empty").await?, "main")?;
    let broken = Repository::init(&machine.data().with_file_name("broken.git"))?;
    broken
        .commit("Broken", &[("k8s/map.yaml", Some("apiVersion: v1\nkind: ConfigMap\nmetadata: [name\n"))])?;
    application::apply(client, "broken", &format!("file://{}", broken.path().display())).await?;
    says(application::complaint(&applications, "broken").await?, "map.yaml")
}

fn says(told: String, part: &str) -> Result<()> {
    eprintln!("    {told}");
    ensure!(told.contains(part), "{part:?} is expected in {told:?}");
    Ok(())
}
