//! What `.Capabilities` holds: no cluster is asked, so these are the versions that upstream's client knows.

use std::rc::Rc;
use std::sync::LazyLock;

use regex::Regex;

use crate::go::value::{Field, ListType, Struct, StructType};
use crate::go::{List, Value, quote};

/// The version of Kubernetes that charts see unless one is given.
pub const KUBE_VERSION: &str = "v1.36.0";
/// The version of Helm whose output this is.
pub const HELM_VERSION: &str = "v3.22";
const GO_VERSION: &str = "go1.26.8";

/// Groups and versions that every chart sees, in upstream's order.
pub const API_VERSIONS: &[&str] = &[
    "v1",
    "admissionregistration.k8s.io/v1",
    "admissionregistration.k8s.io/v1alpha1",
    "admissionregistration.k8s.io/v1beta1",
    "internal.apiserver.k8s.io/v1alpha1",
    "apps/v1",
    "apps/v1beta1",
    "apps/v1beta2",
    "authentication.k8s.io/v1",
    "authentication.k8s.io/v1alpha1",
    "authentication.k8s.io/v1beta1",
    "authorization.k8s.io/v1",
    "authorization.k8s.io/v1beta1",
    "autoscaling/v1",
    "autoscaling/v2",
    "batch/v1",
    "batch/v1beta1",
    "certificates.k8s.io/v1",
    "certificates.k8s.io/v1beta1",
    "certificates.k8s.io/v1alpha1",
    "coordination.k8s.io/v1alpha2",
    "coordination.k8s.io/v1beta1",
    "coordination.k8s.io/v1",
    "discovery.k8s.io/v1",
    "discovery.k8s.io/v1beta1",
    "events.k8s.io/v1",
    "events.k8s.io/v1beta1",
    "extensions/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1",
    "flowcontrol.apiserver.k8s.io/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1beta2",
    "flowcontrol.apiserver.k8s.io/v1beta3",
    "lifecycle.k8s.io/v1alpha1",
    "networking.k8s.io/v1",
    "networking.k8s.io/v1beta1",
    "node.k8s.io/v1",
    "node.k8s.io/v1alpha1",
    "node.k8s.io/v1beta1",
    "policy/v1",
    "policy/v1beta1",
    "rbac.authorization.k8s.io/v1",
    "rbac.authorization.k8s.io/v1beta1",
    "rbac.authorization.k8s.io/v1alpha1",
    "resource.k8s.io/v1",
    "resource.k8s.io/v1beta2",
    "resource.k8s.io/v1beta1",
    "resource.k8s.io/v1alpha3",
    "scheduling.k8s.io/v1alpha3",
    "scheduling.k8s.io/v1beta1",
    "scheduling.k8s.io/v1",
    "storage.k8s.io/v1beta1",
    "storage.k8s.io/v1",
    "storage.k8s.io/v1alpha1",
    "storagemigration.k8s.io/v1",
    "storagemigration.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1",
];

/// Reads `--kube-version`. The error is upstream's text.
pub fn parse_kube_version(text: &str) -> Result<KubeVersion, String> {
    static PARTS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^\s*v?([0-9]+(?:\.[0-9]+)*)(.*)*$").expect("because the pattern is constant")
    });
    let shown = quote::quote(text.as_bytes());
    let fault = |reason: String| format!("invalid kube version '{text}': {reason}");
    let could_not = || fault(format!("could not parse {shown} as version"));
    let found = PARTS.captures(text).ok_or_else(could_not)?;
    let numbers: Vec<&str> = found.get(1).map_or("", |part| part.as_str()).split('.').collect();
    if numbers.len() < 2 {
        return Err(fault(format!("illegal version string {shown}")));
    }
    for number in &numbers {
        if number.len() > 1 && number.starts_with('0') {
            return Err(fault(format!(
                "illegal zero-prefixed version component {} in {shown}",
                quote::quote(number.as_bytes())
            )));
        }
    }
    Ok(KubeVersion {
        version: format!("v{}", numbers.join(".")),
        major: numbers[0].into(),
        minor: numbers[1].into(),
    })
}

/// `.Capabilities.KubeVersion`.
#[derive(Clone, Debug)]
pub struct KubeVersion {
    pub version: String,
    pub major: String,
    pub minor: String,
}

impl Default for KubeVersion {
    fn default() -> KubeVersion {
        KubeVersion { version: KUBE_VERSION.into(), major: "1".into(), minor: "36".into() }
    }
}

/// `.Capabilities`.
pub(super) fn value(kube: &KubeVersion, extra: &[String]) -> Value {
    let versions = API_VERSIONS.iter().copied().chain(extra.iter().map(String::as_str));
    let versions = versions.map(Value::from).collect();
    let make = |ty: &'static StructType, pointer: bool, fields: Vec<Value>| {
        Value::Struct(Rc::new(Struct { ty, pointer, fields }))
    };
    let kube = make(
        &KUBE,
        false,
        vec![kube.version.as_str().into(), kube.major.as_str().into(), kube.minor.as_str().into()],
    );
    let helm = make(&HELM, false, vec![HELM_VERSION.into(), "".into(), "".into(), GO_VERSION.into()]);
    make(&CAPABILITIES, true, vec![kube, Value::List(List::new(ListType::Versions, versions)), helm])
}

const fn plain(name: &'static str) -> Field {
    Field { go: name, json: name, omit: false }
}

static KUBE: StructType = StructType {
    name: "chartutil.KubeVersion",
    embeds: false,
    fields: &[plain("Version"), plain("Major"), plain("Minor")],
};

static HELM: StructType = StructType {
    name: "version.BuildInfo",
    embeds: false,
    fields: &[
        Field { go: "Version", json: "version", omit: true },
        Field { go: "GitCommit", json: "git_commit", omit: true },
        Field { go: "GitTreeState", json: "git_tree_state", omit: true },
        Field { go: "GoVersion", json: "go_version", omit: true },
    ],
};

static CAPABILITIES: StructType = StructType {
    name: "chartutil.Capabilities",
    embeds: false,
    fields: &[plain("KubeVersion"), plain("APIVersions"), plain("HelmVersion")],
};
