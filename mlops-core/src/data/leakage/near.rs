//! Rows that are nearly equal: MinHash and bands to find candidates, the true similarity to decide.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::report::{Leak, LeakKind, at, count};
use super::shared::{Rows, Shared, pairs};
use super::{OP, SAMPLE};
use crate::data::cell::{Cell, cell};
use crate::data::{Column, DataType, Table};
use crate::error::{Error, Result};
use crate::hash::Digest;
use crate::num::Random;

/// The most tokens of all rows together: a gibibyte of them.
const MAX_TOKENS: usize = 1 << 28;

/// The most hashes a row, bands × rows a band.
const MAX_HASHES: usize = 4_096;

/// How to look for rows that are nearly equal.
///
/// A row becomes a set of tokens. A number falls into two grids of cells of one width, shifted against each other by half a
/// cell, and gives one token for each: values nearer than half a width share at least one, values a width apart none. The
/// width is `quantum` × the spread of the column: interquartile range ÷ 1.349, else the standard deviation. A category, a
/// boolean, a missing value and NaN give two tokens that only equals share. A column of text named by [`with_text`] gives one
/// token for every run of `words` words, lower case.
///
/// Two rows are near when their Jaccard similarity (tokens in common ÷ tokens in either) is at least `similarity`; every pair
/// that is reported has been computed exactly, so none is reported falsely. Which pairs are looked at is decided by MinHash
/// with bands: a pair of similarity s is found with probability **1 − (1 − sʳ)ᵇ** for b bands of r rows
/// ([`recall`](Self::recall)). Rows that are equal in every feature are duplicates and not reported again. The same seed finds
/// the same pairs.
///
/// Cost: rows × tokens × b·r hashes, 4 bytes a token and 8·b bytes a row, at most 2²⁸ tokens; at most `max_comparisons` rows
/// are compared, and when that was not enough the report says so.
///
/// ```
/// use mlops_core::data::{Column, LeakKind, LeakageInput, NearDuplicates, Partition, Table};
///
/// let table = Table::new(vec![
///     Column::f64("bmi", vec![32.1, 21.6, 30.5, 25.3, 32.11])?,
///     Column::f64("bp", vec![101.0, 87.0, 93.0, 84.0, 101.0])?,
///     Column::text("sex", ["f", "m", "f", "m", "f"])?,
/// ])?;
/// let split = Partition::predefined(5, vec![0, 1, 2, 3], None, vec![4])?;
/// let report = LeakageInput::new(&table, &split).with_near_duplicates(NearDuplicates::new()).check()?;
/// assert_eq!(report.leaks[0].kind, LeakKind::NearDuplicateRow);
/// assert_eq!(report.leaks[0].rows, [(0, 4)]);
/// # Ok::<(), mlops_core::Error>(())
/// ```
///
/// Source: Broder, "On the resemblance and containment of documents" (1997); Leskovec, Rajaraman and Ullman, *Mining of
/// Massive Datasets* (3rd ed., 2020), chapter 3.
///
/// [`with_text`]: Self::with_text
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "NearDuplicatesWire", into = "NearDuplicatesWire")]
pub struct NearDuplicates {
    similarity: f64,
    bands: usize,
    rows: usize,
    quantum: f64,
    text: Vec<String>,
    words: usize,
    seed: u64,
    max_comparisons: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NearDuplicatesWire {
    similarity: f64,
    bands: usize,
    rows: usize,
    quantum: f64,
    text: Vec<String>,
    words: usize,
    seed: u64,
    max_comparisons: u64,
}

impl Default for NearDuplicatesWire {
    fn default() -> Self {
        NearDuplicates::new().into()
    }
}

impl From<NearDuplicates> for NearDuplicatesWire {
    fn from(n: NearDuplicates) -> Self {
        Self {
            similarity: n.similarity,
            bands: n.bands,
            rows: n.rows,
            quantum: n.quantum,
            text: n.text,
            words: n.words,
            seed: n.seed,
            max_comparisons: n.max_comparisons,
        }
    }
}

impl TryFrom<NearDuplicatesWire> for NearDuplicates {
    type Error = Error;

