//! Log lines: klog's verbosity numbers over `tracing`, as text or JSON, to standard error or a file.

use std::fs::File;
use std::sync::Arc;

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt};

use crate::config::Log;

/// Sets the process' log up, once. `SKIFF_LOG` overrides the level with a filter such as `info,kubelet=debug`.
pub fn start(log: &Log) -> Result<()> {
    let level = match log.level {
        0..=1 => "info",
        2..=4 => "debug",
        _ => "trace",
    };
    // Libraries below us tell their own story at debug and trace; only errors of theirs matter at our levels.
    let quiet = "hyper=warn,h2=warn,rustls=warn,tower=warn,kube=warn,netlink_proto=warn,russh=warn,hickory_server=warn";
    let filter = match std::env::var("SKIFF_LOG") {
        Ok(text) => EnvFilter::try_new(&text).with_context(|| format!("SKIFF_LOG={text}"))?,
        Err(_) => EnvFilter::new(format!("{level},{quiet}")),
    };
    let file = match &log.file {
        Some(path) => {
            let open = File::options().create(true).append(true).open(path);
            Some(Arc::new(open.with_context(|| format!("cannot write the log to {}", path.display()))?))
        }
        None => None,
    };
    let color = file.is_none() && std::io::IsTerminal::is_terminal(&std::io::stderr());
    let writer: BoxMakeWriter = match file {
        Some(file) if log.also_stderr => BoxMakeWriter::new(file.and(std::io::stderr)),
        Some(file) => BoxMakeWriter::new(file),
        None => BoxMakeWriter::new(std::io::stderr),
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(color).with_writer(writer);
    if log.json {
        lines.json().init()
    } else {
        lines.init()
    }
    Ok(())
}
