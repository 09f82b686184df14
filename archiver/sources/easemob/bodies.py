"""One element of `payload.bodies` to a body: a column for what has one, `extra` for every other key.

Body types and their fields: the provider's page on message history (2024-10-24) and, for thumbnails, the export
of 2014. The provider marks forwarded conversations as `txt`; they are recognised by their own fields.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from archiver.model import Body
from archiver.sources.easemob.columns import Columns, integer, number

_TEXTS = {
    "url": "url",
    "filename": "filename",
    "secret": "secret",
    "thumb": "thumb_url",
    "thumb_secret": "thumb_secret",
    "addr": "addr",
}
_NUMBERS: dict[str, tuple[str, Callable[[Any], float | int | None]]] = {
    "file_length": ("file_length", integer),
    "length": ("duration", number),
    "lat": ("lat", number),
    "lng": ("lng", number),
}
_EMPTY = Body()
_NOTHING = _EMPTY[2:]
_FILES = frozenset(["img", "audio", "video", "file"])
_PIXELS = {"width", "height"}
_WIDTH, _HEIGHT = Body._fields.index("width"), Body._fields.index("height")
_TEXT_AT = {"type": 0} | {key: Body._fields.index(name) for key, name in _TEXTS.items()}
_NUMBER_AT = {key: (Body._fields.index(name), read_number) for key, (name, read_number) in _NUMBERS.items()}
_new = tuple.__new__
_TEXT_OF = {"txt": "msg", "cmd": "action", "custom": "customEvent"}


def read_usual_body(element: Any) -> Body | None:
    """What `read` makes of an element as nearly all are, with nothing to substitute or put aside; None for others."""
    if type(element) is not dict:
        return None
    kind = element.get("type")
    if kind == "txt":
        text = element.get("msg")
        return _new(Body, ("txt", text, *_NOTHING)) if len(element) == 2 and type(text) is str else None
    return _usual_file(element) if type(kind) is str and kind in _FILES else None


def _usual_file(element: dict[str, Any]) -> Body | None:
    values: list[Any] = [*_EMPTY]
    for key, value in element.items():
        if type(value) is str and (place := _TEXT_AT.get(key)) is not None:
            values[place] = value
        elif key in _NUMBER_AT:
            place, read_number = _NUMBER_AT[key]
            values[place] = converted = read_number(value)
            if converted is None:
                return None
        elif key == "size" and type(value) is dict and value.keys() == _PIXELS:
            values[_WIDTH], values[_HEIGHT] = pixels = integer(value["width"]), integer(value["height"])
            if None in pixels:
                return None
        else:
            return None
    return _new(Body, values)


def read_body(element: Any, columns: Columns) -> Body:
    """Read one element; what is no object becomes a body of type `unknown` with the value in `extra`."""
    if not isinstance(element, dict):
        return Body(extra=columns.json(element) or "null")
    kind = _kind(element, columns)
    fields: dict[str, Any] = {"type": kind}
    extra: dict[str, Any] = {}
    text_key = _TEXT_OF.get(kind)
    for key, value in element.items():
        if key == "type" and isinstance(value, str):
            continue
        if not _read_key(key, value, text_key, fields, columns):
            extra[key] = value
    if kind == "combine":
        fields["text"] = _joined(element, columns)
    if extra:
        fields["extra"] = columns.json(extra)
    return Body(**fields)


def _kind(element: dict[str, Any], columns: Columns) -> str:
    if element.get("subType") == "sub_combine" or "combineLevel" in element:
        return "combine"
    kind = element.get("type")
    return (columns.indexed(kind) if isinstance(kind, str) else None) or "unknown"


def _read_key(key: str, value: Any, text_key: str | None, fields: dict[str, Any], columns: Columns) -> bool:
    """Put one key into its column; False where it has none, or where its value does not fit."""
    if key == "size":
        return _read_size(value, fields, columns)
    name = "text" if key == text_key else _TEXTS.get(key)
    if name is not None:
        if isinstance(value, str):
            fields[name] = columns.text(value)
            return True
    elif key in _NUMBERS:
        name, read_number = _NUMBERS[key]
        fields[name] = read_number(value)
        if fields[name] is not None:
            return True
    else:
        return False
    columns.lossy |= value is not None
    return value is None


def _read_size(value: Any, fields: dict[str, Any], columns: Columns) -> bool:
    """`size` is `{"width": .., "height": ..}`; anything beside or instead stays in `extra` whole."""
    if value is None:
        return True
    if not isinstance(value, dict):
        columns.lossy = True
        return False
    complete = True
    for key, pixels in value.items():
        if key in ("width", "height"):
            fields[key] = integer(pixels)
            fits = fields[key] is not None or pixels is None
            columns.lossy |= not fits
            complete &= fits
        else:
            complete = False
    return complete


def _joined(element: dict[str, Any], columns: Columns) -> str | None:
    parts = [value for key in ("title", "summary") if isinstance(value := element.get(key), str)]
    return columns.text("\n".join(parts)) if parts else None
