//! Thresholds per group against Fairlearn 0.15.0, chance by chance. `tests/reference/mitigation.py` made the values.

use mlops_eval::classification::ScoreState;
use mlops_eval::fairness::{ThresholdOptimizer, ThresholdOptions, ThresholdRules};
use serde::Deserialize;
use serde_json::{Value, from_value};

#[derive(Deserialize)]
struct Reference {
    fairlearn: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    groups: Vec<u32>,
    y_true: Vec<u8>,
    scores: Vec<f64>,
    count: u32,
    fits: Vec<Fit>,
}

#[derive(Deserialize)]
struct Fit {
    constraint: Value,
    objective: Value,
    grid: usize,
    flip: bool,
    tolerance: Option<f64>,
    chances: Vec<f64>,
    best: f64,
}

impl Case {
    /// The scores of each group, every row as often as `copies` says or with that weight.
    fn states(&self, weights: Option<&[f64]>) -> Vec<ScoreState> {
        let of = |group: u32| {
            let rows: Vec<usize> = (0..self.groups.len()).filter(|&row| self.groups[row] == group).collect();
            let y: Vec<bool> = rows.iter().map(|&row| self.y_true[row] == 1).collect();
            let scores: Vec<f64> = rows.iter().map(|&row| self.scores[row]).collect();
            match weights {
                None => ScoreState::of(&y, &scores).unwrap(),
                Some(weights) => {
                    let weights: Vec<f64> = rows.iter().map(|&row| weights[row]).collect();
                    ScoreState::weighted(&y, &scores, &weights).unwrap()
                }
            }
        };
        (0..self.count).map(of).collect()
    }
}

impl Fit {
    fn options(&self) -> ThresholdOptions {
        let mut options = ThresholdOptions::default()
            .with_constraint(from_value(self.constraint.clone()).unwrap())
            .with_objective(from_value(self.objective.clone()).unwrap())
            .with_grid(self.grid)
            .with_flip(self.flip);
        options.tolerance = self.tolerance;
        options
    }
}

fn reference() -> Reference {
    let reference: Reference = serde_json::from_str(include_str!("reference/mitigation.json")).unwrap();
    assert_eq!(reference.fairlearn, "0.15.0");
    reference
}

#[test]
fn every_row_has_the_chance_that_fairlearn_gives_it() {
    let mut fits = 0;
    for case in reference().cases {
        let states = case.states(None);
        for fit in &case.fits {
            let rules = ThresholdOptimizer::fit(&states, &fit.options()).unwrap();
            let chances = rules.probabilities(&case.groups, &case.scores).unwrap();
            for (row, (got, expected)) in chances.iter().zip(&fit.chances).enumerate() {
                let what = format!("{} {} {:?} row {row}", fit.constraint, fit.objective, fit.tolerance);
                assert!((got - expected).abs() < 1e-12, "{what}: {got} is not {expected}");
            }
            if fit.constraint != "equalized_odds" {
                assert!((rules.objective() - fit.best).abs() < 1e-12, "{} {}", fit.constraint, fit.objective);
            }
            fits += 1;
        }
    }
    assert_eq!(fits, 3 * (5 * 5 * 3 + 2 * 2));
}

#[test]
fn weights_count_like_repeated_rows() {
    let case = &reference().cases[2];
    let weights: Vec<f64> = (0..case.groups.len()).map(|row| (1 + row % 3) as f64).collect();
    let repeated = |row: usize| std::iter::repeat_n(row, 1 + row % 3);
    let rows: Vec<usize> = (0..case.groups.len()).flat_map(repeated).collect();
    let copies = Case {
        groups: rows.iter().map(|&row| case.groups[row]).collect(),
        y_true: rows.iter().map(|&row| case.y_true[row]).collect(),
        scores: rows.iter().map(|&row| case.scores[row]).collect(),
        count: case.count,
        fits: vec![],
    };
    for fit in &case.fits {
        let weighted = ThresholdOptimizer::fit(&case.states(Some(&weights)), &fit.options()).unwrap();
        let repeated = ThresholdOptimizer::fit(&copies.states(None), &fit.options()).unwrap();
        assert_eq!(weighted, repeated);
    }
}

