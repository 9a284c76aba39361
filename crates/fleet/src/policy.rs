//! How an application is kept in step: data that a front end fills in with its owner's defaults (D13).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::wish::Shrink;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Apply by itself when Git and cluster differ.
    pub automated: bool,
    /// Delete what is in the inventory and no longer in Git.
    pub prune: bool,
    /// Undo what others changed.
    pub heal: bool,
    /// Git may ask for nothing at all, and everything is then pruned.
    pub empty: bool,
    /// A sync that would delete more deletes nothing.
    pub shrink: Option<Shrink>,
    pub create_namespace: bool,
    /// Leave alone what is already in step.
    pub only_out_of_sync: bool,
    /// Refuse unknown fields.
    pub validate: bool,
    /// Deletions come after everything else is healthy.
    pub prune_last: bool,
    /// An object that another application tracks stops the sync.
    pub fail_on_shared: bool,
    /// Write the manifest whole, as `kubectl replace`, and do not apply.
    pub replace: bool,
    /// Delete and create what cannot be changed.
    pub force: bool,
    /// Applied objects must become healthy within [`Policy::timeout`] before all is well.
    pub wait: bool,
    pub timeout: Duration,
    /// How deletions go: `Foreground`, `Background` or `Orphan`.
    pub propagation: &'static str,
    /// A kind that is not known is no failure.
    pub skip_unknown_kind: bool,
    /// Labels and annotations of the namespace that [`Policy::create_namespace`] makes; `None`: it is left as it is.
    pub namespace_metadata: Option<Metadata>,
    pub retry: Retry,
    /// Between two looks at the source; up to `jitter` is added.
    pub interval: Duration,
    pub jitter: Duration,
}

/// Labels and annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// When a failed sync is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// `None`: as long as it fails.
    pub limit: Option<u32>,
    pub first: Duration,
    pub factor: u32,
    pub most: Duration,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry { limit: None, first: Duration::from_secs(5), factor: 2, most: Duration::from_secs(180) }
    }
}

impl Retry {
    /// The pause after the `failures`th failure in a row; `None`: no more.
    pub fn pause(&self, failures: u32) -> Option<Duration> {
        if self.limit.is_some_and(|limit| failures > limit) {
            return None;
        }
        let factor = self.factor.max(1).saturating_pow(failures.saturating_sub(1).min(20));
        Some(self.first.saturating_mul(factor).min(self.most))
    }
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            automated: false,
            prune: false,
            heal: false,
            empty: false,
            shrink: None,
            create_namespace: false,
            only_out_of_sync: false,
            validate: true,
            prune_last: false,
            fail_on_shared: false,
            replace: false,
            force: false,
            wait: false,
            timeout: Duration::from_secs(300),
            propagation: "Foreground",
            skip_unknown_kind: false,
            namespace_metadata: None,
            retry: Retry::default(),
            interval: Duration::from_secs(300),
            jitter: Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_most() {
        let retry = Retry::default();
        let pauses: Vec<u64> =
            (1..=7).filter_map(|at| retry.pause(at)).map(|pause| pause.as_secs()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 180]);
        assert_eq!(Retry { limit: Some(2), ..retry }.pause(3), None);
    }
}
