//! Monitors of core, as Azure can compute them.

use std::collections::BTreeMap;
use std::time::Duration;

use mlops_core::data::DataType;
use mlops_core::monitor::{MonitorSpec, QualityRule, Severity, SignalKind, SignalSpec};
use mlops_core::{Error, Result};

use crate::wire::job::input::ValueType;
use crate::wire::monitor::{
    FeatureFilter, FeatureKind, InputData, MetricThreshold, ModelMonitor, MonitorCompute, MonitorDefinition,
    MonitorMetric, MonitoringTarget, Signal,
};
use crate::wire::schedule_trigger::ScheduleTrigger;

const OP: &str = "MonitorPlan::monitor";

/// A definition of drift and its limit, as a detector of core has them in a report: `js.distance.base2/v1`, above 0.1.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct DriftLimit {
    /// The definition's id. What comes after its first words, such as the rule of its cells, is the detector's own.
    pub definition: String,
    /// The limit of the score; for the tests, the level of the p-value.
    pub limit: f64,
    /// Whether `limit` is a level for the p-value and not a limit for the score.
    pub on_p_value: bool,
}

impl DriftLimit {
    /// A score above this limit is drift.
    pub fn of_score(definition: impl Into<String>, limit: f64) -> Self {
        Self { definition: definition.into(), limit, on_p_value: false }
    }

    /// A p-value below this level is drift.
    pub fn of_p_value(definition: impl Into<String>, level: f64) -> Self {
        Self { definition: definition.into(), limit: level, on_p_value: true }
    }

    /// The metric of Azure that means the same on features of a kind.
    ///
    /// | definition | held against | Azure | how far they agree |
    /// |---|---|---|---|
    /// | `js.distance.base2…` | score | `JensenShannonDistance` | same formula; cells are Azure's own |
    /// | `psi…` | score | `PopulationStabilityIndex` | same formula; Azure smooths and cuts cells its own way |
    /// | `wasserstein.normalized…`, `wasserstein.sd…` | score | `NormalizedWassersteinDistance` | in standard deviations of the reference |
    /// | `ks.two_sample…` | p-value | `TwoSampleKolmogorovSmirnovTest` | same test; the score is no p-value, and is refused |
    /// | `chi2…` | p-value | `PearsonsChiSquaredTest` | Azure takes the reference's shares as known |
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](mlops_core::ErrorKind::Unsupported) that names the definition for any other;
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a limit that is not finite, or a level outside of (0, 1).
    ///
    /// ```
    /// use mlops_azure::monitor::DriftLimit;
    /// use mlops_azure::wire::monitor::{FeatureKind, MonitorMetric};
    /// let js = DriftLimit::of_score("js.distance.base2.quantile10/v1", 0.1);
    /// assert_eq!(js.metric(&FeatureKind::Numerical)?, Some(MonitorMetric::JensenShannonDistance));
    /// // The wasserstein distance in interquartile ranges has no counterpart, nor has a limit for the statistic of a test.
    /// assert!(DriftLimit::of_score("wasserstein.iqr/v1", 0.2).metric(&FeatureKind::Numerical).is_err());
    /// assert!(DriftLimit::of_score("ks.two_sample/v1", 0.1).metric(&FeatureKind::Numerical).is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn metric(&self, kind: &FeatureKind) -> Result<Option<MonitorMetric>> {
        let fits = match self.on_p_value {
            true => self.limit > 0.0 && self.limit < 1.0,
            false => self.limit.is_finite(),
        };
        if !fits {
            let reason = "must be finite, and a level lies in (0, 1)";
            return Err(Error::invalid(OP, "limit", reason).with("value", self.limit));
        }
        let begins = |name: &str| {
            let rest = self.definition.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '/']))
        };
        let both = |metric| Ok(Some(metric));
        let only = |wanted: FeatureKind, metric| Ok((wanted == *kind).then_some(metric));
        match self.on_p_value {
            false if begins("js.distance.base2") => both(MonitorMetric::JensenShannonDistance),
            false if begins("psi") => both(MonitorMetric::PopulationStabilityIndex),
            false if begins("wasserstein.normalized") || begins("wasserstein.sd") => {
                only(FeatureKind::Numerical, MonitorMetric::NormalizedWassersteinDistance)
            }
            true if begins("ks.two_sample") => {
                only(FeatureKind::Numerical, MonitorMetric::TwoSampleKolmogorovSmirnovTest)
            }
            true if begins("chi2") => only(FeatureKind::Categorical, MonitorMetric::PearsonsChiSquaredTest),
            _ => Err(Error::unsupported(OP, "this definition of drift")
                .with("definition", &self.definition)
                .with("held_against", if self.on_p_value { "p-value" } else { "score" })),
        }
    }
}

