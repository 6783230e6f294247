//! Cohen's kappa.

use serde::{Deserialize, Serialize};

use crate::num::{Measured, StatsError};

/// The most classes: their pairs are gone through.
const MAX_CLASSES: usize = 10_000;

/// How far apart two classes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KappaWeights {
    /// Different is different. The default.
    #[default]
    None,
    /// By the difference of the codes.
    Linear,
    /// By its square.
    Quadratic,
}

impl KappaWeights {
    fn between(self, a: usize, b: usize) -> f64 {
        let apart = a.abs_diff(b) as f64;
        match self {
            Self::None => f64::from(u8::from(a != b)),
            Self::Linear => apart,
            Self::Quadratic => apart * apart,
        }
    }
}

/// Cohen's kappa of two raters: 1 − Σ w·observed ÷ Σ w·expected, where `expected` is what two raters with these shares of
/// classes would agree on by chance, and w is 0 on the diagonal. Codes run from 0 to `classes` − 1.
///
/// From −1 to 1; 0 is chance. Undefined when both always give the same class: chance alone explains it. O(n + classes²), at
/// most 10 000 classes. Agrees with scikit-learn 1.9.1's `cohen_kappa_score` to 1e-12.
///
/// Source: Cohen, "A coefficient of agreement for nominal scales" (1960), and "Weighted kappa" (1968).
///
/// ```
/// use mlops_core::data::{KappaWeights, cohen_kappa};
/// let kappa = cohen_kappa(&[0, 0, 1, 1], &[0, 1, 1, 1], 2, KappaWeights::None)?;
/// assert_eq!(kappa.value(), Some(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::LengthMismatch`], [`StatsError::UnknownCode`] for a code beyond the classes and
/// [`StatsError::Parameter`] for too many classes.
pub fn cohen_kappa(
    a: &[usize],
    b: &[usize],
    classes: usize,
    weights: KappaWeights,
) -> Result<Measured, StatsError> {
    if a.is_empty() {
        return Err(StatsError::Empty { argument: "a" });
    }
    if a.len() != b.len() {
        return Err(StatsError::LengthMismatch {
            left: "a",
            left_len: a.len(),
            right: "b",
            right_len: b.len(),
        });
    }
    if classes > MAX_CLASSES {
        let value = classes as f64;
        return Err(StatsError::Parameter { parameter: "classes", value, reason: "must be 10000 at most" });
    }
    let count = |argument: &'static str, codes: &[usize]| {
        let mut counts = vec![0.0; classes];
        for (index, &code) in codes.iter().enumerate() {
            let known = classes as u64;
            let slot = counts.get_mut(code);
            *slot.ok_or(StatsError::UnknownCode { argument, index, code: code as u64, known })? += 1.0;
        }
        Ok(counts)
    };
    let (of_a, of_b) = (count("a", a)?, count("b", b)?);
    let n = a.len() as f64;
    let observed: f64 = a.iter().zip(b).map(|(&a, &b)| weights.between(a, b)).sum();
    let mut expected = 0.0;
    for (i, x) in of_a.iter().enumerate().filter(|(_, x)| **x > 0.0) {
        expected += of_b.iter().enumerate().map(|(j, y)| weights.between(i, j) * x * y / n).sum::<f64>();
    }
    Ok(Measured::ratio(observed, expected).map(|ratio| 1.0 - ratio))
}
