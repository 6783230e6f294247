//! Tails of sums of weighted χ² variables, the limit laws of Cramér–von Mises and Anderson–Darling statistics.
//!
//! Such a law is known by its moment generating function M(s) = Π (1 − 2λⱼs)^(−1/2), in closed form or, given ties, by a
//! recursion. The tail is its inversion
//!
//! > P(Q ≥ x) = 1/(2πi) ∫ e^(−sx) M(s)/s ds
//!
//! along a parabola that crosses the real axis at the saddle point of the integrand and opens to the right, around the poles of M.
//! On it the integrand is a bell, for which the trapezoidal rule converges geometrically, and its height e^(−cx) M(c)/c is kept
//! as a logarithm: the relative error does not depend on how small the tail is (A. Daniels, *Saddlepoint approximations in
//! statistics*, Ann. Math. Stat. 25, 1954, without the approximation). Left of the mean the lower tail is computed
//! instead, with the saddle point left of 0.

use std::f64::consts::{FRAC_PI_2, LN_2, PI, TAU};

use super::complex::Complex;

/// A law Σ λⱼ χ²ⱼ with positive weights, known by its moment generating function.
pub(crate) trait QuadraticForm {
    /// Where M stops to exist: 1/(2·max λ).
    fn edge(&self) -> f64;

    /// The expectation Σ λⱼ.
    fn mean(&self) -> f64;

    /// ln M at a real s below the edge and not 0.
    fn ln_real(&self, s: f64) -> f64;

    /// ln M above the real axis, continued from the real values below the edge.
    fn ln_complex(&self, s: Complex) -> Complex;
}

/// ln P(Q ≥ x) for finite x.
pub(crate) fn ln_sf(law: &impl QuadraticForm, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let contour = Contour::new(law, x);
    if contour.upper {
        return contour.ln_tail(law, x).min(0.0);
    }
    // A lower tail that is too small for a double leaves the whole to the upper one.
    if contour.ln_height < -800.0 {
        return 0.0;
    }
    (-contour.ln_tail(law, x).exp().clamp(0.0, 0.9)).ln_1p()
}

/// The parabola s(u) = c + w(iu + κu²), which follows the path of steepest descent from the saddle point c.
struct Contour {
    /// Whether the tail above x is computed; the one below otherwise.
    upper: bool,
    saddle: f64,
    width: f64,
    bend: f64,
    ln_height: f64,
}

impl Contour {
    /// Nodes are this far apart. The nearest singularity in u is more than 0.7 away, which leaves exp(−2π·0.7/0.1) ≈ 1e-19.
    const STEP: f64 = 0.1;

    fn new(law: &impl QuadraticForm, x: f64) -> Self {
        let (upper, edge) = (x >= law.mean(), law.edge());
        // Any s of the right sign as a function of a free q.
        let at = |q: f64| if upper { edge / (1.0 + (-q).exp()) } else { -edge * q.exp() };
        let height = |s: f64| -s * x + law.ln_real(s) - s.abs().ln();
        let saddle = at(minimum(|q| height(at(q)), -40.0, 45.0));
        // The width of the bell and the bend of the path from differences; they need not be exact.
        let step = 1e-2 * if upper { saddle.min(edge - saddle) } else { -saddle };
        let near = |k: f64| law.ln_real(saddle + k * step);
        let second = (near(1.0) + near(-1.0) - 2.0 * near(0.0)).max(0.0) / step / step;
        let third = (near(2.0) - near(-2.0) - 2.0 * (near(1.0) - near(-1.0))) / 2.0 / step / step / step;
        let width = 1.0 / (second + 1.0 / saddle / saddle).sqrt();
        let bend = ((third - 2.0 / saddle / saddle / saddle) * width * width * width / 6.0).clamp(0.02, 0.5);
        Self { upper, saddle, width, bend, ln_height: height(saddle) }
    }

