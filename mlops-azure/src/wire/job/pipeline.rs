//! Pipeline jobs: steps that are components, and what flows between them.
//!
//! Around the steps the keys are Resource Manager's, in camel case; a step's inputs and outputs, and the settings, have those of the
//! service's YAML, in snake case.

use std::collections::{BTreeMap, BTreeSet};

use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::JobStatus;
use super::command::{JobIdentity, JobResources};
use super::input::{InputMode, JobInput, JobOutput, OutputMode, ValueType};
use crate::wire::quiet::{Members, Text, Untyped};
use crate::wire::text::{TextMap, lenient};

open_enum! {
    /// `Pipeline`, the discriminator of pipeline jobs.
    pub enum PipelineType {
        /// The only one.
        Pipeline = "Pipeline",
    }
}

/// How a pipeline's steps run.
///
/// ```
/// use mlops_azure::wire::job::pipeline::PipelineSettings;
/// let settings = PipelineSettings { force_rerun: Some(true), ..PipelineSettings::default() };
/// assert_eq!(serde_json::to_string(&settings)?, r#"{"force_rerun":true}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PipelineSettings {
    /// The cluster of steps that name none, by its Resource Manager id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_compute: Option<String>,
    /// The datastore of outputs that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_datastore: Option<String>,
    /// Whether the others go on when a step fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continue_on_step_failure: Option<bool>,
    /// Whether every step runs, also those that ran already with the same inputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_rerun: Option<bool>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// An input of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeInput {
    /// What it is; a text also where it stands for data that come from elsewhere in the pipeline.
    pub job_input_type: ValueType,
    /// The text, or `${{parent.inputs.NAME}}` and `${{parent.jobs.STEP.outputs.NAME}}`. A number that the service says is read as its
    /// text.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub value: Option<Text>,
    /// Where data are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<Text>,
    /// How data reach the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<InputMode>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl NodeInput {
    /// A value, as text.
    pub fn literal(value: impl ToString) -> Self {
        Self {
            job_input_type: ValueType::Literal,
            value: Some(Text(value.to_string())),
            uri: None,
            mode: None,
            other: Members::new(),
        }
    }

    /// An input of the pipeline.
    ///
    /// ```
    /// use mlops_azure::wire::job::pipeline::NodeInput;
    /// assert_eq!(NodeInput::of_pipeline("d").value.as_deref(), Some("${{parent.inputs.d}}"));
    /// ```
    pub fn of_pipeline(name: &str) -> Self {
        Self::literal(format!("${{{{parent.inputs.{name}}}}}"))
    }

    /// An output of another step.
    ///
    /// ```
    /// use mlops_azure::wire::job::pipeline::NodeInput;
    /// assert_eq!(NodeInput::of_step("a", "o").value.as_deref(), Some("${{parent.jobs.a.outputs.o}}"));
    /// ```
    pub fn of_step(step: &str, output: &str) -> Self {
        Self::literal(format!("${{{{parent.jobs.{step}.outputs.{output}}}}}"))
    }

    /// Data at a place.
    pub fn data(job_input_type: ValueType, uri: impl Into<String>) -> Self {
        Self { job_input_type, value: None, uri: Some(Text(uri.into())), ..Self::literal("") }
    }
}

/// An output of a step: one that is an output of the pipeline, or one with settings of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeOutput {
    /// `literal`, where it is bound to an output of the pipeline.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The output of the pipeline that it is: `${{parent.outputs.NAME}}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Text>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_output_type: Option<ValueType>,
    /// How data leave the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<OutputMode>,
    /// Where they go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<Text>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl NodeOutput {
    /// An output of the pipeline.
    ///
    /// ```
    /// use mlops_azure::wire::job::pipeline::NodeOutput;
    /// let output = serde_json::to_string(&NodeOutput::of_pipeline("model"))?;
    /// assert_eq!(output, r#"{"type":"literal","value":"${{parent.outputs.model}}"}"#);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn of_pipeline(name: &str) -> Self {
        Self {
            kind: Some("literal".to_owned()),
            value: Some(Text(format!("${{{{parent.outputs.{name}}}}}"))),
            ..Self::default()
        }
    }
}

/// A step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// The name of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What kind of component it is: `command`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The component, by its Resource Manager id.
    #[serde(rename = "componentId", default, skip_serializing_if = "Option::is_none")]
    pub component_id: Option<String>,
    /// The cluster, by its Resource Manager id.
    #[serde(rename = "computeId", default, skip_serializing_if = "Option::is_none")]
    pub compute_id: Option<String>,
    /// What goes in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<BTreeMap<String, NodeInput>>,
    /// What comes out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<BTreeMap<String, NodeOutput>>,
    /// On what it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Untyped>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_variables: Option<TextMap>,
    /// From what it was made.
    #[serde(rename = "_source", default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl Node {
    /// A step that is a component which is a command, by its Resource Manager id.
    pub fn command(component_id: impl Into<String>) -> Self {
        Self {
            name: None,
            kind: "command".to_owned(),
            component_id: Some(component_id.into()),
            compute_id: None,
            inputs: None,
            outputs: None,
            resources: None,
            environment_variables: None,
            source: Some("YAML.COMPONENT".to_owned()),
            other: Members::new(),
        }
    }

    /// The same with an input.
    #[must_use]
    pub fn with_input(mut self, name: impl Into<String>, input: NodeInput) -> Self {
        self.inputs.get_or_insert_default().insert(name.into(), input);
        self
    }

    /// The same with an output.
    #[must_use]
    pub fn with_output(mut self, name: impl Into<String>, output: NodeOutput) -> Self {
        self.outputs.get_or_insert_default().insert(name.into(), output);
        self
    }

    /// The same on a cluster, by its Resource Manager id.
    #[must_use]
    pub fn on(mut self, compute_id: impl Into<String>) -> Self {
        self.compute_id = Some(compute_id.into());
        self
    }
}

