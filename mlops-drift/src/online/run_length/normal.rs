//! Run lengths on normal values, from their integral equations.
//!
//! In units of the standard deviation of one step, a statistic at y moves to a normal law around its mean m(y), and alarms outside
//! its limits. Its run lengths solve L(y) = 1 + ∫ L(y′) φ(y′ − m(y)) dy′ (Page 1954 for the CUSUM, Crowder 1987 for the EWMA). The
//! integral becomes a sum over Gauss–Legendre nodes on panels of 2.5 standard deviations (Nyström's method), which misses it by less
//! than 1e-16 there.
//!
//! The sum is solved as a Markov chain whose chance of staying is what its other chances leave (which is the subtraction of the
//! singularity from the kernel), by an elimination that adds and multiplies only (Grassmann, Taksar, Heyman, *Regenerative analysis
//! and steady state distributions for Markov chains*, Operations Research 33, 1985). Nothing cancels, and so a run length of 1e300
//! has as many digits as one of 10.

use mlops_core::num::special::ln_normal_sf;

/// The widest distance between limits, in standard deviations of a step, whose equation is solved.
const WIDEST: f64 = 1000.0;

/// The width of a panel.
const PANEL: f64 = 2.5;

/// How far from its mean a step is looked at.
const REACH: f64 = 9.0;

/// Nodes above 0 and weights of the Gauss–Legendre rule with 12 nodes.
const RULE: [(f64, f64); 6] = [
    (0.125_233_408_511_468_9, 0.249_147_045_813_402_8),
    (0.367_831_498_998_180_2, 0.233_492_536_538_354_8),
    (0.587_317_954_286_617_4, 0.203_167_426_723_065_92),
    (0.769_902_674_194_304_7, 0.160_078_328_543_346_23),
    (0.904_117_256_370_474_9, 0.106_939_325_995_318_43),
    (0.981_560_634_246_719_3, 0.047_175_336_386_511_83),
];

/// By how much a walk in steps overshoots a limit on average, in standard deviations of a step (Siegmund, *Sequential analysis*,
/// 1985, section X.2).
const OVERSHOOT: f64 = 0.582_6;

/// The run length of the two-sided CUSUM: false alarms of the two sides add up as rates.
pub(super) fn cusum(slack: f64, threshold: f64, shift: f64) -> f64 {
    let [up, down] = [shift, -shift].map(|shift| one_sided(shift - slack, threshold));
    1.0 / (1.0 / up + 1.0 / down)
}

fn one_sided(drift: f64, threshold: f64) -> f64 {
    if threshold > WIDEST {
        return diffusion(drift, threshold);
    }
    Walk { low: 0.0, high: threshold, slope: 1.0, drift, held: true }.run_length()
}

/// The run length of a one-sided CUSUM with so wide a threshold that its steps are small (Siegmund 1985): (e⁻ˣ + x − 1)/(2δ²) with
/// x = 2δb, b the threshold moved by the overshoots of both ends.
fn diffusion(drift: f64, threshold: f64) -> f64 {
    let width = threshold + 2.0 * OVERSHOOT;
    let x = 2.0 * drift * width;
    if x.abs() < 1e-5 {
        return width * width * (1.0 - x / 3.0);
    }
    if x < -700.0 {
        return f64::INFINITY;
    }
    (((-x).exp_m1() / x + 1.0) * (width / drift)).max(1.0)
}

pub(super) fn ewma(lambda: f64, limit: f64, shift: f64) -> f64 {
    let half = limit / (lambda * (2.0 - lambda)).sqrt();
    if 2.0 * half > WIDEST {
        return slow(lambda, limit, shift);
    }
    Walk { low: -half, high: half, slope: 1.0 - lambda, drift: shift, held: false }.run_length()
}

/// The run length of an EWMA whose limits are many steps away. Seen in its own standard deviation and in units of 1/λ it is a
/// diffusion that knows no λ: the run length of a faster one, longer as λ is smaller.
fn slow(lambda: f64, limit: f64, shift: f64) -> f64 {
    const FAR: f64 = 400.0;
    const MARGIN: f64 = 5.0;
    let step = |lambda: f64| (lambda * (2.0 - lambda)).sqrt();
    // λ with limits as wide as can be solved.
    let share = (2.0 * limit.min(FAR) / WIDEST).powi(2);
    let faster = share / (1.0 + (1.0 - share).sqrt());
    let mean = shift.abs() * ((2.0 - lambda) / lambda).sqrt();
    let shift_there = shift / lambda * step(lambda) * (faster / step(faster));
    if mean > limit + MARGIN && (limit > FAR || shift_there.abs() > 1.0) {
        // The noise is small beside the way of the mean, which a faster average would go in a few steps.
        return ((-limit / mean).ln_1p() / (-lambda).ln_1p()).max(1.0);
    }
    if limit > FAR {
        return f64::INFINITY;
    }
    let limit_there = limit + OVERSHOOT * (step(lambda) - step(faster));
    let half = (limit_there / step(faster)).min(0.5 * WIDEST);
    let walk = Walk { low: -half, high: half, slope: 1.0 - faster, drift: shift_there, held: false };
    walk.run_length() * (faster / lambda)
}

