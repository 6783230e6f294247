//! Cost rules over what runs: twelve ways to pay for nothing, each found with what it costs where the price is known.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::hygiene::{ItemKind, Sweep};
use crate::config::{Document, Format};
use crate::error::{Error, Result, quote};
use crate::time::{Timestamp, duration_text};

/// Hours of a month, 365.25 · 24 / 12.
const HOURS: f64 = 730.5;

/// How urgent what a cluster is for is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// Somebody waits for it; the default.
    #[default]
    Urgent,
    /// It may be interrupted and go on later.
    Interruptible,
}

/// A compute cluster.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterCost {
    /// Its name.
    pub name: String,
    /// The fewest nodes it keeps.
    pub min_nodes: u32,
    /// After how long without work it gives nodes back.
    #[serde(with = "crate::time::duration_text")]
    pub idle_before_scale_down: Duration,
    /// Whether its nodes are dedicated, not such as may be taken away.
    pub dedicated: bool,
    /// What it is for.
    #[serde(default)]
    pub urgency: Urgency,
    /// The price of a node and hour.
    #[serde(default)]
    pub hourly: Option<f64>,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

impl ClusterCost {
    /// A cluster that is not urgent by default, without price and tags.
    pub fn new(
        name: impl Into<String>,
        min_nodes: u32,
        idle_before_scale_down: Duration,
        dedicated: bool,
    ) -> Self {
        Self {
            name: name.into(),
            min_nodes,
            idle_before_scale_down,
            dedicated,
            urgency: Urgency::default(),
            hourly: None,
            tags: BTreeMap::new(),
        }
    }

    /// For this.
    #[must_use]
    pub fn with_urgency(mut self, urgency: Urgency) -> Self {
        self.urgency = urgency;
        self
    }

    /// At this price of a node and hour.
    #[must_use]
    pub fn with_hourly(mut self, hourly: impl Into<Option<f64>>) -> Self {
        self.hourly = hourly.into();
        self
    }

    /// With these tags.
    #[must_use]
    pub fn with_tags(mut self, tags: BTreeMap<String, String>) -> Self {
        self.tags = tags;
        self
    }
}

/// A compute instance.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceCost {
    /// Its name.
    pub name: String,
    /// After how long without work it stops.
    #[serde(default, with = "crate::time::duration_text::option")]
    pub idle_shutdown: Option<Duration>,
    /// Whether a schedule stops it.
    #[serde(default)]
    pub scheduled_stop: bool,
    /// The price of an hour.
    #[serde(default)]
    pub hourly: Option<f64>,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

impl InstanceCost {
    /// An instance that nothing stops, without price and tags.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            idle_shutdown: None,
            scheduled_stop: false,
            hourly: None,
            tags: BTreeMap::new(),
        }
    }

    /// That stops after so long without work, or does not.
    #[must_use]
    pub fn with_idle_shutdown(mut self, idle_shutdown: impl Into<Option<Duration>>) -> Self {
        self.idle_shutdown = idle_shutdown.into();
        self
    }

    /// That a schedule stops, or does not.
    #[must_use]
    pub fn with_scheduled_stop(mut self, scheduled_stop: bool) -> Self {
        self.scheduled_stop = scheduled_stop;
        self
    }

    /// At this price of an hour.
    #[must_use]
    pub fn with_hourly(mut self, hourly: impl Into<Option<f64>>) -> Self {
        self.hourly = hourly.into();
        self
    }

    /// With these tags.
    #[must_use]
    pub fn with_tags(mut self, tags: BTreeMap<String, String>) -> Self {
        self.tags = tags;
        self
    }
}

/// A deployment of an endpoint.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeploymentCost {
    /// Its endpoint and name: `churn/blue`.
    pub name: String,
    /// The fewest instances it keeps.
    pub min_instances: u32,
    /// Its share of the traffic in percent.
    pub traffic: u8,
    /// Since when it has had this share.
    pub since: Timestamp,
    /// The most requests a second it was asked lately; `None` where that is not known.
    #[serde(default)]
    pub peak_rate: Option<f64>,
    /// The requests a second that one instance can answer.
    #[serde(default)]
    pub instance_rate: Option<f64>,
    /// The price of an instance and hour.
    #[serde(default)]
    pub hourly: Option<f64>,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

