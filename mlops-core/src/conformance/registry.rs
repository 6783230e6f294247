//! The suite of [`ModelRegistry`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use super::support::{
    RACERS, TEXTS, actor, at, fault, hostile_tags, kind, race, read_all, read_quietly, refuses_bad_pages,
    skipped,
};
use crate::artifact::{ArtifactStore, ArtifactStoreExt as _, GcOptions};
use crate::data::DataType;
use crate::error::ErrorKind;
use crate::evaluation::{CriterionResult, GateDecision, Verdict};
use crate::experiment::DataInput;
use crate::governance::{Approval, ApprovalDecision, ApprovalRequest};
use crate::hash::Digest;
use crate::id::{
    ActorId, Alias, AssetName, DeploymentName, EndpointName, IdempotencyKey, MAX_ENTRIES, MAX_TEXT,
    MetricKey, ModelName, RunId, TagKey, Tags, Version, VersionSpec,
};
use crate::model::{Feature, ModelFormat, Signature};
use crate::page::PageRequest;
use crate::problem::Task;
use crate::registry::{
    AliasChange, AliasRecord, Direction, Edge, ModelRef, ModelRegistry, ModelVersion, NewModelVersion, Node,
    Promotion, RegistryCapabilities, RegistryEvent, RegistryEventKind, Relation,
};
use crate::time::{Clock as _, ManualClock};

/// Makes a test of every case of the [`ModelRegistry`] suite.
///
/// Takes the name of the module to put them in, and an expression that makes a fresh
/// [`RegistryUnderTest`](crate::conformance::registry::RegistryUnderTest).
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::Alias;
/// use mlops_core::conformance::registry::RegistryUnderTest;
/// use mlops_core::memory::{MemoryArtifactStore, MemoryModelRegistry};
/// use mlops_core::registry::Protection;
/// use mlops_core::time::SystemClock;
///
/// fn fresh() -> RegistryUnderTest {
///     let artifacts = Arc::new(MemoryArtifactStore::default());
///     let champion = Alias::new("champion").unwrap();
///     let registry = MemoryModelRegistry::new(artifacts.clone(), Arc::new(SystemClock::new()))
///         .with_protected(champion.clone(), Protection::Gate);
///     RegistryUnderTest::new(Arc::new(registry), artifacts).with_gated(champion)
/// }
/// mlops_core::model_registry_suite!(memory, fresh());
/// ```
#[macro_export]
macro_rules! model_registry_suite {
    ($module:ident, $fresh:expr) => {
        $crate::__conformance_suite! { $module, $fresh, registry, [
            capabilities_are_as_promised,
            versions_are_contiguous,
            concurrent_registrations_get_distinct_versions,
            artifact_must_exist,
            what_was_registered_is_kept,
            register_is_idempotent,
            concurrent_replays_are_one_registration,
            key_reuse_is_a_conflict,
            of_many_that_reuse_a_key_one_wins,
            versions_are_immutable,
            tags_are_replaced,
            failed_calls_change_nothing,
            missing_is_not_found,
            alias_compare_and_set,
            of_many_racing_alias_changes_one_wins,
            of_many_racing_promotions_one_wins,
            a_move_moves,
            alias_change_is_idempotent,
            promotion_is_idempotent,
            alias_key_reuse_is_a_conflict,
            aliases_are_listed_while_set,
            promotion_needs_a_passed_gate,
            promotion_needs_the_right_subject,
            promotion_needs_a_valid_approval,
            an_approval_that_is_given_is_checked,
            protected_alias_needs_promotion,
            protected_alias_may_roll_back,
            alias_as_of_a_time,
            alias_history_never_goes_back_in_time,
            latest_skips_archived,
            archiving_can_be_undone,
            resolve_by_digest,
            aliased_version_cannot_be_archived,
            archived_version_gets_no_alias,
            lineage_reaches_both_ways,
            links_are_idempotent,
            lineage_survives_cycles,
            events_are_ordered_without_gaps,
            lists_are_ordered,
            paging_is_complete_under_writes,
            tokens_belong_to_their_query,
            bad_pages_are_refused,
            unicode_is_kept_exactly,
            names_that_differ_in_case_are_two,
            limits_are_typed,
        ] }
    };
}

/// An empty registry, the artifact store it looks into, and what the suite may do to them.
#[derive(Debug)]
pub struct RegistryUnderTest {
    registry: Arc<dyn ModelRegistry>,
    artifacts: Arc<dyn ArtifactStore>,
    clock: Option<Arc<ManualClock>>,
    promised: RegistryCapabilities,
    gated: Option<Alias>,
    approved: Option<Alias>,
}

impl RegistryUnderTest {
    /// An empty registry of models whose content lies in `artifacts`, which promises everything. The alias `candidate` is
    /// not protected.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mlops_core::conformance::registry::RegistryUnderTest;
    /// use mlops_core::memory::{MemoryArtifactStore, MemoryModelRegistry};
    /// use mlops_core::time::SystemClock;
    /// let artifacts = Arc::new(MemoryArtifactStore::default());
    /// let registry = MemoryModelRegistry::new(artifacts.clone(), Arc::new(SystemClock::new()));
    /// let under_test = RegistryUnderTest::new(Arc::new(registry), artifacts);
    /// assert!(format!("{under_test:?}").contains("MemoryModelRegistry"));
    /// ```
    pub fn new(registry: Arc<dyn ModelRegistry>, artifacts: Arc<dyn ArtifactStore>) -> Self {
        let (clock, gated, approved) = (None, None, None);
        Self { registry, artifacts, clock, promised: RegistryCapabilities::FULL, gated, approved }
    }

    /// The registry's clock, when it can be turned.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<ManualClock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// What the registry promises, where that is not everything.
    #[must_use]
    pub fn with_promised(mut self, promised: RegistryCapabilities) -> Self {
        self.promised = promised;
        self
    }

    /// An alias that is protected by a gate.
    #[must_use]
    pub fn with_gated(mut self, alias: Alias) -> Self {
        self.gated = Some(alias);
        self
    }

    /// An alias that is protected by a gate and an approval.
    #[must_use]
    pub fn with_approved(mut self, alias: Alias) -> Self {
        self.approved = Some(alias);
        self
    }

    /// A registration of this content under `model`.
    async fn new_version(&self, model: &str, content: &str) -> NewModelVersion {
        let artifact = self.artifacts.put_bytes(content.to_owned()).await.unwrap().digest;
        let format = ModelFormat::new("mlops.linear/v1").unwrap();
        let signature =
            Signature::new(Task::BinaryClassification, vec![Feature::required("age", DataType::F64)]);
        NewModelVersion::new(name(model), artifact, format, signature, actor())
    }

    async fn register(&self, model: &str, content: &str) -> ModelVersion {
        self.registry.register(&self.new_version(model, content).await).await.unwrap()
    }

    /// `count` versions of one model.
    async fn churn(&self, count: u64) -> Vec<ModelVersion> {
        let mut all = Vec::new();
        for i in 1..=count {
            all.push(self.register("churn", &format!("content {i}")).await);
        }
        all
    }

    async fn found(&self, reference: &str) -> u64 {
        self.registry.get(&reference.parse().unwrap()).await.unwrap().version.get()
    }

