//! Model monitors: schedules whose action is `CreateMonitor`, in the stable shape.
//!
//! The official SDK sends the shape of a preview (`Trailing` windows, `mode`, metrics in camel case), which the stable version does
//! not take. The stable version has no signal of model performance: [`SignalType`] lists what there is.

use std::collections::BTreeMap;
use std::time::Duration;

use mlops_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::job::JobInput;
use super::job::input::ValueType;
use super::open::ProvisioningState;
use super::quiet::{Members, Text};
use super::resource::Properties;
use super::schedule_trigger::ScheduleTrigger;
use super::text::{IsoDuration, TextMap};

open_enum! {
    /// `CreateMonitor`, the discriminator of schedules that monitor.
    pub enum MonitorAction {
        /// The only one.
        CreateMonitor = "CreateMonitor",
    }
}

open_enum! {
    /// What a signal compares. The stable version has none of model performance.
    pub enum SignalType {
        /// A component of one's own.
        Custom = "Custom",
        /// Inputs with the reference.
        DataDrift = "DataDrift",
        /// Inputs with what they should be like.
        DataQuality = "DataQuality",
        /// What the model leans on with what it leant on.
        FeatureAttributionDrift = "FeatureAttributionDrift",
        /// Predictions with the reference.
        PredictionDrift = "PredictionDrift",
    }
}

open_enum! {
    /// Which rows of a data asset are looked at.
    pub enum InputDataType {
        /// All of it.
        Fixed = "Fixed",
        /// Those of a window before each run.
        Rolling = "Rolling",
        /// Those of one window for ever.
        Static = "Static",
    }
}

open_enum! {
    /// What kind of feature.
    pub enum FeatureKind {
        /// Numbers.
        Numerical = "Numerical",
        /// Categories.
        Categorical = "Categorical",
    }
}

open_enum! {
    /// What is measured. The alarm is above the threshold, but for the p-values of the two tests and for the gain of attributions,
    /// where it is below.
    pub enum MonitorMetric {
        /// The Jensen–Shannon distance, base 2; of numbers and of categories.
        JensenShannonDistance = "JensenShannonDistance",
        /// The population stability index; of numbers and of categories.
        PopulationStabilityIndex = "PopulationStabilityIndex",
        /// The Wasserstein distance in standard deviations of the reference; of numbers.
        NormalizedWassersteinDistance = "NormalizedWassersteinDistance",
        /// The p-value of the two-sample test of Kolmogorov and Smirnov; of numbers.
        TwoSampleKolmogorovSmirnovTest = "TwoSampleKolmogorovSmirnovTest",
        /// The p-value of Pearson's chi-square test; of categories.
        PearsonsChiSquaredTest = "PearsonsChiSquaredTest",
        /// The share that is missing.
        NullValueRate = "NullValueRate",
        /// The share of another type.
        DataTypeErrorRate = "DataTypeErrorRate",
        /// The share outside of the reference's range or levels.
        OutOfBoundsRate = "OutOfBoundsRate",
        /// The normalised discounted cumulative gain of the attributions.
        NormalizedDiscountedCumulativeGain = "NormalizedDiscountedCumulativeGain",
    }
}

