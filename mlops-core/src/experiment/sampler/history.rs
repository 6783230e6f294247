//! What a model learns from: earlier trials in the order of their numbers, and which are the better ones.

use std::cmp::Ordering;

use super::observation::{Goal, Observation, Outcome};
use crate::experiment::space::Assignment;

/// An earlier trial, at one level of the space.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) number: u64,
    pub(super) values: &'a Assignment,
    pub(super) standing: Standing,
}

/// How good a trial was; the smaller the better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Standing {
    /// Its loss.
    Completed(f64),
    /// How far it came, and its loss there; a NaN or nothing is the worst.
    Pruned(u64, f64),
    Running,
}

impl Standing {
    /// Completed before pruned before running; completed by loss, pruned by how far they came and then by loss.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Completed(a), Self::Completed(b)) => a.total_cmp(b),
            (Self::Pruned(far, a), Self::Pruned(farther, b)) => farther.cmp(far).then(a.total_cmp(b)),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Completed(_) => 0,
            Self::Pruned(..) => 1,
            Self::Running => 2,
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        *self != Self::Running
    }
}

/// The trials that say something, by number: failed ones, those without a number, and the one asked for are left out.
pub(super) fn known(history: &[Observation], goal: Goal, asked: u64) -> Vec<Known<'_>> {
    let standing = |outcome: &Outcome| match *outcome {
        Outcome::Completed { value } if value.is_nan() => None,
        Outcome::Completed { value } => Some(Standing::Completed(goal.loss(value) + 0.0)),
        Outcome::Pruned { value, step } => {
            let loss = value.filter(|v| !v.is_nan()).map_or(f64::INFINITY, |v| goal.loss(v) + 0.0);
            Some(Standing::Pruned(step, loss))
        }
        Outcome::Running => Some(Standing::Running),
        Outcome::Failed => None,
    };
    let mut known: Vec<Known<'_>> = history
        .iter()
        .filter(|observation| observation.number != asked)
        .filter_map(|observation| {
            let standing = standing(&observation.outcome)?;
            Some(Known { number: observation.number, values: &observation.assignment, standing })
        })
        .collect();
    known.sort_by_key(|known| known.number);
    known
}
