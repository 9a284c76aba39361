//! What daemon and shim say to each other over a unix socket: JSON in [`crate::frame`]s, descriptors beside them.
//!
//! Either side ignores fields it does not know, and a shim answers a verb that it does not know with
//! [`Kind::Unknown`]: that is how releases two apart get along. [`VERSION`] rises only when a meaning changes.

use serde::{Deserialize, Serialize};

use crate::plan;

/// Said in [`Verb::Hello`] and its answer.
pub const VERSION: u32 = 1;

/// From daemon to shim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Comes back in the answer.
    pub id: u64,
    pub verb: Verb,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Verb {
    /// Asks for events on this connection, and for [`Answer::Hello`].
    Hello {
        version: u32,
    },
    /// The first request of a shim's life, on the connection that it was born with.
    Sandbox(Box<plan::Sandbox>),
    /// Answered when the program runs, or cannot.
    Start(Box<plan::Container>),
    Signal {
        container: String,
        signal: i32,
    },
    /// Kills all of it with SIGKILL.
    Kill {
        container: String,
    },
    /// With a terminal the answer carries its master; else stdin, stdout, stderr come with the request, in this order.
    Exec(Box<plan::Exec>),
    /// SIGKILL to the process and its session.
    KillExec {
        exec: u64,
    },
    /// Which of stdin, stdout, stderr come with the request, in this order.
    Attach {
        container: String,
        stdin: bool,
        stdout: bool,
        stderr: bool,
    },
    Resize {
        container: String,
        columns: u16,
        rows: u16,
    },
    ReopenLog {
        container: String,
    },
    /// A TCP connection to the pod's loopback; the answer carries it.
    Connect {
        port: u16,
    },
    /// Forgets a container that has ended.
    Remove {
        container: String,
    },
    /// Kills everything; the shim ends after its answer.
    Stop,
}

/// From shim to daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message {
    Answer { id: u64, result: Result<Answer, Failure> },
    Event(Event),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    Done,
    Hello {
        version: u32,
        pid: i32,
        containers: Vec<Status>,
    },
    /// A process began.
    Started {
        pid: i32,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    Status(Status),
    ExecExited { exec: u64, code: i32 },
}

/// Also the content of `status.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    pub id: String,
    pub phase: Phase,
    /// On the host, while it runs.
    pub pid: Option<i32>,
    /// Nanoseconds since the epoch.
    pub started: Option<i64>,
    pub finished: Option<i64>,
    /// 128 plus the signal's number for a process that a signal ended.
    pub exit_code: Option<i32>,
    /// The kernel killed something in it for want of memory.
    pub oom: bool,
    /// The program never ran.
    pub start_error: Option<String>,
    /// What was asked for and could not be had, yet did not stop the start.
    pub warnings: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    #[default]
    Created,
    Running,
    Exited,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub kind: Kind,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The verb is from another release.
    Unknown,
    NotFound,
    /// What the author of the pod must change.
    Container,
    System,
}