    fn try_from(w: NearDuplicatesWire) -> Result<Self> {
        let search = Self {
            similarity: w.similarity,
            bands: w.bands,
            rows: w.rows,
            quantum: w.quantum,
            text: w.text,
            words: w.words,
            seed: w.seed,
            max_comparisons: w.max_comparisons,
        };
        search.check().map(|()| search)
    }
}

impl Default for NearDuplicates {
    fn default() -> Self {
        Self::new()
    }
}

impl NearDuplicates {
    /// Similarity 0.7, 32 bands of 4, cells of a tenth of the spread, runs of 2 words, seed 0, at most 10⁷ comparisons.
    pub fn new() -> Self {
        Self {
            similarity: 0.7,
            bands: 32,
            rows: 4,
            quantum: 0.1,
            text: Vec::new(),
            words: 2,
            seed: 0,
            max_comparisons: 10_000_000,
        }
    }

    /// From which similarity on rows are near, in (0, 1].
    #[must_use]
    pub fn with_similarity(mut self, similarity: f64) -> Self {
        self.similarity = similarity;
        self
    }

    /// How many bands, and how many hashes a band; 4096 hashes at most.
    #[must_use]
    pub fn with_bands(mut self, bands: usize, rows: usize) -> Self {
        (self.bands, self.rows) = (bands, rows);
        self
    }

    /// The width of a cell of numbers as a multiple of their spread.
    #[must_use]
    pub fn with_quantum(mut self, quantum: f64) -> Self {
        self.quantum = quantum;
        self
    }

    /// Columns of text that are compared by runs of so many words.
    #[must_use]
    pub fn with_text<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>, words: usize) -> Self {
        self.text = columns.into_iter().map(Into::into).collect();
        self.words = words;
        self
    }

    /// The seed of the hashes.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How many rows are compared at most.
    #[must_use]
    pub fn with_max_comparisons(mut self, comparisons: u64) -> Self {
        self.max_comparisons = comparisons;
        self
    }

    /// The probability that a pair of this similarity is found: 1 − (1 − sʳ)ᵇ.
    ///
    /// ```
    /// use mlops_core::data::NearDuplicates;
    /// let search = NearDuplicates::new();
    /// assert!(search.recall(0.7) > 0.9998 && search.recall(0.9) > 1.0 - 1e-13);
    /// assert!(search.recall(0.2) < 0.06);
    /// ```
    pub fn recall(&self, similarity: f64) -> f64 {
        let whole = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        1.0 - (1.0 - similarity.clamp(0.0, 1.0).powi(whole(self.rows))).powi(whole(self.bands))
    }

    fn check(&self) -> Result<()> {
        let refuse = |field, message: String| Err(Error::invalid("NearDuplicates", field, message));
        if !(self.similarity > 0.0 && self.similarity <= 1.0) {
            return refuse("similarity", format!("must lie in (0, 1], got {}", self.similarity));
        }
        if !(self.quantum > 0.0 && self.quantum.is_finite()) {
            return refuse("quantum", format!("must be a positive number, got {}", self.quantum));
        }
        if self.bands == 0 || self.rows == 0 || self.words == 0 {
            return refuse("bands", "bands, rows and words must be 1 at least".to_owned());
        }
        match self.bands.checked_mul(self.rows) {
            Some(hashes) if hashes <= MAX_HASHES => Ok(()),
            _ => {
                let hashes = self.bands.saturating_mul(self.rows);
                Err(Error::limit("NearDuplicates", "bands × rows", MAX_HASHES, hashes))
            }
        }
    }
}

