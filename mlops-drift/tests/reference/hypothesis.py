"""Writes hypothesis.json, the values that tests/hypothesis.rs holds the hypothesis tests against.

    python3 -m venv venv && venv/bin/pip install numpy==2.4.6 scipy==1.17.1 mpmath==1.4.1
    venv/bin/python mlops-drift/tests/reference/hypothesis.py

Truth is an exact rational or 50-digit arithmetic (mpmath) wherever that is possible; SciPy's own answer is asserted to agree where
it is able to, and is the truth where nothing else is named. Inputs are written out in full.
"""
import json
import math
import pathlib
import warnings
from fractions import Fraction
from math import comb

import mpmath
import numpy
import scipy
import scipy.stats as st
from mpmath import mp, mpf

warnings.simplefilter("ignore")
mp.dps = 50
SCIPY, MPMATH = f"scipy {scipy.__version__}", f"mpmath {mpmath.__version__}"
rng = numpy.random.default_rng(20260202)


def q(x):
    return mpf(x.numerator) / x.denominator


def ln(p, rest=None):
    """ln p, from 1 - p where that is the smaller one."""
    value = mpmath.log1p(-rest) if rest is not None and rest < mpf("0.5") else mpmath.log(p)
    return {"p": float(p), "ln_p": float(value)}


def f_tail(f, d1, d2):
    """P(F >= f) and its complement."""
    f, d1, d2 = mpf(f), mpf(d1), mpf(d2)
    if f == 0:
        return mpf(1), mpf(0)
    x, y = d2 / (d2 + d1 * f), d1 * f / (d2 + d1 * f)
    part = lambda a, b, x, y: x**a * y**b / (a * mpmath.beta(a, b)) * mpmath.hyp2f1(1, a + b, a + 1, x)
    if x < (d2 + 2) / (d1 + d2 + 4):
        p = part(d2 / 2, d1 / 2, x, y)
        return p, 1 - p
    rest = part(d1 / 2, d2 / 2, y, x)
    return 1 - rest, rest


def chi2_tail(x, dof):
    p = mpmath.gammainc(mpf(dof) / 2, mpf(x) / 2, regularized=True)
    return ln(p, mpmath.gammainc(mpf(dof) / 2, 0, mpf(x) / 2, regularized=True))


def normal_tail(z):
    return mpmath.erfc(z / mpmath.sqrt(2)) / 2, mpmath.erfc(-z / mpmath.sqrt(2)) / 2


def sides(p, rest):
    """Less, greater and two-sided from P(T >= t) of a symmetric law and its complement."""
    small = min(p, rest)
    return {"greater": ln(p, rest), "less": ln(rest, p), "two_sided": ln(2 * small, 1 - 2 * small)}


def close(a, b, tolerance=1e-9):
    assert math.isclose(a, b, rel_tol=tolerance, abs_tol=1e-13), (a, b)


