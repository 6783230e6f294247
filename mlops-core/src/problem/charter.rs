//! The charter: why there is a model at all, for whom, and by which numbers one will know that it worked.

use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Direction, Sla, Task};
use crate::config::{self, Document, Format};
use crate::error::{Error, Result, quote};
use crate::hash::{Digest, digest_json};
use crate::id::MetricKey;

/// The most entries of a list.
const MAX_ENTRIES: usize = 1_000;
/// The longest text, in characters.
const MAX_TEXT: usize = 10_000;

/// A number by which one will know that the model is worth having.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kpi {
    /// The metric.
    pub metric: MetricKey,
    /// Which way is better; one of the two must be.
    pub direction: Direction,
    /// The value to reach.
    pub target: f64,
}

impl Kpi {
    /// A target for a metric.
    pub fn new(metric: MetricKey, direction: Direction, target: f64) -> Self {
        Self { metric, direction, target }
    }

    /// Whether a value reaches the target; NaN never does, and nothing does where neither way is better.
    ///
    /// ```
    /// use mlops_core::MetricKey;
    /// use mlops_core::problem::{Direction, Kpi};
    ///
    /// let kpi = Kpi::new(MetricKey::new("rmse")?, Direction::LowerIsBetter, 55.0);
    /// assert!(kpi.reached(55.0) && !kpi.reached(55.1) && !kpi.reached(f64::NAN));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn reached(&self, value: f64) -> bool {
        self.direction != Direction::Neither && self.direction.gain(value, self.target) >= 0.0
    }
}

/// Whether machine learning can answer the question at all: four questions, each with a sentence or two as the answer.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feasibility {
    /// Is there enough data of the right kind, labels included, and may it be used?
    pub data: String,
    /// What does one do without a model, and why is that not good enough?
    pub alternative: String,
    /// What is it worth when it works?
    pub value: String,
    /// What does a wrong answer cost, and who bears it?
    pub cost_of_error: String,
}

/// Something that may go wrong, and what is done about it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Risk {
    /// What may go wrong.
    pub what: String,
    /// What is done about it.
    pub mitigation: String,
}

impl Risk {
    /// A risk.
    pub fn new(what: impl Into<String>, mitigation: impl Into<String>) -> Self {
        Self { what: what.into(), mitigation: mitigation.into() }
    }
}

/// Why there is a model, for whom, and by which numbers one will know that it worked.
///
/// A charter is written before any data is touched and read from a TOML file that people review. It is strict: what must be
/// there must not be empty, targets are numbers, unknown keys are errors with the nearest known one.
///
/// ```
/// use mlops_core::problem::{Charter, Task};
///
/// let charter = Charter::from_toml(
///     r#"
///     objective = "Find patients whose disease will progress, so that they are seen first."
///     owner = "head of the diabetes clinic"
///     task = "binary_classification"
///     target = "progression"
///     positive = "above median"
///     sensitive = ["sex"]
///     stakeholders = ["patients", "physicians"]
///     constraints = ["runs without a network"]
///
///     [[kpis]]
///     metric = "roc_auc"
///     direction = "higher_is_better"
///     target = 0.75
///
///     [feasibility]
///     data = "442 patients, all labelled after one year."
///     alternative = "First come, first served; it ignores what is known."
///     value = "A visit months earlier for those who need it."
///     cost_of_error = "A missed patient waits as today."
///
///     [[risks]]
///     what = "Patients from elsewhere differ."
///     mitigation = "Drift is watched; the model is trained anew."
///
///     [sla]
///     max_p95_latency_ms = 200
///     availability = 0.999
///     "#,
/// )?;
/// assert_eq!(charter.task, Task::BinaryClassification);
/// assert_eq!(charter.sla.availability, 0.999);
///
/// let error = Charter::from_toml("objectiv = \"x\"").unwrap_err();
/// assert_eq!(error.message(), "unknown key `objectiv`; did you mean `objective`?");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Charter {
    /// What is to be achieved, in a sentence without the word "model".
    pub objective: String,
    /// The role that answers for it in the business.
    pub owner: String,
    /// The kind of question.
    pub task: Task,
    /// The column that is predicted.
    pub target: String,
    /// The value of the target that counts as positive; needed for a classification and refused for a regression.
    #[serde(default)]
    pub positive: Option<String>,
    /// The numbers by which success is judged; one at least.
    #[serde(default)]
    pub kpis: Vec<Kpi>,
    /// Attributes between whose groups fairness is judged; empty when there are none.
    #[serde(default)]
    pub sensitive: Vec<String>,
    /// Who is affected or has a say, as roles; one at least.
    #[serde(default)]
    pub stakeholders: Vec<String>,
    /// Whether machine learning can answer the question at all.
    pub feasibility: Feasibility,
    /// What must be kept to, whatever the numbers say.
    #[serde(default)]
    pub constraints: Vec<String>,
    /// What may go wrong.
    #[serde(default)]
    pub risks: Vec<Risk>,
    /// What the service promises.
    pub sla: Sla,
}

