//! A root file system as the kernel unpacks it at boot: a cpio archive in the "newc" form
//! (Documentation/driver-api/early-userspace/buffer-format.rst). Programs come with the libraries that they are linked with.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

#[derive(Default)]
pub struct Initramfs {
    /// Mode with the file type, and content; a folder stands before what is in it by the order of names.
    entries: BTreeMap<String, (u32, Vec<u8>)>,
}

impl Initramfs {
    pub fn new() -> Initramfs {
        Initramfs::default()
    }

    pub fn folder(&mut self, path: &str) {
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above);
        }
        self.entries.insert(path.to_owned(), (0o040_755, Vec::new()));
    }

    pub fn file(&mut self, path: &str, mode: u32, content: Vec<u8>) {
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above);
        }
        self.entries.insert(path.to_owned(), (0o100_000 | mode, content));
    }

    /// A program and its libraries; a static one has none.
    pub fn program(&mut self, path: &str, from: &Path) -> Result<()> {
        let read =
            |from: &Path| std::fs::read(from).with_context(|| format!("cannot read {}", from.display()));
        self.file(path, 0o755, read(from)?);
        let output = Command::new("ldd").arg(from).output().context("cannot start ldd")?;
        // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, `/lib64/ld-linux-x86-64.so.2 (0x…)`
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let library = line.split_once("=> ").map_or(line, |(_, rest)| rest).trim().split(' ').next();
            if let Some(library) = library.filter(|path| path.starts_with('/')) {
                self.file(library.trim_start_matches('/'), 0o755, read(Path::new(library))?);
            }
        }
        Ok(())
    }

    pub fn write(&self, to: &Path) -> Result<()> {
        let file = std::fs::File::create(to).with_context(|| format!("cannot make {}", to.display()))?;
        let mut out = std::io::BufWriter::new(file);
        let end = ("TRAILER!!!".to_owned(), (0, Vec::new()));
        for (number, (name, (mode, content))) in self.entries.iter().chain([(&end.0, &end.1)]).enumerate() {
            let (size, length) = (content.len(), name.len() + 1);
            // inode, mode, uid, gid, links, mtime, size, device and special device (major, minor each), name's length, check.
            write!(out, "070701{number:08x}{mode:08x}{:016x}{:08x}{:08x}{size:08x}", 0, 1, 0)?;
            write!(out, "{:032x}{length:08x}{:08x}{name}\0", 0, 0)?;
            out.write_all(&[0; 3][..padding(110 + length)])?;
            out.write_all(content)?;
            out.write_all(&[0; 3][..padding(size)])?;
        }
        out.flush()?;
        Ok(())
    }
}

/// Bytes up to the next multiple of four.
fn padding(length: usize) -> usize {
    length.wrapping_neg() % 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stand_at_multiples_of_four() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        let mut root = Initramfs::new();
        root.file("etc/name", 0o644, b"five!".to_vec());
        root.write(&path).unwrap();
        let image = std::fs::read(path).unwrap();
        assert_eq!(image.len() % 4, 0);
        let heads: Vec<usize> =
            image.windows(6).enumerate().filter(|(_, it)| *it == b"070701").map(|(at, _)| at).collect();
        assert_eq!(heads.len(), 3);
        assert!(heads.iter().all(|at| at % 4 == 0));
        let name = |at: usize| image[at + 110..].split(|byte| *byte == 0).next().unwrap();
        assert_eq!(
            heads.into_iter().map(name).collect::<Vec<_>>(),
            [&b"etc"[..], b"etc/name", b"TRAILER!!!"]
        );
    }
}
