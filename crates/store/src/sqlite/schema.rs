//! The file: its tables, version and lock, and what is read from it at the start.

use std::fs::File;
use std::path::Path;

use api::{Key, Revision};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::index::Index;
use super::{Options, engine};
use crate::Error;

/// `PRAGMA application_id`: "skif". Tells a skiff database from any other SQLite file.
const APPLICATION: i64 = 0x736b_6966;
/// `PRAGMA user_version`. A newer one is refused, an older one migrated.
const VERSION: i64 = 2;

/// What the writer starts from.
pub(super) struct State {
    /// The last revision that may have been shown.
    pub next: Revision,
    /// Revisions up to this one may be shown without another write to disk.
    pub reserved: Revision,
    pub compacted: Revision,
    pub index: Index,
    /// Unix seconds, key, revision.
    pub expiries: Vec<(i64, Key, Revision)>,
}

/// Takes the database for this process; the lock ends with the file's handle.
pub(super) fn lock(path: &Path) -> Result<File, Error> {
    let unusable = |what: &str, error: &dyn std::fmt::Display| {
        Error::Unusable(format!("cannot {what} {}: {error}", path.display()))
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| unusable("make the folder of", &error))?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::options().create(true).truncate(false).write(true).open(&name);
    let file = file.map_err(|error| unusable("open the lock of", &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::Unusable(format!(
            "another process has {} open; only one skiff server can use a data directory",
            path.display()
        ))),
        Err(std::fs::TryLockError::Error(error)) => Err(unusable("lock", &error)),
    }
}

/// Opens the writer's connection and brings the file to the present version.
pub(super) fn connect(path: &Path, options: &Options) -> Result<Connection, Error> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = match &options.vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs.as_str()),
        None => Connection::open_with_flags(path, flags),
    };
    let mut connection = opened.map_err(engine("open the database"))?;
    prepare(&mut connection, path)?;
    Ok(connection)
}

/// How many tables there are, and the version of the file: a new file, or one that skiff wrote and this skiff knows.
pub(super) fn recognize(connection: &Connection, path: &Path) -> Result<(i64, i64), Error> {
    let number = |name: &str| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            .map_err(engine("open the database"))
    };
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(engine("open the database"))?;
    let (application, version) = (number("application_id")?, number("user_version")?);
    if tables > 0 && application != APPLICATION {
        return Err(Error::Unusable(format!("{} is no skiff database", path.display())));
    }
    if version > VERSION {
        return Err(Error::Unusable(format!(
            "{} was written by a newer skiff (format {version}, this one knows {VERSION}); use that or a newer one",
            path.display()
        )));
    }
    Ok((tables, version))
}

fn prepare(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let (tables, version) = recognize(connection, path)?;
    let set = |connection: &Connection| -> rusqlite::Result<()> {
        if tables == 0 {
            // Only effective before the first table: freed pages can be given back to the disk.
            connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        }
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // FULL: the log is flushed at each commit; NORMAL would lose acknowledged writes to a power cut.
        connection.pragma_update(None, "synchronous", "FULL")?;
        // The writer checkpoints between batches, when it suits.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "cache_size", -2048)?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(())
    };
    set(connection).map_err(engine("set up the database"))?;
    if tables == 0 {
        let make = |connection: &mut Connection| -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
            transaction.execute_batch(
                "CREATE TABLE log (
                     revision INTEGER PRIMARY KEY, -- of the write
                     key TEXT NOT NULL,
                     value BLOB,                   -- NULL: deleted
                     expires INTEGER               -- Unix seconds
                 );
                 CREATE INDEX log_expires ON log (expires) WHERE expires IS NOT NULL;
                 CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;",
            )?;
            transaction.commit()
        };
        make(connection).map_err(engine("make the database"))?;
    } else if version < 2 {
        // Until then the file had the index that is in memory now.
        let migrate = |connection: &mut Connection| -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            transaction.execute_batch("DROP INDEX IF EXISTS log_key")?;
            transaction.pragma_update(None, "user_version", VERSION)?;
            transaction.commit()
        };
        migrate(connection).map_err(engine("bring the database to this version"))?;
    }
    Ok(())
}

pub(super) fn load(connection: &Connection) -> rusqlite::Result<State> {
    let meta = |name: &str| -> rusqlite::Result<u64> {
        let found: Option<i64> = connection
            .query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0))
            .optional()?;
        Ok(found.unwrap_or(0) as u64)
    };
    let newest: Option<i64> = connection.query_row("SELECT max(revision) FROM log", [], |row| row.get(0))?;
    // At least 1: a client takes revision 0 for "any".
    let reserved = Revision(meta("reserved")?.max(newest.unwrap_or(0) as u64).max(1));
    let mut statement =
        connection.prepare("SELECT revision, key, value IS NULL, expires FROM log ORDER BY revision")?;
    let mut rows = statement.query([])?;
    let (mut index, mut expiries) = (Index::default(), Vec::new());
    while let Some(row) = rows.next()? {
        let Ok(key) = row.get_ref(1)?.as_str()?.parse::<Key>() else { continue };
        let revision = Revision(row.get::<_, i64>(0)? as u64);
        index.insert(&key, revision, row.get(2)?);
        if let Some(expires) = row.get::<_, Option<i64>>(3)? {
            expiries.push((expires, key, revision));
        }
    }
    Ok(State { next: reserved, reserved, compacted: Revision(meta("compacted")?), index, expiries })
}
