//! A disk that is full: the write that does not fit is refused and says why, everything before it is kept and can be read, the
//! status tells it, and room is all that is needed to go on. A start without room says so too.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use e2e::{Machine, machine::PATIENCE, until};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, PostParams};
use nix::mount::{MsFlags, mount};
use serde_json::json;

/// Bytes of each object.
const SIZE: usize = 256 << 10;

pub async fn refuses_and_keeps(machine: &mut Machine) -> Result<()> {
    machine.add_flags(&["--disable-agent", "--disable", "fleet"]);
    let state = machine.data().join("server");
    std::fs::create_dir_all(&state)?;
    disk(&state, "24m", MsFlags::empty())?;
    machine.start().await?;
    let maps: Api<ConfigMap> = Api::default_namespaced(machine.client().await?);

    let (kept, refusal) = fill(&maps).await?;
    eprintln!("    {kept} objects fit; then: {} {}", refusal.code, refusal.message);
    ensure!(refusal.code == 507, "a full disk is told with {}", refusal.code);
    ensure!(refusal.message.contains("no space left on the disk"), "it says {:?}", refusal.message);
    present(&maps, kept).await?;
    until("skiff status to tell of the full disk", PATIENCE, async || {
        let status = machine.skiff(&["status"]).output()?;
        let said = String::from_utf8_lossy(&status.stdout).into_owned();
        Ok((status.status.code() == Some(1) && said.contains("no space left on the disk")).then_some(()))
    })
    .await?;

    // Room is enough: no restart is needed.
    disk(&state, "64m", MsFlags::MS_REMOUNT)?;
    create(&maps, kept).await.context("with room again")?;
    until("skiff status to be good again", PATIENCE, async || {
        Ok(machine.skiff(&["status"]).output()?.status.success().then_some(()))
    })
    .await?;
    let (kept, _) = fill_from(&maps, kept + 1).await?;

    // Killed on a full disk, and started on it: what is there can be read.
    machine.kill()?;
    let filler = state.join("filler");
    let _full = std::fs::write(&filler, vec![1; 64 << 20]);
    let free = nix::sys::statvfs::statvfs(&state)?.blocks_free();
    ensure!(free == 0, "{free} blocks are left");
    machine.start().await.context("on a full disk")?;
    present(&Api::default_namespaced(machine.client().await?), kept).await?;
    std::fs::remove_file(filler)?;
    disk(&state, "96m", MsFlags::MS_REMOUNT)?;
    let maps: Api<ConfigMap> = Api::default_namespaced(machine.client().await?);
    create(&maps, kept).await.context("with room for the second time")?;
    machine.stop()?;
    Ok(())
}

/// A first start without room says so, and the next one with room is like a first.
pub async fn stops_a_first_start(machine: &mut Machine) -> Result<()> {
    machine.add_flags(&["--disable-agent", "--disable", "fleet"]);
    let state = machine.data().join("server");
    std::fs::create_dir_all(&state)?;
    let data = machine.data().display().to_string();
    let words = ["server", "--data-dir", &data, "--https-listen-port", "16443", "--disable-agent"];
    for (at, size) in ["64k", "100k", "400k"].into_iter().enumerate() {
        disk(&state, size, if at == 0 { MsFlags::empty() } else { MsFlags::MS_REMOUNT })?;
        let output = machine.skiff(&words).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success(), "it starts on a disk of {size}");
        let last = said.lines().last().unwrap_or_default().to_lowercase();
        ensure!(last.contains("no space left on"), "on a disk of {size} it says {said:?}");
        eprintln!("    {size}: {last}");
    }
    disk(&state, "24m", MsFlags::MS_REMOUNT)?;
    machine.start().await?;
    create(&Api::default_namespaced(machine.client().await?), 0).await
}

/// A file system of this size, in memory.
fn disk(at: &Path, size: &str, flags: MsFlags) -> Result<()> {
    mount(Some("tmpfs"), at, Some("tmpfs"), flags, Some(format!("size={size},mode=700").as_str()))
        .with_context(|| format!("cannot mount {}", at.display()))
}

async fn create(maps: &Api<ConfigMap>, number: usize) -> Result<()> {
    // Each is another text: what is refused is not what was there before.
    let data = format!("{number:08}").repeat(SIZE / 8);
    let map = json!({"metadata": {"name": format!("m{number:04}")}, "data": {"text": data}});
    maps.create(&PostParams::default(), &serde_json::from_value(map)?).await?;
    Ok(())
}

/// Creates objects until one is refused: how many are there, and the refusal.
async fn fill(maps: &Api<ConfigMap>) -> Result<(usize, kube::core::Status)> {
    fill_from(maps, 0).await
}

async fn fill_from(maps: &Api<ConfigMap>, first: usize) -> Result<(usize, kube::core::Status)> {
    for number in first..1000 {
        match create(maps, number).await.map_err(|error| error.downcast::<kube::Error>()) {
            Ok(()) => {}
            Err(Ok(kube::Error::Api(status))) => return Ok((number, *status)),
            Err(Ok(error)) => return Err(error.into()),
            Err(Err(error)) => return Err(error),
        }
    }
    bail!("a thousand objects fit on a small disk")
}

/// Exactly the first objects are there, whole.
async fn present(maps: &Api<ConfigMap>, count: usize) -> Result<()> {
    let all = maps.list(&ListParams::default()).await?.items;
    let ours: Vec<_> = all
        .iter()
        .filter_map(|map| {
            let number = map.metadata.name.as_deref()?.strip_prefix('m')?.parse::<usize>().ok()?;
            Some((number, map.data.as_ref()?.get("text")?))
        })
        .collect();
    ensure!(ours.len() == count, "{} of {count} objects are there", ours.len());
    for (at, (number, text)) in ours.into_iter().enumerate() {
        ensure!(
            at == number && *text == format!("{number:08}").repeat(SIZE / 8),
            "object {number} is damaged"
        );
    }
    Ok(())
}
