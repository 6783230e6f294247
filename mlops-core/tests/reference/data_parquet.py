"""The file of tests/data_parquet.rs, as pyarrow writes one: four row groups, nulls, dates, times, texts, a dictionary.

Made with pyarrow 26.0.1 (Python 3.11):
    python data_parquet.py data_parquet.parquet
"""

import datetime as dt
import sys

import pyarrow as pa
import pyarrow.parquet as pq


def main():
    rows = range(1000)
    table = pa.table(
        {
            "id": pa.array(rows, pa.int64()),
            "age": pa.array([None if i % 7 == 0 else i % 90 for i in rows], pa.int32()),
            "bmi": pa.array([None if i % 11 == 0 else float("nan") if i % 13 == 0 else i / 8 for i in rows], pa.float64()),
            "site": pa.array([None if i % 17 == 0 else ["bonn", "köln", "trier"][i % 3] for i in rows]).dictionary_encode(),
            "note": pa.array([None if i % 5 == 0 else f"note {i % 250}" for i in rows], pa.string()),
            "day": pa.array([None if i % 3 == 0 else dt.date(1969, 12, 1) + dt.timedelta(days=i) for i in rows], pa.date32()),
            "at": pa.array([dt.datetime(2024, 1, 1) + dt.timedelta(milliseconds=i) for i in rows], pa.timestamp("ms")),
            "flag": pa.array([i % 2 == 0 for i in rows], pa.bool_()),
            "tags": pa.array([[i] for i in rows], pa.list_(pa.int64())),
        }
    )
    pq.write_table(table, sys.argv[1], row_group_size=300)


if __name__ == "__main__":
    main()
