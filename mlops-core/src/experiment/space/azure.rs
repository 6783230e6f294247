//! Azure ML's notations of a search space: the `search_space` of a sweep job's YAML, and `searchSpace` of its REST API.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::check;
use super::distribution::{ChoiceOption, Distribution};
use super::error::SpaceError;
use super::search_space::SearchSpace;
use super::value::{Value, ValueVisitor};
use crate::config::{Document, Format};
use crate::error::Result;
use crate::experiment::space::law::{nth_float, nth_int, steps};

/// As many values of a stepped range are written out as a choice.
const MAX_WRITTEN: u64 = 1_000;

impl SearchSpace {
    /// Reads the wire form of Azure ML's REST API, `{"lr": ["uniform", [0.001, 0.1]], …}`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with `field`, `line` and `column`: no JSON, a distribution that
    /// is not known, numbers too many or too few, and whatever [`SearchSpace::new`] refuses.
    ///
    /// ```
    /// use mlops_core::experiment::space::{Distribution, SearchSpace};
    ///
    /// let text = r#"{"lr": ["uniform", [0.001, 0.1]], "n": ["choice", [[16, 32]]]}"#;
    /// let space = SearchSpace::from_azure_json(text)?;
    /// assert_eq!(space.get("lr"), Some(&Distribution::Uniform { min: 0.001, max: 0.1 }));
    /// assert_eq!(SearchSpace::from_azure_json(&space.to_azure_json()?.to_string())?, space);
    ///
    /// let error = SearchSpace::from_azure_json(r#"{"lr": ["unifrom", [0.001, 0.1]]}"#).unwrap_err();
    /// assert_eq!(error.message(), "unknown value `unifrom`; did you mean `uniform`?");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn from_azure_json(text: &str) -> Result<Self> {
        let document = Document::new("SearchSpace::from_azure_json", "(text)", text, Format::Json)?;
        document.parse::<AzureSpace>(None).map(|space| space.0)
    }

    /// Reads the `search_space` of an Azure ML sweep job in YAML: the whole job, or what stands below the key.
    ///
    /// # Errors
    /// As [`from_azure_json`](Self::from_azure_json).
    ///
    /// ```
    /// use mlops_core::experiment::space::SearchSpace;
    ///
    /// let job = "type: sweep\nsearch_space:\n  lr: {type: loguniform, min_value: -6, max_value: -1}\n";
    /// let space = SearchSpace::from_azure_yaml(job)?;
    /// assert_eq!(space.paths(), ["lr"]);
    /// assert_eq!(SearchSpace::from_azure_yaml(&space.to_azure_yaml()?)?, space);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[cfg(feature = "yaml")]
    pub fn from_azure_yaml(text: &str) -> Result<Self> {
        let document = Document::new("SearchSpace::from_azure_yaml", "(text)", text, Format::Yaml)?;
        let is_job = document.offset(&["search_space"]).is_some()
            && document.offset(&["search_space", "type"]).is_none();
        match is_job {
            true => document.parse::<AzureJob>(None).map(|job| job.0.0),
            false => document.parse::<AzureSpace>(None).map(|space| space.0),
        }
    }

    /// The wire form of Azure ML's REST API.
    ///
    /// What Azure has no name for is written by what has the same law: a number with natural bounds as `uniform` or `loguniform`,
    /// a range of steps as a `choice` of its values, at most 1000.
    ///
    /// # Errors
    /// [`SpaceError::Unwritable`]: whole numbers uniform in their logarithm, a range of more steps.
    ///
    /// ```
    /// use mlops_core::experiment::space::{Distribution, SearchSpace};
    /// let space = SearchSpace::new([("depth", Distribution::int(2, 4)), ("seed", Distribution::int(0, 9))])?;
    /// let wire = space.to_azure_json()?;
    /// assert_eq!(wire.to_string(), r#"{"depth":["choice",[[2,3,4]]],"seed":["randint",[10]]}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_azure_json(&self) -> std::result::Result<serde_json::Value, SpaceError> {
        let entry =
            |(name, law): (&str, &Distribution)| Ok((name.to_owned(), Written::of(name, law, false)?.wire()));
        self.iter().map(entry).collect::<std::result::Result<serde_json::Map<_, _>, _>>().map(Into::into)
    }

    /// The `search_space` of an Azure ML sweep job: what stands below the key. Readers of YAML 1.1 and 1.2 read it alike.
    ///
    /// # Errors
    /// As [`to_azure_json`](Self::to_azure_json); truth values, which azure-ai-ml refuses in YAML.
    ///
    /// ```
    /// use mlops_core::experiment::space::{Distribution, SearchSpace};
    /// let space = SearchSpace::new([("y", Distribution::Uniform { min: 1e-5, max: 1.0 })])?;
    /// let text = "\"y\":\n  type: uniform\n  min_value: 1.0e-05\n  max_value: 1.0\n";
    /// assert_eq!(space.to_azure_yaml()?, text);
    /// # Ok::<(), mlops_core::experiment::space::SpaceError>(())
    /// ```
    pub fn to_azure_yaml(&self) -> std::result::Result<String, SpaceError> {
        let mut out = String::new();
        for (name, law) in self.iter() {
            out += &format!("{}:\n", quoted(name));
            Written::of(name, law, true)?.yaml("  ", &mut out);
        }
        Ok(out)
    }

    /// The space with logarithms to another base: `logbase` of Azure ML's random sampling. The bounds of `loguniform` and
    /// `qloguniform`, and mean and deviation of `lognormal` and `qlognormal`, are logarithms to that base.
    ///
    /// # Errors
    /// [`SpaceError::Number`] for a base that is not above 1, or that makes numbers beyond the finite ones.
    ///
    /// ```
    /// use mlops_core::experiment::space::{Assignment, Distribution, SearchSpace};
    /// let space = SearchSpace::new([("lr", Distribution::LogUniform { min: -3.0, max: -1.0 })])?.with_log_base(10.0)?;
    /// assert!(space.contains(&Assignment::new().with("lr", 0.002)?));
    /// assert!(!space.contains(&Assignment::new().with("lr", 0.3)?));
    /// # Ok::<(), mlops_core::experiment::space::SpaceError>(())
    /// ```
    pub fn with_log_base(&self, base: f64) -> std::result::Result<Self, SpaceError> {
        if !(base > 1.0 && base.is_finite()) {
            let parameter = "space".to_owned();
            return Err(SpaceError::Number {
                parameter,
                key: "logbase",
                value: base,
                reason: "must be above 1",
            });
        }
        let factor = base.ln();
        let rescaled = |law: &Distribution| -> std::result::Result<Distribution, SpaceError> {
            let mut law = law.clone();
            match &mut law {
                Distribution::LogUniform { min, max } | Distribution::QLogUniform { min, max, .. } => {
                    (*min, *max) = (*min * factor, *max * factor);
                }
                Distribution::LogNormal { mu, sigma } | Distribution::QLogNormal { mu, sigma, .. } => {
                    (*mu, *sigma) = (*mu * factor, *sigma * factor);
                }
                Distribution::Choice { values } => {
                    for option in values {
                        if let ChoiceOption::Space(space) = option {
                            *space = space.with_log_base(base)?;
                        }
                    }
                }
                _ => {}
            }
            Ok(law)
        };
        let parameters: std::result::Result<Vec<_>, SpaceError> =
            self.iter().map(|(name, law)| Ok((name, rescaled(law)?))).collect();
        Self::new(parameters?)
    }
}

