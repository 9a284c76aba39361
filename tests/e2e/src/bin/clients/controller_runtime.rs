//! controller-runtime's own integration tests: its client, caches (client-go's informers), managers, controllers and webhooks. They
//! run on envtest, which is told to use the cluster that is there: with the flags that envtest gives, and one for each package, as
//! envtest starts one.

use std::process::Command;

use anyhow::{Context, Result};
use e2e::programs::Programs;
use serde_json::Value;

use crate::lines::{End, Outcome};
use crate::{Client, Place};

pub const CLIENT: Client = Client {
    name: "controller-runtime",
    flags: &[
        "--disable-agent",
        "--disable-scheduler",
        "--disable-controller-manager",
        "--disable",
        "fleet,coredns",
        "--kube-apiserver-arg",
        "disable-admission-plugins=ServiceAccount",
    ],
    node: false,
    parts: PACKAGES,
    run,
};

/// Packages with tests that ask a server.
const PACKAGES: &[&str] = &[
    "client",
    "cache",
    "cluster",
    "manager",
    "controller",
    "builder",
    "webhook",
    "source",
    "handler",
    "internal/recorder",
    "internal/controller",
];

fn package(name: &str) -> String {
    format!("sigs.k8s.io/controller-runtime/pkg/{name}")
}

fn program(name: &str) -> String {
    format!("{}.test", name.replace('/', "-"))
}

pub fn prepare(programs: &Programs) -> Result<()> {
    for name in PACKAGES {
        programs.tests(&program(name), "clients", &package(name))?;
    }
    Ok(())
}

fn run(place: &Place<'_>) -> Result<Vec<Outcome>> {
    let name = place.part;
    let report = place.out.join(format!("{}.json", program(name)));
    let log = std::fs::File::create(place.out.join(format!("{}.log", program(name))))?;
    Command::new(place.programs.tests(&program(name), "clients", &package(name))?)
        .current_dir(place.programs.sources("clients", &package(name))?)
        .arg(format!("--ginkgo.json-report={}", report.display()))
        .args(["--ginkgo.no-color", "--ginkgo.timeout=10m"])
        .args(place.focus.map(|focus| format!("--ginkgo.focus={focus}")))
        .env("USE_EXISTING_CLUSTER", "true")
        .env("KUBECONFIG", place.machine.kubeconfig())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
        .with_context(|| format!("cannot start {}", program(name)))?;
    let text = std::fs::read_to_string(&report)
        .with_context(|| format!("{} wrote no report: see its log", program(name)))?;
    let found = read(name, &serde_json::from_str(&text)?);
    let failed = found.iter().filter(|one| matches!(one.end, End::Failed(_)));
    failed.for_each(|one| println!("    {one:?}"));
    println!("    {name}: {} tests", found.len());
    Ok(found)
}

/// Ginkgo's report: each leaf with the texts of what contains it.
fn read(package: &str, report: &Value) -> Vec<Outcome> {
    let specs =
        report.as_array().into_iter().flatten().filter_map(|suite| suite["SpecReports"].as_array()).flatten();
    let outcome = |spec: &Value| {
        let texts =
            spec["ContainerHierarchyTexts"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let leaf = spec["LeafNodeText"].as_str().unwrap_or_default();
        let leaf = if leaf.is_empty() { spec["LeafNodeType"].as_str().unwrap_or_default() } else { leaf };
        let name: Vec<&str> = texts.chain([leaf]).collect();
        let why = spec["Failure"]["Message"].as_str().unwrap_or_default();
        let why = why.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect();
        let end = match spec["State"].as_str().unwrap_or_default() {
            "passed" => End::Passed,
            "skipped" | "pending" => End::Skipped(why),
            _ => End::Failed(why),
        };
        // What is done before and after all tests is told only where it fails.
        let is_test = spec["LeafNodeType"] == "It" || matches!(end, End::Failed(_));
        is_test.then(|| Outcome { name: format!("{package}: {}", name.join(" ")), end })
    };
    specs.filter_map(outcome).collect()
}
