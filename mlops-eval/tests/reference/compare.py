"""Reference values for tests of paired comparisons.

Needs scipy 1.17.1, statsmodels 0.15.0, scikit-learn 1.9.1, MLstatkit 0.1.91, numpy 2.4.6. Run:

    python compare.py > compare.json
"""

import contextlib
import io
import json
import sys
from fractions import Fraction
from importlib.metadata import version

import numpy as np
import scipy
import scipy.stats as st
import sklearn
import statsmodels
from MLstatkit import Delong_test
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import cochrans_q, mcnemar
from statsmodels.stats.descriptivestats import sign_test
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import samplesize_proportions_2indep_onetail

rng = np.random.default_rng(20240607)


def f(x):
    return float(x)


def delong_exact(y, scores):
    """The definition in rationals: components by counting all pairs."""
    pos = [[Fraction(s[i]) for i in range(len(y)) if y[i]] for s in scores]
    neg = [[Fraction(s[i]) for i in range(len(y)) if not y[i]] for s in scores]
    m, n = len(pos[0]), len(neg[0])
    half = Fraction(1, 2)
    psi = lambda a, b: Fraction(1) if a > b else (half if a == b else Fraction(0))
    v10 = [[sum(psi(a, b) for b in q) / n for a in p] for p, q in zip(pos, neg)]
    v01 = [[sum(psi(a, b) for a in p) / m for b in q] for p, q in zip(pos, neg)]
    auc = [sum(v) / m for v in v10]

    def cov(v, i, j, k):
        return sum((x - auc[i]) * (z - auc[j]) for x, z in zip(v[i], v[j])) / (k - 1)

    k = len(scores)
    return auc, [[cov(v10, i, j, m) / m + cov(v01, i, j, n) / n for j in range(k)] for i in range(k)]