/// Steps and what flows between them.
///
/// ```
/// use mlops_azure::wire::job::pipeline::{Node, NodeInput, NodeOutput, PipelineJob};
/// use mlops_azure::wire::job::{Job, JobInput, JobOutput};
/// use mlops_azure::wire::job::input::ValueType;
/// use mlops_azure::wire::Resource;
///
/// let pipeline = PipelineJob::new()
///     .with_input("d", JobInput::data(ValueType::UriFolder, "azureml:churn:3"))
///     .with_output("model", JobOutput::of(ValueType::UriFolder))
///     .with_step("prepare", Node::command("…/components/prepare/versions/1").with_input("d", NodeInput::of_pipeline("d")))
///     .with_step("train", Node::command("…/components/train/versions/1")
///         .with_input("d", NodeInput::of_step("prepare", "o"))
///         .with_output("o", NodeOutput::of_pipeline("model")));
/// pipeline.check()?;
/// let body = Resource::new(Job::from(pipeline)).body()?;
/// assert_eq!(body["properties"]["jobs"]["train"]["inputs"]["d"]["job_input_type"], "literal");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PipelineJob {
    job_type: PipelineType,
    /// The steps, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<BTreeMap<String, Node>>,
    /// What goes in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<BTreeMap<String, JobInput>>,
    /// What comes out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<BTreeMap<String, JobOutput>>,
    /// How the steps run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<PipelineSettings>,
    /// The cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_id: Option<String>,
    /// The experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment_name: Option<String>,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
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

impl PipelineJob {
    /// A pipeline without steps yet.
    pub fn new() -> Self {
        Self {
            job_type: PipelineType::Pipeline,
            jobs: None,
            inputs: None,
            outputs: None,
            settings: None,
            compute_id: None,
            experiment_name: None,
            display_name: None,
            description: None,
            identity: None,
            is_archived: None,
            tags: None,
            properties: None,
            status: None,
            other: Members::new(),
        }
    }

    /// The same with a step.
    #[must_use]
    pub fn with_step(mut self, name: impl Into<String>, mut node: Node) -> Self {
        let name = name.into();
        node.name = Some(name.clone());
        self.jobs.get_or_insert_default().insert(name, node);
        self
    }

    /// The same with an input.
    #[must_use]
    pub fn with_input(mut self, name: impl Into<String>, input: JobInput) -> Self {
        self.inputs.get_or_insert_default().insert(name.into(), input);
        self
    }

    /// The same with an output.
    #[must_use]
    pub fn with_output(mut self, name: impl Into<String>, output: JobOutput) -> Self {
        self.outputs.get_or_insert_default().insert(name.into(), output);
        self
    }