/// What is wrong with a charter: in which list at which index, or in which table, at which key.
struct Fault {
    path: Vec<&'static str>,
    index: Option<usize>,
    message: String,
}

impl Charter {
    /// A charter in code, still without KPIs, stakeholders and the answers about feasibility: fill the fields, then
    /// [`check`](Charter::check).
    ///
    /// ```
    /// use mlops_core::problem::{Charter, Sla, Task};
    ///
    /// let sla = Sla::new(200.0, 0.999);
    /// let mut charter = Charter::new("see the sickest first", "head of clinic", Task::Regression, "progression", sla);
    /// charter.stakeholders.push("patients".to_owned());
    /// assert_eq!(charter.check().unwrap_err().context("field"), Some("feasibility.data"));
    /// ```
    pub fn new(
        objective: impl Into<String>,
        owner: impl Into<String>,
        task: Task,
        target: impl Into<String>,
        sla: Sla,
    ) -> Self {
        Self {
            objective: objective.into(),
            owner: owner.into(),
            task,
            target: target.into(),
            positive: None,
            kpis: Vec::new(),
            sensitive: Vec::new(),
            stakeholders: Vec::new(),
            feasibility: Feasibility::default(),
            constraints: Vec::new(),
            risks: Vec::new(),
            sla,
        }
    }

    /// Reads a charter from TOML.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with the context `field` and `line`: an unknown key, a key that
    /// comes twice or is missing, and all that [`Charter::check`] refuses.
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more than 1 MiB.
    pub fn from_toml(text: &str) -> Result<Self> {
        Self::read("Charter::from_toml", "(text)", text)
    }

