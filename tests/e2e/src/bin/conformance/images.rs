//! The images that the suite's tests run, made here: programs of the pinned Go modules and of this machine's Debian packages
//! under the names that the suite pulls. No registry is asked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use e2e::programs::Programs;
use serde_json::{Value, json};
use testkit::image::{Entry, Image};

/// One image of the suite.
struct Spec {
    name: &'static str,
    /// What pods ask for; an archive each, with the same layers.
    references: &'static [&'static str],
    /// Programs of this machine that go to `/usr/bin` with the libraries that they load.
    host: &'static [&'static str],
    /// Programs of the suite with the path that they get.
    programs: &'static [(&'static str, &'static str, u32)],
    /// Without busybox and the usual folders.
    bare: bool,
    config: fn() -> Value,
}

const AGNHOST: &[(&str, &str, u32)] = &[("agnhost", "agnhost", 0o755), ("agnhost", "agnhost-2", 0o755)];

const IMAGES: &[Spec] = &[
    Spec {
        name: "busybox",
        references: &["registry.k8s.io/e2e-test-images/busybox:1.37.0-1"],
        host: &[],
        programs: &[],
        bare: false,
        config: || json!({"Cmd": ["sh"]}),
    },
    Spec {
        name: "pause",
        references: &["registry.k8s.io/pause:3.10.2"],
        host: &[],
        programs: &[("pause", "pause", 0o755)],
        bare: true,
        config: || json!({"Entrypoint": ["/pause"], "User": "65535:65535"}),
    },
    Spec {
        name: "agnhost",
        references: &[
            "registry.k8s.io/e2e-test-images/agnhost:2.63.0",
            "registry.k8s.io/e2e-test-images/agnhost:2.55",
        ],
        host: &[
            "bash",
            "curl",
            "dig",
            "getent",
            "host",
            "nslookup",
            "nc.openbsd",
            "ip",
            "ss",
            "iperf",
            "mount",
            "umount",
            "findmnt",
        ],
        programs: AGNHOST,
        bare: false,
        config: || {
            let ports = [80, 5000, 8080, 8081, 9376].map(|port| (format!("{port}/tcp"), json!({})));
            let ports = ports.into_iter().collect::<serde_json::Map<_, _>>();
            json!({"Entrypoint": ["/agnhost"], "Cmd": ["pause"], "ExposedPorts": ports})
        },
    },
    Spec {
        name: "glibc-dns-testing",
        references: &["registry.k8s.io/e2e-test-images/glibc-dns-testing:2.0.0"],
        host: &["bash", "dig", "host", "nslookup", "getent"],
        programs: &[],
        bare: false,
        config: || json!({"Cmd": ["bash"]}),
    },
    Spec {
        name: "nautilus",
        references: &["registry.k8s.io/e2e-test-images/nautilus:1.8"],
        host: &[],
        programs: AGNHOST,
        bare: false,
        config: || json!({"Entrypoint": ["/agnhost"], "Cmd": ["test-webserver"]}),
    },
    Spec {
        name: "kitten",
        references: &["registry.k8s.io/e2e-test-images/kitten:1.8"],
        host: &[],
        programs: AGNHOST,
        bare: false,
        config: || json!({"Entrypoint": ["/agnhost"], "Cmd": ["test-webserver"]}),
    },
    Spec {
        name: "nonewprivs",
        references: &["registry.k8s.io/e2e-test-images/nonewprivs:1.4"],
        host: &[],
        programs: &[("nnp", "usr/local/bin/nnp", 0o4755)],
        bare: false,
        config: || json!({"Cmd": ["nnp"]}),
    },
    Spec {
        name: "nginx",
        references: &["registry.k8s.io/e2e-test-images/nginx:1.15-4"],
        host: &[],
        programs: &[],
        bare: false,
        // Its tests want something that listens, whoever made it.
        config: || json!({"Cmd": ["httpd", "-f", "-p", "80", "-h", "/home"], "ExposedPorts": {"80/tcp": {}}}),
    },
    Spec {
        name: "etcd",
        references: &["registry.k8s.io/etcd:3.6.8-0"],
        host: &[],
        programs: &[("etcd", "usr/local/bin/etcd", 0o755)],
        bare: false,
        config: || json!({"Cmd": ["etcd"]}),
    },
    Spec {
        name: "sample-apiserver",
        references: &["registry.k8s.io/e2e-test-images/sample-apiserver:1.29.2"],
        host: &[],
        programs: &[("sample-apiserver", "sample-apiserver", 0o755)],
        bare: false,
        config: || json!({"Entrypoint": ["/sample-apiserver"]}),
    },
];

