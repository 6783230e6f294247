//! The suite of [`StepCache`].

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::support::{RACERS, TEXTS, at, fault, kind, race};
use crate::artifact::{ArtifactStore, ArtifactStoreExt as _, Blob};
use crate::error::ErrorKind;
use crate::hash::Digest;
use crate::id::{ComponentName, ComponentVersion, MetricKey, PortName, RunId, StepName};
use crate::pipeline::{
    Claim, Claimed, Content, KeyParts, ParamValue, PortType, StepCache, StepKey, StepMetric, StepRecord,
};
use crate::time::ManualClock;

/// Makes a test of every case of the [`StepCache`] suite.
///
/// Takes the name of the module to put them in, and an expression that makes a fresh
/// [`StepCacheUnderTest`](crate::conformance::step_cache::StepCacheUnderTest). See [the module](crate::conformance) for a whole
/// example.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::conformance::step_cache::StepCacheUnderTest;
/// use mlops_core::memory::{MemoryArtifactStore, MemoryStepCache};
/// use mlops_core::time::ManualClock;
///
/// fn fresh() -> StepCacheUnderTest {
///     let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
///     let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
///     let cache = MemoryStepCache::new(artifacts.clone(), clock.clone());
///     StepCacheUnderTest::new(Arc::new(cache), artifacts, clock)
/// }
/// mlops_core::step_cache_suite!(in_memory, fresh());
/// ```
#[macro_export]
macro_rules! step_cache_suite {
    ($module:ident, $fresh:expr) => {
        $crate::__conformance_suite! { $module, $fresh, step_cache, [
            records_come_back_as_they_were,
            an_unknown_key_has_no_record,
            the_last_record_counts,
            a_record_needs_its_content,
            a_lost_claim_cannot_put,
            a_released_claim_cannot_put,
            a_record_belongs_to_its_key,
            of_many_claims_one_wins,
            a_claim_that_ended_is_free,
            a_released_claim_is_free,
            tokens_grow,
            a_holder_that_comes_back_is_granted_anew,
            a_renewed_claim_lasts,
            a_lost_claim_cannot_be_renewed,
            leases_have_bounds,
            recent_records_come_newest_first,
            removed_records_are_gone,
        ] }
    };
}

/// A cache with nothing in it, the store its records refer to, and the clock it has its time from.
pub struct StepCacheUnderTest {
    cache: Arc<dyn StepCache>,
    artifacts: Arc<dyn ArtifactStore>,
    clock: Arc<ManualClock>,
}

impl fmt::Debug for StepCacheUnderTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepCacheUnderTest").field("cache", &self.cache).finish_non_exhaustive()
    }
}

const LEASE: Duration = Duration::from_secs(60);

impl StepCacheUnderTest {
    /// A cache with nothing in it, the store its records refer to, and the clock it has its time from.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mlops_core::conformance::step_cache::StepCacheUnderTest;
    /// use mlops_core::memory::{MemoryArtifactStore, MemoryStepCache};
    /// use mlops_core::time::ManualClock;
    /// let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse()?));
    /// let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
    /// let cache = Arc::new(MemoryStepCache::new(artifacts.clone(), clock.clone()));
    /// assert!(format!("{:?}", StepCacheUnderTest::new(cache, artifacts, clock)).contains("MemoryStepCache"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(
        cache: Arc<dyn StepCache>,
        artifacts: Arc<dyn ArtifactStore>,
        clock: Arc<ManualClock>,
    ) -> Self {
        Self { cache, artifacts, clock }
    }

    async fn granted(&self, key: StepKey, holder: &str) -> Claim {
        match self.cache.claim(&key, holder, LEASE).await.unwrap() {
            Claimed::Granted(claim) => claim,
            Claimed::Held { until } => panic!("{holder} is refused until {until}"),
        }
    }

    async fn is_held(&self, key: StepKey, holder: &str) -> bool {
        matches!(self.cache.claim(&key, holder, LEASE).await.unwrap(), Claimed::Held { .. })
    }

    /// A record of a step with this parameter, whose output is this text, in the store.
    async fn record(&self, parameter: &str, output: &str) -> StepRecord {
        let blob = self.artifacts.put_bytes(output.as_bytes().to_vec()).await.unwrap();
        record(parameter, blob)
    }

    async fn put(&self, record: &StepRecord) {
        let claim = self.granted(record.key, "a").await;
        self.cache.put(record, &claim).await.unwrap();
        self.cache.release(&claim).await.unwrap();
    }
}

