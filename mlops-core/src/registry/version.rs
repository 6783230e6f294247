//! Model versions.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::experiment::DataInput;
use crate::hash::Digest;
use crate::id::{
    ActorId, IdempotencyKey, MetricKey, ModelName, RunId, TagKey, Tags, Version, VersionSpec, check_tags,
    check_text,
};
use crate::model::{ModelFormat, Signature};
use crate::time::Timestamp;

/// A model version to register.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewModelVersion {
    /// Makes a repeated registration the same registration.
    pub key: IdempotencyKey,
    /// The model; every registration under it makes the next version.
    pub model: ModelName,
    /// The digest of its content in the artifact store.
    pub artifact: Digest,
    /// The format of that content.
    pub format: ModelFormat,
    /// What it takes and answers.
    pub signature: Signature,
    /// The run that made it.
    pub run: Option<RunId>,
    /// The data it was trained, validated and tested on.
    pub data: Vec<DataInput>,
    /// What it scored; finite numbers.
    pub metrics: BTreeMap<MetricKey, f64>,
    /// What it is, for people.
    pub description: String,
    /// Tags, which may change later.
    pub tags: Tags,
    /// Who registers it.
    pub actor: ActorId,
}

impl NewModelVersion {
    /// With a tag.
    #[must_use]
    pub fn with_tag(mut self, key: TagKey, value: impl Into<String>) -> Self {
        self.tags.insert(key, value.into());
        self
    }

    /// A version with nothing but its content.
    pub fn new(
        model: ModelName,
        artifact: Digest,
        format: ModelFormat,
        signature: Signature,
        actor: ActorId,
    ) -> Self {
        Self {
            key: IdempotencyKey::generate(),
            model,
            artifact,
            format,
            signature,
            run: None,
            data: Vec::new(),
            metrics: BTreeMap::new(),
            description: String::new(),
            tags: Tags::new(),
            actor,
        }
    }

    /// States the run that made it.
    #[must_use]
    pub fn with_run(mut self, run: RunId) -> Self {
        self.run = Some(run);
        self
    }

    /// Adds data that went into it.
    #[must_use]
    pub fn with_data(mut self, input: DataInput) -> Self {
        self.data.push(input);
        self
    }

    /// Adds what it scored.
    #[must_use]
    pub fn with_metric(mut self, key: MetricKey, value: f64) -> Self {
        self.metrics.insert(key, value);
        self
    }

    /// Sets the description.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Sets the key that makes a repeated call the same call.
    #[must_use]
    pub fn with_key(mut self, key: IdempotencyKey) -> Self {
        self.key = key;
        self
    }

    /// Checks text, tags and metrics; backends call this first.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded), or
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a metric that is not finite.
    pub fn check(&self) -> Result<()> {
        const OP: &str = "ModelRegistry::register";
        check_text(OP, "the description", &self.description)?;
        check_tags(OP, &self.tags)?;
        match self.metrics.iter().find(|(_, v)| !v.is_finite()) {
            Some((key, value)) => Err(Error::invalid(OP, "metrics", format!("{value} is not finite"))
                .with("model", &self.model)
                .with("metric", key)),
            None => Ok(()),
        }
    }
}

/// A registered model version; nothing in it changes but tags and `archived`.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelVersion {
    /// What was registered; its `tags` are the current ones.
    #[serde(flatten)]
    pub spec: NewModelVersion,
    /// The version it was given.
    pub version: Version,
    /// When, by the registry's clock.
    pub created_at: Timestamp,
    /// Hidden from [`VersionSpec::Latest`]; still readable.
    pub archived: bool,
}

impl ModelVersion {
    /// A version as the registry keeps it; for backends.
    pub fn new(spec: NewModelVersion, version: Version, created_at: Timestamp) -> Self {
        Self { spec, version, created_at, archived: false }
    }

    /// The reference to exactly this version.
    pub fn reference(&self) -> ModelRef {
        ModelRef { model: self.spec.model.clone(), version: self.version.into() }
    }
}

/// A model by name and version, alias, digest, or what an alias was at a time.
///
/// ```
/// use mlops_core::registry::ModelRef;
/// assert_eq!("churn:@champion".parse::<ModelRef>()?.to_string(), "churn:@champion");
/// assert!("churn:@champion/../x".parse::<ModelRef>().is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ModelRef {
    /// The model.
    pub model: ModelName,
    /// Which version.
    pub version: VersionSpec,
}

impl ModelRef {
    /// A reference.
    pub fn new(model: ModelName, version: impl Into<VersionSpec>) -> Self {
        Self { model, version: version.into() }
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.model, self.version)
    }
}

impl std::str::FromStr for ModelRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (model, version) = text.split_once(':').ok_or_else(|| {
            Error::invalid("ModelRef::from_str", "reference", "expected NAME:VERSION").with("value", text)
        })?;
        Ok(Self { model: ModelName::new(model)?, version: version.parse()? })
    }
}
