//! Bins of categories.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use mlops_core::error::quote;
use mlops_core::hash::{Digest, Hasher};
use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use super::Counts;

/// Cells for categories, fitted on a reference: the known ones in the order of their bytes, then unseen, then missing.
///
/// Categories are compared byte by byte: `""`, `"null"`, `"A"`, `"a"` and `"a "` are five categories, and `None` is missing.
/// Memory grows with the number of distinct categories of the reference, never with those of later samples.
///
/// Serialises with a version (`{"version":1,"categories":[…]}`).
///
/// # Example: a category that the reference never had
/// ```
/// use mlops_drift::{CategoryBins, chi2_homogeneity};
///
/// let bins = CategoryBins::fit([Some("red"), Some("blue"), Some("red"), None])?;
/// let reference = bins.count([Some("red"), Some("blue"), Some("red"), None]);
/// let current = bins.count([Some("red"), Some("green"), Some("green"), Some("mauve")]);
/// // blue, red, unseen, missing
/// assert_eq!(reference.as_slice(), [1, 2, 0, 1]);
/// assert_eq!(current.as_slice(), [0, 1, 3, 0]);
/// assert_eq!(chi2_homogeneity(reference.as_slice(), current.as_slice())?.dof, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct CategoryBins {
    /// Ascending, distinct.
    categories: Vec<String>,
    index: HashMap<String, usize>,
    digest: Digest,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    categories: Vec<String>,
}

/// What one cell of [`CategoryBins`] contains; displayed quoted and escaped.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CategoryCell<'a> {
    /// This category.
    Known(&'a str),
    /// Every category that the reference does not have.
    Unseen,
    /// No category.
    Missing,
}

impl fmt::Display for CategoryCell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(category) => write!(f, "\"{}\"", quote(category)),
            Self::Unseen => f.write_str("unseen"),
            Self::Missing => f.write_str("missing"),
        }
    }
}

impl CategoryBins {
    /// The version of the serialised form.
    pub const VERSION: u32 = 1;

    /// Fits the categories of a reference; `None` is a missing value.
    ///
    /// # Errors
    /// [`StatsError::Empty`] without any value, [`StatsError::AllMissing`] when every value is missing.
    ///
    /// ```
    /// use mlops_drift::CategoryBins;
    /// assert!(CategoryBins::fit([Some("a"), None]).is_ok());
    /// assert!(CategoryBins::fit([None]).is_err());
    /// ```
    pub fn fit<'a>(reference: impl IntoIterator<Item = Option<&'a str>>) -> Result<Self, StatsError> {
        let argument = "reference";
        let (mut seen, mut any) = (BTreeSet::new(), false);
        for value in reference {
            any = true;
            seen.extend(value);
        }
        match (any, seen.is_empty()) {
            (false, _) => Err(StatsError::Empty { argument }),
            (true, true) => Err(StatsError::AllMissing { argument }),
            _ => Ok(Self::new(seen.into_iter().map(str::to_owned).collect())),
        }
    }

    fn new(categories: Vec<String>) -> Self {
        let mut hasher = Hasher::new("mlops-drift.category-bins/v1");
        categories.iter().for_each(|category| hasher.push(category.as_bytes()));
        let index = categories.iter().cloned().enumerate().map(|(i, category)| (category, i)).collect();
        Self { categories, index, digest: hasher.finish() }
    }

    /// How many cells there are: the known categories and two.
    ///
    /// ```
    /// assert_eq!(mlops_drift::CategoryBins::fit([Some("a"), Some("b")])?.len(), 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[expect(clippy::len_without_is_empty, reason = "there are always at least three cells")]
    pub fn len(&self) -> usize {
        self.categories.len() + 2
    }

    /// What identifies these bins: equal for equal cells, different for different ones.
    ///
    /// ```
    /// use mlops_drift::CategoryBins;
    /// let [one, other] = [["a", "b"], ["b", "a"]].map(|reference| CategoryBins::fit(reference.map(Some)));
    /// assert_eq!(one?.digest(), other?.digest());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What each cell contains, in the order of the counts.
    ///
    /// ```
    /// let bins = mlops_drift::CategoryBins::fit([Some("b"), Some("a")])?;
    /// let shown: Vec<String> = bins.cells().map(|cell| cell.to_string()).collect();
    /// assert_eq!(shown, ["\"a\"", "\"b\"", "unseen", "missing"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cells(&self) -> impl Iterator<Item = CategoryCell<'_>> + '_ {
        let known = self.categories.iter().map(|category| CategoryCell::Known(category));
        known.chain([CategoryCell::Unseen, CategoryCell::Missing])
    }

    /// The cell of one value.
    ///
    /// ```
    /// let bins = mlops_drift::CategoryBins::fit([Some("a")])?;
    /// assert_eq!([Some("a"), Some("A"), None].map(|value| bins.cell_of(value)), [0, 1, 2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cell_of(&self, value: Option<&str>) -> usize {
        let unseen = self.categories.len();
        value.map_or(unseen + 1, |category| self.index.get(category).copied().unwrap_or(unseen))
    }

    /// Counts values into the cells; never fails.
    ///
    /// ```
    /// let bins = mlops_drift::CategoryBins::fit([Some("a"), Some("b")])?;
    /// assert_eq!(bins.count([Some("b"), Some("c"), None]).as_slice(), [0, 1, 1, 1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn count<'a>(&self, values: impl IntoIterator<Item = Option<&'a str>>) -> Counts {
        let mut counts = Counts::zero(self.digest, self.len());
        values.into_iter().for_each(|value| counts.push(self.cell_of(value)));
        counts
    }

    /// Counts that were made elsewhere, one a cell.
    pub(crate) fn counted(&self, cells: &[u64]) -> Counts {
        let mut counts = Counts::zero(self.digest, self.len());
        counts.fill(cells);
        counts
    }

    /// Counts more values into existing counts: for streams.
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] when the counts belong to other bins.
    ///
    /// ```
    /// let bins = mlops_drift::CategoryBins::fit([Some("a")])?;
    /// let mut counts = bins.count([Some("a")]);
    /// bins.count_into(&mut counts, [Some("a"), None])?;
    /// assert_eq!(counts.as_slice(), [2, 0, 1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn count_into<'a>(
        &self,
        counts: &mut Counts,
        values: impl IntoIterator<Item = Option<&'a str>>,
    ) -> Result<(), StatsError> {
        counts.fits(self.digest, self.len())?;
        values.into_iter().for_each(|value| counts.push(self.cell_of(value)));
        Ok(())
    }
}

