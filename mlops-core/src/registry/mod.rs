//! Phase 5, after the gate: model versions, aliases, promotion and lineage.

mod lineage;
mod promotion;
mod store;
mod version;

pub use lineage::{Direction, Edge, LineageGraph, Node, Relation};
pub use promotion::{AliasChange, AliasRecord, Promotion, Protection};
pub use store::{ModelRegistry, RegistryCapabilities, RegistryEvent, RegistryEventKind};
pub use version::{ModelRef, ModelVersion, NewModelVersion};
