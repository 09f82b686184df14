"""Who quotes a message: by the index as by reading everything, whatever of it is indexed yet."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest

from archiver.store import pages, windows
from archiver.store.apps import SourceKey
from archiver.store.engine import Store
from archiver.store.search import index, mentions
from tests.fixtures.store import ORIGIN, claimed, page_of, record

WORDS = ("退款", "明天", "请", "确认", "the parcel", "Straße 7", "İstanbul", "ﬁle", "a", "100%_", '"quoted"', "🙂")
ASKED = ("m3", "m7", "odd id/9", "m11")


def texts(draw: random.Random) -> Iterator[tuple[str, str, str | None]]:
    """Ids, texts and `ext`: some repeat others, cut them, lengthen them or name an id."""
    said: list[str] = []
    for number in range(60):
        fresh = " ".join(draw.choices(WORDS, k=draw.randrange(1, 9)))
        if number == 7:
            fresh = "long " * 60 + fresh
        text = fresh if not said or draw.random() < 0.5 else f"> {draw.choice(said)} {draw.choice(WORDS)}"
        if draw.random() < 0.1:
            text = f"{text}\nre: {draw.choice(ASKED)}"
        said.append(text)
        ext = json.dumps({"answers": draw.choice(ASKED)}) if draw.random() < 0.1 else None
        yield "odd id/9" if number == 9 else f"m{number}", text, ext


@pytest.mark.parametrize("seed", [3, pytest.param(4, marks=pytest.mark.full), pytest.param(5, marks=pytest.mark.full)])
@pytest.mark.parametrize("indexed", ["nothing", "half", "all"])
def test_quotes_are_found_by_the_index_as_by_reading_everything(
    store: Store, key: SourceKey, monkeypatch: pytest.MonkeyPatch, indexed: str, seed: int
) -> None:
    claim, draw = claimed(store, key), random.Random(seed)
    records = []
    for number, (msg_id, text, ext) in enumerate(texts(draw)):
        more = {} if ext is None else {"ext": json.loads(ext)}
        records.append(record(msg_id, text, ORIGIN + number, **more))
    edited = [record("m20", "edited: > " + json.loads(records[3])["payload"]["bodies"][0]["msg"], ORIGIN + 20)]
    for part in (records[:30], records[30:], edited):
        with store.write(lock="shared") as tx:
            pages.insert(windows.hold(tx, claim), [page_of(*part)], ORIGIN)
        if indexed != "nothing":
            while True:
                with store.write() as tx:
                    if index.add_pages(tx) is None:
                        break
        if indexed == "half":
            indexed = "nothing"
    with store.patient.read() as tx:
        by_index = mentions.find(tx, key.app_id, ASKED)
        monkeypatch.setattr(mentions, "MOST_SEARCHED", 0)
        by_reading = mentions.find(tx, key.app_id, ASKED)
    assert by_index == by_reading
    assert {one.why for one in by_index} == {"text", "id"}
    assert len(by_index) > 5
