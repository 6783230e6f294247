//! A pipeline as it is written down: steps, and what they are wired to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::text::as_text;
use super::{ComponentRef, ParamSpec, ParamValue, PortType, StepRetry};
use crate::error::{Error, Result};
use crate::id::{AssetName, ComponentName, PortName, SecretName, StepName};
use crate::time::duration_text;

/// Where an input of a step comes from; written as Azure ML writes it.
///
/// ```
/// use mlops_core::pipeline::Source;
/// let text = "${{parent.jobs.prepare.outputs.rows}}";
/// let source: Source = text.parse()?;
/// assert!(matches!(&source, Source::Output { step, .. } if step.as_str() == "prepare"));
/// assert_eq!(source.to_string(), text);
/// assert_eq!("${{ parent.inputs.raw }}".parse::<Source>()?.to_string(), "${{parent.inputs.raw}}");
/// assert!("prepare.rows".parse::<Source>().is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// An output of another step: `${{parent.jobs.<step>.outputs.<port>}}`.
    Output {
        /// The step.
        step: StepName,
        /// Its output.
        port: PortName,
    },
    /// An input of the pipeline: `${{parent.inputs.<name>}}`.
    Input(PortName),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output { step, port } => write!(f, "${{{{parent.jobs.{step}.outputs.{port}}}}}"),
            Self::Input(name) => write!(f, "${{{{parent.inputs.{name}}}}}"),
        }
    }
}

/// What stands between `${{` and `}}`.
fn expression(text: &str) -> Option<&str> {
    text.strip_prefix("${{")?.strip_suffix("}}").map(str::trim)
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            let message = "must be ${{parent.jobs.<step>.outputs.<port>}} or ${{parent.inputs.<name>}}";
            Error::invalid("Source::from_str", "source", message).with("value", text)
        };
        let parts: Vec<&str> = expression(text).ok_or_else(wrong)?.splitn(6, '.').collect();
        match parts.as_slice() {
            ["parent", "jobs", step, "outputs", port] => {
                Ok(Self::Output { step: StepName::new(step)?, port: PortName::new(port)? })
            }
            ["parent", "inputs", name] => Ok(Self::Input(PortName::new(name)?)),
            _ => Err(wrong()),
        }
    }
}

as_text!(Source);

/// What a parameter of a step is set to: a value, or a parameter of the pipeline, written `${{parent.inputs.<name>}}`. A text
/// that begins with `${{` is always the latter.
#[derive(Clone, Debug, PartialEq)]
pub enum Argument {
    /// This value.
    Value(ParamValue),
    /// What the pipeline's parameter of this name is.
    Parameter(PortName),
}

impl<T: Into<ParamValue>> From<T> for Argument {
    fn from(value: T) -> Self {
        Self::Value(value.into())
    }
}

impl Serialize for Argument {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(serializer),
            Self::Parameter(name) => serializer.collect_str(&Source::Input(name.clone())),
        }
    }
}

impl<'de> Deserialize<'de> for Argument {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match ParamValue::deserialize(deserializer)? {
            ParamValue::Text(text) if text.starts_with("${{") => {
                match text.parse::<Source>().map_err(serde::de::Error::custom)? {
                    Source::Input(name) => Ok(Self::Parameter(name)),
                    Source::Output { .. } => {
                        Err(serde::de::Error::custom("a parameter cannot be an output of a step"))
                    }
                }
            }
            value => Ok(Self::Value(value)),
        }
    }
}

/// When a step runs, by how the steps before it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunWhen {
    /// When all of them succeeded or were reused.
    #[default]
    OnSuccess,
    /// When one of them failed: to tell somebody, to clean up.
    OnFailure,
    /// When all of them ended, however.
    Always,
}

/// A condition on a parameter of the pipeline; the step is skipped where it does not hold.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunIf {
    /// The parameter of the pipeline.
    pub parameter: PortName,
    /// What it must be.
    pub equals: ParamValue,
}

