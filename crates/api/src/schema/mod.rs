//! The facts about every type of the API, as tables in read-only memory (D2), and one view of a schema that built-in
//! types and CRDs share.
//!
//! The tables are made by `build.rs` from `facts/*.tsv` and hold numbers only: no heap, no relocation, no start-up
//! work. What a column means is told in `facts/README.md`. Nothing here knows a single kind by name.

mod rows;
mod view;

use std::fmt;

pub use rows::{ColumnRow, KindRow, SelectableRow, columns, kinds, selectable};
pub use view::{Scalar, Schema, Shape};

use rows::Text;

mod tables {
    use super::rows::*;
    use super::*;
    include!(concat!(env!("OUT_DIR"), "/tables.rs"));
}

/// What a field or its elements are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    String,
    Bool,
    Int32,
    Int64,
    Double,
    Bytes,
    /// A struct, named by [`Field::of`].
    Message,
    Quantity,
    IntOrString,
    Time,
    MicroTime,
    Duration,
    RawExtension,
    FieldsV1,
    Json,
    Any,
}

/// How Go's struct holds a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Pointer,
    Value,
    Slice,
    Map,
}

/// When Go leaves a field out of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Omit {
    Never,
    Empty,
    Zero,
}

/// `x-kubernetes-list-type`; a list that states none is atomic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListType {
    Atomic,
    Set,
    Map,
}

/// The form of a type in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeShape {
    Object,
    /// A bare list in JSON, a message with `items` in protobuf.
    Array,
    Duration,
    /// `runtime.Unknown`.
    Envelope,
    FieldsV1,
    IntOrString,
    Json,
    MicroTime,
    Quantity,
    RawExtension,
    SchemaOrArray,
    SchemaOrStrings,
    SchemaOrBool,
    GroupVersion,
    Time,
}

/// One type (an OpenAPI definition, a protobuf message). Compare by address: there is one of each.
pub struct Type {
    name: Text,
    proto: Text,
    gvks: Text,
    unions: Text,
    shape: TypeShape,
    served: bool,
    atomic: bool,
    defaults: bool,
    own: (u16, u16),
    json: u16,
    sorted: u16,
    written: (u16, u16),
    defaulted: (u16, u16),
    tags: (u16, u16),
    fields: u16,
}

/// One field of a type. JSON sees inlined structs' fields in their place; protobuf sees them nested.
pub struct Field {
    owner: u16,
    json: Text,
    proto_name: Text,
    tag: u32,
    kind: Kind,
    map: bool,
    repeated: bool,
    inline: bool,
    of: u16,
    presence: Presence,
    omit: Omit,
    required: bool,
    default: Text,
    list: ListType,
    list_stated: bool,
    map_keys: Text,
    atomic: bool,
    granular: bool,
    strategy: Text,
    merge_key: Text,
    values: Text,
    format: Text,
    go: Text,
}

/// A Go type of this name is a text: `v1.PodPhase`, `types.UID`.
pub fn is_go_text(name: &str) -> bool {
    let of = |field: &Field| {
        let go = field.go_name()?;
        Some(field.kind() == Kind::String && go.trim_start_matches("[]") == name)
    };
    tables::FIELDS.iter().any(|field| of(field) == Some(true))
}

/// The type with this OpenAPI name, e.g. `io.k8s.api.core.v1.Pod`.
pub fn lookup(name: &str) -> Option<&'static Type> {
    let at = tables::TYPES.binary_search_by(|row| row.name.str().cmp(name)).ok()?;
    Some(&tables::TYPES[at])
}

/// The type of a kind; `group` is empty for core. Kinds that are registered everywhere (Status, DeleteOptions, …) are
/// found under any group and version.
pub fn of_kind(group: &str, version: &str, kind: &str) -> Option<&'static Type> {
    let find = |group: &str, version: &str| {
        let wanted = [group, "/", version, "/", kind];
        let order = |text: &str| text.bytes().cmp(wanted.iter().flat_map(|part| part.bytes()));
        let at = tables::GVKS.binary_search_by(|(gvk, _)| order(gvk.str())).ok()?;
        Some(&tables::TYPES[usize::from(tables::GVKS[at].1)])
    };
    find(group, version).or_else(|| find("*", "*"))
}

/// All types, by name.
pub fn types() -> &'static [Type] {
    &tables::TYPES
}

