"""Serves rendered records by query and cursor, in a process of its own that costs next to nothing.

`python -m bench.server --messages 100000` prints its base URL and the first record's time as one line of JSON. Unlike
the stand-in server of the product it knows no faults: it is there to be fast.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import socketserver
import time
from bisect import bisect_left
from urllib.parse import parse_qs, urlsplit

from bench.records import make

_TIMES = re.compile(r"timestamp (>|<) (\d+)")


class Shelf:
    """All records, in order of time."""

    def __init__(self, messages: int, start_ms: int) -> None:
        self.stamps: list[int] = []
        self.rendered: list[bytes] = []
        for stamp_ms, record in make(messages, start_ms):
            self.stamps.append(stamp_ms)
            self.rendered.append(record)

    def page(self, query: dict[str, list[str]]) -> bytes:
        """The envelope with the records of one page; the cursor is the place where the next one begins."""
        bounds = dict(_TIMES.findall(query["ql"][0]))
        end = bisect_left(self.stamps, int(bounds["<"])) if "<" in bounds else len(self.stamps)
        start = bisect_left(self.stamps, int(bounds[">"]) + 1)
        start = int(query["cursor"][0]) if "cursor" in query else start
        stop = min(end, start + int(query["limit"][0]))
        head = {"action": "get", "timestamp": int(time.time() * 1000), "duration": 0, "count": max(0, stop - start)}
        if stop < end:
            head["cursor"] = str(stop)
        return json.dumps(head)[:-1].encode() + b',"entities":[' + b",".join(self.rendered[start:stop]) + b"]}"


class _Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        while line := self.rfile.readline():
            length = 0
            while (header := self.rfile.readline().strip()) != b"":
                name, _, value = header.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            self.rfile.read(length)
            body = self._answer(line.split()[1].decode())
            self.wfile.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )

    def _answer(self, target: str) -> bytes:
        parts = urlsplit(target)
        if parts.path.endswith("/token"):
            return b'{"access_token":"bench","expires_in":86400,"application":"bench"}'
        if self.server.latency_s:
            time.sleep(self.server.latency_s)
        return self.server.shelf.page(parse_qs(parts.query))


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    address_family = socket.AF_INET

    def __init__(self, shelf: Shelf, latency_s: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.shelf, self.latency_s = shelf, latency_s


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--latency-ms", type=int, default=0)
    told = parser.parse_args()
    start_ms = int(time.time() * 1000) - 2 * 86_400_000
    with _Server(Shelf(told.messages, start_ms), told.latency_ms / 1000) as server:
        print(json.dumps({"url": f"http://127.0.0.1:{server.server_address[1]}", "start_ms": start_ms}), flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
