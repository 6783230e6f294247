//! Conformance suites: what every backend of a trait must do, as named cases that anybody can run.
//!
//! A trait says under `# Contract` what its backends promise, and names after each promise the case that checks it. The
//! cases live here, one file per trait; a macro turns each of them into a test of its own, so that a failure names the
//! promise that was broken. The memory backends run every suite, and so do `Arc<dyn T>` and `Box<dyn T>`.
//!
//! Not covered by semantic versioning: a release may add cases.
//!
//! # Writing a backend against a suite
//! 1. Depend on this crate with the feature `conformance` under `[dev-dependencies]`, and on `tokio` with `macros` and
//!    `rt-multi-thread`: the expanded tests are `#[tokio::test]`s. Those of the pure traits (predictors, evaluators, drift
//!    detectors, triggers) are plain `#[test]`s and need no tokio.
//! 2. Write an expression that makes a *fresh* environment, such as
//!    [`ArtifactsUnderTest`](artifact::ArtifactsUnderTest): the backend with nothing in it, and what the suite may use to
//!    play tricks on it. The expression is evaluated once per case, inside an async function: it may `.await`.
//! 3. Expand the suite with its macro, for instance [`artifact_store_suite!`](crate::artifact_store_suite).
//!
//! ```
//! // tests/conformance.rs
//! use std::sync::Arc;
//! use mlops_core::conformance::artifact::ArtifactsUnderTest;
//! use mlops_core::memory::MemoryArtifactStore; // your backend here
//!
//! async fn fresh() -> ArtifactsUnderTest {
//!     ArtifactsUnderTest::new(Arc::new(MemoryArtifactStore::default()))
//! }
//!
//! // One test per case: `my_store::put_is_idempotent`, `my_store::get_range`, …
//! mlops_core::artifact_store_suite!(my_store, fresh().await);
//! # // The macro expands to tests, which do not run here; one case is called by hand.
//! # tokio::runtime::Builder::new_multi_thread().build()?.block_on(async {
//! #     mlops_core::conformance::artifact::put_is_idempotent(&fresh().await).await;
//! # });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Skipped is not passed
//! A case that needs something the environment does not offer (a clock that can be turned, a way to damage content, a
//! capability) prints `skipped:` and the reason. What a backend can do is stated twice: by the backend itself and, where the
//! trait has capabilities, in the environment as what was promised. A capability that got lost therefore fails.
//!
//! # What the cases are like
//! They see a backend through its trait only. They panic when a promise is broken; that is how a test fails. Hostile text
//! is the same everywhere: control characters, right-to-left text, emoji, SQL and `LIKE` metacharacters, combining
//! characters in both normal forms.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case is a test: it fails by panicking, and runs in nothing but tests"
)]

pub mod alert;
pub mod approver;
pub mod artifact;
pub mod audit;
pub mod data;
pub mod deployer;
pub mod drift;
pub mod evaluator;
pub mod fuzz;
pub mod loop_journal;
pub mod monitor;
pub mod pipeline_journal;
pub mod predictor;
pub mod registry;
pub mod rollout_journal;
pub mod secret;
pub mod step_cache;
pub mod sweep_journal;
pub mod tracker;
pub mod trigger;

mod support;

/// Expands the cases of one suite to tests; called by the suites' macros.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_suite {
    ($module:ident, $fresh:expr, $suite:ident, [$($case:ident),* $(,)?]) => {
        mod $module {
            #[allow(unused_imports)]
            use super::*;

            $(
                #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    $crate::conformance::$suite::$case(&$fresh).await;
                }
            )*
        }
    };
}

