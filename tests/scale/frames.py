"""Reads exports as an analyst would, with pandas and DuckDB: `python frames.py PARQUET CSV`, two folders of messages.

Prints one line of JSON: for each, the number of rows, of messages, and of characters said.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")


def main(parquet: str, csv: str) -> None:
    import pandas

    sheets = [
        pandas.read_csv(part, dtype={"msg_id": str}, keep_default_na=False) for part in sorted(Path(csv).rglob("*.csv"))
    ]
    found = {}
    for name, frame in (("parquet", pandas.read_parquet(parquet)), ("csv", pandas.concat(sheets))):
        said = frame["text"].fillna("").str.removeprefix("'") if name == "csv" else frame["text"].fillna("")
        found[name] = [
            len(frame),
            int((frame["app"].astype(str) + frame["msg_id"]).nunique()),
            int(said.str.len().sum()),
        ]
    found = {f"pandas from {name}": figures for name, figures in found.items()}
    if importlib.util.find_spec("duckdb"):
        found["DuckDB"] = duck(parquet)
    print(json.dumps(found))


def duck(parquet: str) -> list[int]:
    import duckdb

    files = duckdb.read_parquet(f"{parquet}/**/*.parquet", hive_partitioning=True)
    (figures,) = files.aggregate("count(*), count(DISTINCT app || msg_id), sum(length(text))").fetchall()
    return list(map(int, figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
