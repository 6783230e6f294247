//! What moved, in words: from the histogram of a feature to the few sentences somebody would say who looks at it.

use mlops_core::monitor::{CellCounts, CellKind, FeatureScore};

use super::format::{number, percent};

/// One thing that changed in a feature.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct Move {
    /// What, as a sentence without markup. It may hold a category of the data, quoted as [`mlops_core::error::quote`] does.
    pub sentence: String,
    /// By how much of all rows, in [0, 1]; for a shift of the middle the distance of the halves it separates.
    pub size: f64,
}

/// How many standard errors a change must have to be worth a word.
const STRIKING: f64 = 3.0;

/// What changed in a feature, the largest first, at most `most` sentences; none where chance explains everything.
///
/// Of numbers: where the middle half lies, which stretches lost and gained rows, and what lies beyond the reference. Of categories:
/// which levels lost, gained, or are new. Of both: missing values. Shares are of the rows that have a value, but for missing ones
/// of all rows. A change is mentioned when it exceeds three standard errors.
///
/// ```
/// use mlops_core::monitor::{CellCounts, CellKind, DriftVerdict, FeatureScore};
///
/// let level = |label: &str, reference, current| CellCounts::new(CellKind::Level, label, reference, current);
/// let mut score = FeatureScore::new("js.distance.base2/v1", 0.3, 0.1, DriftVerdict::Drift);
/// score.cells = vec![level("basic", 700, 200), level("pro", 300, 300)];
/// let moves = mlops_drift::report::moves(&score, 3);
/// assert_eq!(moves[0].sentence, "“pro” rose from 30 % to 60 %.");
/// assert_eq!(moves[1].sentence, "“basic” fell from 70 % to 40 %.");
/// ```
pub fn moves(score: &FeatureScore, most: usize) -> Vec<Move> {
    let cells = Cells::new(&score.cells);
    let mut moves = Vec::new();
    moves.extend(cells.missing());
    moves.extend(cells.beyond());
    moves.extend(cells.middle());
    moves.extend(cells.stretches());
    moves.extend(cells.levels());
    // Stable, so that equal sizes keep the order above.
    moves.sort_by(|x, y| y.size.total_cmp(&x.size));
    moves.truncate(most);
    moves
}

/// A histogram with its totals: of all rows, and of those that have a value.
struct Cells<'a> {
    cells: &'a [CellCounts],
    all: Totals,
    present: Totals,
}

/// How many rows a share is a share of, on both sides.
#[derive(Clone, Copy)]
struct Totals {
    n: f64,
    m: f64,
}

impl Totals {
    fn shares(self, reference: u64, current: u64) -> (f64, f64) {
        let share = |count: u64, total: f64| if total > 0.0 { count as f64 / total } else { 0.0 };
        (share(reference, self.n), share(current, self.m))
    }

    /// Both shares, where their difference is not chance.
    fn striking(self, reference: u64, current: u64) -> Option<(f64, f64)> {
        if self.n == 0.0 || self.m == 0.0 {
            return None;
        }
        let (a, b) = self.shares(reference, current);
        let pooled = (reference as f64 + current as f64) / (self.n + self.m);
        let error = (pooled * (1.0 - pooled) * (1.0 / self.n + 1.0 / self.m)).sqrt();
        ((a - b).abs() > STRIKING * error && a != b).then_some((a, b))
    }

    fn change(self, what: &str, cell: &CellCounts) -> Option<Move> {
        let (a, b) = self.striking(cell.reference, cell.current)?;
        let sentence = format!("{what} {} from {} to {}.", verb(a, b), percent(a), percent(b));
        Some(Move { sentence, size: (a - b).abs() })
    }
}

fn verb(before: f64, now: f64) -> &'static str {
    if now > before { "rose" } else { "fell" }
}

impl<'a> Cells<'a> {
    fn new(cells: &'a [CellCounts]) -> Self {
        let sum = |present: bool, side: fn(&CellCounts) -> u64| -> f64 {
            let cells = cells.iter().filter(|cell| !present || cell.kind != CellKind::Missing);
            cells.map(|cell| side(cell) as f64).sum()
        };
        let totals =
            |present| Totals { n: sum(present, |cell| cell.reference), m: sum(present, |cell| cell.current) };
        Self { cells, all: totals(false), present: totals(true) }
    }