impl MonitorMetric {
    /// Whether a signal of this type can be measured so, on features of this kind.
    ///
    /// ```
    /// use mlops_azure::wire::monitor::{FeatureKind, MonitorMetric, SignalType};
    /// let chi2 = MonitorMetric::PearsonsChiSquaredTest;
    /// assert!(chi2.fits(&SignalType::DataDrift, Some(&FeatureKind::Categorical)));
    /// assert!(!chi2.fits(&SignalType::DataDrift, Some(&FeatureKind::Numerical)));
    /// assert!(!chi2.fits(&SignalType::DataQuality, Some(&FeatureKind::Categorical)));
    /// ```
    pub fn fits(&self, signal: &SignalType, kind: Option<&FeatureKind>) -> bool {
        use {FeatureKind as K, SignalType as S};
        match (self, signal, kind) {
            (_, S::Custom, None) => true,
            (Self::NormalizedDiscountedCumulativeGain, S::FeatureAttributionDrift, None) => true,
            (
                Self::JensenShannonDistance | Self::PopulationStabilityIndex,
                S::DataDrift | S::PredictionDrift,
                Some(K::Numerical | K::Categorical),
            ) => true,
            (
                Self::NormalizedWassersteinDistance | Self::TwoSampleKolmogorovSmirnovTest,
                S::DataDrift | S::PredictionDrift,
                Some(K::Numerical),
            ) => true,
            (Self::PearsonsChiSquaredTest, S::DataDrift | S::PredictionDrift, Some(K::Categorical)) => true,
            (
                Self::NullValueRate | Self::DataTypeErrorRate | Self::OutOfBoundsRate,
                S::DataQuality,
                Some(K::Numerical | K::Categorical),
            ) => true,
            // What nobody here knows, the service judges.
            (Self::Other(_), S::DataDrift | S::PredictionDrift | S::DataQuality, _) => true,
            _ => false,
        }
    }
}

/// Data that a signal looks at.
///
/// ```
/// use std::time::Duration;
/// use mlops_azure::wire::job::input::ValueType;
/// use mlops_azure::wire::monitor::InputData;
/// let day = Duration::from_secs(86_400);
/// let asked = InputData::rolling(ValueType::UriFolder, "azureml:inputs:1", day, Duration::ZERO).in_context("model_inputs");
/// let written = serde_json::to_value(&asked)?;
/// assert_eq!((&written["windowSize"], &written["windowOffset"]), (&"P1D".into(), &"P0D".into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InputData {
    /// Which rows.
    pub input_data_type: InputDataType,
    /// What kind of asset.
    pub job_input_type: ValueType,
    /// The asset.
    pub uri: Text,
    /// What the data is: `model_inputs`, `model_outputs`, `training`, `test`, `validation`, `ground_truth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_context: Option<String>,
    /// Which column is what: `target_column`, `correlation_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<TextMap>,
    /// A component that makes a table of it, for data that is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocessing_component_id: Option<String>,
    /// The length of a rolling window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_size: Option<IsoDuration>,
    /// How long before each run a rolling window ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_offset: Option<IsoDuration>,
    /// The first moment of a static window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_start: Option<Timestamp>,
    /// The first moment after a static window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_end: Option<Timestamp>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl InputData {
    /// All of an asset.
    pub fn fixed(kind: ValueType, uri: impl Into<String>) -> Self {
        Self {
            input_data_type: InputDataType::Fixed,
            job_input_type: kind,
            uri: Text(uri.into()),
            data_context: None,
            columns: None,
            preprocessing_component_id: None,
            window_size: None,
            window_offset: None,
            window_start: None,
            window_end: None,
            other: Members::new(),
        }
    }

    /// The rows of a window that ends `offset` before each run.
    pub fn rolling(kind: ValueType, uri: impl Into<String>, size: Duration, offset: Duration) -> Self {
        let input_data_type = InputDataType::Rolling;
        let (window_size, window_offset) = (Some(whole(size)), Some(whole(offset)));
        Self { input_data_type, window_size, window_offset, ..Self::fixed(kind, uri) }
    }

    /// The rows of one window.
    pub fn of_window(kind: ValueType, uri: impl Into<String>, start: Timestamp, end: Timestamp) -> Self {
        let input_data_type = InputDataType::Static;
        let (window_start, window_end) = (Some(start), Some(end));
        Self { input_data_type, window_start, window_end, ..Self::fixed(kind, uri) }
    }

    /// Says what the data is.
    #[must_use]
    pub fn in_context(mut self, context: impl Into<String>) -> Self {
        self.data_context = Some(context.into());
        self
    }

    /// Says which column is what.
    #[must_use]
    pub fn with_column(mut self, role: impl Into<String>, column: impl Into<String>) -> Self {
        self.columns.get_or_insert_default().insert(role, column);
        self
    }

    /// Has a component make a table of it.
    #[must_use]
    pub fn prepared_by(mut self, component: impl Into<String>) -> Self {
        self.preprocessing_component_id = Some(component.into());
        self
    }
}

