//! Plans: what is to be made, as far as policy cares.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::kind::ResourceKind;
use crate::config::{Document, Format as PolicyFormat};
use crate::error::{Error, Result};
use crate::governance::Approval;
use crate::hash::{Digest, digest_json};
use crate::id::{ModelName, Version};

/// The most resources of a plan.
const MAX_RESOURCES: usize = 5_000;

/// How data at rest is encrypted; later is stronger.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encryption {
    /// Not at all.
    None,
    /// With a key of the platform's.
    Platform,
    /// With a key of the customer's.
    CustomerManaged,
}

/// As whom a resource acts; later is stricter.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityKind {
    /// As nobody: it needs keys.
    None,
    /// As an identity that lives and dies with it.
    SystemAssigned,
    /// As an identity of its own.
    UserAssigned,
}

/// Where a model comes from, as a statement says that was made about it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelProvenance {
    /// The digest of the statement.
    pub statement: Digest,
    /// The digest of what the statement is about; has to be the model's.
    pub subject: Digest,
    /// Who built it, as the statement says.
    pub builder: String,
}

impl ModelProvenance {
    /// What a statement says of this subject.
    pub fn new(statement: Digest, subject: Digest, builder: impl Into<String>) -> Self {
        Self { statement, subject, builder: builder.into() }
    }
}

/// The model of a deployment.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPlan {
    /// Its name.
    pub name: ModelName,
    /// Its version.
    pub version: Version,
    /// The digest of its content.
    pub artifact: Digest,
    /// The registry it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<ModelProvenance>,
}

impl ModelPlan {
    /// A version of a model; where it comes from is not known.
    pub fn new(name: ModelName, version: Version, artifact: Digest) -> Self {
        Self { name, version, artifact, registry: None, provenance: None }
    }

    /// From this registry.
    #[must_use]
    pub fn with_registry(mut self, registry: impl Into<String>) -> Self {
        self.registry = Some(registry.into());
        self
    }

    /// With this statement of where it comes from.
    #[must_use]
    pub fn with_provenance(mut self, provenance: impl Into<Option<ModelProvenance>>) -> Self {
        self.provenance = provenance.into();
        self
    }
}

/// One resource of a plan. What is `None` is not stated, and satisfies no rule that asks for it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedResource {
    /// Its name, by which exemptions and verdicts know it.
    pub name: String,
    /// What it is.
    pub kind: ResourceKind,
    /// Its region: `westeurope` or `West Europe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Its size or tier: `Standard_DS3_v2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<String>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// How data at rest is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// Whether it can be reached from the internet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_access: Option<bool>,
    /// Whether keys and passwords of its own are accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_auth: Option<bool>,
    /// Whether it is reached through a private endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_link: Option<bool>,
    /// Whether it stands in a virtual network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_network: Option<bool>,
    /// The fewest nodes or instances it keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_nodes: Option<u32>,
    /// After how long without work it stops or gives its nodes back.
    #[serde(default, with = "crate::time::duration_text::option", skip_serializing_if = "Option::is_none")]
    pub idle_shutdown: Option<Duration>,
    /// As whom it acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentityKind>,
    /// The model it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelPlan>,
    /// Approvals of [exactly this resource](PlannedResource::digest).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approval>,
}

impl PlannedResource {
    /// In this region.
    #[must_use]
    pub fn with_region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Of this size or tier.
    #[must_use]
    pub fn with_sku(mut self, sku: impl Into<String>) -> Self {
        self.sku = Some(sku.into());
        self
    }

    /// With these tags.
    #[must_use]
    pub fn with_tags(mut self, tags: BTreeMap<String, String>) -> Self {
        self.tags = tags;
        self
    }

    /// With data at rest encrypted like this.
    #[must_use]
    pub fn with_encryption(mut self, encryption: impl Into<Option<Encryption>>) -> Self {
        self.encryption = encryption.into();
        self
    }

    /// That can be reached from the internet, or cannot.
    #[must_use]
    pub fn with_public_access(mut self, public_access: impl Into<Option<bool>>) -> Self {
        self.public_access = public_access.into();
        self
    }

    /// With keys and passwords of its own accepted, or not.
    #[must_use]
    pub fn with_local_auth(mut self, local_auth: impl Into<Option<bool>>) -> Self {
        self.local_auth = local_auth.into();
        self
    }

    /// Reached through a private endpoint, or not.
    #[must_use]
    pub fn with_private_link(mut self, private_link: impl Into<Option<bool>>) -> Self {
        self.private_link = private_link.into();
        self
    }

    /// In a virtual network, or not.
    #[must_use]
    pub fn with_virtual_network(mut self, virtual_network: impl Into<Option<bool>>) -> Self {
        self.virtual_network = virtual_network.into();
        self
    }

    /// With at least so many nodes or instances.
    #[must_use]
    pub fn with_min_nodes(mut self, min_nodes: impl Into<Option<u32>>) -> Self {
        self.min_nodes = min_nodes.into();
        self
    }

    /// That stops, or gives nodes back, after so long without work.
    #[must_use]
    pub fn with_idle_shutdown(mut self, idle_shutdown: impl Into<Option<Duration>>) -> Self {
        self.idle_shutdown = idle_shutdown.into();
        self
    }

    /// Acting as this.
    #[must_use]
    pub fn with_identity(mut self, identity: impl Into<Option<IdentityKind>>) -> Self {
        self.identity = identity.into();
        self
    }

    /// Serving this model.
    #[must_use]
    pub fn with_model(mut self, model: impl Into<Option<ModelPlan>>) -> Self {
        self.model = model.into();
        self
    }

