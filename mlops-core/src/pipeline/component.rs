//! Components: what a step can do, as its types say.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::text::as_text;
use super::{ParamSpec, PortType};
use crate::error::{Error, Result};
use crate::hash::{Digest, Hasher};
use crate::id::{ComponentName, ComponentVersion, PortName};

/// The most inputs, outputs and parameters of a component, together.
pub(super) const MAX_PORTS: usize = 1_000;

/// A component by name and version, written `name:version`.
///
/// ```
/// use mlops_core::pipeline::ComponentRef;
/// let train: ComponentRef = "train:1.0".parse()?;
/// assert_eq!((train.name.as_str(), train.version.as_str()), ("train", "1.0"));
/// assert!("train".parse::<ComponentRef>().is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentRef {
    /// The name.
    pub name: ComponentName,
    /// The version.
    pub version: ComponentVersion,
}

impl fmt::Display for ComponentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.version)
    }
}

impl FromStr for ComponentRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, version) = text.split_once(':').ok_or_else(|| {
            Error::invalid("ComponentRef::from_str", "component", "must be name:version").with("value", text)
        })?;
        Ok(Self { name: ComponentName::new(name)?, version: ComponentVersion::new(version)? })
    }
}

as_text!(ComponentRef);

/// An input of a component.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// The type of the data.
    pub r#type: PortType,
    /// Whether it may be left out.
    #[serde(default)]
    pub optional: bool,
}

/// What a step can do: its inputs, outputs and parameters, and the code that does it.
///
/// `code` is the digest of that code: where it changes, what was made before is not used again. Take that of a
/// [source set](source_digest), of a git tree, of a container image, of an executable.
///
/// ```
/// use mlops_core::id::{ComponentName, ComponentVersion, PortName};
/// use mlops_core::pipeline::{Component, ParamSpec, PortType, source_digest};
///
/// let code = source_digest([("train.rs", &b"fn train() {}"[..])]);
/// let train = Component::new(ComponentName::new("train")?, ComponentVersion::new("1")?, code)
///     .with_input(PortName::new("rows")?, PortType::UriFile)
///     .with_output(PortName::new("model")?, PortType::CustomModel)
///     .with_parameter(PortName::new("depth")?, ParamSpec::integer(Some(1), Some(32)).with_default(6));
/// train.check()?;
/// assert_eq!(train.reference().to_string(), "train:1");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ComponentWire")]
pub struct Component {
    /// The name.
    pub name: ComponentName,
    /// The version.
    pub version: ComponentVersion,
    /// The digest of its code.
    pub code: Digest,
    /// The digest of what it runs in (a lock file, an image), where that matters.
    pub environment: Option<Digest>,
    /// What goes in.
    pub inputs: BTreeMap<PortName, InputSpec>,
    /// What comes out.
    pub outputs: BTreeMap<PortName, PortType>,
    /// How it is set.
    pub parameters: BTreeMap<PortName, ParamSpec>,
    /// Whether the same inputs and parameters give the same outputs. What is not deterministic is never reused.
    pub is_deterministic: bool,
    /// Whether its code keeps [checkpoints](super::StepContext::save_checkpoint) and goes on from the last one. It is no part of
    /// keys, for outputs do not depend on it.
    #[serde(skip_serializing_if = "is_false")]
    pub keeps_checkpoints: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ComponentWire {
    name: ComponentName,
    version: ComponentVersion,
    code: Digest,
    #[serde(default)]
    environment: Option<Digest>,
    #[serde(default)]
    inputs: BTreeMap<PortName, InputSpec>,
    #[serde(default)]
    outputs: BTreeMap<PortName, PortType>,
    #[serde(default)]
    parameters: BTreeMap<PortName, ParamSpec>,
    #[serde(default = "super::yes")]
    is_deterministic: bool,
    #[serde(default)]
    keeps_checkpoints: bool,
}

impl TryFrom<ComponentWire> for Component {
    type Error = Error;

    fn try_from(wire: ComponentWire) -> Result<Self> {
        let component = Self {
            name: wire.name,
            version: wire.version,
            code: wire.code,
            environment: wire.environment,
            inputs: wire.inputs,
            outputs: wire.outputs,
            parameters: wire.parameters,
            is_deterministic: wire.is_deterministic,
            keeps_checkpoints: wire.keeps_checkpoints,
        };
        component.check()?;
        Ok(component)
    }
}

impl Component {
    /// A deterministic component without inputs, outputs and parameters.
    pub fn new(name: ComponentName, version: ComponentVersion, code: Digest) -> Self {
        Self {
            name,
            version,
            code,
            environment: None,
            inputs: BTreeMap::new(),
            outputs: BTreeMap::new(),
            parameters: BTreeMap::new(),
            is_deterministic: true,
            keeps_checkpoints: false,
        }
    }