/// No time at all is `P0D`, as the service's own examples write it.
fn whole(duration: Duration) -> IsoDuration {
    if duration.is_zero() { IsoDuration::days(0) } else { duration.into() }
}

/// One data set, or several: attribution drift takes a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ProductionData {
    /// One.
    One(Box<InputData>),
    /// Several.
    Several(Vec<InputData>),
}

open_enum! {
    /// Which features are looked at.
    pub enum FilterType {
        /// All.
        AllFeatures = "AllFeatures",
        /// Those that are named.
        FeatureSubset = "FeatureSubset",
        /// Those that the model leans on most.
        TopByAttribution = "TopNByAttribution",
    }
}

/// Which features are looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeatureFilter {
    /// How they are chosen.
    pub filter_type: FilterType,
    /// Their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<String>>,
    /// How many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top: Option<u32>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl FeatureFilter {
    /// All.
    pub fn all() -> Self {
        Self { filter_type: FilterType::AllFeatures, features: None, top: None, other: Members::new() }
    }

    /// These.
    pub fn named<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        let features = Some(names.into_iter().map(Into::into).collect());
        Self { filter_type: FilterType::FeatureSubset, features, ..Self::all() }
    }

    /// The so many that the model leans on most.
    pub fn top(count: u32) -> Self {
        Self { filter_type: FilterType::TopByAttribution, top: Some(count), ..Self::all() }
    }
}

/// A number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// The number; the service's own where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// A metric and its threshold.
///
/// ```
/// use mlops_azure::wire::monitor::{MetricThreshold, MonitorMetric};
/// let limit = MetricThreshold::numerical(MonitorMetric::JensenShannonDistance, 0.1);
/// assert_eq!(
///     serde_json::to_string(&limit)?,
///     r#"{"dataType":"Numerical","metric":"JensenShannonDistance","threshold":{"value":0.1}}"#
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricThreshold {
    /// Of which features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_type: Option<FeatureKind>,
    /// What is measured; the name of a custom signal's metric is its own.
    pub metric: MonitorMetric,
    /// The threshold; the service's own where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Threshold>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl MetricThreshold {
    /// Of a metric that is of no kind of feature.
    pub fn new(metric: MonitorMetric, value: f64) -> Self {
        let threshold = Some(Threshold { value: Some(value), other: Members::new() });
        Self { data_type: None, metric, threshold, other: Members::new() }
    }

    /// Of numerical features.
    pub fn numerical(metric: MonitorMetric, value: f64) -> Self {
        Self { data_type: Some(FeatureKind::Numerical), ..Self::new(metric, value) }
    }

    /// Of categorical features.
    pub fn categorical(metric: MonitorMetric, value: f64) -> Self {
        Self { data_type: Some(FeatureKind::Categorical), ..Self::new(metric, value) }
    }

    /// Of a custom signal's metric, by its name.
    pub fn custom(metric: impl Into<String>, value: f64) -> Self {
        Self::new(MonitorMetric::Other(metric.into()), value)
    }

    /// The threshold's number.
    pub fn value(&self) -> Option<f64> {
        self.threshold.as_ref().and_then(|threshold| threshold.value)
    }
}

open_enum! {
    /// Whether what the model leans on is computed.
    pub enum ImportanceMode {
        /// It is not.
        Disabled = "Disabled",
        /// It is.
        Enabled = "Enabled",
    }
}

/// How it is found out what the model leans on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FeatureImportance {
    /// Whether.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<ImportanceMode>,
    /// The column that is predicted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_column: Option<String>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl FeatureImportance {
    /// Of a model that predicts this column.
    pub fn of(target_column: impl Into<String>) -> Self {
        let (mode, target_column) = (Some(ImportanceMode::Enabled), Some(target_column.into()));
        Self { mode, target_column, ..Self::default() }
    }
}

open_enum! {
    /// Whom a signal tells.
    pub enum NotificationType {
        /// Those whom the monitor's e-mails go to, and Event Grid.
        AmlNotification = "AmlNotification",
    }
}