impl DeploymentCost {
    /// A deployment that has had `traffic` percent since then; rates and price are not known.
    pub fn new(name: impl Into<String>, min_instances: u32, traffic: u8, since: Timestamp) -> Self {
        Self {
            name: name.into(),
            min_instances,
            traffic,
            since,
            peak_rate: None,
            instance_rate: None,
            hourly: None,
            tags: BTreeMap::new(),
        }
    }

    /// That was asked at most so many requests a second lately.
    #[must_use]
    pub fn with_peak_rate(mut self, peak_rate: impl Into<Option<f64>>) -> Self {
        self.peak_rate = peak_rate.into();
        self
    }

    /// Of whose instances each can answer so many requests a second.
    #[must_use]
    pub fn with_instance_rate(mut self, instance_rate: impl Into<Option<f64>>) -> Self {
        self.instance_rate = instance_rate.into();
        self
    }

    /// At this price of an instance and hour.
    #[must_use]
    pub fn with_hourly(mut self, hourly: impl Into<Option<f64>>) -> Self {
        self.hourly = hourly.into();
        self
    }

    /// With these tags.
    #[must_use]
    pub fn with_tags(mut self, tags: BTreeMap<String, String>) -> Self {
        self.tags = tags;
        self
    }
}

/// What runs at one moment.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CostInventory {
    /// Compute clusters.
    pub clusters: Vec<ClusterCost>,
    /// Compute instances.
    pub instances: Vec<InstanceCost>,
    /// Deployments.
    pub deployments: Vec<DeploymentCost>,
    /// The scopes that cost something (resource groups, projects), and whether a budget watches each.
    pub scopes: BTreeMap<String, bool>,
    /// The price of a gibibyte kept for a month.
    pub storage_price: Option<f64>,
}

/// What counts as waste.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CostRules {
    /// The longest a cluster may keep nodes without work; 30 minutes.
    #[serde(with = "crate::time::duration_text")]
    pub max_idle: Duration,
    /// The longest a compute instance may run without work; 60 minutes.
    #[serde(with = "crate::time::duration_text")]
    pub max_instance_idle: Duration,
    /// How long a deployment may stand without traffic; 7 days.
    #[serde(with = "crate::time::duration_text")]
    pub max_unused: Duration,
    /// Room above the peak that a deployment may keep, as a factor; 2.
    pub headroom: f64,
    /// Tags that everything has to have; `cost-center`, `owner`. Names are compared without regard to case.
    pub tags: Vec<String>,
}

impl Default for CostRules {
    fn default() -> Self {
        Self {
            max_idle: Duration::from_secs(30 * 60),
            max_instance_idle: Duration::from_secs(60 * 60),
            max_unused: Duration::from_secs(7 * 86_400),
            headroom: 2.0,
            tags: vec!["cost-center".to_owned(), "owner".to_owned()],
        }
    }
}