    /// Moves the alias `candidate` of the model `churn`.
    async fn candidate(&self, expected: Option<u64>, to: Option<u64>) -> AliasRecord {
        self.registry.set_alias(&candidate(expected, to)).await.unwrap()
    }

    async fn history(&self, alias: &Alias) -> Vec<AliasRecord> {
        let list = async |page| self.registry.alias_history(&name("churn"), alias, &page).await;
        read_quietly(100, list).await
    }

    async fn everything(&self) -> (Vec<ModelVersion>, Vec<(Alias, Version)>, Vec<RegistryEvent>) {
        let (mut versions, mut aliases) = (Vec::new(), Vec::new());
        for name in read_quietly(100, async |page| self.registry.models(&page).await).await {
            versions.extend(read_quietly(100, async |page| self.registry.versions(&name, &page).await).await);
            aliases.extend(self.registry.aliases(&name).await.unwrap());
        }
        let events =
            if self.promised.events { self.registry.events(0, 10_000).await.unwrap() } else { Vec::new() };
        (versions, aliases, events)
    }
}

fn name(text: &str) -> ModelName {
    ModelName::new(text).unwrap()
}

fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

fn exact(model: &str, number: u64) -> ModelRef {
    ModelRef::new(name(model), version(number))
}

/// The alias that is not protected.
fn free() -> Alias {
    Alias::new("candidate").unwrap()
}

fn candidate(expected: Option<u64>, to: Option<u64>) -> AliasChange {
    let to = to.map(version);
    let change = AliasChange::new(name("churn"), free(), Version::FIRST, actor());
    AliasChange { to, ..change }.expecting(expected.map(version)).because("the suite says so")
}

/// A decision with this verdict about this content.
fn decision(verdict: Verdict, model: Digest) -> GateDecision {
    let criteria = vec![CriterionResult::new("auc", verdict, None, "0.81 against at least 0.8")];
    let (gate, report) = (Digest::of(b"gate.toml"), Digest::of(b"report"));
    GateDecision::new("release", gate, model, report, None, at("2026-01-01T00:00:00Z"), criteria)
}

/// An approval of this decision that counts for as long as anybody will run this.
fn approval(decision: &GateDecision) -> Approval {
    let request = ApprovalRequest {
        subject: decision.digest().unwrap(),
        question: "promote?".to_owned(),
        requester: actor(),
        expires_at: at("9999-01-01T00:00:00Z"),
    };
    let officer = ActorId::new("risk officer").unwrap();
    Approval::answer(&request, ApprovalDecision::Approved, officer, "looks good", at("2026-01-01T00:00:00Z"))
}

/// A promotion that has everything it needs.
fn promotion(made: &ModelVersion, alias: &Alias, expected: Option<u64>) -> Promotion {
    let gate = decision(Verdict::Pass, made.spec.artifact);
    Promotion {
        key: IdempotencyKey::generate(),
        model: made.spec.model.clone(),
        version: made.version,
        alias: alias.clone(),
        expected: expected.map(version),
        approval: Some(approval(&gate)),
        gate,
        actor: actor(),
    }
}

fn input(asset: &str) -> DataInput {
    DataInput {
        asset: AssetName::new(asset).unwrap(),
        version: Version::FIRST,
        digest: Digest::of(asset.as_bytes()),
        role: "training".to_owned(),
    }
}

fn data_node(asset: &str) -> Node {
    let DataInput { asset: name, version, digest, .. } = input(asset);
    Node::Data { name, version, digest }
}

fn model_node(number: u64) -> Node {
    Node::Model { name: name("churn"), version: version(number) }
}

fn served(number: u64, deployment: &str) -> Edge {
    let endpoint = EndpointName::new("churn-api").unwrap();
    let deployment = DeploymentName::new(deployment).unwrap();
    let to = Node::Deployment { endpoint, deployment };
    Edge { from: model_node(number), to, relation: Relation::DeployedAs }
}

/// The registry can do what was promised for it, no less.
pub async fn capabilities_are_as_promised(under: &RegistryUnderTest) {
    assert_eq!(under.registry.capabilities(), under.promised);
}

/// Every model has its own versions 1, 2, 3, …
pub async fn versions_are_contiguous(under: &RegistryUnderTest) {
    for expected in 1..=3 {
        for model in ["one", "two"] {
            let made = under.register(model, "the same content").await;
            assert_eq!((made.version, made.archived), (version(expected), false));
            assert_eq!(under.registry.get(&made.reference()).await.unwrap(), made);
        }
    }
}

/// Many that register at once get versions without gaps, and none is lost.
pub async fn concurrent_registrations_get_distinct_versions(under: &RegistryUnderTest) {
    let new = under.new_version("crowded", "content").await;
    let made = race(RACERS, |i| {
        let registry = under.registry.clone();
        let new = new.clone().with_key(IdempotencyKey::generate()).with_description(i.to_string());
        async move { registry.register(&new).await.unwrap() }
    })
    .await;
    let versions: BTreeSet<u64> = made.iter().map(|m| m.version.get()).collect();
    assert_eq!(versions, (1..=RACERS as u64).collect());
    for made in made {
        assert_eq!(under.registry.get(&made.reference()).await.unwrap(), made, "none is another's");
    }
}

/// The content must be in the artifact store, and a refusal uses up neither version nor key.
pub async fn artifact_must_exist(under: &RegistryUnderTest) {
    let new = under.new_version("churn", "content").await;
    let nowhere = NewModelVersion { artifact: Digest::of(b"nowhere"), ..new.clone() };
    assert_eq!(kind(under.registry.register(&nowhere).await), ErrorKind::NotFound);
    assert_eq!(kind(under.registry.get(&exact("churn", 1)).await), ErrorKind::NotFound);
    assert_eq!(under.registry.register(&new).await.unwrap().version, Version::FIRST);
}

/// Everything said when a version is registered is kept.
pub async fn what_was_registered_is_kept(under: &RegistryUnderTest) {
    let metric = |key: &str| MetricKey::new(key).unwrap();
    let new = under
        .new_version("churn", "content")
        .await
        .with_run(RunId::generate())
        .with_data(input("patients"))
        .with_data(input("weather"))
        .with_metric(metric("roc_auc"), 0.1 + 0.2)
        .with_metric(metric("least"), 5e-324)
        .with_metric(metric("zero"), -0.0)
        .with_metric(metric("greatest"), f64::MAX)
        .with_description("a model");
    let made = under.registry.register(&new).await.unwrap();
    let kept = under.registry.get(&made.reference()).await.unwrap();
    assert_eq!((&kept, &kept.spec), (&made, &new));
    let bits = |m: &BTreeMap<MetricKey, f64>| m.values().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&kept.spec.metrics), bits(&new.metrics));
}

