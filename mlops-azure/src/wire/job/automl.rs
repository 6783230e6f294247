//! AutoML jobs: the service tries algorithms by itself.
//!
//! Classification, regression and forecasting of tables have types; the tasks of images and texts go through [`Task::of`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::JobStatus;
use super::command::{JobIdentity, JobResources, QueueSettings};
use super::input::{JobInput, JobOutput, ValueType};
use crate::wire::quiet::{Members, Text, Untyped};
use crate::wire::text::{IsoDuration, TextMap};

open_enum! {
    /// `AutoML`, the discriminator of AutoML jobs.
    pub enum AutoMlType {
        /// The only one.
        AutoMl = "AutoML",
    }
}

open_enum! {
    /// What is to be learnt.
    pub enum TaskType {
        /// A class, from a table.
        Classification = "Classification",
        /// A number, from a table.
        Regression = "Regression",
        /// Numbers to come, from those before.
        Forecasting = "Forecasting",
        /// A class of images.
        ImageClassification = "ImageClassification",
        /// Several classes of images.
        ImageClassificationMultilabel = "ImageClassificationMultilabel",
        /// Outlines in images.
        ImageInstanceSegmentation = "ImageInstanceSegmentation",
        /// Boxes in images.
        ImageObjectDetection = "ImageObjectDetection",
        /// A class of texts.
        TextClassification = "TextClassification",
        /// Several classes of texts.
        TextClassificationMultilabel = "TextClassificationMultilabel",
        /// Names in texts.
        TextNer = "TextNER",
    }
}

open_enum! {
    /// Whether the service chooses.
    pub enum ChoiceMode {
        /// It does.
        Auto = "Auto",
        /// It is told.
        Custom = "Custom",
    }
}

/// A number that the service chooses, or is told.
///
/// ```
/// use mlops_azure::wire::job::automl::Chosen;
/// assert_eq!(serde_json::to_string(&Chosen::auto())?, r#"{"mode":"Auto"}"#);
/// assert_eq!(serde_json::to_string(&Chosen::value(5))?, r#"{"mode":"Custom","value":5}"#);
/// assert_eq!(serde_json::to_string(&Chosen::values([1, 7]))?, r#"{"mode":"Custom","values":[1,7]}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// Whether the service chooses.
    pub mode: ChoiceMode,
    /// What it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<u32>,
    /// What it is told, where there may be several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<u32>>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl Chosen {
    /// The service chooses.
    pub fn auto() -> Self {
        Self { mode: ChoiceMode::Auto, value: None, values: None, other: Members::new() }
    }

    /// This.
    pub fn value(value: u32) -> Self {
        Self { mode: ChoiceMode::Custom, value: Some(value), ..Self::auto() }
    }

    /// These, where there may be several: the lags of a target.
    pub fn values(values: impl IntoIterator<Item = u32>) -> Self {
        Self { mode: ChoiceMode::Custom, values: Some(values.into_iter().collect()), ..Self::auto() }
    }
}

/// How much is tried.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AutoMlLimits {
    /// The most trials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_trials: Option<u32>,
    /// The most at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent_trials: Option<u32>,
    /// The most cores of a trial; −1 for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cores_per_trial: Option<i32>,
    /// How long all may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<IsoDuration>,
    /// How long each may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial_timeout: Option<IsoDuration>,
    /// Whether it ends when nothing gets better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_early_termination: Option<bool>,
    /// The metric at which it is good enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_score: Option<f64>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl AutoMlLimits {
    /// So many trials, so many of them at once.
    pub fn trials(total: u32, concurrent: u32) -> Self {
        Self { max_trials: Some(total), max_concurrent_trials: Some(concurrent), ..Self::default() }
    }

    /// The same for at most so long, in all and each.
    #[must_use]
    pub fn within(mut self, all: Duration, each: Duration) -> Self {
        (self.timeout, self.trial_timeout) = (Some(all.into()), Some(each.into()));
        self
    }
}

/// Which algorithms are tried.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TrainingSettings {
    /// These alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_training_algorithms: Option<Vec<String>>,
    /// Not these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_training_algorithms: Option<Vec<String>>,
    /// Whether models can be written as ONNX.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_onnx_compatible_models: Option<bool>,
    /// Whether models are explained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_model_explainability: Option<bool>,
    /// Whether models are stacked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_stack_ensemble: Option<bool>,
    /// Whether models vote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_vote_ensemble: Option<bool>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// What a series is and how far ahead it is forecast.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ForecastingSettings {
    /// The column of the times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_column_name: Option<String>,
    /// The columns that tell series apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_series_id_column_names: Option<Vec<String>>,
    /// How many steps ahead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast_horizon: Option<Chosen>,
    /// How long a step is, as pandas writes it: `D`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency: Option<String>,
    /// After how many steps it repeats itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seasonality: Option<Chosen>,
    /// How many steps back the target is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_lags: Option<Chosen>,
    /// Over how many steps the target is averaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_rolling_window_size: Option<Chosen>,
    /// How many steps lie between the folds of a cross-validation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cv_step_size: Option<u32>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl ForecastingSettings {
    /// A series by its column of times, so many steps ahead.
    pub fn ahead(time_column_name: impl Into<String>, horizon: u32) -> Self {
        Self {
            time_column_name: Some(time_column_name.into()),
            forecast_horizon: Some(Chosen::value(horizon)),
            ..Self::default()
        }
    }
}