    fn of(&self, kind: CellKind) -> impl Iterator<Item = &'a CellCounts> {
        self.cells.iter().filter(move |cell| cell.kind == kind)
    }

    fn missing(&self) -> Option<Move> {
        self.all.change("Missing values", self.of(CellKind::Missing).next()?)
    }

    fn beyond(&self) -> Vec<Move> {
        let outer = |kind, word: &str| {
            let cell = self.of(kind).next()?;
            let (_, b) = self.present.striking(cell.reference, cell.current)?;
            let edge = cell.low.or(cell.high)?;
            let sentence = format!(
                "{} lie {word} {}, where the reference ends.",
                percent(b),
                crate::detector::short(edge)
            );
            Some(Move { sentence, size: b })
        };
        [outer(CellKind::Below, "below"), outer(CellKind::Above, "above")].into_iter().flatten().collect()
    }

    /// Where the middle of the numbers went, by quartiles read off the histogram.
    fn middle(&self) -> Option<Move> {
        let reference = self.quartiles(|cell| cell.reference)?;
        let current = self.quartiles(|cell| cell.current)?;
        let spread = reference[2] - reference[0];
        let shift = current[1] - reference[1];
        // A quartile is known to about 1.9 quartile ranges over √n.
        let error = 0.93
            * (spread + (current[2] - current[0]))
            * (0.5 / self.present.n + 0.5 / self.present.m).sqrt();
        let width = current[2] - current[0];
        if shift.abs() > STRIKING * error && shift.abs() > 0.05 * spread {
            let word = if shift > 0.0 { "up" } else { "down" };
            let (from, to) = (number(reference[1]), number(current[1]));
            let sentence = format!("The median moved {word} from {from} to {to}.");
            let size = if spread > 0.0 { (shift.abs() / spread).min(1.0) } else { 1.0 };
            return Some(Move { sentence, size });
        }
        if (width - spread).abs() > 2.0 * STRIKING * error && (width - spread).abs() > 0.1 * spread {
            let word = if width > spread { "widened" } else { "narrowed" };
            let sentence =
                format!("The middle half {word}: it spans {} instead of {}.", number(width), number(spread));
            return Some(Move { sentence, size: ((width - spread).abs() / spread.max(width)).min(1.0) });
        }
        None
    }

    /// The quartiles of one side: by linear interpolation in the cell they fall into.
    fn quartiles(&self, side: fn(&CellCounts) -> u64) -> Option<[f64; 3]> {
        let numbers = || self.cells.iter().filter(|cell| is_number(cell.kind));
        let total: f64 = numbers().map(|cell| side(cell) as f64).sum();
        if total == 0.0 {
            return None;
        }
        let at = |share: f64| {
            let mut below = 0.0;
            for cell in numbers() {
                let inside = side(cell) as f64;
                if inside > 0.0 && below + inside >= share * total {
                    let (low, high) = (cell.low.or(cell.high)?, cell.high.or(cell.low)?);
                    return Some(low + (high - low) * ((share * total - below) / inside));
                }
                below += inside;
            }
            None
        };
        Some([at(0.25)?, at(0.5)?, at(0.75)?])
    }

    /// The neighbouring cells that lost most together, and those that gained most.
    fn stretches(&self) -> Vec<Move> {
        let cells: Vec<&CellCounts> = self.cells.iter().filter(|cell| is_number(cell.kind)).collect();
        [-1.0, 1.0].into_iter().filter_map(|sign| self.stretch(&cells, sign)).collect()
    }

    fn stretch(&self, cells: &[&CellCounts], sign: f64) -> Option<Move> {
        // The run of cells with the largest sum of changes.
        let (mut best, mut run, mut start) = ((0.0, 0, 0), 0.0, 0);
        for (i, cell) in cells.iter().enumerate() {
            let (a, b) = self.present.shares(cell.reference, cell.current);
            if run <= 0.0 {
                (run, start) = (0.0, i);
            }
            run += sign * (b - a);
            if run > best.0 {
                best = (run, start, i + 1);
            }
        }
        let run = cells.get(best.1..best.2)?;
        let sum = |side: fn(&CellCounts) -> u64| run.iter().map(|cell| side(cell)).sum::<u64>();
        let (a, b) = self.present.striking(sum(|cell| cell.reference), sum(|cell| cell.current))?;
        let place = place(run, best.1 == 0, best.2 == cells.len())?;
        let sentence = format!("{place} {} from {} to {}.", verb(a, b), percent(a), percent(b));
        Some(Move { sentence, size: (a - b).abs() })
    }

    fn levels(&self) -> Vec<Move> {
        let known = self.of(CellKind::Level).filter_map(|cell| {
            let name = format!("“{}”", mlops_core::error::quote(&cell.label));
            if cell.current == 0 {
                let (a, _) = self.present.striking(cell.reference, cell.current)?;
                return Some(Move { sentence: format!("{name} vanished: it was {}.", percent(a)), size: a });
            }
            self.present.change(&name, cell)
        });
        let others =
            self.of(CellKind::Others).filter_map(|cell| self.present.change("The other levels", cell));
        let new = self.of(CellKind::Unseen).filter_map(|cell| {
            let (_, b) = self.present.striking(cell.reference, cell.current)?;
            let name = mlops_core::error::quote(&cell.label);
            Some(Move { sentence: format!("“{name}” is new: {} of the rows.", percent(b)), size: b })
        });
        new.chain(known).chain(others).collect()
    }
}

