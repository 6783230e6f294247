//! The suite of [`Deployer`].

use std::collections::BTreeMap;
use std::sync::Arc;

use super::support::{
    RACERS, TEXTS, actor, fault, hostile_tags, kind, race, read_all, read_quietly, refuses_bad_pages, skipped,
};
use crate::data::Table;
use crate::deploy::{
    Deployer, DeployerCapabilities, Deployment, DeploymentSpec, DeploymentState, Endpoint, EndpointSpec,
    InvokeRequest, InvokeResponse, Mirror, MirrorChange, OperationStats, Sticky, TrafficChange, TrafficSplit,
};
use crate::error::{ErrorKind, Result};
use crate::id::{DeploymentName, EndpointName, IdempotencyKey, ModelName, Percent, Version};
use crate::registry::{Direction, Edge, ModelRegistry, Node, Relation};

/// Makes a test of every case of the [`Deployer`] suite.
///
/// Takes the name of the module to put them in, and an expression that makes a fresh
/// [`DeployerUnderTest`](crate::conformance::deployer::DeployerUnderTest). See [the module](crate::conformance) for a whole
/// example.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::conformance::deployer::DeployerUnderTest;
/// use mlops_core::data::{Column, Table};
/// use mlops_core::deploy::Deployer;
/// use mlops_core::{ModelName, Version};
///
/// // A deployer without endpoints, and two versions of one model, registered where it finds them.
/// fn under_test(deployer: Arc<dyn Deployer>, versions: [Version; 2]) -> DeployerUnderTest {
///     let rows = Table::new(vec![Column::f64("age", vec![59.0, 48.0]).unwrap()]).unwrap();
///     DeployerUnderTest::new(deployer, ModelName::new("diabetes").unwrap(), versions, rows)
/// }
/// // mlops_core::deployer_suite!(my_deployer, fresh().await);
/// ```
#[macro_export]
macro_rules! deployer_suite {
    ($module:ident, $fresh:expr) => {
        $crate::__conformance_suite! { $module, $fresh, deployer, [
            capabilities_are_as_promised,
            ensure_endpoint_is_idempotent,
            endpoints_are_listed_alphabetically,
            paging_is_complete_under_writes,
            bad_pages_are_refused,
            missing_things_are_not_found,
            deploy_takes_no_traffic,
            deploy_is_idempotent,
            deployment_name_is_taken,
            failed_deploy_leaves_nothing,
            concurrent_deploys_make_one_deployment,
            deployments_are_lineage,
            tags_are_kept_exactly,
            traffic_compare_and_set,
            traffic_change_is_idempotent,
            traffic_key_reuse_is_a_conflict,
            traffic_needs_ready_deployments,
            of_many_racing_traffic_changes_one_wins,
            concurrent_changes_count_every_revision,
            traffic_can_be_taken_away,
            deployment_with_traffic_cannot_be_deleted,
            deleting_twice_is_deleting_once,
            a_deleted_name_can_be_used_again,
            a_mirror_takes_no_traffic,
            a_mirror_copies_its_share,
            mirror_changes_are_those_of_traffic,
            live_or_mirrored_but_not_both,
            a_failing_shadow_harms_nobody,
            routing_meets_the_split,
            routing_is_sticky,
            what_keeps_callers_is_kept,
            another_salt_deals_callers_out_anew,
            any_text_is_a_routing_key,
            named_deployment_is_asked,
            endpoints_are_kept_apart,
            no_traffic_no_answer,
            every_row_is_answered,
            bad_rows_are_refused,
            stats_count_requests,
            concurrent_requests_are_all_counted,
            a_failing_model_fails_alone,
            failed_calls_change_nothing,
        ] }
    };
}

/// A deployer without endpoints, and models for it.
#[derive(Debug)]
pub struct DeployerUnderTest {
    deployer: Arc<dyn Deployer>,
    promised: DeployerCapabilities,
    model: ModelName,
    versions: [Version; 2],
    rows: Arc<Table<'static>>,
    bad_rows: Vec<Table<'static>>,
    broken: Vec<(ModelName, Version)>,
    failing: Vec<(ModelName, Version)>,
    registry: Option<Arc<dyn ModelRegistry>>,
}

impl DeployerUnderTest {
    /// A deployer that promises everything; two versions of a model that needs at least one input and that it can deploy; and
    /// rows, at least two, that both of them answer.
    pub fn new(
        deployer: Arc<dyn Deployer>,
        model: ModelName,
        versions: [Version; 2],
        rows: Table<'static>,
    ) -> Self {
        Self {
            deployer,
            promised: DeployerCapabilities::FULL,
            model,
            versions,
            rows: Arc::new(rows),
            bad_rows: Vec::new(),
            broken: Vec::new(),
            failing: Vec::new(),
            registry: None,
        }
    }

    /// What the deployer is meant to be able to do.
    #[must_use]
    pub fn with_promised(mut self, capabilities: DeployerCapabilities) -> Self {
        self.promised = capabilities;
        self
    }

    /// Adds rows that do not meet the signature of the model.
    #[must_use]
    pub fn with_bad_rows(mut self, rows: Table<'static>) -> Self {
        self.bad_rows.push(rows);
        self
    }

    /// Adds a registered version that cannot be deployed: its content is damaged, missing, or does not load.
    #[must_use]
    pub fn with_broken(mut self, model: ModelName, version: Version) -> Self {
        self.broken.push((model, version));
        self
    }

    /// Adds a version that can be deployed but whose model fails, by an error or a panic, whenever it is asked the rows.
    #[must_use]
    pub fn with_failing(mut self, model: ModelName, version: Version) -> Self {
        self.failing.push((model, version));
        self
    }

    /// The registry in which deployments are linked to their models.
    #[must_use]
    pub fn with_lineage(mut self, registry: Arc<dyn ModelRegistry>) -> Self {
        self.registry = Some(registry);
        self
    }

    fn spec(&self, name: &str, version: usize) -> DeploymentSpec {
        let (endpoint, model) = (endpoint_name(), self.model.clone());
        DeploymentSpec::new(endpoint, deployment(name), model, self.versions[version], actor())
    }

