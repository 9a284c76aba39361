//! Between a process and whoever looks at it: what comes in from the client, what goes out, and how it ended.
//!
//! The transports ([`super::websocket`], [`super::spdy`]) only translate frames to and from these messages.

use bytes::Bytes;
use runtime::{Reader, Streams};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Stdin(Bytes),
    StdinClosed,
    /// Columns and rows.
    Resize(u16, u16),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Stdout(Bytes),
    Stderr(Bytes),
}

/// How a session ended.
#[derive(Debug)]
pub enum End {
    Exited(i32),
    Failed(String),
    /// The client went away.
    Gone,
}

impl End {
    /// The Status that upstream sends on the error channel.
    pub fn status(&self) -> Value {
        match self {
            End::Exited(0) => json!({"metadata": {}, "status": "Success"}),
            End::Exited(code) => json!({
                "metadata": {}, "status": "Failure",
                "message": format!("command terminated with non-zero exit code: exit status {code}"),
                "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]}
            }),
            End::Failed(message) => json!({
                "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
                "message": format!("Internal error occurred: error executing command in container: {message}"),
                "details": {"causes": [{"message": format!("error executing command in container: {message}")}]}
            }),
            End::Gone => Value::Null,
        }
    }

    /// What protocols without a Status (before v4) get: nothing on success.
    pub fn text(&self) -> Option<String> {
        let status = self.status();
        status.get("message").and_then(Value::as_str).map(str::to_owned)
    }
}

/// Joins a process with its client until the process ended and all output was sent, or the client is gone.
pub async fn run(streams: Streams, mut input: mpsc::Receiver<Input>, output: mpsc::Sender<Output>) -> End {
    let Streams { mut stdin, stdout, stderr, resize, exit } = streams;
    let feed = async {
        while let Some(message) = input.recv().await {
            match message {
                Input::Stdin(bytes) => {
                    if let Some(writer) = &mut stdin
                        && (writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err())
                    {
                        // The process closed its input; what else is typed has no reader.
                        stdin = None;
                    }
                }
                Input::StdinClosed => {
                    if let Some(mut writer) = stdin.take() {
                        let _closed = writer.shutdown().await;
                    }
                }
                // A size that the process cannot take now is followed by a newer one.
                Input::Resize(columns, rows) => drop(resize.try_send((columns, rows))),
            }
        }
    };
    let drain = async {
        tokio::join!(copy(stdout, &output, Output::Stdout), copy(stderr, &output, Output::Stderr));
        match exit.await {
            Ok(Ok(code)) => End::Exited(code),
            Ok(Err(error)) => End::Failed(base::chain(&error).to_string()),
            Err(_) => End::Failed("the process' end was not told".into()),
        }
    };
    tokio::select! {
        end = drain => end,
        () = feed => End::Gone,
    }
}

async fn copy(reader: Option<Reader>, output: &mpsc::Sender<Output>, wrap: fn(Bytes) -> Output) {
    let Some(mut reader) = reader else { return };
    let mut buffer = vec![0; 32 << 10];
    while let Ok(read) = reader.read(&mut buffer).await {
        if read == 0 || output.send(wrap(Bytes::copy_from_slice(&buffer[..read]))).await.is_err() {
            return;
        }
    }
}

/// `{"Width":80,"Height":24}`
pub fn size(bytes: &[u8]) -> Option<Input> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let side = |name: &str| value.get(name).and_then(Value::as_u64).and_then(|side| u16::try_from(side).ok());
    Some(Input::Resize(side("Width")?, side("Height")?))
}
