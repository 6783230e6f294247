//! Wrappers around backends: each is a backend itself.