#[test]
fn expected_cells_are_what_predictions_come_to() {
    let case = &reference().cases[1];
    let states = case.states(None);
    for fit in case.fits.iter().step_by(19) {
        let rules = ThresholdOptimizer::fit(&states, &fit.options()).unwrap();
        let chances = rules.probabilities(&case.groups, &case.scores).unwrap();
        for group in 0..case.count {
            let cells = rules.expected(group as usize, &states[group as usize]).unwrap();
            let sum = |positive: u8| -> f64 {
                let rows =
                    (0..case.groups.len()).filter(|&r| case.groups[r] == group && case.y_true[r] == positive);
                rows.map(|row| chances[row]).sum()
            };
            assert!((cells.true_positives() - sum(1)).abs() < 1e-9);
            assert!((cells.false_positives() - sum(0)).abs() < 1e-9);
        }
        // Lots fall as often as their chances say: 1000 draws, five standard deviations.
        let mut selected = vec![0_u32; case.groups.len()];
        for seed in 0..1000 {
            for (count, drawn) in
                selected.iter_mut().zip(rules.predict(&case.groups, &case.scores, seed).unwrap())
            {
                *count += u32::from(drawn);
            }
        }
        for (count, chance) in selected.iter().zip(&chances) {
            let deviation = (f64::from(*count) / 1000.0 - chance).abs();
            assert!(deviation <= 5.0 * (chance * (1.0 - chance) / 1000.0).sqrt() + 1e-12, "{count} {chance}");
        }
    }
}

#[test]
fn rules_are_read_back_as_they_were_written() {
    let case = &reference().cases[0];
    for fit in &case.fits {
        let rules = ThresholdOptimizer::fit(&case.states(None), &fit.options()).unwrap();
        let text = serde_json::to_string(&rules).unwrap();
        assert_eq!(serde_json::from_str::<ThresholdRules>(&text).unwrap(), rules);
        let damaged = text.replacen("\"ignore\":", "\"ignore\":-", 1);
        assert!(
            serde_json::from_str::<ThresholdRules>(&damaged.replace("-0.0", "-0.5")).is_err(),
            "{damaged}"
        );
    }
}

#[test]
fn bad_arguments_are_named() {
    let group = ScoreState::of(&[true, false], &[0.8, 0.2]).unwrap();
    let one_class = ScoreState::of(&[true, true], &[0.8, 0.2]).unwrap();
    let fit = |groups: &[ScoreState], options: ThresholdOptions| {
        ThresholdOptimizer::fit(groups, &options).map(|_| ()).unwrap_err().to_string()
    };
    let odds = ThresholdOptions::default().with_constraint(from_value("equalized_odds".into()).unwrap());
    assert_eq!(fit(&[], ThresholdOptions::default()), "`groups` is empty");
    assert_eq!(fit(&[group.clone(), one_class.clone()], odds), "`group` is 1, which has no negatives");
    assert_eq!(fit(&[group.clone(), ScoreState::default()], odds), "`group` is 1, which has no rows");
    assert!(ThresholdOptimizer::fit(&[one_class], &ThresholdOptions::default()).is_ok());
    for bad in [
        ThresholdOptions::default().with_grid(0),
        ThresholdOptions::default().with_grid(usize::MAX),
        ThresholdOptions::default().with_tolerance(f64::NAN),
        ThresholdOptions::default().with_tolerance(1.5),
        ThresholdOptions::default().with_deterministic(true),
        odds.with_tolerance(0.1),
        odds.with_objective(from_value("selection_rate".into()).unwrap()),
    ] {
        fit(std::slice::from_ref(&group), bad);
    }
    let rules = ThresholdOptimizer::fit(&[group], &ThresholdOptions::default()).unwrap();
    assert!(rules.probability(1, 0.5).is_err());
    assert!(rules.probability(0, f64::NAN).is_err());
    assert!(rules.predict(&[0, 1], &[0.5, 0.5], 1).unwrap_err().to_string().contains("at index 1"));
    assert!(rules.predict(&[0], &[], 1).is_err());
}