fn component() -> ComponentName {
    ComponentName::new("train").unwrap()
}

fn record(parameter: &str, blob: Blob) -> StepRecord {
    let mut parts = KeyParts::new(component(), ComponentVersion::new("1").unwrap(), Digest::of(b"code"));
    let port = |name: &str| PortName::new(name).unwrap();
    parts.parameters.insert(port("x"), ParamValue::Text(parameter.to_owned()));
    parts.outputs.insert(port("model"), PortType::CustomModel);
    let outputs = [(port("model"), Content::new(PortType::CustomModel, blob))].into();
    let run = RunId::new("0123456789abcdef0123456789abcdef").unwrap();
    let made = at("2026-01-01T00:00:00.000001Z");
    StepRecord::new(parts, outputs, run, StepName::new("train").unwrap(), made).unwrap()
}

/// Every text and number of a record comes back as it was.
pub async fn records_come_back_as_they_were(under: &StepCacheUnderTest) {
    for text in TEXTS {
        let mut record = under.record(text, text).await;
        for (key, value) in [
            ("a", 0.1 + 0.2),
            ("b", -0.0),
            ("c", 5e-324),
            ("d", f64::NAN),
            ("e", f64::INFINITY),
            ("f", f64::NEG_INFINITY),
        ] {
            record.metrics.push(StepMetric { key: MetricKey::new(key).unwrap(), value });
        }
        record.log = record.outputs.values().next().map(|c| Blob { digest: c.digest, size: c.size });
        record.took = Duration::new(u64::MAX, 1);
        record.expires_at = Some(at("2999-12-31T23:59:59.999999Z"));
        under.put(&record).await;
        assert_eq!(under.cache.get(&record.key).await.unwrap(), Some(record), "{text:?}");
    }
}

/// A key that nobody put has no record, and that is no error.
pub async fn an_unknown_key_has_no_record(under: &StepCacheUnderTest) {
    let record = under.record("x", "x").await;
    assert_eq!(under.cache.get(&record.key).await.unwrap(), None);
    under.put(&record).await;
    assert_eq!(under.cache.get(&StepKey::new(Digest::of(b"another"))).await.unwrap(), None);
}

/// A record put again replaces the one before.
pub async fn the_last_record_counts(under: &StepCacheUnderTest) {
    for output in ["one", "two", "one"] {
        let record = under.record("x", output).await;
        under.put(&record).await;
        assert_eq!(under.cache.get(&record.key).await.unwrap(), Some(record));
    }
    assert_eq!(under.cache.recent(&component(), 10).await.unwrap().len(), 1);
}

/// Without its content in the store, or with another size stated, no record is kept.
pub async fn a_record_needs_its_content(under: &StepCacheUnderTest) {
    let good = under.record("x", "output").await;
    let blob = good.outputs.values().next().map(|c| Blob { digest: c.digest, size: c.size }).unwrap();
    let claim = under.granted(good.key, "a").await;
    let gone = Blob { digest: Digest::of(b"never put"), size: 9 };
    let mut no_log = good.clone();
    no_log.log = Some(gone);
    for bad in [record("x", gone), record("x", Blob { size: 7, ..blob }), no_log] {
        assert_eq!(kind(under.cache.put(&bad, &claim).await), ErrorKind::NotFound);
        assert_eq!(under.cache.get(&good.key).await.unwrap(), None);
    }
    under.cache.put(&good, &claim).await.unwrap();
}

/// Who was taken over from cannot put its record over that of the other.
pub async fn a_lost_claim_cannot_put(under: &StepCacheUnderTest) {
    let (slow, fast) = (under.record("x", "slow").await, under.record("x", "fast").await);
    let lost = under.granted(slow.key, "slow").await;
    under.clock.advance(LEASE);
    let held = under.granted(slow.key, "fast").await;
    assert_eq!(kind(under.cache.put(&slow, &lost).await), ErrorKind::Conflict);
    under.cache.put(&fast, &held).await.unwrap();
    assert_eq!(kind(under.cache.put(&slow, &lost).await), ErrorKind::Conflict);
    assert_eq!(under.cache.get(&slow.key).await.unwrap(), Some(fast.clone()));
    // A token that was never given out is none.
    let forged = Claim { token: held.token + 1, ..held };
    assert_eq!(kind(under.cache.put(&fast, &forged).await), ErrorKind::Conflict);
}

