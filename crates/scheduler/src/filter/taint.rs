//! Taints and tolerations. Pure.

use k8s_openapi::api::core::v1::{Taint, Toleration};

use crate::cluster::Node;
use crate::pod::Pod;

/// The taint keeps new pods off.
pub fn repels(taint: &Taint) -> bool {
    matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
}

/// One of `tolerations` covers `taint`.
pub fn tolerates(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| {
        let effect = toleration.effect.as_deref().unwrap_or_default();
        let key = toleration.key.as_deref().unwrap_or_default();
        let (wanted, is) =
            (toleration.value.as_deref().unwrap_or_default(), taint.value.as_deref().unwrap_or_default());
        let number = |text: &str| text.parse::<i64>().ok();
        (effect.is_empty() || effect == taint.effect)
            && (key.is_empty() || key == taint.key)
            && match toleration.operator.as_deref().unwrap_or_default() {
                "" | "Equal" => wanted == is,
                "Exists" => true,
                // KEP-5471: numbers in taints.
                "Lt" => matches!((number(is), number(wanted)), (Some(is), Some(wanted)) if is < wanted),
                "Gt" => matches!((number(is), number(wanted)), (Some(is), Some(wanted)) if is > wanted),
                _ => false,
            }
    })
}

/// Soft taints that the pod does not tolerate: the more, the worse.
pub fn prefers_not(pod: &Pod, node: &Node) -> usize {
    let soft = node.taints.iter().filter(|taint| taint.effect == "PreferNoSchedule");
    soft.filter(|taint| !tolerates(&pod.tolerations, taint)).count()
}