normal = lambda n, m=0.0, s=1.0: [float(x) for x in numpy.round(rng.normal(m, s, n), 6)]
SAMPLES = {
    "plain": (normal(30), normal(25, 0.4)),
    "equal_sizes": (normal(20), normal(20, 0.3, 1.5)),
    "small": ([1.1, 2.2, 3.3, 4.4, 5.5], [2.5, 3.6, 6.7, 7.8]),
    "large": (normal(300), normal(250, 0.25, 1.2)),
    "far_apart": (normal(150), normal(120, 40.0)),
    "disjoint": ([float(i) for i in range(60)], [1000.0 + i for i in range(60)]),
    "p_near_1e_minus_120": ([float(i) for i in range(200)], [190.5 + i for i in range(220)]),
    "five_thousand_and_ten": ([float(i * 7919 % 5003) for i in range(1200)], [4000.5 + 31 * i for i in range(10)]),
    "rounded": ([round(x, 1) for x in normal(40)], [round(x, 1) for x in normal(35, 0.5)]),
    "levels": ([float(i % 4) for i in range(50)], [float(i * i % 4 + i % 2) for i in range(45)]),
    "two_values": ([0.0] * 15 + [1.0] * 10, [0.0] * 6 + [1.0] * 14),
    "constant": ([3.5] * 6, [3.5] * 9),
    "constants_apart": ([1.0] * 6, [2.0] * 5),
    "one_value": ([2.0], [1.0, 3.0, 4.0, 5.0, 6.5]),
    "one_and_one": ([1.0], [2.0]),
    "outlier": (normal(20), normal(15, 0.5) + [1e300]),
    "subnormal": ([5e-324 * i for i in range(1, 12)], [5e-324 * (2 * i) for i in range(1, 10)]),
    "zeros": ([-0.0, 0.0, 1.0, -1.0, 0.5, 2.0, -3.0], [0.0, -0.0, 0.0, 4.0, 1.5, 2.5]),
    "huge_offset": ([1e9 + x for x in normal(30)], [1e9 + x for x in normal(30, 0.5)]),
    "skewed": ([round(float(x), 4) for x in rng.lognormal(0, 1, 60)], [round(float(x), 4) for x in rng.lognormal(0.3, 1.4, 70)]),
}
INTEGERS = {
    "beyond_2_to_53": ([2**60 + i for i in (0, 1, 2, 3, 5, 8, 13, 21)], [2**60 + i for i in (1, 4, 9, 16, 25, 36)]),
    "both_ends": ([-(2**63), -(2**63) + 1, 0, 5, 7, 9], [2**63 - 1, 2**63 - 2, 0, 3, 8]),
}


def blocks(a, b):
    values = sorted(set(a) | set(b))
    count = lambda side: {v: 0 for v in values}
    ca, cb = count(a), count(b)
    for v in a:
        ca[v] += 1
    for v in b:
        cb[v] += 1
    return [(ca[v], cb[v]) for v in values]


def mann_whitney(name, a, b):
    n, m = len(a), len(b)
    groups = blocks([Fraction(x) for x in a], [Fraction(x) for x in b])
    before = twice = 0
    for x, y in groups:
        twice += y * (2 * before + x)
        before += x
    out = {"statistic": twice / 2}
    total = n + m
    ties = sum((x + y) ** 3 - (x + y) for x, y in groups)
    variance = Fraction(n * m, 12) * (total + 1 - Fraction(ties, total * (total - 1)))
    if variance > 0:
        sigma = mpmath.sqrt(q(variance))
        tail = lambda u: normal_tail((mpf(u) / 2 - mpf(n * m) / 2 - mpf(1) / 2) / sigma)
        greater, less = tail(twice), tail(2 * n * m - twice)
        two = min(2 * min(greater[0], less[0]), mpf(1))
        out["asymptotic"] = {"greater": ln(*greater), "less": ln(*less), "two_sided": ln(two, 1 - two)}
        if max(map(abs, a + b)) < 1e200:
            check = st.mannwhitneyu([float(x) for x in b], [float(x) for x in a], method="asymptotic")
            if name not in INTEGERS:
                close(check.statistic, twice / 2)
                if check.pvalue > 1e-250:
                    close(check.pvalue, out["asymptotic"]["two_sided"]["p"])
    if n * m <= 2500 and n + m <= 100:
        # Exact given the ties, in integers: ways[taken][2U].
        ways = {(0, 0): 1}
        before = 0
        for x, y in groups:
            t, after = x + y, {}
            for (taken, u), count in ways.items():
                for now in range(t + 1):
                    earlier = before - taken
                    if taken + now <= m and before + t - taken - now <= n:
                        key = (taken + now, u + now * (2 * earlier + t - now))
                        after[key] = after.get(key, 0) + count * comb(t, now)
            ways, before = after, before + t
        every = comb(total, m)
        less = Fraction(sum(c for (_, u), c in ways.items() if u <= twice), every)
        greater = Fraction(sum(c for (_, u), c in ways.items() if u >= twice), every)
        two = min(2 * min(less, greater), Fraction(1))
        out["exact"] = {k: ln(q(v), q(1 - v)) for k, v in (("less", less), ("greater", greater), ("two_sided", two))}
        if ties == 0 and name not in INTEGERS:
            close(st.mannwhitneyu(b, a, method="exact").pvalue, float(two))
    return out


