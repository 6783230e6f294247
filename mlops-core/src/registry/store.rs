//! The trait of model registries.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{
    AliasChange, AliasRecord, Direction, Edge, LineageGraph, ModelRef, ModelVersion, NewModelVersion, Node,
    Promotion,
};
use crate::error::Result;
use crate::id::{ActorId, Alias, ModelName, Tags, Version};
use crate::page::{Page, PageRequest};
use crate::time::Timestamp;

/// What a registry can do.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryCapabilities {
    /// Alias changes are compare-and-set; without it two writers may overwrite each other.
    pub compare_and_set: bool,
    /// The history of aliases is kept, and references as of a time resolve.
    pub alias_history: bool,
    /// Lineage edges are kept and followed.
    pub lineage: bool,
    /// Events are kept and can be read in order.
    pub events: bool,
}

impl RegistryCapabilities {
    /// Nothing of it: what a registry can is said with the setters, and what is added here later it cannot.
    ///
    /// ```
    /// use mlops_core::registry::RegistryCapabilities;
    /// let can = RegistryCapabilities::none().with_lineage(true);
    /// assert!(can.lineage && !can.events);
    /// ```
    pub const fn none() -> Self {
        Self { compare_and_set: false, alias_history: false, lineage: false, events: false }
    }

    /// With alias changes that are compare-and-set, or not.
    #[must_use]
    pub const fn with_compare_and_set(mut self, compare_and_set: bool) -> Self {
        self.compare_and_set = compare_and_set;
        self
    }

    /// With the history of aliases kept, or not.
    #[must_use]
    pub const fn with_alias_history(mut self, alias_history: bool) -> Self {
        self.alias_history = alias_history;
        self
    }

    /// With lineage kept and followed, or not.
    #[must_use]
    pub const fn with_lineage(mut self, lineage: bool) -> Self {
        self.lineage = lineage;
        self
    }

    /// With events kept, or not.
    #[must_use]
    pub const fn with_events(mut self, events: bool) -> Self {
        self.events = events;
        self
    }

    /// Everything the trait can ask for.
    pub const FULL: Self = Self { compare_and_set: true, alias_history: true, lineage: true, events: true };
}

/// What happened in a registry.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistryEventKind {
    /// A version was registered.
    Registered(Version),
    /// An alias was set, moved or removed.
    AliasMoved(Box<AliasRecord>),
    /// The tags of a version were replaced.
    Tagged(Version),
    /// A version was archived or shown again.
    Archived(Version, bool),
}

/// One event, in the order in which they happened.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegistryEvent {
    /// Counts the events of the registry: 1, 2, 3, … without gaps.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// Which model.
    pub model: ModelName,
    /// Who.
    pub actor: ActorId,
    /// What.
    pub kind: RegistryEventKind,
}

impl RegistryEvent {
    /// An event; for backends.
    pub fn new(
        sequence: u64,
        at: Timestamp,
        model: ModelName,
        actor: ActorId,
        kind: RegistryEventKind,
    ) -> Self {
        Self { sequence, at, model, actor, kind }
    }
}

