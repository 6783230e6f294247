//! Who belongs to which group.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use mlops_core::data::Column;
use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

/// The most groups a set of features may make: their cells take 4 MiB.
pub const MAX_GROUPS: usize = 65_536;

/// The category of rows that have no value.
pub const MISSING: &str = "(missing)";

/// A feature whose values must not decide how a model treats somebody: a code for each row, and the categories the
/// codes stand for.
///
/// A missing value is a category of its own, [`MISSING`], where the data has one: rows are never dropped, and people whose
/// group is not known are judged as a group too. [`from_optional`](Self::from_optional) and
/// [`from_column`](Self::from_column) make it; a feature of codes names it as the caller likes. Features whose metrics are
/// compared only within each of their categories ("control features") have the same type.
///
/// ```
/// use mlops_eval::fairness::SensitiveFeature;
///
/// let by_code = SensitiveFeature::new("sex", &[1, 0, 1], ["female", "male"]);
/// let by_value = SensitiveFeature::from_values("sex", &["male", "female", "male"]);
/// assert_eq!(by_code, by_value);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SensitiveFeature<'a> {
    name: String,
    codes: Cow<'a, [u32]>,
    categories: Vec<String>,
}

impl<'a> SensitiveFeature<'a> {
    /// A feature from codes: code i stands for the i-th category. Checked where it is used.
    pub fn new<C: Into<String>>(
        name: impl Into<String>,
        codes: &'a [u32],
        categories: impl IntoIterator<Item = C>,
    ) -> Self {
        let categories = categories.into_iter().map(Into::into).collect();
        Self { name: name.into(), codes: Cow::Borrowed(codes), categories }
    }

    /// The feature's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The categories, in the order of their codes.
    ///
    /// ```
    /// use mlops_eval::fairness::SensitiveFeature;
    /// assert_eq!(SensitiveFeature::from_values("group", &["b", "a"]).categories(), ["a", "b"]);
    /// ```
    pub fn categories(&self) -> &[String] {
        &self.categories
    }
}

impl SensitiveFeature<'static> {
    /// A feature from values that may be missing: those that are fall into the category [`MISSING`], which comes last.
    ///
    /// ```
    /// use mlops_eval::fairness::{MISSING, SensitiveFeature};
    /// let feature = SensitiveFeature::from_optional("sex", &[Some("male"), None, Some("female")]);
    /// assert_eq!(feature.categories(), ["female", "male", MISSING]);
    /// ```
    pub fn from_optional<S: AsRef<str>>(name: impl Into<String>, values: &[Option<S>]) -> Self {
        let text = |value: &Option<S>| value.as_ref().map(|value| value.as_ref().to_owned());
        Self::from_texts(name, values.iter().map(text))
    }

    /// A feature from a column of any type, by the text of its values; missing ones are [`MISSING`].
    ///
    /// ```
    /// use mlops_core::data::Column;
    /// use mlops_eval::fairness::SensitiveFeature;
    /// let column = Column::optional_text("city", [Some("Bonn"), None])?;
    /// assert_eq!(SensitiveFeature::from_column(&column).categories(), ["Bonn", "(missing)"]);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn from_column(column: &Column<'_>) -> Self {
        let text = |row| column.label(row).map(Cow::into_owned);
        Self::from_texts(column.name(), (0..column.len()).map(text))
    }

    fn from_texts(name: impl Into<String>, values: impl Iterator<Item = Option<String>>) -> Self {
        let values: Vec<Option<String>> = values.collect();
        let distinct: HashSet<&str> = values.iter().flatten().map(String::as_str).collect();
        let mut categories: Vec<&str> = distinct.into_iter().filter(|value| *value != MISSING).collect();
        categories.sort_unstable();
        if values.iter().any(|value| value.as_deref().is_none_or(|value| value == MISSING)) {
            categories.push(MISSING);
        }
        let place: HashMap<&str, u32> = categories.iter().copied().zip(0..).collect();
        let code = |value: &Option<String>| {
            // Every value is among the categories; one beyond u32 would be refused as unknown later.
            place.get(value.as_deref().unwrap_or(MISSING)).copied().unwrap_or(u32::MAX)
        };
        let codes = Cow::Owned(values.iter().map(code).collect());
        Self { name: name.into(), codes, categories: categories.into_iter().map(str::to_owned).collect() }
    }

    /// A feature from values; the categories are those that occur, sorted. O(n log k) for k categories.
    pub fn from_values<S: AsRef<str>>(name: impl Into<String>, values: &[S]) -> Self {
        let distinct: HashSet<&str> = values.iter().map(AsRef::as_ref).collect();
        let mut categories: Vec<&str> = distinct.into_iter().collect();
        categories.sort_unstable();
        let code = |value: &S| {
            let position = categories.binary_search(&value.as_ref()).ok();
            // Every value is among the categories; one beyond u32 would be refused as unknown later.
            position.and_then(|position| u32::try_from(position).ok()).unwrap_or(u32::MAX)
        };
        let codes = Cow::Owned(values.iter().map(code).collect());
        Self { name: name.into(), codes, categories: categories.into_iter().map(str::to_owned).collect() }
    }
}

