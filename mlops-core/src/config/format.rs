//! In which formats files can be written.

use std::path::Path;

/// A format in which a file for people can be written: a gate, a pipeline, a schema, a search space, a policy, rules of alerts, budgets,
/// rules about cost, a questionnaire about maturity. The keys and words are the same in all.
///
/// It goes by the names [`GateFormat`](crate::evaluation::GateFormat), [`PipelineFormat`](crate::pipeline::PipelineFormat),
/// [`SchemaFormat`](crate::data::SchemaFormat), [`SpaceFormat`](crate::experiment::space::SpaceFormat),
/// [`PolicyFormat`](crate::governance::policy::PolicyFormat) and [`AlertFormat`](crate::monitor::alerting::AlertFormat) where those
/// are read, and is one type.
///
/// ```
/// use mlops_core::config::Format;
/// use mlops_core::{data::SchemaFormat, evaluation::GateFormat, pipeline::PipelineFormat};
/// let formats: [Format; 3] = [GateFormat::Toml, PipelineFormat::Json, SchemaFormat::Yaml];
/// assert_eq!(formats[0], Format::default());
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// TOML; the default.
    #[default]
    Toml,
    /// JSON.
    Json,
    /// YAML, with the feature `yaml`; without it what is YAML is refused as unsupported. For reading only.
    Yaml,
}

impl Format {
    /// The format that a file's extension speaks of, in any case: JSON of `.json`, YAML of `.yaml` and `.yml`, TOML of any
    /// other and of none.
    ///
    /// ```
    /// use mlops_core::config::Format;
    /// assert_eq!(Format::of("release.gate.yml"), Format::Yaml);
    /// assert_eq!(Format::of("patients.schema.JSON"), Format::Json);
    /// assert_eq!(Format::of("train"), Format::Toml);
    /// ```
    pub fn of(path: impl AsRef<Path>) -> Self {
        let extension = path.as_ref().extension().and_then(|e| e.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "json" => Self::Json,
            "yaml" | "yml" => Self::Yaml,
            _ => Self::Toml,
        }
    }
}