impl CostRules {
    /// Reads rules from a text; what it leaves out is as by default.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with `file`, `line`, `column` and the key: an unknown key (with the
    /// nearest known one), a key that comes twice, a value of another type, a headroom below 1, a blank tag.
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more than 1 MiB;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for YAML without the feature `yaml`.
    ///
    /// ```
    /// use mlops_core::config::Format;
    /// use mlops_core::governance::cost::CostRules;
    /// let rules = CostRules::parse("max_idle = '10m'\ntags = ['owner']", Format::Toml)?;
    /// assert_eq!((rules.max_idle.as_secs(), rules.headroom), (600, 2.0));
    /// let error = CostRules::parse("max_idle = '10m'\nheadroom = 0.5", Format::Toml).unwrap_err();
    /// assert_eq!((error.message(), error.context("line")), ("must be at least 1, got 0.5", Some("2")));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn parse(text: &str, format: Format) -> Result<Self> {
        Self::load("CostRules::parse", "(text)", text, format)
    }

    /// Reads rules from a file, in the format of its extension.
    ///
    /// # Errors
    /// As [`Self::parse`], and what the file system refuses.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        const OP: &str = "CostRules::read";
        let path = path.as_ref();
        let text = crate::config::read(OP, path)?;
        Self::load(OP, &path.display().to_string(), &text, Format::of(path))
    }

    fn load(operation: &'static str, file: &str, text: &str, format: Format) -> Result<Self> {
        let document = Document::new(operation, file, text, format)?;
        let rules: Self = document.parse(None)?;
        match rules.fault() {
            None => Ok(rules),
            Some((key, message)) => Err(document.error(key, document.offset(&[key]), message)),
        }
    }

    /// What is wrong with them: at which key, and what.
    fn fault(&self) -> Option<(&'static str, String)> {
        if !(self.headroom.is_finite() && self.headroom >= 1.0) {
            return Some(("headroom", format!("must be at least 1, got {}", self.headroom)));
        }
        let blank = self.tags.iter().any(|tag| tag.trim().is_empty());
        blank.then(|| ("tags", "a tag must not be empty".to_owned()))
    }
}

/// The twelve rules.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostRule {
    /// A cluster keeps nodes without work.
    MinNodes,
    /// A cluster gives nodes back late.
    SlowScaleDown,
    /// Work that may be interrupted runs on dedicated nodes.
    DedicatedPriority,
    /// An instance stops late or never when nobody works.
    NoIdleShutdown,
    /// An instance has no schedule that stops it.
    NoSchedule,
    /// A deployment keeps more instances than its peak needs.
    OverProvisioned,
    /// A deployment without traffic is paid for.
    NoTraffic,
    /// Model versions that nobody needs.
    UnusedModels,
    /// Data that nobody needs.
    StaleData,
    /// Logs of runs that nobody needs.
    OldRunLogs,
    /// A tag by which cost is told apart is missing.
    MissingTags,
    /// A scope that no budget watches.
    NoBudget,
}

impl CostRule {
    /// All twelve.
    pub const ALL: [Self; 12] = [
        Self::MinNodes,
        Self::SlowScaleDown,
        Self::DedicatedPriority,
        Self::NoIdleShutdown,
        Self::NoSchedule,
        Self::OverProvisioned,
        Self::NoTraffic,
        Self::UnusedModels,
        Self::StaleData,
        Self::OldRunLogs,
        Self::MissingTags,
        Self::NoBudget,
    ];
}

/// One way in which something is paid for nothing.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CostFinding {
    /// Which rule.
    pub rule: CostRule,
    /// What it is about.
    pub resource: String,
    /// What was observed.
    pub observed: String,
    /// What would satisfy the rule.
    pub needed: String,
    /// What a month of it costs, where that follows from prices that are known; never a guess.
    pub monthly: Option<f64>,
}

impl fmt::Display for CostFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; needed: {}", quote(&self.resource), self.observed, self.needed)?;
        self.monthly.map_or(Ok(()), |monthly| write!(f, " ({monthly:.2} a month)"))
    }
}

/// Holds the twelve rules against what runs and against what a [sweep](super::hygiene::sweep) found. A pure function; findings come in
/// the order of the rules' resources. O(resources).
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the resource: a price or rate that is negative or not finite,
/// a share above 100, a headroom below 1, a blank tag.
///
/// ```
/// use mlops_core::governance::cost::{CostInventory, CostRule, CostRules, InstanceCost, cost_findings};
/// use mlops_core::governance::hygiene::Sweep;
/// let mut inventory = CostInventory::default();
/// inventory.instances.push(
///     InstanceCost::new("ci-ann").with_scheduled_stop(true).with_hourly(0.5).with_tags(
///         [("Owner".to_owned(), "ann".to_owned()), ("cost-center".to_owned(), "42".to_owned())].into(),
///     ),
/// );
/// let found = cost_findings(&inventory, &Sweep::default(), &CostRules::default(), "2026-03-01T00:00:00Z".parse()?)?;
/// assert_eq!(found.len(), 1);
/// assert_eq!(found[0].rule, CostRule::NoIdleShutdown);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn cost_findings(
    inventory: &CostInventory,
    swept: &Sweep,
    rules: &CostRules,
    now: Timestamp,
) -> Result<Vec<CostFinding>> {
    check(inventory, rules)?;
    let mut out = Vec::new();
    inventory.clusters.iter().for_each(|cluster| of_cluster(cluster, rules, &mut out));
    inventory.instances.iter().for_each(|instance| of_instance(instance, rules, &mut out));
    inventory.deployments.iter().for_each(|deployment| of_deployment(deployment, rules, now, &mut out));
    of_storage(inventory, swept, &mut out);
    for (scope, _) in inventory.scopes.iter().filter(|(_, watched)| !**watched) {
        out.push(finding(CostRule::NoBudget, scope, "no budget", "a budget with thresholds", None));
    }
    Ok(out)
}