    /// Makes the endpoint and on it `blue` with the first version and `green` with the second.
    async fn blue_and_green(&self) -> &dyn Deployer {
        self.deployer.ensure_endpoint(&EndpointSpec::new(endpoint_name(), actor())).await.unwrap();
        for (name, version) in [("blue", 0), ("green", 1)] {
            self.deployer.deploy(&self.spec(name, version)).await.unwrap();
        }
        &self.deployer
    }

    async fn set(&self, shares: &[(&str, u8)]) -> Endpoint {
        self.deployer.set_traffic(&change(shares, None)).await.unwrap()
    }

    async fn ask(&self, name: Option<&str>, key: Option<&str>) -> Result<InvokeResponse> {
        let request = InvokeRequest {
            endpoint: endpoint_name(),
            deployment: name.map(deployment),
            routing_key: key.map(str::to_owned),
            rows: &self.rows,
        };
        self.deployer.invoke(&request).await
    }

    async fn who(&self, key: &str) -> String {
        self.ask(None, Some(key)).await.unwrap().deployment.to_string()
    }

    async fn who_of(&self, keys: std::ops::Range<usize>) -> Vec<String> {
        let mut all = Vec::with_capacity(keys.len());
        for key in keys {
            all.push(self.who(&format!("user-{key}")).await);
        }
        all
    }

    async fn now(&self) -> Endpoint {
        self.deployer.endpoint(&endpoint_name()).await.unwrap()
    }

    async fn stats(&self, name: &str) -> OperationStats {
        self.deployer.stats(&endpoint_name(), &deployment(name)).await.unwrap()
    }
}

fn endpoint_name() -> EndpointName {
    EndpointName::new("diabetes").unwrap()
}

fn deployment(name: &str) -> DeploymentName {
    DeploymentName::new(name).unwrap()
}

fn split(shares: &[(&str, u8)]) -> TrafficSplit {
    if shares.is_empty() {
        return TrafficSplit::none();
    }
    TrafficSplit::new(shares.iter().map(|(n, p)| (deployment(n), Percent::new(*p).unwrap()))).unwrap()
}

fn change(shares: &[(&str, u8)], expected: Option<u64>) -> TrafficChange {
    TrafficChange {
        key: IdempotencyKey::generate(),
        endpoint: endpoint_name(),
        split: split(shares),
        expected,
        actor: actor(),
    }
}

fn mirror(to: &str, share: u8, expected: Option<u64>) -> MirrorChange {
    MirrorChange {
        key: IdempotencyKey::generate(),
        endpoint: endpoint_name(),
        mirror: Some(Mirror::new(deployment(to), Percent::new(share).unwrap())),
        expected,
        actor: actor(),
    }
}

/// The backend says it can do what was promised.
pub async fn capabilities_are_as_promised(under: &DeployerUnderTest) {
    assert_eq!(under.deployer.capabilities(), under.promised);
}

/// Making sure of an endpoint twice leaves it as it is.
pub async fn ensure_endpoint_is_idempotent(under: &DeployerUnderTest) {
    let spec = EndpointSpec::new(endpoint_name(), actor());
    let made = under.deployer.ensure_endpoint(&spec).await.unwrap();
    assert_eq!((&made.name, made.revision), (&spec.name, 0));
    assert!(made.traffic.is_none());
    assert_eq!(under.deployer.ensure_endpoint(&spec).await.unwrap(), made);
    // Also once it serves: nothing is reset.
    under.blue_and_green().await;
    let serving = under.set(&[("blue", 100)]).await;
    assert_eq!(under.deployer.ensure_endpoint(&spec).await.unwrap(), serving);
    assert_eq!(under.now().await, serving);
}

async fn make(deployer: &dyn Deployer, names: &[String]) {
    for name in names {
        let spec = EndpointSpec::new(EndpointName::new(name).unwrap(), actor());
        deployer.ensure_endpoint(&spec).await.unwrap();
    }
}

/// Endpoints are listed in order, whatever order they were made in.
pub async fn endpoints_are_listed_alphabetically(under: &DeployerUnderTest) {
    let names = ["m-2", "abc", "zzz", "m-10", "abcd"].map(str::to_owned);
    make(&under.deployer, &names).await;
    for limit in [1, 2, 100] {
        let listed = read_quietly(limit, |page| async move { under.deployer.endpoints(&page).await }).await;
        let listed: Vec<_> = listed.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(listed, ["abc", "abcd", "m-10", "m-2", "zzz"], "pages of {limit}");
    }
}

/// Whoever reads page by page while endpoints are made sees each that was there exactly once.
pub async fn paging_is_complete_under_writes(under: &DeployerUnderTest) {
    let there: Vec<String> = (10..40).map(|i| format!("there-{i}")).collect();
    make(&under.deployer, &there).await;
    let seen = read_all(
        4,
        |page| async move { under.deployer.endpoints(&page).await },
        |number| async move {
            let new = [format!("a-new-{number}"), format!("there-{number}-new"), format!("z-new-{number}")];
            make(&under.deployer, &new).await;
        },
    )
    .await;
    for name in there {
        assert_eq!(seen.iter().filter(|e| e.name.as_str() == name).count(), 1, "{name}");
    }
}

/// Limits of nobody and tokens of somebody else are refused.
pub async fn bad_pages_are_refused(under: &DeployerUnderTest) {
    make(&under.deployer, &["one".to_owned(), "two".to_owned()]).await;
    refuses_bad_pages(|page| async move { under.deployer.endpoints(&page).await }).await;
}

