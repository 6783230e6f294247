//! A gate: criteria, checked, and how it decides.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::criterion::Criterion;
use super::input::GateInput;
use super::judge::Level;
use super::reuse::Reuse;
use super::rules::{Fault, fault};
use super::words::Multiplicity;
use crate::config::{self, Document, Format as GateFormat};
use crate::error::{Error, Result};
use crate::evaluation::subject::check_report;
use crate::evaluation::{CriterionResult, EvaluationReport, GateDecision, Verdict};
use crate::hash::{Digest, digest_json};
use crate::num::multiple::adjust;
use crate::time::Timestamp;

/// The level of tests where neither the gate nor the criterion gives one.
pub(super) const DEFAULT_ALPHA: f64 = 0.05;

/// What holds for a gate as a whole.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GateRules {
    /// The level of tests, between 0 and 0.5; 0.05 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// What is done about several tests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiplicity: Option<Multiplicity>,
    /// How often the test set may decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reuse: Option<Reuse>,
    /// Whether somebody has to approve a decision that passed.
    pub requires_approval: bool,
}

impl GateRules {
    /// Sets the level of tests.
    #[must_use]
    pub fn with_alpha(mut self, alpha: f64) -> Self {
        self.alpha = Some(alpha);
        self
    }

    /// Says what is done about several tests.
    #[must_use]
    pub fn with_multiplicity(mut self, multiplicity: Multiplicity) -> Self {
        self.multiplicity = Some(multiplicity);
        self
    }

    /// Limits how often the test set may decide.
    #[must_use]
    pub fn with_reuse(mut self, reuse: Reuse) -> Self {
        self.reuse = Some(reuse);
        self
    }

    /// Asks for an approval of every decision that passed.
    #[must_use]
    pub fn with_approval(mut self) -> Self {
        self.requires_approval = true;
        self
    }
}

/// A gate's file, or the same built in code: a name and criteria, checked.
///
/// # Example: a gate in a file
///
/// ```
/// use mlops_core::evaluation::GateSpec;
///
/// let gate = GateSpec::from_toml(
///     r#"
///     name = "release"
///
///     [[criteria]]                    # good enough, and surely so
///     id = "auc"
///     metric = "roc_auc"
///     min = 0.75
///     require_interval = "low"
///
///     [[criteria]]                    # also for the old
///     id = "auc-60"
///     metric = "roc_auc"
///     slice = "age band=60+"
///     min = 0.7
///     min_rows = 50
///
///     [[criteria]]                    # fair
///     id = "parity"
///     metric = "demographic_parity_difference"
///     attribute = "sex"
///     max = 0.1
///
///     [[criteria]]                    # not worse than what serves now
///     id = "no-step-back"
///     metric = "roc_auc"
///     max_drop = 0.01
///     no_champion = "pass"
///     "#,
/// )?;
/// assert_eq!(gate.criteria().len(), 4);
///
/// let error = GateSpec::from_toml("name = \"g\"\n[[criteria]]\nid = \"auc\"\nmetric = \"roc_auc\"\nmni = 0.7").unwrap_err();
/// assert_eq!(error.message(), "unknown key `mni`; did you mean `min`?");
/// assert_eq!((error.context("id"), error.context("line")), (Some("auc"), Some("5")));
/// # Ok::<(), mlops_core::Error>(())
/// ```
///
/// # Example: a gate in code
///
/// ```
/// use mlops_core::MetricKey;
/// use mlops_core::evaluation::{Criterion, GateSpec};
///
/// let criterion = Criterion::new("auc", MetricKey::new("roc_auc")?).with_min(0.75);
/// assert!(GateSpec::new("release", vec![criterion]).is_ok());
/// // A gate without criteria would let everything through.
/// assert!(GateSpec::new("release", vec![]).is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GateSpec {
    name: String,
    rules: GateRules,
    criteria: Vec<Criterion>,
    digest: Digest,
}

/// A gate as it stands in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GateFile {
    name: String,
    #[serde(default)]
    alpha: Option<f64>,
    #[serde(default)]
    multiplicity: Option<Multiplicity>,
    #[serde(default)]
    reuse: Option<Reuse>,
    #[serde(default)]
    requires_approval: bool,
    #[serde(default)]
    criteria: Vec<Criterion>,
}

impl GateSpec {
    /// A gate built in code; its digest is that of its canonical JSON.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with the context `field` and, where a criterion is wrong,
    /// `id`: no criteria or more than 1000, none that blocks, two of one id, no bound, a bound that is NaN or infinite,
    /// `min > max`, a negative margin, two margins, `require_interval` without its bound, `no_champion` without a comparison,
    /// a test that does not fit the bound, a level outside (0, 0.5), a name of another form.
    pub fn new(name: impl Into<String>, criteria: Vec<Criterion>) -> Result<Self> {
        Self::with_rules(name, GateRules::default(), criteria)
    }