/// The same key with the same content is the same registration, as it is now.
pub async fn register_is_idempotent(under: &RegistryUnderTest) {
    let new = under.new_version("churn", "content").await;
    let made = under.registry.register(&new).await.unwrap();
    under.register("churn", "newer").await;
    assert_eq!(under.registry.register(&new).await.unwrap(), made);
    let tags = Tags::from([(TagKey::new("k").unwrap(), "v".to_owned())]);
    let tagged = under.registry.set_tags(&name("churn"), made.version, &tags, &actor()).await.unwrap();
    // Also when the content has been removed since: the call did happen.
    under.artifacts.collect_garbage(&BTreeSet::new(), &GcOptions::default()).await.unwrap();
    assert_eq!(under.registry.register(&new).await.unwrap(), tagged);
    assert_eq!(under.everything().await.0.len(), 2);
}

/// A call repeated by many at once is one registration.
pub async fn concurrent_replays_are_one_registration(under: &RegistryUnderTest) {
    let new = under.new_version("churn", "content").await;
    let made = race(RACERS, |_| {
        let (registry, new) = (under.registry.clone(), new.clone());
        async move { registry.register(&new).await.unwrap() }
    })
    .await;
    assert!(made.iter().all(|m| *m == made[0]));
    let (versions, _, events) = under.everything().await;
    assert_eq!(versions, [made[0].clone()]);
    assert!(!under.promised.events || events.len() == 1);
}

/// The same key with any other content is a conflict, and registers nothing.
pub async fn key_reuse_is_a_conflict(under: &RegistryUnderTest) {
    let new = under.new_version("churn", "content").await;
    let made = under.registry.register(&new).await.unwrap();
    let other_content = under.new_version("churn", "other").await.artifact;
    let mut tagged = new.clone();
    tagged.tags.insert(TagKey::new("k").unwrap(), "v".to_owned());
    for other in [
        NewModelVersion { model: name("others"), ..new.clone() },
        NewModelVersion { artifact: other_content, ..new.clone() },
        NewModelVersion { format: ModelFormat::new("mlops.linear/v2").unwrap(), ..new.clone() },
        NewModelVersion { signature: Signature::new(Task::Regression, Vec::new()), ..new.clone() },
        NewModelVersion { actor: ActorId::new("other").unwrap(), ..new.clone() },
        new.clone().with_run(RunId::generate()),
        new.clone().with_data(input("patients")),
        new.clone().with_metric(MetricKey::new("m").unwrap(), 1.0),
        new.clone().with_description("other"),
        tagged,
    ] {
        assert_eq!(kind(under.registry.register(&other).await), ErrorKind::Conflict, "{other:?}");
    }
    assert_eq!(under.everything().await.0, [made]);
}

/// Of many that use one key for different content exactly one registers.
pub async fn of_many_that_reuse_a_key_one_wins(under: &RegistryUnderTest) {
    let new = under.new_version("churn", "content").await;
    let results = race(RACERS, |i| {
        let (registry, new) = (under.registry.clone(), new.clone().with_description(i.to_string()));
        async move { registry.register(&new).await }
    })
    .await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    assert!(lost.into_iter().all(|r| kind(r) == ErrorKind::Conflict));
    assert_eq!(under.everything().await.0.len(), 1);
}

/// What is registered stays as it was, whatever comes after; only tags and `archived` change.
pub async fn versions_are_immutable(under: &RegistryUnderTest) {
    let first = under.register("churn", "first").await;
    for i in 2..10 {
        under.register("churn", &i.to_string()).await;
        under.registry.set_archived(&name("churn"), version(i), i % 2 == 0, &actor()).await.unwrap();
    }
    assert_eq!(under.registry.get(&first.reference()).await.unwrap(), first);
    let hidden = under.registry.set_archived(&name("churn"), first.version, true, &actor()).await.unwrap();
    assert!(hidden.archived);
    assert_eq!(
        (hidden.spec, hidden.version, hidden.created_at),
        (first.spec, first.version, first.created_at)
    );
}

/// Tags are replaced as a whole, and nothing else with them.
pub async fn tags_are_replaced(under: &RegistryUnderTest) {
    let mut new = under.new_version("churn", "content").await;
    let tags = |pairs: &[(&str, &str)]| -> Tags {
        pairs.iter().map(|(k, v)| (TagKey::new(k).unwrap(), (*v).to_owned())).collect()
    };
    new.tags = tags(&[("a", "1"), ("b", "1")]);
    let made = under.registry.register(&new).await.unwrap();
    for tags in [tags(&[("b", "2"), ("c", "")]), Tags::new()] {
        let tagged = under.registry.set_tags(&name("churn"), made.version, &tags, &actor()).await.unwrap();
        let expected = NewModelVersion { tags, ..new.clone() };
        assert_eq!(tagged.spec, expected);
        assert_eq!(under.registry.get(&made.reference()).await.unwrap(), tagged);
    }
}

/// Whatever fails leaves the registry with what it had.
pub async fn failed_calls_change_nothing(under: &RegistryUnderTest) {
    let versions = under.churn(2).await;
    let registry = &under.registry;
    under.candidate(None, Some(1)).await;
    let before = under.everything().await;
    let new = under.new_version("others", "content").await;
    let nan = new.clone().with_metric(MetricKey::new("m").unwrap(), f64::NAN);
    let nowhere = NewModelVersion { artifact: Digest::of(b"nowhere"), ..new.clone() };
    let long = new.clone().with_description("x".repeat(MAX_TEXT + 1));
    for bad in [nan, nowhere, long] {
        assert!(registry.register(&bad).await.is_err());
    }
    for bad in [candidate(Some(2), Some(1)), candidate(None, Some(2)), candidate(Some(1), Some(3))] {
        assert!(registry.set_alias(&bad).await.is_err());
    }
    let wordy = candidate(Some(1), Some(2)).because("x".repeat(MAX_TEXT + 1));
    assert_eq!(kind(registry.set_alias(&wordy).await), ErrorKind::LimitExceeded);
    let mut failed = promotion(&versions[1], &free(), Some(1));
    failed.gate = decision(Verdict::Fail, versions[1].spec.artifact);
    assert!(registry.promote(&failed).await.is_err());
    assert!(registry.promote(&promotion(&versions[1], &free(), Some(2))).await.is_err());
    assert!(registry.set_archived(&name("churn"), version(1), true, &actor()).await.is_err());
    assert!(registry.set_archived(&name("churn"), version(3), true, &actor()).await.is_err());
    let tags = Tags::from([(TagKey::new("k").unwrap(), "x".repeat(MAX_TEXT + 1))]);
    assert!(registry.set_tags(&name("churn"), version(1), &tags, &actor()).await.is_err());
    assert!(registry.set_tags(&name("churn"), version(3), &Tags::new(), &actor()).await.is_err());
    assert_eq!(under.everything().await, before);
    if under.promised.alias_history {
        assert_eq!(under.history(&free()).await.len(), 1);
    }
}

