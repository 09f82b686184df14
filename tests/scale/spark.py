"""Runs Spark SQL on a local cluster of Sail over an export, in an environment of its own: see `make scale-test`.

`python spark.py MESSAGES QUERIES`: the folder of Parquet files, and a JSON file of queries by name. Prints one line of
JSON: the rows of each. It imports nothing of the archiver: whoever has the folder can do this.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")
os.environ["SAIL_MODE"] = "local-cluster"
os.environ.setdefault("RUST_LOG", "error")


def main(folder: str, queries: str) -> None:
    from pysail.spark import SparkConnectServer
    from pyspark.sql import SparkSession

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    try:
        port = server.listening_address[1]
        spark = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").getOrCreate()
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        spark.read.parquet(folder).createOrReplaceTempView("messages")
        found = {
            name: [list(row) for row in spark.sql(sql).collect()]
            for name, sql in json.loads(Path(queries).read_text(encoding="utf-8")).items()
        }
        spark.stop()
    finally:
        server.stop()
    print(json.dumps(found, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
