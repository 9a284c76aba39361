//! A runtime in scratch folders, and waiting for what tests wait for. Nothing is left when it is dropped.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use runtime::linux::{Config, Linux};
use runtime::{ContainerSpec, ContainerStatus, Error, Runtime, SandboxSpec, SandboxStatus, State};

pub struct Bench {
    pub runtime: Arc<Linux>,
    held: Scratch,
}

/// What a test made, with no daemon over it.
pub struct Scratch {
    folder: Option<tempfile::TempDir>,
    config: Config,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Bench {
    /// `None` where containers cannot be made.
    pub async fn open() -> Option<Bench> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("SKIPPED: containers need root; run this test as root to prove anything");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut config = Config::new(folder.path().join("state"), folder.path().join("run"));
        config.cgroup = format!("skiff-test-{}-{number}", std::process::id());
        unpack_toolbox(&folder.path().join("layer"));
        let held = Scratch { folder: Some(folder), config };
        Some(held.reopen().await)
    }

    pub fn root(&self) -> &Path {
        self.held.folder.as_ref().unwrap().path()
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.root().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    pub async fn sandbox(&self, uid: &str) -> SandboxStatus {
        self.sandbox_with(uid, |_| {}).await
    }

    pub async fn sandbox_with(&self, uid: &str, change: impl FnOnce(&mut SandboxSpec)) -> SandboxStatus {
        let mut spec = SandboxSpec {
            uid: uid.into(),
            namespace: "default".into(),
            name: uid.into(),
            hostname: format!("host-{uid}"),
            cgroup_parent: format!("besteffort/pod{uid}"),
            log_dir: self.root().join("logs").join(uid),
            ..SandboxSpec::default()
        };
        change(&mut spec);
        self.runtime.run_sandbox(spec).await.unwrap_or_else(|error| panic!("{}", base::chain(&error)))
    }

    pub fn spec(&self, pod: &SandboxStatus, name: &str, args: &[&str]) -> ContainerSpec {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        ContainerSpec {
            id: format!("{name}{number:08}"),
            sandbox: pod.spec.uid.clone(),
            name: name.into(),
            attempt: 0,
            image: "toolbox".into(),
            image_id: "sha256:0".into(),
            layers: vec![self.root().join("layer")],
            command: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: vec![("PATH".into(), "/bin".into())],
            working_dir: "/".into(),
            mounts: vec![],
            devices: vec![],
            security: Default::default(),
            resources: Default::default(),
            tty: false,
            stdin: false,
            stdin_once: false,
            log_path: format!("{name}{number}.log").into(),
            beside: None,
            labels: Default::default(),
            annotations: Default::default(),
        }
    }

    pub async fn create(&self, pod: &SandboxStatus, name: &str, args: &[&str]) -> String {
        let spec = self.spec(pod, name, args);
        let id = spec.id.clone();
        self.runtime.create_container(spec).await.unwrap_or_else(|error| panic!("{}", base::chain(&error)));
        id
    }

    pub async fn start(&self, pod: &SandboxStatus, name: &str, args: &[&str]) -> String {
        let id = self.create(pod, name, args).await;
        self.runtime.start_container(&id).await.unwrap_or_else(|error| panic!("{}", base::chain(&error)));
        id
    }

    pub async fn state(&self, id: &str) -> State {
        self.runtime.container(id).await.unwrap().state
    }

    /// Waits for events until the container has ended.
    pub async fn exited(&self, id: &str) -> ContainerStatus {
        let mut events = self.runtime.events();
        let wait = async {
            loop {
                let status = self.runtime.container(id).await.unwrap();
                if status.state == State::Exited {
                    return status;
                }
                events.recv().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the container does not end")
    }

    pub fn log(&self, id: &str) -> PathBuf {
        let name: String = id.trim_end_matches(|character: char| character.is_ascii_digit()).into();
        let number: u32 = id[name.len()..].parse().unwrap();
        self.root().join("logs/a").join(format!("{name}{number}.log"))
    }

    /// Waits until the log holds `text`.
    pub async fn wait_log(&self, id: &str, text: &str) {
        let path = self.log(id);
        wait_for(|| std::fs::read_to_string(&path).is_ok_and(|log| log.contains(text))).await;
    }

    pub async fn exec_code(&self, id: &str, command: &[&str]) -> (i32, String) {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let (code, output) = self
            .runtime
            .exec_sync(id, command, Duration::from_secs(20))
            .await
            .unwrap_or_else(|error| panic!("{}", base::chain(&error)));
        (code, String::from_utf8_lossy(&output).into_owned())
    }

    pub async fn exec(&self, id: &str, command: &[&str]) -> String {
        self.exec_code(id, command).await.1
    }

    /// As if the daemon had been killed: nobody stops anything.
    pub fn forget(self) -> Scratch {
        self.held
    }

    /// No cgroup of a pod and no file of one.
    pub fn nothing_left(&self) -> bool {
        std::fs::read_dir(&self.held.config.root).unwrap().next().is_none()
    }
}

impl Scratch {
    pub async fn reopen(self) -> Bench {
        let runtime =
            Linux::open(self.config.clone()).await.unwrap_or_else(|error| panic!("{}", base::chain(&error)));
        Bench { runtime, held: self }
    }

    pub async fn wait_status_file(&self, uid: &str, id: &str) {
        let path = self.config.root.join(uid).join("containers").join(id).join("status.json");
        wait_for(|| std::fs::read_to_string(&path).is_ok_and(|text| text.contains("Exited"))).await;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Some(folder) = self.folder.take() else { return };
        let config = self.config.clone();
        // A runtime of its own, because the test's may be gone or about to unwind.
        let cleaner = std::thread::spawn(move || {
            let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            tokio.block_on(async {
                let runtime = Linux::open(config.clone()).await.unwrap();
                for pod in runtime.list().await.unwrap() {
                    let removed = runtime.remove_sandbox(&pod.spec.uid).await;
                    removed.unwrap_or_else(|error| {
                        eprintln!("a test leaves {}: {}", pod.spec.uid, base::chain(&error))
                    });
                }
            });
            remove_cgroups(&config.cgroup);
        });
        let _ = cleaner.join();
        drop(folder);
    }
}

fn remove_cgroups(name: &str) {
    let remove = |path: &Path| {
        let mut folders = vec![path.to_owned()];
        let mut next = 0;
        while next < folders.len() {
            let below = std::fs::read_dir(&folders[next]).into_iter().flatten().flatten();
            folders.extend(below.filter(|entry| entry.path().is_dir()).map(|entry| entry.path()));
            next += 1;
        }
        // A shim that has answered its last request needs a moment to leave.
        for folder in folders.iter().rev() {
            for _ in 0..500 {
                if std::fs::remove_dir(folder).is_ok() || !folder.exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    };
    remove(&Path::new("/sys/fs/cgroup").join(name));
    for entry in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
        remove(&entry.path().join(name));
    }
}

/// Waits until a process is dead and buried, by whoever inherited it.
pub async fn wait_gone(pid: i32) {
    let path = format!("/proc/{pid}");
    wait_for(|| !Path::new(&path).exists()).await;
}

async fn wait_for(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the condition does not come");
}

fn unpack_toolbox(layer: &Path) {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use testkit::image::{Entry, Image};
    for (path, entry) in Image::toolbox("toolbox").layers.remove(0) {
        let path = layer.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match entry {
            Entry::File(bytes, mode) => {
                std::fs::write(&path, bytes).unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            }
            Entry::Folder(mode) => {
                std::fs::create_dir_all(&path).unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            }
            Entry::Link(target) => symlink(target, &path).unwrap(),
            other => panic!("the toolbox has {other:?}"),
        }
    }
}

pub fn expect_container(error: Error) -> String {
    match error {
        Error::Container { message, .. } => message,
        other => panic!("{}", base::chain(&other)),
    }
}

pub fn log_text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// Lines of a log without their times.
pub fn log_lines(path: &Path) -> Vec<String> {
    log_text(path).lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
}
