//! Tests of the pod's plan and status, as data.

use jiff::Timestamp;
use runtime::{ContainerStatus, SandboxSpec, SandboxStatus, State};
use serde_json::{Value, json};

use super::memory::{Ending, Stage};
use super::*;

const NOW: i64 = 1_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW + seconds).unwrap()
}

fn pod(spec: Value) -> Pod {
    serde_json::from_value(
        json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u", "generation": 1}, "spec": spec}),
    )
    .unwrap()
}

/// `("web", 0, "running")`, `("web", 0, "exit 1")`; ended ones did so 3 s ago.
fn sandbox(containers: &[(&str, u32, &str)]) -> SandboxStatus {
    let containers = containers.iter().map(|(name, attempt, state)| {
        let code = state.strip_prefix("exit ").map(|code| code.parse().unwrap());
        ContainerStatus {
            id: format!("{name}-{attempt}"),
            sandbox: "u".into(),
            name: (*name).into(),
            attempt: *attempt,
            image: "img".into(),
            image_id: "img@sha256:1".into(),
            state: match (*state, code) {
                (_, Some(_)) => State::Exited,
                ("running", _) => State::Running,
                _ => State::Created,
            },
            pid: None,
            created: at(-10),
            started: Some(at(-9)),
            finished: code.map(|_| at(-3)),
            exit_code: code,
            reason: String::new(),
            message: String::new(),
            resources: None,
            log_path: "x".into(),
            labels: Default::default(),
            annotations: Default::default(),
        }
    });
    SandboxStatus {
        spec: SandboxSpec { uid: "u".into(), ..SandboxSpec::default() },
        ready: true,
        created: at(-20),
        shim_pid: None,
        containers: containers.collect(),
    }
}

fn ready() -> Memory {
    Memory {
        volumes: Stage::Done,
        ips: vec!["10.42.0.5".parse().unwrap()],
        seen: Some(at(-30)),
        ..Memory::default()
    }
}

struct Case {
    pod: Pod,
    sandbox: Option<SandboxStatus>,
    memory: Memory,
    gone: bool,
}

impl Case {
    fn new(spec: Value, containers: &[(&str, u32, &str)]) -> Case {
        Case { pod: pod(spec), sandbox: Some(sandbox(containers)), memory: ready(), gone: false }
    }

    fn plan(&self) -> Plan {
        plan(&View {
            pod: &self.pod,
            gone: self.gone,
            sandbox: self.sandbox.as_ref(),
            memory: &self.memory,
            host_ips: &["192.168.0.2".parse().unwrap()],
            now: at(0),
            backoff_limit: Duration::from_secs(300),
            node_memory: 1 << 32,
            pids_limit: -1,
        })
    }

    /// Actions in short: `start web/1`, `stop web 30s`, without the report that every new status brings.
    fn actions(&self) -> Vec<String> {
        let short = |action: &Action| match action {
            Action::SetUpVolumes => "volumes".to_owned(),
            Action::RunSandbox { attempt } => format!("sandbox {attempt}"),
            Action::Start { name, attempt } => format!("start {name}/{attempt}"),
            Action::Stop { name, grace, .. } => format!("stop {name} {}s", grace.as_secs()),
            Action::Remove { id } => format!("remove {id}"),
            Action::Close => "close".into(),
            Action::Report => "report".into(),
            Action::Delete => "delete".into(),
            Action::Forget => "forget".into(),
            Action::Resize(change) => format!("resize {}", change.containers.len()),
            Action::Probe { name, kind, .. } => format!("probe {name} {kind:?}"),
        };
        self.plan().actions.iter().map(short).filter(|text| text != "report").collect()
    }

    fn told(&self) -> Value {
        let status = self.plan().status;
        let list = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
        let states: Vec<String> = list
            .map(|one| {
                let state = one.state.clone().unwrap_or_default();
                let text = match (state.running, state.terminated, state.waiting) {
                    (Some(_), ..) => format!("running{}", if one.ready { " ready" } else { "" }),
                    (_, Some(ended), _) => {
                        format!("{} {}", ended.reason.unwrap_or_default(), ended.exit_code)
                    }
                    (_, _, Some(waits)) => waits.reason.unwrap_or_default(),
                    _ => "?".into(),
                };
                format!("{}:{} {text}", one.name, one.restart_count)
            })
            .collect();
        json!([status.phase, states])
    }
}

fn one(policy: &str) -> Value {
    json!({"restartPolicy": policy, "containers": [{"name": "web", "image": "img"}]})
}

