//! How often one test set may decide.
//!
//! Who looks at a test set again and again, and changes the model in between, ends up with a model that fits the test set. A
//! budget states how many decisions are to be made, and every decision pays its share of α in advance (Renggli, Karlaš,
//! Ding, Liu, Schawinski, Wu & Zhang, *Continuous integration of machine learning models with ease.ml/ci*, SysML 2019,
//! section 4): with H decisions
//!
//! | adaptivity | what developers learn of a decision | α of each |
//! |---|---|---|
//! | `none` | nothing before all are made | α / H |
//! | `first_change` | the verdict, and after the first pass the test set is replaced | α / H |
//! | `full` | the verdict, of every one | α / 2ᴴ |

use serde::{Deserialize, Serialize};

/// What those who change the model learn of earlier decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adaptivity {
    /// Nothing before the last decision is made.
    None,
    /// Every verdict. The default: nobody has to promise anything.
    #[default]
    Full,
    /// Every verdict, and the test set is replaced after the first pass.
    FirstChange,
}

/// How often a test set may decide.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reuse {
    /// For how many decisions the test set is meant: 1 to 1 000 000, with full adaptivity to 64.
    pub budget: u64,
    /// What those who change the model learn of earlier decisions.
    #[serde(default)]
    pub adaptivity: Adaptivity,
}

/// The largest budget.
pub(super) const MAX_BUDGET: u64 = 1_000_000;
/// The largest budget of full adaptivity: α is divided by 2 to its power.
pub(super) const MAX_FULL_BUDGET: u64 = 64;

impl Reuse {
    /// A budget of so many decisions.
    pub fn new(budget: u64, adaptivity: Adaptivity) -> Self {
        Self { budget, adaptivity }
    }

    /// By what α is divided for one decision.
    ///
    /// ```
    /// use mlops_core::evaluation::{Adaptivity, Reuse};
    /// assert_eq!(Reuse::new(10, Adaptivity::None).divisor(), 10.0);
    /// assert_eq!(Reuse::new(10, Adaptivity::FirstChange).divisor(), 10.0);
    /// assert_eq!(Reuse::new(10, Adaptivity::Full).divisor(), 1024.0);
    /// ```
    pub fn divisor(&self) -> f64 {
        match self.adaptivity {
            Adaptivity::None | Adaptivity::FirstChange => self.budget as f64,
            Adaptivity::Full => (1_u128 << self.budget.min(127)) as f64,
        }
    }

    pub(super) fn fault(&self) -> Option<String> {
        let most = if self.adaptivity == Adaptivity::Full { MAX_FULL_BUDGET } else { MAX_BUDGET };
        let sound = (1..=most).contains(&self.budget);
        (!sound).then(|| format!("has a budget of {} decisions, 1 to {most} are possible", self.budget))
    }

    /// Why the test set cannot decide once more; nothing if it can.
    pub(super) fn exhausted(&self, earlier: Option<EarlierUses>) -> Option<String> {
        let Some(earlier) = earlier else {
            return Some(
                "the gate counts the uses of its test set, and how many there were is not known".to_owned(),
            );
        };
        if earlier.decisions >= self.budget {
            let EarlierUses { decisions, .. } = earlier;
            let budget = self.budget;
            return Some(format!(
                "the test set has served {decisions} decisions, it was meant for {budget}: a new one is needed"
            ));
        }
        let spent = self.adaptivity == Adaptivity::FirstChange && earlier.passes > 0;
        spent.then(|| "a model has passed on this test set: a new one is needed".to_owned())
    }
}

/// How often a test set has decided so far.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlierUses {
    /// How many decisions were made on it.
    pub decisions: u64,
    /// How many of them were passes.
    #[serde(default)]
    pub passes: u64,
}

impl EarlierUses {
    /// So many decisions, of which so many were passes.
    pub fn new(decisions: u64, passes: u64) -> Self {
        Self { decisions, passes }
    }
}