/// What a run of cells is called; `None` where that is said of values beyond the reference already.
fn place(run: &[&CellCounts], from_start: bool, to_end: bool) -> Option<String> {
    let (first, last) = (run.first()?, run.last()?);
    if run.iter().all(|cell| matches!(cell.kind, CellKind::Below | CellKind::Above)) {
        return None;
    }
    if run.len() == 1 && first.kind == CellKind::Value {
        return Some(format!("The value {}", number(first.low?)));
    }
    let whole = first.kind == CellKind::Value && last.kind == CellKind::Value;
    match (first.low, last.high) {
        (Some(low), Some(high)) if whole => Some(format!("Values from {} to {}", number(low), number(high))),
        (_, Some(high)) if from_start => Some(format!("Values below {}", number(high))),
        (Some(low), _) if to_end => Some(format!("Values above {}", number(low))),
        (Some(low), Some(high)) => Some(format!("Values from {} to {}", number(low), number(high))),
        _ => None,
    }
}

fn is_number(kind: CellKind) -> bool {
    matches!(kind, CellKind::Below | CellKind::Range | CellKind::Value | CellKind::Above)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::monitor::DriftVerdict;

    type Cell = (CellKind, &'static str, Option<f64>, Option<f64>, u64, u64);

    fn score(cells: &[Cell]) -> FeatureScore {
        let mut score = FeatureScore::new("ks/v1", 0.2, 0.1, DriftVerdict::Drift);
        let cell = |&(kind, label, low, high, reference, current): &Cell| {
            CellCounts::new(kind, str::to_owned(label), reference, current).with_low(low).with_high(high)
        };
        score.cells = cells.iter().map(cell).collect();
        score
    }

    fn said(score: &FeatureScore) -> Vec<String> {
        moves(score, 9).into_iter().map(|m| m.sentence).collect()
    }

    #[test]
    fn nothing_is_said_of_chance() {
        let range = |low: f64, a, b| (CellKind::Range, "r", Some(low), Some(low + 1.0), a, b);
        let calm = [range(0.0, 100, 52), range(1.0, 100, 49), range(2.0, 100, 51)];
        assert!(said(&score(&calm)).is_empty());
        assert!(said(&score(&[])).is_empty());
        assert!(said(&score(&[range(0.0, 0, 0)])).is_empty());
    }

    #[test]
    fn a_shift_is_told_by_its_median_and_its_stretches() {
        let range = |low: f64, a, b| (CellKind::Range, "r", Some(low), Some(low + 10.0), a, b);
        let cells = [
            range(0.0, 400, 10),
            range(10.0, 400, 30),
            range(20.0, 200, 160),
            range(30.0, 0, 700),
            (CellKind::Above, "above 40", Some(40.0), None, 0, 100),
        ];
        assert_eq!(
            said(&score(&cells)),
            [
                "The median moved up from 12.5 to 34.3.",
                "Values below 30 fell from 100 % to 20 %.",
                "Values above 30 rose from 0 % to 80 %.",
                "10 % lie above 40, where the reference ends.",
            ]
        );
    }

    #[test]
    fn what_is_new_gone_and_missing_is_named() {
        let cells = [
            (CellKind::Level, "a", None, None, 500, 300),
            (CellKind::Level, "gone", None, None, 500, 0),
            (CellKind::Unseen, "n\new", None, None, 0, 100),
            (CellKind::Missing, "missing", None, None, 0, 100),
        ];
        assert_eq!(
            said(&score(&cells)),
            [
                "“gone” vanished: it was 50 %.",
                "“n\\new” is new: 25 % of the rows.",
                "“a” rose from 50 % to 75 %.",
                "Missing values rose from 0 % to 20 %.",
            ]
        );
    }
}
