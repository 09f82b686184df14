"""A line of JSON Lines is what the standard library would write of the same message."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.export.formats.jsonl import Lines
from archiver.model import Archived, Body, File, Message, Revision
from archiver.rendering import parsed

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
MAYBE = st.none() | TEXT
INT64 = st.integers(-(2**63), 2**63 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=6,
)
JSON_TEXT = st.none() | JSON.map(lambda value: json.dumps(value, ensure_ascii=False))
FLOAT = st.none() | st.floats()
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "type": TEXT,
    "file_length": st.none() | INT64,
    "width": st.none() | INT64,
    "height": st.none() | INT64,
}
KINDS |= dict.fromkeys(("duration", "lat", "lng"), FLOAT) | {"extra": JSON_TEXT}
BODY = st.builds(Body, **{name: KINDS.get(name, MAYBE) for name in Body._fields})
RAW = st.binary() | TEXT.map(str.encode)
DIGEST = st.binary(min_size=32, max_size=32)
REVISION = st.builds(Revision, INT64, INT64, MAYBE, DIGEST, RAW)
FILE = st.builds(File, INT64, TEXT, TEXT, MAYBE, MAYBE, st.none() | INT64, MAYBE)
BODIES = st.lists(BODY | TEXT.map(lambda text: Body("txt", text)), max_size=3).map(tuple)
MESSAGE = st.builds(
    Message, TEXT, INT64, MAYBE, MAYBE, MAYBE, MAYBE, MAYBE, BODIES, JSON_TEXT, RAW, DIGEST, st.booleans(), INT64
)
ARCHIVED = st.builds(
    *(Archived, TEXT, MESSAGE, MAYBE, MAYBE, INT64, st.none() | INT64),
    st.lists(REVISION, max_size=2).map(tuple),
    st.lists(FILE, max_size=2).map(tuple),
)


def verbatim(raw: bytes) -> dict[str, Any]:
    try:
        return {"raw": raw.decode()}
    except UnicodeDecodeError:
        return {"raw": None, "raw_base64": base64.b64encode(raw).decode("ascii")}


def librarys(archived: Archived) -> bytes:
    known, m = archived._asdict(), archived.message._asdict()
    bodies = [
        {
            name: parsed(value) if name == "extra" else value
            for name, value in body._asdict().items()
            if value is not None
        }
        for body in m["bodies"]
    ]
    line: dict[str, Any] = {"app": known["app"], "msg_id": m["msg_id"], "timestamp_ms": m["timestamp_ms"]}
    line["sent_at"] = known["sent_at"]
    line |= {name: m[name] for name in ("sender", "recipient", "conversation", "chat_type", "direction")}
    line |= {"bodies": bodies, "ext": None if m["ext"] is None else parsed(m["ext"]), **verbatim(m["raw"])}
    line |= {"digest": m["digest"].hex(), "lossy": m["lossy"], "page_id": known["page_id"], "position": m["position"]}
    line |= {name: known[name] for name in ("archived_at", "lateness_ms")}
    line["revisions"] = [
        {"revision": one.revision, "timestamp_ms": one.timestamp_ms, "seen_at": one.seen_at, "digest": one.digest.hex()}
        | verbatim(one.raw)
        for one in archived.revisions
    ]
    line["attachments"] = [file._asdict() for file in archived.files]
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


@pytest.mark.full
@given(st.lists(ARCHIVED, max_size=3))
def test_a_line_is_the_librarys(batch: list[Archived]) -> None:
    file = io.BytesIO()
    writer = Lines(file)
    writer.add(batch)
    assert file.getvalue() == b"".join(map(librarys, batch))
