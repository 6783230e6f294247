//! The chi-square test of homogeneity on cells that were fitted on the reference.

use mlops_core::num::StatsError;

use crate::chi2::{Chi2, chi2_homogeneity};
use crate::comparison::Comparison;
use crate::pair::Tail;
use crate::tally::Tally;

/// [`chi2_homogeneity`] on fitted cells: the outer cells, which the reference cannot occupy, are counted with their neighbours, and
/// how many values lie there is a second test with 1/50 of the level, as told in [`distance`](mod@crate::distance). On cells known
/// beforehand it is the plain test. The statistic, its degrees of freedom and the smallest expected count are those of the folded cells.
///
/// # Errors
/// As [`chi2_homogeneity`]; [`StatsError::Unsupported`] for masses of weighted values.
///
/// ```
/// use mlops_drift::{BinRule, Bins, Missing, chi2_on_cells};
///
/// let reference: Vec<f64> = (0..1000).map(f64::from).collect();
/// let bins = Bins::fit(&reference, BinRule::default())?;
/// let (before, after) = (bins.count(&reference), bins.count(&reference));
/// let test = chi2_on_cells(bins.tally(&before, Missing::Omit)?, bins.tally(&after, Missing::Omit)?)?;
/// assert_eq!((test.statistic, test.dof, test.p.value()), (0.0, 9, Some(1.0)));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn chi2_on_cells<'a, 'b>(
    reference: impl Into<Tally<'a>>,
    current: impl Into<Tally<'b>>,
) -> Result<Chi2, StatsError> {
    let folded = Comparison::new(reference.into(), current.into())?.folded();
    let Some((before, after)) = folded.counts() else {
        return Err(StatsError::Unsupported {
            what: "a chi-square test of masses",
            reason: "it counts values",
        });
    };
    let test = chi2_homogeneity(&before, &after)?;
    let tail = Tail { p: test.p, ln_p: test.ln_p }.with_outside(&folded);
    Ok(Chi2 { p: tail.p, ln_p: tail.ln_p, ..test })
}
