//! Rows of the tables of kinds, printer columns and selectable fields, as the facts have them.
//!
//! `kinds/` builds the table of kinds from these; nothing else should need them.

use super::tables;

/// A text in the blob: 20 bits of offset, 12 bits of length.
#[derive(Clone, Copy)]
pub(super) struct Text(pub(super) u32);

static STRINGS: &str = include_str!(concat!(env!("OUT_DIR"), "/strings.txt"));

impl Text {
    pub(super) fn str(self) -> &'static str {
        let (at, len) = ((self.0 >> 12) as usize, (self.0 & 0xfff) as usize);
        &STRINGS[at..at + len]
    }
    /// The bytes, without the check of [`Text::str`] that they begin and end at a character.
    #[inline]
    pub(super) fn bytes(self) -> &'static [u8] {
        let (at, len) = ((self.0 >> 12) as usize, (self.0 & 0xfff) as usize);
        &STRINGS.as_bytes()[at..at + len]
    }
    #[inline]
    pub(super) fn len(self) -> usize {
        (self.0 & 0xfff) as usize
    }
    /// The comma-separated parts; none of an empty text.
    pub(super) fn list(self) -> impl Iterator<Item = &'static str> + Clone {
        let text = self.str();
        text.split(',').take(if text.is_empty() { 0 } else { usize::MAX })
    }
}

/// A served resource, in discovery order.
pub struct KindRow {
    pub(super) group: Text,
    pub(super) version: Text,
    pub(super) kind: Text,
    pub(super) list_kind: Text,
    pub(super) type_name: Text,
    pub(super) plural: Text,
    pub(super) singular: Text,
    pub(super) short_names: Text,
    pub(super) categories: Text,
    pub(super) subresources: Text,
    pub(super) verbs: Text,
    pub(super) stability: Text,
    pub(super) namespaced: bool,
    pub(super) default: bool,
}

/// A column of a server-side Table.
pub struct ColumnRow {
    pub(super) group: Text,
    pub(super) resource: Text,
    pub(super) name: Text,
    pub(super) r#type: Text,
    pub(super) format: Text,
    pub(super) priority: i32,
}

/// A label that field selectors may use.
pub struct SelectableRow {
    pub(super) group: Text,
    pub(super) version: Text,
    pub(super) kind: Text,
    pub(super) label: Text,
    pub(super) selects: Text,
    pub(super) filled: bool,
}

/// All served resources, in discovery order.
pub fn kinds() -> &'static [KindRow] {
    &tables::KINDS
}

/// The Table columns of a resource, in order; none: it has no Table.
pub fn columns(group: &str, resource: &str) -> impl Iterator<Item = &'static ColumnRow> {
    tables::COLUMNS.iter().filter(move |row| row.group.str() == group && row.resource.str() == resource)
}

/// The field-selector labels of a kind.
pub fn selectable(group: &str, version: &str, kind: &str) -> impl Iterator<Item = &'static SelectableRow> {
    tables::SELECTABLE
        .iter()
        .filter(move |row| row.group.str() == group && row.version.str() == version && row.kind.str() == kind)
}

macro_rules! texts {
    ($row:ident: $($field:ident)*) => {
        impl $row { $(pub fn $field(&self) -> &'static str { self.$field.str() })* }
    };
}
texts!(KindRow: group version kind list_kind type_name plural singular subresources stability);
texts!(ColumnRow: name format);
texts!(SelectableRow: label);

impl KindRow {
    pub fn short_names(&self) -> impl Iterator<Item = &'static str> {
        self.short_names.list()
    }
    pub fn categories(&self) -> impl Iterator<Item = &'static str> {
        self.categories.list()
    }
    pub fn verbs(&self) -> impl Iterator<Item = &'static str> {
        self.verbs.list()
    }
    pub fn namespaced(&self) -> bool {
        self.namespaced
    }
    /// Served unless the configuration turns it off.
    pub fn on_by_default(&self) -> bool {
        self.default
    }
}

impl ColumnRow {
    pub fn kind(&self) -> &'static str {
        self.r#type.str()
    }
    pub fn priority(&self) -> i32 {
        self.priority
    }
}

impl SelectableRow {
    /// The label whose value is compared.
    pub fn selects(&self) -> &'static str {
        if self.selects.str().is_empty() { self.label.str() } else { self.selects.str() }
    }
    /// False: accepted, but always compares with the empty text.
    pub fn filled(&self) -> bool {
        self.filled
    }
}