    /// The same with settings.
    #[must_use]
    pub fn with_settings(mut self, settings: PipelineSettings) -> Self {
        self.settings = Some(settings);
        self
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

    /// Checks what the steps refer to: inputs and outputs of the pipeline and steps must be there, and no step may wait for itself.
    /// O(steps + references), up to a logarithm.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) that names the `step` and its input or output.
    pub fn check(&self) -> Result<()> {
        const OP: &str = "PipelineJob::check";
        let empty = BTreeMap::new();
        let steps = self.jobs.as_ref().filter(|steps| !steps.is_empty());
        let steps =
            steps.ok_or_else(|| Error::invalid(OP, "jobs", "a pipeline without steps does nothing"))?;
        let has = |map: Option<bool>| map.unwrap_or(false);
        let mut waits: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (step, node) in steps {
            let bad = |field: &str, name: &str, message: &str| {
                Err(Error::invalid(OP, field, message).with("step", step).with("name", name))
            };
            let needs = waits.entry(step).or_default();
            for (name, input) in node.inputs.as_ref().unwrap_or(&BTreeMap::new()) {
                match input.value.as_deref().and_then(Binding::read) {
                    Some(Binding::Input(of))
                        if !has(self.inputs.as_ref().map(|all| all.contains_key(of))) =>
                    {
                        return bad("inputs", name, "the pipeline has no such input");
                    }
                    Some(Binding::Step(of)) => match steps.get_key_value(of) {
                        Some((of, _)) => _ = needs.insert(of.as_str()),
                        None => return bad("inputs", name, "there is no such step"),
                    },
                    _ => {}
                }
            }
            for (name, output) in node.outputs.as_ref().unwrap_or(&empty) {
                let bound = output.value.as_deref().and_then(Binding::read);
                if let Some(Binding::Output(of)) = bound
                    && !has(self.outputs.as_ref().map(|all| all.contains_key(of)))
                {
                    return bad("outputs", name, "the pipeline has no such output");
                }
            }
        }
        acyclic(waits)
    }
}

impl Default for PipelineJob {
    fn default() -> Self {
        Self::new()
    }
}

/// What a value stands for.
enum Binding<'a> {
    /// An input of the pipeline.
    Input(&'a str),
    /// An output of the pipeline.
    Output(&'a str),
    /// An output of this step.
    Step(&'a str),
}

impl<'a> Binding<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let inner = text.trim().strip_prefix("${{")?.strip_suffix("}}")?.trim().strip_prefix("parent.")?;
        match inner.split_once('.')? {
            ("inputs", name) => Some(Self::Input(name)),
            ("outputs", name) => Some(Self::Output(name)),
            ("jobs", rest) => rest.split_once('.').map(|(step, _)| Self::Step(step)),
            _ => None,
        }
    }
}

/// Takes away steps that wait for nothing until none is left, or those in a circle are (Kahn).
fn acyclic(mut waits: BTreeMap<&str, BTreeSet<&str>>) -> Result<()> {
    let mut waited: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (step, needs) in &waits {
        needs.iter().for_each(|need| waited.entry(need).or_default().push(step));
    }
    let mut free: Vec<&str> =
        waits.iter().filter(|(_, needs)| needs.is_empty()).map(|(step, _)| *step).collect();
    while let Some(step) = free.pop() {
        waits.remove(step);
        for next in waited.get(step).into_iter().flatten() {
            if let Some(needs) = waits.get_mut(next)
                && needs.remove(step)
                && needs.is_empty()
            {
                free.push(next);
            }
        }
    }
    match waits.keys().next() {
        None => Ok(()),
        Some(step) => {
            let message = "the step waits for itself, by way of what it needs";
            Err(Error::invalid("PipelineJob::check", "inputs", message).with("step", step))
        }
    }
}

/// What a step runs on, in the keys of the service's YAML.
///
/// ```
/// use mlops_azure::wire::job::command::JobResources;
/// use mlops_azure::wire::job::pipeline::node_resources;
/// let two = JobResources { instance_count: Some(2), ..JobResources::default() };
/// assert_eq!(node_resources(&two).to_string(), r#"{"instance_count":2}"#);
/// ```
pub fn node_resources(resources: &JobResources) -> Value {
    let mut members = Map::new();
    if let Some(count) = resources.instance_count {
        members.insert("instance_count".to_owned(), count.into());
    }
    if let Some(kind) = &resources.instance_type {
        members.insert("instance_type".to_owned(), kind.clone().into());
    }
    if let Some(size) = &resources.shm_size {
        members.insert("shm_size".to_owned(), size.clone().into());
    }
    members.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(pairs: &[(&str, &str)]) -> PipelineJob {
        pairs.iter().fold(PipelineJob::new(), |job, (step, needs)| {
            job.with_step(*step, Node::command("c").with_input("d", NodeInput::of_step(needs, "o")))
        })
    }

    #[test]
    fn what_a_step_refers_to_must_be_there_and_not_be_itself() {
        let field = |job: PipelineJob| {
            let error = job.check().unwrap_err();
            (error.context("field").unwrap().to_owned(), error.context("step").map(str::to_owned))
        };
        let at = |field: &str, step: &str| (field.to_owned(), Some(step.to_owned()));
        assert_eq!(field(PipelineJob::new()), ("jobs".to_owned(), None));
        assert_eq!(field(chain(&[("a", "b")])), at("inputs", "a"));
        assert_eq!(field(chain(&[("a", "a")])), at("inputs", "a"));
        assert_eq!(field(chain(&[("a", "b"), ("b", "c"), ("c", "a")])), at("inputs", "a"));
        let step = Node::command("c").with_input("d", NodeInput::of_pipeline("d"));
        assert_eq!(field(PipelineJob::new().with_step("a", step.clone())), at("inputs", "a"));
        let out = Node::command("c").with_output("o", NodeOutput::of_pipeline("model"));
        assert_eq!(field(PipelineJob::new().with_step("a", out)), at("outputs", "a"));
        let whole = PipelineJob::new().with_input("d", JobInput::literal(1)).with_step("a", step);
        let whole = whole.with_step("b", Node::command("c").with_input("x", NodeInput::literal("${{not}}")));
        assert!(whole.check().is_ok());
    }

    #[test]
    fn a_pipeline_of_many_steps_is_checked_without_recursion() {
        let steps = (1..5_000_u32).fold(PipelineJob::new().with_step("s0", Node::command("c")), |job, n| {
            let before = NodeInput::of_step(&format!("s{}", n - 1), "o");
            job.with_step(format!("s{n}"), Node::command("c").with_input("d", before))
        });
        assert!(steps.check().is_ok());
    }
}
