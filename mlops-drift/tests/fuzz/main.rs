//! Fuzzing on the stable toolchain: arbitrary bytes become arguments of every public entry point
//! ([`mlops_core::conformance::fuzz`] says how, and which variables are read).
//!
//! Nothing may panic, and no answer may hold a NaN: a number that does not exist is `Undefined`, with its reason.
//!
//! ```text
//! MLOPS_FUZZ_SECONDS=60 cargo test -p mlops-drift --test fuzz
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

/// Writes the inputs to begin with, once more where targets have changed; those that failed once stay.
#[test]
#[ignore = "writes into the corpus"]
fn seeds_are_written() {
    fuzz::keep(root(), targets::seeds(&mut fuzz::random()));
}

/// Every public free function is called by some target, so that a new one cannot be forgotten.
#[test]
fn every_public_function_has_a_target() {
    let lines = fuzz::lines(root());
    let names = lines.iter().filter_map(|line| fuzz::function(line, "")).map(str::to_owned);
    let forgotten = fuzz::uncalled(root(), names);
    assert_eq!(forgotten, BTreeSet::new(), "no target calls these");
}
