//! The changes of an endpoint's traffic, kept in its tags.
//!
//! Azure Machine Learning keeps no revision of an endpoint and knows no key of a change. So each change writes its own line into the
//! endpoint's tags, in the same PUT as the traffic: which revision it made, a mark of its key, a mark of its content, and the traffic
//! and the shadow after it. Ten tags hold the last twenty to forty changes; older ones are forgotten.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mlops_core::deploy::{Endpoint, Mirror, MirrorChange, TrafficChange, TrafficSplit};
use mlops_core::hash::{Digest, digest_json};
use mlops_core::id::{DeploymentName, EndpointName, IdempotencyKey};
use mlops_core::{Error, ErrorKind, Percent, Result};

use super::tags::{LONGEST, MOST};
use crate::wire::TextMap;

/// The tags that hold the changes, with a number behind.
const TAG: &str = "mlops.changes.";

/// The most tags that changes are kept in.
const TAGS: usize = 10;

/// A change of traffic or of the mirror.
#[derive(Clone, Copy)]
pub(super) enum Change<'a> {
    Traffic(&'a TrafficChange),
    Mirror(&'a MirrorChange),
}

impl Change<'_> {
    pub(super) fn key(&self) -> &IdempotencyKey {
        match self {
            Self::Traffic(change) => &change.key,
            Self::Mirror(change) => &change.key,
        }
    }

    pub(super) fn endpoint(&self) -> &EndpointName {
        match self {
            Self::Traffic(change) => &change.endpoint,
            Self::Mirror(change) => &change.endpoint,
        }
    }

    pub(super) fn operation(&self) -> &'static str {
        match self {
            Self::Traffic(_) => "Deployer::set_traffic",
            Self::Mirror(_) => "Deployer::set_mirror",
        }
    }

    pub(super) fn expected(&self) -> Option<u64> {
        match self {
            Self::Traffic(change) => change.expected,
            Self::Mirror(change) => change.expected,
        }
    }

    /// Who is asked after it, and must be ready.
    pub(super) fn deployments(&self) -> Vec<&DeploymentName> {
        match self {
            Self::Traffic(change) => change.split.shares().map(|(name, _)| name).collect(),
            Self::Mirror(change) => change.mirror.iter().map(|mirror| &mirror.deployment).collect(),
        }
    }

    /// A mark of all of it.
    fn mark(&self) -> Result<String> {
        let digest = match self {
            Self::Traffic(change) => digest_json(change),
            Self::Mirror(change) => digest_json(change),
        };
        digest.map(|digest| mark(&digest))
    }

    /// The endpoint after it, if it may be made.
    pub(super) fn applied_to(&self, endpoint: &Endpoint) -> Result<Endpoint> {
        let found = endpoint.revision;
        if let Some(expected) = self.expected().filter(|expected| *expected != found) {
            let message = "the endpoint's traffic was changed";
            let error = Error::conflict(self.operation(), message, expected, found);
            return Err(error.with("endpoint", &endpoint.name));
        }
        let mut after = endpoint.clone();
        match self {
            Self::Traffic(change) => after.traffic = change.split.clone(),
            Self::Mirror(change) => after.mirror.clone_from(&change.mirror),
        }
        after.revision = found.saturating_add(1);
        let both = |mirror: &&Mirror| after.traffic.share(&mirror.deployment) != Percent::ZERO;
        match after.mirror.as_ref().filter(both) {
            None => Ok(after),
            Some(mirror) => {
                let message = "a deployment that requests are mirrored to cannot have traffic";
                let error = Error::new(ErrorKind::Conflict, self.operation(), message);
                Err(error.with("deployment", &mirror.deployment).with("endpoint", &endpoint.name))
            }
        }
    }
}

/// The first half of a digest, as text.
fn mark(digest: &Digest) -> String {
    URL_SAFE_NO_PAD.encode(&digest.as_bytes()[..16])
}

