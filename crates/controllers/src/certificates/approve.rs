//! Approves what nodes ask for themselves, if RBAC lets them (`certificatesigningrequests/selfnodeclient`, `/nodeclient`).

use std::sync::Arc;

use api::Key;
use async_trait::async_trait;
use client::reconcile::Error;
use client::{Action, Informer, Reconciler, Watch};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use pki::Wanted;
use serde_json::json;

use super::{ACCOUNT, KUBELET_CLIENT, is, is_issued, of_node, usages};
use crate::{Context, Controller};

pub const CONTROLLER: Controller = Controller {
    name: "certificatesigningrequest-approving",
    account: ACCOUNT,
    workers: 1,
    make: |context| {
        Some(Arc::new(Approver { requests: context.informer::<CertificateSigningRequest>()?, context }))
    },
};

struct Approver {
    requests: Informer<CertificateSigningRequest>,
    context: Context,
}

#[async_trait]
impl Reconciler for Approver {
    fn name(&self) -> &'static str {
        CONTROLLER.name
    }
    fn watches(&self) -> Vec<Watch> {
        vec![Watch::own(self.requests.cache())]
    }

    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let Some(object) = self.requests.cache().get_key(key).filter(|own| !own.deleting) else {
            return Ok(Action::Done);
        };
        let Some(request) = client::decode::<CertificateSigningRequest>(&object) else {
            return Ok(Action::Done);
        };
        if is_issued(&request) || is(&request, "Approved") || is(&request, "Denied") {
            return Ok(Action::Done);
        }
        for (right, message) in candidates(&request.spec) {
            if !self.may(&request.spec, right).await? {
                continue;
            }
            let mut conditions = json!(
                request.status.iter().flat_map(|own| own.conditions.iter().flatten()).collect::<Vec<_>>()
            );
            if let Some(all) = conditions.as_array_mut() {
                all.push(json!({"type": "Approved", "status": "True", "reason": "AutoApproved", "message": message}));
            }
            let change = json!({"status": {"conditions": conditions}});
            return match self.context.writer.update(&object, "approval", &change).await {
                Err(error) if !error.is_not_found() => Err(error.into()),
                _ => Ok(Action::Done),
            };
        }
        Ok(Action::Done)
    }
}

/// The rights that would do for a request, and what is written down with each.
fn candidates(spec: &CertificateSigningRequestSpec) -> Vec<(&'static str, &'static str)> {
    if spec.signer_name != KUBELET_CLIENT {
        return Vec::new();
    }
    let Ok(wanted) = Wanted::parse(&spec.request.0) else { return Vec::new() };
    if of_node(&wanted, &usages(spec), "client auth").is_err() {
        return Vec::new();
    }
    let own = ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview.");
    let any = ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.");
    match spec.username.as_deref() == Some(wanted.common_name.as_str()) {
        true => vec![own, any],
        false => vec![any],
    }
}

impl Approver {
    /// Whether who asked has the right.
    async fn may(&self, spec: &CertificateSigningRequestSpec, right: &str) -> Result<bool, Error> {
        let review = json!({
            "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
            "spec": {
                "user": spec.username, "uid": spec.uid, "groups": spec.groups, "extra": spec.extra,
                "resourceAttributes": {
                    "group": "certificates.k8s.io", "version": "*", "resource": "certificatesigningrequests",
                    "subresource": right, "verb": "create",
                },
            },
        });
        let asked = http::Request::post("/apis/authorization.k8s.io/v1/subjectaccessreviews")
            .header("content-type", "application/json")
            .body(review.to_string().into_bytes())
            .map_err(|error| Error::from(error.to_string()))?;
        let review = self.context.writer.client().request::<SubjectAccessReview>(asked).await;
        let review = review.map_err(|error| Error::from(error.to_string()))?;
        Ok(review.status.is_some_and(|status| status.allowed))
    }
}
