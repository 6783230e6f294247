//! How far the annotators of a queue agree.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::agreement::{
    KappaWeights, Level, Ratings, cohen_kappa, fleiss_kappa, krippendorff_alpha, percent_agreement,
};
use super::queue::{LabelQueue, State};
use crate::error::Result;
use crate::id::ActorId;
use crate::num::Measured;

/// The most pairs of annotators that are listed.
const MAX_PAIRS: usize = 100;

/// The most classes that Fleiss' kappa is computed for.
const MAX_COUNTED: usize = 1_000;

/// How far two annotators agree.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairAgreement {
    /// One of them.
    pub first: ActorId,
    /// The other.
    pub second: ActorId,
    /// How many tasks both have labelled.
    pub tasks: usize,
    /// The share of those with the same label.
    pub same: Measured,
    /// Cohen's kappa; with linear weights for ordered classes, `None` for numbers.
    pub kappa: Option<Measured>,
}

/// How far a model agrees with people.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelAgreement {
    /// The model.
    pub model: String,
    /// How many tasks with a label it has made a suggestion for.
    pub tasks: usize,
    /// The share of those where the label is what it suggested.
    pub same: Measured,
    /// The same for tasks that nobody labelled with a suggestion in sight: not flattered by it.
    pub same_blind: Measured,
}

/// How far the annotators of a queue agree; models are apart.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgreementReport {
    /// The version of this report's shape: 1.
    pub schema_version: u32,
    /// How many tasks have two labels at least.
    pub tasks: usize,
    /// How many labels annotators gave.
    pub votes: usize,
    /// How many of them with a model's suggestion in sight.
    pub assisted: usize,
    /// The share of pairs of labels of one task that are the same.
    pub same: Measured,
    /// What the numbers mean.
    pub level: Level,
    /// Krippendorff's alpha.
    pub alpha: Measured,
    /// Alpha of the labels that were given without a suggestion in sight.
    pub alpha_blind: Measured,
    /// Fleiss' kappa over the tasks with as many labels as the project asks for; `None` for numbers, for fewer than two, and
    /// for more than 1000 classes.
    pub fleiss: Option<Measured>,
    /// Pairs of annotators, those with most tasks in common first, at most 100.
    pub pairs: Vec<PairAgreement>,
    /// Models, by name.
    pub models: Vec<ModelAgreement>,
}