/// One step of a pipeline.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepSpec {
    /// Its name in the pipeline.
    pub id: StepName,
    /// What it does.
    pub component: ComponentRef,
    /// Where its inputs come from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<PortName, Source>,
    /// What its parameters are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<PortName, Argument>,
    /// The secrets it gets, under which names. Their values are in no file, record or key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<PortName, SecretName>,
    /// The outputs to register as data assets, under which names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub assets: BTreeMap<PortName, AssetName>,
    /// Steps that must have ended before, though nothing of theirs goes in.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub after: BTreeSet<StepName>,
    /// When it runs. Default: when the steps before it succeeded.
    #[serde(default)]
    pub when: RunWhen,
    /// Skips it where a parameter of the pipeline is something else.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "if")]
    pub run_if: Option<RunIf>,
    /// How often it is tried. Default: once.
    #[serde(default)]
    pub retry: StepRetry,
    /// The longest an attempt may take. Default: no limit.
    #[serde(default, with = "duration_text::option", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// The class of resource it occupies one of, for instance `gpu`; the executor says how many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<PortName>,
    /// Whether what was made before may be used. Default: yes.
    #[serde(default = "super::yes")]
    pub reuse: bool,
}

impl StepSpec {
    /// A step that is wired to nothing yet.
    pub fn new(id: StepName, component: ComponentRef) -> Self {
        Self {
            id,
            component,
            inputs: BTreeMap::new(),
            parameters: BTreeMap::new(),
            secrets: BTreeMap::new(),
            assets: BTreeMap::new(),
            after: BTreeSet::new(),
            when: RunWhen::OnSuccess,
            run_if: None,
            retry: StepRetry::default(),
            timeout: None,
            resource: None,
            reuse: true,
        }
    }