/// One thing that a monitor watches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signal {
    /// What it compares.
    pub signal_type: SignalType,
    /// What the deployment saw or said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub production_data: Option<ProductionData>,
    /// What it is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_data: Option<InputData>,
    /// Which features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<FeatureFilter>,
    /// The kinds of features that the service would guess wrongly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_data_type_override: Option<BTreeMap<String, FeatureKind>>,
    /// How it is found out what the model leans on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_importance_settings: Option<FeatureImportance>,
    /// What is measured, with thresholds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_thresholds: Option<Vec<MetricThreshold>>,
    /// The one threshold of attribution drift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_threshold: Option<MetricThreshold>,
    /// The component of a custom signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_id: Option<String>,
    /// The data of a custom signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_assets: Option<BTreeMap<String, InputData>>,
    /// What else a custom signal's component takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<BTreeMap<String, JobInput>>,
    /// Whom it tells; nobody where nothing is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notification_types: Option<Vec<NotificationType>>,
    /// What the caller keeps with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<TextMap>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl Signal {
    fn new(signal_type: SignalType) -> Self {
        Self {
            signal_type,
            production_data: None,
            reference_data: None,
            features: None,
            feature_data_type_override: None,
            feature_importance_settings: None,
            metric_thresholds: None,
            metric_threshold: None,
            component_id: None,
            input_assets: None,
            inputs: None,
            notification_types: None,
            properties: None,
            other: Members::new(),
        }
    }

    fn compare(signal_type: SignalType, production: InputData, reference: InputData) -> Self {
        let production_data = Some(ProductionData::One(Box::new(production)));
        Self { production_data, reference_data: Some(reference), ..Self::new(signal_type) }
    }

    /// Inputs with the reference.
    pub fn data_drift(
        production: InputData,
        reference: InputData,
        thresholds: impl IntoIterator<Item = MetricThreshold>,
    ) -> Self {
        Self::compare(SignalType::DataDrift, production, reference).measuring(thresholds)
    }

    /// Predictions with the reference.
    pub fn prediction_drift(
        production: InputData,
        reference: InputData,
        thresholds: impl IntoIterator<Item = MetricThreshold>,
    ) -> Self {
        Self::compare(SignalType::PredictionDrift, production, reference).measuring(thresholds)
    }

    /// Inputs with what those of the reference are like.
    pub fn data_quality(
        production: InputData,
        reference: InputData,
        thresholds: impl IntoIterator<Item = MetricThreshold>,
    ) -> Self {
        Self::compare(SignalType::DataQuality, production, reference).measuring(thresholds)
    }

    /// What the model leans on, by its inputs and outputs in production, with what it leant on. The alarm is below `threshold`.
    pub fn attribution_drift(
        production: impl IntoIterator<Item = InputData>,
        reference: InputData,
        importance: FeatureImportance,
        threshold: f64,
    ) -> Self {
        let metric = MonitorMetric::NormalizedDiscountedCumulativeGain;
        Self {
            production_data: Some(ProductionData::Several(production.into_iter().collect())),
            reference_data: Some(reference),
            feature_importance_settings: Some(importance),
            metric_threshold: Some(MetricThreshold::new(metric, threshold)),
            ..Self::new(SignalType::FeatureAttributionDrift)
        }
    }

    /// What a component of one's own measures.
    pub fn custom(
        component_id: impl Into<String>,
        thresholds: impl IntoIterator<Item = MetricThreshold>,
    ) -> Self {
        let new = Self::new(SignalType::Custom).measuring(thresholds);
        Self { component_id: Some(component_id.into()), ..new }
    }

    fn measuring(mut self, thresholds: impl IntoIterator<Item = MetricThreshold>) -> Self {
        self.metric_thresholds = Some(thresholds.into_iter().collect());
        self
    }

    /// Of these features alone.
    #[must_use]
    pub fn of_features(mut self, features: FeatureFilter) -> Self {
        self.features = Some(features);
        self
    }

    /// Says of which kind a feature is.
    #[must_use]
    pub fn with_kind(mut self, feature: impl Into<String>, kind: FeatureKind) -> Self {
        self.feature_data_type_override.get_or_insert_default().insert(feature.into(), kind);
        self
    }

    /// Finds out what the model leans on.
    #[must_use]
    pub fn with_importance(mut self, importance: FeatureImportance) -> Self {
        self.feature_importance_settings = Some(importance);
        self
    }

    /// Data for a custom signal.
    #[must_use]
    pub fn with_asset(mut self, name: impl Into<String>, data: InputData) -> Self {
        self.input_assets.get_or_insert_default().insert(name.into(), data);
        self
    }

    /// What else a custom signal's component takes.
    #[must_use]
    pub fn with_input(mut self, name: impl Into<String>, input: JobInput) -> Self {
        self.inputs.get_or_insert_default().insert(name.into(), input);
        self
    }

    /// Tells those whom the monitor's e-mails go to, and Event Grid.
    #[must_use]
    pub fn notifying(mut self) -> Self {
        self.notification_types = Some(vec![NotificationType::AmlNotification]);
        self
    }

    /// Keeps something with it.
    #[must_use]
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.get_or_insert_default().insert(name, value);
        self
    }
}

