"""Hostile records and pages, as text: what `json.dumps` would never write has to be put together by hand."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.fixtures.store import ORIGIN

CANARY = "canary-text-71c2"
"""Chat text of every hostile record; no log and no error may hold it."""

_PIECES = (
    CANARY, "", "a", " ", "\\u0000", "\\ud800", "\\udfff", "\\ud83d\\ude00", "\\uD83D", "\\\\u0000", "\\\\", '\\"', "\\/", "\\n",
    "\\u001b[31m", "好", "😀", "\u202e", "\x7f", "\x9b", "\u2028", "\ufeff", "\ufffd", "\uffff", "%s", "';--", "{0}", "é" * 300,
    "x" * 600, "__proto__", "\\u2066", "İ", "|", "a,b", "[", "{", "}",
)  # fmt: skip
_NUMBERS = (
    "0", "-0", "-0.0", "1", "1.5", "1e3", "1e400", "-1e400", "NaN", "Infinity", "-Infinity", "5e-324", "1e308", "1E-400",
    "0.12345678901234567890123", "9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
    "-9223372036854775809", "1" * 400, "7" * 600, "9" * 4300, "9" * 5000, "-" + "1" * 4300, "9" * 5000 + ".5",
)  # fmt: skip
_STAMPS = (
    f"{ORIGIN + 5}", f'"{ORIGIN + 6}"', f"{ORIGIN + 7}.0", "0", "-1", "253402300799999", "253402300800000", "1e12", "1.5",
    '"1e3"', '" 5"', '"٣"', "true", "null", "[]", *_NUMBERS,
)  # fmt: skip
_KEYS = (
    "msg_id", "timestamp", "from", "to", "chat_type", "direction", "payload", "ext", "bodies", "raw", "digest", "app_id",
    "__proto__", "", "lossy", "\\u0000", "\\ud800", "uuid", "created",
)  # fmt: skip
_BODY_KEYS = (
    "type", "msg", "url", "filename", "secret", "thumb", "thumb_secret", "addr", "file_length", "length", "lat", "lng", "size",
    "width", "action", "customEvent", "subType", "combineLevel", "title", "summary", "extra", "text", "position",
)  # fmt: skip
_NO_JSON = (
    "nul", "{a:1}", '{"a":1,}', '{"a" 1}', '{"a":"\x01"}', '{"a":"\\x"}', "[1}", '{"a":01}', "+1", "1.", ".5", "{,}", "[,]", "--",
    "'a'", '{"a":"\\ud8"}', "True", "\x00", "{]",
)  # fmt: skip

strings = st.lists(st.sampled_from(_PIECES), max_size=5).map(lambda pieces: '"' + "".join(pieces) + '"')
scalars = st.one_of(st.sampled_from(("null", "true", "false", *_NUMBERS)), strings)
_depths = st.sampled_from((1, 20, 250, 255, 256, 257, 900, 2000))


def _deep(depth: int, mixed: bool) -> str:
    opening, closing = ('{"a":', "}") if mixed else ("[", "]")
    return opening * depth + "0" + closing * depth


deep = st.builds(_deep, _depths, st.booleans())


def _list(values: list[str]) -> str:
    return "[" + ",".join(values) + "]"


def _object(members: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f'"{key}":{value}' for key, value in members) + "}"


def objects(keys: st.SearchStrategy[str], values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Objects whose keys may repeat."""
    return st.lists(st.tuples(keys, values), max_size=6).map(_object)


values = st.recursive(
    st.one_of(scalars, scalars, scalars, deep),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(_list),
        objects(st.one_of(st.sampled_from(_KEYS), strings.map(lambda text: text[1:-1])), inner),
    ),
    max_leaves=4,
)
_types = st.sampled_from(
    ('"txt"', '"img"', '"loc"', '"cmd"', '"custom"', '"video"', '"sub_combine"', '"\\u0000"', "7", "null")
)
bodies = st.one_of(
    st.lists(
        st.one_of(
            st.builds(
                lambda kind, more: _object([("type", kind), ("msg", f'"{CANARY}"'), *more]),
                _types,
                st.lists(st.tuples(st.sampled_from(_BODY_KEYS), values), max_size=5),
            ),
            values,
        ),
        max_size=4,
    ).map(_list),
    values,
)
_ids = st.one_of(st.sampled_from(('"1"', '"2"', '"1 "', '"1\\n"', '"1\u202e"', "1", "2", "1.0")), scalars, values)


@st.composite
def _messages(draw: st.DrawFn) -> str:
    """Objects that are nearly messages."""
    members = [("msg_id", draw(_ids)), ("timestamp", draw(st.sampled_from(_STAMPS)))]
    payload = [("bodies", draw(bodies)), ("ext", draw(values))]
    members += [(key, draw(values)) for key in ("from", "to", "chat_type", "direction")]
    if draw(st.booleans()):
        payload.append((draw(st.sampled_from(_KEYS)), draw(values)))
    members.append(("payload", draw(st.one_of(st.just(_object(payload)), values))))
    if draw(st.booleans()):
        members.append((draw(st.sampled_from(_KEYS)), draw(values)))
    return _object(draw(st.permutations(members)))


records = st.one_of(_messages(), _messages(), _messages(), values, st.sampled_from(_NO_JSON))
"""The text of one element of a page's list: it ends where its brackets do, and holds no newline."""

pages = st.lists(records, min_size=1, max_size=4)
