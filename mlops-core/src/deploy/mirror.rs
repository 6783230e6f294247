//! Mirrored traffic: a share of the requests that a shadow is asked too.

use serde::{Deserialize, Serialize};

use crate::hash::Hasher;
use crate::id::{ActorId, DeploymentName, EndpointName, IdempotencyKey, Percent};

/// A shadow: a deployment that is asked what others answer, so that it is seen at work before anybody depends on it.
///
/// Its answers go nowhere; only its own counts tell that it was asked. A request that names a deployment itself is not mirrored, nor
/// is one that the shadow answers anyhow.
///
/// ```
/// use mlops_core::Percent;
/// use mlops_core::deploy::Mirror;
/// let mirror = Mirror::new("green".parse()?, Percent::new(20).unwrap_or(Percent::ALL));
/// assert_eq!(mirror.to_string(), "20 % to green");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// The shadow.
    pub deployment: DeploymentName,
    /// The share of requests; the same requests at every instance of the endpoint, and more of them when it is raised.
    pub share: Percent,
}

impl Mirror {
    /// How many requests a server lets wait for the shadow; more are not mirrored.
    pub const MAX_WAITING: usize = 256;

    /// A shadow of a share of the requests.
    pub fn new(deployment: DeploymentName, share: Percent) -> Self {
        Self { deployment, share }
    }

    /// Whether a request with this routing key is mirrored.
    ///
    /// The key is hashed into one of 10 000 buckets of the shadow's own: who meets the shadow has nothing to do with who meets which
    /// deployment by [`TrafficSplit::route`](super::TrafficSplit::route).
    ///
    /// ```
    /// use mlops_core::Percent;
    /// use mlops_core::deploy::Mirror;
    /// let all = Mirror::new("green".parse()?, Percent::ALL);
    /// let none = Mirror::new("green".parse()?, Percent::ZERO);
    /// assert!(all.takes("user-7") && !none.takes("user-7"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn takes(&self, key: &str) -> bool {
        let digest = Hasher::new("mlops.mirror/v1").field(self.deployment.as_str()).field(key).finish();
        let mut head = [0; 8];
        head.copy_from_slice(&digest.as_bytes()[..8]);
        u64::from_le_bytes(head) % 10_000 < u64::from(self.share.get()) * 100
    }
}

impl std::fmt::Display for Mirror {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}", self.share, self.deployment)
    }
}

/// A change of an endpoint's mirror.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MirrorChange {
    /// Makes a repeated change the same change. Keys are shared with changes of traffic.
    pub key: IdempotencyKey,
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The shadow; `None` takes the one that is there away.
    pub mirror: Option<Mirror>,
    /// The revision the endpoint must have now; `None` takes any.
    pub expected: Option<u64>,
    /// Who.
    pub actor: ActorId,
}

impl MirrorChange {
    /// This shadow, or none, for an endpoint of any revision, under a new key.
    ///
    /// ```
    /// use mlops_core::deploy::MirrorChange;
    /// use mlops_core::{ActorId, EndpointName};
    ///
    /// let away =
    ///     MirrorChange::new(EndpointName::new("churn")?, None, ActorId::new("release-bot")?).expecting(7);
    /// assert_eq!((away.mirror, away.expected), (None, Some(7)));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn new(endpoint: EndpointName, mirror: impl Into<Option<Mirror>>, actor: ActorId) -> Self {
        Self { key: IdempotencyKey::generate(), endpoint, mirror: mirror.into(), expected: None, actor }
    }

    /// With this shadow, or none.
    #[must_use]
    pub fn with_mirror(mut self, mirror: impl Into<Option<Mirror>>) -> Self {
        self.mirror = mirror.into();
        self
    }

    /// With this key, that of an earlier try.
    #[must_use]
    pub fn with_key(mut self, key: IdempotencyKey) -> Self {
        self.key = key;
        self
    }

    /// Only if the endpoint has this revision; `None` takes any.
    #[must_use]
    pub fn expecting(mut self, revision: impl Into<Option<u64>>) -> Self {
        self.expected = revision.into();
        self
    }
}