/// A search space as Azure writes it, in either notation.
struct AzureSpace(SearchSpace);

impl<'de> Deserialize<'de> for AzureSpace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(SpaceVisitor).map(AzureSpace)
    }
}

struct SpaceVisitor;

impl<'de> Visitor<'de> for SpaceVisitor {
    type Value = SearchSpace;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of parameters")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<SearchSpace, A::Error> {
        let mut parameters = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let law = map.next_value_seed(EntrySeed { name: &name, plain: false })?;
            parameters.push((name, law));
        }
        SearchSpace::new(parameters).map_err(A::Error::custom)
    }
}

/// A sweep job, of which only the space is read here.
#[cfg(feature = "yaml")]
struct AzureJob(AzureSpace);

#[cfg(feature = "yaml")]
impl<'de> Deserialize<'de> for AzureJob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct JobVisitor;

        impl<'de> Visitor<'de> for JobVisitor {
            type Value = AzureJob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sweep job")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<AzureJob, A::Error> {
                let mut space = None;
                while let Some(key) = map.next_key::<String>()? {
                    if key == "search_space" {
                        space = Some(map.next_value::<AzureSpace>()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                space.map(AzureJob).ok_or_else(|| A::Error::missing_field("search_space"))
            }
        }

        deserializer.deserialize_map(JobVisitor)
    }
}