fn finding(
    rule: CostRule,
    resource: &str,
    observed: impl Into<String>,
    needed: impl Into<String>,
    monthly: Option<f64>,
) -> CostFinding {
    CostFinding {
        rule,
        resource: resource.to_owned(),
        observed: observed.into(),
        needed: needed.into(),
        monthly,
    }
}

fn of_cluster(cluster: &ClusterCost, rules: &CostRules, out: &mut Vec<CostFinding>) {
    let ClusterCost { name, min_nodes, idle_before_scale_down: idle, dedicated, urgency, hourly, tags } =
        cluster;
    if *min_nodes > 0 {
        let monthly = hourly.map(|hourly| hourly * f64::from(*min_nodes) * HOURS);
        let observed = format!("keeps {min_nodes} nodes without work");
        out.push(finding(CostRule::MinNodes, name, observed, "min_nodes = 0", monthly));
    }
    if *idle > rules.max_idle {
        let observed = format!("gives nodes back after {}", duration_text::format(*idle));
        let needed = format!("at most {}", duration_text::format(rules.max_idle));
        out.push(finding(CostRule::SlowScaleDown, name, observed, needed, None));
    }
    if *dedicated && *urgency == Urgency::Interruptible {
        let observed = "dedicated nodes for work that may be interrupted";
        out.push(finding(CostRule::DedicatedPriority, name, observed, "low-priority nodes", None));
    }
    of_tags(name, tags, rules, out);
}

fn of_instance(instance: &InstanceCost, rules: &CostRules, out: &mut Vec<CostFinding>) {
    let InstanceCost { name, idle_shutdown, scheduled_stop, tags, .. } = instance;
    if idle_shutdown.is_none_or(|idle| idle > rules.max_instance_idle) {
        let observed = match idle_shutdown {
            Some(idle) => format!("stops after {} without work", duration_text::format(*idle)),
            None => "never stops by itself".to_owned(),
        };
        let needed =
            format!("idle shutdown after at most {}", duration_text::format(rules.max_instance_idle));
        out.push(finding(CostRule::NoIdleShutdown, name, observed, needed, None));
    }
    if !scheduled_stop {
        let observed = "no schedule stops it";
        out.push(finding(CostRule::NoSchedule, name, observed, "a schedule that stops it", None));
    }
    of_tags(name, tags, rules, out);
}

fn of_deployment(deployment: &DeploymentCost, rules: &CostRules, now: Timestamp, out: &mut Vec<CostFinding>) {
    let DeploymentCost { name, min_instances, traffic, since, peak_rate, instance_rate, hourly, tags } =
        deployment;
    let unused = (now - *since).to_std().unwrap_or_default();
    let monthly = |instances: u32| hourly.map(|hourly| hourly * f64::from(instances) * HOURS);
    if *traffic == 0 && unused > rules.max_unused && *min_instances > 0 {
        let observed = format!("no traffic for {} days", unused.as_secs() / 86_400);
        let needed = format!("removed after {}", duration_text::format(rules.max_unused));
        out.push(finding(CostRule::NoTraffic, name, observed, needed, monthly(*min_instances)));
    }
    if let (Some(peak), Some(rate)) = (peak_rate, instance_rate.filter(|rate| *rate > 0.0)) {
        let needed = instances_for(peak * rules.headroom / rate);
        if *traffic > 0 && *min_instances > needed {
            let observed = format!("keeps {min_instances} instances for at most {peak} requests a second");
            let excess = min_instances - needed;
            let needed = format!("{needed} instances");
            out.push(finding(CostRule::OverProvisioned, name, observed, needed, monthly(excess)));
        }
    }
    of_tags(name, tags, rules, out);
}

