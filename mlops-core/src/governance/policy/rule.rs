//! Rules: what is checked, on which kinds of resources, and what a violation leads to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::kind::ResourceKind;
use super::plan::{Encryption, IdentityKind};

/// What a violation leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyMode {
    /// It is noted.
    Audit,
    /// Somebody is told.
    Warn,
    /// The plan is refused; the default.
    #[default]
    Deny,
}

impl fmt::Display for PolicyMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Audit => "audit",
            Self::Warn => "warn",
            Self::Deny => "deny",
        })
    }
}

/// What a rule checks. The keys it takes are those of [`PolicyRule`] named here.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Tags `names` are there and not blank, and those in `values` have one of the values given. Names are compared without
    /// regard to case, values with it, as Azure does.
    RequiredTags,
    /// At most 50 tags, names and values as Azure takes them, no two names that differ by case only.
    ValidTags,
    /// The name follows `<abbreviation>-<workload>-<environment>-<region>-<instance>`, with `environments` and `regions` the
    /// words allowed; without hyphens where the kind allows none.
    Naming,
    /// The name is one that Azure takes for this kind.
    ValidName,
    /// The region is one of `regions`, compared as Azure does: `West Europe` is `westeurope`.
    AllowedRegions,
    /// The size is one of `skus`, without regard to case; a `*` at the end of one takes any ending.
    AllowedSkus,
    /// Data at rest is encrypted `at_least` so.
    Encryption,
    /// Not reachable from the internet.
    NoPublicAccess,
    /// No keys and passwords of its own.
    NoLocalAuth,
    /// Reached through a private endpoint.
    PrivateLink,
    /// Stands in a virtual network.
    VirtualNetwork,
    /// Keeps no node while there is no work.
    ScaleToZero,
    /// Stops after at most `max` without work.
    IdleShutdown,
    /// Acts as an identity, `identity` or a stricter one.
    Identity,
    /// The model comes from one of `registries`.
    ModelRegistry,
    /// There is a statement of provenance about exactly this model, by one of `builders` where they are given.
    ModelProvenance,
    /// At least `count` (1 if not given) people approved exactly this resource, none of them who asked, and the approvals count
    /// today.
    Approvals,
}

/// Keys a check cannot do without, keys it takes, and the kinds it is about (none for all).
pub(super) struct Shape {
    pub(super) required: &'static [&'static str],
    pub(super) optional: &'static [&'static str],
    pub(super) kinds: &'static [ResourceKind],
}

const NETWORKED: &[ResourceKind] = &[
    ResourceKind::Workspace,
    ResourceKind::Hub,
    ResourceKind::Project,
    ResourceKind::StorageAccount,
    ResourceKind::KeyVault,
    ResourceKind::ContainerRegistry,
    ResourceKind::KubernetesCluster,
    ResourceKind::FunctionApp,
    ResourceKind::LogicApp,
    ResourceKind::ComputeCluster,
    ResourceKind::ComputeInstance,
    ResourceKind::OnlineEndpoint,
    ResourceKind::BatchEndpoint,
];
const ENCRYPTED: &[ResourceKind] = &[
    ResourceKind::Workspace,
    ResourceKind::Hub,
    ResourceKind::Project,
    ResourceKind::StorageAccount,
    ResourceKind::KeyVault,
    ResourceKind::ContainerRegistry,
    ResourceKind::LogAnalytics,
];
const SIZED: &[ResourceKind] = &[
    ResourceKind::StorageAccount,
    ResourceKind::KeyVault,
    ResourceKind::LogAnalytics,
    ResourceKind::ContainerRegistry,
    ResourceKind::KubernetesCluster,
    ResourceKind::FunctionApp,
    ResourceKind::ComputeCluster,
    ResourceKind::ComputeInstance,
    ResourceKind::OnlineDeployment,
];
const NETWORK_OF: &[ResourceKind] = &[
    ResourceKind::KubernetesCluster,
    ResourceKind::FunctionApp,
    ResourceKind::ComputeCluster,
    ResourceKind::ComputeInstance,
];
const AUTHENTICATED: &[ResourceKind] = &[
    ResourceKind::Workspace,
    ResourceKind::StorageAccount,
    ResourceKind::ContainerRegistry,
    ResourceKind::ComputeCluster,
    ResourceKind::ComputeInstance,
    ResourceKind::OnlineEndpoint,
    ResourceKind::BatchEndpoint,
];
const ACTING: &[ResourceKind] = &[
    ResourceKind::Workspace,
    ResourceKind::Hub,
    ResourceKind::Project,
    ResourceKind::ContainerRegistry,
    ResourceKind::KubernetesCluster,
    ResourceKind::FunctionApp,
    ResourceKind::LogicApp,
    ResourceKind::ComputeCluster,
    ResourceKind::ComputeInstance,
    ResourceKind::OnlineEndpoint,
    ResourceKind::BatchEndpoint,
];