/// How near duplicates were looked for.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NearDuplicateSearch {
    /// The settings.
    pub settings: NearDuplicates,
    /// The probability that a pair of exactly the least similarity is found; a pair more similar is found more surely.
    pub recall: f64,
    /// How many pairs of different rows were compared.
    pub comparisons: u64,
    /// Whether every candidate was compared.
    pub complete: bool,
}

/// The tokens of all rows: for each row a sorted run of token numbers.
struct Tokens {
    flat: Vec<u32>,
    starts: Vec<usize>,
    /// What hashes the token with this number.
    hashes: Vec<u64>,
}

impl Tokens {
    fn of(&self, row: usize) -> &[u32] {
        &self.flat[self.starts[row]..self.starts[row + 1]]
    }
}

pub(super) fn search(
    settings: &NearDuplicates,
    features: &Table<'_>,
    parts: &[Rows<'_>],
    digests: &[Digest],
) -> Result<(NearDuplicateSearch, Vec<Leak>)> {
    settings.check()?;
    let tokens = tokens(settings, features)?;
    let keys = band_keys(settings, &tokens, features.rows());
    let recall = settings.recall(settings.similarity);
    let mut found =
        NearDuplicateSearch { settings: settings.clone(), recall, comparisons: 0, complete: true };
    let mut leaks = Vec::new();
    for (left, right) in pairs(parts) {
        leaks.extend(in_two_parts(&mut found, &tokens, &keys, digests, left, right));
    }
    Ok((found, leaks))
}

/// The near pairs across two parts.
fn in_two_parts(
    found: &mut NearDuplicateSearch,
    tokens: &Tokens,
    keys: &[u64],
    digests: &[Digest],
    left: Rows<'_>,
    right: Rows<'_>,
) -> Option<Leak> {
    let (settings, bands) = (found.settings.clone(), found.settings.bands);
    // Rows of equal tokens are compared once.
    let mut same: HashMap<&[u32], Vec<usize>> = HashMap::new();
    left.1.iter().for_each(|&row| same.entry(tokens.of(row)).or_default().push(row));
    let mut firsts: Vec<usize> = same.values().filter_map(|rows| rows.first().copied()).collect();
    firsts.sort_unstable();
    let mut index: HashMap<(usize, u64), Vec<usize>> = HashMap::new();
    for (place, &row) in firsts.iter().enumerate() {
        (0..bands).for_each(|band| index.entry((band, keys[row * bands + band])).or_default().push(place));
    }
    let in_left: std::collections::HashSet<&Digest> = left.1.iter().map(|&row| &digests[row]).collect();
    let (mut seen, mut matched) = (vec![usize::MAX; firsts.len()], vec![false; firsts.len()]);
    let (mut right_rows, mut keys_found, mut rows) = (0, 0, Vec::new());
    let mut highest = 0.0_f64;
    for &row in right.1.iter().filter(|&&row| !in_left.contains(&digests[row])) {
        let mut best: Option<(f64, usize)> = None;
        for band in 0..bands {
            for &place in index.get(&(band, keys[row * bands + band])).map_or(&[][..], Vec::as_slice) {
                if std::mem::replace(&mut seen[place], row) == row {
                    continue;
                }
                if found.comparisons >= settings.max_comparisons {
                    found.complete = false;
                    break;
                }
                found.comparisons += 1;
                let similarity = jaccard(tokens.of(firsts[place]), tokens.of(row));
                if similarity >= settings.similarity {
                    matched[place] = true;
                    keys_found += 1;
                    if best.is_none_or(|(s, other)| similarity > s || (similarity == s && place < other)) {
                        best = Some((similarity, place));
                    }
                }
            }
        }
        if let Some((similarity, place)) = best {
            right_rows += 1;
            highest = highest.max(similarity);
            if rows.len() < SAMPLE {
                rows.push((firsts[place], row));
            }
        }
    }
    if right_rows == 0 {
        return None;
    }
    let matched = firsts.iter().zip(&matched).filter(|(_, matched)| **matched);
    let left_rows: usize = matched.map(|(row, _)| same.get(tokens.of(*row)).map_or(0, Vec::len)).sum();
    let message = format!(
        "{} of {} and {} of {} are nearly equal (similarity {:.2} and more, at most {highest:.2}); first {}",
        count(left_rows, "row"),
        left.0,
        count(right_rows, "row"),
        right.0,
        settings.similarity,
        at(left.0, right.0, rows.first())
    );
    let (left, right, of) = ((left.0, left_rows), (right.0, right_rows), right.1.len());
    let shared = Shared { keys: keys_found, left, right, of, rows };
    Some(Leak { score: Some(highest), ..shared.leak(LeakKind::NearDuplicateRow, None, message) })
}

/// The Jaccard similarity of two sorted sets; two empty ones are equal.
fn jaccard(a: &[u32], b: &[u32]) -> f64 {
    let (mut i, mut j, mut common) = (0, 0, 0_usize);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        match x.cmp(y) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => (i, j, common) = (i + 1, j + 1, common + 1),
        }
    }
    let either = a.len() + b.len() - common;
    if either == 0 { 1.0 } else { common as f64 / either as f64 }
}

