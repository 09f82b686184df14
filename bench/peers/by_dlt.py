"""The same messages by dlt, set up as its documentation advises: rest_api source, incremental, csv files for COPY.

Runs in an environment of its own: `python by_dlt.py merge|append SERVER DATABASE`, and prints seconds as JSON.
"""

import json
import resource
import sys
import time

import dlt
from dlt.sources.rest_api import rest_api_source


def main(disposition: str, server: str, database: str) -> None:
    source = rest_api_source(
        {
            "client": {
                "base_url": server,
                "paginator": {"type": "cursor", "cursor_path": "cursor", "cursor_param": "cursor"},
            },
            "resources": [
                {
                    "name": "messages",
                    "primary_key": "msg_id",
                    "write_disposition": disposition,
                    "endpoint": {
                        "path": "chatmessages",
                        "data_selector": "entities",
                        "params": {
                            "ql": "select * where timestamp > {incremental.start_value} order by timestamp asc",
                            "limit": 1000,
                        },
                        "incremental": {"cursor_path": "timestamp", "initial_value": 0},
                    },
                }
            ],
        }
    )
    pipeline = dlt.pipeline("bench", destination=dlt.destinations.postgres(database), dataset_name="chat")
    began, cpu = time.perf_counter(), _cpu_s()
    pipeline.run(source, loader_file_format="csv")
    print(json.dumps({"seconds": time.perf_counter() - began, "cpu_s": _cpu_s() - cpu}))


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main(*sys.argv[1:])