/// Every method says that an endpoint or a deployment is not there.
pub async fn missing_things_are_not_found(under: &DeployerUnderTest) {
    let (deployer, endpoint, blue) = (&under.deployer, endpoint_name(), deployment("blue"));
    for made in [false, true] {
        if made {
            deployer.ensure_endpoint(&EndpointSpec::new(endpoint.clone(), actor())).await.unwrap();
            deployer.endpoint(&endpoint).await.unwrap();
            assert!(deployer.deployments(&endpoint).await.unwrap().is_empty());
        } else {
            assert_eq!(kind(deployer.endpoint(&endpoint).await), ErrorKind::NotFound);
            assert_eq!(kind(deployer.deployments(&endpoint).await), ErrorKind::NotFound);
            assert_eq!(kind(deployer.deploy(&under.spec("blue", 0)).await), ErrorKind::NotFound);
            assert_eq!(kind(under.ask(None, None).await), ErrorKind::NotFound);
        }
        assert_eq!(kind(under.ask(Some("blue"), None).await), ErrorKind::NotFound);
        if under.promised.operation_stats {
            assert_eq!(kind(deployer.stats(&endpoint, &blue).await), ErrorKind::NotFound);
        }
    }
}

/// A new deployment is ready, has no traffic, and can be asked by its name.
pub async fn deploy_takes_no_traffic(under: &DeployerUnderTest) {
    let deployer = under.blue_and_green().await;
    let before = under.set(&[("blue", 100)]).await;
    let canary = deployer.deploy(&under.spec("red", 1)).await.unwrap();
    assert_eq!((canary.state, &canary.spec), (DeploymentState::Ready, &under.spec("red", 1)));
    assert_eq!(under.now().await, before);
    assert!(under.who_of(0..50).await.iter().all(|who| who == "blue"));
    assert_eq!(under.ask(Some("red"), None).await.unwrap().deployment, deployment("red"));
    assert_eq!(deployer.deployments(&endpoint_name()).await.unwrap()[&deployment("red")], canary);
}

/// Deploying the same again returns the deployment, and leaves it and its counts alone.
pub async fn deploy_is_idempotent(under: &DeployerUnderTest) {
    let deployer = under.blue_and_green().await;
    under.ask(Some("blue"), None).await.unwrap();
    let all = deployer.deployments(&endpoint_name()).await.unwrap();
    let again = deployer.deploy(&under.spec("blue", 0)).await.unwrap();
    assert_eq!(again, all[&deployment("blue")]);
    assert_eq!(deployer.deployments(&endpoint_name()).await.unwrap(), all);
    if under.promised.operation_stats {
        assert_eq!(under.stats("blue").await.requests, 1);
    }
}

/// A name in use is not given to another version, and who has it goes on answering.
pub async fn deployment_name_is_taken(under: &DeployerUnderTest) {
    let deployer = under.blue_and_green().await;
    let error = fault(deployer.deploy(&under.spec("blue", 1)).await);
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(under.ask(Some("blue"), None).await.unwrap().version, under.versions[0]);
}

/// What cannot be deployed leaves no deployment, takes no name and leads to no lineage.
pub async fn failed_deploy_leaves_nothing(under: &DeployerUnderTest) {
    let endpoint = endpoint_name();
    under.deployer.ensure_endpoint(&EndpointSpec::new(endpoint.clone(), actor())).await.unwrap();
    let mut broken = under.broken.clone();
    broken.push((under.model.clone(), Version::new(1 << 40).unwrap()));
    broken.push((ModelName::new("no-such-model").unwrap(), Version::FIRST));
    for (model, version) in broken {
        let spec = DeploymentSpec { model: model.clone(), version, ..under.spec("blue", 0) };
        let error = fault(under.deployer.deploy(&spec).await);
        assert!(!matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::AlreadyExists), "{error}");
        assert!(under.deployer.deployments(&endpoint).await.unwrap().is_empty(), "{model}:{version}");
        assert_eq!(kind(under.ask(Some("blue"), None).await), ErrorKind::NotFound);
        if let Some(registry) = &under.registry {
            let node = Node::Deployment { endpoint: endpoint.clone(), deployment: deployment("blue") };
            let graph = registry.lineage(&node, Direction::Upstream, 1).await;
            assert!(graph.is_ok_and(|g| g.edges.is_empty()), "{model}:{version}");
        }
    }
    under.deployer.deploy(&under.spec("blue", 0)).await.unwrap();
}

/// Many that deploy the same at once get the same deployment; of two versions under one name one wins.
pub async fn concurrent_deploys_make_one_deployment(under: &DeployerUnderTest) {
    under.deployer.ensure_endpoint(&EndpointSpec::new(endpoint_name(), actor())).await.unwrap();
    let answers = race(RACERS, |i| {
        let (deployer, spec) = (under.deployer.clone(), under.spec("blue", i % 2));
        async move { deployer.deploy(&spec).await }
    })
    .await;
    let all = under.deployer.deployments(&endpoint_name()).await.unwrap();
    let made: &Deployment = &all[&deployment("blue")];
    assert_eq!(all.len(), 1);
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (RACERS / 2, RACERS / 2));
    assert!(won.into_iter().all(|answer| answer.unwrap() == *made));
    assert!(lost.into_iter().all(|answer| kind(answer) == ErrorKind::AlreadyExists));
}

/// From the endpoint one finds the model, and from the model the endpoint.
pub async fn deployments_are_lineage(under: &DeployerUnderTest) {
    let Some(registry) = &under.registry else { return skipped("lineage is not kept here") };
    under.blue_and_green().await;
    for (name, version) in [("blue", 0), ("green", 1)] {
        let model = Node::Model { name: under.model.clone(), version: under.versions[version] };
        let served = Node::Deployment { endpoint: endpoint_name(), deployment: deployment(name) };
        let edge = Edge { from: model.clone(), to: served.clone(), relation: Relation::DeployedAs };
        for (start, direction) in [(&served, Direction::Upstream), (&model, Direction::Downstream)] {
            let graph = registry.lineage(start, direction, 1).await.unwrap();
            assert_eq!(graph.edges.iter().filter(|e| **e == edge).count(), 1, "{graph:?}");
        }
    }
}