/// What a monitor of core does not say and Azure asks for: where the data is, when to look, how drift is measured.
///
/// ```
/// use std::time::Duration;
/// use mlops_azure::monitor::{DriftLimit, MonitorPlan};
/// use mlops_azure::wire::job::input::ValueType;
/// use mlops_azure::wire::monitor::{InputData, MonitorCompute, MonitorTask, MonitoringTarget};
/// use mlops_azure::wire::schedule_trigger::{Frequency, ScheduleTrigger};
/// use mlops_core::monitor::{MonitorSpec, SignalKind, SignalSpec};
///
/// let spec = MonitorSpec::new(
///     "churn".parse()?,
///     "churn".parse()?,
///     vec![
///         SignalSpec::new("inputs", SignalKind::DataDrift),
///         SignalSpec::new("outputs", SignalKind::PredictionDrift),
///     ],
/// );
/// let target = MonitoringTarget::deployment(MonitorTask::Classification, "/subscriptions/s/…/onlineEndpoints/churn/deployments/blue");
/// let plan = MonitorPlan::new(
///         ScheduleTrigger::every(1, Frequency::Day)?.at([3], [15])?,
///         MonitorCompute::spark("standard_e4s_v3", "3.4"),
///         target,
///         InputData::fixed(ValueType::MlTable, "azureml:train:1"),
///     )
///     .with_inputs("azureml:model_inputs:1")
///     .with_outputs("azureml:model_outputs:1")
///     .with_window(Duration::from_secs(86_400), Duration::ZERO)
///     .with_limit(DriftLimit::of_score("js.distance.base2/v1", 0.1))
///     .writing_to(["on-call@example.com"]);
/// let monitor = plan.monitor(&spec)?;
/// assert_eq!(monitor.definition().signals.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
#[derive(Clone, Debug)]
pub struct MonitorPlan {
    trigger: ScheduleTrigger,
    compute: MonitorCompute,
    target: MonitoringTarget,
    reference: InputData,
    inputs: Option<String>,
    outputs: Option<String>,
    window: (Duration, Duration),
    limits: Vec<DriftLimit>,
    emails: Vec<String>,
    bounds_are_of_reference: bool,
}

impl MonitorPlan {
    /// Looks at these times, computes there, watches this, and compares with that. Windows are a day, without an offset.
    pub fn new(
        trigger: ScheduleTrigger,
        compute: MonitorCompute,
        target: MonitoringTarget,
        reference: InputData,
    ) -> Self {
        Self {
            trigger,
            compute,
            target,
            reference,
            inputs: None,
            outputs: None,
            window: (Duration::from_secs(86_400), Duration::ZERO),
            limits: Vec::new(),
            emails: Vec::new(),
            bounds_are_of_reference: false,
        }
    }

    /// The folder that the deployment's data collector writes `model_inputs` to.
    pub fn with_inputs(mut self, uri: impl Into<String>) -> Self {
        self.inputs = Some(uri.into());
        self
    }

    /// The folder that the deployment's data collector writes `model_outputs` to.
    pub fn with_outputs(mut self, uri: impl Into<String>) -> Self {
        self.outputs = Some(uri.into());
        self
    }

    /// Looks at the rows of a window of this size, which ends so long before each run.
    pub fn with_window(mut self, size: Duration, offset: Duration) -> Self {
        self.window = (size, offset);
        self
    }

    /// Measures drift so; each definition counts for the kinds of features that Azure has it for.
    pub fn with_limit(mut self, limit: DriftLimit) -> Self {
        self.limits.push(limit);
        self
    }

    /// Writes to these addresses.
    pub fn writing_to<S: Into<String>>(mut self, emails: impl IntoIterator<Item = S>) -> Self {
        self.emails = emails.into_iter().map(Into::into).collect();
        self
    }

    /// Says that the bounds in rules of data quality are those of the reference data, from which Azure takes its own.
    pub fn with_bounds_of_reference(mut self) -> Self {
        self.bounds_are_of_reference = true;
        self
    }

    /// The monitor that Azure computes. The urgency of each signal goes with it, under the property `mlops.severity`.
    ///
    /// # Errors
    /// As of [`MonitorSpec::check`]; [`ErrorKind::Unsupported`](mlops_core::ErrorKind::Unsupported) that names the signal for
    /// performance, for definitions of drift that Azure does not have, for limits of single features, for bounds of one's own and for
    /// a smallest number of rows; [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) where the plan lacks the data or
    /// the limits that a signal needs.
    pub fn monitor(&self, spec: &MonitorSpec) -> Result<ModelMonitor> {
        spec.check()?;
        let mut definition = MonitorDefinition::new(self.compute.clone()).of(self.target.clone());
        for signal in &spec.signals {
            let built = self.signal(signal).map_err(|error| error.with("signal", &signal.name))?;
            let severity = match signal.severity {
                Severity::Info => "info",
                Severity::Warning => "warning",
                Severity::Critical => "critical",
            };
            let built = built.notifying().with_property("mlops.severity", severity);
            definition = definition.with_signal(&signal.name, built);
        }
        if !self.emails.is_empty() {
            definition = definition.writing_to(&self.emails);
        }
        let mut monitor = ModelMonitor::new(self.trigger.clone(), definition);
        monitor.display_name = Some(spec.name.to_string());
        Ok(monitor)
    }