impl Type {
    pub fn name(&self) -> &'static str {
        self.name.str()
    }
    /// The last part of the name: what Go calls the type.
    pub fn short_name(&self) -> &'static str {
        let name = self.name();
        name.rsplit_once('.').map_or(name, |(_, last)| last)
    }
    /// Full name of the protobuf message; empty: JSON only.
    pub fn proto(&self) -> &'static str {
        self.proto.str()
    }
    pub fn shape(&self) -> TypeShape {
        self.shape
    }
    /// Reached from a served kind, or part of the API's own machinery.
    pub fn served(&self) -> bool {
        self.served
    }
    /// `(group, version, kind)` of each registration.
    pub fn gvks(&self) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        self.gvks.list().filter_map(|gvk| {
            let (group, rest) = gvk.trim().split_once('/')?;
            let (version, kind) = rest.split_once('/')?;
            Some((group, version, kind))
        })
    }
    /// `x-kubernetes-map-type: atomic` on the type: every field of this type is replaced as a whole.
    pub fn atomic(&self) -> bool {
        self.atomic
    }
    /// `x-kubernetes-unions` as JSON; empty if none.
    pub fn unions(&self) -> &'static str {
        self.unions.str()
    }
    /// The fields as JSON has them, in the order in which Go writes them, those of inlined structs in their place.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = &'static Field> + Clone + use<> {
        index(self.json, self.fields)
    }
    /// The field at a place of [`Type::fields`].
    pub fn field_at(&self, place: usize) -> Option<&'static Field> {
        (place < usize::from(self.fields))
            .then(|| &tables::FIELDS[usize::from(tables::INDEX[usize::from(self.json) + place])])
    }
    /// The field of this JSON name.
    pub fn field(&self, json: &str) -> Option<&'static Field> {
        self.field_at(self.place(json)?)
    }
    /// Where in [`Type::fields`] the field of this JSON name stands.
    pub fn place(&self, json: &str) -> Option<usize> {
        let (start, len) = (usize::from(self.sorted), usize::from(self.fields));
        let sorted = &tables::INDEX[start..start + len];
        let order = |place: &u16| {
            let name = tables::FIELDS[usize::from(tables::INDEX[usize::from(self.json + place)])].json;
            name.len().cmp(&json.len()).then_with(|| name.bytes().cmp(json.as_bytes()))
        };
        let at = sorted.binary_search_by(order).ok()?;
        Some(usize::from(sorted[at]))
    }
    /// The places of [`Type::fields`] that Go writes even when nobody set them, in order.
    pub(crate) fn written(&self) -> &'static [u16] {
        &tables::INDEX[usize::from(self.written.0)..][..usize::from(self.written.1)]
    }
    /// The places of [`Type::fields`] that have a stated default.
    pub(crate) fn defaulted(&self) -> &'static [u16] {
        &tables::INDEX[usize::from(self.defaulted.0)..][..usize::from(self.defaulted.1)]
    }
    /// Some field of the type, or of a type below it, has a default.
    pub fn has_defaults(&self) -> bool {
        self.defaults
    }
    /// The fields that protobuf has, by ascending tag; inlined structs are one field each.
    pub fn tagged(&self) -> impl ExactSizeIterator<Item = &'static Field> + Clone + use<> {
        index(self.tags.0, self.tags.1)
    }
    /// The struct's own fields in its order, inlined structs as one field.
    pub fn own(&self) -> &'static [Field] {
        &tables::FIELDS[usize::from(self.own.0)..][..usize::from(self.own.1)]
    }
    /// The type's field `metadata` is an ObjectMeta.
    pub fn is_object(&self) -> bool {
        self.field("metadata").and_then(Field::of).is_some_and(|of| of.short_name() == "ObjectMeta")
    }
}

fn index(start: u16, len: u16) -> impl ExactSizeIterator<Item = &'static Field> + Clone {
    tables::INDEX[usize::from(start)..][..usize::from(len)].iter().map(|&at| &tables::FIELDS[usize::from(at)])
}

