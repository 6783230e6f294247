//! What an attempt of a step costs.

use std::sync::Mutex;

use crate::governance::Ticket;
use crate::time::lock;

/// What one attempt said that it cost, and the right that it has to.
#[derive(Debug, Default)]
pub(super) struct Spending {
    /// What it is expected to cost; nothing where nobody asks.
    expected: f64,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    cost: f64,
    ticket: Option<Ticket>,
}

impl Spending {
    pub(super) fn new(expected: f64, ticket: Option<Ticket>) -> Self {
        Self { expected, told: Mutex::new(Told { cost: 0.0, ticket }) }
    }

    pub(super) fn expected(&self) -> f64 {
        self.expected
    }

    /// What is negative or not finite is left out, as what comes after the attempt's end.
    pub(super) fn spend(&self, cost: f64) {
        let mut told = lock(&self.told);
        if !(cost.is_finite() && cost > 0.0 && (told.cost + cost).is_finite()) {
            return;
        }
        told.cost += cost;
        if let Some(ticket) = &told.ticket {
            ticket.spend(cost);
        }
    }

    /// What it cost in the end: what it said, or what was expected where it said nothing. The right ends with it.
    pub(super) fn close(&self) -> f64 {
        let mut told = lock(&self.told);
        told.ticket = None;
        if told.cost > 0.0 { told.cost } else { self.expected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_said_counts_or_else_what_was_expected() {
        let silent = Spending::new(4.0, None);
        assert_eq!(silent.close(), 4.0);
        let told = Spending::new(4.0, None);
        for cost in [1.5, -3.0, f64::NAN, f64::INFINITY, 0.25, f64::MAX, f64::MAX] {
            told.spend(cost);
        }
        assert!(told.close() >= 1.75 && told.close().is_finite());
        let small = Spending::default();
        for cost in [1.5, -3.0, f64::NAN, 0.25] {
            small.spend(cost);
        }
        assert_eq!((small.close(), small.expected()), (1.75, 0.0));
    }
}