/// Tags come back as they were.
pub async fn tags_are_kept_exactly(under: &DeployerUnderTest) {
    let spec = EndpointSpec { tags: hostile_tags(), ..EndpointSpec::new(endpoint_name(), actor()) };
    under.deployer.ensure_endpoint(&spec).await.unwrap();
    assert_eq!(under.now().await.tags, hostile_tags());
    let spec = DeploymentSpec { tags: hostile_tags(), ..under.spec("blue", 0) };
    under.deployer.deploy(&spec).await.unwrap();
    let all = under.deployer.deployments(&endpoint_name()).await.unwrap();
    assert_eq!(all[&deployment("blue")].spec, spec);
}

/// A change that expects another revision changes nothing, and says what it found.
pub async fn traffic_compare_and_set(under: &DeployerUnderTest) {
    if !under.promised.compare_and_set {
        return skipped("traffic is not compare-and-set here");
    }
    let deployer = under.blue_and_green().await;
    let first = deployer.set_traffic(&change(&[("blue", 100)], Some(0))).await.unwrap();
    assert_eq!((first.revision, &first.traffic), (1, &split(&[("blue", 100)])));
    for stale in [0, 2, u64::MAX] {
        let error = fault(deployer.set_traffic(&change(&[("green", 100)], Some(stale))).await);
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(error.context("expected"), Some(stale.to_string().as_str()));
        assert_eq!(error.context("found"), Some("1"));
        assert_eq!(under.now().await, first);
    }
    let canary = [("blue", 90), ("green", 10)];
    assert_eq!(deployer.set_traffic(&change(&canary, Some(1))).await.unwrap().revision, 2);
    assert_eq!(deployer.set_traffic(&change(&canary, None)).await.unwrap().revision, 3);
}

/// The same change again is the change that was made, also when the endpoint has moved on.
pub async fn traffic_change_is_idempotent(under: &DeployerUnderTest) {
    let deployer = under.blue_and_green().await;
    let canary = change(&[("blue", 90), ("green", 10)], Some(0));
    let made = deployer.set_traffic(&canary).await.unwrap();
    assert_eq!(deployer.set_traffic(&canary).await.unwrap(), made);
    assert_eq!(under.now().await, made);
    let moved_on = under.set(&[("green", 100)]).await;
    deployer.set_traffic(&canary).await.unwrap();
    assert_eq!(under.now().await, moved_on, "a late repetition undoes nothing");
}

/// A key that was used for another change is a conflict.
pub async fn traffic_key_reuse_is_a_conflict(under: &DeployerUnderTest) {
    let deployer = under.blue_and_green().await;
    let first = change(&[("blue", 100)], None);
    let made = deployer.set_traffic(&first).await.unwrap();
    let others = [
        TrafficChange { split: split(&[("green", 100)]), ..first.clone() },
        TrafficChange { expected: Some(made.revision), ..first.clone() },
    ];
    for other in others {
        assert_eq!(kind(deployer.set_traffic(&other).await), ErrorKind::Conflict, "{other:?}");
    }
    assert_eq!(under.now().await, made);
}

/// Nobody gets traffic who is not there to answer.
pub async fn traffic_needs_ready_deployments(under: &DeployerUnderTest) {
    let deployer = under.blue_and_green().await;
    let before = under.set(&[("blue", 100)]).await;
    for shares in
        [&[("red", 100)][..], &[("blue", 99), ("red", 1)], &[("blue", 50), ("green", 49), ("red", 1)]]
    {
        let error = fault(deployer.set_traffic(&change(shares, None)).await);
        assert!(matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict), "{error}");
        assert_eq!(under.now().await, before);
    }
    // A deployment with no share need not be there.
    deployer.set_traffic(&change(&[("blue", 100), ("red", 0)], None)).await.unwrap();
}

/// Of many that expect the same revision exactly one wins, and what it set is what there is.
pub async fn of_many_racing_traffic_changes_one_wins(under: &DeployerUnderTest) {
    if !under.promised.compare_and_set {
        return skipped("traffic is not compare-and-set here");
    }
    under.blue_and_green().await;
    for revision in 0..5 {
        let answers = race(RACERS, |i| {
            let deployer = under.deployer.clone();
            let share = u8::try_from(i % 100).unwrap();
            let change = change(&[("blue", 100 - share), ("green", share)], Some(revision));
            async move { deployer.set_traffic(&change).await }
        })
        .await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, RACERS - 1));
        assert!(lost.into_iter().all(|answer| kind(answer) == ErrorKind::Conflict));
        let won = won.into_iter().next().unwrap().unwrap();
        assert_eq!((won.revision, &under.now().await), (revision + 1, &won));
    }
}

/// Changes that expect nothing all happen, one after the other.
pub async fn concurrent_changes_count_every_revision(under: &DeployerUnderTest) {
    under.blue_and_green().await;
    let answers = race(RACERS, |i| {
        let deployer = under.deployer.clone();
        let change = change(&[(["blue", "green"][i % 2], 100)], None);
        async move { deployer.set_traffic(&change).await.unwrap().revision }
    })
    .await;
    let mut revisions = answers;
    revisions.sort_unstable();
    assert!(revisions.into_iter().eq(1..=RACERS as u64));
    assert_eq!(under.now().await.revision, RACERS as u64);
}

/// An endpoint can be given no traffic again.
pub async fn traffic_can_be_taken_away(under: &DeployerUnderTest) {
    under.blue_and_green().await;
    under.set(&[("blue", 100)]).await;
    assert!(under.set(&[]).await.traffic.is_none());
    assert_eq!(kind(under.ask(None, Some("user")).await), ErrorKind::Conflict);
    under.deployer.delete_deployment(&endpoint_name(), &deployment("blue")).await.unwrap();
}

/// Who has traffic, however little, stays.
pub async fn deployment_with_traffic_cannot_be_deleted(under: &DeployerUnderTest) {
    let deployer = under.blue_and_green().await;
    under.set(&[("blue", 99), ("green", 1)]).await;
    for name in ["blue", "green"] {
        let error = fault(deployer.delete_deployment(&endpoint_name(), &deployment(name)).await);
        assert_eq!(error.kind(), ErrorKind::Conflict, "{name}");
    }
    assert_eq!(deployer.deployments(&endpoint_name()).await.unwrap().len(), 2);
    under.set(&[("blue", 100)]).await;
    deployer.delete_deployment(&endpoint_name(), &deployment("green")).await.unwrap();
    assert_eq!(kind(under.ask(Some("green"), None).await), ErrorKind::NotFound);
    assert_eq!(under.who("user").await, "blue");
}

