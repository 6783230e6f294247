//! Names of resources: what Azure accepts, and the convention of the Cloud Adoption Framework.
//!
//! Source of the lengths and characters: Microsoft's page on naming rules and restrictions for Azure resources; of the
//! convention and the abbreviations: the Cloud Adoption Framework.

use std::fmt;

use super::kind::ResourceKind;

/// Which characters a name may have, and how long it may be. All characters are ASCII; where Azure takes more than that (names of
/// Application Insights and of action groups), the rule is the part that every tool takes too.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameRule {
    /// The fewest characters.
    pub min: usize,
    /// The most characters.
    pub max: usize,
    /// Characters allowed beside lower-case letters and digits.
    pub others: &'static str,
    /// Whether upper-case letters are allowed.
    pub upper: bool,
    /// Whether the first character has to be a letter, not only a letter or digit.
    pub letter_first: bool,
    /// Whether the last character has to be a letter or digit.
    pub alphanumeric_last: bool,
    /// Whether two hyphens may follow one another.
    pub double_hyphen: bool,
}

const fn rule(min: usize, max: usize, others: &'static str) -> NameRule {
    NameRule {
        min,
        max,
        others,
        upper: true,
        letter_first: false,
        alphanumeric_last: true,
        double_hyphen: true,
    }
}

impl NameRule {
    pub(super) const fn of(kind: ResourceKind) -> Self {
        match kind {
            ResourceKind::ResourceGroup => rule(1, 90, "-_.()"),
            ResourceKind::Workspace | ResourceKind::Hub | ResourceKind::Project => rule(3, 33, "-_"),
            ResourceKind::StorageAccount => Self { upper: false, ..rule(3, 24, "") },
            ResourceKind::KeyVault => Self { letter_first: true, double_hyphen: false, ..rule(3, 24, "-") },
            ResourceKind::ApplicationInsights | ResourceKind::ActionGroup => rule(1, 260, "-_.()"),
            ResourceKind::LogAnalytics => rule(4, 63, "-"),
            ResourceKind::ContainerRegistry => rule(5, 50, ""),
            ResourceKind::ManagedIdentity => rule(3, 128, "-_"),
            ResourceKind::PrivateEndpoint | ResourceKind::VirtualNetwork => rule(2, 64, "-_."),
            ResourceKind::Subnet | ResourceKind::NetworkSecurityGroup => rule(1, 80, "-_."),
            ResourceKind::EventGridTopic => rule(3, 50, "-"),
            ResourceKind::EventGridSubscription => rule(3, 64, "-"),
            ResourceKind::KubernetesCluster => rule(1, 63, "-_"),
            ResourceKind::FunctionApp => rule(2, 60, "-"),
            ResourceKind::LogicApp => rule(1, 43, "-_.()"),
            ResourceKind::ComputeCluster => Self { letter_first: true, ..rule(3, 32, "-") },
            ResourceKind::ComputeInstance => Self { letter_first: true, ..rule(3, 24, "-") },
            ResourceKind::OnlineEndpoint | ResourceKind::OnlineDeployment | ResourceKind::BatchEndpoint => {
                Self { letter_first: true, ..rule(3, 32, "-") }
            }
        }
    }

    /// Nothing, if a name keeps the rule. O(length).
    ///
    /// # Errors
    /// The first [`NamingFault`] from the left; the length comes first.
    ///
    /// ```
    /// use mlops_core::governance::policy::{NamingFault, ResourceKind};
    /// assert!(ResourceKind::StorageAccount.name_rule().check("stchurnprodweu001").is_ok());
    /// let fault = ResourceKind::StorageAccount.name_rule().check("st-churn").unwrap_err();
    /// assert_eq!(fault, NamingFault::Character { position: 2, character: '-' });
    /// assert_eq!(fault.to_string(), "`-` at position 2 is not allowed");
    /// ```
    pub fn check(&self, name: &str) -> Result<(), NamingFault> {
        let got = name.chars().count();
        if got < self.min || got > self.max {
            return Err(NamingFault::Length { got, min: self.min, max: self.max });
        }
        let mut before = None;
        for (position, character) in name.chars().enumerate() {
            let twice = character == '-' && before == Some('-') && !self.double_hyphen;
            if !self.allows(character) || twice {
                return Err(NamingFault::Character { position, character });
            }
            before = Some(character);
        }
        let first = name.chars().next().unwrap_or_default();
        let good_first = if self.letter_first {
            first.is_ascii_alphabetic()
        } else {
            first.is_ascii_alphanumeric() || first == '_' && self.others.contains("()")
        };
        if !good_first {
            return Err(NamingFault::Character { position: 0, character: first });
        }
        match before.filter(|last| self.alphanumeric_last && !self.may_end(*last)) {
            Some(character) => Err(NamingFault::Character { position: got - 1, character }),
            None => Ok(()),
        }
    }

