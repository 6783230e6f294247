//! How an endpoint's traffic is split: whole per cent that always sum to 100.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use super::Sticky;
use crate::error::{Error, Result};
use crate::hash::Hasher;
use crate::id::{DeploymentName, EndpointName, Percent};

/// Shares of traffic by deployment. They sum to 100, or there are none and the endpoint answers nobody.
///
/// A split may say what keeps callers at their deployment: [`with_sticky`](Self::with_sticky). Two splits with the same shares that
/// say it differently are different.
///
/// ```
/// use mlops_core::deploy::TrafficSplit;
/// use mlops_core::{DeploymentName, Percent};
///
/// let (blue, green) = (DeploymentName::new("blue")?, DeploymentName::new("green")?);
/// let split = TrafficSplit::canary(blue.clone(), green.clone(), Percent::new(10).unwrap())?;
/// assert_eq!(split.share(&blue).get() + split.share(&green).get(), 100);
/// assert_eq!(split.to_string(), "blue 90 %, green 10 %");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TrafficSplit {
    shares: BTreeMap<DeploymentName, Percent>,
    sticky: Option<Sticky>,
}

/// The number of buckets that routing keys are hashed into.
const BUCKETS: u64 = 10_000;

impl TrafficSplit {
    /// No traffic to anybody.
    pub fn none() -> Self {
        Self::default()
    }

    /// All traffic to one deployment.
    pub fn all_to(deployment: DeploymentName) -> Self {
        Self { shares: BTreeMap::from([(deployment, Percent::ALL)]), sticky: None }
    }

    /// `share` to `canary`, the rest to `stable`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when they are the same deployment.
    pub fn canary(stable: DeploymentName, canary: DeploymentName, share: Percent) -> Result<Self> {
        if stable == canary {
            return Err(Error::invalid(
                "TrafficSplit::canary",
                "canary",
                "must be another deployment than the stable one",
            )
            .with("deployment", canary));
        }
        Self::new([(stable, share.complement()), (canary, share)])
    }

    /// Any shares that sum to 100. Deployments with no share are left out.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for any other sum, or a deployment twice.
    pub fn new(shares: impl IntoIterator<Item = (DeploymentName, Percent)>) -> Result<Self> {
        const OP: &str = "TrafficSplit::new";
        let mut map = BTreeMap::new();
        let mut total = 0_u32;
        for (deployment, share) in shares {
            total += u32::from(share.get());
            if map.contains_key(&deployment) {
                return Err(
                    Error::invalid(OP, "shares", "has a deployment twice").with("deployment", deployment)
                );
            }
            map.insert(deployment, share);
        }
        if total != 100 {
            return Err(Error::invalid(OP, "shares", format!("must sum to 100, got {total}")));
        }
        map.retain(|_, share| *share != Percent::ZERO);
        Ok(Self { shares: map, sticky: None })
    }

    /// Says what keeps callers at their deployment, or that nothing does. Where nobody is answered nothing has to.
    ///
    /// ```
    /// use mlops_core::Percent;
    /// use mlops_core::deploy::{Sticky, TrafficSplit};
    ///
    /// let share = Percent::new(10).unwrap_or(Percent::ZERO);
    /// let plain = TrafficSplit::canary("blue".parse()?, "green".parse()?, share)?;
    /// let split = plain.clone().with_sticky(Sticky::header("x-user")?);
    /// assert_eq!(split.to_string(), "blue 90 %, green 10 %, sticky by header x-user");
    /// assert!(split != plain && split.same_shares(&plain));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_sticky(mut self, sticky: impl Into<Option<Sticky>>) -> Self {
        self.sticky = sticky.into().filter(|_| !self.shares.is_empty());
        self
    }

    /// What keeps callers at their deployment, where the split says it.
    pub fn sticky(&self) -> Option<&Sticky> {
        self.sticky.as_ref()
    }

    /// Whether everybody has the same share, whatever keeps callers at their deployment.
    pub fn same_shares(&self, other: &Self) -> bool {
        self.shares == other.shares
    }

    /// For deployers that cannot keep callers at their deployment: nothing, if the split does not ask for it.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if it does.
    pub fn require_plain(&self, operation: &'static str) -> Result<()> {
        let Some(sticky) = &self.sticky else { return Ok(()) };
        let error = Error::unsupported(operation, "callers are not kept at their deployment here");
        Err(error.with("sticky", sticky))
    }

    /// The salt that routing at an endpoint goes by.
    pub(crate) fn salt<'a>(&'a self, endpoint: &'a EndpointName) -> &'a str {
        self.sticky.as_ref().and_then(Sticky::salt).unwrap_or(endpoint.as_str())
    }

    /// The share of a deployment.
    pub fn share(&self, deployment: &DeploymentName) -> Percent {
        self.shares.get(deployment).copied().unwrap_or(Percent::ZERO)
    }

    /// The deployments with a share, alphabetically.
    pub fn shares(&self) -> impl Iterator<Item = (&DeploymentName, Percent)> {
        self.shares.iter().map(|(name, share)| (name, *share))
    }

    /// Whether nobody is answered.
    pub fn is_none(&self) -> bool {
        self.shares.is_empty()
    }

    /// Which deployment answers a request with this routing key.
    ///
    /// The key is hashed into one of 10 000 buckets, and the buckets are given out in alphabetical order of deployments,
    /// `order_last` at the end: raising the share of a canary in that place moves callers to it and none away from it.
    ///
    /// ```
    /// use mlops_core::deploy::TrafficSplit;
    /// use mlops_core::{DeploymentName, Percent};
    ///
    /// let (blue, green) = (DeploymentName::new("blue")?, DeploymentName::new("green")?);
    /// let at = |p| TrafficSplit::canary(blue.clone(), green.clone(), Percent::new(p).unwrap());
    /// for user in 0..1000 {
    ///     let key = format!("user-{user}");
    ///     let (early, late) = (at(10)?, at(50)?);
    ///     // Whoever had the canary at 10 % has it at 50 % too.
    ///     if early.route("salt", &key, Some(&green)) == Some(&green) {
    ///         assert_eq!(late.route("salt", &key, Some(&green)), Some(&green));
    ///     }
    /// }
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn route(
        &self,
        salt: &str,
        key: &str,
        order_last: Option<&DeploymentName>,
    ) -> Option<&DeploymentName> {
        let digest = Hasher::new("mlops.route/v1").field(salt).field(key).finish();
        let mut head = [0; 8];
        head.copy_from_slice(&digest.as_bytes()[..8]);
        // Counted from the top, so that the last deployment always holds the lowest buckets.
        let bucket = BUCKETS - 1 - u64::from_le_bytes(head) % BUCKETS;
        let last = |name: &DeploymentName| order_last == Some(name);
        let (early, late) = (self.shares.iter(), self.shares.iter());
        let ordered = early.filter(|(n, _)| !last(n)).chain(late.filter(|(n, _)| last(n)));
        let mut end = 0;
        for (name, share) in ordered {
            end += u64::from(share.get()) * (BUCKETS / 100);
            if bucket < end {
                return Some(name);
            }
        }
        None
    }
}

