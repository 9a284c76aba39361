#![no_main]
//! Image archives: Docker's and OCI layouts, in a tar that may be compressed. A layer must not leave its folder.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use image::{Config, Images, Limits, Registries};
use libfuzzer_sys::fuzz_target;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new("/dev/shm").join(format!("skiff-fuzz-archive-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("inbox")).expect("because memory is writable");
    folder
});

/// Opened once: it reads the machine's CAs.
static IMAGES: LazyLock<Images> = LazyLock::new(|| {
    let config = Config {
        store: FOLDER.join("store"),
        inbox: FOLDER.join("inbox"),
        registries: Registries::default(),
        limits: Limits { layer: 1 << 20, entries: 1000, archive: 4 << 20, layers: 8 },
    };
    Images::open(config).expect("because the folder is there")
});

fuzz_target!(|bytes: &[u8]| {
    let archive = FOLDER.join("image.tar");
    std::fs::write(&archive, bytes).expect("because memory is writable");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("because a thread is there");
    let _ = runtime.block_on(IMAGES.import(&archive));
    for image in IMAGES.list() {
        runtime.block_on(IMAGES.remove(&image.id)).expect("because it is there");
    }
    drop(runtime);
    let mut there: Vec<_> =
        std::fs::read_dir(&*FOLDER).into_iter().flatten().flatten().map(|it| it.file_name()).collect();
    there.sort();
    assert_eq!(there, ["image.tar", "inbox", "store"], "a layer was unpacked outside its folder");
});