#[test]
fn from_nothing_to_running() {
    let mut case = Case::new(one("Always"), &[]);
    case.sandbox = None;
    case.memory = Memory::default();
    assert_eq!(case.actions(), ["volumes"]);
    assert_eq!(case.told(), json!(["Pending", ["web:0 ContainerCreating"]]));
    case.memory = ready();
    assert_eq!(case.actions(), ["sandbox 0"]);
    case.sandbox = Some(sandbox(&[]));
    assert_eq!(case.actions(), ["start web/0"]);
    case.memory.busy.insert(Op::Start);
    assert!(case.actions().is_empty());
    case.memory.busy.clear();
    case.sandbox = Some(sandbox(&[("web", 0, "running")]));
    assert!(case.actions().is_empty());
    assert_eq!(case.told(), json!(["Running", ["web:0 running ready"]]));
    let status = case.plan().status;
    assert_eq!(
        (status.pod_ip.as_deref(), status.host_ip.as_deref()),
        (Some("10.42.0.5"), Some("192.168.0.2"))
    );
    assert_eq!(status.qos_class.as_deref(), Some("BestEffort"));
    assert_eq!(status.observed_generation, Some(1));
    let conditions: Vec<String> =
        status.conditions.iter().flatten().map(|one| format!("{}={}", one.type_, one.status)).collect();
    assert_eq!(
        conditions,
        [
            "PodReadyToStartContainers=True",
            "Initialized=True",
            "Ready=True",
            "ContainersReady=True",
            "PodScheduled=True"
        ]
    );
    // What is written once is not written again.
    case.pod.status = Some(status);
    assert!(case.plan().actions.is_empty());
}

#[test]
fn restarts_and_back_off() {
    let check = |policy: &str, code: &str, actions: &[&str], told: Value| {
        let case = Case::new(one(policy), &[("web", 0, code)]);
        assert_eq!(case.actions(), actions, "{policy} {code}");
        assert_eq!(case.told(), told, "{policy} {code}");
    };
    check("Always", "exit 0", &["start web/1"], json!(["Running", ["web:0 Completed 0"]]));
    check("OnFailure", "exit 2", &["start web/1"], json!(["Running", ["web:0 Error 2"]]));
    check("OnFailure", "exit 0", &["close"], json!(["Succeeded", ["web:0 Completed 0"]]));
    check("Never", "exit 1", &["close"], json!(["Failed", ["web:0 Error 1"]]));

    let mut case = Case::new(one("Always"), &[("web", 0, "exit 1"), ("web", 1, "exit 1")]);
    case.memory.container("web").restarts.next(at(-8), at(-8), Duration::from_secs(300));
    assert!(case.actions().is_empty());
    let plan = case.plan();
    assert_eq!(plan.wake, Some(at(7)));
    assert_eq!(plan.notes[0].message, "Back-off restarting failed container web in pod web_shop(u)");
    let status = &plan.status.container_statuses.as_ref().unwrap()[0];
    let waiting = status.state.as_ref().unwrap().waiting.as_ref().unwrap();
    assert_eq!(waiting.reason.as_deref(), Some("CrashLoopBackOff"));
    assert_eq!(
        waiting.message.as_deref(),
        Some("back-off 10s restarting failed container=web pod=web_shop(u)")
    );
    assert_eq!(status.last_state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code, 1);
    assert_eq!(status.restart_count, 1);
    assert_eq!(plan.status.phase.as_deref(), Some("Running"));
}

