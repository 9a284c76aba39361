//! Which class an object gets that names none: the newest of those that an annotation makes the default, by name among those of one
//! moment (upstream's GetDefaultClass in storage/util and plugin/pkg/admission/network/defaultingressclass).

use super::Request;

/// The name of the default among the classes `plural` of `group`; `keys` are the annotations that say so with "true".
pub(super) fn name(request: &Request<'_>, group: &str, plural: &str, keys: &[&str]) -> Option<String> {
    let snapshot = request.call.inner.caches.named(group, plural)?.snapshot();
    let mut defaults: Vec<(String, String)> = snapshot
        .iter()
        .map(|object| object.value())
        .filter(|class| keys.iter().any(|key| class.str_at(&["metadata", "annotations", key]) == "true"))
        .map(|class| {
            let at = |field| class.str_at(&["metadata", field]).to_owned();
            (at("creationTimestamp"), at("name"))
        })
        .collect();
    defaults.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(&other.1)));
    defaults.into_iter().next().map(|(_, name)| name)
}