/// What is not there is not found, by every method that names it.
pub async fn missing_is_not_found(under: &RegistryUnderTest) {
    let registry = &under.registry;
    let page = PageRequest::default();
    for reference in ["churn:1", "churn:latest", "churn:@candidate"] {
        assert_eq!(kind(registry.get(&reference.parse().unwrap()).await), ErrorKind::NotFound, "{reference}");
    }
    assert_eq!(kind(registry.versions(&name("churn"), &page).await), ErrorKind::NotFound);
    assert_eq!(kind(registry.aliases(&name("churn")).await), ErrorKind::NotFound);
    assert_eq!(kind(registry.set_alias(&candidate(None, Some(1))).await), ErrorKind::NotFound);
    assert!(registry.models(&page).await.unwrap().items.is_empty());
    let made = under.register("churn", "content").await;
    let other = VersionSpec::Digest(Digest::of(b"other"));
    for version in [version(2).into(), version(u64::MAX / 2).into(), free().into(), other] {
        let reference = ModelRef::new(name("churn"), version);
        assert_eq!(kind(registry.get(&reference).await), ErrorKind::NotFound, "{reference}");
    }
    let two = Version::new(2).unwrap();
    assert_eq!(kind(registry.set_alias(&candidate(None, Some(2))).await), ErrorKind::NotFound);
    assert_eq!(
        kind(registry.set_tags(&name("churn"), two, &Tags::new(), &actor()).await),
        ErrorKind::NotFound
    );
    assert_eq!(kind(registry.set_archived(&name("churn"), two, true, &actor()).await), ErrorKind::NotFound);
    let absent = Promotion { version: two, ..promotion(&made, &free(), None) };
    assert_eq!(kind(registry.promote(&absent).await), ErrorKind::NotFound);
    assert!(registry.aliases(&name("churn")).await.unwrap().is_empty());
}

/// An alias is set, moved and removed only from where the caller thinks it is; a conflict says what was found.
pub async fn alias_compare_and_set(under: &RegistryUnderTest) {
    if !under.promised.compare_and_set {
        return skipped("alias changes are not compare-and-set here");
    }
    under.churn(3).await;
    let refused = async |expected, to, wanted: &str, found: &str| {
        let error = fault(under.registry.set_alias(&candidate(expected, to)).await);
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!((error.context("expected"), error.context("found")), (Some(wanted), Some(found)));
    };
    refused(Some(1), Some(2), "1", "not set").await;
    let record = under.candidate(None, Some(1)).await;
    assert_eq!((record.from, record.to, record.sequence), (None, Some(version(1)), 1));
    refused(None, Some(2), "not set", "1").await;
    refused(Some(3), Some(2), "3", "1").await;
    refused(Some(2), None, "2", "1").await;
    assert_eq!(under.found("churn:@candidate").await, 1);
    let record = under.candidate(Some(1), Some(3)).await;
    assert_eq!((record.from, record.to, record.sequence), (Some(version(1)), Some(version(3)), 2));
    under.candidate(Some(3), None).await;
    let gone = under.registry.get(&"churn:@candidate".parse().unwrap()).await;
    assert_eq!(kind(gone), ErrorKind::NotFound);
    assert_eq!(under.candidate(None, Some(2)).await.sequence, 4);
}

/// Of many that expect the same exactly one moves the alias, and the others are told what they lost to.
pub async fn of_many_racing_alias_changes_one_wins(under: &RegistryUnderTest) {
    if !under.promised.compare_and_set {
        return skipped("alias changes are not compare-and-set here");
    }
    under.churn(RACERS as u64 + 1).await;
    for round in 0..3 {
        let now = under.registry.aliases(&name("churn")).await.unwrap().first().map(|(_, v)| v.get());
        let targets: Vec<u64> = (1..=RACERS as u64 + 1).filter(|to| Some(*to) != now).collect();
        let results = race(RACERS, |i| {
            let (registry, change) = (under.registry.clone(), candidate(now, Some(targets[i])));
            async move { registry.set_alias(&change).await }
        })
        .await;
        let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1, "round {round}");
        let record = won.into_iter().next().unwrap().unwrap();
        assert_eq!(Some(under.found("churn:@candidate").await), record.to.map(Version::get));
        assert!(lost.into_iter().all(|r| kind(r) == ErrorKind::Conflict));
        assert_eq!(record.sequence, round + 1, "the losers left no trace");
    }
}

/// Of many promotions that expect the same exactly one wins.
pub async fn of_many_racing_promotions_one_wins(under: &RegistryUnderTest) {
    if !under.promised.compare_and_set {
        return skipped("alias changes are not compare-and-set here");
    }
    let versions = under.churn(RACERS as u64).await;
    let alias = under.approved.clone().or(under.gated.clone()).unwrap_or_else(free);
    let results = race(RACERS, |i| {
        let (registry, promotion) = (under.registry.clone(), promotion(&versions[i], &alias, None));
        async move { registry.promote(&promotion).await }
    })
    .await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    assert!(lost.into_iter().all(|r| kind(r) == ErrorKind::Conflict));
    let record = won.into_iter().next().unwrap().unwrap();
    assert_eq!(under.registry.aliases(&name("churn")).await.unwrap(), [(alias, record.to.unwrap())]);
}

/// A move to where the alias is expected to be already is refused: its peers could not tell that it had won.
pub async fn a_move_moves(under: &RegistryUnderTest) {
    let made = under.register("churn", "content").await;
    let refused = async |change: AliasChange| {
        let error = fault(under.registry.set_alias(&change).await);
        assert_eq!((error.kind(), error.context("field")), (ErrorKind::InvalidInput, Some("to")));
    };
    refused(candidate(None, None)).await;
    under.candidate(None, Some(1)).await;
    refused(candidate(Some(1), Some(1))).await;
    let again = under.registry.promote(&promotion(&made, &free(), Some(1))).await;
    assert_eq!(kind(again), ErrorKind::InvalidInput);
    assert_eq!(under.candidate(Some(1), None).await.sequence, 2);
}

/// A change repeated with its key is the same change, also when the alias has moved since.
pub async fn alias_change_is_idempotent(under: &RegistryUnderTest) {
    under.churn(2).await;
    let change = candidate(None, Some(1));
    let record = under.registry.set_alias(&change).await.unwrap();
    assert_eq!(under.registry.set_alias(&change).await.unwrap(), record);
    under.candidate(Some(1), Some(2)).await;
    let before = under.everything().await;
    assert_eq!(under.registry.set_alias(&change).await.unwrap(), record);
    assert_eq!(under.everything().await, before);
    let removal = candidate(Some(2), None);
    let records = race(RACERS, |_| {
        let (registry, removal) = (under.registry.clone(), removal.clone());
        async move { registry.set_alias(&removal).await.unwrap() }
    })
    .await;
    assert!(records.iter().all(|r| *r == records[0]));
    assert!(under.everything().await.1.is_empty());
}

/// A promotion repeated with its key is the same promotion.
pub async fn promotion_is_idempotent(under: &RegistryUnderTest) {
    let versions = under.churn(2).await;
    let first = promotion(&versions[0], &free(), None);
    let record = under.registry.promote(&first).await.unwrap();
    assert_eq!((record.from, record.to), (None, Some(version(1))));
    assert_eq!(record.gate, Some(first.gate.digest().unwrap()));
    assert_eq!(record.approval, first.approval);
    under.registry.promote(&promotion(&versions[1], &free(), Some(1))).await.unwrap();
    assert_eq!(under.registry.promote(&first).await.unwrap(), record);
    assert_eq!(under.found("churn:@candidate").await, 2);
}