    /// Reads a charter from a TOML file.
    ///
    /// # Errors
    /// As [`Charter::from_toml`], with the context `file`; [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) or
    /// [`ErrorKind::Storage`](crate::ErrorKind::Storage) when the file cannot be read.
    ///
    /// ```
    /// use mlops_core::ErrorKind;
    /// use mlops_core::problem::Charter;
    /// assert_eq!(Charter::from_file("no-such-charter.toml").unwrap_err().kind(), ErrorKind::NotFound);
    /// ```
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        const OP: &str = "Charter::from_file";
        let path = path.as_ref();
        let text = config::read(OP, path)?;
        Self::read(OP, &path.display().to_string(), &text)
    }

    fn read(operation: &'static str, file: &str, text: &str) -> Result<Self> {
        let document = Document::new(operation, file, text, Format::Toml)?;
        let charter: Self = document.parse(None)?;
        let Some(Fault { path, index, message }) = charter.fault() else { return Ok(charter) };
        let at = match (path.as_slice(), index) {
            ([list, key], Some(index)) => document.offset_in(list, index, key),
            (path, _) => document.offset(path),
        };
        Err(document.error(&path.join("."), at, message))
    }

    /// Checks a charter that was changed in code by the rules of the file: required texts are not empty, targets are finite, a
    /// classification has its positive value and a regression has none, no metric, attribute or stakeholder comes twice.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the key.
    pub fn check(&self) -> Result<()> {
        match self.fault() {
            None => Ok(()),
            Some(fault) => Err(Error::invalid("Charter::check", &fault.path.join("."), fault.message)),
        }
    }

    /// The digest of the charter, by which runs and reports refer to it: that of its canonical JSON, so that comments and the
    /// order of keys do not count.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if a number in it is NaN or infinite, which no charter that
    /// was read from a file has.
    pub fn digest(&self) -> Result<Digest> {
        digest_json(self)
    }

    fn fault(&self) -> Option<Fault> {
        self.text_fault()
            .or_else(|| self.positive_fault())
            .or_else(|| self.list_fault())
            .or_else(|| self.kpi_fault())
            .or_else(|| self.risk_fault())
            .or_else(|| {
                let (key, message) = self.sla.fault()?;
                Some(Fault { path: vec!["sla", key], index: None, message })
            })
    }

    fn text_fault(&self) -> Option<Fault> {
        let Feasibility { data, alternative, value, cost_of_error } = &self.feasibility;
        let texts: [(&[&'static str], &str); 7] = [
            (&["objective"], &self.objective),
            (&["owner"], &self.owner),
            (&["target"], &self.target),
            (&["feasibility", "data"], data),
            (&["feasibility", "alternative"], alternative),
            (&["feasibility", "value"], value),
            (&["feasibility", "cost_of_error"], cost_of_error),
        ];
        texts.into_iter().find_map(|(path, text)| {
            blank(text).map(|message| Fault { path: path.to_vec(), index: None, message })
        })
    }

    fn positive_fault(&self) -> Option<Fault> {
        let message = match (self.task, self.positive.as_deref()) {
            (Task::BinaryClassification, None) => {
                Some("is missing: a classification says which value of the target is positive".to_owned())
            }
            (Task::Regression, Some(_)) => Some("a regression has no positive value".to_owned()),
            (Task::MulticlassClassification, Some(_)) => {
                Some("of several classes none is the positive one".to_owned())
            }
            (_, positive) => positive.and_then(blank),
        };
        message.map(|message| Fault { path: vec!["positive"], index: None, message })
    }

    fn list_fault(&self) -> Option<Fault> {
        let required: [(&'static str, usize, bool); 5] = [
            ("kpis", self.kpis.len(), true),
            ("stakeholders", self.stakeholders.len(), true),
            ("sensitive", self.sensitive.len(), false),
            ("constraints", self.constraints.len(), false),
            ("risks", self.risks.len(), false),
        ];
        let whole = |key, message| Some(Fault { path: vec![key], index: None, message });
        for (key, entries, required) in required {
            if required && entries == 0 {
                return whole(key, "is empty, at least one is needed".to_owned());
            }
            if entries > MAX_ENTRIES {
                return whole(key, format!("has {entries} entries, at most {MAX_ENTRIES} are allowed"));
            }
        }
        let lists = [
            ("stakeholders", &self.stakeholders),
            ("sensitive", &self.sensitive),
            ("constraints", &self.constraints),
        ];
        lists.into_iter().find_map(|(key, list)| texts_fault(list).and_then(|message| whole(key, message)))
    }

    fn kpi_fault(&self) -> Option<Fault> {
        let mut seen = HashSet::new();
        self.kpis.iter().enumerate().find_map(|(index, kpi)| {
            let fault = |key, message| Some(Fault { path: vec!["kpis", key], index: Some(index), message });
            if !kpi.target.is_finite() {
                return fault("target", format!("is {}, which is not a finite number", kpi.target));
            }
            if kpi.direction == Direction::Neither {
                return fault("direction", "a target needs a way that is better".to_owned());
            }
            if !seen.insert(&kpi.metric) {
                return fault("metric", format!("`{}` has a target already", quote(kpi.metric.as_str())));
            }
            None
        })
    }

    fn risk_fault(&self) -> Option<Fault> {
        self.risks.iter().enumerate().find_map(|(index, risk)| {
            [("what", &risk.what), ("mitigation", &risk.mitigation)].into_iter().find_map(|(key, text)| {
                blank(text).map(|message| Fault { path: vec!["risks", key], index: Some(index), message })
            })
        })
    }
}

/// What is wrong with a text that must say something.
fn blank(text: &str) -> Option<String> {
    if text.trim().is_empty() {
        return Some("must not be empty".to_owned());
    }
    let characters = text.chars().count();
    (characters > MAX_TEXT).then(|| format!("has {characters} characters, at most {MAX_TEXT} are allowed"))
}

fn texts_fault(texts: &[String]) -> Option<String> {
    let mut seen = HashSet::new();
    texts.iter().enumerate().find_map(|(index, text)| {
        if let Some(message) = blank(text) {
            return Some(format!("entry {index} {message}"));
        }
        (!seen.insert(text)).then(|| format!("`{}` comes twice", quote(text)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const FILE: &str = r#"objective = "o"
owner = "w"
task = "binary_classification"
target = "t"
positive = "yes"
stakeholders = ["s"]
sensitive = ["sex"]

[[kpis]]
metric = "auc"
direction = "higher_is_better"
target = 0.75

[feasibility]
data = "d"
alternative = "a"
value = "v"
cost_of_error = "c"

[[risks]]
what = "w"
mitigation = "m"

[sla]
max_p95_latency_ms = 200
availability = 0.999
"#;

    #[test]
    fn every_gap_is_refused_with_its_place() {
        assert!(Charter::from_toml(FILE).is_ok());
        for (from, to, field, line) in [
            ("objective = \"o\"", "objective = \" \\t\"", "objective", Some("1")),
            ("objective = \"o\"", "", "objective", Some("1")),
            ("owner = \"w\"", "owner = \"\"", "owner", Some("2")),
            ("binary_classification", "binary_clasification", "task", Some("3")),
            ("target = \"t\"", "target = \"\"", "target", Some("4")),
            ("positive = \"yes\"", "", "positive", None),
            ("positive = \"yes\"", "positive = \"\"", "positive", Some("5")),
            ("binary_classification", "regression", "positive", Some("5")),
            ("[\"s\"]", "[]", "stakeholders", Some("6")),
            ("[\"s\"]", "[\"s\", \"s\"]", "stakeholders", Some("6")),
            ("[\"sex\"]", "[\"sex\", \"\"]", "sensitive", Some("7")),
            ("target = 0.75", "target = nan", "kpis.target", Some("12")),
            ("target = 0.75", "target = inf", "kpis.target", Some("12")),
            ("target = 0.75", "target = \"0.75\"", "kpis.target", Some("12")),
            ("higher_is_better", "neither", "kpis.direction", Some("11")),
            ("higher_is_better", "higher", "kpis.direction", Some("11")),
            ("cost_of_error = \"c\"", "cost_of_error = \"\"", "feasibility.cost_of_error", Some("18")),
            ("mitigation = \"m\"", "mitigation = \"\"", "risks.mitigation", Some("22")),
            ("availability = 0.999", "availability = 99.9", "sla.availability", Some("26")),
            ("max_p95_latency_ms = 200", "max_p95_latency_ms = nan", "sla.max_p95_latency_ms", Some("25")),
            ("max_p95_latency_ms = 200", "max_p95_latency = 200", "max_p95_latency", Some("25")),
            ("owner = \"w\"", "owner = \"w\"\nowner = \"x\"", "owner", Some("3")),
        ] {
            assert!(FILE.contains(from), "{from}");
            let error = Charter::from_toml(&FILE.replace(from, to)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{to}");
            assert_eq!((error.context("field"), error.context("line")), (Some(field), line), "{to}: {error}");
        }
        let twice = format!("{FILE}[[kpis]]\nmetric = \"auc\"\ndirection = \"higher_is_better\"\ntarget = 1");
        assert_eq!(Charter::from_toml(&twice).unwrap_err().context("line"), Some("28"));
        let without = &FILE[..FILE.find("[[kpis]]").unwrap()];
        let rest = &FILE[FILE.find("[feasibility]").unwrap()..];
        let error = Charter::from_toml(&format!("{without}{rest}")).unwrap_err();
        assert_eq!(error.context("field"), Some("kpis"));
    }

    #[test]
    fn a_charter_changed_in_code_is_held_to_the_same_rules() {
        let mut charter = Charter::from_toml(FILE).unwrap();
        assert!(charter.check().is_ok());
        charter.kpis[0].target = f64::NAN;
        assert_eq!(charter.check().unwrap_err().context("field"), Some("kpis.target"));
        assert!(charter.digest().is_err());
        charter.kpis.clear();
        assert_eq!(charter.check().unwrap_err().context("field"), Some("kpis"));
    }

    #[test]
    fn the_digest_follows_the_meaning_and_not_the_typing() {
        let digest = |text: &str| Charter::from_toml(text).unwrap().digest().unwrap();
        assert_eq!(digest(&format!("# a comment\n{FILE}")), digest(FILE));
        for (from, to) in [("0.75", "0.76"), ("\"w\"", "\"x\""), ("200", "201"), ("\"sex\"", "\"age\"")] {
            assert_ne!(digest(&FILE.replace(from, to)), digest(FILE), "{to}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_or_bad_is_named() {
        let path = std::env::temp_dir().join(format!("mlops-charter-{}.toml", uuid::Uuid::new_v4()));
        std::fs::write(&path, FILE).unwrap();
        let read = Charter::from_file(&path);
        std::fs::write(&path, "owner = 1").unwrap();
        let error = Charter::from_file(&path).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read.unwrap(), Charter::from_toml(FILE).unwrap());
        assert_eq!((error.context("field"), error.context("line")), (Some("owner"), Some("1")));
    }
}