impl TryFrom<Stored> for CategoryBins {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        if stored.version != Self::VERSION {
            return Err(format!(
                "category bins of version {} are not known, only {}",
                stored.version,
                Self::VERSION
            ));
        }
        if stored.categories.is_empty() || stored.categories.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err("category bins need distinct categories in ascending order".to_owned());
        }
        Ok(Self::new(stored.categories))
    }
}

impl From<CategoryBins> for Stored {
    fn from(bins: CategoryBins) -> Self {
        Self { version: CategoryBins::VERSION, categories: bins.categories }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookalikes_are_different_categories() {
        let twins = ["", " ", "null", "NaN", "a", "A", "a ", "é", "e\u{301}", "\0"];
        let bins = CategoryBins::fit(twins.map(Some)).unwrap();
        assert_eq!(bins.len(), twins.len() + 2);
        let counts = bins.count(twins.map(Some));
        assert!(counts.as_slice()[..twins.len()].iter().all(|&count| count == 1));
    }

    #[test]
    fn bins_survive_a_round_trip_and_refuse_nonsense() {
        let bins = CategoryBins::fit(["b\n", "a", ""].map(Some)).unwrap();
        let text = serde_json::to_string(&bins).unwrap();
        assert_eq!(serde_json::from_str::<CategoryBins>(&text).unwrap(), bins);
        for text in [
            r#"{"version":2,"categories":["a"]}"#,
            r#"{"version":1,"categories":[]}"#,
            r#"{"version":1,"categories":["a","a"]}"#,
            r#"{"version":1,"categories":["b","a"]}"#,
        ] {
            assert!(serde_json::from_str::<CategoryBins>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts_of_other_categories_are_refused() {
        let (ab, cd) = (["a", "b"].map(Some), ["c", "d"].map(Some));
        let mut counts = CategoryBins::fit(ab).unwrap().count(ab);
        let other = CategoryBins::fit(cd).unwrap();
        assert_eq!(counts.merge(&other.count(cd)), Err(StatsError::Incompatible { what: "the bins" }));
        assert!(other.count_into(&mut counts, cd).is_err());
    }

    #[test]
    fn a_hostile_category_is_displayed_escaped() {
        let cell = CategoryCell::Known("\u{202e}\n\u{1b}[2J");
        assert!(!cell.to_string().contains(['\n', '\u{1b}', '\u{202e}']));
    }
}