/// A key that moved an alias cannot be used for another move.
pub async fn alias_key_reuse_is_a_conflict(under: &RegistryUnderTest) {
    let versions = under.churn(2).await;
    let change = candidate(None, Some(1));
    under.registry.set_alias(&change).await.unwrap();
    let other = AliasChange { key: change.key.clone(), ..candidate(Some(1), Some(2)) };
    assert_eq!(kind(under.registry.set_alias(&other).await), ErrorKind::Conflict);
    assert_eq!(kind(under.registry.set_alias(&change.clone().because("other")).await), ErrorKind::Conflict);
    let first = promotion(&versions[1], &free(), Some(1));
    under.registry.promote(&first).await.unwrap();
    let other = Promotion { key: first.key, ..promotion(&versions[0], &free(), Some(2)) };
    assert_eq!(kind(under.registry.promote(&other).await), ErrorKind::Conflict);
    assert_eq!(under.found("churn:@candidate").await, 2);
}

/// Aliases that are set are listed in the order of their bytes, each model its own.
pub async fn aliases_are_listed_while_set(under: &RegistryUnderTest) {
    under.churn(2).await;
    under.register("others", "content").await;
    let on = |model: &str, alias: &str, to| {
        AliasChange::new(name(model), Alias::new(alias).unwrap(), version(to), actor())
    };
    for (model, alias, to) in [
        ("churn", "shadow", 1),
        ("churn", "Blue", 2),
        ("churn", "blue", 1),
        ("churn", "a.b-c_d", 2),
        ("others", "blue", 1),
    ] {
        under.registry.set_alias(&on(model, alias, to)).await.unwrap();
    }
    let listed = async |model| -> Vec<(String, u64)> {
        let aliases = under.registry.aliases(&name(model)).await.unwrap();
        aliases.into_iter().map(|(alias, v)| (alias.to_string(), v.get())).collect()
    };
    let owned = |pairs: &[(&str, u64)]| pairs.iter().map(|(a, v)| ((*a).to_owned(), *v)).collect::<Vec<_>>();
    assert_eq!(listed("churn").await, owned(&[("Blue", 2), ("a.b-c_d", 2), ("blue", 1), ("shadow", 1)]));
    assert_eq!(listed("others").await, owned(&[("blue", 1)]));
    let removal = AliasChange { to: None, ..on("churn", "blue", 1) }.expecting(Some(version(1)));
    under.registry.set_alias(&removal).await.unwrap();
    assert_eq!(listed("churn").await, owned(&[("Blue", 2), ("a.b-c_d", 2), ("shadow", 1)]));
}

/// No promotion without a gate that passed, on any alias; a decision that contradicts itself has not passed.
pub async fn promotion_needs_a_passed_gate(under: &RegistryUnderTest) {
    let made = under.register("churn", "content").await;
    let content = made.spec.artifact;
    let mut forged = decision(Verdict::Fail, content);
    forged.verdict = Verdict::Pass;
    let mut empty = decision(Verdict::Pass, content);
    empty.criteria.clear();
    let bad = [decision(Verdict::Fail, content), decision(Verdict::Insufficient, content), forged, empty];
    let aliases = [Some(free()), under.gated.clone(), under.approved.clone()];
    for alias in aliases.into_iter().flatten() {
        for gate in bad.clone() {
            let approval = Some(approval(&gate));
            let promotion = Promotion { gate, approval, ..promotion(&made, &alias, None) };
            assert_eq!(kind(under.registry.promote(&promotion).await), ErrorKind::Rejected, "{alias}");
        }
        under.registry.promote(&promotion(&made, &alias, None)).await.unwrap();
    }
}

/// A decision about other content is a conflict, also when another version of the same model has it.
pub async fn promotion_needs_the_right_subject(under: &RegistryUnderTest) {
    let versions = under.churn(2).await;
    for other in [versions[0].spec.artifact, Digest::of(b"somewhere else")] {
        let gate = decision(Verdict::Pass, other);
        let approval = Some(approval(&gate));
        let promotion = Promotion { gate, approval, ..promotion(&versions[1], &free(), None) };
        assert_eq!(kind(under.registry.promote(&promotion).await), ErrorKind::Conflict);
    }
    assert!(under.everything().await.1.is_empty());
}

/// What is wrong with an approval, as approvals of this decision that do not count.
fn bad_approvals(gate: &GateDecision) -> Vec<(&'static str, Approval, ErrorKind)> {
    let good = approval(gate);
    let early = at("0001-01-01T00:00:00Z");
    let other = approval(&decision(Verdict::Pass, Digest::of(b"other")));
    vec![
        ("says no", Approval { decision: ApprovalDecision::Rejected, ..good.clone() }, ErrorKind::Rejected),
        ("is pending", Approval { decision: ApprovalDecision::Pending, ..good.clone() }, ErrorKind::Rejected),
        ("is one's own", Approval { approver: good.requester.clone(), ..good.clone() }, ErrorKind::Rejected),
        ("has expired", Approval { expires_at: early, ..good }, ErrorKind::Rejected),
        ("is of another decision", other, ErrorKind::Conflict),
    ]
}

/// An alias that demands it moves only with a valid approval of exactly this decision.
pub async fn promotion_needs_a_valid_approval(under: &RegistryUnderTest) {
    let Some(alias) = &under.approved else { return skipped("no alias demands an approval here") };
    let made = under.register("churn", "content").await;
    let good = promotion(&made, alias, None);
    let without = Promotion { approval: None, ..good.clone() };
    assert_eq!(kind(under.registry.promote(&without).await), ErrorKind::Rejected);
    for (what, approval, expected) in bad_approvals(&good.gate) {
        let bad = Promotion { approval: Some(approval), ..good.clone() };
        assert_eq!(kind(under.registry.promote(&bad).await), expected, "an approval that {what}");
    }
    // A key is used up by success only.
    under.registry.promote(&good).await.unwrap();
}

/// An approval that nobody asked for must hold as well: it would be written into the history.
pub async fn an_approval_that_is_given_is_checked(under: &RegistryUnderTest) {
    let made = under.register("churn", "content").await;
    let good = promotion(&made, &free(), None);
    for (what, approval, expected) in bad_approvals(&good.gate) {
        let bad = Promotion { approval: Some(approval), ..good.clone() };
        assert_eq!(kind(under.registry.promote(&bad).await), expected, "an approval that {what}");
    }
    under.registry.promote(&Promotion { approval: None, ..good }).await.unwrap();
}

/// A protected alias is not set by hand.
pub async fn protected_alias_needs_promotion(under: &RegistryUnderTest) {
    let versions = under.churn(2).await;
    let mut protected = under.gated.iter().chain(&under.approved).peekable();
    if protected.peek().is_none() {
        return skipped("no alias is protected here");
    }
    for alias in protected {
        let by_hand =
            |expected: Option<u64>, to| AliasChange { alias: alias.clone(), ..candidate(expected, Some(to)) };
        assert_eq!(kind(under.registry.set_alias(&by_hand(None, 1)).await), ErrorKind::Rejected);
        under.registry.promote(&promotion(&versions[0], alias, None)).await.unwrap();
        assert_eq!(kind(under.registry.set_alias(&by_hand(Some(1), 2)).await), ErrorKind::Rejected);
        assert_eq!(under.found(&format!("churn:@{alias}")).await, 1);
        // Protection is of the alias, not of one model.
        let other = under.register("others", "content").await;
        let change = AliasChange::new(name("others"), alias.clone(), other.version, actor());
        assert_eq!(kind(under.registry.set_alias(&change).await), ErrorKind::Rejected);
    }
}