def cvm_limit(x):
    """P(W^2 >= x) of the Cramér-von Mises limit law, by Smirnov's integrals with the roots at both ends substituted away."""
    x, total = mpf(x), mpf(0)
    for k in range(1, 60):
        low, high = (2 * k - 1) * mpmath.pi, 2 * k * mpmath.pi
        left = lambda v: 2 * mpmath.exp(-x * (low + v * v) ** 2 / 2) / mpmath.sqrt((low + v * v) * mpmath.sinc(v * v))
        right = lambda v: 2 * mpmath.exp(-x * (high - v * v) ** 2 / 2) / mpmath.sqrt((high - v * v) * mpmath.sinc(v * v))
        end = mpmath.sqrt(mpmath.pi / 2)
        # In steps of a fraction of the width of the bell, as far as it matters.
        width = 1 / mpmath.sqrt(x * low)
        cuts = [mpf(0)]
        while cuts[-1] < end and cuts[-1] < 12 * width:
            cuts.append(min(end, cuts[-1] + min(width / 2, end / 3)))
        term = mpmath.quad(left, cuts, maxdegree=7) + mpmath.quad(right, [0, end / 4, end / 2, 3 * end / 4, end])
        total += (-1) ** (k + 1) * term
        if abs(term) < mpf(10) ** -25 * abs(total):
            break
    return 2 / mpmath.pi * total


def cramer_von_mises(name, a, b):
    n, m, total = len(a), len(b), len(a) + len(b)
    groups = blocks([Fraction(x) for x in a], [Fraction(x) for x in b])
    i = j = s = 0
    for x, y in groups:
        i, j = i + x, j + y
        s += (x + y) * (i * m - j * n) ** 2
    statistic = Fraction(s, total**2 * n * m)
    out = {"statistic": float(statistic)}
    ties = len(groups) < total
    if not ties and total > 2:
        mean = Fraction(total + 1, 6 * total)
        variance = Fraction((total + 1) * (4 * n * m * total - 3 * (n * n + m * m) - 2 * n * m), 180 * total**2 * n * m)
        moved = mpf(1) / 6 + q(statistic - mean) / mpmath.sqrt(45 * q(variance))
        if moved > mpf("0.005"):
            with mp.workdps(30):
                p = cvm_limit(moved)
            out["limit"] = ln(p, 1 - p)
            if name not in INTEGERS and p > 1e-10 and n > 1:
                check = st.cramervonmises_2samp(a, b, method="asymptotic")
                close(check.statistic, float(statistic), 1e-10)
                close(check.pvalue, float(p), 1e-6)
    if n * m <= 450 or (n * m <= 3000 and len(groups) <= 8):
        states = {(0, 0): 1}
        before = 0
        for x, y in groups:
            t, after = x + y, {}
            for (taken, part), count in states.items():
                for now in range(t + 1):
                    one, other = taken + now, before + t - taken - now
                    if one <= n and other <= m:
                        key = (one, part + t * (one * m - other * n) ** 2)
                        after[key] = after.get(key, 0) + count * comb(t, now)
            states, before = after, before + t
        p = Fraction(sum(c for (_, part), c in states.items() if part >= s), comb(total, n))
        out["exact"] = ln(q(p), q(1 - p))
        if not ties and name not in INTEGERS and n > 1:
            close(st.cramervonmises_2samp(a, b, method="exact").pvalue, float(p))
    return out


def anderson_darling(name, a, b):
    samples = [[Fraction(x) for x in side] for side in (a, b)]
    return anderson_darling_k(name, samples, [a, b])


