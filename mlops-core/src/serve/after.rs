//! What is done with the answers of a model.

use super::ensemble::{Link, narrow};

/// An operation with a constant c.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// x · c.
    Times,
    /// x + c.
    Plus,
    /// x − c.
    Minus,
    /// c − x.
    From,
    /// x / c.
    Over,
}

/// One step after the model.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum After {
    /// An operation with one constant for all answers of a row or one for each; `wide` in double precision, else in single.
    Constants { operation: Operation, constants: Vec<f64>, wide: bool },
    /// A function of the answers of a row that makes as many.
    Link(Link),
    /// Rounding to single precision.
    Narrow,
}

impl Operation {
    fn of(self, x: f64, c: f64) -> f64 {
        match self {
            Self::Times => x * c,
            Self::Plus => x + c,
            Self::Minus => x - c,
            Self::From => c - x,
            Self::Over => x / c,
        }
    }

    /// Whether nothing changes.
    fn idles(self, c: f64) -> bool {
        match self {
            Self::Times | Self::Over => c == 1.0,
            Self::Plus | Self::Minus => c == 0.0,
            Self::From => false,
        }
    }
}

impl After {
    /// Whether nothing changes.
    pub(super) fn idles(&self) -> bool {
        match self {
            Self::Constants { operation, constants, .. } => constants.iter().all(|c| operation.idles(*c)),
            Self::Link(link) => *link == Link::Identity,
            Self::Narrow => false,
        }
    }

    /// Changes answers that lie row by row, so many a row.
    pub(super) fn apply(&self, answers: &mut [f64], outputs: usize) {
        match self {
            Self::Constants { operation, constants, wide } => {
                let round = |x: f64| if *wide { x } else { narrow(x) };
                // Double precision has more than twice the digits of single: rounding twice is rounding once.
                for row in answers.chunks_mut(outputs.max(1)) {
                    for (x, c) in row.iter_mut().zip(constants.iter().cycle()) {
                        *x = round(operation.of(round(*x), *c));
                    }
                }
            }
            Self::Link(link) => {
                let mut one = Vec::with_capacity(outputs);
                for row in answers.chunks_mut(outputs.max(1)) {
                    one.clear();
                    one.extend_from_slice(row);
                    link.apply(&mut one);
                    row.iter_mut().zip(&one).for_each(|(x, answer)| *x = *answer);
                }
            }
            Self::Narrow => answers.iter_mut().for_each(|x| *x = narrow(*x)),
        }
    }
}