    /// Adds an input that must be given.
    ///
    /// ```
    /// # use mlops_core::hash::Digest;
    /// # use mlops_core::id::{ComponentName, ComponentVersion, PortName};
    /// # use mlops_core::pipeline::{Component, PortType};
    /// # let fit = Component::new(ComponentName::new("fit")?, ComponentVersion::new("1")?, Digest::of(b"code"));
    /// let fit = fit.with_input(PortName::new("rows")?, PortType::UriFile);
    /// assert!(fit.inputs.values().all(|input| !input.optional));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_input(mut self, name: PortName, r#type: PortType) -> Self {
        self.inputs.insert(name, InputSpec { r#type, optional: false });
        self
    }

    /// Adds an input that may be left out.
    ///
    /// ```
    /// # use mlops_core::hash::Digest;
    /// # use mlops_core::id::{ComponentName, ComponentVersion, PortName};
    /// # use mlops_core::pipeline::{Component, PortType};
    /// # let fit = Component::new(ComponentName::new("fit")?, ComponentVersion::new("1")?, Digest::of(b"code"));
    /// let fit = fit.with_optional_input(PortName::new("weights")?, PortType::UriFile);
    /// assert!(fit.inputs.values().all(|input| input.optional));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_optional_input(mut self, name: PortName, r#type: PortType) -> Self {
        self.inputs.insert(name, InputSpec { r#type, optional: true });
        self
    }

    /// Adds an output.
    ///
    /// ```
    /// # use mlops_core::hash::Digest;
    /// # use mlops_core::id::{ComponentName, ComponentVersion, PortName};
    /// # use mlops_core::pipeline::{Component, PortType};
    /// # let fit = Component::new(ComponentName::new("fit")?, ComponentVersion::new("1")?, Digest::of(b"code"));
    /// let fit = fit.with_output(PortName::new("model")?, PortType::CustomModel);
    /// assert_eq!(fit.outputs.get("model"), Some(&PortType::CustomModel));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_output(mut self, name: PortName, r#type: PortType) -> Self {
        self.outputs.insert(name, r#type);
        self
    }

    /// Adds a parameter.
    ///
    /// ```
    /// # use mlops_core::hash::Digest;
    /// # use mlops_core::id::{ComponentName, ComponentVersion, PortName};
    /// # use mlops_core::pipeline::{Component, ParamSpec};
    /// # let fit = Component::new(ComponentName::new("fit")?, ComponentVersion::new("1")?, Digest::of(b"code"));
    /// let fit = fit.with_parameter(PortName::new("depth")?, ParamSpec::integer(Some(1), Some(32)));
    /// assert!(fit.parameters.get("depth").is_some_and(ParamSpec::is_required));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_parameter(mut self, name: PortName, spec: ParamSpec) -> Self {
        self.parameters.insert(name, spec);
        self
    }

    /// States the digest of what it runs in.
    ///
    /// ```
    /// # use mlops_core::hash::Digest;
    /// # use mlops_core::id::{ComponentName, ComponentVersion};
    /// # use mlops_core::pipeline::Component;
    /// # let fit = Component::new(ComponentName::new("fit")?, ComponentVersion::new("1")?, Digest::of(b"code"));
    /// let lock = b"smartcore 0.7.0";
    /// assert_eq!(fit.with_environment(Digest::of(lock)).environment, Some(Digest::of(lock)));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_environment(mut self, environment: Digest) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Says that the same inputs need not give the same outputs.
    ///
    /// ```
    /// # use mlops_core::hash::Digest;
    /// # use mlops_core::id::{ComponentName, ComponentVersion};
    /// # use mlops_core::pipeline::Component;
    /// # let fit = Component::new(ComponentName::new("fit")?, ComponentVersion::new("1")?, Digest::of(b"code"));
    /// assert!(fit.is_deterministic);
    /// assert!(!fit.with_is_deterministic(false).is_deterministic);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_is_deterministic(mut self, is_deterministic: bool) -> Self {
        self.is_deterministic = is_deterministic;
        self
    }

    /// Says that its code keeps checkpoints and goes on from the last one: on machines that may be taken away, no more is lost than
    /// what was done since.
    ///
    /// ```
    /// # use mlops_core::hash::Digest;
    /// # use mlops_core::id::{ComponentName, ComponentVersion};
    /// # use mlops_core::pipeline::Component;
    /// # let fit = Component::new(ComponentName::new("fit")?, ComponentVersion::new("1")?, Digest::of(b"code"));
    /// assert!(fit.with_keeps_checkpoints(true).keeps_checkpoints);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_keeps_checkpoints(mut self, keeps_checkpoints: bool) -> Self {
        self.keeps_checkpoints = keeps_checkpoints;
        self
    }

    /// Its name and version.
    pub fn reference(&self) -> ComponentRef {
        ComponentRef { name: self.name.clone(), version: self.version.clone() }
    }

    /// Refuses a name that is an input and a parameter, bad parameters, and more than 1 000 ports.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the port,
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded).
    pub fn check(&self) -> Result<()> {
        const OP: &str = "Component::check";
        let ports = self.inputs.len() + self.outputs.len() + self.parameters.len();
        if ports > MAX_PORTS {
            return Err(
                Error::limit(OP, "the number of ports", MAX_PORTS, ports).with("component", &self.name)
            );
        }
        for (name, spec) in &self.parameters {
            let fault = match spec.check() {
                Err(fault) => fault.to_string(),
                Ok(()) if self.inputs.contains_key(name) => "is an input and a parameter".to_owned(),
                Ok(()) => continue,
            };
            return Err(Error::invalid(OP, name.as_str(), fault).with("component", &self.name));
        }
        Ok(())
    }
}

/// The digest of a set of source files: of their names and contents, whatever the order. With `include_bytes!` it is that of
/// the code a program was built from.
///
/// ```
/// use mlops_core::pipeline::source_digest;
/// let one = source_digest([("a.rs", &b"1"[..]), ("b.rs", &b"2"[..])]);
/// assert_eq!(one, source_digest([("b.rs", &b"2"[..]), ("a.rs", &b"1"[..])]));
/// assert_ne!(one, source_digest([("a.rs", &b"2"[..]), ("b.rs", &b"1"[..])]));
/// ```
pub fn source_digest<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Digest {
    let mut files: Vec<_> = files.into_iter().collect();
    files.sort_unstable();
    let mut hasher = Hasher::new("mlops.source-set/v1");
    for (name, bytes) in files {
        hasher.push(name.as_bytes());
        hasher.push(bytes);
    }
    hasher.finish()
}