/// Where a monitor is computed: Spark without a cluster of one's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MonitorCompute {
    /// `ServerlessSpark`.
    pub compute_type: String,
    /// The machines, such as `standard_e4s_v3`.
    pub instance_type: String,
    /// Spark's version, such as `3.4`.
    pub runtime_version: String,
    /// As whom it reads the data.
    pub compute_identity: ComputeIdentity,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

open_enum! {
    /// As whom a monitor reads its data.
    pub enum ComputeIdentityType {
        /// As whoever made it.
        AmlToken = "AmlToken",
        /// As a managed identity.
        ManagedIdentity = "ManagedIdentity",
    }
}

/// As whom a monitor reads its data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComputeIdentity {
    /// As whom.
    pub compute_identity_type: ComputeIdentityType,
    /// The managed identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<super::resource::Identity>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl MonitorCompute {
    /// On these machines with this version of Spark, as whoever made the monitor.
    pub fn spark(instance_type: impl Into<String>, runtime_version: impl Into<String>) -> Self {
        let compute_identity = ComputeIdentity {
            compute_identity_type: ComputeIdentityType::AmlToken,
            identity: None,
            other: Members::new(),
        };
        Self {
            compute_type: "ServerlessSpark".to_owned(),
            instance_type: instance_type.into(),
            runtime_version: runtime_version.into(),
            compute_identity,
            other: Members::new(),
        }
    }

    /// As a managed identity.
    #[must_use]
    pub fn with_identity(mut self, identity: super::resource::Identity) -> Self {
        self.compute_identity.compute_identity_type = ComputeIdentityType::ManagedIdentity;
        self.compute_identity.identity = Some(identity);
        self
    }
}

open_enum! {
    /// What a model predicts.
    pub enum MonitorTask {
        /// Classes.
        Classification = "Classification",
        /// Numbers.
        Regression = "Regression",
    }
}

/// What is monitored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MonitoringTarget {
    /// What the model predicts.
    pub task_type: MonitorTask,
    /// The online deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_id: Option<String>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl MonitoringTarget {
    /// A deployment, by its Resource Manager id.
    pub fn deployment(task_type: MonitorTask, id: impl Into<String>) -> Self {
        Self { task_type, deployment_id: Some(id.into()), model_id: None, other: Members::new() }
    }

    /// A model, wherever it runs, by its Resource Manager id.
    pub fn model(task_type: MonitorTask, id: impl Into<String>) -> Self {
        Self { task_type, deployment_id: None, model_id: Some(id.into()), other: Members::new() }
    }
}

