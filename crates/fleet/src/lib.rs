//! From Git to cluster by pull: sources, plan and apply, inventory, front ends (D11, D13 to D15).