    /// Wires an input to an output of another step.
    ///
    /// ```
    /// # use mlops_core::id::{PortName, StepName};
    /// # use mlops_core::pipeline::StepSpec;
    /// # let step = StepSpec::new(StepName::new("fit")?, "fit:1".parse()?);
    /// let step = step.with_input_from(PortName::new("rows")?, StepName::new("load")?, PortName::new("rows")?);
    /// let wire = step.inputs.values().next().map(ToString::to_string);
    /// assert_eq!(wire.as_deref(), Some("${{parent.jobs.load.outputs.rows}}"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_input_from(mut self, input: PortName, step: StepName, port: PortName) -> Self {
        self.inputs.insert(input, Source::Output { step, port });
        self
    }

    /// Wires an input to an input of the pipeline.
    ///
    /// ```
    /// # use mlops_core::id::{PortName, StepName};
    /// # use mlops_core::pipeline::StepSpec;
    /// # let step = StepSpec::new(StepName::new("fit")?, "fit:1".parse()?);
    /// let step = step.with_input(PortName::new("rows")?, PortName::new("raw")?);
    /// let wire = step.inputs.values().next().map(ToString::to_string);
    /// assert_eq!(wire.as_deref(), Some("${{parent.inputs.raw}}"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_input(mut self, input: PortName, of_pipeline: PortName) -> Self {
        self.inputs.insert(input, Source::Input(of_pipeline));
        self
    }

    /// Sets a parameter.
    ///
    /// ```
    /// # use mlops_core::pipeline::Argument;
    /// # use mlops_core::id::{PortName, StepName};
    /// # use mlops_core::pipeline::StepSpec;
    /// # let step = StepSpec::new(StepName::new("fit")?, "fit:1".parse()?);
    /// let step = step.with_parameter(PortName::new("depth")?, 6_i64);
    /// assert_eq!(step.parameters.get("depth"), Some(&Argument::from(6_i64)));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_parameter(mut self, name: PortName, argument: impl Into<Argument>) -> Self {
        self.parameters.insert(name, argument.into());
        self
    }

    /// Sets a parameter to what a parameter of the pipeline is.
    ///
    /// ```
    /// # use mlops_core::pipeline::Argument;
    /// # use mlops_core::id::{PortName, StepName};
    /// # use mlops_core::pipeline::StepSpec;
    /// # let step = StepSpec::new(StepName::new("fit")?, "fit:1".parse()?);
    /// let step = step.with_parameter_from(PortName::new("depth")?, PortName::new("tree_depth")?);
    /// assert!(matches!(step.parameters.get("depth"), Some(Argument::Parameter(name)) if name.as_str() == "tree_depth"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_parameter_from(mut self, name: PortName, of_pipeline: PortName) -> Self {
        self.parameters.insert(name, Argument::Parameter(of_pipeline));
        self
    }

    /// Gives it a secret.
    ///
    /// ```
    /// # use mlops_core::id::{PortName, SecretName, StepName};
    /// # use mlops_core::pipeline::StepSpec;
    /// # let step = StepSpec::new(StepName::new("fit")?, "fit:1".parse()?);
    /// let step = step.with_secret(PortName::new("token")?, SecretName::new("registry-token")?);
    /// assert!(step.secrets.contains_key("token"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_secret(mut self, name: PortName, secret: SecretName) -> Self {
        self.secrets.insert(name, secret);
        self
    }

    /// Registers an output as a data asset.
    ///
    /// ```
    /// # use mlops_core::id::{AssetName, PortName, StepName};
    /// # use mlops_core::pipeline::StepSpec;
    /// # let step = StepSpec::new(StepName::new("fit")?, "fit:1".parse()?);
    /// let step = step.with_asset(PortName::new("rows")?, AssetName::new("patients")?);
    /// assert_eq!(step.assets.get("rows").map(AssetName::as_str), Some("patients"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_asset(mut self, output: PortName, asset: AssetName) -> Self {
        self.assets.insert(output, asset);
        self
    }

    /// Lets it wait for another step.
    ///
    /// ```
    /// # use mlops_core::id::StepName;
    /// # use mlops_core::pipeline::StepSpec;
    /// # let step = StepSpec::new(StepName::new("fit")?, "fit:1".parse()?);
    /// let step = step.with_after(StepName::new("warm_up")?);
    /// assert!(step.after.contains("warm_up"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_after(mut self, step: StepName) -> Self {
        self.after.insert(step);
        self
    }

    /// Says when it runs.
    ///
    /// ```
    /// # use mlops_core::pipeline::RunWhen;
    /// # use mlops_core::id::StepName;
    /// # use mlops_core::pipeline::StepSpec;
    /// # let step = StepSpec::new(StepName::new("fit")?, "fit:1".parse()?);
    /// assert_eq!(step.with_when(RunWhen::OnFailure).when, RunWhen::OnFailure);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_when(mut self, when: RunWhen) -> Self {
        self.when = when;
        self
    }

    /// Skips it unless a parameter of the pipeline has this value.
    ///
    /// ```
    /// # use mlops_core::id::{PortName, StepName};
    /// # use mlops_core::pipeline::StepSpec;
    /// # let step = StepSpec::new(StepName::new("fit")?, "fit:1".parse()?);
    /// let step = step.with_if(PortName::new("deep")?, true);
    /// assert!(step.run_if.is_some_and(|run_if| run_if.parameter.as_str() == "deep"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_if(mut self, parameter: PortName, equals: impl Into<ParamValue>) -> Self {
        self.run_if = Some(RunIf { parameter, equals: equals.into() });
        self
    }

    /// Says how often it is tried.
    ///
    /// ```
    /// # use mlops_core::pipeline::StepRetry;
    /// # use mlops_core::id::StepName;
    /// # use mlops_core::pipeline::StepSpec;
    /// # let step = StepSpec::new(StepName::new("fit")?, "fit:1".parse()?);
    /// assert_eq!(step.with_retry(StepRetry::default().with_attempts(3)).retry.attempts, 3);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_retry(mut self, retry: StepRetry) -> Self {
        self.retry = retry;
        self
    }

    /// Limits how long an attempt may take.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use mlops_core::id::StepName;
    /// # use mlops_core::pipeline::StepSpec;
    /// # let step = StepSpec::new(StepName::new("fit")?, "fit:1".parse()?);
    /// let hour = Duration::from_secs(3600);
    /// assert_eq!(step.with_timeout(hour).timeout, Some(hour));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Says which class of resource it occupies.
    ///
    /// ```
    /// # use mlops_core::id::{PortName, StepName};
    /// # use mlops_core::pipeline::StepSpec;
    /// # let step = StepSpec::new(StepName::new("fit")?, "fit:1".parse()?);
    /// let step = step.with_resource(PortName::new("gpu")?);
    /// assert!(step.resource.is_some_and(|class| class.as_str() == "gpu"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_resource(mut self, class: PortName) -> Self {
        self.resource = Some(class);
        self
    }

    /// Says whether what was made before may be used.
    ///
    /// ```
    /// # use mlops_core::id::StepName;
    /// # use mlops_core::pipeline::StepSpec;
    /// # let step = StepSpec::new(StepName::new("fit")?, "fit:1".parse()?);
    /// assert!(step.reuse && !step.with_reuse(false).reuse);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_reuse(mut self, reuse: bool) -> Self {
        self.reuse = reuse;
        self
    }
}

