"""Point-in-time joins by pandas 3.1.1, step by step as Feast 0.67's offline store for files does them, for
tests/data_point_in_time.rs: python make_point_in_time.py > point_in_time.json"""

import json
import random

import pandas as pd

draw = random.Random(20260204)
features = pd.DataFrame([
    {"key": draw.choice("abcdef"), "event": (event := draw.randint(0, 60)), "created": event + draw.choice([0, 0, 1, 3, 9, -2])}
    for _ in range(140)
])
features["row"] = range(len(features))
entities = pd.DataFrame([{"key": draw.choice("abcdefg"), "at": draw.randint(-3, 70)} for _ in range(90)])
entities["entity"] = range(len(entities))


def join(ttl, created, strict):
    rows = entities.merge(features, on="key", how="left")
    known = rows[rows["event"].notna()]
    known = known[known["event"] < known["at"]] if strict else known[known["event"] <= known["at"]]
    if ttl:
        known = known[known["event"] >= known["at"] - ttl]
    if created:
        known = known[known["created"] < known["at"]] if strict else known[known["created"] <= known["at"]]
    known = known.sort_values(["event", "created", "row"], kind="stable")
    known = known.drop_duplicates(["entity"], keep="last")
    rows = entities.merge(known[["entity", "row"]], on="entity", how="left")
    return [None if pd.isna(row) else int(row) for row in rows.sort_values("entity")["row"]]


cases = [
    {"ttl": ttl, "created": created, "strict": strict, "rows": join(ttl, created, strict)}
    for ttl in [0, 5, 17]
    for created in [True, False]
    for strict in [True, False]
]
print(json.dumps({
    "pandas": pd.__version__,
    "features": {name: features[name].tolist() for name in ["key", "event", "created"]},
    "entities": {name: entities[name].tolist() for name in ["key", "at"]},
    "cases": cases,
}))
