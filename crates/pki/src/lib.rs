//! The cluster's own certificate authority: issuing, rotation, tokens (D12). Filled in by the server's work.
