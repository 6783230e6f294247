//! Maturity: a fixture for every level, gaps in an order that works, and evidence that does not count.

use mlops_core::governance::maturity::{
    Assessment, Attestation, EvidenceKind, MaturityCriterion, MaturityEvidence, MaturityLevel, Measure,
    assess, criteria,
};
use mlops_core::time::Timestamp;
use mlops_core::{ActorId, ErrorKind};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-03-01T00:00:00Z")
}

fn attestation(criterion: &str) -> Attestation {
    Attestation {
        criterion: criterion.to_owned(),
        met: true,
        by: ActorId::new("platform-owner").unwrap(),
        at: at("2026-01-01T00:00:00Z"),
        expires_at: at("2027-01-01T00:00:00Z"),
        comment: String::new(),
    }
}

fn meet(evidence: MaturityEvidence, criterion: &MaturityCriterion) -> MaturityEvidence {
    match criterion.evidence {
        EvidenceKind::Automatic { measure, .. } => evidence.with_count(measure, 10, 10),
        _ => evidence.with_attestation(attestation(&criterion.id)),
    }
}

/// Just enough for a level.
fn fixture(level: MaturityLevel) -> MaturityEvidence {
    criteria().iter().filter(|c| c.level <= level).fold(MaturityEvidence::new(), meet)
}

fn judge(evidence: &MaturityEvidence) -> Assessment {
    assess(&criteria(), evidence, now()).unwrap()
}

#[test]
fn each_level_is_reached_by_its_criteria_and_by_no_fewer() {
    for level in MaturityLevel::ALL {
        let evidence = fixture(level);
        assert_eq!(judge(&evidence).level, level);
        // Without any one of them the level is lost, down to the one below the criterion's own.
        for criterion in criteria().iter().filter(|c| c.level <= level) {
            let mut less = evidence.clone();
            match criterion.evidence {
                EvidenceKind::Automatic { measure, .. } => {
                    less.counts.remove(&measure);
                }
                _ => less.attestations.retain(|a| a.criterion != criterion.id),
            }
            let found = judge(&less);
            assert_eq!(found.level.number(), criterion.level.number() - 1, "{}", criterion.id);
            assert_eq!(found.gaps[0].criterion, criterion.id);
            assert_eq!(found.gaps[0].unlocks, level, "closing the one gap brings the level back");
        }
    }
}

#[test]
fn what_is_above_a_gap_does_not_count() {
    // Everything of levels 2 to 4, and nothing of level 1.
    let evidence =
        criteria().iter().filter(|c| c.level > MaturityLevel::DevOps).fold(MaturityEvidence::new(), meet);
    let found = judge(&evidence);
    assert_eq!(found.level, MaturityLevel::NoMlops);
    assert_eq!(found.gaps.last().unwrap().unlocks, MaturityLevel::FullMlops);
    assert!(found.gaps[..found.gaps.len() - 1].iter().all(|g| g.unlocks == MaturityLevel::NoMlops));
}

#[test]
fn closing_gaps_in_their_order_reaches_what_they_promise() {
    for level in MaturityLevel::ALL {
        let mut evidence = fixture(level);
        loop {
            let found = judge(&evidence);
            let Some(gap) = found.gaps.first() else { break };
            let expected = gap.unlocks;
            let criterion = criteria().into_iter().find(|c| c.id == gap.criterion).unwrap();
            evidence = meet(evidence, &criterion);
            assert_eq!(judge(&evidence).level, expected);
        }
        assert_eq!(judge(&evidence).level, MaturityLevel::FullMlops);
    }
    let levels: Vec<u8> = judge(&MaturityEvidence::new()).gaps.iter().map(|g| g.level.number()).collect();
    assert!(levels.is_sorted() && levels.len() == criteria().len());
}

#[test]
fn shares_are_held_against_what_is_needed() {
    let of = |good, of| {
        let evidence = fixture(MaturityLevel::FullMlops).with_count(Measure::RunsWithCode, good, of);
        judge(&evidence).level
    };
    assert_eq!(of(9, 10), MaturityLevel::FullMlops);
    assert_eq!(of(899, 1000), MaturityLevel::NoMlops);
    assert_eq!(of(0, 0), MaturityLevel::NoMlops, "none of none shows nothing");
    assert_eq!(of(u64::MAX, u64::MAX), MaturityLevel::FullMlops);
}

