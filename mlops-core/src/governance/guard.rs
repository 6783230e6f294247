//! A guard before a budget: work asks before it begins.

use std::fmt;
use std::sync::{Arc, Mutex};

use super::budget::{Budget, BudgetStatus, Crossed, Threshold, ThresholdBasis};
use crate::error::{Error, ErrorKind, Result};
use crate::time::lock;

/// Lets work begin as long as a budget lasts, for any number of sweeps and pipelines that share it; cheap to clone.
///
/// Work asks with what it is expected to cost and is given a [`Ticket`], or refused: once what was spent, what is promised to work that
/// has begun, and what is asked for come to more than the amount, and once nothing is left. While it runs it says what it costs; from
/// its end on only that counts, or what was expected where it never said anything.
///
/// Thresholds of the budget on what is spent warn when that reaches them, those on the forecast when what is spent and promised does;
/// each once. It never takes back what has begun.
///
/// ```
/// use mlops_core::governance::BudgetGuard;
/// use mlops_core::governance::budget::{Budget, Threshold, ThresholdBasis, TimeGrain};
/// let start = chrono::NaiveDate::from_ymd_opt(2026, 3, 1).ok_or("no such day")?;
/// let thresholds = vec![Threshold::new(80.0).with_basis(ThresholdBasis::Actual)];
/// let budget = Budget::new("churn", 100.0, TimeGrain::Monthly, start, thresholds)?;
/// let guard = BudgetGuard::new(&budget, 55.0)?.with_warning(|crossed| eprintln!("{} spent", crossed.amount));
///
/// let ticket = guard.admit(30.0)?;
/// let refused = guard.admit(30.0).unwrap_err();
/// assert_eq!(refused.to_string(), "the budget `churn` of 100 has 15 left, and 30 would be needed");
/// ticket.spend(27.5);
/// drop(ticket);
/// assert_eq!((guard.spent(), guard.remaining(), guard.crossed().len()), (82.5, 17.5, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct BudgetGuard(Arc<Guarded>);

type Warning = Box<dyn Fn(&Crossed) + Send + Sync>;

struct Guarded {
    name: String,
    amount: f64,
    thresholds: Vec<Threshold>,
    warning: Mutex<Option<Warning>>,
    state: Mutex<Spending>,
}

struct Spending {
    spent: f64,
    promised: f64,
    /// How much work holds a ticket. Sums of what is taken away again drift; of nothing it is nothing.
    tickets: u64,
    /// Which thresholds were crossed, in the budget's order.
    crossed: Vec<Option<Crossed>>,
}

/// Work was not let begin.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the budget `{budget}` of {amount} has {left} left, and {needed} would be needed")]
pub struct BudgetStop {
    /// The budget's name.
    pub budget: String,
    /// Its amount.
    pub amount: f64,
    /// What is left of it: less what is spent and what is promised to work that has begun.
    pub left: f64,
    /// What the work would have cost.
    pub needed: f64,
}

impl From<BudgetStop> for Error {
    fn from(stop: BudgetStop) -> Self {
        let error = Self::new(ErrorKind::Rejected, "BudgetGuard::admit", stop.to_string());
        error.with("budget", &stop.budget).with_source(stop)
    }
}

impl BudgetGuard {
    /// A guard before what is left of a budget in its present period, of which `spent` is spent. Thresholds that this reaches count as
    /// said already.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an amount spent that is negative or not finite.
    pub fn new(budget: &Budget, spent: f64) -> Result<Self> {
        if !(spent.is_finite() && spent >= 0.0) {
            let message = format!("must be finite and not negative, got {spent}");
            return Err(Error::invalid("BudgetGuard::new", "spent", message));
        }
        let thresholds = budget.thresholds().to_vec();
        let crossed = vec![None; thresholds.len()];
        let state = Spending { spent, promised: 0.0, tickets: 0, crossed };
        let guarded = Guarded {
            name: budget.name().to_owned(),
            amount: budget.amount(),
            thresholds,
            warning: Mutex::new(None),
            state: Mutex::new(state),
        };
        // Nobody listens yet.
        guarded.settle(|_| {});
        Ok(Self(Arc::new(guarded)))
    }