/// Whom a monitor writes to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AlertNotification {
    /// By e-mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_notification_settings: Option<Emails>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// Addresses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Emails {
    /// Each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emails: Option<Vec<String>>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// What a monitor is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MonitorDefinition {
    /// Where it is computed.
    pub compute_configuration: MonitorCompute,
    /// What it watches, by name.
    pub signals: BTreeMap<String, Signal>,
    /// What is monitored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring_target: Option<MonitoringTarget>,
    /// Whom it writes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_notification_settings: Option<AlertNotification>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl MonitorDefinition {
    /// Without signals.
    pub fn new(compute_configuration: MonitorCompute) -> Self {
        Self {
            compute_configuration,
            signals: BTreeMap::new(),
            monitoring_target: None,
            alert_notification_settings: None,
            other: Members::new(),
        }
    }

    /// Watches this too.
    #[must_use]
    pub fn with_signal(mut self, name: impl Into<String>, signal: Signal) -> Self {
        self.signals.insert(name.into(), signal);
        self
    }

    /// Of a deployment or a model.
    #[must_use]
    pub fn of(mut self, target: MonitoringTarget) -> Self {
        self.monitoring_target = Some(target);
        self
    }

    /// Writes to these addresses.
    #[must_use]
    pub fn writing_to<S: Into<String>>(mut self, emails: impl IntoIterator<Item = S>) -> Self {
        let emails = Some(emails.into_iter().map(Into::into).collect());
        let email_notification_settings = Some(Emails { emails, ..Emails::default() });
        let settings = AlertNotification { email_notification_settings, ..AlertNotification::default() };
        self.alert_notification_settings = Some(settings);
        self
    }
}

/// What a monitoring schedule does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MonitorActionBody {
    /// `CreateMonitor`.
    pub action_type: MonitorAction,
    /// The monitor.
    pub monitor_definition: MonitorDefinition,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// A model monitor: a schedule that compares what a deployment sees and says with a reference.
///
/// ```
/// use std::time::Duration;
/// use mlops_azure::wire::Resource;
/// use mlops_azure::wire::job::input::ValueType;
/// use mlops_azure::wire::monitor::{
///     InputData, MetricThreshold, ModelMonitor, MonitorCompute, MonitorDefinition, MonitorMetric, Signal,
/// };
/// use mlops_azure::wire::schedule_trigger::{Frequency, ScheduleTrigger};
///
/// let day = Duration::from_secs(86_400);
/// let asked = InputData::rolling(ValueType::UriFolder, "azureml:inputs:1", day, Duration::ZERO);
/// let learned = InputData::fixed(ValueType::MlTable, "azureml:train:1");
/// let drift = Signal::data_drift(asked, learned, [MetricThreshold::numerical(MonitorMetric::JensenShannonDistance, 0.1)]);
/// let definition = MonitorDefinition::new(MonitorCompute::spark("standard_e4s_v3", "3.4")).with_signal("inputs", drift);
/// let monitor = ModelMonitor::new(ScheduleTrigger::every(1, Frequency::Day)?.at([3], [15])?, definition);
/// assert_eq!(Resource::new(monitor).body()?["properties"]["action"]["actionType"], "CreateMonitor");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelMonitor {
    /// When it looks.
    pub trigger: ScheduleTrigger,
    /// What it does.
    pub action: MonitorActionBody,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
    /// Whether it looks at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_enabled: Option<bool>,
    /// How far it is; read only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning_state: Option<ProvisioningState>,
    /// Tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<TextMap>,
    /// Properties.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<TextMap>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl ModelMonitor {
    /// A monitor that looks at these times.
    pub fn new(trigger: ScheduleTrigger, definition: MonitorDefinition) -> Self {
        Self {
            trigger,
            action: MonitorActionBody {
                action_type: MonitorAction::CreateMonitor,
                monitor_definition: definition,
                other: Members::new(),
            },
            display_name: None,
            description: None,
            is_enabled: None,
            provisioning_state: None,
            tags: None,
            properties: None,
            other: Members::new(),
        }
    }

    /// With tags.
    #[must_use]
    pub fn with_tags(mut self, tags: TextMap) -> Self {
        self.tags = Some(tags);
        self
    }

    /// What it is.
    pub fn definition(&self) -> &MonitorDefinition {
        &self.action.monitor_definition
    }
}

impl Properties for ModelMonitor {
    const READ_ONLY: &'static [&'static str] = &["provisioningState"];
}
