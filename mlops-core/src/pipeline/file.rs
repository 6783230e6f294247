//! Pipelines in files.

use std::path::Path;

use super::{Components, GraphError, Part, Pipeline, PipelineSpec};
use crate::config::{self, Document, Format as PipelineFormat};
use crate::error::{Error, ErrorKind, Result};

const READ: &str = "Pipeline::read";
const PARSE: &str = "Pipeline::parse";

impl Pipeline {
    /// Reads a pipeline from a file of at most one mebibyte, in the format of its extension.
    ///
    /// # Errors
    /// As [`Pipeline::parse`], and what the file system refuses.
    pub fn read(path: impl AsRef<Path>, components: &Components) -> Result<Self> {
        let path = path.as_ref();
        let text = config::read(READ, path)?;
        parse(READ, &path.display().to_string(), &text, PipelineFormat::of(path), components)
    }

    /// Reads a pipeline from a text: how registered components are wired.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] with the context `file`, `line`, `column`, `field` and, within a step, its `id`; the same for
    /// wires that do not fit. [`ErrorKind::LimitExceeded`] for what is too long.
    ///
    /// ```
    /// use mlops_core::hash::Digest;
    /// use mlops_core::id::{ComponentName, ComponentVersion, PortName};
    /// use mlops_core::pipeline::{Component, Components, ParamSpec, Pipeline, PipelineFormat, PortType};
    ///
    /// let (rows, depth) = (PortName::new("rows")?, PortName::new("depth")?);
    /// let train = Component::new(ComponentName::new("train")?, ComponentVersion::new("1")?, Digest::of(b"code"))
    ///     .with_input(rows, PortType::UriFile)
    ///     .with_parameter(depth, ParamSpec::integer(Some(1), Some(32)));
    /// let components = Components::new().with_described(train)?;
    ///
    /// let text = r#"
    /// name = "diabetes"
    /// inputs.raw = "uri_file"
    ///
    /// [[steps]]
    /// id = "train"
    /// component = "train:1"
    /// inputs.rows = "${{parent.inputs.raw}}"
    /// parameters.depth = 64
    /// retry = { attempts = 3, base = "1s" }
    /// "#;
    /// let error = Pipeline::parse(text, PipelineFormat::Toml, &components).unwrap_err();
    /// assert_eq!(error.context("line"), Some("9"));
    /// assert!(error.to_string().contains("parameter `depth`: must be at most 32, got 64"));
    /// let good = text.replace("64", "8");
    /// assert_eq!(Pipeline::parse(&good, PipelineFormat::Toml, &components)?.steps().len(), 1);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn parse(text: &str, format: PipelineFormat, components: &Components) -> Result<Self> {
        parse(PARSE, "text", text, format, components)
    }
}

fn parse(
    operation: &'static str,
    file: &str,
    text: &str,
    format: PipelineFormat,
    components: &Components,
) -> Result<Pipeline> {
    let document = Document::new(operation, file, text, format)?;
    let spec: PipelineSpec = document.parse(Some("steps"))?;
    Pipeline::new(spec, components).map_err(|error| placed(&document, operation, file, &error))
}

/// The error, with the place of what it is about.
fn placed(document: &Document<'_>, operation: &'static str, file: &str, error: &GraphError) -> Error {
    if Error::from(error.clone()).kind() == ErrorKind::LimitExceeded {
        return Error::new(ErrorKind::LimitExceeded, operation, error.to_string()).with("file", file);
    }
    let path: Vec<&str> = match &error.part {
        Part::Id => vec!["id"],
        Part::Component => vec!["component"],
        Part::Input(name) => vec!["inputs", name.as_str()],
        Part::Parameter(name) => vec!["parameters", name.as_str()],
        Part::Secret(name) => vec!["secrets", name.as_str()],
        Part::Asset(name) => vec!["assets", name.as_str()],
        Part::After => vec!["after"],
        Part::If => vec!["if"],
        Part::Retry => vec!["retry"],
        Part::Timeout => vec!["timeout"],
        Part::Pipeline => Vec::new(),
    };
    let field = if path.is_empty() { "steps".to_owned() } else { path.join(".") };
    let offset = match &error.step {
        Some((number, _)) => document.offset_within("steps", *number, &path),
        None => document.offset(&path),
    };
    let placed = document.error(&field, offset, error.to_string());
    match &error.step {
        Some((_, name)) => placed.with("id", name),
        None => placed,
    }
}