    fn ln_tail(&self, law: &impl QuadraticForm, x: f64) -> f64 {
        let mut sum = 0.5;
        let mut small = 0;
        for k in 1..4000 {
            let u = Self::STEP * f64::from(k);
            let s = Complex::new(self.saddle + self.bend * self.width * u * u, self.width * u);
            let denominator = if self.upper { s } else { s.scale(-1.0) };
            let ln_value = law.ln_complex(s) - s.scale(x) - denominator.ln();
            let value = (ln_value - Complex::new(self.ln_height, 0.0)).exp()
                * Complex::new(1.0, -2.0 * self.bend * u);
            sum += value.re;
            small = if value.re.abs() + value.im.abs() < 1e-17 * sum { small + 1 } else { 0 };
            if small == 3 {
                break;
            }
        }
        self.ln_height + (self.width * Self::STEP / PI * sum).ln()
    }
}

/// Where a function with one valley is smallest, by golden section.
fn minimum(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let (mut left, mut right) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
    let (mut at_left, mut at_right) = (f(left), f(right));
    for _ in 0..40 {
        // What overflows lies beyond the valley on its side, and compares as not smaller.
        if at_left < at_right || (at_right.is_nan() && !at_left.is_nan()) {
            (high, right, at_right) = (right, left, at_left);
            left = high - GOLDEN * (high - low);
            at_left = f(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + GOLDEN * (high - low);
            at_right = f(right);
        }
    }
    f64::midpoint(low, high)
}

/// ∫ B(t)² dt of a Brownian bridge: λⱼ = 1/(j²π²), M(s) = (√(2s)/sin √(2s))^(1/2) (Smirnov 1936; Anderson and Darling 1952).
#[derive(Clone, Copy, Debug)]
pub(crate) struct CramerVonMisesLaw;

impl QuadraticForm for CramerVonMisesLaw {
    fn edge(&self) -> f64 {
        PI * PI / 2.0
    }

    fn mean(&self) -> f64 {
        1.0 / 6.0
    }

    fn ln_real(&self, s: f64) -> f64 {
        let root = (2.0 * s).abs().sqrt();
        if s > 0.0 {
            return 0.5 * (root / root.sin()).ln();
        }
        // sinh r = e^r (1 − e^(−2r))/2.
        0.5 * (root.ln() - root + LN_2 - (-(-2.0 * root).exp_m1()).ln())
    }

    fn ln_complex(&self, s: Complex) -> Complex {
        let w = s.scale(2.0).sqrt();
        // sin w = (i/2) e^(−iw) (1 − e^(2iw)), and the last factor never leaves the right half-plane.
        let turned = Complex::new(-w.im, w.re);
        let ln_sine = Complex::new(-LN_2, FRAC_PI_2) - turned + (Complex::ONE - turned.scale(2.0).exp()).ln();
        (w.ln() - ln_sine).scale(0.5)
    }
}

/// ∫ |B(t)|²/(t(1 − t)) dt of a Brownian bridge in `dimensions`: λⱼ = 1/(j(j + 1)), each as often as there are dimensions, M(s) =
/// (−2πs/cos(½π√(1 + 8s)))^(1/2) for one (Anderson and Darling 1952; Scholz and Stephens 1987).
#[derive(Clone, Copy, Debug)]
pub(crate) struct AndersonDarlingLaw {
    pub(crate) dimensions: f64,
}

impl QuadraticForm for AndersonDarlingLaw {
    fn edge(&self) -> f64 {
        1.0
    }

    fn mean(&self) -> f64 {
        self.dimensions
    }

    fn ln_real(&self, s: f64) -> f64 {
        let square = 1.0 + 8.0 * s;
        let quotient = if s.abs() < 1e-6 {
            // ln M = Σλ·s + Σλ²·s² + …
            return self.dimensions * (s + (PI * PI / 3.0 - 3.0) * s * s);
        } else if square >= 0.0 {
            // cos(½π√(1 + 8s)) as a sine of the small distance from its zero at s = 0 or at the edge.
            let root = square.sqrt();
            let cosine = if root < 2.0 {
                (FRAC_PI_2 * (-8.0 * s / (1.0 + root))).sin()
            } else {
                -(FRAC_PI_2 * (8.0 * (1.0 - s) / (3.0 + root))).sin()
            };
            (-TAU * s / cosine).ln()
        } else {
            let root = FRAC_PI_2 * (-square).sqrt();
            (-TAU * s).ln() - root + LN_2 - (-2.0 * root).exp().ln_1p()
        };
        0.5 * self.dimensions * quotient
    }

    fn ln_complex(&self, s: Complex) -> Complex {
        let w = (Complex::ONE + s.scale(8.0)).sqrt().scale(FRAC_PI_2);
        // cos w = ½ e^(−iw) (1 + e^(2iw)); −s is s turned by −π.
        let turned = Complex::new(-w.im, w.re);
        let ln_cosine = Complex::new(-LN_2, 0.0) - turned + (Complex::ONE + turned.scale(2.0).exp()).ln();
        let ln_top = s.ln() + Complex::new(TAU.ln(), -PI);
        (ln_top - ln_cosine).scale(0.5 * self.dimensions)
    }
}

/// Σ wₖ |B(tₖ)|² of a Brownian bridge in some dimensions at finitely many points: what the limit laws become where values tie.
#[derive(Clone, Debug)]
pub(crate) struct Bridge {
    /// How far each point lies behind the one before it (or 0), and its weight.
    points: Vec<(f64, f64)>,
    /// From the last point to 1.
    rest: f64,
    dimensions: f64,
    mean: f64,
    edge: f64,
}

impl Bridge {
    /// The bridge at points strictly inside (0, 1), ascending, with positive weights; `None` without any.
    pub(crate) fn new(points: &[(f64, f64)], dimensions: f64) -> Option<Self> {
        let &(last, _) = points.last()?;
        let mut before = 0.0;
        let steps =
            points.iter().map(|&(at, weight)| (at - std::mem::replace(&mut before, at), weight)).collect();
        let mean: f64 = points.iter().map(|&(at, weight)| weight * at * (1.0 - at)).sum();
        let mut bridge =
            Self { points: steps, rest: 1.0 - last, dimensions, mean: mean * dimensions, edge: 0.0 };
        bridge.edge = bridge.find_edge(mean);
        Some(bridge)
    }

    /// The smallest s at which the determinant vanishes: below it the solution stays positive at every point.
    fn find_edge(&self, trace: f64) -> f64 {
        // The largest weight λ is at most their sum.
        let mut low = 0.5 / trace;
        let mut high = 2.0 * low;
        while self.shoot(high).is_some() {
            (low, high) = (high, 2.0 * high);
        }
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if self.shoot(middle).is_some() {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The logarithm of det(I − 2sWK), K the covariance of the bridge and W the weights: the solution y of y″ = −2s·w·y with
    /// y(0) = 0 and y′(0) = 1, at 1. `None` where it is not positive all the way.
    fn shoot(&self, s: f64) -> Option<f64> {
        let (mut y, mut slope, mut ln_scale) = (0.0, 1.0, 0.0);
        for &(step, weight) in &self.points {
            y += step * slope;
            if y <= 0.0 {
                return None;
            }
            slope -= 2.0 * s * weight * y;
            if y > BIG {
                (y, slope, ln_scale) = (y / BIG, slope / BIG, ln_scale + BIG.ln());
            }
        }
        y += self.rest * slope;
        (y > 0.0).then(|| y.ln() + ln_scale)
    }
}

const BIG: f64 = 1e150;

impl QuadraticForm for Bridge {
    fn edge(&self) -> f64 {
        self.edge
    }

    fn mean(&self) -> f64 {
        self.mean
    }

    fn ln_real(&self, s: f64) -> f64 {
        self.shoot(s).map_or(f64::INFINITY, |ln_determinant| -0.5 * self.dimensions * ln_determinant)
    }

    fn ln_complex(&self, s: Complex) -> Complex {
        let twice = s.scale(2.0);
        let (mut y, mut slope, mut ln_scale) = (Complex::new(0.0, 0.0), Complex::ONE, 0.0);
        let mut turns = 0.0;
        let mut advance = |y: Complex, slope: Complex, step: f64| {
            let next = y + slope.scale(step);
            // From one point to the next y turns clockwise by less than π (the pivots of a matrix whose imaginary part is
            // definite): it passes the cut of the logarithm when it goes from below the real axis to above.
            if y.im < 0.0 && next.im >= 0.0 {
                turns += 1.0;
            }
            next
        };
        for &(step, weight) in &self.points {
            y = advance(y, slope, step);
            slope = slope - twice * y.scale(weight);
            if y.re.abs() + y.im.abs() > BIG {
                (y, slope, ln_scale) = (y.scale(1.0 / BIG), slope.scale(1.0 / BIG), ln_scale + BIG.ln());
            }
        }
        y = advance(y, slope, self.rest);
        let ln_determinant = y.ln() + Complex::new(ln_scale, -TAU * turns);
        ln_determinant.scale(-0.5 * self.dimensions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(law: &impl QuadraticForm, x: f64, expected: f64, of: &str) {
        let got = ln_sf(law, x);
        let tolerance = 1e-11 * f64::abs(expected).clamp(1e-4, 1.0) + 1e-13 * f64::abs(expected) + 1e-15;
        assert!((got - expected).abs() <= tolerance, "{of}, x = {x}: {got} is not {expected}");
    }

    #[test]
    fn cramer_von_mises_tails_agree_with_mpmath() {
        for &(x, ln_sf) in CRAMER_VON_MISES {
            check(&CramerVonMisesLaw, x, ln_sf, "Cramér–von Mises");
        }
    }

    #[test]
    fn anderson_darling_tails_agree_with_mpmath() {
        for &(dimensions, x, ln_sf) in ANDERSON_DARLING {
            check(&AndersonDarlingLaw { dimensions }, x, ln_sf, &format!("Anderson–Darling in {dimensions}"));
        }
    }

    #[test]
    fn tails_at_few_points_agree_with_mpmath() {
        for &(points, x, ln_sf) in BRIDGES {
            check(&Bridge::new(points, 1.0).unwrap(), x, ln_sf, &format!("{points:?}"));
        }
    }

    #[test]
    fn one_point_is_a_chi_square_variable() {
        // ¼·w·χ² with as many degrees of freedom as dimensions.
        for dimensions in [1.0, 2.0, 5.0] {
            let law = Bridge::new(&[(0.5, 3.0)], dimensions).unwrap();
            for x in [0.01, 0.3, 2.0, 20.0, 900.0] {
                check(&law, x, super::super::ln_chi2_sf(x / 0.75, dimensions), "one point");
            }
        }
    }

    #[test]
    fn many_points_come_near_the_limit() {
        let n = 2000;
        let points = |weight: fn(f64) -> f64| -> Vec<(f64, f64)> {
            (1..n).map(|k| f64::from(k) / f64::from(n)).map(|t| (t, weight(t) / f64::from(n))).collect()
        };
        let flat = Bridge::new(&points(|_| 1.0), 1.0).unwrap();
        for x in [0.05, 0.2, 1.0, 5.0] {
            let (got, limit) = (ln_sf(&flat, x), ln_sf(&CramerVonMisesLaw, x));
            assert!((got - limit).abs() < 1e-5 * (1.0 + x), "{x}: {got} {limit}");
        }
        let steep = Bridge::new(&points(|t| 1.0 / (t * (1.0 - t))), 1.0).unwrap();
        let law = AndersonDarlingLaw { dimensions: 1.0 };
        for x in [0.5, 1.0, 5.0, 20.0] {
            assert!((ln_sf(&steep, x) - ln_sf(&law, x)).abs() < 2e-3 * (1.0 + x), "{x}");
        }
    }

    #[test]
    fn a_probability_never_exceeds_one_and_never_rises() {
        let laws: [&dyn Fn(f64) -> f64; 3] = [
            &|x| ln_sf(&CramerVonMisesLaw, x),
            &|x| ln_sf(&AndersonDarlingLaw { dimensions: 4.0 }, x),
            &|x| ln_sf(&Bridge::new(&[(0.1, 0.2), (0.7, 1.5)], 1.0).unwrap(), x),
        ];
        for law in laws {
            let mut before = 0.0;
            for i in -60..80 {
                let ln_p = law(10f64.powf(f64::from(i) / 10.0));
                assert!(ln_p <= before + 1e-12 && ln_p.is_finite(), "10^({i}/10): {ln_p} after {before}");
                before = ln_p;
            }
        }
    }

    /// x and ln of the tail by Smirnov's integrals, mpmath 1.4.1 with 34 digits.
    const CRAMER_VON_MISES: &[(f64, f64)] = &[
        (0.03, -0.024120114676330517),
        (0.1, -0.5363597997599197),
        (0.166, -1.0662354405896097),
        (0.17, -1.0966284123593852),
        (0.3, -2.0012126467944507),
        (0.461, -2.993592021493136),
        (0.743, -4.6026210396743625),
        (1.168, -6.908511044265038),
        (2.0, -11.26757150716986),
        (20.0, -101.2209741204738),
        (137.0, -679.5523007316685),
        (300.0, -1484.3167099078967),
        (10000.0, -49353.65112961336),
    ];

    /// Dimensions, x and ln of the tail by Smirnov's integrals (1), residues (2 and 4), mpmath 1.4.1.
    const ANDERSON_DARLING: &[(f64, f64, f64)] = &[
        (1.0, 0.3, -0.06383728859765668),
        (1.0, 0.9, -0.8813358719434227),
        (1.0, 1.1, -1.175073721946404),
        (1.0, 1.933, -2.302638862357357),
        (1.0, 2.492, -2.9952886447796314),
        (1.0, 3.857, -4.581341045608309),
        (1.0, 10.0, -11.189753036386543),
        (1.0, 50.0, -51.98277742913665),
        (1.0, 700.0, -703.2988757839613),
        (1.0, 20000.0, -20004.974812295903),
        (2.0, 1.5, -0.4866101735806061),
        (2.0, 2.0, -0.9322801851706592),
        (2.0, 2.5, -1.412672360807473),
        (2.0, 3.2, -2.1041605516436337),
        (2.0, 8.0, -6.901387898890532),
        (2.0, 60.0, -58.90138771133189),
        (2.0, 900.0, -898.9013877113318),
        (4.0, 5.0, -1.5337846747771593),
        (4.0, 6.0, -2.286366043506998),
        (4.0, 12.0, -7.446123108056518),
        (4.0, 100.0, -93.21215501769042),
        (4.0, 800.0, -791.1199708825316),
    ];

    /// Points and weights, x and ln of the tail, from eigenvalues and Smirnov's integrals, mpmath 1.4.1 with 34 digits.
    type Points = &'static [(f64, f64)];
    const BRIDGES: &[(Points, f64, f64)] = &[
        (&[(0.25, 0.25), (0.75, 0.5)], 0.01, -0.07960203115959051),
        (&[(0.25, 0.25), (0.75, 0.5)], 0.1, -0.7622644108258144),
        (&[(0.25, 0.25), (0.75, 0.5)], 0.3, -2.1074394947252393),
        (&[(0.25, 0.25), (0.75, 0.5)], 1.0, -6.063674783444101),
        (&[(0.25, 0.25), (0.75, 0.5)], 4.0, -21.34974238706011),
        (&[(0.25, 0.25), (0.75, 0.5)], 50.0, -246.93447390308808),
        (&[(0.1, 0.1), (0.2, 0.1), (0.6, 0.4), (0.9, 0.3)], 0.01, -0.024839897203411718),
        (&[(0.1, 0.1), (0.2, 0.1), (0.6, 0.4), (0.9, 0.3)], 0.1, -0.7095777810410541),
        (&[(0.1, 0.1), (0.2, 0.1), (0.6, 0.4), (0.9, 0.3)], 0.3, -2.091633402174985),
        (&[(0.1, 0.1), (0.2, 0.1), (0.6, 0.4), (0.9, 0.3)], 1.0, -5.922481557353328),
        (&[(0.1, 0.1), (0.2, 0.1), (0.6, 0.4), (0.9, 0.3)], 4.0, -20.75932401492889),
        (&[(0.1, 0.1), (0.2, 0.1), (0.6, 0.4), (0.9, 0.3)], 50.0, -239.5597668007006),
        (&[(0.001, 0.001), (0.9, 0.899), (0.95, 0.05), (0.99, 0.04)], 0.01, -0.28591282302626114),
        (&[(0.001, 0.001), (0.9, 0.899), (0.95, 0.05), (0.99, 0.04)], 0.1, -1.296037198230249),
        (&[(0.001, 0.001), (0.9, 0.899), (0.95, 0.05), (0.99, 0.04)], 0.3, -2.872144760366848),
        (&[(0.001, 0.001), (0.9, 0.899), (0.95, 0.05), (0.99, 0.04)], 1.0, -7.625887038569833),
        (&[(0.001, 0.001), (0.9, 0.899), (0.95, 0.05), (0.99, 0.04)], 4.0, -26.542112613278547),
        (&[(0.001, 0.001), (0.9, 0.899), (0.95, 0.05), (0.99, 0.04)], 50.0, -307.9686048408356),
    ];
}