    /// With these approvals of [exactly this resource](PlannedResource::digest).
    #[must_use]
    pub fn with_approvals(mut self, approvals: Vec<Approval>) -> Self {
        self.approvals = approvals;
        self
    }

    /// A resource of which nothing but name and kind is stated.
    pub fn new(name: impl Into<String>, kind: ResourceKind) -> Self {
        Self {
            name: name.into(),
            kind,
            region: None,
            sku: None,
            tags: BTreeMap::new(),
            encryption: None,
            public_access: None,
            local_auth: None,
            private_link: None,
            virtual_network: None,
            min_nodes: None,
            idle_shutdown: None,
            identity: None,
            model: None,
            approvals: Vec::new(),
        }
    }

    /// The digest that approvals have to be bound to: of everything but the approvals. Whoever changes the resource has to ask
    /// again.
    ///
    /// # Errors
    /// As [`canonical_json`](crate::hash::canonical_json), never for what is in range.
    ///
    /// ```
    /// use mlops_core::governance::policy::{PlannedResource, ResourceKind};
    /// let mut plan = PlannedResource::new("blue", ResourceKind::OnlineDeployment);
    /// let before = plan.digest()?;
    /// plan.min_nodes = Some(3);
    /// assert_ne!(plan.digest()?, before);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn digest(&self) -> Result<Digest> {
        digest_json(&Self { approvals: Vec::new(), ..self.clone() })
    }
}

/// What is to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ResourcePlan {
    resources: Vec<PlannedResource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanFile {
    #[serde(default)]
    resources: Vec<PlannedResource>,
}

impl ResourcePlan {
    /// A plan built in code.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the resource: no name, or a name that comes twice
    /// for one kind; [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more than 5000 resources.
    ///
    /// ```
    /// use mlops_core::governance::policy::{PlannedResource, ResourceKind, ResourcePlan};
    /// let vault = PlannedResource::new("kv-churn", ResourceKind::KeyVault);
    /// assert!(ResourcePlan::new(vec![vault.clone()]).is_ok());
    /// assert!(ResourcePlan::new(vec![vault.clone(), vault]).is_err());
    /// ```
    pub fn new(resources: Vec<PlannedResource>) -> Result<Self> {
        const OP: &str = "ResourcePlan::new";
        if resources.len() > MAX_RESOURCES {
            return Err(Error::limit(OP, "the number of resources", MAX_RESOURCES, resources.len()));
        }
        match fault(&resources) {
            Some((index, message)) => {
                let name = resources.get(index).map_or("", |r| r.name.as_str());
                Err(Error::invalid(OP, "name", message).with("resource", name).with("index", index))
            }
            None => Ok(Self { resources }),
        }
    }

    /// Reads a plan from a text: a table `[[resources]]` for each resource.
    ///
    /// # Errors
    /// As [`ResourcePlan::new`], and for an unknown key or word, a value of another type, with `line` and `column`.
    ///
    /// ```
    /// use mlops_core::governance::policy::{PolicyFormat, ResourcePlan};
    /// let text = "[[resources]]\nname = \"kv-churn-prod-weu-001\"\nkind = \"key_vault\"\nregion = \"westeurope\"";
    /// assert_eq!(ResourcePlan::parse(text, PolicyFormat::Toml)?.resources().len(), 1);
    /// let error = ResourcePlan::parse(&text.replace("region", "regoin"), PolicyFormat::Toml).unwrap_err();
    /// assert_eq!(error.message(), "unknown key `regoin`; did you mean `region`?");
    /// assert_eq!(error.context("line"), Some("4"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn parse(text: &str, format: PolicyFormat) -> Result<Self> {
        Self::load("ResourcePlan::parse", "(text)", text, format)
    }

    /// Reads a plan from a file of at most one mebibyte, in the format of its extension.
    ///
    /// # Errors
    /// As [`ResourcePlan::parse`], and what the file system refuses.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        const OP: &str = "ResourcePlan::read";
        let path = path.as_ref();
        let text = crate::config::read(OP, path)?;
        Self::load(OP, &path.display().to_string(), &text, PolicyFormat::of(path))
    }

    fn load(operation: &'static str, name: &str, text: &str, format: PolicyFormat) -> Result<Self> {
        let document = Document::new(operation, name, text, format)?;
        let PlanFile { resources } = document.parse(Some("resources"))?;
        if resources.len() > MAX_RESOURCES {
            return Err(Error::limit(operation, "the number of resources", MAX_RESOURCES, resources.len()));
        }
        match fault(&resources) {
            Some((index, message)) => {
                Err(document.error("name", document.offset_in("resources", index, "name"), message))
            }
            None => Ok(Self { resources }),
        }
    }

    /// The resources, in the order of the file.
    pub fn resources(&self) -> &[PlannedResource] {
        &self.resources
    }

    /// The digest of the plan: of its canonical JSON.
    ///
    /// # Errors
    /// As [`canonical_json`](crate::hash::canonical_json).
    pub fn digest(&self) -> Result<Digest> {
        digest_json(self)
    }
}

/// The first resource that is wrong, and why.
fn fault(resources: &[PlannedResource]) -> Option<(usize, &'static str)> {
    let mut seen = BTreeSet::new();
    resources.iter().enumerate().find_map(|(index, resource)| {
        if resource.name.trim().is_empty() {
            return Some((index, "must not be empty"));
        }
        // Azure compares names of resources without regard to case.
        let again = !seen.insert((resource.kind, resource.name.to_lowercase()));
        again.then_some((index, "another resource of this kind has the name"))
    })
}
