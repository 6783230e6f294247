//! Maturity: a fixture for every level, gaps in an order that works, and evidence that does not count.

use mlops_core::config::Format;
use mlops_core::governance::Questionnaire;
use mlops_core::governance::budget::{Budget, parse_budgets, read_budgets};
use mlops_core::governance::cost::CostRules;
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
    Attestation::new(
        criterion.to_owned(),
        true,
        ActorId::new("platform-owner").unwrap(),
        at("2026-01-01T00:00:00Z"),
        at("2027-01-01T00:00:00Z"),
    )
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

// ------------------------------------------------------------------------------------------------ what people write in files

const FORMATS: &[Format] = if cfg!(feature = "yaml") {
    &[Format::Toml, Format::Json, Format::Yaml]
} else {
    &[Format::Toml, Format::Json]
};

/// The same file in a format: JSON is YAML too.
fn written(toml: &str, format: Format) -> String {
    match format {
        Format::Toml => toml.to_owned(),
        _ => toml::from_str::<serde_json::Value>(toml).unwrap().to_string(),
    }
}

const QUESTIONS: &str = r#"
[[criteria]]
id = "cards"
level = "automated_training"
dimension = "model_creation"
statement = "Every model has a card."

[[criteria]]
id = "gate"
level = "automated_deployment"
dimension = "model_release"
statement = "Nine of ten releases pass a gate."
measure = "gated_releases"
at_least = 0.9

[[attestations]]
criterion = "cards"
met = true
by = "ann"
at = "2026-01-10T00:00:00Z"
expires_at = "2026-07-10T00:00:00Z"
"#;

#[test]
fn a_questionnaire_adds_criteria_replaces_them_and_says_what_people_say() {
    for format in FORMATS {
        let asked = Questionnaire::parse(&written(QUESTIONS, *format), *format).unwrap();
        assert_eq!(asked.criteria().len(), criteria().len() + 1, "{format:?}");
        let at_least = asked.criteria().iter().find(|c| c.id == "gate").map(|c| c.evidence);
        let nine = EvidenceKind::Automatic { measure: Measure::GatedReleases, at_least: 0.9 };
        assert_eq!(at_least, Some(nine));
        let evidence = asked.evidence().with_count(Measure::GatedReleases, 9, 10);
        let found = assess(asked.criteria(), &evidence, now()).unwrap();
        let met = |id: &str| found.findings.iter().any(|f| f.criterion.id == id && f.met);
        assert!(met("cards") && met("gate"));
    }
    assert_eq!(Questionnaire::parse("", Format::Toml).unwrap().criteria(), criteria());
}

#[test]
fn a_questionnaire_that_is_wrong_is_refused_at_its_place() {
    let cases = [
        ("level = \"automated_training\"", "level = \"no_mlops\"", "level", "level 0 needs nothing", "4"),
        ("level = \"automated_training\"", "level = \"training\"", "level", "", "4"),
        ("id = \"cards\"", "id = \" \"", "id", "the id must not be empty", "3"),
        ("id = \"gate\"", "id = \"cards\"", "id", "another criterion has this id", "9"),
        ("at_least = 0.9", "at_least = 0.0", "at_least", "above 0 and at most 1", "14"),
        ("at_least = 0.9", "at_least = nan", "at_least", "above 0 and at most 1", "14"),
        ("at_least = 0.9\n", "", "measure", "needs `at_least`", "13"),
        ("measure = \"gated_releases\"\n", "", "at_least", "needs `measure`", "13"),
        ("at_least = 0.9", "at_most = 0.9", "at_most", "", "14"),
        ("criterion = \"cards\"", "criterion = \"card\"", "criterion", "is not there", "17"),
        ("criterion = \"cards\"", "criterion = \"gate\"", "criterion", "nobody's word counts", "17"),
        ("expires_at = \"2026-07-10", "expires_at = \"2026-01-10", "expires_at", "expires before", "21"),
        ("by = \"ann\"", "by = \"ann\"\nwho = \"ann\"", "who", "", "20"),
        ("met = true", "met = \"yes\"", "met", "", "18"),
    ];
    for (from, to, field, message, line) in cases {
        assert!(QUESTIONS.contains(from), "{from}");
        let error = Questionnaire::parse(&QUESTIONS.replacen(from, to, 1), Format::Toml).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{to}: {error}");
        let named = error.context("field").unwrap();
        assert!(field.ends_with(named) || named.ends_with(field), "{to}: {error}");
        assert!(error.message().contains(message), "{to}: {error}");
        assert_eq!(error.context("line"), Some(line), "{to}: {error}");
    }
    let many = "[[attestations]]\ncriterion='builds'\nmet=true\nby='a'\nat='2026-01-01T00:00:00Z'\nexpires_at='2027-01-01T00:00:00Z'\n";
    assert_eq!(
        Questionnaire::parse(&many.repeat(1001), Format::Toml).unwrap_err().kind(),
        ErrorKind::LimitExceeded
    );
}

