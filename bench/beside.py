"""The review page beside a pull that catches up on the same SQLite file: `python -m bench.beside`.

By rounds: a pull alone, one beside an officer who reads (messages of a person, a conversation), and one beside another
who searches for words, which the index does not have yet; one look a second. Every look has to be answered, or refused
as busy, within six seconds, and the pull must not suffer.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.ground import Ground, Run, Served, serve
from bench.review import cpu_ms, page, signed_in
from tests.page.browsing import Visitor
from tests.postgres import own_server

WITHIN_S, RATE = 6.0, 0.95
WORDS = ("退款", "合同", "signed copy", "收到", "价格")
"""Of bench.records' texts: each is in every sixth message."""
_LOOKS = {
    "reading": (
        ("/search", {"sender": "{user}"}),
        ("/search", {"recipient": "{user}"}),
        ("/conversation", {"conversation": "{group}"}),
    ),
    "searching": (("/search", {"words": "{word}"}),),
}


class LookTimes(NamedTuple):
    """How long each look took, in s, how many ended in which way, and the processor time of the page, in ms."""

    seconds: list[float]
    ends: Counter[str]
    cpu_ms: list[float]


def look(reader: Visitor, kind: str, made: random.Random) -> str:
    """One look from its form to its answer; gives how it ended."""
    path, form = made.choice(_LOOKS[kind])
    user, group, word = f"user{made.randrange(4000):04}", str(27_000_000 + made.randrange(300)), made.choice(WORDS)
    filled = {key: value.format(user=user, group=group, word=word) for key, value in form.items()}
    answer = reader.session.post(
        reader.address + path, data={"csrf": reader.csrf, **filled}, allow_redirects=False, timeout=60
    )
    if answer.status_code == 303:
        answer = reader.get(answer.headers["Location"])
    ends = {503: "busy" if "Busy" in answer.text else "too long", 200: "answered", 400: "not there yet"}
    return ends.get(answer.status_code, str(answer.status_code))


def read_until(over: threading.Event, reader: Visitor, kind: str, pause_s: float, times: LookTimes) -> None:
    made = random.Random(29)
    while not over.wait(pause_s):
        begun = time.perf_counter()
        end = look(reader, kind, made)
        times.seconds.append(time.perf_counter() - begun)
        times.ends[end] += 1


def beside(ground: Ground, server: Served, kind: str, pause_s: float, times: LookTimes) -> Run:
    """A pull beside an officer."""
    with (
        ground.database("sqlite") as url,
        tempfile.TemporaryDirectory() as place,
        page(url, Path(place)) as (address, number),
    ):
        over, reader, before = threading.Event(), signed_in(address), cpu_ms(number)
        reading = threading.Thread(target=read_until, args=(over, reader, kind, pause_s, times))
        reading.start()
        found = ground.run("archiver", url, server)
        over.set()
        reading.join()
        times.cpu_ms.append(cpu_ms(number) - before)
    return found


def alone(ground: Ground, server: Served) -> Run:
    with ground.database("sqlite") as url:
        return ground.run("archiver", url, server)


def tell(kind: str, runs: list[Run], without: list[Run], times: LookTimes) -> None:
    seconds = sorted(times.seconds)
    ends = ", ".join(f"{count} {end}" for end, count in times.ends.most_common())
    cost = sum(times.cpu_ms) / len(seconds)
    print(f"{kind}: {len(seconds)} looks ({ends}), {cost:.0f} ms of the page's processor time each")
    print(f"  median {median(seconds):.2f} s, longest {seconds[-1]:.2f} s (target {WITHIN_S})")
    for name, of in (("rate", "rate"), ("processor time of the pull", "cpu_s")):
        ratios = [mine[of] / other[of] for mine, other in zip(runs, without, strict=True)]
        print(f"  {name} beside / alone: {median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pause", type=float, default=1.0, help="Seconds between two looks.")
    given = parser.parse_args()
    times = {kind: LookTimes([], Counter(), []) for kind in _LOOKS}
    runs: dict[str, list[Run]] = {kind: [] for kind in ("alone", *_LOOKS)}
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, own_server() as postgres, serve(given.messages) as server:
        ground = Ground(Path(folder), postgres)
        for number in range(given.rounds):
            for kind in sorted(runs, reverse=bool(number % 2)):
                accompanied = kind in _LOOKS
                made = beside(ground, server, kind, given.pause, times[kind]) if accompanied else alone(ground, server)
                runs[kind].append(made)
                print(f"  round {number + 1}, {kind}: {made['rate']:,.0f}/s", flush=True)
    for kind in _LOOKS:
        tell(kind, runs[kind], runs["alone"], times[kind])
    print(f"target of the rate: {RATE}")


if __name__ == "__main__":
    main()