/// A claim that was given back is none.
pub async fn a_released_claim_cannot_put(under: &StepCacheUnderTest) {
    let record = under.record("x", "x").await;
    let claim = under.granted(record.key, "a").await;
    under.cache.release(&claim).await.unwrap();
    under.cache.release(&claim).await.unwrap();
    assert_eq!(kind(under.cache.put(&record, &claim).await), ErrorKind::Conflict);
}

/// A record is put under the key of its parts and no other.
pub async fn a_record_belongs_to_its_key(under: &StepCacheUnderTest) {
    let (one, other) = (under.record("one", "x").await, under.record("other", "x").await);
    let claim = under.granted(one.key, "a").await;
    assert_eq!(kind(under.cache.put(&other, &claim).await), ErrorKind::InvalidInput);
    let mut forged = other.clone();
    forged.key = one.key;
    assert_eq!(kind(under.cache.put(&forged, &claim).await), ErrorKind::InvalidInput);
    assert_eq!(under.cache.get(&one.key).await.unwrap(), None);
}

/// Of many that ask at once one is granted, and all others are told until when.
pub async fn of_many_claims_one_wins(under: &StepCacheUnderTest) {
    for round in 0..3 {
        let key = StepKey::new(Digest::of(&[round]));
        let answers = race(RACERS, |i| {
            let cache = under.cache.clone();
            async move { cache.claim(&key, &format!("holder {i}"), LEASE).await.unwrap() }
        })
        .await;
        let granted: Vec<_> = answers
            .iter()
            .filter_map(|a| if let Claimed::Granted(claim) = a { Some(claim) } else { None })
            .collect();
        assert_eq!(granted.len(), 1);
        let held = Claimed::Held { until: granted[0].until };
        assert_eq!(answers.iter().filter(|answer| **answer == held).count(), RACERS - 1);
    }
}

/// A claim ends when its lease does, not before.
pub async fn a_claim_that_ended_is_free(under: &StepCacheUnderTest) {
    let key = StepKey::new(Digest::of(b"k"));
    under.granted(key, "a").await;
    under.clock.advance(LEASE - Duration::from_micros(1));
    assert!(under.is_held(key, "b").await);
    under.clock.advance(Duration::from_micros(1));
    under.granted(key, "b").await;
    assert!(under.is_held(key, "a").await);
}

/// A claim that was given back is free at once; giving back one that was lost takes nothing from who has it.
pub async fn a_released_claim_is_free(under: &StepCacheUnderTest) {
    let key = StepKey::new(Digest::of(b"k"));
    let first = under.granted(key, "a").await;
    under.cache.release(&first).await.unwrap();
    under.granted(key, "b").await;
    under.cache.release(&first).await.unwrap();
    assert!(under.is_held(key, "c").await);
}

/// Every claim that is granted has a greater token than those before, however they ended.
pub async fn tokens_grow(under: &StepCacheUnderTest) {
    let key = StepKey::new(Digest::of(b"k"));
    let mut last = 0;
    for round in 0..6 {
        let claim = under.granted(key, &format!("holder {round}")).await;
        assert!(claim.token > last, "{} after {last}", claim.token);
        last = claim.token;
        if round % 2 == 0 {
            under.cache.release(&claim).await.unwrap();
        } else {
            under.clock.advance(LEASE);
        }
    }
}

/// A holder that died and came back need not wait for itself, and what it was granted before is lost.
pub async fn a_holder_that_comes_back_is_granted_anew(under: &StepCacheUnderTest) {
    let record = under.record("x", "x").await;
    let before = under.granted(record.key, "a").await;
    let after = under.granted(record.key, "a").await;
    assert!(after.token > before.token);
    assert_eq!(kind(under.cache.put(&record, &before).await), ErrorKind::Conflict);
    under.cache.put(&record, &after).await.unwrap();
}

