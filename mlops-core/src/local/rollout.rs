//! (rollout)
