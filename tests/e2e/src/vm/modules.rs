//! The modules of a distribution's kernel that skiff needs, and what those need, in the order of loading. A machine with a root file
//! system loads them by itself, through modprobe; here there is none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What skiff asks the kernel for. A name that is built in has no file and is skipped.
const WANTED: &[&str] = &[
    // libcrc32c asks for it by its name in the crypto API, which no dependency tells.
    "crc32c_generic",
    "overlay",
    "bridge",
    "br_netfilter",
    "veth",
    "nf_tables",
    "nft_chain_nat",
    "nft_nat",
    "nft_masq",
    "nft_ct",
    "nft_fib_inet",
    "nft_reject_inet",
    "nft_numgen",
    "nft_redir",
    "nft_hash",
    "nft_limit",
    "nft_log",
    "nft_objref",
];

/// Files, each after what it depends on.
pub fn in_order(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = BTreeMap::new();
    find(folder, &mut files)?;
    let mut order = Vec::new();
    for name in WANTED {
        place(name, &files, &mut order)?;
    }
    Ok(order)
}

fn find(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if let Some((name, _)) =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split_once(".ko"))
        {
            files.insert(name.replace('-', "_"), path.clone());
        }
    }
    Ok(())
}

fn place(name: &str, files: &BTreeMap<String, PathBuf>, order: &mut Vec<PathBuf>) -> Result<()> {
    let Some(path) = files.get(name).filter(|path| !order.contains(path)) else { return Ok(()) };
    for needed in depends(&std::fs::read(path)?) {
        place(&needed.replace('-', "_"), files, order)?;
    }
    order.push(path.clone());
    Ok(())
}

/// The names in a module's `depends=` (section `.modinfo`, texts that end with a zero).
fn depends(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let Some(at) = module.windows(key.len()).position(|window| window == key) else { return Vec::new() };
    let text = module[at + key.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let module = |name: &str, needs: &str| {
            std::fs::write(folder.path().join(name), format!("ELF\0license=GPL\0depends={needs}\0more\0"))
                .unwrap();
        };
        module("bridge.ko", "stp,llc");
        module("stp.ko", "llc");
        module("llc.ko", "");
        module("other.ko", "");
        let order = in_order(folder.path()).unwrap();
        let names: Vec<_> = order.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["llc.ko", "stp.ko", "bridge.ko"]);
    }
}