/// A protected alias may go back by hand to where it was, or away, and come back from there.
pub async fn protected_alias_may_roll_back(under: &RegistryUnderTest) {
    let versions = under.churn(3).await;
    let Some(alias) = under.approved.as_ref().or(under.gated.as_ref()) else {
        return skipped("no alias is protected here");
    };
    under.registry.promote(&promotion(&versions[0], alias, None)).await.unwrap();
    under.registry.promote(&promotion(&versions[1], alias, Some(1))).await.unwrap();
    let by_hand = |expected, to| AliasChange { alias: alias.clone(), ..candidate(expected, to) };
    for (expected, to) in [(Some(2), Some(1)), (Some(1), None), (None, Some(2)), (Some(2), Some(1))] {
        let record = under.registry.set_alias(&by_hand(expected, to)).await.unwrap();
        assert_eq!((record.to, record.gate), (to.map(version), None));
    }
    // Compare-and-set holds for rollbacks, too, and a version that never had the alias is no rollback.
    assert_eq!(kind(under.registry.set_alias(&by_hand(Some(2), Some(1))).await), ErrorKind::Conflict);
    assert_eq!(kind(under.registry.set_alias(&by_hand(Some(1), Some(3))).await), ErrorKind::Rejected);
    if under.promised.alias_history {
        let moves: Vec<_> = under.history(alias).await.iter().map(|r| r.to.map(Version::get)).collect();
        assert_eq!(moves, [Some(1), Some(2), Some(1), None, Some(2), Some(1)]);
    }
}

/// What an alias pointed to at a moment is answered from its history: before, between, at and after its changes.
pub async fn alias_as_of_a_time(under: &RegistryUnderTest) {
    if !under.promised.alias_history {
        return skipped("the history of aliases is not kept here");
    }
    let Some(clock) = &under.clock else { return skipped("the clock cannot be turned here") };
    under.churn(2).await;
    let hour = Duration::from_secs(3600);
    let mut times = Vec::new();
    for (expected, to) in [(None, Some(1)), (Some(1), Some(2)), (Some(2), None), (None, Some(1))] {
        clock.advance(hour);
        times.push(under.candidate(expected, to).await.at);
    }
    let microsecond = TimeDelta::microseconds(1);
    for (when, expected) in [
        (times[0] - microsecond, None),
        (at("0001-01-01T00:00:00Z"), None),
        (times[0], Some(1)),
        (times[1] - microsecond, Some(1)),
        (times[1], Some(2)),
        (times[2] - microsecond, Some(2)),
        (times[2], None),
        (times[3], Some(1)),
        (at("9999-12-31T23:59:59Z"), Some(1)),
    ] {
        let spec = VersionSpec::AliasAsOf { alias: free(), at: when };
        let found = under.registry.get(&ModelRef::new(name("churn"), spec)).await;
        match expected {
            Some(number) => assert_eq!(found.unwrap().version, version(number), "{when}"),
            None => assert_eq!(kind(found), ErrorKind::NotFound, "{when}"),
        }
    }
    let others = VersionSpec::AliasAsOf { alias: Alias::new("other").unwrap(), at: clock.now() };
    assert_eq!(kind(under.registry.get(&ModelRef::new(name("churn"), others)).await), ErrorKind::NotFound);
}

/// A clock that is set back does not change the past: no record is before the one that precedes it.
pub async fn alias_history_never_goes_back_in_time(under: &RegistryUnderTest) {
    if !under.promised.alias_history {
        return skipped("the history of aliases is not kept here");
    }
    let Some(clock) = &under.clock else { return skipped("the clock cannot be turned here") };
    under.churn(2).await;
    let first = under.candidate(None, Some(1)).await;
    clock.set(first.at - TimeDelta::days(365));
    let second = under.candidate(Some(1), Some(2)).await;
    assert!(second.at >= first.at);
    let history = under.history(&free()).await;
    assert_eq!(history, [first, second.clone()]);
    let spec = VersionSpec::AliasAsOf { alias: free(), at: second.at };
    let found = under.registry.get(&ModelRef::new(name("churn"), spec)).await.unwrap();
    assert_eq!(found.version, version(2));
}

/// `Latest` is the highest version that is not archived.
pub async fn latest_skips_archived(under: &RegistryUnderTest) {
    under.churn(3).await;
    for (archive, expected) in [(2, Some(3)), (3, Some(1)), (1, None)] {
        under.registry.set_archived(&name("churn"), version(archive), true, &actor()).await.unwrap();
        let found = under.registry.get(&"churn:latest".parse().unwrap()).await;
        match expected {
            Some(number) => assert_eq!(found.unwrap().version, version(number)),
            None => assert_eq!(kind(found), ErrorKind::NotFound),
        }
        assert!(under.registry.get(&exact("churn", archive)).await.unwrap().archived, "still readable");
    }
    assert_eq!(under.register("churn", "4").await.version, version(4), "no version is given out twice");
}

/// Archiving can be undone, and doing either twice is doing it once.
pub async fn archiving_can_be_undone(under: &RegistryUnderTest) {
    let made = under.register("churn", "content").await;
    for archived in [true, true, false, false] {
        let changed =
            under.registry.set_archived(&name("churn"), made.version, archived, &actor()).await.unwrap();
        assert_eq!(changed, ModelVersion { archived, ..made.clone() });
    }
    assert_eq!(under.found("churn:latest").await, 1);
}

/// By digest one gets the highest version with that content, archived or not.
pub async fn resolve_by_digest(under: &RegistryUnderTest) {
    for content in ["old", "same", "same", "new"] {
        under.register("churn", content).await;
    }
    under.register("others", "same").await;
    under.registry.set_archived(&name("churn"), version(3), true, &actor()).await.unwrap();
    let reference = ModelRef::new(name("churn"), VersionSpec::Digest(Digest::of(b"same")));
    assert_eq!(under.registry.get(&reference).await.unwrap().version, version(3));
}

/// A version that an alias points to cannot be archived; once the alias has gone it can.
pub async fn aliased_version_cannot_be_archived(under: &RegistryUnderTest) {
    under.churn(2).await;
    let archive = async |number, archived| {
        under.registry.set_archived(&name("churn"), version(number), archived, &actor()).await
    };
    under.candidate(None, Some(1)).await;
    assert_eq!(kind(archive(1, true).await), ErrorKind::Conflict);
    assert!(!archive(1, false).await.unwrap().archived, "what it is already, it may be told to be");
    under.candidate(Some(1), Some(2)).await;
    assert!(archive(1, true).await.unwrap().archived);
    assert_eq!(kind(archive(2, true).await), ErrorKind::Conflict);
    under.candidate(Some(2), None).await;
    assert!(archive(2, true).await.unwrap().archived);
}

