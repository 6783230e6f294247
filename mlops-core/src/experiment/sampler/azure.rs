//! Azure ML's words for samplers.

use serde::{Deserialize, Deserializer, Serialize};

use super::bayesian::BayesianOptions;
use super::grid::GridOptions;
use super::random::RandomOptions;
use super::sobol::SobolOptions;
use super::spec::SamplerSpec;

/// `sampling_algorithm` of an Azure ML sweep job in YAML, or `samplingAlgorithm` of its REST API: a word, or a table.
///
/// ```
/// use mlops_core::experiment::sampler::{AzureSampling, SamplerSpec, SobolOptions};
///
/// let sampling: AzureSampling = serde_json::from_str(r#"{"type": "random", "rule": "sobol", "seed": 7, "logbase": 10}"#)?;
/// assert_eq!(sampling.spec(), SamplerSpec::Sobol(SobolOptions::default()));
/// assert_eq!((sampling.seed(), sampling.log_base()), (Some(7), Some(10.0)));
///
/// let wire: AzureSampling = serde_json::from_str(r#"{"samplingAlgorithmType": "Grid"}"#)?;
/// assert_eq!(wire, serde_json::from_str(r#""grid""#)?);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AzureSampling {
    /// At random, or the points of a Sobol sequence.
    Random {
        /// Whether it is the Sobol sequence.
        sobol: bool,
        /// The seed.
        seed: Option<u64>,
        /// The base of logarithms; above 1.
        log_base: Option<f64>,
    },
    /// Every combination.
    Grid,
    /// By a model of what came before.
    Bayesian,
}

impl AzureSampling {
    /// The sampler.
    pub fn spec(&self) -> SamplerSpec {
        match self {
            Self::Random { sobol: true, .. } => SamplerSpec::Sobol(SobolOptions::default()),
            Self::Random { .. } => SamplerSpec::Random(RandomOptions::default()),
            Self::Grid => SamplerSpec::Grid(GridOptions::default()),
            Self::Bayesian => SamplerSpec::Bayesian(BayesianOptions::default()),
        }
    }

    /// The sweep's seed, if one is given.
    pub fn seed(&self) -> Option<u64> {
        if let Self::Random { seed, .. } = self { *seed } else { None }
    }

    /// The base of logarithms, for [`SearchSpace::with_log_base`](crate::experiment::space::SearchSpace::with_log_base); none for e.
    pub fn log_base(&self) -> Option<f64> {
        if let Self::Random { log_base, .. } = self { *log_base } else { None }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum Type {
    #[serde(alias = "random")]
    Random,
    #[serde(alias = "grid")]
    Grid,
    #[serde(alias = "bayesian")]
    Bayesian,
}

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Rule {
    #[serde(alias = "random")]
    Random,
    #[serde(alias = "sobol")]
    Sobol,
}

/// A number, or the word `e`.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum LogBase {
    Number(f64),
    E(E),
}

#[derive(Clone, Copy, Deserialize)]
enum E {
    #[serde(rename = "e")]
    E,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(rename = "type", alias = "samplingAlgorithmType")]
    kind: Type,
    #[serde(default)]
    rule: Option<Rule>,
    #[serde(default)]
    seed: Option<u64>,
    #[serde(default)]
    logbase: Option<LogBase>,
}

impl TryFrom<Table> for AzureSampling {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        let extra = table.rule.is_some() || table.seed.is_some() || table.logbase.is_some();
        match table.kind {
            Type::Random => {
                let log_base = match table.logbase {
                    Some(LogBase::Number(base)) if base > 1.0 && base.is_finite() => Some(base),
                    Some(LogBase::Number(base)) => {
                        return Err(format!("`logbase` is {base:?}, which must be above 1"));
                    }
                    Some(LogBase::E(E::E)) | None => None,
                };
                Ok(Self::Random { sobol: table.rule == Some(Rule::Sobol), seed: table.seed, log_base })
            }
            _ if extra => Err("`rule`, `seed` and `logbase` go with `random` alone".to_owned()),
            Type::Grid => Ok(Self::Grid),
            Type::Bayesian => Ok(Self::Bayesian),
        }
    }
}

impl<'de> Deserialize<'de> for AzureSampling {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = AzureSampling;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a sampling algorithm")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<AzureSampling, E> {
                let kind = Type::deserialize(serde::de::value::StrDeserializer::<E>::new(word))?;
                let table = Table { kind, rule: None, seed: None, logbase: None };
                table.try_into().map_err(E::custom)
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<AzureSampling, A::Error> {
                let table = Table::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                table.try_into().map_err(serde::de::Error::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// As Azure's YAML has it.
impl Serialize for AzureSampling {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = serde_json::Map::new();
        let mut put = |key: &str, value: serde_json::Value| table.insert(key.to_owned(), value);
        match self {
            Self::Random { sobol, seed, log_base } => {
                put("type", "random".into());
                put("rule", if *sobol { "sobol" } else { "random" }.into());
                if let Some(seed) = seed {
                    put("seed", (*seed).into());
                }
                if let Some(base) = log_base {
                    put("logbase", (*base).into());
                }
            }
            Self::Grid => _ = put("type", "grid".into()),
            Self::Bayesian => _ = put("type", "bayesian".into()),
        }
        table.serialize(serializer)
    }
}