impl Field {
    /// The type whose struct states the field (for an inlined one, the inlined type).
    pub fn owner(&self) -> &'static Type {
        &tables::TYPES[usize::from(self.owner)]
    }
    /// Key in JSON.
    pub fn json(&self) -> &'static str {
        self.json.str()
    }
    /// Field number in protobuf; 0: JSON only.
    pub fn tag(&self) -> u32 {
        self.tag
    }
    pub fn proto_name(&self) -> &'static str {
        self.proto_name.str()
    }
    /// What the field, or each element of its list or map, is made of.
    pub fn kind(&self) -> Kind {
        self.kind
    }
    /// A map with string keys.
    pub fn is_map(&self) -> bool {
        self.map
    }
    pub fn is_list(&self) -> bool {
        self.repeated
    }
    /// An inlined struct: its fields stand in the parent's JSON object.
    pub fn is_inline(&self) -> bool {
        self.inline
    }
    /// The type of a [`Kind::Message`].
    pub fn of(&self) -> Option<&'static Type> {
        tables::TYPES.get(usize::from(self.of))
    }
    pub fn presence(&self) -> Presence {
        self.presence
    }
    pub fn omit(&self) -> Omit {
        self.omit
    }
    pub fn required(&self) -> bool {
        self.required
    }
    /// The default that upstream states, as JSON text.
    pub fn default(&self) -> Option<&'static str> {
        Some(self.default.str()).filter(|text| !text.is_empty())
    }
    pub fn list_type(&self) -> ListType {
        self.list
    }
    /// OpenAPI shows the list type only where it is stated.
    pub fn list_type_stated(&self) -> bool {
        self.list_stated
    }
    /// `x-kubernetes-list-map-keys`.
    pub fn map_keys(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.map_keys.list()
    }
    /// `x-kubernetes-map-type: atomic` on the field or on its type; a field may take its type's back by `granular`.
    pub fn atomic_map(&self) -> bool {
        let of = || !self.map && !self.repeated && self.of().is_some_and(Type::atomic);
        self.atomic || (!self.granular && of())
    }
    /// `x-kubernetes-patch-strategy` holds `strategy` (`merge`, `replace`, `retainKeys`).
    pub fn patches_by(&self, strategy: &str) -> bool {
        self.strategy.list().any(|one| one == strategy)
    }
    /// `x-kubernetes-patch-strategy` as OpenAPI has it; empty if none.
    pub fn patch_strategy(&self) -> &'static str {
        self.strategy.str()
    }
    /// `x-kubernetes-patch-merge-key`; empty if none.
    pub fn merge_key(&self) -> &'static str {
        self.merge_key.str()
    }
    /// The values of an enum, `""` among them where it is allowed; empty: no enum.
    pub fn values(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.values.list()
    }
    /// OpenAPI's format of the value or element.
    pub fn format(&self) -> &'static str {
        self.format.str()
    }
    /// Go's name of the field's type, pointers left out, where it does not follow from the other facts:
    /// `v1.PodPhase`, `[]v1.PersistentVolumeAccessMode`, `v1.ResourceList`.
    pub fn go_name(&self) -> Option<&'static str> {
        Some(self.go.str()).filter(|text| !text.is_empty())
    }
}

impl fmt::Debug for Type {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
impl fmt::Debug for Field {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.owner().short_name(), self.json())
    }
}
impl PartialEq for Type {
    fn eq(&self, other: &Type) -> bool {
        std::ptr::eq(self, other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_types_and_flattened_fields() {
        let pod = lookup("io.k8s.api.core.v1.Pod").unwrap();
        let names: Vec<_> = pod.fields().map(Field::json).collect();
        assert_eq!(names, ["kind", "apiVersion", "metadata", "spec", "status"]);
        assert_eq!(of_kind("", "v1", "Pod"), Some(pod));
        assert!(pod.is_object());
        let volume = lookup("io.k8s.api.core.v1.Volume").unwrap();
        assert!(volume.field("emptyDir").is_some());
        assert_eq!(volume.tagged().count(), 2);
        assert!(volume.field("nothing").is_none());
        assert_eq!(of_kind("apps", "v1", "DeleteOptions").unwrap().short_name(), "DeleteOptions");
    }

    #[test]
    fn every_field_is_found_by_its_name() {
        for row in types() {
            for field in row.fields() {
                assert!(std::ptr::eq(row.field(field.json()).unwrap(), field), "{row:?} {field:?}");
            }
        }
        assert_eq!(types().len(), 1196);
    }

    #[test]
    fn rows_are_found() {
        assert_eq!(kinds().len(), 95);
        assert!(columns("", "pods").any(|column| column.name() == "Ready"));
        assert!(selectable("", "v1", "Pod").any(|field| field.label() == "spec.nodeName"));
    }
}