/// A token before it is numbered: no two of them are ever confused.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Token<'t> {
    /// Column, grid, cell.
    Number(usize, u8, i64),
    /// Column, copy, value.
    Value(usize, u8, Cell<'t>),
    /// Column, words.
    Words(usize, Vec<String>),
}

impl Token<'_> {
    /// A hash that does not depend on where the token came first.
    fn hash(&self) -> u64 {
        let mut hasher = crate::hash::Hasher::new("mlops.token/v1");
        match self {
            Self::Number(column, grid, cell) => {
                hasher.push(&(*column as u64).to_le_bytes());
                hasher.push(&[*grid]);
                hasher.push(&cell.to_le_bytes());
            }
            Self::Value(column, copy, value) => {
                hasher.push(&(*column as u64).to_le_bytes());
                hasher.push(&[16 + *copy]);
                value.push_to(&mut hasher, &mut Vec::new());
            }
            Self::Words(column, words) => {
                hasher.push(&(*column as u64).to_le_bytes());
                hasher.push(&[32]);
                words.iter().for_each(|word| hasher.push(word.as_bytes()));
            }
        }
        hasher.finish().as_bytes()[..8].iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
    }
}

fn tokens(settings: &NearDuplicates, features: &Table<'_>) -> Result<Tokens> {
    let sources =
        features.columns().iter().map(|column| Source::new(settings, column)).collect::<Result<Vec<_>>>()?;
    for name in &settings.text {
        if features.column(name)?.data_type() != DataType::Category {
            let error = Error::invalid(OP, "text", "must be a column of text");
            return Err(error.with("column", name));
        }
    }
    let mut numbers: HashMap<Token<'_>, u32> = HashMap::new();
    let mut out = Tokens { flat: Vec::new(), starts: vec![0], hashes: Vec::new() };
    let mut of_row = Vec::new();
    for row in 0..features.rows() {
        of_row.clear();
        for (at, source) in sources.iter().enumerate() {
            source.tokens(at, row, &mut |token| {
                let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
                let hashes = &mut out.hashes;
                of_row.push(*numbers.entry(token).or_insert_with_key(|token| {
                    hashes.push(token.hash());
                    next
                }));
            });
        }
        of_row.sort_unstable();
        of_row.dedup();
        out.flat.extend_from_slice(&of_row);
        out.starts.push(out.flat.len());
        if out.flat.len() > MAX_TOKENS {
            return Err(Error::limit(OP, "the tokens of all rows", MAX_TOKENS, out.flat.len()));
        }
    }
    Ok(out)
}

