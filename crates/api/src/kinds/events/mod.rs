//! The kinds of events.k8s.io: another form of core's Event, which is what is stored; see `core/event.rs`.

use crate::kinds::{Builtin, core};

pub const ALL: &[Builtin] = &[core::event::EVENTS_KIND];
