//! From sums to answers.

/// What is done with the sums of a model, one for each output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::serve) enum Link {
    /// Nothing.
    Identity,
    /// 1 / (1 + e^(−scale·z)) of each.
    Logistic { scale: f64 },
    /// e^z / Σ e^z.
    Softmax,
    /// ONNX's SOFTMAX_ZERO: as softmax, but what is (nearly) 0 stays as it is.
    SoftmaxZero,
    /// e^z of each.
    Exp,
    /// sign(z)·z² of each: the way back from a square root.
    SignedSquare,
    /// ln(1 + e^z) of each.
    Softplus,
    /// 1 where z > 0, else 0.
    Step,
    /// The inverse of the normal distribution as ONNX computes it: √2 · erfinv(2z − 1), by Winitzki's approximation.
    Probit,
    /// One sum z of a binary model becomes the two answers 1 − z and z.
    Complement,
    /// One sum z of a binary model becomes the logistic functions of −z and z.
    LogisticPair,
    /// The logistic function of each, divided by their sum.
    LogisticShare,
    /// One sum z of a binary model becomes the two answers −z and z.
    Negated,
    /// Each divided by the sum of all; as they are, where that is 0.
    Share,
}

impl Link {
    /// How many answers become of so many sums.
    pub(in crate::serve) fn width(self, sums: usize) -> usize {
        if matches!(self, Self::Complement | Self::LogisticPair | Self::Negated) { 2 } else { sums }
    }

    /// Turns sums into answers, in place; [`width`](Self::width) says how many there are then.
    pub(in crate::serve) fn apply(self, sums: &mut Vec<f64>) {
        match self {
            Self::Identity => {}
            Self::Logistic { scale } => each(sums, |z| logistic(scale * z)),
            Self::Softmax => softmax(sums, |_| true),
            Self::SoftmaxZero => softmax(sums, |z| z.abs() > 1e-7),
            Self::Exp => each(sums, f64::exp),
            Self::SignedSquare => each(sums, |z| z.signum() * z * z),
            Self::Softplus => each(sums, |z| z.exp().ln_1p()),
            Self::Step => each(sums, |z| f64::from(u8::from(z > 0.0))),
            Self::Probit => each(sums, probit),
            Self::Complement => pair(sums, |z| 1.0 - z),
            Self::LogisticPair => {
                if let Some(&z) = sums.first() {
                    *sums = vec![logistic(-z), logistic(z)];
                }
            }
            Self::LogisticShare => {
                each(sums, logistic);
                share(sums);
            }
            Self::Negated => pair(sums, |z| -z),
            Self::Share => share(sums),
        }
    }

    /// Turns the one sum of a model with one output into its answer.
    #[inline]
    pub(in crate::serve) fn one(self, z: f64) -> f64 {
        match self {
            Self::Identity => z,
            Self::Logistic { scale } => logistic(scale * z),
            _ => {
                let mut sums = vec![z];
                self.apply(&mut sums);
                sums.first().copied().unwrap_or(z)
            }
        }
    }
}

fn each(sums: &mut [f64], change: impl Fn(f64) -> f64) {
    for z in sums {
        *z = change(*z);
    }
}

fn share(sums: &mut [f64]) {
    let total: f64 = sums.iter().sum();
    if total != 0.0 {
        each(sums, |z| z / total);
    }
}

fn pair(sums: &mut Vec<f64>, other: impl Fn(f64) -> f64) {
    if let Some(&z) = sums.first() {
        *sums = vec![other(z), z];
    }
}

/// Shares of e^(z − max) among those that take part.
fn softmax(sums: &mut [f64], takes_part: impl Fn(f64) -> bool) {
    let most = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut total = 0.0;
    for z in &mut *sums {
        if takes_part(*z) {
            *z = (*z - most).exp();
            total += *z;
        }
    }
    if total > 0.0 {
        each(sums, |z| z / total);
    }
}

/// 1 / (1 + e⁻ᶻ) without overflow: never outside [0, 1], NaN only for NaN.
pub(in crate::serve) fn logistic(z: f64) -> f64 {
    if z >= 0.0 {
        1.0 / (1.0 + (-z).exp())
    } else {
        let e = z.exp();
        e / (1.0 + e)
    }
}

/// √2 · erfinv(2z − 1) by Winitzki's approximation with a = 0.147, as the operator of ONNX is computed everywhere.
fn probit(z: f64) -> f64 {
    let x = 2.0 * z - 1.0;
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let v = 2.0 / (std::f64::consts::PI * 0.147) + 0.5 * log;
    let root = ((v * v - log / 0.147).sqrt() - v).sqrt();
    std::f64::consts::SQRT_2 * x.signum() * root
}
