//! What a node needs now and then: logs rotated, images that nobody uses removed, folders of forgotten pods deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use runtime::{SandboxStatus, State};

use crate::node;
use crate::pod::spec;
use crate::volumes;
use crate::work::{Shared, blocking};

/// How long an image is let be though nobody uses it: it may have come for a pod that is about to start. Upstream's
/// `--minimum-image-ttl-duration`.
const YOUNG: SignedDuration = SignedDuration::from_secs(120);

/// When each image was first seen here, by id.
#[derive(Default)]
pub(crate) struct Seen(BTreeMap<String, Timestamp>);

/// One round; `all` with the parts that are needed less often.
pub(crate) async fn run(shared: &Arc<Shared>, seen: &mut Seen, all: bool) {
    let sandboxes = match shared.seams.runtime.list().await {
        Ok(sandboxes) => sandboxes,
        Err(error) => {
            tracing::warn!(error = %base::chain(&error), "the runtime cannot list what it runs");
            return;
        }
    };
    rotate_logs(shared, &sandboxes).await;
    if all {
        delete_orphans(shared, &sandboxes).await;
        collect_images(shared, seen, &sandboxes).await;
    }
}

async fn rotate_logs(shared: &Arc<Shared>, sandboxes: &[SandboxStatus]) {
    let settings = &shared.config.settings;
    let (size, files) = (settings.log_max_size, settings.log_max_files);
    for sandbox in sandboxes {
        for container in sandbox.containers.iter().filter(|container| container.state == State::Running) {
            let log = sandbox.spec.log_dir.join(&container.log_path);
            if std::fs::metadata(&log).map_or(0, |metadata| metadata.len()) <= size {
                continue;
            }
            let now = shared.clock.now();
            let stamp = now.strftime("%Y%m%d-%H%M%S").to_string();
            let rotated = PathBuf::from(format!("{}.{stamp}", log.display()));
            if let Err(error) = std::fs::rename(&log, &rotated) {
                tracing::warn!(log = %log.display(), %error, "cannot rotate a log");
                continue;
            }
            if let Err(error) = shared.seams.runtime.reopen_log(&container.id).await {
                tracing::warn!(log = %log.display(), error = %base::chain(&error), "cannot reopen a log");
                // Without a reopened file the container would go on writing into the rotated one.
                if let Err(error) = std::fs::rename(&rotated, &log) {
                    tracing::warn!(log = %log.display(), %error, "cannot put a log back");
                }
                continue;
            }
            let told = blocking(move || tidy(&log, files)).await;
            if let Some(Err(error)) = told {
                tracing::warn!(%error, "cannot tidy rotated logs");
            }
        }
    }
}

/// Compresses all rotated files but the newest, and deletes the oldest beyond `files` (the current one counted).
fn tidy(log: &Path, files: u32) -> std::io::Result<()> {
    let mut rotated = rotated(log)?;
    let keep = usize::try_from(files.saturating_sub(1)).unwrap_or(1);
    while rotated.len() > keep {
        std::fs::remove_file(rotated.remove(0))?;
    }
    rotated.pop();
    for path in rotated.iter().filter(|path| path.extension().is_none_or(|extension| extension != "gz")) {
        let packed = PathBuf::from(format!("{}.gz", path.display()));
        let temporary = PathBuf::from(format!("{}.tmp", path.display()));
        let mut encoder =
            flate2::write::GzEncoder::new(std::fs::File::create(&temporary)?, flate2::Compression::default());
        std::io::copy(&mut std::fs::File::open(path)?, &mut encoder)?;
        encoder.finish()?.flush()?;
        std::fs::rename(&temporary, packed)?;
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// Rotated files of a log, the oldest first.
pub fn rotated(log: &Path) -> std::io::Result<Vec<PathBuf>> {
    let (Some(folder), Some(name)) = (log.parent(), log.file_name().and_then(|name| name.to_str())) else {
        return Ok(Vec::new());
    };
    let prefix = format!("{name}.");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let file = entry.file_name();
        if file.to_str().is_some_and(|file| file.starts_with(&prefix) && !file.ends_with(".tmp")) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Folders of pods that neither the API nor the runtime knows: left by a crash between two steps of forgetting.
async fn delete_orphans(shared: &Arc<Shared>, sandboxes: &[SandboxStatus]) {
    let mut known: BTreeSet<String> = sandboxes.iter().map(|sandbox| sandbox.spec.uid.clone()).collect();
    known.extend(shared.seams.sources.pods().iter().map(|pod| spec::uid(pod).to_owned()));
    let (links, pods) = (shared.config.settings.pod_logs.clone(), shared.config.paths.pods());
    let still = known.clone();
    let _panicked = blocking(move || crate::links::remove(&links, &pods, |uid| !still.contains(uid))).await;
    let Ok(entries) = std::fs::read_dir(shared.config.paths.pods()) else { return };
    for entry in entries.flatten() {
        let uid = entry.file_name().to_string_lossy().into_owned();
        if known.contains(&uid) || !entry.path().is_dir() {
            continue;
        }
        // A worker may be forgetting it just now; both may do so.
        let path = entry.path();
        if let Some(Err(error)) = blocking(move || volumes::remove(&path)).await {
            tracing::warn!(pod = uid, error = %base::chain(&error), "cannot delete the folder of a forgotten pod");
        }
    }
}

/// Above the high threshold images that no container uses go, the largest first, until the low one is reached. Those that just came
/// stay, and those whose archive is in the images folder.
async fn collect_images(shared: &Arc<Shared>, seen: &mut Seen, sandboxes: &[SandboxStatus]) {
    let Ok(mut images) = shared.seams.images.list().await else { return };
    let now = shared.clock.now();
    seen.0.retain(|id, _| images.iter().any(|image| image.id == *id));
    images.retain(|image| {
        let since = *seen.0.entry(image.id.clone()).or_insert(now);
        !image.pinned && now.duration_since(since) >= YOUNG
    });
    let settings = &shared.config.settings;
    let used = |free: u64, size: u64| {
        100 - u8::try_from(free.saturating_mul(100) / size.max(1)).unwrap_or(100).min(100)
    };
    let Some((size, free)) = node::disk(&shared.config.paths.image_store()) else { return };
    if used(free, size) < settings.image_gc_high {
        return;
    }
    let in_use: BTreeSet<&str> = sandboxes
        .iter()
        .flat_map(|sandbox| &sandbox.containers)
        .flat_map(|container| [container.image.as_str(), container.image_id.as_str()])
        .collect();
    images.sort_by_key(|image| std::cmp::Reverse(image.size));
    let mut gone = 0u64;
    for image in images {
        if used(free + gone, size) <= settings.image_gc_low {
            break;
        }
        let names = image.names.iter().map(String::as_str).chain([image.id.as_str()]);
        if names.clone().any(|name| in_use.contains(name)) || in_use.contains(image.reference().as_str()) {
            continue;
        }
        match shared.seams.images.remove(&image.id).await {
            Ok(()) => gone += image.size,
            Err(error) => {
                tracing::warn!(image = image.id, error = %base::chain(&error), "cannot remove an image")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_logs_are_packed_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("0.log");
        for name in
            ["0.log", "0.log.20260101-000001", "0.log.20260101-000002", "0.log.20260101-000003", "1.log"]
        {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        tidy(&log, 3).unwrap();
        let mut left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["0.log", "0.log.20260101-000002.gz", "0.log.20260101-000003", "1.log"]);
    }
}
