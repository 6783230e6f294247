//! Fuzzing on the stable toolchain: arbitrary bytes become arguments of every public function, and states in JSON
//! ([`mlops_core::conformance::fuzz`] says how, and which variables are read).
//!
//! Nothing may panic, and no answer may hold a NaN or measure an infinity. A state that was read from text someone tampered
//! with is refused, or as good as any other: it answers, merges, and is written as it was read.
//!
//! ```text
//! MLOPS_FUZZ_SECONDS=60 cargo test -p mlops-eval --test fuzz
//! ```

mod targets;

use std::collections::BTreeSet;
use std::path::Path;

use mlops_core::conformance::fuzz;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn no_input_panics_or_answers_with_a_nan() {
    fuzz::run(root(), targets::TARGETS);
}

/// Writes the inputs to begin with; those that failed once stay.
#[test]
#[ignore = "writes into the corpus"]
fn seeds_are_written() {
    let mut random = fuzz::random();
    let seeds = targets::TARGETS.iter().map(|&(name, _)| {
        (name, (0..100).flat_map(|_| random.next_u64().to_le_bytes()).collect::<Vec<u8>>())
    });
    fuzz::keep(root(), seeds);
}

/// The functions that the macros of the crate write: what a list of theirs names beside its `_weighted`.
fn listed(lines: &[String]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in lines {
        inside = if inside {
            line != "}"
        } else {
            line.ends_with("! {") && !line.starts_with(' ') && !line.starts_with("macro_rules")
        };
        if inside && !line.trim_start().starts_with("//") {
            let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            names.extend(words.filter(|word| !word.is_empty()).map(str::to_owned));
        }
    }
    let made = |name: &&String| {
        name.ends_with("_weighted")
            || name.ends_with("_from_counts")
            || names.contains(&format!("{name}_weighted"))
    };
    names.iter().filter(made).cloned().collect()
}

/// Every public function is called by some target, so that a new one cannot be forgotten.
#[test]
fn every_public_function_has_a_target() {
    let lines = fuzz::lines(root());
    let free = lines.iter().filter_map(|line| fuzz::function(line, "")).map(str::to_owned);
    let listed = listed(&lines);
    assert!(listed.contains("roc_auc_weighted") || listed.contains("kendall_weighted"), "no list was read");
    let forgotten = fuzz::uncalled(root(), free.chain(listed));
    assert_eq!(forgotten, BTreeSet::new(), "no target calls these");
}