/// What is to be learnt from what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// What.
    pub task_type: TaskType,
    /// The data: a table.
    pub training_data: JobInput,
    /// The data by which algorithms are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_data: Option<JobInput>,
    /// The data by which the best is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_data: Option<JobInput>,
    /// The column that is to be learnt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_column_name: Option<String>,
    /// The metric by which algorithms are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_metric: Option<String>,
    /// How many folds the data are split into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_cross_validations: Option<Chosen>,
    /// How much is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_settings: Option<AutoMlLimits>,
    /// Which algorithms are tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_settings: Option<TrainingSettings>,
    /// What is made of the columns first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub featurization_settings: Option<Untyped>,
    /// What a series is; of forecasting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecasting_settings: Option<ForecastingSettings>,
    /// The class that counts as positive; of classification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positive_label: Option<String>,
    /// The column of weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_column_name: Option<String>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl Task {
    /// Any task, from a table; what it takes besides goes into [`other`](Self::other).
    pub fn of(task_type: TaskType, table: impl Into<String>) -> Self {
        Self {
            task_type,
            training_data: JobInput::data(ValueType::MlTable, table),
            validation_data: None,
            test_data: None,
            target_column_name: None,
            primary_metric: None,
            n_cross_validations: None,
            limit_settings: None,
            training_settings: None,
            featurization_settings: None,
            forecasting_settings: None,
            positive_label: None,
            weight_column_name: None,
            other: Members::new(),
        }
    }

    fn table(task_type: TaskType, table: impl Into<String>, target: impl Into<String>) -> Self {
        Self { target_column_name: Some(target.into()), ..Self::of(task_type, table) }
    }

    /// A class, from a table at an address or with an id.
    pub fn classification(table: impl Into<String>, target: impl Into<String>) -> Self {
        Self::table(TaskType::Classification, table, target)
    }

    /// A number, from a table at an address or with an id.
    pub fn regression(table: impl Into<String>, target: impl Into<String>) -> Self {
        Self::table(TaskType::Regression, table, target)
    }

    /// Numbers to come, from a table at an address or with an id.
    pub fn forecasting(
        table: impl Into<String>,
        target: impl Into<String>,
        settings: ForecastingSettings,
    ) -> Self {
        Self { forecasting_settings: Some(settings), ..Self::table(TaskType::Forecasting, table, target) }
    }

    /// The same by a metric, such as `AUCWeighted`.
    #[must_use]
    pub fn by(mut self, primary_metric: impl Into<String>) -> Self {
        self.primary_metric = Some(primary_metric.into());
        self
    }

    /// The same with so many folds.
    #[must_use]
    pub fn with_folds(mut self, folds: Chosen) -> Self {
        self.n_cross_validations = Some(folds);
        self
    }

    /// The same with limits.
    #[must_use]
    pub fn with_limits(mut self, limits: AutoMlLimits) -> Self {
        self.limit_settings = Some(limits);
        self
    }

    /// The same with algorithms.
    #[must_use]
    pub fn with_training(mut self, settings: TrainingSettings) -> Self {
        self.training_settings = Some(settings);
        self
    }
}

/// An AutoML job.
///
/// ```
/// use mlops_azure::wire::job::automl::{AutoMlJob, AutoMlLimits, Chosen, Task};
/// use mlops_azure::wire::job::Job;
/// use mlops_azure::wire::Resource;
///
/// let task = Task::classification("azureml:churn:1", "y").by("AUCWeighted").with_folds(Chosen::value(5));
/// let job = AutoMlJob::new(task.with_limits(AutoMlLimits::trials(5, 2))).on("/subscriptions/…/computes/cpu");
/// let body = Resource::new(Job::from(job)).body()?;
/// assert_eq!(body["properties"]["taskDetails"]["taskType"], "Classification");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AutoMlJob {
    job_type: AutoMlType,
    /// What is to be learnt.
    pub task_details: Task,
    /// The cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_id: Option<String>,
    /// The environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_id: Option<String>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_variables: Option<TextMap>,
    /// The experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment_name: Option<String>,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
    /// What comes out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<BTreeMap<String, JobOutput>>,
    /// On what it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<JobResources>,
    /// How it queues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_settings: Option<QueueSettings>,
    /// Who it is to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<JobIdentity>,
    /// Whether it is hidden from lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_archived: Option<bool>,
    /// Tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<TextMap>,
    /// Properties.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<TextMap>,
    /// How far it is; read only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<JobStatus>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl AutoMlJob {
    /// A job for a task.
    pub fn new(task: Task) -> Self {
        Self {
            job_type: AutoMlType::AutoMl,
            task_details: task,
            compute_id: None,
            environment_id: None,
            environment_variables: None,
            experiment_name: None,
            display_name: None,
            description: None,
            outputs: None,
            resources: None,
            queue_settings: None,
            identity: None,
            is_archived: None,
            tags: None,
            properties: None,
            status: None,
            other: Members::new(),
        }
    }

    /// The same on a cluster, by its Resource Manager id.
    #[must_use]
    pub fn on(mut self, compute_id: impl Into<String>) -> Self {
        self.compute_id = Some(compute_id.into());
        self
    }

    /// The same in an experiment.
    #[must_use]
    pub fn in_experiment(mut self, name: impl Into<String>) -> Self {
        self.experiment_name = Some(name.into());
        self
    }
}