impl Check {
    /// All checks.
    pub const ALL: [Self; 17] = [
        Self::RequiredTags,
        Self::ValidTags,
        Self::Naming,
        Self::ValidName,
        Self::AllowedRegions,
        Self::AllowedSkus,
        Self::Encryption,
        Self::NoPublicAccess,
        Self::NoLocalAuth,
        Self::PrivateLink,
        Self::VirtualNetwork,
        Self::ScaleToZero,
        Self::IdleShutdown,
        Self::Identity,
        Self::ModelRegistry,
        Self::ModelProvenance,
        Self::Approvals,
    ];

    /// The word for it in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequiredTags => "required_tags",
            Self::ValidTags => "valid_tags",
            Self::Naming => "naming",
            Self::ValidName => "valid_name",
            Self::AllowedRegions => "allowed_regions",
            Self::AllowedSkus => "allowed_skus",
            Self::Encryption => "encryption",
            Self::NoPublicAccess => "no_public_access",
            Self::NoLocalAuth => "no_local_auth",
            Self::PrivateLink => "private_link",
            Self::VirtualNetwork => "virtual_network",
            Self::ScaleToZero => "scale_to_zero",
            Self::IdleShutdown => "idle_shutdown",
            Self::Identity => "identity",
            Self::ModelRegistry => "model_registry",
            Self::ModelProvenance => "model_provenance",
            Self::Approvals => "approvals",
        }
    }

    /// The id of Azure's built-in policy definition that asks for the same of a kind, where there is one: what is found here
    /// before deployment is what Azure Policy would find after it.
    ///
    /// ```
    /// use mlops_core::governance::policy::{Check, ResourceKind};
    /// let id = Check::IdleShutdown.azure_policy(ResourceKind::ComputeInstance);
    /// assert_eq!(id, Some("679ddf89-ab8f-48a5-9029-e76054077449"));
    /// assert_eq!(Check::IdleShutdown.azure_policy(ResourceKind::ComputeCluster), None);
    /// ```
    pub const fn azure_policy(self, kind: ResourceKind) -> Option<&'static str> {
        use ResourceKind::{ComputeCluster, ComputeInstance, OnlineDeployment, Workspace};
        Some(match (self, kind) {
            (Self::IdleShutdown, ComputeInstance) => "679ddf89-ab8f-48a5-9029-e76054077449",
            (Self::VirtualNetwork, ComputeCluster | ComputeInstance) => {
                "7804b5c7-01dc-4723-969b-ae300cc07ff1"
            }
            (Self::NoLocalAuth, ComputeCluster | ComputeInstance) => "e96a9a5f-07ca-471b-9bc5-6a0f33cbd68f",
            (Self::Encryption, Workspace) => "ba769a63-b8cc-4b2d-abf6-ac33c7204be8",
            (Self::NoPublicAccess, Workspace) => "438c38d2-3772-465a-a9cc-7a6666a275ce",
            (Self::PrivateLink, Workspace) => "45e05259-1eb5-4f70-9574-baf73e9d219b",
            (Self::Identity, Workspace) => "5f0c7d88-c7de-45b8-ac49-db49e72eaa78",
            (Self::ModelRegistry, OnlineDeployment) => "12e5dd16-d201-47ff-849b-8454061c293d",
            _ => return None,
        })
    }

    pub(super) const fn shape(self) -> Shape {
        use ResourceKind as K;
        let (required, optional, kinds): (&[&str], &[&str], &[K]) = match self {
            Self::RequiredTags => (&[], &["names", "values"], &[]),
            Self::ValidTags | Self::ValidName => (&[], &[], &[]),
            Self::Naming => (&["environments", "regions"], &[], &[]),
            Self::AllowedRegions => (&["regions"], &[], &[]),
            Self::AllowedSkus => (&["skus"], &[], SIZED),
            Self::Encryption => (&["at_least"], &[], ENCRYPTED),
            Self::NoPublicAccess | Self::PrivateLink => (&[], &[], NETWORKED),
            Self::NoLocalAuth => (&[], &[], AUTHENTICATED),
            Self::VirtualNetwork => (&[], &[], NETWORK_OF),
            Self::ScaleToZero => (&[], &[], &[K::ComputeCluster]),
            Self::IdleShutdown => (&["max"], &[], &[K::ComputeCluster, K::ComputeInstance]),
            Self::Identity => (&["identity"], &[], ACTING),
            Self::ModelRegistry => (&["registries"], &[], &[K::OnlineDeployment]),
            Self::ModelProvenance => (&[], &["builders"], &[K::OnlineDeployment]),
            Self::Approvals => (&[], &["count"], &[]),
        };
        Shape { required, optional, kinds }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One rule of a policy.
///
/// ```
/// use mlops_core::governance::policy::{Check, PolicyMode, PolicyRule, ResourceKind};
/// let rule = PolicyRule::new("private", Check::NoPublicAccess)
///     .with_mode(PolicyMode::Warn)
///     .with_kinds([ResourceKind::Workspace]);
/// assert_eq!(rule.mode, PolicyMode::Warn);
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRule {
    /// Its id, by which verdicts and exemptions name it.
    pub id: String,
    /// What it checks.
    pub check: Check,
    /// What a violation leads to; `deny` if not given.
    #[serde(default)]
    pub mode: PolicyMode,
    /// The kinds it is held against; if not given, all that the check is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<ResourceKind>,
    /// Names of tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Values allowed of tags, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, Vec<String>>,
    /// Words for environments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<String>,
    /// Regions, or words for them in names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// Sizes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skus: Vec<String>,
    /// The weakest encryption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Encryption>,
    /// The longest time without work.
    #[serde(default, with = "crate::time::duration_text::option", skip_serializing_if = "Option::is_none")]
    pub max: Option<Duration>,
    /// The weakest identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentityKind>,
    /// Registries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registries: Vec<String>,
    /// Builders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub builders: Vec<String>,
    /// How many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

impl PolicyRule {
    /// A rule that denies, of a check without keys; set the public fields for those that take some.
    pub fn new(id: impl Into<String>, check: Check) -> Self {
        Self {
            id: id.into(),
            check,
            mode: PolicyMode::default(),
            kinds: Vec::new(),
            names: Vec::new(),
            values: BTreeMap::new(),
            environments: Vec::new(),
            regions: Vec::new(),
            skus: Vec::new(),
            at_least: None,
            max: None,
            identity: None,
            registries: Vec::new(),
            builders: Vec::new(),
            count: None,
        }
    }

    /// Sets what a violation leads to.
    #[must_use]
    pub fn with_mode(mut self, mode: PolicyMode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets the kinds it is held against.
    #[must_use]
    pub fn with_kinds(mut self, kinds: impl IntoIterator<Item = ResourceKind>) -> Self {
        self.kinds = kinds.into_iter().collect();
        self
    }

    /// Whether it is held against a kind.
    pub fn applies_to(&self, kind: ResourceKind) -> bool {
        let about = self.check.shape().kinds;
        (about.is_empty() || about.contains(&kind)) && (self.kinds.is_empty() || self.kinds.contains(&kind))
    }

    /// The first key that is wrong, and why.
    pub(super) fn fault(&self) -> Option<(&'static str, String)> {
        let given = [
            ("names", !self.names.is_empty()),
            ("values", !self.values.is_empty()),
            ("environments", !self.environments.is_empty()),
            ("regions", !self.regions.is_empty()),
            ("skus", !self.skus.is_empty()),
            ("at_least", self.at_least.is_some()),
            ("max", self.max.is_some()),
            ("identity", self.identity.is_some()),
            ("registries", !self.registries.is_empty()),
            ("builders", !self.builders.is_empty()),
            ("count", self.count.is_some()),
        ];
        let Shape { required, optional, kinds } = self.check.shape();
        for (key, there) in given {
            if there && !required.contains(&key) && !optional.contains(&key) {
                return Some((key, format!("`{}` does not take `{key}`", self.check)));
            }
            if !there && required.contains(&key) {
                return Some((key, format!("`{}` needs `{key}`", self.check)));
            }
        }
        if let Some(kind) = self.kinds.iter().find(|k| !kinds.is_empty() && !kinds.contains(k)) {
            return Some(("kinds", format!("`{}` says nothing about `{kind}`", self.check)));
        }
        self.fault_of_words()
    }

    fn fault_of_words(&self) -> Option<(&'static str, String)> {
        let lists = [
            ("names", &self.names),
            ("environments", &self.environments),
            ("regions", &self.regions),
            ("skus", &self.skus),
            ("registries", &self.registries),
            ("builders", &self.builders),
        ];
        for (key, list) in lists {
            if list.iter().any(|word| word.trim().is_empty()) {
                return Some((key, "has a blank word".to_owned()));
            }
        }
        match self.check {
            Check::RequiredTags if self.names.is_empty() && self.values.is_empty() => {
                Some(("names", "`required_tags` needs `names` or `values`".to_owned()))
            }
            Check::RequiredTags if self.values.values().any(Vec::is_empty) => {
                Some(("values", "a tag that may have no value can never be right".to_owned()))
            }
            Check::Naming => {
                let good = |w: &String| w.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
                let bad = |list: &[String]| list.iter().find(|w| !good(w)).cloned();
                if let Some(word) = bad(&self.environments) {
                    return Some((
                        "environments",
                        format!("`{word}` is not in lower-case letters and digits"),
                    ));
                }
                let word = bad(&self.regions)?;
                Some(("regions", format!("`{word}` is not in lower-case letters and digits")))
            }
            Check::Encryption if self.at_least == Some(Encryption::None) => {
                Some(("at_least", "`none` asks for nothing".to_owned()))
            }
            Check::Identity if self.identity == Some(IdentityKind::None) => {
                Some(("identity", "`none` asks for nothing".to_owned()))
            }
            Check::IdleShutdown if self.max == Some(Duration::ZERO) => {
                Some(("max", "must be longer than nothing".to_owned()))
            }
            Check::Approvals if self.count == Some(0) => Some(("count", "must be at least 1".to_owned())),
            _ => None,
        }
    }
}
