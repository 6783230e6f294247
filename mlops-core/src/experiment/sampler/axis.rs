//! A parameter as a model sees it: a number on a line, or one of several options.

use crate::experiment::space::law::{nth_float, nth_int, quantile, rounded, steps, whole};
use crate::experiment::space::normal::{cdf, quantile as normal_quantile};
use crate::experiment::space::{ChoiceOption, Distribution, Value, option_of};

/// How far a normal parameter may lie from its mean, in standard deviations.
const REACH: f64 = 9.0;

/// A parameter of more than one value.
#[derive(Clone, Debug)]
pub(super) enum Axis<'a> {
    Number(Number<'a>),
    Options(&'a [ChoiceOption]),
}

/// A parameter on a line: the line is the number's own, or its logarithm's.
#[derive(Clone, Debug)]
pub(super) struct Number<'a> {
    distribution: &'a Distribution,
    /// The ends of the line; of values on a grid, half a step beyond the outer ones, as each value stands for its cell.
    pub(super) low: f64,
    pub(super) high: f64,
    /// Where the prior has its middle, and how wide it is.
    pub(super) centre: f64,
    pub(super) width: f64,
    /// Whether values lie on a grid.
    pub(super) is_discrete: bool,
    log: bool,
}

impl<'a> Axis<'a> {
    /// The axis of a parameter; none for one that has a single value.
    pub(super) fn new(distribution: &'a Distribution) -> Option<Self> {
        match distribution {
            Distribution::Fixed { .. } => None,
            Distribution::Choice { values } => match values.as_slice() {
                [ChoiceOption::Value(_)] => None,
                values => Some(Self::Options(values)),
            },
            other => Number::new(other).map(Self::Number),
        }
    }

    /// Where a value stands on the axis: a place on the line, or the number of an option. `None` for a value of no such
    /// parameter.
    pub(super) fn encode(&self, value: &Value) -> Option<f64> {
        match self {
            Self::Number(number) => number.encode(value),
            Self::Options(options) => option_of(options, value).map(|index| index as f64),
        }
    }
}

impl<'a> Number<'a> {
    fn new(distribution: &'a Distribution) -> Option<Self> {
        let (low, high, log, is_discrete) = match *distribution {
            Distribution::Choice { .. } | Distribution::Fixed { .. } => return None,
            Distribution::RandInt { upper } => (-0.5, upper as f64 - 0.5, false, true),
            Distribution::Uniform { min, max } => (min, max, false, false),
            Distribution::QUniform { min, max, .. } => (min, max, false, true),
            Distribution::LogUniform { min, max } => (min, max, true, false),
            Distribution::QLogUniform { min, max, .. } => (min, max, true, true),
            Distribution::Normal { mu, sigma } => {
                return Some(Self::normal(distribution, mu, sigma, false, false));
            }
            Distribution::QNormal { mu, sigma, .. } => {
                return Some(Self::normal(distribution, mu, sigma, false, true));
            }
            Distribution::LogNormal { mu, sigma } => {
                return Some(Self::normal(distribution, mu, sigma, true, false));
            }
            Distribution::QLogNormal { mu, sigma, .. } => {
                return Some(Self::normal(distribution, mu, sigma, true, true));
            }
            Distribution::Int { low, high, log: true, .. } => {
                ((low as f64 - 0.5).ln(), (high as f64 + 0.5).ln(), true, true)
            }
            Distribution::Int { low, high, step, .. } => {
                let last = nth_int(low, step, high.abs_diff(low) / step);
                let half = step as f64 / 2.0;
                (low as f64 - half, last as f64 + half, false, true)
            }
            Distribution::Float { low, high, step: Some(step), .. } => {
                let last = nth_float(low, high, step, steps(low, high, step));
                (low - step / 2.0, last + step / 2.0, false, true)
            }
            Distribution::Float { low, high, log: true, .. } => (low.ln(), high.ln(), true, false),
            Distribution::Float { low, high, .. } => (low, high, false, false),
        };
        // Of ends that meet there is one value; the two outer quantiles find one value on a grid.
        let single = is_discrete && quantile(distribution, 1e-9) == quantile(distribution, 1.0 - 1e-9);
        if single || low >= high {
            return None;
        }
        Some(Self {
            distribution,
            low,
            high,
            centre: 0.5 * (low + high),
            width: high - low,
            is_discrete,
            log,
        })
    }