/// An alias cannot point to an archived version, by hand or by promotion.
pub async fn archived_version_gets_no_alias(under: &RegistryUnderTest) {
    let made = under.register("churn", "content").await;
    let archive = async |archived| {
        under.registry.set_archived(&name("churn"), made.version, archived, &actor()).await.unwrap()
    };
    archive(true).await;
    assert_eq!(kind(under.registry.set_alias(&candidate(None, Some(1))).await), ErrorKind::Conflict);
    assert_eq!(kind(under.registry.promote(&promotion(&made, &free(), None)).await), ErrorKind::Conflict);
    archive(false).await;
    under.candidate(None, Some(1)).await;
}

/// From the data to the endpoint and back, as far as was asked.
pub async fn lineage_reaches_both_ways(under: &RegistryUnderTest) {
    if !under.promised.lineage {
        return skipped("lineage is not kept here");
    }
    let run = RunId::generate();
    let new = under.new_version("churn", "content").await.with_run(run.clone()).with_data(input("patients"));
    under.registry.register(&new).await.unwrap();
    let fed = Edge { from: data_node("patients"), to: Node::Run(run.clone()), relation: Relation::UsedBy };
    let (blue, green) = (served(1, "blue"), served(1, "green"));
    for edge in [&fed, &blue, &green] {
        under.registry.link(edge).await.unwrap();
    }
    let reach = async |node: &Node, direction, depth| {
        let graph = under.registry.lineage(node, direction, depth).await.unwrap();
        assert_eq!(graph.nodes[0], *node, "the first is where it started");
        (graph.nodes.into_iter().collect::<BTreeSet<_>>(), graph.edges.len())
    };
    let model = model_node(1);
    let origins = [model.clone(), Node::Run(run.clone()), data_node("patients")];
    let upstream = origins.clone().into_iter().chain([blue.to.clone()]).collect::<BTreeSet<_>>();
    assert_eq!(reach(&blue.to, Direction::Upstream, 10).await, (upstream, 4));
    let downstream = origins.into_iter().chain([blue.to.clone(), green.to.clone()]).collect::<BTreeSet<_>>();
    assert_eq!(reach(&data_node("patients"), Direction::Downstream, 10).await, (downstream, 5));
    assert_eq!(reach(&blue.to, Direction::Upstream, 1).await, (BTreeSet::from([blue.to.clone(), model]), 1));
    assert_eq!(reach(&blue.to, Direction::Upstream, 0).await, (BTreeSet::from([blue.to.clone()]), 0));
    let stranger = data_node("stranger");
    assert_eq!(reach(&stranger, Direction::Downstream, 10).await, (BTreeSet::from([stranger]), 0));
}

/// Linking twice is linking once, also when many do it, and registering again links nothing again.
pub async fn links_are_idempotent(under: &RegistryUnderTest) {
    if !under.promised.lineage {
        return skipped("lineage is not kept here");
    }
    let new = under
        .new_version("churn", "content")
        .await
        .with_data(input("patients"))
        .with_data(DataInput { role: "test".to_owned(), ..input("patients") });
    under.registry.register(&new).await.unwrap();
    under.registry.register(&new).await.unwrap();
    race(RACERS, |_| {
        let registry = under.registry.clone();
        async move { registry.link(&served(1, "blue")).await.unwrap() }
    })
    .await;
    let graph = under.registry.lineage(&data_node("patients"), Direction::Downstream, 10).await.unwrap();
    assert_eq!((graph.nodes.len(), graph.edges.len()), (3, 2));
}

/// A circle is followed once round.
pub async fn lineage_survives_cycles(under: &RegistryUnderTest) {
    if !under.promised.lineage {
        return skipped("lineage is not kept here");
    }
    let nodes = [data_node("a"), data_node("b"), data_node("c")];
    for i in 0..3 {
        let (from, to) = (nodes[i].clone(), nodes[(i + 1) % 3].clone());
        under.registry.link(&Edge { from, to, relation: Relation::UsedBy }).await.unwrap();
    }
    for direction in [Direction::Upstream, Direction::Downstream] {
        let graph = under.registry.lineage(&nodes[0], direction, u32::MAX).await.unwrap();
        assert_eq!((graph.nodes.len(), graph.edges.len()), (3, 3));
    }
}

/// Everything that happened is an event, counted from 1 without gaps; what changed nothing is none.
pub async fn events_are_ordered_without_gaps(under: &RegistryUnderTest) {
    if !under.promised.events {
        return skipped("events are not kept here");
    }
    let registry = &under.registry;
    let versions = under.churn(2).await;
    let by_hand = under.candidate(None, Some(1)).await;
    let promoted = registry.promote(&promotion(&versions[1], &free(), Some(1))).await.unwrap();
    let tags = Tags::from([(TagKey::new("k").unwrap(), "v".to_owned())]);
    for _ in 0..2 {
        registry.set_tags(&name("churn"), version(1), &tags, &actor()).await.unwrap();
        registry.set_archived(&name("churn"), version(1), true, &actor()).await.unwrap();
    }
    assert!(registry.set_alias(&candidate(None, Some(2))).await.is_err());
    let expected = [
        RegistryEventKind::Registered(version(1)),
        RegistryEventKind::Registered(version(2)),
        RegistryEventKind::AliasMoved(Box::new(by_hand)),
        RegistryEventKind::AliasMoved(Box::new(promoted)),
        RegistryEventKind::Tagged(version(1)),
        RegistryEventKind::Archived(version(1), true),
    ];
    let events = registry.events(0, 100).await.unwrap();
    assert_eq!(events.iter().map(|e| e.kind.clone()).collect::<Vec<_>>(), expected);
    assert!(events.iter().all(|e| e.model == name("churn") && e.actor == actor()));
    race(RACERS, |i| {
        let (registry, tags) = (registry.clone(), Tags::from([(TagKey::new("k").unwrap(), i.to_string())]));
        async move { registry.set_tags(&name("churn"), version(2), &tags, &actor()).await.unwrap() }
    })
    .await;
    let (mut after, mut read) = (0, Vec::new());
    loop {
        let events = registry.events(after, 7).await.unwrap();
        let Some(last) = events.last() else { break };
        assert!(events.len() <= 7);
        after = last.sequence;
        read.extend(events.into_iter().map(|e| e.sequence));
    }
    assert_eq!(read, (1..=expected.len() as u64 + RACERS as u64).collect::<Vec<_>>());
    assert!(registry.events(u64::MAX, 1).await.unwrap().is_empty());
    for limit in [0, PageRequest::MAX_LIMIT + 1] {
        assert_eq!(kind(registry.events(0, limit).await), ErrorKind::InvalidInput);
    }
}

