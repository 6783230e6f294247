"""Reference values for tests/data_validate.rs: statistics of columns, and whether they lie in ranges.

Made with pandas 2.3.3, NumPy 2.3.5 and Great Expectations 1.24.1 (Python 3.11):
    python data_aggregates.py > data_aggregates.json
"""

import json
import logging
import sys

import great_expectations as gx
import numpy as np
import pandas as pd

logging.disable(logging.CRITICAL)
SHARES = [0.0, 0.01, 0.25, 0.5, 0.9, 1.0]


def table():
    i = np.arange(500)
    x = 1e9 + (i * 7919 % 5003) / 7
    x[i % 19 == 0] = np.nan
    n = (i * 104_729 % 1_009) - 400
    return pd.DataFrame({"x": x, "n": n, "small": (i * 37 % 101) * 1e-9, "site": np.array(["a", "b", "c"])[i % 3]})


def main():
    frame = table()
    values = {}
    for name in ["x", "n", "small"]:
        column = frame[name]
        there = column.dropna().to_numpy()
        values[name] = {
            "mean": float(column.mean()),
            "sum": float(column.sum()),
            "min": float(column.min()),
            "max": float(column.max()),
            "standard_deviation": float(column.std()),
            "quantile": [[share, float(np.quantile(there, share))] for share in SHARES],
            "distinct": int(column.nunique()),
        }
    values["site"] = {"distinct": int(frame["site"].nunique())}

    e = gx.expectations
    between = {
        "mean": e.ExpectColumnMeanToBeBetween,
        "sum": e.ExpectColumnSumToBeBetween,
        "min": e.ExpectColumnMinToBeBetween,
        "max": e.ExpectColumnMaxToBeBetween,
        "standard_deviation": e.ExpectColumnStdevToBeBetween,
        "distinct": e.ExpectColumnUniqueValueCountToBeBetween,
    }
    context = gx.get_context(mode="ephemeral")
    source = context.data_sources.add_pandas("reference").add_dataframe_asset("table")
    batch = source.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    verdicts = []
    for name in values:
        for statistic, of in values[name].items():
            if statistic == "quantile":
                continue
            margin = 1 if statistic == "distinct" else max(abs(of) / 100, 1e-12)
            for low, high in [(of - margin, of + margin), (of + margin, of + 2 * margin), (None, of - margin), (of - margin, None)]:
                result = batch.validate(between[statistic](column=name, min_value=low, max_value=high))
                verdicts.append([statistic, name, low, high, bool(result.success)])
    json.dump({"csv": frame.to_csv(index=False), "values": values, "verdicts": verdicts}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
