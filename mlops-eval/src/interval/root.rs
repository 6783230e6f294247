//! Where a function changes its sign.

/// A root of `f` between `a` and `b`, at which it has opposite signs or 0, by the method of Chandrupatla (*A new hybrid
/// quadratic/bisection algorithm*, Advances in Engineering Software 28, 1997): inverse quadratic steps where they are safe,
/// halving elsewhere. Ends within a few ulps, after 100 steps at most. Where a root so close to an end that rounding leaves both
/// signs equal is all there is, the end with the smaller |f|.
pub(crate) fn root(a: f64, b: f64, f: impl Fn(f64) -> f64) -> f64 {
    let (mut x1, mut x2) = (b, a);
    let (mut f1, mut f2) = (f(x1), f(x2));
    if (f1 > 0.0) == (f2 > 0.0) || f1 == 0.0 || f2 == 0.0 {
        return if f1.abs() < f2.abs() { x1 } else { x2 };
    }
    let mut t = 0.5;
    for _ in 0..100 {
        let x = x1 + t * (x2 - x1);
        let fx = f(x);
        let (x3, f3) = if (fx > 0.0) == (f1 > 0.0) {
            (x1, f1)
        } else {
            let before = (x2, f2);
            (x2, f2) = (x1, f1);
            before
        };
        (x1, f1) = (x, fx);
        let best = if f1.abs() < f2.abs() { x1 } else { x2 };
        let tolerance = 2.0 * f64::EPSILON * best.abs() + f64::MIN_POSITIVE;
        let least = tolerance / (x2 - x1).abs();
        if least > 0.5 || f1 == 0.0 || f2 == 0.0 {
            return best;
        }
        let (xi, phi) = ((x1 - x2) / (x3 - x2), (f1 - f2) / (f3 - f2));
        let safe = 1.0 - (1.0 - xi).sqrt() < phi && phi < xi.sqrt();
        t = if safe {
            f1 / (f2 - f1) * (f3 / (f2 - f3)) + (x3 - x1) / (x2 - x1) * (f1 / (f3 - f1)) * (f2 / (f3 - f2))
        } else {
            0.5
        };
        t = t.clamp(least, 1.0 - least);
    }
    if f1.abs() < f2.abs() { x1 } else { x2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_found_from_any_bracket() {
        assert!((root(0.0, 2.0, |x| x * x - 2.0) - std::f64::consts::SQRT_2).abs() < 1e-15);
        assert!((root(1e9, -3.0, |x| x.powi(3) - 8.0) - 2.0).abs() < 1e-14);
        assert_eq!(root(0.0, 1.0, |x| x), 0.0);
        assert_eq!((root(0.0, 1.0, |x| x - 1.0), root(1.0, 0.0, |x| x - 1.0)), (1.0, 1.0));
        assert!((root(0.0, 1.0, |x| if x < 0.3 { -1.0 } else { 1.0 }) - 0.3).abs() < 1e-15);
    }

    #[test]
    fn a_bracket_without_a_change_of_sign_answers_its_better_end() {
        // The root is at 1, where rounding made the sign that of the other end.
        for (a, b) in [(0.0, 1.0), (1.0, 0.0)] {
            assert_eq!(root(a, b, |x| x - 1.0 - 1e-17), 1.0);
            assert_eq!(root(a, b, |x| x - 1.0 - 1e-16), 1.0);
            assert_eq!(root(a, b, |x| 1.0 + 1e-15 - x), 1.0);
            assert_eq!(root(a, b, |x| x + 1e-15), 0.0);
        }
    }
}
