//! The graph: steps wired by type, in an order in which they can run.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use super::{
    Argument, Component, ComponentRef, Components, ParamFault, ParamValue, PipelineSpec, PortType, RunWhen,
    Source, StepSpec,
};
use crate::config::nearest;
use crate::error::{Error, ErrorKind, Result, quote};
use crate::hash::{Digest, Hasher};
use crate::id::{ComponentName, PortName, StepName};

/// The most steps of a pipeline.
pub(super) const MAX_STEPS: usize = 10_000;

/// The most wires of a pipeline: inputs of steps and steps to wait for.
pub(super) const MAX_WIRES: usize = 100_000;

/// A pipeline that can run: every wire fits, every input and parameter that is needed is there, and there is no cycle.
///
/// ```
/// use mlops_core::hash::Digest;
/// use mlops_core::id::{ComponentName, ComponentVersion, PortName, StepName};
/// use mlops_core::pipeline::{Component, Components, Pipeline, PipelineSpec, PortType, StepSpec};
///
/// let rows = PortName::new("rows")?;
/// let load = Component::new(ComponentName::new("load")?, ComponentVersion::new("1")?, Digest::of(b"code"))
///     .with_output(rows.clone(), PortType::UriFile);
/// let fit = Component::new(ComponentName::new("fit")?, ComponentVersion::new("1")?, Digest::of(b"code"))
///     .with_input(rows.clone(), PortType::UriFolder);
/// let (load_step, fit_step) = (StepName::new("load")?, StepName::new("fit")?);
/// let spec = PipelineSpec::new(ComponentName::new("diabetes")?)
///     .with_step(StepSpec::new(load_step.clone(), load.reference()))
///     .with_step(StepSpec::new(fit_step, fit.reference()).with_input_from(rows.clone(), load_step, rows));
///
/// let components = Components::new().with_described(load)?.with_described(fit)?;
/// let error = Pipeline::new(spec, &components).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "step `fit`, input `rows`: is of type uri_folder, but `load.rows` is of type uri_file"
/// );
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pipeline {
    spec: PipelineSpec,
    components: Vec<Arc<Component>>,
    order: Vec<usize>,
    before: Vec<Vec<usize>>,
    behind: Vec<Vec<usize>>,
    index: HashMap<StepName, usize>,
}

/// What of a pipeline is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The step's name.
    Id,
    /// Its component.
    Component,
    /// One of its inputs.
    Input(PortName),
    /// One of its parameters.
    Parameter(PortName),
    /// One of its secrets.
    Secret(PortName),
    /// An output that is to be registered.
    Asset(PortName),
    /// What it waits for.
    After,
    /// Its condition.
    If,
    /// How it is tried again.
    Retry,
    /// The limit of its time.
    Timeout,
    /// The pipeline as a whole.
    Pipeline,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id => f.write_str("id"),
            Self::Component => f.write_str("component"),
            Self::Input(name) => write!(f, "input `{name}`"),
            Self::Parameter(name) => write!(f, "parameter `{name}`"),
            Self::Secret(name) => write!(f, "secret `{name}`"),
            Self::Asset(name) => write!(f, "asset `{name}`"),
            Self::After => f.write_str("after"),
            Self::If => f.write_str("if"),
            Self::Retry => f.write_str("retry"),
            Self::Timeout => f.write_str("timeout"),
            Self::Pipeline => f.write_str("pipeline"),
        }
    }
}