/// One instance stays: an endpoint that answers needs one.
#[expect(
    clippy::cast_sign_loss,
    reason = "a product of numbers that are not negative, and the cast saturates"
)]
fn instances_for(load: f64) -> u32 {
    (load.ceil() as u32).max(1)
}

fn of_tags(name: &str, tags: &BTreeMap<String, String>, rules: &CostRules, out: &mut Vec<CostFinding>) {
    let has = |wanted: &String| {
        let wanted = wanted.to_lowercase();
        tags.iter().any(|(tag, value)| tag.to_lowercase() == wanted && !value.trim().is_empty())
    };
    let missing: Vec<&str> = rules.tags.iter().filter(|tag| !has(tag)).map(String::as_str).collect();
    if !missing.is_empty() {
        let observed = format!("without {}", missing.join(", "));
        out.push(finding(CostRule::MissingTags, name, observed, "all cost tags", None));
    }
}

/// What a sweep offers, one finding for each kind.
fn of_storage(inventory: &CostInventory, swept: &Sweep, out: &mut Vec<CostFinding>) {
    let kinds = [
        (ItemKind::Model, CostRule::UnusedModels, "model versions"),
        (ItemKind::Data, CostRule::StaleData, "versions of data"),
        (ItemKind::Run, CostRule::OldRunLogs, "runs"),
    ];
    for (kind, rule, words) in kinds {
        let of_kind = || swept.proposals.iter().filter(move |p| p.item.kind == kind);
        let count = of_kind().count();
        if count == 0 {
            continue;
        }
        let known: Option<u64> =
            of_kind().map(|p| p.bytes).try_fold(0_u64, |sum, b| Some(sum.saturating_add(b?)));
        let size = known.map_or_else(|| "of unknown size".to_owned(), |bytes| format!("of {bytes} bytes"));
        let gib = known.map(|bytes| bytes as f64 / f64::from(1_u32 << 30));
        let monthly = inventory.storage_price.zip(gib).map(|(price, gib)| price * gib);
        let observed = format!("{count} {words} {size} that nobody needs");
        out.push(finding(rule, words, observed, "deleted, or used", monthly));
    }
}

fn check(inventory: &CostInventory, rules: &CostRules) -> Result<()> {
    const OP: &str = "cost_findings";
    let bad = |value: &f64| !(value.is_finite() && *value >= 0.0);
    let numbers = inventory.clusters.iter().map(|c| (&c.name, "hourly", c.hourly));
    let numbers = numbers.chain(inventory.instances.iter().map(|i| (&i.name, "hourly", i.hourly)));
    let of = |d: &DeploymentCost| {
        [("hourly", d.hourly), ("peak_rate", d.peak_rate), ("instance_rate", d.instance_rate)]
    };
    let deployments = inventory.deployments.iter();
    let numbers =
        numbers.chain(deployments.flat_map(|d| of(d).map(|(field, value)| (&d.name, field, value))));
    for (name, field, value) in numbers {
        if let Some(value) = value.filter(bad) {
            let message = format!("must be finite and not negative, got {value}");
            return Err(Error::invalid(OP, field, message).with("resource", name));
        }
    }
    if let Some(deployment) = inventory.deployments.iter().find(|d| d.traffic > 100) {
        let message = format!("must be at most 100, got {}", deployment.traffic);
        return Err(Error::invalid(OP, "traffic", message).with("resource", &deployment.name));
    }
    if let Some(price) = inventory.storage_price.filter(bad) {
        return Err(Error::invalid(
            OP,
            "storage_price",
            format!("must be finite and not negative, got {price}"),
        ));
    }
    match rules.fault() {
        Some((field, message)) => Err(Error::invalid(OP, field, message)),
        None => Ok(()),
    }
}
