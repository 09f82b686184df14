"""Sink `webhook`: the text of a note to a chat that others hold. What was posted there cannot be read back."""

from __future__ import annotations

import time

from archiver import http


def put(url: str, form: http.Form, sign_secret: str | None, note: bytes, way: http.Way) -> None:
    payload = http.body(note.decode(), form)
    if sign_secret is not None:
        url, payload = http.signed(url, payload, form, sign_secret, time.time())
    http.call(url, payload, way)