/// What is wrong with it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphFault {
    /// There is none of this name; perhaps the other one was meant.
    #[error("there is no {what} `{name}`{}", meant(near))]
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// The name.
        name: String,
        /// A name that is nearly the same.
        near: Option<String>,
    },
    /// Two steps have one name.
    #[error("is the name of two steps")]
    Duplicate,
    /// The types do not fit.
    #[error("is of type {wanted}, but `{source_name}` is of type {found}")]
    TypeMismatch {
        /// The type of the input.
        wanted: PortType,
        /// What it is wired to.
        source_name: String,
        /// Its type.
        found: PortType,
    },
    /// It must be given.
    #[error("is missing")]
    Missing,
    /// A value, a default or a range is refused.
    #[error("{0}")]
    Param(#[from] ParamFault),
    /// The parameter of the pipeline may take values that the step's refuses, or may be missing where it is needed.
    #[error("is of type {wanted}, but the pipeline's `{name}` is of type {found}")]
    ParameterType {
        /// The type of the step's parameter.
        wanted: &'static str,
        /// The pipeline's parameter.
        name: String,
        /// Its type.
        found: &'static str,
    },
    /// The step's parameter must be given, and the pipeline's may be left out.
    #[error("must be given, but the pipeline's `{name}` may be left out")]
    MayBeLeftOut {
        /// The pipeline's parameter.
        name: String,
    },
    /// It is both a parameter and an input or a secret.
    #[error("is used twice")]
    UsedTwice,
    /// The component does what it does under another description.
    #[error("{0}")]
    Bad(String),
    /// Steps wait for each other in a ring.
    #[error("the steps wait for each other: {}", ring(.0))]
    Cycle(Vec<StepName>),
    /// More than the limit.
    #[error("has {got} {what}, at most {limit} are allowed")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// How many there are.
        got: usize,
    },
}

fn meant(near: &Option<String>) -> String {
    near.as_ref().map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// The ring of steps, closed, its middle left out where it is long.
fn ring(steps: &[StepName]) -> String {
    const SHOWN: usize = 12;
    let mut names: Vec<String> = steps.iter().take(SHOWN).map(ToString::to_string).collect();
    if steps.len() > SHOWN {
        names.push(format!("… {} more …", steps.len() - SHOWN));
    }
    names.extend(steps.first().map(ToString::to_string));
    names.join(" -> ")
}

/// Why a pipeline cannot run: in which step, in which part of it, what.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphError {
    /// The step's name and its number in the specification; none where it is about the pipeline.
    pub step: Option<(usize, StepName)>,
    /// The part.
    pub part: Part,
    /// What is wrong with it.
    pub fault: GraphFault,
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.step {
            Some((_, name)) => write!(f, "step `{name}`, {}: {}", self.part, self.fault),
            None => write!(f, "{}: {}", self.part, self.fault),
        }
    }
}

impl std::error::Error for GraphError {}

impl From<GraphError> for Error {
    fn from(error: GraphError) -> Self {
        let kind = match error.fault {
            GraphFault::TooMany { .. } => ErrorKind::LimitExceeded,
            _ => ErrorKind::InvalidInput,
        };
        let out = Self::new(kind, "Pipeline::new", error.to_string()).with("field", &error.part);
        match &error.step {
            Some((_, name)) => out.with("step", name),
            None => out,
        }
    }
}

type Checked<T> = Result<T, GraphError>;

impl Pipeline {
    /// Checks a specification against the components it names. O((steps + wires) · log(steps)).
    ///
    /// # Errors
    /// [`GraphError`] names the first step and port that is wrong. At most 10 000 steps and 100 000 wires.
    pub fn new(spec: PipelineSpec, components: &Components) -> Checked<Self> {
        check_limits(&spec)?;
        let index = index(&spec)?;
        let mut found = Vec::with_capacity(spec.steps.len());
        for (number, step) in spec.steps.iter().enumerate() {
            found.push(component(components, number, step)?);
        }
        for (name, parameter) in &spec.parameters {
            let fail = |fault| GraphError { step: None, part: Part::Parameter(name.clone()), fault };
            parameter.check().map_err(|fault| fail(fault.into()))?;
            if spec.inputs.contains_key(name) {
                return Err(fail(GraphFault::UsedTwice));
            }
        }
        let wiring = Wiring { spec: &spec, components: &found, index: &index };
        let mut before = Vec::with_capacity(spec.steps.len());
        for number in 0..spec.steps.len() {
            before.push(wiring.check(number)?);
        }
        let behind = turned_round(&before);
        let order = order(&spec, &before, &behind)?;
        Ok(Self { components: found, order, before, behind, index, spec })
    }