    fn signal(&self, signal: &SignalSpec) -> Result<Signal> {
        let reference = || self.reference.clone();
        Ok(match &signal.kind {
            SignalKind::DataDrift => Signal::data_drift(self.inputs()?, reference(), self.thresholds()?),
            SignalKind::PredictionDrift => {
                Signal::prediction_drift(self.outputs()?, reference(), self.thresholds()?)
            }
            SignalKind::DataQuality(rule) => self.quality(rule)?,
            SignalKind::Performance(_) => {
                let missing = "a signal of model performance: the stable version of the service has none";
                return Err(Error::unsupported(OP, missing));
            }
            _ => return Err(Error::unsupported(OP, "this kind of signal")),
        })
    }

    fn rolling(&self, uri: Option<&String>, field: &'static str, context: &str) -> Result<InputData> {
        let missing = || Error::invalid(OP, field, "the plan does not say where the data is");
        let uri = uri.ok_or_else(missing)?;
        let (size, offset) = self.window;
        Ok(InputData::rolling(ValueType::UriFolder, uri, size, offset).in_context(context))
    }

    fn inputs(&self) -> Result<InputData> {
        self.rolling(self.inputs.as_ref(), "inputs", "model_inputs")
    }

    fn outputs(&self) -> Result<InputData> {
        self.rolling(self.outputs.as_ref(), "outputs", "model_outputs")
    }

    /// The limits as Azure's, of numbers first.
    fn thresholds(&self) -> Result<Vec<MetricThreshold>> {
        let mut found = Vec::new();
        for kind in [FeatureKind::Numerical, FeatureKind::Categorical] {
            for limit in &self.limits {
                let threshold = limit.metric(&kind)?.map(|metric| MetricThreshold {
                    data_type: Some(kind.clone()),
                    ..MetricThreshold::new(metric, limit.limit)
                });
                found.extend(threshold);
            }
        }
        match found.is_empty() {
            true => Err(Error::invalid(OP, "limits", "the plan does not say how drift is measured")),
            false => Ok(found),
        }
    }

    fn quality(&self, rule: &QualityRule) -> Result<Signal> {
        if rule.by_feature.values().any(|own| *own != rule.limits) {
            return Err(Error::unsupported(OP, "limits of single features"));
        }
        if rule.min_rows > 1 {
            return Err(Error::unsupported(OP, "a smallest number of rows"));
        }
        let is_bounded = |feature: &mlops_core::monitor::FeatureBounds| {
            feature.min.is_some() || feature.max.is_some() || feature.levels.is_some()
        };
        if !self.bounds_are_of_reference && rule.features.iter().any(is_bounded) {
            return Err(Error::unsupported(OP, "bounds that are not those of the reference data"));
        }
        let mut kinds = BTreeMap::new();
        for feature in &rule.features {
            let kind = match feature.data_type {
                DataType::F64 | DataType::F32 | DataType::I64 => FeatureKind::Numerical,
                DataType::Bool | DataType::Category => FeatureKind::Categorical,
                // Times, and what is not known here.
                _ => {
                    let error = Error::unsupported(OP, "the quality of this type");
                    return Err(error.with("feature", &feature.feature));
                }
            };
            kinds.insert(feature.feature.clone(), kind);
        }
        let rates = [
            (MonitorMetric::NullValueRate, rule.limits.null_rate),
            (MonitorMetric::DataTypeErrorRate, rule.limits.type_error_rate),
            (MonitorMetric::OutOfBoundsRate, rule.limits.out_of_bounds_rate),
        ];
        let mut thresholds = Vec::new();
        for kind in [FeatureKind::Numerical, FeatureKind::Categorical] {
            if kinds.values().any(|used| *used == kind) {
                thresholds.extend(rates.iter().map(|(metric, rate)| MetricThreshold {
                    data_type: Some(kind.clone()),
                    ..MetricThreshold::new(metric.clone(), *rate)
                }));
            }
        }
        let names: Vec<&String> = kinds.keys().collect();
        let mut signal = Signal::data_quality(self.inputs()?, self.reference.clone(), thresholds)
            .of_features(FeatureFilter::named(names));
        signal.feature_data_type_override = Some(kinds);
        Ok(signal)
    }
}
