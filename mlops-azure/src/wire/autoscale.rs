//! Autoscale settings of Azure Monitor.
//!
//! Source: Azure's type definitions of `Microsoft.Insights/autoscalesettings`, version [`VERSION`]. Numbers of instances are texts, and
//! the members of a dimension begin with a capital letter.

use std::fmt;
use std::time::Duration;

use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize, Serializer};

use super::quiet::{Members, Text, Untyped};
use super::resource::{Properties, Resource};
use super::text::IsoDuration;
use crate::config::Workspace;
use crate::config::name::path_below;
use crate::http::Call;
use crate::wire::Nothing;

/// The version of the API that is spoken.
pub const VERSION: &str = "2022-10-01";

/// By which rules instances of a resource are added and removed. Its `Debug` shows how many notifications there are and not what is in
/// them: the address of a webhook may hold a key.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AutoscaleSetting {
    /// Whether it is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The Resource Manager id of the deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_resource_uri: Option<String>,
    /// From 1 to 20; one of them is in force at a time.
    pub profiles: Vec<Profile>,
    /// Who is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notifications: Option<Vec<Untyped>>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl fmt::Debug for AutoscaleSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AutoscaleSetting")
            .field("enabled", &self.enabled)
            .field("target_resource_uri", &self.target_resource_uri)
            .field("profiles", &self.profiles)
            .field("notifications", &self.notifications.as_ref().map(Vec::len))
            .field("other", &self.other.keys())
            .finish()
    }
}

impl AutoscaleSetting {
    /// A setting of a resource that is on and has no profile yet.
    pub fn of(resource_id: impl Into<String>) -> Self {
        Self { enabled: Some(true), target_resource_uri: Some(resource_id.into()), ..Self::default() }
    }

    /// The same with another profile.
    #[must_use]
    pub fn with_profile(mut self, profile: Profile) -> Self {
        self.profiles.push(profile);
        self
    }
}

impl Properties for AutoscaleSetting {
    const READ_ONLY: &'static [&'static str] = &[];
}

/// Limits and rules, in force always or at times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// How many instances there may be.
    pub capacity: Capacity,
    /// What adds and removes some; may be empty, but must be there.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Members that this crate does not know: the times at which it is in force are among them.
    #[serde(flatten)]
    pub other: Members,
}

impl Profile {
    /// A profile that is in force always, without rules.
    pub fn new(name: impl Into<String>, capacity: Capacity) -> Self {
        Self { name: name.into(), capacity, rules: Vec::new(), other: Members::new() }
    }

    /// The same with another rule.
    #[must_use]
    pub fn with_rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }
}

/// How many instances there may be. On the wire these are texts.
///
/// ```
/// use mlops_azure::wire::autoscale::Capacity;
/// let capacity = Capacity::between(2, 5)?;
/// assert_eq!(serde_json::to_string(&capacity)?, r#"{"minimum":"2","maximum":"5","default":"2"}"#);
/// assert!(Capacity::between(5, 2).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// At least.
    #[serde(with = "number_text")]
    pub minimum: u32,
    /// At most.
    #[serde(with = "number_text")]
    pub maximum: u32,
    /// Where no metrics come.
    #[serde(with = "number_text")]
    pub default: u32,
}

impl Capacity {
    /// Between two numbers; the smaller one where no metrics come.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a smaller number that is greater.
    pub fn between(minimum: u32, maximum: u32) -> Result<Self> {
        match minimum > maximum {
            true => Err(Error::invalid("Capacity", "minimum", "must not be above the maximum")
                .with("minimum", minimum)
                .with("maximum", maximum)),
            false => Ok(Self { minimum, maximum, default: minimum }),
        }
    }
}

/// A number that is a text on the wire.
mod number_text {
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(number: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| serde::de::Error::custom("is not the text of a number of instances"))
    }
}

open_enum! {
    /// How two numbers compare.
    pub enum Comparison {
        /// They are the same.
        Equals = "Equals",
        /// They are not.
        NotEquals = "NotEquals",
        /// The metric is above.
        GreaterThan = "GreaterThan",
        /// It is above or the same.
        GreaterThanOrEqual = "GreaterThanOrEqual",
        /// It is below.
        LessThan = "LessThan",
        /// It is below or the same.
        LessThanOrEqual = "LessThanOrEqual",
    }
}

open_enum! {
    /// Whether instances are added or removed.
    pub enum ScaleDirection {
        /// Neither.
        None = "None",
        /// They are added.
        Increase = "Increase",
        /// They are removed.
        Decrease = "Decrease",
    }
}

