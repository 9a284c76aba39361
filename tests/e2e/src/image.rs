//! The tests' and the demo's own image: the toolbox serving a page that tells its version.

use std::path::Path;

use crate::Machine;

use anyhow::{Context, Result};
use serde_json::json;
use testkit::image::{Entry, Image};

/// Puts one such image a version where the machine looks for images: `<name>:<version>`.
pub fn put(machine: &Machine, name: &str, versions: &[&str]) -> Result<()> {
    std::fs::create_dir_all(machine.images())?;
    for version in versions {
        let archive = machine.images().join(format!("web-{version}.tar"));
        write(&format!("{name}:{version}"), version, &archive)?;
    }
    Ok(())
}

/// Writes an image whose web server (port 8080) answers `/` with a line that has `version=<version>` in it.
pub fn write(reference: &str, version: &str, to: &Path) -> Result<()> {
    let mut image = Image::toolbox(reference);
    let page = format!("a web page of {reference}, version={version}\n");
    image.layers.push(vec![
        ("www".into(), Entry::Folder(0o755)),
        ("www/index.html".into(), Entry::File(page.into_bytes(), 0o644)),
        ("www/healthz".into(), Entry::File(b"ok\n".to_vec(), 0o644)),
    ]);
    image.config =
        json!({"Entrypoint": ["/bin/toolbox"], "Cmd": ["serve", "8080", "/www"], "Env": ["PATH=/bin"]});
    image.save(to).with_context(|| format!("cannot write {}", to.display()))
}