    fn allows(&self, c: char) -> bool {
        c.is_ascii_lowercase()
            || c.is_ascii_digit()
            || (self.upper && c.is_ascii_uppercase())
            || self.others.contains(c)
    }

    /// `_` and `)` may end a name where they are allowed; `-` and `.` never do here.
    fn may_end(&self, c: char) -> bool {
        c.is_ascii_alphanumeric() || (matches!(c, '_' | ')') && self.others.contains(c))
    }

    /// The rule as a clause for people.
    pub(super) fn describe(&self) -> String {
        let letters = if self.upper { "letters" } else { "lower-case letters" };
        let others = match self.others {
            "" => String::new(),
            others => format!(" and any of `{others}`"),
        };
        let first = if self.letter_first { ", a letter first" } else { "" };
        let double = if self.double_hyphen { "" } else { ", no two hyphens in a row" };
        format!("{} to {} characters: {letters}, digits{others}{first}{double}", self.min, self.max)
    }
}

/// Why a name is not as it has to be.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamingFault {
    /// Too short or too long.
    #[error("has {got} characters, {min} to {max} are allowed")]
    Length {
        /// Its characters.
        got: usize,
        /// The fewest.
        min: usize,
        /// The most.
        max: usize,
    },
    /// A character that may not stand there.
    #[error("`{}` at position {position} is not allowed", character.escape_debug())]
    Character {
        /// Its place, from 0.
        position: usize,
        /// The character.
        character: char,
    },
    /// A part of the convention is not there.
    #[error("{part} is missing or unknown")]
    Part {
        /// Which.
        part: NamePart,
    },
}

/// A part of a name by the convention `<abbreviation>-<workload>-<environment>-<region>-<instance>`.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamePart {
    /// The abbreviation of the kind.
    Abbreviation,
    /// The workload.
    Workload,
    /// The environment.
    Environment,
    /// The region.
    Region,
    /// The instance: two to four digits.
    Instance,
}

impl fmt::Display for NamePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Abbreviation => "the abbreviation",
            Self::Workload => "the workload",
            Self::Environment => "the environment",
            Self::Region => "the region",
            Self::Instance => "the instance",
        })
    }
}

/// What the convention knows: words for environments and regions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Convention<'a> {
    pub(super) environments: &'a [String],
    pub(super) regions: &'a [String],
}

impl Convention<'_> {
    /// Nothing, if a name of this kind follows the convention: with hyphens between its parts where the kind allows hyphens,
    /// without where it does not. Names inside a workspace have no abbreviation. O(length × words).
    pub(super) fn check(&self, kind: ResourceKind, name: &str) -> Result<(), NamingFault> {
        let fault = |part| NamingFault::Part { part };
        let hyphen = kind.name_rule().others.contains('-');
        let mut rest = name;
        if let Some(abbreviation) = kind.abbreviation() {
            rest = rest.strip_prefix(abbreviation).ok_or(fault(NamePart::Abbreviation))?;
            if hyphen {
                rest = rest.strip_prefix('-').ok_or(fault(NamePart::Abbreviation))?;
            }
        }
        let word = rest.trim_end_matches(|c: char| c.is_ascii_digit());
        if !(2..=4).contains(&(rest.len() - word.len())) {
            return Err(fault(NamePart::Instance));
        }
        let rest = cut(word, hyphen).ok_or(fault(NamePart::Instance))?;
        let rest = self.strip(rest, self.regions, hyphen).ok_or(fault(NamePart::Region))?;
        let rest = self.strip(rest, self.environments, hyphen).ok_or(fault(NamePart::Environment))?;
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || (hyphen && c == '-');
        let framed = rest.starts_with('-') || rest.ends_with('-');
        if rest.is_empty() || framed || !rest.chars().all(good) {
            return Err(fault(NamePart::Workload));
        }
        Ok(())
    }

    /// What is left of a text without the longest of the words at its end.
    fn strip<'t>(&self, text: &'t str, words: &[String], hyphen: bool) -> Option<&'t str> {
        let without = |word: &String| text.strip_suffix(word.as_str()).and_then(|rest| cut(rest, hyphen));
        words.iter().filter_map(without).min_by_key(|rest| rest.len())
    }

    /// The pattern, for people.
    pub(super) fn describe(&self, kind: ResourceKind) -> String {
        let separator = if kind.name_rule().others.contains('-') { "-" } else { "" };
        let parts = [
            kind.abbreviation().map(str::to_owned),
            Some("<workload>".to_owned()),
            Some(format!("<{}>", self.environments.join("|"))),
            Some(format!("<{}>", self.regions.join("|"))),
            Some("<2 to 4 digits>".to_owned()),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(separator)
    }
}

/// A text without the hyphen at its end, where there has to be one.
fn cut(text: &str, hyphen: bool) -> Option<&str> {
    if hyphen { text.strip_suffix('-') } else { Some(text) }
}