#[test]
fn init_containers_and_sidecars_in_order() {
    let spec = |policy: &str| {
        json!({"restartPolicy": policy,
            "initContainers": [{"name": "i", "image": "img"},
                {"name": "s", "image": "img", "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 1}}}],
            "containers": [{"name": "web", "image": "img"}]})
    };
    let check = |policy: &str, containers: &[(&str, u32, &str)], actions: &[&str], phase: &str| {
        let case = Case::new(spec(policy), containers);
        assert_eq!(case.actions(), actions, "{containers:?}");
        assert_eq!(case.plan().status.phase.as_deref(), Some(phase), "{containers:?}");
    };
    check("Always", &[], &["start i/0"], "Pending");
    check("Always", &[("i", 0, "running")], &[], "Pending");
    check("Always", &[("i", 0, "exit 1")], &["start i/1"], "Pending");
    check("Never", &[("i", 0, "exit 1")], &["close"], "Failed");
    check("Always", &[("i", 0, "exit 0")], &["start s/0"], "Pending");
    // Not started until its startup probe says so.
    check("Always", &[("i", 0, "exit 0"), ("s", 0, "running")], &["probe s Startup"], "Pending");
    let mut case = Case::new(spec("Never"), &[("i", 0, "exit 0"), ("s", 0, "running")]);
    let mut probes = memory::Probes::new("s-0");
    probes.startup = probe::State::adopted(probe::Verdict::Success);
    case.memory.container("s").probes = Some(probes);
    assert_eq!(case.actions(), ["start web/0"]);
    case.sandbox = Some(sandbox(&[("i", 0, "exit 0"), ("s", 0, "running"), ("web", 0, "exit 0")]));
    assert_eq!(case.actions(), ["stop s 30s"]);
    case.sandbox = Some(sandbox(&[("i", 0, "exit 0"), ("s", 0, "exit 143"), ("web", 0, "exit 0")]));
    assert_eq!(case.actions(), ["close"]);
    assert_eq!(case.plan().status.phase.as_deref(), Some("Succeeded"));
}

#[test]
fn deletion_stops_closes_reports_deletes_forgets() {
    let mut case = Case::new(
        json!({"restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
            "initContainers": [{"name": "s", "image": "img", "restartPolicy": "Always"}],
            "containers": [{"name": "web", "image": "img"}]}),
        &[("s", 0, "running"), ("web", 0, "running")],
    );
    case.pod.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(10)));
    case.pod.metadata.deletion_grace_period_seconds = Some(20);
    case.memory.notice(&case.pod, false, at(-5));
    assert_eq!(case.actions(), ["stop web 15s"]);
    // The same again while it is under way does nothing; less grace cuts it short.
    case.memory.busy.insert(Op::Stop("web-0".into()));
    case.memory.stops.insert("web-0".into(), at(15));
    assert!(case.actions().is_empty());
    case.pod.metadata.deletion_grace_period_seconds = Some(8);
    case.memory.notice(&case.pod, false, at(0));
    assert_eq!(case.actions(), ["stop web 3s"]);
    case.memory.busy.clear();
    case.sandbox = Some(sandbox(&[("s", 0, "running"), ("web", 0, "exit 143")]));
    assert_eq!(case.actions(), ["stop s 3s"]);
    case.sandbox = Some(sandbox(&[("s", 0, "exit 143"), ("web", 0, "exit 143")]));
    assert_eq!(case.actions(), ["close"]);
    case.memory.closed = Stage::Done;
    assert_eq!(case.plan().actions, [Action::Report]);
    assert_eq!(case.plan().status.phase.as_deref(), Some("Failed"));
    case.pod.status = Some(case.plan().status);
    assert_eq!(case.actions(), ["delete"]);
    case.memory.deleted = Stage::Done;
    assert!(case.actions().is_empty());
    case.gone = true;
    assert_eq!(case.actions(), ["forget"]);
}

#[test]
fn a_pod_of_its_own_failing_is_ended_once() {
    let mut case = Case::new(
        json!({"restartPolicy": "Always", "activeDeadlineSeconds": 60, "containers": [{"name": "web", "image": "img"}]}),
        &[("web", 0, "running")],
    );
    let started = |seconds| Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(seconds)));
    case.pod.status = Some(k8s_openapi::api::core::v1::PodStatus {
        phase: Some("Running".into()),
        start_time: started(-50),
        ..Default::default()
    });
    case.memory.notice(&case.pod, false, at(0));
    assert_eq!((case.memory.ending.is_none(), case.plan().wake), (true, Some(at(10))));
    case.pod.status.as_mut().unwrap().start_time = started(-60);
    case.memory.notice(&case.pod, false, at(0));
    assert_eq!(case.actions(), ["stop web 30s"]);
    let status = case.plan().status;
    assert_eq!(
        (status.phase.as_deref(), status.reason.as_deref()),
        (Some("Running"), Some("DeadlineExceeded"))
    );
    case.sandbox = Some(sandbox(&[("web", 0, "exit 143")]));
    assert_eq!(case.plan().status.phase.as_deref(), Some("Failed"));
    assert!(
        matches!(&case.memory.ending, Some(Ending { failed: Some(reason), .. }) if reason.reason == "DeadlineExceeded")
    );
}

