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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunIf {
    /// The parameter of the pipeline.
    pub parameter: PortName,
    /// What it must be.
    pub equals: ParamValue,
}

/// One step of a pipeline.
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
    #[must_use]
    pub fn with_input_from(mut self, input: PortName, step: StepName, port: PortName) -> Self {
        self.inputs.insert(input, Source::Output { step, port });
        self
    }

    /// Wires an input to an input of the pipeline.
    #[must_use]
    pub fn with_input(mut self, input: PortName, of_pipeline: PortName) -> Self {
        self.inputs.insert(input, Source::Input(of_pipeline));
        self
    }

    /// Sets a parameter.
    #[must_use]
    pub fn with_parameter(mut self, name: PortName, argument: impl Into<Argument>) -> Self {
        self.parameters.insert(name, argument.into());
        self
    }

    /// Sets a parameter to what a parameter of the pipeline is.
    #[must_use]
    pub fn with_parameter_from(mut self, name: PortName, of_pipeline: PortName) -> Self {
        self.parameters.insert(name, Argument::Parameter(of_pipeline));
        self
    }

    /// Gives it a secret.
    #[must_use]
    pub fn with_secret(mut self, name: PortName, secret: SecretName) -> Self {
        self.secrets.insert(name, secret);
        self
    }

    /// Registers an output as a data asset.
    #[must_use]
    pub fn with_asset(mut self, output: PortName, asset: AssetName) -> Self {
        self.assets.insert(output, asset);
        self
    }

    /// Lets it wait for another step.
    #[must_use]
    pub fn with_after(mut self, step: StepName) -> Self {
        self.after.insert(step);
        self
    }

    /// Says when it runs.
    #[must_use]
    pub fn with_when(mut self, when: RunWhen) -> Self {
        self.when = when;
        self
    }

    /// Skips it unless a parameter of the pipeline has this value.
    #[must_use]
    pub fn with_if(mut self, parameter: PortName, equals: impl Into<ParamValue>) -> Self {
        self.run_if = Some(RunIf { parameter, equals: equals.into() });
        self
    }

    /// Says how often it is tried.
    #[must_use]
    pub fn with_retry(mut self, retry: StepRetry) -> Self {
        self.retry = retry;
        self
    }

    /// Limits how long an attempt may take.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Says which class of resource it occupies.
    #[must_use]
    pub fn with_resource(mut self, class: PortName) -> Self {
        self.resource = Some(class);
        self
    }

    /// Says whether what was made before may be used.
    #[must_use]
    pub fn with_reuse(mut self, reuse: bool) -> Self {
        self.reuse = reuse;
        self
    }
}

/// A pipeline as it is written down; [`Pipeline::new`](super::Pipeline::new) checks it.
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
    #[must_use]
    pub fn with_input(mut self, name: PortName, r#type: PortType) -> Self {
        self.inputs.insert(name, r#type);
        self
    }

    /// Adds a parameter.
    #[must_use]
    pub fn with_parameter(mut self, name: PortName, spec: ParamSpec) -> Self {
        self.parameters.insert(name, spec);
        self
    }

    /// Adds a step.
    #[must_use]
    pub fn with_step(mut self, step: StepSpec) -> Self {
        self.steps.push(step);
        self
    }

    /// Says whether other branches go on when a step fails.
    #[must_use]
    pub fn with_continue_on_step_failure(mut self, go_on: bool) -> Self {
        self.continue_on_step_failure = go_on;
        self
    }
}
