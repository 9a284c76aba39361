//! What a pod costs on this machine: time to Running, one by one and many at once, and memory of a shim.
//!
//! `cargo run --release -p runtime --example measure -- [pods]`, as root.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::linux::{Config, Linux};
use runtime::{ContainerSpec, Runtime, SandboxSpec};

#[tokio::main]
async fn main() {
    let count: usize = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(30);
    let folder = tempfile::tempdir().unwrap();
    let layer = folder.path().join("layer/bin");
    std::fs::create_dir_all(&layer).unwrap();
    std::fs::write(layer.join("toolbox"), testkit::TOOLBOX).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(layer.join("toolbox"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut config = Config::new(folder.path().join("state"), folder.path().join("run"));
    config.cgroup = format!("skiff-measure-{}", std::process::id());
    let runtime = Linux::open(config.clone()).await.unwrap();
    println!("shim: {} bytes", runtime::linux::SHIM.len());
    let mut times = Vec::new();
    for number in 0..count {
        tokio::time::sleep(Duration::from_millis(100)).await; // as pods come to an idle machine
        times.push(start(&runtime, folder.path(), format!("one{number}")).await);
    }
    times.sort();
    let of = |part: usize| {
        times.iter().map(|(total, sandbox)| (*total, *sandbox)).nth(times.len() * part / 100).unwrap()
    };
    println!("one by one: p50 {:?} (sandbox {:?}), p99 {:?}", of(50).0, of(50).1, times[times.len() - 1].0);
    let (mut total, mut pods) = (0, 0);
    for pod in runtime.list().await.unwrap() {
        total += pss(pod.shim_pid.unwrap());
        pods += 1;
    }
    println!("shims: {} kB of memory (PSS) each over {pods} pods", total / pods);
    let begin = Instant::now();
    let all = (0..count).map(|number| {
        let (runtime, folder) = (runtime.clone(), folder.path().to_owned());
        tokio::spawn(async move { start(&runtime, &folder, format!("many{number}")).await })
    });
    for task in all.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    println!("{count} at once: {:?}", begin.elapsed());
    let begin = Instant::now();
    for pod in runtime.list().await.unwrap() {
        runtime.remove_sandbox(&pod.spec.uid).await.unwrap();
    }
    println!("{} removed one by one: {:?}", pods as usize + count, begin.elapsed());
    drop(runtime);
    for root in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        for path in [root.path().join(&config.cgroup).join("shims"), root.path().join(&config.cgroup)] {
            let _ = std::fs::remove_dir(path); // a hierarchy without it, or a shim that is just leaving
        }
    }
}

async fn start(runtime: &Arc<Linux>, folder: &Path, uid: String) -> (Duration, Duration) {
    let begin = Instant::now();
    let spec = SandboxSpec {
        uid: uid.clone(),
        hostname: uid.clone(),
        cgroup_parent: format!("pod{uid}"),
        log_dir: folder.join("logs").join(&uid),
        ..SandboxSpec::default()
    };
    runtime.run_sandbox(spec).await.unwrap();
    let sandbox = begin.elapsed();
    let spec = ContainerSpec {
        id: format!("c{uid}"),
        sandbox: uid,
        name: "c".into(),
        attempt: 0,
        image: String::new(),
        image_id: String::new(),
        layers: vec![folder.join("layer")],
        command: vec!["/bin/toolbox".into(), "pause".into()],
        env: vec![],
        working_dir: String::new(),
        mounts: vec![],
        devices: vec![],
        security: Default::default(),
        resources: Default::default(),
        tty: false,
        stdin: false,
        stdin_once: false,
        log_path: "c.log".into(),
        beside: None,
        labels: Default::default(),
        annotations: Default::default(),
    };
    let id = spec.id.clone();
    runtime.create_container(spec).await.unwrap();
    runtime.start_container(&id).await.unwrap();
    (begin.elapsed(), sandbox)
}

/// Proportional set size in kB.
fn pss(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").trim().parse().ok()).unwrap_or(0)
}
