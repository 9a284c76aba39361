//! Custom resources: rows of the table made of CustomResourceDefinitions at run time.

use api::kind::Version;
use api::schema::Schema;
use api::{Kind, Value};

use crate::codec::Strictness;
use crate::engine::Target;
use crate::status::Result;

/// The schema of a kind's version.
pub(crate) fn schema_of<'a>(_kind: &'a Kind, version: &'a Version) -> Schema<'a> {
    crate::manage::built_in(version.type_name)
}

/// Takes fields away that the schema does not know, and fills in its defaults.
pub(crate) fn prune(_: &Target, _: &mut Value, _: Strictness, _: &mut Vec<String>) -> Result<()> {
    Ok(())
}

/// What a definition gets when it is deleted.
pub(crate) fn deleting(_: &Target, _: &mut Value, _: &str) {}
