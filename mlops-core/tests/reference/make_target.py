"""What one feature tells of a label, by scikit-learn 1.9.1 and SciPy 1.17.1, for tests/data_leakage.rs:
python make_target.py > target.json"""

import json
import random

import numpy as np
import scipy
import sklearn
from scipy.stats import spearmanr
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import accuracy_score, roc_auc_score

draw = random.Random(7)
rows, train = 160, 110
binary = [int(draw.random() < 0.4) for _ in range(rows)]
features = {
    "strong": [round(b * 2 + draw.gauss(0, 0.8), 3) for b in binary],
    "ties": [int(draw.random() * 3 + b) for b in binary],
    "noise": [round(draw.random(), 4) for _ in range(rows)],
}
words = ["red", "green", "blue", "grey"]
category = [words[(2 * b + int(draw.random() * 2.6)) % 4] for b in binary]
number = [round(draw.gauss(10 * b, 6) + 4 * words.index(c), 3) for b, c in zip(binary, category)]

expected = {"binary": {}, "number": {}}
first = slice(0, train)
for name, values in features.items():
    expected["binary"][name] = abs(2 * roc_auc_score(binary[first], values[first]) - 1)
    expected["number"][name] = abs(spearmanr(values[first], number[first]).statistic)


def by_value(target, predict, score):
    guess = {word: predict([t for t, c in zip(target[first], category[first]) if c == word]) for word in words}
    return [guess[c] for c in category[train:]], score


later_binary, later_number = binary[train:], number[train:]
guessed, _ = by_value(binary, lambda of: DummyClassifier(strategy="most_frequent").fit([0] * len(of), of).predict([0])[0], None)
base = DummyClassifier(strategy="most_frequent").fit([0] * train, binary[first]).predict([0] * len(later_binary))
b, a = accuracy_score(later_binary, base), accuracy_score(later_binary, guessed)
expected["binary"]["category"] = max(0.0, (a - b) / (1 - b))
guessed, _ = by_value(number, lambda of: DummyRegressor().fit([0] * len(of), of).predict([0])[0], None)
base = DummyRegressor().fit([0] * train, number[first]).predict([0] * len(later_number))
# R² against the mean of the training rows, which is known, and not of the later ones.
squares = lambda guess: float(np.sum((np.array(later_number) - np.array(guess)) ** 2))
expected["number"]["category"] = max(0.0, 1 - squares(guessed) / squares(base))

print(json.dumps({
    "scikit-learn": sklearn.__version__, "scipy": scipy.__version__, "train": train, "features": features,
    "category": category, "binary": binary, "number": number, "expected": expected,
}))