fn mark_of_key(key: &IdempotencyKey) -> String {
    mark(&Digest::of(key.as_str().as_bytes()))
}

/// One change that was made.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    revision: u64,
    key: String,
    change: String,
    traffic: TrafficSplit,
    mirror: Option<Mirror>,
}

/// The last changes of an endpoint, the newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ledger(Vec<Entry>);

impl Ledger {
    /// What the tags of an endpoint say.
    pub(super) fn read(operation: &'static str, tags: Option<&TextMap>) -> Result<Self> {
        let parts = (0..TAGS).map_while(|i| tags?.get(&format!("{TAG}{i}")));
        let text: String = parts.collect();
        let entries = text.split(';').filter(|line| !line.is_empty()).map(Entry::read);
        let entries = entries.collect::<Option<Vec<_>>>().ok_or_else(|| {
            let message = "the tags with the changes of the endpoint's traffic were changed by somebody; without them, its revision begins at 0";
            Error::new(ErrorKind::Corrupt, operation, message).with("tags", format!("{TAG}*"))
        })?;
        Ok(Self(entries))
    }

    /// Writes it into tags, in place of what was there: as many changes as have room.
    pub(super) fn write(&self, operation: &'static str, tags: &mut TextMap) -> Result<()> {
        tags.0.retain(|name, _| !name.starts_with(TAG));
        let room = MOST.saturating_sub(tags.0.len()).min(TAGS) * LONGEST;
        let mut text = String::new();
        for (i, entry) in self.0.iter().enumerate() {
            let line = format!("{};", entry.line());
            if text.len() + line.len() > room {
                if i == 0 {
                    let what = "the length of a change in the endpoint's tags, beside all others";
                    return Err(Error::limit(operation, what, room, line.len()));
                }
                break;
            }
            text.push_str(&line);
        }
        // Every character is one byte: names of deployments are ASCII.
        for (i, part) in text.as_bytes().chunks(LONGEST).enumerate() {
            tags.insert(format!("{TAG}{i}"), String::from_utf8_lossy(part));
        }
        Ok(())
    }

    /// The revision of an endpoint with this traffic and shadow. What is not as the last change left it was changed by somebody else,
    /// once more at least.
    pub(super) fn revision(&self, traffic: &TrafficSplit, mirror: Option<&Mirror>) -> u64 {
        match self.0.first() {
            Some(last) if last.traffic == *traffic && last.mirror.as_ref() == mirror => last.revision,
            Some(last) => last.revision.saturating_add(1),
            None => u64::from(!traffic.is_none() || mirror.is_some()),
        }
    }

    /// Forgets the last change if the endpoint is not as it left it: it failed.
    pub(super) fn forget_failed(&mut self, traffic: &TrafficSplit, mirror: Option<&Mirror>) {
        let as_left = |last: &Entry| last.traffic == *traffic && last.mirror.as_ref() == mirror;
        if self.0.first().is_some_and(|last| !as_left(last)) {
            self.0.remove(0);
        }
    }

    /// The endpoint as it was after a change, if the change was made; a conflict if its key was used for another one.
    pub(super) fn made(&self, change: &Change<'_>, now: &Endpoint) -> Result<Option<Endpoint>> {
        let key = mark_of_key(change.key());
        let Some(entry) = self.0.iter().find(|entry| entry.key == key) else { return Ok(None) };
        if entry.change != change.mark()? {
            let message = "the key was used for another change";
            let error = Error::new(ErrorKind::Conflict, change.operation(), message);
            return Err(error.with("key", change.key()).with("endpoint", change.endpoint()));
        }
        let mut then = now.clone();
        then.traffic = entry.traffic.clone();
        then.mirror.clone_from(&entry.mirror);
        then.revision = entry.revision;
        Ok(Some(then))
    }