/// A pipeline as it is written down; [`Pipeline::new`](super::Pipeline::new) checks it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineSpec {
    /// The name.
    pub name: ComponentName,
    /// What it works on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<PortName, PortType>,
    /// How it is set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<PortName, ParamSpec>,
    /// Whether other branches go on when a step fails. Default: no, and what runs is cancelled.
    #[serde(default)]
    pub continue_on_step_failure: bool,
    /// The steps, in any order.
    #[serde(default)]
    pub steps: Vec<StepSpec>,
}

impl PipelineSpec {
    /// A pipeline without steps.
    pub fn new(name: ComponentName) -> Self {
        Self {
            name,
            inputs: BTreeMap::new(),
            parameters: BTreeMap::new(),
            continue_on_step_failure: false,
            steps: Vec::new(),
        }
    }

    /// Adds an input.
    ///
    /// ```
    /// # use mlops_core::id::{ComponentName, PortName};
    /// # use mlops_core::pipeline::{PipelineSpec, PortType};
    /// # let spec = PipelineSpec::new(ComponentName::new("train")?);
    /// let spec = spec.with_input(PortName::new("raw")?, PortType::UriFile);
    /// assert_eq!(spec.inputs.get("raw"), Some(&PortType::UriFile));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_input(mut self, name: PortName, r#type: PortType) -> Self {
        self.inputs.insert(name, r#type);
        self
    }

    /// Adds a parameter.
    ///
    /// ```
    /// # use mlops_core::id::{ComponentName, PortName};
    /// # use mlops_core::pipeline::{ParamSpec, PipelineSpec};
    /// # let spec = PipelineSpec::new(ComponentName::new("train")?);
    /// let spec = spec.with_parameter(PortName::new("depth")?, ParamSpec::integer(Some(1), None).with_default(6_i64));
    /// assert!(spec.parameters.get("depth").is_some_and(|depth| !depth.is_required()));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_parameter(mut self, name: PortName, spec: ParamSpec) -> Self {
        self.parameters.insert(name, spec);
        self
    }

    /// Adds a step.
    ///
    /// ```
    /// # use mlops_core::id::{ComponentName, StepName};
    /// # use mlops_core::pipeline::{PipelineSpec, StepSpec};
    /// # let spec = PipelineSpec::new(ComponentName::new("train")?);
    /// let spec = spec.with_step(StepSpec::new(StepName::new("fit")?, "fit:1".parse()?));
    /// assert_eq!(spec.steps.len(), 1);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_step(mut self, step: StepSpec) -> Self {
        self.steps.push(step);
        self
    }

    /// Says whether other branches go on when a step fails.
    ///
    /// ```
    /// # use mlops_core::id::ComponentName;
    /// # use mlops_core::pipeline::PipelineSpec;
    /// # let spec = PipelineSpec::new(ComponentName::new("train")?);
    /// assert!(spec.with_continue_on_step_failure(true).continue_on_step_failure);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_continue_on_step_failure(mut self, go_on: bool) -> Self {
        self.continue_on_step_failure = go_on;
        self
    }
}
