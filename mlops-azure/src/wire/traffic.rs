//! How an endpoint's requests are shared out among its deployments.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::config::name::is_endpoint;

/// Per cent of requests by deployment. Deployments with 0 get none, and can be called by name.
///
/// What is made here follows Azure's rules; what was read is as the service said it.
///
/// ```
/// use mlops_azure::wire::Traffic;
/// let traffic = Traffic::new([("blue", 90), ("green", 10)])?;
/// assert_eq!((traffic.get("green"), traffic.total()), (Some(10), 100));
/// assert!(Traffic::new([("blue", 90)]).is_err());
/// # Ok::<(), mlops_azure::wire::traffic::TrafficError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Traffic(BTreeMap<String, u32>);

/// Why requests cannot be shared out so.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrafficError {
    /// A name that no deployment can have.
    #[error(
        "`{0}` is not the name of a deployment: 3 to 32 letters, digits and hyphens, a letter first and no hyphen last"
    )]
    Name(String),
    /// The percentages sum to something else than 0 or 100.
    #[error("the percentages sum to {0}; they must sum to 100, or to 0 for no requests at all")]
    Sum(u64),
    /// A weight that is negative or not a number.
    #[error("the weight of `{name}` is {weight}; it must be a number that is not negative")]
    Weight {
        /// The deployment.
        name: String,
        /// Its weight, as text.
        weight: String,
    },
    /// Weights of which none is above 0.
    #[error("no weight is above 0")]
    NoWeight,
    /// More than one deployment gets copies.
    #[error("{0} deployments get copies of requests; one can")]
    Mirrors(usize),
    /// Too many copies.
    #[error("`{name}` gets {percent} per cent of copies; at most {limit} are possible")]
    Mirror {
        /// The deployment.
        name: String,
        /// The per cent asked for.
        percent: u32,
        /// The most that is possible.
        limit: u32,
    },
    /// A deployment gets both requests and copies of them.
    #[error("`{0}` gets requests and copies of them; it can get one of the two")]
    LiveAndMirror(String),
}

impl Traffic {
    /// The most copies of requests that a deployment can get, in per cent.
    pub const MAX_MIRROR: u32 = 50;

    /// Shares in per cent.
    ///
    /// # Errors
    /// [`TrafficError::Name`] and [`TrafficError::Sum`].
    pub fn new<S: Into<String>>(shares: impl IntoIterator<Item = (S, u32)>) -> Result<Self, TrafficError> {
        let shares: BTreeMap<String, u32> =
            shares.into_iter().map(|(name, share)| (name.into(), share)).collect();
        checked_names(&shares)?;
        let traffic = Self(shares);
        match traffic.total() {
            0 | 100 => Ok(traffic),
            other => Err(TrafficError::Sum(other)),
        }
    }

    /// Shares in proportion to weights, in whole per cent that sum to 100: each weight's part rounded down, and what is left to
    /// the largest remainders, of equal ones to the first by name.
    ///
    /// # Errors
    /// [`TrafficError::Name`], [`TrafficError::Weight`] and [`TrafficError::NoWeight`].
    ///
    /// ```
    /// use mlops_azure::wire::Traffic;
    /// let thirds = Traffic::split([("blue", 1.0), ("green", 1.0), ("red", 1.0)])?;
    /// assert_eq!((thirds.get("blue"), thirds.get("green"), thirds.total()), (Some(34), Some(33), 100));
    /// # Ok::<(), mlops_azure::wire::traffic::TrafficError>(())
    /// ```
    pub fn split<S: Into<String>>(weights: impl IntoIterator<Item = (S, f64)>) -> Result<Self, TrafficError> {
        let weights: BTreeMap<String, f64> = weights.into_iter().map(|(name, w)| (name.into(), w)).collect();
        let bad = |(name, weight): (&String, &f64)| TrafficError::Weight {
            name: name.clone(),
            weight: weight.to_string(),
        };
        if let Some(wrong) = weights.iter().find(|(_, weight)| !weight.is_finite() || **weight < 0.0) {
            return Err(bad(wrong));
        }
        // Weights near the largest number would sum to infinity; only their proportions count.
        let largest = weights.values().copied().fold(0.0, f64::max);
        if largest <= 0.0 {
            return Err(TrafficError::NoWeight);
        }
        let sum: f64 = weights.values().map(|weight| weight / largest).sum();
        let exact: Vec<(&String, f64)> =
            weights.iter().map(|(name, w)| (name, w / largest / sum * 100.0)).collect();
        let mut shares: BTreeMap<String, u32> =
            exact.iter().map(|(name, x)| ((*name).clone(), floor(*x))).collect();
        let mut by_remainder = exact;
        by_remainder.sort_by(|(_, a), (_, b)| (b - b.floor()).total_cmp(&(a - a.floor())));
        let given: u32 = shares.values().sum();
        let left = usize::try_from(100_u32.saturating_sub(given)).unwrap_or_default();
        for (name, _) in by_remainder.into_iter().filter(|(_, x)| *x > 0.0).cycle().take(left) {
            if let Some(share) = shares.get_mut(name) {
                *share += 1;
            }
        }
        checked_names(&shares)?;
        Ok(Self(shares))
    }

    /// The share of a deployment; `None` for one that is not named.
    pub fn get(&self, deployment: &str) -> Option<u32> {
        self.0.get(deployment).copied()
    }