def anderson_darling_k(name, samples, raw):
    values = sorted(set().union(*samples))
    total, k = sum(map(len, samples)), len(samples)
    statistic, before = Fraction(0), 0
    seen = [0] * k
    counts = [{v: 0 for v in values} for _ in samples]
    for count, side in zip(counts, samples):
        for v in side:
            count[v] += 1
    for v in values[:-1]:
        tied = sum(count[v] for count in counts)
        before += tied
        for i, count in enumerate(counts):
            seen[i] += count[v]
            size = len(samples[i])
            statistic += Fraction(tied * (total * seen[i] - size * before) ** 2, size * total * before * (total - before))
    out = {"statistic": float(statistic)}
    if total > 3 and len(values) > 1:
        h = sum(Fraction(1, i) for i in range(1, total))
        partial, g = Fraction(0), Fraction(0)
        for j in range(2, total):
            partial += Fraction(1, total - j + 1)
            g += partial / j
        big = sum(Fraction(1, len(s)) for s in samples)
        c3 = (4 * g - 6) * (k - 1) + (10 - 6 * g) * big
        c2 = (2 * g - 4) * k**2 + 8 * h * k + (2 * g - 14 * h - 4) * big - 8 * h + 4 * g - 6
        c1 = (6 * h + 2 * g - 2) * k**2 + (4 * h - 4 * g + 6) * k + (2 * h - 6) * big + 4 * h
        c0 = (2 * h + 6) * k**2 - 4 * h * k
        variance = (c3 * total**3 + c2 * total**2 + c1 * total + c0) / ((total - 1) * (total - 2) * (total - 3))
        out["standardised"] = float(q(statistic - (k - 1)) / mpmath.sqrt(q(variance)))
        if name not in INTEGERS and max(abs(x) for side in raw for x in side) < 1e200:
            check = st.anderson_ksamp([numpy.array(s) for s in raw], variant="right")
            close(check.statistic, out["standardised"], 1e-8)
            if 0.0011 < check.pvalue < 0.249:
                out["table_p"] = float(check.pvalue)
    return out


def t_test(name, a, b):
    x, y = [Fraction(v) for v in a], [Fraction(v) for v in b]
    n, m = len(x), len(y)
    mean = lambda v: sum(v) / len(v)
    squares = lambda v: sum((e - mean(v)) ** 2 for e in v)
    difference = mean(y) - mean(x)
    out = {"difference": float(q(difference)) if abs(q(difference)) < mpf("1e308") else None, "welch": None, "student": None}
    spread = squares(x) + squares(y)
    if n > 1 and m > 1 and spread > 0:
        s, u = squares(x) / (n - 1) / n, squares(y) / (m - 1) / m
        dof = q((s + u) ** 2 / (s**2 / (n - 1) + u**2 / (m - 1)))
        out["welch"] = t_law(q(difference) / mpmath.sqrt(q(s + u)), dof)
        if name not in INTEGERS and name not in ("outlier", "subnormal"):
            check = st.ttest_ind(b, a, equal_var=False)
            close(check.statistic, out["welch"]["statistic"], 1e-6)
            if name != "huge_offset" and check.pvalue > 1e-250:
                close(check.pvalue, out["welch"]["two_sided"]["p"], 1e-6)
    if n + m > 2 and spread > 0:
        error = spread / (n + m - 2) * (Fraction(1, n) + Fraction(1, m))
        out["student"] = t_law(q(difference) / mpmath.sqrt(q(error)), mpf(n + m - 2))
    return out


def t_law(t, dof):
    two, rest = f_tail(t * t, 1, dof)
    upper = two / 2 if t >= 0 else 1 - two / 2
    lower = 1 - two / 2 if t >= 0 else two / 2
    quantile = mpmath.findroot(lambda v: mpmath.log(f_tail(v * v, 1, dof)[0]) - mpmath.log(mpf("0.05")), mpf(2) if dof > 3 else mpf(8))
    tails = {"greater": ln(upper, lower), "less": ln(lower, upper), "two_sided": ln(two, rest)}
    return {"statistic": float(t), "dof": float(dof), "quantile": float(quantile), **tails}


