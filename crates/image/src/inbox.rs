//! The folder of tars: imported at the start, and when they appear (inotify). A file counts once whoever wrote it has
//! closed it or moved it in; what fails is told once and tried again when it changes.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;

use crate::images::Inner;
use crate::{Error, disk};

pub(crate) async fn watch(inner: Arc<Inner>) -> Result<(), Error> {
    let folder = inner.config.inbox.clone();
    let io = |error: nix::errno::Errno| disk("watch", &folder)(error.into());
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).map_err(io)?;
    // Watched before it is listed: nothing that appears in between is missed.
    inotify.add_watch(&folder, AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO).map_err(io)?;
    let listed = std::fs::read_dir(&folder).map_err(disk("list", &folder))?;
    let mut waiting: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
    waiting.sort();
    let own: OwnedFd = inotify.as_fd().try_clone_to_owned().map_err(disk("watch", &folder))?;
    // SAFETY: the descriptor is owned by the AsyncFd, so it stays open and the same for as long as it is registered.
    let ready = unsafe { AsyncFd::register(own) };
    let ready: AsyncFd<OwnedFd> = ready.map_err(|error| disk("watch", &folder)(error.into()))?;
    loop {
        for path in waiting.drain(..) {
            if is_archive(&path) {
                take(&inner, path).await;
            }
        }
        inner.settled.send_replace(true);
        let mut guard = ready.readable().await.map_err(disk("watch", &folder))?;
        match inotify.read_events() {
            Ok(events) => {
                waiting.extend(events.into_iter().filter_map(|event| Some(folder.join(event.name?))))
            }
            Err(nix::errno::Errno::EAGAIN) => guard.clear_ready(),
            Err(error) => return Err(io(error)),
        }
    }
}

fn is_archive(path: &std::path::Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ends = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst"];
    !name.starts_with('.') && ends.iter().any(|end| name.ends_with(end)) && path.is_file()
}

async fn take(inner: &Arc<Inner>, path: PathBuf) {
    let (worker, file) = (inner.clone(), path.clone());
    match tokio::task::spawn_blocking(move || worker.import_once(&file)).await {
        Ok(Ok(Some(names))) => tracing::info!(archive = %path.display(), images = ?names, "imported"),
        Ok(Ok(None)) => {}
        Ok(Err(error)) => {
            tracing::error!(archive = %path.display(), error = %base::chain(&error), "an archive could not be imported")
        }
        Err(_) => tracing::error!(archive = %path.display(), "importing an archive panicked"),
    }
}
