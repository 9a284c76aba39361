//! The order in which webhooks are called: mutating ones one after the other, each seeing what the one before made;
//! validating ones all at once, the first refusal in their order being the answer.

use api::Value;
use futures_util::future::join_all;

use super::call::{Refused, ask};
use super::versions;
use crate::admit::Request;
use crate::status::{Result, Status};

pub(super) async fn mutate(request: &Request<'_>, value: &mut Value) -> Result<()> {
    let hooks = request.call.inner.admission.hooks.mutating.all();
    let second = {
        let mut rounds = request.rounds.lock();
        // Plugins of the server changed what hooks had seen.
        if rounds.second && rounds.output.as_ref().is_some_and(|output| output != value) {
            rounds.require();
        }
        rounds.second
    };
    for (at, hook) in hooks.iter().enumerate() {
        let seen = (!value.is_null()).then_some(&*value);
        let Some(fit) = hook.fit(request, seen)? else { continue };
        if second && !request.rounds.lock().repeat.contains(&hook.uid) {
            continue;
        }
        let answer = ask(request, hook, &fit, seen, true).await;
        let mut changed = false;
        let result = match answer {
            Ok(None) => Ok(()),
            Ok(Some(_)) if value.is_null() => Err(Refused::Denied(Status::internal(format!(
                "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
                hook.name
            )))),
            Ok(Some(patch)) => {
                let shown = versions::show(request, &fit, value)?;
                let patched = api::patch::json_patch(shown, &patch)
                    .map_err(|error| Status::internal(error.to_string()))?;
                let new = versions::take(request, &fit, patched)?;
                changed = new != *value;
                *value = new;
                Ok(())
            }
            Err(refused) => Err(refused),
        };
        let round = usize::from(second);
        request.call.annotate(
            format!("mutation.webhook.admission.k8s.io/round_{round}_index_{at}"),
            format!(
                r#"{{"configuration":{:?},"webhook":{:?},"mutated":{changed}}}"#,
                hook.configuration, hook.name
            ),
        );
        {
            let mut rounds = request.rounds.lock();
            if changed {
                rounds.require();
                rounds.wanted = true;
            }
            if hook.reinvoke && !rounds.ran.contains(&hook.uid) {
                rounds.ran.push(hook.uid.clone());
            }
        }
        match result {
            Ok(()) => {}
            Err(Refused::Denied(status)) => return Err(status),
            Err(Refused::Failed(why)) if hook.ignore_failure => {
                let key = format!("failed-open.mutation.webhook.admission.k8s.io/round_{round}_index_{at}");
                open(request, &hook.name, &why, key);
            }
            Err(Refused::Failed(why)) => return Err(failed(&hook.name, &why)),
        }
    }
    request.rounds.lock().output = Some(value.clone());
    Ok(())
}

impl crate::admit::request::Rounds {
    /// What ran before has to run again.
    fn require(&mut self) {
        let ran = std::mem::take(&mut self.ran);
        self.repeat.extend(ran);
    }
}

fn failed(hook: &str, why: &str) -> Status {
    Status::internal(format!("failed calling webhook {hook:?}: {why}"))
}

fn open(request: &Request<'_>, hook: &str, why: &str, key: String) {
    tracing::warn!(hook, why, "a webhook failed and is ignored, as its policy says");
    request.call.annotate(key, hook.into());
}

pub(super) async fn validate(request: &Request<'_>, value: Option<&Value>) -> Result<()> {
    let hooks = request.call.inner.admission.hooks.validating.all();
    let mut relevant = Vec::new();
    for (at, hook) in hooks.iter().enumerate() {
        if let Some(fit) = hook.fit(request, value)? {
            relevant.push((at, hook, fit));
        }
    }
    let asked = relevant.iter().map(|(_, hook, fit)| ask(request, hook, fit, value, false));
    for ((at, hook, _), answer) in relevant.iter().zip(join_all(asked).await) {
        match answer {
            Ok(_) => {}
            Err(Refused::Denied(status)) => return Err(status),
            Err(Refused::Failed(why)) if hook.ignore_failure => {
                let key = format!("failed-open.validating.webhook.admission.k8s.io/round_0_index_{at}");
                open(request, &hook.name, &why, key);
            }
            Err(Refused::Failed(why)) => return Err(failed(&hook.name, &why)),
        }
    }
    Ok(())
}