/// One parameter: a table with a `type` in YAML, a list on the wire, and within an option a plain value.
#[derive(Clone, Copy)]
struct EntrySeed<'a> {
    name: &'a str,
    plain: bool,
}

impl<'de> DeserializeSeed<'de> for EntrySeed<'_> {
    type Value = Distribution;

    fn deserialize<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> std::result::Result<Distribution, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl EntrySeed<'_> {
    fn fixed<E: serde::de::Error>(
        &self,
        value: std::result::Result<Value, E>,
    ) -> std::result::Result<Distribution, E> {
        match self.plain {
            true => self.checked(Distribution::fixed(value?)),
            false => Err(E::custom("is a plain value, expected a distribution")),
        }
    }

    fn checked<E: serde::de::Error>(&self, law: Distribution) -> std::result::Result<Distribution, E> {
        check::named(self.name, law).map_err(E::custom)
    }
}

impl<'de> Visitor<'de> for EntrySeed<'_> {
    type Value = Distribution;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a distribution")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> std::result::Result<Distribution, E> {
        self.fixed(ValueVisitor.visit_bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> std::result::Result<Distribution, E> {
        self.fixed(ValueVisitor.visit_i64(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> std::result::Result<Distribution, E> {
        self.fixed(ValueVisitor.visit_u64(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> std::result::Result<Distribution, E> {
        self.fixed(ValueVisitor.visit_f64(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> std::result::Result<Distribution, E> {
        self.fixed(ValueVisitor.visit_str(value))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<Distribution, A::Error> {
        let entry = YamlEntry::deserialize(MapAccessDeserializer::new(map))?;
        self.checked(entry.distribution().map_err(A::Error::custom)?)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Distribution, A::Error> {
        let kind: Kind = seq.next_element()?.ok_or_else(|| A::Error::custom("is empty"))?;
        let law = match kind {
            Kind::Choice => {
                let lists: Vec<Vec<AzureOption>> =
                    seq.next_element()?.ok_or_else(|| A::Error::custom("has no list of values"))?;
                let mut lists = lists.into_iter();
                match (lists.next(), lists.next()) {
                    (Some(values), None) => choice(values),
                    _ => return Err(A::Error::custom("expected one list of values within a list")),
                }
            }
            Kind::Randint => {
                let numbers: Vec<u64> =
                    seq.next_element()?.ok_or_else(|| A::Error::custom("has no list of numbers"))?;
                let [upper] = numbers.as_slice() else {
                    return Err(A::Error::custom(format_args!("has {} numbers, expected 1", numbers.len())));
                };
                Distribution::RandInt { upper: *upper }
            }
            kind => {
                let numbers: Vec<f64> =
                    seq.next_element()?.ok_or_else(|| A::Error::custom("has no list of numbers"))?;
                kind.of(&numbers).ok_or_else(|| {
                    let (got, needed) = (numbers.len(), if kind.has_q() { 3 } else { 2 });
                    A::Error::custom(format_args!("has {got} numbers, expected {needed}"))
                })?
            }
        };
        match seq.next_element::<IgnoredAny>()? {
            None => self.checked(law),
            Some(_) => Err(A::Error::custom("has more than a name and a list")),
        }
    }
}

/// Azure's names, in any case, as azure-ai-ml reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Choice,
    Randint,
    Uniform,
    Quniform,
    Loguniform,
    Qloguniform,
    Normal,
    Qnormal,
    Lognormal,
    Qlognormal,
}

impl Kind {
    fn has_q(self) -> bool {
        matches!(self, Self::Quniform | Self::Qloguniform | Self::Qnormal | Self::Qlognormal)
    }

    fn is_normal(self) -> bool {
        matches!(self, Self::Normal | Self::Qnormal | Self::Lognormal | Self::Qlognormal)
    }

    /// The distribution of its numbers, if there are as many as it has.
    fn of(self, numbers: &[f64]) -> Option<Distribution> {
        Some(match (self, numbers) {
            (Self::Uniform, &[min, max]) => Distribution::Uniform { min, max },
            (Self::Loguniform, &[min, max]) => Distribution::LogUniform { min, max },
            (Self::Quniform, &[min, max, q]) => Distribution::QUniform { min, max, q },
            (Self::Qloguniform, &[min, max, q]) => Distribution::QLogUniform { min, max, q },
            (Self::Normal, &[mu, sigma]) => Distribution::Normal { mu, sigma },
            (Self::Lognormal, &[mu, sigma]) => Distribution::LogNormal { mu, sigma },
            (Self::Qnormal, &[mu, sigma, q]) => Distribution::QNormal { mu, sigma, q },
            (Self::Qlognormal, &[mu, sigma, q]) => Distribution::QLogNormal { mu, sigma, q },
            _ => return None,
        })
    }
}

/// A parameter in YAML.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct YamlEntry {
    r#type: Kind,
    #[serde(default)]
    values: Option<Vec<AzureOption>>,
    #[serde(default)]
    upper: Option<u64>,
    #[serde(default)]
    min_value: Option<f64>,
    #[serde(default)]
    max_value: Option<f64>,
    #[serde(default)]
    mu: Option<f64>,
    #[serde(default)]
    sigma: Option<f64>,
    #[serde(default)]
    q: Option<f64>,
}

impl YamlEntry {
    fn distribution(self) -> std::result::Result<Distribution, String> {
        let kind = self.r#type;
        let keys = [
            ("values", self.values.is_some(), kind == Kind::Choice),
            ("upper", self.upper.is_some(), kind == Kind::Randint),
            ("min_value", self.min_value.is_some(), self.has_bounds()),
            ("max_value", self.max_value.is_some(), self.has_bounds()),
            ("mu", self.mu.is_some(), kind.is_normal()),
            ("sigma", self.sigma.is_some(), kind.is_normal()),
            ("q", self.q.is_some(), kind.has_q()),
        ];
        for (key, given, wanted) in keys {
            match (given, wanted) {
                (true, false) => return Err(format!("the key `{key}` does not go with this `type`")),
                (false, true) => return Err(format!("the key `{key}` is missing")),
                _ => {}
            }
        }
        let numbers: Vec<f64> =
            [self.min_value, self.max_value, self.mu, self.sigma, self.q].into_iter().flatten().collect();
        match (kind, self.values, self.upper) {
            (Kind::Choice, Some(values), _) => Ok(choice(values)),
            (Kind::Randint, _, Some(upper)) => Ok(Distribution::RandInt { upper }),
            (kind, ..) => kind.of(&numbers).ok_or_else(|| "has numbers too many or too few".to_owned()),
        }
    }

    fn has_bounds(&self) -> bool {
        matches!(self.r#type, Kind::Uniform | Kind::Quniform | Kind::Loguniform | Kind::Qloguniform)
    }
}

fn choice(values: Vec<AzureOption>) -> Distribution {
    Distribution::Choice { values: values.into_iter().map(|option| option.0).collect() }
}

/// An option of a choice.
struct AzureOption(ChoiceOption);

impl<'de> Deserialize<'de> for AzureOption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(OptionVisitor)
    }
}

struct OptionVisitor;

fn plain<E>(value: std::result::Result<Value, E>) -> std::result::Result<AzureOption, E> {
    value.map(|value| AzureOption(ChoiceOption::Value(value)))
}

impl<'de> Visitor<'de> for OptionVisitor {
    type Value = AzureOption;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain value, or a table of parameters")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> std::result::Result<AzureOption, E> {
        plain(ValueVisitor.visit_bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> std::result::Result<AzureOption, E> {
        plain(ValueVisitor.visit_i64(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> std::result::Result<AzureOption, E> {
        plain(ValueVisitor.visit_u64(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> std::result::Result<AzureOption, E> {
        plain(ValueVisitor.visit_f64(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> std::result::Result<AzureOption, E> {
        plain(ValueVisitor.visit_str(value))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<AzureOption, A::Error> {
        let mut parameters = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let law = map.next_value_seed(EntrySeed { name: &name, plain: true })?;
            parameters.push((name, law));
        }
        SearchSpace::new(parameters).map(|space| AzureOption(space.into())).map_err(A::Error::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> std::result::Result<AzureOption, A::Error> {
        IgnoredAny::deserialize(SeqAccessDeserializer::new(seq))?;
        Err(A::Error::custom("a list is no value of a parameter"))
    }
}

/// A parameter in Azure's words.
enum Written {
    Plain(Value),
    Numbers { kind: Kind, keys: &'static [&'static str], numbers: Vec<Value> },
    Options(Vec<WrittenOption>),
}

enum WrittenOption {
    Plain(Value),
    Table(Vec<(String, Written)>),
}

const BOUNDS: &[&str] = &["min_value", "max_value", "q"];
const MOMENTS: &[&str] = &["mu", "sigma", "q"];

impl Written {
    fn of(name: &str, law: &Distribution, yaml: bool) -> std::result::Result<Self, SpaceError> {
        let unwritable = |reason| Err(SpaceError::Unwritable { parameter: name.to_owned(), reason });
        let numbers = |kind, keys, numbers: &[f64]| {
            let numbers = numbers.iter().map(|n| Value::Float(*n)).collect();
            Ok(Self::Numbers { kind, keys, numbers })
        };
        let list =
            |values: Vec<Value>| Ok(Self::Options(values.into_iter().map(WrittenOption::Plain).collect()));
        match *law {
            Distribution::Choice { ref values } => Self::options(name, values, yaml),
            Distribution::Fixed { ref value } => {
                Ok(Self::Options(vec![WrittenOption::Plain(writable(name, value, yaml)?)]))
            }
            Distribution::RandInt { upper } => Ok(Self::randint(upper)),
            Distribution::Uniform { min, max } => numbers(Kind::Uniform, BOUNDS, &[min, max]),
            Distribution::QUniform { min, max, q } => numbers(Kind::Quniform, BOUNDS, &[min, max, q]),
            Distribution::LogUniform { min, max } => numbers(Kind::Loguniform, BOUNDS, &[min, max]),
            Distribution::QLogUniform { min, max, q } => numbers(Kind::Qloguniform, BOUNDS, &[min, max, q]),
            Distribution::Normal { mu, sigma } => numbers(Kind::Normal, MOMENTS, &[mu, sigma]),
            Distribution::QNormal { mu, sigma, q } => numbers(Kind::Qnormal, MOMENTS, &[mu, sigma, q]),
            Distribution::LogNormal { mu, sigma } => numbers(Kind::Lognormal, MOMENTS, &[mu, sigma]),
            Distribution::QLogNormal { mu, sigma, q } => numbers(Kind::Qlognormal, MOMENTS, &[mu, sigma, q]),
            Distribution::Int { low, high, log: true, .. } if low < high => {
                unwritable("Azure has no whole numbers that are uniform in their logarithm")
            }
            Distribution::Int { low: 0, high, step: 1, .. } => Ok(Self::randint(high.unsigned_abs() + 1)),
            Distribution::Int { low, high, step, .. } => match high.abs_diff(low) / step {
                last if last < MAX_WRITTEN => {
                    list((0..=last).map(|n| Value::Int(nth_int(low, step, n))).collect())
                }
                _ => unwritable("it has more than 1000 steps, and Azure no range of them"),
            },
            Distribution::Float { low, high, .. } if low == high => list(vec![Value::Float(low)]),
            Distribution::Float { low, high, step: Some(step), .. } => match steps(low, high, step) {
                last if last < MAX_WRITTEN => {
                    list((0..=last).map(|n| Value::Float(nth_float(low, high, step, n))).collect())
                }
                _ => unwritable("it has more than 1000 steps, and Azure no range of them"),
            },
            Distribution::Float { low, high, log: true, .. } => {
                numbers(Kind::Loguniform, BOUNDS, &[low.ln(), high.ln()])
            }
            Distribution::Float { low, high, .. } => numbers(Kind::Uniform, BOUNDS, &[low, high]),
        }
    }

    fn randint(upper: u64) -> Self {
        let upper = Value::Int(i64::try_from(upper).unwrap_or(i64::MAX));
        Self::Numbers { kind: Kind::Randint, keys: &["upper"], numbers: vec![upper] }
    }

    fn options(name: &str, options: &[ChoiceOption], yaml: bool) -> std::result::Result<Self, SpaceError> {
        let written = |option: &ChoiceOption| match option {
            ChoiceOption::Value(value) => Ok(WrittenOption::Plain(writable(name, value, yaml)?)),
            ChoiceOption::Space(space) => {
                let entry = |(inner, law): (&str, &Distribution)| {
                    let path = format!("{name}.{inner}");
                    let written = match law {
                        Distribution::Fixed { value } => Self::Plain(writable(&path, value, yaml)?),
                        law => Self::of(&path, law, yaml)?,
                    };
                    Ok((inner.to_owned(), written))
                };
                space.iter().map(entry).collect::<std::result::Result<_, _>>().map(WrittenOption::Table)
            }
        };
        options.iter().map(written).collect::<std::result::Result<_, _>>().map(Self::Options)
    }

    fn wire(&self) -> serde_json::Value {
        let json = |value: &Value| serde_json::json!(value);
        match self {
            Self::Plain(value) => json(value),
            Self::Numbers { kind, numbers, .. } => serde_json::json!([kind, numbers]),
            Self::Options(options) => {
                let option = |option: &WrittenOption| match option {
                    WrittenOption::Plain(value) => json(value),
                    WrittenOption::Table(entries) => {
                        entries.iter().map(|(name, written)| (name.clone(), written.wire())).collect()
                    }
                };
                let options: Vec<serde_json::Value> = options.iter().map(option).collect();
                serde_json::json!([Kind::Choice, [options]])
            }
        }
    }

    fn yaml(&self, indent: &str, out: &mut String) {
        match self {
            Self::Plain(value) => *out += &format!("{indent}{}\n", scalar(value)),
            Self::Numbers { kind, keys, numbers } => {
                let kind = serde_json::json!(kind);
                *out += &format!("{indent}type: {}\n", kind.as_str().unwrap_or_default());
                for (key, number) in keys.iter().zip(numbers) {
                    *out += &format!("{indent}{key}: {}\n", scalar(number));
                }
            }
            Self::Options(options) => {
                *out += &format!("{indent}type: choice\n{indent}values:\n");
                for option in options {
                    match option {
                        WrittenOption::Plain(value) => *out += &format!("{indent}  - {}\n", scalar(value)),
                        WrittenOption::Table(entries) => table(entries, indent, out),
                    }
                }
            }
        }
    }
}

/// An option that is a table, as an element of a list.
fn table(entries: &[(String, Written)], indent: &str, out: &mut String) {
    for (i, (name, written)) in entries.iter().enumerate() {
        let dash = if i == 0 { "- " } else { "  " };
        match written {
            Written::Plain(value) => {
                *out += &format!("{indent}  {dash}{}: {}\n", quoted(name), scalar(value))
            }
            written => {
                *out += &format!("{indent}  {dash}{}:\n", quoted(name));
                written.yaml(&format!("{indent}      "), out);
            }
        }
    }
}

fn writable(name: &str, value: &Value, yaml: bool) -> std::result::Result<Value, SpaceError> {
    match (value, yaml) {
        (Value::Bool(_), true) => {
            let reason = "azure-ai-ml takes no truth values in a search space";
            Err(SpaceError::Unwritable { parameter: name.to_owned(), reason })
        }
        _ => Ok(value.clone()),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A value that every reader of YAML takes for what it is: texts in quotes, and numbers with a point and, where there is an
/// exponent, its sign, without which YAML 1.1 has a text.
fn scalar(value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text),
        Value::Float(number) => {
            let shown = format!("{number:?}");
            match shown.split_once('e') {
                Some((digits, exponent)) => {
                    let point = if digits.contains('.') { "" } else { ".0" };
                    let (sign, power) =
                        exponent.strip_prefix('-').map_or(('+', exponent), |power| ('-', power));
                    format!("{digits}{point}e{sign}{power:0>2}")
                }
                None => shown,
            }
        }
        other => other.to_string(),
    }
}