    /// The same after a change.
    pub(super) fn with(mut self, change: &Change<'_>, after: &Endpoint) -> Result<Self> {
        let entry = Entry {
            revision: after.revision,
            key: mark_of_key(change.key()),
            change: change.mark()?,
            traffic: after.traffic.clone(),
            mirror: after.mirror.clone(),
        };
        self.0.insert(0, entry);
        Ok(self)
    }
}

impl Entry {
    /// `7,KEY,CHANGE,blue:90+green:10,red:20`.
    fn line(&self) -> String {
        let shares = self.traffic.shares().map(|(name, share)| format!("{name}:{}", share.get()));
        let traffic = shares.collect::<Vec<_>>().join("+");
        let mirror = self.mirror.as_ref().map(|m| format!("{}:{}", m.deployment, m.share.get()));
        let mirror = mirror.unwrap_or_default();
        format!("{},{},{},{traffic},{mirror}", self.revision, self.key, self.change)
    }

    fn read(line: &str) -> Option<Self> {
        let mut fields = line.split(',');
        let mut next = || fields.next();
        let (revision, key, change, traffic, mirror) = (next()?, next()?, next()?, next()?, next()?);
        if next().is_some() {
            return None;
        }
        let traffic = match traffic {
            "" => TrafficSplit::none(),
            shares => TrafficSplit::new(shares.split('+').map(share).collect::<Option<Vec<_>>>()?).ok()?,
        };
        let mirror = match mirror {
            "" => None,
            text => share(text).map(|(deployment, share)| Some(Mirror::new(deployment, share)))?,
        };
        let (key, change) = (key.to_owned(), change.to_owned());
        Some(Self { revision: revision.parse().ok()?, key, change, traffic, mirror })
    }
}

