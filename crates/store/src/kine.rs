//! What k3s keeps: kine's table in SQLite, read and never written (github.com/k3s-io/kine, pkg/drivers/sqlite). A row is a revision; the
//! newest row of a name is its value, unless it is a deletion. Keys and values are those of upstream's API server on etcd.

use std::path::Path;

use api::{Key, Revision};
use bytes::Bytes;
use rusqlite::{Connection, OpenFlags};

use crate::Error;
use crate::etcd::Layout;

/// A name that has a value.
pub struct Entry {
    /// Upstream's, `/registry/pods/default/web`.
    pub name: String,
    /// The object's; `None`: it is none.
    pub key: Option<Key>,
    pub revision: Revision,
    pub value: Bytes,
}

/// All that is there, of one moment, in order of names, and the newest revision that was ever given.
///
/// # Errors
/// [`Error::Unusable`] when the file is no database of kine, or is damaged.
pub fn read(path: &Path) -> Result<(Vec<Entry>, Revision), Error> {
    let unusable = |why: rusqlite::Error| {
        Error::Unusable(format!("cannot read {} as kine's database: {why}", path.display()))
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(unusable)?;
    let layout = Layout::new("/registry");
    let mut all = || -> rusqlite::Result<(Vec<Entry>, Revision)> {
        // One transaction: a server may be writing.
        let transaction = connection.transaction()?;
        let newest: i64 =
            transaction.query_row("SELECT coalesce(max(id), 0) FROM kine", [], |row| row.get(0))?;
        let mut statement = transaction.prepare(
            "SELECT name, id, value FROM kine WHERE id IN (SELECT max(id) FROM kine GROUP BY name) AND deleted = 0 ORDER BY name",
        )?;
        let entries = statement.query_map([], |row| {
            let name: String = row.get(0)?;
            let value: Option<Vec<u8>> = row.get(2)?;
            Ok(Entry {
                key: layout.key(name.as_bytes()),
                name,
                revision: Revision(row.get::<_, i64>(1)? as u64),
                value: value.unwrap_or_default().into(),
            })
        })?;
        Ok((entries.collect::<rusqlite::Result<_>>()?, Revision(newest as u64)))
    };
    all().map_err(unusable)
}
