"""Rows of CSV are what Python's own writer makes of them, also those that are written the short way."""

from __future__ import annotations

import csv
import io
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from archiver.export.formats import csv as sheets
from archiver.export.formats.rows import NAMES, rows
from archiver.model import Archived, Body, File, Message, Revision
from archiver.zones import IN_UTC

_AT = "2026-11-01T08:00:00.000Z"
_TEXTS = st.none() | st.text(st.sampled_from("ab=+@'\"\t\r\n,;\u200b\u202e聊 "), max_size=6)
_NOTHING: dict[str, Any] = {}
_MORE = [_NOTHING, _NOTHING, {"filename": "-a.png"}, {"file_length": 0, "duration": 1e22}, {"extra": '{"a": "\\""}'}]
_BODIES = st.tuples(st.sampled_from(["txt", "=cmd"]), _TEXTS, st.sampled_from(_MORE)).map(
    lambda drawn: Body(drawn[0], drawn[1])._replace(**drawn[2])
)
_MESSAGES = st.builds(
    Message,
    *(st.text(min_size=1, max_size=4), st.integers(0, 2**62), _TEXTS, _TEXTS, _TEXTS, _TEXTS, _TEXTS),
    st.lists(_BODIES, max_size=2).map(tuple),
    *(st.none() | st.just('{"b": 2, "a": "="}'), st.just(b"raw"), st.just(bytes(32)), st.booleans(), st.just(3)),
)
_ARCHIVED = st.builds(
    Archived,
    *(st.just("org#app"), _MESSAGES, st.none() | st.just(_AT), st.just(_AT), st.just(7)),
    st.none() | st.integers(0, 9),
    st.sampled_from([(), (Revision(1, 5, _AT, bytes(32), b"raw"),)]),
    st.sampled_from([(), (File(0, "file", "stored", None, "ab", 2, "image/png"),)]),
)


def by_python(archived: Archived) -> str:
    """The same rows by the standard library, cell by cell."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC)
    at = NAMES.index("sent_at") + 1
    for row in rows(archived):
        whole = (*row[:at], IN_UTC.local(archived.sent_at), *row[at:])
        writer.writerow([str(cell).lower() if isinstance(cell, bool) else sheets.disarmed(cell) for cell in whole])
    return out.getvalue()


PLAIN = Message("1", 2, "=a", '"', None, "chat", "", (Body("txt", "'x"),), None, b"", bytes(32), True, 0)


@given(_ARCHIVED)
@example(Archived("org#app", PLAIN, _AT, _AT, 7, None, (), ()))
def test_rows_are_those_of_the_standard_library(archived: Archived) -> None:
    file = io.BytesIO()
    sheet = sheets.Sheet(file, bom=False, calendar=IN_UTC)
    begun = file.tell()
    sheet.add([archived])
    assert file.getvalue()[begun:].decode() == by_python(archived)


def test_a_message_with_nothing_but_its_text_goes_the_short_way() -> None:
    assert sheets._is_plain(Archived("org#app", PLAIN, _AT, _AT, 7, None, (), ()))
    with_size = PLAIN._replace(bodies=(Body("txt", "x", file_length=0),))
    assert not sheets._is_plain(Archived("org#app", with_size, _AT, _AT, 7, None, (), ()))
