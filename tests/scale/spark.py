"""Runs Spark SQL over an export, in an environment of its own: see `make scale-test`.

On a local cluster of Sail, or on Apache Spark where there is no pysail.

`python spark.py MESSAGES QUERIES`: the folder of Parquet files, and a JSON file of queries by name. Prints one line of
JSON: the rows of each. It imports nothing of the archiver: whoever has the folder can do this.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")
os.environ["SAIL_MODE"] = "local-cluster"
os.environ.setdefault("RUST_LOG", "error")


@contextmanager
def session() -> Iterator[Any]:
    from pyspark.sql import SparkSession

    try:
        from pysail.spark import SparkConnectServer
    except ImportError:
        spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
        yield spark
        spark.stop()
        return
    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    try:
        spark = SparkSession.builder.remote(f"sc://127.0.0.1:{server.listening_address[1]}").getOrCreate()
        yield spark
        spark.stop()
    finally:
        server.stop()


def main(folder: str, queries: str) -> None:
    with session() as spark:
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        spark.read.parquet(folder).createOrReplaceTempView("messages")
        found = {
            name: [list(row) for row in spark.sql(sql).collect()]
            for name, sql in json.loads(Path(queries).read_text(encoding="utf-8")).items()
        }
        print(f"asked of Spark {spark.version}", file=sys.stderr)
    print(json.dumps(found, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
