//! The kinds of authentication.k8s.io. Adding one is one file and one line in each list.

use crate::kinds::Builtin;

mod self_subject_review;
mod token_review;

pub const ALL: &[Builtin] = &[self_subject_review::KIND, token_review::KIND];
