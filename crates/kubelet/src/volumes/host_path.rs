//! `hostPath`: a path of the node itself, checked or made as its `type` says. Never chowned, never deleted.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use futures_util::FutureExt;

use super::{Context, Error, Plugin, SetUp};

pub static PLUGIN: Plugin = Plugin {
    folder: "kubernetes.io~host-path",
    is: |volume| volume.host_path.is_some(),
    set_up: |context| async move { set_up(&context) }.boxed(),
};

fn set_up(context: &Context) -> Result<SetUp, Error> {
    let Some(source) = &context.volume.host_path else { return Err(Error::Unsupported) };
    check(context.path, source.type_.as_deref().unwrap_or_default())?;
    Ok(SetUp::default())
}

fn check(path: &Path, kind: &str) -> Result<(), Error> {
    let io = |operation, source| Error::Io { operation, path: path.to_path_buf(), source };
    match kind {
        "DirectoryOrCreate" if !path.exists() => {
            std::fs::create_dir_all(path).map_err(|source| io("make", source))?;
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(path, mode).map_err(|source| io("set the mode of", source))?;
        }
        "FileOrCreate" if !path.exists() => {
            std::fs::write(path, b"").map_err(|source| io("make", source))?;
            let mode = std::fs::Permissions::from_mode(0o644);
            std::fs::set_permissions(path, mode).map_err(|source| io("set the mode of", source))?;
        }
        // The runtime bind-mounts a path that is there; upstream's runtimes make a folder of one that is not.
        "" if !path.exists() => std::fs::create_dir_all(path).map_err(|source| io("make", source))?,
        _ => {}
    }
    let metadata = path.metadata();
    let file_type = metadata.as_ref().ok().map(std::fs::Metadata::file_type);
    let good = |test: fn(&std::fs::FileType) -> bool| file_type.as_ref().is_some_and(test);
    let (good, problem) = match kind {
        "" => (true, ""),
        "Directory" | "DirectoryOrCreate" => (good(std::fs::FileType::is_dir), "is not a directory"),
        "File" | "FileOrCreate" => (good(std::fs::FileType::is_file), "is not a file"),
        "Socket" => (good(FileTypeExt::is_socket), "is not a socket file"),
        "CharDevice" => (good(FileTypeExt::is_char_device), "is not a character device"),
        "BlockDevice" => (good(FileTypeExt::is_block_device), "is not a block device"),
        _ => (false, "has a type that is not known"),
    };
    if good { Ok(()) } else { Err(Error::HostPath { path: path.to_path_buf(), problem }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        std::fs::write(&file, "x").unwrap();
        for (path, kind, good) in [
            (folder.path().to_path_buf(), "Directory", true),
            (file.clone(), "Directory", false),
            (file.clone(), "File", true),
            (folder.path().join("no"), "File", false),
            (folder.path().join("new"), "DirectoryOrCreate", true),
            (folder.path().join("made"), "FileOrCreate", true),
            ("/dev/null".into(), "CharDevice", true),
        ] {
            assert_eq!(check(&path, kind).is_ok(), good, "{} as {kind}", path.display());
        }
        let told = check(&file, "Directory").unwrap_err().to_string();
        assert_eq!(told, format!("hostPath type check failed: {} is not a directory", file.display()));
    }
}
