//! What the contract of [`Trigger`] says, for all triggers at once.
