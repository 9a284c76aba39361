//! Signs what was approved: clients' certificates by the CA that the API believes clients by, kubelets' serving certificates and
//! `legacy-unknown` by the CA of the cluster's servers. A request that is not what its signer signs fails for good.

use std::sync::Arc;

use api::Key;
use async_trait::async_trait;
use client::reconcile::Error;
use client::{Action, Informer, Reconciler, Watch};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use pki::{Authority, Wanted};
use serde_json::json;

use super::{ACCOUNT, CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY, is, is_issued, of_node, usages};
use crate::{Context, Controller};

pub const CONTROLLER: Controller = Controller {
    name: "certificatesigningrequest-signing",
    account: ACCOUNT,
    workers: 2,
    make: |context| {
        // Without CAs nothing is signed, and nobody asks what is to be.
        let signers = context.config.signers.clone();
        Some(Arc::new(Signer {
            requests: context.informer::<CertificateSigningRequest>()?,
            signers,
            context,
        }))
    },
};

/// Seconds of a certificate's life, at the most (`--cluster-signing-duration`) and at the least.
const MOST: i64 = 365 * 86_400;
const LEAST: i64 = 600;

/// The CAs that sign.
#[derive(Clone, Debug)]
pub struct Signers {
    pub client: Arc<Authority>,
    pub server: Arc<Authority>,
}

struct Signer {
    requests: Informer<CertificateSigningRequest>,
    signers: Option<Signers>,
    context: Context,
}

#[async_trait]
impl Reconciler for Signer {
    fn name(&self) -> &'static str {
        CONTROLLER.name
    }
    fn watches(&self) -> Vec<Watch> {
        vec![Watch::own(self.requests.cache())]
    }

    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let Some(signers) = &self.signers else { return Ok(Action::Done) };
        let Some(object) = self.requests.cache().get_key(key).filter(|own| !own.deleting) else {
            return Ok(Action::Done);
        };
        let Some(request) = client::decode::<CertificateSigningRequest>(&object) else {
            return Ok(Action::Done);
        };
        if is_issued(&request)
            || !is(&request, "Approved")
            || is(&request, "Denied")
            || is(&request, "Failed")
        {
            return Ok(Action::Done);
        }
        let spec = &request.spec;
        let authority = match spec.signer_name.as_str() {
            CLIENT | KUBELET_CLIENT => &signers.client,
            KUBELET_SERVING | LEGACY => &signers.server,
            _ => return Ok(Action::Done),
        };
        let mut status = request.status.clone().unwrap_or_default();
        match wanted(spec) {
            Ok(wanted) => {
                let signed = authority.sign(&wanted, &usages(spec), seconds(spec), &self.context.clock);
                let pem = signed.map_err(|error| Error::from(error.to_string()))?;
                status.certificate = Some(ByteString(pem.into_bytes()));
            }
            Err(why) => {
                let condition = json!({"type": "Failed", "status": "True", "reason": "SignerValidationFailure",
                    "message": why, "lastUpdateTime": self.context.now()});
                let condition =
                    serde_json::from_value(condition).map_err(|error| Error::from(error.to_string()))?;
                status.conditions.get_or_insert_default().push(condition);
            }
        }
        let old = request.status.clone().unwrap_or_default();
        self.context.writer.status(&object, &old, &status).await?;
        Ok(Action::Done)
    }
}

/// What is signed, or why this signer does not.
fn wanted(spec: &CertificateSigningRequestSpec) -> Result<Wanted, String> {
    let wanted = Wanted::parse(&spec.request.0)?;
    let usages = usages(spec);
    match spec.signer_name.as_str() {
        KUBELET_CLIENT => of_node(&wanted, &usages, "client auth")?,
        KUBELET_SERVING => of_node(&wanted, &usages, "server auth")?,
        CLIENT => {
            if let Some(other) = usages
                .iter()
                .find(|usage| !["digital signature", "key encipherment", "client auth"].contains(usage))
            {
                return Err(format!("invalid usage for client certificate: {other}"));
            }
            if !usages.contains(&"client auth") {
                return Err("missing required usage for client certificate: client auth".into());
            }
        }
        _ => {}
    }
    Ok(wanted)
}

fn seconds(spec: &CertificateSigningRequestSpec) -> i64 {
    spec.expiration_seconds.map_or(MOST, |asked| i64::from(asked).clamp(LEAST, MOST))
}
