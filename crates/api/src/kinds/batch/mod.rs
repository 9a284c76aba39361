//! The kinds of batch. Adding one is one file and one line in each list.

use crate::kinds::Builtin;

mod cron_job;
mod job;

pub const ALL: &[Builtin] = &[cron_job::KIND, job::KIND];