#[test]
fn only_the_latest_word_counts_and_only_while_it_lasts() {
    let with = |change: &dyn Fn(&mut Attestation)| {
        let mut word = attestation("builds");
        change(&mut word);
        let evidence = fixture(MaturityLevel::DevOps);
        let mut others = evidence.clone();
        others.attestations.retain(|a| a.criterion != "builds");
        judge(&others.with_attestation(word)).level
    };
    assert_eq!(with(&|_| {}), MaturityLevel::DevOps);
    assert_eq!(with(&|a| a.met = false), MaturityLevel::NoMlops);
    assert_eq!(with(&|a| a.expires_at = now()), MaturityLevel::NoMlops);
    assert_eq!(with(&|a| a.at = at("2026-03-01T00:00:01Z")), MaturityLevel::NoMlops, "from the future");
    let mut no = attestation("builds");
    (no.met, no.at) = (false, at("2026-02-01T00:00:00Z"));
    let withdrawn = fixture(MaturityLevel::DevOps).with_attestation(no);
    assert_eq!(judge(&withdrawn).level, MaturityLevel::NoMlops);
}

#[test]
fn criteria_and_evidence_that_cannot_be_right_are_refused() {
    let refuse = |criteria: &[MaturityCriterion], evidence: &MaturityEvidence| {
        assert_eq!(assess(criteria, evidence, now()).unwrap_err().kind(), ErrorKind::InvalidInput);
    };
    let none = MaturityEvidence::new();
    refuse(&[], &none);
    let change = |change: &dyn Fn(&mut MaturityCriterion)| {
        let mut all = criteria();
        change(&mut all[0]);
        all
    };
    refuse(&change(&|c| c.id = " ".to_owned()), &none);
    refuse(&change(&|c| c.id = "builds".to_owned()), &none);
    refuse(&change(&|c| c.level = MaturityLevel::NoMlops), &none);
    for share in [0.0, 1.1, -0.5, f64::NAN] {
        refuse(
            &change(&|c| {
                c.evidence = EvidenceKind::Automatic { measure: Measure::RunsWithCode, at_least: share }
            }),
            &none,
        );
    }
    refuse(&criteria(), &none.clone().with_count(Measure::RunsWithCode, 2, 1));
    refuse(&criteria(), &none.clone().with_attestation(attestation("no-such-criterion")));
    refuse(&criteria(), &none.with_attestation(attestation("tracking")));
}

#[test]
fn every_measure_is_used_and_every_side_of_the_work_is_looked_at() {
    for measure in Measure::ALL {
        let uses = |c: &MaturityCriterion| matches!(c.evidence, EvidenceKind::Automatic { measure: m, .. } if m == measure);
        assert_eq!(criteria().iter().filter(|c| uses(c)).count(), 1, "{measure:?}");
    }
    for level in &MaturityLevel::ALL[1..] {
        assert!(criteria().iter().any(|c| c.level == *level));
    }
}

#[test]
fn an_assessment_reads_well_and_survives_json() {
    let mut word = attestation("builds");
    word.by = ActorId::new("a|b<script>").unwrap();
    let mut evidence = fixture(MaturityLevel::DevOps);
    evidence.attestations.retain(|a| a.criterion != "builds");
    let found = judge(&evidence.with_attestation(word));
    let text = found.to_markdown();
    assert!(text.starts_with("# Maturity: level 1, DevOps but no MLOps\n"), "{text}");
    assert!(text.contains("a\\|b\\<script\\>"), "{text}");
    assert_eq!(text.matches("is reached").count(), 3, "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("| ")).count(), criteria().len() + 1);
    let json = found.to_json().unwrap();
    assert_eq!(serde_json::from_str::<Assessment>(&json).unwrap(), found);
    assert_eq!(found.to_json().unwrap(), json);
}
