//! Copies of a database that is in use, and what makes a copy the database again.
//!
//! A copy is of one moment, whole and compact, made by SQLite beside the writer without holding it up. Writes that are only
//! in memory (Events of the last minute, renewals of Leases) are not in it.

use std::fs::File;
use std::path::Path;

use api::Revision;
use rusqlite::{Connection, OpenFlags};

use super::schema;
use crate::Error;

/// Revisions that a server may have given after the copy was made, so that none of them is given again for something else
/// (as `etcdutl snapshot restore --bump-revision`).
const BUMP: u64 = 1_000_000;

fn unusable(what: &str, path: &Path) -> impl FnOnce(rusqlite::Error) -> Error {
    let text = format!("cannot {what} {}", path.display());
    move |error| Error::Unusable(format!("{text}: {error}"))
}

/// Copies the database at `path`, which a server may have open, to the new file `to`.
///
/// # Errors
/// [`Error::Unusable`] when `path` is no database of skiff, is damaged, or when `to` cannot be written.
pub fn copy(path: &Path, to: &Path) -> Result<(), Error> {
    let source = check(path)?;
    let text = to.to_str().ok_or_else(|| Error::Unusable(format!("{} is no UTF-8 path", to.display())))?;
    source.execute("VACUUM INTO ?1", [text]).map_err(unusable("copy the database to", to))?;
    let flushed = File::open(to).and_then(|file| file.sync_all());
    flushed.map_err(|error| Error::Unusable(format!("cannot flush {}: {error}", to.display())))
}

/// Makes the copy at `path` a database that a server can go on with: it is checked whole, and its revisions go on far behind
/// all that the old server may have shown. Watches from before get 410 and start anew.
///
/// # Errors
/// [`Error::Unusable`] when the copy is damaged, of a newer version, or no database of skiff.
pub fn restored(path: &Path) -> Result<Revision, Error> {
    let source = check(path)?;
    let said: String = source
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(unusable("check", path))?;
    if said != "ok" {
        return Err(Error::Unusable(format!("{} is damaged: {said}", path.display())));
    }
    drop(source);
    let mut connection = schema::connect(path, &super::Options::default())?;
    let state = schema::load(&connection).map_err(unusable("read", path))?;
    let next = Revision(state.next.0 + BUMP);
    bump(&mut connection, next).map_err(unusable("write", path))?;
    Ok(next)
}

/// Makes a new database at `path` whose first revision comes after `revision`, as if everything up to it had been compacted: for objects
/// that clients know from elsewhere.
///
/// # Errors
/// [`Error::Unusable`] when there is a file already, or it cannot be written.
pub fn begin_after(path: &Path, revision: Revision) -> Result<(), Error> {
    if path.exists() {
        return Err(Error::Unusable(format!("{} is there already", path.display())));
    }
    let mut connection = schema::connect(path, &super::Options::default())?;
    bump(&mut connection, revision).map_err(unusable("write", path))
}

/// No revision up to `next` is given any more, nor can be read from.
fn bump(connection: &mut Connection, next: Revision) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for name in ["reserved", "compacted"] {
        transaction.execute("INSERT OR REPLACE INTO meta VALUES (?1, ?2)", (name, next.0 as i64))?;
    }
    transaction.commit()?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// Opens a database of skiff to read.
fn check(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(unusable("open", path))?;
    schema::recognize(&connection, path)?;
    Ok(connection)
}