impl LabelQueue {
    /// How far annotators agree with each other, and models with them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for what alpha cannot be computed of: more than 10 000
    /// different ratios.
    ///
    /// ```
    /// use mlops_core::data::{LabelProject, LabelQueue, LabelScheme, LabelTask};
    /// use mlops_core::{ActorId, AssetName};
    ///
    /// let now = "2026-03-02T09:00:00Z".parse()?;
    /// let scheme = LabelScheme::nominal(["ill", "well"])?;
    /// let mut queue = LabelQueue::new(LabelProject::new(AssetName::new("triage")?, scheme).with_overlap(2))?;
    /// for (id, labels) in [("a", ["ill", "ill"]), ("b", ["well", "ill"]), ("c", ["well", "well"])] {
    ///     queue.add(LabelTask::of(id, id.as_bytes()), now)?;
    ///     for (who, label) in ["ann", "ben"].iter().zip(labels) {
    ///         let who = ActorId::new(*who)?;
    ///         queue.claim(&who, now)?;
    ///         queue.submit(&who, id, label, now)?;
    ///     }
    /// }
    /// let report = queue.agreement()?;
    /// assert_eq!((report.tasks, report.votes), (3, 6));
    /// assert!((report.alpha.value().ok_or("none")? - 4.0 / 9.0).abs() < 1e-12);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn agreement(&self) -> Result<AgreementReport> {
        let level = self.project().scheme.level();
        let all = self.ratings(|_| true)?;
        let blind = self.ratings(|assisted| !assisted)?;
        let votes = || self.tasks.iter().flat_map(|state| &state.votes);
        Ok(AgreementReport {
            schema_version: 1,
            tasks: self.tasks.iter().filter(|state| state.votes.len() > 1).count(),
            votes: votes().count(),
            assisted: votes().filter(|vote| vote.assisted).count(),
            same: percent_agreement(&all),
            level,
            alpha: krippendorff_alpha(&all, level)?,
            alpha_blind: krippendorff_alpha(&blind, level)?,
            fleiss: self.fleiss()?,
            pairs: self.pairs()?,
            models: self.models()?,
        })
    }

    /// The labels of every task as numbers, for [`krippendorff_alpha`] and its interval: a class's place, or the number.
    ///
    /// # Errors
    /// None that a caller can bring about: labels were checked when they were given.
    pub fn votes_as_ratings(&self) -> Result<Ratings> {
        self.ratings(|_| true)
    }

    fn ratings(&self, keep: impl Fn(bool) -> bool) -> Result<Ratings> {
        let of_task = |state: &State| {
            let votes = state.votes.iter().filter(|vote| keep(vote.assisted));
            votes.map(|vote| self.project().scheme.code(&vote.label)).collect::<Result<Vec<f64>>>()
        };
        let units = self.tasks.iter().map(of_task).collect::<Result<Vec<_>>>()?;
        Ok(Ratings::of_units(units)?)
    }

    #[expect(clippy::cast_sign_loss, reason = "codes of classes are places")]
    fn fleiss(&self) -> Result<Option<Measured>> {
        let (overlap, classes) = (self.project().overlap, self.project().scheme.classes().map(<[_]>::len));
        let Some(classes) = classes.filter(|classes| overlap > 1 && *classes <= MAX_COUNTED) else {
            return Ok(None);
        };
        let mut counts = Vec::new();
        for state in self.tasks.iter().filter(|state| state.votes.len() == overlap) {
            let mut unit = vec![0; classes];
            for vote in &state.votes {
                unit[self.project().scheme.code(&vote.label)? as usize] += 1;
            }
            counts.push(unit);
        }
        if counts.is_empty() { Ok(None) } else { Ok(Some(fleiss_kappa(&counts)?)) }
    }

    #[expect(clippy::cast_sign_loss, reason = "codes of classes are places")]
    fn pairs(&self) -> Result<Vec<PairAgreement>> {
        let scheme = &self.project().scheme;
        let mut shared: BTreeMap<(&ActorId, &ActorId), Vec<(f64, f64)>> = BTreeMap::new();
        for state in &self.tasks {
            for (i, a) in state.votes.iter().enumerate() {
                for b in &state.votes[i + 1..] {
                    let (a, b) = if a.annotator < b.annotator { (a, b) } else { (b, a) };
                    let codes = (scheme.code(&a.label)?, scheme.code(&b.label)?);
                    shared.entry((&a.annotator, &b.annotator)).or_default().push(codes);
                }
            }
        }
        let mut pairs: Vec<_> = shared.into_iter().collect();
        pairs.sort_by_key(|(_, labels)| std::cmp::Reverse(labels.len()));
        let weights =
            if scheme.level() == Level::Ordinal { KappaWeights::Linear } else { KappaWeights::None };
        let pair = |((first, second), labels): ((&ActorId, &ActorId), Vec<(f64, f64)>)| {
            let same = labels.iter().filter(|(a, b)| a == b).count() as f64;
            let kappa = scheme.classes().map(|classes| {
                let (a, b): (Vec<usize>, Vec<usize>) =
                    labels.iter().map(|(a, b)| (*a as usize, *b as usize)).unzip();
                cohen_kappa(&a, &b, classes.len(), weights)
            });
            Ok(PairAgreement {
                first: first.clone(),
                second: second.clone(),
                tasks: labels.len(),
                same: Measured::ratio(same, labels.len() as f64),
                kappa: kappa.transpose()?,
            })
        };
        pairs.into_iter().take(MAX_PAIRS).map(pair).collect()
    }

    fn models(&self) -> Result<Vec<ModelAgreement>> {
        let scheme = &self.project().scheme;
        // Of each model: tasks, the same, blind tasks, the same.
        let mut models: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
        for state in &self.tasks {
            let Some(label) = &state.label else { continue };
            let blind = usize::from(state.votes.iter().all(|vote| !vote.assisted));
            for prelabel in &state.prelabels {
                let same = usize::from(scheme.code(&prelabel.label)? == scheme.code(label)?);
                let counts = models.entry(&prelabel.model).or_default();
                for (count, more) in counts.iter_mut().zip([1, same, blind, blind * same]) {
                    *count += more;
                }
            }
        }
        let ratio = |a: usize, b: usize| Measured::ratio(a as f64, b as f64);
        let of_model = |(model, [tasks, same, blind, same_blind]): (&str, [usize; 4])| ModelAgreement {
            model: model.to_owned(),
            tasks,
            same: ratio(same, tasks),
            same_blind: ratio(same_blind, blind),
        };
        Ok(models.into_iter().map(of_model).collect())
    }
}