/// When so many instances are added or removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// When.
    pub metric_trigger: MetricTrigger,
    /// How many.
    pub scale_action: ScaleAction,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl Rule {
    /// Adds so many instances where a metric of a resource was above a threshold on average over five minutes, at most every five minutes.
    pub fn above(
        resource_id: impl Into<String>,
        metric: impl Into<String>,
        threshold: f64,
        instances: u32,
    ) -> Self {
        Self::new(
            resource_id,
            metric,
            Comparison::GreaterThan,
            threshold,
            ScaleDirection::Increase,
            instances,
        )
    }

    /// Removes so many instances where a metric was below a threshold, in the same way.
    pub fn below(
        resource_id: impl Into<String>,
        metric: impl Into<String>,
        threshold: f64,
        instances: u32,
    ) -> Self {
        Self::new(resource_id, metric, Comparison::LessThan, threshold, ScaleDirection::Decrease, instances)
    }

    fn new(
        resource_id: impl Into<String>,
        metric: impl Into<String>,
        operator: Comparison,
        threshold: f64,
        direction: ScaleDirection,
        instances: u32,
    ) -> Self {
        let five_minutes = IsoDuration::from(Duration::from_secs(300));
        let metric_trigger = MetricTrigger {
            metric_name: metric.into(),
            metric_resource_uri: resource_id.into(),
            time_grain: Duration::from_secs(60).into(),
            statistic: "Average".to_owned(),
            time_window: five_minutes.clone(),
            time_aggregation: "Average".to_owned(),
            operator,
            threshold,
            dimensions: None,
            other: Members::new(),
        };
        let scale_action = ScaleAction {
            direction,
            kind: "ChangeCount".to_owned(),
            value: Some(Text(instances.to_string())),
            cooldown: five_minutes,
            other: Members::new(),
        };
        Self { metric_trigger, scale_action, other: Members::new() }
    }

    /// The same where a dimension of the metric has one of some values.
    #[must_use]
    pub fn with_dimension(mut self, dimension: Dimension) -> Self {
        self.metric_trigger.dimensions.get_or_insert_default().push(dimension);
        self
    }
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricTrigger {
    /// The metric.
    pub metric_name: String,
    /// The Resource Manager id of whose it is.
    pub metric_resource_uri: String,
    /// How far apart its values are.
    pub time_grain: IsoDuration,
    /// How the values of several instances are put together.
    pub statistic: String,
    /// How far back is looked: from 5 minutes to 12 hours.
    pub time_window: IsoDuration,
    /// How the values of that time are put together.
    pub time_aggregation: String,
    /// How that compares.
    pub operator: Comparison,
    /// With what; a whole number is written without a point.
    #[serde(serialize_with = "shortest")]
    pub threshold: f64,
    /// Of which dimensions alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<Vec<Dimension>>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn shortest<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    // Below 2⁵³ every whole number has a whole number of its own.
    match number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        true => serializer.serialize_i64(*number as i64),
        false => serializer.serialize_f64(*number),
    }
}

/// Values of a metric's dimension.
///
/// ```
/// use mlops_azure::wire::autoscale::Dimension;
/// let blue = Dimension::equals("deployment", ["blue"]);
/// let text = serde_json::to_string(&blue)?;
/// assert_eq!(text, r#"{"DimensionName":"deployment","Operator":"Equals","Values":["blue"]}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Dimension {
    /// Which.
    pub dimension_name: String,
    /// `Equals` or `NotEquals`.
    pub operator: Comparison,
    /// The values.
    pub values: Vec<String>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl Dimension {
    /// One of some values.
    pub fn equals<S: Into<String>>(name: impl Into<String>, values: impl IntoIterator<Item = S>) -> Self {
        Self {
            dimension_name: name.into(),
            operator: Comparison::Equals,
            values: values.into_iter().map(Into::into).collect(),
            other: Members::new(),
        }
    }
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleAction {
    /// Added or removed.
    pub direction: ScaleDirection,
    /// `ChangeCount`, `PercentChangeCount`, `ExactCount` or `ServiceAllowedNextValue`.
    #[serde(rename = "type")]
    pub kind: String,
    /// How many, as a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Text>,
    /// How long nothing else is done then.
    pub cooldown: IsoDuration,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

fn path(workspace: &Workspace, name: &str) -> Result<String> {
    let group = format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Insights/autoscalesettings",
        workspace.subscription(),
        workspace.resource_group()
    );
    path_below("AutoscaleSetting", &group, &[name])
}

/// Writes a setting in the resource group of a workspace.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a name that a URL reads as something else, and for no profile or
/// more than 20.
///
/// ```
/// use mlops_azure::config::Workspace;
/// use mlops_azure::wire::Resource;
/// use mlops_azure::wire::autoscale::{self, AutoscaleSetting, Capacity, Profile};
/// let workspace = Workspace::new("00000000-0000-0000-0000-000000000000", "rg", "mlw-churn")?;
/// let setting = AutoscaleSetting::of("/subscriptions/…").with_profile(Profile::new("default", Capacity::between(1, 3)?));
/// let call = autoscale::put("example", &workspace, "churn-blue", &Resource::new(setting).with_location("eastus"))?;
/// assert!(call.target().ends_with("/Microsoft.Insights/autoscalesettings/churn-blue?api-version=2022-10-01"));
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn put(
    operation: &'static str,
    workspace: &Workspace,
    name: &str,
    setting: &Resource<AutoscaleSetting>,
) -> Result<Call<Resource<AutoscaleSetting>>> {
    let profiles = setting.properties.profiles.len();
    if !(1..=20).contains(&profiles) {
        let error = Error::invalid(operation, "profiles", "must be from 1 to 20");
        return Err(error.with("value", profiles));
    }
    Ok(Call::put(operation, path(workspace, name)?, &setting.body()?)?.query("api-version", VERSION))
}

/// Reads a setting.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a name that a URL reads as something else.
pub fn get(
    operation: &'static str,
    workspace: &Workspace,
    name: &str,
) -> Result<Call<Resource<AutoscaleSetting>>> {
    Ok(Call::get(operation, path(workspace, name)?).query("api-version", VERSION))
}

/// Removes a setting.
///
/// # Errors
/// As of [`get`].
pub fn delete(operation: &'static str, workspace: &Workspace, name: &str) -> Result<Call<Nothing>> {
    Ok(Call::delete(operation, path(workspace, name)?).query("api-version", VERSION))
}
