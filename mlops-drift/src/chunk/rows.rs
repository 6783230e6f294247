//! Which rows a chunk has.

use std::ops::Range;
use std::sync::Arc;

/// The rows of a chunk: a range of positions, in the data as it stands or in an order that all chunks of one cut share.
///
/// Costs the same whatever its length, so that overlapping windows over unsorted rows take no memory per row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The row at each position; `None` where position and row are the same.
    order: Option<Arc<[usize]>>,
    positions: Range<usize>,
}

impl Rows {
    /// The rows of a range, in the order of the data.
    ///
    /// ```
    /// use mlops_drift::chunk::Rows;
    /// let rows = Rows::range(2..4);
    /// assert_eq!(rows.iter().collect::<Vec<_>>(), [2, 3]);
    /// assert_eq!(rows.as_range(), Some(2..4));
    /// ```
    pub fn range(rows: Range<usize>) -> Self {
        let end = rows.end.max(rows.start);
        Self { order: None, positions: rows.start..end }
    }

    /// The rows of a list, in its order.
    ///
    /// ```
    /// use mlops_drift::chunk::Rows;
    /// assert_eq!(Rows::list(vec![4, 1]).iter().collect::<Vec<_>>(), [4, 1]);
    /// ```
    pub fn list(rows: Vec<usize>) -> Self {
        let positions = 0..rows.len();
        Self { order: Some(rows.into()), positions }
    }

    /// Positions of a shared order; positions beyond its end are left out.
    pub(super) fn shared(order: Option<&Arc<[usize]>>, positions: Range<usize>) -> Self {
        let Some(order) = order else { return Self::range(positions) };
        let end = positions.end.min(order.len());
        Self { order: Some(Arc::clone(order)), positions: positions.start.min(end)..end }
    }

    /// The same rows and those that follow up to a position.
    pub(super) fn extended_to(&self, end: usize) -> Self {
        Self::shared(self.order.as_ref(), self.positions.start..end.max(self.positions.end))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// The rows as a range of the data, where they are one: a slice can then be borrowed instead of gathered.
    pub fn as_range(&self) -> Option<Range<usize>> {
        self.order.is_none().then(|| self.positions.clone())
    }

    /// The row indices, in time order where the cut was by time.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        let order = self.order.as_deref();
        self.positions.clone().map(move |position| match order {
            Some(order) => order.get(position).copied().unwrap_or(position),
            None => position,
        })
    }

    /// The largest row index, if there is one. O(rows) for a list.
    pub fn max(&self) -> Option<usize> {
        match &self.order {
            None => (!self.is_empty()).then(|| self.positions.end - 1),
            Some(_) => self.iter().max(),
        }
    }

    /// The elements of `values` at these rows, in order; `None` when a row lies beyond its end.
    ///
    /// ```
    /// use mlops_drift::chunk::Rows;
    /// assert_eq!(Rows::list(vec![2, 0]).of(&['a', 'b', 'c']), Some(vec!['c', 'a']));
    /// assert_eq!(Rows::range(0..4).of(&['a']), None);
    /// ```
    pub fn of<T: Clone>(&self, values: &[T]) -> Option<Vec<T>> {
        if let Some(range) = self.as_range() {
            return values.get(range).map(<[T]>::to_vec);
        }
        self.iter().map(|row| values.get(row).cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_runs_backwards_is_empty() {
        let (start, end) = (5, 2);
        assert!(Rows::range(start..end).is_empty());
        assert_eq!(Rows::range(start..end).max(), None);
    }

    #[test]
    fn a_shared_order_never_reaches_beyond_itself() {
        let order: Arc<[usize]> = vec![2, 0, 1].into();
        let rows = Rows::shared(Some(&order), 1..9);
        assert_eq!((rows.len(), rows.max()), (2, Some(1)));
        assert_eq!(Rows::shared(Some(&order), 0..1).extended_to(2).iter().collect::<Vec<_>>(), [2, 0]);
    }
}