/// Removing what is not there is no error.
pub async fn deleting_twice_is_deleting_once(under: &DeployerUnderTest) {
    let deployer = under.blue_and_green().await;
    for name in ["green", "green", "never-made"] {
        deployer.delete_deployment(&endpoint_name(), &deployment(name)).await.unwrap();
    }
    assert!(deployer.deployments(&endpoint_name()).await.unwrap().into_keys().eq([deployment("blue")]));
}

/// After a deployment is gone another version may have its name, and starts from nothing.
pub async fn a_deleted_name_can_be_used_again(under: &DeployerUnderTest) {
    let deployer = under.blue_and_green().await;
    under.ask(Some("green"), None).await.unwrap();
    deployer.delete_deployment(&endpoint_name(), &deployment("green")).await.unwrap();
    deployer.deploy(&under.spec("green", 0)).await.unwrap();
    assert_eq!(under.ask(Some("green"), None).await.unwrap().version, under.versions[0]);
    if under.promised.operation_stats {
        assert_eq!(under.stats("green").await.requests, 1);
    }
}

/// The largest share, up to a half, that can be mirrored; none where no case about mirrors makes sense.
fn mirrored_share(under: &DeployerUnderTest) -> Option<u8> {
    let share = under.promised.max_mirror.get().min(50);
    if share == 0 {
        skipped("requests are not mirrored here");
    }
    (share > 0).then_some(share)
}

/// A shadow is no part of the traffic: who answers stays as it was, and the split says so.
pub async fn a_mirror_takes_no_traffic(under: &DeployerUnderTest) {
    if under.promised.max_mirror == Percent::ZERO {
        let refused = under.blue_and_green().await.set_mirror(&mirror("green", 1, None)).await;
        return assert_eq!(kind(refused), ErrorKind::Unsupported);
    }
    let Some(share) = mirrored_share(under) else { return };
    let deployer = under.blue_and_green().await;
    let before = under.set(&[("blue", 100)]).await;
    let mirrored = deployer.set_mirror(&mirror("green", share, Some(before.revision))).await.unwrap();
    assert_eq!((&mirrored.traffic, mirrored.revision), (&before.traffic, before.revision + 1));
    assert_eq!(mirrored.mirror, mirror("green", share, None).mirror);
    assert_eq!(under.now().await, mirrored);
    for key in 0..200 {
        let answer = under.ask(None, Some(&format!("user-{key}"))).await.unwrap();
        assert_eq!((answer.deployment, answer.version), (deployment("blue"), under.versions[0]));
    }
    assert_eq!(under.ask(None, None).await.unwrap().deployment, deployment("blue"));
    // A change of traffic leaves the shadow as it is, and the other way round.
    deployer.deploy(&under.spec("red", 1)).await.unwrap();
    assert_eq!(under.set(&[("blue", 60), ("red", 40)]).await.mirror, mirrored.mirror);
    let none = MirrorChange { mirror: None, ..mirror("green", share, None) };
    let ended = deployer.set_mirror(&none).await.unwrap();
    assert_eq!((ended.mirror, ended.traffic), (None, split(&[("blue", 60), ("red", 40)])));
}

/// A share of the requests that name no deployment is asked of the shadow too, and counts there alone.
pub async fn a_mirror_copies_its_share(under: &DeployerUnderTest) {
    if !under.promised.operation_stats {
        return skipped("requests are not counted here");
    }
    let Some(share) = mirrored_share(under) else { return };
    let deployer = under.blue_and_green().await;
    under.set(&[("blue", 100)]).await;
    deployer.set_mirror(&mirror("green", share, None)).await.unwrap();
    under.who_of(0..500).await;
    for _ in 0..500 {
        under.ask(None, None).await.unwrap();
    }
    let (blue, green) = (under.stats("blue").await, under.stats("green").await);
    assert_eq!(blue.requests, 1_000);
    // A fair sampler is further than 80 off once in 10⁶ times at most (standard deviation at most 15.8).
    let expected = u64::from(share) * 10;
    assert!(green.requests.abs_diff(expected) <= 80, "{} of 1000, {expected} expected", green.requests);
    assert_eq!((green.failures, green.bad_requests), (0, 0));
    // Who names a deployment is not mirrored; nor is anybody once the shadow is gone.
    for key in 0..100 {
        under.ask(Some("blue"), Some(&format!("user-{key}"))).await.unwrap();
    }
    deployer.set_mirror(&MirrorChange { mirror: None, ..mirror("green", share, None) }).await.unwrap();
    under.who_of(0..100).await;
    assert_eq!(under.stats("green").await.requests, green.requests);
}

/// Compare-and-set on the revision that traffic has too, and idempotent by a key that is used once.
pub async fn mirror_changes_are_those_of_traffic(under: &DeployerUnderTest) {
    let Some(share) = mirrored_share(under) else { return };
    let deployer = under.blue_and_green().await;
    let traffic = change(&[("blue", 100)], None);
    let before = deployer.set_traffic(&traffic).await.unwrap();
    if under.promised.compare_and_set {
        let stale = mirror("green", share, Some(before.revision + 1));
        let error = fault(deployer.set_mirror(&stale).await);
        assert_eq!((error.kind(), error.context("found")), (ErrorKind::Conflict, Some("1")));
        assert_eq!(under.now().await, before);
    }
    let first = mirror("green", share, Some(before.revision));
    let made = deployer.set_mirror(&first).await.unwrap();
    assert_eq!(deployer.set_mirror(&first).await.unwrap(), made);
    let other = MirrorChange { mirror: None, ..first.clone() };
    assert_eq!(kind(deployer.set_mirror(&other).await), ErrorKind::Conflict);
    let taken = MirrorChange { key: traffic.key.clone(), ..first.clone() };
    assert_eq!(kind(deployer.set_mirror(&taken).await), ErrorKind::Conflict);
    let taken = TrafficChange { key: first.key.clone(), ..change(&[("blue", 100)], None) };
    assert_eq!(kind(deployer.set_traffic(&taken).await), ErrorKind::Conflict);
    assert_eq!(under.now().await, made);
    if under.promised.compare_and_set {
        let old = change(&[("blue", 100)], Some(before.revision));
        assert_eq!(kind(deployer.set_traffic(&old).await), ErrorKind::Conflict, "the revision is shared");
    }
    let ended =
        deployer.set_mirror(&MirrorChange { mirror: None, ..mirror("green", 1, None) }).await.unwrap();
    assert_eq!(ended.mirror, None);
    assert_eq!(deployer.set_mirror(&first).await.unwrap().revision, made.revision);
    assert_eq!(under.now().await, ended, "a late repetition undoes nothing");
}

