//! Features with the times at which they happened and were known.

use crate::data::{Span, Table};

/// A table of features: keys, when each row happened, when it was known, and values.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::data::{Column, FeatureView, Table};
///
/// let table = Table::new(vec![
///     Column::i64("customer", vec![7])?,
///     Column::i64("day", vec![3])?,
///     Column::i64("loaded", vec![4])?,
///     Column::f64("spent", vec![12.5])?,
/// ])?;
/// let view = FeatureView::new("orders", &table, "day", "loaded").with_ttl(30).prefixed();
/// assert_eq!(view.name(), "orders");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FeatureView<'a> {
    pub(super) name: String,
    pub(super) table: &'a Table<'a>,
    pub(super) event: String,
    pub(super) created: Option<String>,
    pub(super) keys: Option<Vec<String>>,
    pub(super) features: Option<Vec<String>>,
    pub(super) ttl: Span,
    pub(super) strict: bool,
    pub(super) cutoff: bool,
    pub(super) prefixed: bool,
}

impl<'a> FeatureView<'a> {
    /// Features with a column of event times and one of the times at which the rows were written. Both hold times, or both
    /// whole numbers.
    pub fn new(
        name: impl Into<String>,
        table: &'a Table<'a>,
        event: impl Into<String>,
        created: impl Into<String>,
    ) -> Self {
        Self { created: Some(created.into()), ..Self::known_at_once(name, table, event) }
    }

    /// Features that are known the moment they happen: nothing is written later, and nothing is corrected. The proof says
    /// that this was taken for granted.
    pub fn known_at_once(name: impl Into<String>, table: &'a Table<'a>, event: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            table,
            event: event.into(),
            created: None,
            keys: None,
            features: None,
            ttl: Span::default(),
            strict: false,
            cutoff: true,
            prefixed: false,
        }
    }

    /// The columns of the keys, in the order of those of the join, where they have other names here.
    #[must_use]
    pub fn with_keys<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.keys = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// The columns to join; all but keys and times when not said.
    #[must_use]
    pub fn with_features<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.features = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// How old a row may be; nothing means any age.
    #[must_use]
    pub fn with_ttl(mut self, ttl: impl Into<Span>) -> Self {
        self.ttl = ttl.into();
        self
    }

    /// Uses rows only that happened and were known strictly before the entity row's time: where both carry the same stamp
    /// although one caused the other.
    #[must_use]
    pub fn strictly_before(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Uses rows whatever the time they were written at. The join leaks when rows are written late, and its proof does not
    /// hold then.
    #[must_use]
    pub fn without_knowledge_cutoff(mut self) -> Self {
        self.cutoff = false;
        self
    }

    /// Names the joined columns `view__feature`.
    #[must_use]
    pub fn prefixed(mut self) -> Self {
        self.prefixed = true;
        self
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }
}