const BUDGETS: &str = r#"
[[budgets]]
name = "churn"
amount = 1000.0
grain = "quarterly"
start = "2026-01-01"
thresholds = [{ percent = 80.0 }, { percent = 100.0, basis = "forecast" }]

[[budgets]]
name = "team"
amount = 50
start = "2026-02-01"
thresholds = [{ percent = 50 }]
"#;

#[test]
fn budgets_are_read_in_every_format_and_refused_at_their_place() {
    let all: Vec<Vec<Budget>> =
        FORMATS.iter().map(|format| parse_budgets(&written(BUDGETS, *format), *format).unwrap()).collect();
    assert!(all.iter().all(|budgets| *budgets == all[0]));
    assert_eq!(
        all[0].iter().map(|budget| (budget.name(), budget.amount())).collect::<Vec<_>>(),
        [("churn", 1000.0), ("team", 50.0)]
    );
    assert_eq!(all[0][0].thresholds().len(), 2);
    let cases = [
        ("amount = 50", "amount = 0", "amount", "11"),
        ("amount = 50", "amount = nan", "amount", "11"),
        ("amount = 50", "amount = \"50\"", "amount", "11"),
        ("start = \"2026-02-01\"", "start = \"2026-02-02\"", "start", "12"),
        ("start = \"2026-02-01\"", "start = \"2026-02-30\"", "start", "12"),
        ("thresholds = [{ percent = 50 }]", "thresholds = []", "thresholds", "13"),
        ("percent = 50", "percent = 1001", "thresholds", "13"),
        ("name = \"team\"", "name = \"churn\"", "name", "10"),
        ("grain = \"quarterly\"", "grain = \"weekly\"", "grain", "5"),
        ("grain = \"quarterly\"", "grains = \"quarterly\"", "grains", "5"),
    ];
    for (from, to, field, line) in cases {
        assert!(BUDGETS.contains(from), "{from}");
        let error = parse_budgets(&BUDGETS.replacen(from, to, 1), Format::Toml).unwrap_err();
        assert_eq!(
            (error.kind(), error.context("line")),
            (ErrorKind::InvalidInput, Some(line)),
            "{to}: {error}"
        );
        assert!(error.context("field").unwrap().ends_with(field), "{to}: {error}");
    }
    assert_eq!(parse_budgets("budgets = []", Format::Toml).unwrap_err().message(), "there are none");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("budgets.json");
    std::fs::write(&path, written(BUDGETS, Format::Json)).unwrap();
    assert_eq!(read_budgets(&path).unwrap(), all[0]);
    assert_eq!(read_budgets(folder.path().join("none.toml")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn cost_rules_are_read_in_every_format_and_refused_at_their_place() {
    let text = "max_idle = \"10m\"\nmax_unused = \"14d\"\nheadroom = 1.5\ntags = [\"owner\"]\n";
    let folder = tempfile::tempdir().unwrap();
    for (format, name) in FORMATS.iter().zip(["rules.toml", "rules.json", "rules.yaml"]) {
        let path = folder.path().join(name);
        std::fs::write(&path, written(text, *format)).unwrap();
        let rules = CostRules::read(&path).unwrap();
        assert_eq!((rules.max_idle.as_secs(), rules.headroom, rules.tags.len()), (600, 1.5, 1), "{name}");
        assert_eq!(rules.max_instance_idle, CostRules::default().max_instance_idle, "what is left out");
    }
    for (from, to, field, line) in [
        ("headroom = 1.5", "headroom = 0.9", "headroom", "3"),
        ("headroom = 1.5", "headroom = inf", "headroom", "3"),
        ("[\"owner\"]", "[\"owner\", \" \"]", "tags", "4"),
        ("max_idle = \"10m\"", "max_idle = \"10\"", "max_idle", "1"),
        ("max_idle", "max_idles", "max_idles", "1"),
    ] {
        let error = CostRules::parse(&text.replacen(from, to, 1), Format::Toml).unwrap_err();
        assert_eq!(
            (error.kind(), error.context("line")),
            (ErrorKind::InvalidInput, Some(line)),
            "{to}: {error}"
        );
        assert!(error.context("field").unwrap().ends_with(field), "{to}: {error}");
    }
    assert_eq!(CostRules::parse("", Format::Toml).unwrap(), CostRules::default());
}