/// A shadow has no traffic, must be there, and stays as long as it is the shadow.
pub async fn live_or_mirrored_but_not_both(under: &DeployerUnderTest) {
    let Some(share) = mirrored_share(under) else { return };
    let deployer = under.blue_and_green().await;
    let before = under.set(&[("blue", 90), ("green", 10)]).await;
    for to in ["blue", "green", "never-made"] {
        let error = fault(deployer.set_mirror(&mirror(to, share, None)).await);
        assert!(matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict), "{to}: {error}");
        assert_eq!(under.now().await, before);
    }
    under.set(&[("blue", 100)]).await;
    let mirrored = deployer.set_mirror(&mirror("green", share, None)).await.unwrap();
    let live = fault(deployer.set_traffic(&change(&[("blue", 99), ("green", 1)], None)).await);
    assert_eq!(live.kind(), ErrorKind::Conflict);
    let gone = fault(deployer.delete_deployment(&endpoint_name(), &deployment("green")).await);
    assert_eq!(gone.kind(), ErrorKind::Conflict);
    assert_eq!(under.now().await, mirrored);
    if let Some(above) = Percent::new(under.promised.max_mirror.get() + 1) {
        let error = fault(deployer.set_mirror(&mirror("green", above.get(), None)).await);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    deployer.set_mirror(&MirrorChange { mirror: None, ..mirror("green", 1, None) }).await.unwrap();
    deployer.delete_deployment(&endpoint_name(), &deployment("green")).await.unwrap();
}

/// Whatever a shadow does, everybody is answered as without it.
pub async fn a_failing_shadow_harms_nobody(under: &DeployerUnderTest) {
    if under.failing.is_empty() {
        return skipped("there is no model that fails here");
    }
    let Some(share) = mirrored_share(under) else { return };
    let deployer = under.blue_and_green().await;
    under.set(&[("blue", 100)]).await;
    let alone = under.ask(None, Some("user-0")).await.unwrap().predictions;
    for (i, (model, version)) in under.failing.iter().enumerate() {
        let name = format!("failing-{i}");
        let spec = DeploymentSpec { model: model.clone(), version: *version, ..under.spec(&name, 0) };
        deployer.deploy(&spec).await.unwrap();
        deployer.set_mirror(&mirror(&name, share, None)).await.unwrap();
        for key in 0..50 {
            let answer = under.ask(None, Some(&format!("user-{key}"))).await.unwrap();
            assert_eq!((answer.deployment, answer.predictions), (deployment("blue"), alone.clone()));
        }
        if under.promised.operation_stats {
            let stats = under.stats(&name).await;
            assert!(stats.requests > 0 && stats.failures == stats.requests, "{stats:?}");
            assert_eq!(under.stats("blue").await.failures, 0);
        }
    }
}

/// Each deployment answers its share, of callers and of requests without a key.
pub async fn routing_meets_the_split(under: &DeployerUnderTest) {
    under.blue_and_green().await;
    under.set(&[("blue", 80), ("green", 20)]).await;
    let keyed = under.who_of(0..1000).await;
    let mut keyless = Vec::new();
    for _ in 0..1000 {
        keyless.push(under.ask(None, None).await.unwrap().deployment.to_string());
    }
    for answers in [keyed, keyless] {
        let green = answers.iter().filter(|who| *who == "green").count();
        // 200 are expected; a fair router is further than 80 off once in 10⁹ times (standard deviation 12.6).
        assert!((120..=280).contains(&green), "{green} of 1000");
    }
    under.set(&[("green", 100)]).await;
    assert!(under.who_of(0..100).await.iter().all(|who| who == "green"));
}

/// One caller has one deployment while the split stays; raising a share takes nobody away from it, and taking a step back
/// gives everybody what they had.
pub async fn routing_is_sticky(under: &DeployerUnderTest) {
    if !under.promised.sticky_routing {
        return skipped("routing is not sticky here");
    }
    let deployer = under.blue_and_green().await;
    deployer.deploy(&under.spec("amber", 1)).await.unwrap();
    let mut before: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    // In each step the deployment named has its share raised and nobody else has.
    let steps: [(&str, &[(&str, u8)]); 9] = [
        ("blue", &[("blue", 100)]),
        ("green", &[("blue", 95), ("green", 5)]),
        ("green", &[("blue", 70), ("green", 30)]),
        ("blue", &[("blue", 95), ("green", 5)]),
        ("amber", &[("amber", 20), ("blue", 75), ("green", 5)]),
        ("green", &[("amber", 20), ("blue", 40), ("green", 40)]),
        ("amber", &[("amber", 40), ("blue", 40), ("green", 20)]),
        ("blue", &[("amber", 20), ("blue", 60), ("green", 20)]),
        ("amber", &[("amber", 100)]),
    ];
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (raised, shares) in steps {
        let split = under.set(shares).await.traffic.to_string();
        let answers = under.who_of(0..300).await;
        assert_eq!(under.who_of(0..300).await, answers, "asked again at {split}");
        if let Some(before) = before.get("all") {
            let left = (0..300).filter(|&i| before[i] == raised && answers[i] != raised).count();
            assert_eq!(left, 0, "raising {raised} to {split} moved callers away from it");
        }
        if let Some(earlier) = seen.get(&split) {
            assert_eq!(*earlier, answers, "back at {split}");
        }
        seen.insert(split, answers.clone());
        before.insert("all", answers);
    }
}