/// A feature and the category a group has of it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FeatureValue {
    /// The feature's name.
    pub feature: String,
    /// The category.
    pub category: String,
}

/// The rows that share a category of every feature.
///
/// ```
/// use mlops_eval::classification::LabelMetric;
/// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
///
/// let sex = SensitiveFeature::from_values("sex", &["f", "m"]);
/// let age = SensitiveFeature::from_values("age", &["old", "young"]);
/// let groups = GroupMetrics::of(&[true, true], &[true, false], &[sex, age], &FairnessOptions::fairlearn_0_15())?;
/// let recall = groups.by_group(LabelMetric::Recall);
/// assert_eq!(recall.groups[0].group.to_string(), "sex=f & age=old");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Group(Vec<FeatureValue>);

impl Group {
    /// The categories that make the group, in the order of the features.
    pub fn values(&self) -> &[FeatureValue] {
        &self.0
    }

    /// Whether the group has these categories, in the order of the features.
    ///
    /// ```
    /// use mlops_eval::fairness::{FairnessOptions, GroupMetrics, SensitiveFeature};
    ///
    /// let sex = SensitiveFeature::from_values("sex", &["f", "m"]);
    /// let groups = GroupMetrics::of(&[true, true], &[true, false], &[sex], &FairnessOptions::default())?;
    /// assert!(groups.group(1).is_some_and(|group| group.is(&["m"])));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is(&self, categories: &[&str]) -> bool {
        self.0.len() == categories.len()
            && self.0.iter().zip(categories).all(|(value, category)| value.category == *category)
    }

    /// The first `head` features' categories, and those of the others.
    pub(super) fn split(mut self, head: usize) -> (Self, Self) {
        let tail = self.0.split_off(head.min(self.0.len()));
        (self, Self(tail))
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, FeatureValue { feature, category }) in self.0.iter().enumerate() {
            write!(f, "{}{feature}={category}", if position == 0 { "" } else { " & " })?;
        }
        Ok(())
    }
}

/// Whether a group is judged.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupStatus {
    /// It has enough rows.
    Judged,
    /// It has rows, but fewer than the minimum.
    TooSmall,
    /// It has no rows, and a category it is made of has none at all: the data says nothing about people it was
    /// announced to cover.
    Absent,
    /// It has no rows, but each of its categories has some: nobody belongs to this combination. Not held against an
    /// aggregate.
    Vacant,
}

/// The features without their codes: what names the groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Axis {
    name: String,
    categories: Vec<String>,
}

/// Every combination of categories, the last feature varying fastest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Axes(Vec<Axis>);

impl Axes {
    pub(crate) fn of(features: &[SensitiveFeature<'_>]) -> Result<Self, StatsError> {
        let axis = |feature: &SensitiveFeature<'_>| Axis {
            name: feature.name.clone(),
            categories: feature.categories.clone(),
        };
        let axes = Self(features.iter().map(axis).collect());
        axes.check().map(|()| axes)
    }

