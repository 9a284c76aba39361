//! CertificateSigningRequests of the signers `kubernetes.io/…`: approved where a node asks for itself, signed by the cluster's
//! CAs once approved, and removed when they are of no more use (k8s.io/kubernetes/pkg/controller/certificates).
//!
//! One account, `certificate-controller`, does all three, as upstream's does; admission judges it like anyone.

mod approve;
mod clean;
mod sign;

use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use pki::Wanted;

pub use approve::CONTROLLER as APPROVER;
pub use clean::CONTROLLER as CLEANER;
pub use sign::{CONTROLLER as SIGNER, Signers};

const ACCOUNT: &str = "certificate-controller";

const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
const LEGACY: &str = "kubernetes.io/legacy-unknown";

/// A condition of this type is true.
fn is(request: &CertificateSigningRequest, kind: &str) -> bool {
    let conditions = request.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == kind && condition.status == "True")
}

fn is_issued(request: &CertificateSigningRequest) -> bool {
    let certificate = request.status.as_ref().and_then(|status| status.certificate.as_ref());
    certificate.is_some_and(|pem| !pem.0.is_empty())
}

fn usages(spec: &CertificateSigningRequestSpec) -> Vec<&str> {
    spec.usages.iter().flatten().map(String::as_str).collect()
}

/// What a kubelet's request must be (k8s.io/kubernetes/pkg/apis/certificates/helpers.go).
fn of_node(wanted: &Wanted, usages: &[&str], purpose: &str) -> Result<(), String> {
    if wanted.organizations != ["system:nodes"] {
        return Err("subject organization is not system:nodes".into());
    }
    let serves = purpose == "server auth";
    if serves && wanted.dns == 0 && wanted.addresses == 0 {
        return Err("DNS or IP subjectAltName is required".into());
    }
    for (there, what) in [
        (!serves && wanted.dns > 0, "DNS"),
        (wanted.emails > 0, "Email"),
        (!serves && wanted.addresses > 0, "IP"),
        (wanted.uris > 0, "URI"),
    ] {
        if there {
            return Err(format!("{what} subjectAltNames are not allowed"));
        }
    }
    let required = if serves {
        ["digital signature", "key encipherment", "server auth"]
    } else {
        ["client auth", "digital signature", "key encipherment"]
    };
    let has = |name: &&str| usages.contains(name);
    // Keys that encipher nothing (not RSA) do without it.
    let all = required.iter().all(|name| has(name) || *name == "key encipherment");
    if !all || usages.iter().any(|usage| !required.contains(usage)) {
        return Err(format!("usages did not match [{}]", required.join(" ")));
    }
    match wanted.common_name.starts_with("system:node:") {
        true => Ok(()),
        false => Err("subject common name does not begin with system:node:".into()),
    }
}