/// What keeps callers at their deployment belongs to the split: it is kept with it, is part of what a key stands for, and goes with
/// a split that does not say it. Where callers cannot be kept, nobody is told that they are.
pub async fn what_keeps_callers_is_kept(under: &DeployerUnderTest) {
    let deployer = under.blue_and_green().await;
    let before = under.set(&[("blue", 100)]).await;
    let (header, field) = (Sticky::header("x-user").unwrap(), Sticky::field("user").unwrap());
    let sticky = |sticky: &Sticky| {
        let change = change(&[("blue", 50), ("green", 50)], None);
        TrafficChange { split: change.split.clone().with_sticky(sticky.clone()), ..change }
    };
    let by_header = sticky(&header);
    let made = match deployer.set_traffic(&by_header).await {
        Ok(made) => made,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            assert_eq!(under.now().await, before);
            return skipped("what keeps callers is not kept with the split here");
        }
    };
    assert!(under.promised.sticky_routing, "callers cannot be kept here, and nobody is told");
    assert_eq!((&made.traffic, made.traffic.sticky()), (&by_header.split, Some(&header)));
    assert_eq!(under.now().await, made);
    assert_eq!(deployer.set_traffic(&by_header).await.unwrap(), made);
    // Under the same key: by something else, and by nothing.
    for other in [Some(field.clone()), None] {
        let other = TrafficChange { split: made.traffic.clone().with_sticky(other), ..by_header.clone() };
        assert_eq!(kind(deployer.set_traffic(&other).await), ErrorKind::Conflict, "{other:?}");
    }
    let answers = under.who_of(0..100).await;
    assert_eq!(under.who_of(0..100).await, answers);
    // A mirror has nothing to do with it, and a canary that is raised takes it along.
    let raised = sticky(&header).split;
    let shares = [(deployment("blue"), 20), (deployment("green"), 80)];
    let shares = shares.map(|(name, share)| (name, Percent::new(share).unwrap()));
    let raised = TrafficSplit::new(shares).unwrap().with_sticky(raised.sticky().cloned());
    let change_to = |split| TrafficChange { split, ..change(&[("blue", 100)], None) };
    deployer.set_traffic(&change_to(raised)).await.unwrap();
    let later = under.who_of(0..100).await;
    assert!((0..100).all(|i| answers[i] != "green" || later[i] == "green"), "a caller was moved back");
    let by_field = deployer.set_traffic(&sticky(&field)).await.unwrap();
    assert_eq!(by_field.traffic.sticky(), Some(&field));
    assert_eq!(under.set(&[("blue", 50), ("green", 50)]).await.traffic.sticky(), None);
}

/// Another salt deals the callers out anew, and the same again gives everybody what they had.
pub async fn another_salt_deals_callers_out_anew(under: &DeployerUnderTest) {
    if !under.promised.sticky_routing {
        return skipped("routing is not sticky here");
    }
    let deployer = under.blue_and_green().await;
    let mut seen = Vec::new();
    for salt in ["spring", "autumn", "spring"] {
        let sticky = Sticky::header("x-user").unwrap().with_salt(salt).unwrap();
        let change = change(&[("blue", 50), ("green", 50)], None);
        let change = TrafficChange { split: change.split.clone().with_sticky(sticky), ..change };
        match deployer.set_traffic(&change).await {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                return skipped("no split has a salt here");
            }
            Err(error) => panic!("{error}"),
        }
        seen.push(under.who_of(0..200).await);
    }
    let moved = (0..200).filter(|&i| seen[0][i] != seen[1][i]).count();
    // 100 are expected; two salts agree or differ on so many callers once in 10⁹ times (standard deviation 7).
    assert!((57..=143).contains(&moved), "{moved} of 200");
    assert_eq!(seen[0], seen[2]);
}

/// A caller may be called anything.
pub async fn any_text_is_a_routing_key(under: &DeployerUnderTest) {
    under.blue_and_green().await;
    under.set(&[("blue", 50), ("green", 50)]).await;
    let long = "x".repeat(10_000);
    for key in TEXTS.iter().copied().chain([long.as_str()]) {
        let first = under.who(key).await;
        if under.promised.sticky_routing {
            assert_eq!(under.who(key).await, first, "{key:?}");
        }
    }
}

/// A deployment that is named answers, with or without traffic, whatever the key.
pub async fn named_deployment_is_asked(under: &DeployerUnderTest) {
    under.blue_and_green().await;
    for shares in [&[][..], &[("blue", 100)], &[("blue", 50), ("green", 50)]] {
        under.set(shares).await;
        for (name, version) in [("blue", 0), ("green", 1)] {
            for key in [None, Some("user")] {
                let answer = under.ask(Some(name), key).await.unwrap();
                assert_eq!((answer.deployment, answer.version), (deployment(name), under.versions[version]));
            }
        }
    }
}

/// Two endpoints share neither deployments nor traffic.
pub async fn endpoints_are_kept_apart(under: &DeployerUnderTest) {
    let deployer = under.blue_and_green().await;
    let other = EndpointSpec::new(EndpointName::new("other").unwrap(), actor());
    deployer.ensure_endpoint(&other).await.unwrap();
    under.set(&[("blue", 100)]).await;
    assert!(deployer.deployments(&other.name).await.unwrap().is_empty());
    assert_eq!(deployer.endpoint(&other.name).await.unwrap().revision, 0);
    let spec = DeploymentSpec { endpoint: other.name.clone(), ..under.spec("blue", 1) };
    deployer.deploy(&spec).await.unwrap();
    deployer.delete_deployment(&other.name, &deployment("blue")).await.unwrap();
    assert_eq!(under.who("user").await, "blue");
}

