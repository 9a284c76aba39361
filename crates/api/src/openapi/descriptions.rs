//! What `kubectl explain` says of the fields that every object has. The facts have no descriptions; these are ours.

use super::schemas::META;

pub(super) const API_VERSION: &str =
    "APIVersion defines the version of the schema that this object is written in.";
pub(super) const KIND: &str =
    "Kind is the name of what this object represents, in CamelCase. It cannot be changed.";
pub(super) const METADATA: &str = "Standard object's metadata: its name, labels, owners and the like.";

/// Of `metadata`.
const OBJECT_META: &[(&str, &str)] = &[
    (
        "annotations",
        "Annotations are for programs and people to keep what they like with the object; nothing selects by them.",
    ),
    (
        "creationTimestamp",
        "CreationTimestamp is a timestamp of when the server made the object. Clients cannot set it.",
    ),
    (
        "deletionGracePeriodSeconds",
        "Seconds that the object has to end by itself before it is removed. Set by the server with deletionTimestamp.",
    ),
    (
        "deletionTimestamp",
        "DeletionTimestamp is when the object is to be gone. Set by the server when a deletion was asked for and has to wait.",
    ),
    (
        "finalizers",
        "Names of those who have something to do before the object goes. It stays until the list is empty.",
    ),
    (
        "generateName",
        "GenerateName is the beginning of a name that the server completes where none is given.",
    ),
    ("generation", "Generation counts changes of what is wanted. Set by the server."),
    ("labels", "Labels are for selecting objects, by controllers, Services and people."),
    ("managedFields", "ManagedFields tells who owns which field, for server-side apply. Kept by the server."),
    ("name", "Name is unique among the objects of its kind in the namespace, and cannot be changed."),
    (
        "namespace",
        "Namespace that the name is unique in. Empty for kinds of the whole cluster; cannot be changed.",
    ),
    ("ownerReferences", "Objects that this one belongs to. When all of them are gone it is removed."),
    (
        "resourceVersion",
        "ResourceVersion changes with every write. Sent back, it makes a write fail if the object was changed.",
    ),
    ("selfLink", "SelfLink is not set any more."),
    ("uid", "UID is unique in time and space, also when a name is used again. Set by the server."),
];

/// The description of a type's field, if there is one.
pub(super) fn of(type_name: &str, field: &str, is_kind: bool) -> Option<&'static str> {
    let object_meta = type_name.strip_prefix(META).is_some_and(|rest| rest == ".ObjectMeta");
    match field {
        _ if object_meta => OBJECT_META.iter().find(|(name, _)| *name == field).map(|(_, text)| *text),
        "apiVersion" if is_kind => Some(API_VERSION),
        "kind" if is_kind => Some(KIND),
        "metadata" if is_kind => Some(METADATA),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::kinds;

    #[test]
    fn fields_of_every_object_are_described() {
        let document = super::super::v3(&kinds::builtin(), "", "v1").unwrap();
        let schemas = document.at(&["components", "schemas"]).unwrap();
        let text = |of: &str, field: &str| {
            let schema = schemas.get(of).unwrap();
            schema.str_at(&["properties", field, "description"]).to_string()
        };
        assert!(text("io.k8s.api.core.v1.ConfigMap", "kind").starts_with("Kind is the name"));
        assert!(text("io.k8s.api.core.v1.ConfigMap", "metadata").starts_with("Standard object's metadata"));
        let meta = schemas.get("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").unwrap();
        for (field, schema) in meta.get("properties").unwrap().as_map().unwrap().iter() {
            assert!(!schema.str_at(&["description"]).is_empty(), "{field} is not described");
        }
    }
}