    /// What was written down.
    pub fn spec(&self) -> &PipelineSpec {
        &self.spec
    }

    /// Its name.
    pub fn name(&self) -> &ComponentName {
        &self.spec.name
    }

    /// The steps in an order in which they can run one after the other: of those that can run, the one written first.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = &StepSpec> {
        self.order.iter().map(|number| &self.spec.steps[*number])
    }

    /// The component of a step.
    pub fn component(&self, step: &StepName) -> Option<&Arc<Component>> {
        self.index.get(step).map(|number| &self.components[*number])
    }

    /// The steps that a step waits for.
    pub fn before(&self, step: &StepName) -> impl Iterator<Item = &StepName> {
        self.neighbours(&self.before, step)
    }

    /// The steps that wait for a step.
    pub fn behind(&self, step: &StepName) -> impl Iterator<Item = &StepName> {
        self.neighbours(&self.behind, step)
    }

    fn neighbours<'a>(&'a self, of: &'a [Vec<usize>], step: &StepName) -> impl Iterator<Item = &'a StepName> {
        let found = self.index.get(step).and_then(|number| of.get(*number));
        found.into_iter().flatten().map(|number| &self.spec.steps[*number].id)
    }

    /// These steps and all that wait for them, directly or not.
    pub fn downstream(&self, from: &BTreeSet<StepName>) -> BTreeSet<StepName> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<usize> = from.iter().filter_map(|step| self.index.get(step)).copied().collect();
        while let Some(number) = open.pop() {
            if reached.insert(self.spec.steps[number].id.clone()) {
                open.extend(&self.behind[number]);
            }
        }
        reached
    }

    pub(super) fn numbers(&self) -> &[usize] {
        &self.order
    }

    pub(super) fn step_at(&self, number: usize) -> &StepSpec {
        &self.spec.steps[number]
    }

    pub(super) fn component_at(&self, number: usize) -> &Arc<Component> {
        &self.components[number]
    }

    pub(super) fn before_at(&self, number: usize) -> &[usize] {
        &self.before[number]
    }

    pub(super) fn behind_at(&self, number: usize) -> &[usize] {
        &self.behind[number]
    }

    /// The digest of everything that says what the pipeline does: its steps and wires, and its components with their code.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] where it cannot be written down.
    pub fn digest(&self) -> Result<Digest> {
        let failed =
            |e| Error::new(ErrorKind::Internal, "Pipeline::digest", "cannot be written").with_source(e);
        let mut hasher =
            Hasher::new("mlops.pipeline/v1").field(serde_json::to_vec(&self.spec).map_err(failed)?);
        for component in &self.components {
            hasher.push(&serde_json::to_vec(component.as_ref()).map_err(failed)?);
        }
        Ok(hasher.finish())
    }

    /// The pipeline's parameters with these arguments: checked, and with defaults where none is given.
    ///
    /// # Errors
    /// [`GraphError`] for a parameter that is not there, is missing, or takes other values.
    pub fn arguments(
        &self,
        given: &BTreeMap<PortName, ParamValue>,
    ) -> Checked<BTreeMap<PortName, ParamValue>> {
        let fail =
            |name: &PortName, fault| GraphError { step: None, part: Part::Parameter(name.clone()), fault };
        if let Some(name) = given.keys().find(|name| !self.spec.parameters.contains_key(*name)) {
            return Err(fail(name, unknown("parameter", name.as_str(), self.spec.parameters.keys())));
        }
        let mut arguments = BTreeMap::new();
        for (name, parameter) in &self.spec.parameters {
            let value = match given.get(name).or_else(|| parameter.default()) {
                Some(value) => parameter.accept(value).map_err(|fault| fail(name, fault.into()))?,
                None if parameter.is_required() => return Err(fail(name, GraphFault::Missing)),
                None => continue,
            };
            arguments.insert(name.clone(), value);
        }
        for (number, step) in self.spec.steps.iter().enumerate() {
            self.parameters(number, step, &arguments)?;
        }
        Ok(arguments)
    }

    /// A step's parameters, given the pipeline's.
    pub(super) fn parameters(
        &self,
        number: usize,
        step: &StepSpec,
        arguments: &BTreeMap<PortName, ParamValue>,
    ) -> Checked<BTreeMap<PortName, ParamValue>> {
        let mut parameters = BTreeMap::new();
        for (name, parameter) in &self.components[number].parameters {
            let given = match step.parameters.get(name) {
                Some(Argument::Value(value)) => Some(value),
                Some(Argument::Parameter(of_pipeline)) => arguments.get(of_pipeline),
                None => None,
            };
            let Some(value) = given.or_else(|| parameter.default()) else { continue };
            let value = parameter.accept(value).map_err(|fault| GraphError {
                step: Some((number, step.id.clone())),
                part: Part::Parameter(name.clone()),
                fault: fault.into(),
            })?;
            parameters.insert(name.clone(), value);
        }
        Ok(parameters)
    }
}