/// Without traffic nobody answers, and it is not the caller's rows that are to blame.
pub async fn no_traffic_no_answer(under: &DeployerUnderTest) {
    under.blue_and_green().await;
    for key in [None, Some("user")] {
        assert_eq!(kind(under.ask(None, key).await), ErrorKind::Conflict);
    }
}

/// One prediction a row, the same for the same rows.
pub async fn every_row_is_answered(under: &DeployerUnderTest) {
    under.blue_and_green().await;
    let one = under.ask(Some("blue"), None).await.unwrap().predictions;
    assert_eq!(one.len(), under.rows.rows());
    assert!(one.as_slice().iter().all(|p| p.is_finite()));
    assert_eq!(under.ask(Some("blue"), None).await.unwrap().predictions, one);
}

/// Rows that do not meet the signature are the caller's fault, not the model's.
pub async fn bad_rows_are_refused(under: &DeployerUnderTest) {
    let deployer = under.blue_and_green().await;
    under.set(&[("blue", 100)]).await;
    let no_columns = under.rows.without(&under.rows.names().collect::<Vec<_>>());
    for rows in under.bad_rows.iter().chain([&no_columns]) {
        for name in [None, Some(deployment("blue"))] {
            let request =
                InvokeRequest { endpoint: endpoint_name(), deployment: name, routing_key: None, rows };
            assert_eq!(kind(deployer.invoke(&request).await), ErrorKind::InvalidInput, "{rows:?}");
        }
    }
    if under.promised.operation_stats {
        let stats = under.stats("blue").await;
        let sent = 2 * (under.bad_rows.len() as u64 + 1);
        assert_eq!((stats.requests, stats.bad_requests, stats.failures), (sent, sent, 0));
        assert_eq!(stats.failure_rate(), None);
    }
}

/// Every request to a deployment is counted there, routed or named.
pub async fn stats_count_requests(under: &DeployerUnderTest) {
    if !under.promised.operation_stats {
        return skipped("requests are not counted here");
    }
    under.blue_and_green().await;
    assert_eq!(under.stats("blue").await, OperationStats::default());
    under.set(&[("blue", 100)]).await;
    for _ in 0..3 {
        under.ask(None, None).await.unwrap();
        under.ask(Some("green"), Some("user")).await.unwrap();
        under.ask(None, Some("user")).await.unwrap();
    }
    let (blue, green) = (under.stats("blue").await, under.stats("green").await);
    assert_eq!((blue.requests, green.requests), (6, 3));
    assert_eq!((blue.failures, blue.bad_requests), (0, 0));
    assert_eq!(blue.failure_rate(), Some(0.0));
    assert!(blue.max_latency <= blue.total_latency);
}

/// No request is lost from the counts when many come at once.
pub async fn concurrent_requests_are_all_counted(under: &DeployerUnderTest) {
    if !under.promised.operation_stats {
        return skipped("requests are not counted here");
    }
    under.blue_and_green().await;
    under.set(&[("blue", 50), ("green", 50)]).await;
    let answers = race(RACERS, |i| {
        let (deployer, rows) = (under.deployer.clone(), under.rows.clone());
        async move {
            let mut blue = 0;
            for _ in 0..5 {
                let routing_key = (i % 2 == 0).then(|| format!("user-{i}"));
                let request =
                    InvokeRequest { endpoint: endpoint_name(), deployment: None, routing_key, rows: &rows };
                let answer = deployer.invoke(&request).await.unwrap();
                blue += u64::from(answer.deployment == deployment("blue"));
            }
            blue
        }
    })
    .await;
    let blue: u64 = answers.iter().sum();
    assert_eq!(under.stats("blue").await.requests, blue);
    assert_eq!(under.stats("green").await.requests, RACERS as u64 * 5 - blue);
}

/// A model that fails answers with an error each time, is counted, and takes nobody with it.
pub async fn a_failing_model_fails_alone(under: &DeployerUnderTest) {
    if under.failing.is_empty() {
        return skipped("there is no model that fails here");
    }
    let deployer = under.blue_and_green().await;
    under.set(&[("blue", 100)]).await;
    for (i, (model, version)) in under.failing.iter().enumerate() {
        let name = format!("failing-{i}");
        let spec = DeploymentSpec { model: model.clone(), version: *version, ..under.spec(&name, 0) };
        deployer.deploy(&spec).await.unwrap();
        for _ in 0..3 {
            let error = fault(under.ask(Some(&name), None).await);
            assert_ne!(error.kind(), ErrorKind::InvalidInput, "{error}");
            under.ask(None, None).await.unwrap();
        }
        if under.promised.operation_stats {
            let stats = under.stats(&name).await;
            assert_eq!((stats.requests, stats.failures, stats.failure_rate()), (3, 3, Some(1.0)));
            assert_eq!(under.stats("blue").await.failures, 0);
        }
    }
}

/// After any call that failed, everything is as it was.
pub async fn failed_calls_change_nothing(under: &DeployerUnderTest) {
    let deployer = under.blue_and_green().await;
    let endpoint = under.set(&[("blue", 90), ("green", 10)]).await;
    let deployments = deployer.deployments(&endpoint_name()).await.unwrap();
    let unchanged = async || {
        assert_eq!(under.now().await, endpoint);
        assert_eq!(deployer.deployments(&endpoint_name()).await.unwrap(), deployments);
    };
    assert!(deployer.deploy(&under.spec("blue", 1)).await.is_err());
    unchanged().await;
    let unknown = DeploymentSpec { version: Version::new(1 << 40).unwrap(), ..under.spec("red", 0) };
    assert!(deployer.deploy(&unknown).await.is_err());
    unchanged().await;
    let failed = change(&[("red", 100)], None);
    assert!(deployer.set_traffic(&failed).await.is_err());
    unchanged().await;
    assert!(deployer.delete_deployment(&endpoint_name(), &deployment("green")).await.is_err());
    unchanged().await;
    // A change that failed did not use up its key.
    let retried = TrafficChange { split: split(&[("blue", 100)]), ..failed };
    assert_eq!(deployer.set_traffic(&retried).await.unwrap().revision, endpoint.revision + 1);
}