/// A statistic that moves from y to slope·y + drift plus a standard normal step, from a start at 0.
struct Walk {
    low: f64,
    high: f64,
    slope: f64,
    drift: f64,
    /// Whether it is held at the lower limit instead of an alarm there.
    held: bool,
}

/// Where a statistic goes from one place.
struct Place {
    /// The first node it moves to.
    first: usize,
    /// The chances of the nodes from there on.
    moves: Vec<f64>,
    /// The chance of being held.
    held: f64,
    alarm: f64,
    /// How many values pass at this place, and at those that were taken out on the way.
    length: f64,
}

impl Walk {
    fn run_length(&self) -> f64 {
        let nodes = self.nodes();
        let mut places: Vec<Place> = nodes.iter().map(|(y, _)| self.place(*y, &nodes)).collect();
        let mut start = self.place(0.0, &nodes);
        let (before, last) = (start.first, start.first + start.moves.len());
        start.moves.splice(0..0, std::iter::repeat_n(0.0, before));
        start.moves.extend(std::iter::repeat_n(0.0, nodes.len() - last));
        start.first = 0;
        // Takes out one node after the other, from the top: what went there goes where it led.
        while let Some(place) = places.pop() {
            let node = places.len();
            let below = place.moves.get(..node.saturating_sub(place.first)).unwrap_or(&place.moves);
            let leaves = below.iter().sum::<f64>() + place.held + place.alarm;
            if leaves <= 0.0 {
                return f64::INFINITY;
            }
            for other in places.iter_mut().rev().take_while(|other| other.first + other.moves.len() > node) {
                other.skip(node, &place, below, leaves);
            }
            start.skip(node, &place, below, leaves);
        }
        start.length / start.alarm
    }

    /// Nodes in ascending order with their weights.
    fn nodes(&self) -> Vec<(f64, f64)> {
        let panels = ((self.high - self.low) / PANEL).ceil().max(1.0);
        let half = 0.5 * (self.high - self.low) / panels;
        #[expect(clippy::cast_sign_loss, reason = "at least 1")]
        let count = panels as usize;
        let rule = || {
            let below = RULE.iter().rev().map(|(x, weight)| (-x, *weight));
            below.chain(RULE).map(|(x, weight)| (half * x, half * weight))
        };
        (0..count)
            .flat_map(|panel| {
                let middle = self.low + half * (2 * panel + 1) as f64;
                rule().map(move |(x, weight)| (middle + x, weight))
            })
            .collect()
    }

    fn place(&self, y: f64, nodes: &[(f64, f64)]) -> Place {
        let mean = self.slope * y + self.drift;
        let first = nodes.partition_point(|(x, _)| *x < mean - REACH);
        let last = nodes.partition_point(|(x, _)| *x <= mean + REACH);
        let within = nodes.get(first..last).unwrap_or_default();
        let moves = within.iter().map(|(x, weight)| weight * density(x - mean)).collect();
        let (below, above) = (beyond(mean - self.low), beyond(self.high - mean));
        let (held, alarm) = if self.held { (below, above) } else { (0.0, below + above) };
        Place { first, moves, held, alarm, length: 1.0 }
    }
}

impl Place {
    /// Goes past a node instead of to it: `below` are the chances of the nodes under it, `leaves` that of leaving it.
    fn skip(&mut self, node: usize, place: &Self, below: &[f64], leaves: f64) {
        let chance = node.checked_sub(self.first).and_then(|at| self.moves.get(at)).copied().unwrap_or(0.0);
        if chance == 0.0 {
            return;
        }
        let factor = chance / leaves;
        // The places are in ascending order, and with them the first nodes they move to.
        let onwards = self.moves.iter_mut().skip(place.first.saturating_sub(self.first));
        onwards.zip(below).for_each(|(chance, below)| *chance += factor * below);
        self.held += factor * place.held;
        self.alarm += factor * place.alarm;
        self.length += factor * place.length;
    }
}

fn density(x: f64) -> f64 {
    const AT_0: f64 = 0.398_942_280_401_432_7;
    AT_0 * (-0.5 * x * x).exp()
}

/// P(Z > x).
fn beyond(x: f64) -> f64 {
    ln_normal_sf(x).exp()
}
