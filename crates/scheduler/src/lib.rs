//! The scheduler: which node a pod goes to. Filtering, scoring and preemption are pure functions of a [`cluster::Cluster`];
//! [`run`] keeps one up to date from the caches, decides, and binds.
//!
//! A pod that fits nowhere waits for an event that can help it, not for a timer (upstream's queueing hints). Volumes'
//! zones and dynamic resources are not looked at.

pub mod cluster;
pub mod filter;
pub mod pod;
pub mod preempt;
pub mod queue;
pub mod resources;
mod run;
pub mod schedule;
pub mod score;
#[cfg(test)]
mod tests;

pub use run::{Config, run};
pub use schedule::{Decision, schedule};