    /// Control features first, then sensitive ones, of which there must be one.
    pub(super) fn with_controls(
        controls: &[SensitiveFeature<'_>],
        features: &[SensitiveFeature<'_>],
    ) -> Result<Self, StatsError> {
        Self::of(features)?;
        Self::of(&[controls, features].concat())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|axis| axis.name.as_str())
    }

    /// The axes at these positions, and where every combination of all axes falls among the combinations of those.
    pub(super) fn margin(&self, positions: &[usize]) -> Result<(Self, Vec<usize>), StatsError> {
        let kept = Self(positions.iter().filter_map(|&position| self.0.get(position).cloned()).collect());
        let place = |index: usize| {
            let codes = self.codes(index);
            let kept = positions.iter().zip(&kept.0);
            kept.fold(0, |place, (&position, axis)| place * axis.categories.len() + codes[position])
        };
        let places = (0..self.len()?).map(place).collect();
        Ok((kept, places))
    }

    /// The number of combinations of the first `head` axes.
    pub(super) fn head_len(&self, head: usize) -> usize {
        self.0.iter().take(head).map(|axis| axis.categories.len()).product()
    }

    pub(super) fn width(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn check(&self) -> Result<(), StatsError> {
        if self.0.is_empty() {
            return Err(StatsError::Empty { argument: "sensitive_features" });
        }
        for axis in &self.0 {
            if axis.categories.is_empty() {
                return Err(StatsError::Empty { argument: "categories" });
            }
            let distinct: HashSet<&String> = axis.categories.iter().collect();
            if distinct.len() < axis.categories.len() {
                let what = "a sensitive feature that lists a category twice";
                return Err(StatsError::Unsupported { what, reason: "one group would be judged as two" });
            }
        }
        let names: HashSet<&String> = self.0.iter().map(|axis| &axis.name).collect();
        if names.len() < self.0.len() {
            let what = "a sensitive feature that is listed twice";
            return Err(StatsError::Unsupported { what, reason: "its groups could not be told apart" });
        }
        self.len().map(|_| ())
    }

    /// The number of combinations.
    pub(crate) fn len(&self) -> Result<usize, StatsError> {
        let product =
            self.0.iter().try_fold(1_usize, |product, axis| product.checked_mul(axis.categories.len()));
        match product {
            Some(groups) if groups <= MAX_GROUPS => Ok(groups),
            groups => {
                let value = groups.map_or(f64::INFINITY, |groups| groups as f64);
                let reason = "must not exceed 65536";
                Err(StatsError::Parameter { parameter: "the number of groups", value, reason })
            }
        }
    }

    /// How many categories each feature has.
    pub(super) fn sizes(&self) -> Vec<usize> {
        self.0.iter().map(|axis| axis.categories.len()).collect()
    }

    /// The codes of a combination, in the order of the features.
    pub(super) fn codes(&self, mut index: usize) -> Vec<usize> {
        let mut codes = vec![0; self.0.len()];
        for (code, axis) in codes.iter_mut().zip(&self.0).rev() {
            *code = index % axis.categories.len();
            index /= axis.categories.len();
        }
        codes
    }

    pub(crate) fn group(&self, index: usize) -> Group {
        let value = |(axis, code): (&Axis, usize)| FeatureValue {
            feature: axis.name.clone(),
            category: axis.categories[code].clone(),
        };
        Group(self.0.iter().zip(self.codes(index)).map(value).collect())
    }

    /// The status of every combination, given how many rows each has.
    pub(crate) fn statuses(&self, rows: &[u64], minimum: u64) -> Vec<GroupStatus> {
        let mut occurs: Vec<Vec<bool>> =
            self.0.iter().map(|axis| vec![false; axis.categories.len()]).collect();
        for (index, _) in rows.iter().enumerate().filter(|(_, rows)| **rows > 0) {
            for (seen, code) in occurs.iter_mut().zip(self.codes(index)) {
                seen[code] = true;
            }
        }
        let status = |(index, &rows): (usize, &u64)| {
            if rows == 0 {
                let all_occur = occurs.iter().zip(self.codes(index)).all(|(seen, code)| seen[code]);
                if all_occur { GroupStatus::Vacant } else { GroupStatus::Absent }
            } else if rows < minimum {
                GroupStatus::TooSmall
            } else {
                GroupStatus::Judged
            }
        };
        rows.iter().enumerate().map(status).collect()
    }
}

/// The codes of the features with the number of their categories, checked to be as long as the rows.
pub(super) fn codes_of_rows<'a>(
    features: &'a [SensitiveFeature<'_>],
    rows: usize,
    rows_name: &'static str,
) -> Result<Vec<(&'a [u32], u32)>, StatsError> {
    let codes = |feature: &'a SensitiveFeature<'_>| {
        if feature.codes.len() != rows {
            return Err(StatsError::LengthMismatch {
                left: "sensitive_features",
                left_len: feature.codes.len(),
                right: rows_name,
                right_len: rows,
            });
        }
        // Checked to be at most MAX_GROUPS when the axes were made.
        Ok((&*feature.codes, u32::try_from(feature.categories.len()).unwrap_or(u32::MAX)))
    };
    features.iter().map(codes).collect()
}