    fn normal(distribution: &'a Distribution, mu: f64, sigma: f64, log: bool, is_discrete: bool) -> Self {
        let (low, high) = (mu - REACH * sigma, mu + REACH * sigma);
        Self { distribution, low, high, centre: mu, width: sigma, is_discrete, log }
    }

    fn encode(&self, value: &Value) -> Option<f64> {
        let whole_only = matches!(self.distribution, Distribution::Int { .. } | Distribution::RandInt { .. });
        let x = if whole_only { whole(value)? as f64 } else { value.as_f64()? };
        Some(self.on_line(x).clamp(self.low, self.high))
    }

    /// A place as a share of the line, in [0, 1]; of a normal law, as its probability.
    pub(super) fn share(&self, place: f64) -> f64 {
        if self.is_normal() {
            return cdf((place - self.centre) / self.width);
        }
        (place - self.low) / (self.high - self.low)
    }

    /// The place of a share.
    pub(super) fn place(&self, share: f64) -> f64 {
        if self.is_normal() {
            let least = f64::EPSILON / 4.0;
            return self.centre + self.width * normal_quantile(share.clamp(least, 1.0 - f64::EPSILON));
        }
        self.low + share * (self.high - self.low)
    }

    fn is_normal(&self) -> bool {
        // The line of a normal law reaches beyond its width.
        self.high - self.low > self.width
    }

    fn on_line(&self, x: f64) -> f64 {
        if self.log { x.max(0.0).ln() } else { x }
    }

    /// The value nearest to a place on the line.
    pub(super) fn decode(&self, place: f64) -> Value {
        let place = place.clamp(self.low, self.high);
        let x = if self.log { place.exp() } else { place };
        match *self.distribution {
            Distribution::RandInt { upper } => {
                let last = i64::try_from(upper - 1).unwrap_or(i64::MAX);
                Value::Int((x.round() as i64).clamp(0, last))
            }
            Distribution::Int { low, high, log: true, .. } => Value::Int((x.round() as i64).clamp(low, high)),
            Distribution::Int { low, high, step, .. } => {
                #[expect(clippy::cast_sign_loss, reason = "clamped at zero")]
                let n = ((x - low as f64) / step as f64).round().max(0.0) as u64;
                Value::Int(nth_int(low, step, n.min(high.abs_diff(low) / step)))
            }
            Distribution::Float { low, high, step: Some(step), .. } => {
                #[expect(clippy::cast_sign_loss, reason = "clamped at zero")]
                let n = ((x - low) / step).round().max(0.0) as u64;
                Value::Float(nth_float(low, high, step, n.min(steps(low, high, step))))
            }
            Distribution::Float { low, high, .. } => Value::Float(x.clamp(low, high)),
            Distribution::LogUniform { min, max } => Value::Float(x.clamp(min.exp(), max.exp())),
            Distribution::QUniform { q, .. }
            | Distribution::QLogUniform { q, .. }
            | Distribution::QNormal { q, .. }
            | Distribution::QLogNormal { q, .. } => Value::Float(rounded(x, q)),
            _ => Value::Float(x),
        }
    }

    /// The part of the line that a value on a grid stands for.
    pub(super) fn cell(&self, value: &Value) -> (f64, f64) {
        let x = value.as_f64().unwrap_or_default();
        let half = 0.5
            * match *self.distribution {
                Distribution::Int { step, .. } => step as f64,
                Distribution::Float { step: Some(step), .. } => step,
                Distribution::QUniform { q, .. }
                | Distribution::QLogUniform { q, .. }
                | Distribution::QNormal { q, .. }
                | Distribution::QLogNormal { q, .. } => q,
                _ => 1.0,
            };
        let inside = |x: f64| self.on_line(x).clamp(self.low, self.high);
        (inside(x - half), inside(x + half))
    }
}