/// Where the tokens of a column come from.
enum Source<'t> {
    Numbers { column: &'t Column<'t>, values: std::borrow::Cow<'t, [f64]>, width: f64 },
    Values(&'t Column<'t>),
    Words { column: &'t Column<'t>, words: usize },
}

impl<'t> Source<'t> {
    fn new(settings: &NearDuplicates, column: &'t Column<'t>) -> Result<Self> {
        if settings.text.iter().any(|name| name == column.name()) {
            return Ok(Self::Words { column, words: settings.words });
        }
        if !(column.data_type().is_numeric() || column.data_type() == DataType::Time) {
            return Ok(Self::Values(column));
        }
        let values = column.to_f64()?;
        let width = settings.quantum * spread(&values);
        // A column without spread has nothing to round: its values are equal or they are not.
        Ok(if width > 0.0 && width.is_finite() {
            Self::Numbers { column, values, width }
        } else {
            Self::Values(column)
        })
    }

    fn tokens(&self, at: usize, row: usize, push: &mut impl FnMut(Token<'t>)) {
        match self {
            Self::Numbers { values, width, .. } if values[row].is_finite() => {
                let place = values[row] / width;
                // What lies beyond the cells that can be numbered is one cell.
                push(Token::Number(at, 0, place.floor() as i64));
                push(Token::Number(at, 1, (place + 0.5).floor() as i64));
            }
            Self::Numbers { column, .. } | Self::Values(column) => {
                (0..2).for_each(|copy| push(Token::Value(at, copy, cell(column, row))));
            }
            Self::Words { column, words } => {
                let Some(text) = column.label(row) else {
                    push(Token::Value(at, 0, Cell::Missing));
                    return;
                };
                let list: Vec<String> = text
                    .split(|c: char| !c.is_alphanumeric())
                    .filter(|w| !w.is_empty())
                    .map(str::to_lowercase)
                    .collect();
                if list.len() <= *words {
                    push(Token::Words(at, list));
                } else {
                    list.windows(*words).for_each(|run| push(Token::Words(at, run.to_vec())));
                }
            }
        }
    }
}

/// Interquartile range ÷ 1.349 of the finite values; the standard deviation where half of them are equal.
fn spread(values: &[f64]) -> f64 {
    let mut finite: Vec<f64> = values.iter().copied().filter(|x| x.is_finite()).collect();
    finite.sort_by(f64::total_cmp);
    let quarter = |quarters: usize| finite.get(finite.len().saturating_sub(1).saturating_mul(quarters) / 4);
    let range = quarter(3).zip(quarter(1)).map_or(0.0, |(high, low)| (high - low) / 1.349);
    if range > 0.0 && range.is_finite() {
        return range;
    }
    let n = finite.len().max(1) as f64;
    let mean = finite.iter().map(|x| x / n).sum::<f64>();
    (finite.iter().map(|x| (x - mean).powi(2) / n).sum::<f64>()).sqrt()
}

/// For each row, one key a band: rows share it when all their smallest hashes of the band are equal.
fn band_keys(settings: &NearDuplicates, tokens: &Tokens, rows: usize) -> Vec<u64> {
    let mut random = Random::new(settings.seed).stream("near duplicates");
    let mut seeds = vec![0; settings.bands * settings.rows];
    random.fill(&mut seeds);
    let mut keys = Vec::with_capacity(rows * settings.bands);
    for row in 0..rows {
        for band in seeds.chunks_exact(settings.rows) {
            let smallest = |seed: &u64| {
                let hashes = tokens.of(row).iter().map(|&token| mix(tokens.hashes[token as usize] ^ seed));
                hashes.min().unwrap_or(u64::MAX)
            };
            keys.push(band.iter().map(smallest).fold(0, |key, hash| mix(key ^ hash).wrapping_add(hash)));
        }
    }
    keys
}

/// A bijection of 64 bits that leaves no pattern (the finaliser of MurmurHash3).
const fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ x >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ x >> 33
}