fn check_limits(spec: &PipelineSpec) -> Checked<()> {
    let fail = |what, limit, got| {
        Err(GraphError { step: None, part: Part::Pipeline, fault: GraphFault::TooMany { what, limit, got } })
    };
    if spec.steps.is_empty() {
        return Err(GraphError {
            step: None,
            part: Part::Pipeline,
            fault: GraphFault::Bad("has no steps".into()),
        });
    }
    if spec.steps.len() > MAX_STEPS {
        return fail("steps", MAX_STEPS, spec.steps.len());
    }
    let wires = spec.steps.iter().map(|step| step.inputs.len() + step.after.len()).sum();
    if wires > MAX_WIRES {
        return fail("wires", MAX_WIRES, wires);
    }
    let ports = spec.inputs.len() + spec.parameters.len();
    if ports > super::component::MAX_PORTS {
        return fail("inputs and parameters", super::component::MAX_PORTS, ports);
    }
    Ok(())
}

fn index(spec: &PipelineSpec) -> Checked<HashMap<StepName, usize>> {
    let mut index = HashMap::with_capacity(spec.steps.len());
    for (number, step) in spec.steps.iter().enumerate() {
        if index.insert(step.id.clone(), number).is_some() {
            let step = Some((number, step.id.clone()));
            return Err(GraphError { step, part: Part::Id, fault: GraphFault::Duplicate });
        }
    }
    Ok(index)
}

fn component(components: &Components, number: usize, step: &StepSpec) -> Checked<Arc<Component>> {
    let fail = |fault| GraphError { step: Some((number, step.id.clone())), part: Part::Component, fault };
    components.component(&step.component).cloned().ok_or_else(|| {
        let known: Vec<ComponentRef> = components.references().cloned().collect();
        fail(unknown("component", &step.component.to_string(), known.iter()))
    })
}

/// [`GraphFault::Unknown`], with the nearest of the known names.
fn unknown<'a, T: ToString + 'a>(
    what: &'static str,
    name: &str,
    known: impl Iterator<Item = &'a T>,
) -> GraphFault {
    // Of many names one is always near; and looking through them all is what a hostile file would like.
    let known: Vec<String> = known.take(1_000).map(ToString::to_string).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    GraphFault::Unknown { what, name: quote(name), near: nearest(name, &known).map(str::to_owned) }
}

struct Wiring<'a> {
    spec: &'a PipelineSpec,
    components: &'a [Arc<Component>],
    index: &'a HashMap<StepName, usize>,
}

