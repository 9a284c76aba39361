//! What every runtime must do, on this machine's kernel. Each test has folders and a cgroup of its own and removes them,
//! also when it fails. Without root it says so and proves nothing.

mod support;

use std::time::Duration;

use runtime::{ExecSpec, Propagation, Runtime, Seccomp, State};
use support::{Bench, expect_container, log_lines, log_text};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

macro_rules! bench {
    () => {
        match Bench::open().await {
            Some(bench) => bench,
            None => return,
        }
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_logs_and_ends() {
    let bench = bench!();
    let pod = bench.sandbox("a").await;
    assert!(pod.ready);
    let id = bench.create(&pod, "c", &["run", "out:hello", "err:oops", "raw:rest", "exit:3"]).await;
    assert_eq!(bench.state(&id).await, State::Created);
    bench.runtime.start_container(&id).await.unwrap();
    let status = bench.exited(&id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (Some(3), "Error"));
    assert!(status.started.unwrap() <= status.finished.unwrap());
    let mut lines = log_lines(&bench.log(&id));
    lines.sort();
    assert_eq!(lines, ["stderr F oops", "stdout F hello", "stdout P rest"]);
    bench.runtime.remove_container(&id).await.unwrap();
    bench.runtime.remove_container(&id).await.unwrap();
    bench.runtime.remove_sandbox("a").await.unwrap();
    bench.runtime.remove_sandbox("a").await.unwrap();
    assert!(bench.runtime.list().await.unwrap().is_empty());
    assert!(bench.nothing_left());
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_asks_first_and_kills_then() {
    let bench = bench!();
    let pod = bench.sandbox("a").await;
    let polite = bench.start(&pod, "polite", &["run", "trap:15", "out:ready", "wait", "exit:7"]).await;
    bench.wait_log(&polite, "ready").await;
    bench.runtime.stop_container(&polite, None, Duration::from_secs(20)).await.unwrap();
    let status = bench.runtime.container(&polite).await.unwrap();
    assert_eq!((status.state, status.exit_code), (State::Exited, Some(7)));
    let deaf = bench.start(&pod, "deaf", &["run", "trap:15", "out:ready", "wait", "sleep:100"]).await;
    bench.wait_log(&deaf, "ready").await;
    bench.runtime.stop_container(&deaf, Some("SIGTERM"), Duration::from_millis(50)).await.unwrap();
    let status = bench.runtime.container(&deaf).await.unwrap();
    assert_eq!((status.exit_code, status.reason.as_str()), (Some(137), "Error"));
    bench.runtime.stop_container(&deaf, None, Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_says_why_in_known_words() {
    let bench = bench!();
    let pod = bench.sandbox("a").await;
    for (command, user, expected) in [
        ("foo", None, "exec: \"foo\": executable file not found in $PATH"),
        ("/nope", None, "exec: \"/nope\": stat /nope: no such file or directory"),
        ("/etc/passwd", None, "exec: \"/etc/passwd\": permission denied"),
        ("/bin", None, "exec: \"/bin\": is a directory"),
        ("/bin/true", Some("nobody"), "unable to find user nobody: no matching entries in passwd file"),
    ] {
        let mut spec = bench.spec(&pod, "c", &[]);
        spec.command = vec![command.into()];
        spec.security.user = user.map(str::to_owned);
        let id = spec.id.clone();
        bench.runtime.create_container(spec).await.unwrap();
        let error = bench.runtime.start_container(&id).await.unwrap_err();
        let expected = format!("unable to start container process: {expected}");
        assert_eq!(expect_container(error), expected);
        let status = bench.exited(&id).await;
        assert_eq!((status.exit_code, status.reason.as_str()), (Some(128), "StartError"));
        assert_eq!(status.message, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_see_their_own_world() {
    let bench = bench!();
    let pod = bench.sandbox("a").await;
    let mut spec = bench.spec(&pod, "c", &["run", "sleep:100"]);
    spec.env.push(("COLOUR".into(), "red".into()));
    spec.working_dir = "/made/for/it".into();
    spec.security.user = Some("app".into());
    spec.security.no_new_privileges = true;
    let id = spec.id.clone();
    bench.runtime.create_container(spec).await.unwrap();
    bench.runtime.start_container(&id).await.unwrap();
    assert_eq!(bench.exec(&id, &["hostname"]).await, "host-a\n");
    let env = bench.exec(&id, &["env"]).await;
    for expected in ["COLOUR=red", "HOSTNAME=host-a", "HOME=/home/app", "PATH=/bin"] {
        assert!(env.lines().any(|line| line == expected), "{expected} is not in {env}");
    }
    let identity = bench.exec(&id, &["id"]).await;
    for expected in
        ["Uid:\t1000\t1000\t1000\t1000", "Groups:\t1000 2000 ", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"]
    {
        assert!(identity.contains(expected), "{expected} is not in {identity}");
    }
    assert_eq!(bench.exec(&id, &["cat", "/proc/1/comm"]).await, "run\n");
    let devices = bench.exec(&id, &["ls", "/dev"]).await;
    assert!(
        devices.contains("null\n") && devices.contains("shm\n") && !devices.contains("kmsg"),
        "{devices}"
    );
    if std::path::Path::new("/proc/timer_list").exists() {
        assert_eq!(bench.exec(&id, &["cat", "/proc/timer_list"]).await, "");
    }
    let refused = bench.exec_code(&id, &["run", "write:/proc/sys/kernel/domainname=x"]).await;
    assert_eq!(refused.0, 1, "{}", refused.1);
    assert!(bench.exec(&id, &["cat", "/proc/self/mountinfo"]).await.lines().count() < 45);
}

#[tokio::test(flavor = "multi_thread")]
async fn mounts_are_where_and_what_they_should_be() {
    let bench = bench!();
    let pod = bench.sandbox("a").await;
    let folder = bench.folder("volume");
    std::fs::write(folder.join("in"), "from the host").unwrap();
    let file = bench.folder("files").join("hosts");
    std::fs::write(&file, "127.0.0.1 localhost").unwrap();
    let mut spec = bench.spec(&pod, "c", &["run", "sleep:100"]);
    let mount = |source: &std::path::Path, target: &str, read_only| runtime::Mount {
        source: source.into(),
        target: target.into(),
        read_only,
        propagation: Propagation::None,
    };
    spec.mounts = vec![
        mount(&folder, "/data/rw", false),
        mount(&folder, "/data/ro", true),
        mount(&file, "/etc/hosts", false),
        mount(&file, "/dev/termination-log", false),
    ];
    spec.security.read_only_root = true;
    let id = spec.id.clone();
    bench.runtime.create_container(spec).await.unwrap();
    bench.runtime.start_container(&id).await.unwrap();
    assert_eq!(
        bench.exec(&id, &["cat", "/data/ro/in", "/etc/hosts"]).await,
        "from the host127.0.0.1 localhost"
    );
    assert_eq!(bench.exec_code(&id, &["run", "write:/data/rw/out=back"]).await.0, 0);
    assert_eq!(std::fs::read_to_string(folder.join("out")).unwrap(), "back");
    for path in ["/data/ro/out", "/new", "/etc/new"] {
        let (code, text) = bench.exec_code(&id, &["run", &format!("write:{path}=x")]).await;
        assert!(code == 1 && text.contains("Read-only file system"), "{path}: {text}");
    }
    assert_eq!(bench.exec_code(&id, &["run", "write:/dev/termination-log=bye"]).await.0, 0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "bye");
    let host = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!host.contains(bench.root().to_str().unwrap()), "a mount shows on the host");
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_gives_streams_codes_and_known_errors() {
    let bench = bench!();
    let pod = bench.sandbox("a").await;
    let id = bench.start(&pod, "c", &["run", "sleep:100"]).await;
    let (code, text) = bench.exec_code(&id, &["run", "out:one", "exit:4"]).await;
    assert_eq!((code, text.as_str()), (4, "one\n"));
    let error = bench.runtime.exec_sync(&id, vec!["foo".into()], Duration::from_secs(9)).await.unwrap_err();
    let expected = "OCI runtime exec failed: exec failed: unable to start container process: \
                    exec: \"foo\": executable file not found in $PATH";
    assert_eq!(expect_container(error), expected);
    let command = ["cat".to_owned()].to_vec();
    let spec = ExecSpec { command, tty: false, stdin: true, stdout: true, stderr: true };
    let mut streams = bench.runtime.exec(&id, spec).await.unwrap();
    let mut stdin = streams.stdin.take().unwrap();
    stdin.write_all(b"there and back").await.unwrap();
    stdin.shutdown().await.unwrap();
    drop(stdin);
    let mut text = String::new();
    streams.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "there and back");
    assert_eq!(streams.exit.await.unwrap().unwrap(), 0);
    let slow = vec!["run".to_owned(), "sleep:100".into()];
    let error = bench.runtime.exec_sync(&id, slow, Duration::from_millis(30)).await.unwrap_err();
    assert!(matches!(error, runtime::Error::Timeout { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn terminals_echo_and_resize() {
    let bench = bench!();
    let pod = bench.sandbox("a").await;
    let id = bench.start(&pod, "c", &["run", "sleep:100"]).await;
    let spec = ExecSpec { command: vec!["cat".into()], tty: true, stdin: true, stdout: true, stderr: false };
    let mut streams = bench.runtime.exec(&id, spec).await.unwrap();
    streams.resize.send((120, 40)).await.unwrap();
    let mut stdin = streams.stdin.take().unwrap();
    stdin.write_all(b"typed\n\x04").await.unwrap();
    let mut text = String::new();
    streams.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "typed\r\ntyped\r\n");
    assert_eq!(streams.exit.await.unwrap().unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn attached_clients_type_and_read() {
    let bench = bench!();
    let pod = bench.sandbox("a").await;
    let mut spec = bench.spec(&pod, "c", &["cat"]);
    (spec.stdin, spec.stdin_once) = (true, true);
    let id = spec.id.clone();
    bench.runtime.create_container(spec).await.unwrap();
    bench.runtime.start_container(&id).await.unwrap();
    let spec = ExecSpec { command: vec![], tty: false, stdin: true, stdout: true, stderr: true };
    let mut streams = bench.runtime.attach(&id, spec).await.unwrap();
    let mut stdin = streams.stdin.take().unwrap();
    stdin.write_all(b"a line\n").await.unwrap();
    drop(stdin);
    let mut text = String::new();
    streams.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "a line\n");
    assert_eq!(streams.exit.await.unwrap().unwrap(), 0);
    assert_eq!(log_lines(&bench.log(&id)), ["stdout F a line"]);
}

/// What a container wrote last reaches a client that reads late.
#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_get_everything() {
    let bench = bench!();
    let pod = bench.sandbox("a").await;
    let big = bench.folder("files").join("big");
    std::fs::write(&big, vec![b'x'; 600_000]).unwrap();
    let mut spec = bench.spec(&pod, "c", &["run", "trap:10", "wait", "read:/big"]);
    spec.mounts = vec![runtime::Mount {
        source: big,
        target: "/big".into(),
        read_only: true,
        propagation: Propagation::None,
    }];
    let id = spec.id.clone();
    bench.runtime.create_container(spec).await.unwrap();
    bench.runtime.start_container(&id).await.unwrap();
    let spec = ExecSpec { command: vec![], tty: false, stdin: false, stdout: true, stderr: false };
    let mut streams = bench.runtime.attach(&id, spec).await.unwrap();
    bench.runtime.stop_container(&id, Some("SIGUSR1"), Duration::from_millis(300)).await.unwrap();
    let mut text = String::new();
    streams.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    // It was killed while the client held it back: everything that it had written is there.
    assert!(text.starts_with("signal 10") && text.len() > 64 << 10, "{} bytes", text.len());
    let logged: usize = log_lines(&bench.log(&id)).iter().map(|line| line.len() - "stdout F ".len()).sum();
    assert_eq!(text.bytes().filter(|byte| *byte != b'\n').count(), logged);
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_outlive_the_daemon() {
    let bench = bench!();
    let pod = bench.sandbox("a").await;
    let lasting =
        bench.start(&pod, "lasting", &["run", "trap:10", "out:up", "wait", "out:after", "sleep:100"]).await;
    let ending = bench.start(&pod, "ending", &["run", "trap:10", "out:up", "wait", "exit:5"]).await;
    let before = bench.runtime.container(&lasting).await.unwrap();
    let dying = bench.runtime.container(&ending).await.unwrap().pid.unwrap();
    bench.wait_log(&ending, "up").await;
    bench.wait_log(&lasting, "up").await;
    // A daemon that is killed leaves its shims as this one is left: with a connection that nobody reads.
    let bench = bench.forget();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(dying), nix::sys::signal::Signal::SIGUSR1).unwrap();
    bench.wait_status_file("a", &ending).await;
    let bench = bench.reopen().await;
    let after = bench.runtime.container(&lasting).await.unwrap();
    assert_eq!((after.state, after.pid, after.started), (State::Running, before.pid, before.started));
    let ended = bench.runtime.container(&ending).await.unwrap();
    assert_eq!((ended.state, ended.exit_code), (State::Exited, Some(5)));
    assert_eq!(bench.exec(&lasting, &["echo", "still here"]).await, "still here\n");
    bench.runtime.stop_container(&lasting, Some("SIGKILL"), Duration::from_secs(9)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_shim_takes_its_containers_along() {
    let bench = bench!();
    let pod = bench.sandbox("a").await;
    let id = bench.start(&pod, "c", &["run", "sleep:100"]).await;
    let pid = bench.runtime.container(&id).await.unwrap().pid.unwrap();
    let shim = nix::unistd::Pid::from_raw(pod.shim_pid.unwrap());
    nix::sys::signal::kill(shim, nix::sys::signal::Signal::SIGKILL).unwrap();
    let status = bench.exited(&id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (Some(255), "Unknown"));
    support::wait_gone(pid).await;
    assert!(!bench.runtime.sandbox("a").await.unwrap().ready);
    let again = bench.sandbox("a").await;
    assert!(again.ready && again.shim_pid != pod.shim_pid);
    assert_eq!(again.containers.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_rotate_and_long_lines_are_cut() {
    let bench = bench!();
    let pod = bench.sandbox("a").await;
    let long = "x".repeat((16 << 10) + 5);
    let id = bench
        .start(&pod, "c", &["run", "trap:10", &format!("out:{long}"), "wait", "out:second", "exit:0"])
        .await;
    bench.wait_log(&id, "F xxxxx").await;
    let log = bench.log(&id);
    std::fs::rename(&log, log.with_extension("1")).unwrap();
    bench.runtime.reopen_log(&id).await.unwrap();
    let pid = bench.runtime.container(&id).await.unwrap().pid.unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGUSR1).unwrap();
    bench.exited(&id).await;
    let old = log_text(&log.with_extension("1"));
    assert_eq!(old.lines().count(), 2);
    assert!(old.lines().next().unwrap().contains("stdout P xxx"));
    assert_eq!(log_lines(&log), ["stdout F signal 10", "stdout F second"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_limits_kill_and_are_told() {
    let bench = bench!();
    let pod = bench.sandbox("a").await;
    let mut spec = bench.spec(&pod, "c", &["run", "eat:200"]);
    spec.resources.memory_limit = Some(32 << 20);
    let id = spec.id.clone();
    bench.runtime.create_container(spec).await.unwrap();
    bench.runtime.start_container(&id).await.unwrap();
    let status = bench.exited(&id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (Some(137), "OOMKilled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_of_the_pod_are_reached_from_outside() {
    let bench = bench!();
    let pod = bench.sandbox("a").await;
    let id = bench.start(&pod, "c", &["serve", "8080"]).await;
    bench.wait_log(&id, "listening").await;
    let mut stream = bench.runtime.port_forward("a", 8080).await.unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.ends_with("\r\n\r\nhost-a\n"), "{text}");
    assert!(bench.runtime.port_forward("a", 9).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_can_share_processes() {
    let bench = bench!();
    let pod = bench.sandbox_with("a", |spec| spec.share_pid = true).await;
    let first = bench.start(&pod, "first", &["run", "spawn:100", "out:up", "sleep:100"]).await;
    let second = bench.start(&pod, "second", &["run", "sleep:100"]).await;
    bench.wait_log(&first, "up").await;
    let seen = bench.exec(&second, &["ls", "/proc"]).await;
    let count = seen.lines().filter(|name| name.parse::<u32>().is_ok()).count();
    assert_eq!(count, 5, "the first process, two containers, a child and ls: {seen}");
    bench.runtime.stop_container(&first, None, Duration::ZERO).await.unwrap();
    // The child is killed with its container, and buried by the first process a moment later.
    let gone = async {
        while bench
            .exec(&second, &["ls", "/proc"])
            .await
            .lines()
            .filter(|name| name.parse::<u32>().is_ok())
            .count()
            > 3
        {}
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("a child outlives its container");
    assert_eq!(bench.state(&second).await, State::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn stats_count_what_is_used() {
    let bench = bench!();
    let pod = bench.sandbox("a").await;
    let id = bench.start(&pod, "c", &["run", "eat:8", "write:/tmp/file=text", "out:done", "sleep:100"]).await;
    bench.wait_log(&id, "done").await;
    let stats = bench.runtime.stats(&id).await.unwrap();
    assert!(stats.processes == 1 && stats.rootfs_used > 0 && stats.log_used > 0, "{stats:?}");
    assert!(stats.memory_usage > 0 && !stats.cpu_usage.is_zero(), "{stats:?}");
    assert!(bench.runtime.sandbox_stats("a").await.unwrap().processes >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_confine_and_fail_closed() {
    let bench = bench!();
    let pod = bench.sandbox("a").await;
    let profile = bench.folder("profiles").join("strict.json");
    let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
        {"names":["sethostname","mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}"#;
    std::fs::write(&profile, text).unwrap();
    for (seccomp, nnp) in [
        (Seccomp::RuntimeDefault, false),
        (Seccomp::RuntimeDefault, true),
        (Seccomp::Localhost(profile), true),
        (Seccomp::Unconfined, false),
    ] {
        let confined = seccomp != Seccomp::Unconfined;
        let mut spec = bench.spec(&pod, "c", &["run", "sleep:100"]);
        spec.security.no_new_privileges = nnp;
        spec.security.seccomp = seccomp;
        let id = spec.id.clone();
        bench.runtime.create_container(spec).await.unwrap();
        bench.runtime.start_container(&id).await.unwrap_or_else(|error| panic!("{}", base::chain(&error)));
        let identity = bench.exec(&id, &["id"]).await;
        let mode = if confined { "Seccomp:\t2" } else { "Seccomp:\t0" };
        assert!(identity.contains(mode), "{identity}");
        assert!(identity.contains("CapEff:\t00000000a80425fb"), "{identity}");
        bench.runtime.stop_container(&id, None, Duration::ZERO).await.unwrap();
    }
    let mut spec = bench.spec(&pod, "c", &["run", "sleep:100"]);
    spec.security.seccomp = Seccomp::Localhost("/nowhere.json".into());
    let id = spec.id.clone();
    bench.runtime.create_container(spec).await.unwrap();
    let text = expect_container(bench.runtime.start_container(&id).await.unwrap_err());
    assert!(text.contains("cannot load seccomp profile /nowhere.json"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn privileged_containers_have_the_machine() {
    let bench = bench!();
    let pod = bench.sandbox("a").await;
    let mut spec = bench.spec(&pod, "c", &["run", "sleep:100"]);
    spec.security.privileged = true;
    let id = spec.id.clone();
    bench.runtime.create_container(spec).await.unwrap();
    bench.runtime.start_container(&id).await.unwrap();
    let identity = bench.exec(&id, &["id"]).await;
    let mine = std::fs::read_to_string("/proc/self/status").unwrap();
    let mine = mine.lines().find(|line| line.starts_with("CapEff:")).unwrap();
    assert!(identity.contains(mine), "{identity} instead of {mine}");
    let devices = bench.exec(&id, &["ls", "/dev"]).await;
    assert_eq!(devices.contains("kmsg\n"), std::path::Path::new("/dev/kmsg").exists());
    // A value that is there already: nothing of the host changes.
    let own = std::fs::read_to_string("/proc/sys/vm/swappiness").unwrap();
    assert_eq!(
        bench.exec_code(&id, &["run", &format!("write:/proc/sys/vm/swappiness={}", own.trim())]).await.0,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pod_has_its_sysctls_and_network() {
    let bench = bench!();
    let set = [("net.ipv4.ip_unprivileged_port_start".to_owned(), "80".to_owned())];
    let pod = bench.sandbox_with("a", |spec| spec.sysctls = set.clone().into()).await;
    let id = bench.start(&pod, "c", &["run", "sleep:100"]).await;
    assert_eq!(bench.exec(&id, &["cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"]).await, "80\n");
    assert_eq!(bench.exec(&id, &["ls", "/sys/class/net"]).await, "lo\n");
    // The host's network is the host's, with its name.
    let host = bench.sandbox_with("b", |spec| spec.host.network = true).await;
    let mut spec = bench.spec(&host, "c", &["run", "sleep:100"]);
    spec.log_path = "c.log".into();
    let id = spec.id.clone();
    bench.runtime.create_container(spec).await.unwrap();
    bench.runtime.start_container(&id).await.unwrap();
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(bench.exec(&id, &["hostname"]).await, own);
    // One that cannot be made leaves nothing.
    let spec = runtime::SandboxSpec {
        uid: "c".into(),
        cgroup_parent: "podc".into(),
        sysctls: [("net.no.such".to_owned(), "1".to_owned())].into(),
        ..host.spec.clone()
    };
    let error = bench.runtime.run_sandbox(spec).await.unwrap_err();
    assert!(expect_container(error).contains("/proc/sys/net/no/such"));
    assert!(bench.runtime.sandbox("c").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_of_a_container_is_logged_and_attached() {
    let bench = bench!();
    let pod = bench.sandbox("a").await;
    let mut spec = bench.spec(&pod, "c", &["cat"]);
    (spec.tty, spec.stdin) = (true, true);
    let id = spec.id.clone();
    bench.runtime.create_container(spec).await.unwrap();
    bench.runtime.start_container(&id).await.unwrap();
    let spec = ExecSpec { command: vec![], tty: true, stdin: true, stdout: true, stderr: false };
    let mut streams = bench.runtime.attach(&id, spec).await.unwrap();
    streams.resize.send((80, 24)).await.unwrap();
    let mut stdin = streams.stdin.take().unwrap();
    stdin.write_all(b"line\n\x04").await.unwrap();
    let mut text = String::new();
    streams.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "line\r\nline\r\n");
    assert_eq!(streams.exit.await.unwrap().unwrap(), 0);
    assert_eq!(log_lines(&bench.log(&id)), ["stdout F line", "stdout F line"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pods_start_and_go_at_once() {
    let bench = std::sync::Arc::new(bench!());
    let pods = (0..12).map(|number| {
        let bench = bench.clone();
        tokio::spawn(async move {
            let pod = bench.sandbox(&format!("p{number}")).await;
            let id = bench.start(&pod, "c", &["run", "sleep:100"]).await;
            assert_eq!(bench.exec(&id, &["hostname"]).await, format!("host-p{number}\n"));
            bench.runtime.remove_sandbox(&pod.spec.uid).await.unwrap();
        })
    });
    for pod in pods.collect::<Vec<_>>() {
        pod.await.unwrap();
    }
    assert!(bench.nothing_left());
}

#[tokio::test(flavor = "multi_thread")]
async fn images_may_have_many_layers() {
    let bench = bench!();
    let pod = bench.sandbox("a").await;
    let mut spec = bench.spec(&pod, "c", &["run", "sleep:100"]);
    for number in 0..120 {
        // As long as the names that layers have by their digests.
        let layer = bench.folder(&format!("layers/{number:064}"));
        std::fs::write(layer.join(format!("from-{number}")), "x").unwrap();
        std::fs::write(layer.join("last"), number.to_string()).unwrap();
        spec.layers.push(layer);
    }
    let id = spec.id.clone();
    bench.runtime.create_container(spec).await.unwrap();
    bench.runtime.start_container(&id).await.unwrap_or_else(|error| panic!("{}", base::chain(&error)));
    assert_eq!(bench.exec(&id, &["cat", "/from-0", "/from-119", "/last"]).await, "xx119");
}

/// Noise on a shim's socket ends that connection and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_shim_survives_noise() {
    use std::io::{Read, Write};
    let bench = bench!();
    let pod = bench.sandbox("a").await;
    let id = bench.start(&pod, "c", &["run", "sleep:100"]).await;
    let seed: u64 = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let mut state = seed | 1;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..200 {
        let mut stream = std::os::unix::net::UnixStream::connect(bench.root().join("run/shims/a")).unwrap();
        let mut noise: Vec<u8> = (0..random() % 200).map(|_| random() as u8).collect();
        if round % 2 == 0 {
            // A frame that is whole, so that the JSON parser sees it.
            let mut frame = (noise.len() as u32).to_be_bytes().to_vec();
            frame.push(0);
            frame.append(&mut noise);
            noise = frame;
        }
        let _ = stream.write_all(&noise);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(bench.exec(&id, &["echo", "fine"]).await, "fine\n");
}