    /// A gate built in code, with rules for the whole of it.
    ///
    /// # Errors
    /// As [`GateSpec::new`], and for rules that contradict the criteria.
    ///
    /// ```
    /// use mlops_core::MetricKey;
    /// use mlops_core::evaluation::{Criterion, GateRules, GateSpec, Multiplicity, TestName};
    ///
    /// let auc = |id: &str| Ok::<_, mlops_core::Error>(Criterion::new(id, MetricKey::new("roc_auc")?));
    /// let holm = GateRules::default().with_alpha(0.01).with_multiplicity(Multiplicity::Holm);
    /// assert!(GateSpec::with_rules("g", holm, vec![auc("a")?.with_max_drop(0.01).with_test(TestName::Delong)]).is_ok());
    /// // Nothing is tested here, and whoever wrote the rules believes that something is.
    /// assert!(GateSpec::with_rules("g", holm, vec![auc("a")?.with_max_drop(0.01)]).is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn with_rules(name: impl Into<String>, rules: GateRules, criteria: Vec<Criterion>) -> Result<Self> {
        const OP: &str = "GateSpec::new";
        let name = name.into();
        if let Some(Fault { criterion, key, message }) = fault(&name, &rules, &criteria) {
            let error = Error::invalid(OP, key, message);
            return Err(match criterion.and_then(|i| criteria.get(i)) {
                Some(criterion) => error.with("id", &criterion.id),
                None => error,
            });
        }
        let digest = match rules == GateRules::default() {
            true => digest_json(&(&name, &criteria))?,
            false => digest_json(&(&name, &rules, &criteria))?,
        };
        Ok(Self { name, rules, criteria, digest })
    }

    /// Reads a gate from TOML; its digest is that of the text's bytes.
    ///
    /// # Errors
    /// As [`GateSpec::with_rules`], and for an unknown key or word (with the nearest known one), a key that comes twice, a
    /// value of another type: with the context `line` and `column`.
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more than 1 MiB.
    pub fn from_toml(text: &str) -> Result<Self> {
        Self::read("GateSpec::from_toml", "(text)", text, GateFormat::Toml)
    }

    /// Reads a gate from JSON; its digest is that of the text's bytes.
    ///
    /// # Errors
    /// As [`GateSpec::from_toml`].
    ///
    /// ```
    /// use mlops_core::evaluation::GateSpec;
    ///
    /// let text = r#"{"name": "release", "criteria": [{"id": "auc", "metric": "roc_auc", "min": 0.75}]}"#;
    /// assert_eq!(GateSpec::from_json(text)?.criteria()[0].min, Some(0.75));
    ///
    /// let error = GateSpec::from_json(&text.replace("min", "mni")).unwrap_err();
    /// assert_eq!(error.message(), "unknown key `mni`; did you mean `min`?");
    /// assert_eq!((error.context("line"), error.context("column")), (Some("1"), Some("69")));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn from_json(text: &str) -> Result<Self> {
        Self::read("GateSpec::from_json", "(text)", text, GateFormat::Json)
    }

    /// Reads a gate from YAML; its digest is that of the text's bytes. Anchors, aliases, merge keys, tags of one's own and a
    /// second document are refused, and so are `.nan` and `.inf`.
    ///
    /// # Errors
    /// As [`GateSpec::from_toml`].
    ///
    /// ```
    /// use mlops_core::evaluation::GateSpec;
    ///
    /// let text = "name: release\ncriteria:\n  - {id: auc, metric: roc_auc, min: 0.75}\n";
    /// assert_eq!(GateSpec::from_yaml(text)?.criteria()[0].min, Some(0.75));
    /// assert!(GateSpec::from_yaml(&text.replace("0.75", ".nan")).is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[cfg(feature = "yaml")]
    pub fn from_yaml(text: &str) -> Result<Self> {
        Self::read("GateSpec::from_yaml", "(text)", text, GateFormat::Yaml)
    }

    /// Reads a gate from a text in a format; its digest is that of the text's bytes.
    ///
    /// # Errors
    /// As [`GateSpec::from_toml`]; [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for YAML without the feature
    /// `yaml`.
    pub fn from_text(text: &str, format: GateFormat) -> Result<Self> {
        Self::read("GateSpec::from_text", "(text)", text, format)
    }

    /// Reads a gate from a file: JSON from `.json`, YAML from `.yaml` and `.yml`, TOML from any other; its digest is that of
    /// the file's bytes.
    ///
    /// # Errors
    /// As [`GateSpec::from_text`], with the context `file`; [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) or
    /// [`ErrorKind::Storage`](crate::ErrorKind::Storage) when the file cannot be read.
    ///
    /// ```
    /// use mlops_core::ErrorKind;
    /// use mlops_core::evaluation::GateSpec;
    /// assert_eq!(GateSpec::from_file("no-such-gate.toml").unwrap_err().kind(), ErrorKind::NotFound);
    /// ```
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_file_as(path, GateFormat::of(path))
    }

    /// Reads a gate from a file in a format, whatever the file is called.
    ///
    /// # Errors
    /// As [`GateSpec::from_file`].
    pub fn from_file_as(path: impl AsRef<Path>, format: GateFormat) -> Result<Self> {
        const OP: &str = "GateSpec::from_file";
        let path = path.as_ref();
        let text = config::read(OP, path)?;
        Self::read(OP, &path.display().to_string(), &text, format)
    }

    fn read(operation: &'static str, file: &str, text: &str, format: GateFormat) -> Result<Self> {
        let document = Document::new(operation, file, text, format)?;
        let file: GateFile = document.parse(Some("criteria"))?;
        let GateFile { name, alpha, multiplicity, reuse, requires_approval, criteria } = file;
        let rules = GateRules { alpha, multiplicity, reuse, requires_approval };
        if let Some(fault) = fault(&name, &rules, &criteria) {
            let Some(index) = fault.criterion else {
                return Err(document.error(fault.key, document.offset(&[fault.key]), fault.message));
            };
            let at = document.offset_in("criteria", index, fault.key);
            let error = document.error(fault.key, at, fault.message);
            return Err(error.with("id", criteria.get(index).map_or("", |c| c.id.as_str())));
        }
        Ok(Self { name, rules, criteria, digest: Digest::of(text.as_bytes()) })
    }

    /// The gate's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rules for the whole of it.
    pub fn rules(&self) -> &GateRules {
        &self.rules
    }

    /// The criteria, in the order of the file.
    pub fn criteria(&self) -> &[Criterion] {
        &self.criteria
    }

    /// The digest of the file's bytes; every decision carries it.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The level of a criterion's test, divided for the reuse of the test set.
    pub(super) fn level(&self, criterion: &Criterion) -> f64 {
        let alpha = criterion.alpha.or(self.rules.alpha).unwrap_or(DEFAULT_ALPHA);
        alpha / self.rules.reuse.map_or(1.0, |reuse| reuse.divisor())
    }

    /// Decides about a report, and where a criterion asks for it compares with the champion's report. A pure function; the
    /// table at the top of [this module](super) says which finding leads to which verdict. O(criteria × slices).
    ///
    /// This is [`GateSpec::decide_with`] without evidence: a criterion that asks for a test is
    /// [`Insufficient`](Verdict::Insufficient).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the metric when a report has a NaN, an infinity
    /// or an interval that is upside down: there is no decision then, and nothing passes.
    ///
    /// ```
    /// use mlops_core::MetricKey;
    /// use mlops_core::evaluation::{Criterion, Estimate, EvaluationReport, GateSpec, Verdict};
    /// use mlops_core::hash::Digest;
    /// use mlops_core::num::Measured;
    /// use mlops_core::problem::{Direction, Task};
    ///
    /// let auc = MetricKey::new("roc_auc")?;
    /// let at = "2026-01-05T09:00:00Z".parse()?;
    /// let (model, data) = (Digest::of(b"model"), Digest::of(b"data"));
    /// let mut report = EvaluationReport::new(model, data, Task::BinaryClassification, at, 111);
    /// report.metrics.insert(auc.clone(), Estimate::new(Measured::Value(0.71), Direction::HigherIsBetter, 111));
    ///
    /// let gate = GateSpec::new("release", vec![Criterion::new("auc", auc).with_min(0.75)])?;
    /// let decision = gate.decide(&report, None, at)?;
    /// assert_eq!(decision.verdict, Verdict::Fail);
    /// assert_eq!(decision.criteria[0].reason, "roc_auc is 0.71, at least 0.75 is needed");
    /// assert!(decision.require_pass(&model).is_err());
    /// println!("{decision}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn decide(
        &self,
        report: &EvaluationReport,
        champion: Option<&EvaluationReport>,
        at: Timestamp,
    ) -> Result<GateDecision> {
        self.decide_with(&GateInput::new(report).with_champion(champion), at)
    }

    /// Decides about a report on the evidence of tests, and with all there is to compare it with. A pure function; see
    /// [`GateEvidence`](super::GateEvidence) for an example.
    ///
    /// # Errors
    /// As [`GateSpec::decide`], for every report that is compared with. [`ErrorKind::Conflict`](crate::ErrorKind::Conflict)
    /// when the evidence is about another gate, model, data set, champion or baseline, and
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when it names a criterion that the gate does not have, or
    /// has a number that is none.
    pub fn decide_with(&self, input: &GateInput<'_>, at: Timestamp) -> Result<GateDecision> {
        const OP: &str = "GateSpec::decide";
        let mut input = input.clone();
        input.champion =
            input.champion.filter(|_| self.criteria.iter().any(Criterion::compares_with_champion));
        input.evidence = input.evidence.filter(|_| self.criteria.iter().any(Criterion::needs_evidence));
        check_report(OP, "report", input.report)?;
        input.champion.map_or(Ok(()), |champion| check_report(OP, "champion", champion))?;
        input.baselines.values().try_for_each(|baseline| check_report(OP, "baseline", baseline))?;
        input.evidence.map_or(Ok(()), |evidence| evidence.check(OP, self, &input))?;

        let levels = self.levels(&input)?;
        let judge = |c: &Criterion| c.judge(&input, levels.get(c.id.as_str()));
        let mut criteria: Vec<CriterionResult> = self.criteria.iter().map(judge).collect();
        if let Some(reason) = self.rules.reuse.and_then(|reuse| reuse.exhausted(input.uses)) {
            criteria.iter_mut().for_each(|result| spend(result, &reason));
        }
        self.record(&input, criteria, at)
    }

    /// The level and the adjusted p-value of every criterion that is tested, by id.
    fn levels(&self, input: &GateInput<'_>) -> Result<BTreeMap<&str, Level>> {
        let tested: Vec<&Criterion> = self.criteria.iter().filter(|c| c.is_tested()).collect();
        let p_of = |c: &&Criterion| input.evidence.and_then(|e| e.criteria.get(&c.id)).and_then(|e| e.p);
        let given: Vec<Option<f64>> = tested.iter().map(p_of).collect();
        // What was not tested counts as a test that showed nothing: leaving a test out must not help the others.
        let p: Vec<f64> = given.iter().map(|p| p.unwrap_or(1.0)).collect();
        let multiplicity = self.rules.multiplicity.unwrap_or_default();
        let adjusted = adjust(&p, multiplicity.correction())?;
        let correction = multiplicity.corrects().then_some((multiplicity.name(), tested.len()));
        let level = |((c, given), adjusted): ((&&Criterion, Option<f64>), f64)| Level {
            alpha: self.level(c),
            adjusted: given.map(|_| adjusted),
            correction,
        };
        let levels = tested.iter().zip(given).zip(adjusted).map(level);
        Ok(tested.iter().map(|c| c.id.as_str()).zip(levels).collect())
    }

    fn record(
        &self,
        input: &GateInput<'_>,
        criteria: Vec<CriterionResult>,
        at: Timestamp,
    ) -> Result<GateDecision> {
        let champion = input.champion.map(EvaluationReport::digest).transpose()?;
        let report = input.report.digest()?;
        let model = input.report.model;
        let mut decision = GateDecision::new(&self.name, self.digest, model, report, champion, at, criteria);
        let used = |name: &str| self.criteria.iter().any(|c| c.baseline.as_deref() == Some(name));
        for (name, baseline) in input.baselines.iter().filter(|(name, _)| used(name)) {
            decision.baseline_reports.insert(name.clone(), baseline.digest()?);
        }
        decision.evidence = input.evidence.map(super::GateEvidence::digest).transpose()?;
        decision.uses = self.rules.reuse.and(input.uses);
        decision.requires_approval = self.rules.requires_approval;
        Ok(decision.versioned())
    }

    /// Nothing, if a decision was made by this very gate: whoever changes the file after the decision has to decide anew.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) when the decision carries another digest.
    ///
    /// ```
    /// # use mlops_core::evaluation::{EvaluationReport, GateSpec};
    /// # use mlops_core::{hash::Digest, problem::Task};
    /// # let at = "2026-01-05T09:00:00Z".parse()?;
    /// # let report = EvaluationReport::new(Digest::of(b"m"), Digest::of(b"d"), Task::Regression, at, 9);
    /// let text = "name = \"g\"\n[[criteria]]\nid = \"a\"\nmetric = \"rmse\"\nmax = 50";
    /// let gate = GateSpec::from_toml(text)?;
    /// let decision = gate.decide(&report, None, at)?;
    /// assert!(gate.require_made(&decision).is_ok());
    /// assert!(GateSpec::from_toml(&text.replace("50", "99"))?.require_made(&decision).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn require_made(&self, decision: &GateDecision) -> Result<()> {
        if decision.gate_digest == self.digest {
            return Ok(());
        }
        let message = "the decision was made by another gate file";
        Err(Error::conflict("GateSpec::require_made", message, self.digest, decision.gate_digest))
    }
}

/// On a test set that is used up nothing passes; what failed has failed.
fn spend(result: &mut CriterionResult, reason: &str) {
    if result.verdict == Verdict::Pass {
        result.verdict = Verdict::Insufficient;
        result.reason = format!("{}, but {reason}", result.reason);
    }
}