#[test]
fn probes_decide_readiness_and_life() {
    let spec = json!({"restartPolicy": "Always", "containers": [{"name": "web", "image": "img",
        "readinessProbe": {"httpGet": {"port": 80}}, "livenessProbe": {"tcpSocket": {"port": 80}, "initialDelaySeconds": 60}}]});
    let mut case = Case::new(spec, &[("web", 0, "running")]);
    assert_eq!(case.actions(), ["probe web Readiness"]);
    assert_eq!(case.told(), json!(["Running", ["web:0 running"]]));
    let mut probes = memory::Probes::new("web-0");
    probes.readiness = probe::State::adopted(probe::Verdict::Success);
    case.memory.container("web").probes = Some(probes.clone());
    assert_eq!(case.told(), json!(["Running", ["web:0 running ready"]]));
    // A new process finds it ready and leaves it so until the first failing probe.
    case.pod.status = Some(case.plan().status);
    case.memory = ready();
    assert_eq!(case.told(), json!(["Running", ["web:0 running ready"]]));
    probes.liveness = probe::State::adopted(probe::Verdict::Failure);
    case.memory.container("web").probes = Some(probes);
    let plan = case.plan();
    let text = "Container web failed liveness probe, will be restarted".to_owned();
    assert!(
        plan.actions
            .iter()
            .any(|action| matches!(action, Action::Stop { why: Why::Restart(told), .. } if *told == text))
    );
}

#[test]
fn a_restart_of_the_kubelets_own_is_told_once() {
    let mut case = Case::new(one("Always"), &[("web", 0, "running")]);
    case.pod.status = Some(case.plan().status);
    let reports = |case: &Case| case.plan().actions.contains(&Action::Report);
    case.sandbox = Some(sandbox(&[("web", 0, "exit 0")]));
    assert!(reports(&case), "what ended by itself is told");
    case.memory.restarting.insert("web-0".into());
    assert!(reports(&case), "what does not come again is told");
    let ended = |case: &mut Case, when| case.sandbox.as_mut().unwrap().containers[0].finished = Some(when);
    ended(&mut case, at(-1));
    assert!(!reports(&case));
    assert_eq!(case.plan().wake, Some(at(1)));
    case.sandbox = Some(sandbox(&[("web", 0, "exit 0"), ("web", 1, "running")]));
    assert!(reports(&case));
}

#[test]
fn a_failed_pull_backs_off() {
    let mut case = Case::new(one("Always"), &[]);
    let container = case.memory.container("web");
    container.waiting = Some(Reason::new("ErrImagePull", "not found"));
    container.retry = Some(at(10));
    container.pull_shown_until = Some(at(5));
    assert_eq!(case.told(), json!(["Pending", ["web:0 ErrImagePull"]]));
    assert_eq!(case.plan().wake, Some(at(5)));
    case.memory.container("web").pull_shown_until = Some(at(-1));
    assert_eq!(case.told(), json!(["Pending", ["web:0 ImagePullBackOff"]]));
    let plan = case.plan();
    assert_eq!(plan.notes[0].message, "Back-off pulling image \"img\"");
    let state = plan.status.container_statuses.unwrap()[0].state.clone().unwrap();
    assert_eq!(
        state.waiting.unwrap().message.unwrap(),
        "Back-off pulling image \"img\": ErrImagePull: not found"
    );
    case.memory.container("web").retry = Some(at(0));
    assert_eq!(case.actions(), ["start web/0"]);
}

#[test]
fn after_a_reboot() {
    let before = Case::new(one("Always"), &[("web", 2, "running")]).plan().status;
    let check = |policy: &str, actions: &[&str], told: Value| {
        let mut case = Case::new(one(policy), &[]);
        case.pod.status = Some(before.clone());
        case.sandbox = None;
        assert_eq!(case.actions(), actions, "{policy}");
        assert_eq!(case.told(), told, "{policy}");
        case
    };
    let mut case = check("Always", &["sandbox 0"], json!(["Running", ["web:3 ContainerCreating"]]));
    case.pod.status = Some(case.plan().status);
    case.sandbox = Some(sandbox(&[]));
    assert_eq!(case.actions(), ["start web/3"]);
    // Never means never: nobody knows how it ended.
    check("Never", &["close"], json!(["Failed", ["web:2 ContainerStatusUnknown 137"]]));
}

#[test]
fn a_vanished_pod_is_taken_down() {
    let mut case = Case::new(one("Always"), &[("web", 0, "running")]);
    case.gone = true;
    case.memory.notice(&case.pod, true, at(0));
    assert_eq!(case.actions(), ["stop web 2s"]);
    case.sandbox = Some(sandbox(&[("web", 0, "exit 143")]));
    assert_eq!(case.actions(), ["close"]);
}

/// A pod with one running container whose limits are in force as the runtime tells.
fn with_limits(container: Value) -> Case {
    let mut case = Case::new(json!({"containers": [container]}), &[("web", 0, "running")]);
    let limits = crate::container::resources::pod(&case.pod, -1);
    let own = crate::container::resources::container(
        &case.pod,
        &case.pod.spec.as_ref().unwrap().containers[0],
        1 << 32,
    );
    let sandbox = case.sandbox.as_mut().unwrap();
    sandbox.spec.resources = limits;
    sandbox.containers[0].resources = Some(own);
    case
}

