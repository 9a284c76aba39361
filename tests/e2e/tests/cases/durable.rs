//! What was acknowledged is there after the server was killed.

use anyhow::{Result, ensure};
use e2e::Machine;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PostParams};
use serde_json::json;

pub async fn configmap(machine: &mut Machine) -> Result<()> {
    machine.start().await?;
    let api: Api<ConfigMap> = Api::default_namespaced(machine.client().await?);
    let object = serde_json::from_value(json!({"metadata": {"name": "kept"}, "data": {"key": "value"}}))?;
    let made = api.create(&PostParams::default(), &object).await?;
    machine.kill()?;
    machine.start().await?;
    let api: Api<ConfigMap> = Api::default_namespaced(machine.client().await?);
    let found = api.get("kept").await?;
    ensure!(found == made, "it was {made:?}, it is {found:?}");
    machine.stop()?;
    Ok(())
}
