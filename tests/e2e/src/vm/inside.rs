//! What the machine's init process does: a root that can be left (`pivot_root` refuses the first one), the kernel's file systems and
//! modules, then the checks, and the switch off.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{ContainerState, Pod};
use kube::api::{Api, DeleteParams, PostParams};
use nix::mount::{MsFlags, mount};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::VERDICT;
use crate::machine::{Machine, PATIENCE, until};
use crate::{cluster, image, namespace};

/// Whether this process is the init of such a machine.
pub fn is_here() -> bool {
    Pid::this().as_raw() == 1 && Path::new("/bin/skiff").exists()
}

/// Never returns: an init that ends is a kernel that panics.
pub fn run() -> ! {
    let done = prepare().and_then(|()| {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(checks())
    });
    match done {
        Ok(()) => println!("{VERDICT} ok"),
        Err(error) => println!("{VERDICT} {}", format!("{error:#}").replace('\n', " | ")),
    }
    // SAFETY: no arguments are pointers; on success it does not return (reboot(2)).
    unsafe { libc::reboot(libc::RB_POWER_OFF) };
    loop {
        std::thread::park();
    }
}

fn prepare() -> Result<()> {
    let none = None::<&str>;
    fs::create_dir_all("/new")?;
    mount(Some("root"), "/new", Some("tmpfs"), MsFlags::empty(), none).context("cannot mount the root")?;
    for folder in ["bin", "lib", "lib64", "usr"] {
        let from = Path::new("/").join(folder);
        if from.exists() {
            copy(&from, &Path::new("/new").join(folder))?;
        }
    }
    copy(Path::new("/modules"), Path::new("/new/modules"))?;
    for folder in ["dev", "etc", "proc", "root", "run", "sys", "tmp", "var"] {
        fs::create_dir_all(Path::new("/new").join(folder))?;
    }
    std::env::set_current_dir("/new")?;
    mount(Some("."), "/", none, MsFlags::MS_MOVE, none).context("cannot move the root")?;
    nix::unistd::chroot(".")?;
    std::env::set_current_dir("/")?;
    for (kind, place) in
        [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("cgroup2", "/sys/fs/cgroup")]
    {
        mount(Some(kind), place, Some(kind), MsFlags::empty(), none)
            .with_context(|| format!("cannot mount {place}"))?;
    }
    fs::create_dir_all("/dev/pts")?;
    mount(Some("devpts"), "/dev/pts", Some("devpts"), MsFlags::empty(), none)
        .context("cannot mount /dev/pts")?;
    let mut modules: Vec<PathBuf> = fs::read_dir("/modules")?.flatten().map(|entry| entry.path()).collect();
    modules.sort();
    for module in &modules {
        load(module).with_context(|| format!("cannot load {}", module.display()))?;
    }
    println!("{} modules, {}", modules.len(), fs::read_to_string("/proc/version")?.trim());
    namespace::loopback_up()?;
    nix::unistd::sethostname("box")?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        fs::copy(from, to)?;
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn load(module: &Path) -> Result<()> {
    use std::os::fd::AsRawFd;
    /// MODULE_INIT_COMPRESSED_FILE (linux/module.h).
    const COMPRESSED: libc::c_int = 4;
    let flags = if module.extension().is_some_and(|end| end == "ko") { 0 } else { COMPRESSED };
    let file = fs::File::open(module)?;
    // SAFETY: the descriptor is open and the text ends with a zero; both live through the call (finit_module(2)).
    let done = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), flags) };
    match nix::errno::Errno::result(done) {
        Ok(_) | Err(nix::errno::Errno::EEXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn checks() -> Result<()> {
    let folder = Path::new("/var/skiff");
    let mut machine = Machine::new(Path::new("/bin/skiff"), folder, 6443).flags(&["--node-name", "box"]);
    image::put(&machine, "example.com/web", &["1"])?;
    let check = machine.skiff(&["check", "-o", "json"]).output()?;
    let found: Vec<Value> = serde_json::from_slice(&check.stdout)?;
    let cgroups =
        found.iter().find(|one| one["what"] == "cgroups").context("skiff check names no cgroups")?;
    ensure!(check.status.success(), "skiff check: {found:?}");
    ensure!(cgroups["found"] == "v2: cpu memory pids", "skiff check finds {cgroups}");
    let before = groups();

    let took = machine.start().await?;
    println!("the API was ready after {took:.1?}");
    let client = machine.client().await?;
    until("a Ready node", PATIENCE, async || cluster::ready_node(&client).await).await?;
    let result = pods(&mut machine).await;
    let result = result.map_err(|error| error.context(machine.log_tail(20).replace('\n', " | ")));
    result?;
    machine.stop()?;
    machine.uninstall()?;
    ensure!(groups() == before, "cgroups are left: {:?}", groups());
    println!("stopped, and nothing is left");
    Ok(())
}

/// Limits are where the kernel reads them, and it keeps them.
async fn pods(machine: &mut Machine) -> Result<()> {
    let api: Api<Pod> = Api::default_namespaced(machine.client().await?);
    let limited =
        json!({"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}});
    create(&api, "web", "Always", &["/bin/toolbox", "serve", "8080", "/www"], &limited).await?;
    create(&api, "busy", "Always", &["/bin/run", "spin:3600"], &limited).await?;
    create(&api, "greedy", "Never", &["/bin/run", "eat:256", "sleep:60"], &limited).await?;
    for name in ["web", "busy"] {
        let pod = until(&format!("the pod {name} to run"), PATIENCE, async || {
            let pod = api.get(name).await?;
            Ok(matches!(state(&pod), Some(ContainerState { running: Some(_), .. })).then_some(pod))
        })
        .await?;
        let uid = pod.metadata.uid.context("it has no uid")?;
        let group = container_group(&uid).with_context(|| format!("no cgroup of {name}"))?;
        let read = |file: &str| fs::read_to_string(group.join(file)).unwrap_or_default().trim().to_owned();
        println!("{name}: {} cpu.max={} cpu.weight={}", group.display(), read("cpu.max"), read("cpu.weight"));
        // 200m of a period of 100 ms; 100m are 102 shares, which runc makes a weight of 17.
        ensure!(read("cpu.max") == "20000 100000", "cpu.max is {:?}", read("cpu.max"));
        ensure!(read("cpu.weight") == "17", "cpu.weight is {:?}", read("cpu.weight"));
        ensure!(read("memory.max") == (64 << 20).to_string(), "memory.max is {:?}", read("memory.max"));
        ensure!(read("memory.oom.group") == "1", "memory.oom.group is {:?}", read("memory.oom.group"));
        if name == "busy" {
            until("the kernel to hold back what spins", PATIENCE, async || {
                let throttled = read("cpu.stat")
                    .lines()
                    .any(|line| line.strip_prefix("nr_throttled ").is_some_and(|count| count != "0"));
                Ok(throttled.then_some(()))
            })
            .await?;
        }
    }
    let ended = until("the greedy pod to end", PATIENCE, async || {
        Ok(state(&api.get("greedy").await?).and_then(|state| state.terminated))
    })
    .await?;
    ensure!(
        ended.reason.as_deref() == Some("OOMKilled") && ended.exit_code == 137,
        "what ate too much ended with {ended:?}"
    );
    println!("greedy: {:?}, {}", ended.reason, ended.exit_code);

    // The daemon is killed; the pod stays what it was.
    let address =
        api.get("web").await?.status.and_then(|status| status.pod_ip).context("it has no address")?;
    let page = async || cluster::get(&format!("{address}:8080")).await;
    until("the page", PATIENCE, async || Ok(page().await?.contains("version=1").then_some(()))).await?;
    machine.kill()?;
    ensure!(page().await?.contains("version=1"), "it does not serve without skiff");
    machine.start().await?;
    let api: Api<Pod> = Api::default_namespaced(machine.client().await?);
    for name in ["web", "busy", "greedy"] {
        api.delete(name, &DeleteParams::default().grace_period(1)).await?;
    }
    for name in ["web", "busy", "greedy"] {
        until(&format!("the pod {name} to be gone"), PATIENCE, async || {
            Ok(api.get_opt(name).await?.is_none().then_some(()))
        })
        .await?;
    }
    let left: Vec<_> =
        groups().into_iter().filter(|group| group.to_string_lossy().contains("/pod")).collect();
    ensure!(left.is_empty(), "cgroups of pods are left: {left:?}");
    Ok(())
}

async fn create(
    api: &Api<Pod>,
    name: &str,
    restart: &str,
    command: &[&str],
    resources: &Value,
) -> Result<()> {
    let pod = json!({
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": restart,
            "automountServiceAccountToken": false,
            "containers": [{"name": "c", "image": "example.com/web:1", "command": command, "resources": resources}],
        },
    });
    // The namespace's ServiceAccount comes a moment after the start.
    until("the pod to be taken", PATIENCE, async || {
        Ok(Some(api.create(&PostParams::default(), &serde_json::from_value(pod.clone())?).await?))
    })
    .await?;
    Ok(())
}

fn state(pod: &Pod) -> Option<ContainerState> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.clone()
}

/// All cgroups.
fn groups() -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/sys/fs/cgroup")];
    let mut at = 0;
    while let Some(folder) = found.get(at).cloned() {
        let below = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        found.extend(below.filter(|path| path.is_dir()));
        at += 1;
    }
    found.sort();
    found
}

/// The cgroup of a pod's only container: below the pod's, with a process in it.
fn container_group(uid: &str) -> Option<PathBuf> {
    groups().into_iter().find(|group| {
        group.parent().and_then(Path::file_name).is_some_and(|name| name.to_string_lossy().contains(uid))
            && fs::read_to_string(group.join("cgroup.procs")).is_ok_and(|text| !text.is_empty())
    })
}
