"""Trains the small forest that the example reads: LightGBM 4.7.0, 12 trees of 6 leaves on diabetes.csv.

    pip install lightgbm==4.7.0 pandas && python3 make_forest.py
"""

from pathlib import Path

import lightgbm as lgb
import pandas as pd

here = Path(__file__).parent
rows = pd.read_csv(here / "diabetes.csv")
features = rows[["age", "bmi", "bp", "s5"]].astype(float)
high = (rows["target"] > 140.5).astype(int)
parameters = {"objective": "binary", "num_leaves": 6, "learning_rate": 0.2, "num_threads": 1, "seed": 1, "deterministic": True, "verbose": -1}
booster = lgb.train(parameters, lgb.Dataset(features, high), 12)
text = booster.model_to_string().split("\nparameters:")[0]
(here / "forest.txt").write_text(text + "\n")
print(booster.predict(features[:3]).tolist())