/// A claim that is renewed lasts a lease from then on, under the same token.
pub async fn a_renewed_claim_lasts(under: &StepCacheUnderTest) {
    let record = under.record("x", "x").await;
    let mut claim = under.granted(record.key, "a").await;
    for _ in 0..3 {
        under.clock.advance(LEASE / 2);
        let renewed = under.cache.renew(&claim, LEASE).await.unwrap();
        assert_eq!(renewed.token, claim.token);
        assert!(renewed.until > claim.until);
        assert!(under.is_held(record.key, "b").await);
        claim = renewed;
    }
    under.cache.put(&record, &claim).await.unwrap();
}

/// A claim that somebody else has now, or that was given back, is not renewed.
pub async fn a_lost_claim_cannot_be_renewed(under: &StepCacheUnderTest) {
    let key = StepKey::new(Digest::of(b"k"));
    let lost = under.granted(key, "a").await;
    under.clock.advance(LEASE);
    let held = under.granted(key, "b").await;
    let error = fault(under.cache.renew(&lost, LEASE).await);
    assert_eq!(error.kind(), ErrorKind::Conflict);
    under.cache.release(&held).await.unwrap();
    assert_eq!(kind(under.cache.renew(&held, LEASE).await), ErrorKind::Conflict);
    let unknown = Claim { key: StepKey::new(Digest::of(b"other")), ..held };
    assert_eq!(kind(under.cache.renew(&unknown, LEASE).await), ErrorKind::Conflict);
}

/// A lease of no time, or longer than a day, is refused and claims nothing.
pub async fn leases_have_bounds(under: &StepCacheUnderTest) {
    let key = StepKey::new(Digest::of(b"k"));
    for lease in [Duration::ZERO, Duration::from_secs(86_401), Duration::MAX] {
        assert_eq!(kind(under.cache.claim(&key, "a", lease).await), ErrorKind::InvalidInput, "{lease:?}");
    }
    let claim = under.granted(key, "b").await;
    assert_eq!(kind(under.cache.renew(&claim, Duration::ZERO).await), ErrorKind::InvalidInput);
    let day = under.cache.renew(&claim, Duration::from_secs(86_400)).await.unwrap();
    assert!(day.until > claim.until);
}

/// The records of a component come in the order in which they were put, the last first, and no more than asked for.
pub async fn recent_records_come_newest_first(under: &StepCacheUnderTest) {
    for parameter in ["a", "b", "c", "a"] {
        under.put(&under.record(parameter, parameter).await).await;
    }
    let found = under.cache.recent(&component(), 10).await.unwrap();
    let values: Vec<String> = found.iter().map(|record| record.parts.parameters["x"].to_string()).collect();
    assert_eq!(values, ["\"a\"", "\"c\"", "\"b\""]);
    assert_eq!(under.cache.recent(&component(), 2).await.unwrap(), found[..2]);
    assert!(under.cache.recent(&component(), 0).await.unwrap().is_empty());
    let other = ComponentName::new("trains").unwrap();
    assert!(under.cache.recent(&other, 10).await.unwrap().is_empty());
    assert_eq!(found.iter().map(|record| record.key).collect::<BTreeSet<_>>().len(), 3);
}

/// What was removed is not there, also not in lists; removing it again does nothing.
pub async fn removed_records_are_gone(under: &StepCacheUnderTest) {
    let (gone, kept) = (under.record("gone", "x").await, under.record("kept", "x").await);
    under.put(&gone).await;
    under.put(&kept).await;
    assert!(under.cache.remove(&gone.key).await.unwrap());
    assert!(!under.cache.remove(&gone.key).await.unwrap());
    assert_eq!(under.cache.get(&gone.key).await.unwrap(), None);
    assert_eq!(under.cache.recent(&component(), 10).await.unwrap(), [kept]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{MemoryArtifactStore, MemoryStepCache};

    fn fresh(wrap: impl FnOnce(MemoryStepCache) -> Arc<dyn StepCache>) -> StepCacheUnderTest {
        let clock = Arc::new(ManualClock::at(at("2026-01-01T00:00:00Z")));
        let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
        let cache = MemoryStepCache::new(artifacts.clone(), clock.clone());
        StepCacheUnderTest::new(wrap(cache), artifacts, clock)
    }

    crate::step_cache_suite!(plain, fresh(|cache| Arc::new(cache)));
    crate::step_cache_suite!(in_an_arc, fresh(|cache| Arc::new(Arc::new(cache) as Arc<dyn StepCache>)));
    crate::step_cache_suite!(in_a_box, fresh(|cache| Arc::new(Box::new(cache) as Box<dyn StepCache>)));
}
