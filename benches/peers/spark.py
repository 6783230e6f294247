"""Runs the drift statement on Spark, and holds its counts against NumPy's bit for bit.

Usage: spark.py FOLDER, with a Python that has pyspark, and Java 17. FOLDER is what

    MLOPS_TEST_SQL=PYTHON MLOPS_TEST_SQL_KEEP=FOLDER cargo test -p mlops-drift --test engines

leaves behind: current.parquet (5 million rows of 10 columns), the statements spark.union.sql and spark.sets.sql, and
numpy.jsonl with the right counts. Prints a line for each layout of the statement: name, wall seconds of the fastest of three
runs, number of columns whose counts are equal, separated by tabs; ends with 1 when some are not.
"""

import collections
import json
import pathlib
import sys
import time

import pyspark
from pyspark.sql import SparkSession

folder = pathlib.Path(sys.argv[1])
expected = [json.loads(line) for line in (folder / "numpy.jsonl").read_text().splitlines()]
spark = (
    SparkSession.builder.master("local[2]")
    .appName("drift")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.memory", "3g")
    .config("spark.sql.shuffle.partitions", "4")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")
spark.read.parquet(str(folder / "current.parquet")).createOrReplaceTempView("current")
print(f"pyspark {pyspark.__version__}, {folder / 'current.parquet'}")

wrong = 0
for layout in ("union", "sets"):
    statement = (folder / f"spark.{layout}.sql").read_text()
    fastest = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        rows = spark.sql(statement).collect()
        fastest = min(fastest, time.perf_counter() - began)
    cells = collections.defaultdict(dict)
    for row in rows:
        cells[row.mlops_column][row.mlops_cell] = row.mlops_count
    equal = 0
    for column in expected:
        counted = cells[column["column"]]
        full = [counted.get(cell, 0) for cell in range(len(column["cells"]))]
        equal += full == column["cells"] and sum(counted.values()) == sum(full)
    print(f"{layout}\t{fastest:.2f}\t{equal} of {len(expected)}", flush=True)
    wrong += len(expected) - equal
spark.stop()
sys.exit(wrong > 0)
