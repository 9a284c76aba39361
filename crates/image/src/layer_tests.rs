//! Layers that behave, layers that lie, and layers that grow.

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use tar::{Builder, EntryType, Header};

use super::*;

fn layer(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (path, kind, content) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o4750);
        header.set_uid(0);
        header.set_gid(7);
        header.set_mtime(1_000);
        // Paths that tar's own builder refuses are written into the header as they are.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        match kind {
            EntryType::Symlink | EntryType::Link => {
                header.as_gnu_mut().unwrap().linkname[..content.len()].copy_from_slice(content.as_bytes());
                header.set_size(0);
                header.set_cksum();
                tar.append(&header, std::io::empty()).unwrap();
            }
            _ => {
                header.set_size(content.len() as u64);
                header.set_cksum();
                tar.append(&header, content.as_bytes()).unwrap();
            }
        }
    }
    tar.into_inner().unwrap()
}

fn root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("COULD NOT RUN: unpacking layers needs root (owners, whiteouts)");
    }
    root
}

fn unpacked(entries: &[(&str, EntryType, &str)]) -> (tempfile::TempDir, Result<Unpacked, Error>) {
    let folder = tempfile::tempdir().unwrap();
    let result = unpack(&layer(entries)[..], &folder.path().join("layer"), &Limits::default());
    (folder, result)
}

use EntryType::{Directory, Link, Regular, Symlink};

#[test]
fn files_links_modes_and_owners_come_out() {
    if !root() {
        return;
    }
    let (folder, result) = unpacked(&[
        ("usr/", Directory, ""),
        ("usr/lib/", Directory, ""),
        ("lib", Symlink, "usr/lib"),
        ("lib/x.so", Regular, "library"),
        ("usr/lib/y.so", Link, "usr/lib/x.so"),
        ("deep/without/parents", Regular, "x"),
    ]);
    assert_eq!(result.unwrap().size, 8);
    let at = folder.path().join("layer");
    assert_eq!(std::fs::read_to_string(at.join("usr/lib/x.so")).unwrap(), "library");
    let meta = std::fs::metadata(at.join("usr/lib/y.so")).unwrap();
    assert_eq!(
        (meta.nlink(), meta.gid(), meta.permissions().mode() & 0o7777, meta.mtime()),
        (2, 7, 0o4750, 1_000)
    );
}

#[test]
fn whiteouts_become_overlayfs_ones() {
    if !root() {
        return;
    }
    let (folder, result) = unpacked(&[
        ("a/", Directory, ""),
        ("a/.wh.gone", Regular, ""),
        ("b/", Directory, ""),
        ("b/.wh..wh..opq", Regular, ""),
    ]);
    result.unwrap();
    let gone = std::fs::symlink_metadata(folder.path().join("layer/a/gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
}

#[test]
fn nothing_gets_out_of_the_folder() {
    if !root() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let (_folder, result) = unpacked(&[("../escape", Regular, "x")]);
    assert!(result.unwrap_err().to_string().contains("refused"));
    // A link to an absolute path is followed inside the layer, as a container would.
    let (folder, result) = unpacked(&[("out", Symlink, target), ("out/file", Regular, "x")]);
    assert!(
        result.is_err()
            || folder.path().join("layer").join(target.trim_start_matches('/')).join("file").exists()
    );
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    let (_folder, result) = unpacked(&[("x", Symlink, "/etc/passwd"), ("x", Regular, "replaced")]);
    result.unwrap();
    let (_folder, result) = unpacked(&[("hard", Link, "../../../etc/passwd")]);
    assert!(result.is_err());
}

#[test]
fn whiteouts_stay_below_the_layer() {
    if !root() {
        return;
    }
    for name in [".wh...", ".wh..", "usr/.wh..."] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("neighbour")).unwrap();
        let entries = layer(&[("usr/file", Regular, "x"), (name, Regular, "")]);
        let result = unpack(&entries[..], &folder.path().join("layer"), &Limits::default());
        assert!(result.unwrap_err().to_string().contains("refused"), "{name}");
        assert!(folder.path().join("neighbour").exists(), "{name} reached a neighbour");
    }
}

#[test]
fn what_grows_too_large_is_refused() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { layer: 10_000, ..Limits::default() };
    let big = layer(&[("big", Regular, &"x".repeat(50_000))]);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut packed, &big).unwrap();
    let packed = packed.finish().unwrap();
    let error = unpack(&packed[..], &folder.path().join("layer"), &limits).unwrap_err();
    assert!(error.to_string().contains("limit"), "{error}");
    let limits = Limits { entries: 1, ..Limits::default() };
    let two = layer(&[("a", Regular, ""), ("b", Regular, "")]);
    assert!(unpack(&two[..], &folder.path().join("two"), &limits).is_err());
}

#[test]
fn garbage_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for (number, bytes) in
        [&b"\x1f\x8bnot gzip at all"[..], b"\x28\xb5\x2f\xfdno zstd", &[0xff; 2000]].iter().enumerate()
    {
        let result = unpack(*bytes, &folder.path().join(number.to_string()), &Limits::default());
        assert!(result.is_err(), "{number}");
    }
}
