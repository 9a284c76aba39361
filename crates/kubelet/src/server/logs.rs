//! `/containerLogs/<namespace>/<pod>/<container>`: the log of the container's last run, cut and followed as asked.

use std::collections::VecDeque;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::Response;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use runtime::State;
use tokio::io::unix::AsyncFd;

use super::{Body, Error, Query, find, instances, streamed};
use crate::logs::{parse, tail_offset};
use crate::pod::spec;
use crate::work::{Shared, blocking};

/// How much is read at once.
const CHUNK: usize = 64 << 10;

#[derive(Clone, Debug, Default)]
struct Options {
    follow: bool,
    tail: Option<u64>,
    since: Option<Timestamp>,
    timestamps: bool,
    limit: Option<u64>,
    /// Only this stream: `Some(true)` is standard error.
    stderr: Option<bool>,
}

fn options(query: &Query, now: Timestamp) -> Result<Options, Error> {
    let positive = |name: &str| match query.number(name)? {
        Some(number) => {
            u64::try_from(number).map(Some).map_err(|_| Error::bad(format!("{name} must not be negative")))
        }
        None => Ok(None),
    };
    let mut since = positive("sinceSeconds")?.map(|seconds| now - Duration::from_secs(seconds));
    if let Some(time) = query.get("sinceTime").filter(|time| !time.is_empty()) {
        since =
            Some(time.parse().map_err(|_| Error::bad(format!("sinceTime={time:?} is no RFC 3339 time")))?);
    }
    Ok(Options {
        follow: query.is(&["follow"]),
        tail: positive("tailLines")?,
        since,
        timestamps: query.is(&["timestamps"]),
        limit: positive("limitBytes")?,
        stderr: match query.get("stream") {
            Some("Stdout") => Some(false),
            Some("Stderr") => Some(true),
            _ => None,
        },
    })
}

pub(super) async fn serve(
    shared: &Arc<Shared>,
    namespace: &str,
    name: &str,
    container: &str,
    query: &Query,
) -> Result<Response<Body>, Error> {
    let options = options(query, shared.clock.now())?;
    let (pod, sandbox) = find(shared, namespace, name).await?;
    if spec::container(&pod, container).is_none() {
        return Err(Error::not_found(format!("container {container:?} not found in pod {name:?}")));
    }
    let list = instances(sandbox.as_ref(), container);
    let began = |one: &&&runtime::ContainerStatus| one.state != State::Created;
    let chosen = match query.is(&["previous"]) {
        false => list.iter().find(began),
        true => {
            // What runs or ran last is not previous, unless it ended and waits for its restart.
            let waits = waiting(&pod, container).is_some();
            let skip =
                usize::from(!(waits && list.first().is_some_and(|newest| newest.state == State::Exited)));
            let found = list.iter().skip(skip).find(began);
            Some(found.ok_or_else(|| {
                Error::bad(format!("previous terminated container {container:?} in pod {name:?} not found"))
            })?)
        }
    };
    let Some(chosen) = chosen else {
        let why = match waiting(&pod, container).as_deref() {
            Some("ErrImagePull" | "ImagePullBackOff") => ": trying and failing to pull image".to_owned(),
            Some(reason) => format!(": {reason}"),
            None => " - no logs yet".to_owned(),
        };
        return Err(Error::bad(format!("container {container:?} in pod {name:?} is waiting to start{why}")));
    };
    let sandbox_spec = sandbox.as_ref().map(|sandbox| sandbox.spec.clone()).unwrap_or_default();
    let reader =
        Reader::open(shared.clone(), sandbox_spec.log_dir.join(&chosen.log_path), chosen.id.clone(), options)
            .await?;
    let body = stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), Some(reader))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    });
    let mut response = Response::new(streamed(body));
    let kind = http::HeaderValue::from_static("text/plain");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    Ok(response)
}

