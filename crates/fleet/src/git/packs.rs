//! Packs pile up, one a fetch: from time to time the small ones become one, without a server.
//!
//! The largest is left as it is, so what is written is about what came since; of it and of objects too large to be held, nothing
//! is copied. What no commit of interest names goes with the packs that are merged.

use std::collections::HashSet;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use gix::ObjectId;
use gix::odb::pack::data::entry::Header;
use gix::odb::pack::data::{Version, header};
use gix::odb::pack::index::File as Index;

use super::{chain, open, receive, resume};

/// Bytes of an object that is copied: the whole of it is in memory meanwhile.
const LARGEST: u64 = 32 << 20;

/// The packs of a clone.
pub(super) fn count(home: &Path) -> usize {
    all(home).len()
}

/// Bytes of them.
pub(super) fn weight(home: &Path) -> u64 {
    all(home).iter().filter_map(|path| std::fs::metadata(path).ok()).map(|meta| meta.len()).sum()
}

/// Takes away all but these.
pub(super) fn forget(home: &Path, kept: &[PathBuf]) {
    for path in all(home).iter().filter(|path| !kept.contains(path)) {
        // Without its index a pack is not read.
        let _ = std::fs::remove_file(path.with_extension("idx"));
        let _ = std::fs::remove_file(path);
    }
}

pub(super) fn all(home: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(home.join("objects/pack")).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "pack"))
        .collect()
}

/// Merges all packs but the largest, and those that hold an object too large to be copied.
///
/// # Errors
/// What could not be read or written; the clone is then as it was.
pub(super) fn merge(home: &Path) -> Result<(), String> {
    let mut repo = open(home).map_err(|error| error.to_string())?;
    repo.objects.refresh_never();
    let roots = resume::roots(home);
    let needed = resume::reachable(&repo, &roots)?;
    let mut merged = all(home);
    merged.sort_by_key(|path| std::fs::metadata(path).map_or(0, |meta| meta.len()));
    let mut kept = Vec::new();
    let keep = |path: Option<PathBuf>, kept: &mut Vec<Index>| -> Result<(), String> {
        if let Some(path) = path {
            let index = Index::at(path.with_extension("idx"), gix::hash::Kind::Sha1);
            kept.push(index.map_err(|error| chain(&error))?);
        }
        Ok(())
    };
    keep(merged.pop(), &mut kept)?;
    for id in &needed {
        let size = repo.find_header(*id).map_err(|error| chain(&error))?.size();
        if size > LARGEST && !holds(&kept, *id) {
            let mut holder = None;
            for (at, path) in merged.iter().enumerate() {
                let index = Index::at(path.with_extension("idx"), gix::hash::Kind::Sha1);
                if index.is_ok_and(|index| index.lookup(id).is_some()) {
                    holder = Some(at);
                    break;
                }
            }
            keep(holder.map(|at| merged.remove(at)), &mut kept)?;
        }
    }
    let copied: HashSet<ObjectId> = needed.into_iter().filter(|id| !holds(&kept, *id)).collect();
    drop(kept);
    let folder = home.join("objects/pack");
    if !copied.is_empty() {
        // Half of it is taken away as half a fetch is.
        let draft = folder.join("draft");
        write(&repo, &copied, &draft)?;
        crate::cut::child("child.merge");
        let before: HashSet<PathBuf> = all(home).into_iter().collect();
        receive::salvage(&draft, &folder).map_err(|error| format!("{}: {error}", draft.display()))?;
        let new: Vec<PathBuf> = all(home).into_iter().filter(|path| !before.contains(path)).collect();
        let new = new.first().ok_or("the merged pack was not written")?;
        let index = Index::at(new.with_extension("idx"), gix::hash::Kind::Sha1);
        let index = [index.map_err(|error| chain(&error))?];
        if !copied.iter().all(|id| holds(&index, *id)) {
            return Err("the merged pack does not hold everything".into());
        }
    }
    // What the server is told that it need not look behind.
    let mut shallow = String::new();
    for id in &roots {
        if let Some(commit) = repo.find_object(*id).ok().and_then(|object| object.peel_to_commit().ok()) {
            shallow.push_str(&format!("{}\n", commit.id));
        }
    }
    drop(repo);
    crate::cut::child("child.merged");
    let io = |error: std::io::Error| format!("{}: {error}", home.display());
    let draft = home.join("shallow.lock");
    std::fs::write(&draft, shallow).map_err(io)?;
    std::fs::rename(&draft, home.join("shallow")).map_err(io)?;
    for old in ["refs/skiff/tag", "refs/skiff/tags"] {
        let path = home.join(old);
        let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path));
    }
    for path in merged {
        // Without its index a pack is not read.
        std::fs::remove_file(path.with_extension("idx")).map_err(io)?;
        std::fs::remove_file(&path).map_err(io)?;
    }
    Ok(())
}

fn holds(indices: &[Index], id: ObjectId) -> bool {
    indices.iter().any(|index| index.lookup(id).is_some())
}

fn write(repo: &gix::Repository, ids: &HashSet<ObjectId>, to: &Path) -> Result<(), String> {
    let io = |error: std::io::Error| format!("{}: {error}", to.display());
    let count = u32::try_from(ids.len()).map_err(|error| error.to_string())?;
    let mut out = BufWriter::with_capacity(64 << 10, std::fs::File::create(to).map_err(io)?);
    out.write_all(&header::encode(Version::V2, count)).map_err(io)?;
    for id in ids {
        let object = repo.find_object(*id).map_err(|error| chain(&error))?;
        let header = match object.kind {
            gix::objs::Kind::Tree => Header::Tree,
            gix::objs::Kind::Blob => Header::Blob,
            gix::objs::Kind::Commit => Header::Commit,
            gix::objs::Kind::Tag => Header::Tag,
        };
        header.write_to(object.data.len() as u64, &mut out).map_err(io)?;
        let mut packed = ZlibEncoder::new(&mut out, Compression::fast());
        packed.write_all(&object.data).map_err(io)?;
        packed.finish().map_err(io)?;
    }
    out.flush().map_err(io)
}