def brown_forsythe(name, a, b):
    def distances(v):
        v = sorted(Fraction(e) for e in v)
        median = (v[(len(v) - 1) // 2] + v[len(v) // 2]) / 2
        return [abs(e - median) for e in v]

    x, y = distances(a), distances(b)
    n, m = len(x), len(y)
    mean = lambda v: sum(v) / len(v)
    squares = lambda v: sum((e - mean(v)) ** 2 for e in v)
    if n + m <= 2 or squares(x) + squares(y) == 0:
        return None
    w = (n + m - 2) * Fraction(n * m, n + m) * (mean(x) - mean(y)) ** 2 / (squares(x) + squares(y))
    if name not in INTEGERS and name not in ("outlier", "subnormal", "huge_offset"):
        close(st.levene(a, b, center="median").statistic, float(q(w)))
    return {"statistic": float(q(w)), **ln(*f_tail(q(w), 1, n + m - 2))}


def epps_singleton(name, a, b):
    if min(len(a), len(b)) < 5 or len(set(a) | set(b)) < 5 or name in ("outlier", "subnormal", "huge_offset", "constants_apart", "both_ends"):
        return None
    x, y = [mpf(Fraction(v).numerator) / Fraction(v).denominator for v in a], [mpf(Fraction(v).numerator) / Fraction(v).denominator for v in b]
    n, m, total = len(x), len(y), len(x) + len(y)
    pooled = sorted(x + y)

    def quantile(numerator):
        at = mpf(numerator) * (total - 1) / 4
        low = int(mpmath.floor(at))
        return pooled[low] + (at - low) * (pooled[min(low + 1, total - 1)] - pooled[low])

    sigma = (quantile(3) - quantile(1)) / 2
    if sigma == 0:
        return None
    ts = [mpf("0.4") / sigma, mpf("0.8") / sigma]
    centre = pooled[0]
    feature = lambda v: [mpmath.cos(t * (v - centre)) for t in ts] + [mpmath.sin(t * (v - centre)) for t in ts]

    def moments(v):
        g = [feature(e) for e in v]
        mean = [sum(row[i] for row in g) / len(v) for i in range(4)]
        cov = mpmath.matrix(4, 4)
        for i in range(4):
            for j in range(4):
                cov[i, j] = sum((row[i] - mean[i]) * (row[j] - mean[j]) for row in g) / len(v)
        return mean, cov

    (gx, cx), (gy, cy) = moments(x), moments(y)
    pooled_cov = cx * mpf(total) / n + cy * mpf(total) / m
    d = mpmath.matrix([p - r for p, r in zip(gx, gy)])
    solved = mpmath.lu_solve(pooled_cov, d)
    w = total * sum(d[i] * solved[i] for i in range(4))
    if max(n, m) < 25:
        w /= 1 + mpf(total) ** mpf("-0.45") + mpf("10.1") * (mpf(n) ** mpf("-1.7") + mpf(m) ** mpf("-1.7"))
    eigenvalues = mpmath.eigsy(pooled_cov, eigvals_only=True)
    condition = float(max(eigenvalues) / min(eigenvalues))
    if condition > 1e9:
        return None
    if name not in INTEGERS:
        close(st.epps_singleton_2samp(a, b).statistic, float(w), 1e-7)
    return {"statistic": float(w), "condition": condition, **chi2_tail(w, 4)}


def value_cases():
    for kind, cases in (("f64", SAMPLES), ("i64", INTEGERS)):
        for name, (a, b) in cases.items():
            yield {
                "name": name,
                kind: [a, b],
                "mann_whitney": mann_whitney(name, a, b),
                "cramer_von_mises": cramer_von_mises(name, a, b),
                "anderson_darling": anderson_darling(name, a, b),
                "t_test": t_test(name, a, b),
                "brown_forsythe": brown_forsythe(name, a, b),
                "epps_singleton": epps_singleton(name, a, b),
            }


TABLES = {
    "tea": [[3, 1], [1, 3]],
    "plain": [[90, 10], [75, 25]],
    "three": [[10, 20, 30], [20, 20, 20]],
    "new_category": [[500, 500, 0], [480, 470, 50]],
    "equal": [[7, 0, 12, 5], [7, 0, 12, 5]],
    "nearly_equal": [[10_000_000, 10_000_000], [10_000_300, 9_999_500]],
    "disjoint": [[30, 0], [0, 40]],
    "five_thousand_and_ten": [[4000, 1000], [1, 9]],
    "p_near_1e_minus_120": [[900, 300], [330, 950]],
    "p_beyond_doubles": [[9000, 1000], [1000, 9000]],
    "one_hit": [[1, 299], [0, 300]],
    "unequal_sides": [[12, 3000], [9, 40]],
    "three_by_four": [[10, 20, 30, 5], [20, 20, 20, 9], [12, 18, 31, 7]],
    "with_empty_row": [[10, 0, 30], [0, 0, 0], [12, 0, 9], [3, 0, 40]],
    "many": [rng.multinomial(5000, [1 / 30] * 30).tolist(), rng.multinomial(3000, [1 / 30] * 30).tolist()],
    "constant": [[12, 0], [30, 0]],
}


def table_case(name, rows):
    r = [sum(row) for row in rows]
    c = [sum(column) for column in zip(*rows)]
    total = sum(r)
    chi2, g = Fraction(0), mpf(0)
    for i, row in enumerate(rows):
        for j, count in enumerate(row):
            if r[i] and c[j]:
                expected = Fraction(r[i] * c[j], total)
                chi2 += (count - expected) ** 2 / expected
                if count:
                    g += 2 * count * mpmath.log(q(count / expected))
    height, width = sum(x > 0 for x in r), sum(x > 0 for x in c)
    dof = (height - 1) * (width - 1)
    out = {"name": name, "rows": rows, "dof": dof, "chi2": {"statistic": float(chi2)}, "g": {"statistic": float(g)}, "v": None, "corrected": None}
    if dof == 0:
        return out
    out["chi2"] |= chi2_tail(q(chi2), dof)
    out["g"] |= chi2_tail(g, dof)
    kept = numpy.array([[x for x, t in zip(row, c) if t] for row, t in zip(rows, r) if t])
    if name != "nearly_equal":
        close(st.chi2_contingency(kept, correction=False).statistic, float(chi2))
        close(st.chi2_contingency(kept, correction=False, lambda_="log-likelihood").statistic, float(g))
    phi2 = chi2 / total
    out["v"] = float(mpmath.sqrt(q(phi2 / (min(height, width) - 1))))
    close(st.contingency.association(kept, method="cramer"), out["v"], 1e-6)
    above = max(Fraction(0), phi2 - Fraction(dof, total - 1))
    shrunk = [k - 1 - Fraction((k - 1) ** 2, total - 1) for k in (height, width)]
    out["corrected"] = float(mpmath.sqrt(q(above / min(shrunk))))
    if len(rows) == 2 and len(rows[0]) == 2:
        out |= two_by_two(name, rows)
    return out


def two_by_two(name, rows):
    (a, am), (b, bm) = rows
    n, m = a + am, b + bm
    total, hits = n + m, a + b
    z = q(Fraction(b * n - a * m)) / mpmath.sqrt(q(Fraction(n * m * hits * (am + bm), total)))
    z_out = {"statistic": float(z), **sides(*normal_tail(z))}
    if total > 100_000:
        return {"z": z_out}
    low, high = max(0, hits - n), min(hits, m)
    weight = {x: comb(hits, x) * comb(total - hits, m - x) for x in range(low, high + 1)}
    every = comb(total, m)
    less, greater = (Fraction(sum(w for x, w in weight.items() if pick(x)), every) for pick in (lambda x: x <= b, lambda x: x >= b))
    two = Fraction(sum(w for w in weight.values() if w <= weight[b]), every)
    fisher = {k: ln(q(v), q(1 - v)) for k, v in (("less", less), ("greater", greater), ("two_sided", two))}
    check = st.fisher_exact([[b, bm], [a, am]])
    if check.pvalue > 1e-250:
        close(check.pvalue, float(two), 1e-8)
    return {"z": z_out, "fisher": fisher}


def main():
    k_samples = [[normal(12), normal(15, 0.2), normal(9, 0.5)], [[float(i % 5) for i in range(20)], [float(i % 7) for i in range(30)], [float(i % 3) for i in range(10)], [1.0, 2.0]]]
    many = [{"samples": s, **anderson_darling_k("many", [[Fraction(x) for x in side] for side in s], s)} for s in k_samples]
    document = {
        "tool": f"exact rationals (CPython fractions) and {MPMATH}, 50 digits; checked against {SCIPY}",
        "values": list(value_cases()),
        "tables": [table_case(name, rows) for name, rows in TABLES.items()],
        "many_samples": many,
    }
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    text = text.replace('{"name"', '\n{"name"')
    (pathlib.Path(__file__).parent / "hypothesis.json").write_text(text + "\n")


main()