/// Expands the cases of one suite of a pure trait to plain tests; called by the suites' macros.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_suite_pure {
    ($module:ident, $fresh:expr, $suite:ident, [$($case:ident),* $(,)?]) => {
        mod $module {
            #[allow(unused_imports)]
            use super::*;

            $(
                #[test]
                fn $case() {
                    $crate::conformance::$suite::$case(&$fresh);
                }
            )*
        }
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// Every suite: its source, the source of its trait, the trait's name.
    const SUITES: &[(&str, &str, &str)] = &[
        (include_str!("artifact.rs"), include_str!("../artifact/store.rs"), "ArtifactStore"),
        (include_str!("data.rs"), include_str!("../data/store.rs"), "DataAssetStore"),
        (include_str!("tracker.rs"), include_str!("../experiment/tracker.rs"), "ExperimentTracker"),
        (include_str!("registry.rs"), include_str!("../registry/store.rs"), "ModelRegistry"),
        (include_str!("deployer.rs"), include_str!("../deploy/deployer.rs"), "Deployer"),
        (include_str!("rollout_journal.rs"), include_str!("../deploy/rollout/journal.rs"), "RolloutJournal"),
        (include_str!("loop_journal.rs"), include_str!("../retrain/closed_loop/journal.rs"), "LoopJournal"),
        (include_str!("sweep_journal.rs"), include_str!("../experiment/sweep/journal.rs"), "SweepJournal"),
        (include_str!("pipeline_journal.rs"), include_str!("../pipeline/journal.rs"), "PipelineJournal"),
        (include_str!("step_cache.rs"), include_str!("../pipeline/cache.rs"), "StepCache"),
        (include_str!("monitor.rs"), include_str!("../monitor/store.rs"), "Monitor"),
        (include_str!("audit.rs"), include_str!("../governance/audit.rs"), "AuditLog"),
        (include_str!("alert.rs"), include_str!("../monitor/alert.rs"), "AlertSink"),
        (include_str!("secret.rs"), include_str!("../governance/secret.rs"), "SecretStore"),
        (include_str!("approver.rs"), include_str!("../governance/approval.rs"), "Approver"),
        (include_str!("predictor.rs"), include_str!("../model/predictor.rs"), "Predictor"),
        (include_str!("evaluator.rs"), include_str!("../evaluation/evaluator.rs"), "Evaluator"),
        (include_str!("drift.rs"), include_str!("../monitor/drift.rs"), "DriftDetector"),
        (include_str!("trigger.rs"), include_str!("../retrain/trigger.rs"), "Trigger"),
    ];

    /// Traits of one or two promises, and pure ones.
    const SMALL: &[&str] = &[
        "AlertSink",
        "SecretStore",
        "Approver",
        "LoopJournal",
        "PipelineJournal",
        "RolloutJournal",
        "SweepJournal",
        "Predictor",
        "Evaluator",
        "DriftDetector",
        "Trigger",
    ];

    /// The names in the list that the suite's macro expands.
    fn expanded(suite: &str) -> BTreeSet<String> {
        let list = suite.split_once("$crate::__conformance_suite").expect("the suite has a macro").1;
        let list = list.split_once('[').and_then(|(_, rest)| rest.split_once(']')).expect("with a list").0;
        let names: Vec<_> = list.split(',').map(str::trim).filter(|n| !n.is_empty()).collect();
        let set: BTreeSet<String> = names.iter().map(|n| (*n).to_owned()).collect();
        assert_eq!(set.len(), names.len(), "a case is listed twice");
        set
    }

    /// The public functions at the top level of the suite's file: its cases; async, but for suites of pure traits.
    fn written(suite: &str) -> BTreeSet<String> {
        let public = suite.lines().filter_map(|line| line.strip_prefix("pub "));
        let cases = public.filter_map(|line| line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn "));
        cases.filter_map(|rest| rest.split_once('(')).map(|(name, _)| name.to_owned()).collect()
    }

    /// The bullets under `# Contract` in the docs of a trait, each on one line.
    fn bullets(source: &str, name: &str) -> Vec<String> {
        let head = format!("pub trait {name}:");
        let docs = source.split_once(&head).unwrap_or_else(|| panic!("no {head}")).0;
        let docs = docs.rsplit_once("/// # Contract\n").unwrap_or_else(|| panic!("no contract: {name}")).1;
        let mut bullets: Vec<String> = Vec::new();
        for line in docs.lines().map_while(|line| line.strip_prefix("///")) {
            match line.strip_prefix(" * ") {
                Some(start) => bullets.push(start.to_owned()),
                None if line.starts_with("   ") => {
                    let last = bullets.last_mut().expect("a bullet is continued");
                    last.push_str(&line[2..]);
                }
                None => break,
            }
        }
        bullets
    }

    /// The cases a bullet names: `` (`one`, `two`) ``.
    fn named(bullet: &str) -> Vec<String> {
        let groups = bullet.match_indices("(`").filter_map(|(at, _)| bullet[at + 1..].split_once(')'));
        let items = groups.flat_map(|(group, _)| group.split(',').map(str::trim));
        let plain =
            |name: &&str| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        let names = items.filter_map(|item| item.strip_prefix('`')?.strip_suffix('`')).filter(plain);
        names.map(str::to_owned).collect()
    }

    #[test]
    fn every_case_that_is_written_is_expanded() {
        for (suite, _, name) in SUITES {
            assert_eq!(written(suite), expanded(suite), "{name}");
            let needed = if SMALL.contains(name) { 5 } else { 15 };
            assert!(written(suite).len() >= needed, "{name} has few cases");
        }
    }

    #[test]
    fn every_promise_names_cases_that_exist() {
        for (suite, source, name) in SUITES {
            let cases = expanded(suite);
            let bullets = bullets(source, name);
            assert!(!bullets.is_empty(), "{name} promises nothing");
            for bullet in bullets {
                let named = named(&bullet);
                assert!(!named.is_empty(), "{name}: nothing checks: {bullet}");
                for case in named {
                    assert!(cases.contains(&case), "{name}: `{case}` does not exist");
                }
            }
        }
    }

    #[test]
    fn the_reader_of_contracts_sees_what_is_missing() {
        let source = "/// # Contract\n/// * One. (`a_b`,\n///   `c`) Two [`X`](crate::X).\n/// * Three.\npub trait T: Send {}";
        let bullets = bullets(source, "T");
        assert_eq!(bullets.len(), 2);
        assert_eq!(named(&bullets[0]), ["a_b", "c"]);
        assert!(named(&bullets[1]).is_empty());
    }
}