/// The error for the first code without a category among these rows.
pub(super) fn unknown_code(codes: &[(&[u32], u32)], rows: std::ops::Range<usize>) -> Option<StatsError> {
    codes.iter().find_map(|(codes, categories)| {
        let index = rows.clone().find(|&row| codes.get(row).is_some_and(|code| code >= categories))?;
        let (code, known) = (u64::from(codes[index]), u64::from(*categories));
        Some(StatsError::UnknownCode { argument: "sensitive_features", index, code, known })
    })
}

/// The group of every row, as an index among the combinations.
pub(crate) fn group_of_rows(
    features: &[SensitiveFeature<'_>],
    rows: usize,
    rows_name: &'static str,
) -> Result<Vec<u32>, StatsError> {
    let codes = codes_of_rows(features, rows, rows_name)?;
    let mut groups = vec![0_u32; rows];
    if !super::count::group_into(&codes, 0..rows, &mut groups) {
        return Err(unknown_code(&codes, 0..rows).unwrap_or(StatsError::Empty { argument: "categories" }));
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(codes: &'static [u32], categories: usize) -> SensitiveFeature<'static> {
        SensitiveFeature::new(format!("f{categories}"), codes, (0..categories).map(|c| format!("c{c}")))
    }

    #[test]
    fn rows_and_groups_are_numbered_alike() {
        let features = [feature(&[0, 1, 2], 3), feature(&[1, 0, 1], 2)];
        let axes = Axes::of(&features).unwrap();
        assert_eq!(axes.len(), Ok(6));
        let rows = group_of_rows(&features, 3, "y_true").unwrap();
        assert_eq!(rows, [1, 2, 5]);
        assert_eq!(axes.group(5).to_string(), "f3=c2 & f2=c1");
        assert_eq!(axes.group(2).to_string(), "f3=c1 & f2=c0");
    }

    #[test]
    fn empty_combinations_are_told_from_absent_categories() {
        let axes = Axes::of(&[feature(&[], 3), feature(&[], 2)]).unwrap();
        let statuses = axes.statuses(&[20, 3, 20, 0, 0, 0], 10);
        use GroupStatus::{Absent, Judged, TooSmall, Vacant};
        assert_eq!(statuses, [Judged, TooSmall, Judged, Vacant, Absent, Absent]);
    }

    #[test]
    fn what_cannot_be_grouped_is_named() {
        assert_eq!(Axes::of(&[]), Err(StatsError::Empty { argument: "sensitive_features" }));
        assert_eq!(Axes::of(&[feature(&[], 0)]), Err(StatsError::Empty { argument: "categories" }));
        let twice = SensitiveFeature::new("sex", &[], ["f", "f"]);
        assert!(matches!(Axes::of(&[twice]), Err(StatsError::Unsupported { .. })));
        assert!(matches!(Axes::of(&[feature(&[], 2), feature(&[], 2)]), Err(StatsError::Unsupported { .. })));
        let many = [feature(&[], 300), feature(&[], 301)];
        assert!(matches!(Axes::of(&many), Err(StatsError::Parameter { .. })));
        let unknown = group_of_rows(&[feature(&[0, 3], 3)], 2, "y_true").unwrap_err();
        let expected =
            StatsError::UnknownCode { argument: "sensitive_features", index: 1, code: 3, known: 3 };
        assert_eq!(unknown, expected);
        let short = group_of_rows(&[feature(&[0], 3)], 2, "y_true").unwrap_err();
        assert_eq!(short.to_string(), "`sensitive_features` has 1 elements but `y_true` has 2");
    }
}