impl Wiring<'_> {
    /// Checks a step; the steps it waits for.
    fn check(&self, number: usize) -> Checked<Vec<usize>> {
        let (step, component) = (&self.spec.steps[number], &self.components[number]);
        let fail = |part, fault| GraphError { step: Some((number, step.id.clone())), part, fault };
        let mut before = BTreeSet::new();
        for (port, source) in &step.inputs {
            let part = || Part::Input(port.clone());
            let Some(input) = component.inputs.get(port) else {
                return Err(fail(part(), unknown("input", port.as_str(), component.inputs.keys())));
            };
            let (name, found) = match self.source(source, &mut before) {
                Ok(found) => found,
                Err(fault) => return Err(fail(part(), fault)),
            };
            if found != input.r#type {
                let wanted = input.r#type;
                return Err(fail(part(), GraphFault::TypeMismatch { wanted, source_name: name, found }));
            }
        }
        let missing =
            component.inputs.iter().find(|(port, input)| !input.optional && !step.inputs.contains_key(*port));
        if let Some((port, _)) = missing {
            return Err(fail(Part::Input(port.clone()), GraphFault::Missing));
        }
        for after in &step.after {
            let Some(other) = self.index.get(after) else {
                return Err(fail(Part::After, unknown("step", after.as_str(), self.index.keys())));
            };
            before.insert(*other);
        }
        self.check_parameters(number)?;
        self.check_rest(number)?;
        Ok(before.into_iter().collect())
    }

    /// The name and type of what an input is wired to.
    fn source(
        &self,
        source: &Source,
        before: &mut BTreeSet<usize>,
    ) -> Result<(String, PortType), GraphFault> {
        match source {
            Source::Input(name) => match self.spec.inputs.get(name) {
                Some(found) => Ok((format!("parent.inputs.{name}"), *found)),
                None => Err(unknown("input of the pipeline", name.as_str(), self.spec.inputs.keys())),
            },
            Source::Output { step, port } => {
                let Some(other) = self.index.get(step) else {
                    return Err(unknown("step", step.as_str(), self.index.keys()));
                };
                let outputs = &self.components[*other].outputs;
                let Some(found) = outputs.get(port) else {
                    let fault = unknown("output", port.as_str(), outputs.keys());
                    let GraphFault::Unknown { what, near, .. } = fault else { return Err(fault) };
                    return Err(GraphFault::Unknown { what, name: format!("{step}.{port}"), near });
                };
                before.insert(*other);
                Ok((format!("{step}.{port}"), *found))
            }
        }
    }

    fn check_parameters(&self, number: usize) -> Checked<()> {
        let (step, component) = (&self.spec.steps[number], &self.components[number]);
        for (name, argument) in &step.parameters {
            let fail = |fault| GraphError {
                step: Some((number, step.id.clone())),
                part: Part::Parameter(name.clone()),
                fault,
            };
            let Some(wanted) = component.parameters.get(name) else {
                return Err(fail(unknown("parameter", name.as_str(), component.parameters.keys())));
            };
            match argument {
                Argument::Value(value) => {
                    wanted.accept(value).map_err(|fault| fail(fault.into()))?;
                }
                Argument::Parameter(of_pipeline) => {
                    let Some(found) = self.spec.parameters.get(of_pipeline) else {
                        let known = self.spec.parameters.keys();
                        return Err(fail(unknown("parameter of the pipeline", of_pipeline.as_str(), known)));
                    };
                    let (want, have) = (wanted.kind().name(), found.kind().name());
                    if want != have && (want, have) != ("number", "integer") {
                        let name = of_pipeline.to_string();
                        return Err(fail(GraphFault::ParameterType { wanted: want, name, found: have }));
                    }
                    if wanted.is_required() && !found.is_required() && found.default().is_none() {
                        return Err(fail(GraphFault::MayBeLeftOut { name: of_pipeline.to_string() }));
                    }
                }
            }
        }
        let given = |name: &PortName| step.parameters.contains_key(name) || step.secrets.contains_key(name);
        match component.parameters.iter().find(|(name, spec)| spec.is_required() && !given(name)) {
            Some((name, _)) => Err(GraphError {
                step: Some((number, step.id.clone())),
                part: Part::Parameter(name.clone()),
                fault: GraphFault::Missing,
            }),
            None => Ok(()),
        }
    }

    fn check_rest(&self, number: usize) -> Checked<()> {
        let (step, component) = (&self.spec.steps[number], &self.components[number]);
        let fail = |part, fault| Err(GraphError { step: Some((number, step.id.clone())), part, fault });
        if let Some(port) = step.assets.keys().find(|port| !component.outputs.contains_key(*port)) {
            return fail(
                Part::Asset(port.clone()),
                unknown("output", port.as_str(), component.outputs.keys()),
            );
        }
        let used = |name: &&PortName| step.parameters.contains_key(*name) || step.inputs.contains_key(*name);
        if let Some(name) = step.secrets.keys().find(used) {
            return fail(Part::Secret(name.clone()), GraphFault::UsedTwice);
        }
        if let Some(condition) = &step.run_if {
            let Some(parameter) = self.spec.parameters.get(&condition.parameter) else {
                let known = self.spec.parameters.keys();
                return fail(
                    Part::If,
                    unknown("parameter of the pipeline", condition.parameter.as_str(), known),
                );
            };
            if let Err(fault) = parameter.accept(&condition.equals) {
                return fail(Part::If, fault.into());
            }
        }
        if let Err(error) = step.retry.check() {
            return fail(Part::Retry, GraphFault::Bad(error.to_string()));
        }
        if step.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return fail(Part::Timeout, GraphFault::Bad("must be longer than nothing".to_owned()));
        }
        let waits = step.inputs.values().any(|source| matches!(source, Source::Output { .. }));
        if step.when == RunWhen::OnFailure && step.after.is_empty() && !waits {
            return fail(Part::After, GraphFault::Missing);
        }
        Ok(())
    }
}