/// Versions newest first, models by their bytes, history oldest first, on pages of any size.
pub async fn lists_are_ordered(under: &RegistryUnderTest) {
    for model in ["b", "a", "B", "a-1", "a1", "10", "9"] {
        under.register(model, "content").await;
    }
    under.churn(6).await;
    under.registry.set_archived(&name("churn"), version(5), true, &actor()).await.unwrap();
    for (expected, to) in [(None, 1), (Some(1), 2), (Some(2), 1), (Some(1), 4)] {
        under.candidate(expected, Some(to)).await;
    }
    for limit in [1, 2, 5, 100] {
        let models = read_quietly(limit, async |page| under.registry.models(&page).await).await;
        let models: Vec<_> = models.iter().map(ModelName::as_str).collect();
        assert_eq!(models, ["10", "9", "B", "a", "a-1", "a1", "b", "churn"]);
        let versions =
            read_quietly(limit, async |page| under.registry.versions(&name("churn"), &page).await).await;
        assert_eq!(versions.iter().map(|v| v.version.get()).collect::<Vec<_>>(), [6, 5, 4, 3, 2, 1]);
        if under.promised.alias_history {
            let list = async |page| under.registry.alias_history(&name("churn"), &free(), &page).await;
            let history = read_quietly(limit, list).await;
            let moves: Vec<_> = history.iter().map(|r| (r.sequence, r.to.unwrap().get())).collect();
            assert_eq!(moves, [(1, 1), (2, 2), (3, 1), (4, 4)]);
        }
    }
}

/// A reader of pages sees everything that was there when it began exactly once, while others write.
pub async fn paging_is_complete_under_writes(under: &RegistryUnderTest) {
    under.churn(9).await;
    for i in 1..=9 {
        under.register(&format!("name-{i}"), "content").await;
    }
    let seen = read_all(
        2,
        async |page| under.registry.versions(&name("churn"), &page).await,
        async |i| {
            under.register("churn", &format!("new {i}")).await;
            under.registry.set_archived(&name("churn"), version(9), i % 2 == 0, &actor()).await.unwrap();
        },
    )
    .await;
    let old: Vec<_> = seen.iter().map(|v| v.version.get()).filter(|v| *v <= 9).collect();
    assert_eq!(old, (1..=9).rev().collect::<Vec<_>>());
    let seen = read_all(
        2,
        async |page| under.registry.models(&page).await,
        async |i| {
            // Before, between and after what was read.
            for new in [format!("a{i}"), format!("name-{}x", i + 1), format!("z{i}")] {
                under.register(&new, "content").await;
            }
        },
    )
    .await;
    for i in 1..=9 {
        assert_eq!(seen.iter().filter(|n| n.as_str() == format!("name-{i}")).count(), 1);
    }
    assert!(seen.is_sorted());
}

/// A token of another query, or of another method, is refused.
pub async fn tokens_belong_to_their_query(under: &RegistryUnderTest) {
    for model in ["one", "one", "two", "two"] {
        under.register(model, "content").await;
    }
    let first = PageRequest::first(1);
    let page = under.registry.versions(&name("one"), &first).await.unwrap();
    let next = first.after(&page).unwrap();
    assert_eq!(kind(under.registry.versions(&name("two"), &next).await), ErrorKind::InvalidInput);
    assert_eq!(kind(under.registry.models(&next).await), ErrorKind::InvalidInput);
    for _ in 0..2 {
        let again = under.registry.versions(&name("one"), &next).await.unwrap();
        assert_eq!(again.items[0].version, Version::FIRST, "a page can be read again");
    }
    if under.promised.alias_history {
        let history = under.registry.alias_history(&name("one"), &free(), &next).await;
        assert_eq!(kind(history), ErrorKind::InvalidInput);
    }
}

/// Limits of nobody and forged tokens are refused by every list.
pub async fn bad_pages_are_refused(under: &RegistryUnderTest) {
    under.churn(1).await;
    under.candidate(None, Some(1)).await;
    refuses_bad_pages(async |page| under.registry.models(&page).await).await;
    refuses_bad_pages(async |page| under.registry.versions(&name("churn"), &page).await).await;
    if under.promised.alias_history {
        let list = async |page| under.registry.alias_history(&name("churn"), &free(), &page).await;
        refuses_bad_pages(list).await;
    }
}

/// Text of any script comes back as it went.
pub async fn unicode_is_kept_exactly(under: &RegistryUnderTest) {
    let mut expected = None;
    for text in TEXTS {
        let mut new = under.new_version("churn", text).await.with_description(*text);
        new.tags = hostile_tags();
        new.metrics.insert(MetricKey::new("метка: a.b/c").unwrap(), 1.0);
        new.actor = ActorId::new("jos\u{65}\u{301} 家族").unwrap();
        new.signature.inputs = vec![Feature::required(*text, DataType::F64)];
        new.data = vec![DataInput { role: (*text).to_owned(), ..input("patients") }];
        let made = under.registry.register(&new).await.unwrap();
        assert_eq!(under.registry.get(&made.reference()).await.unwrap().spec, new, "{text:?}");
        assert_eq!(under.registry.register(&new).await.unwrap(), made, "{text:?}");
        let to = Some(made.version.get());
        let change = candidate(expected, to).because(*text);
        assert_eq!(under.registry.set_alias(&change).await.unwrap().reason, *text);
        expected = to;
    }
    if under.promised.alias_history {
        let reasons: Vec<_> = under.history(&free()).await.into_iter().map(|r| r.reason).collect();
        assert_eq!(reasons, TEXTS);
    }
}

/// Names and aliases that differ only in case are two.
pub async fn names_that_differ_in_case_are_two(under: &RegistryUnderTest) {
    let lower = under.register("churn", "lower").await;
    let upper = under.register("Churn", "upper").await;
    assert_eq!((lower.version, upper.version), (Version::FIRST, Version::FIRST));
    assert_eq!(under.registry.get(&"churn:latest".parse().unwrap()).await.unwrap(), lower);
    assert_eq!(under.registry.get(&"Churn:latest".parse().unwrap()).await.unwrap(), upper);
    under.candidate(None, Some(1)).await;
    for other in ["churn:@Candidate", "Churn:@candidate"] {
        assert_eq!(kind(under.registry.get(&other.parse().unwrap()).await), ErrorKind::NotFound);
    }
}

/// What is too much is refused with the limit and what was sent, and a metric that is not finite is named.
pub async fn limits_are_typed(under: &RegistryUnderTest) {
    let new = under.new_version("churn", "content").await;
    let fits = new.clone().with_description("é".repeat(MAX_TEXT));
    assert_eq!(under.registry.register(&fits).await.unwrap().spec, fits);
    let tags =
        |n: usize| -> Tags { (0..n).map(|i| (TagKey::new(i.to_string()).unwrap(), String::new())).collect() };
    let fresh = || NewModelVersion { key: IdempotencyKey::generate(), ..new.clone() };
    let long = fresh().with_description("é".repeat(MAX_TEXT + 1));
    let many = NewModelVersion { tags: tags(MAX_ENTRIES + 1), ..fresh() };
    for (bad, limit) in [(long, MAX_TEXT), (many, MAX_ENTRIES)] {
        let error = fault(under.registry.register(&bad).await);
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
        assert_eq!(error.context("limit"), Some(limit.to_string().as_str()));
    }
    let replaced =
        under.registry.set_tags(&name("churn"), version(1), &tags(MAX_ENTRIES + 1), &actor()).await;
    assert_eq!(kind(replaced), ErrorKind::LimitExceeded);
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let bad = fresh().with_metric(MetricKey::new("roc_auc").unwrap(), value);
        let error = fault(under.registry.register(&bad).await);
        assert_eq!((error.kind(), error.context("metric")), (ErrorKind::InvalidInput, Some("roc_auc")));
    }
    assert_eq!(under.everything().await.0.len(), 1);
}