    /// A guard before a budget as it stands.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of(budget: &Budget, status: &BudgetStatus) -> Result<Self> {
        Self::new(budget, status.actual)
    }

    /// Tells somebody when a threshold is crossed, at the moment it is, on the thread that does it; of several guards that are one,
    /// whoever was named last. It must not ask the guard.
    #[must_use]
    pub fn with_warning(self, warning: impl Fn(&Crossed) + Send + Sync + 'static) -> Self {
        *lock(&self.0.warning) = Some(Box::new(warning));
        self
    }

    /// Lets work begin that is expected to cost so much.
    ///
    /// # Errors
    /// [`BudgetStop`] when the budget does not hold so much, and for a cost that is negative or no number: what cannot be counted is
    /// not to be spent.
    pub fn admit(&self, cost: f64) -> Result<Ticket, BudgetStop> {
        self.0.settle(|state| {
            self.0.check(cost, state)?;
            state.promised += cost;
            state.tickets += 1;
            Ok(())
        })?;
        Ok(Ticket { guard: self.0.clone(), cost, told: Mutex::new(0.0) })
    }

    /// Whether work that is expected to cost so much would be let begin now.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub fn check(&self, cost: f64) -> Result<(), BudgetStop> {
        self.0.check(cost, &lock(&self.0.state))
    }

    /// The budget's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What is spent.
    pub fn spent(&self) -> f64 {
        lock(&self.0.state).spent
    }

    /// What is promised to work that has begun and has not said that it spent it.
    pub fn promised(&self) -> f64 {
        lock(&self.0.state).promised
    }

    /// What work may still ask for; never negative.
    pub fn remaining(&self) -> f64 {
        self.0.left(&lock(&self.0.state))
    }

    /// The thresholds that were crossed, in the budget's order.
    pub fn crossed(&self) -> Vec<Crossed> {
        lock(&self.0.state).crossed.iter().flatten().copied().collect()
    }
}

impl Guarded {
    fn left(&self, state: &Spending) -> f64 {
        (self.amount - state.spent - state.promised).max(0.0)
    }

    fn check(&self, cost: f64, state: &Spending) -> Result<(), BudgetStop> {
        let left = self.left(state);
        if cost.is_finite() && cost >= 0.0 && left > 0.0 && cost <= left {
            return Ok(());
        }
        Err(BudgetStop { budget: self.name.clone(), amount: self.amount, left, needed: cost })
    }

    /// Changes what is spent or promised, and tells what was crossed by it.
    fn settle<T>(&self, change: impl FnOnce(&mut Spending) -> T) -> T {
        let mut told = Vec::new();
        let answer = {
            let mut state = lock(&self.state);
            let answer = change(&mut state);
            let (spent, expected) = (state.spent, state.spent + state.promised);
            for (threshold, crossed) in self.thresholds.iter().zip(&mut state.crossed) {
                let limit = self.amount * threshold.percent / 100.0;
                let amount = match threshold.basis {
                    ThresholdBasis::Actual => spent,
                    ThresholdBasis::Forecast => expected,
                };
                if crossed.is_none() && amount >= limit {
                    let found = Crossed { threshold: *threshold, limit, amount };
                    *crossed = Some(found);
                    told.push(found);
                }
            }
            answer
        };
        if let Some(warning) = lock(&self.warning).as_ref() {
            told.iter().for_each(warning);
        }
        answer
    }
}

impl fmt::Debug for BudgetGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BudgetGuard")
            .field("budget", &self.0.name)
            .field("spent", &self.spent())
            .field("promised", &self.promised())
            .finish_non_exhaustive()
    }
}

/// The right to cost something. When it is dropped the work is over: what it said it cost is spent, or what was expected where it
/// said nothing.
#[derive(Debug)]
pub struct Ticket {
    guard: Arc<Guarded>,
    cost: f64,
    /// What the work said it cost so far.
    told: Mutex<f64>,
}

impl Ticket {
    /// Says what the work cost; it adds up, and may come to more than was expected. What is negative or not finite is left out.
    pub fn spend(&self, cost: f64) {
        if !(cost.is_finite() && cost > 0.0) {
            return;
        }
        let mut told = lock(&self.told);
        let before = self.promise(*told);
        *told += cost;
        let after = self.promise(*told);
        self.guard.settle(|state| {
            state.spent += cost;
            state.promised = (state.promised - before + after).max(0.0);
        });
    }

    /// What of the promise is left after so much.
    fn promise(&self, told: f64) -> f64 {
        (self.cost - told).max(0.0)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let told = *lock(&self.told);
        let (promise, unsaid) = (self.promise(told), if told > 0.0 { 0.0 } else { self.cost });
        self.guard.settle(|state| {
            state.spent += unsaid;
            state.tickets = state.tickets.saturating_sub(1);
            state.promised = if state.tickets == 0 { 0.0 } else { (state.promised - promise).max(0.0) };
        });
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("budget", &self.name).finish_non_exhaustive()
    }
}
