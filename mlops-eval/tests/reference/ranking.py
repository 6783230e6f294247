#!/usr/bin/env python3
"""Writes ranking.json beside this file.

DCG and NDCG by scikit-learn 1.9.1; MAP, reciprocal rank, precision, recall, success and NDCG of lists without ties by trec_eval
(pytrec_eval-terrier 0.5.11); every metric of short lists with ties by its definition, averaged over all orders of the tied
documents. Run with: pip install scikit-learn==1.9.1 pytrec_eval-terrier==0.5.11 && python ranking.py
"""
import itertools
import json
import math
import pathlib
import random
import warnings
from importlib.metadata import version

import numpy as np
import pytrec_eval
import sklearn
from sklearn.metrics import dcg_score, ndcg_score

warnings.simplefilter("ignore")
HERE = pathlib.Path(__file__).parent
MAX_GRADE = 4


def strict(grades, k, gain):
    """All metrics of grades in ranked order, by definition; None where there are no relevant documents."""
    top = grades[:k]
    worth = (lambda g: g) if gain == "linear" else (lambda g: 2.0**g - 1)
    dcg = sum(worth(g) / math.log2(r + 1) for r, g in enumerate(top, 1))
    ideal = sum(worth(g) / math.log2(r + 1) for r, g in enumerate(sorted(grades, reverse=True)[:k], 1))
    relevant = sum(g > 0 for g in grades)
    hits, precision, err, going = 0, 0.0, 0.0, 1.0
    for r, g in enumerate(top, 1):
        p = (2.0**g - 1) / 2.0**MAX_GRADE
        err += going * p / r
        going *= 1 - p
        if g > 0:
            hits += 1
            precision += hits / r
    first = next((1 / r for r, g in enumerate(top, 1) if g > 0), 0.0)
    some = relevant > 0
    return {"dcg": dcg, "ndcg": dcg / ideal if some else None, "average_precision": precision / relevant if some else None,
            "reciprocal_rank": first if some else None, "expected_reciprocal_rank": err, "precision": hits / k,
            "recall": hits / relevant if some else None, "hit_rate": float(hits > 0) if some else None,
            "f1": 2 * hits / (k + relevant) if some else None}


def orders(scores):
    """Every order of the documents in which scores fall."""
    groups = [[i for i, s in enumerate(scores) if s == v] for v in sorted(set(scores), reverse=True)]
    for parts in itertools.product(*(itertools.permutations(g) for g in groups)):
        yield [i for part in parts for i in part]


def brute_cases():
    rng = random.Random(41)
    for number in range(36):
        n = rng.choice([1, 2, 3, 5, 6, 7])
        grades = [rng.choice([0, 0, 1, 2, 4]) for _ in range(n)]
        if number % 9 == 0:
            grades = [0] * n
        scores = [rng.randrange(rng.choice([1, 2, 3])) / 2 for _ in range(n)]
        k = rng.choice([1, 2, 3, n, n + 2])
        gain = rng.choice(["linear", "exponential"])
        each = [strict([grades[i] for i in order], k, gain) for order in orders(scores)]
        means = {m: None if each[0][m] is None else math.fsum(e[m] for e in each) / len(each) for m in each[0]}
        rows = sorted(range(n), key=lambda i: -scores[i])
        yield {"relevance": grades, "scores": scores, "cutoff": k, "gain": gain, "averaged": means,
               "row_order": strict([grades[i] for i in rows], k, gain)}


def untied(scores):
    """Scores in the reverse order of a stable sort: what `ignore_ties` reads if NumPy's sort, which promises nothing, is stable."""
    return np.argsort(np.argsort(scores, axis=1, kind="stable"), axis=1, kind="stable").astype(float)


def sklearn_cases():
    rng = random.Random(43)
    for levels in (3, 10**6):
        for n in (2, 9, 15):
            for k in (None, 1, 4):
                y = [[rng.choice([0.0, 0.0, 1.0, 2.5, 3.0]) for _ in range(n)] for _ in range(3)] + [[0.0] * n]
                s = [[rng.randrange(levels) / levels for _ in range(n)] for _ in range(4)]
                w = [0.5, 2.0, 1.25, 0.75]
                base = 10.0
                yield {"relevance": sum(y, []), "scores": sum(s, []), "documents": n, "cutoff": k, "weights": w, "log_base": base,
                       "dcg": [dcg_score([a], [b], k=k, log_base=base) for a, b in zip(y, s)],
                       "ndcg": [ndcg_score([a], [b], k=k) for a, b in zip(y, s)],
                       "mean_ndcg": ndcg_score(y, s, k=k), "weighted_ndcg": ndcg_score(y, s, k=k, sample_weight=w),
                       "ndcg_ignore_ties": ndcg_score(y, untied(s), k=k, ignore_ties=True)}


def trec_case():
    rng = random.Random(47)
    relevance, scores, offsets, qrel, run = [], [], [0], {}, {}
    for q in range(12):
        n = rng.randrange(3, 30)
        grades = [rng.choice([0, 0, 0, 1, 2, 3]) for _ in range(n)]
        grades[rng.randrange(n)] = 1
        points = rng.sample(range(1000), n)
        qrel[str(q)] = {f"d{i}": g for i, g in enumerate(grades)}
        run[str(q)] = {f"d{i}": float(v) for i, v in enumerate(points)}
        relevance += grades
        scores += points
        offsets.append(len(relevance))
    names = {"map", "recip_rank", "P.5", "recall.5", "map_cut.5", "success.5", "ndcg", "ndcg_cut.5"}
    found = pytrec_eval.RelevanceEvaluator(qrel, names).evaluate(run)
    keys = sorted(found["0"])
    return {"relevance": relevance, "scores": scores, "offsets": offsets,
            "values": {m: [found[str(q)][m] for q in range(12)] for m in keys}}


if __name__ == "__main__":
    plain = lambda x: float(x) if isinstance(x, np.floating) else x
    content = {"versions": {"scikit-learn": sklearn.__version__, "pytrec_eval-terrier": version("pytrec_eval-terrier")},
               "max_grade": MAX_GRADE, "brute_force": list(brute_cases()),
               "scikit_learn": list(sklearn_cases()), "trec_eval": trec_case()}
    text = json.dumps(content, default=plain, allow_nan=False, separators=(",", ":")).replace('{"relevance"', '\n{"relevance"')
    (HERE / "ranking.json").write_text(text + "\n")