/// Where model versions are kept and what points to them.
///
/// # Contract
/// * `register` gives out versions 1, 2, 3, … for each model, without gaps, never twice, also when many register at once;
///   the artifact must be in the artifact store, else [`ErrorKind::NotFound`](crate::ErrorKind::NotFound), and no version
///   is used up. (`versions_are_contiguous`, `concurrent_registrations_get_distinct_versions`, `artifact_must_exist`)
/// * The same key with the same content is the same registration, and returns it as it is now; with other content it is
///   [`ErrorKind::Conflict`](crate::ErrorKind::Conflict). (`register_is_idempotent`,
///   `concurrent_replays_are_one_registration`, `key_reuse_is_a_conflict`, `of_many_that_reuse_a_key_one_wins`)
/// * A version never changes but for tags and `archived`. A failed call changes nothing. (`versions_are_immutable`,
///   `tags_are_replaced`, `failed_calls_change_nothing`)
/// * `set_alias` and `promote` are compare-and-set: unless the alias is as `expected`, it is a conflict that has
///   `expected` and `found`, and of many that expect the same exactly one wins. A move to where the alias is expected to
///   be already is [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput). (`alias_compare_and_set`,
///   `of_many_racing_alias_changes_one_wins`, `of_many_racing_promotions_one_wins`, `a_move_moves`)
/// * Repeated with the same key, they return the record they made, also when the alias has moved since; the key with
///   other content is a conflict. (`alias_change_is_idempotent`, `promotion_is_idempotent`,
///   `alias_key_reuse_is_a_conflict`)
/// * `promote` needs a gate decision that passed for exactly this version's artifact, and where the alias demands it an
///   approval of exactly that decision; else [`ErrorKind::Rejected`](crate::ErrorKind::Rejected) or a conflict. An
///   approval that was given is checked even where none is demanded. (`promotion_needs_a_passed_gate`,
///   `promotion_needs_the_right_subject`, `promotion_needs_a_valid_approval`, `an_approval_that_is_given_is_checked`)
/// * A protected alias moves by `promote` only, else it is [`ErrorKind::Rejected`](crate::ErrorKind::Rejected);
///   `set_alias` may move it back to a version that held it before (a rollback) or remove it.
///   (`protected_alias_needs_promotion`, `protected_alias_may_roll_back`)
/// * `AliasAsOf` answers from the history what the alias pointed to at that moment. The history does not go back in time,
///   whatever the clock does. (`alias_as_of_a_time`, `alias_history_never_goes_back_in_time`)
/// * `Latest` is the highest version not archived, `Digest` the highest with that content. A version that an alias points
///   to cannot be archived, and an alias cannot point to an archived version: a conflict. A model, version or alias that
///   is not there is [`ErrorKind::NotFound`](crate::ErrorKind::NotFound). (`latest_skips_archived`, `resolve_by_digest`,
///   `aliased_version_cannot_be_archived`, `archived_version_gets_no_alias`, `missing_is_not_found`)
/// * Registering records the edges from data and run to the model; `link` adds more; linking twice is linking once.
///   (`lineage_reaches_both_ways`, `links_are_idempotent`, `lineage_survives_cycles`)
/// * `events` are in order without gaps; a call that changed nothing makes none. (`events_are_ordered_without_gaps`)
/// * Lists are newest version first, models and aliases alphabetically (by bytes), alias history oldest first; paging sees
///   every item that was there when it began exactly once. A token of another query is
///   [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput). (`lists_are_ordered`, `aliases_are_listed_while_set`,
///   `paging_is_complete_under_writes`, `tokens_belong_to_their_query`, `bad_pages_are_refused`)
/// * Text of any script is kept exactly; what is too much is
///   [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded). (`unicode_is_kept_exactly`, `limits_are_typed`)
#[async_trait]
pub trait ModelRegistry: Debug + Send + Sync + 'static {
    /// What this backend can do.
    fn capabilities(&self) -> RegistryCapabilities;

    /// Registers the next version of a model.
    async fn register(&self, version: &NewModelVersion) -> Result<ModelVersion>;

    /// Finds one version.
    async fn get(&self, reference: &ModelRef) -> Result<ModelVersion>;

    /// All versions of a model, newest first, archived ones too.
    async fn versions(&self, model: &ModelName, page: &PageRequest) -> Result<Page<ModelVersion>>;

    /// All models, alphabetically.
    async fn models(&self, page: &PageRequest) -> Result<Page<ModelName>>;

    /// Sets, moves or removes an alias.
    async fn set_alias(&self, change: &AliasChange) -> Result<AliasRecord>;

    /// Moves an alias on the evidence of a gate.
    async fn promote(&self, promotion: &Promotion) -> Result<AliasRecord>;

    /// All aliases of a model that are set, alphabetically.
    async fn aliases(&self, model: &ModelName) -> Result<Vec<(Alias, Version)>>;

    /// Everything that happened to an alias, oldest first.
    async fn alias_history(
        &self,
        model: &ModelName,
        alias: &Alias,
        page: &PageRequest,
    ) -> Result<Page<AliasRecord>>;

    /// Replaces the tags of a version.
    async fn set_tags(
        &self,
        model: &ModelName,
        version: Version,
        tags: &Tags,
        actor: &ActorId,
    ) -> Result<ModelVersion>;

    /// Hides a version from `Latest`, or shows it again.
    async fn set_archived(
        &self,
        model: &ModelName,
        version: Version,
        archived: bool,
        actor: &ActorId,
    ) -> Result<ModelVersion>;

    /// Records an edge of lineage.
    async fn link(&self, edge: &Edge) -> Result<()>;

    /// Follows lineage from a node, at most `depth` steps.
    async fn lineage(&self, node: &Node, direction: Direction, depth: u32) -> Result<LineageGraph>;

    /// At most `limit` events after the one with sequence `after` (0 for all); `limit` as in [`PageRequest`].
    async fn events(&self, after: u64, limit: usize) -> Result<Vec<RegistryEvent>>;
}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: ModelRegistry + ?Sized> ModelRegistry for $pointer<T> {
            fn capabilities(&self) -> RegistryCapabilities {
                (**self).capabilities()
            }

            async fn register(&self, version: &NewModelVersion) -> Result<ModelVersion> {
                (**self).register(version).await
            }

            async fn get(&self, reference: &ModelRef) -> Result<ModelVersion> {
                (**self).get(reference).await
            }

            async fn versions(&self, model: &ModelName, page: &PageRequest) -> Result<Page<ModelVersion>> {
                (**self).versions(model, page).await
            }

            async fn models(&self, page: &PageRequest) -> Result<Page<ModelName>> {
                (**self).models(page).await
            }

            async fn set_alias(&self, change: &AliasChange) -> Result<AliasRecord> {
                (**self).set_alias(change).await
            }

            async fn promote(&self, promotion: &Promotion) -> Result<AliasRecord> {
                (**self).promote(promotion).await
            }

            async fn aliases(&self, model: &ModelName) -> Result<Vec<(Alias, Version)>> {
                (**self).aliases(model).await
            }

            async fn alias_history(
                &self,
                model: &ModelName,
                alias: &Alias,
                page: &PageRequest,
            ) -> Result<Page<AliasRecord>> {
                (**self).alias_history(model, alias, page).await
            }

            async fn set_tags(
                &self,
                model: &ModelName,
                version: Version,
                tags: &Tags,
                actor: &ActorId,
            ) -> Result<ModelVersion> {
                (**self).set_tags(model, version, tags, actor).await
            }

            async fn set_archived(
                &self,
                model: &ModelName,
                version: Version,
                archived: bool,
                actor: &ActorId,
            ) -> Result<ModelVersion> {
                (**self).set_archived(model, version, archived, actor).await
            }

            async fn link(&self, edge: &Edge) -> Result<()> {
                (**self).link(edge).await
            }

            async fn lineage(&self, node: &Node, direction: Direction, depth: u32) -> Result<LineageGraph> {
                (**self).lineage(node, direction, depth).await
            }

            async fn events(&self, after: u64, limit: usize) -> Result<Vec<RegistryEvent>> {
                (**self).events(after, limit).await
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn ModelRegistry) {}