def delong_case(name, y, scores):
    auc, s = delong_exact(y, scores)
    k = len(scores)
    var = s[0][0] + s[1][1] - 2 * s[0][1]
    d = auc[1] - auc[0]
    z = f(d) / f(var) ** 0.5
    case = {
        "name": name,
        "y_true": [bool(v) for v in y],
        "scores": [[f(v) for v in x] for x in scores],
        "auc": [f(a) for a in auc],
        "covariance": [[f(v) for v in row] for row in s],
        "difference_variance": f(var),
        "z": z,
        "p": f(2 * st.norm.sf(abs(z))),
        "roc_auc_score": [f(roc_auc_score(y, x)) for x in scores],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        out = Delong_test(np.array(y), np.array(scores[1]), np.array(scores[0]))
    case["mlstatkit"] = {"z": f(out[0]), "p": f(out[1])}
    if k > 2:
        ell = np.array([[f(int(i == j) - int(i == j - 1)) for j in range(k)] for i in range(k - 1)])
        c = np.array([[f(v) for v in row] for row in s])
        w = ell @ np.array([f(a) for a in auc])
        q = f(w @ np.linalg.solve(ell @ c @ ell.T, w))
        case["all_equal"] = {"statistic": q, "p": f(st.chi2.sf(q, k - 1))}
    return case


def delong():
    cases = []
    for name, n, prevalence, digits, k in [
        ("continuous", 40, 0.4, 12, 3),
        ("ties", 60, 0.3, 1, 3),
        ("rare positives", 80, 0.05, 2, 2),
        ("binary scores", 50, 0.5, 0, 2),
    ]:
        y = rng.random(n) < prevalence
        y[:3] = True
        y[3:6] = False
        base = rng.normal(size=n) + 1.0 * y
        scores = [np.round(base * 0.6 + rng.normal(size=n) * (0.5 + 0.3 * j), digits) for j in range(k)]
        cases.append(delong_case(name, y, scores))
    return cases


def tango_limits(both, first, second, neither, level):
    """By maximising the likelihood under the restriction numerically, and bisecting the score."""
    n = both + first + second + neither
    z = st.norm.isf((1 - level) / 2)

    def score(d):
        # q = P(only first), P(only second) = q + d; the rest is 1 - 2q - d.
        lo, hi = max(0.0, -d), (1 - d) / 2
        same = both + neither

        def slope(q):
            s = 0.0
            s += first / q if first else 0.0
            s += second / (q + d) if second else 0.0
            s -= 2 * same / (1 - 2 * q - d) if same else 0.0
            return s

        a, b = lo, hi
        for _ in range(200):
            mid = (a + b) / 2
            if slope(mid) > 0:
                a = mid
            else:
                b = mid
        q = (a + b) / 2
        var = 2 * q + d - d * d
        return (second - first - n * d) / (n * var) ** 0.5

    def root(target, a, b):
        for _ in range(200):
            mid = (a + b) / 2
            if score(mid) > target:
                a = mid
            else:
                b = mid
        return (a + b) / 2

    d = (second - first) / n
    return [root(z, -1 + 1e-15, d), root(-z, d, 1 - 1e-15)]


def newcombe_limits(e, ff, g, h, level):
    n = e + ff + g + h
    z = st.norm.isf((1 - level) / 2)

    def wilson(k):
        ci = st.binomtest(k, n).proportion_ci(level, method="wilson")
        return ci.low, ci.high

    p1, p2 = (e + ff) / n, (e + g) / n
    (l1, u1), (l2, u2) = wilson(e + ff), wilson(e + g)
    prod = (e + ff) * (g + h) * (e + g) * (ff + h)
    num = e * h - ff * g
    if num > 0:
        num = max(num - n / 2, 0)
    phi = num / prod**0.5 if prod else 0.0
    d = p2 - p1
    low = d - ((p2 - l2) ** 2 - 2 * phi * (p2 - l2) * (u1 - p1) + (u1 - p1) ** 2) ** 0.5
    high = d + ((u2 - p2) ** 2 - 2 * phi * (u2 - p2) * (p1 - l1) + (p1 - l1) ** 2) ** 0.5
    return [low, high]


def proportions():
    cases = []
    for cells in [
        (1, 1, 7, 12),
        (59, 6, 16, 80),
        (43, 0, 1, 0),
        (80, 3, 9, 8),
        (900, 40, 55, 5),
        (10, 0, 4, 0),
        (5000, 300, 380, 700),
    ]:
        both, first, second, neither = cells
        table = [[both, first], [second, neither]]
        cases.append(
            {
                "counts": cells,
                "exact": f(mcnemar(table, exact=True).pvalue),
                "mid_p": f(mcnemar(table, exact=True).pvalue)
                - f(st.binom.pmf(second, first + second, 0.5)) * (first != second),
                "chi_square": [f(v) for v in (lambda r: (r.statistic, r.pvalue))(mcnemar(table, exact=False, correction=False))],
                "corrected": [f(v) for v in (lambda r: (r.statistic, r.pvalue))(mcnemar(table, exact=False, correction=True))],
                "tango": [f(v) for v in tango_limits(*cells, 0.95)],
                "newcombe": [f(v) for v in newcombe_limits(*cells, 0.95)],
            }
        )
    return cases


ALT = {"two_sided": "two-sided", "greater": "greater", "less": "less"}


def rows():
    cases = []
    for name, d in [
        ("continuous", rng.normal(0.3, 1, 18)),
        ("skewed", rng.exponential(1, 30) - 0.8),
        ("ties and zeros", np.round(rng.normal(0.4, 1.2, 12))),
        ("many", rng.normal(0.1, 1, 90)),
        ("many ties", np.round(rng.normal(0.2, 1, 120), 1)),
    ]:
        case = {"name": name, "differences": [f(v) for v in d], "t": {}, "sign": None, "wilcoxon": [], "sign_flip": {}}
        m, p = sign_test(d)
        case["sign"] = f(p)
        for ours, theirs in ALT.items():
            r = st.ttest_rel(d, np.zeros_like(d), alternative=theirs)
            ci = st.ttest_rel(d, np.zeros_like(d)).confidence_interval(0.95)
            case["t"][ours] = [f(r.statistic), f(r.pvalue), f(ci.low), f(ci.high)]
            if len(d) <= 18:
                r = st.permutation_test(
                    (d, np.zeros_like(d)),
                    lambda a, b, axis: np.mean(a - b, axis=axis),
                    permutation_type="samples",
                    vectorized=True,
                    n_resamples=np.inf,
                    alternative=theirs,
                )
                case["sign_flip"][ours] = f(r.pvalue)
            for zeros in ["wilcox", "pratt", "zsplit"]:
                for correction in [False, True]:
                    r = st.wilcoxon(d, zero_method=zeros, correction=correction, alternative=theirs, method="asymptotic")
                    case["wilcoxon"].append(
                        {"zeros": zeros, "correction": correction, "law": "normal", "alternative": ours, "p": f(r.pvalue)}
                    )
            clean = len(np.unique(np.abs(d))) == len(d) and not (d == 0).any()
            if clean and len(d) <= 50:
                r = st.wilcoxon(d, alternative=theirs, method="exact")
                case["wilcoxon"].append(
                    {"zeros": "wilcox", "correction": False, "law": "exact", "alternative": ours, "p": f(r.pvalue)}
                )
        cases.append(case)
    return cases


def several():
    cases = []
    for n, k, digits in [(12, 3, 6), (20, 5, 1), (9, 4, 0)]:
        x = np.round(rng.normal(size=(n, k)) + 0.4 * np.arange(k), digits)
        r = st.friedmanchisquare(*x.T)
        b = x > 0.5
        q = cochrans_q(b.astype(int))
        cases.append(
            {
                "models": k,
                "values": [f(v) for v in x.ravel()],
                "friedman": [f(r.statistic), f(r.pvalue)],
                "success": [bool(v) for v in b.ravel()],
                "cochran": [f(q.statistic), f(q.pvalue)],
            }
        )
    return cases


def five_by_two():
    # By the formulas of Dietterich (1998) and Alpaydin (1999); the tails are SciPy's.
    cases = []
    for d in [rng.normal(0.01, 0.02, 10), rng.normal(0.05, 0.01, 10)]:
        pairs = d.reshape(5, 2)
        var = ((pairs - pairs.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
        t = d[0] / np.sqrt(var.mean())
        ff = (d**2).sum() / (2 * var.sum())
        cases.append(
            {
                "differences": [f(v) for v in d],
                "t": [f(t), f(2 * st.t.sf(abs(t), 5))],
                "f": [f(ff), f(st.f.sf(ff, 10, 5))],
            }
        )
    return cases


def power():
    t = [
        {
            "n": n,
            "effect": e,
            "alpha": a,
            "alternative": ours,
            "power": f(TTestPower().power(e, n, a, alternative={"two_sided": "two-sided", "greater": "larger", "less": "smaller"}[ours])),
        }
        for n, e, a, ours in [
            (20, 0.5, 0.05, "two_sided"),
            (34, 0.5, 0.05, "two_sided"),
            (10, 1.0, 0.01, "greater"),
            (500, 0.1, 0.05, "greater"),
            (40, -0.3, 0.05, "less"),
            (4, 2.0, 0.05, "two_sided"),
        ]
    ]
    rows_t = [
        {
            "effect": e,
            "alpha": a,
            "power": p,
            "alternative": ours,
            "n": f(TTestPower().solve_power(e, None, a, p, alternative={"two_sided": "two-sided", "greater": "larger"}[ours])),
        }
        for e, a, p, ours in [(0.5, 0.05, 0.8, "two_sided"), (0.2, 0.01, 0.9, "two_sided"), (0.05, 0.05, 0.8, "greater")]
    ]
    two = [
        {
            "first": p1,
            "second": p2,
            "alpha": a,
            "power": p,
            "alternative": ours,
            "n": f(
                samplesize_proportions_2indep_onetail(
                    p2 - p1, p1, p, ratio=1, alpha=a / 2 if ours == "two_sided" else a, value=0, alternative="larger"
                )
            ),
        }
        for p1, p2, a, p, ours in [(0.85, 0.9, 0.05, 0.8, "two_sided"), (0.1, 0.15, 0.05, 0.9, "greater")]
    ]
    return {"t_power": t, "t_rows": rows_t, "two_proportions": two}


json.dump(
    {
        "versions": {
            "scipy": scipy.__version__,
            "statsmodels": statsmodels.__version__,
            "scikit-learn": sklearn.__version__,
            "MLstatkit": version("MLstatkit"),
            "numpy": np.__version__,
        },
        "delong": delong(),
        "proportions": proportions(),
        "rows": rows(),
        "several": several(),
        "five_by_two": five_by_two(),
        "power": power(),
    },
    sys.stdout,
)