    /// The deployments and their shares, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.0.iter().map(|(name, share)| (name.as_str(), *share))
    }

    /// The sum of the shares.
    pub fn total(&self) -> u64 {
        self.0.values().map(|share| u64::from(*share)).sum()
    }

    /// Whether no deployment is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks the rules for copies of requests beside these shares: one deployment, at most [`MAX_MIRROR`](Self::MAX_MIRROR) per
    /// cent, and not one that gets requests.
    ///
    /// # Errors
    /// [`TrafficError::Mirrors`], [`TrafficError::Mirror`] and [`TrafficError::LiveAndMirror`].
    pub fn check_mirror(&self, mirror: &Self) -> Result<(), TrafficError> {
        let limit = Self::MAX_MIRROR;
        let copies: Vec<_> = mirror.iter().filter(|(_, share)| *share > 0).collect();
        match copies.as_slice() {
            [] => Ok(()),
            [(name, percent)] if *percent > limit => {
                Err(TrafficError::Mirror { name: (*name).to_owned(), percent: *percent, limit })
            }
            [(name, _)] if self.get(name).is_some_and(|share| share > 0) => {
                Err(TrafficError::LiveAndMirror((*name).to_owned()))
            }
            [_] => Ok(()),
            several => Err(TrafficError::Mirrors(several.len())),
        }
    }

    /// Copies of requests for one deployment, in per cent.
    ///
    /// # Errors
    /// [`TrafficError::Name`] and [`TrafficError::Mirror`].
    pub fn mirror(deployment: &str, percent: u32) -> Result<Self, TrafficError> {
        let mirror = Self(BTreeMap::from([(deployment.to_owned(), percent)]));
        checked_names(&mirror.0)?;
        Self::default().check_mirror(&mirror)?;
        Ok(mirror)
    }
}

fn checked_names(shares: &BTreeMap<String, u32>) -> Result<(), TrafficError> {
    match shares.keys().find(|name| !is_endpoint(name)) {
        Some(name) => Err(TrafficError::Name(mlops_core::error::quote(name))),
        None => Ok(()),
    }
}

/// The whole part of a number from 0 to 100.
fn floor(x: f64) -> u32 {
    (0..=100).rev().find(|n| f64::from(*n) <= x).unwrap_or_default()
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, share)) in self.iter().enumerate() {
            write!(f, "{}{name} {share} %", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Traffic {
    /// Whole numbers, also those written with a point; names as the service says them. `null` is no traffic, also of one deployment.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Option::<BTreeMap<String, Option<f64>>>::deserialize(deserializer)?.unwrap_or_default();
        let share = |(name, x): (String, f64)| match (0..=1000).find(|n| f64::from(*n) == x) {
            Some(share) => Ok((name, share)),
            None => Err(serde::de::Error::custom(format!("{x} is not a whole number of per cent"))),
        };
        raw.into_iter()
            .filter_map(|(name, x)| Some((name, x?)))
            .map(share)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_that_azure_would_refuse_are_refused() {
        assert_eq!(Traffic::new([("blue", 60), ("green", 60)]), Err(TrafficError::Sum(120)));
        assert_eq!(
            Traffic::new([("blue", u32::MAX), ("green", u32::MAX)]),
            Err(TrafficError::Sum(8_589_934_590))
        );
        assert_eq!(Traffic::new([("a", 100)]), Err(TrafficError::Name("a".to_owned())));
        assert!(Traffic::new([("blue", 0), ("green", 0)]).is_ok());
        assert!(Traffic::new(Vec::<(String, u32)>::new()).is_ok());
        let live = Traffic::new([("blue", 100), ("green", 0)]).unwrap();
        let copies =
            |pairs: &[(&str, u32)]| Traffic(pairs.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect());
        assert_eq!(live.check_mirror(&copies(&[("green", 50)])), Ok(()));
        assert_eq!(
            live.check_mirror(&copies(&[("blue", 10)])),
            Err(TrafficError::LiveAndMirror("blue".to_owned()))
        );
        assert_eq!(live.check_mirror(&copies(&[("green", 5), ("red", 5)])), Err(TrafficError::Mirrors(2)));
        assert!(matches!(
            live.check_mirror(&copies(&[("green", 51)])),
            Err(TrafficError::Mirror { limit: 50, .. })
        ));
        assert_eq!(live.check_mirror(&copies(&[("green", 0), ("red", 0)])), Ok(()));
    }

    #[test]
    fn weights_become_whole_per_cent_that_sum_to_a_hundred() {
        for weights in [
            vec![1.0, 1.0, 1.0],
            vec![0.005, 0.995],
            vec![f64::MAX, f64::MAX],
            vec![f64::MIN_POSITIVE, f64::MIN_POSITIVE, 0.0],
            vec![0.1, 0.2, 0.7],
            vec![1.0; 7],
            vec![1.0; 150],
        ] {
            let named = weights.iter().enumerate().map(|(i, w)| (format!("dep{i}"), *w));
            let traffic = Traffic::split(named).unwrap();
            assert_eq!(traffic.total(), 100, "{weights:?}");
            for (i, weight) in weights.iter().enumerate() {
                let share = traffic.get(&format!("dep{i}")).unwrap();
                assert!(*weight > 0.0 || share == 0, "nothing for nothing");
            }
        }
        for bad in [f64::NAN, f64::INFINITY, -0.1] {
            assert!(matches!(Traffic::split([("blue", bad)]), Err(TrafficError::Weight { .. })));
        }
        assert_eq!(Traffic::split([("blue", 0.0)]), Err(TrafficError::NoWeight));
    }

    #[test]
    fn what_the_service_says_is_read_as_it_is() {
        let read = |text| serde_json::from_str::<Traffic>(text);
        assert_eq!(read(r#"{"blue":90.0,"x":20}"#).unwrap().total(), 110);
        assert!(read("null").unwrap().is_empty());
        assert_eq!(read(r#"{"blue":100,"green":null}"#).unwrap().get("green"), None);
        for bad in [r#"{"blue":0.5}"#, r#"{"blue":-1}"#, r#"{"blue":1e30}"#, r#"{"blue":"1"}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