/// Builds the named images into `folder` unless they are there; gives the archives.
pub fn build(names: &BTreeSet<&str>, folder: &Path, programs: &Programs) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder)?;
    let mut built = Vec::new();
    for name in names {
        let spec = IMAGES.iter().find(|spec| spec.name == *name);
        let spec =
            spec.with_context(|| format!("conformance/tests.tsv names an image {name} that nobody builds"))?;
        for (index, reference) in spec.references.iter().enumerate() {
            let suffix = if index == 0 { String::new() } else { format!("-{index}") };
            let archive = folder.join(format!("{name}{suffix}.tar"));
            if !archive.exists() {
                eprintln!("==> building the image {reference}");
                image(spec, reference, programs)?.save(&archive)?;
            }
            built.push(archive);
        }
    }
    Ok(built)
}

fn image(spec: &Spec, reference: &str, programs: &Programs) -> Result<Image> {
    let mut layers = Vec::new();
    if !spec.bare {
        layers.push(base(programs)?);
    }
    let layer = own(spec, programs)?;
    if !layer.is_empty() {
        layers.push(layer);
    }
    let mut config = (spec.config)();
    config["Env"] = json!(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]);
    Ok(Image { reference: reference.into(), layers, config, compressed: true })
}

/// Busybox with all that it can, and the users and folders that tests of the suite look for.
fn base(programs: &Programs) -> Result<Vec<(String, Entry)>> {
    let mut layer: Vec<(String, Entry)> = Vec::new();
    let folders = [
        ("tmp", 0o1777),
        ("var/tmp", 0o1777),
        ("root", 0o700),
        ("home", 0o755),
        ("proc", 0o555),
        ("sys", 0o555),
        ("dev", 0o755),
        ("uploads", 0o777),
        ("etc", 0o755),
        ("bin", 0o755),
    ];
    for (path, mode) in folders {
        layer.push((path.into(), Entry::Folder(mode)));
    }
    for (path, text) in [
        ("etc/passwd", PASSWD),
        ("etc/group", GROUP),
        ("etc/nsswitch.conf", "hosts: files dns\npasswd: files\ngroup: files\n"),
        // A test of image volumes looks for this name.
        ("etc/os-release", "NAME=\"Alpine Linux\"\nID=alpine\n"),
    ] {
        layer.push((path.into(), Entry::File(text.into(), 0o644)));
    }
    let busybox = which("busybox")?;
    layer.push(("bin/sh".into(), Entry::File(std::fs::read(programs.get("sh")?)?, 0o755)));
    layer.push(("bin/busybox".into(), Entry::File(std::fs::read(&busybox)?, 0o755)));
    let applets = Command::new(&busybox).arg("--list").output().context("cannot start busybox")?;
    for applet in String::from_utf8_lossy(&applets.stdout).split_whitespace() {
        if !["busybox", "sh"].contains(&applet) {
            layer.push((format!("bin/{applet}"), Entry::Link("/bin/busybox".into())));
        }
    }
    Ok(layer)
}

fn own(spec: &Spec, programs: &Programs) -> Result<Vec<(String, Entry)>> {
    let mut layer = Vec::new();
    let mut seen = BTreeSet::new();
    for name in spec.host {
        let file = which(name)?;
        // The suite calls the OpenBSD one by its short name.
        let as_name = if *name == "nc.openbsd" { "nc" } else { name };
        layer.push((format!("usr/bin/{as_name}"), Entry::File(std::fs::read(&file)?, 0o755)));
        for library in libraries(&file)? {
            if seen.insert(library.clone()) {
                let bytes = std::fs::read(&library).with_context(|| format!("cannot read {library}"))?;
                layer.push((library.trim_start_matches('/').to_owned(), Entry::File(bytes, 0o755)));
            }
        }
    }
    if spec.host.contains(&"bash") {
        // Busybox' shell prefers its own nc and host to those on the path.
        layer.push(("bin/sh".into(), Entry::Link("/usr/bin/bash".into())));
    }
    for (name, path, mode) in spec.programs {
        layer.push(((*path).into(), Entry::File(std::fs::read(programs.get(name)?)?, *mode)));
    }
    match spec.name {
        "agnhost" => {
            for file in ["localhost.crt", "localhost.key"] {
                let bytes = programs.source(&format!("test/images/agnhost/porter/{file}"))?;
                layer.push((file.into(), Entry::File(bytes, 0o644)));
            }
        }
        "nautilus" | "kitten" => {
            let picture = format!("{}.jpg", spec.name);
            let data = json!({ "image": picture }).to_string();
            layer.push((picture, Entry::File(vec![0xff, 0xd8, 0xff, 0xd9], 0o644)));
            layer.push(("data.json".into(), Entry::File(data.into(), 0o644)));
        }
        _ => {}
    }
    Ok(layer)
}

/// What the dynamic linker would load for a program.
fn libraries(file: &Path) -> Result<Vec<String>> {
    let output = Command::new("ldd").arg(file).output().context("cannot start ldd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect())
}

fn which(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file());
    let Some(found) = found else {
        bail!(
            "an image of the suite holds {program}, which this machine does not have: install its Debian package"
        );
    };
    Ok(found)
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\nuser-defined-in-image:x:1000:1000::/home:/bin/sh\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\nuser-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\n";