fn share(text: &str) -> Option<(DeploymentName, Percent)> {
    let (name, share) = text.split_once(':')?;
    Some((DeploymentName::new(name).ok()?, Percent::new(share.parse().ok()?)?))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use mlops_core::deploy::EndpointSpec;
    use mlops_core::num::Random;

    use super::*;

    fn endpoint() -> Endpoint {
        let spec = EndpointSpec::new("churn".parse().unwrap(), "bot".parse().unwrap());
        Endpoint::new(spec, "2026-01-01T00:00:00Z".parse().unwrap())
    }

    fn split(shares: &[(&str, u8)]) -> TrafficSplit {
        let one = |(name, share): &(&str, u8)| (name.parse().unwrap(), Percent::new(*share).unwrap());
        TrafficSplit::new(shares.iter().map(one)).unwrap()
    }

    fn traffic(split: TrafficSplit) -> TrafficChange {
        let (key, endpoint) = (IdempotencyKey::generate(), "churn".parse().unwrap());
        TrafficChange::new(endpoint, split, "bot".parse().unwrap()).with_key(key)
    }

    fn written(ledger: &Ledger) -> TextMap {
        let mut tags: TextMap = [("team", "risk"), ("mlops.changes.9", "old")].into_iter().collect();
        ledger.write("op", &mut tags).unwrap();
        tags
    }

    #[test]
    fn changes_come_back_from_the_tags() {
        let (mut now, mut ledger, mut changes) = (endpoint(), Ledger::default(), Vec::new());
        for i in 0..100_u8 {
            let change = traffic(split(&[("blue", 100 - i), ("green", i)]));
            now = Change::Traffic(&change).applied_to(&now).unwrap();
            ledger = ledger.with(&Change::Traffic(&change), &now).unwrap();
            changes.push((change, now.clone()));
        }
        let tags = written(&ledger);
        assert!(tags.0.len() <= TAGS + 1 && tags.0.values().all(|value| value.len() <= LONGEST));
        let read = Ledger::read("op", Some(&tags)).unwrap();
        assert_eq!(read.revision(&now.traffic, None), 100);
        let made = |change: &TrafficChange| read.made(&Change::Traffic(change), &now).unwrap();
        let known = changes.iter().filter(|(change, after)| made(change).as_ref() == Some(after)).count();
        println!("{known} changes are remembered");
        assert!(known >= 20, "{known}");
        assert!(changes.iter().all(|(change, after)| made(change).is_none_or(|then| then == *after)));
        let (last, _) = &changes[99];
        let mut other = last.clone();
        other.split = split(&[("blue", 100)]);
        assert_eq!(read.made(&Change::Traffic(&other), &now).unwrap_err().kind(), ErrorKind::Conflict);
    }

    #[test]
    fn what_others_change_counts_as_a_revision() {
        let change = traffic(split(&[("blue", 100)]));
        let after = Change::Traffic(&change).applied_to(&endpoint()).unwrap();
        let mut ledger = Ledger::default().with(&Change::Traffic(&change), &after).unwrap();
        assert_eq!(ledger.revision(&split(&[("blue", 100)]), None), 1);
        assert_eq!(ledger.revision(&split(&[("green", 100)]), None), 2);
        assert_eq!(Ledger::default().revision(&TrafficSplit::none(), None), 0);
        assert_eq!(Ledger::default().revision(&split(&[("green", 100)]), None), 1);
        ledger.forget_failed(&TrafficSplit::none(), None);
        assert_eq!(ledger, Ledger::default());
    }

    #[test]
    fn tags_that_leave_no_room_are_told() {
        let change = traffic(split(&[("blue", 100)]));
        let after = Change::Traffic(&change).applied_to(&endpoint()).unwrap();
        let ledger = Ledger::default().with(&Change::Traffic(&change), &after).unwrap();
        let mut full: TextMap = (0..50).map(|i| (format!("t{i}"), "x")).collect();
        assert_eq!(ledger.write("op", &mut full).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn any_text_in_the_tags_is_read_or_refused() {
        const LETTERS: &[u8] = b"09az,,,,:;+";
        let (mut random, mut read) = (Random::new(2026).stream("ledger"), 0);
        let mut draw = |n: usize| {
            let bound = NonZeroU64::new(u64::try_from(n).unwrap()).unwrap();
            usize::try_from(random.below(bound)).unwrap()
        };
        for _ in 0..2_000 {
            let texts: Vec<String> = (0..draw(3))
                .map(|_| (0..draw(30)).map(|_| char::from(LETTERS[draw(LETTERS.len())])).collect())
                .collect();
            let tags: TextMap = texts.iter().enumerate().map(|(i, t)| (format!("{TAG}{i}"), t)).collect();
            if let Ok(ledger) = Ledger::read("op", Some(&tags)) {
                assert_eq!(Ledger::read("op", Some(&written(&ledger))).unwrap(), ledger, "{texts:?}");
                read += 1;
            }
        }
        assert!(read > 0);
    }

    #[test]
    fn any_traffic_survives() {
        let mut random = Random::new(2026).stream("traffic");
        let mut draw = |n: u64| u8::try_from(random.below(NonZeroU64::new(n).unwrap())).unwrap();
        for _ in 0..500 {
            let (mut rest, mut shares, count) = (100_u8, Vec::new(), 1 + draw(20));
            for i in 0..count {
                let share = if i + 1 == count { rest } else { rest.min(draw(60)) };
                shares.push((format!("deployment-{i}"), share));
                rest -= share;
            }
            let shares: Vec<_> = shares.iter().map(|(name, share)| (name.as_str(), *share)).collect();
            let (change, mut before) = (traffic(split(&shares)), endpoint());
            before.mirror = Some(Mirror::new("shadow".parse().unwrap(), Percent::new(draw(51)).unwrap()));
            let after = Change::Traffic(&change).applied_to(&before).unwrap();
            let ledger = Ledger::default().with(&Change::Traffic(&change), &after).unwrap();
            let read = Ledger::read("op", Some(&written(&ledger))).unwrap();
            assert_eq!(read.made(&Change::Traffic(&change), &before).unwrap(), Some(after));
        }
    }
}
