//! Certificate requests: who may approve and sign for a signer, and nobody asks the API's own signer for `system:masters`
//! (k8s.io/kubernetes/plugin/pkg/admission/certificates).

use api::Value;

use super::{Plugin, Request};
use crate::authz::{self, Attributes};
use crate::engine::Call;
use crate::status::Result;

const GROUP: &str = "certificates.k8s.io";
const PLURAL: &str = "certificatesigningrequests";

/// CertificateApproval.
pub(super) const APPROVAL: Plugin = Plugin {
    name: "CertificateApproval",
    default: true,
    handles: |request| request.is(GROUP, PLURAL) && request.subresource == "approval",
    mutate: None,
    validate: Some(|request, value| {
        let result = permitted(request, value, "approve");
        Box::pin(std::future::ready(result))
    }),
};

/// CertificateSigning.
pub(super) const SIGNING: Plugin = Plugin {
    name: "CertificateSigning",
    default: true,
    handles: |request| request.is(GROUP, PLURAL) && request.subresource == "status",
    mutate: None,
    validate: Some(|request, value| {
        let failed = |csr: &Value| -> Vec<Value> {
            let all = csr.at(&["status", "conditions"]).and_then(Value::as_array).unwrap_or_default();
            all.iter().filter(|condition| condition.str_at(&["type"]) == "Failed").cloned().collect()
        };
        let signed = |csr: &Value| csr.at(&["status", "certificate"]).cloned();
        let same = matches!((value, request.old), (Some(new), Some(old)) if signed(new) == signed(old) && failed(new) == failed(old));
        let result = if same { Ok(()) } else { permitted(request, value, "sign") };
        Box::pin(std::future::ready(result))
    }),
};

/// CertificateSubjectRestriction.
pub(super) const SUBJECT: Plugin = Plugin {
    name: "CertificateSubjectRestriction",
    default: true,
    handles: |request| request.creates(GROUP, PLURAL),
    mutate: None,
    validate: Some(|request, value| Box::pin(std::future::ready(subject(request, value)))),
};

fn permitted(request: &Request<'_>, value: Option<&Value>, verb: &'static str) -> Result<()> {
    let Some(csr) = request.old.or(value) else { return Ok(()) };
    let signer = csr.str_at(&["spec", "signerName"]);
    match may(request.call, verb, signer) {
        true => Ok(()),
        false => {
            let why = format!("user not permitted to {verb} requests with signerName {signer:?}");
            Err(request.forbidden(value, why))
        }
    }
}

/// Who calls may do this for a signer, or for all signers of its domain.
pub(super) fn may(call: &Call, verb: &'static str, signer: &str) -> bool {
    let domain = signer.split('/').next().unwrap_or_default();
    [signer, &format!("{domain}/*")].into_iter().any(|name| {
        let attributes =
            Attributes { verb, group: GROUP, resource: "signers", name, ..Attributes::default() };
        authz::decide(&call.inner, &call.identity, &attributes).is_ok()
    })
}

/// A node asks for certificates of its own name only (of NodeRestriction).
pub(super) fn of_node(request: &Request<'_>, node: &str, csr: &Value) -> Result<()> {
    use base64::Engine;
    let kubelets = ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];
    if !request.creates(GROUP, PLURAL) || !kubelets.contains(&csr.str_at(&["spec", "signerName"])) {
        return Ok(());
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(csr.str_at(&["spec", "request"]));
    let wanted = bytes.map_err(|error| error.to_string()).and_then(|pem| pki::Wanted::parse(&pem));
    match wanted {
        Ok(wanted) if wanted.common_name == format!("system:node:{node}") => Ok(()),
        Ok(_) => {
            let why = format!("can only create a node CSR with CN=system:node:{node}");
            Err(request.forbidden(Some(csr), why))
        }
        Err(why) => Err(request.forbidden(Some(csr), format!("unable to parse csr: {why}"))),
    }
}

/// The organizations of a PEM request's subject.
fn organizations(pem: &[u8]) -> std::result::Result<Vec<String>, String> {
    use x509_parser::prelude::{FromDer, X509CertificationRequest};
    let (_, block) = x509_parser::pem::parse_x509_pem(pem).map_err(|error| error.to_string())?;
    let (_, request) =
        X509CertificationRequest::from_der(&block.contents).map_err(|error| error.to_string())?;
    let subject = &request.certification_request_info.subject;
    Ok(subject.iter_organization().filter_map(|name| name.as_str().ok()).map(String::from).collect())
}

fn subject(request: &Request<'_>, value: Option<&Value>) -> Result<()> {
    use base64::Engine;
    let Some(csr) =
        value.filter(|csr| csr.str_at(&["spec", "signerName"]) == "kubernetes.io/kube-apiserver-client")
    else {
        return Ok(());
    };
    let bad = |why: String| request.forbidden(value, format!("failed to parse CSR: {why}"));
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(csr.str_at(&["spec", "request"]))
        .map_err(|error| bad(error.to_string()))?;
    let groups = organizations(&bytes).map_err(bad)?;
    match groups.iter().find(|group| *group == "system:masters") {
        Some(group) => Err(request.forbidden(
            value,
            format!("use of kubernetes.io/kube-apiserver-client signer with {group} group is not allowed"),
        )),
        None => Ok(()),
    }
}