fn turned_round(before: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut behind = vec![Vec::new(); before.len()];
    for (number, others) in before.iter().enumerate() {
        for other in others {
            behind[*other].push(number);
        }
    }
    behind
}

/// Kahn's order: of the steps that can run, the one written first.
fn order(spec: &PipelineSpec, before: &[Vec<usize>], behind: &[Vec<usize>]) -> Checked<Vec<usize>> {
    let mut waits: Vec<usize> = before.iter().map(Vec::len).collect();
    let mut ready: BTreeSet<usize> = (0..waits.len()).filter(|number| waits[*number] == 0).collect();
    let mut order = Vec::with_capacity(waits.len());
    while let Some(number) = ready.pop_first() {
        order.push(number);
        for other in &behind[number] {
            waits[*other] -= 1;
            if waits[*other] == 0 {
                ready.insert(*other);
            }
        }
    }
    if order.len() == before.len() {
        return Ok(order);
    }
    let ring = find_ring(&waits, before);
    let steps = ring.iter().map(|number| spec.steps[*number].id.clone()).collect();
    let first = ring.first().map(|number| (*number, spec.steps[*number].id.clone()));
    Err(GraphError { step: first, part: Part::Pipeline, fault: GraphFault::Cycle(steps) })
}

/// A ring among the steps that still wait: from each, there is one it waits for that waits itself. In running order, from the
/// step that is written first.
fn find_ring(waits: &[usize], before: &[Vec<usize>]) -> Vec<usize> {
    let stuck = |number: &&usize| waits[**number] > 0;
    let Some(start) = (0..waits.len()).find(|number| waits[*number] > 0) else { return Vec::new() };
    let mut seen: HashMap<usize, usize> = HashMap::new();
    let mut path = Vec::new();
    let mut here = start;
    while !seen.contains_key(&here) {
        seen.insert(here, path.len());
        path.push(here);
        match before[here].iter().find(stuck) {
            Some(next) => here = *next,
            None => break,
        }
    }
    let mut ring = path.split_off(seen.get(&here).copied().unwrap_or_default());
    ring.reverse();
    let least = ring.iter().enumerate().min_by_key(|(_, number)| **number).map_or(0, |(at, _)| at);
    ring.rotate_left(least);
    ring
}
