//! The laws of distributions: their quantile functions, and the values that they give.

use super::distribution::Distribution;
use super::normal;
use super::value::Value;

/// The value at a probability in (0, 1): the inverse of the cumulative distribution function. `None` for a choice, which has
/// no order, and for a fixed value.
pub(in crate::experiment) fn quantile(distribution: &Distribution, p: f64) -> Option<Value> {
    let between = |low: f64, high: f64| (low + p * (high - low)).clamp(low, high);
    Some(match *distribution {
        Distribution::Choice { .. } | Distribution::Fixed { .. } => return None,
        Distribution::RandInt { upper } => Value::Int(index(p, upper).cast_signed()),
        Distribution::Uniform { min, max } => Value::Float(between(min, max)),
        Distribution::QUniform { min, max, q } => Value::Float(rounded(between(min, max), q)),
        Distribution::LogUniform { min, max } => Value::Float(exp_between(between(min, max), min, max)),
        Distribution::QLogUniform { min, max, q } => {
            Value::Float(rounded(exp_between(between(min, max), min, max), q))
        }
        Distribution::Normal { mu, sigma } => Value::Float(mu + sigma * normal::quantile(p)),
        Distribution::QNormal { mu, sigma, q } => Value::Float(rounded(mu + sigma * normal::quantile(p), q)),
        Distribution::LogNormal { mu, sigma } => Value::Float((mu + sigma * normal::quantile(p)).exp()),
        Distribution::QLogNormal { mu, sigma, q } => {
            Value::Float(rounded((mu + sigma * normal::quantile(p)).exp(), q))
        }
        Distribution::Int { low, high, log: true, .. } => Value::Int(log_int(p, low, high)),
        Distribution::Int { low, high, step, .. } => {
            let steps = high.abs_diff(low) / step;
            Value::Int(nth_int(low, step, index(p, steps + 1)))
        }
        Distribution::Float { low, high, step: Some(step), .. } => {
            let steps = steps(low, high, step);
            Value::Float(nth_float(low, high, step, index(p, steps + 1)))
        }
        Distribution::Float { low, high, log: true, .. } => {
            Value::Float(between(low.ln(), high.ln()).exp().clamp(low, high))
        }
        Distribution::Float { low, high, .. } => Value::Float(between(low, high)),
    })
}

/// Which of `count` equal parts of (0, 1) a probability lies in.
pub(in crate::experiment) fn index(p: f64, count: u64) -> u64 {
    #[expect(clippy::cast_sign_loss, reason = "a product of two positive numbers")]
    let index = (p * count as f64) as u64;
    index.min(count.saturating_sub(1))
}

/// How many steps lie between two numbers; a rounding error does not cost the last one.
pub(in crate::experiment) fn steps(low: f64, high: f64, step: f64) -> u64 {
    #[expect(clippy::cast_sign_loss, reason = "checked: the range is not negative and the step positive")]
    let steps = ((high - low) / step * (1.0 + 4.0 * f64::EPSILON)).floor() as u64;
    steps
}

pub(in crate::experiment) fn nth_float(low: f64, high: f64, step: f64, n: u64) -> f64 {
    (low + step * n as f64).clamp(low, high) + 0.0
}

pub(in crate::experiment) fn nth_int(low: i64, step: u64, n: u64) -> i64 {
    low.saturating_add_unsigned(step.saturating_mul(n))
}

/// The multiple of `q` nearest to a number, halves to the even one.
pub(in crate::experiment) fn rounded(value: f64, q: f64) -> f64 {
    (value / q).round_ties_even() * q + 0.0
}

fn exp_between(log: f64, min: f64, max: f64) -> f64 {
    log.exp().clamp(min.exp(), max.exp())
}

/// Each whole number takes the probability of the half step on both sides of it, in the logarithm.
fn log_int(p: f64, low: i64, high: i64) -> i64 {
    let (from, to) = ((low as f64 - 0.5).ln(), (high as f64 + 0.5).ln());
    ((from + p * (to - from)).exp().round() as i64).clamp(low, high)
}

/// Whether the distribution gives a value; choices are not asked here.
pub(in crate::experiment) fn contains(distribution: &Distribution, value: &Value) -> bool {
    if let Distribution::Fixed { value: fixed } = distribution {
        return super::check::same(fixed, value);
    }
    let Some(x) = value.as_f64() else { return false };
    let multiple =
        |low: f64, high: f64, q: f64| (rounded(low, q)..=rounded(high, q)).contains(&x) && rounded(x, q) == x;
    match *distribution {
        Distribution::Choice { .. } | Distribution::Fixed { .. } => false,
        Distribution::RandInt { upper } => whole(value).is_some_and(|n| n >= 0 && n.unsigned_abs() < upper),
        Distribution::Uniform { min, max } => (min..=max).contains(&x),
        Distribution::QUniform { min, max, q } => multiple(min, max, q),
        Distribution::LogUniform { min, max } => (min.exp()..=max.exp()).contains(&x),
        Distribution::QLogUniform { min, max, q } => multiple(min.exp(), max.exp(), q),
        Distribution::Normal { .. } => true,
        Distribution::QNormal { q, .. } => rounded(x, q) == x,
        Distribution::LogNormal { .. } => x > 0.0,
        Distribution::QLogNormal { q, .. } => x >= 0.0 && rounded(x, q) == x,
        Distribution::Int { low, high, step, .. } => {
            whole(value).is_some_and(|n| (low..=high).contains(&n) && n.abs_diff(low).is_multiple_of(step))
        }
        Distribution::Float { low, high, step, .. } => {
            let on_step = |step: f64| {
                #[expect(clippy::cast_sign_loss, reason = "not below `low`, by the test before")]
                let n = ((x - low) / step).round() as u64;
                nth_float(low, high, step, n) == x && n <= steps(low, high, step)
            };
            (low..=high).contains(&x) && step.is_none_or(on_step)
        }
    }
}

/// A whole number, of a number that is one too.
pub(in crate::experiment) fn whole(value: &Value) -> Option<i64> {
    match *value {
        Value::Int(value) => Some(value),
        Value::Float(value) if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 => {
            Some(value as i64)
        }
        _ => None,
    }
}