/// Why the API says that a container waits.
fn waiting(pod: &Pod, container: &str) -> Option<String> {
    let status = pod.status.as_ref()?;
    let lists =
        [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    let found: &ContainerStatus =
        lists.into_iter().flatten().flatten().find(|status| status.name == container)?;
    found.state.as_ref()?.waiting.as_ref()?.reason.clone()
}

/// Reads a log file to its end, and on while the container lives.
struct Reader {
    shared: Arc<Shared>,
    path: PathBuf,
    id: String,
    options: Options,
    file: Option<std::fs::File>,
    /// Bytes to read of the file: what was there when it was opened, unless it is followed.
    bound: u64,
    /// An unfinished line.
    rest: Vec<u8>,
    left: Option<u64>,
    watch: Option<AsyncFd<Watch>>,
    ended: bool,
    /// A partial line was the last: the next is its continuation, without a time of its own.
    within: bool,
    ready: VecDeque<Bytes>,
}

impl Reader {
    async fn open(shared: Arc<Shared>, path: PathBuf, id: String, options: Options) -> Result<Reader, Error> {
        let (open, tail) = (path.clone(), options.tail);
        let follow = options.follow;
        let file = blocking(move || -> std::io::Result<(Option<std::fs::File>, u64)> {
            let mut file = match std::fs::File::open(&open) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((None, u64::MAX)),
                Err(error) => return Err(error),
            };
            let end = file.metadata()?.len();
            let offset = match tail {
                Some(lines) => tail_offset(&mut file, lines, end)?,
                None => 0,
            };
            file.seek(SeekFrom::Start(offset))?;
            Ok((Some(file), if follow { u64::MAX } else { end.saturating_sub(offset) }))
        })
        .await;
        let failed = |error: String| Error::new(http::StatusCode::INTERNAL_SERVER_ERROR, error);
        let (file, bound) = match file {
            Some(Ok(opened)) => opened,
            Some(Err(error)) => {
                return Err(failed(format!("failed to open log file {}: {error}", path.display())));
            }
            None => return Err(failed("reading the log panicked".into())),
        };
        let watch = if options.follow { watch(&path) } else { None };
        let left = options.limit;
        Ok(Reader {
            shared,
            path,
            id,
            options,
            file,
            bound,
            rest: Vec::new(),
            left,
            watch,
            ended: false,
            within: false,
            ready: VecDeque::new(),
        })
    }

    /// The next piece of output; `None` at the end.
    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Ok(Some(bytes));
            }
            if self.left == Some(0) {
                return Ok(None);
            }
            if self.read().await? {
                continue;
            }
            if !self.options.follow || self.ended {
                return Ok(None);
            }
            if self.reopened() {
                continue;
            }
            // It may have written between the last read and its end: read once more after seeing the end.
            let live = self.shared.seams.runtime.container(&self.id).await;
            self.ended = !live.is_ok_and(|status| matches!(status.state, State::Running | State::Created));
            if !self.ended {
                self.wait().await;
            }
        }
    }

    /// Reads a chunk; false at the end of the file.
    async fn read(&mut self) -> std::io::Result<bool> {
        let Some(mut file) = self.file.take() else { return Ok(false) };
        let size = usize::try_from(self.bound).unwrap_or(usize::MAX).min(CHUNK);
        let done = blocking(move || {
            let mut chunk = vec![0; size];
            let read = file.read(&mut chunk);
            (file, chunk, read)
        })
        .await;
        let Some((file, chunk, read)) = done else { return Ok(false) };
        self.file = Some(file);
        let read = read?;
        if read == 0 {
            return Ok(false);
        }
        if !self.options.follow {
            self.bound = self.bound.saturating_sub(read as u64);
        }
        self.rest.extend_from_slice(&chunk[..read]);
        let mut out = Vec::new();
        let rest = std::mem::take(&mut self.rest);
        let mut start = 0;
        while let Some(end) = rest[start..].iter().position(|byte| *byte == b'\n') {
            self.line(&rest[start..start + end], &mut out);
            start += end + 1;
        }
        self.rest = rest[start..].to_vec();
        if let Some(left) = &mut self.left {
            out.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= out.len() as u64;
        }
        if !out.is_empty() {
            self.ready.push_back(out.into());
        }
        Ok(true)
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let Some(line) = parse(line) else { return };
        if self.options.stderr.is_some_and(|stderr| stderr != line.stderr)
            || self.options.since.is_some_and(|since| line.time < since)
        {
            return;
        }
        if self.options.timestamps && !self.within {
            out.extend_from_slice(line.stamp.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(line.text);
        if !line.partial {
            out.push(b'\n');
        }
        self.within = line.partial;
    }

    /// Goes on in a new file if the log was rotated (or has only now appeared).
    fn reopened(&mut self) -> bool {
        let inode = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        let now = std::fs::metadata(&self.path).ok().map(inode);
        let held = self.file.as_ref().and_then(|file| file.metadata().ok()).map(inode);
        if now.is_none() || now == held {
            return false;
        }
        self.file = std::fs::File::open(&self.path).ok();
        self.file.is_some()
    }

    /// Until something changes in the log's folder, or a second passed: the container may have ended in silence.
    async fn wait(&mut self) {
        let timer = tokio::time::sleep(Duration::from_secs(1));
        match &self.watch {
            Some(watch) => {
                tokio::select! {
                    ready = watch.readable() => {
                        if let Ok(mut ready) = ready {
                            while watch.get_ref().0.read_events().is_ok_and(|events| !events.is_empty()) {}
                            ready.clear_ready();
                        }
                    }
                    () = timer => {}
                }
            }
            None => timer.await,
        }
    }
}

/// The descriptor is the watch's own for as long as it lives, which is what `AsyncFd` needs.
struct Watch(Inotify);

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// Without inotify a log is looked at once a second.
fn watch(path: &std::path::Path) -> Option<AsyncFd<Watch>> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).ok()?;
    let what = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
    inotify.add_watch(path.parent()?, what).ok()?;
    #[expect(deprecated, reason = "its successor is unsafe for every type; Watch owns its descriptor")]
    AsyncFd::new(Watch(inotify)).ok()
}
