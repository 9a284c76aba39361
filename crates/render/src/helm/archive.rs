//! The files of a chart archive, with upstream's bounds and its refusals of paths that lead out.

use std::io::Read;

use super::load::{FILE_LIMIT, File, without_bom};
use crate::go::{path, quote};

/// Bytes of all files, unpacked.
const TOTAL: u64 = 100 << 20;

pub(super) fn files(bytes: &[u8]) -> Result<Vec<File>, String> {
    // Headers and padding are read too: an archive of nothing but those is bounded as well.
    let unpacked = flate2::read::MultiGzDecoder::new(bytes).take(2 * TOTAL);
    let mut archive = tar::Archive::new(unpacked);
    let mut files = Vec::new();
    let mut left = TOTAL;
    let fault = |error: std::io::Error| match error.to_string() {
        text if text.contains("invalid gzip header") => "gzip: invalid header".to_string(),
        text => text,
    };
    for entry in archive.entries().map_err(fault)? {
        let mut entry = entry.map_err(fault)?;
        let kind = entry.header().entry_type();
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if kind.is_dir()
            || name.ends_with('/')
            || kind.is_pax_global_extensions()
            || kind.is_pax_local_extensions()
        {
            continue;
        }
        let inside = inside(&name)?;
        let size = entry.size();
        if size > left {
            return Err(format!("decompressed chart is larger than the maximum file size {TOTAL}"));
        }
        if size > FILE_LIMIT {
            let shown = quote::quote(name.as_bytes());
            return Err(format!(
                "decompressed chart file {shown} is larger than the maximum file size {FILE_LIMIT}"
            ));
        }
        let mut data = Vec::new();
        entry.by_ref().take(left).read_to_end(&mut data).map_err(fault)?;
        left -= data.len() as u64;
        if (data.len() as u64) < size || left == 0 {
            return Err(format!("decompressed chart is larger than the maximum file size {TOTAL}"));
        }
        files.push(File { name: inside, data: without_bom(data) });
    }
    if files.is_empty() {
        return Err("no files in chart archive".into());
    }
    Ok(files)
}

/// The path below the first directory.
fn inside(name: &str) -> Result<String, String> {
    let delimiter = if name.contains('\\') { '\\' } else { '/' };
    let (first, rest) = name.split_once(delimiter).unwrap_or((name, ""));
    let rest = rest.replace(delimiter, "/");
    if rest.starts_with('/') {
        return Err("chart illegally contains absolute paths".into());
    }
    let clean = path::clean(&rest);
    if clean == "." {
        let shown = quote::quote(name.as_bytes());
        return Err(format!("chart illegally contains content outside the base directory: {shown}"));
    }
    if clean.starts_with("..") {
        return Err("chart illegally references parent directory".into());
    }
    let bytes = clean.as_bytes();
    if bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && &bytes[1..3] == b":/" {
        return Err("chart contains illegally named files".into());
    }
    if first == "Chart.yaml" {
        return Err("chart yaml not in base directory".into());
    }
    Ok(clean)
}