impl fmt::Display for TrafficSplit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("no traffic");
        }
        for (i, (name, share)) in self.shares().enumerate() {
            write!(f, "{}{name} {share}", if i == 0 { "" } else { ", " })?;
        }
        self.sticky.as_ref().map_or(Ok(()), |sticky| write!(f, ", {sticky}"))
    }
}

impl<'de> Deserialize<'de> for TrafficSplit {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (shares, sticky) = match Wire::deserialize(deserializer)? {
            Wire::Plain(shares) => (shares, None),
            Wire::Sticky(Whole { shares, sticky }) => (shares, Some(sticky)),
        };
        if shares.is_empty() && sticky.is_none() {
            return Ok(Self::none());
        }
        let split = Self::new(shares).map_err(serde::de::Error::custom)?;
        Ok(split.with_sticky(sticky))
    }
}

impl Serialize for TrafficSplit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Whole<'a> {
            shares: &'a BTreeMap<DeploymentName, Percent>,
            sticky: &'a Sticky,
        }
        match &self.sticky {
            None => self.shares.serialize(serializer),
            Some(sticky) => Whole { shares: &self.shares, sticky }.serialize(serializer),
        }
    }
}

/// A split without stickiness is its shares alone. A deployment may be called `shares`: its share is a number, not a map.
#[derive(Deserialize)]
#[serde(untagged)]
enum Wire {
    Plain(BTreeMap<DeploymentName, Percent>),
    Sticky(Whole),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    shares: BTreeMap<DeploymentName, Percent>,
    sticky: Sticky,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DeploymentName {
        DeploymentName::new(text).unwrap()
    }

    #[test]
    fn shares_that_do_not_sum_to_100_cannot_be_made() {
        let share = |p| Percent::new(p).unwrap();
        for shares in
            [vec![], vec![("one", 99)], vec![("one", 60), ("two", 41)], vec![("one", 50), ("one", 50)]]
        {
            let shares = shares.into_iter().map(|(n, p)| (name(n), share(p)));
            assert!(TrafficSplit::new(shares).is_err());
        }
        assert!(serde_json::from_str::<TrafficSplit>(r#"{"one":50,"two":51}"#).is_err());
        assert!(serde_json::from_str::<TrafficSplit>("{}").unwrap().is_none());
    }

    #[test]
    fn a_split_is_read_as_it_was_written_with_and_without_what_keeps_callers() {
        let shares =
            [(name("shares"), Percent::new(40).unwrap()), (name("sticky"), Percent::new(60).unwrap())];
        let plain = TrafficSplit::new(shares).unwrap();
        let sticky = plain.clone().with_sticky(Sticky::field("user").unwrap().with_salt("a").unwrap());
        for (split, text) in [
            (&plain, r#"{"shares":40,"sticky":60}"#),
            (&sticky, r#"{"shares":{"shares":40,"sticky":60},"sticky":{"field":"user","salt":"a"}}"#),
            (&TrafficSplit::none(), "{}"),
        ] {
            assert_eq!(serde_json::to_string(split).unwrap(), text);
            assert_eq!(serde_json::from_str::<TrafficSplit>(text).unwrap(), *split);
        }
        for text in [
            r#"{"shares":{},"sticky":{"field":"user"}}"#,
            r#"{"shares":{"one":99},"sticky":{"field":"user"}}"#,
            r#"{"shares":{"one":100},"sticky":null}"#,
            r#"{"shares":{"one":100},"sticky":{"field":"user"},"more":1}"#,
        ] {
            assert!(serde_json::from_str::<TrafficSplit>(text).is_err(), "{text}");
        }
        assert_eq!(TrafficSplit::none().with_sticky(Sticky::field("user").unwrap()), TrafficSplit::none());
        assert_eq!(sticky.with_sticky(None), plain);
    }

    #[test]
    fn routing_meets_the_shares() {
        let split = TrafficSplit::canary(name("blue"), name("green"), Percent::new(10).unwrap()).unwrap();
        let green = (0..20_000)
            .filter(|i| split.route("s", &i.to_string(), Some(&name("green"))) == Some(&name("green")))
            .count();
        // 2000 expected, standard deviation 42.
        assert!((1_800..2_200).contains(&green), "{green}");
        assert_eq!(TrafficSplit::none().route("s", "k", None), None);
    }
}