fn set_memory(case: &mut Case, memory: &str) {
    let spec = case.pod.spec.as_mut().unwrap();
    let limits = spec.containers[0].resources.as_mut().unwrap().limits.as_mut().unwrap();
    limits.insert("memory".into(), k8s_openapi::apimachinery::pkg::api::resource::Quantity(memory.into()));
}

#[test]
fn a_resize_goes_to_cgroups_or_restarts() {
    let resources = json!({"limits": {"memory": "64Mi", "cpu": "1"}});
    let in_progress = |case: &Case| {
        let conditions = case.plan().status.conditions.unwrap();
        conditions.iter().any(|condition| condition.type_ == "PodResizeInProgress")
    };
    let mut case = with_limits(json!({"name": "web", "image": "img", "resources": resources}));
    assert_eq!(case.actions(), Vec::<String>::new());
    set_memory(&mut case, "65536Ki");
    assert_eq!(case.actions(), Vec::<String>::new(), "the same in other words");
    assert!(!in_progress(&case));
    set_memory(&mut case, "32Mi");
    assert_eq!(case.actions(), ["resize 1"]);
    assert!(in_progress(&case));
    let Some(Action::Resize(change)) =
        case.plan().actions.into_iter().find(|action| matches!(action, Action::Resize(_)))
    else {
        panic!("no resize");
    };
    let pod = change.pod.unwrap();
    assert_eq!((pod.between.memory_limit, pod.wanted.memory_limit), (Some(64 << 20), Some(32 << 20)));
    case.memory.ending = Some(Ending { since: at(0), grace: Duration::from_secs(5), failed: None });
    assert_eq!(case.actions(), ["stop web 5s"], "what ends is not resized");
    let policy = json!([{"resourceName": "memory", "restartPolicy": "RestartContainer"}]);
    let mut case =
        with_limits(json!({"name": "web", "image": "img", "resources": resources, "resizePolicy": policy}));
    set_memory(&mut case, "128Mi");
    assert_eq!(case.actions(), ["resize 0", "stop web 30s"], "the pod's own limit grows at once");
    assert!(in_progress(&case));
}

#[test]
fn a_resize_that_does_not_fit_is_held() {
    let mut pod = with_limits(
        json!({"name": "web", "image": "img", "resources": {"limits": {"memory": "64Mi"}, "requests": {"memory": "64Mi"}}}),
    )
    .pod;
    assert!(resize::held(&pod).is_none(), "nothing was told yet");
    pod.status = serde_json::from_value(
        json!({"containerStatuses": [{"name": "web", "image": "img", "imageID": "", "ready": true,
        "restartCount": 0, "resources": {"limits": {"memory": "64Mi"}, "requests": {"memory": "65536Ki"}}}]}),
    )
    .unwrap();
    assert!(resize::held(&pod).is_none(), "the same in other words");
    let memory = |pod: &Pod| {
        pod.spec.as_ref().unwrap().containers[0].resources.clone().unwrap().requests.unwrap()["memory"]
            .0
            .clone()
    };
    let want =
        serde_json::from_value(json!({"requests": {"memory": "2Gi"}, "limits": {"memory": "2Gi"}})).unwrap();
    pod.spec.as_mut().unwrap().containers[0].resources = Some(want);
    assert_eq!(memory(&resize::held(&pod).unwrap()), "65536Ki");
    let node = |memory: &str| {
        std::collections::BTreeMap::from([(
            "memory".to_owned(),
            k8s_openapi::apimachinery::pkg::api::resource::Quantity(memory.into()),
        )])
    };
    let other = pod.clone();
    let judge = |memory: &str| {
        admission::refuse_resize(&pod, std::iter::once(&other), &node(memory)).map(|reason| reason.reason)
    };
    assert_eq!(judge("1Gi").as_deref(), Some("Infeasible"));
    assert_eq!(judge("3Gi").as_deref(), Some("Deferred"));
    assert_eq!(judge("4Gi"), None);
}

#[test]
fn a_pod_that_ends_before_it_ran_has_failed() {
    let mut case = Case::new(json!({"containers": [{"name": "web", "image": "img"}]}), &[]);
    case.memory.ending = Some(Ending { since: at(-5), grace: Duration::from_secs(1), failed: None });
    assert_eq!(case.told()[0], "Pending", "not before all of it is taken away");
    case.memory.closed = Stage::Done;
    assert_eq!(case.told()[0], "Failed");
}
